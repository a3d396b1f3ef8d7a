// A circuit breaker for each URL: after so many failures in a row nobody asks for a while, then one tries.
// Any thread; held for a few instructions, and only where a request is begun or has ended.
// Must not know what a request is, nor any clock.
#ifndef HTTP_AUTH_BREAKER_H
#define HTTP_AUTH_BREAKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_TRYING };

struct breaker {
    pthread_mutex_t lock;
    enum breaker_state state;
    uint32_t failures;     ///< in a row, while closed
    uint32_t failures_max; ///< 0: it never opens
    uint64_t probe_ms;     ///< from opening to the first try, and from one try to the next
    uint64_t open_until_ms;
};

enum breaker_leave {
    BREAKER_GO,
    BREAKER_PROBE, ///< go, and be the one that tries: breaker_tell or breaker_return is due
    BREAKER_REFUSED,
};

/** What breaker_tell has changed. */
enum breaker_change { BREAKER_UNCHANGED, BREAKER_OPENED, BREAKER_CLOSED_AGAIN };

void breaker_init(struct breaker *breaker, uint32_t failures_max, uint64_t probe_ms);
void breaker_destroy(struct breaker *breaker);

/** Whether asking would be refused now; takes no turn. */
bool breaker_refuses(struct breaker *breaker, uint64_t now_ms);

/** Asks for leave to send a request. */
enum breaker_leave breaker_ask(struct breaker *breaker, uint64_t now_ms);

/** Tells how a request went that had leave. */
enum breaker_change breaker_tell(struct breaker *breaker, bool probe, bool good, uint64_t now_ms);

/** Gives the turn of a probe back that was not sent. */
void breaker_return(struct breaker *breaker);

/** Whether it is not closed: for whoever takes it down. */
bool breaker_is_open(struct breaker *breaker);

#endif
