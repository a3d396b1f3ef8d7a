#include "core/session/queue.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

static bool grow(struct queue *queue)
{
    uint32_t capacity = queue->capacity ? queue->capacity * 2 : 8;
    struct delivery *ring = memory_try(capacity * sizeof *ring);
    if (!ring)
        return false;
    for (uint32_t i = 0; i < queue->count; i++)
        ring[i] = *queue_at(queue, i);
    free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    queue->head = 0;
    return true;
}

bool queue_push(struct queue *queue, const struct delivery *delivery)
{
    if (queue->count == queue->capacity && !grow(queue))
        return false;
    *queue_at(queue, queue->count) = *delivery;
    queue->count++;
    queue->bytes += message_weight(delivery->message);
    return true;
}

struct delivery *queue_front(struct queue *queue)
{
    return queue->count ? queue_at(queue, 0) : NULL;
}

struct delivery queue_pop(struct queue *queue)
{
    struct delivery delivery = *queue_at(queue, 0);
    queue->head = (queue->head + 1) & (queue->capacity - 1);
    queue->count--;
    queue->bytes -= message_weight(delivery.message);
    if (queue->count == 0) {
        free(queue->ring);
        *queue = (struct queue){0};
    }
    return delivery;
}

void queue_clear(struct queue *queue)
{
    for (uint32_t i = 0; i < queue->count; i++)
        delivery_clear(queue_at(queue, i));
    free(queue->ring);
    *queue = (struct queue){0};
}
