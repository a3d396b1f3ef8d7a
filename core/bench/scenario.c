#include "core/bench/scenario.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/bench/connection.h"
#include "core/bench/ledger.h"
#include "core/bench/loop.h"
#include "core/bench/packets.h"
#include "core/bench/process.h"
#include "core/bench/topics.h"
#include "core/mqtt/packet.h"

static const double SETTLE = 0.2; // seconds until a broker's memory stands still

// Number `index` of `parts` almost equal shares of `total`.
static uint32_t share_start(uint32_t total, uint32_t index, uint32_t parts)
{
    return (uint32_t)((uint64_t)total * index / parts);
}

static int digits_of(uint32_t value)
{
    int count = 1;
    for (; value >= 10; value /= 10)
        count++;
    return count;
}

static void cast_publisher(struct bench *bench, uint32_t index, uint32_t connection, uint32_t first,
                           uint32_t streams)
{
    struct publisher *publisher = &bench->publishers[index];
    publisher->index = index;
    publisher->first_stream = first;
    publisher->streams = streams;
    publisher->connection = &bench->connections[connection];
    publisher->connection->publisher = publisher;
}

static void cast_subscriber(struct bench *bench, uint32_t index, uint32_t connection, uint32_t first,
                            uint32_t streams)
{
    struct subscriber *subscriber = &bench->subscribers[index];
    subscriber->first_stream = first;
    subscriber->streams = streams;
    subscriber->filters = bench->filters == FILTERS_ALL ? 1 : streams;
    subscriber->first_slot = bench->ledger.count;
    bench->ledger.count += streams;
    subscriber->connection = &bench->connections[connection];
    subscriber->connection->subscriber = subscriber;
}

// ---- connect -------------------------------------------------------------------------------------------

// A TLS session to resume: the first connection's, which does not count.
static void get_session(struct bench *bench)
{
    struct connection *first = &bench->connections[bench->connection_count - 1];
    phase_connect(bench, bench->connection_count - 1, 1);
    if (bench->stop || first->state != CONNECTION_READY)
        return;
    phase_settle(bench, 0.05);
    if (!bench->session && !bench->stop)
        bench_fail(bench, BENCH_REFUSED, "the broker gave no TLS session to resume");
    bench->connected = 0;
    bench->connecting = (struct histogram){0};
}

void scenario_connect(struct bench *bench, struct readings *readings)
{
    uint32_t clients = bench->options->clients;
    bool resume = bench->options->resume && bench->options->target.tls;
    bench->tolerant = true;
    cast_make(bench, clients + (resume ? 1 : 0), 0, 0);
    cast_ready(bench);
    if (resume && !bench->stop)
        get_session(bench);
    readings->rss_start = resident_bytes(bench);
    readings->connect_begin = readings->connect_end = sample_take(bench);
    if (!bench->stop)
        phase_connect(bench, 0, clients);
    readings->connect_end = sample_take(bench);
    if (bench->connected_ns > readings->connect_begin.now_ns)
        readings->connect_end.now_ns = bench->connected_ns;
    if (!bench->stop && bench->connected > 0)
        phase_settle(bench, SETTLE + bench->options->hold);
    readings->rss_connected = resident_bytes(bench);
    if (!bench->stop && bench->failed + bench->lost > 0)
        bench->exit = BENCH_REFUSED;
}

// ---- pairs, fan-in, fan-out, latency -------------------------------------------------------------------

static void publish(struct bench *bench)
{
    uint32_t count = bench->options->count;
    for (uint32_t i = 0; i < bench->publisher_count; i++)
        bench->publishers[i].limit = count;
    if (!bench->stop)
        phase_publish(bench, count > 0);
}

void scenario_traffic(struct bench *bench, struct readings *readings)
{
    const struct bench_options *options = bench->options;
    bool fan_in = options->scenario == BENCH_FAN_IN;
    bool fan_out = options->scenario == BENCH_FAN_OUT;
    bool pairs = !fan_in && !fan_out;
    uint32_t publishers = fan_out ? options->publishers : options->clients;
    uint32_t subscribers = fan_in ? options->subscribers : options->clients;
    uint32_t streams = publishers * options->topics;
    int digits = digits_of(streams);
    if (!fan_out && digits < 6)
        digits = 6;
    bench->topics = (struct topics){.word = pairs ? "p" : fan_in ? "i" : "o", .tail = "", .digits = digits};
    bench->filters = pairs || streams == 1 ? FILTERS_EXACT : FILTERS_ALL;
    bench->fan = pairs ? 1 : subscribers;
    cast_make(bench, publishers + subscribers, publishers, subscribers);
    for (uint32_t i = 0; i < subscribers; i++)
        cast_subscriber(bench, i, i, pairs ? i * options->topics : 0, pairs ? options->topics : streams);
    for (uint32_t i = 0; i < publishers; i++)
        cast_publisher(bench, i, subscribers + i, i * options->topics, options->topics);
    ledger_open(&bench->ledger, bench->ledger.count);
    cast_ready(bench);
    readings->rss_start = resident_bytes(bench);
    if (!bench->stop)
        phase_connect(bench, 0, bench->connection_count);
    if (!bench->stop)
        phase_subscribe(bench);
    publish(bench);
    readings->rss_end = resident_bytes(bench);
}

// ---- subscriptions -------------------------------------------------------------------------------------

