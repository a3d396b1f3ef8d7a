#include "core/mqtt/packet.h"

#include "core/mqtt/topic_name.h"
#include "core/mqtt/wire.h"

// Bits of the fixed header. [v5 3.3.1]
enum { PUBLISH_RETAIN = 0x01, PUBLISH_QOS = 0x06, PUBLISH_DUP = 0x08 };

// 5.0's block at the reader; nothing in 3.1 and 3.1.1. An empty block costs no call.
static inline uint8_t properties_decode(struct reader *reader, uint8_t version, enum mqtt_context context,
                                        struct mqtt_properties *properties)
{
    properties->present = 0;
    properties->raw = str_make(NULL, 0);
    if (version < MQTT_V5)
        return MQTT_SUCCESS;
    if (reader->left > 0 && reader->at[0] == 0) {
        reader_skip(reader, 1);
        return MQTT_SUCCESS;
    }
    size_t used = 0;
    uint8_t reason = mqtt_properties_decode(reader->at, reader->left, context, properties, &used);
    if (reason == MQTT_SUCCESS)
        reader_skip(reader, used);
    return reason;
}

// [v5 2.2.1]
static inline uint8_t packet_id_decode(struct reader *reader, uint16_t *packet_id)
{
    if (!reader_u16(reader, packet_id))
        return MQTT_MALFORMED_PACKET;
    return *packet_id == 0 ? MQTT_PROTOCOL_ERROR : MQTT_SUCCESS;
}

// Only 3.1 knows DUP outside of PUBLISH; mqtt_frame_next lets it through.
static inline bool dup_is_valid(const struct mqtt_frame *frame, uint8_t version)
{
    return (frame->flags & PUBLISH_DUP) == 0 || version == MQTT_V3_1;
}

static inline uint8_t publish_decode(const struct mqtt_frame *frame, uint8_t version,
                                     enum mqtt_context context, struct mqtt_publish *publish)
{
    struct reader reader = {frame->body, frame->length};
    publish->dup = (frame->flags & PUBLISH_DUP) != 0;
    publish->retain = (frame->flags & PUBLISH_RETAIN) != 0;
    publish->qos = (uint8_t)((frame->flags & PUBLISH_QOS) >> 1);
    publish->packet_id = 0;
    if (!reader_binary(&reader, &publish->topic))
        return MQTT_MALFORMED_PACKET;
    uint8_t reason = mqtt_topic_name_check((const uint8_t *)publish->topic.data, publish->topic.length);
    if (reason == MQTT_SUCCESS && publish->qos > 0)
        reason = packet_id_decode(&reader, &publish->packet_id);
    if (reason == MQTT_SUCCESS)
        reason = properties_decode(&reader, version, context, &publish->properties);
    if (reason != MQTT_SUCCESS)
        return reason;
    // [v5 3.3.2.1, v3.1.1 MQTT-4.7.3-1]
    if (publish->topic.length == 0 && !mqtt_has(&publish->properties, MQTT_TOPIC_ALIAS))
        return version < MQTT_V5 ? MQTT_MALFORMED_PACKET : MQTT_PROTOCOL_ERROR;
    publish->payload = str_make(reader.at, reader.left);
    return MQTT_SUCCESS;
}

uint8_t mqtt_decode_publish(const struct mqtt_frame *frame, uint8_t version, struct mqtt_publish *publish)
{
    return publish_decode(frame, version, MQTT_IN_PUBLISH_FROM_CLIENT, publish);
}

uint8_t mqtt_decode_publish_from_server(const struct mqtt_frame *frame, uint8_t version,
                                        struct mqtt_publish *publish)
{
    return publish_decode(frame, version, MQTT_IN_PUBLISH_FROM_SERVER, publish);
}

// `*reason` in 5.0's codes; false for a code that CONNACK does not have.
static bool connack_code_decode(uint8_t code, uint8_t version, uint8_t *reason)
{
    static const uint8_t v3_reasons[] = {MQTT_SUCCESS,
                                         MQTT_UNSUPPORTED_PROTOCOL_VERSION,
                                         MQTT_CLIENT_IDENTIFIER_NOT_VALID,
                                         MQTT_SERVER_UNAVAILABLE,
                                         MQTT_BAD_USER_NAME_OR_PASSWORD,
                                         MQTT_NOT_AUTHORIZED};
    if (version < MQTT_V5) {
        if (code >= sizeof v3_reasons)
            return false;
        code = v3_reasons[code];
    }
    *reason = code;
    return mqtt_reason_allowed_from(false, MQTT_CONNACK, code);
}

