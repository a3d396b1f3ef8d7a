#include "core/mqtt/packet.h"

#include "core/mqtt/wire.h"

// Each packet's body is described once, by a function that runs twice: over a counting writer for the
// Remaining Length, then over the caller's bytes.
typedef void body_fn(struct writer *writer, uint8_t version, const void *packet);

static uint8_t first_byte(uint8_t type)
{
    return (uint8_t)(type << 4 | __builtin_ctz(mqtt_type_rules[type].flags));
}

static size_t packet_write(uint8_t *out, uint8_t first, body_fn *body_write, uint8_t version,
                           const void *packet)
{
    struct writer count = {0};
    body_write(&count, version, packet);
    if (count.failed || count.size > MQTT_REMAINING_LENGTH_MAX)
        return 0;
    if (out != NULL) {
        out[0] = first;
        struct writer writer = {.out = mqtt_varint_write(out + 1, (uint32_t)count.size)};
        body_write(&writer, version, packet);
    }
    return 1 + mqtt_varint_size((uint32_t)count.size) + count.size;
}

// `properties` may be NULL: none.
static void properties_write(struct writer *writer, uint8_t version, const struct mqtt_properties *properties)
{
    if (version < MQTT_V5)
        return;
    if (properties == NULL) {
        writer_u8(writer, 0);
        return;
    }
    size_t size = mqtt_properties_encode(writer->out ? writer->out + writer->size : NULL, properties);
    writer->failed |= size == 0;
    writer->size += size;
}

static bool properties_are_empty(const struct mqtt_properties *properties)
{
    return (properties->present | properties->raw.length) == 0 ||
           mqtt_properties_encode(NULL, properties) == 1;
}

static uint8_t connect_flags(const struct mqtt_connect *connect, bool has_password)
{
    unsigned flags = (unsigned)connect->clean_start << 1 | (unsigned)has_password << 6 |
                     (unsigned)connect->has_username << 7;
    if (connect->has_will)
        flags |= 1U << 2 | (unsigned)connect->will.qos << 3 | (unsigned)connect->will.retain << 5;
    return (uint8_t)flags;
}

static void connect_body(struct writer *writer, uint8_t version, const void *packet)
{
    const struct mqtt_connect *connect = packet;
    bool has_password = connect->has_password && (connect->has_username || version == MQTT_V5);
    writer_string(writer, mqtt_protocol_name(version));
    writer_u8(writer, (uint8_t)(version | (connect->bridge && version < MQTT_V5 ? 0x80 : 0)));
    writer_u8(writer, connect_flags(connect, has_password));
    writer_u16(writer, connect->keep_alive);
    properties_write(writer, version, &connect->properties);
    writer_string(writer, connect->client_id);
    if (connect->has_will) {
        properties_write(writer, version, &connect->will.properties);
        writer_string(writer, connect->will.topic);
        writer_string(writer, connect->will.payload);
    }
    if (connect->has_username)
        writer_string(writer, connect->username);
    if (has_password)
        writer_string(writer, connect->password);
}

size_t mqtt_encode_connect(uint8_t *out, const struct mqtt_connect *connect)
{
    return packet_write(out, first_byte(MQTT_CONNECT), connect_body, connect->version, connect);
}

static void connack_body(struct writer *writer, uint8_t version, const void *packet)
{
    const struct mqtt_connack *connack = packet;
    uint8_t code = version < MQTT_V5 ? mqtt_connack_code_v3(connack->reason) : connack->reason;
    writer->failed |= version < MQTT_V5 && code == MQTT_CONNACK_V3_NONE;
    // 3.1 does not know Session Present; elsewhere only a success has it. [v5 MQTT-3.2.2-6]
    writer_u8(writer, connack->session_present && code == 0 && version != MQTT_V3_1);
    writer_u8(writer, code);
    properties_write(writer, version, connack->properties);
}

size_t mqtt_encode_connack(uint8_t *out, uint8_t version, const struct mqtt_connack *connack)
{
    return packet_write(out, first_byte(MQTT_CONNACK), connack_body, version, connack);
}

static void publish_body(struct writer *writer, uint8_t version, const void *packet)
{
    const struct mqtt_publish *publish = packet;
    writer_string(writer, publish->topic);
    if (publish->qos > 0)
        writer_u16(writer, publish->packet_id);
    properties_write(writer, version, &publish->properties);
    writer_bytes(writer, publish->payload.data, publish->payload.length);
}

size_t mqtt_encode_publish(uint8_t *out, uint8_t version, const struct mqtt_publish *publish)
{
    unsigned flags = (unsigned)publish->qos << 1 | publish->retain;
    if (publish->dup && publish->qos > 0)
        flags |= 0x08;
    return packet_write(out, (uint8_t)(MQTT_PUBLISH << 4 | flags), publish_body, version, publish);
}

