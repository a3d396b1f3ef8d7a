#include "config/settings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config/schema.h"
#include "config/settings_read.h"
#include "config/tree_build.h"
#include "core/base/memory.h"

enum { NAME_MAX_LENGTH = 64, RESPONSE_INFORMATION_MAX = 1024 };

const char *settings_name(struct config_node *map, struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(map, "name");
    if (!node) {
        config_missing(map, "name", diagnostics);
        return NULL;
    }
    bool good = node->kind == CONFIG_SCALAR && !node->broken && isalnum((unsigned char)node->text[0]) &&
                strlen(node->text) <= NAME_MAX_LENGTH;
    for (const char *c = node->text; good && *c; c++)
        good = isalnum((unsigned char)*c) || strchr("._-", *c);
    if (good)
        return node->text;
    config_wrong(node, "a name of letters, digits, `.`, `_` and `-`", diagnostics);
    return NULL;
}

// --- plugins --------------------------------------------------------------------------------------

static bool is_module_name(const char *name)
{
    if (!islower((unsigned char)*name))
        return false;
    for (const char *c = name; *c; c++)
        if (!islower((unsigned char)*c) && !isdigit((unsigned char)*c) && !strchr("_-", *c))
            return false;
    return true;
}

static void read_module(struct plugin_settings *plugin, struct config_node *map,
                        struct diagnostics *diagnostics)
{
    static const char expected[] = "a module name of small letters, digits, `_` and `-`";
    const struct config_node *module = config_get(map, "module");
    const struct config_node *path = config_get(map, "path");
    if (module && path) {
        diagnostics_error(diagnostics, path->place, "`path` and `module` exclude each other");
    } else if (module) {
        if (config_node_string(module, &plugin->module, diagnostics) && !is_module_name(plugin->module))
            config_wrong(module, expected, diagnostics);
    } else if (path) {
        // Without a slash the dynamic loader would look elsewhere than in the current folder.
        if (config_node_path(path, &plugin->path, diagnostics) && !strchr(plugin->path, '/'))
            plugin->path = config_path_join(map->source->tree, "./", plugin->path);
    } else if (plugin->name && is_module_name(plugin->name)) {
        plugin->module = plugin->name;
    } else if (plugin->name) {
        diagnostics_error(diagnostics, plugin->place,
                          "`module` is missing: the name `%s` is none of a module (%s)", plugin->name,
                          expected);
    }
}

static void read_plugin(struct plugin_settings *plugin, struct config_node *map,
                        struct diagnostics *diagnostics)
{
    schema_defaults(schema_plugin, plugin);
    plugin->place = map->place;
    plugin->config = config_map_absent(map, "config");
    if (!config_node_map(map, diagnostics))
        return;
    plugin->name = settings_name(map, diagnostics);
    if (plugin->name && strcmp(plugin->name, "all") == 0)
        diagnostics_error(diagnostics, plugin->place,
                          "a plugin cannot be named `all`, which a listener says for every plugin");
    read_module(plugin, map, diagnostics);
    schema_read(schema_plugin, map, plugin, diagnostics);
    struct config_node *config = config_get_opaque(map, "config");
    if (config && (config->kind != CONFIG_NULL || config->broken) && config_node_map(config, diagnostics))
        plugin->config = config;
}

static void read_plugins(struct settings *settings, struct config_node *root, struct diagnostics *diagnostics)
{
    struct config_node *list;
    if (config_list(root, "plugins", &list, diagnostics) != CONFIG_FOUND)
        return;
    settings->plugins = config_alloc(settings->tree, list->count * sizeof *settings->plugins);
    for (struct config_node *item = list->items; item; item = item->next) {
        struct plugin_settings *plugin = &settings->plugins[settings->plugin_count++];
        read_plugin(plugin, item, diagnostics);
        for (size_t i = 0; plugin->name && i + 1 < settings->plugin_count; i++) {
            const struct plugin_settings *other = &settings->plugins[i];
            if (other->name && strcmp(other->name, plugin->name) == 0)
                diagnostics_error(diagnostics, plugin->place,
                                  "a second plugin is named `%s` (the first is at %s:%u; `module:` lets "
                                  "several plugins share a module)",
                                  plugin->name, other->place.file, other->place.line);
        }
    }
}

