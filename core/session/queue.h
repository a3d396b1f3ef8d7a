// What waits to be sent to a session: first in, first out, bounded by the caller.
// Only the session's worker.
// Must not know limits and policies; it counts, others decide.
#ifndef NOCTULE_SESSION_QUEUE_H
#define NOCTULE_SESSION_QUEUE_H

#include "core/session/delivery.h"

/** Exists only while something waits. */
struct queue_ring {
    uint64_t bytes;    ///< message_weight of all
    uint32_t capacity; ///< a power of two
    uint32_t head;
    struct delivery deliveries[];
};

/** A ring of deliveries. Zero-initialised is empty. */
struct queue {
    struct queue_ring *ring; ///< NULL: empty
    uint32_t count;
};

/** Appends, taking the delivery (kept already); false when memory is out, and then it is still the caller's.
 */
bool queue_push(struct queue *queue, const struct delivery *delivery);

/** The oldest; NULL when empty. Good until the queue changes. */
struct delivery *queue_front(struct queue *queue);

/** Takes the oldest out of a queue that is not empty; it is the caller's. */
struct delivery queue_pop(struct queue *queue);

/** The i-th from the front, below `count`. */
static inline struct delivery *queue_at(struct queue *queue, uint32_t i)
{
    return &queue->ring->deliveries[(queue->ring->head + i) & (queue->ring->capacity - 1)];
}

/** The sum of message_weight. */
static inline uint64_t queue_bytes(const struct queue *queue)
{
    return queue->ring ? queue->ring->bytes : 0;
}

/** Clears all deliveries and frees the ring. */
void queue_clear(struct queue *queue);

#endif
