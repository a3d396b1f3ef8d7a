// Timers of one worker: a hierarchical timer wheel, so that a million keep-alive timers cost nothing to move.
// Only the thread that owns the wheel.
// Knows no clock: the owner says what time it is.
#ifndef NOCTULE_BASE_WHEEL_H
#define NOCTULE_BASE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum { WHEEL_TICK_MS = 8, WHEEL_BITS = 6, WHEEL_SLOTS = 1 << WHEEL_BITS, WHEEL_LEVELS = 5 };

struct wheel_timer;
typedef void wheel_fn(struct wheel_timer *timer, void *context);

/** Lives inside its owner. Zero-initialised is stopped. */
struct wheel_timer {
    struct wheel_timer *next;
    struct wheel_timer **link; ///< what points to this timer; NULL: stopped
    uint64_t due_ms;
    wheel_fn *expired;
};

struct wheel {
    uint64_t tick;    ///< ticks that have passed
    uint64_t soonest; ///< there is nothing to sort or to run in ticks before this one
    uint64_t due;     ///< there is nothing to run in ticks before this one
    /** A bit for each slot; one that is set may stand for a slot that was emptied since. */
    uint64_t filled[WHEEL_LEVELS];
    struct wheel_timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
    /** Of a filled slot: no timer in it is due before this tick. */
    uint64_t slot_due[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_ms);

/**
 * Starts or restarts `timer`, to call `expired` at the first wheel_advance that is at or past `due_ms`: never
 * early, late by at most one tick. Times past the wheel's reach (about 99 days) are kept and re-sorted on the
 * way.
 */
void wheel_start(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms, wheel_fn *expired);

/** Stops `timer`; harmless when it is stopped. */
void wheel_stop(struct wheel_timer *timer);

static inline bool wheel_is_running(const struct wheel_timer *timer)
{
    return timer->link != 0;
}

/**
 * Runs every timer that is due by `now_ms`. A timer is stopped before its function runs, which may restart
 * or free it, and start and stop others. Costs nothing for the time that has passed, however long.
 */
void wheel_advance(struct wheel *wheel, uint64_t now_ms, void *context);

/** Milliseconds until the wheel needs wheel_advance again, at most `limit_ms`; 0: now. */
uint64_t wheel_next(const struct wheel *wheel, uint64_t now_ms, uint64_t limit_ms);

#endif
