#include "core/net/worker.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/net/stream.h"

enum {
    SLEEP_MOST_MS = 10000, // an idle worker wakes this often at the latest
    GATHER_FROM = 4,       // a turn with so many ready at once looks whether more are
    GATHER_MOST = 256,     // and ends once so many were
};

static _Thread_local struct worker *current;

struct worker *worker_current(void)
{
    return current;
}

static void list_init(struct post_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

static void list_append(struct post_list *list, struct post *post)
{
    post->next = NULL;
    *list->last = post;
    list->last = &post->next;
}

static void wake(struct worker *worker)
{
    uint64_t one = 1;
    ssize_t n;
    do
        n = write(worker->wake.fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

// Appends a whole list; wakes the worker only when its mailbox was empty.
static void deliver(struct worker *worker, struct post_list *list, uint64_t count)
{
    // Counted first: once it is in the mailbox, the worker may run it and count it off.
    atomic_fetch_add_explicit(&worker->backlog, count, memory_order_relaxed);
    pthread_mutex_lock(&worker->mail_lock);
    bool was_empty = worker->mail.first == NULL;
    *worker->mail.last = list->first;
    worker->mail.last = list->last;
    pthread_mutex_unlock(&worker->mail_lock);
    if (was_empty)
        wake(worker);
}

void worker_post(struct worker *worker, struct post *post)
{
    struct post_list list;
    list_init(&list);
    list_append(&list, post);
    deliver(worker, &list, 1);
}

static void deliver_outgoing(struct worker *worker, struct turn_task *task)
{
    (void)task;
    for (unsigned i = 0; i < worker->count; i++) {
        struct post_list *list = &worker->outgoing[i];
        if (!list->first)
            continue;
        uint64_t count = 0;
        for (struct post *post = list->first; post; post = post->next)
            count++;
        deliver(&worker->peers[i], list, count);
        list_init(list);
    }
}

void worker_post_gathered(struct worker *from, unsigned target, struct post *post)
{
    list_append(&from->outgoing[target], post);
    worker_at_turn_end(from, &from->outgoing_task);
}

void worker_at_turn_end(struct worker *worker, struct turn_task *task)
{
    if (task->next)
        return;
    task->next = &worker->turn_end;
    *worker->turn_last = task;
    worker->turn_last = &task->next;
}

static bool has_tasks(const struct worker *worker)
{
    return worker->turn_first != &worker->turn_end;
}

// Takes out the task that `link` leads to.
static struct turn_task *unlink_task(struct worker *worker, struct turn_task **link)
{
    struct turn_task *task = *link;
    *link = task->next;
    if (worker->turn_last == &task->next)
        worker->turn_last = link;
    task->next = NULL;
    return task;
}

void worker_forget_task(struct worker *worker, struct turn_task *task)
{
    if (!task->next)
        return;
    struct turn_task **link = &worker->turn_first;
    while (*link != task)
        link = &(*link)->next;
    unlink_task(worker, link);
}

// Tasks may ask for further tasks; those run in this turn as well.
static void run_tasks(struct worker *worker)
{
    while (has_tasks(worker)) {
        struct turn_task *task = unlink_task(worker, &worker->turn_first);
        task->run(worker, task);
    }
}

// Runs what is in the mailbox now; what is posted meanwhile is for the next time. False: there was nothing.
static bool run_mail(struct worker *worker)
{
    pthread_mutex_lock(&worker->mail_lock);
    struct post *post = worker->mail.first;
    list_init(&worker->mail);
    pthread_mutex_unlock(&worker->mail_lock);
    uint64_t count = 0;
    while (post) {
        struct post *next = post->next;
        post->run(worker, post);
        post = next;
        count++;
    }
    atomic_fetch_sub_explicit(&worker->backlog, count, memory_order_relaxed);
    return count > 0;
}

// The descriptor is watched for its edges: every write is one, so its counter need not be read.
static void woken(struct watch *watch, unsigned what)
{
    (void)what;
    run_mail((struct worker *)((char *)watch - offsetof(struct worker, wake)));
}

static void end_turn(struct worker *worker)
{
    worker->now_ms = clock_monotonic_ms();
    wheel_advance(&worker->wheel, worker->now_ms, worker);
    run_tasks(worker);
}

// Tells those that are ready. Where they are many, more have mostly become so by the time that all are told;
// what follows from both is then written together, in half as many calls. Goes on like that for a millisecond
// or two.
static void tell_ready(struct worker *worker)
{
    uint64_t began = worker->now_ms = clock_monotonic_ms();
    int told = 0;
    int count;
    do {
        count = worker->poller.count;
        poller_tell(&worker->poller);
        told += count;
        if (count < GATHER_FROM || told >= GATHER_MOST)
            return;
        poller_wait(&worker->poller, 0);
        worker->now_ms = clock_monotonic_ms();
    } while (worker->now_ms <= began + 1);
    poller_tell(&worker->poller);
}

void worker_turn(struct worker *worker, bool wait)
{
    current = worker;
    // What was asked for outside of a turn (before the first one, say) does not wait for something to happen.
    uint64_t sleep_ms =
        wait && !has_tasks(worker) ? wheel_next(&worker->wheel, worker->now_ms, SLEEP_MOST_MS) : 0;
    poller_wait(&worker->poller, (int)sleep_ms);
    if (worker->poller.count > 0)
        tell_ready(worker);
    end_turn(worker);
}

void worker_run(struct worker *worker)
{
    worker->now_ms = clock_monotonic_ms();
    while (!worker->stopping)
        worker_turn(worker, true);
    current = NULL;
}

static void worker_init(struct worker *worker, unsigned index, unsigned count, struct worker *peers)
{
    worker->index = index;
    worker->count = count;
    worker->peers = peers;
    worker->wake = (struct watch){.ready = woken, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (!poller_init(&worker->poller) || worker->wake.fd < 0 ||
        !watch_change(&worker->poller, &worker->wake, WATCH_READ | WATCH_EDGE))
        log_fatal("cannot make an event loop: %s", strerror(errno));
    worker->now_ms = clock_monotonic_ms();
    wheel_init(&worker->wheel, worker->now_ms);
    worker->turn_first = &worker->turn_end;
    worker->turn_last = &worker->turn_first;
    worker->outgoing = memory_zalloc(count * sizeof *worker->outgoing);
    for (unsigned i = 0; i < count; i++)
        list_init(&worker->outgoing[i]);
    worker->outgoing_task.run = deliver_outgoing;
    pthread_mutex_init(&worker->mail_lock, NULL);
    list_init(&worker->mail);
    worker->streams = stream_pool_new(&worker->wheel);
}

struct worker *workers_new(unsigned count)
{
    struct worker *workers = aligned_alloc(64, count * sizeof *workers);
    if (!workers)
        memory_exhausted();
    memset(workers, 0, count * sizeof *workers);
    for (unsigned i = 0; i < count; i++)
        worker_init(&workers[i], i, count, workers);
    return workers;
}

struct start {
    struct worker *worker;
    void (*up)(struct worker *);
    void (*down)(struct worker *);
};

static void *thread_main(void *argument)
{
    struct start start = *(struct start *)argument;
    free(argument);
    current = start.worker;
    start.up(start.worker);
    worker_run(start.worker);
    current = start.worker;
    start.down(start.worker);
    current = NULL;
    return NULL;
}

void workers_start(struct worker *workers, void (*up)(struct worker *), void (*down)(struct worker *))
{
    // Signals are the main thread's; a worker starts with all of them blocked.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (unsigned i = 0; i < workers->count; i++) {
        struct start *start = memory_alloc(sizeof *start);
        *start = (struct start){&workers[i], up, down};
        if (pthread_create(&workers[i].thread, NULL, thread_main, start) != 0)
            log_fatal("cannot start a worker thread");
        workers[i].threaded = true;
        char name[24];
        snprintf(name, sizeof name, "worker %u", i);
        pthread_setname_np(workers[i].thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_here(struct worker *worker, struct post *post)
{
    worker->stopping = true;
    free(post);
}

void workers_stop(struct worker *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        struct post *post = memory_alloc(sizeof *post);
        post->run = stop_here;
        worker_post(&workers[i], post);
    }
}

void workers_join(struct worker *workers)
{
    for (unsigned i = 0; i < workers->count; i++) {
        if (workers[i].threaded)
            pthread_join(workers[i].thread, NULL);
        workers[i].threaded = false;
    }
}

void workers_free(struct worker *workers)
{
    unsigned count = workers->count;
    for (bool busy = true; busy;) {
        busy = false;
        for (unsigned i = 0; i < count; i++) {
            current = &workers[i];
            busy |= run_mail(current) || has_tasks(current);
            run_tasks(current);
        }
    }
    current = NULL;
    for (unsigned i = 0; i < count; i++) {
        struct worker *worker = &workers[i];
        poller_clear(&worker->poller);
        close(worker->wake.fd);
        pthread_mutex_destroy(&worker->mail_lock);
        stream_pool_free(worker->streams);
        free(worker->outgoing);
    }
    free(workers);
}
