#include "core/topic/subscriptions.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/topic/subscribers.h"
#include "core/topic/subscription_tree.h"
#include "core/topic/worker_lock.h"

enum { CACHE_LINE = 64, WORKERS_MOST = 255 };

/** What one worker needs for reading, on a cache line of its own: its lock, and working space used under that
 * lock. */
struct reader {
    alignas(CACHE_LINE) struct worker_lock lock;
    struct tree_list queue;
    struct tree_list found;
};

struct subscriptions {
    alignas(CACHE_LINE) _Atomic uint64_t
        version; ///< read with every publish, hence apart from what writers touch
    unsigned workers;
    struct reader *readers;
    alignas(CACHE_LINE) struct tree tree;
    struct table members; ///< subscriptions that stand in a crowd, by session and node
    _Atomic uint64_t count;
    _Atomic uint64_t shared;
};

// The lock regime, here and nowhere else. A single worker is alone with its index.
static struct reader *reading(struct subscriptions *index, unsigned worker)
{
    assert(worker < index->workers);
    struct reader *reader = &index->readers[worker];
    if (index->workers > 1)
        worker_lock_take(&reader->lock);
    return reader;
}

static void reading_ends(struct subscriptions *index, struct reader *reader)
{
    if (index->workers > 1)
        worker_lock_give(&reader->lock);
}

static void writing(struct subscriptions *index)
{
    if (index->workers == 1)
        return;
    for (unsigned i = 0; i < index->workers; i++)
        worker_lock_take(&index->readers[i].lock);
}

// Every writing changes results, so the version goes up with it, while readers are still kept out.
static void writing_ends(struct subscriptions *index)
{
    uint64_t version = atomic_load_explicit(&index->version, memory_order_relaxed);
    atomic_store_explicit(&index->version, version + 1, memory_order_release);
    if (index->workers == 1)
        return;
    for (unsigned i = index->workers; i-- > 0;)
        worker_lock_give(&index->readers[i].lock);
}

static void *lines_alloc(size_t size)
{
    void *block = aligned_alloc(CACHE_LINE, size);
    if (!block)
        memory_exhausted();
    memset(block, 0, size);
    return block;
}

struct subscriptions *subscriptions_new(unsigned workers)
{
    assert(workers >= 1 && workers <= WORKERS_MOST);
    struct subscriptions *index = lines_alloc(sizeof *index);
    index->workers = workers;
    index->readers = lines_alloc(workers * sizeof *index->readers);
    return index;
}

void subscriptions_free(struct subscriptions *index)
{
    if (!index)
        return;
    tree_clear(&index->tree, subscribers_drop);
    table_clear(&index->members);
    for (unsigned i = 0; i < index->workers; i++) {
        free(index->readers[i].queue.items);
        free(index->readers[i].found.items);
    }
    free(index->readers);
    free(index);
}

// Only ever called while writing, so that no addition is lost; atomic for those who read without a lock.
static void counter_add(_Atomic uint64_t *counter, uint64_t difference)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + difference,
                          memory_order_relaxed);
}

static struct subscription *subscription_new(struct subscriptions *index, struct tree_node *node,
                                             uint64_t session)
{
    struct subscription *subscription = memory_alloc(sizeof *subscription);
    *subscription = (struct subscription){.session = session, .online = true, .node = node, .index = index};
    counter_add(&index->count, 1);
    if (node->kind == TREE_GROUP)
        counter_add(&index->shared, 1);
    return subscription;
}

struct subscription *subscriptions_add(struct subscriptions *index, uint64_t session, struct str filter,
                                       uint8_t options, uint32_t identifier, bool *existed)
{
    struct topic_filter parsed;
    bool valid = topic_filter_parse(filter, &parsed);
    assert(valid);
    (void)valid;
    writing(index);
    struct tree_node *node = tree_find(&index->tree, &parsed, true);
    struct subscription *subscription = subscribers_find(&index->members, node, session);
    bool fresh = !subscription;
    if (fresh)
        subscription = subscription_new(index, node, session);
    subscription->options = options;
    subscription->identifier = identifier;
    if (fresh)
        subscribers_add(&index->members, subscription);
    else
        subscribers_update(subscription);
    writing_ends(index);
    if (existed)
        *existed = !fresh;
    return subscription;
}

void subscriptions_remove(struct subscriptions *index, struct subscription *subscription)
{
    struct tree_node *node = subscription->node;
    writing(index);
    counter_add(&index->count, UINT64_MAX);
    if (node->kind == TREE_GROUP)
        counter_add(&index->shared, UINT64_MAX);
    subscribers_remove(&index->members, subscription);
    tree_prune(&index->tree, node);
    writing_ends(index);
    free(subscription);
}

