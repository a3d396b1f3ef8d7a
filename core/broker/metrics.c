// What the broker counts, under the names by which plugins and commands read it. The names are stable: they
// are only added to (docs/metrics.md). Any thread reads; nothing here walks what grows with clients, so
// nobody waits for a reader.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/broker/state.h"

// Held by readers while they read; by the main thread to begin and to end the reading.
static pthread_rwlock_t opening = PTHREAD_RWLOCK_INITIALIZER;
static struct broker *measured; ///< NULL: not open
static uint64_t started_ms;     ///< wall clock

struct teller {
    noctule_metric_fn function;
    void *argument;
    const struct broker *broker;
    uint64_t sums[COUNTERS];
};

/** What stands in one line of a table: the metric without its value. */
struct name {
    const char *name;
    const char *help;
    const char *unit; ///< NULL: a number
    uint32_t kind;
};

/* ---- one metric ---- */

static struct noctule_string text(const char *string)
{
    return noctule_string_of(string, string ? strlen(string) : 0);
}

static void tell(const struct teller *teller, const struct name *name, uint64_t value, const char *label,
                 struct noctule_string of)
{
    struct noctule_metric_label pair = {text(label), of};
    struct noctule_metric_value metric = {
        .size = sizeof metric,
        .kind = name->kind,
        .name = text(name->name),
        .help = text(name->help),
        // The parts of a sum are not read at one moment: for that moment it may be below zero.
        .value = (int64_t)value < 0 ? 0 : (int64_t)value,
        .labels = label ? &pair : NULL,
        .label_count = label ? 1 : 0,
        .unit = text(name->unit),
    };
    teller->function(&metric, teller->argument);
}

static void tell_plain(const struct teller *teller, const struct name *name, uint64_t value)
{
    tell(teller, name, value, NULL, (struct noctule_string){0});
}

/* ---- counters of the workers ---- */

static const struct {
    struct name name;
    enum counter counter;
} plain[] = {
    {{"clients_connected", "clients that are connected and logged in", NULL, NOCTULE_GAUGE}, COUNTER_CLIENTS},
    {{"connections_accepted", "connections that were accepted", NULL, NOCTULE_COUNTER}, COUNTER_ACCEPTED},
    {{"sessions_taken_over", "connections that ended because another one came with their client id", NULL,
      NOCTULE_COUNTER},
     COUNTER_TAKEN_OVER},
    {{"sessions_expired", "sessions whose expiry came", NULL, NOCTULE_COUNTER}, COUNTER_EXPIRED},
    {{"publish_received", "PUBLISH packets from clients", NULL, NOCTULE_COUNTER},
     (enum counter)(COUNTER_RECEIVED + MQTT_PUBLISH)},
    {{"publish_sent", "PUBLISH packets to clients", NULL, NOCTULE_COUNTER},
     (enum counter)(COUNTER_SENT + MQTT_PUBLISH)},
    {{"publish_received_bytes", "payload of the PUBLISH packets from clients", "bytes", NOCTULE_COUNTER},
     COUNTER_PUBLISH_RECEIVED_BYTES},
    {{"publish_sent_bytes", "payload of the PUBLISH packets to clients", "bytes", NOCTULE_COUNTER},
     COUNTER_PUBLISH_SENT_BYTES},
    {{"queued_messages", "messages that wait in the queues of sessions", NULL, NOCTULE_GAUGE},
     COUNTER_QUEUED},
    {{"queued_bytes", "what the waiting messages count for against limits.queued_bytes", "bytes",
      NOCTULE_GAUGE},
     COUNTER_QUEUED_BYTES},
    {{"inflight_messages", "messages sent with QoS 1 or 2 and not acknowledged yet", NULL, NOCTULE_GAUGE},
     COUNTER_INFLIGHT},
    {{"retained_refused", "messages that were not retained because a limit was reached", NULL,
      NOCTULE_COUNTER},
     COUNTER_NOT_RETAINED},
};

