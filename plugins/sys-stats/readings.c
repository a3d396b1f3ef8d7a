#include "readings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Metrics of the broker that are added to a reading. */
static const struct {
    const char *metric;
    const char *label; /* value of its one label that counts; NULL: all count */
    enum reading reading;
} broker_metrics[] = {
    {"clients_connected", NULL, READ_CLIENTS},
    {"sessions", NULL, READ_SESSIONS},
    {"sessions_expired", NULL, READ_EXPIRED},
    {"connections", NULL, READ_CONNECTIONS},
    {"connections_accepted", NULL, READ_ACCEPTED},
    {"packets_received", "connect", READ_CONNECTS},
    {"packets_received", NULL, READ_PACKETS_RECEIVED},
    {"packets_sent", NULL, READ_PACKETS_SENT},
    {"received_bytes", NULL, READ_BYTES_RECEIVED},
    {"sent_bytes", NULL, READ_BYTES_SENT},
    {"publish_received", NULL, READ_PUBLISH_RECEIVED},
    {"publish_sent", NULL, READ_PUBLISH_SENT},
    /* As in Mosquitto: what limits cost, not what was not meant to arrive. */
    {"publish_dropped", "queue_full", READ_PUBLISH_DROPPED},
    {"publish_dropped", "memory_limit", READ_PUBLISH_DROPPED},
    {"publish_dropped", "out_of_memory", READ_PUBLISH_DROPPED},
    {"publish_dropped", "too_large", READ_PUBLISH_DROPPED},
    {"publish_received_bytes", NULL, READ_PUBLISH_BYTES_RECEIVED},
    {"publish_sent_bytes", NULL, READ_PUBLISH_BYTES_SENT},
    {"stored_messages", NULL, READ_STORED},
    {"stored_bytes", NULL, READ_STORED_BYTES},
    {"retained_messages", NULL, READ_RETAINED},
    {"subscriptions", NULL, READ_SUBSCRIPTIONS},
    {"shared_subscriptions", NULL, READ_SHARED},
    {"resident_memory_bytes", NULL, READ_MEMORY},
    {"resident_memory_maximum_bytes", NULL, READ_MEMORY_MOST},
    {"start_time_seconds", NULL, READ_START},
};

static bool is(struct noctule_string string, const char *text)
{
    return string.length == strlen(text) && memcmp(string.data, text, string.length) == 0;
}

static bool label_is(const struct noctule_metric_value *metric, const char *value)
{
    return !value || (metric->label_count == 1 && is(metric->labels[0].value, value));
}

static void take_version(struct readings *readings, const struct noctule_metric_value *metric)
{
    if (metric->label_count == 1)
        snprintf(readings->version, sizeof(readings->version), "%.*s", (int)metric->labels[0].value.length,
                 metric->labels[0].value.data);
}

/* Labels of the broker's are short numbers; anything else is no worker. */
static void take_worker(struct readings *readings, const struct noctule_metric_value *metric)
{
    size_t index = 0;
    if (metric->label_count != 1 || !is(metric->labels[0].name, "worker"))
        return;
    for (size_t i = 0; i < metric->labels[0].value.length; i++)
        index = index * 10 + (size_t)(metric->labels[0].value.data[i] - '0');
    if (index >= readings->worker_count)
        return;
    if (is(metric->name, "worker_clients"))
        readings->workers[index].clients = metric->value;
    else if (is(metric->name, "worker_cpu"))
        readings->workers[index].cpu_us = metric->value;
}

static void take_of_broker(struct readings *readings, const struct noctule_metric_value *metric)
{
    for (size_t i = 0; i < sizeof(broker_metrics) / sizeof(*broker_metrics); i++)
        if (is(metric->name, broker_metrics[i].metric) && label_is(metric, broker_metrics[i].label))
            readings->values[broker_metrics[i].reading] += metric->value;
    if (is(metric->name, "build_info"))
        take_version(readings, metric);
    take_worker(readings, metric);
}

/* The metrics of one instance come one after the other. */
static struct instance_reading *instance_of(struct readings *readings, struct noctule_string name)
{
    if (readings->instance_count > 0) {
        struct instance_reading *last = &readings->instances[readings->instance_count - 1];
        if (is(name, last->name))
            return last;
    }
    struct instance_reading *more =
        realloc(readings->instances, (readings->instance_count + 1) * sizeof(*more));
    if (!more || name.length > INSTANCE_NAME_MAX) {
        readings->instances = more ? more : readings->instances;
        readings->failed = true;
        return NULL;
    }
    readings->instances = more;
    struct instance_reading *made = &more[readings->instance_count++];
    memset(made, 0, sizeof(*made));
    memcpy(made->name, name.data, name.length);
    return made;
}

static void take_of_instance(struct readings *readings, const struct noctule_metric_value *metric)
{
    struct instance_reading *instance = instance_of(readings, metric->instance);
    if (!instance)
        return;
    if (is(metric->name, "verdicts_allow"))
        instance->allowed = metric->value;
    else if (is(metric->name, "verdicts_deny"))
        instance->denied = metric->value;
    else if (is(metric->name, "verdicts_error"))
        instance->errors = metric->value;
    else if (is(metric->name, "pending"))
        instance->pending = metric->value;
    else if (is(metric->name, "decision_duration")) {
        instance->decisions = metric->value;
        instance->decision_us = metric->total;
    }
}

static void take(const struct noctule_metric_value *metric, void *argument)
{
    struct readings *readings = argument;
    if (metric->instance.length > 0)
        take_of_instance(readings, metric);
    else
        take_of_broker(readings, metric);
}

void readings_take(struct readings *readings, const struct noctule_host *host)
{
    *readings = (struct readings){.worker_count = host->worker_count()};
    readings->workers = calloc(readings->worker_count + 1, sizeof(*readings->workers));
    if (!readings->workers) {
        readings->worker_count = 0;
        readings->failed = true;
    }
    host->metric_each(take, readings);
}

void readings_clear(struct readings *readings)
{
    free(readings->instances);
    free(readings->workers);
    *readings = (struct readings){0};
}
