#include <stdlib.h>

#include "core/base/clock.h"
#include "core/bench/loop.h"
#include "core/bench/packets.h"
#include "core/bench/process.h"
#include "core/bench/publisher.h"
#include "core/mqtt/packet.h"

enum { WRITES_PER_TURN = 32 };

int64_t traffic_outstanding(const struct bench *bench)
{
    return (int64_t)(bench->sent * bench->fan) - (int64_t)bench->ledger.passed - (int64_t)bench->written_off;
}

static void stop(struct bench *bench, bool by_count)
{
    struct traffic *traffic = &bench->traffic;
    traffic->stopping = true;
    traffic->by_count = by_count;
    traffic->stopped_ns = bench->now_ns;
    if (by_count)
        return;
    traffic->end = sample_take(bench);
    traffic->ended = true;
    for (uint32_t i = 0; i < bench->publisher_count; i++) {
        struct publisher *publisher = &bench->publishers[i];
        publisher->limit = publisher->sent + publisher->due; // what was due is still owed
    }
}

// ---- as fast as may be ---------------------------------------------------------------------------------

// Publishers in turn, a batch each, as long as the window holds it. True when there is more to send at once.
static bool pump_full(struct bench *bench)
{
    int64_t window = (int64_t)bench->options->window * bench->fan;
    int64_t batch = (int64_t)bench->batch * bench->fan;
    int writes = 0;
    while (bench->ready_count > 0 && writes < WRITES_PER_TURN && !bench->stop) {
        if (window > 0 && window - traffic_outstanding(bench) < batch)
            return false;
        struct publisher *publisher = publisher_take(bench);
        uint32_t room = publisher_room(bench, publisher);
        if (room == 0 || publisher->connection->state != CONNECTION_READY)
            continue;
        publisher_send(bench, publisher, room, 0, 0);
        publisher_offer(bench, publisher);
        writes++;
    }
    return writes == WRITES_PER_TURN;
}

// A broker that drops messages leaves the window closed: after a second in which nothing came it is opened
// again.
static void check_stall(struct bench *bench)
{
    struct traffic *traffic = &bench->traffic;
    uint64_t since = bench->progress_ns > traffic->start_ns ? bench->progress_ns : traffic->start_ns;
    double silent = (double)(bench->now_ns > since ? bench->now_ns - since : 0) / (double)NS_PER_SECOND;
    if (silent > bench->options->timeout) {
        bench_fail(bench, BENCH_SILENT, "no message and no acknowledgement for %.0f s",
                   bench->options->timeout);
        return;
    }
    int64_t outstanding = traffic_outstanding(bench);
    if (silent <= 1 || bench->now_ns < traffic->stalled_ns + NS_PER_SECOND || outstanding <= 0)
        return;
    traffic->stalled_ns = bench->now_ns;
    bench->stalls++;
    bench->written_off += (uint64_t)outstanding;
}

// ---- at a fixed rate -----------------------------------------------------------------------------------

// Message number `k` of all is due at its time, whatever became of those before it. Returns when the next one
// is.
static uint64_t schedule(struct bench *bench)
{
    struct traffic *traffic = &bench->traffic;
    while (!traffic->stopping && traffic->scheduled < traffic->total) {
        uint64_t due_ns = traffic->start_ns + (uint64_t)((double)traffic->scheduled * traffic->interval_ns);
        if (due_ns > bench->now_ns)
            return due_ns;
        struct publisher *publisher = &bench->publishers[traffic->scheduled++ % bench->publisher_count];
        publisher->due++;
        publisher_offer(bench, publisher);
    }
    return NEVER;
}

static uint64_t pump_rate(struct bench *bench)
{
    struct traffic *traffic = &bench->traffic;
    uint64_t next_ns = schedule(bench);
    double step_ns = traffic->interval_ns * bench->publisher_count;
    for (uint32_t turns = bench->ready_count; turns > 0 && !bench->stop; turns--) {
        struct publisher *publisher = publisher_take(bench);
        uint32_t room = publisher_room(bench, publisher);
        if (room == 0 || publisher->connection->state != CONNECTION_READY)
            continue;
        double due_ns = (double)traffic->start_ns + (double)publisher->sent * step_ns +
                        (double)publisher->index * traffic->interval_ns;
        publisher_send(bench, publisher, room, due_ns, step_ns);
        publisher_offer(bench, publisher);
    }
    return bench->ready_count > 0 ? 0 : next_ns;
}

