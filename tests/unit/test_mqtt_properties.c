#include <stdio.h>

#include "mqtt_support.h"

enum { CONTEXTS = MQTT_IN_AUTH + 1 };

// [v5 table 2-4] once more, apart from the codec's own table. `contexts` has one letter per enum
// mqtt_context: x allowed, r allowed and repeatable, - of another packet type (malformed), o only from the
// other side (protocol error).
static const struct sample {
    uint8_t id;
    const char *contexts;
    const char *encoding; ///< of a valid one
} PROPERTIES[] = {
    //      CONNECT, will, CONNACK, PUBLISH from client and server, acks, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT
    //      both, AUTH
    {0x01, "-x-xx------", "01 01"},
    {0x02, "-x-xx------", "02 00000000"},
    {0x03, "-x-xx------", "03 0001 'c'"},
    {0x08, "-x-xx------", "08 0001 'r'"},
    {0x09, "-x-xx------", "09 0002 00FF"},
    {0x0B, "---or-x----", "0B 8001"},
    {0x11, "x-x-----xo-", "11 FFFFFFFF"},
    {0x12, "--x--------", "12 0001 'a'"},
    {0x13, "--x--------", "13 0000"},
    {0x15, "x-x-------x", "15 0000"},
    {0x16, "x-x-------x", "16 0000"},
    {0x17, "x----------", "17 00"},
    {0x18, "-x---------", "18 00000001"},
    {0x19, "x----------", "19 01"},
    {0x1A, "--x--------", "1A 0001 'i'"},
    {0x1C, "--x-----ox-", "1C 0001 's'"},
    {0x1F, "--x--x--xxx", "1F 0001 'r'"},
    {0x21, "x-x--------", "21 0001"},
    {0x22, "x-x--------", "22 0000"},
    {0x23, "---xx------", "23 FFFF"},
    {0x24, "--x--------", "24 00"},
    {0x25, "--x--------", "25 01"},
    {0x26, "rrrrrrrrrrr", "26 0001 'k' 0001 'v'"},
    {0x27, "x-x--------", "27 00000001"},
    {0x28, "--x--------", "28 00"},
    {0x29, "--x--------", "29 01"},
    {0x2A, "--x--------", "2A 00"},
};
enum { PROPERTY_COUNT = sizeof PROPERTIES / sizeof *PROPERTIES };

static uint8_t block_decode(const char *block, int context, struct mqtt_properties *properties)
{
    uint8_t bytes[256];
    size_t count = support_parse(block, bytes, sizeof bytes);
    size_t used = 0;
    uint8_t reason = mqtt_properties_decode(support_copy(bytes, count), count, (enum mqtt_context)context,
                                            properties, &used);
    if (reason == MQTT_SUCCESS)
        ck_assert_uint_eq(used, count);
    return reason;
}

static uint8_t decode_once(const struct sample *sample, int context, struct mqtt_properties *properties)
{
    char block[128];
    // Authentication Data needs its Method beside it.
    snprintf(block, sizeof block, "[%s %s]", sample->id == 0x16 ? "15 0000" : "", sample->encoding);
    return block_decode(block, context, properties);
}

START_TEST(allowed_by_context)
{
    const struct sample *sample = &PROPERTIES[_i];
    ck_assert_uint_eq(strlen(sample->contexts), CONTEXTS);
    for (int context = 0; context < CONTEXTS; context++) {
        struct mqtt_properties properties;
        uint8_t reason = decode_once(sample, context, &properties);
        char letter = sample->contexts[context];
        uint8_t expected = letter == '-'   ? MQTT_MALFORMED_PACKET
                           : letter == 'o' ? MQTT_PROTOCOL_ERROR
                                           : MQTT_SUCCESS;
        ck_assert_msg(reason == expected, "property %02X in context %d: %02X", sample->id, context, reason);
        if (reason == MQTT_SUCCESS)
            ck_assert(mqtt_has(&properties, sample->id));
    }
}
END_TEST

