// PUBLISH to a client: written straight into its output, in one piece unless the payload is large. [v5 3.3]
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/broker/state.h"
#include "core/broker/trace.h"

enum { COPY_AT_MOST = 16 * 1024, CLOCKS_APART_MS = 50 };

/** What the packet will consist of besides topic and payload. */
struct shape {
    struct str topic; ///< empty: the alias stands for it
    uint16_t alias;   ///< 0: none
    bool expires;
    uint32_t expiry_s;
    uint32_t properties; ///< bytes, without their length
    uint32_t remaining;  ///< Remaining Length
};

static uint16_t alias_for(struct connection *connection, struct str topic, bool *known)
{
    struct aliases_out *aliases = connection->rare ? connection->rare->aliases_out : NULL;
    *known = false;
    if (!aliases) {
        aliases = memory_try(sizeof *aliases + connection->topic_alias_maximum * sizeof(struct str));
        if (!aliases)
            return 0;
        aliases->by_topic = (struct map){0};
        aliases->used = 0;
        connection_rare(connection)->aliases_out = aliases;
    }
    uintptr_t alias = (uintptr_t)map_get(&aliases->by_topic, topic);
    if (alias) {
        *known = true;
        return (uint16_t)alias;
    }
    if (aliases->used == connection->topic_alias_maximum)
        return 0;
    struct str copy = str_copy(topic);
    aliases->topics[aliases->used++] = copy;
    map_put(&aliases->by_topic, copy, (void *)(uintptr_t)aliases->used);
    return aliases->used;
}

void aliases_free(struct connection *connection)
{
    struct connection_rare *rare = connection->rare;
    if (!rare)
        return;
    if (rare->aliases_in) {
        for (uint16_t i = 0; i < rare->aliases_in->maximum; i++)
            free((char *)(uintptr_t)rare->aliases_in->topics[i].data);
        free(rare->aliases_in);
    }
    if (rare->aliases_out) {
        for (uint16_t i = 0; i < rare->aliases_out->used; i++)
            free((char *)(uintptr_t)rare->aliases_out->topics[i].data);
        map_clear(&rare->aliases_out->by_topic);
        free(rare->aliases_out);
    }
    rare->aliases_in = NULL;
    rare->aliases_out = NULL;
}

static uint32_t property_bytes(const struct delivery *delivery, const struct shape *shape)
{
    uint32_t bytes = (uint32_t)delivery->message->properties.length;
    if (shape->alias)
        bytes += 3;
    if (shape->expires)
        bytes += 5;
    for (uint16_t i = 0; i < delivery->identifiers; i++)
        bytes += 1 + (uint32_t)mqtt_varint_size(delivery_identifier(delivery, i));
    return bytes;
}

static uint64_t size_of(struct shape *shape, const struct delivery *delivery, uint16_t packet_id, bool v5)
{
    uint64_t remaining = 2 + shape->topic.length + (packet_id ? 2 : 0) + delivery->message->payload.length;
    if (v5) {
        shape->properties = property_bytes(delivery, shape);
        remaining += mqtt_varint_size(shape->properties) + shape->properties;
    }
    shape->remaining =
        remaining > MQTT_REMAINING_LENGTH_MAX ? MQTT_REMAINING_LENGTH_MAX : (uint32_t)remaining;
    return 1 + mqtt_varint_size(shape->remaining) + remaining;
}

static uint64_t shape_v5(struct connection *connection, struct shape *shape, const struct delivery *delivery,
                         uint16_t packet_id)
{
    const struct message *message = delivery->message;
    if (message->expires_ms) {
        uint64_t now = connection->stream.worker->now_ms;
        // Rounded up, as a message that is sent has some life left; but not by the moment that this worker's
        // clock may lag behind the publisher's: never more is sent than was received. [v5 3.3.2-6]
        uint64_t left = message->expires_ms > now ? message->expires_ms - now : 0;
        shape->expires = true;
        shape->expiry_s =
            left > CLOCKS_APART_MS ? (uint32_t)((left - CLOCKS_APART_MS + 999) / 1000) : left > 0;
    }
    uint64_t size = size_of(shape, delivery, packet_id, true);
    // An alias is defined only by a packet that is really sent. It takes three bytes, and may make the length
    // of the properties, or that of the packet, a byte longer.
    if (connection->topic_alias_maximum && size + 5 <= connection->maximum_packet_size) {
        bool known;
        shape->alias = alias_for(connection, message->topic, &known);
        if (known)
            shape->topic = (struct str){0};
        size = size_of(shape, delivery, packet_id, true);
    }
    return size;
}

