/*
 * Any bytes as a configuration: read, expanded, checked and freed without touching a file. The getters then
 * walk whatever tree came out, as a plugin would.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *variable(void *context, const char *name)
{
    (void)context;
    if (strcmp(name, "NUMBER") == 0)
        return "1883";
    return strcmp(name, "TEXT") == 0 ? "text: [${TEXT}]" : NULL;
}

static void read_every_way(struct config_node *map, const char *key, struct diagnostics *diagnostics)
{
    static const struct config_choice choices[] = {{"allow", 1}, {"deny", 2}, {NULL, 0}};
    const char *text;
    bool flag;
    int64_t number;
    uint64_t amount;
    int choice;
    struct config_node *node;
    config_string(map, key, &text, diagnostics);
    config_bool(map, key, &flag, diagnostics);
    config_integer(map, key, INT64_MIN, INT64_MAX, &number, diagnostics);
    config_duration(map, key, 0, UINT64_MAX, &amount, diagnostics);
    config_size(map, key, 0, UINT64_MAX, &amount, diagnostics);
    config_enum(map, key, choices, &choice, diagnostics);
    config_path(map, key, &text, diagnostics);
    config_list(map, key, &node, diagnostics);
    config_map(map, key, &node, diagnostics);
}

static void walk(struct config_node *node, struct diagnostics *diagnostics, int *budget)
{
    for (struct config_node *item = node->items; item; item = item->next)
        walk(item, diagnostics, budget);
    for (struct config_entry *entry = node->entries; entry; entry = entry->next) {
        if (--*budget > 0)
            read_every_way(node, entry->key, diagnostics);
        walk(entry->value, diagnostics, budget);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config_options options = {.variable = variable};
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    int budget = 200;
    struct config_tree *tree =
        config_tree_parse((const char *)data, size, "fuzz.yaml", "folder", &options, &diagnostics);
    if (tree) {
        walk(config_tree_root(tree), &diagnostics, &budget);
        config_report_unused(config_tree_root(tree), &diagnostics);
        config_tree_free(tree);
    }
    diagnostics_clear(&diagnostics);
    tree = config_tree_parse((const char *)data, size, "fuzz.yaml", NULL, &options, &diagnostics);
    struct settings *settings = tree ? settings_take(tree, &diagnostics) : NULL;
    // Settings are there exactly when nothing was wrong.
    if ((settings != NULL) != (tree && diagnostics.errors == 0))
        abort();
    settings_free(settings);
    diagnostics_clear(&diagnostics);
    return 0;
}
