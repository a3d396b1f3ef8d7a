// A session: what the broker keeps for a client id, connected or not. All of its changes pass the functions
// below: the one narrow place at which a store or a cluster can follow them. Only the worker that the client
// id belongs to. Must not know sockets, packets or plugins; the connection is an opaque pointer of the
// broker's.
#ifndef NOCTULE_SESSION_SESSION_H
#define NOCTULE_SESSION_SESSION_H

#include "core/base/wheel.h"
#include "core/session/packet_ids.h"
#include "core/session/queue.h"
#include "core/session/window.h"
#include "core/topic/retained.h"
#include "core/topic/subscriptions.h"

/** A will, from CONNECT until it is published or dropped. [v5 3.1.2.5] */
struct will {
    struct message *message; ///< one reference; its expiry still counts from publication, see expiry_s
    uint32_t delay_s;
    uint32_t expiry_s; ///< Message Expiry Interval; 0: none given
    uint64_t due_ms;   ///< once disconnected: when to publish
    void *author;      ///< the broker's: who is asked for
};

/** Retained messages that a new subscription brought and that have not been sent yet. */
struct replay {
    struct replay *next;
    struct replay *last; ///< of the first one: the last one
    struct retained_list list;
    size_t sent; ///< of the list
    uint32_t identifier;
    uint8_t qos; ///< granted
    bool covered;
};

/** While a session has no connection. */
struct absence {
    struct wheel_timer timer; ///< first: expiry, or the will's delay
    struct session *session;
    uint64_t expires_ms; ///< UINT64_MAX: never
};

/** There is one for each idle client: what is only needed while something happens hangs on pointers. */
struct session {
    uint64_t id;      ///< worker index in the upper 8 bits; see sessions.h
    void *connection; ///< the broker's; NULL: not connected
    struct absence *absence;
    struct will *will;
    struct subscription **subscriptions; ///< each knows its place here
    struct replay *replay_first;
    uint32_t subscription_count;
    uint32_t subscription_capacity;
    uint32_t shared_count; ///< shared ones among the subscriptions
    uint32_t expiry_s;     ///< Session Expiry Interval; UINT32_MAX: never
    struct queue queue;
    struct window window;
    struct packet_ids received; ///< incoming QoS 2
    uint32_t mark;              ///< of the router, to find a session that stands twice in one match
    uint32_t mark_index;
    uint16_t client_id_length;
    bool taken_over : 1; ///< its connection is about to be replaced
    bool gathers : 1;    ///< retained messages are still looked for: what is newer waits
    char client_id[];    ///< see session_client_id
};

static inline struct str session_client_id(const struct session *session)
{
    return str_make(session->client_id, session->client_id_length);
}

/** Adds or replaces a subscription. `*existed` as of subscriptions_add. */
struct subscription *session_subscribe(struct session *session, struct subscriptions *index,
                                       struct str filter, uint8_t options, uint32_t identifier,
                                       bool *existed);

/** False when there was no such subscription. */
bool session_unsubscribe(struct session *session, struct subscriptions *index, struct str filter);

/** Tells the index whether the session's shared subscriptions can take messages. */
void session_set_online(struct session *session, bool online);

/** The connection has gone: the session is to end at `expires_ms` (UINT64_MAX: never). Its absence has a
 * timer for that, which the caller starts. */
void session_set_away(struct session *session, uint64_t expires_ms);

/** There is a connection again, or there will be nothing any more; the timer is stopped. */
void session_end_absence(struct session *session);

/** Whether anything waits to be sent. */
static inline bool session_has_waiting(const struct session *session)
{
    return session->queue.count > 0 || session->replay_first || session->gathers;
}

/** Adds retained messages to be sent; takes the list. An empty one is no reason to send. */
void session_add_replay(struct session *session, struct retained_list *list, uint8_t qos, uint32_t identifier,
                        bool covered);

/** Shows the next retained message, whose reference stays the session's; false when there is none. */
bool session_peek_replay(const struct session *session, struct delivery *delivery);

/** Takes the next retained message out, with its reference; false when there is none. */
bool session_next_replay(struct session *session, struct delivery *delivery);

/** Forgets that deliveries were covered or checked: from now on everything is asked anew. */
void session_uncover(struct session *session);

/** Drops the will, if any; its author is the caller's to give back. */
void session_drop_will(struct session *session);

#endif
