// From a message to its subscribers: here at once, on other workers by one post per worker and turn.
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/state.h"

enum {
    BATCH_BYTES = 64 * 1024,
    STALLED_RETRY_MS = 16,
    BATCH_WEIGHT = 256 * 1024, // with the messages: a heavier one counts as being on its way
    SPARE_MOST = 8,            // batches that have come back to be used again
    LAID_MOST = 2 * 1024,      // a message up to this is copied into the batch, where it costs no allocation
};

/** One message and who wants it, in a batch. */
struct route_record {
    struct message
        *message;  ///< one reference; of a borrowed one, which is laid down behind the targets, none
    uint32_t size; ///< of the record, with what is laid down in it
    uint32_t count;
    bool may_repeat;
    struct subscription_target targets[];
};

struct route_batch {
    struct post post; // first: found again from the post
    uint32_t used;
    uint32_t capacity;
    uint32_t at;       ///< records before are done
    uint32_t progress; ///< of the record at `at`, see deliver_targets
    uint64_t weight;   ///< with the messages
    struct broker_worker *maker;
    _Alignas(8) uint8_t records[];
};

static bool deliver_targets(struct broker_worker *here, struct message *message,
                            const struct subscription_target *targets, size_t count, bool may_repeat,
                            uint32_t *progress);

/* ---- other workers ---- */

static void close_batch(struct broker_worker *here, unsigned target)
{
    struct route_batch *batch = here->batches[target];
    here->batches[target] = NULL;
    atomic_fetch_add_explicit(&here->broker->states[target].arriving, batch->weight, memory_order_relaxed);
    worker_post_gathered(here->worker, target, &batch->post);
}

static void close_batches(struct worker *worker, struct turn_task *task)
{
    (void)task;
    struct broker_worker *here = worker->owner;
    for (unsigned i = 0; i < here->broker->worker_count; i++)
        if (here->batches[i])
            close_batch(here, i);
}

