// Timers, watches and posted work of plugins on a worker's loop.
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/plugin/hook.h"
#include "core/plugin/host_api.h"
#include "core/plugin/instance.h"
#include "core/plugin/worker_state.h"

struct noctule_timer {
    struct wheel_timer timer;
    struct noctule_timer *next; ///< of the instance's on this worker
    struct noctule_timer **link;
    struct noctule_instance *instance;
    struct noctule_worker *worker;
    noctule_timer_fn function;
    void *argument;
    bool running;
};

struct noctule_watch {
    struct watch watch;
    struct noctule_watch *next;
    struct noctule_watch **link;
    struct noctule_instance *instance;
    struct noctule_worker *worker;
    noctule_watch_fn function;
    void *argument;
    int fd; ///< the plugin's; watch.fd is a copy of it where the plugin has another watch on it already
    uint32_t events;
};

static struct instance_worker *here_of(struct noctule_worker *worker, const struct noctule_instance *instance)
{
    return &worker->instances[instance->index];
}

static bool in_force(struct noctule_worker *worker, const struct noctule_instance *instance)
{
    return here_of(worker, instance)->entry != NULL;
}

// Whether an instance may use this worker's loop now; `worker_up` counts, though the instance is not up yet.
static bool may_use(const struct noctule_instance *instance, const struct noctule_worker *worker)
{
    return instance && worker_is_here(worker) && worker_plugins(worker->worker) != NULL;
}

// ---- Timers --------------------------------------------------------------------------------------------

static void timer_free(struct noctule_timer *timer)
{
    wheel_stop(&timer->timer);
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    free(timer);
}

static void timer_expired(struct wheel_timer *wheel_timer, void *context)
{
    (void)context;
    struct noctule_timer *timer =
        (struct noctule_timer *)((char *)wheel_timer - offsetof(struct noctule_timer, timer));
    struct hook hook;
    timer->running = true;
    if (hook_begin(&hook, timer->instance, snapshot_in_force(timer->worker, timer->instance), timer->worker,
                   NULL, NULL)) {
        timer->function(&hook.context, timer->argument);
        hook_end(&hook, "timer");
    }
    timer_free(timer);
}

struct noctule_timer *host_timer_start(struct noctule_instance *instance, struct noctule_worker *worker,
                                       uint64_t after_ms, noctule_timer_fn function, void *argument)
{
    if (!may_use(instance, worker) || !function)
        return NULL;
    struct instance_worker *here = here_of(worker, instance);
    struct noctule_timer *timer = memory_zalloc(sizeof *timer);
    *timer = (struct noctule_timer){.next = here->timers,
                                    .link = &here->timers,
                                    .instance = instance,
                                    .worker = worker,
                                    .function = function,
                                    .argument = argument};
    if (timer->next)
        timer->next->link = &timer->next;
    here->timers = timer;
    timer->timer.due_ms = clock_monotonic_ms() + after_ms;
    if (here->entry)
        wheel_start(&worker->worker->wheel, &timer->timer, timer->timer.due_ms, timer_expired);
    return timer;
}

void host_timer_cancel(struct noctule_timer *timer)
{
    // One that runs is on its way out already.
    if (timer && !timer->running && worker_is_here(timer->worker))
        timer_free(timer);
}

// ---- Watches -------------------------------------------------------------------------------------------

static void watch_fired(struct watch *fired, unsigned what)
{
    struct noctule_watch *watch =
        (struct noctule_watch *)((char *)fired - offsetof(struct noctule_watch, watch));
    uint32_t events =
        (what & WATCH_READ ? NOCTULE_READABLE : 0) | (what & WATCH_WRITE ? NOCTULE_WRITABLE : 0);
    struct hook hook;
    if (!hook_begin(&hook, watch->instance, snapshot_in_force(watch->worker, watch->instance), watch->worker,
                    NULL, NULL))
        return;
    watch->function(&hook.context, watch->fd, events, watch->argument);
    hook_end(&hook, "watch");
}

static void watch_disarm(struct noctule_watch *watch)
{
    watch_change(&watch->worker->worker->poller, &watch->watch, 0);
    if (watch->watch.fd != watch->fd)
        close(watch->watch.fd);
    watch->watch.fd = watch->fd;
}

