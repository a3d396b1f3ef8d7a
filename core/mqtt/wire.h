// Reading and writing the data types of the wire. Internal to core/mqtt.
// Any thread; pure functions over bytes.
// Must not know packets.
#ifndef NOCTULE_MQTT_WIRE_H
#define NOCTULE_MQTT_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/base/str.h"
#include "core/mqtt/packet.h"

/** Bytes still to be read. Every reader_* returns false, and reads nothing, when they do not hold the value.
 */
struct reader {
    const uint8_t *at;
    size_t left;
};

static inline void reader_skip(struct reader *reader, size_t count)
{
    reader->at += count;
    reader->left -= count;
}

static inline bool reader_u8(struct reader *reader, uint8_t *value)
{
    if (reader->left < 1)
        return false;
    *value = reader->at[0];
    reader_skip(reader, 1);
    return true;
}

static inline bool reader_u16(struct reader *reader, uint16_t *value)
{
    if (reader->left < 2)
        return false;
    *value = (uint16_t)(reader->at[0] << 8 | reader->at[1]);
    reader_skip(reader, 2);
    return true;
}

static inline bool reader_u32(struct reader *reader, uint32_t *value)
{
    if (reader->left < 4)
        return false;
    const uint8_t *at = reader->at;
    *value = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    reader_skip(reader, 4);
    return true;
}

static inline bool reader_varint(struct reader *reader, uint32_t *value)
{
    int taken = mqtt_varint_read(reader->at, reader->left, value);
    if (taken <= 0)
        return false;
    reader_skip(reader, (size_t)taken);
    return true;
}

/** Binary data, or a string whose bytes are checked later. [v5 1.5.6] */
static inline bool reader_binary(struct reader *reader, struct str *value)
{
    if (reader->left < 2)
        return false;
    size_t length = (size_t)(reader->at[0] << 8 | reader->at[1]);
    if (reader->left - 2 < length)
        return false;
    *value = str_make(reader->at + 2, length);
    reader_skip(reader, 2 + length);
    return true;
}

/** A UTF-8 encoded string. [v5 1.5.4] */
static inline bool reader_utf8(struct reader *reader, struct str *value)
{
    return reader_binary(reader, value) && str_is_utf8(*value);
}

/** Counts what is written; writes it too unless `out` is NULL. */
struct writer {
    uint8_t *out;
    size_t size;
    bool failed; ///< something had no encoding; the rest is meaningless
};

static inline void writer_u8(struct writer *writer, uint8_t value)
{
    if (writer->out != NULL)
        writer->out[writer->size] = value;
    writer->size += 1;
}

static inline void writer_u16(struct writer *writer, uint16_t value)
{
    writer_u8(writer, (uint8_t)(value >> 8));
    writer_u8(writer, (uint8_t)value);
}

static inline void writer_u32(struct writer *writer, uint32_t value)
{
    writer_u16(writer, (uint16_t)(value >> 16));
    writer_u16(writer, (uint16_t)value);
}

static inline void writer_varint(struct writer *writer, uint32_t value)
{
    if (writer->out != NULL)
        mqtt_varint_write(writer->out + writer->size, value);
    writer->size += mqtt_varint_size(value);
}

static inline void writer_bytes(struct writer *writer, const void *bytes, size_t count)
{
    if (writer->out != NULL && count > 0)
        memcpy(writer->out + writer->size, bytes, count);
    writer->size += count;
}

/** A string or binary data with its length. */
static inline void writer_string(struct writer *writer, struct str value)
{
    if (value.length > UINT16_MAX) {
        writer->failed = true;
        return;
    }
    writer_u16(writer, (uint16_t)value.length);
    writer_bytes(writer, value.data, value.length);
}

/** The protocol's name in a CONNECT of `version`; empty for a version that does not exist. [v5 3.1.2.1] */
static inline struct str mqtt_protocol_name(uint8_t version)
{
    switch (version) {
    case MQTT_V3_1:
        return STR("MQIsdp");
    case MQTT_V3_1_1:
    case MQTT_V5:
        return STR("MQTT");
    default:
        return STR("");
    }
}

#endif