// A batch goes back to its maker, who uses it again: to free it here would be dear, as another thread has
// made it.
static void give_back(const struct broker_worker *here, struct route_batch *batch)
{
    struct broker_worker *maker = batch->maker;
    if (here->ended || batch->capacity != BATCH_BYTES ||
        atomic_fetch_add_explicit(&maker->returned_count, 1, memory_order_relaxed) >= SPARE_MOST) {
        free(batch);
        return;
    }
    batch->post.next = atomic_load_explicit(&maker->returned, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&maker->returned, &batch->post.next, &batch->post,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

// Takes what has come back, all at once.
static struct post *take_returned(struct broker_worker *here)
{
    struct post *all = atomic_exchange_explicit(&here->returned, NULL, memory_order_acquire);
    atomic_store_explicit(&here->returned_count, 0, memory_order_relaxed);
    return all;
}

static struct route_batch *take_batch(struct broker_worker *here, size_t capacity)
{
    if (capacity != BATCH_BYTES)
        return memory_try(sizeof(struct route_batch) + capacity);
    if (!here->spare)
        here->spare = take_returned(here);
    struct post *spare = here->spare;
    if (!spare)
        return memory_try(sizeof(struct route_batch) + capacity);
    here->spare = spare->next;
    return (struct route_batch *)spare;
}

static void free_spares(struct post *spare)
{
    while (spare) {
        struct post *next = spare->next;
        free(spare);
        spare = next;
    }
}

// Takes the batch, unless memory is out: then it goes on there with the next call.
static bool serve_batch(struct broker_worker *here, struct route_batch *batch)
{
    while (batch->at < batch->used) {
        struct route_record *record = (struct route_record *)(batch->records + batch->at);
        if (!deliver_targets(here, record->message, record->targets, record->count, record->may_repeat,
                             &batch->progress))
            return false;
        if (message_is_borrowed(record->message))
            message_release(record->message);
        else
            message_unref(record->message);
        batch->progress = 0;
        batch->at += record->size;
    }
    atomic_fetch_sub_explicit(&here->arriving, batch->weight, memory_order_relaxed);
    give_back(here, batch);
    return true;
}

static void serve_stalled(struct wheel_timer *timer, void *context)
{
    struct worker *worker = context;
    struct broker_worker *here = worker->owner;
    while (here->stalled) {
        struct post *next = here->stalled->next;
        if (!serve_batch(here, (struct route_batch *)here->stalled)) {
            wheel_start(&worker->wheel, timer, worker->now_ms + STALLED_RETRY_MS, serve_stalled);
            return;
        }
        here->stalled = next;
    }
}

// What is in a batch has been acknowledged, so without memory it waits, and what comes behind it as well.
static void batch_arrived(struct worker *worker, struct post *post)
{
    struct broker_worker *here = worker->owner;
    if (!here->stalled && serve_batch(here, (struct route_batch *)post))
        return;
    if (!here->stalled) {
        here->stalled_last = &here->stalled;
        wheel_start(&worker->wheel, &here->stalled_retry, worker->now_ms + STALLED_RETRY_MS, serve_stalled);
    }
    post->next = NULL;
    *here->stalled_last = post;
    here->stalled_last = &post->next;
}

static struct route_record *batch_reserve(struct broker_worker *here, unsigned target, size_t size)
{
    struct route_batch *batch = here->batches[target];
    if (batch && batch->capacity - batch->used < size) {
        close_batch(here, target);
        batch = NULL;
    }
    if (!batch) {
        size_t capacity = size > BATCH_BYTES ? size : BATCH_BYTES;
        batch = take_batch(here, capacity);
        if (!batch)
            return NULL;
        batch->post.run = batch_arrived;
        batch->maker = here;
        batch->used = 0;
        batch->at = batch->progress = 0;
        batch->weight = 0;
        batch->capacity = (uint32_t)capacity;
        here->batches[target] = batch;
        worker_at_turn_end(here->worker, &here->close_batches);
    }
    struct route_record *record = (struct route_record *)(batch->records + batch->used);
    batch->used += (uint32_t)size;
    batch->weight += size;
    return record;
}

static struct route_record *record_new(struct broker_worker *here, unsigned target, struct message *message,
                                       size_t count)
{
    struct route_record *record;
    size_t head = sizeof *record + count * sizeof *record->targets;
    bool laid = message_is_borrowed(message) && message_laid_size(message) <= LAID_MOST;
    struct message *kept = laid ? NULL : message_keep(message);
    if (!laid && !kept)
        return NULL;
    size_t size = laid ? head + (message_laid_size(message) + 7) / 8 * 8 : head;
    record = batch_reserve(here, target, size);
    if (!record) {
        message_unref(kept);
        return NULL;
    }
    record->message = laid ? message_lay_down(message, (char *)record + head) : kept;
    record->size = (uint32_t)size;
    return record;
}

static void hand_over(struct broker_worker *here, unsigned target, struct message *message,
                      const struct subscription_target *targets, size_t count, bool may_repeat)
{
    struct route_record *record = record_new(here, target, message, count);
    if (!record) {
        counter_add(here->counters, COUNTER_DROPPED + DROP_OUT_OF_MEMORY, count);
        here->lost += message->qos > 0;
        log_warn("out of memory: a message for %zu subscribers is lost", count);
        return;
    }
    record->count = (uint32_t)count;
    record->may_repeat = may_repeat;
    memcpy(record->targets, targets, count * sizeof *targets);
    struct route_batch *batch = here->batches[target];
    if (!message_is_borrowed(record->message))
        batch->weight += message_weight(message);
    if (batch->weight > BATCH_WEIGHT)
        close_batch(here, target);
}

bool route_is_congested(struct broker_worker *here)
{
    for (unsigned i = 0; i < here->broker->worker_count; i++)
        if (atomic_load_explicit(&here->worker->peers[i].backlog, memory_order_relaxed) > BACKLOG_HIGH ||
            atomic_load_explicit(&here->broker->states[i].arriving, memory_order_relaxed) > ARRIVING_HIGH)
            return true;
    return false;
}

/* ---- this worker ---- */

static struct delivery delivery_for(struct message *message, const struct subscription_target *target)
{
    uint8_t granted = target->options & MQTT_OPTION_QOS;
    return (struct delivery){
        .message = message,
        .identifier = target->identifier,
        .identifiers = target->identifier != 0,
        .group = target->group,
        .qos = message->qos < granted ? message->qos : granted,
        .retain = message->retain && (target->options & MQTT_OPTION_RETAIN_AS_PUBLISHED),
        .covered = target->covered,
    };
}

static bool takes(const struct broker_worker *here, struct message *message,
                  const struct subscription_target *target, struct session **session)
{
    *session = sessions_get(&here->sessions, target->session);
    if (!*session)
        return false;
    return !((target->options & MQTT_OPTION_NO_LOCAL) && message->publisher == target->session);
}

// The member of a shared group has gone since it was chosen.
static void deliver_elsewhere(struct broker_worker *here, struct message *message,
                              const struct subscription_target *target)
{
    struct delivery delivery = delivery_for(message, target);
    if (delivery_keep(&delivery))
        route_to_group(here, &delivery, target->session);
}

// Subscriptions of one session that overlap become one delivery: the highest QoS, all identifiers.
// [v5 3.3.4-2, 3.3.4-4]
static bool deliver_merged(struct broker_worker *here, struct message *message,
                           const struct subscription_target *targets, size_t count, uint32_t *progress)
{
    if (count > here->merged_capacity) {
        here->merged = memory_resize(here->merged, count * sizeof *here->merged);
        here->merged_sessions = memory_resize(here->merged_sessions, count * sizeof(struct session *));
        here->merged_capacity = count;
    }
    uint32_t mark = ++here->mark;
    size_t merged = 0;
    for (size_t i = 0; i < count; i++) {
        struct session *session;
        if (!takes(here, message, &targets[i], &session)) {
            if (targets[i].shared && !session && *progress == 0)
                deliver_elsewhere(here, message, &targets[i]);
            continue;
        }
        struct delivery delivery = delivery_for(message, &targets[i]);
        if (session->mark != mark || targets[i].shared) {
            if (!targets[i].shared) {
                session->mark = mark;
                session->mark_index = (uint32_t)merged;
            }
            here->merged_sessions[merged] = session;
            here->merged[merged++] = delivery;
            continue;
        }
        struct delivery *first = &here->merged[session->mark_index];
        if (delivery.qos > first->qos)
            first->qos = delivery.qos;
        first->retain |= delivery.retain;
        first->covered |= delivery.covered;
        if (delivery.identifiers)
            delivery_add_identifier(first, delivery.identifier);
    }
    bool kept = true;
    for (uint32_t i = 0; i < merged; i++) {
        if (!kept || i + 1 < *progress) {
            free(here->merged[i].more);
        } else if (!deliver(here, here->merged_sessions[i], &here->merged[i])) {
            *progress = i + 1;
            kept = false;
        }
    }
    return kept;
}

/**
 * False when memory was out for somebody: `*progress` (0 at first) then says how far it came, for another
 * call with the same targets; one more, and that somebody is left out.
 */
static bool deliver_targets(struct broker_worker *here, struct message *message,
                            const struct subscription_target *targets, size_t count, bool may_repeat,
                            uint32_t *progress)
{
    if (may_repeat)
        return deliver_merged(here, message, targets, count, progress);
    for (uint32_t i = *progress > 0 ? *progress - 1 : 0; i < count; i++) {
        struct session *session;
        if (takes(here, message, &targets[i], &session)) {
            struct delivery delivery = delivery_for(message, &targets[i]);
            if (!deliver(here, session, &delivery)) {
                *progress = i + 1;
                return false;
            }
        } else if (targets[i].shared && !session) {
            deliver_elsewhere(here, message, &targets[i]);
        }
    }
    return true;
}

// To sessions of this worker, of a message that has not been acknowledged yet.
static void deliver_here(struct broker_worker *here, struct message *message,
                         const struct subscription_target *targets, size_t count, bool may_repeat)
{
    uint32_t progress = 0;
    while (!deliver_targets(here, message, targets, count, may_repeat, &progress)) {
        here->lost++;
        progress++;
    }
}

void route_to_group(struct broker_worker *here, struct delivery *delivery, uint64_t except)
{
    struct subscription_target target;
    struct message *message = delivery->message;
    if (subscriptions_match_group(here->broker->subscriptions, here->worker->index, message->topic,
                                  delivery->group, except, &target)) {
        unsigned home = session_home(target.session);
        if (home == here->worker->index)
            deliver_here(here, message, &target, 1, false);
        else
            hand_over(here, home, message, &target, 1, false);
    }
    delivery_clear(delivery);
}

static void note_not_retained(struct broker_worker *here, struct str topic)
{
    uint64_t left_out;
    counter_add(here->counters, COUNTER_NOT_RETAINED, 1);
    if (log_gate_opens(&here->not_retained, here->worker->now_ms, 1, &left_out))
        log_event(LOG_WARN, "not_retained",
                  "limits.retained_messages, retained_bytes or memory is reached: a message is not retained",
                  LOG_STR("topic", topic), LOG_NUM("left_out", left_out));
}

static void keep_retained(struct broker_worker *here, struct message *message)
{
    const struct limit_settings *limits = &here->settings->limits;
    struct message *owned = message_keep(message);
    if (!owned) {
        here->lost += message->qos > 0;
        return;
    }
    // When memory is out, only what is no larger takes the place of another.
    uint64_t bytes = broker_is_full(here->broker) ? 1 : limits->retained_bytes;
    if (!retained_store(here->broker->retained, owned, limits->retained_messages, bytes))
        note_not_retained(here, message->topic);
    message_unref(owned);
}

static int by_home(const void *a, const void *b)
{
    unsigned left = session_home(((const struct subscription_target *)a)->session);
    unsigned right = session_home(((const struct subscription_target *)b)->session);
    return left < right ? -1 : left > right;
}

size_t route_message(struct broker_worker *here, struct message *message)
{
    if (message->retain)
        keep_retained(here, message);
    struct subscription_matches *matches = &here->matches;
    subscriptions_match(here->broker->subscriptions, here->worker->index, message->topic, matches);
    size_t count = matches->count;
    here->effort += matches->effort + count;
    if (here->broker->worker_count == 1) {
        deliver_here(here, message, matches->targets, count, matches->may_repeat);
        return count;
    }
    if (count > 1)
        qsort(matches->targets, count, sizeof *matches->targets, by_home);
    for (size_t first = 0; first < count;) {
        unsigned home = session_home(matches->targets[first].session);
        size_t next = first + 1;
        while (next < count && session_home(matches->targets[next].session) == home)
            next++;
        if (home == here->worker->index)
            deliver_here(here, message, &matches->targets[first], next - first, matches->may_repeat);
        else
            hand_over(here, home, message, &matches->targets[first], next - first, matches->may_repeat);
        first = next;
    }
    return count;
}

void route_start(struct broker_worker *here)
{
    here->batches = memory_zalloc(here->broker->worker_count * sizeof(struct route_batch *));
    here->close_batches.run = close_batches;
}

void route_stop(struct broker_worker *here)
{
    // The sessions have gone, so nothing needs memory any more.
    while (here->stalled) {
        struct post *post = here->stalled;
        here->stalled = post->next;
        serve_batch(here, (struct route_batch *)post);
    }
    free_spares(here->spare);
    free_spares(take_returned(here));
    subscription_matches_free(&here->matches);
    free(here->merged);
    free(here->merged_sessions);
    free(here->batches);
}
