#include "core/mqtt/packet.h"

#include "core/mqtt/topic_name.h"
#include "core/mqtt/wire.h"

// Connect Flags. [v5 3.1.2.3]
enum {
    CONNECT_RESERVED = 0x01,
    CONNECT_CLEAN_START = 0x02,
    CONNECT_WILL = 0x04,
    CONNECT_WILL_QOS = 0x18,
    CONNECT_WILL_RETAIN = 0x20,
    CONNECT_PASSWORD = 0x40,
    CONNECT_USERNAME = 0x80,
};

enum { LEVEL_BRIDGE = 0x80 };

// Name and level are judged together: MQIsdp has level 3, MQTT 4 and 5.
static uint8_t protocol_decode(struct reader *reader, struct mqtt_connect *connect)
{
    struct str name;
    uint8_t level = 0;
    if (!reader_binary(reader, &name) || !reader_u8(reader, &level))
        return MQTT_MALFORMED_PACKET;
    if (!str_equal(name, mqtt_protocol_name(MQTT_V3_1)) && !str_equal(name, mqtt_protocol_name(MQTT_V5)))
        return MQTT_UNSUPPORTED_PROTOCOL_VERSION;
    connect->bridge = (level & LEVEL_BRIDGE) != 0;
    connect->version = level & (uint8_t)~LEVEL_BRIDGE;
    if (!str_equal(name, mqtt_protocol_name(connect->version)) ||
        (connect->bridge && connect->version == MQTT_V5))
        return MQTT_UNSUPPORTED_PROTOCOL_VERSION;
    return MQTT_SUCCESS;
}

// 3.1 disregards the reserved bit and the Will's bits where there is no Will; a password needs a user name
// before 5.0.
static bool flags_are_valid(uint8_t flags, uint8_t version)
{
    bool has_will = (flags & CONNECT_WILL) != 0;
    if (has_will && (flags & CONNECT_WILL_QOS) == CONNECT_WILL_QOS)
        return false;
    if (version < MQTT_V5 && (flags & CONNECT_PASSWORD) && !(flags & CONNECT_USERNAME))
        return false;
    if (version == MQTT_V3_1)
        return true;
    return !(flags & CONNECT_RESERVED) && (has_will || !(flags & (CONNECT_WILL_QOS | CONNECT_WILL_RETAIN)));
}

static uint8_t connect_properties_decode(struct reader *reader, uint8_t version, enum mqtt_context context,
                                         struct mqtt_properties *properties)
{
    if (version < MQTT_V5)
        return MQTT_SUCCESS;
    size_t used = 0;
    uint8_t reason = mqtt_properties_decode(reader->at, reader->left, context, properties, &used);
    if (reason == MQTT_SUCCESS)
        reader_skip(reader, used);
    return reason;
}

// [v5 3.1.3.2 to 3.1.3.4]
static uint8_t will_decode(struct reader *reader, uint8_t version, uint8_t flags, struct mqtt_will *will)
{
    will->qos = (uint8_t)((flags & CONNECT_WILL_QOS) >> 3);
    will->retain = (flags & CONNECT_WILL_RETAIN) != 0;
    uint8_t reason = connect_properties_decode(reader, version, MQTT_IN_WILL, &will->properties);
    if (reason != MQTT_SUCCESS)
        return reason;
    if (!reader_binary(reader, &will->topic))
        return MQTT_MALFORMED_PACKET;
    reason = mqtt_topic_name_check((const uint8_t *)will->topic.data, will->topic.length);
    if (reason != MQTT_SUCCESS)
        return reason;
    if (will->topic.length == 0)
        return MQTT_TOPIC_NAME_INVALID;
    return reader_binary(reader, &will->payload) ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
}

// In 3.1 the Remaining Length outranks the flags: a packet that ends here simply has no user name or no
// password.
static bool credential_is_there(const struct reader *reader, uint8_t version, bool flag)
{
    return flag && (version != MQTT_V3_1 || reader->left > 0);
}

static uint8_t payload_decode(struct reader *reader, uint8_t flags, struct mqtt_connect *connect)
{
    if (!reader_utf8(reader, &connect->client_id))
        return MQTT_MALFORMED_PACKET;
    connect->has_will = (flags & CONNECT_WILL) != 0;
    if (connect->has_will) {
        uint8_t reason = will_decode(reader, connect->version, flags, &connect->will);
        if (reason != MQTT_SUCCESS)
            return reason;
    }
    connect->has_username = credential_is_there(reader, connect->version, flags & CONNECT_USERNAME);
    if (connect->has_username && !reader_utf8(reader, &connect->username))
        return MQTT_MALFORMED_PACKET;
    connect->has_password = credential_is_there(reader, connect->version, flags & CONNECT_PASSWORD);
    if (connect->has_password && !reader_binary(reader, &connect->password))
        return MQTT_MALFORMED_PACKET;
    return reader->left == 0 ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
}

uint8_t mqtt_decode_connect(const struct mqtt_frame *frame, struct mqtt_connect *connect)
{
    struct reader reader = {frame->body, frame->length};
    uint8_t flags = 0;
    *connect = (struct mqtt_connect){0};
    uint8_t reason = protocol_decode(&reader, connect);
    if (reason != MQTT_SUCCESS)
        return reason;
    if (!reader_u8(&reader, &flags) || !flags_are_valid(flags, connect->version) ||
        !reader_u16(&reader, &connect->keep_alive))
        return MQTT_MALFORMED_PACKET;
    connect->clean_start = (flags & CONNECT_CLEAN_START) != 0;
    reason = connect_properties_decode(&reader, connect->version, MQTT_IN_CONNECT, &connect->properties);
    if (reason != MQTT_SUCCESS)
        return reason;
    return payload_decode(&reader, flags, connect);
}
