#include "mqtt_support.h"

static uint8_t connect_decode(const char *body, struct mqtt_connect *connect)
{
    struct mqtt_frame frame = support_frame(0x10, body);
    return mqtt_decode_connect(&frame, connect);
}

START_TEST(v5_with_everything)
{
    struct mqtt_connect connect;
    ck_assert_uint_eq(
        connect_decode("0004 'MQTT' 05 EE 003C "
                       "[11 00000E10 21 0010 27 00010000 22 0005 19 01 17 00 15 0001 'm' 16 0002 0001 "
                       "26 0001 'k' 0001 'v' 26 0001 'k' 0000] "
                       "0002 'id' "
                       "[18 0000000A 01 01 02 0000003C 03 0001 't' 08 0001 'r' 09 0001 FF] "
                       "0001 'w' 0002 00FF 0004 'user' 0003 'p' 00 'w'",
                       &connect),
        MQTT_SUCCESS);
    ck_assert_uint_eq(connect.version, MQTT_V5);
    ck_assert(connect.clean_start && connect.has_will && connect.has_username && connect.has_password);
    ck_assert(!connect.bridge);
    ck_assert_uint_eq(connect.keep_alive, 60);
    support_assert_str(connect.client_id, "id");
    support_assert_str(connect.username, "user");
    ck_assert(str_equal(connect.password, STR("p\0w")));
    ck_assert_uint_eq(connect.properties.session_expiry_interval, 3600);
    ck_assert_uint_eq(connect.properties.receive_maximum, 16);
    ck_assert_uint_eq(connect.properties.maximum_packet_size, 65536);
    ck_assert_uint_eq(connect.properties.topic_alias_maximum, 5);
    ck_assert_uint_eq(connect.properties.request_response_information, 1);
    ck_assert_uint_eq(connect.properties.request_problem_information, 0);
    support_assert_str(connect.properties.authentication_method, "m");
    ck_assert(str_equal(connect.properties.authentication_data, STR("\0\1")));
    struct str rest = connect.properties.raw;
    struct str name;
    struct str value;
    ck_assert(mqtt_user_property_next(&rest, &name, &value));
    support_assert_str(name, "k");
    support_assert_str(value, "v");
    ck_assert(mqtt_user_property_next(&rest, &name, &value));
    support_assert_str(value, "");
    ck_assert(!mqtt_user_property_next(&rest, &name, &value));
    support_assert_str(connect.will.topic, "w");
    ck_assert(str_equal(connect.will.payload, STR("\0\xFF")));
    ck_assert_uint_eq(connect.will.qos, 1);
    ck_assert(connect.will.retain);
    ck_assert_uint_eq(connect.will.properties.will_delay_interval, 10);
    ck_assert_uint_eq(connect.will.properties.message_expiry_interval, 60);
    support_assert_str(connect.will.properties.response_topic, "r");
}
END_TEST

START_TEST(v5_with_nothing)
{
    struct mqtt_connect connect;
    ck_assert_uint_eq(connect_decode("0004 'MQTT' 05 00 0000 00 0000", &connect), MQTT_SUCCESS);
    ck_assert(!connect.clean_start && !connect.has_will && !connect.has_username && !connect.has_password);
    ck_assert_uint_eq(connect.properties.present, 0);
    ck_assert_uint_eq(connect.client_id.length, 0);
}
END_TEST

START_TEST(v3_with_everything)
{
    struct mqtt_connect connect;
    ck_assert_uint_eq(
        connect_decode("0004 'MQTT' 04 F6 000A 0002 'id' 0003 'w/t' 0000 0001 'u' 0000", &connect),
        MQTT_SUCCESS);
    ck_assert_uint_eq(connect.version, MQTT_V3_1_1);
    ck_assert_uint_eq(connect.will.qos, 2);
    ck_assert(connect.has_password && connect.password.length == 0);
    ck_assert_uint_eq(connect.properties.present | connect.will.properties.present, 0);
    ck_assert_uint_eq(connect_decode("0006 'MQIsdp' 03 02 000A 0002 'id'", &connect), MQTT_SUCCESS);
    ck_assert_uint_eq(connect.version, MQTT_V3_1);
    ck_assert(connect.clean_start);
}
END_TEST

