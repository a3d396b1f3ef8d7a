// Revocation: what was let in or allowed before, of a user or a client, does not hold any more.
// Any thread may ask; what follows happens on the workers.
// Must not know who asks, nor how connections end.
#ifndef NOCTULE_PLUGIN_REVOKE_H
#define NOCTULE_PLUGIN_REVOKE_H

#include "core/plugin/host.h"

/** What is revoked: clients that have all the names given; `data == NULL`: not given. */
struct revocation {
    struct str username;
    struct str client_id;
    bool disconnect;
    const char *instance; ///< who asks, for the log; NULL: no plugin
    /** When all workers are done, on one of them, with the number of clients concerned. May be NULL. */
    void (*done)(void *argument, uint64_t clients);
    void *argument;
};

/**
 * On every worker: calls the `revoke` hooks, then takes grants and kept verdicts from the clients concerned
 * and has their subscriptions asked about again, or ends their connections; in slices. Copies what it needs.
 * False when no name is given, or there are no workers (any more): `done` is not called then.
 */
bool plugin_revoke(struct plugin_host *host, const struct revocation *revocation);

#endif
