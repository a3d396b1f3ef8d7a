// Reason codes of MQTT 5.0 and their names.
// Any thread; constants.
// Must not know which code a feature answers with.
#ifndef NOCTULE_MQTT_REASON_H
#define NOCTULE_MQTT_REASON_H

#include <stdbool.h>
#include <stdint.h>

/** [v5 2.4] */
enum mqtt_reason {
    MQTT_SUCCESS = 0x00,
    MQTT_GRANTED_QOS_1 = 0x01,
    MQTT_GRANTED_QOS_2 = 0x02,
    MQTT_DISCONNECT_WITH_WILL = 0x04,
    MQTT_NO_MATCHING_SUBSCRIBERS = 0x10,
    MQTT_NO_SUBSCRIPTION_EXISTED = 0x11,
    MQTT_CONTINUE_AUTHENTICATION = 0x18,
    MQTT_REAUTHENTICATE = 0x19,
    MQTT_UNSPECIFIED_ERROR = 0x80,
    MQTT_MALFORMED_PACKET = 0x81,
    MQTT_PROTOCOL_ERROR = 0x82,
    MQTT_IMPLEMENTATION_SPECIFIC_ERROR = 0x83,
    MQTT_UNSUPPORTED_PROTOCOL_VERSION = 0x84,
    MQTT_CLIENT_IDENTIFIER_NOT_VALID = 0x85,
    MQTT_BAD_USER_NAME_OR_PASSWORD = 0x86,
    MQTT_NOT_AUTHORIZED = 0x87,
    MQTT_SERVER_UNAVAILABLE = 0x88,
    MQTT_SERVER_BUSY = 0x89,
    MQTT_BANNED = 0x8A,
    MQTT_SERVER_SHUTTING_DOWN = 0x8B,
    MQTT_BAD_AUTHENTICATION_METHOD = 0x8C,
    MQTT_KEEP_ALIVE_TIMEOUT = 0x8D,
    MQTT_SESSION_TAKEN_OVER = 0x8E,
    MQTT_TOPIC_FILTER_INVALID = 0x8F,
    MQTT_TOPIC_NAME_INVALID = 0x90,
    MQTT_PACKET_IDENTIFIER_IN_USE = 0x91,
    MQTT_PACKET_IDENTIFIER_NOT_FOUND = 0x92,
    MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    MQTT_TOPIC_ALIAS_INVALID = 0x94,
    MQTT_PACKET_TOO_LARGE = 0x95,
    MQTT_MESSAGE_RATE_TOO_HIGH = 0x96,
    MQTT_QUOTA_EXCEEDED = 0x97,
    MQTT_ADMINISTRATIVE_ACTION = 0x98,
    MQTT_PAYLOAD_FORMAT_INVALID = 0x99,
    MQTT_RETAIN_NOT_SUPPORTED = 0x9A,
    MQTT_QOS_NOT_SUPPORTED = 0x9B,
    MQTT_USE_ANOTHER_SERVER = 0x9C,
    MQTT_SERVER_MOVED = 0x9D,
    MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E,
    MQTT_CONNECTION_RATE_EXCEEDED = 0x9F,
    MQTT_MAXIMUM_CONNECT_TIME = 0xA0,
    MQTT_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1,
    MQTT_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2,
};

/** The code's name for people, "unknown reason" for an undefined one. */
const char *mqtt_reason_name(uint8_t reason);

/** Whether the standard allows `reason` in a packet of `type` (enum mqtt_type). [v5 table 2-6] */
int mqtt_reason_allowed(uint8_t type, uint8_t reason);

/** The same for one direction: DISCONNECT and AUTH have codes that only a client, or only a server, sends. */
bool mqtt_reason_allowed_from(bool client, uint8_t type, uint8_t reason);

#endif
