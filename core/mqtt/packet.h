// The packets of MQTT 3.1, 3.1.1 and 5.0 as C structures, and the functions between them and bytes.
// Any thread; pure functions over bytes: no I/O, no allocation, no state.
// Must not know connections, sessions or plugins. Decoded strings point into the bytes they were decoded
// from.
#ifndef NOCTULE_MQTT_PACKET_H
#define NOCTULE_MQTT_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/str.h"
#include "core/mqtt/properties.h"
#include "core/mqtt/reason.h"

/** Protocol Level as it stands in CONNECT. */
enum mqtt_version { MQTT_V3_1 = 3, MQTT_V3_1_1 = 4, MQTT_V5 = 5 };

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH,
};

/** Largest Remaining Length (four bytes of variable byte integer). [v5 1.5.5] */
#define MQTT_REMAINING_LENGTH_MAX 268435455U

/** One packet's bytes behind its fixed header. */
struct mqtt_frame {
    uint8_t type;        ///< enum mqtt_type; 0 is refused by mqtt_frame_next
    uint8_t flags;       ///< lower four bits of the first byte
    const uint8_t *body; ///< `length` bytes
    uint32_t length;     ///< Remaining Length
    uint32_t size;       ///< of the whole packet, fixed header included
};

enum mqtt_frame_state {
    MQTT_FRAME_READY,
    MQTT_FRAME_INCOMPLETE, ///< more bytes are needed; `size` holds the packet's size once it is known, else 0
    MQTT_FRAME_MALFORMED,  ///< reserved type 0, reserved flag bits, QoS 3, DUP with QoS 0, a Remaining Length
                           ///< not in shortest form or too short for the type
    MQTT_FRAME_TOO_LARGE,  ///< the packet would exceed `limit` bytes; known as soon as its length is
};

/** What the fixed header of a packet type may say. [v5 2.1.2, 2.1.3] */
struct mqtt_type_rule {
    uint16_t flags;      ///< bit N: the flags N are valid; none for the reserved type 0
    uint16_t min_length; ///< least Remaining Length in any version
};

/** Indexed by enum mqtt_type. */
extern const struct mqtt_type_rule mqtt_type_rules[16];

/**
 * Reads a variable byte integer from `available` bytes at `data`. Returns the bytes it took (1 to 4), 0 when
 * it is not complete, -1 when it is longer than four bytes or not in its shortest form. [v5 1.5.5]
 */
static inline int mqtt_varint_read(const uint8_t *data, size_t available, uint32_t *value)
{
    uint32_t sum = 0;
    for (int i = 0; i < 4; i++) {
        if ((size_t)i == available)
            return 0;
        sum |= (uint32_t)(data[i] & 0x7F) << (7 * i);
        if (data[i] < 0x80) {
            *value = sum;
            return data[i] == 0 && i > 0 ? -1 : i + 1;
        }
    }
    return -1;
}

/**
 * Looks at the next packet in `available` bytes at `data`. Does not look past the fixed header of an
 * incomplete packet. `limit`: largest packet size accepted, fixed header included. `frame->type` and `flags`
 * are set in every state once one byte is there. [v5 2.1]
 *
 * 3.1 lets PUBREL, SUBSCRIBE and UNSUBSCRIBE carry DUP; which version speaks is not known here, so the
 * decoders refuse it for the others.
 */
static inline enum mqtt_frame_state mqtt_frame_next(const uint8_t *data, size_t available, uint32_t limit,
                                                    struct mqtt_frame *frame)
{
    frame->size = 0;
    if (available == 0)
        return MQTT_FRAME_INCOMPLETE;
    const struct mqtt_type_rule *rule = &mqtt_type_rules[data[0] >> 4];
    frame->type = data[0] >> 4;
    frame->flags = data[0] & 0x0F;
    if ((rule->flags >> frame->flags & 1) == 0)
        return MQTT_FRAME_MALFORMED;
    uint32_t length = 0;
    int taken = mqtt_varint_read(data + 1, available - 1, &length);
    if (taken <= 0)
        return taken == 0 ? MQTT_FRAME_INCOMPLETE : MQTT_FRAME_MALFORMED;
    if (length < rule->min_length)
        return MQTT_FRAME_MALFORMED;
    frame->body = data + 1 + taken;
    frame->length = length;
    frame->size = 1 + (uint32_t)taken + length;
    if (frame->size > limit)
        return MQTT_FRAME_TOO_LARGE;
    return available < frame->size ? MQTT_FRAME_INCOMPLETE : MQTT_FRAME_READY;
}

