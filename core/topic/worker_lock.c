#include "core/topic/worker_lock.h"

#include <sched.h>
#include <time.h>

enum { SPINS = 200, YIELDS = 50, SLEEP_NS = 20000 };

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void worker_lock_wait(struct worker_lock *lock)
{
    for (unsigned tries = 0;; tries++) {
        if (tries < SPINS)
            pause_briefly();
        else if (tries < SPINS + YIELDS)
            sched_yield();
        else
            nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
        if (!atomic_load_explicit(&lock->held, memory_order_relaxed) && worker_lock_try(lock))
            return;
    }
}