START_TEST(bridge_mark)
{
    struct mqtt_connect connect;
    ck_assert_uint_eq(connect_decode("0004 'MQTT' 84 02 000A 0002 'id'", &connect), MQTT_SUCCESS);
    ck_assert_uint_eq(connect.version, MQTT_V3_1_1);
    ck_assert(connect.bridge);
    ck_assert_uint_eq(connect_decode("0006 'MQIsdp' 83 02 000A 0002 'id'", &connect), MQTT_SUCCESS);
    ck_assert_uint_eq(connect.version, MQTT_V3_1);
    ck_assert(connect.bridge);
}
END_TEST

// In 3.1 the Remaining Length outranks the credentials' flags, and unused bits mean nothing.
START_TEST(v3_1_leniency)
{
    struct mqtt_connect connect;
    ck_assert_uint_eq(connect_decode("0006 'MQIsdp' 03 C2 000A 0002 'id'", &connect), MQTT_SUCCESS);
    ck_assert(!connect.has_username && !connect.has_password);
    ck_assert_uint_eq(connect_decode("0006 'MQIsdp' 03 C2 000A 0002 'id' 0001 'u'", &connect), MQTT_SUCCESS);
    ck_assert(connect.has_username && !connect.has_password);
    ck_assert_uint_eq(connect_decode("0006 'MQIsdp' 03 3B 000A 0002 'id'", &connect), MQTT_SUCCESS);
    ck_assert(!connect.has_will);
}
END_TEST

struct refusal {
    const char *body;
    uint8_t reason;
    uint8_t version; ///< as left in the result
};

