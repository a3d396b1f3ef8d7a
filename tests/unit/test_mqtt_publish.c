#include "mqtt_support.h"

static uint8_t publish_decode(uint8_t first, uint8_t version, const char *body, struct mqtt_publish *publish)
{
    struct mqtt_frame frame = support_frame(first, body);
    return mqtt_decode_publish(&frame, version, publish);
}

START_TEST(fields)
{
    struct mqtt_publish publish;
    ck_assert_uint_eq(publish_decode(0x30, MQTT_V3_1_1, "0003 'a/b' 'payload'", &publish), MQTT_SUCCESS);
    ck_assert(!publish.dup && !publish.retain);
    ck_assert_uint_eq(publish.qos, 0);
    ck_assert_uint_eq(publish.packet_id, 0);
    support_assert_str(publish.topic, "a/b");
    support_assert_str(publish.payload, "payload");
    ck_assert_uint_eq(publish.properties.present, 0);
    ck_assert_uint_eq(publish.properties.raw.length, 0);
    ck_assert_uint_eq(publish_decode(0x3D, MQTT_V3_1, "0003 'a/b' 1234", &publish), MQTT_SUCCESS);
    ck_assert(publish.dup && publish.retain);
    ck_assert_uint_eq(publish.qos, 2);
    ck_assert_uint_eq(publish.packet_id, 0x1234);
    ck_assert_uint_eq(publish.payload.length, 0);
    ck_assert_uint_eq(publish_decode(0x33, MQTT_V5, "0003 'a/b' 0001 00 'x'", &publish), MQTT_SUCCESS);
    ck_assert(!publish.dup && publish.retain);
    ck_assert_uint_eq(publish.qos, 1);
    ck_assert_uint_eq(publish.properties.present, 0);
    support_assert_str(publish.payload, "x");
}
END_TEST

START_TEST(fields_of_properties)
{
    struct mqtt_publish publish;
    ck_assert_uint_eq(
        publish_decode(0x30, MQTT_V5,
                       "0001 't' 22 01 01 02 00000005 03 0001 'c' 08 0001 'r' 09 0002 0000 23 0007 "
                       "26 0001 'a' 0001 'b' 'x'",
                       &publish),
        MQTT_MALFORMED_PACKET);
    ck_assert_uint_eq(
        publish_decode(0x30, MQTT_V5,
                       "0001 't' 23 01 01 02 00000005 03 0001 'c' 08 0001 'r' 09 0002 0000 23 0007 "
                       "26 0001 'a' 0001 'b' 26 00000000 'x'",
                       &publish),
        MQTT_SUCCESS);
    ck_assert_uint_eq(publish.properties.payload_format_indicator, 1);
    ck_assert_uint_eq(publish.properties.message_expiry_interval, 5);
    ck_assert_uint_eq(publish.properties.topic_alias, 7);
    support_assert_str(publish.properties.content_type, "c");
    support_assert_str(publish.properties.response_topic, "r");
    ck_assert_uint_eq(publish.properties.correlation_data.length, 2);
    ck_assert_uint_eq(publish.properties.raw.length, 0x23);
    support_assert_str(publish.payload, "x");
}
END_TEST

