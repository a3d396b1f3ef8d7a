// Any packet, decoded and encoded again through one pair of functions, for tests that do not care which it
// is. One thread. What packet_decode allocates, packet_release frees. Must not know expected results.
#ifndef NOCTULE_TESTS_MQTT_ROUNDTRIP_H
#define NOCTULE_TESTS_MQTT_ROUNDTRIP_H

#include <stdlib.h>

#include "core/mqtt/packet.h"

struct packet {
    uint8_t type;
    uint8_t version;
    union {
        struct mqtt_connect connect;
        struct {
            struct mqtt_connack connack;
            struct mqtt_properties connack_properties;
        };
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback;
        struct mqtt_disconnect disconnect;
    };
    struct mqtt_filter *filters; ///< of SUBSCRIBE and UNSUBSCRIBE
};

static inline void packet_release(struct packet *packet)
{
    free(packet->filters);
    packet->filters = NULL;
}

static inline uint8_t packet_decode_filters(const struct mqtt_frame *frame, struct packet *packet)
{
    bool with_options = frame->type == MQTT_SUBSCRIBE;
    uint8_t reason = with_options ? mqtt_decode_subscribe(frame, packet->version, &packet->subscribe)
                                  : mqtt_decode_unsubscribe(frame, packet->version, &packet->subscribe);
    if (reason != MQTT_SUCCESS)
        return reason;
    packet->filters = calloc(packet->subscribe.count, sizeof *packet->filters);
    struct str rest = packet->subscribe.filters;
    for (size_t i = 0; i < packet->subscribe.count; i++)
        if (!mqtt_filter_next(&rest, with_options, &packet->filters[i]))
            abort();
    if (rest.length != 0)
        abort();
    return MQTT_SUCCESS;
}

/** Decodes `frame` with its type's decoder. AUTH before 5.0 is a Protocol Error, as the broker has it. */
static inline uint8_t packet_decode(const struct mqtt_frame *frame, uint8_t version, bool from_client,
                                    struct packet *packet)
{
    packet->type = frame->type;
    packet->version = version;
    packet->filters = NULL;
    switch (frame->type) {
    case MQTT_CONNECT: {
        uint8_t reason = mqtt_decode_connect(frame, &packet->connect);
        packet->version = packet->connect.version;
        return reason;
    }
    case MQTT_CONNACK:
        packet->connack.properties = &packet->connack_properties;
        return mqtt_decode_connack(frame, version, &packet->connack.session_present, &packet->connack.reason,
                                   &packet->connack_properties);
    case MQTT_PUBLISH:
        return from_client ? mqtt_decode_publish(frame, version, &packet->publish)
                           : mqtt_decode_publish_from_server(frame, version, &packet->publish);
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        return packet_decode_filters(frame, packet);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return mqtt_decode_suback(frame, version, &packet->suback);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return mqtt_decode_ping(frame);
    case MQTT_DISCONNECT:
        return mqtt_decode_disconnect(frame, version, from_client, &packet->disconnect);
    case MQTT_AUTH:
        return version < MQTT_V5 ? MQTT_PROTOCOL_ERROR
                                 : mqtt_decode_auth(frame, from_client, &packet->disconnect);
    default:
        return mqtt_decode_ack(frame, version, &packet->ack);
    }
}

static inline size_t packet_encode(uint8_t *out, const struct packet *packet)
{
    const uint8_t version = packet->version;
    switch (packet->type) {
    case MQTT_CONNECT:
        return mqtt_encode_connect(out, &packet->connect);
    case MQTT_CONNACK:
        return mqtt_encode_connack(out, version, &packet->connack);
    case MQTT_PUBLISH:
        return mqtt_encode_publish(out, version, &packet->publish);
    case MQTT_SUBSCRIBE:
        return mqtt_encode_subscribe(out, version, packet->subscribe.packet_id, packet->filters,
                                     packet->subscribe.count, &packet->subscribe.properties);
    case MQTT_UNSUBSCRIBE:
        return mqtt_encode_unsubscribe(out, version, packet->subscribe.packet_id, packet->filters,
                                       packet->subscribe.count, &packet->subscribe.properties);
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return mqtt_encode_suback(out, version, packet->type, packet->suback.packet_id, packet->suback.codes,
                                  packet->suback.count, &packet->suback.properties);
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return mqtt_encode_ping(out, packet->type);
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        return mqtt_encode_disconnect(out, version, packet->type, &packet->disconnect);
    default:
        return mqtt_encode_ack(out, version, &packet->ack);
    }
}

#endif
