#include "core/mqtt/properties.h"

#include <stddef.h>

#include "core/mqtt/topic_name.h"
#include "core/mqtt/wire.h"

// The data types of properties. [v5 1.5]
enum value_type { NO_VALUE, BYTE, TWO_BYTES, FOUR_BYTES, VARINT, BINARY, UTF8, TOPIC, PAIR };

// A value as read: `number`, `text`, or a pair of `text` and `second`.
struct value {
    uint32_t number;
    struct str text;
    struct str second;
};

// [v5 table 2-4], and the ranges from the sections of the packets.
struct property_rule {
    uint8_t type;         // NO_VALUE: there is no such property
    uint8_t least;        // of a number
    uint8_t most;         // 0: whatever the type holds
    uint8_t out_of_range; // why the packet is refused then; 0: MQTT_PROTOCOL_ERROR
    uint16_t field;       // where struct mqtt_properties keeps it; pairs stay in `raw`
    uint16_t contexts;    // bit N: allowed in context N
    uint16_t repeatable;  // in which of these more than once
};

#define IN(context)   (1U << MQTT_IN_##context)
#define FIELD(name)   offsetof(struct mqtt_properties, name)
#define IN_PUBLISH    (IN(PUBLISH_FROM_CLIENT) | IN(PUBLISH_FROM_SERVER))
#define IN_MESSAGE    (IN_PUBLISH | IN(WILL))
#define IN_DISCONNECT (IN(DISCONNECT_FROM_CLIENT) | IN(DISCONNECT_FROM_SERVER))
#define IN_HANDSHAKE  (IN(CONNECT) | IN(CONNACK))
#define IN_ANY        ((1U << (MQTT_IN_AUTH + 1)) - 1)