/** Reason codes of the decoders: MQTT_SUCCESS, or why the packet is wrong (0x81, 0x82, 0x84, 0x90, 0x94,
 * ...). */

struct mqtt_will {
    struct str topic;
    struct str payload;
    uint8_t qos;
    bool retain;
    struct mqtt_properties properties;
};

/** CONNECT [v5 3.1] */
struct mqtt_connect {
    uint8_t version; ///< enum mqtt_version
    bool clean_start;
    bool has_will;
    bool has_username;
    bool has_password;
    bool bridge;         ///< bit 0x80 of the level: a bridge's private mark (Mosquitto); treated as a client
    uint16_t keep_alive; ///< seconds; 0: none
    struct str client_id;
    struct str username;
    struct str password;
    struct mqtt_will will;
    struct mqtt_properties properties;
};

/** CONNACK [v5 3.2]; `reason` is given in 5.0's codes, the encoder maps it for 3.1 and 3.1.1. */
struct mqtt_connack {
    bool session_present;
    uint8_t reason;
    const struct mqtt_properties *properties; ///< may be NULL
};

/** PUBLISH [v5 3.3] */
struct mqtt_publish {
    bool dup;
    bool retain;
    uint8_t qos;
    uint16_t packet_id; ///< 0 with QoS 0
    struct str topic;   ///< empty with a topic alias (5.0)
    struct str payload;
    struct mqtt_properties properties;
};

/** PUBACK, PUBREC, PUBREL, PUBCOMP [v5 3.4 to 3.7] */
struct mqtt_ack {
    uint8_t type;
    uint16_t packet_id;
    uint8_t reason;
    struct mqtt_properties properties;
};

/** Subscription options as on the wire. [v5 3.8.3.1] */
enum {
    MQTT_OPTION_QOS = 0x03,
    MQTT_OPTION_NO_LOCAL = 0x04,
    MQTT_OPTION_RETAIN_AS_PUBLISHED = 0x08,
    MQTT_OPTION_RETAIN_HANDLING = 0x30,
};

/** SUBSCRIBE and UNSUBSCRIBE. The filters stay encoded in `filters`; walk them with mqtt_filter_next. */
struct mqtt_subscribe {
    uint16_t packet_id;
    struct str filters; ///< checked: every entry is complete, UTF-8, its options valid; at least one
    size_t count;
    struct mqtt_properties properties;
};

struct mqtt_filter {
    struct str filter;
    uint8_t options; ///< MQTT_OPTION_*; 0 in UNSUBSCRIBE
};

/** SUBACK and UNSUBACK (as decoded: for clients). */
struct mqtt_suback {
    uint16_t packet_id;
    const uint8_t *codes;
    size_t count;
    struct mqtt_properties properties;
};

/** DISCONNECT and AUTH [v5 3.14, 3.15] */
struct mqtt_disconnect {
    uint8_t reason;
    struct mqtt_properties properties;
};

/*
 * Decoders. `frame` comes from mqtt_frame_next. Each returns MQTT_SUCCESS or the reason code with which the
 * connection must be closed, and then leaves the result undefined. They check everything the standard lets a
 * receiver check in the packet alone: UTF-8, lengths, trailing bytes, reserved bits, property set and
 * repetition, values (Receive Maximum 0, Retain Handling 3, ...), packet identifier 0, reason codes allowed
 * for the type.
 */
/**
 * `connect->version` is set on errors too, for the form of the answer: the level asked for without its bridge
 * bit, which with MQTT_UNSUPPORTED_PROTOCOL_VERSION may be any number; 0 when the packet ends before its
 * level or the protocol's name is unknown. [v5 3.1.2.1, 3.1.2.2]
 */
uint8_t mqtt_decode_connect(const struct mqtt_frame *frame, struct mqtt_connect *connect);
/** `*reason` is in 5.0's codes for every version. */
uint8_t mqtt_decode_connack(const struct mqtt_frame *frame, uint8_t version, bool *session_present,
                            uint8_t *reason, struct mqtt_properties *properties);
/** A PUBLISH that a client sent. */
uint8_t mqtt_decode_publish(const struct mqtt_frame *frame, uint8_t version, struct mqtt_publish *publish);
/** A PUBLISH that a server sent: it may carry Subscription Identifiers. */
uint8_t mqtt_decode_publish_from_server(const struct mqtt_frame *frame, uint8_t version,
                                        struct mqtt_publish *publish);
