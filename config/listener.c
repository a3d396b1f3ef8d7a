#include "config/settings_read.h"

#include <string.h>

#include "config/tree_build.h"

// --- chain ----------------------------------------------------------------------------------------

static void chain_all(struct settings *settings, struct listener_settings *listener)
{
    listener->chain = config_alloc(settings->tree, settings->plugin_count * sizeof *listener->chain);
    for (size_t i = 0; i < settings->plugin_count; i++)
        listener->chain[listener->chain_count++] = i;
}

static bool find_plugin(const struct settings *settings, const struct config_node *item, size_t *index,
                        struct diagnostics *diagnostics)
{
    struct config_suggestion suggestion = {0};
    const char *name;
    if (!config_node_string(item, &name, diagnostics))
        return false;
    for (size_t i = 0; i < settings->plugin_count; i++) {
        if (!settings->plugins[i].name)
            continue;
        if (strcmp(settings->plugins[i].name, name) == 0) {
            *index = i;
            return true;
        }
        config_suggest(&suggestion, name, settings->plugins[i].name);
    }
    char shown[CONFIG_SHOWN];
    config_show(item->written ? item->written : name, shown);
    if (suggestion.word)
        diagnostics_error(diagnostics, item->place, "no plugin is named `%s` (did you mean `%s`?)", shown,
                          suggestion.word);
    else
        diagnostics_error(diagnostics, item->place, "no plugin is named `%s`", shown);
    return false;
}

static void read_chain(struct settings *settings, struct listener_settings *listener, struct config_node *map,
                       struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, "plugins");
    bool all = node && node->kind == CONFIG_SCALAR && !node->broken && strcmp(node->text, "all") == 0;
    if (!node || all) {
        chain_all(settings, listener);
        return;
    }
    if (node->kind != CONFIG_LIST) {
        // Nothing could mean no plugin as well as every plugin.
        config_wrong(node, "all, or a list of names of plugins ([] for none)", diagnostics);
        return;
    }
    listener->chain = config_alloc(settings->tree, node->count * sizeof *listener->chain);
    for (const struct config_node *item = node->items; item; item = item->next) {
        size_t index;
        if (!find_plugin(settings, item, &index, diagnostics))
            continue;
        for (size_t i = 0; i < listener->chain_count; i++)
            if (listener->chain[i] == index)
                diagnostics_error(diagnostics, item->place, "the plugin `%s` is in this chain already",
                                  settings->plugins[index].name);
        listener->chain[listener->chain_count++] = index;
    }
}

// --- listeners ------------------------------------------------------------------------------------

static void read_listener(struct settings *settings, struct listener_settings *listener,
                          struct config_node *map, struct diagnostics *diagnostics)
{
    listener->place = map->place;
    listener->allow_anonymous = settings->allow_anonymous;
    if (!config_node_map(map, diagnostics))
        return;
    listener->name = settings_name(map, diagnostics);
    listener_read_socket(listener, map, diagnostics);
    listener_read_websocket(settings, listener, map, diagnostics);
    listener_read_proxy(listener, map, diagnostics);
    listener_tls_read(settings, listener, map, diagnostics);
    read_chain(settings, listener, map, diagnostics);
    config_bool(map, "allow_anonymous", &listener->allow_anonymous, diagnostics);
    int64_t rate = 0;
    config_integer(map, "connect_rate", 1, 1000000, &rate, diagnostics);
    listener->connect_rate = (uint64_t)rate;
    int64_t connections = INT64_MAX;
    config_integer(map, "max_connections", 1, 10000000, &connections, diagnostics);
    listener->max_connections = (uint64_t)connections;
    if (listener->max_connections > settings->limits.connections)
        listener->max_connections = settings->limits.connections;
}

static void check_unique(const struct settings *settings, const struct listener_settings *listener,
                         struct diagnostics *diagnostics)
{
    for (const struct listener_settings *other = settings->listeners; other < listener; other++) {
        if (other->name && listener->name && strcmp(other->name, listener->name) == 0)
            diagnostics_error(diagnostics, listener->place,
                              "a second listener is named `%s` (the first is at %s:%u)", listener->name,
                              other->place.file, other->place.line);
        if (other->bind && listener->bind && listener_is_bound_alike(other, listener))
            diagnostics_error(diagnostics, listener->bind_place,
                              "a second listener is bound to `%s` (the first is at %s:%u)", listener->bind,
                              other->bind_place.file, other->bind_place.line);
    }
}

void listeners_read(struct settings *settings, struct config_node *root, struct diagnostics *diagnostics)
{
    struct config_node *list;
    enum config_result result = config_list(root, "listeners", &list, diagnostics);
    if (result == CONFIG_ABSENT) {
        config_missing(root, "listeners", diagnostics);
        return;
    }
    if (result == CONFIG_WRONG)
        return;
    if (!list->items)
        diagnostics_error(diagnostics, list->place, "`listeners` needs at least one listener");
    settings->listeners = config_alloc(settings->tree, list->count * sizeof *settings->listeners);
    for (struct config_node *item = list->items; item; item = item->next) {
        struct listener_settings *listener = &settings->listeners[settings->listener_count++];
        read_listener(settings, listener, item, diagnostics);
        check_unique(settings, listener, diagnostics);
    }
}

// Whether TLS alone logs clients in.
static bool names_suffice(const struct listener_settings *listener)
{
    return listener->tls && listener->tls->certificate_suffices;
}

// Whether TLS turns strangers away.
static bool knows_its_clients(const struct listener_settings *listener)
{
    const struct settings_tls *tls = listener->tls;
    return tls && (tls->client_certificate == SETTINGS_CLIENT_REQUIRE || tls->certificate_count == 0);
}

void listeners_warn(const struct settings *settings, struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < settings->listener_count; i++) {
        const struct listener_settings *listener = &settings->listeners[i];
        listener_warn_proxy(listener, diagnostics);
        if (listener->chain_count > 0)
            continue;
        if (!listener->allow_anonymous && !names_suffice(listener))
            diagnostics_warning(diagnostics, listener->place,
                                "the listener `%s` is of no use: without a plugin and without "
                                "`allow_anonymous` nobody can connect",
                                listener->name);
        else if (settings->default_access == SETTINGS_DENY)
            diagnostics_warning(diagnostics, listener->place,
                                "the listener `%s` is of no use: without a plugin, `default_access: deny` "
                                "refuses every publish and every subscription",
                                listener->name);
        else if (!listener_is_local(listener) && !knows_its_clients(listener))
            diagnostics_warning(diagnostics, listener->place,
                                "the listener `%s` is open to anyone who reaches %s: it has no plugin, and "
                                "`allow_anonymous` and `default_access: allow` let everything pass",
                                listener->name, listener->bind);
    }
}
