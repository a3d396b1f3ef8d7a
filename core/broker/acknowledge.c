// PUBACK, PUBREC, PUBREL, PUBCOMP from a client. [v5 4.3]
#include "core/broker/state.h"
#include "core/broker/trace.h"

static void tell_acknowledged(struct connection *connection, struct str topic, uint8_t qos, uint8_t reason)
{
    struct client *client = connection->client;
    if (!chain_takes_event(client, NOCTULE_EVENT_MESSAGE_ACKED))
        return;
    struct noctule_event event = {.event = NOCTULE_EVENT_MESSAGE_ACKED,
                                  .topic = {topic.data, topic.length},
                                  .qos = qos,
                                  .reason_code = reason,
                                  .client_id = client_info(client).client_id};
    tell_event(connection->stream.worker, client, &event);
}

// The exchange is over; its slot is free for the next message.
static void complete(struct connection *connection, struct inflight *entry, uint8_t qos, uint8_t reason)
{
    struct message *message = entry->delivery.message;
    tell_acknowledged(connection, message ? message->topic : (struct str){0}, qos, reason);
    if (entry->resend)
        connection->resend_left--;
    window_done(&connection->session->window, entry);
    counter_add(connection_worker(connection)->counters, COUNTER_INFLIGHT, 0 - UINT64_C(1));
    if (trace_on(connection))
        trace_flow(connection, "acknowledged");
    if (connection->resend_left > 0 || session_has_waiting(connection->session))
        deliver_waiting(connection);
}

static void receive_puback(struct connection *connection, const struct mqtt_ack *ack, struct inflight *entry)
{
    if (!entry)
        return; // of a message that this session does not know (any more): nothing to do
    if (entry->state != INFLIGHT_PUBACK)
        connection_fail(connection, MQTT_PROTOCOL_ERROR, "PUBACK for a QoS 2 message");
    else
        complete(connection, entry, 1, ack->reason);
}

static void receive_pubrec(struct connection *connection, const struct mqtt_ack *ack, struct inflight *entry)
{
    if (!entry) {
        reply_ack(connection, MQTT_PUBREL, ack->packet_id, MQTT_PACKET_IDENTIFIER_NOT_FOUND, (struct str){0});
    } else if (entry->state == INFLIGHT_PUBACK) {
        connection_fail(connection, MQTT_PROTOCOL_ERROR, "PUBREC for a QoS 1 message");
    } else if (ack->reason >= 0x80) {
        complete(connection, entry, 2, ack->reason);
    } else {
        // The client owns the message now: only the identifier is kept. A repeated PUBREC gets PUBREL again.
        delivery_clear(&entry->delivery);
        entry->state = INFLIGHT_PUBCOMP;
        if (entry->resend) {
            entry->resend = false;
            connection->resend_left--;
        }
        reply_ack(connection, MQTT_PUBREL, ack->packet_id, MQTT_SUCCESS, (struct str){0});
    }
}

static void receive_pubrel(struct connection *connection, const struct mqtt_ack *ack)
{
    bool known = packet_ids_remove(&connection->session->received, ack->packet_id);
    reply_ack(connection, MQTT_PUBCOMP, ack->packet_id,
              known ? MQTT_SUCCESS : MQTT_PACKET_IDENTIFIER_NOT_FOUND, (struct str){0});
}

static void receive_pubcomp(struct connection *connection, const struct mqtt_ack *ack, struct inflight *entry)
{
    if (!entry)
        return;
    if (entry->state != INFLIGHT_PUBCOMP)
        connection_fail(connection, MQTT_PROTOCOL_ERROR, "PUBCOMP before PUBREC");
    else
        complete(connection, entry, 2, ack->reason);
}

void acknowledge_receive(struct connection *connection, const struct mqtt_frame *frame)
{
    struct mqtt_ack ack;
    uint8_t reason = mqtt_decode_ack(frame, connection->version, &ack);
    if (reason) {
        connection_fail(connection, reason, NULL);
        return;
    }
    if (frame->type == MQTT_PUBREL) {
        receive_pubrel(connection, &ack);
        return;
    }
    struct inflight *entry = window_find(&connection->session->window, ack.packet_id);
    if (frame->type == MQTT_PUBACK)
        receive_puback(connection, &ack, entry);
    else if (frame->type == MQTT_PUBREC)
        receive_pubrec(connection, &ack, entry);
    else
        receive_pubcomp(connection, &ack, entry);
}
