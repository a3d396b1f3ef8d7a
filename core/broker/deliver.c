// The delivery pump: the one place where a message for a session turns into a packet or waits. READ check,
// message_out, expiry, flow control, in this order.
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/state.h"
#include "core/broker/trace.h"

/** What became of the message at the front. */
enum step { STEP_SENT, STEP_DROPPED, STEP_WAIT };

static void read_decided(struct client *client, const struct outcome *outcome, void *argument);

const char *const drop_texts[DROP_REASONS] = {
    [DROP_QUEUE_FULL] = "the session's queue is full",
    [DROP_MEMORY_LIMIT] = "limits.memory is reached",
    [DROP_OUT_OF_MEMORY] = "out of memory",
    [DROP_EXPIRED] = "the message has expired",
    [DROP_NOT_AUTHORIZED] = "not authorized",
    [DROP_HOOK] = "a message_out hook dropped it",
    [DROP_TOO_LARGE] = "larger than the client's Maximum Packet Size",
    [DROP_NOT_CONNECTED] = "the client is not connected",
};

/* ---- telling ---- */

static void tell_message(struct broker_worker *here, struct client *client, uint32_t kind,
                         const struct delivery *delivery, struct str reason)
{
    const struct message *message = delivery->message;
    struct noctule_event event = {.event = kind,
                                  .topic = {message->topic.data, message->topic.length},
                                  .qos = delivery->qos,
                                  .reason = {reason.data, reason.length}};
    if (client)
        event.client_id = client_info(client).client_id;
    tell_event(here->worker, client, &event);
}

static void note_dropped(struct broker_worker *here, struct session *session, const struct delivery *delivery,
                         enum drop_reason why)
{
    struct connection *connection = session->connection;
    counter_add(here->counters, COUNTER_DROPPED + why, 1);
    if (connection && trace_on(connection))
        trace_dropped(connection, delivery->message->topic, drop_texts[why]);
    if (log_enabled(LOG_DEBUG))
        log_dropped(connection, session_client_id(session), delivery->message->topic, drop_texts[why]);
    if (connection && chain_takes_event(connection->client, NOCTULE_EVENT_MESSAGE_DROPPED))
        tell_message(here, connection->client, NOCTULE_EVENT_MESSAGE_DROPPED, delivery,
                     str_of(drop_texts[why]));
}

void deliver_drop(struct broker_worker *here, struct session *session, struct delivery *delivery,
                  enum drop_reason why)
{
    note_dropped(here, session, delivery, why);
    free(delivery->more);
    delivery->more = NULL;
}

/* ---- READ check ---- */

static bool read_denied(struct connection *connection, const struct delivery *delivery,
                        const struct outcome *outcome)
{
    if (outcome->verdict == NOCTULE_ALLOW)
        return false;
    log_denial(connection_worker(connection), connection->client, DENIED_DELIVER, delivery->message->topic,
               outcome);
    return true;
}

// STEP_SENT here means: may be sent.
static enum step check_read(struct connection *connection, const struct delivery *delivery)
{
    if (connection->front_known) {
        connection->front_known = false;
        return connection->front_allowed ? STEP_SENT : STEP_DROPPED;
    }
    if (delivery->covered || delivery->checked ||
        (!trace_on(connection) && access_is_free(connection->client, NOCTULE_ACCESS_DELIVER)) ||
        !chain_takes_access(connection->client, NOCTULE_ACCESS_DELIVER))
        return STEP_SENT;
    struct noctule_access access = {
        .size = sizeof access,
        .access = NOCTULE_ACCESS_DELIVER,
        .topic = {delivery->message->topic.data, delivery->message->topic.length},
        .qos = delivery->qos,
        .retain = delivery->retain,
        .payload_size = delivery->message->payload.length,
    };
    struct outcome outcome;
    struct decision_call call = {.done = read_decided,
                                 .argument = connection,
                                 .trace = trace_of(connection),
                                 .trace_argument = connection};
    connection->read_check = decide_access(connection->client, &access, &call, &outcome);
    if (connection->read_check)
        return STEP_WAIT;
    return read_denied(connection, delivery, &outcome) ? STEP_DROPPED : STEP_SENT;
}

/* ---- sending ---- */

static bool has_room(const struct connection *connection, const struct delivery *delivery)
{
    const struct window *window = &connection->session->window;
    return delivery->qos == 0 || (window->active < connection->send_quota && window_has_room(window) &&
                                  connection->resend_left == 0);
}