static void ack_body(struct writer *writer, uint8_t version, const void *packet)
{
    const struct mqtt_ack *ack = packet;
    writer_u16(writer, ack->packet_id);
    writer_u8(writer, ack->reason);
    if (!properties_are_empty(&ack->properties))
        properties_write(writer, version, &ack->properties);
}

size_t mqtt_encode_ack(uint8_t *out, uint8_t version, const struct mqtt_ack *ack)
{
    if (version == MQTT_V5 && (ack->reason != MQTT_SUCCESS || !properties_are_empty(&ack->properties)))
        return packet_write(out, first_byte(ack->type), ack_body, version, ack);
    if (out != NULL) {
        out[0] = first_byte(ack->type);
        out[1] = 2;
        out[2] = (uint8_t)(ack->packet_id >> 8);
        out[3] = (uint8_t)ack->packet_id;
    }
    return 4;
}

struct filter_packet {
    const struct mqtt_filter *filters;
    size_t count;
    const struct mqtt_properties *properties;
    uint16_t packet_id;
    bool with_options;
};

static void filter_packet_body(struct writer *writer, uint8_t version, const void *packet)
{
    const struct filter_packet *filters = packet;
    const unsigned options = version < MQTT_V5 ? MQTT_OPTION_QOS : 0xFF;
    writer_u16(writer, filters->packet_id);
    properties_write(writer, version, filters->properties);
    for (size_t i = 0; i < filters->count; i++) {
        writer_string(writer, filters->filters[i].filter);
        if (filters->with_options)
            writer_u8(writer, (uint8_t)(filters->filters[i].options & options));
    }
}

size_t mqtt_encode_subscribe(uint8_t *out, uint8_t version, uint16_t packet_id,
                             const struct mqtt_filter *filters, size_t count,
                             const struct mqtt_properties *properties)
{
    const struct filter_packet packet = {filters, count, properties, packet_id, true};
    return packet_write(out, first_byte(MQTT_SUBSCRIBE), filter_packet_body, version, &packet);
}

size_t mqtt_encode_unsubscribe(uint8_t *out, uint8_t version, uint16_t packet_id,
                               const struct mqtt_filter *filters, size_t count,
                               const struct mqtt_properties *properties)
{
    const struct filter_packet packet = {filters, count, properties, packet_id, false};
    return packet_write(out, first_byte(MQTT_UNSUBSCRIBE), filter_packet_body, version, &packet);
}

struct code_packet {
    const uint8_t *codes;
    size_t count;
    const struct mqtt_properties *properties;
    uint16_t packet_id;
    uint8_t type;
};

static void code_packet_body(struct writer *writer, uint8_t version, const void *packet)
{
    const struct code_packet *suback = packet;
    writer_u16(writer, suback->packet_id);
    properties_write(writer, version, suback->properties);
    if (version == MQTT_V5) {
        writer_bytes(writer, suback->codes, suback->count);
    } else if (suback->type == MQTT_SUBACK) {
        for (size_t i = 0; i < suback->count; i++)
            writer_u8(writer, suback->codes[i] < 0x80 ? suback->codes[i] : MQTT_UNSPECIFIED_ERROR);
    }
}

size_t mqtt_encode_suback(uint8_t *out, uint8_t version, uint8_t type, uint16_t packet_id,
                          const uint8_t *codes, size_t count, const struct mqtt_properties *properties)
{
    const struct code_packet packet = {codes, count, properties, packet_id, type};
    return packet_write(out, first_byte(type), code_packet_body, version, &packet);
}

size_t mqtt_encode_ping(uint8_t *out, uint8_t type)
{
    if (out != NULL) {
        out[0] = first_byte(type);
        out[1] = 0;
    }
    return 2;
}

static void disconnect_body(struct writer *writer, uint8_t version, const void *packet)
{
    const struct mqtt_disconnect *disconnect = packet;
    bool is_empty = properties_are_empty(&disconnect->properties);
    if (version < MQTT_V5 || (is_empty && disconnect->reason == MQTT_SUCCESS))
        return;
    writer_u8(writer, disconnect->reason);
    if (!is_empty)
        properties_write(writer, version, &disconnect->properties);
}

// AUTH leaves out reason and properties together or not at all. [v5 3.15.2]
static void auth_body(struct writer *writer, uint8_t version, const void *packet)
{
    const struct mqtt_disconnect *auth = packet;
    if (auth->reason == MQTT_SUCCESS && properties_are_empty(&auth->properties))
        return;
    writer_u8(writer, auth->reason);
    properties_write(writer, version, &auth->properties);
}

size_t mqtt_encode_disconnect(uint8_t *out, uint8_t version, uint8_t type,
                              const struct mqtt_disconnect *disconnect)
{
    if (type == MQTT_AUTH && version < MQTT_V5)
        return 0;
    return packet_write(out, first_byte(type), type == MQTT_AUTH ? auth_body : disconnect_body, version,
                        disconnect);
}
