// A scripted exchange between well-behaved clients and an in-process broker: publishing with every QoS, a
// subscriber that leaves and comes back, one that was away, retained messages, a shared subscription, a will.
// Clients that lose their connection come back and repeat what was not acknowledged, as the standard asks.
// One thread, one exchange at a time. Must not know what goes wrong while it runs.
#ifndef NOCTULE_TESTS_EXCHANGE_H
#define NOCTULE_TESTS_EXCHANGE_H

#include "tests/fault/peer.h"

/** How it went. */
struct exchange_result {
    unsigned refused;    ///< publications the broker refused
    unsigned reconnects; ///< connections that were lost and made again
};

/** What may go wrong, and what is promised all the same. */
struct exchange_options {
    unsigned workers;
    /** A message that some subscribers got before memory ran out may come twice at QoS 2, when its refusal is
     * lost. */
    bool may_repeat;
    bool plugin;       ///< decisions are put off (moody) and made a turn later
    fault_fn *fault;   ///< of every socket; NULL: none
    size_t short_size; ///< with FAULT_SHORT; 0: 1
    /** Called before every turn of the workers. May be NULL. */
    void (*turn)(void);
    /** Whether something has been made to fail so far; NULL: never. */
    bool (*has_failed)(void);
};

/**
 * Runs it all and stops the broker. Aborts when it does not come to its end in a bounded number of turns,
 * when a message that was acknowledged has not arrived (at QoS 2: once), when a retained message, a session
 * or the will of a client that was let in is lost, or when anything is left in the end.
 */
struct exchange_result exchange_run(const struct exchange_options *options);

#endif
