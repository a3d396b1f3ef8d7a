// How the tree is made: its storage, and the steps from text to nodes.
// One thread at a time; only files of this room include it.
// Knows nothing of what keys mean.
#ifndef NOCTULE_CONFIG_TREE_BUILD_H
#define NOCTULE_CONFIG_TREE_BUILD_H

#include "config/tree.h"
#include "core/base/str.h"

/** One file, or the text that stands for one. */
struct config_source {
    const char *name;   ///< as in places
    const char *folder; ///< of relative paths, "" or ending in '/'
    struct config_tree *tree;
};

struct config_chunk;

struct config_tree {
    struct config_chunk *chunks; ///< all memory of the tree
    struct config_node *root;
    struct config_options options;
    size_t nodes;
    size_t text_bytes;
    size_t files;
    bool full; ///< a bound was passed and that has been reported
};

/** A new tree without a root. */
struct config_tree *config_tree_new(const struct config_options *options);

/** Memory that is zeroed and lives as long as the tree. */
void *config_alloc(struct config_tree *tree, size_t size);

/** A copy that lives as long as the tree, NUL-terminated. */
const char *config_copy(struct config_tree *tree, struct str text);

/** A source named `name`; its folder is `folder`, or that of `name` when NULL. */
const struct config_source *config_source_new(struct config_tree *tree, const char *name, const char *folder);

/** A new node, or NULL when the tree is full: reported, once. */
struct config_node *config_node_new(const struct config_source *source, enum config_kind kind,
                                    struct place place, const char *name, struct diagnostics *diagnostics);

/** Makes `item` the last of `list`, whose last item until now is `last` (NULL: it has none). */
void config_list_append(struct config_node *list, struct config_node *last, struct config_node *item);

/** Makes `entry` the last of `map`, whose last entry until now is `last` (NULL: it has none). */
void config_map_append(struct config_node *map, struct config_entry *last, struct config_entry *entry);

/** Parses one document into a map of `source`; NULL when it is no YAML, or more than the bounds: reported. */
struct config_node *config_parse(const struct config_source *source, const char *text, size_t length,
                                 struct diagnostics *diagnostics);

/**
 * Puts variables into `text`. False: reported. `*out` is NULL when there was nothing to put in, otherwise the
 * new text, which belongs to the tree.
 */
bool config_substitute(const struct config_source *source, struct place place, struct str text,
                       const char **out, struct diagnostics *diagnostics);

/** Carries out the `include` of `root`, the outermost map of a file, and takes the key out of it. */
void config_include(struct config_node *root, struct diagnostics *diagnostics);

/** Puts every entry of `from` into `into`; see docs/configuration.md, "Several files". */
void config_merge(struct config_node *into, struct config_node *from, struct diagnostics *diagnostics);

/** `path`, or, when it is relative, `path` behind `folder`. Belongs to the tree. */
const char *config_path_join(struct config_tree *tree, const char *folder, const char *path);

/**
 * The bytes of a file, NUL-terminated; the caller frees them with free(). NULL: `*why` is the reason, a
 * constant string or strerror's.
 */
char *config_file_read(const char *path, size_t max, size_t *length, const char **why);

/** A value as an error may show it: short, on one line, printable. `buffer` takes it. */
enum { CONFIG_SHOWN = 64 };
const char *config_show(const char *text, char buffer[CONFIG_SHOWN]);

/** Remembers the best match for a misspelt word; starts zeroed. */
struct config_suggestion {
    const char *word; ///< NULL: nothing is near
    size_t distance;
};

/** Considers `candidate` as what `word` was meant to be. */
void config_suggest(struct config_suggestion *suggestion, const char *word, const char *candidate);

#endif