static const char *const packet_names[PACKET_TYPES] = {
    [MQTT_CONNECT] = "connect",         [MQTT_CONNACK] = "connack",       [MQTT_PUBLISH] = "publish",
    [MQTT_PUBACK] = "puback",           [MQTT_PUBREC] = "pubrec",         [MQTT_PUBREL] = "pubrel",
    [MQTT_PUBCOMP] = "pubcomp",         [MQTT_SUBSCRIBE] = "subscribe",   [MQTT_SUBACK] = "suback",
    [MQTT_UNSUBSCRIBE] = "unsubscribe", [MQTT_UNSUBACK] = "unsuback",     [MQTT_PINGREQ] = "pingreq",
    [MQTT_PINGRESP] = "pingresp",       [MQTT_DISCONNECT] = "disconnect", [MQTT_AUTH] = "auth",
};
static const char *const drop_names[DROP_REASONS] = {
    [DROP_QUEUE_FULL] = "queue_full",         [DROP_MEMORY_LIMIT] = "memory_limit",
    [DROP_OUT_OF_MEMORY] = "out_of_memory",   [DROP_EXPIRED] = "expired",
    [DROP_NOT_AUTHORIZED] = "not_authorized", [DROP_HOOK] = "hook",
    [DROP_TOO_LARGE] = "too_large",           [DROP_NOT_CONNECTED] = "not_connected",
};
static const char *const denied_names[DENIED_KINDS] = {
    [DENIED_CONNECT] = "connect", [DENIED_PUBLISH] = "publish", [DENIED_SUBSCRIBE] = "subscribe",
    [DENIED_DELIVER] = "deliver", [DENIED_WILL] = "will",
};
static const char *const login_names[LOGIN_RESULTS] = {
    [LOGIN_ALLOWED] = "allowed", [LOGIN_DENIED] = "denied", [LOGIN_FAILED] = "failed"};
static const char *const refusal_names[REFUSALS] = {
    [REFUSAL_LIMIT] = "limit",
    [REFUSAL_RATE] = "rate",
    [REFUSAL_ADDRESS] = "address",
    [REFUSAL_MEMORY] = "memory",
};

static const struct {
    struct name name;
    const char *label;
    const char *const *values; ///< NULL where there is no such one
    unsigned count;
    enum counter first;
} groups[] = {
    {{"packets_received", "packets from clients", NULL, NOCTULE_COUNTER},
     "type",
     packet_names,
     PACKET_TYPES,
     COUNTER_RECEIVED},
    {{"packets_sent", "packets to clients", NULL, NOCTULE_COUNTER},
     "type",
     packet_names,
     PACKET_TYPES,
     COUNTER_SENT},
    {{"publish_dropped", "messages that did not get to a session", NULL, NOCTULE_COUNTER},
     "reason",
     drop_names,
     DROP_REASONS,
     COUNTER_DROPPED},
    {{"denials", "what clients were not allowed to do", NULL, NOCTULE_COUNTER},
     "access",
     denied_names,
     DENIED_KINDS,
     COUNTER_DENIED},
    {{"logins", "logins that were decided; failed: no decision could be made", NULL, NOCTULE_COUNTER},
     "result",
     login_names,
     LOGIN_RESULTS,
     COUNTER_LOGINS},
    {{"connections_refused", "connections refused before their login", NULL, NOCTULE_COUNTER},
     "reason",
     refusal_names,
     REFUSALS,
     COUNTER_REFUSED},
};

static void tell_counters(struct teller *teller)
{
    for (unsigned worker = 0; worker < teller->broker->worker_count; worker++)
        for (unsigned i = 0; i < COUNTERS; i++)
            teller->sums[i] += counter_read(&teller->broker->counters[worker], i);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        tell_plain(teller, &plain[i].name, teller->sums[plain[i].counter]);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        for (unsigned j = 0; j < groups[i].count; j++)
            if (groups[i].values[j])
                tell(teller, &groups[i].name, teller->sums[groups[i].first + j], groups[i].label,
                     text(groups[i].values[j]));
}

