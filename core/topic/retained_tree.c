#include "core/topic/retained_tree.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/topic/levels.h"

enum { CHILDREN_SMALLEST = 4, LEVELS_ON_STACK = 32 };

static uint64_t key_hash(const struct retained_node *parent, uint64_t label_hash)
{
    return label_hash ^ table_mix((uintptr_t)parent);
}

static struct str label_of(const struct retained_node *node)
{
    return str_make(node->label, node->label_length);
}

static struct retained_node *node_new(struct retained_node *parent, struct str label)
{
    assert(label.length <= UINT16_MAX);
    size_t fixed = offsetof(struct retained_node, label);
    size_t size = fixed + label.length;
    struct retained_node *node = memory_alloc(size < sizeof *node ? sizeof *node : size);
    memset(node, 0, fixed);
    node->parent = parent;
    node->label_length = (uint16_t)label.length;
    if (label.length > 0)
        memcpy(node->label, label.data, label.length);
    return node;
}

static struct retained_children *children_resize(struct retained_children *children, uint32_t capacity)
{
    children = memory_resize(children, sizeof *children + capacity * sizeof(struct retained_node *));
    children->capacity = capacity;
    return children;
}

static struct retained_children *children_of_two(struct retained_node *first)
{
    struct retained_children *children = children_resize(NULL, CHILDREN_SMALLEST);
    children->count = 1;
    children->items[0] = first;
    return children;
}

static void child_add(struct retained_node *parent, struct retained_node *child)
{
    if (!parent->children.only) {
        parent->children.only = child;
        child->slot = 0;
        return;
    }
    if (!parent->crowded) {
        parent->children.many = children_of_two(parent->children.only);
        parent->crowded = 1;
    }
    struct retained_children *children = parent->children.many;
    if (children->count == children->capacity)
        children = parent->children.many = children_resize(children, children->capacity / 2 * 3);
    child->slot = children->count & 0x7FFFFFFFU;
    children->items[children->count++] = child;
}

static void child_remove(struct retained_node *parent, const struct retained_node *child)
{
    if (!parent->crowded) {
        parent->children.only = NULL;
        return;
    }
    struct retained_children *children = parent->children.many;
    struct retained_node *last = children->items[--children->count];
    children->items[child->slot] = last;
    last->slot = child->slot;
    if (children->count == 1) {
        parent->children.only = children->items[0];
        parent->crowded = 0;
        free(children);
    } else if (children->capacity > CHILDREN_SMALLEST && children->count < children->capacity / 4) {
        parent->children.many = children_resize(children, children->capacity / 2);
    }
}

static struct retained_node *first_child(const struct retained_node *node)
{
    return node->crowded ? node->children.many->items[0] : node->children.only;
}

// The child of the same parent behind `node`, or NULL. What comes a little later is fetched into the cache
// meanwhile: with many retained messages nothing of them is there.
static struct retained_node *next_sibling(const struct retained_node *node)
{
    if (!node->parent->crowded)
        return NULL;
    const struct retained_children *children = node->parent->children.many;
    uint32_t next = node->slot + 1U;
    if (next + 8 < children->count) {
        __builtin_prefetch(children->items[next + 8]);
        __builtin_prefetch(children->items[next + 4]->message);
    }
    return next < children->count ? children->items[next] : NULL;
}

void retained_tree_init(struct retained_tree *tree)
{
    tree->root = node_new(NULL, (struct str){0});
}

void retained_tree_clear(struct retained_tree *tree)
{
    struct table_position position = {0};
    size_t budget = SIZE_MAX;
    for (struct retained_node *node; (node = table_walk(&tree->nodes, &position, &budget)) != NULL;
         position.slot++) {
        if (node->crowded)
            free(node->children.many);
        free(node);
    }
    if (tree->root->crowded)
        free(tree->root->children.many);
    free(tree->root);
    table_clear(&tree->nodes);
}

static struct retained_node *child_get(const struct retained_tree *tree, const struct retained_node *parent,
                                       struct str label, uint64_t hash)
{
    struct table_probe probe;
    for (struct retained_node *node = table_probe_first(&tree->nodes, hash, &probe); node;
         node = table_probe_next(&probe))
        if (node->parent == parent && str_equal(label_of(node), label))
            return node;
    return NULL;
}

struct retained_node *retained_tree_find(struct retained_tree *tree, struct str topic, bool make)
{
    struct retained_node *node = tree->root;
    for (struct levels at = levels_of(topic); node && !at.ended; levels_step(&at)) {
        uint64_t hash = key_hash(node, str_hash(at.level));
        struct retained_node *child = child_get(tree, node, at.level, hash);
        if (!child && make) {
            child = node_new(node, at.level);
            child_add(node, child);
            table_insert(&tree->nodes, hash, child);
        }
        node = child;
    }
    return node;
}

