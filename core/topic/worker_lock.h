// One lock per worker over one shared structure: readers take their own, a writer takes all of them.
// Any thread; held for microseconds, never across a call that may block.
// Must not know what it protects.
#ifndef NOCTULE_TOPIC_WORKER_LOCK_H
#define NOCTULE_TOPIC_WORKER_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>

/**
 * Costs half of an uncontended pthread mutex: one locked instruction to take it, a plain store to give it
 * back. Who finds it held spins for a moment, then lets other threads run, then sleeps. Zero-initialised is
 * free.
 */
struct worker_lock {
    atomic_bool held;
};

/** The slow path of worker_lock_take. */
void worker_lock_wait(struct worker_lock *lock);

static inline bool worker_lock_try(struct worker_lock *lock)
{
    return !atomic_exchange_explicit(&lock->held, true, memory_order_acquire);
}

static inline void worker_lock_take(struct worker_lock *lock)
{
    if (__builtin_expect(!worker_lock_try(lock), 0))
        worker_lock_wait(lock);
}

static inline void worker_lock_give(struct worker_lock *lock)
{
    atomic_store_explicit(&lock->held, false, memory_order_release);
}

#endif
