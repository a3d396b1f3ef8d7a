// Control packets to the client.
#include "core/broker/state.h"

void reply_ping(struct connection *connection)
{
    uint8_t packet[2];
    stream_write(&connection->stream, packet, mqtt_encode_ping(packet, MQTT_PINGRESP));
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
    uint8_t *out = stream_reserve(&connection->stream, size);
    if (out)
        stream_commit(&connection->stream, mqtt_encode_ack(out, connection->version, &ack));
}

void reply_connack(struct connection *connection, const struct mqtt_connack *connack)
{
    struct mqtt_connack trimmed = *connack;
    struct mqtt_properties properties =
        connack->properties ? *connack->properties : (struct mqtt_properties){0};
    trimmed.properties = &properties;
    size_t size = mqtt_encode_connack(NULL, connection->version, &trimmed);
    // What the client can take is known once its CONNECT is.
    const struct connect_packet *connect = connection->connect;
    uint32_t most = connect && connection->version == MQTT_V5 &&
                            mqtt_has(&connect->packet.properties, MQTT_MAXIMUM_PACKET_SIZE)
                        ? connect->packet.properties.maximum_packet_size
                        : UINT32_MAX;
    if (size > most && mqtt_has(&properties, MQTT_REASON_STRING)) {
        properties.present &= ~(1ULL << MQTT_REASON_STRING);
        size = mqtt_encode_connack(NULL, connection->version, &trimmed);
    }
    uint8_t *out = stream_reserve(&connection->stream, size);
    if (out)
        stream_commit(&connection->stream, mqtt_encode_connack(out, connection->version, &trimmed));
}

void reply_disconnect(struct connection *connection, uint8_t type, const struct mqtt_disconnect *packet)
{
    struct mqtt_disconnect trimmed = *packet;
    size_t size = mqtt_encode_disconnect(NULL, connection->version, type, &trimmed);
    if (mqtt_has(&trimmed.properties, MQTT_REASON_STRING) && connection->maximum_packet_size &&
        size > connection->maximum_packet_size) {
        trimmed.properties.present &= ~(1ULL << MQTT_REASON_STRING);
        size = mqtt_encode_disconnect(NULL, connection->version, type, &trimmed);
    }
    uint8_t *out = stream_reserve(&connection->stream, size);
    if (out)
        stream_commit(&connection->stream, mqtt_encode_disconnect(out, connection->version, type, &trimmed));
}

void reply_suback(struct connection *connection, uint8_t type, uint16_t packet_id, const uint8_t *codes,
                  size_t count)
{
    size_t size = mqtt_encode_suback(NULL, connection->version, type, packet_id, codes, count, NULL);
    uint8_t *out = stream_reserve(&connection->stream, size);
    if (out)
        stream_commit(&connection->stream,
                      mqtt_encode_suback(out, connection->version, type, packet_id, codes, count, NULL));
}
