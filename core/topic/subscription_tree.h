// The filters of the subscription index: where each one's subscribers hang, and which ones match a topic.
// Internal. The locks of the subscription index. Must not know subscribers: a node only carries a pointer to
// them.
#ifndef NOCTULE_TOPIC_SUBSCRIPTION_TREE_H
#define NOCTULE_TOPIC_SUBSCRIPTION_TREE_H

#include "core/topic/table.h"
#include "core/topic/topic.h"

struct crowd;
struct subscription;
struct tree_group;

enum tree_kind { TREE_ROOT, TREE_LITERAL, TREE_PLUS, TREE_MULTI, TREE_GROUP };

/**
 * Filters without wildcards are single nodes below one root, labelled with the whole filter, so that one
 * lookup finds them. Filters with wildcards are paths below another, one node per level: literal children are
 * found through the tree's table,
 * "+" and "#" through pointers. A shared group is a node below its filter's, labelled with the group's name.
 * The label stands behind the structure.
 */
struct tree_node {
    struct tree_node *parent;
    struct tree_node *plus;
    struct tree_node *multi;
    struct tree_group *groups;
    union {
        struct subscription *one;
        struct crowd *many;
    } subscribers;     ///< NULL: none
    uint32_t children; ///< literal ones
    uint16_t label_length;
    uint8_t kind;
    bool crowded; ///< `subscribers` is a crowd
};

struct tree_group {
    struct tree_node node;
    struct tree_group *next;
    struct tree_group **link;
    uint32_t number;         ///< unique, never 0
    _Atomic uint32_t cursor; ///< turns taken so far, by whichever reader
};

struct tree {
    struct table nodes; ///< literal nodes and groups, by parent and label
    struct tree_node literal_root;
    struct tree_node wildcard_root;
    uint32_t last_group;
};

struct tree_list {
    struct tree_node **items;
    size_t count;
    size_t capacity;
};

/** The node where the subscribers of `filter` hang, or NULL; with `make`, it is made if need be. */
struct tree_node *tree_find(struct tree *tree, const struct topic_filter *filter, bool make);

/** Frees `node` and its ancestors as far as they carry nothing. */
void tree_prune(struct tree *tree, struct tree_node *node);

/** The whole filter that leads to `node`; as subscription_filter. */
size_t tree_filter(const struct tree_node *node, char *buffer, size_t size);

/**
 * Fills `found` (from empty) with the nodes whose filter matches `topic`; none of them is a group, each has
 * subscribers or groups. `queue` is working space. Both keep their memory.
 */
void tree_match(const struct tree *tree, struct str topic, struct tree_list *queue, struct tree_list *found);

/** Frees all nodes, after `drop` for each that has subscribers. */
void tree_clear(struct tree *tree, void (*drop)(struct tree_node *node));

static inline struct tree_group *tree_group_of(const struct tree_node *node)
{
    return (struct tree_group *)node;
}

#endif