/* ---- one by one: workers and listeners ---- */

static uint64_t of_clients(const struct broker *broker, unsigned worker)
{
    return counter_read(&broker->counters[worker], COUNTER_CLIENTS);
}

static uint64_t of_connections(const struct broker *broker, unsigned worker)
{
    return counter_read(&broker->counters[worker], COUNTER_CONNECTIONS);
}

static uint64_t of_publish_received(const struct broker *broker, unsigned worker)
{
    return counter_read(&broker->counters[worker], COUNTER_RECEIVED + MQTT_PUBLISH);
}

static uint64_t of_publish_sent(const struct broker *broker, unsigned worker)
{
    return counter_read(&broker->counters[worker], COUNTER_SENT + MQTT_PUBLISH);
}

static uint64_t of_bytes_read(const struct broker *broker, unsigned worker)
{
    return atomic_load_explicit(&broker->workers[worker].bytes_read, memory_order_relaxed);
}

static uint64_t of_bytes_written(const struct broker *broker, unsigned worker)
{
    return atomic_load_explicit(&broker->workers[worker].bytes_written, memory_order_relaxed);
}

static uint64_t of_backlog(const struct broker *broker, unsigned worker)
{
    return atomic_load_explicit(&broker->workers[worker].backlog, memory_order_relaxed);
}

static uint64_t of_arriving(const struct broker *broker, unsigned worker)
{
    return atomic_load_explicit(&broker->states[worker].arriving, memory_order_relaxed);
}

