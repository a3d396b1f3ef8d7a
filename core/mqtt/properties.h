// The properties of MQTT 5.0, decoded into one structure.
// Any thread; pure functions over bytes.
// Must not know which broker feature uses a property.
#ifndef NOCTULE_MQTT_PROPERTIES_H
#define NOCTULE_MQTT_PROPERTIES_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/str.h"

/** Property identifiers. [v5 2.2.2.2] */
enum mqtt_property {
    MQTT_PAYLOAD_FORMAT_INDICATOR = 0x01,
    MQTT_MESSAGE_EXPIRY_INTERVAL = 0x02,
    MQTT_CONTENT_TYPE = 0x03,
    MQTT_RESPONSE_TOPIC = 0x08,
    MQTT_CORRELATION_DATA = 0x09,
    MQTT_SUBSCRIPTION_IDENTIFIER = 0x0B,
    MQTT_SESSION_EXPIRY_INTERVAL = 0x11,
    MQTT_ASSIGNED_CLIENT_IDENTIFIER = 0x12,
    MQTT_SERVER_KEEP_ALIVE = 0x13,
    MQTT_AUTHENTICATION_METHOD = 0x15,
    MQTT_AUTHENTICATION_DATA = 0x16,
    MQTT_REQUEST_PROBLEM_INFORMATION = 0x17,
    MQTT_WILL_DELAY_INTERVAL = 0x18,
    MQTT_REQUEST_RESPONSE_INFORMATION = 0x19,
    MQTT_RESPONSE_INFORMATION = 0x1A,
    MQTT_SERVER_REFERENCE = 0x1C,
    MQTT_REASON_STRING = 0x1F,
    MQTT_RECEIVE_MAXIMUM = 0x21,
    MQTT_TOPIC_ALIAS_MAXIMUM = 0x22,
    MQTT_TOPIC_ALIAS = 0x23,
    MQTT_MAXIMUM_QOS = 0x24,
    MQTT_RETAIN_AVAILABLE = 0x25,
    MQTT_USER_PROPERTY = 0x26,
    MQTT_MAXIMUM_PACKET_SIZE = 0x27,
    MQTT_WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28,
    MQTT_SUBSCRIPTION_IDENTIFIER_AVAILABLE = 0x29,
    MQTT_SHARED_SUBSCRIPTION_AVAILABLE = 0x2A,
};

/**
 * Which properties a packet has, and their values. Values of absent ones are undefined; `present` tells.
 * Repeatable ones (User Property, and Subscription Identifier in a PUBLISH to a client) stay in `raw`.
 */
struct mqtt_properties {
    uint64_t present; ///< bit N: property N
    struct str raw;   ///< the encoded block behind its length; when encoding, see mqtt_properties_encode
    uint32_t message_expiry_interval;
    uint32_t session_expiry_interval;
    uint32_t will_delay_interval;
    uint32_t maximum_packet_size;
    uint32_t subscription_identifier; ///< of SUBSCRIBE; the first one of a PUBLISH
    uint16_t receive_maximum;
    uint16_t topic_alias_maximum;
    uint16_t topic_alias;
    uint16_t server_keep_alive;
    uint8_t payload_format_indicator;
    uint8_t request_problem_information;
    uint8_t request_response_information;
    uint8_t maximum_qos;
    uint8_t retain_available;
    uint8_t wildcard_subscription_available;
    uint8_t subscription_identifier_available;
    uint8_t shared_subscription_available;
    struct str content_type;
    struct str response_topic;
    struct str correlation_data;
    struct str assigned_client_identifier;
    struct str authentication_method;
    struct str authentication_data;
    struct str response_information;
    struct str server_reference;
    struct str reason_string;
};

static inline bool mqtt_has(const struct mqtt_properties *properties, enum mqtt_property id)
{
    return properties->present >> id & 1;
}

static inline void mqtt_set(struct mqtt_properties *properties, enum mqtt_property id)
{
    properties->present |= 1ULL << id;
}

/** Where a property block stands: each context allows its own set. [v5 table 2-4] */
enum mqtt_context {
    MQTT_IN_CONNECT,
    MQTT_IN_WILL,
    MQTT_IN_CONNACK,
    MQTT_IN_PUBLISH_FROM_CLIENT, ///< no Subscription Identifier
    MQTT_IN_PUBLISH_FROM_SERVER,
    MQTT_IN_ACK, ///< PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK
    MQTT_IN_SUBSCRIBE,
    MQTT_IN_UNSUBSCRIBE,
    MQTT_IN_DISCONNECT_FROM_CLIENT,
    MQTT_IN_DISCONNECT_FROM_SERVER,
    MQTT_IN_AUTH,
};

/**
 * Decodes a block (its length included) at `data`, at most `available` bytes. Sets `*used` to the bytes it
 * took. Returns MQTT_SUCCESS, MQTT_MALFORMED_PACKET (an identifier unknown or not of this packet type
 * [v5 2.2.2.2], a value cut short or not UTF-8), MQTT_PROTOCOL_ERROR (repetition, a value out of range, a
 * property only the other side may send, Authentication Data without Method) or MQTT_TOPIC_ALIAS_INVALID
 * (alias 0). Only the fields of present properties are written, besides `present` and `raw`.
 */
uint8_t mqtt_properties_decode(const uint8_t *data, size_t available, enum mqtt_context context,
                               struct mqtt_properties *properties, size_t *used);

/**
 * Encodes a block with its length: every property in `present` except the repeatable ones, in identifier
 * order, then the User Properties found in `raw` (which may hold others; only 0x26 is taken). Returns its
 * size; writes when `out` is not NULL. With MQTT_SUBSCRIPTION_IDENTIFIER present, subscription_identifier is
 * written once. Returns 0 and writes nothing when a string is longer than 65535 bytes or the block than
 * MQTT_REMAINING_LENGTH_MAX.
 */
size_t mqtt_properties_encode(uint8_t *out, const struct mqtt_properties *properties);

/** Next User Property of an encoded, already checked block; `*rest` starts as properties.raw. [v5 1.5.7] */
bool mqtt_user_property_next(struct str *rest, struct str *name, struct str *value);

/** Next property of an encoded, checked block, whatever it is: its identifier, and its whole encoding
 * (identifier included). */
bool mqtt_property_next(struct str *rest, uint8_t *id, struct str *encoding);

/** The properties that travel with a message to its subscribers. [v5 3.3.2.3] */
#define MQTT_FORWARDED                                                                                       \
    (1ULL << MQTT_PAYLOAD_FORMAT_INDICATOR | 1ULL << MQTT_CONTENT_TYPE | 1ULL << MQTT_RESPONSE_TOPIC |       \
     1ULL << MQTT_CORRELATION_DATA | 1ULL << MQTT_USER_PROPERTY)

/**
 * Copies the encodings of the forwarded properties of a checked block to `out` (room for raw.length), in
 * their order. Returns the bytes written. Message Expiry, Topic Alias, Will Delay and Subscription
 * Identifiers are left out.
 */
size_t mqtt_properties_forwarded(uint8_t *out, struct str raw);

#endif