static const struct property_rule property_rules[] = {
    [MQTT_PAYLOAD_FORMAT_INDICATOR] = {BYTE, .field = FIELD(payload_format_indicator), .contexts = IN_MESSAGE,
                                       .most = 1},
    [MQTT_MESSAGE_EXPIRY_INTERVAL] = {FOUR_BYTES, .field = FIELD(message_expiry_interval),
                                      .contexts = IN_MESSAGE},
    [MQTT_CONTENT_TYPE] = {UTF8, .field = FIELD(content_type), .contexts = IN_MESSAGE},
    [MQTT_RESPONSE_TOPIC] = {TOPIC, .field = FIELD(response_topic), .contexts = IN_MESSAGE},
    [MQTT_CORRELATION_DATA] = {BINARY, .field = FIELD(correlation_data), .contexts = IN_MESSAGE},
    [MQTT_SUBSCRIPTION_IDENTIFIER] = {VARINT, .field = FIELD(subscription_identifier),
                                      .contexts = IN(PUBLISH_FROM_SERVER) | IN(SUBSCRIBE),
                                      .repeatable = IN(PUBLISH_FROM_SERVER), .least = 1},
    [MQTT_SESSION_EXPIRY_INTERVAL] = {FOUR_BYTES, .field = FIELD(session_expiry_interval),
                                      .contexts = IN_HANDSHAKE | IN(DISCONNECT_FROM_CLIENT)},
    [MQTT_ASSIGNED_CLIENT_IDENTIFIER] = {UTF8, .field = FIELD(assigned_client_identifier),
                                         .contexts = IN(CONNACK)},
    [MQTT_SERVER_KEEP_ALIVE] = {TWO_BYTES, .field = FIELD(server_keep_alive), .contexts = IN(CONNACK)},
    [MQTT_AUTHENTICATION_METHOD] = {UTF8, .field = FIELD(authentication_method),
                                    .contexts = IN_HANDSHAKE | IN(AUTH)},
    [MQTT_AUTHENTICATION_DATA] = {BINARY, .field = FIELD(authentication_data),
                                  .contexts = IN_HANDSHAKE | IN(AUTH)},
    [MQTT_REQUEST_PROBLEM_INFORMATION] = {BYTE, .field = FIELD(request_problem_information),
                                          .contexts = IN(CONNECT), .most = 1},
    [MQTT_WILL_DELAY_INTERVAL] = {FOUR_BYTES, .field = FIELD(will_delay_interval), .contexts = IN(WILL)},
    [MQTT_REQUEST_RESPONSE_INFORMATION] = {BYTE, .field = FIELD(request_response_information),
                                           .contexts = IN(CONNECT), .most = 1},
    [MQTT_RESPONSE_INFORMATION] = {UTF8, .field = FIELD(response_information), .contexts = IN(CONNACK)},
    [MQTT_SERVER_REFERENCE] = {UTF8, .field = FIELD(server_reference),
                               .contexts = IN(CONNACK) | IN(DISCONNECT_FROM_SERVER)},
    [MQTT_REASON_STRING] = {UTF8, .field = FIELD(reason_string),
                            .contexts = IN(CONNACK) | IN(ACK) | IN_DISCONNECT | IN(AUTH)},
    [MQTT_RECEIVE_MAXIMUM] = {TWO_BYTES, .field = FIELD(receive_maximum), .contexts = IN_HANDSHAKE,
                              .least = 1},
    [MQTT_TOPIC_ALIAS_MAXIMUM] = {TWO_BYTES, .field = FIELD(topic_alias_maximum), .contexts = IN_HANDSHAKE},
    [MQTT_TOPIC_ALIAS] = {TWO_BYTES, .field = FIELD(topic_alias), .contexts = IN_PUBLISH, .least = 1,
                          .out_of_range = MQTT_TOPIC_ALIAS_INVALID},
    [MQTT_MAXIMUM_QOS] = {BYTE, .field = FIELD(maximum_qos), .contexts = IN(CONNACK), .most = 1},
    [MQTT_RETAIN_AVAILABLE] = {BYTE, .field = FIELD(retain_available), .contexts = IN(CONNACK), .most = 1},
    [MQTT_USER_PROPERTY] = {PAIR, .contexts = IN_ANY, .repeatable = IN_ANY},
    [MQTT_MAXIMUM_PACKET_SIZE] = {FOUR_BYTES, .field = FIELD(maximum_packet_size), .contexts = IN_HANDSHAKE,
                                  .least = 1},
    [MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE] = {BYTE, .field = FIELD(wildcard_subscription_available),
                                              .contexts = IN(CONNACK), .most = 1},
    [MQTT_SUBSCRIPTION_IDENTIFIER_AVAILABLE] = {BYTE, .field = FIELD(subscription_identifier_available),
                                                .contexts = IN(CONNACK), .most = 1},
    [MQTT_SHARED_SUBSCRIPTION_AVAILABLE] = {BYTE, .field = FIELD(shared_subscription_available),
                                            .contexts = IN(CONNACK), .most = 1},
};

// NULL when there is no such property. Identifiers are variable byte integers, but all of them take one byte.
static const struct property_rule *property_rule(uint8_t id)
{
    if (id >= sizeof property_rules / sizeof *property_rules || property_rules[id].type == NO_VALUE)
        return NULL;
    return &property_rules[id];
}

// Reads without checking anything but lengths.
static bool value_read(struct reader *reader, uint8_t type, struct value *value)
{
    uint8_t byte = 0;
    uint16_t two_bytes = 0;
    bool complete;
    switch (type) {
    case BYTE:
        complete = reader_u8(reader, &byte);
        value->number = byte;
        return complete;
    case TWO_BYTES:
        complete = reader_u16(reader, &two_bytes);
        value->number = two_bytes;
        return complete;
    case FOUR_BYTES:
        return reader_u32(reader, &value->number);
    case VARINT:
        return reader_varint(reader, &value->number);
    case PAIR:
        return reader_binary(reader, &value->text) && reader_binary(reader, &value->second);
    default:
        return reader_binary(reader, &value->text);
    }
}

