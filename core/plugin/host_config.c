// The configuration as plugins read it in `build`.
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/plugin/host_api.h"

// The build that this thread is inside of, and where config_at stopped: lists are walked from front to back.
static _Thread_local struct {
    struct noctule_instance *instance;
    struct diagnostics *diagnostics;
    const struct noctule_config *walked;
    size_t index;
    const struct config_node *item;
    struct config_entry *entry;
} building;

void config_reports_to(struct noctule_instance *instance, struct diagnostics *diagnostics)
{
    building.instance = instance;
    building.diagnostics = diagnostics;
    building.walked = NULL;
}

void config_reports_end(void)
{
    building.instance = NULL;
    building.diagnostics = NULL;
    building.walked = NULL;
}

static struct config_node *node_of(const struct noctule_config *config)
{
    return (struct config_node *)config;
}

// What a getter answers without looking: outside of build, without a key, in nothing. 1: look.
static int32_t check(const struct noctule_config *config, const char *key)
{
    if (!building.diagnostics)
        return NOCTULE_E_THREAD;
    if (!key)
        return NOCTULE_E_INVALID;
    if (!config)
        return 0;
    if (node_of(config)->kind == CONFIG_NULL)
        return 0;
    if (node_of(config)->kind == CONFIG_MAP)
        return 1;
    config_node_map(node_of(config), building.diagnostics);
    return NOCTULE_E_INVALID;
}

static int32_t result_of(enum config_result result)
{
    return result == CONFIG_FOUND ? 1 : result == CONFIG_ABSENT ? 0 : NOCTULE_E_INVALID;
}

int32_t host_config_string(const struct noctule_config *config, const char *key, struct noctule_string *value)
{
    int32_t found = check(config, key);
    const char *text;
    if (found == 1)
        found = result_of(config_string(node_of(config), key, &text, building.diagnostics));
    if (found == 1)
        *value = noctule_string_of(text, strlen(text));
    return found;
}

int32_t host_config_path(const struct noctule_config *config, const char *key, struct noctule_string *value)
{
    int32_t found = check(config, key);
    const char *text;
    if (found == 1)
        found = result_of(config_path(node_of(config), key, &text, building.diagnostics));
    if (found == 1)
        *value = noctule_string_of(text, strlen(text));
    return found;
}

int32_t host_config_bool(const struct noctule_config *config, const char *key, int32_t *value)
{
    int32_t found = check(config, key);
    bool truth;
    if (found == 1)
        found = result_of(config_bool(node_of(config), key, &truth, building.diagnostics));
    if (found == 1)
        *value = truth;
    return found;
}

int32_t host_config_integer(const struct noctule_config *config, const char *key, int64_t minimum,
                            int64_t maximum, int64_t *value)
{
    int32_t found = check(config, key);
    if (found == 1)
        found =
            result_of(config_integer(node_of(config), key, minimum, maximum, value, building.diagnostics));
    return found;
}

int32_t host_config_duration(const struct noctule_config *config, const char *key, uint64_t minimum_ms,
                             uint64_t maximum_ms, uint64_t *value_ms)
{
    int32_t found = check(config, key);
    if (found == 1)
        found = result_of(
            config_duration(node_of(config), key, minimum_ms, maximum_ms, value_ms, building.diagnostics));
    return found;
}

int32_t host_config_size(const struct noctule_config *config, const char *key, uint64_t minimum,
                         uint64_t maximum, uint64_t *bytes)
{
    int32_t found = check(config, key);
    if (found == 1)
        found = result_of(config_size(node_of(config), key, minimum, maximum, bytes, building.diagnostics));
    return found;
}

int32_t host_config_choice(const struct noctule_config *config, const char *key, const char *const *names,
                           int32_t *value)
{
    int32_t found = check(config, key);
    if (found != 1 || !names)
        return names ? found : NOCTULE_E_INVALID;
    size_t count = 0;
    while (names[count])
        count++;
    struct config_choice *choices = memory_zalloc((count + 1) * sizeof *choices);
    for (size_t i = 0; i < count; i++)
        choices[i] = (struct config_choice){names[i], (int)i};
    int chosen;
    found = result_of(config_enum(node_of(config), key, choices, &chosen, building.diagnostics));
    free(choices);
    if (found == 1)
        *value = chosen;
    return found;
}

