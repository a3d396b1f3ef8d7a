// A worker: one thread with one event loop, its clock, its timers and its mailbox.
// Only the worker's own thread, except worker_post and what is said to be for any thread.
// Must not know MQTT, sessions or plugins; whoever stands above hangs its per-worker state on `owner`.
#ifndef NOCTULE_NET_WORKER_H
#define NOCTULE_NET_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/wheel.h"
#include "core/net/poller.h"

enum { WORKERS_MAX = 255 };

struct worker;
struct post;
struct stream_pool;

typedef void post_fn(struct worker *worker, struct post *post);

/** A piece of work for a worker; lives inside a structure that `run` frees or reuses. */
struct post {
    struct post *next;
    post_fn *run;
};

/** Work for the end of the current turn of the loop: flushing what was gathered. Zero-initialised is idle. */
struct turn_task {
    struct turn_task *next; ///< NULL: not asked for
    void (*run)(struct worker *worker, struct turn_task *task);
};

struct post_list {
    struct post *first;
    struct post **last;
};

struct worker {
    unsigned index;
    unsigned count;       ///< of all workers
    struct worker *peers; ///< all workers, an array of `count`
    struct poller poller;
    uint64_t now_ms; ///< monotonic, read when the wait is over and once more at the turn's end
    struct wheel wheel;
    void *owner;   ///< per-worker state of the broker
    void *plugins; ///< per-worker state of the plugin host
    struct stream_pool *streams;

    struct turn_task *turn_first; ///< turn_end when nothing was asked for
    struct turn_task **turn_last;
    struct turn_task turn_end;  ///< stands behind the last task
    struct post_list *outgoing; ///< posts gathered in this turn, one list per peer
    struct turn_task outgoing_task;

    pthread_t thread;
    bool threaded;
    bool stopping;               ///< loop ends after this turn; set on the worker's thread
    _Atomic uint64_t bytes_read; ///< by its streams; written here, read by any thread
    _Atomic uint64_t bytes_written;

    // What other threads touch has a cache line of its own.
    _Alignas(64) pthread_mutex_t mail_lock;
    struct post_list mail;
    struct watch wake;        ///< an eventfd; others only write to it
    _Atomic uint64_t backlog; ///< posts not yet run, for backpressure
};

/** Makes `count` workers (an array), with their loops but not their threads. Exits the process on failure. */
struct worker *workers_new(unsigned count);

/** Starts every worker's thread. `up` runs first on each, `down` last (after the loop has ended). */
void workers_start(struct worker *workers, void (*up)(struct worker *), void (*down)(struct worker *));

/** Asks every worker to end its loop; any thread. */
void workers_stop(struct worker *workers);

/** Waits for the threads to end. */
void workers_join(struct worker *workers);

/**
 * Frees loops and mailboxes. First runs, in the calling thread, what is still in the mailboxes and what that
 * asks for, until there is nothing left; timers do not run any more.
 */
void workers_free(struct worker *workers);

/** Runs the loop of `worker` in the calling thread, until worker->stopping: for programs without worker
 * threads. */
void worker_run(struct worker *worker);

/** One turn of the loop in the calling thread; waits for something to happen when `wait`. */
void worker_turn(struct worker *worker, bool wait);

/** The worker whose thread this is, or NULL. */
struct worker *worker_current(void);

/** Any thread: hands `post` over, to be run by `worker`; posts of one thread run in their order. */
void worker_post(struct worker *worker, struct post *post);

/**
 * As worker_post to peer `target`, from a worker's thread: gathered until the end of the turn, one wake-up
 * for all. Order among the posts of one worker to one target is kept as long as the caller does not mix both
 * kinds.
 */
void worker_post_gathered(struct worker *from, unsigned target, struct post *post);

/** Runs `task` at the end of this turn; once, however often it is asked for. It may free its owner. */
void worker_at_turn_end(struct worker *worker, struct turn_task *task);

/** Takes a task back, if it was asked for: looks through all that were asked for in this turn. */
void worker_forget_task(struct worker *worker, struct turn_task *task);

#endif
