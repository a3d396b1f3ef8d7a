#include "core/bench/packets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/str.h"
#include "core/bench/connection.h"
#include "core/bench/ledger.h"
#include "core/bench/payload.h"
#include "core/bench/publisher.h"
#include "core/bench/topics.h"
#include "core/mqtt/packet.h"

enum { SUBACKS_OF_ONE = 16, SUBACKS_OF_ALL = 4096 };

// ---- sent ----------------------------------------------------------------------------------------------

// `text` with every %i replaced by the client's number.
static char *with_number(const char *text, uint32_t number)
{
    char *result = str_format("%s", text);
    for (char *at; (at = strstr(result, "%i")) != NULL;) {
        char *longer = str_format("%.*s%u%s", (int)(at - result), result, number, at + 2);
        free(result);
        result = longer;
    }
    return result;
}

void packet_connect(struct bench *bench, struct connection *connection)
{
    const struct bench_options *options = bench->options;
    char *id = with_number(options->client_id, connection->number);
    char *username = options->username ? with_number(options->username, connection->number) : NULL;
    char *password = options->password ? with_number(options->password, connection->number) : NULL;
    const struct mqtt_connect connect = {.version = options->version,
                                         .clean_start = true,
                                         .keep_alive = options->keep_alive,
                                         .client_id = str_of(id),
                                         .has_username = username != NULL,
                                         .has_password = password != NULL,
                                         .username = str_of(username),
                                         .password = str_of(password)};
    size_t size = mqtt_encode_connect(NULL, &connect);
    if (size == 0 || size > SEND_SIZE) {
        bench_fail(bench, BENCH_USAGE, "the client id, user name or password is too long");
    } else {
        mqtt_encode_connect(bench->send + SEND_HEADROOM, &connect);
        bench_connection_send(bench, connection, bench->send + SEND_HEADROOM, size);
    }
    free(id);
    free(username);
    free(password);
}

void packet_bare(struct bench *bench, struct connection *connection, uint8_t type)
{
    uint8_t packet[SEND_HEADROOM + 2] = {0};
    packet[SEND_HEADROOM] = (uint8_t)(type << 4);
    bench_connection_send(bench, connection, packet + SEND_HEADROOM, 2);
}

static uint16_t next_packet_id(struct connection *connection)
{
    if (++connection->last_packet_id == 0)
        connection->last_packet_id = 1;
    return connection->last_packet_id;
}

bool packet_subscribe(struct bench *bench, struct subscriber *subscriber)
{
    struct connection *connection = subscriber->connection;
    uint8_t *data = bench->send + SEND_HEADROOM;
    size_t size = 0;
    while (connection->state == CONNECTION_READY && subscriber->filters_sent < subscriber->filters &&
           connection->subacks < SUBACKS_OF_ONE && bench->subacks_due < SUBACKS_OF_ALL) {
        char text[TOPIC_MAX];
        bench_topic_filter(bench, subscriber, subscriber->filters_sent++, text);
        const struct mqtt_filter filter = {.filter = str_of(text), .options = bench->options->qos};
        size += mqtt_encode_subscribe(data + size, bench->options->version, next_packet_id(connection),
                                      &filter, 1, NULL);
        connection->subacks++;
        bench->subacks_due++;
    }
    if (size > 0)
        bench_connection_send(bench, connection, data, size);
    return connection->state == CONNECTION_READY && subscriber->filters_sent < subscriber->filters;
}

// An answer of two bytes to a packet identifier; all of one read leave together.
static void answer(struct bench *bench, uint8_t first_byte, uint16_t packet_id)
{
    uint8_t *at = bench->acks + SEND_HEADROOM + bench->acks_length;
    at[0] = first_byte;
    at[1] = 2;
    at[2] = (uint8_t)(packet_id >> 8);
    at[3] = (uint8_t)packet_id;
    bench->acks_length += 4;
}

// ---- received ------------------------------------------------------------------------------------------

static uint16_t number_at(const uint8_t *data)
{
    return (uint16_t)(data[0] << 8 | data[1]);
}

