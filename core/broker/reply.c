// Control packets to the client.
#include "core/broker/state.h"
#include "core/broker/trace.h"

// Room for a packet. Nobody asks again for one that is left out, so without memory the connection ends. What
// its version cannot say (size 0) has no room and needs none.
static uint8_t *reserve(struct connection *connection, size_t size)
{
    struct stream *stream = &connection->stream;
    if (size == 0)
        return NULL;
    uint8_t *out = stream_reserve(stream, size);
    if (!out && !stream->closing)
        stream_abort(stream);
    return out;
}

// The packet of `type` in the room that was reserved, at `packet`, is complete.
static void commit(struct connection *connection, const uint8_t *packet, uint8_t type, size_t size)
{
    if (trace_on(connection))
        trace_sent(connection, packet, size);
    stream_commit(&connection->stream, size);
    counter_add(connection_worker(connection)->counters, COUNTER_SENT + type, 1);
}

void reply_ping(struct connection *connection)
{
    uint8_t *out = reserve(connection, 2);
    if (out)
        commit(connection, out, MQTT_PINGRESP, mqtt_encode_ping(out, MQTT_PINGRESP));
}

static void fill_reason(struct connection *connection, struct mqtt_ack *ack, struct str told)
{
    if (told.length == 0 || !connection->problem_information || connection->version != MQTT_V5)
        return;
    mqtt_set(&ack->properties, MQTT_REASON_STRING);
    ack->properties.reason_string = told;
    // Left out where it would exceed what the client takes. [v5 3.4.2-2]
    if (mqtt_encode_ack(NULL, MQTT_V5, ack) > connection->maximum_packet_size)
        ack->properties.present = 0;
}

void reply_ack(struct connection *connection, uint8_t type, uint16_t packet_id, uint8_t reason,
               struct str told)
{
    struct mqtt_ack ack;
    ack.type = type;
    ack.packet_id = packet_id;
    ack.reason = reason;
    ack.properties.present = 0;
    ack.properties.raw = (struct str){0};
    fill_reason(connection, &ack, told);
    size_t size = mqtt_encode_ack(NULL, connection->version, &ack);
    uint8_t *out = reserve(connection, size);
    if (out)
        commit(connection, out, type, mqtt_encode_ack(out, connection->version, &ack));
}

// The largest packet that the client takes; it counts from CONNECT on. [v5 3.1.2-24]
static uint32_t largest(const struct connection *connection)
{
    const struct connect_packet *connect = connection->connect;
    if (!connect && connection->maximum_packet_size)
        return connection->maximum_packet_size;
    if (connect && connection->version == MQTT_V5 &&
        mqtt_has(&connect->packet.properties, MQTT_MAXIMUM_PACKET_SIZE))
        return connect->packet.properties.maximum_packet_size;
    return UINT32_MAX;
}

bool reply_connack(struct connection *connection, const struct mqtt_connack *connack)
{
    struct mqtt_connack trimmed = *connack;
    struct mqtt_properties properties =
        connack->properties ? *connack->properties : (struct mqtt_properties){0};
    trimmed.properties = &properties;
    size_t size = mqtt_encode_connack(NULL, connection->version, &trimmed);
    if (size > largest(connection) && mqtt_has(&properties, MQTT_REASON_STRING)) {
        properties.present &= ~(1ULL << MQTT_REASON_STRING);
        size = mqtt_encode_connack(NULL, connection->version, &trimmed);
    }
    if (size > largest(connection))
        return false;
    uint8_t *out = reserve(connection, size);
    if (out)
        commit(connection, out, MQTT_CONNACK, mqtt_encode_connack(out, connection->version, &trimmed));
    return true;
}

bool reply_disconnect(struct connection *connection, uint8_t type, const struct mqtt_disconnect *packet)
{
    struct mqtt_disconnect trimmed = *packet;
    size_t size = mqtt_encode_disconnect(NULL, connection->version, type, &trimmed);
    if (mqtt_has(&trimmed.properties, MQTT_REASON_STRING) && size > largest(connection)) {
        trimmed.properties.present &= ~(1ULL << MQTT_REASON_STRING);
        size = mqtt_encode_disconnect(NULL, connection->version, type, &trimmed);
    }
    if (size > largest(connection))
        return false;
    uint8_t *out = reserve(connection, size);
    if (out)
        commit(connection, out, type, mqtt_encode_disconnect(out, connection->version, type, &trimmed));
    return true;
}

void reply_suback(struct connection *connection, uint8_t type, uint16_t packet_id, const uint8_t *codes,
                  size_t count)
{
    size_t size = mqtt_encode_suback(NULL, connection->version, type, packet_id, codes, count, NULL);
    if (size > largest(connection)) {
        connection_fail(connection, MQTT_PACKET_TOO_LARGE,
                        "the acknowledgement is larger than the client's Maximum Packet Size");
        return;
    }
    uint8_t *out = reserve(connection, size);
    if (out)
        commit(connection, out, type,
               mqtt_encode_suback(out, connection->version, type, packet_id, codes, count, NULL));
}
