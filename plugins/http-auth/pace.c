#include "pace.h"

#include <time.h>

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void pace_init(struct pace *pace, const struct noctule_host *host, struct noctule_instance *instance,
               const struct noctule_worker *worker, noctule_worker_fn turned)
{
    *pace = (struct pace){
        .host = host, .instance = instance, .worker = host->worker_index(worker), .turned = turned};
}

// When the worker is about to stop, there is no next turn to leave anything to: nothing is counted then.
static void turn_begins(struct pace *pace)
{
    pace->counting =
        pace->host->run_on_worker(pace->instance, pace->worker, pace->turned, NULL) == NOCTULE_OK;
    pace->until_us = now_us() + PACE_TURN_US;
}

bool pace_may(struct pace *pace)
{
    if (!pace->counting) {
        turn_begins(pace);
        return true;
    }
    if (now_us() < pace->until_us)
        return true;
    pace->wanted = true;
    return false;
}

void pace_later(struct pace *pace)
{
    pace->wanted = true;
    if (!pace->counting)
        turn_begins(pace);
}

bool pace_turn(struct pace *pace)
{
    bool wanted = pace->wanted;
    pace->counting = pace->wanted = false;
    return wanted;
}