static uint8_t *put_u16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return out + 2;
}

static uint8_t *put_bytes(uint8_t *out, struct str bytes)
{
    if (bytes.length > 0)
        memcpy(out, bytes.data, bytes.length);
    return out + bytes.length;
}

static uint8_t *put_properties(uint8_t *out, const struct shape *shape, const struct delivery *delivery)
{
    out = mqtt_varint_write(out, shape->properties);
    if (shape->alias) {
        *out++ = MQTT_TOPIC_ALIAS;
        out = put_u16(out, shape->alias);
    }
    if (shape->expires) {
        *out++ = MQTT_MESSAGE_EXPIRY_INTERVAL;
        out = put_u16(out, (uint16_t)(shape->expiry_s >> 16));
        out = put_u16(out, (uint16_t)shape->expiry_s);
    }
    for (uint16_t i = 0; i < delivery->identifiers; i++) {
        *out++ = MQTT_SUBSCRIPTION_IDENTIFIER;
        out = mqtt_varint_write(out, delivery_identifier(delivery, i));
    }
    return put_bytes(out, delivery->message->properties);
}

static void release_message(void *message)
{
    message_unref(message);
}

// The packet goes on the wire without its payload being copied for every subscriber.
static bool append_large(struct connection *connection, struct message *message)
{
    struct message *kept = message_keep(message);
    struct stream_block block = {.data = kept ? kept->payload.data : NULL,
                                 .length = message->payload.length,
                                 .release = release_message,
                                 .owner = kept};
    return kept && stream_write_block(&connection->stream, block);
}

enum transmit_result transmit_publish(struct connection *connection, const struct delivery *delivery,
                                      uint16_t packet_id, bool dup)
{
    struct message *message = delivery->message;
    bool v5 = connection->version == MQTT_V5;
    struct shape shape = {.topic = message->topic};
    uint64_t size =
        v5 ? shape_v5(connection, &shape, delivery, packet_id) : size_of(&shape, delivery, packet_id, false);
    if (size > connection->maximum_packet_size)
        return TRANSMIT_TOO_LARGE;
    bool large = message->payload.length > COPY_AT_MOST;
    uint8_t *start = stream_reserve(&connection->stream, size - (large ? message->payload.length : 0));
    if (!start) {
        stream_abort(&connection->stream);
        return TRANSMIT_FAILED;
    }
    uint8_t *out = start;
    *out++ = (uint8_t)(MQTT_PUBLISH << 4 | (dup ? 8 : 0) | delivery->qos << 1 | delivery->retain);
    out = mqtt_varint_write(out, shape.remaining);
    out = put_u16(out, (uint16_t)shape.topic.length);
    out = put_bytes(out, shape.topic);
    if (packet_id)
        out = put_u16(out, packet_id);
    if (v5)
        out = put_properties(out, &shape, delivery);
    if (!large)
        out = put_bytes(out, message->payload);
    stream_commit(&connection->stream, (size_t)(out - start));
    if (trace_on(connection))
        trace_sent_publish(connection, delivery, packet_id, dup);
    struct counters *counters = connection_worker(connection)->counters;
    counter_add(counters, COUNTER_SENT + MQTT_PUBLISH, 1);
    counter_add(counters, COUNTER_PUBLISH_SENT_BYTES, message->payload.length);
    if (large && !append_large(connection, message)) {
        stream_abort(&connection->stream);
        return TRANSMIT_FAILED;
    }
    return TRANSMITTED;
}
