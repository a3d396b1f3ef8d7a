// `status`: what is counted, as one object; rates over the last seconds; which limits are near.
#include <stdlib.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/broker/control_state.h"

enum { SAMPLE_MS = 1000 };

static const char *const sampled[] = {"publish_received", "publish_sent", "received_bytes", "sent_bytes",
                                      "connections_accepted"};

static uint64_t sum_of_counter(const struct broker *broker, unsigned counter)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < broker->worker_count; i++)
        sum += counter_read(&broker->counters[i], counter);
    return sum;
}

void control_sample(struct control *control)
{
    uint64_t now = clock_monotonic_ms();
    if (control->sample_count > 0 && now < control->samples[0].at_ms + SAMPLE_MS)
        return;
    const struct broker *broker = control->broker;
    struct control_sample sample = {.at_ms = now};
    sample.values[0] = sum_of_counter(broker, COUNTER_RECEIVED + MQTT_PUBLISH);
    sample.values[1] = sum_of_counter(broker, COUNTER_SENT + MQTT_PUBLISH);
    for (unsigned i = 0; i < broker->worker_count; i++) {
        sample.values[2] += atomic_load_explicit(&broker->workers[i].bytes_read, memory_order_relaxed);
        sample.values[3] += atomic_load_explicit(&broker->workers[i].bytes_written, memory_order_relaxed);
    }
    sample.values[4] = sum_of_counter(broker, COUNTER_ACCEPTED);
    memmove(&control->samples[1], &control->samples[0], CONTROL_RATE_SECONDS * sizeof control->samples[0]);
    control->samples[0] = sample;
    if (control->sample_count < CONTROL_RATE_SECONDS + 1)
        control->sample_count++;
}

static json_t *rates(const struct control *control)
{
    json_t *object = json_object();
    if (control->sample_count < 2)
        return object;
    const struct control_sample *newest = &control->samples[0];
    const struct control_sample *oldest = &control->samples[control->sample_count - 1];
    double seconds = (double)(newest->at_ms - oldest->at_ms) / 1000;
    for (size_t i = 0; i < sizeof sampled / sizeof *sampled; i++)
        json_object_set_new(object, sampled[i],
                            json_real((double)(newest->values[i] - oldest->values[i]) / seconds));
    return object;
}

/* ---- what is counted ---- */

static json_t *inner(json_t *object, const char *key)
{
    json_t *found = json_object_get(object, key);
    if (found)
        return found;
    json_object_set_new(object, key, json_object());
    return json_object_get(object, key);
}

static json_t *inner_named(json_t *object, struct noctule_string name)
{
    char key[128];
    snprintf(key, sizeof key, "%.*s", (int)name.length, name.data ? name.data : "");
    return inner(object, key);
}

static json_t *value_of(const struct noctule_metric_value *metric)
{
    if (metric->kind != NOCTULE_HISTOGRAM)
        return json_integer((json_int_t)metric->value);
    double mean = metric->value ? (double)metric->total / (double)metric->value : 0;
    return json_pack("{s:I, s:f}", "count", (json_int_t)metric->value, "mean_us", mean);
}

// A metric of one worker or listener stands with the others of that one; other labels tell values of one name
// apart.
static json_t *place_of(json_t *status, const struct noctule_metric_value *metric, const char **name)
{
    const struct noctule_metric_label *label = metric->label_count ? &metric->labels[0] : NULL;
    static const struct {
        const char *label;
        const char *prefix;
        const char *group;
    } groups[] = {{"worker", "worker_", "workers"}, {"listener", "listener_", "listeners"}};
    if (metric->instance.length)
        return inner_named(inner(status, "plugins"), metric->instance);
    for (size_t i = 0; label && i < sizeof groups / sizeof *groups; i++) {
        size_t length = strlen(groups[i].prefix);
        if (strncmp(*name, groups[i].prefix, length) != 0 ||
            !str_equal(str_make(label->name.data, label->name.length), str_of(groups[i].label)))
            continue;
        *name += length;
        return inner_named(inner(status, groups[i].group), label->value);
    }
    return inner(status, "broker");
}

static void note(const struct noctule_metric_value *metric, void *argument)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%.*s", (int)metric->name.length, metric->name.data);
    const char *name = whole;
    json_t *place = place_of(argument, metric, &name);
    if (metric->label_count == 0 || name != whole) {
        json_object_set_new(place, name, value_of(metric));
        return;
    }
    char label[128];
    const struct noctule_string value = metric->labels[0].value;
    snprintf(label, sizeof label, "%.*s", (int)value.length, value.data ? value.data : "");
    json_object_set_new(inner(place, name), label, value_of(metric));
}

/* ---- limits ---- */

static void add_limit(json_t *list, const char *name, uint64_t value, uint64_t bound)
{
    if (bound == 0)
        return;
    json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:f}", "limit", name, "value", (json_int_t)value,
                                          "bound", (json_int_t)bound, "percent",
                                          100.0 * (double)value / (double)bound));
}

static uint64_t count_of(const json_t *status, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(json_object_get(status, "broker"), name));
    return value < 0 ? 0 : (uint64_t)value;
}

static json_t *limits_of(struct control *control, const json_t *status)
{
    pthread_mutex_lock(&control->lock);
    struct limit_settings limits = control->limits;
    pthread_mutex_unlock(&control->lock);
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    json_t *list = json_array();
    add_limit(list, "limits.connections", count_of(status, "connections"), limits.connections);
    add_limit(list, "limits.sessions", count_of(status, "sessions"), limits.sessions);
    add_limit(list, "limits.retained_messages", count_of(status, "retained_messages"),
              limits.retained_messages);
    add_limit(list, "limits.retained_bytes", count_of(status, "retained_bytes"), limits.retained_bytes);
    add_limit(list, "limits.memory", count_of(status, "resident_memory_bytes"), limits.memory);
    add_limit(list, "limits.pending_decisions", count_of(status, "pending_decisions"),
              limits.pending_decisions);
    if (files.rlim_cur != RLIM_INFINITY)
        add_limit(list, "open descriptors", count_of(status, "connections"), files.rlim_cur);
    uint64_t backlog = 0;
    for (unsigned i = 0; i < control->broker->worker_count; i++) {
        uint64_t own = atomic_load_explicit(&control->broker->workers[i].backlog, memory_order_relaxed);
        backlog = own > backlog ? own : backlog;
    }
    add_limit(list, "backlog of a worker", backlog, BACKLOG_HIGH);
    return list;
}

json_t *control_status(struct control *control)
{
    json_t *status = json_object();
    uint64_t up_ms = clock_monotonic_ms() - control->started_ms;
    json_object_set_new(status, "version", json_string(NOCTULE_VERSION));
    json_object_set_new(status, "pid", json_integer(getpid()));
    json_object_set_new(status, "uptime_seconds", json_integer((json_int_t)(up_ms / 1000)));
    plugin_host_metrics(note, status);
    json_object_set_new(status, "rates", rates(control));
    json_object_set_new(status, "limits", limits_of(control, status));
    json_t *last = json_object();
    json_object_set_new(last, "status", status);
    return last;
}
