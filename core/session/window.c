#include "core/session/window.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum {
    IDENTIFIERS = 65535,
    LEAST_CAPACITY = 4,
    KEPT_CAPACITY = 16, // an empty ring above this is freed, a smaller one waits for the next message
};

struct window_ring {
    uint32_t capacity; ///< a power of two
    uint32_t head;
    struct inflight entries[];
};

static struct inflight *at(struct window *window, uint32_t i)
{
    return &window->ring->entries[(window->ring->head + i) & (window->ring->capacity - 1)];
}

// Identifiers run from 1 to 65535 and around.
static uint16_t id_at(const struct window *window, uint32_t i)
{
    return (uint16_t)((window->oldest_id - 1U + i) % IDENTIFIERS + 1U);
}

static bool grow(struct window *window)
{
    struct window_ring *old = window->ring;
    uint32_t capacity = old ? old->capacity * 2 : LEAST_CAPACITY;
    struct window_ring *ring = memory_try(sizeof *ring + capacity * sizeof *ring->entries);
    if (!ring)
        return false;
    ring->capacity = capacity;
    ring->head = 0;
    if (old) {
        uint32_t tail = old->capacity - old->head;
        memcpy(ring->entries, old->entries + old->head, tail * sizeof *ring->entries);
        memcpy(ring->entries + tail, old->entries, old->head * sizeof *ring->entries);
        free(old);
    }
    window->ring = ring;
    return true;
}

uint16_t window_add(struct window *window, const struct delivery *delivery)
{
    if (!window_has_room(window))
        return 0;
    if ((!window->ring || window->span == window->ring->capacity) && !grow(window))
        return 0;
    if (window->oldest_id == 0)
        window->oldest_id = 1;
    *at(window, window->span) = (struct inflight){
        .delivery = *delivery, .state = delivery->qos == 1 ? INFLIGHT_PUBACK : INFLIGHT_PUBREC};
    window->active++;
    return id_at(window, window->span++);
}

struct inflight *window_find(struct window *window, uint16_t packet_id)
{
    if (window->span == 0 || packet_id == 0)
        return NULL;
    uint32_t i = (packet_id + (uint32_t)IDENTIFIERS - window->oldest_id) % IDENTIFIERS;
    if (i >= window->span || at(window, i)->state == INFLIGHT_DONE)
        return NULL;
    return at(window, i);
}

void window_done(struct window *window, struct inflight *entry)
{
    delivery_clear(&entry->delivery);
    entry->state = INFLIGHT_DONE;
    window->active--;
    struct window_ring *ring = window->ring;
    while (window->span > 0 && ring->entries[ring->head].state == INFLIGHT_DONE) {
        window->oldest_id = id_at(window, 1);
        ring->head = (ring->head + 1) & (ring->capacity - 1);
        window->span--;
    }
    if (window->span == 0 && ring->capacity > KEPT_CAPACITY) {
        free(ring);
        window->ring = NULL;
    }
}

struct inflight *window_next(struct window *window, uint32_t *cursor, uint16_t *packet_id)
{
    while (*cursor < window->span) {
        uint32_t i = (*cursor)++;
        if (at(window, i)->state != INFLIGHT_DONE) {
            *packet_id = id_at(window, i);
            return at(window, i);
        }
    }
    return NULL;
}

void window_clear(struct window *window)
{
    for (uint32_t i = 0; i < window->span; i++)
        delivery_clear(&at(window, i)->delivery);
    free(window->ring);
    *window = (struct window){0};
}