static enum step send_acknowledged(struct connection *connection, struct delivery *delivery)
{
    struct session *session = connection->session;
    uint16_t packet_id = 0;
    if (delivery_keep(delivery)) {
        packet_id = window_add(&session->window, delivery);
        if (packet_id == 0)
            message_unref(delivery->message);
    }
    if (packet_id == 0) {
        // Memory is out: the client has to come again, and its messages wait.
        stream_abort(&connection->stream);
        return STEP_WAIT;
    }
    counter_add(connection_worker(connection)->counters, COUNTER_INFLIGHT, 1);
    if (trace_on(connection))
        trace_flow(connection, "unacknowledged");
    enum transmit_result result = transmit_publish(connection, delivery, packet_id, false);
    if (result == TRANSMIT_TOO_LARGE) {
        // Counts as delivered: its slot is free again. [v5 3.1.2-25]
        delivery->more = NULL;
        window_done(&session->window, window_find(&session->window, packet_id));
        counter_add(connection_worker(connection)->counters, COUNTER_INFLIGHT, 0 - UINT64_C(1));
        return STEP_DROPPED;
    }
    return STEP_SENT;
}

static enum step send_now(struct connection *connection, struct delivery *delivery)
{
    enum step step = STEP_SENT;
    if (delivery->qos > 0) {
        step = send_acknowledged(connection, delivery);
    } else {
        if (transmit_publish(connection, delivery, 0, false) == TRANSMIT_TOO_LARGE)
            step = STEP_DROPPED;
    }
    if (step == STEP_SENT && chain_takes_event(connection->client, NOCTULE_EVENT_MESSAGE_DELIVERED))
        tell_message(connection_worker(connection), connection->client, NOCTULE_EVENT_MESSAGE_DELIVERED,
                     delivery, (struct str){0});
    return step;
}

static enum step send_through_hooks(struct connection *connection, struct delivery *delivery,
                                    enum drop_reason *why)
{
    if (!chain_takes_message_out(connection->client))
        return send_now(connection, delivery);
    struct message *original = delivery->message;
    struct message *changed = NULL;
    if (!message_out(connection->client, original, delivery->qos, &changed)) {
        *why = DROP_HOOK;
        return STEP_DROPPED;
    }
    if (!changed)
        return send_now(connection, delivery);
    delivery->message = changed;
    if (changed->qos < delivery->qos)
        delivery->qos = changed->qos;
    enum step step = send_now(connection, delivery);
    message_unref(changed);
    delivery->message = original;
    return step;
}

/** One message, whose turn it is. Borrows the message; on STEP_SENT with QoS 1 and 2 `more` is taken, too. */
static enum step deliver_one(struct connection *connection, struct delivery *delivery, enum drop_reason *why)
{
    uint64_t expires = delivery->message->expires_ms;
    *why = DROP_EXPIRED;
    if (expires && expires < connection->stream.worker->now_ms)
        return STEP_DROPPED;
    if (!has_room(connection, delivery) || stream_is_full(&connection->stream))
        return STEP_WAIT;
    enum step step = check_read(connection, delivery);
    if (step != STEP_SENT) {
        *why = DROP_NOT_AUTHORIZED;
        return step;
    }
    *why = DROP_TOO_LARGE;
    return send_through_hooks(connection, delivery, why);
}

/* ---- what waits ---- */

// False as deliver() says.
static bool enqueue(struct broker_worker *here, struct session *session, struct delivery *delivery)
{
    const struct limit_settings *limits = &here->settings->limits;
    struct connection *connection = session->connection;
    uint64_t most = limits->queued_messages;
    if (connection && client_max_queued(connection->client) && client_max_queued(connection->client) < most)
        most = client_max_queued(connection->client);
    if (session->queue.count >= most ||
        queue_bytes(&session->queue) + message_weight(delivery->message) > limits->queued_bytes) {
        deliver_drop(here, session, delivery, DROP_QUEUE_FULL);
        return true;
    }
    if (broker_is_full(here->broker)) {
        deliver_drop(here, session, delivery, DROP_MEMORY_LIMIT);
        return true;
    }
    if (delivery_keep(delivery)) {
        if (queue_push(&session->queue, delivery)) {
            counter_add(here->counters, COUNTER_QUEUED, 1);
            counter_add(here->counters, COUNTER_QUEUED_BYTES, message_weight(delivery->message));
            if (connection && trace_on(connection))
                trace_flow(connection, "queued");
            return true;
        }
        message_unref(delivery->message);
    }
    if (delivery->qos == 0)
        note_dropped(here, session, delivery, DROP_OUT_OF_MEMORY);
    free(delivery->more);
    delivery->more = NULL;
    return delivery->qos == 0;
}

bool deliver(struct broker_worker *here, struct session *session, struct delivery *delivery)
{
    struct connection *connection = session->connection;
    if (!connection || connection->state != STATE_ONLINE) {
        if (delivery->qos == 0)
            deliver_drop(here, session, delivery, DROP_NOT_CONNECTED);
        return delivery->qos == 0 || enqueue(here, session, delivery);
    }
    if (session_has_waiting(session) || connection->read_check || connection->resend_left > 0)
        return enqueue(here, session, delivery);
    bool kept = true;
    enum drop_reason why;
    switch (deliver_one(connection, delivery, &why)) {
    case STEP_SENT:
        if (delivery->qos == 0)
            free(delivery->more);
        break;
    case STEP_DROPPED:
        deliver_drop(here, session, delivery, why);
        break;
    case STEP_WAIT:
        connection->front_is_replay = false;
        kept = enqueue(here, session, delivery);
        if (connection->read_check &&
            session->queue.count == 0) { // dropped for lack of room: nobody is left to ask for
            decision_cancel(connection->read_check);
            connection->read_check = NULL;
        }
    }
    return kept;
}

