// limits.publish_rate and limits.publish_byte_rate: a client that sends faster is read more slowly.
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/broker/addresses.h"
#include "core/broker/state.h"

enum { SECOND_US = 1000000, LEAST_PAUSE_US = 1000 };

/** Made with the first PUBLISH that is counted. */
struct publish_rate {
    struct wheel_timer timer; // first: found again from the timer
    struct connection *connection;
    uint64_t messages_us; ///< see rate_admits
    uint64_t bytes_us;
};

static void pause_over(struct wheel_timer *timer, void *context)
{
    (void)context;
    connection_resume(((struct publish_rate *)timer)->connection, PAUSE_RATE);
}

// The message is here already, so it is counted in any case; returns how long the next one should wait.
static uint64_t charge(uint64_t *until_us, uint64_t now_us, uint64_t cost_us)
{
    rate_admits(until_us, now_us, cost_us, UINT64_MAX / 2);
    return *until_us > now_us + SECOND_US ? *until_us - now_us - SECOND_US : 0;
}

void rate_count(struct connection *connection, uint32_t bytes)
{
    struct worker *worker = connection->stream.worker;
    const struct limit_settings *limits = &connection_worker(connection)->settings->limits;
    struct publish_rate *rate = connection->rare ? connection->rare->rate : NULL;
    if (!rate) {
        rate = memory_try(sizeof *rate);
        if (!rate)
            return;
        *rate = (struct publish_rate){.connection = connection};
        connection_rare(connection)->rate = rate;
    }
    uint64_t now_us = worker->now_ms * 1000;
    uint64_t wait_us = 0;
    if (limits->publish_rate)
        wait_us = charge(&rate->messages_us, now_us, SECOND_US / limits->publish_rate);
    if (limits->publish_byte_rate) {
        uint64_t other =
            charge(&rate->bytes_us, now_us, (uint64_t)bytes * SECOND_US / limits->publish_byte_rate);
        wait_us = other > wait_us ? other : wait_us;
    }
    if (wait_us < LEAST_PAUSE_US)
        return;
    connection_pause(connection, PAUSE_RATE);
    wheel_start(&worker->wheel, &rate->timer, worker->now_ms + wait_us / 1000, pause_over);
}

void rate_forget(struct connection *connection)
{
    struct publish_rate *rate = connection->rare ? connection->rare->rate : NULL;
    if (!rate)
        return;
    wheel_stop(&rate->timer);
    free(rate);
    connection->rare->rate = NULL;
}
