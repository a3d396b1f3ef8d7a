// Bytes become packets, packets find their handlers.
#include <stdlib.h>

#include "core/broker/state.h"
#include "core/broker/trace.h"

typedef void handler_fn(struct connection *connection, const struct mqtt_frame *frame);

static void receive_ping(struct connection *connection, const struct mqtt_frame *frame)
{
    uint8_t reason = mqtt_decode_ping(frame);
    if (reason)
        connection_fail(connection, reason, NULL);
    else
        reply_ping(connection);
}

// Session Expiry Interval may be set anew, but not from none to some. [v5 3.14.2.2.2]
static bool update_expiry(struct connection *connection, const struct mqtt_properties *properties)
{
    struct session *session = connection->session;
    if (!mqtt_has(properties, MQTT_SESSION_EXPIRY_INTERVAL))
        return true;
    uint32_t wanted = properties->session_expiry_interval;
    if (session->expiry_s == 0 && wanted > 0)
        return false;
    uint64_t limit = connection_worker(connection)->settings->limits.session_expiry_ms / 1000;
    session->expiry_s = wanted > limit ? (uint32_t)limit : wanted;
    return true;
}

static void receive_disconnect(struct connection *connection, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect packet;
    uint8_t reason = mqtt_decode_disconnect(frame, connection->version, true, &packet);
    if (!reason && !update_expiry(connection, &packet.properties))
        reason = MQTT_PROTOCOL_ERROR;
    if (reason) {
        connection_fail(connection, reason, NULL);
        return;
    }
    log_connection(connection, LOG_INFO, "disconnected", "client disconnected",
                   mqtt_reason_name(packet.reason));
    connection->said_goodbye = true;
    connection_leave(connection, packet.reason, packet.reason != MQTT_SUCCESS);
    stream_close(&connection->stream, LINGER_MS);
}

static void receive_auth(struct connection *connection, const struct mqtt_frame *frame)
{
    if (connection->version == MQTT_V5 && connection->enhanced)
        login_auth(connection, frame);
    else
        connection_fail(connection, MQTT_PROTOCOL_ERROR, "AUTH without an Authentication Method in CONNECT");
}

static void receive_second_connect(struct connection *connection, const struct mqtt_frame *frame)
{
    (void)frame;
    connection_fail(connection, MQTT_PROTOCOL_ERROR, "a second CONNECT");
}

// What a client may send once it is online; the rest is the server's to send.
static handler_fn *const online_handlers[16] = {
    [MQTT_CONNECT] = receive_second_connect,
    [MQTT_PUBLISH] = publish_receive,
    [MQTT_PUBACK] = acknowledge_receive,
    [MQTT_PUBREC] = acknowledge_receive,
    [MQTT_PUBREL] = acknowledge_receive,
    [MQTT_PUBCOMP] = acknowledge_receive,
    [MQTT_SUBSCRIBE] = subscribe_receive,
    [MQTT_UNSUBSCRIBE] = unsubscribe_receive,
    [MQTT_PINGREQ] = receive_ping,
    [MQTT_DISCONNECT] = receive_disconnect,
    [MQTT_AUTH] = receive_auth,
};

static bool handle_before_online(struct connection *connection, const struct mqtt_frame *frame)
{
    if (connection->state == STATE_AWAIT_CONNECT) {
        if (frame->type != MQTT_CONNECT)
            return false;
        login_receive(connection, frame);
        return true;
    }
    // With an Authentication Method, only AUTH and DISCONNECT until CONNACK. [v5 3.1.2-30]
    if (frame->type == MQTT_AUTH) {
        login_auth(connection, frame);
        return true;
    }
    if (frame->type == MQTT_DISCONNECT)
        connection_drop(connection, MQTT_SUCCESS, "the client gave up its login");
    else
        connection_fail(connection, MQTT_PROTOCOL_ERROR, "a packet other than AUTH during authentication");
    return true;
}

// The first bytes of a client that takes this for a listener with TLS. As MQTT they would be a CONNECT with
// flags that none has.
static bool is_tls(const struct connection *connection, const uint8_t *data, size_t length)
{
    return connection->state == STATE_AWAIT_CONNECT && data[0] == 0x16 && (length == 1 || data[1] == 3);
}

