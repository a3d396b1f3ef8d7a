// The topics of the retained messages, level by level, so that a filter costs what it matches. Internal.
// The lock of the retained index.
// Must not know what a message is: a node carries a pointer to it.
#ifndef NOCTULE_TOPIC_RETAINED_TREE_H
#define NOCTULE_TOPIC_RETAINED_TREE_H

#include "core/topic/table.h"
#include "core/base/str.h"

struct message;
struct retained_children;

/**
 * One level of a topic. A child is found by its label through the tree's table, and all children stand in an
 * array for wildcards; an only child, the common case, hangs on the node itself. Made small: there is one for
 * each retained message.
 */
struct retained_node {
    struct retained_node *parent;
    struct message *message; ///< NULL: the level only leads to others
    union {
        struct retained_node *only;
        struct retained_children *many;
    } children;           ///< NULL: none
    uint32_t slot : 31;   ///< place among the parent's children
    uint32_t crowded : 1; ///< `children` is an array
    uint16_t label_length;
    char label[];
};

struct retained_children {
    uint32_t count;
    uint32_t capacity;
    struct retained_node *items[];
};

struct retained_tree {
    struct table nodes; ///< all but the root, by parent and label
    struct retained_node *root;
};

void retained_tree_init(struct retained_tree *tree);

/** Frees all nodes; the messages are the caller's business, through table_walk of `nodes`. */
void retained_tree_clear(struct retained_tree *tree);

/** The node of `topic`, or NULL; with `make`, it is made if need be. */
struct retained_node *retained_tree_find(struct retained_tree *tree, struct str topic, bool make);

/** Frees `node` and its ancestors as far as they carry no message and lead nowhere. */
void retained_tree_prune(struct retained_tree *tree, struct retained_node *node);

/** Calls `visit` with every message that `filter` (valid, not shared) matches. No changes meanwhile. */
void retained_tree_match(const struct retained_tree *tree, struct str filter,
                         void (*visit)(void *context, struct message *message), void *context);

#endif
