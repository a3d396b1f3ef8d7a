#include "core/session/window.h"

#include <stdlib.h>

#include "core/base/memory.h"

enum { IDENTIFIERS = 65535 };

static struct inflight *at(struct window *window, uint32_t i)
{
    return &window->ring[(window->head + i) & (window->capacity - 1)];
}

// Identifiers run from 1 to 65535 and around.
static uint16_t id_at(const struct window *window, uint32_t i)
{
    return (uint16_t)((window->oldest_id - 1U + i) % IDENTIFIERS + 1U);
}

static bool grow(struct window *window)
{
    uint32_t capacity = window->capacity ? window->capacity * 2 : 4;
    struct inflight *ring = memory_try(capacity * sizeof *ring);
    if (!ring)
        return false;
    for (uint32_t i = 0; i < window->span; i++)
        ring[i] = *at(window, i);
    free(window->ring);
    window->ring = ring;
    window->capacity = capacity;
    window->head = 0;
    return true;
}

uint16_t window_add(struct window *window, const struct delivery *delivery)
{
    if (window->span == IDENTIFIERS || (window->span == window->capacity && !grow(window)))
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
    while (window->span > 0 && at(window, 0)->state == INFLIGHT_DONE) {
        window->oldest_id = id_at(window, 1);
        window->head = (window->head + 1) & (window->capacity - 1);
        window->span--;
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
