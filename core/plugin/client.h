// A client as plugins see it: identity, per-instance data, grants, cached verdicts.
// Only the client's worker, except client_ref and client_unref.
// Must not know its connection or session: the broker hangs those on `owner`.
#ifndef NOCTULE_PLUGIN_CLIENT_H
#define NOCTULE_PLUGIN_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/str.h"
#include "core/plugin/host.h"

struct chain;

/** Connection ids are counted per worker above these bits: small numbers, also where JSON readers keep 53
 * bits only. */
enum { CONNECTION_WORKER_BITS = 8 };

/** What is known of a client at CONNECT. Strings are copied. `data == NULL`: none. */
struct client_identity {
    uint8_t protocol_version;
    bool clean_start;
    uint16_t keep_alive;
    struct str client_id;
    struct str username;
    bool vouched; ///< TLS has proved the username
    struct str address;
    struct str listener; ///< name; decides the chain
    struct str certificate_common_name;
    struct str certificate_subject;
    struct str certificate_pem;
    const char *transport; ///< not copied: a constant; NULL: none
    bool has_peer;         ///< the three below hold
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
};

/** A fresh connection id of this worker: for the log lines of a connection that never becomes a client. */
uint64_t client_next_id(struct worker *worker);

/** A new client of this worker, with one reference and a fresh connection id (worker index in the lower
 * CONNECTION_WORKER_BITS). */
struct client *client_new(struct worker *worker, const struct client_identity *identity);
struct client *client_ref(struct client *client);

/** The last reference tells CLIENT_FREED (on the client's worker) and frees. */
void client_unref(struct client *client);

/** What plugins see, put together anew each time. The strings live as long as the client does, or until one
 * is replaced. */
struct noctule_client_info client_info(const struct client *client);

/** The client id alone. */
struct str client_id(const struct client *client);

/** The broker's connection; NULL once it is gone. */
void *client_owner(const struct client *client);
void client_set_owner(struct client *client, void *owner);

/** The connection has ended: pending decisions are given up, their `done` is not called any more. */
void client_gone(struct client *client);

/** Replaces the client id by one that the broker assigned. Before any decision. */
void client_set_id(struct client *client, struct str client_id);

/** What a login's reply lowered; 0: nothing. */
uint32_t client_max_inflight(const struct client *client);
uint32_t client_max_queued(const struct client *client);
/** Wall clock milliseconds at which the login expires; 0: never. */
uint64_t client_expires_at(const struct client *client);

/** Finds a connected client of this worker by connection id, or NULL. */
struct client *client_find(struct worker *worker, uint64_t connection_id);

/** Walks the worker's clients: for each, `visit`; the set must not change meanwhile. */
void client_each(struct worker *worker, void (*visit)(struct client *client, void *argument), void *argument);

/** A walk over the clients that are connected when it begins, in slices; between these, clients come and go.
 */
struct client_walk {
    size_t position;
    size_t buckets; ///< when it began
    uint64_t newest;
};

void client_walk_begin(struct worker *worker, struct client_walk *walk);

/** Visits the next `places` places of the table, each of which has one client on average. `visit` may end
 * clients. False when that was the last of it, also because the worker stops. */
bool client_walk_on(struct worker *worker, struct client_walk *walk, size_t places,
                    void (*visit)(struct client *client, void *argument), void *argument);

/** Whether a login that has just been allowed was asked about before a revocation that concerns it. */
bool client_login_is_revoked(const struct client *client);

#endif
