#include "core/session/queue.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum { LEAST_CAPACITY = 8 };

static bool grow(struct queue *queue)
{
    struct queue_ring *old = queue->ring;
    size_t capacity = old ? old->capacity * 2UL : LEAST_CAPACITY;
    if (capacity > UINT32_MAX / 2)
        return false;
    struct queue_ring *ring = memory_try(sizeof *ring + capacity * sizeof *ring->deliveries);
    if (!ring)
        return false;
    *ring = (struct queue_ring){.bytes = queue_bytes(queue), .capacity = (uint32_t)capacity};
    if (old) {
        uint32_t tail = old->capacity - old->head;
        memcpy(ring->deliveries, old->deliveries + old->head, tail * sizeof *ring->deliveries);
        memcpy(ring->deliveries + tail, old->deliveries, old->head * sizeof *ring->deliveries);
        free(old);
    }
    queue->ring = ring;
    return true;
}

bool queue_push(struct queue *queue, const struct delivery *delivery)
{
    if ((!queue->ring || queue->count == queue->ring->capacity) && !grow(queue))
        return false;
    *queue_at(queue, queue->count) = *delivery;
    queue->count++;
    queue->ring->bytes += message_weight(delivery->message);
    return true;
}

struct delivery *queue_front(struct queue *queue)
{
    return queue->count ? queue_at(queue, 0) : NULL;
}

static void release_ring(struct queue *queue)
{
    free(queue->ring);
    *queue = (struct queue){0};
}

struct delivery queue_pop(struct queue *queue)
{
    struct queue_ring *ring = queue->ring;
    struct delivery delivery = ring->deliveries[ring->head];
    ring->head = (ring->head + 1) & (ring->capacity - 1);
    ring->bytes -= message_weight(delivery.message);
    if (--queue->count == 0)
        release_ring(queue);
    return delivery;
}

void queue_clear(struct queue *queue)
{
    for (uint32_t i = 0; i < queue->count; i++)
        delivery_clear(queue_at(queue, i));
    release_ring(queue);
}
