#include "tree.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Topics that are one reading. */
static const struct {
    const char *topic;
    enum reading reading;
} plain[] = {
    {"clients/connected", READ_CLIENTS},
    {"clients/active", READ_CLIENTS},
    {"clients/expired", READ_EXPIRED},
    {"connections/socket/count", READ_CONNECTIONS},
    {"messages/stored", READ_STORED},
    {"store/messages/count", READ_STORED},
    {"store/messages/bytes", READ_STORED_BYTES},
    {"subscriptions/count", READ_SUBSCRIPTIONS},
    {"shared_subscriptions/count", READ_SHARED},
    {"retained messages/count", READ_RETAINED},
    {"heap/current", READ_MEMORY},
    {"heap/maximum", READ_MEMORY_MOST},
    {"messages/received", READ_PACKETS_RECEIVED},
    {"messages/sent", READ_PACKETS_SENT},
    {"publish/messages/dropped", READ_PUBLISH_DROPPED},
    {"publish/messages/received", READ_PUBLISH_RECEIVED},
    {"publish/messages/sent", READ_PUBLISH_SENT},
    {"publish/bytes/received", READ_PUBLISH_BYTES_RECEIVED},
    {"publish/bytes/sent", READ_PUBLISH_BYTES_SENT},
    {"bytes/received", READ_BYTES_RECEIVED},
    {"bytes/sent", READ_BYTES_SENT},
};

static const struct {
    const char *topic;
    enum reading reading;
} rates[TREE_RATES] = {
    {"load/messages/received", READ_PACKETS_RECEIVED},
    {"load/messages/sent", READ_PACKETS_SENT},
    {"load/publish/dropped", READ_PUBLISH_DROPPED},
    {"load/publish/received", READ_PUBLISH_RECEIVED},
    {"load/publish/sent", READ_PUBLISH_SENT},
    {"load/bytes/received", READ_BYTES_RECEIVED},
    {"load/bytes/sent", READ_BYTES_SENT},
    {"load/sockets", READ_ACCEPTED},
    {"load/connections", READ_CONNECTS},
};

static const struct {
    const char *name;
    double seconds;
} spans[TREE_SPANS] = {{"1min", 60}, {"5min", 300}, {"15min", 900}};

static void update_clients(struct tree *tree, struct topics *topics, const struct readings *readings)
{
    /* The parts are not read at one moment. */
    int64_t connected = readings->values[READ_CLIENTS];
    int64_t total = readings->values[READ_SESSIONS];
    int64_t disconnected = total > connected ? total - connected : 0;
    if (total > tree->clients_most)
        tree->clients_most = total;
    topics_put_number(topics, "clients/total", total);
    topics_put_number(topics, "clients/maximum", tree->clients_most);
    topics_put_number(topics, "clients/disconnected", disconnected);
    topics_put_number(topics, "clients/inactive", disconnected);
}

/* Averages over 1, 5 and 15 minutes of what comes per minute, older minutes weighing less and less. */
static void update_loads(struct tree *tree, struct topics *topics, const struct readings *readings,
                         double seconds)
{
    for (size_t i = 0; i < TREE_RATES; i++) {
        int64_t came = readings->values[rates[i].reading] - tree->before.values[rates[i].reading];
        for (size_t j = 0; j < TREE_SPANS; j++) {
            if (seconds > 0) {
                double per_minute = (double)came * 60 / seconds;
                double weight = exp(-seconds / spans[j].seconds);
                tree->loads[i][j] = per_minute + weight * (tree->loads[i][j] - per_minute);
            }
            char name[64];
            snprintf(name, sizeof(name), "%s/%s", rates[i].topic, spans[j].name);
            topics_put_decimal(topics, name, tree->loads[i][j]);
        }
    }
}

static const struct instance_reading *same_instance(const struct readings *before,
                                                    const struct instance_reading *instance)
{
    static const struct instance_reading none;
    for (size_t i = 0; i < before->instance_count; i++)
        if (strcmp(before->instances[i].name, instance->name) == 0)
            return &before->instances[i];
    return &none;
}

static void update_instance(const struct tree *tree, struct topics *topics,
                            const struct instance_reading *instance)
{
    const struct instance_reading *before = same_instance(&tree->before, instance);
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {
        {"allowed", instance->allowed},
        {"denied", instance->denied},
        {"errors", instance->errors},
        {"pending", instance->pending},
    };
    char name[INSTANCE_NAME_MAX + 32];
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        snprintf(name, sizeof(name), "plugins/%s/%s", instance->name, numbers[i].name);
        topics_put_number(topics, name, numbers[i].value);
    }
    /* Of what was decided since the last update; while nothing is, the last value stands. */
    int64_t decisions = instance->decisions - before->decisions;
    if (decisions <= 0 && tree->updated_ms)
        return;
    uint64_t microseconds = instance->decision_us - before->decision_us;
    snprintf(name, sizeof(name), "plugins/%s/latency_us", instance->name);
    topics_put_number(topics, name, decisions > 0 ? (int64_t)microseconds / decisions : 0);
}

static void update_worker(const struct tree *tree, struct topics *topics, const struct readings *readings,
                          size_t index, double seconds)
{
    const struct worker_reading *worker = &readings->workers[index];
    char name[48];
    double load = 0;
    if (seconds > 0 && index < tree->before.worker_count)
        load = (double)(worker->cpu_us - tree->before.workers[index].cpu_us) / 1e6 / seconds;
    snprintf(name, sizeof(name), "workers/%zu/clients", index);
    topics_put_number(topics, name, worker->clients);
    snprintf(name, sizeof(name), "workers/%zu/load", index);
    topics_put_decimal(topics, name, load < 0 ? 0 : load);
}

static void update_uptime(struct topics *topics, const struct readings *readings, uint64_t wall_ms)
{
    char text[40];
    int64_t seconds = (int64_t)(wall_ms / 1000) - readings->values[READ_START];
    snprintf(text, sizeof(text), "%" PRId64 " seconds", seconds < 0 ? 0 : seconds);
    topics_put(topics, "uptime", text);
}

void tree_update(struct tree *tree, struct topics *topics, struct readings *readings, uint64_t now_ms,
                 uint64_t wall_ms)
{
    double seconds = tree->updated_ms ? (double)(now_ms - tree->updated_ms) / 1000 : 0;
    char version[64];
    snprintf(version, sizeof(version), "noctule version %s", readings->version);
    topics_put(topics, "version", version);
    update_uptime(topics, readings, wall_ms);
    update_clients(tree, topics, readings);
    update_loads(tree, topics, readings, seconds);
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        topics_put_number(topics, plain[i].topic, readings->values[plain[i].reading]);
    for (size_t i = 0; i < readings->worker_count; i++)
        update_worker(tree, topics, readings, i, seconds);
    for (size_t i = 0; i < readings->instance_count; i++)
        update_instance(tree, topics, &readings->instances[i]);
    readings_clear(&tree->before);
    tree->before = *readings;
    *readings = (struct readings){0};
    tree->updated_ms = now_ms;
}

void tree_clear(struct tree *tree)
{
    readings_clear(&tree->before);
    *tree = (struct tree){0};
}
