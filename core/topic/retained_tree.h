// The topics of the retained messages, level by level, so that a filter costs what it matches. Internal.
// The lock of the retained index.
// Must not know what a message is: a node carries a pointer to it.
#ifndef NOCTULE_TOPIC_RETAINED_TREE_H
#define NOCTULE_TOPIC_RETAINED_TREE_H

#include <stdatomic.h>

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
    uint64_t stored;      ///< when: the index counts what it stores
    uint32_t slot : 30;   ///< place among the parent's children
    uint32_t crowded : 1; ///< `children` is an array
    uint32_t idle : 1;    ///< stands in the tree's list of nodes that may be of no use
    uint16_t label_length;
    char label[];
};

struct retained_children {
    uint32_t count;
    uint32_t capacity;
    struct retained_node *items[];
};

/**
 * While a walk over the tree rests between two of its slices, no node is freed, since one of them is where it
 * goes on: those that carry nothing any more are put on a list, and freed when there is no such walk.
 */
struct retained_tree {
    struct table nodes; ///< all but the root, by parent and label
    struct retained_node *root;
    _Atomic uint32_t resting; ///< walks
    struct retained_node **idle;
    size_t idle_count;
    size_t idle_capacity;
};

/** Everything that a filter matches, as far as the walk has come. */
struct retained_walk {
    const struct retained_tree *tree;
    struct retained_node *node; ///< has met the first `depth` levels
    size_t depth;
    struct retained_node *top; ///< of the branch below "#" that is visited; NULL: none is
    struct retained_node *at;  ///< in that branch
    bool climbs;               ///< `node` is done
    uint64_t began;            ///< what the index had stored by then
    struct str *levels;        ///< of the filter, in this block
    uint64_t *hashes;          ///< of the literal levels
    size_t count;
};

void retained_tree_init(struct retained_tree *tree);

/** Frees all nodes; the messages are the caller's business, through table_walk of `nodes`. */
void retained_tree_clear(struct retained_tree *tree);

/** The node of `topic`, or NULL; with `make`, it is made if need be. */
struct retained_node *retained_tree_find(struct retained_tree *tree, struct str topic, bool make);

/** Frees `node` and its ancestors as far as they carry no message and lead nowhere; later, when a walk rests.
 */
void retained_tree_prune(struct retained_tree *tree, struct retained_node *node);

/** Frees what became of no use while walks rested, `budget` nodes of it; nothing while one does. */
void retained_tree_tidy(struct retained_tree *tree, size_t budget);

/** A walk over what `filter` (valid, not shared) matches, at its beginning; to be freed with free(). */
struct retained_walk *retained_walk_new(const struct retained_tree *tree, struct str filter);

/**
 * Goes on and calls `visit` with the nodes that match and have a message; looks at about `budget` nodes.
 * True: there may be more. No changes meanwhile; between two calls only while `resting` counts this walk.
 */
bool retained_walk_go_on(struct retained_walk *walk, size_t budget,
                         void (*visit)(void *context, const struct retained_node *node), void *context);

#endif