static void warn_idle_plugins(const struct settings *settings, struct diagnostics *diagnostics)
{
    for (size_t p = 0; p < settings->plugin_count; p++) {
        bool used = false;
        for (size_t l = 0; l < settings->listener_count; l++)
            for (size_t i = 0; i < settings->listeners[l].chain_count; i++)
                used = used || settings->listeners[l].chain[i] == p;
        if (!used)
            diagnostics_warning(diagnostics, settings->plugins[p].place,
                                "the plugin `%s` is in the chain of no listener", settings->plugins[p].name);
    }
}

// --- the whole ------------------------------------------------------------------------------------

// The start of a topic for responses, in which the client id may stand once. [v5 3.1.2.11.6, 4.10]
static void read_response_information(struct settings *settings, struct config_node *root,
                                      struct diagnostics *diagnostics)
{
    const struct config_node *node = config_get(root, "response_information");
    const char *text;
    if (!node || !config_node_string(node, &text, diagnostics))
        return;
    const char *mark = strstr(text, "%c");
    bool good = *text && !strpbrk(text, "#+") && strlen(text) <= RESPONSE_INFORMATION_MAX &&
                !(mark && strstr(mark + 2, "%c"));
    if (good)
        settings->response_information = text;
    else
        config_wrong(node, "a topic without wildcards, in which %c may stand once for the client id",
                     diagnostics);
}

// unix:PATH, as everywhere sockets of the system are named; a relative one is beside the file that names it.
static void read_control(struct settings *settings, struct config_node *root, struct diagnostics *diagnostics)
{
    static const char scheme[] = "unix:";
    const struct config_node *node = config_get(root, "control");
    const char *text;
    if (!node || !config_node_string(node, &text, diagnostics))
        return;
    const char *path = text + sizeof scheme - 1;
    bool named = strncmp(text, scheme, sizeof scheme - 1) == 0 && *path;
    if (named)
        path = config_path_join(settings->tree, node->source->folder, path);
    if (named && strlen(path) < sizeof((struct sockaddr_un *)NULL)->sun_path)
        settings->control = path;
    else
        config_wrong(node, "unix:PATH, with a path of at most 107 bytes", diagnostics);
}

static void read_section(const char *key, const struct schema_key *keys, struct config_node *root,
                         struct settings *settings, struct diagnostics *diagnostics)
{
    struct config_node *section;
    schema_defaults(keys, settings);
    if (config_map(root, key, &section, diagnostics) == CONFIG_FOUND)
        schema_read(keys, section, settings, diagnostics);
}

struct settings *settings_take(struct config_tree *tree, struct diagnostics *diagnostics)
{
    struct settings *settings = memory_zalloc(sizeof *settings);
    struct config_node *root = config_tree_root(tree);
    settings->tree = tree;
    // Carried out while loading; asking makes it a key that a misspelt one can be told from.
    config_get(root, "include");
    schema_defaults(schema_top, settings);
    schema_read(schema_top, root, settings, diagnostics);
    read_response_information(settings, root, diagnostics);
    read_control(settings, root, diagnostics);
    read_section("limits", schema_limits, root, settings, diagnostics);
    read_section("log", schema_log, root, settings, diagnostics);
    read_plugins(settings, root, diagnostics);
    listeners_read(settings, root, diagnostics);
    config_report_unused(root, diagnostics);
    if (diagnostics->errors > 0) {
        settings_free(settings);
        return NULL;
    }
    listeners_warn(settings, diagnostics);
    warn_idle_plugins(settings, diagnostics);
    return settings;
}

struct settings *settings_load(const char *path, struct diagnostics *diagnostics)
{
    struct config_tree *tree = config_tree_load(path, diagnostics);
    return tree ? settings_take(tree, diagnostics) : NULL;
}

static const char *state_folder_variable(void *context, const char *name)
{
    return strcmp(name, "NOCTULE_STATE") == 0 ? context : NULL;
}

struct settings *settings_default(const char *state_folder, struct diagnostics *diagnostics)
{
    char *folder = str_to_c(str_of(*state_folder ? state_folder : "."));
    const struct config_options options = {.variable = state_folder_variable, .context = folder};
    struct config_tree *tree = config_tree_parse(settings_default_yaml, strlen(settings_default_yaml),
                                                 "built-in configuration", NULL, &options, diagnostics);
    free(folder);
    if (!tree)
        return NULL;
    // The context has gone, and nothing asks for variables after parsing.
    tree->options = (struct config_options){0};
    return settings_take(tree, diagnostics);
}

const char *settings_default_text(void)
{
    return settings_default_yaml;
}

void settings_free(struct settings *settings)
{
    if (!settings)
        return;
    config_tree_free(settings->tree);
    free(settings);
}
