#include "core/bench/report.h"

#include <math.h>

#include "core/bench/ledger.h"
#include "core/mqtt/packet.h"

static void put(json_t *object, const char *name, json_t *value)
{
    json_object_set_new(object, name, value);
}

static void put_count(json_t *object, const char *name, uint64_t value)
{
    put(object, name, json_integer((json_int_t)value));
}

// Four decimals are more than any of these is worth.
static void put_real(json_t *object, const char *name, double value)
{
    put(object, name, isfinite(value) ? json_real(round(value * 10000) / 10000) : json_null());
}

static void put_text(json_t *object, const char *name, const char *text)
{
    put(object, name, text ? json_string(text) : json_null());
}

static double seconds(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? (double)(to_ns - from_ns) / (double)NS_PER_SECOND : 0;
}

static double per(double value, double count)
{
    return count > 0 ? value / count : NAN;
}

static void put_histogram(json_t *object, const char *name, const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double quantile;
    } members[] = {{"min", 0}, {"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99_9", 0.999}, {"max", 1}};
    if (histogram->count == 0)
        return;
    json_t *values = json_object();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        put_real(values, members[i].name, (double)histogram_quantile(histogram, members[i].quantile) / 1000);
    put_real(values, "mean", histogram_mean(histogram) / 1000);
    put_count(values, "count", histogram->count);
    put(object, name, values);
}

// ---- parts ---------------------------------------------------------------------------------------------

// What limited the rate, as far as the clocks of both sides show.
static const char *limited_by(const struct bench *bench, const struct sample *begin, const struct sample *end)
{
    double elapsed = seconds(begin->now_ns, end->now_ns);
    double broker =
        seconds(begin->broker_ns, end->broker_ns) + seconds(begin->broker_wait_ns, end->broker_wait_ns);
    double own = seconds(begin->own_ns, end->own_ns) + seconds(begin->own_wait_ns, end->own_wait_ns);
    if (bench->options->spin)
        own -= seconds(begin->idle_ns, end->idle_ns);
    if (bench->options->rate > 0)
        return "rate";
    if (bench->options->pid_count > 0 && broker >= 0.95 * elapsed)
        return "broker";
    if (own >= 0.95 * elapsed)
        return "bench";
    return bench->options->pid_count > 0 ? "window" : "unknown";
}

// CPU times between two looks at the clocks, for `count` things called `unit`.
static void put_cpu(json_t *root, const struct bench *bench, const struct sample *begin,
                    const struct sample *end, double count, const char *unit)
{
    char name[48];
    double elapsed = seconds(begin->now_ns, end->now_ns);
    double own = seconds(begin->own_ns, end->own_ns);
    double broker = seconds(begin->broker_ns, end->broker_ns);
    snprintf(name, sizeof name, "cpu_us_per_%s", unit);
    if (bench->options->pid_count > 0) {
        json_t *object = json_object_get(root, "broker");
        put_real(object, "cpu_seconds", broker);
        put_real(object, "cpus", per(broker, elapsed));
        put_real(object, name, per(broker * 1e6, count));
        put_real(object, "wait_seconds", seconds(begin->broker_wait_ns, end->broker_wait_ns));
    }
    json_t *object = json_object();
    put_real(object, "cpu_seconds", own);
    put_real(object, "cpus", per(own, elapsed));
    put_real(object, name, per(own * 1e6, count));
    put_real(object, "wait_seconds", seconds(begin->own_wait_ns, end->own_wait_ns));
    put(root, "bench", object);
    double others = seconds(begin->busy_ns, end->busy_ns) - own - broker;
    put_real(root, "other_cpu_seconds", others > 0 ? others : 0);
}

static void put_memory(json_t *root, const char *unit, uint64_t before, uint64_t after, double count)
{
    json_t *object = json_object_get(root, "broker");
    char name[48];
    snprintf(name, sizeof name, "bytes_per_%s", unit);
    if (object && before > 0 && after > 0)
        put_real(object, name, per((double)after - (double)before, count));
}

static void put_connecting(json_t *root, const struct bench *bench)
{
    json_t *object = json_object();
    put_count(object, "connected", bench->connected);
    put_count(object, "failed", bench->failed);
    put_count(object, "lost", bench->lost);
    if (bench->tls)
        put_count(object, "resumed", bench->resumed);
    put_histogram(object, "latency_us", &bench->connecting);
    put(root, "connections", object);
}

static void put_subscribing(json_t *root, const struct bench *bench, const struct readings *readings)
{
    double elapsed = seconds(readings->subscribe_begin.now_ns, readings->subscribe_end.now_ns);
    json_t *object = json_object();
    put_count(object, "acknowledged", bench->subscribed);
    put_count(object, "refused", bench->subscriptions_refused);
    put_count(object, "lower_qos", bench->lower_qos);
    if (elapsed > 0) {
        double broker = seconds(readings->subscribe_begin.broker_ns, readings->subscribe_end.broker_ns);
        put_real(object, "seconds", elapsed);
        put_real(object, "rate", per((double)bench->subscribed, elapsed));
        if (bench->options->pid_count > 0)
            put_real(object, "broker_cpu_us", per(broker * 1e6, (double)bench->subscribed));
    }
    put(root, "subscriptions", object);
}

static uint64_t lost_messages(const struct bench *bench)
{
    uint64_t expected = bench->sent * bench->fan;
    return expected > bench->ledger.delivered ? expected - bench->ledger.delivered : 0;
}