static const struct {
    uint8_t first;
    uint8_t version;
    const char *body;
    uint8_t reason;
} RULES[] = {
    // Wildcards in a topic. [v5 MQTT-3.3.2-2]
    {0x30, 4, "0003 'a/#'", 0x90},
    {0x30, 5, "0003 'a/+' 00", 0x90},
    {0x30, 5, "0001 '#' 00", 0x90},
    {0x30, 3, "0001 '+'", 0x90},
    // Empty topics. [v5 3.3.2.1, v3.1.1 MQTT-4.7.3-1]
    {0x30, 4, "0000 'x'", 0x81},
    {0x30, 3, "0000 'x'", 0x81},
    {0x30, 5, "0000 00 'x'", 0x82},
    {0x30, 5, "0000 02 01 01 'x'", 0x82},
    {0x30, 5, "0000 03 23 0001 'x'", 0x00},
    {0x30, 5, "0001 't' 03 23 FFFF 'x'", 0x00},
    // Topic Alias 0. [v5 MQTT-3.3.2-8]
    {0x30, 5, "0000 03 23 0000 'x'", 0x94},
    {0x30, 5, "0001 't' 03 23 0000 'x'", 0x94},
    {0x30, 5, "0001 't' 06 23 0001 23 0001 'x'", 0x82},
    // Packet Identifier 0. [v5 MQTT-2.2.1-3]
    {0x32, 4, "0001 't' 0000", 0x82},
    {0x34, 5, "0001 't' 0000 00", 0x82},
    {0x32, 4, "0001 't' 00", 0x81},
    {0x32, 5, "0001 't' 0001", 0x81},
    {0x30, 5, "0001 't'", 0x81},
    {0x30, 4, "0001 't'", 0x00},
    {0x32, 4, "0001 't' 0001", 0x00},
    // A topic longer than the packet.
    {0x30, 4, "0002 't'", 0x81},
    {0x30, 4, "FFFF 't'", 0x81},
    {0x30, 4, "00", 0x81},
    // UTF-8. [v5 MQTT-1.5.4-1, -2]; U+FEFF is an ordinary character [v5 MQTT-1.5.4-3]
    {0x30, 4, "0002 C0AF", 0x81},
    {0x30, 4, "0001 00", 0x81},
    {0x30, 5, "0003 EDA080 00", 0x81},
    {0x30, 5, "0003 EDBFBF 00", 0x81},
    {0x30, 5, "0004 F4908080 00", 0x81},
    {0x30, 5, "0003 EFBBBF 00", 0x00},
    {0x30, 5, "0004 F48FBFBF 00", 0x00},
    // Not UTF-8 outweighs a wildcard.
    {0x30, 5, "0002 '#' 00 00", 0x81},
    // Subscription Identifier from a client. [v5 MQTT-3.3.4-6]
    {0x30, 5, "0001 't' 02 0B 01", 0x82},
    // Response Topic. [v5 MQTT-3.3.2-13, -14]
    {0x30, 5, "0001 't' 04 08 0001 '#'", 0x82},
    {0x30, 5, "0001 't' 06 08 0003 'a/+'", 0x82},
    {0x30, 5, "0001 't' 03 08 0000", 0x82},
    {0x30, 5, "0001 't' 04 08 0001 FF", 0x81},
    // Content Type. [v5 MQTT-3.3.2-19]
    {0x30, 5, "0001 't' 04 03 0001 FF", 0x81},
    // User Property. [v5 MQTT-1.5.7-1]
    {0x30, 5, "0001 't' 06 26 0001 FF 0000", 0x81},
    {0x30, 5, "0001 't' 06 26 0000 0001 00", 0x81},
    // Payload Format Indicator.
    {0x30, 5, "0001 't' 02 01 02", 0x82},
    // Properties of other packets and none at all. [v5 2.2.2.2]
    {0x30, 5, "0001 't' 05 11 00000001", 0x81},
    {0x30, 5, "0001 't' 03 7F 0001", 0x81},
    {0x30, 5, "0001 't' 03 8001 01", 0x81},
    // A property block longer than the packet, or whose length is not in shortest form.
    {0x30, 5, "0001 't' 02 01", 0x81},
    {0x30, 5, "0001 't' 8100 01", 0x81},
    {0x30, 5, "0001 't' 80808001", 0x81},
    {0x30, 5, "0001 't' FFFFFFFF7F", 0x81},
};

START_TEST(rules)
{
    struct mqtt_publish publish;
    uint8_t reason = publish_decode(RULES[_i].first, RULES[_i].version, RULES[_i].body, &publish);
    ck_assert_msg(reason == RULES[_i].reason, "version %u, %s: %02X", RULES[_i].version, RULES[_i].body,
                  reason);
}
END_TEST

// The fast check looks at eight bytes at once: put each kind of byte at each place of each length.
START_TEST(topic_bytes)
{
    static const struct {
        const char *bytes;
        uint8_t reason;
    } insertions[] = {{"'#'", 0x90},    {"'+'", 0x90}, {"00", 0x81},       {"80", 0x81},   {"C3A4", 0x00},
                      {"E282AC", 0x00}, {"FF", 0x81},  {"F09F8E89", 0x00}, {"C1BF", 0x81}, {"22", 0x00},
                      {"2A", 0x00},     {"2C", 0x00},  {"24", 0x00},       {"01", 0x00},   {"7F", 0x00},
                      {"A3", 0x81},     {"AB", 0x81},  {"E0A4", 0x81}};
    for (size_t length = 0; length < 40; length++) {
        uint8_t body[64];
        for (size_t i = 0; i < sizeof insertions / sizeof *insertions; i++) {
            for (size_t place = 0; place <= length; place++) {
                memset(body, 'a', sizeof body);
                uint8_t bytes[4];
                size_t count = support_parse(insertions[i].bytes, bytes, sizeof bytes);
                memcpy(body + 2 + place, bytes, count);
                body[0] = 0;
                body[1] = (uint8_t)(length + count);
                struct mqtt_frame frame = support_frame_of_bytes(0x30, body, 2 + length + count);
                struct mqtt_publish publish;
                uint8_t reason = mqtt_decode_publish(&frame, MQTT_V3_1_1, &publish);
                ck_assert_msg(reason == insertions[i].reason, "%s at %zu of %zu: %02X", insertions[i].bytes,
                              place, length, reason);
                support_release();
            }
        }
    }
}
END_TEST

