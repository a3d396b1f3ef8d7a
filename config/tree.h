// A YAML document as a tree in which every node knows where it was written, and typed getters over it.
// One thread at a time, at start and on reload: getters mark what was read.
// Knows nothing of the keys of a broker or of a plugin; see settings.h for those.
#ifndef NOCTULE_CONFIG_TREE_H
#define NOCTULE_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/diagnostics.h"

/** Bounds on what is read: past them a file is refused, so that no file makes the broker allocate without
 * end. */
enum {
    CONFIG_DEPTH_MAX = 32,           ///< maps and lists inside each other
    CONFIG_NODES_MAX = 200000,       ///< of a tree, aliases expanded and includes merged
    CONFIG_FILE_MAX = 8 << 20,       ///< bytes of one file
    CONFIG_TEXT_MAX = 64 << 20,      ///< bytes of all scalars of a tree, variables put in
    CONFIG_SECRET_MAX = 64 << 10,    ///< bytes of one ${file:...}
    CONFIG_INCLUDE_DEPTH_MAX = 8,    ///< files including files
    CONFIG_INCLUDE_FILES_MAX = 1000, ///< files of one tree
};

enum config_kind { CONFIG_NULL, CONFIG_SCALAR, CONFIG_LIST, CONFIG_MAP };

struct config_tree;
struct config_source;
struct config_node;

/** One `key: value` of a map, in the order of the file. */
struct config_entry {
    const char *key;
    struct place place;        ///< of the key
    struct config_node *value; ///< never NULL
    struct config_entry *next;
    bool used;   ///< somebody asked for this key
    bool opaque; ///< somebody else reports on what is inside; see config_get_opaque
};

/** A key that was asked for and not there: what a misspelt key is compared with. */
struct config_wish {
    const char *key;
    struct config_wish *next;
};

/**
 * Everything belongs to the tree. Strings are UTF-8 without NUL inside. A node is `broken` when an error
 * about it has been reported: getters then answer CONFIG_WRONG without a second report.
 */
struct config_node {
    enum config_kind kind;
    bool quoted; ///< scalar: written in quotes or as a block, or tagged !!str; never a number or a boolean
    bool broken;
    bool is_item; ///< of a list, whose key `name` then is
    struct place place;
    const struct config_source *source;
    const char *name;             ///< the key this node, or the list it is in, stands under; NULL: the root
    const char *text;             ///< scalar: its value, variables put in
    const char *written;          ///< scalar: as in the file when variables were put in, else NULL
    struct config_node *next;     ///< of the list this node is an item of
    struct config_node *items;    ///< list: the first
    struct config_entry *entries; ///< map: the first
    struct config_wish *wishes;   ///< map: keys asked for in vain
    size_t count;                 ///< list: items; map: entries
};

/** What a document may reach beside its own text. Zero-initialised: nothing. */
struct config_options {
    bool files; ///< `include` and ${file:...} work; otherwise they are errors

    /** The value of a variable, or NULL when it is not set; borrowed until the next call. NULL: none is set.
     */
    const char *(*variable)(void *context, const char *name);
    void *context;
};

/**
 * Reads `path` and what it includes; ${NAME} comes from the environment. Returns NULL when nothing could be
 * read; otherwise a tree, even when errors were reported, so that more of them can be found: whoever uses the
 * tree looks at `diagnostics->errors` first.
 */
struct config_tree *config_tree_load(const char *path, struct diagnostics *diagnostics);

/**
 * Reads `length` bytes at `text`, named `name` in places; relative paths in it are relative to `folder`
 * (NULL: the current one). Result as of config_tree_load. `text` is not needed afterwards.
 */
struct config_tree *config_tree_parse(const char *text, size_t length, const char *name, const char *folder,
                                      const struct config_options *options, struct diagnostics *diagnostics);

/** Frees the tree, every node of it and every string a getter gave out. */
void config_tree_free(struct config_tree *tree);

/** The outermost map, never NULL; an empty file is an empty map. */
struct config_node *config_tree_root(struct config_tree *tree);

/** An empty map at `place` of a node: what stands for a section that was left out. */
struct config_node *config_map_absent(const struct config_node *near, const char *name);

/**
 * The value of `key` in `map`, marked as read; NULL when the key is not there or `map` is NULL or no map. The
 * key is remembered as known, for suggestions.
 */