static void read_decided(struct client *client, const struct outcome *outcome, void *argument)
{
    (void)client;
    struct connection *connection = argument;
    struct session *session = connection->session;
    connection->read_check = NULL;
    struct delivery front = {0};
    if (connection->front_is_replay ? session_peek_replay(session, &front) : session->queue.count > 0) {
        if (!connection->front_is_replay)
            front = *queue_front(&session->queue);
        connection->front_allowed = !read_denied(connection, &front, outcome);
        connection->front_known = true;
    }
    deliver_waiting(connection);
}

static bool front_of(struct connection *connection, struct delivery *front)
{
    struct session *session = connection->session;
    if (session->gathers)
        return false;
    // The one a verdict is known about goes first; then what is retained, before newer messages of the same
    // topics.
    if (connection->front_known ? connection->front_is_replay : session->replay_first != NULL) {
        connection->front_is_replay = true;
        return session_peek_replay(session, front);
    }
    if (session->queue.count == 0)
        return false;
    connection->front_is_replay = false;
    *front = *queue_front(&session->queue);
    return true;
}

struct delivery deliver_take(struct broker_worker *here, struct session *session)
{
    struct delivery delivery = queue_pop(&session->queue);
    counter_add(here->counters, COUNTER_QUEUED, 0 - UINT64_C(1));
    counter_add(here->counters, COUNTER_QUEUED_BYTES, 0 - message_weight(delivery.message));
    return delivery;
}

static void remove_front(struct connection *connection, struct delivery *front)
{
    struct delivery taken;
    connection->front_known = false;
    if (connection->front_is_replay)
        session_next_replay(connection->session, &taken);
    else
        taken = deliver_take(connection_worker(connection), connection->session);
    if (trace_on(connection))
        trace_flow(connection, "taken");
    taken.more = front->more;
    delivery_clear(&taken);
}

// What was unacknowledged when the session was resumed goes out first, in its order and within the quota.
static void resend(struct connection *connection)
{
    struct window *window = &connection->session->window;
    uint32_t cursor = 0;
    uint16_t packet_id;
    struct inflight *entry;
    while (connection->resend_left > 0 && window->active - connection->resend_left < connection->send_quota &&
           (entry = window_next(window, &cursor, &packet_id))) {
        if (!entry->resend)
            continue;
        entry->resend = false;
        connection->resend_left--;
        if (entry->state == INFLIGHT_PUBCOMP) {
            reply_ack(connection, MQTT_PUBREL, packet_id, MQTT_SUCCESS, (struct str){0});
        } else if (transmit_publish(connection, &entry->delivery, packet_id, true) == TRANSMIT_TOO_LARGE) {
            note_dropped(connection_worker(connection), connection->session, &entry->delivery,
                         DROP_TOO_LARGE);
            window_done(window, entry);
            counter_add(connection_worker(connection)->counters, COUNTER_INFLIGHT, 0 - UINT64_C(1));
            cursor = 0; // places have moved
        }
    }
}

struct later {
    struct post post; // first: found again from the post
    uint64_t session;
};

static void go_on(struct worker *worker, struct post *post)
{
    struct broker_worker *here = worker->owner;
    struct session *session = sessions_get(&here->sessions, ((struct later *)post)->session);
    free(post);
    if (session && session->connection)
        deliver_waiting(session->connection);
}

// A slice is done; others have their turn before the next.
static void deliver_later(struct connection *connection)
{
    struct later *later = memory_alloc(sizeof *later);
    *later = (struct later){.post.run = go_on, .session = connection->session->id};
    worker_post(connection->stream.worker, &later->post);
}

void deliver_waiting(struct connection *connection)
{
    struct broker_worker *here = connection_worker(connection);
    struct session *session = connection->session;
    if (connection->read_check || connection->pumping)
        return;
    connection->pumping = true;
    if (connection->resend_left > 0)
        resend(connection);
    struct delivery front;
    int budget = SLICE;
    while (connection->resend_left == 0 && budget-- > 0 && front_of(connection, &front)) {
        enum drop_reason why;
        enum step step = deliver_one(connection, &front, &why);
        if (step == STEP_WAIT)
            break;
        if (step == STEP_DROPPED)
            note_dropped(here, session, &front, why);
        else if (front.qos > 0)
            front.more = NULL; // the window's now
        remove_front(connection, &front);
    }
    connection->pumping = false;
    if (budget < 0 && session_has_waiting(session))
        deliver_later(connection);
}