static bool connack(struct bench *bench, struct connection *connection, const struct mqtt_frame *frame)
{
    bool session_present;
    uint8_t reason;
    struct mqtt_properties properties;
    if (connection->state != CONNECTION_CONNECT ||
        mqtt_decode_connack(frame, bench->options->version, &session_present, &reason, &properties) !=
            MQTT_SUCCESS)
        return false;
    if (reason != MQTT_SUCCESS) {
        bench_connection_fail(bench, connection, "the broker refused the connection: %s (0x%02x)",
                              mqtt_reason_name(reason), reason);
        return true;
    }
    bool v5 = bench->options->version == MQTT_V5;
    if (v5 && mqtt_has(&properties, MQTT_MAXIMUM_QOS) && properties.maximum_qos < bench->options->qos) {
        bench_connection_fail(bench, connection, "the broker takes QoS %u at most", properties.maximum_qos);
        return true;
    }
    connection->state = CONNECTION_READY;
    if (connection->publisher)
        publisher_open_window(bench, connection->publisher,
                              v5 && mqtt_has(&properties, MQTT_RECEIVE_MAXIMUM) ? properties.receive_maximum
                                                                                : 65535);
    bench->opening--;
    bench->connected++;
    bench->connected_ns = bench->now_ns;
    histogram_add(&bench->connecting, bench->now_ns - connection->due_ns, 1);
    return true;
}

static bool suback(struct bench *bench, struct connection *connection, const struct mqtt_frame *frame)
{
    struct mqtt_suback suback;
    if (connection->subacks == 0 ||
        mqtt_decode_suback(frame, bench->options->version, &suback) != MQTT_SUCCESS)
        return false;
    connection->subacks--;
    bench->subacks_due--;
    bench->subscribed++;
    uint8_t code = suback.codes[0];
    if (code >= MQTT_UNSPECIFIED_ERROR) {
        bench->subscriptions_refused++;
        bench_fail(bench, BENCH_REFUSED, "client %u: the broker refused a subscription: %s (0x%02x)",
                   connection->number, mqtt_reason_name(code), code);
    } else if (code < bench->options->qos) {
        bench->lower_qos++;
    }
    return true;
}

static bool disconnect(struct bench *bench, struct connection *connection, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect disconnect;
    if (mqtt_decode_disconnect(frame, bench->options->version, false, &disconnect) != MQTT_SUCCESS)
        return false;
    bench_connection_fail(bench, connection, "the broker ended the connection: %s (0x%02x)",
                          mqtt_reason_name(disconnect.reason), disconnect.reason);
    return true;
}

static bool acknowledgement(struct bench *bench, struct connection *connection,
                            const struct mqtt_frame *frame)
{
    struct mqtt_ack ack = {.type = frame->type};
    if (mqtt_decode_ack(frame, bench->options->version, &ack) != MQTT_SUCCESS)
        return false;
    if (frame->type == MQTT_PUBREL) {
        answer(bench, MQTT_PUBCOMP << 4, ack.packet_id);
        return true;
    }
    if (!connection->publisher)
        return false;
    if (publisher_acknowledged(bench, connection->publisher, &ack))
        answer(bench, MQTT_PUBREL << 4 | 2, ack.packet_id);
    return true;
}

static bool pingresp(struct bench *bench, struct connection *connection, const struct mqtt_frame *frame)
{
    (void)connection;
    if (bench->pings_due > 0)
        bench->pings_due--;
    return mqtt_decode_ping(frame) == MQTT_SUCCESS;
}

typedef bool handler(struct bench *bench, struct connection *connection, const struct mqtt_frame *frame);

// All but PUBLISH; each returns false for what no broker may send then.
static handler *const handlers[16] = {
    [MQTT_CONNACK] = connack,        [MQTT_PUBACK] = acknowledgement,  [MQTT_PUBREC] = acknowledgement,
    [MQTT_PUBREL] = acknowledgement, [MQTT_PUBCOMP] = acknowledgement, [MQTT_SUBACK] = suback,
    [MQTT_PINGRESP] = pingresp,      [MQTT_DISCONNECT] = disconnect,
};

// Messages of one due time, one after the other, enter the histogram at once.
struct run_of_messages {
    uint64_t stamp;
    uint64_t count;
};