void retained_tree_prune(struct retained_tree *tree, struct retained_node *node)
{
    while (node->parent && !node->message && !node->children.only) {
        struct retained_node *parent = node->parent;
        table_remove(&tree->nodes, key_hash(parent, str_hash(label_of(node))), node);
        child_remove(parent, node);
        free(node);
        node = parent;
    }
}

struct walk {
    const struct retained_tree *tree;
    void (*visit)(void *context, struct message *message);
    void *context;
};

static void visit_node(const struct walk *walk, const struct retained_node *node)
{
    if (node->message)
        walk->visit(walk->context, node->message);
}

// `top` and everything below it, by the links between the nodes alone: depth costs neither stack nor memory.
static void visit_below(const struct walk *walk, struct retained_node *top)
{
    struct retained_node *node = top;
    for (;;) {
        visit_node(walk, node);
        struct retained_node *next = first_child(node);
        while (!next) {
            if (node == top)
                return;
            next = next_sibling(node);
            if (!next)
                node = node->parent;
        }
        node = next;
    }
}

// `node` or the first sibling behind it that a wildcard in the first level may see.
static struct retained_node *skip_hidden(struct retained_node *node)
{
    while (node && topic_is_hidden(label_of(node)))
        node = next_sibling(node);
    return node;
}

/** A filter taken apart once, since a walk goes back and forth in it. */
struct pattern {
    struct str *levels;
    uint64_t *hashes; ///< of the literal levels
    size_t count;
};

// The child with which matching goes on below `node`, which has met the first `depth` levels; NULL: none.
static struct retained_node *descend(const struct walk *walk, const struct pattern *pattern,
                                     const struct retained_node *node, size_t depth)
{
    struct str level = pattern->levels[depth];
    if (!level_is(level, '+'))
        return child_get(walk->tree, node, level, key_hash(node, pattern->hashes[depth]));
    struct retained_node *child = first_child(node);
    return depth == 0 ? skip_hidden(child) : child;
}

// What else a "+" leads to once `node`, its last candidate at `depth`, is done; NULL: nothing.
static struct retained_node *proceed(const struct pattern *pattern, const struct retained_node *node,
                                     size_t depth)
{
    if (!level_is(pattern->levels[depth - 1], '+'))
        return NULL;
    struct retained_node *next = next_sibling(node);
    return depth == 1 ? skip_hidden(next) : next;
}

static void visit_multi(const struct walk *walk, struct retained_node *node)
{
    if (node->parent) {
        visit_below(walk, node);
        return;
    }
    for (struct retained_node *child = skip_hidden(first_child(node)); child;
         child = skip_hidden(next_sibling(child)))
        visit_below(walk, child);
}

static void walk_pattern(const struct walk *walk, const struct pattern *pattern)
{
    struct retained_node *node = walk->tree->root;
    size_t depth = 0;
    for (;;) {
        struct retained_node *next = NULL;
        if (depth == pattern->count)
            visit_node(walk, node);
        else if (level_is(pattern->levels[depth], '#'))
            visit_multi(walk, node);
        else
            next = descend(walk, pattern, node, depth);
        if (next) {
            node = next;
            depth++;
            continue;
        }
        while (depth > 0 && (next = proceed(pattern, node, depth)) == NULL) {
            node = node->parent;
            depth--;
        }
        if (depth == 0)
            return;
        node = next;
    }
}

void retained_tree_match(const struct retained_tree *tree, struct str filter,
                         void (*visit)(void *context, struct message *message), void *context)
{
    struct str levels[LEVELS_ON_STACK];
    uint64_t hashes[LEVELS_ON_STACK];
    size_t count = 1;
    for (size_t i = 0; i < filter.length; i++)
        count += filter.data[i] == '/';
    struct pattern pattern = {.levels = levels, .hashes = hashes};
    if (count > LEVELS_ON_STACK) {
        pattern.levels = memory_alloc(count * sizeof *pattern.levels);
        pattern.hashes = memory_alloc(count * sizeof *pattern.hashes);
    }
    for (struct levels at = levels_of(filter); !at.ended; levels_step(&at)) {
        pattern.levels[pattern.count] = at.level;
        pattern.hashes[pattern.count++] = str_hash(at.level);
    }
    struct walk walk = {.tree = tree, .visit = visit, .context = context};
    walk_pattern(&walk, &pattern);
    if (count > LEVELS_ON_STACK) {
        free(pattern.levels);
        free(pattern.hashes);
    }
}