static const struct refusal REFUSALS[] = {
    // Name and level. [v5 3.1.2.1, 3.1.2.2]
    {"0004 'MQTX' 04 02 000A 0002 'id'", 0x84, 0},
    {"0004 'mqtt' 04 02 000A 0002 'id'", 0x84, 0},
    {"0003 'MQT' 04 02 000A 0002 'id' 0000", 0x84, 0},
    {"0000 04 02 000A 0002 'id' 00000000", 0x84, 0},
    {"0004 'MQTT' 06 02 000A 0002 'id'", 0x84, 6},
    {"0004 'MQTT' 09 02 000A 0002 'id'", 0x84, 9},
    {"0004 'MQTT' 00 02 000A 0002 'id'", 0x84, 0},
    {"0004 'MQTT' 03 02 000A 0002 'id'", 0x84, 3},
    {"0004 'MQTT' 85 02 000A 00 0002 'id'", 0x84, 5},
    {"0006 'MQIsdp' 04 02 000A 0002 'id'", 0x84, 4},
    {"0006 'MQIsdp' 05 02 000A 00 0002 'id'", 0x84, 5},
    {"0006 'MQIsdp' 02 02 000A 0002 'id'", 0x84, 2},
    {"0004 'MQTT'", 0x81, 0},
    {"00FF 'MQTT' 05 00 000A 0002 'id'", 0x81, 0},
    // Reserved flag. [v5 MQTT-3.1.2-3]
    {"0004 'MQTT' 04 03 000A 0002 'id'", 0x81, 4},
    {"0004 'MQTT' 05 03 000A 00 0002 'id'", 0x81, 5},
    // Will flags. [v5 MQTT-3.1.2-11 to -13]
    {"0004 'MQTT' 04 0A 000A 0002 'id'", 0x81, 4},
    {"0004 'MQTT' 04 12 000A 0002 'id'", 0x81, 4},
    {"0004 'MQTT' 04 22 000A 0002 'id'", 0x81, 4},
    {"0004 'MQTT' 05 0A 000A 00 0002 'id'", 0x81, 5},
    {"0004 'MQTT' 05 22 000A 00 0002 'id'", 0x81, 5},
    {"0004 'MQTT' 04 1E 000A 0002 'id' 0001 'w' 0000", 0x81, 4},
    {"0004 'MQTT' 05 1E 000A 00 0002 'id' 00 0001 'w' 0000", 0x81, 5},
    {"0006 'MQIsdp' 03 1E 000A 0002 'id' 0001 'w' 0000", 0x81, 3},
    // Will fields that are missing. [v5 MQTT-3.1.2-9]
    {"0004 'MQTT' 04 06 000A 0002 'id'", 0x81, 4},
    {"0004 'MQTT' 04 06 000A 0002 'id' 0001 'w'", 0x81, 4},
    {"0004 'MQTT' 05 06 000A 00 0002 'id' 0001 'w' 0000", 0x81, 5},
    {"0004 'MQTT' 05 06 000A 00 0002 'id' 00 0001 'w'", 0x81, 5},
    // Will topics that cannot be published to.
    {"0004 'MQTT' 04 06 000A 0002 'id' 0003 'w/#' 0000", 0x90, 4},
    {"0004 'MQTT' 05 06 000A 00 0002 'id' 00 0003 '+/w' 0000", 0x90, 5},
    {"0004 'MQTT' 05 06 000A 00 0002 'id' 00 0000 0000", 0x90, 5},
    {"0004 'MQTT' 05 06 000A 00 0002 'id' 00 0002 C328 0000", 0x81, 5},
    {"0004 'MQTT' 05 06 000A 00 0002 'id' 00 0002 'a' 00 0000", 0x81, 5},
    // Credentials. [v5 MQTT-3.1.2-16 to -19, v3.1.1 MQTT-3.1.2-22]
    {"0004 'MQTT' 04 42 000A 0002 'id' 0001 'p'", 0x81, 4},
    {"0006 'MQIsdp' 03 42 000A 0002 'id' 0001 'p'", 0x81, 3},
    {"0004 'MQTT' 04 82 000A 0002 'id'", 0x81, 4},
    {"0004 'MQTT' 04 C2 000A 0002 'id' 0001 'u'", 0x81, 4},
    {"0004 'MQTT' 05 82 000A 00 0002 'id'", 0x81, 5},
    {"0004 'MQTT' 05 C2 000A 00 0002 'id' 0001 'u'", 0x81, 5},
    {"0004 'MQTT' 04 02 000A 0002 'id' 0001 'u'", 0x81, 4},
    {"0004 'MQTT' 05 02 000A 00 0002 'id' 0001 'u'", 0x81, 5},
    {"0006 'MQIsdp' 03 02 000A 0002 'id' 0001 'u'", 0x81, 3},
    {"0004 'MQTT' 04 82 000A 0002 'id' 0001 'u' 0001 'p'", 0x81, 4},
    {"0006 'MQIsdp' 03 82 000A 0002 'id' 00", 0x81, 3},
    // UTF-8. [v5 MQTT-1.5.4-1, -2]
    {"0004 'MQTT' 04 02 000A 0002 C080", 0x81, 4},
    {"0004 'MQTT' 04 02 000A 0001 00", 0x81, 4},
    {"0004 'MQTT' 05 02 000A 00 0003 EDA080", 0x81, 5},
    {"0004 'MQTT' 05 82 000A 00 0002 'id' 0001 FF", 0x81, 5},
    {"0004 'MQTT' 05 82 000A 00 0002 'id' 0001 00", 0x81, 5},
    // No client id at all. [v5 MQTT-3.1.3-3]
    {"0004 'MQTT' 04 02 000A", 0x81, 4},
    {"0004 'MQTT' 05 02 000A 00", 0x81, 5},
    // Properties.
    {"0004 'MQTT' 05 02 000A 0002 'id'", 0x81, 5},
    {"0004 'MQTT' 05 02 000A 03 21 0000 0002 'id'", 0x82, 5},
    {"0004 'MQTT' 05 02 000A 05 27 00000000 0002 'id'", 0x82, 5},
    {"0004 'MQTT' 05 02 000A 02 17 02 0002 'id'", 0x82, 5},
    {"0004 'MQTT' 05 02 000A 02 19 02 0002 'id'", 0x82, 5},
    {"0004 'MQTT' 05 02 000A 04 16 0001 'd' 0002 'id'", 0x82, 5},
    {"0004 'MQTT' 05 02 000A 06 21 0001 21 0001 0002 'id'", 0x82, 5},
    {"0004 'MQTT' 05 02 000A 02 24 01 0002 'id'", 0x81, 5},
    {"0004 'MQTT' 05 02 000A 8000 0002 'id'", 0x81, 5},
    {"0004 'MQTT' 05 06 000A 00 0002 'id' 05 11 00000001 0001 'w' 0000", 0x81, 5},
    {"0004 'MQTT' 05 06 000A 00 0002 'id' 02 01 02 0001 'w' 0000", 0x82, 5},
};

START_TEST(refused)
{
    const struct refusal *refusal = &REFUSALS[_i];
    struct mqtt_connect connect;
    memset(&connect, 0xAA, sizeof connect);
    uint8_t reason = connect_decode(refusal->body, &connect);
    ck_assert_msg(reason == refusal->reason, "%s: %02X", refusal->body, reason);
    ck_assert_msg(connect.version == refusal->version, "%s: version %u", refusal->body, connect.version);
}
END_TEST