int32_t host_config_map(const struct noctule_config *config, const char *key,
                        const struct noctule_config **map)
{
    int32_t found = check(config, key);
    struct config_node *node;
    if (found == 1)
        found = result_of(config_map(node_of(config), key, &node, building.diagnostics));
    if (found == 1)
        *map = (const struct noctule_config *)node;
    return found;
}

int32_t host_config_list(const struct noctule_config *config, const char *key,
                         const struct noctule_config **list)
{
    int32_t found = check(config, key);
    struct config_node *node;
    if (found == 1)
        found = result_of(config_list(node_of(config), key, &node, building.diagnostics));
    if (found == 1)
        *list = (const struct noctule_config *)node;
    return found;
}

size_t host_config_count(const struct noctule_config *list_or_map)
{
    return building.diagnostics && list_or_map ? node_of(list_or_map)->count : 0;
}

// Moves to the index-th item or entry, from where the last call stopped when that is not past it.
static bool walk_to(const struct noctule_config *config, size_t index)
{
    const struct config_node *node = node_of(config);
    if (index >= node->count || (node->kind != CONFIG_LIST && node->kind != CONFIG_MAP))
        return false;
    if (building.walked != config || building.index > index) {
        building.walked = config;
        building.index = 0;
        building.item = node->items;
        building.entry = node->entries;
    }
    for (; building.index < index; building.index++) {
        if (node->kind == CONFIG_LIST)
            building.item = building.item->next;
        else
            building.entry = building.entry->next;
    }
    return true;
}

const struct noctule_config *host_config_at(const struct noctule_config *list_or_map, size_t index,
                                            struct noctule_string *key)
{
    if (!building.diagnostics || !list_or_map || !walk_to(list_or_map, index))
        return NULL;
    if (node_of(list_or_map)->kind == CONFIG_LIST)
        return (const struct noctule_config *)building.item;
    building.entry->used = true;
    if (key)
        *key = noctule_string_of(building.entry->key, strlen(building.entry->key));
    return (const struct noctule_config *)building.entry->value;
}

int32_t host_config_scalar(const struct noctule_config *scalar, struct noctule_string *value)
{
    const char *text;
    if (!building.diagnostics)
        return NOCTULE_E_THREAD;
    if (!scalar)
        return 0;
    if (!config_node_string(node_of(scalar), &text, building.diagnostics))
        return NOCTULE_E_INVALID;
    *value = noctule_string_of(text, strlen(text));
    return 1;
}

// ---- Findings ------------------------------------------------------------------------------------------

// The place of a key's value, or of the node when there is no such key.
static struct place place_of(const struct noctule_config *config, const char *key)
{
    if (!config)
        return (struct place){0};
    const struct config_node *node = node_of(config);
    for (const struct config_entry *entry = key ? node->entries : NULL; entry; entry = entry->next)
        if (strcmp(entry->key, key) == 0)
            return entry->value->place;
    return node->place;
}

void host_config_error(const struct noctule_config *config, const char *key, struct noctule_string text)
{
    if (!building.diagnostics)
        return;
    diagnostics_error(building.diagnostics, place_of(config, key), "plugin \"%s\": %.*s",
                      building.instance->name, STR_ARG(str_from(text)));
}

typedef void report_fn(struct diagnostics *list, struct place place, const char *format, ...);

static void report_file(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                        struct noctule_string text, report_fn *report)
{
    if (!building.diagnostics || building.instance != instance)
        return;
    char *path = str_to_c(str_from(file));
    report(building.diagnostics, (struct place){.file = path, .line = line}, "%.*s", STR_ARG(str_from(text)));
    free(path);
}

void host_file_error(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                     struct noctule_string text)
{
    report_file(instance, file, line, text, diagnostics_error);
}

void host_file_warning(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                       struct noctule_string text)
{
    report_file(instance, file, line, text, diagnostics_warning);
}