struct config_node *config_get(struct config_node *map, const char *key);

/** As config_get, for a value that someone else reads and reports on: a plugin's `config`. */
struct config_node *config_get_opaque(struct config_node *map, const char *key);

/**
 * Typed getters by key. CONFIG_FOUND: `*out` is set. CONFIG_ABSENT: the key is not there, nothing was
 * reported. CONFIG_WRONG: reported with the place of the value. `*out` is only written when FOUND, so callers
 * set the default first. Strings and nodes given out belong to the tree.
 */
enum config_result { CONFIG_ABSENT, CONFIG_FOUND, CONFIG_WRONG };

/** One word of an enumeration; a table of them ends with a NULL name. */
struct config_choice {
    const char *name;
    int value;
};

enum config_result config_string(struct config_node *map, const char *key, const char **out,
                                 struct diagnostics *diagnostics);

/** `true` or `false`; what YAML 1.1 also took (yes, no, on, off) is refused with a hint. */
enum config_result config_bool(struct config_node *map, const char *key, bool *out,
                               struct diagnostics *diagnostics);

/** A decimal whole number from `min` to `max`. */
enum config_result config_integer(struct config_node *map, const char *key, int64_t min, int64_t max,
                                  int64_t *out, struct diagnostics *diagnostics);

/** `250ms`, `30s`, `5m`, `2h`, `7d`, or `0`: milliseconds from `min` to `max`. */
enum config_result config_duration(struct config_node *map, const char *key, uint64_t min, uint64_t max,
                                   uint64_t *out, struct diagnostics *diagnostics);

/** `512`, `64KiB`, `16MiB`, `1GiB`: bytes from `min` to `max`. */
enum config_result config_size(struct config_node *map, const char *key, uint64_t min, uint64_t max,
                               uint64_t *out, struct diagnostics *diagnostics);

enum config_result config_enum(struct config_node *map, const char *key, const struct config_choice *choices,
                               int *out, struct diagnostics *diagnostics);

/** The path of a file; a relative one is taken from the folder of the file in which it is written. */
enum config_result config_path(struct config_node *map, const char *key, const char **out,
                               struct diagnostics *diagnostics);

/** A list, to be walked by `items` and `next`. A key without a value counts as ABSENT. */
enum config_result config_list(struct config_node *map, const char *key, struct config_node **out,
                               struct diagnostics *diagnostics);

/** A map. A key without a value counts as ABSENT. */
enum config_result config_map(struct config_node *map, const char *key, struct config_node **out,
                              struct diagnostics *diagnostics);

/** The same for a node in hand, such as an item of a list: false when it was wrong, and reported. */
bool config_node_string(const struct config_node *node, const char **out, struct diagnostics *diagnostics);
bool config_node_bool(const struct config_node *node, bool *out, struct diagnostics *diagnostics);
bool config_node_integer(const struct config_node *node, int64_t min, int64_t max, int64_t *out,
                         struct diagnostics *diagnostics);
bool config_node_duration(const struct config_node *node, uint64_t min, uint64_t max, uint64_t *out,
                          struct diagnostics *diagnostics);
bool config_node_size(const struct config_node *node, uint64_t min, uint64_t max, uint64_t *out,
                      struct diagnostics *diagnostics);
bool config_node_enum(const struct config_node *node, const struct config_choice *choices, int *out,
                      struct diagnostics *diagnostics);
bool config_node_path(const struct config_node *node, const char **out, struct diagnostics *diagnostics);
bool config_node_list(const struct config_node *node, struct diagnostics *diagnostics);
bool config_node_map(const struct config_node *node, struct diagnostics *diagnostics);

/** Reports that `map`, at its place, has no `key`, unless `map` is broken. */
void config_missing(const struct config_node *map, const char *key, struct diagnostics *diagnostics);

/** Reports that `node` must be `expected`, naming its key and what is there instead. */
void config_wrong(const struct config_node *node, const char *expected, struct diagnostics *diagnostics);

/**
 * Reports every key below `node` that nobody asked for, with the key that was probably meant. Looks into
 * lists and maps that were read, not into opaque ones.
 */
void config_report_unused(const struct config_node *node, struct diagnostics *diagnostics);

#endif
