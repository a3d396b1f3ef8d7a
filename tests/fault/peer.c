#include "tests/fault/peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/fault/invariants.h"

/* ---- bytes ---- */

static void bytes_append(struct bytes *bytes, const void *data, size_t length)
{
    if (bytes->capacity - bytes->length < length) {
        bytes->capacity = (bytes->length + length) * 2;
        bytes->data = realloc(bytes->data, bytes->capacity);
    }
    if (length > 0)
        memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
}

static void bytes_drop(struct bytes *bytes, size_t length)
{
    bytes->length -= length;
    if (length > 0)
        memmove(bytes->data, bytes->data + length, bytes->length);
}

static void bytes_clear(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* ---- the transport under the broker's end ---- */

static enum fault next_fault(struct peer *peer, bool writing)
{
    enum fault fault = peer->fault ? peer->fault(peer, writing) : FAULT_NONE;
    errno = fault == FAULT_INTERRUPTED ? EINTR : fault == FAULT_AGAIN ? EAGAIN : ECONNRESET;
    return fault;
}

static ssize_t faulty_read(struct transport *transport, struct stream *stream, void *buffer, size_t size)
{
    struct peer *peer = (struct peer *)transport;
    enum fault fault = next_fault(peer, false);
    if (fault == FAULT_NONE || fault == FAULT_SHORT)
        return transport_read(transport->below, stream, buffer,
                              fault == FAULT_SHORT && size > peer->short_size ? peer->short_size : size);
    return -1;
}

static ssize_t faulty_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                            int count)
{
    struct peer *peer = (struct peer *)transport;
    enum fault fault = next_fault(peer, true);
    if (fault == FAULT_NONE)
        return transport_write(transport->below, stream, pieces, count);
    struct iovec one = *pieces;
    if (one.iov_len > peer->short_size)
        one.iov_len = peer->short_size;
    return fault == FAULT_SHORT ? transport_write(transport->below, stream, &one, 1) : -1;
}

static void peer_unhold(struct peer *peer)
{
    if (--peer->holders > 0)
        return;
    bytes_clear(&peer->connect);
    bytes_clear(&peer->input);
    bytes_clear(&peer->output);
    free(peer);
}

static void note_version(struct peer *peer)
{
    if (peer->connection)
        peer->version = peer->connection->version;
}

static int faulty_shutdown(struct transport *transport, struct stream *stream)
{
    return transport_shutdown(transport->below, stream);
}

static void faulty_close(struct transport *transport, struct stream *stream)
{
    (void)stream;
    struct peer *peer = (struct peer *)transport;
    note_version(peer);
    peer->connection = NULL;
    peer_unhold(peer);
}

static const struct transport_type faulty = {
    .name = "faulty",
    .read = faulty_read,
    .write = faulty_write,
    .shutdown = faulty_shutdown,
    .close = faulty_close,
};

struct peer *peer_new(struct inprocess *house, unsigned index)
{
    int pair[2];
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0,
            "a pair of sockets");
    struct connection *connection = inprocess_accept(house, index, pair[1]);
    if (!connection) {
        close(pair[0]);
        return NULL;
    }
    struct peer *peer = calloc(1, sizeof *peer);
    *peer = (struct peer){.transport.type = &faulty,
                          .fd = pair[0],
                          .connection = connection,
                          .holders = 2,
                          .short_size = 1,
                          .version = MQTT_V3_1_1,
                          .maximum_packet_size = UINT32_MAX};
    stream_push(&connection->stream, &peer->transport);
    return peer;
}

void peer_hang_up(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    peer->fd = -1;
    bytes_clear(&peer->output);
}

void peer_shutdown(struct peer *peer)
{
    if (peer->fd >= 0)
        shutdown(peer->fd, SHUT_WR);
    bytes_clear(&peer->output);
}

void peer_free(struct peer *peer)
{
    if (!peer)
        return;
    peer_hang_up(peer);
    peer_unhold(peer);
}

/* ---- sending ---- */

