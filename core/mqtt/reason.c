#include "core/mqtt/reason.h"

#include <stddef.h>

#include "core/mqtt/packet.h"

#define IN(type) (1U << MQTT_##type)

#define IN_PUBLISH_ACKS (IN(PUBACK) | IN(PUBREC))
#define IN_RELEASE      (IN(PUBREL) | IN(PUBCOMP))
#define IN_ANSWERS      (IN(CONNACK) | IN_PUBLISH_ACKS | IN(SUBACK) | IN(UNSUBACK))
#define IN_ANY_ACK      (IN_ANSWERS | IN_RELEASE)
#define IN_CONNECTION   (IN(CONNACK) | IN(DISCONNECT))
// What clients never send at all.
#define ONLY_SERVER (IN(CONNACK) | IN(SUBACK) | IN(UNSUBACK))

enum { V3_VERSION = 1, V3_CLIENT_ID, V3_UNAVAILABLE, V3_CREDENTIALS, V3_DENIED };

// [v5 table 2-6], and who sends DISCONNECT and AUTH with a code [v5 3.14.2.1, 3.15.2.1].
struct reason_rule {
    const char *name;
    uint16_t packets;     // bit N: stands in packets of type N
    uint16_t only_server; // of these, what a client must not send, besides ONLY_SERVER
    uint16_t only_client;
    uint8_t connack_v3; // 0: none fits
};