// Has the loop look for what is wanted now; nothing while the instance rests.
static int32_t watch_arm(struct noctule_watch *watch)
{
    struct poller *poller = &watch->worker->worker->poller;
    unsigned what = (watch->events & NOCTULE_READABLE ? WATCH_READ : 0U) |
                    (watch->events & NOCTULE_WRITABLE ? WATCH_WRITE : 0U);
    watch_disarm(watch);
    if (what == 0 || !in_force(watch->worker, watch->instance))
        return NOCTULE_OK;
    if (watch_change(poller, &watch->watch, what))
        return NOCTULE_OK;
    if (errno == EEXIST) {
        int copy = fcntl(watch->fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
            return NOCTULE_E_LIMIT;
        watch->watch.fd = copy;
        if (watch_change(poller, &watch->watch, what))
            return NOCTULE_OK;
        watch_disarm(watch);
    }
    return NOCTULE_E_INVALID;
}

static void watch_free(struct noctule_watch *watch)
{
    watch_disarm(watch);
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    free(watch);
}

struct noctule_watch *host_watch_add(struct noctule_instance *instance, struct noctule_worker *worker, int fd,
                                     uint32_t events, noctule_watch_fn function, void *argument)
{
    if (!may_use(instance, worker) || fd < 0 || !function ||
        (events & ~(NOCTULE_READABLE | NOCTULE_WRITABLE)))
        return NULL;
    struct instance_worker *here = here_of(worker, instance);
    struct noctule_watch *watch = memory_zalloc(sizeof *watch);
    *watch = (struct noctule_watch){.next = here->watches,
                                    .link = &here->watches,
                                    .instance = instance,
                                    .worker = worker,
                                    .function = function,
                                    .argument = argument,
                                    .watch = {.ready = watch_fired, .fd = fd},
                                    .fd = fd,
                                    .events = events};
    if (watch->next)
        watch->next->link = &watch->next;
    here->watches = watch;
    if (watch_arm(watch) == NOCTULE_OK)
        return watch;
    watch_free(watch);
    return NULL;
}

int32_t host_watch_change(struct noctule_watch *watch, uint32_t events)
{
    if (!watch || (events & ~(NOCTULE_READABLE | NOCTULE_WRITABLE)))
        return NOCTULE_E_INVALID;
    if (!worker_is_here(watch->worker))
        return NOCTULE_E_THREAD;
    watch->events = events;
    return watch_arm(watch);
}

void host_watch_remove(struct noctule_watch *watch)
{
    if (watch && worker_is_here(watch->worker))
        watch_free(watch);
}

// ---- In force and not ----------------------------------------------------------------------------------

void loop_pause(struct noctule_worker *worker, struct noctule_instance *instance)
{
    struct instance_worker *here = here_of(worker, instance);
    for (struct noctule_timer *timer = here->timers; timer; timer = timer->next)
        wheel_stop(&timer->timer);
    for (struct noctule_watch *watch = here->watches; watch; watch = watch->next)
        watch_disarm(watch);
}

void loop_resume(struct noctule_worker *worker, struct noctule_instance *instance)
{
    struct instance_worker *here = here_of(worker, instance);
    for (struct noctule_timer *timer = here->timers; timer; timer = timer->next)
        wheel_start(&worker->worker->wheel, &timer->timer, timer->timer.due_ms, timer_expired);
    for (struct noctule_watch *watch = here->watches; watch; watch = watch->next)
        watch_arm(watch);
}

void loop_clear(struct noctule_worker *worker, struct noctule_instance *instance)
{
    struct instance_worker *here = here_of(worker, instance);
    struct noctule_timer *next_timer;
    for (struct noctule_timer *timer = here->timers; timer; timer = next_timer) {
        next_timer = timer->next;
        timer_free(timer);
    }
    struct noctule_watch *next_watch;
    for (struct noctule_watch *watch = here->watches; watch; watch = next_watch) {
        next_watch = watch->next;
        watch_free(watch);
    }
}

// ---- Work handed to a worker ---------------------------------------------------------------------------

struct errand {
    struct post post;
    struct noctule_instance *instance;
    noctule_worker_fn function;
    void *argument;
};

static void errand_run(struct worker *worker, struct post *post)
{
    struct errand *errand = (struct errand *)post;
    struct noctule_worker *here = worker_plugins(worker);
    struct hook hook;
    if (here &&
        hook_begin(&hook, errand->instance, snapshot_in_force(here, errand->instance), here, NULL, NULL)) {
        errand->function(&hook.context, errand->argument);
        hook_end(&hook, "run_on_worker");
    }
    free(errand);
}

int32_t host_run_on_worker(struct noctule_instance *instance, uint32_t worker_index,
                           noctule_worker_fn function, void *argument)
{
    if (!instance || !function)
        return NOCTULE_E_INVALID;
    struct plugin_host *host = instance->host;
    unsigned count = instance_workers(instance);
    if (count == 0)
        return NOCTULE_E_GONE;
    if (worker_index >= count)
        return NOCTULE_E_INVALID;
    struct errand *errand = memory_alloc(sizeof *errand);
    *errand = (struct errand){
        .post.run = errand_run, .instance = instance, .function = function, .argument = argument};
    if (plugin_post(&host->own[worker_index], &errand->post))
        return NOCTULE_OK;
    free(errand);
    return NOCTULE_E_GONE;
}