// The client's limits stand in its CONNECT, in whatever pieces that is sent.
static void watch_connect(struct peer *peer, const void *data, size_t length)
{
    if (peer->connect_sent)
        return;
    bytes_append(&peer->connect, data, length);
    struct mqtt_frame frame;
    struct mqtt_connect connect;
    enum mqtt_frame_state state =
        mqtt_frame_next(peer->connect.data, peer->connect.length, UINT32_MAX, &frame);
    if (state == MQTT_FRAME_INCOMPLETE)
        return;
    peer->connect_sent = true;
    if (state != MQTT_FRAME_READY || frame.type != MQTT_CONNECT ||
        mqtt_decode_connect(&frame, &connect) != MQTT_SUCCESS || connect.version != MQTT_V5)
        return;
    if (mqtt_has(&connect.properties, MQTT_MAXIMUM_PACKET_SIZE))
        peer->maximum_packet_size = connect.properties.maximum_packet_size;
    if (mqtt_has(&connect.properties, MQTT_TOPIC_ALIAS_MAXIMUM))
        peer->alias_maximum = connect.properties.topic_alias_maximum;
}

static void flush(struct peer *peer)
{
    while (peer->fd >= 0 && peer->output.length > 0) {
        ssize_t sent = send(peer->fd, peer->output.data, peer->output.length, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR)
                bytes_clear(&peer->output);
            return;
        }
        bytes_drop(&peer->output, (size_t)sent);
    }
}

void peer_send(struct peer *peer, const void *data, size_t length)
{
    if (peer->fd < 0)
        return;
    watch_connect(peer, data, length);
    bytes_append(&peer->output, data, length);
    flush(peer);
}

void peer_send_ack(struct peer *peer, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    uint8_t packet[8];
    const struct mqtt_ack ack = {.type = type, .packet_id = packet_id, .reason = reason};
    peer_send(peer, packet, mqtt_encode_ack(packet, peer->version, &ack));
}

/* ---- what comes ---- */

static void answer(struct peer *peer, uint8_t type, uint16_t packet_id)
{
    switch (peer->answers) {
    case ANSWERS_RIGHT:
        peer_send_ack(peer, type, packet_id, MQTT_SUCCESS);
        break;
    case ANSWERS_ERROR:
        peer_send_ack(peer, type, packet_id,
                      type == MQTT_PUBACK || type == MQTT_PUBREC ? MQTT_UNSPECIFIED_ERROR : MQTT_SUCCESS);
        break;
    case ANSWERS_WRONG:
        peer_send_ack(peer, type == MQTT_PUBACK ? MQTT_PUBREC : MQTT_PUBACK, packet_id, MQTT_SUCCESS);
        break;
    default:
        break;
    }
}

static uint8_t check_connack(struct peer *peer, const struct mqtt_frame *frame)
{
    bool present;
    uint8_t answer;
    struct mqtt_properties properties;
    uint8_t reason = mqtt_decode_connack(frame, peer->version, &present, &answer, &properties);
    require(!peer->connacked, "one CONNACK");
    peer->connacked = true;
    peer->refused = answer != MQTT_SUCCESS;
    require(!peer->refused || !present, "no session is present in a refusal");
    if (peer->observer && peer->observer->connected)
        peer->observer->connected(peer, present, answer);
    return reason;
}

static void check_alias(struct peer *peer, const struct mqtt_publish *publish)
{
    bool has = peer->version == MQTT_V5 && mqtt_has(&publish->properties, MQTT_TOPIC_ALIAS);
    uint16_t alias = has ? publish->properties.topic_alias : 0;
    require(has || publish->topic.length > 0, "a topic, or an alias for it");
    require(alias <= peer->alias_maximum && alias <= PEER_ALIASES, "no alias above the client's maximum");
    require(publish->topic.length > 0 || peer->aliases[alias], "no alias before its topic");
    peer->aliases[alias] = true;
}

static uint8_t check_publish(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_publish publish = {0};
    uint8_t reason = mqtt_decode_publish_from_server(frame, peer->version, &publish);
    if (reason)
        return reason;
    if (peer->version != MQTT_V5)
        publish.properties.present = 0;
    check_alias(peer, &publish);
    if (peer->observer && peer->observer->published)
        peer->observer->published(peer, &publish);
    if (publish.qos > 0)
        answer(peer, publish.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, publish.packet_id);
    return MQTT_SUCCESS;
}