START_TEST(repeated)
{
    const struct sample *sample = &PROPERTIES[_i];
    for (int context = 0; context < CONTEXTS; context++) {
        char letter = sample->contexts[context];
        if (letter != 'x' && letter != 'r')
            continue;
        char block[128];
        snprintf(block, sizeof block, "[%s %s %s]", sample->id == 0x16 ? "15 0000" : "", sample->encoding,
                 sample->encoding);
        struct mqtt_properties properties;
        ck_assert_uint_eq(block_decode(block, context, &properties),
                          letter == 'r' ? MQTT_SUCCESS : MQTT_PROTOCOL_ERROR);
    }
}
END_TEST

// A value that the block's end cuts short.
START_TEST(cut_short)
{
    uint8_t encoding[32];
    size_t count = support_parse(PROPERTIES[_i].encoding, encoding, sizeof encoding);
    int context = (int)strcspn(PROPERTIES[_i].contexts, "xr");
    for (size_t length = 1; length < count; length++) {
        uint8_t block[33] = {(uint8_t)length};
        memcpy(block + 1, encoding, length);
        struct mqtt_properties properties;
        size_t used;
        const uint8_t *copy = support_copy(block, 1 + length);
        ck_assert_uint_eq(
            mqtt_properties_decode(copy, 1 + length, (enum mqtt_context)context, &properties, &used),
            MQTT_MALFORMED_PACKET);
        // And one that the bytes end before the block does.
        block[0] = (uint8_t)count;
        copy = support_copy(block, 1 + length);
        ck_assert_uint_eq(
            mqtt_properties_decode(copy, 1 + length, (enum mqtt_context)context, &properties, &used),
            MQTT_MALFORMED_PACKET);
    }
}
END_TEST

START_TEST(unknown_identifiers)
{
    for (int i = 0; i < PROPERTY_COUNT; i++)
        if (PROPERTIES[i].id == _i)
            return;
    for (int context = 0; context < CONTEXTS; context++) {
        const uint8_t block[] = {5, (uint8_t)_i, 0, 0, 0, 1};
        struct mqtt_properties properties;
        size_t used;
        const uint8_t *copy = support_copy(block, sizeof block);
        ck_assert_uint_eq(
            mqtt_properties_decode(copy, sizeof block, (enum mqtt_context)context, &properties, &used),
            MQTT_MALFORMED_PACKET);
    }
}
END_TEST

