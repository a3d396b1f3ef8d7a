// What the broker's threads stand on, made before the first of them starts and freed after the last has
// ended; and what each worker does first and last.
#include <stdlib.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/broker/addresses.h"
#include "core/broker/control.h"
#include "core/broker/state.h"

enum { HOUSEKEEPING_MS = 1000, RETAINED_PER_SWEEP = 1000 };

static unsigned cores(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > WORKERS_MAX ? WORKERS_MAX : (unsigned)count;
}

void broker_assemble(struct broker *broker)
{
    const struct settings *settings = broker->settings;
    broker->worker_count = settings->workers ? settings->workers : cores();
    stream_set_high_mark(settings->limits.send_buffer);
    broker->subscriptions = subscriptions_new(broker->worker_count);
    broker->retained = retained_new();
    broker->addresses = addresses_new();
    broker->workers = workers_new(broker->worker_count);
    broker->states =
        aligned_alloc(_Alignof(struct broker_worker), broker->worker_count * sizeof *broker->states);
    if (!broker->states)
        memory_exhausted();
    memset(broker->states, 0, broker->worker_count * sizeof *broker->states);
    broker->counters =
        aligned_alloc(_Alignof(struct counters), broker->worker_count * sizeof *broker->counters);
    if (!broker->counters)
        memory_exhausted();
    memset((void *)broker->counters, 0, broker->worker_count * sizeof *broker->counters);
    for (unsigned i = 0; i < broker->worker_count; i++) {
        broker->states[i].broker = broker;
        broker->states[i].worker = &broker->workers[i];
        broker->states[i].counters = &broker->counters[i];
        broker->workers[i].owner = &broker->states[i];
    }
    plugin_host_start(broker->plugins, broker->workers,
                      settings->helper_threads ? settings->helper_threads : (cores() < 2 ? 2 : cores()));
}

void broker_disassemble(struct broker *broker)
{
    plugin_host_stop(broker->plugins);
    workers_free(broker->workers);
    for (unsigned i = 0; i < broker->worker_count; i++) {
        route_stop(&broker->states[i]);
        sessions_clear(&broker->states[i].sessions);
    }
    free(broker->states);
    free((void *)broker->counters);
    generation_unref(broker->generation);
    plugin_host_retire(broker->plugins);
    plugin_host_free(broker->plugins);
    listeners_close(broker);
    metrics_forget_listeners(broker);
    subscriptions_free(broker->subscriptions);
    retained_free(broker->retained);
    addresses_free(broker->addresses);
}

static void housekeeping(struct wheel_timer *timer, void *context)
{
    struct worker *worker = context;
    struct broker_worker *here = worker->owner;
    // The retained messages are everyone's; one worker sweeps them.
    if (worker->index == 0)
        retained_expire(here->broker->retained, worker->now_ms, RETAINED_PER_SWEEP);
    wheel_start(&worker->wheel, timer, worker->now_ms + HOUSEKEEPING_MS, housekeeping);
}

void broker_worker_up(struct worker *worker)
{
    struct broker_worker *here = worker->owner;
    here->sessions.worker = worker->index;
    here->sessions.index = here->broker->subscriptions;
    route_start(here);
    wheel_start(&worker->wheel, &here->housekeeping, worker->now_ms + HOUSEKEEPING_MS, housekeeping);
}

void broker_worker_down(struct worker *worker)
{
    struct broker_worker *here = worker->owner;
    for (struct connection *connection = here->connections; connection; connection = connection->next) {
        if (connection->state != STATE_CLOSED)
            connection_leave(connection, MQTT_SERVER_SHUTTING_DOWN, false);
        stream_abort(&connection->stream);
    }
    control_worker_down(here);
    while (here->connections)
        worker_turn(worker, false);
    for (size_t i = 0; i < here->sessions.slot_count; i++) {
        struct session *session = here->sessions.slots[i];
        if (!session)
            continue;
        will_drop(session);
        session_uncount(here, session);
        session_free(&here->sessions, session);
    }
    wheel_stop(&here->housekeeping);
    wheel_stop(&here->throttle);
    wheel_stop(&here->stalled_retry);
    plugin_worker_down(worker);
    here->ended = true;
}
