#include "core/mqtt/packet.h"

#define FLAGS(value) (1U << (value))

// PUBLISH has QoS 0 to 2 in bits 1 and 2, RETAIN in bit 0, and DUP in bit 3 with QoS 1 and 2 only.
#define FLAGS_PUBLISH (FLAGS(0) | FLAGS(1) | FLAGS(2) | FLAGS(3) | FLAGS(4) | FLAGS(5) | 0x0FU << 10)
// 0010 everywhere; 1010 is 3.1's DUP.
#define FLAGS_QOS_1 (FLAGS(2) | FLAGS(10))

const struct mqtt_type_rule mqtt_type_rules[16] = {
    [MQTT_CONNECT] = {FLAGS(0), 12},     [MQTT_CONNACK] = {FLAGS(0), 2},
    [MQTT_PUBLISH] = {FLAGS_PUBLISH, 2}, [MQTT_PUBACK] = {FLAGS(0), 2},
    [MQTT_PUBREC] = {FLAGS(0), 2},       [MQTT_PUBREL] = {FLAGS_QOS_1, 2},
    [MQTT_PUBCOMP] = {FLAGS(0), 2},      [MQTT_SUBSCRIBE] = {FLAGS_QOS_1, 2},
    [MQTT_SUBACK] = {FLAGS(0), 2},       [MQTT_UNSUBSCRIBE] = {FLAGS_QOS_1, 2},
    [MQTT_UNSUBACK] = {FLAGS(0), 2},     [MQTT_PINGREQ] = {FLAGS(0), 0},
    [MQTT_PINGRESP] = {FLAGS(0), 0},     [MQTT_DISCONNECT] = {FLAGS(0), 0},
    [MQTT_AUTH] = {FLAGS(0), 0},
};
