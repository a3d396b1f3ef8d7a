// Which descriptors are ready: one epoll instance for each worker, whose entries are the watches themselves,
// so that a connection costs the loop no memory. Only the thread whose poller it is, except poller_new and
// poller_free. Must not know what is behind a descriptor.
#ifndef NOCTULE_NET_POLLER_H
#define NOCTULE_NET_POLLER_H

#include <stdbool.h>
#include <stdint.h>

struct watch;
struct epoll_event;

/** What a watch looks for. */
enum watch_interest {
    WATCH_READ = 1 << 0,
    WATCH_WRITE = 1 << 1,
    WATCH_EDGE = 1 << 2,   ///< told once when it becomes ready, not for as long as it is
    WATCH_SHARED = 1 << 3, ///< several pollers watch the descriptor, and one of them is enough to be woken
};

/** `what`: WATCH_READ and WATCH_WRITE, of those that the watch looks for. An error of the descriptor shows as
 * both. */
typedef void watch_fn(struct watch *watch, unsigned what);

/** Embedded in its owner, which sets `ready` and `fd`. */
struct watch {
    watch_fn *ready;
    int fd;
    uint8_t interest; ///< enum watch_interest; 0: stopped. Only watch_change writes it
};

struct poller {
    struct epoll_event *ready; ///< of this turn
    int fd;
    int count; ///< of `ready`
    int next;  ///< of them, to be told
};

/** False with errno. */
bool poller_init(struct poller *poller);
void poller_clear(struct poller *poller);

/** Waits until something is ready, for `timeout_ms` at most; 0: only looks. */
void poller_wait(struct poller *poller, int timeout_ms);

/** Tells the watches that poller_wait has found, in no order. */
void poller_tell(struct poller *poller);

/**
 * Looks for `interest` from now on; 0 stops, and then the watch is not told any more, not even in the middle
 * of poller_tell: it may be freed. False with errno, and nothing is watched: EEXIST when the descriptor has
 * another watch here, EPERM when it is of a kind that is always ready.
 */
bool watch_change(struct poller *poller, struct watch *watch, unsigned interest);

#endif
