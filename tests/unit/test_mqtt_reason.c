#include "mqtt_support.h"

// Reason codes by packet type as the standard's sections list them, apart from the codec's own table.
static const struct {
    uint8_t type;
    const char *from_server;
    const char *from_client;
} ALLOWED[] = {
    {MQTT_CONNACK, "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F", ""},
    {MQTT_PUBACK, "00 10 80 83 87 90 91 97 99", "00 10 80 83 87 90 91 97 99"},
    {MQTT_PUBREC, "00 10 80 83 87 90 91 97 99", "00 10 80 83 87 90 91 97 99"},
    {MQTT_PUBREL, "00 92", "00 92"},
    {MQTT_PUBCOMP, "00 92", "00 92"},
    {MQTT_SUBACK, "00 01 02 80 83 87 8F 91 97 9E A1 A2", ""},
    {MQTT_UNSUBACK, "00 11 80 83 87 8F 91", ""},
    // 8C stands in table 2-6 and in 4.12.1, though not in 3.14.2.1.
    {MQTT_DISCONNECT,
     "00 80 81 82 83 87 89 8B 8C 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2",
     "00 04 80 81 82 83 8C 90 93 94 95 96 97 98 99"},
    {MQTT_AUTH, "00 18", "18 19"},
};

static bool listed(const char *codes, uint8_t code)
{
    uint8_t bytes[64];
    return memchr(bytes, code, support_parse(codes, bytes, sizeof bytes)) != NULL;
}

START_TEST(allowed_by_type)
{
    for (int type = 0; type < 20; type++) {
        const char *server = "";
        const char *client = "";
        for (size_t i = 0; i < sizeof ALLOWED / sizeof *ALLOWED; i++) {
            if (ALLOWED[i].type == type) {
                server = ALLOWED[i].from_server;
                client = ALLOWED[i].from_client;
            }
        }
        uint8_t code = (uint8_t)_i;
        bool by_server = listed(server, code);
        bool by_client = listed(client, code);
        ck_assert_msg(mqtt_reason_allowed_from(false, (uint8_t)type, code) == by_server, "type %d %02X", type,
                      _i);
        ck_assert_msg(mqtt_reason_allowed_from(true, (uint8_t)type, code) == by_client, "type %d %02X", type,
                      _i);
        ck_assert_int_eq(mqtt_reason_allowed((uint8_t)type, code), by_server || by_client);
    }
}
END_TEST

START_TEST(names)
{
    uint8_t known[64];
    size_t count = support_parse(
        "00 01 02 04 10 11 18 19 80 81 82 83 84 85 86 87 88 89 8A 8B 8C 8D 8E 8F 90 91 92 93 94 "
        "95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2",
        known, sizeof known);
    bool is_known = memchr(known, _i, count) != NULL;
    ck_assert_ptr_nonnull(mqtt_reason_name((uint8_t)_i));
    ck_assert_int_eq(strcmp(mqtt_reason_name((uint8_t)_i), "unknown reason") != 0, is_known);
}
END_TEST

START_TEST(connack_codes_v3)
{
    static const struct {
        uint8_t reason;
        uint8_t code;
    } codes[] = {{MQTT_SUCCESS, 0},
                 {MQTT_UNSUPPORTED_PROTOCOL_VERSION, 1},
                 {MQTT_CLIENT_IDENTIFIER_NOT_VALID, 2},
                 {MQTT_SERVER_UNAVAILABLE, 3},
                 {MQTT_SERVER_BUSY, 3},
                 {MQTT_UNSPECIFIED_ERROR, 3},
                 {MQTT_SERVER_SHUTTING_DOWN, 3},
                 {MQTT_QUOTA_EXCEEDED, 3},
                 {MQTT_CONNECTION_RATE_EXCEEDED, 3},
                 {MQTT_BAD_USER_NAME_OR_PASSWORD, 4},
                 {MQTT_NOT_AUTHORIZED, 5},
                 {MQTT_BANNED, 5},
                 {MQTT_BAD_AUTHENTICATION_METHOD, 5},
                 {MQTT_MALFORMED_PACKET, MQTT_CONNACK_V3_NONE},
                 {MQTT_PROTOCOL_ERROR, MQTT_CONNACK_V3_NONE},
                 {MQTT_TOPIC_NAME_INVALID, MQTT_CONNACK_V3_NONE},
                 {MQTT_PACKET_TOO_LARGE, MQTT_CONNACK_V3_NONE},
                 {MQTT_GRANTED_QOS_1, MQTT_CONNACK_V3_NONE},
                 {0xFF, MQTT_CONNACK_V3_NONE}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        ck_assert_uint_eq(mqtt_connack_code_v3(codes[i].reason), codes[i].code);
    for (int reason = 0; reason < 256; reason++) {
        uint8_t code = mqtt_connack_code_v3((uint8_t)reason);
        ck_assert(code <= 5 || code == MQTT_CONNACK_V3_NONE);
        ck_assert(code != 0 || reason == 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mqtt reason");
    TCase *tests = tcase_create("reason");
    tcase_add_loop_test(tests, allowed_by_type, 0, 256);
    tcase_add_loop_test(tests, names, 0, 256);
    tcase_add_test(tests, connack_codes_v3);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