static const struct {
    const char *block;
    uint8_t context;
    uint8_t reason;
} VALUES[] = {
    {"[01 00]", MQTT_IN_WILL, 0x00},
    {"[01 02]", MQTT_IN_WILL, 0x82},
    {"[0B 00]", MQTT_IN_SUBSCRIBE, 0x82},
    {"[0B 01]", MQTT_IN_SUBSCRIBE, 0x00},
    {"[0B FFFFFF7F]", MQTT_IN_SUBSCRIBE, 0x00},
    {"[0B FFFFFFFF]", MQTT_IN_SUBSCRIBE, 0x81},
    {"[0B 8100]", MQTT_IN_SUBSCRIBE, 0x81},
    {"[17 01]", MQTT_IN_CONNECT, 0x00},
    {"[17 02]", MQTT_IN_CONNECT, 0x82},
    {"[19 00]", MQTT_IN_CONNECT, 0x00},
    {"[19 FF]", MQTT_IN_CONNECT, 0x82},
    {"[21 0000]", MQTT_IN_CONNECT, 0x82},
    {"[21 FFFF]", MQTT_IN_CONNECT, 0x00},
    {"[27 00000000]", MQTT_IN_CONNECT, 0x82},
    {"[27 FFFFFFFF]", MQTT_IN_CONNECT, 0x00},
    {"[23 0000]", MQTT_IN_PUBLISH_FROM_CLIENT, 0x94},
    {"[23 0001]", MQTT_IN_PUBLISH_FROM_CLIENT, 0x00},
    {"[24 01]", MQTT_IN_CONNACK, 0x00},
    {"[24 02]", MQTT_IN_CONNACK, 0x82},
    {"[25 02]", MQTT_IN_CONNACK, 0x82},
    {"[28 02]", MQTT_IN_CONNACK, 0x82},
    {"[29 02]", MQTT_IN_CONNACK, 0x82},
    {"[2A 02]", MQTT_IN_CONNACK, 0x82},
    // Strings. [v5 1.5.4, 1.5.7]
    {"[03 0001 FF]", MQTT_IN_WILL, 0x81},
    {"[03 0001 00]", MQTT_IN_WILL, 0x81},
    {"[03 0000]", MQTT_IN_WILL, 0x00},
    {"[12 0002 C080]", MQTT_IN_CONNACK, 0x81},
    {"[15 0001 FF]", MQTT_IN_AUTH, 0x81},
    {"[1A 0003 EDA080]", MQTT_IN_CONNACK, 0x81},
    {"[1C 0001 80]", MQTT_IN_CONNACK, 0x81},
    {"[1F 0001 80]", MQTT_IN_ACK, 0x81},
    {"[26 0001 80 0000]", MQTT_IN_ACK, 0x81},
    {"[26 0000 0001 80]", MQTT_IN_ACK, 0x81},
    {"[26 0001 00 0000]", MQTT_IN_ACK, 0x81},
    {"[09 0002 00FF]", MQTT_IN_WILL, 0x00},
    // Response Topic. [v5 3.3.2.3.5]
    {"[08 0003 'a/b']", MQTT_IN_WILL, 0x00},
    {"[08 0003 'a/#']", MQTT_IN_WILL, 0x82},
    {"[08 0001 '+']", MQTT_IN_WILL, 0x82},
    {"[08 0000]", MQTT_IN_WILL, 0x82},
    {"[08 0002 '#' 80]", MQTT_IN_WILL, 0x81},
    // Authentication Data without Method, in any order. [v5 3.1.2.11.10]
    {"[16 0000]", MQTT_IN_CONNECT, 0x82},
    {"[16 0000]", MQTT_IN_CONNACK, 0x82},
    {"[16 0000]", MQTT_IN_AUTH, 0x82},
    {"[16 0000 15 0000]", MQTT_IN_CONNECT, 0x00},
    // Lengths of the block. [v5 2.2.2.1]
    {"00", MQTT_IN_CONNECT, 0x00},
    {"", MQTT_IN_CONNECT, 0x81},
    {"80", MQTT_IN_CONNECT, 0x81},
    {"8000", MQTT_IN_CONNECT, 0x81},
    {"808000", MQTT_IN_CONNECT, 0x81},
    {"FFFFFF7F", MQTT_IN_CONNECT, 0x81},
    {"FFFFFFFF01", MQTT_IN_CONNECT, 0x81},
    {"01", MQTT_IN_CONNECT, 0x81},
    // An identifier in two bytes. [v5 2.2.2.2]
    {"[A600 0000 0000]", MQTT_IN_CONNECT, 0x81},
};

START_TEST(values)
{
    struct mqtt_properties properties;
    uint8_t reason = block_decode(VALUES[_i].block, VALUES[_i].context, &properties);
    ck_assert_msg(reason == VALUES[_i].reason, "%s: %02X", VALUES[_i].block, reason);
}
END_TEST

