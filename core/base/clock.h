// The one source of time, so that tests can move it.
// Any thread.
// Knows nothing of timers; see wheel.h.
#ifndef NOCTULE_BASE_CLOCK_H
#define NOCTULE_BASE_CLOCK_H

#include <stdint.h>

/** Milliseconds of a clock that never goes back; its zero means nothing, but no value is ever 0. */
uint64_t clock_monotonic_ms(void);

/** Nanoseconds of the same clock, for measuring how long something took. */
uint64_t clock_monotonic_ns(void);

/** Milliseconds since 1970-01-01 UTC. */
uint64_t clock_wall_ms(void);

/** Moves both clocks forward by `ms` from now on. Tests only. */
void clock_advance(uint64_t ms);

#endif
