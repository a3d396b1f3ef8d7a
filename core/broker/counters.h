// What the broker counts, for statistics: each worker on cache lines of its own, summed when somebody asks.
// Adding: the worker's own thread only. Reading (metrics.c): any thread.
// Must not know who reads, nor under which names: those are in metrics.c.
#ifndef NOCTULE_BROKER_COUNTERS_H
#define NOCTULE_BROKER_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

/** What became of a login. */
enum login_result { LOGIN_ALLOWED, LOGIN_DENIED, LOGIN_FAILED, LOGIN_RESULTS };

/** Why a connection was refused before anybody looked at its CONNECT. */
enum refusal { REFUSAL_LIMIT, REFUSAL_RATE, REFUSAL_ADDRESS, REFUSAL_MEMORY, REFUSALS };

/** What was denied. */
enum denied { DENIED_CONNECT, DENIED_PUBLISH, DENIED_SUBSCRIBE, DENIED_DELIVER, DENIED_WILL, DENIED_KINDS };

/** Why a message did not reach a session, or anybody. */
enum drop_reason {
    DROP_QUEUE_FULL,
    DROP_MEMORY_LIMIT,
    DROP_OUT_OF_MEMORY,
    DROP_EXPIRED,
    DROP_NOT_AUTHORIZED,
    DROP_HOOK,
    DROP_TOO_LARGE,
    DROP_NOT_CONNECTED,
    DROP_REASONS,
};

/** As the log and observers say it. */
extern const char *const drop_texts[DROP_REASONS];

enum { PACKET_TYPES = 16 };

/** The first of a group stands for all of it: COUNTER_DROPPED + DROP_EXPIRED. */
enum counter {
    // What there is now. One worker may count up what another counts down; the sum is right.
    COUNTER_CONNECTIONS,
    COUNTER_CLIENTS,
    COUNTER_QUEUED,
    COUNTER_QUEUED_BYTES,
    COUNTER_INFLIGHT,
    // What there has been.
    COUNTER_PUBLISH_RECEIVED_BYTES,
    COUNTER_PUBLISH_SENT_BYTES,
    COUNTER_RECEIVED,
    COUNTER_SENT = COUNTER_RECEIVED + PACKET_TYPES,
    COUNTER_DROPPED = COUNTER_SENT + PACKET_TYPES,
    COUNTER_DENIED = COUNTER_DROPPED + DROP_REASONS,
    COUNTER_LOGINS = COUNTER_DENIED + DENIED_KINDS,
    COUNTER_REFUSED = COUNTER_LOGINS + LOGIN_RESULTS,
    COUNTER_ACCEPTED = COUNTER_REFUSED + REFUSALS,
    COUNTER_TAKEN_OVER,
    COUNTER_EXPIRED,
    COUNTER_NOT_RETAINED,
    COUNTERS,
};

/** Of one worker. */
struct counters {
    _Alignas(64) _Atomic uint64_t values[COUNTERS];
};

/** Of one name of a listener, whatever sockets it has had. Never freed while the broker runs. */
struct listener_counters {
    _Atomic uint64_t connections;
    _Atomic uint64_t accepted;
    /** When the first of the server's certificates and of the revocation lists ends, in seconds since 1970;
     * 0: there is none. */
    _Atomic int64_t certificate_expiry;
    _Atomic int64_t crl_expiry;
    struct listener_counters *_Atomic next;
    char name[];
};

/** A negative amount is its complement: the sum of all workers comes out right. */
static inline void counter_add(struct counters *counters, unsigned counter, uint64_t amount)
{
    // One thread writes, so this needs no locked instruction.
    _Atomic uint64_t *value = &counters->values[counter];
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + amount,
                          memory_order_relaxed);
}

static inline uint64_t counter_read(const struct counters *counters, unsigned counter)
{
    return atomic_load_explicit(&counters->values[counter], memory_order_relaxed);
}

#endif