// All properties that a context allows at once, out of order; the encoder sorts them, User Properties last.
START_TEST(all_of_a_context)
{
    uint8_t body[512];
    uint8_t expected[512];
    size_t length = 0;
    size_t sorted = 2;
    size_t users = 0;
    for (int i = PROPERTY_COUNT - 1; i >= 0; i--)
        if (strchr("xr", PROPERTIES[i].contexts[_i]))
            length += support_parse(PROPERTIES[i].encoding, body + 2 + length, 128);
    for (int i = 0; i < PROPERTY_COUNT; i++)
        if (strchr("xr", PROPERTIES[i].contexts[_i]) && PROPERTIES[i].id != MQTT_USER_PROPERTY)
            sorted += support_parse(PROPERTIES[i].encoding, expected + sorted, 128);
    sorted += support_parse("26 0001 'k' 0001 'v'", expected + sorted, 128);
    size_t header = mqtt_varint_size((uint32_t)length);
    mqtt_varint_write(body + 2 - header, (uint32_t)length);
    mqtt_varint_write(expected + 2 - header, (uint32_t)length);

    struct mqtt_properties properties;
    size_t used = 0;
    const uint8_t *copy = support_copy(body + 2 - header, header + length);
    ck_assert_uint_eq(
        mqtt_properties_decode(copy, header + length, (enum mqtt_context)_i, &properties, &used),
        MQTT_SUCCESS);
    ck_assert_uint_eq(used, header + length);
    ck_assert_uint_eq(properties.raw.length, length);
    ck_assert_uint_eq(mqtt_properties_encode(NULL, &properties), header + length);
    uint8_t *out = support_copy(body, header + length);
    ck_assert_uint_eq(mqtt_properties_encode(out, &properties), header + length);
    ck_assert_mem_eq(out, expected + 2 - header, header + length);

    struct str rest = properties.raw;
    struct str encoding;
    uint8_t id = 0;
    for (int i = PROPERTY_COUNT - 1; i >= 0; i--) {
        if (!strchr("xr", PROPERTIES[i].contexts[_i]))
            continue;
        uint8_t bytes[64];
        size_t count = support_parse(PROPERTIES[i].encoding, bytes, sizeof bytes);
        ck_assert(mqtt_property_next(&rest, &id, &encoding));
        ck_assert_uint_eq(id, PROPERTIES[i].id);
        ck_assert(str_equal(encoding, str_make(bytes, count)));
        users += id == MQTT_USER_PROPERTY;
    }
    ck_assert(!mqtt_property_next(&rest, &id, &encoding));
    ck_assert_uint_eq(users, 1);
}
END_TEST

START_TEST(stored_values)
{
    struct mqtt_properties p;
    ck_assert_uint_eq(
        block_decode("[11 01020304 12 0001 'a' 13 0506 15 0001 'm' 16 0001 'd' 1A 0001 'i' 1C 0001 's' "
                     "1F 0001 'r' 21 0708 22 090A 24 01 25 00 27 0B0C0D0E 28 01 29 00 2A 01]",
                     MQTT_IN_CONNACK, &p),
        MQTT_SUCCESS);
    ck_assert_uint_eq(p.session_expiry_interval, 0x01020304);
    support_assert_str(p.assigned_client_identifier, "a");
    ck_assert_uint_eq(p.server_keep_alive, 0x0506);
    support_assert_str(p.authentication_method, "m");
    support_assert_str(p.authentication_data, "d");
    support_assert_str(p.response_information, "i");
    support_assert_str(p.server_reference, "s");
    support_assert_str(p.reason_string, "r");
    ck_assert_uint_eq(p.receive_maximum, 0x0708);
    ck_assert_uint_eq(p.topic_alias_maximum, 0x090A);
    ck_assert_uint_eq(p.maximum_qos, 1);
    ck_assert_uint_eq(p.retain_available, 0);
    ck_assert_uint_eq(p.maximum_packet_size, 0x0B0C0D0E);
    ck_assert_uint_eq(p.wildcard_subscription_available, 1);
    ck_assert_uint_eq(p.subscription_identifier_available, 0);
    ck_assert_uint_eq(p.shared_subscription_available, 1);
    ck_assert_uint_eq(block_decode("[01 01 02 01020304 18 05060708]", MQTT_IN_WILL, &p), MQTT_SUCCESS);
    ck_assert_uint_eq(p.payload_format_indicator, 1);
    ck_assert_uint_eq(p.message_expiry_interval, 0x01020304);
    ck_assert_uint_eq(p.will_delay_interval, 0x05060708);
    ck_assert(!mqtt_has(&p, MQTT_RECEIVE_MAXIMUM));
}
END_TEST

