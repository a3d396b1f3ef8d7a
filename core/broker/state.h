// The broker's structures: what is shared, what a worker owns, what a connection is. The room's own header.
// Each structure says which thread may touch it.
// Nothing outside core/broker includes this.
#ifndef NOCTULE_BROKER_STATE_H
#define NOCTULE_BROKER_STATE_H

#include <jansson.h>
#include <stdatomic.h>

#include "config/settings.h"
#include "core/broker/broker.h"
#include "core/base/map.h"
#include "core/broker/counters.h"
#include "core/mqtt/packet.h"
#include "core/net/listener.h"
#include "core/net/stream.h"
#include "core/net/tls.h"
#include "core/plugin/decision.h"
#include "core/session/sessions.h"

/** Nothing larger can be encoded. */
#define PACKET_SIZE_MAX (MQTT_REMAINING_LENGTH_MAX + 5)

enum {
    LINGER_MS = 2000,    ///< how long a closing connection may take to read what it was sent
    GOODBYE_MS = 300,    ///< the same when the broker stops
    BACKLOG_HIGH = 4096, ///< posts waiting for a worker above which publishers to it are paused
    BACKLOG_RETRY_MS = 8,
    ARRIVING_HIGH = 8 * 1024 * 1024, ///< the same in bytes of messages and of who wants them
    EFFORT_HIGH =
        100 * 1000, ///< index nodes and subscribers after which a publisher lets others have their turn
    SLICE = 256,    ///< deliveries, clients or filters handled before others have their turn
};

struct broker_worker;
struct connection;
struct move;

/** Lets so many lines of one kind pass each second and counts the others. Zero-initialised is open. */
struct log_gate {
    uint32_t second;
    uint32_t written; ///< in that second
    uint32_t left_out;
};

/** A listening socket and its name; main thread makes and closes it, workers hold its number. */
struct broker_listener {
    struct broker_listener *next;
    struct broker *broker;
    struct listener *socket; ///< or several
    char *name;
    struct listener_place place;            ///< its strings are owned
    const struct listener_settings *wanted; ///< main thread, during a reload: what settles in the end
    bool stays;          ///< is in the configuration in force, or, during a reload, in the new one
    atomic_bool leaving; ///< its connections are being ended
    bool fresh;          ///< during a reload: was opened for it
    struct listener_counters *counters;
    struct tls_context
        *_Atomic tls;               ///< NULL: none. The main thread changes it, workers refer to it in a turn
    struct tls_context *tls_next;   ///< during a reload: what it will be
    struct tls_context *tls_before; ///< what it was, until no worker can be looking at it
    /** Main thread: the files of `tls` as they were when they were last read, or tried in vain, and looked
     * at. */
    uint64_t files_read;
    uint64_t files_seen;
    uint64_t files_look_ms; ///< the next time
    _Atomic uint64_t connections;
    _Atomic uint64_t max_connections;
    _Atomic uint64_t connect_rate; ///< connections a second; 0: any number
    _Atomic uint64_t connected_us; ///< see rate_admits
};

/** One for the process. Fields without atomics are set before the workers start and stay. */
struct broker {
    struct worker *workers;
    unsigned worker_count;
    struct broker_worker *states;                        ///< one per worker
    struct counters *counters;                           ///< one per worker
    struct listener_counters *_Atomic listener_counters; ///< the main thread adds, any thread reads
    struct subscriptions *subscriptions;
    struct retained *retained;
    struct addresses *addresses;
    struct plugin_host *plugins;
    struct broker_listener *listeners; ///< main thread
    struct broker_listener *retired;   ///< main thread: closed, but not yet left by all connections
    struct settings *settings;         ///< main thread: in force
    struct generation *generation;     ///< main thread: in force
    struct control *control;           ///< NULL: no control socket
    const struct broker_options *options;
    _Atomic uint64_t connections;
    _Atomic uint64_t sessions;
    _Atomic uint64_t message_bytes_most; ///< bytes of messages that limits.memory leaves room for; 0: any
    atomic_bool memory_full;             ///< limits.memory is reached
    uint64_t trimmed_ms;                 ///< main thread: when the allocator last gave memory back
};

/** Messages for sessions of one other worker, gathered during a turn. */
struct route_batch;

