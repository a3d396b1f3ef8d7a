#include "core/topic/retained.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/topic/retained_tree.h"

struct retained {
    pthread_rwlock_t lock;
    struct retained_tree tree;
    struct table_position sweep; ///< where retained_expire goes on
    _Atomic uint64_t count;      ///< written under the lock, read without
    _Atomic uint64_t bytes;
    uint64_t expiring; ///< messages that will expire some day
    uint64_t stores;   ///< so far
};

enum {
    TIDY_AT_ONCE = 64, // nodes that a writer frees on its way, if there are any
    TIDY_IN_SWEEP = 1000,
    IDLE_MOST = 100 * 1000 // with more of them nobody rests: they have to go first
};

struct retained *retained_new(void)
{
    struct retained *index = memory_zalloc(sizeof *index);
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    // Subscribers that come in droves must not keep a publisher waiting for ever.
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&index->lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    retained_tree_init(&index->tree);
    return index;
}

void retained_free(struct retained *index)
{
    if (!index)
        return;
    struct table_position position = {0};
    size_t budget = SIZE_MAX;
    for (struct retained_node *node; (node = table_walk(&index->tree.nodes, &position, &budget)) != NULL;
         position.slot++)
        message_unref(node->message);
    retained_tree_clear(&index->tree);
    pthread_rwlock_destroy(&index->lock);
    free(index);
}

static bool has_expired(const struct message *message, uint64_t now_ms)
{
    return message->expires_ms != 0 && message->expires_ms <= now_ms;
}

// Under the lock, so that one thread writes at a time.
static void index_add(struct retained *index, uint64_t count, uint64_t bytes)
{
    atomic_store_explicit(&index->count, index->count + count, memory_order_relaxed);
    atomic_store_explicit(&index->bytes, index->bytes + bytes, memory_order_relaxed);
}

// Puts `message` (NULL: nothing) in the place of what `node` has, and returns that.
static struct message *node_exchange(struct retained *index, struct retained_node *node,
                                     struct message *message)
{
    struct message *before = node->message;
    if (before) {
        index_add(index, 0 - UINT64_C(1), 0 - message_weight(before));
        index->expiring -= before->expires_ms != 0;
    }
    if (message) {
        index_add(index, 1, message_weight(message));
        index->expiring += message->expires_ms != 0;
    }
    node->message = message;
    node->stored = ++index->stores;
    return before;
}

// Removes the topic's message, if it still is `only` (NULL: whichever), and returns it.
static struct message *topic_clear(struct retained *index, struct str topic, const struct message *only)
{
    struct retained_node *node = retained_tree_find(&index->tree, topic, false);
    if (!node || !node->message || (only && node->message != only))
        return NULL;
    struct message *before = node_exchange(index, node, NULL);
    retained_tree_prune(&index->tree, node);
    return before;
}

// The node for `message`, made if need be; NULL when it would exceed a limit.
static struct retained_node *node_within(struct retained *index, const struct message *message,
                                         uint64_t limit, uint64_t limit_bytes)
{
    uint64_t weight = message_weight(message);
    bool full = limit > 0 && index->count >= limit;
    bool heavy = limit_bytes > 0 && (weight > limit_bytes || index->bytes > limit_bytes - weight);
    struct retained_node *node = retained_tree_find(&index->tree, message->topic, !full && !heavy);
    if (!node || (!full && !heavy))
        return node;
    // Only what stands in the place of another may go beyond the number, and beyond the bytes if it is no
    // larger.
    return node->message && (!heavy || weight <= message_weight(node->message)) ? node : NULL;
}

bool retained_store(struct retained *index, struct message *message, uint64_t limit, uint64_t limit_bytes)
{
    struct message *before = NULL;
    bool stored = true;
    pthread_rwlock_wrlock(&index->lock);
    if (message->payload.length == 0) {
        before = topic_clear(index, message->topic, NULL);
    } else {
        struct retained_node *node = node_within(index, message, limit, limit_bytes);
        stored = node != NULL;
        if (stored)
            before = node_exchange(index, node, message_ref(message));
    }
    retained_tree_tidy(&index->tree, TIDY_AT_ONCE);
    pthread_rwlock_unlock(&index->lock);
    message_unref(before);
    return stored;
}

