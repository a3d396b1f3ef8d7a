#include "core/base/wheel.h"

#include <stddef.h>
#include <string.h>

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = now_ms / WHEEL_TICK_MS;
}

static void insert(struct wheel *wheel, struct wheel_timer *timer)
{
    // Rounded up, so that a timer never runs early; at least one tick ahead, so that it is not missed.
    uint64_t due = (timer->due_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
    if (due <= wheel->tick)
        due = wheel->tick + 1;
    uint64_t ahead = due - wheel->tick;
    unsigned level = 0;
    while (level + 1 < WHEEL_LEVELS && ahead >> (WHEEL_BITS * (level + 1)) != 0)
        level++;
    if (ahead >> (WHEEL_BITS * WHEEL_LEVELS) != 0)
        due = wheel->tick + (1ULL << (WHEEL_BITS * WHEEL_LEVELS)) - 1;
    struct wheel_timer **slot = &wheel->slots[level][(due >> (WHEEL_BITS * level)) & (WHEEL_SLOTS - 1)];
    timer->next = *slot;
    if (timer->next)
        timer->next->link = &timer->next;
    timer->link = slot;
    *slot = timer;
}

void wheel_start(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms, wheel_fn *expired)
{
    wheel_stop(timer);
    timer->due_ms = due_ms;
    timer->expired = expired;
    insert(wheel, timer);
}

void wheel_stop(struct wheel_timer *timer)
{
    if (!timer->link)
        return;
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    timer->link = NULL;
    timer->next = NULL;
}

// Takes a slot's timers as a list of its own, so that timers started meanwhile are not walked.
static void take(struct wheel_timer **slot, struct wheel_timer **list)
{
    *list = *slot;
    *slot = NULL;
    if (*list)
        (*list)->link = list;
}

static void cascade(struct wheel *wheel, unsigned level)
{
    struct wheel_timer *list;
    take(&wheel->slots[level][(wheel->tick >> (WHEEL_BITS * level)) & (WHEEL_SLOTS - 1)], &list);
    while (list) {
        struct wheel_timer *timer = list;
        wheel_stop(timer);
        // The slot of the current tick is run right after cascading.
        uint64_t due = (timer->due_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
        if (due <= wheel->tick) {
            struct wheel_timer **slot = &wheel->slots[0][wheel->tick & (WHEEL_SLOTS - 1)];
            timer->next = *slot;
            if (timer->next)
                timer->next->link = &timer->next;
            timer->link = slot;
            *slot = timer;
        } else {
            insert(wheel, timer);
        }
    }
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms, void *context)
{
    uint64_t now = now_ms / WHEEL_TICK_MS;
    while (wheel->tick < now) {
        wheel->tick++;
        for (unsigned level = 1; level < WHEEL_LEVELS; level++) {
            if ((wheel->tick & ((1ULL << (WHEEL_BITS * level)) - 1)) != 0)
                break;
            cascade(wheel, level);
        }
        struct wheel_timer *list;
        take(&wheel->slots[0][wheel->tick & (WHEEL_SLOTS - 1)], &list);
        while (list) {
            struct wheel_timer *timer = list;
            wheel_stop(timer);
            timer->expired(timer, context);
        }
    }
}

uint64_t wheel_next(const struct wheel *wheel, uint64_t now_ms, uint64_t limit_ms)
{
    uint64_t limit = now_ms + limit_ms;
    for (uint64_t tick = wheel->tick + 1; tick <= wheel->tick + WHEEL_SLOTS; tick++) {
        uint64_t at = tick * WHEEL_TICK_MS;
        if (at >= limit)
            return limit_ms;
        // A turn of the lowest level may bring timers down from above.
        if (wheel->slots[0][tick & (WHEEL_SLOTS - 1)] || (tick & (WHEEL_SLOTS - 1)) == 0)
            return at > now_ms ? at - now_ms : 0;
    }
    return limit_ms;
}