/** Only its worker's thread. worker->owner points here. */
struct broker_worker {
    struct broker *broker;
    struct worker *worker;
    struct counters *counters;       ///< its own of broker->counters
    const struct settings *settings; ///< of the generation in force here
    struct sessions sessions;
    struct connection *connections; ///< all of this worker's
    struct subscription_matches matches;
    struct delivery *merged; ///< scratch of the router
    struct session **merged_sessions;
    size_t merged_capacity;
    uint32_t mark;
    struct route_batch **batches; ///< per target worker, open in this turn
    struct turn_task close_batches;
    struct post *spare;   ///< batches to use again
    struct post *stalled; ///< batches that wait for memory, oldest first
    struct post **stalled_last;
    struct wheel_timer stalled_retry;
    struct wheel_timer throttle; ///< wakes connections that wait for a full mailbox
    struct connection *throttled;
    struct post rest; ///< wakes them in the next turn, where they only let others have theirs
    bool resting;
    uint64_t effort;              ///< of routing, since a publisher last rested
    struct gathering *gatherings; ///< see replay.c; served in turns
    struct gathering **gatherings_last;
    struct post gather;
    bool gathering;          ///< `gather` is posted, or runs
    uint64_t gathered_ms;    ///< when `gathering_left` was full
    uint32_t gathering_left; ///< levels of topics that may still be looked at in this millisecond
    struct wheel_timer housekeeping;
    struct trace *traces[8]; ///< TRACES_MAX
    unsigned trace_count;
    struct explanation *explanations; ///< questions of commands that wait for plugins
    bool stopping;
    bool ended; ///< everything has been given up; what still arrives is lost
    struct log_gate not_retained;
    struct log_gate refused_politely; ///< connections that get a CONNACK with the reason
    struct log_gate refusals;         ///< lines about them
    uint64_t lost; ///< messages of QoS 1 and 2 for which there was no memory: not to be acknowledged

    // What other workers write to, once for each batch, has a cache line of its own.
    _Alignas(64) _Atomic uint64_t arriving; ///< bytes of the batches on their way here
    _Atomic(struct post *) returned;        ///< batches made here that others are done with
    _Atomic unsigned returned_count;        ///< about how many
};

/** CONNECT, kept from its arrival until CONNACK. */
struct connect_packet {
    struct mqtt_connect packet;      ///< points into `bytes`
    unsigned moves;                  ///< between workers
    struct str sent_id;              ///< the client id as the client sent it
    const struct generation *judges; ///< in force when the login was asked about
    struct move *move;               ///< asked for, not yet begun
    uint8_t bytes[];
};

enum connection_state {
    STATE_AWAIT_CONNECT,
    STATE_LOGIN,          ///< a decision about CONNECT or AUTH is being made
    STATE_REFUSED,        ///< the login is refused, the answer waits a moment
    STATE_AUTHENTICATING, ///< the client's AUTH is awaited
    STATE_ONLINE,
    STATE_CLOSED, ///< no packets are handled any more; the stream is going
};

/** Why a client's input stands still. Reasons may hold at the same time; it goes on when none is left. */
enum pause_reason {
    PAUSE_LOGIN = 1 << 0,     ///< CONNECT or AUTH is being decided, or the connection moves
    PAUSE_PUBLISH = 1 << 1,   ///< a PUBLISH is being decided
    PAUSE_SUBSCRIBE = 1 << 2, ///< a SUBSCRIBE is being decided
    PAUSE_CONGESTED = 1 << 3, ///< another worker is behind
    PAUSE_RATE = 1 << 4,      ///< it publishes faster than it may
    PAUSE_UNREAD = 1 << 5,    ///< the client does not read the answers to what it sends
};

/** Topic aliases of one direction; made on first use. */
struct aliases_in {
    uint16_t maximum;
    struct str topics[]; ///< by alias - 1; owned
};
struct aliases_out {
    struct map by_topic; ///< value: alias as a pointer
    uint16_t used;
    struct str topics[]; ///< owned
};

struct subscribe_call;
struct publish_call;
struct publish_rate;

/** What most connections never need. */
struct connection_rare {
    struct wheel_timer expiry; ///< of the login; first: found again from the timer
    struct connection *connection;
    struct publish_rate *rate; ///< NULL: not counted
    struct aliases_in *aliases_in;
    struct aliases_out *aliases_out;
    struct connection *next_throttled;
    struct log_gate denials;
};

