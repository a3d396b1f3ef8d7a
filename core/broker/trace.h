// What happens to the clients that somebody traces: packets, decisions, queues, ends; a line of JSON each.
// Each function says which thread may call it. On a worker, no more than one look at a bit is spent on
// connections that nobody traces. Must not know how lines get to whoever reads them.
#ifndef NOCTULE_BROKER_TRACE_H
#define NOCTULE_BROKER_TRACE_H

#include "core/broker/state.h"

enum { TRACES_MAX = 8 };

/** One that traces, shared by the workers and who reads. */
struct trace;

/** Whom: clients that have all the names given; `data` NULL: not given. Copied. */
struct trace_filter {
    struct str client_id;
    struct str username;
    struct str address; ///< with or without port
    bool payload;       ///< show what messages contain
};

/** A line, owned by whoever took it. */
struct trace_line {
    struct trace_line *next;
    size_t length;
    char text[]; ///< without end of line
};

/** Any thread: a trace with one reference. `wake` is called, on any worker, when a line comes and none was
 * there. */
struct trace *trace_new(const struct trace_filter *filter, void (*wake)(void *argument), void *argument);
struct trace *trace_ref(struct trace *trace);
void trace_unref(struct trace *trace);

/** Any thread: takes all lines there are, oldest first; `*dropped`: how many there was no room for before
 * them. */
struct trace_line *trace_take(struct trace *trace, uint64_t *dropped);

/** On a worker: clients are traced from here on; those that are connected once trace_consider has seen them.
 * Takes a reference; false when there are TRACES_MAX already. */
bool trace_begin(struct broker_worker *here, struct trace *trace);
void trace_end(struct broker_worker *here, struct trace *trace);
/** On a worker, at its end. */
void trace_end_all(struct broker_worker *here);

/** Looks whether anybody traces the connection, by the names that it has now. */
void trace_consider(struct connection *connection);

/* What happened. Only for connections with the bit `traced`; see trace_on. */

void trace_received(struct connection *connection, const struct mqtt_frame *frame);
/** A packet of `size` bytes that was written to the client, but for PUBLISH. */
void trace_sent(struct connection *connection, const uint8_t *packet, size_t size);
void trace_sent_publish(struct connection *connection, const struct delivery *delivery, uint16_t packet_id,
                        bool dup);
void trace_connect(struct connection *connection, const struct mqtt_connect *packet);
/** `what`: "queued", "taken", "sent", "acknowledged". */
void trace_flow(struct connection *connection, const char *what);
void trace_dropped(struct connection *connection, struct str topic, const char *why);
void trace_denied(struct connection *connection, const char *access, struct str topic,
                  const struct outcome *outcome);
/** As the log line about a connection. */
void trace_note(struct connection *connection, const char *event, const char *why);
void trace_left(struct connection *connection, uint8_t reason);
/** A decision_trace_fn; `connection` is a struct connection. */
void trace_step(const struct decision_step *step, void *connection);
/** A step of a chain, as trace and explain show it. */
json_t *trace_step_json(const struct decision_step *step);

static inline bool trace_on(const struct connection *connection)
{
    return __builtin_expect(connection->traced, 0);
}

/** For decision_call.trace, whose argument is the connection. */
static inline decision_trace_fn *trace_of(const struct connection *connection)
{
    return trace_on(connection) ? trace_step : NULL;
}

#endif