static void put_messages(json_t *root, const struct bench *bench)
{
    const struct ledger *ledger = &bench->ledger;
    json_t *object = json_object();
    put_count(object, "sent", bench->sent);
    put_count(object, "expected", bench->sent * bench->fan);
    put_count(object, "delivered", ledger->delivered);
    put_count(object, "lost", lost_messages(bench));
    put_count(object, "duplicates", ledger->duplicates);
    put_count(object, "reordered", ledger->reordered);
    put_count(object, "misrouted", ledger->misrouted);
    put_count(object, "wrong_size", ledger->wrong_size);
    put_count(object, "stray", ledger->stray);
    put_count(object, "stalls", bench->stalls);
    if (bench->options->qos > 0) {
        put_count(object, "acknowledged", bench->acknowledged);
        put_count(object, "refused", bench->refused);
        put_count(object, "wrong_acknowledgements", bench->wrong_acks);
    }
    if (bench->options->rate > 0) {
        uint64_t scheduled = bench->traffic.scheduled;
        put_count(object, "backlog", scheduled > bench->sent ? scheduled - bench->sent : 0);
    }
    put(root, "messages", object);
}

static void put_measured(json_t *root, const struct bench *bench, const struct sample *begin,
                         const struct sample *end, const char *unit)
{
    double elapsed = seconds(begin->now_ns, end->now_ns);
    double delivered = (double)(end->delivered - begin->delivered);
    bool connecting = bench->options->scenario == BENCH_CONNECT;
    double count = connecting ? bench->connected : delivered;
    json_t *object = json_object();
    put_real(object, "seconds", elapsed);
    put_real(object, "rate", per(count, elapsed));
    if (!connecting) {
        put_count(object, "messages", (uint64_t)delivered);
        put_real(object, "publish_rate", per((double)(end->sent - begin->sent), elapsed));
        put_real(object, "megabytes_per_second", per(delivered * bench->options->payload / 1e6, elapsed));
        put_histogram(object, "latency_us", &bench->latency);
        put_histogram(object, "acknowledge_us", &bench->acknowledging);
        put_histogram(object, "lateness_us", &bench->lateness);
    }
    put_text(object, "limited_by", limited_by(bench, begin, end));
    put(root, "measured", object);
    put_cpu(root, bench, begin, end, count, unit);
}

static const char *version_name(uint8_t version)
{
    return version == MQTT_V5 ? "5.0" : version == MQTT_V3_1 ? "3.1" : "3.1.1";
}

static void put_load(json_t *root, const struct bench *bench)
{
    const struct bench_options *options = bench->options;
    json_t *object = json_object();
    put_text(object, "target", options->target.text);
    put_text(object, "mqtt", version_name(options->version));
    put_count(object, "qos", options->qos);
    put_count(object, "clients", options->clients);
    put_count(object, "publishers", bench->publisher_count);
    put_count(object, "subscribers", bench->subscriber_count);
    put_count(object, "payload", options->payload);
    put_count(object, "batch", bench->batch);
    put_count(object, "window", options->window);
    put_count(object, "inflight", options->inflight);
    put_real(object, "rate", options->rate);
    put_real(object, "ramp", options->ramp);
    put(root, "load", object);
}

// ---- the whole -----------------------------------------------------------------------------------------

static void put_scenario(json_t *root, const struct bench *bench, const struct readings *readings)
{
    const struct traffic *traffic = &bench->traffic;
    switch (bench->options->scenario) {
    case BENCH_CONNECT:
        put_measured(root, bench, &readings->connect_begin, &readings->connect_end, "connection");
        put_memory(root, "connection", readings->rss_start, readings->rss_connected, bench->connected);
        return;
    case BENCH_RETAINED:
        put_real(root, "store_seconds", seconds(traffic->begin.now_ns, traffic->end.now_ns));
        if (bench->first_message_ns > readings->fetch_begin.now_ns)
            put_real(root, "first_message_ms",
                     seconds(readings->fetch_begin.now_ns, bench->first_message_ns) * 1000);
        put_measured(root, bench, &readings->fetch_begin, &readings->fetch_end, "message");
        put_memory(root, "retained", readings->rss_start, readings->rss_stored, (double)bench->sent);
        break;
    case BENCH_SUBSCRIPTIONS:
        put_measured(root, bench, &traffic->begin, &traffic->end, "message");
        put_memory(root, "subscription", readings->rss_start, readings->rss_subscribed,
                   (double)bench->subscribed);
        break;
    default:
        put_measured(root, bench, &traffic->begin, &traffic->end, "message");
        break;
    }
    put_subscribing(root, bench, readings);
    put_messages(root, bench);
}

json_t *report_make(const struct bench *bench, const struct readings *readings)
{
    json_t *root = json_object();
    put_text(root, "scenario", bench_scenario_name(bench->options->scenario));
    put(root, "ok", json_boolean(bench->exit == BENCH_DONE));
    put_count(root, "exit", (uint64_t)bench->exit);
    put_text(root, "problem", bench->problem);
    put_load(root, bench);
    if (bench->options->pid_count > 0) {
        json_t *broker = json_object();
        put_count(broker, "resident_before", readings->rss_start);
        put_count(broker, "resident_after", readings->rss_end ? readings->rss_end : readings->rss_connected);
        put(root, "broker", broker);
    }
    put_connecting(root, bench);
    put_scenario(root, bench, readings);
    return root;
}