static const struct reason_rule reason_rules[] = {
    [MQTT_SUCCESS] = {"success", IN_ANY_ACK | IN(DISCONNECT) | IN(AUTH), .only_server = IN(AUTH)},
    [MQTT_GRANTED_QOS_1] = {"granted QoS 1", IN(SUBACK)},
    [MQTT_GRANTED_QOS_2] = {"granted QoS 2", IN(SUBACK)},
    [MQTT_DISCONNECT_WITH_WILL] = {"disconnect with will", IN(DISCONNECT), .only_client = IN(DISCONNECT)},
    [MQTT_NO_MATCHING_SUBSCRIBERS] = {"no matching subscribers", IN_PUBLISH_ACKS},
    [MQTT_NO_SUBSCRIPTION_EXISTED] = {"no subscription existed", IN(UNSUBACK)},
    [MQTT_CONTINUE_AUTHENTICATION] = {"continue authentication", IN(AUTH)},
    [MQTT_REAUTHENTICATE] = {"re-authenticate", IN(AUTH), .only_client = IN(AUTH)},
    [MQTT_UNSPECIFIED_ERROR] = {"unspecified error", IN_ANSWERS | IN(DISCONNECT),
                                .connack_v3 = V3_UNAVAILABLE},
    [MQTT_MALFORMED_PACKET] = {"malformed packet", IN_CONNECTION},
    [MQTT_PROTOCOL_ERROR] = {"protocol error", IN_CONNECTION},
    [MQTT_IMPLEMENTATION_SPECIFIC_ERROR] = {"implementation specific error", IN_ANSWERS | IN(DISCONNECT),
                                            .connack_v3 = V3_UNAVAILABLE},
    [MQTT_UNSUPPORTED_PROTOCOL_VERSION] = {"unsupported protocol version", IN(CONNACK),
                                           .connack_v3 = V3_VERSION},
    [MQTT_CLIENT_IDENTIFIER_NOT_VALID] = {"client identifier not valid", IN(CONNACK),
                                          .connack_v3 = V3_CLIENT_ID},
    [MQTT_BAD_USER_NAME_OR_PASSWORD] = {"bad user name or password", IN(CONNACK),
                                        .connack_v3 = V3_CREDENTIALS},
    [MQTT_NOT_AUTHORIZED] = {"not authorized", IN_ANSWERS | IN(DISCONNECT), .only_server = IN(DISCONNECT),
                             .connack_v3 = V3_DENIED},
    [MQTT_SERVER_UNAVAILABLE] = {"server unavailable", IN(CONNACK), .connack_v3 = V3_UNAVAILABLE},
    [MQTT_SERVER_BUSY] = {"server busy", IN_CONNECTION, .only_server = IN(DISCONNECT),
                          .connack_v3 = V3_UNAVAILABLE},
    [MQTT_BANNED] = {"banned", IN(CONNACK), .connack_v3 = V3_DENIED},
    [MQTT_SERVER_SHUTTING_DOWN] = {"server shutting down", IN(DISCONNECT), .only_server = IN(DISCONNECT),
                                   .connack_v3 = V3_UNAVAILABLE},
    [MQTT_BAD_AUTHENTICATION_METHOD] = {"bad authentication method", IN_CONNECTION, .connack_v3 = V3_DENIED},
    [MQTT_KEEP_ALIVE_TIMEOUT] = {"keep alive timeout", IN(DISCONNECT), .only_server = IN(DISCONNECT)},
    [MQTT_SESSION_TAKEN_OVER] = {"session taken over", IN(DISCONNECT), .only_server = IN(DISCONNECT)},
    [MQTT_TOPIC_FILTER_INVALID] = {"topic filter invalid", IN(SUBACK) | IN(UNSUBACK) | IN(DISCONNECT),
                                   .only_server = IN(DISCONNECT)},
    [MQTT_TOPIC_NAME_INVALID] = {"topic name invalid", IN_CONNECTION | IN_PUBLISH_ACKS},
    [MQTT_PACKET_IDENTIFIER_IN_USE] = {"packet identifier in use",
                                       IN_PUBLISH_ACKS | IN(SUBACK) | IN(UNSUBACK)},
    [MQTT_PACKET_IDENTIFIER_NOT_FOUND] = {"packet identifier not found", IN_RELEASE},
    [MQTT_RECEIVE_MAXIMUM_EXCEEDED] = {"receive maximum exceeded", IN(DISCONNECT)},
    [MQTT_TOPIC_ALIAS_INVALID] = {"topic alias invalid", IN(DISCONNECT)},
    [MQTT_PACKET_TOO_LARGE] = {"packet too large", IN_CONNECTION},
    [MQTT_MESSAGE_RATE_TOO_HIGH] = {"message rate too high", IN(DISCONNECT)},
    [MQTT_QUOTA_EXCEEDED] = {"quota exceeded", IN_CONNECTION | IN_PUBLISH_ACKS | IN(SUBACK),
                             .connack_v3 = V3_UNAVAILABLE},
    [MQTT_ADMINISTRATIVE_ACTION] = {"administrative action", IN(DISCONNECT)},
    [MQTT_PAYLOAD_FORMAT_INVALID] = {"payload format invalid", IN_CONNECTION | IN_PUBLISH_ACKS},
    [MQTT_RETAIN_NOT_SUPPORTED] = {"retain not supported", IN_CONNECTION, .only_server = IN(DISCONNECT)},
    [MQTT_QOS_NOT_SUPPORTED] = {"QoS not supported", IN_CONNECTION, .only_server = IN(DISCONNECT)},
    [MQTT_USE_ANOTHER_SERVER] = {"use another server", IN_CONNECTION, .only_server = IN(DISCONNECT),
                                 .connack_v3 = V3_UNAVAILABLE},
    [MQTT_SERVER_MOVED] = {"server moved", IN_CONNECTION, .only_server = IN(DISCONNECT),
                           .connack_v3 = V3_UNAVAILABLE},
    [MQTT_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED] = {"shared subscriptions not supported",
                                                 IN(SUBACK) | IN(DISCONNECT), .only_server = IN(DISCONNECT)},
    [MQTT_CONNECTION_RATE_EXCEEDED] = {"connection rate exceeded", IN_CONNECTION,
                                       .only_server = IN(DISCONNECT), .connack_v3 = V3_UNAVAILABLE},
    [MQTT_MAXIMUM_CONNECT_TIME] = {"maximum connect time", IN(DISCONNECT), .only_server = IN(DISCONNECT)},
    [MQTT_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED] = {"subscription identifiers not supported",
                                                     IN(SUBACK) | IN(DISCONNECT),
                                                     .only_server = IN(DISCONNECT)},
    [MQTT_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED] = {"wildcard subscriptions not supported",
                                                   IN(SUBACK) | IN(DISCONNECT),
                                                   .only_server = IN(DISCONNECT)},
};

static const struct reason_rule *reason_rule(uint8_t reason)
{
    static const struct reason_rule unknown = {"unknown reason", 0};
    if (reason >= sizeof reason_rules / sizeof *reason_rules || reason_rules[reason].name == NULL)
        return &unknown;
    return &reason_rules[reason];
}

const char *mqtt_reason_name(uint8_t reason)
{
    return reason_rule(reason)->name;
}

int mqtt_reason_allowed(uint8_t type, uint8_t reason)
{
    return type < 16 && (reason_rule(reason)->packets >> type & 1);
}

bool mqtt_reason_allowed_from(bool client, uint8_t type, uint8_t reason)
{
    const struct reason_rule *rule = reason_rule(reason);
    unsigned excluded = client ? rule->only_server | ONLY_SERVER : rule->only_client;
    return mqtt_reason_allowed(type, reason) && !(excluded >> type & 1);
}

uint8_t mqtt_connack_code_v3(uint8_t reason)
{
    uint8_t code = reason_rule(reason)->connack_v3;
    return code == 0 && reason != MQTT_SUCCESS ? MQTT_CONNACK_V3_NONE : code;
}
