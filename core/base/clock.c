#include "core/base/clock.h"

#include <stdatomic.h>
#include <time.h>

static _Atomic uint64_t advanced_ms;

static uint64_t read_clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec +
           atomic_load_explicit(&advanced_ms, memory_order_relaxed) * 1000000U;
}

uint64_t clock_monotonic_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_monotonic_ms(void)
{
    return read_clock_ns(CLOCK_MONOTONIC) / 1000000U + 1;
}

uint64_t clock_wall_ms(void)
{
    return read_clock_ns(CLOCK_REALTIME) / 1000000U;
}

void clock_advance(uint64_t ms)
{
    atomic_fetch_add_explicit(&advanced_ms, ms, memory_order_relaxed);
}
