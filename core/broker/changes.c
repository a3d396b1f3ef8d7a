#include "core/broker/changes.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/escape.h"
#include "core/base/memory.h"

enum { CHANGES_MAX = 200, SHOWN_MAX = 100 };

/** A comparison: the list, and what is known on the way down. */
struct comparison {
    json_t *list;
    bool secret; ///< inside a plugin's configuration
};

static void compare(struct comparison *comparison, const char *path, const struct config_node *old,
                    const struct config_node *new);

static void add(struct comparison *comparison, char *line)
{
    size_t count = json_array_size(comparison->list);
    if (count < CHANGES_MAX)
        json_array_append_new(comparison->list, json_string(line));
    else if (count == CHANGES_MAX)
        json_array_append_new(comparison->list, json_string("..."));
    free(line);
}

static bool may_be_shown(const struct comparison *comparison, const struct config_node *node)
{
    return !comparison->secret && !node->written && node->kind == CONFIG_SCALAR;
}

static void add_change(struct comparison *comparison, const char *path, const struct config_node *old,
                       const struct config_node *new)
{
    if (!may_be_shown(comparison, old) || !may_be_shown(comparison, new)) {
        add(comparison, str_format("%s: changed", path));
        return;
    }
    char *before = escape_new(str_of(old->text), SHOWN_MAX, false);
    char *after = escape_new(str_of(new->text), SHOWN_MAX, false);
    add(comparison, str_format("%s: %s -> %s", path, before, after));
    free(before);
    free(after);
}

static void add_presence(struct comparison *comparison, const char *path, const struct config_node *node,
                         bool is_new)
{
    if (!is_new || !may_be_shown(comparison, node)) {
        add(comparison, str_format("%s: %s", path, is_new ? "added" : "removed"));
        return;
    }
    char *text = escape_new(str_of(node->text), SHOWN_MAX, false);
    add(comparison, str_format("%s: added: %s", path, text));
    free(text);
}

static char *path_below(const char *path, const char *key)
{
    char *shown = escape_new(str_of(key), SHOWN_MAX, false);
    char *below = str_format("%s%s%s", path, *path ? "." : "", shown);
    free(shown);
    return below;
}

static const struct config_entry *find(const struct config_node *map, const char *key)
{
    const struct config_entry *entry = map->entries;
    while (entry && strcmp(entry->key, key) != 0)
        entry = entry->next;
    return entry;
}

static void compare_maps(struct comparison *comparison, const char *path, const struct config_node *old,
                         const struct config_node *new)
{
    for (const struct config_entry *entry = old->entries; entry; entry = entry->next) {
        char *below = path_below(path, entry->key);
        const struct config_entry *other = find(new, entry->key);
        bool secret = comparison->secret;
        comparison->secret = secret || strcmp(entry->key, "config") == 0;
        if (other)
            compare(comparison, below, entry->value, other->value);
        else
            add_presence(comparison, below, entry->value, false);
        comparison->secret = secret;
        free(below);
    }
    for (const struct config_entry *entry = new->entries; entry; entry = entry->next) {
        if (find(old, entry->key))
            continue;
        char *below = path_below(path, entry->key);
        add_presence(comparison, below, entry->value, true);
        free(below);
    }
}

// Items of lists of listeners and plugins are told apart by their names.
static const char *name_of(const struct config_node *item)
{
    const struct config_entry *name = item->kind == CONFIG_MAP ? find(item, "name") : NULL;
    return name && name->value->kind == CONFIG_SCALAR ? name->value->text : NULL;
}

static const struct config_node *item_named(const struct config_node *list, const char *name)
{
    for (const struct config_node *item = list->items; item; item = item->next)
        if (name_of(item) && strcmp(name_of(item), name) == 0)
            return item;
    return NULL;
}

static bool has_names(const struct config_node *list)
{
    for (const struct config_node *item = list->items; item; item = item->next)
        if (!name_of(item))
            return false;
    return true;
}

static bool is_same(const struct config_node *old, const struct config_node *new)
{
    struct comparison quiet = {.list = json_array()};
    compare(&quiet, "", old, new);
    bool same = json_array_size(quiet.list) == 0;
    json_decref(quiet.list);
    return same;
}

static void compare_items(struct comparison *comparison, const char *path, const struct config_node *old,
                          const struct config_node *new)
{
    const struct config_node *a = old->items;
    const struct config_node *b = new->items;
    while (a && b && is_same(a, b)) {
        a = a->next;
        b = b->next;
    }
    if (a || b)
        add(comparison, str_format("%s: changed", path));
}

static void compare_lists(struct comparison *comparison, const char *path, const struct config_node *old,
                          const struct config_node *new)
{
    if (!has_names(old) || !has_names(new)) {
        compare_items(comparison, path, old, new);
        return;
    }
    for (const struct config_node *item = old->items; item; item = item->next) {
        char *below = path_below(path, name_of(item));
        const struct config_node *other = item_named(new, name_of(item));
        if (other)
            compare(comparison, below, item, other);
        else
            add(comparison, str_format("%s: removed", below));
        free(below);
    }
    for (const struct config_node *item = new->items; item; item = item->next) {
        if (item_named(old, name_of(item)))
            continue;
        char *below = path_below(path, name_of(item));
        add(comparison, str_format("%s: added", below));
        free(below);
    }
}

static void compare(struct comparison *comparison, const char *path, const struct config_node *old,
                    const struct config_node *new)
{
    bool same_kind = old->kind == new->kind;
    if (!same_kind || (old->kind == CONFIG_SCALAR && strcmp(old->text, new->text) != 0))
        add_change(comparison, path, old, new);
    else if (old->kind == CONFIG_MAP)
        compare_maps(comparison, path, old, new);
    else if (old->kind == CONFIG_LIST)
        compare_lists(comparison, path, old, new);
}

json_t *changes_between(const struct settings *old, const struct settings *new)
{
    struct comparison comparison = {.list = json_array()};
    compare(&comparison, "", config_tree_root(old->tree), config_tree_root(new->tree));
    return comparison.list;
}