/** A connection. Made on the worker that accepted it, moved once to its client id's worker. Freed by
 * stream_events.closed. */
struct connection {
    struct stream stream; ///< first
    struct connection *next;
    struct connection **link;
    struct broker_listener *listener;
    struct session *session; ///< NULL until online
    struct client *client;   ///< NULL until CONNECT has reached its home
    struct connect_packet *connect;
    struct decision *pending;         ///< about login, AUTH or PUBLISH: input stands still
    struct publish_call *publish;     ///< with `pending` or `throttled`
    struct subscribe_call *subscribe; ///< waits for answers about filters
    struct decision *read_check;      ///< about the message at the front: delivery stands still
    struct wheel_timer timer;         ///< CONNECT deadline, then keep alive
    struct connection_rare *rare;     ///< NULL: nothing of it yet; see connection_rare
    uint64_t seen_ms;                 ///< last packet
    uint32_t keep_alive_ms;           ///< one and a half times; 0: none
    uint32_t maximum_packet_size;     ///< the client's
    uint32_t resend_left;             ///< entries of the window that have not been sent again
    uint32_t replaying;               ///< retained messages added since none was waiting
    uint32_t input_seen;              ///< bytes of an unfinished packet when the silence was last looked at
    uint16_t carried;                 ///< incoming QoS 2 exchanges of connections before this one
    uint16_t send_quota;              ///< unacknowledged QoS 1 and 2 messages to the client at most
    uint16_t topic_alias_maximum;     ///< the client's
    uint8_t version;
    uint8_t state;
    uint8_t pauses;           ///< enum pause_reason
    uint8_t refusal;          ///< reason for which CONNECT will be refused; 0: none so far
    uint8_t reason;           ///< why it ended, for log and observers
    bool front_is_replay : 1; ///< what read_check or front_verdict is about
    bool front_known : 1;     ///< front_allowed holds
    bool front_allowed : 1;
    bool pumping : 1;
    bool problem_information : 1;  ///< Reason Strings may be sent
    bool response_information : 1; ///< was asked for
    bool retain_refused : 1;       ///< it was told Retain Available 0
    bool enhanced : 1;             ///< CONNECT had an Authentication Method
    bool reauthenticating : 1;
    bool counted : 1; ///< in the connection counts
    bool throttled : 1;
    bool traced : 1;       ///< somebody may trace it; see trace.h
    bool said_goodbye : 1; ///< the client sent DISCONNECT
    char address[];        ///< NUL-terminated; the client's, once a proxy has told it
};

static inline struct broker_worker *connection_worker(const struct connection *connection)
{
    return connection->stream.worker->owner;
}

/* connection.c */
/** Takes the descriptor; NULL when there is no memory: it has not. `proxy`: how it comes through a proxy;
 * NULL: it does not. */
struct connection *connection_new(struct broker_worker *here, struct broker_listener *listener,
                                  const struct accepted *accepted, const struct proxy_settings *proxy);
void connection_link(struct broker_worker *here, struct connection *connection);
void connection_unlink(struct connection *connection);
/** Makes `rare` on its first use. */
struct connection_rare *connection_rare(struct connection *connection);
/** Gives the structure back, after its stream. */
void connection_free(struct connection *connection);
/** As connection_free, with the stream, for one that no worker holds any more. */
void connection_lose(struct connection *connection);
/** Takes the connection out of its session, publishes or arms the will, and tells observers; the stream is
 * untouched. */
void connection_leave(struct connection *connection, uint8_t reason, bool with_will);
/**
 * Ends the connection with `reason` (0x80 and above): CONNACK or DISCONNECT where the protocol has one, then
 * close. `why` is for the log; NULL: the reason's name.
 */
void connection_fail(struct connection *connection, uint8_t reason, const char *why);
/** As connection_fail, with a Reason String for the client (may be empty). */
void connection_fail_telling(struct connection *connection, uint8_t reason, const char *why, struct str told);
/** The client is gone or not worth a word: no packet is sent. */
void connection_drop(struct connection *connection, uint8_t reason, const char *why);
/** Whether its end is logged: of a flood of refused connections, only some are. */
bool connection_is_worth_a_line(struct connection *connection);
/** As connection_drop, for one that should not be here: logged as refused ones are. */
void connection_reject(struct connection *connection, const char *why);
/** Input stands still until every reason has been given back. */
void connection_pause(struct connection *connection, enum pause_reason reason);
void connection_resume(struct connection *connection, enum pause_reason reason);
void connection_set_deadline(struct connection *connection, uint64_t after_ms);
void connection_start_keep_alive(struct connection *connection);
void session_end(struct broker_worker *here, struct session *session, bool expired);
/** What the session holds will be freed with it: takes it out of the counters. */
void session_uncount(struct broker_worker *here, const struct session *session);
void session_timer_expired(struct wheel_timer *timer, void *context);