static void count_run(struct bench *bench, const struct run_of_messages *run)
{
    if (run->count > 0 && run->stamp >= bench->measure_from_ns)
        histogram_add(&bench->latency, bench->now_ns > run->stamp ? bench->now_ns - run->stamp : 0,
                      run->count);
}

// The slot of `stream` in the ledger; NULL when this subscriber was not to get it.
static struct ledger_slot *slot_of(struct bench *bench, const struct connection *connection, uint32_t stream)
{
    const struct subscriber *subscriber = connection->subscriber;
    if (!subscriber || stream - subscriber->first_stream >= subscriber->streams)
        return NULL;
    return &bench->ledger.slots[subscriber->first_slot + (stream - subscriber->first_stream)];
}

/*
 * Reads no more of the packet than the figures need: its topic says nothing that the payload does not, and
 * whoever measures a broker should not cost more than it. What is wrong in it shows as a message that did not
 * come.
 */
static bool publish(struct bench *bench, struct connection *connection, const struct mqtt_frame *frame,
                    struct run_of_messages *run)
{
    size_t at = 2U + number_at(frame->body);
    uint8_t qos = frame->flags >> 1 & 3;
    uint32_t properties = 0;
    int varint = 0;
    if (at + (qos > 0 ? 2 : 0) > frame->length)
        return false;
    if (qos > 0) {
        answer(bench, (uint8_t)((qos == 1 ? MQTT_PUBACK : MQTT_PUBREC) << 4), number_at(frame->body + at));
        at += 2;
    }
    if (bench->options->version == MQTT_V5 &&
        (varint = mqtt_varint_read(frame->body + at, frame->length - at, &properties)) <= 0)
        return false;
    at += (size_t)varint + properties;
    if (at > frame->length)
        return false;
    struct payload_head head;
    if (!payload_read(bench, frame->body + at, frame->length - at, &head)) {
        bench->ledger.stray++;
        return true;
    }
    struct ledger_slot *slot = slot_of(bench, connection, head.stream);
    if (!slot) {
        bench->ledger.misrouted++;
        return true;
    }
    bench->ledger.wrong_size += frame->length - at != bench->options->payload;
    bench->ledger.retained += frame->flags & 1;
    ledger_note(&bench->ledger, slot, head.number);
    if (head.stamp != run->stamp) {
        count_run(bench, run);
        *run = (struct run_of_messages){.stamp = head.stamp};
    }
    run->count++;
    return true;
}

static void after_packets(struct bench *bench, struct connection *connection, uint64_t delivered_before)
{
    bench->progress_ns = bench->now_ns;
    if (bench->ledger.delivered != delivered_before) {
        if (bench->first_message_ns == 0)
            bench->first_message_ns = bench->now_ns;
        bench->last_message_ns = bench->now_ns;
    }
    size_t answers = bench->acks_length;
    bench->acks_length = 0;
    if (answers > 0)
        bench_connection_send(bench, connection, bench->acks + SEND_HEADROOM, answers);
    if (connection->publisher)
        publisher_offer(bench, connection->publisher);
}

size_t packets_receive(struct bench *bench, struct connection *connection, const uint8_t *data, size_t length,
                       uint32_t *wanted)
{
    size_t used = 0;
    uint64_t delivered_before = bench->ledger.delivered;
    struct run_of_messages run = {0};
    while (connection->state != CONNECTION_CLOSED) {
        struct mqtt_frame frame;
        enum mqtt_frame_state state = mqtt_frame_next(data + used, length - used, UINT32_MAX, &frame);
        if (state == MQTT_FRAME_INCOMPLETE) {
            *wanted = frame.size;
            break;
        }
        bool good = state == MQTT_FRAME_READY;
        if (good && frame.type == MQTT_PUBLISH)
            good = publish(bench, connection, &frame, &run);
        else if (good)
            good = handlers[frame.type] && handlers[frame.type](bench, connection, &frame);
        if (!good) {
            bench_connection_fail(bench, connection, "the broker sent a packet that is wrong (type %u)",
                                  frame.type);
            break;
        }
        used += frame.size;
    }
    count_run(bench, &run);
    if (used > 0)
        after_packets(bench, connection, delivered_before);
    return used;
}