// ---- the run -------------------------------------------------------------------------------------------

static void send_barrier(struct bench *bench)
{
    struct traffic *traffic = &bench->traffic;
    if (!traffic->barrier || traffic->barrier_sent || !traffic->stopping || bench->sent < traffic->total)
        return;
    traffic->barrier_sent = true;
    bench->pings_due = bench->publisher_count;
    for (uint32_t i = 0; i < bench->publisher_count; i++)
        packet_bare(bench, bench->publishers[i].connection, MQTT_PINGREQ);
}

static uint64_t traffic_tick(struct bench *bench)
{
    struct traffic *traffic = &bench->traffic;
    uint64_t wake_ns = NEVER;
    if (!traffic->warm && bench->now_ns >= traffic->warm_ns) {
        traffic->begin = sample_take(bench);
        traffic->warm = true;
    }
    if (!traffic->warm)
        wake_ns = traffic->warm_ns;
    if (!traffic->stopping && traffic->stop_ns > 0 && bench->now_ns >= traffic->stop_ns)
        stop(bench, false);
    else if (!traffic->stopping && bench->sent >= traffic->total)
        stop(bench, true);
    else if (!traffic->stopping && traffic->stop_ns > 0 && traffic->stop_ns < wake_ns)
        wake_ns = traffic->stop_ns;
    if (bench->options->rate > 0) {
        uint64_t next_ns = pump_rate(bench);
        wake_ns = next_ns < wake_ns ? next_ns : wake_ns;
    } else if (pump_full(bench)) {
        wake_ns = 0;
    } else if (!traffic->stopping) {
        check_stall(bench);
    }
    send_barrier(bench);
    return wake_ns;
}

static bool traffic_done(struct bench *bench)
{
    const struct traffic *traffic = &bench->traffic;
    if (!traffic->stopping)
        return false;
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < bench->publisher_count; i++)
        wanted += bench->publishers[i].limit;
    bool acknowledged = bench->options->qos == 0 || bench->acknowledged >= bench->sent;
    bool answered = !traffic->barrier || (traffic->barrier_sent && bench->pings_due == 0);
    if (bench->sent >= wanted && acknowledged && answered &&
        bench->ledger.delivered >= bench->sent * bench->fan)
        return true;
    uint64_t since = bench->progress_ns > traffic->stopped_ns ? bench->progress_ns : traffic->stopped_ns;
    // A broker that trickles does not make it endless.
    uint64_t longest = (uint64_t)((bench->options->drain + bench->options->timeout) * (double)NS_PER_SECOND);
    return bench->now_ns > since + (uint64_t)(bench->options->drain * (double)NS_PER_SECOND) ||
           bench->now_ns > traffic->stopped_ns + longest;
}

void phase_publish(struct bench *bench, bool by_count)
{
    const struct bench_options *options = bench->options;
    struct traffic *traffic = &bench->traffic;
    double warmup = by_count ? 0 : options->warmup;
    bench->phase = "publishing";
    traffic->total = by_count ? 0 : NEVER;
    traffic->start_ns = clock_monotonic_ns();
    traffic->warm_ns = traffic->start_ns + (uint64_t)(warmup * (double)NS_PER_SECOND);
    traffic->stop_ns =
        by_count ? 0 : traffic->warm_ns + (uint64_t)(options->duration * (double)NS_PER_SECOND);
    traffic->interval_ns = options->rate > 0 ? (double)NS_PER_SECOND / options->rate : 0;
    bench->measure_from_ns = warmup > 0 ? traffic->warm_ns : 0;
    for (uint32_t i = 0; i < bench->publisher_count; i++) {
        struct publisher *publisher = &bench->publishers[i];
        if (by_count)
            traffic->total += publisher->limit;
        else
            publisher->limit = NEVER;
        publisher_offer(bench, publisher);
    }
    loop_run(bench, traffic_tick, traffic_done);
    if (!traffic->ended)
        traffic->end = sample_take(bench);
    // What came after the last message was waiting.
    if (!traffic->ended && bench->last_message_ns > traffic->begin.now_ns)
        traffic->end.now_ns = bench->last_message_ns;
    if (!traffic->warm)
        traffic->begin = traffic->end;
}