void scenario_subscriptions(struct bench *bench, struct readings *readings)
{
    const struct bench_options *options = bench->options;
    uint32_t streams = options->subscriptions;
    uint32_t subscribers = options->clients;
    uint32_t publishers = options->publishers;
    bench->topics = (struct topics){.word = "s", .tail = "/v", .tree = true};
    bench->filters = FILTERS_MIXED;
    bench->fan = 1;
    cast_make(bench, publishers + subscribers, publishers, subscribers);
    for (uint32_t i = 0; i < subscribers; i++) {
        uint32_t first = share_start(streams, i, subscribers);
        cast_subscriber(bench, i, i, first, share_start(streams, i + 1, subscribers) - first);
    }
    for (uint32_t i = 0; i < publishers; i++) {
        uint32_t first = share_start(streams, i, publishers);
        cast_publisher(bench, i, subscribers + i, first, share_start(streams, i + 1, publishers) - first);
    }
    ledger_open(&bench->ledger, bench->ledger.count);
    cast_ready(bench);
    if (!bench->stop)
        phase_connect(bench, 0, bench->connection_count);
    if (!bench->stop)
        phase_settle(bench, SETTLE);
    readings->rss_start = resident_bytes(bench);
    readings->subscribe_begin = sample_take(bench);
    if (!bench->stop)
        phase_subscribe(bench);
    readings->subscribe_end = sample_take(bench);
    if (!bench->stop)
        phase_settle(bench, SETTLE);
    readings->rss_subscribed = resident_bytes(bench);
    publish(bench);
    readings->rss_end = resident_bytes(bench);
}

// ---- retained ------------------------------------------------------------------------------------------

static bool fetch_done(struct bench *bench)
{
    if (subscribe_done(bench) && bench->ledger.delivered >= bench->sent * bench->fan)
        return true;
    return bench->now_ns > bench->progress_ns + (uint64_t)(bench->options->drain * (double)NS_PER_SECOND);
}

static bool flushed_and_answered(struct bench *bench)
{
    return bench->pings_due == 0;
}

// Retained messages are removed by empty ones. [v5 3.3.1.3]
void retained_remove(struct bench *bench)
{
    struct publisher *publisher = &bench->publishers[0];
    uint8_t packet[SEND_HEADROOM + TOPIC_MAX + 8];
    char topic[TOPIC_MAX];
    bench->stop = false; // also after an interruption
    bench->phase = "removing";
    if (publisher->connection->state != CONNECTION_READY)
        return;
    for (uint32_t i = 0; i < bench->options->count; i++) {
        (void)bench_topic_name(bench, i, topic);
        const struct mqtt_publish empty = {.retain = true, .topic = str_of(topic)};
        size_t size = mqtt_encode_publish(packet + SEND_HEADROOM, bench->options->version, &empty);
        bench_connection_send(bench, publisher->connection, packet + SEND_HEADROOM, size);
    }
    bench->pings_due = 1;
    packet_bare(bench, publisher->connection, MQTT_PINGREQ);
    loop_run(bench, NULL, flushed_and_answered);
}

static void fetch(struct bench *bench, struct readings *readings)
{
    bench->first_message_ns = bench->last_message_ns = 0;
    bench->measure_from_ns = NEVER; // they were due when they were stored
    subscribe_start(bench);
    readings->fetch_begin = sample_take(bench);
    loop_run(bench, subscribe_tick, fetch_done);
    readings->fetch_end = sample_take(bench);
    if (bench->last_message_ns > readings->fetch_begin.now_ns)
        readings->fetch_end.now_ns = bench->last_message_ns;
    free(bench->subscribing);
    bench->subscribing = NULL;
}

void scenario_retained(struct bench *bench, struct readings *readings)
{
    const struct bench_options *options = bench->options;
    uint32_t streams = options->count;
    uint32_t publishers = options->publishers;
    uint32_t subscribers = options->clients;
    bench->topics = (struct topics){.word = "r", .tail = "", .tree = true};
    bench->filters = FILTERS_ALL;
    bench->retain = true;
    cast_make(bench, publishers + subscribers, publishers, subscribers);
    for (uint32_t i = 0; i < publishers; i++) {
        uint32_t first = share_start(streams, i, publishers);
        cast_publisher(bench, i, i, first, share_start(streams, i + 1, publishers) - first);
        bench->publishers[i].limit = bench->publishers[i].streams;
    }
    for (uint32_t i = 0; i < subscribers; i++)
        cast_subscriber(bench, i, publishers + i, 0, streams);
    ledger_open(&bench->ledger, bench->ledger.count);
    cast_ready(bench);
    if (!bench->stop)
        phase_connect(bench, 0, publishers);
    readings->rss_start = resident_bytes(bench);
    bench->traffic.barrier = true;
    if (!bench->stop)
        phase_publish(bench, true);
    if (!bench->stop && bench->pings_due > 0)
        bench_fail(bench, BENCH_SILENT, "the broker did not take the retained messages");
    if (!bench->stop)
        phase_settle(bench, SETTLE);
    readings->rss_stored = resident_bytes(bench);
    bench->fan = subscribers;
    if (!bench->stop)
        phase_connect(bench, publishers, subscribers);
    if (!bench->stop)
        fetch(bench, readings);
    readings->rss_end = resident_bytes(bench);
}