START_TEST(v5_password_alone)
{
    struct mqtt_connect connect;
    ck_assert_uint_eq(connect_decode("0004 'MQTT' 05 42 000A 00 0002 'id' 0001 'p'", &connect), MQTT_SUCCESS);
    ck_assert(!connect.has_username && connect.has_password);
    support_assert_str(connect.password, "p");
}
END_TEST

START_TEST(every_flag_byte)
{
    // What each flag byte asks for is there, so only the flags decide.
    for (int version = MQTT_V3_1; version <= MQTT_V5; version++) {
        uint8_t body[128];
        size_t count =
            support_parse(version == MQTT_V3_1 ? "0006 'MQIsdp'" : "0004 'MQTT'", body, sizeof body);
        body[count++] = (uint8_t)version;
        body[count++] = (uint8_t)_i;
        count += support_parse(version == MQTT_V5 ? "000A 00 0002 'id'" : "000A 0002 'id'", body + count, 32);
        if (_i & 0x04)
            count +=
                support_parse(version == MQTT_V5 ? "00 0001 'w' 0000" : "0001 'w' 0000", body + count, 32);
        if (_i & 0x80)
            count += support_parse("0001 'u'", body + count, 32);
        if (_i & 0x40)
            count += support_parse("0001 'p'", body + count, 32);
        unsigned will_qos = (unsigned)_i >> 3 & 3;
        bool valid = !(_i & 0x04) || will_qos < 3;
        if (version < MQTT_V5)
            valid = valid && ((_i & 0x80) || !(_i & 0x40));
        if (version > MQTT_V3_1)
            valid = valid && !(_i & 0x01) && ((_i & 0x04) || !(_i & 0x38));
        struct mqtt_connect connect;
        struct mqtt_frame frame = support_frame_of_bytes(0x10, body, count);
        ck_assert_uint_eq(mqtt_decode_connect(&frame, &connect),
                          valid ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET);
        if (valid) {
            ck_assert_int_eq(connect.clean_start, (_i & 0x02) != 0);
            ck_assert_int_eq(connect.has_will, (_i & 0x04) != 0);
            ck_assert_int_eq(connect.has_username, (_i & 0x80) != 0);
            ck_assert_int_eq(connect.has_password, (_i & 0x40) != 0);
        }
    }
}
END_TEST

START_TEST(encoded_bytes)
{
    struct mqtt_connect connect = {.version = MQTT_V3_1,
                                   .clean_start = true,
                                   .bridge = true,
                                   .has_password = true,
                                   .password = STR("dropped: 3.1 wants a user name"),
                                   .keep_alive = 258,
                                   .client_id = STR("id")};
    uint8_t expected[64];
    uint8_t actual[64];
    size_t size = support_parse("10 10 0006 'MQIsdp' 83 02 0102 0002 'id'", expected, sizeof expected);
    ck_assert_uint_eq(mqtt_encode_connect(NULL, &connect), size);
    ck_assert_uint_eq(mqtt_encode_connect(actual, &connect), size);
    ck_assert_mem_eq(actual, expected, size);
    connect.version = MQTT_V5;
    size = support_parse("10 14 0004 'MQTT' 05 42 0102 00 0002 'id' 0003 'abc'", expected, sizeof expected);
    connect.password = STR("abc");
    ck_assert_uint_eq(mqtt_encode_connect(actual, &connect), size);
    ck_assert_mem_eq(actual, expected, size);
    connect.client_id.length = 65536;
    ck_assert_uint_eq(mqtt_encode_connect(NULL, &connect), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mqtt connect");
    TCase *tests = tcase_create("connect");
    tcase_add_checked_fixture(tests, NULL, support_release);
    tcase_add_test(tests, v5_with_everything);
    tcase_add_test(tests, v5_with_nothing);
    tcase_add_test(tests, v3_with_everything);
    tcase_add_test(tests, bridge_mark);
    tcase_add_test(tests, v3_1_leniency);
    tcase_add_test(tests, v5_password_alone);
    tcase_add_loop_test(tests, refused, 0, sizeof REFUSALS / sizeof *REFUSALS);
    tcase_add_loop_test(tests, every_flag_byte, 0, 256);
    tcase_add_test(tests, encoded_bytes);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