START_TEST(longest_topic)
{
    uint8_t *body = calloc(1, 65540);
    memset(body, 'x', 65540);
    body[0] = body[1] = 0xFF;
    struct mqtt_frame frame = support_frame_of_bytes(0x30, body, 65540);
    struct mqtt_publish publish;
    ck_assert_uint_eq(mqtt_decode_publish(&frame, MQTT_V3_1_1, &publish), MQTT_SUCCESS);
    ck_assert_uint_eq(publish.topic.length, 65535);
    ck_assert_uint_eq(publish.payload.length, 3);
    body[65536] = '+';
    frame = support_frame_of_bytes(0x30, body, 65540);
    ck_assert_uint_eq(mqtt_decode_publish(&frame, MQTT_V3_1_1, &publish), MQTT_TOPIC_NAME_INVALID);
    free(body);
}
END_TEST

// [v5 MQTT-3.3.4-3 to -5]
START_TEST(subscription_identifiers_from_server)
{
    struct mqtt_frame frame = support_frame(0x30, "0001 't' 0A 0B FFFFFF7F 0B 05 0B 8001 'x'");
    struct mqtt_publish publish;
    ck_assert_uint_eq(mqtt_decode_publish_from_server(&frame, MQTT_V5, &publish), MQTT_SUCCESS);
    ck_assert_uint_eq(publish.properties.subscription_identifier, 268435455);
    frame = support_frame(0x30, "0001 't' 02 0B 00");
    ck_assert_uint_eq(mqtt_decode_publish_from_server(&frame, MQTT_V5, &publish), MQTT_PROTOCOL_ERROR);
    frame = support_frame(0x30, "0001 't' 04 0B 01 0B 00");
    ck_assert_uint_eq(mqtt_decode_publish_from_server(&frame, MQTT_V5, &publish), MQTT_PROTOCOL_ERROR);
    frame = support_frame(0x30, "0001 't' 03 0B 8000");
    ck_assert_uint_eq(mqtt_decode_publish_from_server(&frame, MQTT_V5, &publish), MQTT_MALFORMED_PACKET);
}
END_TEST

START_TEST(encoded_bytes)
{
    struct mqtt_publish publish = {.dup = true,
                                   .retain = true,
                                   .qos = 1,
                                   .packet_id = 258,
                                   .topic = STR("a/b"),
                                   .payload = STR("xyz"),
                                   .properties = {.topic_alias = 3, .message_expiry_interval = 9}};
    mqtt_set(&publish.properties, MQTT_TOPIC_ALIAS);
    mqtt_set(&publish.properties, MQTT_MESSAGE_EXPIRY_INTERVAL);
    static const struct {
        uint8_t version;
        const char *bytes;
    } forms[] = {{MQTT_V5, "3B 13 0003 'a/b' 0102 08 02 00000009 23 0003 'xyz'"},
                 {MQTT_V3_1_1, "3B 0A 0003 'a/b' 0102 'xyz'"},
                 {MQTT_V3_1, "3B 0A 0003 'a/b' 0102 'xyz'"}};
    uint8_t expected[64];
    uint8_t actual[64];
    for (size_t i = 0; i < 3; i++) {
        size_t size = support_parse(forms[i].bytes, expected, sizeof expected);
        ck_assert_uint_eq(mqtt_encode_publish(NULL, forms[i].version, &publish), size);
        ck_assert_uint_eq(mqtt_encode_publish(actual, forms[i].version, &publish), size);
        ck_assert_mem_eq(actual, expected, size);
    }
    // QoS 0 has neither DUP nor an identifier. [v5 MQTT-3.3.1-2, MQTT-2.2.1-2]
    publish.qos = 0;
    size_t size = support_parse("31 08 0003 'a/b' 'xyz'", expected, sizeof expected);
    ck_assert_uint_eq(mqtt_encode_publish(actual, MQTT_V3_1_1, &publish), size);
    ck_assert_mem_eq(actual, expected, size);
    publish.payload.length = MQTT_REMAINING_LENGTH_MAX;
    ck_assert_uint_eq(mqtt_encode_publish(NULL, MQTT_V3_1_1, &publish), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mqtt publish");
    TCase *tests = tcase_create("publish");
    tcase_add_checked_fixture(tests, NULL, support_release);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, fields);
    tcase_add_test(tests, fields_of_properties);
    tcase_add_loop_test(tests, rules, 0, sizeof RULES / sizeof *RULES);
    tcase_add_test(tests, topic_bytes);
    tcase_add_test(tests, longest_topic);
    tcase_add_test(tests, subscription_identifiers_from_server);
    tcase_add_test(tests, encoded_bytes);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
