// The life of a connection from accept to its last event, and the end of a session.
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/state.h"
#include "core/broker/trace.h"
#include "core/net/proxy.h"

enum { REFUSALS_PER_SECOND = 10 };

static void timer_expired(struct wheel_timer *timer, void *context);

struct connection *connection_new(struct broker_worker *here, struct broker_listener *listener,
                                  const struct accepted *accepted, const struct proxy_settings *proxy)
{
    size_t length = strlen(accepted->address) + 1;
    // Behind a proxy the client's own address comes later, and goes to the same place.
    bool headed = proxy && proxy->versions != SETTINGS_PROXY_OFF;
    struct transport *layer = headed ? proxy_layer_new(proxy->versions) : NULL;
    struct connection *connection = memory_try(sizeof *connection + (proxy ? ADDRESS_TEXT_MAX : length));
    if (!connection || (headed && !layer)) {
        free(connection);
        if (layer)
            layer->type->close(layer, NULL);
        return NULL;
    }
    *connection =
        (struct connection){.listener = listener, .version = MQTT_V3_1_1, .problem_information = true};
    memcpy(connection->address, accepted->address, length);
    stream_init(&connection->stream, accepted->fd, &connection_stream_events);
    if (accepted->peer->ss_family == AF_UNIX)
        stream_is_unix(&connection->stream);
    if (layer)
        stream_push(&connection->stream, layer);
    connection_link(here, connection);
    return connection;
}

void connection_link(struct broker_worker *here, struct connection *connection)
{
    connection->next = here->connections;
    if (connection->next)
        connection->next->link = &connection->next;
    connection->link = &here->connections;
    here->connections = connection;
    counter_add(here->counters, COUNTER_CONNECTIONS, 1);
}

void connection_unlink(struct connection *connection)
{
    if (!connection->link)
        return;
    counter_add(connection_worker(connection)->counters, COUNTER_CONNECTIONS, 0 - UINT64_C(1));
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    connection->link = NULL;
}

void connection_pause(struct connection *connection, enum pause_reason reason)
{
    connection->pauses |= (uint8_t)reason;
    stream_pause(&connection->stream);
}

void connection_resume(struct connection *connection, enum pause_reason reason)
{
    connection->pauses &= (uint8_t)~reason;
    if (connection->pauses)
        return;
    // While nothing was read, the client's silence was the broker's own doing.
    if (connection->stream.paused)
        connection->seen_ms = connection->stream.worker->now_ms;
    stream_resume(&connection->stream);
}

struct connection_rare *connection_rare(struct connection *connection)
{
    if (!connection->rare) {
        connection->rare = memory_zalloc(sizeof *connection->rare);
        connection->rare->connection = connection;
    }
    return connection->rare;
}

// The connection's number is what keeps its listener: it is given back last.
static void uncount(struct connection *connection)
{
    if (!connection->counted)
        return;
    atomic_fetch_sub_explicit(&connection->listener->broker->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&connection->listener->counters->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&connection->listener->connections, 1, memory_order_release);
}

void connection_free(struct connection *connection)
{
    uncount(connection);
    connection_unlink(connection);
    aliases_free(connection);
    free(connection->rare);
    free(connection);
}

void connection_lose(struct connection *connection)
{
    stream_destroy(&connection->stream);
    login_forget(connection);
    connection_free(connection);
}

void connection_set_deadline(struct connection *connection, uint64_t after_ms)
{
    struct worker *worker = connection->stream.worker;
    wheel_start(&worker->wheel, &connection->timer, worker->now_ms + after_ms, timer_expired);
}

// The timer looks how long the client has been silent and how long its socket has taken nothing; it is set
// anew for what is left, so a packet costs no timer operation.
void connection_start_keep_alive(struct connection *connection)
{
    const struct limit_settings *limits = &connection_worker(connection)->settings->limits;
    uint64_t after = connection->keep_alive_ms;
    if (limits->send_timeout_ms && (after == 0 || limits->send_timeout_ms < after))
        after = limits->send_timeout_ms;
    if (after)
        connection_set_deadline(connection, after);
}

static void check_silence(struct connection *connection)
{
    struct broker_worker *here = connection_worker(connection);
    uint64_t now = here->worker->now_ms;
    uint64_t send_timeout = here->settings->limits.send_timeout_ms;
    uint64_t stalled = stream_stalled_ms(&connection->stream);
    uint64_t next = UINT64_MAX;
    if (send_timeout) {
        if (stalled >= send_timeout) {
            connection_drop(connection, MQTT_UNSPECIFIED_ERROR, "the client reads nothing");
            return;
        }
        next = send_timeout - stalled;
    }
    if (connection->keep_alive_ms) {
        // A large packet on a slow line is a sign of life, too: its bytes come, and nothing else can between.
        if (stream_kept(&connection->stream) != connection->input_seen &&
            stream_kept(&connection->stream) > 0)
            connection->seen_ms = now;
        connection->input_seen = (uint32_t)stream_kept(&connection->stream);
        uint64_t silent = now - connection->seen_ms;
        // Bytes that wait unread because the broker itself holds the client's input are no silence.
        if (silent >= connection->keep_alive_ms && !connection->stream.paused) {
            connection_fail(connection, MQTT_KEEP_ALIVE_TIMEOUT, NULL);
            return;
        }
        uint64_t left = silent < connection->keep_alive_ms ? connection->keep_alive_ms - silent : 1000;
        if (left < next)
            next = left;
    }
    if (next != UINT64_MAX)
        connection_set_deadline(connection, next);
}