static uint8_t number_check(const struct property_rule *rule, uint32_t number)
{
    if (number >= rule->least && (rule->most == 0 || number <= rule->most))
        return MQTT_SUCCESS;
    return rule->out_of_range ? rule->out_of_range : MQTT_PROTOCOL_ERROR;
}

// A wildcard or an empty name is well-formed, but cannot be published to. [v5 3.3.2.3.5, 4.7.3]
static uint8_t response_topic_check(struct str topic)
{
    uint8_t reason = mqtt_topic_name_check((const uint8_t *)topic.data, topic.length);
    return reason == MQTT_TOPIC_NAME_INVALID || topic.length == 0 ? MQTT_PROTOCOL_ERROR : reason;
}

static uint8_t value_check(const struct property_rule *rule, const struct value *value)
{
    switch (rule->type) {
    case BINARY:
        return MQTT_SUCCESS;
    case UTF8:
        return str_is_utf8(value->text) ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
    case PAIR:
        return str_is_utf8(value->text) && str_is_utf8(value->second) ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET;
    case TOPIC:
        return response_topic_check(value->text);
    default:
        return number_check(rule, value->number);
    }
}

static void value_store(struct mqtt_properties *properties, const struct property_rule *rule,
                        const struct value *value)
{
    unsigned char *field = (unsigned char *)properties + rule->field;
    uint16_t two_bytes = (uint16_t)value->number;
    switch (rule->type) {
    case BYTE:
        *field = (uint8_t)value->number;
        break;
    case TWO_BYTES:
        memcpy(field, &two_bytes, sizeof two_bytes);
        break;
    case FOUR_BYTES:
    case VARINT:
        memcpy(field, &value->number, sizeof value->number);
        break;
    case PAIR:
        break;
    default:
        memcpy(field, &value->text, sizeof value->text);
        break;
    }
}

static void value_write(struct writer *writer, const struct mqtt_properties *properties,
                        const struct property_rule *rule)
{
    const unsigned char *field = (const unsigned char *)properties + rule->field;
    uint32_t number;
    uint16_t two_bytes;
    struct str text;
    switch (rule->type) {
    case BYTE:
        writer_u8(writer, *field);
        break;
    case TWO_BYTES:
        memcpy(&two_bytes, field, sizeof two_bytes);
        writer_u16(writer, two_bytes);
        break;
    case FOUR_BYTES:
        memcpy(&number, field, sizeof number);
        writer_u32(writer, number);
        break;
    case VARINT:
        memcpy(&number, field, sizeof number);
        writer_varint(writer, number);
        break;
    default:
        memcpy(&text, field, sizeof text);
        writer_string(writer, text);
        break;
    }
}

// A property of this packet type that only the other side may send is a Protocol Error; one that does not
// belong to the type at all is a Malformed Packet. [v5 2.2.2.2]
static uint8_t not_allowed(const struct property_rule *rule, enum mqtt_context context)
{
    unsigned both_sides = 0;
    if (IN_PUBLISH >> context & 1)
        both_sides = IN_PUBLISH;
    else if (IN_DISCONNECT >> context & 1)
        both_sides = IN_DISCONNECT;
    return rule->contexts & both_sides ? MQTT_PROTOCOL_ERROR : MQTT_MALFORMED_PACKET;
}

static uint8_t property_decode(struct reader *reader, enum mqtt_context context,
                               struct mqtt_properties *properties)
{
    uint8_t id = 0;
    reader_u8(reader, &id);
    const struct property_rule *rule = property_rule(id);
    if (rule == NULL)
        return MQTT_MALFORMED_PACKET;
    if ((rule->contexts >> context & 1) == 0)
        return not_allowed(rule, context);
    bool repeated = mqtt_has(properties, id);
    if (repeated && (rule->repeatable >> context & 1) == 0)
        return MQTT_PROTOCOL_ERROR;
    struct value value = {0};
    if (!value_read(reader, rule->type, &value))
        return MQTT_MALFORMED_PACKET;
    uint8_t reason = value_check(rule, &value);
    if (reason != MQTT_SUCCESS)
        return reason;
    if (!repeated)
        value_store(properties, rule, &value);
    mqtt_set(properties, id);
    return MQTT_SUCCESS;
}

