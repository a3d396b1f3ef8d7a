// What waits to be sent to a session: first in, first out, bounded by the caller.
// Only the session's worker.
// Must not know limits and policies; it counts, others decide.
#ifndef NOCTULE_SESSION_QUEUE_H
#define NOCTULE_SESSION_QUEUE_H

#include "core/session/delivery.h"

/** A ring of deliveries. Zero-initialised is empty; memory exists only while there is something in it. */
struct queue {
    struct delivery *ring;
    uint32_t capacity; ///< a power of two, or 0
    uint32_t head;
    uint32_t count;
    uint64_t bytes; ///< message_weight of all
};

/** Appends, taking the delivery (kept already); false when memory is out, and then it is still the caller's.
 */
bool queue_push(struct queue *queue, const struct delivery *delivery);

/** The oldest; NULL when empty. Good until the queue changes. */
struct delivery *queue_front(struct queue *queue);

/** Takes the oldest out; it is the caller's. */
struct delivery queue_pop(struct queue *queue);

/** The i-th from the front. */
static inline struct delivery *queue_at(struct queue *queue, uint32_t i)
{
    return &queue->ring[(queue->head + i) & (queue->capacity - 1)];
}

/** Clears all deliveries and frees the ring. */
void queue_clear(struct queue *queue);

#endif
