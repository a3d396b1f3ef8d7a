// Asking the chain: login, authorization, messages on their way in and out, events.
// Only the client's worker.
// Must not know what the broker does with an answer.
#ifndef NOCTULE_PLUGIN_DECISION_H
#define NOCTULE_PLUGIN_DECISION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/plugin/client.h"
#include "core/topic/message.h"

/**
 * The chain's answer. Strings are good until the function that was handed it returns; of an outcome that was
 * filled at once, until the next decision on this worker.
 */
struct outcome {
    noctule_verdict verdict; ///< NOCTULE_ALLOW, DENY, CONTINUE (authentication) or DROP (message_in)
    uint8_t reason_code;     ///< MQTT 5 code of a denial; 0: the caller's usual one
    bool show_reason;        ///< `reason` may be told to the client
    bool covers_delivery;    ///< ALLOW of SUBSCRIBE that also settles every delivery under the filter (the
                             ///< deciding entry is the first of the chain that takes DELIVER, and no required
                             ///< entry takes it)
    bool failed;             ///< the verdict comes from an error, a timeout or a limit, not from an opinion
    bool decided;            ///< false: end of the chain, default_access or allow_anonymous
    const char *instance;    ///< deciding entry's name; NULL when `decided` is false
    struct str reason;       ///< for the log and explain
    struct str auth_data;    ///< CONTINUE, or the last word of enhanced authentication
    struct str psk;          ///< decide_psk: the key
};

/** Where the answer of a step comes from. */
enum decision_source {
    DECISION_ASKED,
    DECISION_CACHED, ///< a verdict that the plugin lets be used again
    DECISION_GRANT,  ///< the rules that its login brought
    DECISION_SHARED, ///< the answer to an identical question that was asked already
};

/** One step of a chain, for `noctule explain` and `noctule trace`. */
struct decision_step {
    const char *question; ///< "connect", "publish", "subscribe", "deliver", "will", ...
    struct str topic;     ///< of an access; else `data` is NULL
    const char *instance;
    enum decision_source source;
    noctule_verdict verdict; ///< as the plugin gave it; NOCTULE_ERROR with `reason` for a timeout
    struct str reason;
    uint64_t nanoseconds;
};
typedef void decision_trace_fn(const struct decision_step *step, void *argument);

/** A decision that waits for a plugin. */
struct decision;

/** Called on the client's worker when a decision that waited is made. */
typedef void decision_done_fn(struct client *client, const struct outcome *outcome, void *argument);

/**
 * How the four decisions below work: they return NULL with `*outcome` filled when the answer is known at once
 * (then `done` is never called), or a handle, and call `done` later, exactly once, never from inside this
 * call, unless decision_cancel or client_gone comes first. Deadlines, on_error, required, caches, grants,
 * coalescing and the cap on pending decisions are theirs. `trace` (may be NULL) is told of every step, and
 * makes plugins give reasons for ALLOW, too.
 */
struct decision_call {
    decision_done_fn *done;
    void *argument;
    decision_trace_fn *trace;
    void *trace_argument;
};

/**
 * CONNECT. On ALLOW the client's username, id, grants, limits and data have been updated from the reply. A
 * client without username at the end of the chain is allowed by the listener's allow_anonymous
 * (outcome.decided false).
 */
struct decision *decide_login(struct client *client, const struct noctule_login *login,
                              const struct decision_call *call, struct outcome *outcome);

/** AUTH: the next step with the entry that answered CONTINUE, or a re-authentication (0x19). */
struct decision *decide_auth(struct client *client, const struct noctule_auth *auth,
                             const struct decision_call *call, struct outcome *outcome);

/** Whether an entry of the client's chain takes enhanced authentication (has auth_step). */
bool chain_takes_auth(const struct client *client);

/** PUBLISH, SUBSCRIBE, DELIVER, WILL. */
struct decision *decide_access(struct client *client, const struct noctule_access *access,
                               const struct decision_call *call, struct outcome *outcome);

/** Whether decide_access would allow this PUBLISH or DELIVER because the first entry has allowed it for every
 * topic, and for a time that is not over; counted as an answer then. Very cheap. */
bool access_is_free(const struct client *client, uint32_t access);

/** Whether decide_access for this access can answer anything but ALLOW: if not, need not be asked. Cheap. */
bool chain_takes_access(const struct client *client, uint32_t access);

/** Called on the worker when message_in is done; `*message` is what goes on (a new owned one when changed;
 * then the caller's). */
typedef void message_in_done_fn(struct client *client, const struct outcome *outcome, struct message *message,
                                void *argument);

/**
 * message_in hooks, for a message of `client` (or of a plugin: client NULL, then the chain of all entries in
 * list order, without message->origin's own). Returns NULL when done at once: `*outcome`, and `*changed` an
 * owned message to use in place of `message`, or NULL when it is unchanged. Otherwise a handle; the message
 * is kept by the host, and `done` gets an owned message with a reference for the callee.
 */
struct decision *decide_message_in(struct worker *worker, struct client *client, struct message *message,
                                   message_in_done_fn *done, void *argument, struct outcome *outcome,
                                   struct message **changed);
bool chain_takes_message_in(struct worker *worker, const struct client *client);

/**
 * message_out hooks for one subscriber. False: this client does not get it. `*changed`: an owned message to
 * send in place of `message` (its qos may be lower), or NULL.
 */
bool message_out(struct client *client, struct message *message, uint8_t qos, struct message **changed);
bool chain_takes_message_out(const struct client *client);

/** Gives up waiting; `done` is not called. The plugin may still answer; nobody listens. */
void decision_cancel(struct decision *decision);

/** Whether any entry of the client's chain wants this event. Cheap: ask before filling in a struct
 * noctule_event. */
bool chain_takes_event(const struct client *client, uint32_t event);

/** Tells the observers. `client` NULL: of all instances of the worker's generation. Sets event->size and
 * time_ms. */
void tell_event(struct worker *worker, struct client *client, struct noctule_event *event);

#endif