static uint8_t check_ack(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    uint8_t reason = mqtt_decode_ack(frame, peer->version, &ack);
    if (reason)
        return reason;
    if (peer->observer && peer->observer->acknowledged)
        peer->observer->acknowledged(peer, &ack);
    if (ack.type == MQTT_PUBREL)
        answer(peer, MQTT_PUBCOMP, ack.packet_id);
    else if (ack.type == MQTT_PUBREC && ack.reason < 0x80)
        answer(peer, MQTT_PUBREL, ack.packet_id);
    return MQTT_SUCCESS;
}

static uint8_t check_suback(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    uint8_t reason = mqtt_decode_suback(frame, peer->version, &suback);
    if (!reason && peer->observer && peer->observer->subscribed)
        peer->observer->subscribed(peer, &suback);
    return reason;
}

static uint8_t check_ping(struct peer *peer, const struct mqtt_frame *frame)
{
    (void)peer;
    return mqtt_decode_ping(frame);
}

static uint8_t check_disconnect(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect packet;
    require(peer->version == MQTT_V5, "only 5.0 has a DISCONNECT from the server");
    peer->dismissed = true;
    return mqtt_decode_disconnect(frame, peer->version, false, &packet);
}

static uint8_t check_auth(struct peer *peer, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect packet;
    require(peer->version == MQTT_V5, "only 5.0 has AUTH");
    return mqtt_decode_auth(frame, false, &packet);
}

static uint8_t (*const checks[16])(struct peer *peer, const struct mqtt_frame *frame) = {
    [MQTT_CONNACK] = check_connack, [MQTT_PUBLISH] = check_publish,
    [MQTT_PUBACK] = check_ack,      [MQTT_PUBREC] = check_ack,
    [MQTT_PUBREL] = check_ack,      [MQTT_PUBCOMP] = check_ack,
    [MQTT_SUBACK] = check_suback,   [MQTT_UNSUBACK] = check_suback,
    [MQTT_PINGRESP] = check_ping,   [MQTT_DISCONNECT] = check_disconnect,
    [MQTT_AUTH] = check_auth,
};

static void check_packet(struct peer *peer, const struct mqtt_frame *frame)
{
    require(checks[frame->type] != NULL, "only packets that a server sends");
    require(peer->connacked || frame->type == MQTT_CONNACK || frame->type == MQTT_AUTH,
            "no packet but AUTH before CONNACK");
    require(!peer->refused && !peer->dismissed, "no packet after a refusal or DISCONNECT");
    require(frame->size <= peer->maximum_packet_size, "no packet above the client's Maximum Packet Size");
    uint8_t reason = checks[frame->type](peer, frame);
    if (reason) {
        fprintf(stderr, "to a client of version %u, reason 0x%02X: type %u flags %u:", peer->version, reason,
                frame->type, frame->flags);
        for (uint32_t i = 0; i < frame->length; i++)
            fprintf(stderr, " %02x", frame->body[i]);
        fprintf(stderr, "\n");
    }
    require(reason == MQTT_SUCCESS, "what the broker sends can be decoded");
}

static void check_input(struct peer *peer)
{
    size_t used = 0;
    struct mqtt_frame frame;
    enum mqtt_frame_state state;
    while ((state = mqtt_frame_next(peer->input.data + used, peer->input.length - used, UINT32_MAX,
                                    &frame)) == MQTT_FRAME_READY) {
        // Of exactly its size, so that the sanitizer sees where its bytes end.
        uint8_t *copy = malloc(frame.length ? frame.length : 1);
        memcpy(copy, frame.body, frame.length);
        frame.body = copy;
        check_packet(peer, &frame);
        free(copy);
        used += frame.size;
    }
    require(state == MQTT_FRAME_INCOMPLETE, "the broker sends whole, well-formed packets");
    bytes_drop(&peer->input, used);
}

void peer_go_on(struct peer *peer)
{
    flush(peer);
    note_version(peer);
    uint8_t buffer[8192];
    ssize_t n = 1;
    while (!peer->deaf && peer->fd >= 0 && (n = recv(peer->fd, buffer, sizeof buffer, 0)) > 0) {
        bytes_append(&peer->input, buffer, (size_t)n);
        check_input(peer);
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        peer->ended = true;
}