uint8_t mqtt_decode_connack(const struct mqtt_frame *frame, uint8_t version, bool *session_present,
                            uint8_t *reason, struct mqtt_properties *properties)
{
    struct reader reader = {frame->body, frame->length};
    uint8_t flags = 0;
    uint8_t code = 0;
    if (!reader_u8(&reader, &flags) || !reader_u8(&reader, &code))
        return MQTT_MALFORMED_PACKET;
    if (version == MQTT_V3_1)
        flags = 0; // 3.1 does not use the byte
    if (flags > 1)
        return MQTT_MALFORMED_PACKET;
    *session_present = flags != 0;
    if (!connack_code_decode(code, version, reason))
        return MQTT_PROTOCOL_ERROR;
    // [v5 MQTT-3.2.2-6]
    if (*session_present && *reason != MQTT_SUCCESS)
        return MQTT_PROTOCOL_ERROR;
    uint8_t result = properties_decode(&reader, version, MQTT_IN_CONNACK, properties);
    if (result != MQTT_SUCCESS)
        return result;
    return reader.left == 0 ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
}

// The Reason Code and the properties that end an acknowledgement, DISCONNECT or AUTH of 5.0; both may be
// missing.
static uint8_t reason_decode(struct reader *reader, bool from_client, uint8_t type, enum mqtt_context context,
                             uint8_t *reason, struct mqtt_properties *properties)
{
    *reason = MQTT_SUCCESS;
    properties->present = 0;
    properties->raw = str_make(NULL, 0);
    reader_u8(reader, reason);
    if (!mqtt_reason_allowed_from(from_client, type, *reason))
        return MQTT_PROTOCOL_ERROR;
    if (reader->left == 0)
        return MQTT_SUCCESS;
    uint8_t result = properties_decode(reader, MQTT_V5, context, properties);
    if (result != MQTT_SUCCESS)
        return result;
    return reader->left == 0 ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
}

uint8_t mqtt_decode_ack(const struct mqtt_frame *frame, uint8_t version, struct mqtt_ack *ack)
{
    struct reader reader = {frame->body, frame->length};
    ack->type = frame->type;
    ack->reason = MQTT_SUCCESS;
    ack->properties.present = 0;
    ack->properties.raw = str_make(NULL, 0);
    if (!dup_is_valid(frame, version))
        return MQTT_MALFORMED_PACKET;
    uint8_t result = packet_id_decode(&reader, &ack->packet_id);
    if (result != MQTT_SUCCESS || reader.left == 0)
        return result;
    if (version < MQTT_V5)
        return MQTT_MALFORMED_PACKET;
    // Both sides send the same codes in these four.
    return reason_decode(&reader, true, frame->type, MQTT_IN_ACK, &ack->reason, &ack->properties);
}

// [v5 3.8.3.1, v3.1.1 MQTT-3.8.3-4]
static uint8_t options_check(uint8_t options, uint8_t version)
{
    const unsigned known = version < MQTT_V5
                               ? MQTT_OPTION_QOS
                               : MQTT_OPTION_QOS | MQTT_OPTION_NO_LOCAL | MQTT_OPTION_RETAIN_AS_PUBLISHED |
                                     MQTT_OPTION_RETAIN_HANDLING;
    if (options & ~known)
        return MQTT_MALFORMED_PACKET;
    if ((options & MQTT_OPTION_QOS) == MQTT_OPTION_QOS)
        return version < MQTT_V5 ? MQTT_MALFORMED_PACKET : MQTT_PROTOCOL_ERROR;
    if ((options & MQTT_OPTION_RETAIN_HANDLING) == MQTT_OPTION_RETAIN_HANDLING)
        return MQTT_PROTOCOL_ERROR;
    return MQTT_SUCCESS;
}

static uint8_t filters_decode(struct reader *reader, uint8_t version, bool with_options,
                              struct mqtt_subscribe *packet)
{
    packet->filters = str_make(reader->at, reader->left);
    packet->count = 0;
    while (reader->left > 0) {
        struct str filter;
        uint8_t options = 0;
        if (!reader_utf8(reader, &filter) || (with_options && !reader_u8(reader, &options)))
            return MQTT_MALFORMED_PACKET;
        uint8_t reason = options_check(options, version);
        if (reason != MQTT_SUCCESS)
            return reason;
        packet->count++;
    }
    // [v5 MQTT-3.8.3-2, MQTT-3.10.3-2]
    return packet->count > 0 ? MQTT_SUCCESS : MQTT_PROTOCOL_ERROR;
}