struct subscription *subscriptions_find(struct subscriptions *index, uint64_t session, struct str filter)
{
    struct topic_filter parsed;
    if (!topic_filter_parse(filter, &parsed))
        return NULL;
    // Any one lock keeps writers out; that of the session's home worker, the caller, is the uncontended one.
    struct reader *reader = reading(index, (unsigned)(session >> 56) % index->workers);
    struct tree_node *node = tree_find(&index->tree, &parsed, false);
    struct subscription *subscription = node ? subscribers_find(&index->members, node, session) : NULL;
    reading_ends(index, reader);
    return subscription;
}

size_t subscription_filter(const struct subscription *subscription, char *buffer, size_t size)
{
    // A node's way to the root stands as long as something hangs on it, so this needs no lock.
    return tree_filter(subscription->node, buffer, size);
}

uint8_t subscription_options(const struct subscription *subscription)
{
    return subscription->options;
}

uint32_t subscription_identifier(const struct subscription *subscription)
{
    return subscription->identifier;
}

bool subscription_is_shared(const struct subscription *subscription)
{
    return subscription->node->kind == TREE_GROUP;
}

uint32_t subscription_place(const struct subscription *subscription)
{
    return subscription->place;
}

void subscription_set_place(struct subscription *subscription, uint32_t place)
{
    subscription->place = place;
}

bool subscription_is_covered(const struct subscription *subscription)
{
    return subscription->covered;
}

void subscription_set_covered(struct subscription *subscription, bool covered)
{
    if (subscription->covered == covered)
        return;
    writing(subscription->index);
    subscription->covered = covered;
    subscribers_update(subscription);
    writing_ends(subscription->index);
}

void subscription_set_online(struct subscription *subscription, bool online)
{
    if (!subscription_is_shared(subscription) || subscription->online == online)
        return;
    writing(subscription->index);
    subscribers_set_online(subscription, online);
    writing_ends(subscription->index);
}

static struct subscription_target *room_for(struct subscription_matches *matches, size_t more)
{
    size_t wanted = matches->count + more;
    if (wanted > matches->capacity) {
        size_t doubled = matches->capacity * 2;
        matches->capacity = wanted > doubled ? wanted : doubled;
        matches->targets = memory_resize(matches->targets, matches->capacity * sizeof *matches->targets);
    }
    return matches->targets + matches->count;
}

void subscriptions_match(struct subscriptions *index, unsigned worker, struct str topic,
                         struct subscription_matches *matches)
{
    matches->count = 0;
    unsigned sources = 0;
    struct reader *reader = reading(index, worker);
    tree_match(&index->tree, topic, &reader->queue, &reader->found);
    for (size_t i = 0; i < reader->found.count; i++) {
        const struct tree_node *node = reader->found.items[i];
        size_t count = subscribers_count(node);
        if (count > 0) {
            subscribers_copy(node, room_for(matches, count));
            matches->count += count;
            sources++;
        }
        for (struct tree_group *group = node->groups; group; group = group->next)
            if (group_choose(group, 0, room_for(matches, 1))) {
                matches->count++;
                sources++;
            }
    }
    matches->effort = reader->queue.count;
    reading_ends(index, reader);
    matches->may_repeat = sources > 1;
}

static struct tree_group *group_numbered(const struct tree_list *found, uint32_t number)
{
    for (size_t i = 0; i < found->count; i++)
        for (struct tree_group *group = found->items[i]->groups; group; group = group->next)
            if (group->number == number)
                return group;
    return NULL;
}

bool subscriptions_match_group(struct subscriptions *index, unsigned worker, struct str topic, uint32_t group,
                               uint64_t except, struct subscription_target *target)
{
    struct reader *reader = reading(index, worker);
    tree_match(&index->tree, topic, &reader->queue, &reader->found);
    struct tree_group *chosen = group_numbered(&reader->found, group);
    bool found = chosen && group_choose(chosen, except, target);
    reading_ends(index, reader);
    return found;
}

uint64_t subscriptions_count(struct subscriptions *index, uint64_t *shared)
{
    if (shared)
        *shared = atomic_load_explicit(&index->shared, memory_order_relaxed);
    return atomic_load_explicit(&index->count, memory_order_relaxed);
}

uint64_t subscriptions_version(const struct subscriptions *index)
{
    return atomic_load_explicit(&index->version, memory_order_acquire);
}

void subscription_matches_free(struct subscription_matches *matches)
{
    free(matches->targets);
    *matches = (struct subscription_matches){0};
}
