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
    child->slot = children->count & 0x3FFFFFFFU;
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
    free(tree->idle);
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

static bool is_of_use(const struct retained_node *node)
{
    return !node->parent || node->message || node->children.only;
}

// Those on the list are left for when it is their turn.
static void free_useless(struct retained_tree *tree, struct retained_node *node)
{
    while (!is_of_use(node) && !node->idle) {
        struct retained_node *parent = node->parent;
        table_remove(&tree->nodes, key_hash(parent, str_hash(label_of(node))), node);
        child_remove(parent, node);
        free(node);
        node = parent;
    }
}

void retained_tree_prune(struct retained_tree *tree, struct retained_node *node)
{
    if (atomic_load(&tree->resting) == 0) {
        free_useless(tree, node);
    } else if (!is_of_use(node) && !node->idle) {
        memory_grow(&tree->idle, &tree->idle_capacity, tree->idle_count, sizeof(struct retained_node *));
        tree->idle[tree->idle_count++] = node;
        node->idle = 1;
    }
}

void retained_tree_tidy(struct retained_tree *tree, size_t budget)
{
    if (tree->idle_count == 0 || atomic_load(&tree->resting) > 0)
        return;
    for (; budget > 0 && tree->idle_count > 0; budget--) {
        struct retained_node *node = tree->idle[--tree->idle_count];
        node->idle = 0;
        free_useless(tree, node);
    }
    if (tree->idle_count > 0)
        return;
    free(tree->idle);
    tree->idle = NULL;
    tree->idle_capacity = 0;
}

// `node` or the first sibling behind it that a wildcard in the first level may see.
static struct retained_node *skip_hidden(struct retained_node *node)
{
    while (node && topic_is_hidden(label_of(node)))
        node = next_sibling(node);
    return node;
}

struct retained_walk *retained_walk_new(const struct retained_tree *tree, struct str filter)
{
    size_t count = 1;
    for (size_t i = 0; i < filter.length; i++)
        count += filter.data[i] == '/';
    struct retained_walk *walk =
        memory_alloc(sizeof *walk + count * (sizeof *walk->levels + sizeof *walk->hashes) + filter.length);
    *walk = (struct retained_walk){.tree = tree, .node = tree->root};
    walk->levels = (struct str *)(walk + 1);
    walk->hashes = (uint64_t *)(walk->levels + count);
    char *copy = (char *)(walk->hashes + count);
    if (filter.length > 0)
        memcpy(copy, filter.data, filter.length);
    for (struct levels at = levels_of(str_make(copy, filter.length)); !at.ended; levels_step(&at)) {
        walk->levels[walk->count] = at.level;
        walk->hashes[walk->count++] = str_hash(at.level);
    }
    return walk;
}

// The child with which matching goes on below walk->node; NULL: none.
static struct retained_node *descend(const struct retained_walk *walk)
{
    struct retained_node *node = walk->node;
    struct str level = walk->levels[walk->depth];
    if (!level_is(level, '+'))
        return child_get(walk->tree, node, level, key_hash(node, walk->hashes[walk->depth]));
    struct retained_node *child = first_child(node);
    return walk->depth == 0 ? skip_hidden(child) : child;
}

// What else a "+" leads to once walk->node, its last candidate, is done; NULL: nothing.
static struct retained_node *proceed(const struct retained_walk *walk)
{
    if (!level_is(walk->levels[walk->depth - 1], '+'))
        return NULL;
    struct retained_node *next = next_sibling(walk->node);
    return walk->depth == 1 ? skip_hidden(next) : next;
}

// Back to where a "+" leads elsewhere; false: nowhere, the walk is over.
static bool climb(struct retained_walk *walk)
{
    struct retained_node *next = NULL;
    while (walk->depth > 0 && (next = proceed(walk)) == NULL) {
        walk->node = walk->node->parent;
        walk->depth--;
    }
    walk->node = next;
    walk->climbs = false;
    return next != NULL;
}

// The branch in which "#" begins or goes on; at the first level each topic there is a branch.
static void enter_branch(struct retained_walk *walk, struct retained_node *top)
{
    walk->top = walk->at = top;
    walk->climbs = top == NULL;
}

// What stands behind walk->at in its branch, by the links between the nodes alone: depth costs neither stack
// nor memory.
static void step_in_branch(struct retained_walk *walk)
{
    struct retained_node *next = first_child(walk->at);
    while (!next) {
        if (walk->at == walk->top) {
            enter_branch(walk, walk->node->parent ? NULL : skip_hidden(next_sibling(walk->top)));
            return;
        }
        next = next_sibling(walk->at);
        if (!next)
            walk->at = walk->at->parent;
    }
    walk->at = next;
}

// Looks at walk->node; true: it has met the whole filter.
static bool step(struct retained_walk *walk)
{
    struct retained_node *node = walk->node;
    if (walk->depth == walk->count) {
        walk->climbs = true;
        return true;
    }
    if (level_is(walk->levels[walk->depth], '#')) {
        enter_branch(walk, node->parent ? node : skip_hidden(first_child(node)));
        return false;
    }
    struct retained_node *next = descend(walk);
    walk->climbs = next == NULL;
    if (next) {
        walk->node = next;
        walk->depth++;
    }
    return false;
}

bool retained_walk_go_on(struct retained_walk *walk, size_t budget,
                         void (*visit)(void *context, const struct retained_node *node), void *context)
{
    for (; budget > 0; budget--) {
        if (walk->climbs && !climb(walk))
            return false;
        if (walk->top) {
            if (walk->at->message)
                visit(context, walk->at);
            step_in_branch(walk);
        } else if (step(walk) && walk->node->message) {
            visit(context, walk->node);
        }
    }
    return !walk->climbs || walk->depth > 0;
}
