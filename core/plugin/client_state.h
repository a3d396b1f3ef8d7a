// A client as the plugin host keeps it.
// The client's worker only, except the reference counter and what never changes while a hook runs.
// Only files of core/plugin include it.
#ifndef NOCTULE_PLUGIN_CLIENT_STATE_H
#define NOCTULE_PLUGIN_CLIENT_STATE_H

#include "core/plugin/access_memo.h"
#include "core/plugin/decision_state.h"
#include "core/plugin/grants.h"
#include "core/plugin/types.h"
#include "core/plugin/verdict_cache.h"

/** One instance's value; see noctule_host.client_data. */
struct client_data {
    struct client_data *next;
    uint64_t value;
    uint8_t instance;
};

/** Of a client certificate, and of the process behind a unix socket. */
struct client_peer {
    struct noctule_client_info known; ///< only the fields about these
    char strings[];
};

/** What most clients do not have. */
struct client_extra {
    struct client_peer *peer;
    struct str client_id; ///< in place of the one that came with CONNECT; owned
    struct str username;  ///< the same
    struct grant_set *grants;
    struct verdict_cache cache;
    struct access_memo *memo; ///< NULL: nothing yet
    struct client_data *data; ///< of further instances
    struct decision *login;   ///< waits for the client's AUTH packet
    struct str auth_method;   ///< of the enhanced authentication that let it in; owned
    uint8_t auth_instance;    ///< 1 + index of the instance that did that; 0: none
    uint8_t let_in[32];       ///< by index: further instances that allowed its login
    uint32_t max_inflight;
    uint32_t max_queued;
    uint64_t expires_at_ms;
};

/** There is one for each idle client: what plugins see of it is put together when one asks, see client_info.
 */
struct client {
    _Atomic uint32_t references;
    uint32_t epoch; ///< of the verdicts: goes up whenever earlier answers do not count any more
    uint64_t connection_id;
    struct noctule_worker *worker;
    const struct chain *chain;
    void *owner;
    struct client *next; ///< in its bucket
    struct decision *decisions;
    struct client_extra *extra;
    const char *transport; ///< a constant, or NULL
    uint64_t data;         ///< of `data_instance`
    uint8_t data_instance; ///< 1 + index; 0: none has any
    uint8_t let_in;        ///< 1 + index of an instance that allowed the login; 0: none
    bool gone : 1;
    bool recheck_queued : 1;
    bool clean_start : 1;
    bool has_username : 1;
    bool vouched : 1; ///< TLS has proved the username
    bool revoked : 1; ///< since its login, or the last one that it renewed, began: by the names that it had
    bool doubted : 1; ///< somebody else was, who may be this one under a name that its login brings
    uint8_t protocol_version;
    uint16_t keep_alive;
    uint16_t client_id_length; ///< of the strings, which stand in this order
    uint16_t username_length;
    uint16_t address_length;
    uint16_t listener_length;
    char strings[]; ///< what came with CONNECT
};

static inline struct noctule_client *client_handle(struct client *client)
{
    return (struct noctule_client *)client;
}

static inline struct client *client_of(const struct noctule_client *handle)
{
    return (struct client *)handle;
}

/** Makes it on first use. */
struct client_extra *client_extra(struct client *client);

static inline struct decision **client_decisions(struct client *client)
{
    return &client->decisions;
}

static inline uint32_t client_epoch(const struct client *client)
{
    return client->epoch;
}

/** Puts the client under a chain: that of its listener, or of all entries when the generation has no such
 * listener. */
void client_set_chain(struct client *client, const struct generation *generation);

/** Forgets cached verdicts: of one instance, or of all (-1). Answers that are under way are not kept either.
 */
void client_forget_verdicts(struct client *client, int instance);

/** Has the broker ask again about the client's live subscriptions, at a later turn of the loop. */
void client_recheck_later(struct client *client);

/** One instance's value of the client; 0 at first. */
uint64_t client_data_get(const struct client *client, uint8_t instance);
void client_data_set(struct client *client, uint8_t instance, uint64_t value);

void client_mark_let_in(struct client *client, uint8_t instance);
bool client_was_let_in(const struct client *client, uint8_t instance);

void client_set_username(struct client *client, struct str username);

/** Copies of the connection ids of all clients of the worker that are connected; the caller frees. */
uint64_t *client_ids(struct noctule_worker *worker, size_t *count);

#endif
