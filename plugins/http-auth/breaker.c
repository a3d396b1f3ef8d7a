#include "breaker.h"

void breaker_init(struct breaker *breaker, uint32_t failures_max, uint64_t probe_ms)
{
    *breaker = (struct breaker){.failures_max = failures_max, .probe_ms = probe_ms};
    pthread_mutex_init(&breaker->lock, NULL);
}

void breaker_destroy(struct breaker *breaker)
{
    pthread_mutex_destroy(&breaker->lock);
}

static bool refuses(const struct breaker *breaker, uint64_t now_ms)
{
    return breaker->state == BREAKER_TRYING ||
           (breaker->state == BREAKER_OPEN && now_ms < breaker->open_until_ms);
}

bool breaker_refuses(struct breaker *breaker, uint64_t now_ms)
{
    pthread_mutex_lock(&breaker->lock);
    bool refused = refuses(breaker, now_ms);
    pthread_mutex_unlock(&breaker->lock);
    return refused;
}

enum breaker_leave breaker_ask(struct breaker *breaker, uint64_t now_ms)
{
    enum breaker_leave leave = BREAKER_GO;
    pthread_mutex_lock(&breaker->lock);
    if (refuses(breaker, now_ms)) {
        leave = BREAKER_REFUSED;
    } else if (breaker->state == BREAKER_OPEN) {
        breaker->state = BREAKER_TRYING;
        leave = BREAKER_PROBE;
    }
    pthread_mutex_unlock(&breaker->lock);
    return leave;
}

static enum breaker_change tell_failure(struct breaker *breaker, bool probe, uint64_t now_ms)
{
    if (probe) {
        breaker->state = BREAKER_OPEN;
        breaker->open_until_ms = now_ms + breaker->probe_ms;
        return BREAKER_UNCHANGED;
    }
    // Requests that were under way when it opened have nothing new to tell.
    if (breaker->state != BREAKER_CLOSED || breaker->failures_max == 0 ||
        ++breaker->failures < breaker->failures_max)
        return BREAKER_UNCHANGED;
    breaker->state = BREAKER_OPEN;
    breaker->open_until_ms = now_ms + breaker->probe_ms;
    return BREAKER_OPENED;
}

enum breaker_change breaker_tell(struct breaker *breaker, bool probe, bool good, uint64_t now_ms)
{
    enum breaker_change change = BREAKER_UNCHANGED;
    pthread_mutex_lock(&breaker->lock);
    if (!good) {
        change = tell_failure(breaker, probe, now_ms);
    } else {
        if (probe) {
            breaker->state = BREAKER_CLOSED;
            change = BREAKER_CLOSED_AGAIN;
        }
        if (breaker->state == BREAKER_CLOSED)
            breaker->failures = 0;
    }
    pthread_mutex_unlock(&breaker->lock);
    return change;
}

void breaker_return(struct breaker *breaker)
{
    pthread_mutex_lock(&breaker->lock);
    // Its time is over already, so the next one to ask tries.
    breaker->state = BREAKER_OPEN;
    pthread_mutex_unlock(&breaker->lock);
}

bool breaker_is_open(struct breaker *breaker)
{
    pthread_mutex_lock(&breaker->lock);
    bool open = breaker->state != BREAKER_CLOSED;
    pthread_mutex_unlock(&breaker->lock);
    return open;
}