static void list_push(struct retained_list *list, struct message *message)
{
    if (list->count == list->capacity)
        memory_grow(&list->messages, &list->capacity, list->count, sizeof(struct message *));
    list->messages[list->count++] = message_ref(message);
}

struct collection {
    uint64_t now_ms;
    uint64_t began;
    struct retained_list *list;
    struct retained_list expired;
};

static void collect(void *context, const struct retained_node *node)
{
    struct collection *collection = context;
    if (node->stored > collection->began)
        return;
    list_push(has_expired(node->message, collection->now_ms) ? &collection->expired : collection->list,
              node->message);
}

// Of what was found expired under the reader's lock: another thread may have replaced or removed it
// meanwhile.
static void remove_expired(struct retained *index, const struct retained_list *expired)
{
    pthread_rwlock_wrlock(&index->lock);
    for (size_t i = 0; i < expired->count; i++)
        message_unref(topic_clear(index, expired->messages[i]->topic, expired->messages[i]));
    pthread_rwlock_unlock(&index->lock);
}

static void walk_slice(struct retained *index, struct retained_walk **walk, struct str filter,
                       uint64_t now_ms, size_t budget, struct retained_list *list)
{
    struct collection collection = {.now_ms = now_ms, .list = list};
    pthread_rwlock_rdlock(&index->lock);
    bool goes_on = *walk != NULL;
    if (!goes_on) {
        *walk = retained_walk_new(&index->tree, filter);
        (*walk)->began = index->stores;
    }
    collection.began = (*walk)->began;
    bool more;
    do
        more = retained_walk_go_on(*walk, budget, collect, &collection);
    while (more && !goes_on && index->tree.idle_count > IDLE_MOST);
    // Under the lock, so that no writer frees a node in between.
    if (more && !goes_on)
        atomic_fetch_add(&index->tree.resting, 1);
    else if (!more && goes_on)
        atomic_fetch_sub(&index->tree.resting, 1);
    pthread_rwlock_unlock(&index->lock);
    if (!more) {
        free(*walk);
        *walk = NULL;
    }
    if (collection.expired.count > 0)
        remove_expired(index, &collection.expired);
    retained_list_clear(&collection.expired);
}

struct retained_walk *retained_begin(struct retained *index, struct str filter, uint64_t now_ms,
                                     size_t budget, struct retained_list *list)
{
    struct retained_walk *walk = NULL;
    walk_slice(index, &walk, filter, now_ms, budget, list);
    return walk;
}

bool retained_go_on(struct retained *index, struct retained_walk *walk, uint64_t now_ms, size_t budget,
                    struct retained_list *list)
{
    walk_slice(index, &walk, (struct str){0}, now_ms, budget, list);
    return walk != NULL;
}

void retained_give_up(struct retained *index, struct retained_walk *walk)
{
    atomic_fetch_sub(&index->tree.resting, 1);
    free(walk);
}

void retained_match(struct retained *index, struct str filter, uint64_t now_ms, struct retained_list *list)
{
    retained_begin(index, filter, now_ms, SIZE_MAX, list);
}

void retained_list_clear(struct retained_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        message_unref(list->messages[i]);
    free(list->messages);
    *list = (struct retained_list){0};
}

// Every topic that has a message stands in the table, so the sweep goes through that. Removals move items
// within it: what slips past is met on the next round.
void retained_expire(struct retained *index, uint64_t now_ms, size_t budget)
{
    pthread_rwlock_wrlock(&index->lock);
    while (index->expiring > 0 && budget > 0) {
        struct retained_node *node = table_walk(&index->tree.nodes, &index->sweep, &budget);
        if (!node) {
            if (budget > 0)
                index->sweep = (struct table_position){0};
            break;
        }
        if (node->message && has_expired(node->message, now_ms)) {
            message_unref(node_exchange(index, node, NULL));
            retained_tree_prune(&index->tree, node);
        } else {
            index->sweep.slot++;
        }
    }
    retained_tree_tidy(&index->tree, TIDY_IN_SWEEP);
    pthread_rwlock_unlock(&index->lock);
}

// Without the lock, so that whoever reads it keeps nobody waiting.
uint64_t retained_count(struct retained *index, uint64_t *bytes)
{
    if (bytes)
        *bytes = atomic_load_explicit(&index->bytes, memory_order_relaxed);
    return atomic_load_explicit(&index->count, memory_order_relaxed);
}