static void handle(struct connection *connection, const struct mqtt_frame *frame)
{
    if (connection->state == STATE_ONLINE) {
        handler_fn *handler = online_handlers[frame->type];
        if (handler)
            handler(connection, frame);
        else
            connection_fail(connection, MQTT_PROTOCOL_ERROR, "a packet that only a server sends");
    } else if (!handle_before_online(connection, frame)) {
        connection_drop(connection, MQTT_PROTOCOL_ERROR, "the first packet is not CONNECT");
    }
}

static size_t received(struct stream *stream, const uint8_t *data, size_t length, size_t *wanted)
{
    struct connection *connection = (struct connection *)stream;
    struct broker_worker *here = stream->worker->owner;
    uint32_t limit = (uint32_t)here->settings->limits.packet_size;
    size_t used = 0;
    connection->seen_ms = here->worker->now_ms;
    if (is_tls(connection, data, length)) {
        connection_drop(connection, MQTT_PROTOCOL_ERROR, "TLS on a listener without TLS");
        return length;
    }
    while (used < length && !stream->paused && connection->state != STATE_CLOSED) {
        struct mqtt_frame frame;
        switch (mqtt_frame_next(data + used, length - used, limit, &frame)) {
        case MQTT_FRAME_READY:
            used += frame.size;
            counter_add(here->counters, COUNTER_RECEIVED + frame.type, 1);
            if (trace_on(connection))
                trace_received(connection, &frame);
            handle(connection, &frame);
            if (connection->state == STATE_ONLINE && stream_is_flooded(stream))
                connection_pause(connection, PAUSE_UNREAD);
            break;
        case MQTT_FRAME_INCOMPLETE:
            if (connection->state == STATE_AWAIT_CONNECT && data[used] >> 4 != MQTT_CONNECT)
                connection_drop(connection, MQTT_PROTOCOL_ERROR, "the first packet is not CONNECT");
            *wanted = frame.size;
            return used;
        case MQTT_FRAME_MALFORMED:
            connection_fail(connection, MQTT_MALFORMED_PACKET, NULL);
            return length;
        case MQTT_FRAME_TOO_LARGE:
            if (connection->state == STATE_AWAIT_CONNECT && frame.type == MQTT_CONNECT)
                login_too_large(connection, data + used, length - used);
            connection_fail(connection, MQTT_PACKET_TOO_LARGE, NULL);
            return length;
        }
    }
    return used;
}

static void drained(struct stream *stream)
{
    struct connection *connection = (struct connection *)stream;
    if (connection->state != STATE_ONLINE)
        return;
    if (connection->pauses & PAUSE_UNREAD)
        connection_resume(connection, PAUSE_UNREAD);
    deliver_waiting(connection);
}

// The bytes are no good before anybody asks what is in them: nothing can be said to the client.
static void failed(struct stream *stream, const char *why)
{
    struct connection *connection = (struct connection *)stream;
    if (connection->state == STATE_CLOSED)
        return;
    if (connection_is_worth_a_line(connection))
        log_connection(connection, LOG_INFO, "closed", "connection closed by the broker", why);
    connection_leave(connection, MQTT_UNSPECIFIED_ERROR, true);
    stream_close(stream, LINGER_MS);
}

static void closed(struct stream *stream, int error)
{
    (void)error;
    struct connection *connection = (struct connection *)stream;
    if (connection->state != STATE_CLOSED) {
        if (connection->state != STATE_AWAIT_CONNECT)
            log_connection(connection, LOG_INFO, "disconnected", "connection closed by the client",
                           "no DISCONNECT");
        connection_leave(connection, MQTT_UNSPECIFIED_ERROR, true);
    }
    connection_free(connection);
}

static const char *identified(struct stream *stream, const char *address)
{
    struct connection *connection = (struct connection *)stream;
    memcpy(connection->address, address, strlen(address) + 1); // there is room for any: see connection_new
    return listeners_identified(connection);
}

const struct stream_events connection_stream_events = {received, drained, failed, closed, identified};
