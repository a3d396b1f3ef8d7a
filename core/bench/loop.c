#include "core/bench/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/bench/connection.h"
#include "core/bench/packets.h"
#include "core/mqtt/packet.h"

enum { EVENTS = 512 };

#define LOOK_AGAIN_NS (NS_PER_SECOND / 4) // for signals and the progress line

static bool spins(const struct bench *bench)
{
    return bench->options->spin;
}

static void wait_and_handle(struct bench *bench, uint64_t wake_ns)
{
    struct epoll_event events[EVENTS];
    uint64_t start_ns = bench->now_ns;
    uint64_t delay = wake_ns > start_ns ? wake_ns - start_ns : 0;
    if (delay > LOOK_AGAIN_NS)
        delay = LOOK_AGAIN_NS;
    if (spins(bench))
        delay = 0;
    const struct timespec timeout = {.tv_sec = 0, .tv_nsec = (long)delay};
    int count = epoll_pwait2(bench->epoll, events, EVENTS, &timeout, NULL);
    if (count < 0 && errno == ENOSYS)
        count = epoll_wait(bench->epoll, events, EVENTS, (int)(delay / 1000000));
    bench->now_ns = clock_monotonic_ns();
    if (count <= 0) {
        bench->idle_ns += bench->now_ns - start_ns;
        return;
    }
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        // One that was closed by what another one brought has no descriptor any more.
        if (connection->fd >= 0)
            bench_connection_ready(bench, connection, events[i].events);
    }
}

// Connections on which nothing was sent for half of the keep alive time get a PINGREQ.
static void keep_alive(struct bench *bench)
{
    uint64_t half_ns = bench->options->keep_alive * NS_PER_SECOND / 2;
    if (half_ns == 0 || bench->now_ns < bench->keep_alive_ns)
        return;
    bench->keep_alive_ns = bench->now_ns + half_ns / 4;
    for (uint32_t i = 0; i < bench->connection_count; i++) {
        struct connection *connection = &bench->connections[i];
        if (connection->state == CONNECTION_READY && connection->sent_ns + half_ns < bench->now_ns)
            packet_bare(bench, connection, MQTT_PINGREQ);
    }
}

void loop_run(struct bench *bench, loop_tick *tick, loop_done *done)
{
    bench->progress_ns = clock_monotonic_ns();
    while (!bench->stop) {
        bench->now_ns = clock_monotonic_ns();
        if (bench_interrupted) {
            bench_fail(bench, BENCH_INTERRUPTED, "interrupted");
            return;
        }
        uint64_t wake_ns = tick ? tick(bench) : NEVER;
        if (bench->stop || done(bench))
            return;
        keep_alive(bench);
        progress_show(bench);
        wait_and_handle(bench, wake_ns);
    }
}
