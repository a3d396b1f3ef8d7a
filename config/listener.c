#include "config/settings_read.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "config/tree_build.h"

// --- bind -----------------------------------------------------------------------------------------

enum { HOST_MAX = 255 };

static bool is_address(int family, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(family, host, address) == 1;
}

static bool is_host_name(const char *host)
{
    bool digits_only = true;
    for (const char *c = host; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr(".-_", *c))
            return false;
        digits_only = digits_only && (isdigit((unsigned char)*c) || *c == '.');
    }
    return isalnum((unsigned char)*host) && strlen(host) <= HOST_MAX && !digits_only;
}

// The zone of a link-local address, `fe80::1%eth0`, is no part of what inet_pton reads.
static bool is_ipv6(const char *host)
{
    const char *zone = strchr(host, '%');
    char *address = str_to_c(str_make(host, zone ? (size_t)(zone - host) : strlen(host)));
    bool good = is_address(AF_INET6, address) && (!zone || zone[1]);
    free(address);
    return good;
}

static bool parse_port(const char *text, uint16_t *port)
{
    uint32_t value = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 5)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
        value = value * 10 + (uint32_t)(*text - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/**
 * HOST:PORT or [ADDRESS]:PORT. Returns NULL when good, and otherwise what is wrong; `*host` is set to a
 * string of the tree.
 */
static const char *parse_bind(struct config_tree *tree, const char *text, const char **host, uint16_t *port)
{
    bool bracketed = *text == '[';
    const char *end = bracketed ? strchr(text, ']') : strrchr(text, ':');
    if (!end || (bracketed && end[1] != ':'))
        return " (a port is missing)";
    *host = config_copy(tree, str_make(text + bracketed, (size_t)(end - text) - bracketed));
    if (!parse_port(end + 1 + bracketed, port))
        return " (a port is a number from 0 to 65535)";
    if (bracketed)
        return is_ipv6(*host) ? NULL : " (brackets are for IPv6 addresses)";
    if (strchr(*host, ':'))
        return " (an IPv6 address stands in brackets)";
    if (!**host || strcmp(*host, "*") == 0)
        return " (0.0.0.0 and [::] mean every address)";
    if (is_address(AF_INET, *host) || is_host_name(*host))
        return NULL;
    return " (neither an address nor a host name)";
}

static void read_bind(struct listener_settings *listener, struct config_node *map,
                      struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, "bind");
    if (!node) {
        config_missing(map, "bind", diagnostics);
        return;
    }
    listener->bind_place = node->place;
    const char *text;
    if (node->kind != CONFIG_SCALAR || node->broken) {
        config_wrong(node, "HOST:PORT, such as 127.0.0.1:1883", diagnostics);
        return;
    }
    if (!config_node_string(node, &text, diagnostics))
        return;
    if (strncmp(text, "unix:", 5) == 0) {
        diagnostics_error(diagnostics, node->place,
                          "`bind: unix:` is not built yet (this version listens on TCP only)");
        return;
    }
    const char *problem = parse_bind(map->source->tree, text, &listener->host, &listener->port);
    if (!problem) {
        listener->bind = text;
        return;
    }
    char shown[CONFIG_SHOWN];
    diagnostics_error(diagnostics, node->place,
                      "`bind` expects HOST:PORT, such as 127.0.0.1:1883, not `%s`%s",
                      config_show(node->written ? node->written : text, shown), problem);
}

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

// Keys of the public interface that a later version brings: refused by name instead of as unknown.
static void refuse_unbuilt(struct config_node *map, struct diagnostics *diagnostics)
{
    static const char *const unbuilt[] = {"path", "proxy_protocol"};
    for (size_t i = 0; i < sizeof unbuilt / sizeof *unbuilt; i++) {
        const struct config_node *node = config_get_opaque(map, unbuilt[i]);
        if (node)
            diagnostics_error(diagnostics, node->place,
                              "`%s` is not built yet (this version listens on plain TCP only)", unbuilt[i]);
    }
    static const struct config_choice transports[] = {{"tcp", 0}, {"websocket", 1}, {NULL, 0}};
    int transport = 0;
    config_enum(map, "transport", transports, &transport, diagnostics);
    if (transport != 0)
        diagnostics_error(diagnostics, config_get(map, "transport")->place,
                          "`transport: websocket` is not built yet (this version listens on plain TCP only)");
}

static void read_listener(struct settings *settings, struct listener_settings *listener,
                          struct config_node *map, struct diagnostics *diagnostics)
{
    listener->place = map->place;
    listener->allow_anonymous = settings->allow_anonymous;
    if (!config_node_map(map, diagnostics))
        return;
    listener->name = settings_name(map, diagnostics);
    read_bind(listener, map, diagnostics);
    refuse_unbuilt(map, diagnostics);
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

// Port 0 is another one for each listener.
static void check_unique(const struct settings *settings, const struct listener_settings *listener,
                         struct diagnostics *diagnostics)
{
    for (const struct listener_settings *other = settings->listeners; other < listener; other++) {
        if (other->name && listener->name && strcmp(other->name, listener->name) == 0)
            diagnostics_error(diagnostics, listener->place,
                              "a second listener is named `%s` (the first is at %s:%u)", listener->name,
                              other->place.file, other->place.line);
        if (other->bind && listener->bind && listener->port != 0 && other->port == listener->port &&
            strcasecmp(other->host, listener->host) == 0)
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

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return strcasecmp(host, "localhost") == 0;
}

void listeners_warn(const struct settings *settings, struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < settings->listener_count; i++) {
        const struct listener_settings *listener = &settings->listeners[i];
        if (listener->chain_count > 0)
            continue;
        if (!listener->allow_anonymous)
            diagnostics_warning(diagnostics, listener->place,
                                "the listener `%s` is of no use: without a plugin and without "
                                "`allow_anonymous` nobody can connect",
                                listener->name);
        else if (settings->default_access == SETTINGS_DENY)
            diagnostics_warning(diagnostics, listener->place,
                                "the listener `%s` is of no use: without a plugin, `default_access: deny` "
                                "refuses every publish and every subscription",
                                listener->name);
        else if (!is_loopback(listener->host))
            diagnostics_warning(diagnostics, listener->place,
                                "the listener `%s` is open to anyone who reaches %s: it has no plugin, and "
                                "`allow_anonymous` and `default_access: allow` let everything pass",
                                listener->name, listener->bind);
    }
}
