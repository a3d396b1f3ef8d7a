#include "core/topic/subscription_tree.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/topic/levels.h"

static char *label_bytes(const struct tree_node *node)
{
    size_t behind = node->kind == TREE_GROUP ? sizeof(struct tree_group) : sizeof(struct tree_node);
    return (char *)node + behind;
}

static struct str label_of(const struct tree_node *node)
{
    return str_make(label_bytes(node), node->label_length);
}

// A group may have the name of a level below the same node, hence the kind.
static uint64_t key_hash(const struct tree_node *parent, enum tree_kind kind, uint64_t label_hash)
{
    return label_hash ^ table_mix((uintptr_t)parent + kind);
}

static struct tree_node *child_get(const struct tree *tree, const struct tree_node *parent,
                                   enum tree_kind kind, struct str label, uint64_t label_hash)
{
    struct table_probe probe;
    for (struct tree_node *node = table_probe_first(&tree->nodes, key_hash(parent, kind, label_hash), &probe);
         node; node = table_probe_next(&probe))
        if (node->parent == parent && node->kind == kind && str_equal(label_of(node), label))
            return node;
    return NULL;
}

static void group_link(struct tree *tree, struct tree_node *parent, struct tree_group *group)
{
    // After four thousand million groups the numbers start again; 0 stays "no group".
    if (++tree->last_group == 0)
        tree->last_group = 1;
    group->number = tree->last_group;
    group->next = parent->groups;
    group->link = &parent->groups;
    if (group->next)
        group->next->link = &group->next;
    parent->groups = group;
}

static void group_unlink(struct tree_group *group)
{
    *group->link = group->next;
    if (group->next)
        group->next->link = group->link;
}

static struct tree_node *node_new(struct tree_node *parent, enum tree_kind kind, struct str label)
{
    size_t fixed = kind == TREE_GROUP ? sizeof(struct tree_group) : sizeof(struct tree_node);
    assert(label.length <= UINT16_MAX);
    struct tree_node *node = memory_alloc(fixed + label.length);
    memset(node, 0, fixed);
    node->parent = parent;
    node->kind = (uint8_t)kind;
    node->label_length = (uint16_t)label.length;
    if (label.length > 0)
        memcpy(label_bytes(node), label.data, label.length);
    return node;
}

static struct tree_node *labelled_child(struct tree *tree, struct tree_node *parent, enum tree_kind kind,
                                        struct str label, bool make)
{
    uint64_t hash = str_hash(label);
    struct tree_node *node = child_get(tree, parent, kind, label, hash);
    if (node || !make)
        return node;
    node = node_new(parent, kind, label);
    table_insert(&tree->nodes, key_hash(parent, kind, hash), node);
    if (kind == TREE_GROUP)
        group_link(tree, parent, tree_group_of(node));
    else
        parent->children++;
    return node;
}

static struct tree_node *wildcard_child(struct tree_node *parent, enum tree_kind kind, bool make)
{
    struct tree_node **edge = kind == TREE_PLUS ? &parent->plus : &parent->multi;
    if (!*edge && make)
        *edge = node_new(parent, kind, (struct str){0});
    return *edge;
}

static struct tree_node *level_child(struct tree *tree, struct tree_node *parent, struct str level, bool make)
{
    if (level_is(level, '+'))
        return wildcard_child(parent, TREE_PLUS, make);
    if (level_is(level, '#'))
        return wildcard_child(parent, TREE_MULTI, make);
    return labelled_child(tree, parent, TREE_LITERAL, level, make);
}

struct tree_node *tree_find(struct tree *tree, const struct topic_filter *filter, bool make)
{
    struct tree_node *node;
    if (topic_filter_is_literal(filter->filter)) {
        node = labelled_child(tree, &tree->literal_root, TREE_LITERAL, filter->filter, make);
    } else {
        node = &tree->wildcard_root;
        for (struct levels at = levels_of(filter->filter); node && !at.ended; levels_step(&at))
            node = level_child(tree, node, at.level, make);
    }
    if (node && filter->shared)
        node = labelled_child(tree, node, TREE_GROUP, filter->group, make);
    return node;
}

static bool has_receivers(const struct tree_node *node)
{
    return node->subscribers.one || node->groups;
}

static bool leads_somewhere(const struct tree_node *node)
{
    return node->children > 0 || node->plus || node->multi;
}

static void node_unlink(struct tree *tree, struct tree_node *node)
{
    struct tree_node *parent = node->parent;
    switch (node->kind) {
    case TREE_PLUS:
        parent->plus = NULL;
        return;
    case TREE_MULTI:
        parent->multi = NULL;
        return;
    case TREE_GROUP:
        group_unlink(tree_group_of(node));
        break;
    default:
        parent->children--;
    }
    table_remove(&tree->nodes, key_hash(parent, node->kind, str_hash(label_of(node))), node);
}