uint8_t mqtt_properties_decode(const uint8_t *data, size_t available, enum mqtt_context context,
                               struct mqtt_properties *properties, size_t *used)
{
    struct reader block = {data, available};
    uint32_t length = 0;
    properties->present = 0;
    if (!reader_varint(&block, &length) || length > block.left)
        return MQTT_MALFORMED_PACKET;
    *used = available - block.left + length;
    block.left = length;
    properties->raw = str_make(block.at, length);
    while (block.left > 0) {
        uint8_t reason = property_decode(&block, context, properties);
        if (reason != MQTT_SUCCESS)
            return reason;
    }
    // [v5 3.1.2.11.10]
    if (mqtt_has(properties, MQTT_AUTHENTICATION_DATA) && !mqtt_has(properties, MQTT_AUTHENTICATION_METHOD))
        return MQTT_PROTOCOL_ERROR;
    return MQTT_SUCCESS;
}

static void block_write(struct writer *writer, const struct mqtt_properties *properties)
{
    uint64_t left = properties->present & ~(1ULL << MQTT_USER_PROPERTY);
    for (; left != 0; left &= left - 1) {
        uint8_t id = (uint8_t)__builtin_ctzll(left);
        const struct property_rule *rule = property_rule(id);
        if (rule == NULL)
            continue;
        writer_u8(writer, id);
        value_write(writer, properties, rule);
    }
    struct str rest = properties->raw;
    struct str encoding;
    uint8_t id;
    while (mqtt_property_next(&rest, &id, &encoding))
        if (id == MQTT_USER_PROPERTY)
            writer_bytes(writer, encoding.data, encoding.length);
}

size_t mqtt_properties_encode(uint8_t *out, const struct mqtt_properties *properties)
{
    struct writer count = {0};
    block_write(&count, properties);
    if (count.failed || count.size > MQTT_REMAINING_LENGTH_MAX)
        return 0;
    if (out != NULL) {
        struct writer writer = {.out = mqtt_varint_write(out, (uint32_t)count.size)};
        block_write(&writer, properties);
    }
    return mqtt_varint_size((uint32_t)count.size) + count.size;
}

// Reads the property at the start of `*rest` and moves behind it; false at the end, or where nothing can be
// read.
static bool property_step(struct str *rest, uint8_t *id, struct value *value)
{
    struct reader reader = {(const uint8_t *)rest->data, rest->length};
    if (!reader_u8(&reader, id))
        return false;
    const struct property_rule *rule = property_rule(*id);
    if (rule == NULL || !value_read(&reader, rule->type, value))
        return false;
    *rest = str_make(reader.at, reader.left);
    return true;
}

bool mqtt_property_next(struct str *rest, uint8_t *id, struct str *encoding)
{
    struct value value;
    const char *start = rest->data;
    size_t before = rest->length;
    if (!property_step(rest, id, &value))
        return false;
    *encoding = str_make(start, before - rest->length);
    return true;
}

bool mqtt_user_property_next(struct str *rest, struct str *name, struct str *value)
{
    uint8_t id = 0;
    struct value pair;
    while (property_step(rest, &id, &pair)) {
        if (id == MQTT_USER_PROPERTY) {
            *name = pair.text;
            *value = pair.second;
            return true;
        }
    }
    return false;
}

size_t mqtt_properties_forwarded(uint8_t *out, struct str raw)
{
    size_t size = 0;
    struct str encoding;
    uint8_t id;
    while (mqtt_property_next(&raw, &id, &encoding)) {
        if (MQTT_FORWARDED >> id & 1) {
            memcpy(out + size, encoding.data, encoding.length);
            size += encoding.length;
        }
    }
    return size;
}