static uint8_t filter_packet_decode(const struct mqtt_frame *frame, uint8_t version,
                                    enum mqtt_context context, struct mqtt_subscribe *packet)
{
    struct reader reader = {frame->body, frame->length};
    if (!dup_is_valid(frame, version))
        return MQTT_MALFORMED_PACKET;
    uint8_t reason = packet_id_decode(&reader, &packet->packet_id);
    if (reason == MQTT_SUCCESS)
        reason = properties_decode(&reader, version, context, &packet->properties);
    if (reason != MQTT_SUCCESS)
        return reason;
    return filters_decode(&reader, version, context == MQTT_IN_SUBSCRIBE, packet);
}

uint8_t mqtt_decode_subscribe(const struct mqtt_frame *frame, uint8_t version,
                              struct mqtt_subscribe *subscribe)
{
    return filter_packet_decode(frame, version, MQTT_IN_SUBSCRIBE, subscribe);
}

uint8_t mqtt_decode_unsubscribe(const struct mqtt_frame *frame, uint8_t version,
                                struct mqtt_subscribe *unsubscribe)
{
    return filter_packet_decode(frame, version, MQTT_IN_UNSUBSCRIBE, unsubscribe);
}

bool mqtt_filter_next(struct str *rest, bool with_options, struct mqtt_filter *filter)
{
    struct reader reader = {(const uint8_t *)rest->data, rest->length};
    filter->options = 0;
    if (!reader_binary(&reader, &filter->filter) || (with_options && !reader_u8(&reader, &filter->options)))
        return false;
    *rest = str_make(reader.at, reader.left);
    return true;
}

// 3.1.1 grants QoS 0 to 2 or answers 0x80; 3.1 has no failure, but servers have learned to send it there too.
static bool suback_code_is_valid(uint8_t type, uint8_t version, uint8_t code)
{
    if (version < MQTT_V5)
        return code <= MQTT_GRANTED_QOS_2 || code == MQTT_UNSPECIFIED_ERROR;
    return mqtt_reason_allowed_from(false, type, code);
}

uint8_t mqtt_decode_suback(const struct mqtt_frame *frame, uint8_t version, struct mqtt_suback *suback)
{
    struct reader reader = {frame->body, frame->length};
    uint8_t reason = packet_id_decode(&reader, &suback->packet_id);
    if (reason == MQTT_SUCCESS)
        reason = properties_decode(&reader, version, MQTT_IN_ACK, &suback->properties);
    if (reason != MQTT_SUCCESS)
        return reason;
    suback->codes = reader.at;
    suback->count = reader.left;
    if (version < MQTT_V5 && frame->type == MQTT_UNSUBACK)
        return reader.left == 0 ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
    if (suback->count == 0)
        return MQTT_PROTOCOL_ERROR;
    for (size_t i = 0; i < suback->count; i++)
        if (!suback_code_is_valid(frame->type, version, suback->codes[i]))
            return MQTT_PROTOCOL_ERROR;
    return MQTT_SUCCESS;
}

uint8_t mqtt_decode_ping(const struct mqtt_frame *frame)
{
    return frame->flags == 0 && frame->length == 0 ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
}

uint8_t mqtt_decode_disconnect(const struct mqtt_frame *frame, uint8_t version, bool from_client,
                               struct mqtt_disconnect *disconnect)
{
    struct reader reader = {frame->body, frame->length};
    if (version < MQTT_V5 && frame->length > 0)
        return MQTT_MALFORMED_PACKET;
    return reason_decode(&reader, from_client, MQTT_DISCONNECT,
                         from_client ? MQTT_IN_DISCONNECT_FROM_CLIENT : MQTT_IN_DISCONNECT_FROM_SERVER,
                         &disconnect->reason, &disconnect->properties);
}

uint8_t mqtt_decode_auth(const struct mqtt_frame *frame, bool from_client, struct mqtt_disconnect *auth)
{
    struct reader reader = {frame->body, frame->length};
    // Reason Code and properties are left out together or not at all. [v5 3.15.2]
    if (frame->length == 1)
        return MQTT_MALFORMED_PACKET;
    uint8_t result =
        reason_decode(&reader, from_client, MQTT_AUTH, MQTT_IN_AUTH, &auth->reason, &auth->properties);
    // [v5 3.15.2.2.2]
    if (result == MQTT_SUCCESS && frame->length > 0 &&
        !mqtt_has(&auth->properties, MQTT_AUTHENTICATION_METHOD))
        return MQTT_PROTOCOL_ERROR;
    return result;
}