uint8_t mqtt_decode_ack(const struct mqtt_frame *frame, uint8_t version, struct mqtt_ack *ack);
uint8_t mqtt_decode_subscribe(const struct mqtt_frame *frame, uint8_t version,
                              struct mqtt_subscribe *subscribe);
uint8_t mqtt_decode_unsubscribe(const struct mqtt_frame *frame, uint8_t version,
                                struct mqtt_subscribe *unsubscribe);
uint8_t mqtt_decode_suback(const struct mqtt_frame *frame, uint8_t version, struct mqtt_suback *suback);
/** PINGREQ and PINGRESP: nothing but the right flags and length. */
uint8_t mqtt_decode_ping(const struct mqtt_frame *frame);
/** `from_client`: a client may send Session Expiry Interval and not Server Reference, a server the other way
 * round. */
uint8_t mqtt_decode_disconnect(const struct mqtt_frame *frame, uint8_t version, bool from_client,
                               struct mqtt_disconnect *disconnect);
uint8_t mqtt_decode_auth(const struct mqtt_frame *frame, bool from_client, struct mqtt_disconnect *auth);

/** Next filter of a decoded SUBSCRIBE (`with_options`) or UNSUBSCRIBE; `*rest` starts as subscribe.filters.
 */
bool mqtt_filter_next(struct str *rest, bool with_options, struct mqtt_filter *filter);

/*
 * Encoders. Each returns the size of the whole packet, and writes it when `out` is not NULL (`out` then has
 * that room). So: ask with NULL, make room, ask again. Packets or properties that a version lacks are left
 * out. Each returns 0 and writes nothing for what has no encoding: a string longer than 65535 bytes, a
 * Remaining Length past its maximum, AUTH in 3.1 and 3.1.1, a CONNACK whose reason they have no return code
 * for.
 */
size_t mqtt_encode_connect(uint8_t *out, const struct mqtt_connect *connect);
size_t mqtt_encode_connack(uint8_t *out, uint8_t version, const struct mqtt_connack *connack);
size_t mqtt_encode_publish(uint8_t *out, uint8_t version, const struct mqtt_publish *publish);
/** With reason 0 and no properties the short form of two bytes. */
size_t mqtt_encode_ack(uint8_t *out, uint8_t version, const struct mqtt_ack *ack);
size_t mqtt_encode_subscribe(uint8_t *out, uint8_t version, uint16_t packet_id,
                             const struct mqtt_filter *filters, size_t count,
                             const struct mqtt_properties *properties);
size_t mqtt_encode_unsubscribe(uint8_t *out, uint8_t version, uint16_t packet_id,
                               const struct mqtt_filter *filters, size_t count,
                               const struct mqtt_properties *properties);
/**
 * `type` MQTT_SUBACK or MQTT_UNSUBACK. In 3.1 and 3.1.1 every failure becomes 0x80 and UNSUBACK has no codes.
 * (3.1 has no code for a failure; its clients read QoS 0 in 0x80's lower bits.)
 */
size_t mqtt_encode_suback(uint8_t *out, uint8_t version, uint8_t type, uint16_t packet_id,
                          const uint8_t *codes, size_t count, const struct mqtt_properties *properties);
/** `type` MQTT_PINGREQ or MQTT_PINGRESP; two bytes. */
size_t mqtt_encode_ping(uint8_t *out, uint8_t type);
/** `type` MQTT_DISCONNECT or MQTT_AUTH. In 3.1 and 3.1.1 a bare DISCONNECT. */
size_t mqtt_encode_disconnect(uint8_t *out, uint8_t version, uint8_t type,
                              const struct mqtt_disconnect *disconnect);

/** Bytes that `value` takes as a variable byte integer (1 to 4). */
static inline size_t mqtt_varint_size(uint32_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

/** Writes `value` (at most MQTT_REMAINING_LENGTH_MAX); returns the byte behind. */
static inline uint8_t *mqtt_varint_write(uint8_t *out, uint32_t value)
{
    while (value >= 128) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/** No return code of 3.1 and 3.1.1 fits: the connection is closed without a CONNACK. [v3.1.1 MQTT-3.2.2-6] */
#define MQTT_CONNACK_V3_NONE 0xFF

/** CONNACK return code of 3.1 and 3.1.1 (0 to 5) for a reason code of 5.0, or MQTT_CONNACK_V3_NONE. */
uint8_t mqtt_connack_code_v3(uint8_t reason);

#endif
