#include "core/plugin/hook.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/plugin/client_state.h"

enum { SLOW_NS = 10 * 1000 * 1000, WARNING_EVERY_MS = 1000 };

_Thread_local struct hook *hook_current;

bool hook_begin(struct hook *hook, struct noctule_instance *instance, void *snapshot,
                struct noctule_worker *worker, struct client *client, struct noctule_request *request)
{
    const struct instance_worker *here = worker ? &worker->instances[instance->index] : NULL;
    if (here && !here->up)
        return false;
    hook->context = (struct noctule_context){.size = sizeof hook->context,
                                             .state = instance->state,
                                             .snapshot = snapshot,
                                             .worker_state = here ? here->state : NULL,
                                             .worker = worker,
                                             .client = client_handle(client),
                                             .request = request};
    hook->instance = instance;
    hook->worker = worker;
    hook->message = NULL;
    hook->described = NULL;
    hook->outer = hook_current;
    hook_current = hook;
    // Waiting for another worker to be done with a SERIAL instance holds this one up as well.
    hook->began_ns = clock_monotonic_ns();
    if (instance->plugin->flags & NOCTULE_FLAG_SERIAL)
        pthread_mutex_lock(&instance->serial);
    return true;
}

static void warn_of_slowness(const struct hook *hook, const char *name, uint64_t nanoseconds)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t warned = atomic_load_explicit(&hook->instance->warned_ms, memory_order_relaxed);
    if (warned != 0 && now < warned + WARNING_EVERY_MS)
        return;
    // Of several threads that come here at once, one logs.
    if (!atomic_compare_exchange_strong(&hook->instance->warned_ms, &warned, now))
        return;
    log_event(LOG_WARN, "plugin_slow", "a plugin's hook held up a worker",
              LOG_TEXTF("plugin", hook->instance->name), LOG_TEXTF("hook", name),
              LOG_NUM("worker", hook->worker->index), LOG_NUM("microseconds", nanoseconds / 1000));
}

uint64_t hook_end(struct hook *hook, const char *name)
{
    struct noctule_instance *instance = hook->instance;
    uint64_t nanoseconds = clock_monotonic_ns() - hook->began_ns;
    if (instance->plugin->flags & NOCTULE_FLAG_SERIAL)
        pthread_mutex_unlock(&instance->serial);
    hook_current = hook->outer;
    cells_observe(&instance->cells, INSTANCE_DURATION, nanoseconds / 1000);
    if (nanoseconds > SLOW_NS && hook->worker)
        warn_of_slowness(hook, name, nanoseconds);
    return nanoseconds;
}
