// Requests of one worker that are under way or wait: who they are for, and the line in which they stand.
// That worker's thread.
// Must not know HTTP.
#ifndef HTTP_AUTH_FLIGHT_H
#define HTTP_AUTH_FLIGHT_H

#include "cache.h"
#include "exchange.h"

enum flight_state {
    FLIGHT_WAITING,  ///< in the line
    FLIGHT_SENT,     ///< its transfer is on the loop
    FLIGHT_RETRYING, ///< its timer runs
};

struct flight {
    struct flight *next;   ///< in its bucket
    struct flight *before; ///< in the line
    struct flight *after;
    enum flight_state state;
    enum check_kind kind;
    const struct settings *settings;
    struct text key;
    uint64_t hash;
    struct text body;
    struct asker *askers; ///< in the order in which they came, reversed
    uint64_t deadline_ms;
    uint32_t attempts; ///< that have been sent
    bool probe;        ///< has a circuit breaker's turn
    bool outdated;     ///< a revocation came while it was under way: its answer does not count
    struct transfer *transfer;
    struct noctule_timer *retry;
    struct exchange *exchange;
};

enum { FLIGHT_BUCKETS = 1024 };

/** All flights of a worker. Zero-initialised is empty. */
struct flights {
    struct flight *buckets[FLIGHT_BUCKETS];
    struct flight *first; ///< of the line
    struct flight *last;
    size_t waiting; ///< in the line
    size_t sent;
    size_t bytes; ///< of keys and bodies
};

/** The flight that asks the same under the same settings, or NULL. */
struct flight *flight_find(const struct flights *flights, const struct settings *settings,
                           struct noctule_string key, uint64_t hash);

/** A new flight on no line; takes over key and body, whose owners are empty then. NULL: out of memory. */
struct flight *flight_new(struct flights *flights, const struct settings *settings, struct text *key,
                          uint64_t hash, struct text *body);

/** Of a flight that is in no line and has no askers, no transfer and no timer. */
void flight_free(struct flights *flights, struct flight *flight);

void flight_line_up(struct flights *flights, struct flight *flight);
void flight_step_out(struct flights *flights, struct flight *flight);

#endif