// Only the forwarded ones, in the order in which they came. [v5 3.3.2.3]
START_TEST(forwarded)
{
    struct mqtt_properties properties;
    ck_assert_uint_eq(
        block_decode("[26 0001 'b' 0000 02 00000001 09 0001 'c' 23 0001 0B 05 08 0001 'r' 26 0001 'a' 0000 "
                     "0B 06 03 0000 01 00]",
                     MQTT_IN_PUBLISH_FROM_SERVER, &properties),
        MQTT_SUCCESS);
    uint8_t expected[64];
    uint8_t actual[128];
    size_t count = support_parse("26 0001 'b' 0000 09 0001 'c' 08 0001 'r' 26 0001 'a' 0000 03 0000 01 00",
                                 expected, sizeof expected);
    ck_assert_uint_eq(mqtt_properties_forwarded(actual, properties.raw), count);
    ck_assert_mem_eq(actual, expected, count);
    ck_assert_uint_eq(mqtt_properties_forwarded(actual, str_make(NULL, 0)), 0);
}
END_TEST

START_TEST(user_properties_in_order)
{
    struct mqtt_properties properties;
    ck_assert_uint_eq(
        block_decode("[26 0001 'b' 0001 '1' 1F 0001 'r' 26 0001 'a' 0001 '2' 26 0001 'b' 0001 '3']",
                     MQTT_IN_ACK, &properties),
        MQTT_SUCCESS);
    struct str rest = properties.raw;
    struct str name;
    struct str value;
    static const char *const pairs[][2] = {{"b", "1"}, {"a", "2"}, {"b", "3"}};
    for (size_t i = 0; i < 3; i++) {
        ck_assert(mqtt_user_property_next(&rest, &name, &value));
        support_assert_str(name, pairs[i][0]);
        support_assert_str(value, pairs[i][1]);
    }
    ck_assert(!mqtt_user_property_next(&rest, &name, &value));
}
END_TEST

// Bytes that nobody has checked end the walk instead of leading it astray.
START_TEST(walk_of_unchecked_bytes)
{
    static const char *const blocks[] = {"26 0001", "26 0001 'a' 00FF 'b'", "7F 00", "0B 808080", "03 FFFF",
                                         "00"};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        uint8_t bytes[32];
        size_t count = support_parse(blocks[i], bytes, sizeof bytes);
        struct str rest = str_make(support_copy(bytes, count), count);
        struct str encoding;
        uint8_t id;
        ck_assert(!mqtt_property_next(&rest, &id, &encoding));
        ck_assert(!mqtt_user_property_next(&rest, &encoding, &encoding));
    }
}
END_TEST

START_TEST(no_encoding)
{
    struct mqtt_properties properties = {0};
    uint8_t out[8];
    ck_assert_uint_eq(mqtt_properties_encode(out, &properties), 1);
    ck_assert_uint_eq(out[0], 0);
    mqtt_set(&properties, MQTT_REASON_STRING);
    properties.reason_string = str_make("", 65536);
    ck_assert_uint_eq(mqtt_properties_encode(NULL, &properties), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mqtt properties");
    TCase *tests = tcase_create("properties");
    tcase_add_checked_fixture(tests, NULL, support_release);
    tcase_add_loop_test(tests, allowed_by_context, 0, PROPERTY_COUNT);
    tcase_add_loop_test(tests, repeated, 0, PROPERTY_COUNT);
    tcase_add_loop_test(tests, cut_short, 0, PROPERTY_COUNT);
    tcase_add_loop_test(tests, unknown_identifiers, 0, 256);
    tcase_add_loop_test(tests, values, 0, sizeof VALUES / sizeof *VALUES);
    tcase_add_loop_test(tests, all_of_a_context, 0, CONTEXTS);
    tcase_add_test(tests, stored_values);
    tcase_add_test(tests, forwarded);
    tcase_add_test(tests, user_properties_in_order);
    tcase_add_test(tests, walk_of_unchecked_bytes);
    tcase_add_test(tests, no_encoding);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
