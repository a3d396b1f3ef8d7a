/* Counts its messages in a counter, their bytes in a gauge and a histogram; "metrics/print" logs all metrics
 * there are. */
#include "common.h"

struct metrics {
    struct noctule_instance *instance;
    struct noctule_metric *messages;
    struct noctule_metric *bytes;
    struct noctule_metric *sizes;
};

static int32_t init(const struct noctule_host *given, struct noctule_instance *instance, void **state)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    host_take(given);
    metrics->instance = instance;
    metrics->messages = host->metric_new(instance, NOCTULE_COUNTER, "messages", "messages seen");
    metrics->bytes = host->metric_new(instance, NOCTULE_GAUGE, "bytes", "payload bytes of the last message");
    metrics->sizes = host->metric_new(instance, NOCTULE_HISTOGRAM, "sizes", "payload bytes of messages");
    *state = metrics;
    return metrics->messages && metrics->bytes && metrics->sizes ? NOCTULE_OK : NOCTULE_E_INVALID;
}

static void print(const struct noctule_metric_value *metric, void *argument)
{
    const struct metrics *metrics = argument;
    char labels[256] = "";
#if NOCTULE_ABI_MINOR >= 1
    for (size_t i = 0; i < metric->label_count; i++) {
        size_t used = strlen(labels);
        snprintf(labels + used, sizeof labels - used, " %.*s=%.*s", ARG(metric->labels[i].name),
                 ARG(metric->labels[i].value));
    }
#endif
    say(metrics->instance, "metric %.*s/%.*s kind %u value %lld total %llu%s.", ARG(metric->instance),
        ARG(metric->name), (unsigned)metric->kind, (long long)metric->value,
        (unsigned long long)metric->total, labels);
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    struct metrics *metrics = context->state;
    const struct noctule_message_info *info = host->message_info(message);
    host->metric_add(metrics->messages, 1);
    host->metric_set(metrics->bytes, (int64_t)info->payload.length);
    host->metric_observe(metrics->sizes, info->payload.length);
    if (is(info->topic, "metrics/print"))
        host->metric_each(print, metrics);
    return NOCTULE_NEXT;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("metrics"),
    .init = init,
    .fini = state_free,
    .message_in = message_in,
};

NOCTULE_PLUGIN_ENTRY(plugin)