/* received.c */
extern const struct stream_events connection_stream_events;

/* login.c */
/** Any thread: the worker that a client id belongs to. */
unsigned login_home(const struct broker *broker, struct str client_id);
/** A CONNECT above the limit, of which `available` bytes have come: tells the client why it will be closed.
 */
void login_too_large(struct connection *connection, const uint8_t *packet, size_t available);
/** In words. */
const char *login_why_refused(uint8_t refusal);
void login_receive(struct connection *connection, const struct mqtt_frame *frame);
void login_auth(struct connection *connection, const struct mqtt_frame *frame);
/** Drops what was kept of CONNECT. */
void login_forget(struct connection *connection);
void login_arrived(struct worker *worker, struct connection *connection);

/* online.c */
/** Sets the timer for the end of the login, where it has one. */
void online_start_expiry(struct connection *connection);
void online_start(struct connection *connection, const struct outcome *outcome);

/* publish.c */
void publish_receive(struct connection *connection, const struct mqtt_frame *frame);
/** Whether only the broker and plugins may publish there. */
bool topic_is_reserved(struct str topic);
void publish_cancel(struct connection *connection);
void publish_unthrottle(struct broker_worker *here);
/** A message of a plugin or of the broker: message_in hooks, then routing. Takes the reference. */
void publish_system(struct broker_worker *here, struct message *message);

/* acknowledge.c */
void acknowledge_receive(struct connection *connection, const struct mqtt_frame *frame);

/* subscribe.c */
void subscribe_receive(struct connection *connection, const struct mqtt_frame *frame);
void unsubscribe_receive(struct connection *connection, const struct mqtt_frame *frame);
void subscribe_cancel(struct connection *connection);
/** Asks again about every subscription of the client; those denied are removed. */
void subscribe_recheck(struct connection *connection);

/** Goes on with a SUBSCRIBE that has waited for retained messages to be found, if there is one. */
void subscribe_go_on(struct connection *connection);

/* replay.c */
/** Looks for the retained messages of a subscription that was just made; none for a shared one. Where that
 * takes long, session->gathers until it is over, and subscribe_go_on is called then. One at a time for each
 * session. */
void replay_start(struct connection *connection, struct str filter, uint8_t options, uint32_t identifier,
                  bool covered);

/* route.c */
/** Stores as retained where asked, and hands to every subscriber, here and on other workers. Returns how many
 * matched. */
size_t route_message(struct broker_worker *here, struct message *message);
/** Whether a worker that `message` may go to is so far behind that its publisher should wait. */
bool route_is_congested(struct broker_worker *here);
/** Whether routing has cost so much since the last rest that the publisher should let others have their turn.
 */
static inline bool route_is_tired(const struct broker_worker *here)
{
    return here->effort > EFFORT_HIGH;
}
void route_start(struct broker_worker *here);
void route_stop(struct broker_worker *here);
/** A member of a shared group cannot take it any more: gives it to another member. Takes the delivery. */
void route_to_group(struct broker_worker *here, struct delivery *delivery, uint64_t except);

/* deliver.c */
/**
 * Gives one message to a session: sent at once where nothing stands before it, queued or dropped else.
 * Borrows delivery->message (keeping it where needed), takes delivery->more. False when there was no memory
 * for a message of QoS 1 or 2: the session has not got it, and nobody was told.
 */
bool deliver(struct broker_worker *here, struct session *session, struct delivery *delivery);
/** Sends what waits, as far as window, socket and checks let it. */
void deliver_waiting(struct connection *connection);
void deliver_drop(struct broker_worker *here, struct session *session, struct delivery *delivery,
                  enum drop_reason why);

/** Takes the oldest out of the session's queue, which is not empty. */
struct delivery deliver_take(struct broker_worker *here, struct session *session);