// What was not there in time is CONNECT, or what has to come before it.
static void drop_late(struct connection *connection)
{
    const char *opening = transport_opening(connection->stream.transport);
    char *why = str_format("%s within limits.connect_timeout", opening ? opening : "no CONNECT");
    connection_drop(connection, MQTT_PROTOCOL_ERROR, why);
    free(why);
}

static void timer_expired(struct wheel_timer *timer, void *context)
{
    (void)context;
    struct connection *connection = (struct connection *)((char *)timer - offsetof(struct connection, timer));
    if (connection->state == STATE_ONLINE)
        check_silence(connection);
    else if (connection->state == STATE_AWAIT_CONNECT)
        drop_late(connection);
    else if (connection->state == STATE_REFUSED)
        connection_fail(connection, connection->refusal, "login refused");
    else if (connection->state != STATE_CLOSED)
        connection_fail(connection, MQTT_NOT_AUTHORIZED, "login not finished within limits.connect_timeout");
}

static void tell_disconnected(struct connection *connection, uint8_t reason)
{
    struct client *client = connection->client;
    if (!chain_takes_event(client, NOCTULE_EVENT_DISCONNECTED))
        return;
    const char *name = mqtt_reason_name(reason);
    struct noctule_event event = {.event = NOCTULE_EVENT_DISCONNECTED,
                                  .reason_code = reason,
                                  .reason = {name, strlen(name)},
                                  .client_id = client_info(client).client_id};
    tell_event(connection->stream.worker, client, &event);
}

static void give_up_decisions(struct connection *connection)
{
    if (connection->pending)
        decision_cancel(connection->pending);
    if (connection->read_check)
        decision_cancel(connection->read_check);
    connection->pending = connection->read_check = NULL;
    publish_cancel(connection);
    subscribe_cancel(connection);
}

void connection_leave(struct connection *connection, uint8_t reason, bool with_will)
{
    struct broker_worker *here = connection_worker(connection);
    struct session *session = connection->session;
    connection->state = STATE_CLOSED;
    if (trace_on(connection))
        trace_left(connection, reason);
    wheel_stop(&connection->timer);
    if (connection->rare)
        wheel_stop(&connection->rare->expiry);
    give_up_decisions(connection);
    rate_forget(connection);
    login_forget(connection);
    connection->session = NULL;
    if (connection->client) {
        log_denials_left_out(connection);
        client_set_owner(connection->client, NULL);
        if (session)
            tell_disconnected(connection, reason);
        client_gone(connection->client);
    }
    if (session) {
        counter_add(here->counters, COUNTER_CLIENTS, 0 - UINT64_C(1));
        session->connection = NULL;
        session_set_online(session, false);
        if (!with_will)
            will_drop(session);
        uint64_t now = here->worker->now_ms;
        if (session->will)
            session->will->due_ms = now + session->will->delay_s * 1000ULL;
        session_set_away(session,
                         session->expiry_s == UINT32_MAX ? UINT64_MAX : now + session->expiry_s * 1000ULL);
        // Sets the timer for what is due later, does at once what is due now. [v5 3.1.2.5, 3.1.2.11.2]
        if (!session->taken_over)
            session_timer_expired(&session->absence->timer, here->worker);
    }
    client_unref(connection->client);
    connection->client = NULL;
}

void session_timer_expired(struct wheel_timer *timer, void *context)
{
    struct absence *absence = (struct absence *)timer;
    struct session *session = absence->session;
    struct worker *worker = context;
    struct broker_worker *here = worker->owner;
    uint64_t now = worker->now_ms;
    if (absence->expires_ms <= now) {
        session_end(here, session, true);
        return;
    }
    if (session->will && session->will->due_ms <= now) {
        struct will *will = session->will;
        session->will = NULL;
        will_publish(will);
    }
    uint64_t due = absence->expires_ms;
    if (session->will && session->will->due_ms < due)
        due = session->will->due_ms;
    if (due != UINT64_MAX)
        wheel_start(&worker->wheel, timer, due, session_timer_expired);
}