void tree_prune(struct tree *tree, struct tree_node *node)
{
    while (node->kind != TREE_ROOT && !has_receivers(node) && !leads_somewhere(node)) {
        struct tree_node *parent = node->parent;
        node_unlink(tree, node);
        free(node);
        node = parent;
    }
}

static struct str text_of(const struct tree_node *node)
{
    return node->kind == TREE_PLUS ? STR("+") : node->kind == TREE_MULTI ? STR("#") : label_of(node);
}

size_t tree_filter(const struct tree_node *node, char *buffer, size_t size)
{
    struct str share = {0};
    struct str group = {0};
    if (node->kind == TREE_GROUP) {
        share = STR("$share/");
        group = label_of(node);
        node = node->parent;
    }
    size_t start = share.length + (share.length > 0 ? group.length + 1 : 0);
    size_t length = start - 1;
    for (const struct tree_node *at = node; at->kind != TREE_ROOT; at = at->parent)
        length += 1 + text_of(at).length;
    if (size > 0)
        buffer[0] = '\0';
    if (length >= size)
        return length;
    if (share.length > 0) {
        memcpy(buffer, share.data, share.length);
        memcpy(buffer + share.length, group.data, group.length);
        buffer[start - 1] = '/';
    }
    // The path is known from its end: written from there.
    size_t end = length;
    buffer[end] = '\0';
    for (; node->kind != TREE_ROOT; node = node->parent) {
        struct str text = text_of(node);
        end -= text.length;
        memcpy(buffer + end, text.data, text.length);
        if (end > start)
            buffer[--end] = '/';
    }
    return length;
}

static void list_push(struct tree_list *list, struct tree_node *node)
{
    if (list->count == list->capacity)
        memory_grow(&list->items, &list->capacity, list->count, sizeof(struct tree_node *));
    list->items[list->count++] = node;
}

// Breadth first: the nodes that the levels seen so far lead to are queued behind each other, level by level,
// so that each level is hashed once and depth costs no stack.
static void match_wildcards(const struct tree *tree, struct str topic, struct tree_list *queue,
                            struct tree_list *found)
{
    bool hidden = topic_is_hidden(topic);
    size_t at_node = 0;
    queue->count = 0;
    list_push(queue, (struct tree_node *)&tree->wildcard_root);
    for (struct levels at = levels_of(topic); !at.ended && at_node < queue->count; levels_step(&at)) {
        uint64_t hash = 0;
        bool hashed = false;
        for (size_t end = queue->count; at_node < end; at_node++) {
            const struct tree_node *node = queue->items[at_node];
            if (node->multi && !hidden)
                list_push(found, node->multi);
            if (node->plus && !hidden)
                list_push(queue, node->plus);
            if (node->children == 0)
                continue;
            if (!hashed)
                hash = str_hash(at.level);
            hashed = true;
            struct tree_node *child = child_get(tree, node, TREE_LITERAL, at.level, hash);
            if (child)
                list_push(queue, child);
        }
        hidden = false;
    }
    for (; at_node < queue->count; at_node++) {
        struct tree_node *node = queue->items[at_node];
        if (has_receivers(node))
            list_push(found, node);
        if (node->multi)
            list_push(found, node->multi);
    }
}

void tree_match(const struct tree *tree, struct str topic, struct tree_list *queue, struct tree_list *found)
{
    found->count = 0;
    if (tree->literal_root.children > 0) {
        struct tree_node *node = child_get(tree, &tree->literal_root, TREE_LITERAL, topic, str_hash(topic));
        if (node)
            list_push(found, node);
    }
    if (leads_somewhere(&tree->wildcard_root))
        match_wildcards(tree, topic, queue, found);
}

static void node_drop(struct tree_node *node, void (*drop)(struct tree_node *node))
{
    if (node && node->subscribers.one)
        drop(node);
}

// The nodes that hang on `node` without standing in the table: its "#", and the chain of "+", each with its
// own "#".
static void wildcards_clear(struct tree_node *node, void (*drop)(struct tree_node *node))
{
    node_drop(node->multi, drop);
    free(node->multi);
    for (struct tree_node *plus = node->plus, *next; plus; plus = next) {
        next = plus->plus;
        node_drop(plus->multi, drop);
        free(plus->multi);
        node_drop(plus, drop);
        free(plus);
    }
}

void tree_clear(struct tree *tree, void (*drop)(struct tree_node *node))
{
    struct table_position position = {0};
    size_t budget = SIZE_MAX;
    for (struct tree_node *node; (node = table_walk(&tree->nodes, &position, &budget)) != NULL;
         position.slot++) {
        wildcards_clear(node, drop);
        node_drop(node, drop);
        free(node);
    }
    wildcards_clear(&tree->wildcard_root, drop);
    table_clear(&tree->nodes);
}