/* transmit.c */
enum transmit_result { TRANSMITTED, TRANSMIT_TOO_LARGE, TRANSMIT_FAILED };
enum transmit_result transmit_publish(struct connection *connection, const struct delivery *delivery,
                                      uint16_t packet_id, bool dup);
void aliases_free(struct connection *connection);

/* reply.c */
void reply_ack(struct connection *connection, uint8_t type, uint16_t packet_id, uint8_t reason,
               struct str told);
void reply_ping(struct connection *connection);
/** False, and nothing is sent, where not even the shortest form fits into what the client takes (Maximum
 * Packet Size). */
bool reply_connack(struct connection *connection, const struct mqtt_connack *connack);
/** DISCONNECT or AUTH, likewise. */
bool reply_disconnect(struct connection *connection, uint8_t type, const struct mqtt_disconnect *packet);
/** SUBACK or UNSUBACK; one that is larger than the client takes ends the connection instead. */
void reply_suback(struct connection *connection, uint8_t type, uint16_t packet_id, const uint8_t *codes,
                  size_t count);

/* rate.c */
/** Counts a PUBLISH of `bytes`; pauses the input of a client that is too fast. Only while a rate is set. */
void rate_count(struct connection *connection, uint32_t bytes);
void rate_forget(struct connection *connection);

/* ceiling.c */
/** Main thread, a few times a second: looks whether limits.memory is reached. */
void ceiling_watch(struct broker *broker);
/** Any thread: memory that the process occupies. */
uint64_t ceiling_resident_bytes(void);
/** Any worker: whether something new has to be refused for lack of memory. Cheap while there is no limit. */
bool broker_is_full(const struct broker *broker);

/* will.c */
/** NULL when memory is out. `message->publisher` is the caller's to fill in. */
struct will *will_new(const struct mqtt_will *will, struct client *client);
void will_free(struct will *will);
/** Publishes the will once its author may; takes it. */
void will_publish(struct will *will);
void will_drop(struct session *session);

/* denial.c */
/** Whether one more line may be written now. `*left_out`: how many were not since the last one that was. */
bool log_gate_opens(struct log_gate *gate, uint64_t now_ms, uint32_t per_second, uint64_t *left_out);
/** The code of a denial in a packet of `type`: the plugin's, where the standard has it there. */
uint8_t denial_reason(const struct outcome *outcome, uint8_t type);
/** One line; a client that causes them faster than a person could read gets a line about their number. */
void log_denial(struct broker_worker *here, struct client *client, enum denied access, struct str topic,
                const struct outcome *outcome);
/** The connection ends: tells of denials that were left out. */
void log_denials_left_out(struct connection *connection);
/** A message that the client with this id does not get; `connection` is NULL while it is away. */
void log_dropped(const struct connection *connection, struct str client_id, struct str topic,
                 const char *why);
void log_connection(struct connection *connection, enum log_level level, const char *event,
                    const char *message, const char *why);

/* tls.c */
/** Who a client is by its certificate or PSK, as the listener's `tls` has it, or its `username_from`. Strings
 * live as those of transport_facts. */
struct tls_names {
    struct str username;  ///< data NULL: none
    struct str client_id; ///< data NULL: none
    bool suffices;        ///< the name is all the login there needs to be
};
/** False: the client has to be refused, `*why` says for what. */
bool tls_names_of(const struct connection *connection, struct tls_names *names, const char **why);
/** Puts TLS on a connection that was accepted; true also when the listener has none. False: memory is out. */
bool tls_begin(struct connection *connection);
/** Makes the context of a listener from what is wanted for it, for tls_commit. False: reported. Main thread,
 * as all that follow. */
bool tls_prepare(struct broker_listener *listener, const struct listener_settings *wanted,
                 struct diagnostics *diagnostics);
/** The context of a listener whose settings have `tls`; NULL: reported. `strict`: what has expired is an
 * error. */
struct tls_context *tls_load(const struct listener_settings *wanted, bool strict,
                             struct diagnostics *diagnostics);
