#include "config/tree_build.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

// Each piece is an allocation of its own, so that a sanitizer sees its bounds; freeing is one walk.
struct config_chunk {
    struct config_chunk *next;
    max_align_t data[];
};

struct config_tree *config_tree_new(const struct config_options *options)
{
    struct config_tree *tree = memory_zalloc(sizeof *tree);
    if (options)
        tree->options = *options;
    return tree;
}

void config_tree_free(struct config_tree *tree)
{
    if (!tree)
        return;
    for (struct config_chunk *chunk = tree->chunks; chunk;) {
        struct config_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    free(tree);
}

void *config_alloc(struct config_tree *tree, size_t size)
{
    struct config_chunk *chunk = memory_zalloc(sizeof *chunk + size);
    chunk->next = tree->chunks;
    tree->chunks = chunk;
    return chunk->data;
}

const char *config_copy(struct config_tree *tree, struct str text)
{
    char *copy = config_alloc(tree, text.length + 1);
    if (text.length > 0)
        memcpy(copy, text.data, text.length);
    return copy;
}

const struct config_source *config_source_new(struct config_tree *tree, const char *name, const char *folder)
{
    struct config_source *source = config_alloc(tree, sizeof *source);
    source->tree = tree;
    source->name = config_copy(tree, str_of(name));
    if (!folder) {
        const char *slash = strrchr(name, '/');
        source->folder = config_copy(tree, str_make(name, slash ? (size_t)(slash - name) + 1 : 0));
    } else if (!*folder || folder[strlen(folder) - 1] == '/') {
        source->folder = config_copy(tree, str_of(folder));
    } else {
        char *with_slash = str_format("%s/", folder);
        source->folder = config_copy(tree, str_of(with_slash));
        free(with_slash);
    }
    return source;
}

const char *config_path_join(struct config_tree *tree, const char *folder, const char *path)
{
    if (*path == '/')
        return path;
    char *joined = str_format("%s%s", folder, path);
    const char *copy = config_copy(tree, str_of(joined));
    free(joined);
    return copy;
}

struct config_node *config_node_new(const struct config_source *source, enum config_kind kind,
                                    struct place place, const char *name, struct diagnostics *diagnostics)
{
    struct config_tree *tree = source->tree;
    if (tree->nodes >= CONFIG_NODES_MAX) {
        if (!tree->full)
            diagnostics_error(diagnostics, place, "more than %d values, aliases counted where they are used",
                              CONFIG_NODES_MAX);
        tree->full = true;
        return NULL;
    }
    tree->nodes++;
    struct config_node *node = config_alloc(tree, sizeof *node);
    node->kind = kind;
    node->place = place;
    node->source = source;
    node->name = name;
    return node;
}

struct config_node *config_map_absent(const struct config_node *near, const char *name)
{
    struct config_node *node = config_alloc(near->source->tree, sizeof *node);
    node->kind = CONFIG_MAP;
    node->place = near->place;
    node->source = near->source;
    node->name = name;
    return node;
}

void config_list_append(struct config_node *list, struct config_node *last, struct config_node *item)
{
    if (last)
        last->next = item;
    else
        list->items = item;
    list->count++;
}

void config_map_append(struct config_node *map, struct config_entry *last, struct config_entry *entry)
{
    if (last)
        last->next = entry;
    else
        map->entries = entry;
    map->count++;
}

struct config_node *config_tree_root(struct config_tree *tree)
{
    return tree->root;
}

static struct config_entry *find_entry(struct config_node *map, const char *key)
{
    if (!map || map->kind != CONFIG_MAP)
        return NULL;
    for (struct config_entry *entry = map->entries; entry; entry = entry->next)
        if (strcmp(entry->key, key) == 0)
            return entry;
    for (struct config_wish *wish = map->wishes; wish; wish = wish->next)
        if (strcmp(wish->key, key) == 0)
            return NULL;
    struct config_wish *wish = config_alloc(map->source->tree, sizeof *wish);
    wish->key = config_copy(map->source->tree, str_of(key));
    wish->next = map->wishes;
    map->wishes = wish;
    return NULL;
}

struct config_node *config_get(struct config_node *map, const char *key)
{
    struct config_entry *entry = find_entry(map, key);
    if (!entry)
        return NULL;
    entry->used = true;
    return entry->value;
}

struct config_node *config_get_opaque(struct config_node *map, const char *key)
{
    struct config_entry *entry = find_entry(map, key);
    if (!entry)
        return NULL;
    entry->used = true;
    entry->opaque = true;
    return entry->value;
}

const char *config_show(const char *text, char buffer[CONFIG_SHOWN])
{
    size_t length = strlen(text);
    bool cut = length >= CONFIG_SHOWN;
    if (cut) {
        length = CONFIG_SHOWN - sizeof "...";
        while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
            length--;
    }
    for (size_t i = 0; i < length; i++)
        buffer[i] = (char)((unsigned char)text[i] < 0x20 || text[i] == 0x7F ? '?' : text[i]);
    memcpy(buffer + length, cut ? "..." : "", cut ? sizeof "..." : 1);
    return buffer;
}

// Words that differ only in case, or in '-' for '_', are the same word badly written.
static struct str normalized(const char *word, char *buffer, size_t size)
{
    size_t length = strlen(word);
    if (length > size)
        return str_of(word);
    for (size_t i = 0; i < length; i++)
        buffer[i] = (char)(word[i] == '-' ? '_' : tolower((unsigned char)word[i]));
    return str_make(buffer, length);
}

void config_suggest(struct config_suggestion *suggestion, const char *word, const char *candidate)
{
    char word_buffer[64];
    char candidate_buffer[64];
    struct str a = normalized(word, word_buffer, sizeof word_buffer);
    struct str b = normalized(candidate, candidate_buffer, sizeof candidate_buffer);
    size_t distance = str_distance(a, b);
    size_t shorter = a.length < b.length ? a.length : b.length;
    if (distance > (shorter + 2) / 3 || distance >= shorter)
        return;
    if (suggestion->word && suggestion->distance <= distance)
        return;
    suggestion->word = candidate;
    suggestion->distance = distance;
}

static void report_unknown(const struct config_node *map, const struct config_entry *entry,
                           struct diagnostics *diagnostics)
{
    struct config_suggestion suggestion = {0};
    for (const struct config_wish *wish = map->wishes; wish; wish = wish->next)
        config_suggest(&suggestion, entry->key, wish->key);
    char shown[CONFIG_SHOWN];
    config_show(entry->key, shown);
    if (suggestion.word)
        diagnostics_error(diagnostics, entry->place, "unknown key `%s` (did you mean `%s`?)", shown,
                          suggestion.word);
    else if (map->name)
        diagnostics_error(diagnostics, entry->place, "unknown key `%s` in `%s`", shown, map->name);
    else
        diagnostics_error(diagnostics, entry->place, "unknown key `%s`", shown);
}

void config_report_unused(const struct config_node *node, struct diagnostics *diagnostics)
{
    for (const struct config_node *item = node->items; item; item = item->next)
        config_report_unused(item, diagnostics);
    for (const struct config_entry *entry = node->entries; entry; entry = entry->next) {
        if (!entry->used)
            report_unknown(node, entry, diagnostics);
        else if (!entry->opaque)
            config_report_unused(entry->value, diagnostics);
    }
}