// Messages that other members of a shared group may take are theirs when a member's session ends; QoS 2 ones
// that were begun are not. [v5 4.8.2]
static void give_back_shared(struct broker_worker *here, struct session *session)
{
    uint32_t cursor = 0;
    uint16_t packet_id;
    struct inflight *entry;
    while ((entry = window_next(&session->window, &cursor, &packet_id))) {
        if (entry->delivery.group && entry->state == INFLIGHT_PUBACK) {
            struct delivery delivery = entry->delivery;
            entry->delivery = (struct delivery){0};
            route_to_group(here, &delivery, session->id);
        }
    }
    for (uint32_t i = session->queue.count; i > 0; i--) {
        struct delivery delivery = deliver_take(here, session);
        if (delivery.group)
            route_to_group(here, &delivery, session->id);
        else
            delivery_clear(&delivery);
    }
}

void session_uncount(struct broker_worker *here, const struct session *session)
{
    counter_add(here->counters, COUNTER_QUEUED, 0 - (uint64_t)session->queue.count);
    counter_add(here->counters, COUNTER_QUEUED_BYTES, 0 - queue_bytes(&session->queue));
    counter_add(here->counters, COUNTER_INFLIGHT, 0 - (uint64_t)session->window.active);
}

void session_end(struct broker_worker *here, struct session *session, bool expired)
{
    if (session->will) {
        struct will *will = session->will;
        session->will = NULL;
        will_publish(will);
    }
    give_back_shared(here, session);
    struct noctule_event event = {.event = NOCTULE_EVENT_SESSION_EXPIRED,
                                  .client_id = {session->client_id, session->client_id_length}};
    // One without an expiry interval ends with its connection, as it was meant to.
    if (expired && session->expiry_s > 0)
        counter_add(here->counters, COUNTER_EXPIRED, 1);
    if (expired)
        tell_event(here->worker, NULL, &event);
    session_uncount(here, session);
    session_free(&here->sessions, session);
    atomic_fetch_sub_explicit(&here->broker->sessions, 1, memory_order_relaxed);
}

// Before CONNACK the answer is a CONNACK, after it (5.0 only) a DISCONNECT; without a CONNECT there is none.
// [v5 4.13]
static void say(struct connection *connection, uint8_t reason, struct str told)
{
    struct mqtt_properties properties = {0};
    if (told.length > 0 && connection->version == MQTT_V5) {
        mqtt_set(&properties, MQTT_REASON_STRING);
        properties.reason_string = told;
    }
    if (connection->state == STATE_ONLINE) {
        struct mqtt_disconnect packet = {
            .reason = mqtt_reason_allowed(MQTT_DISCONNECT, reason) ? reason : MQTT_UNSPECIFIED_ERROR,
            .properties = properties};
        if (connection->version == MQTT_V5)
            reply_disconnect(connection, MQTT_DISCONNECT, &packet);
    } else if (connection->connect) {
        // Some ends of a connection have no code of their own in CONNACK. [v5 3.2.2.2]
        struct mqtt_connack connack = {
            .reason = mqtt_reason_allowed(MQTT_CONNACK, reason) ? reason : MQTT_SERVER_UNAVAILABLE,
            .properties = &properties};
        reply_connack(connection, &connack);
    }
}

// Connections refused at the door come in floods; a few lines a second tell enough.
bool connection_is_worth_a_line(struct connection *connection)
{
    uint64_t left_out;
    struct broker_worker *here = connection_worker(connection);
    if (!connection->refusal || connection->state == STATE_REFUSED)
        return true;
    if (!log_gate_opens(&here->refusals, here->worker->now_ms, REFUSALS_PER_SECOND, &left_out))
        return false;
    if (left_out > 0)
        log_event(LOG_INFO, "refusals_left_out", "more connections were refused than are logged",
                  LOG_NUM("left_out", left_out));
    return true;
}

void connection_fail_telling(struct connection *connection, uint8_t reason, const char *why, struct str told)
{
    if (connection->state == STATE_CLOSED)
        return;
    if (connection_is_worth_a_line(connection))
        log_connection(connection, LOG_INFO, "closed", "connection closed by the broker",
                       why ? why : mqtt_reason_name(reason));
    say(connection, reason, told);
    connection_leave(connection, reason, true);
    stream_close(&connection->stream, connection_worker(connection)->stopping ? GOODBYE_MS : LINGER_MS);
}

void connection_fail(struct connection *connection, uint8_t reason, const char *why)
{
    connection_fail_telling(connection, reason, why, (struct str){0});
}

void connection_drop(struct connection *connection, uint8_t reason, const char *why)
{
    if (connection->state == STATE_CLOSED)
        return;
    log_connection(connection, LOG_INFO, "closed", "connection closed by the broker", why);
    connection_leave(connection, reason, true);
    stream_abort(&connection->stream);
}

void connection_reject(struct connection *connection, const char *why)
{
    connection->refusal = MQTT_NOT_AUTHORIZED;
    if (connection_is_worth_a_line(connection))
        log_connection(connection, LOG_INFO, "closed", "connection closed by the broker", why);
    connection_leave(connection, MQTT_NOT_AUTHORIZED, false);
    stream_abort(&connection->stream);
}