// The kernel's own account of the thread: it costs the worker nothing.
static uint64_t of_cpu(const struct broker *broker, unsigned worker)
{
    clockid_t clock;
    struct timespec used;
    if (!broker->workers[worker].threaded ||
        pthread_getcpuclockid(broker->workers[worker].thread, &clock) != 0 ||
        clock_gettime(clock, &used) != 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
}

static const struct {
    struct name name;
    uint64_t (*read)(const struct broker *broker, unsigned worker);
} worker_metrics[] = {
    {{"worker_connections", "connections of the worker", NULL, NOCTULE_GAUGE}, of_connections},
    {{"worker_clients", "clients of the worker that are logged in", NULL, NOCTULE_GAUGE}, of_clients},
    {{"worker_publish_received", "PUBLISH packets that the worker read", NULL, NOCTULE_COUNTER},
     of_publish_received},
    {{"worker_publish_sent", "PUBLISH packets that the worker wrote", NULL, NOCTULE_COUNTER},
     of_publish_sent},
    {{"worker_received_bytes", "what the worker read from clients", "bytes", NOCTULE_COUNTER}, of_bytes_read},
    {{"worker_sent_bytes", "what the worker wrote to clients", "bytes", NOCTULE_COUNTER}, of_bytes_written},
    {{"worker_backlog", "pieces of work that wait for the worker", NULL, NOCTULE_GAUGE}, of_backlog},
    {{"worker_arriving_bytes", "messages on their way from other workers", "bytes", NOCTULE_GAUGE},
     of_arriving},
    {{"worker_cpu", "processor time that the worker has used", "microseconds", NOCTULE_COUNTER}, of_cpu},
};

static uint64_t sum_of(const struct broker *broker,
                       uint64_t (*read)(const struct broker *broker, unsigned worker))
{
    uint64_t sum = 0;
    for (unsigned worker = 0; worker < broker->worker_count; worker++)
        sum += read(broker, worker);
    return sum;
}

static void tell_workers(const struct teller *teller)
{
    static const struct name received = {"received_bytes", "what was read from clients", "bytes",
                                         NOCTULE_COUNTER};
    static const struct name sent = {"sent_bytes", "what was written to clients", "bytes", NOCTULE_COUNTER};
    tell_plain(teller, &received, sum_of(teller->broker, of_bytes_read));
    tell_plain(teller, &sent, sum_of(teller->broker, of_bytes_written));
    for (size_t i = 0; i < sizeof worker_metrics / sizeof *worker_metrics; i++)
        for (unsigned worker = 0; worker < teller->broker->worker_count; worker++) {
            char number[12];
            snprintf(number, sizeof number, "%u", worker);
            tell(teller, &worker_metrics[i].name, worker_metrics[i].read(teller->broker, worker), "worker",
                 text(number));
        }
}

struct listener_counters *metrics_of_listener(struct broker *broker, const char *name)
{
    struct listener_counters *_Atomic *link = &broker->listener_counters;
    for (struct listener_counters *known; (known = atomic_load(link)); link = &known->next)
        if (strcmp(known->name, name) == 0)
            return known;
    struct listener_counters *counters = memory_zalloc(sizeof *counters + strlen(name) + 1);
    memcpy(counters->name, name, strlen(name) + 1);
    atomic_store(link, counters);
    return counters;
}

void metrics_forget_listeners(struct broker *broker)
{
    struct listener_counters *counters = atomic_load(&broker->listener_counters);
    atomic_store(&broker->listener_counters, NULL);
    while (counters) {
        struct listener_counters *next = atomic_load(&counters->next);
        free(counters);
        counters = next;
    }
}

// Only of listeners that have such: 0 would look like an expiry long ago.
static void tell_expiries(const struct teller *teller, const struct listener_counters *all)
{
    static const struct name certificates = {"listener_certificate_expiry_seconds",
                                             "when the first certificate of the listener ends, since 1970",
                                             NULL, NOCTULE_GAUGE};
    static const struct name lists = {"listener_crl_expiry_seconds",
                                      "when the first revocation list of the listener ends, since 1970", NULL,
                                      NOCTULE_GAUGE};
    for (const struct listener_counters *each = all; each; each = atomic_load(&each->next)) {
        int64_t end = atomic_load_explicit(&each->certificate_expiry, memory_order_relaxed);
        if (end > 0)
            tell(teller, &certificates, (uint64_t)end, "listener", text(each->name));
    }
    for (const struct listener_counters *each = all; each; each = atomic_load(&each->next)) {
        int64_t end = atomic_load_explicit(&each->crl_expiry, memory_order_relaxed);
        if (end > 0)
            tell(teller, &lists, (uint64_t)end, "listener", text(each->name));
    }
}

static void tell_listeners(const struct teller *teller)
{
    static const struct name connections = {"listener_connections", "connections of the listener", NULL,
                                            NOCTULE_GAUGE};
    static const struct name accepted = {"listener_connections_accepted",
                                         "connections that the listener accepted", NULL, NOCTULE_COUNTER};
    const struct listener_counters *all = atomic_load(&teller->broker->listener_counters);
    for (const struct listener_counters *each = all; each; each = atomic_load(&each->next))
        tell(teller, &connections, atomic_load_explicit(&each->connections, memory_order_relaxed), "listener",
             text(each->name));
    for (const struct listener_counters *each = all; each; each = atomic_load(&each->next))
        tell(teller, &accepted, atomic_load_explicit(&each->accepted, memory_order_relaxed), "listener",
             text(each->name));
    tell_expiries(teller, all);
}

/* ---- the whole broker ---- */

static uint64_t of_all_connections(const struct broker *broker)
{
    return atomic_load_explicit(&broker->connections, memory_order_relaxed);
}

static uint64_t of_sessions(const struct broker *broker)
{
    return atomic_load_explicit(&broker->sessions, memory_order_relaxed);
}

static uint64_t of_subscriptions(const struct broker *broker)
{
    return subscriptions_count(broker->subscriptions, NULL);
}

static uint64_t of_shared(const struct broker *broker)
{
    uint64_t shared;
    subscriptions_count(broker->subscriptions, &shared);
    return shared;
}

static uint64_t of_retained(const struct broker *broker)
{
    return retained_count(broker->retained, NULL);
}

static uint64_t of_retained_bytes(const struct broker *broker)
{
    uint64_t bytes;
    retained_count(broker->retained, &bytes);
    return bytes;
}

static uint64_t of_stored(const struct broker *broker)
{
    (void)broker;
    return message_count_alive();
}

static uint64_t of_stored_bytes(const struct broker *broker)
{
    (void)broker;
    return message_bytes_alive();
}

static uint64_t of_pauses(const struct broker *broker)
{
    (void)broker;
    return listener_pauses();
}

static uint64_t of_memory(const struct broker *broker)
{
    (void)broker;
    return ceiling_resident_bytes();
}

static uint64_t of_memory_most(const struct broker *broker)
{
    (void)broker;
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static uint64_t of_start(const struct broker *broker)
{
    (void)broker;
    return started_ms / 1000;
}

static const struct {
    struct name name;
    uint64_t (*read)(const struct broker *broker);
} broker_metrics[] = {
    {{"connections", "connections, whether logged in or not", NULL, NOCTULE_GAUGE}, of_all_connections},
    {{"sessions", "sessions, of clients that are connected and of those that may come back", NULL,
      NOCTULE_GAUGE},
     of_sessions},
    {{"subscriptions", "subscriptions of all sessions", NULL, NOCTULE_GAUGE}, of_subscriptions},
    {{"shared_subscriptions", "shared ones among the subscriptions", NULL, NOCTULE_GAUGE}, of_shared},
    {{"retained_messages", "retained messages", NULL, NOCTULE_GAUGE}, of_retained},
    {{"retained_bytes", "what retained messages count for against limits.retained_bytes", "bytes",
      NOCTULE_GAUGE},
     of_retained_bytes},
    {{"stored_messages", "messages in memory: retained, waiting, unacknowledged or under way", NULL,
      NOCTULE_GAUGE},
     of_stored},
    {{"stored_bytes", "bytes of the messages in memory", "bytes", NOCTULE_GAUGE}, of_stored_bytes},
    {{"accept_pauses", "times that accepting stood still, for lack of descriptors or memory", NULL,
      NOCTULE_COUNTER},
     of_pauses},
    {{"resident_memory_bytes", "memory that the process occupies", "bytes", NOCTULE_GAUGE}, of_memory},
    {{"resident_memory_maximum_bytes", "the most memory that the process has occupied", "bytes",
      NOCTULE_GAUGE},
     of_memory_most},
    {{"start_time_seconds", "when the broker started, in seconds since 1970", "seconds", NOCTULE_GAUGE},
     of_start},
};

static void tell_version(const struct teller *teller)
{
    static const struct name version = {"build_info", "always 1; the label says which version runs", NULL,
                                        NOCTULE_GAUGE};
    tell(teller, &version, 1, "version", text(NOCTULE_VERSION));
}

void metrics_tell(noctule_metric_fn function, void *argument)
{
    pthread_rwlock_rdlock(&opening);
    if (measured) {
        struct teller teller = {.function = function, .argument = argument, .broker = measured};
        tell_version(&teller);
        for (size_t i = 0; i < sizeof broker_metrics / sizeof *broker_metrics; i++)
            tell_plain(&teller, &broker_metrics[i].name, broker_metrics[i].read(measured));
        tell_counters(&teller);
        tell_listeners(&teller);
        tell_workers(&teller);
    }
    pthread_rwlock_unlock(&opening);
}

void metrics_open(struct broker *broker)
{
    pthread_rwlock_wrlock(&opening);
    measured = broker;
    started_ms = clock_wall_ms();
    pthread_rwlock_unlock(&opening);
}

void metrics_close(void)
{
    pthread_rwlock_wrlock(&opening);
    measured = NULL;
    pthread_rwlock_unlock(&opening);
}