/** Puts in force what was prepared for one listener, before the next errand on all workers. */
void tls_replace(struct broker_listener *listener);
/** The same for all that stay, and the limits on handshakes. */
void tls_commit(struct broker *broker, const struct settings *settings);
/** Frees what was replaced; after that errand. Also what was prepared and never put in force. */
void tls_settle(struct broker_listener *listener);
/** Frees all of it. */
void tls_forget(struct broker_listener *listener);
/* tls_watch.c */
/** Loads files anew that have changed, where `watch` asks for it. Often called; looks every second. */
void tls_watch(struct broker *broker);
/** A number that changes with any of the files of a `tls`. */
uint64_t tls_files_state(const struct settings_tls *tls);

/* websocket.c */
/** Puts WebSocket on a connection that was accepted; true also when its listener has none. False: memory is
 * out. */
bool websocket_begin(struct broker_worker *here, struct connection *connection);

/** On a worker: what is configured for a listener; NULL when it is being removed. */
const struct listener_settings *listeners_settings(const struct broker_worker *here,
                                                   const struct broker_listener *listener);

/* listeners.c; main thread */
/** Opens the listeners of `settings` that are not open yet and marks which ones stay. False: an error;
 * nothing has changed. */
bool listeners_open(struct broker *broker, const struct settings *settings, struct diagnostics *diagnostics);
/** After all workers have switched: closes those that do not stay. */
void listeners_settle(struct broker *broker);
/** Frees listeners that were closed and whose last connection has gone. */
void listeners_sweep(struct broker *broker);
void listeners_close(struct broker *broker);
/** On a worker: stops accepting on the listeners that do not stay, and ends their connections. */
void listeners_leave(struct broker_worker *here);
/** On a worker, once all have switched: accepts on the listeners that are new. Whoever accepts may hand the
 * connection to any other worker at once. */
void listeners_enter(struct broker_worker *here, void *argument);
void listeners_stop(struct broker_worker *here);
/** An accepted_fn; `listener` is a struct broker_listener. Takes the descriptor. */
void listeners_accepted(struct worker *worker, const struct accepted *accepted, void *listener);
/** The address of a connection behind a proxy has become known: NULL, or why it is not welcome. */
const char *listeners_identified(struct connection *connection);

/* reload.c */
/** How a reload went. Zero-initialise. */
struct reload_report {
    bool done; ///< false: everything is as it was
    struct diagnostics diagnostics;
    json_t *changes; ///< lines; NULL: not done
};
/** Reads the configuration again and puts it in force everywhere, or leaves everything as it was and says
 * why. */
void reload(struct broker *broker, struct reload_report *report);
void reload_report_clear(struct reload_report *report);
/** Loads and builds; NULL with all errors in `diagnostics`. */
struct generation *reload_build(struct broker *broker, struct settings **settings,
                                struct diagnostics *diagnostics);
/** Puts `log:` in force. */
void log_apply(const struct settings *settings);
/** Logs every finding; errors as errors, the rest as warnings. */
void reload_report(const struct diagnostics *diagnostics);
/** On a worker: puts a generation in force. */
void reload_switch(struct broker_worker *here, void *generation);

/* upcalls.c */
extern const struct plugin_upcalls broker_upcalls;

/* metrics.c; main thread */
/** The counters of a listener's name, made when it has none yet. */
struct listener_counters *metrics_of_listener(struct broker *broker, const char *name);
/** Frees them, once no listener is left. */
void metrics_forget_listeners(struct broker *broker);
/** From here on, until metrics_close, what is counted can be read. Between start and stop of the workers. */
void metrics_open(struct broker *broker);
void metrics_close(void);
/** Any thread: the `metrics` of struct plugin_upcalls. Nothing while they are not open. */
void metrics_tell(noctule_metric_fn function, void *argument);

/* assembly.c */
/**
 * Makes what all threads stand on: indexes, workers and their states, the plugin host's part of them. No
 * thread starts and no listener is touched, so a test can run the workers' loops itself. `plugins`,
 * `settings` and `generation` are set already. Main thread.
 */
void broker_assemble(struct broker *broker);
/** Frees it all, `plugins`, `generation` and listeners too, after every worker has ended. Main thread. */
void broker_disassemble(struct broker *broker);
/** What a worker does first and last; on its thread. After the first, reload_switch puts a generation in
 * force. */
void broker_worker_up(struct worker *worker);
void broker_worker_down(struct worker *worker);

/* broker.c */
/** Runs `work` on every worker and waits for all of them. Main thread. */
void broker_on_all_workers(struct broker *broker, void (*work)(struct broker_worker *here, void *argument),
                           void *argument);

#endif
