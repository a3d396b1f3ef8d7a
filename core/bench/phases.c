#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/bench/connection.h"
#include "core/bench/loop.h"
#include "core/bench/packets.h"
#include "core/mqtt/packet.h"

#define PROGRESS_EVERY_NS (NS_PER_SECOND / 2)

// Ends the run when nothing has come for too long, while something is waited for.
static void check_silence(struct bench *bench, const char *what)
{
    double silent = (double)(bench->now_ns - bench->progress_ns) / (double)NS_PER_SECOND;
    if (bench->now_ns > bench->progress_ns && silent > bench->options->timeout)
        bench_fail(bench, BENCH_SILENT, "no %s for %.0f s", what, bench->options->timeout);
}

// ---- connecting ----------------------------------------------------------------------------------------

static uint64_t connect_tick(struct bench *bench)
{
    double ramp = bench->options->ramp;
    while (bench->open_next < bench->open_end && bench->opening < bench->options->concurrency &&
           !bench->stop) {
        uint64_t due_ns = bench->now_ns;
        if (ramp > 0) {
            double after = (double)(bench->open_next - bench->open_first) / ramp;
            due_ns = bench->open_start_ns + (uint64_t)(after * (double)NS_PER_SECOND);
            if (due_ns > bench->now_ns)
                return due_ns;
        }
        if (bench->opening == 0)
            bench->progress_ns = bench->now_ns;
        bench_connection_open(bench, &bench->connections[bench->open_next++], due_ns);
    }
    if (bench->opening > 0)
        check_silence(bench, "CONNACK");
    return NEVER;
}

static bool connect_done(struct bench *bench)
{
    return bench->open_next == bench->open_end && bench->opening == 0;
}

void phase_connect(struct bench *bench, uint32_t first, uint32_t count)
{
    bench->phase = "connecting";
    bench->open_first = bench->open_next = first;
    bench->open_end = first + count;
    bench->open_start_ns = clock_monotonic_ns();
    loop_run(bench, connect_tick, connect_done);
}

// ---- subscribing ---------------------------------------------------------------------------------------

void subscribe_start(struct bench *bench)
{
    bench->phase = "subscribing";
    bench->subscribing = memory_alloc((bench->subscriber_count + 1U) * sizeof *bench->subscribing);
    bench->subscribing_count = 0;
    for (uint32_t i = 0; i < bench->subscriber_count; i++)
        bench->subscribing[bench->subscribing_count++] = &bench->subscribers[i];
}

uint64_t subscribe_tick(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->subscribing_count && !bench->stop;) {
        if (packet_subscribe(bench, bench->subscribing[i]))
            i++;
        else
            bench->subscribing[i] = bench->subscribing[--bench->subscribing_count];
    }
    if (bench->subacks_due > 0)
        check_silence(bench, "SUBACK");
    return NEVER;
}

bool subscribe_done(struct bench *bench)
{
    return bench->subscribing_count == 0 && bench->subacks_due == 0;
}

void phase_subscribe(struct bench *bench)
{
    subscribe_start(bench);
    loop_run(bench, subscribe_tick, subscribe_done);
    free(bench->subscribing);
    bench->subscribing = NULL;
}

// ---- the rest ------------------------------------------------------------------------------------------

static uint64_t settle_tick(struct bench *bench)
{
    return bench->settle_ns;
}

static bool settle_done(struct bench *bench)
{
    return bench->now_ns >= bench->settle_ns;
}

void phase_settle(struct bench *bench, double seconds)
{
    bench->phase = "holding";
    bench->settle_ns = clock_monotonic_ns() + (uint64_t)(seconds * (double)NS_PER_SECOND);
    loop_run(bench, settle_tick, settle_done);
}

void phase_close(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->connection_count; i++) {
        struct connection *connection = &bench->connections[i];
        if (connection->state == CONNECTION_READY && bench_connection_is_flushed(connection))
            packet_bare(bench, connection, MQTT_DISCONNECT);
        bench_connection_close(bench, connection);
    }
}

// ---- progress ------------------------------------------------------------------------------------------

static bool shows_progress(const struct bench *bench)
{
    return !bench->options->quiet && isatty(STDERR_FILENO);
}

void progress_show(struct bench *bench)
{
    if (bench->now_ns < bench->progress_shown_ns + PROGRESS_EVERY_NS || !shows_progress(bench))
        return;
    uint64_t before = bench->progress_shown_ns;
    bool connecting = bench->ledger.delivered == 0;
    uint64_t count = connecting ? bench->connected : bench->ledger.delivered;
    double rate = 0;
    if (before > 0 && count >= bench->progress_shown)
        rate = (double)(count - bench->progress_shown) * (double)NS_PER_SECOND /
               (double)(bench->now_ns - before);
    fprintf(stderr, "\r%s: %llu %s, %.0f a second\033[K", bench->phase, (unsigned long long)count,
            connecting ? "connected" : "delivered", rate);
    bench->progress_shown_ns = bench->now_ns;
    bench->progress_shown = count;
}

void progress_clear(const struct bench *bench)
{
    if (bench->progress_shown_ns > 0 && shows_progress(bench))
        fputs("\r\033[K", stderr);
}
