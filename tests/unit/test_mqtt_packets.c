#include "mqtt_roundtrip.h"
#include "mqtt_support.h"

enum { SERVER, CLIENT };

// What every other packet's decoder answers: by first byte, version, sender.
static const struct {
    uint8_t first;
    uint8_t version;
    uint8_t sender;
    const char *body;
    uint8_t reason;
} RULES[] = {
    // Acknowledgements: two bytes before 5.0, short forms in 5.0. [v5 3.4.2]
    {0x40, 4, CLIENT, "0001", 0x00},
    {0x40, 3, CLIENT, "FFFF", 0x00},
    {0x40, 4, CLIENT, "000100", 0x81},
    {0x62, 4, CLIENT, "00010000", 0x81},
    {0x40, 4, CLIENT, "00", 0x81},
    {0x40, 4, CLIENT, "", 0x81},
    {0x40, 5, CLIENT, "0001", 0x00},
    {0x50, 5, CLIENT, "000110", 0x00},
    {0x50, 5, CLIENT, "00011000", 0x00},
    {0x62, 5, CLIENT, "000192", 0x00},
    {0x70, 5, CLIENT, "000192 [1F 0002 'no' 26 0000 0000]", 0x00},
    {0x70, 5, CLIENT, "000192 [1F 0002 'no'] 00", 0x81},
    {0x70, 5, CLIENT, "000192 02 1F 00", 0x81},
    {0x70, 5, CLIENT, "000192 01", 0x81},
    {0x70, 5, CLIENT, "000192 8000", 0x81},
    {0x70, 5, CLIENT, "000192 [1F 0000 1F 0000]", 0x82},
    {0x70, 5, CLIENT, "000192 [21 0001]", 0x81},
    // Packet Identifier 0.
    {0x40, 4, CLIENT, "0000", 0x82},
    {0x50, 5, CLIENT, "0000", 0x82},
    {0x62, 5, CLIENT, "000000", 0x82},
    {0x70, 5, CLIENT, "0000", 0x82},
    // Reason codes of other packets. [v5 MQTT-3.4.2-1, MQTT-3.5.2-1, MQTT-3.6.2-1, MQTT-3.7.2-1]
    {0x40, 5, CLIENT, "000192", 0x82},
    {0x50, 5, CLIENT, "000101", 0x82},
    {0x62, 5, CLIENT, "000110", 0x82},
    {0x70, 5, CLIENT, "000187", 0x82},
    {0x70, 5, CLIENT, "0001FF", 0x82},
    // DUP outside of PUBLISH is 3.1's alone. [v5 MQTT-3.6.1-1, MQTT-3.8.1-1, MQTT-3.10.1-1]
    {0x6A, 3, CLIENT, "0001", 0x00},
    {0x6A, 4, CLIENT, "0001", 0x81},
    {0x6A, 5, CLIENT, "0001", 0x81},
    {0x8A, 3, CLIENT, "0001 0001 'a' 00", 0x00},
    {0x8A, 4, CLIENT, "0001 0001 'a' 00", 0x81},
    {0x8A, 5, CLIENT, "0001 00 0001 'a' 00", 0x81},
    {0xAA, 3, CLIENT, "0001 0001 'a'", 0x00},
    {0xAA, 4, CLIENT, "0001 0001 'a'", 0x81},
    {0xAA, 5, CLIENT, "0001 00 0001 'a'", 0x81},
    // SUBSCRIBE. [v5 3.8, v3.1.1 3.8]
    {0x82, 4, CLIENT, "0001 0003 'a/b' 02", 0x00},
    {0x82, 4, CLIENT, "0001 0003 'a/b' 02 0001 '#' 00 0001 '+' 01", 0x00},
    {0x82, 5, CLIENT, "0001 00 0003 'a/b' 2E", 0x00},
    {0x82, 5, CLIENT, "0001 [0B FFFFFF7F 26 0000 0000] 0003 'a/b' 19", 0x00},
    {0x82, 4, CLIENT, "0000 0001 'a' 00", 0x82},
    {0x82, 5, CLIENT, "0000 00 0001 'a' 00", 0x82},
    {0x82, 4, CLIENT, "0001", 0x82},
    {0x82, 5, CLIENT, "0001 00", 0x82},
    {0x82, 5, CLIENT, "0001", 0x81},
    {0x82, 4, CLIENT, "00", 0x81},
    {0x82, 4, CLIENT, "0001 0001 'a'", 0x81},
    {0x82, 4, CLIENT, "0001 0002 'a'", 0x81},
    {0x82, 4, CLIENT, "0001 00", 0x81},
    {0x82, 4, CLIENT, "0001 0001 'a' 00 0001 'b'", 0x81},
    // QoS 3 and reserved bits. [v5 3.8.3.1, v3.1.1 MQTT-3.8.3-4]
    {0x82, 4, CLIENT, "0001 0001 'a' 03", 0x81},
    {0x82, 3, CLIENT, "0001 0001 'a' 03", 0x81},
    {0x82, 4, CLIENT, "0001 0001 'a' 04", 0x81},
    {0x82, 4, CLIENT, "0001 0001 'a' 08", 0x81},
    {0x82, 4, CLIENT, "0001 0001 'a' 10", 0x81},
    {0x82, 3, CLIENT, "0001 0001 'a' 80", 0x81},
    {0x82, 5, CLIENT, "0001 00 0001 'a' 03", 0x82},
    {0x82, 5, CLIENT, "0001 00 0001 'a' 30", 0x82},
    {0x82, 5, CLIENT, "0001 00 0001 'a' 20", 0x00},
    {0x82, 5, CLIENT, "0001 00 0001 'a' 40", 0x81},
    {0x82, 5, CLIENT, "0001 00 0001 'a' 80", 0x81},
    {0x82, 5, CLIENT, "0001 00 0001 'a' 00 0001 'b' C3", 0x81},
    // UTF-8 of filters; the empty filter is the broker's to refuse. [v5 MQTT-3.8.3-1]
    {0x82, 4, CLIENT, "0001 0002 C328 00", 0x81},
    {0x82, 5, CLIENT, "0001 00 0001 00 00", 0x81},
    {0x82, 5, CLIENT, "0001 00 0000 00", 0x00},
    {0x82, 5, CLIENT, "0001 [0B 00] 0001 'a' 00", 0x82},
    {0x82, 5, CLIENT, "0001 [0B 01 0B 02] 0001 'a' 00", 0x82},
    {0x82, 5, CLIENT, "0001 [1F 0000] 0001 'a' 00", 0x81},
    // UNSUBSCRIBE. [v5 3.10]
    {0xA2, 4, CLIENT, "0001 0003 'a/b' 0001 '#'", 0x00},
    {0xA2, 5, CLIENT, "0001 [26 0000 0000] 0003 'a/b'", 0x00},
    {0xA2, 4, CLIENT, "0000 0001 'a'", 0x82},
    {0xA2, 4, CLIENT, "0001", 0x82},
    {0xA2, 5, CLIENT, "0001 00", 0x82},
    {0xA2, 5, CLIENT, "0001", 0x81},
    {0xA2, 4, CLIENT, "0001 0002 'a'", 0x81},
    {0xA2, 4, CLIENT, "0001 0001 FF", 0x81},
    {0xA2, 5, CLIENT, "0001 [0B 01] 0001 'a'", 0x81},
    // PINGREQ, PINGRESP. [v5 3.12, 3.13]
    {0xC0, 4, CLIENT, "", 0x00},
    {0xD0, 5, SERVER, "", 0x00},
    {0xC0, 4, CLIENT, "00", 0x81},
    {0xD0, 5, SERVER, "00", 0x81},
    // DISCONNECT. [v5 3.14, v3.1.1 3.14]
    {0xE0, 3, CLIENT, "", 0x00},
    {0xE0, 4, CLIENT, "", 0x00},
    {0xE0, 4, CLIENT, "00", 0x81},
    {0xE0, 5, CLIENT, "", 0x00},
    {0xE0, 5, CLIENT, "04", 0x00},
    {0xE0, 5, CLIENT, "0400", 0x00},
    {0xE0, 5, CLIENT, "00 [11 00000000 1F 0001 'x' 26 0000 0000]", 0x00},
    {0xE0, 5, CLIENT, "00 [11 00000000] 00", 0x81},
    {0xE0, 5, CLIENT, "00 05 11", 0x81},
    {0xE0, 5, CLIENT, "01", 0x82},
    {0xE0, 5, CLIENT, "8B", 0x82},
    {0xE0, 5, CLIENT, "00 [1C 0001 'x']", 0x82},
    {0xE0, 5, CLIENT, "00 [11 00000000 11 00000000]", 0x82},
    {0xE0, 5, CLIENT, "00 [21 0001]", 0x81},
    {0xE0, 5, SERVER, "8B", 0x00},
    {0xE0, 5, SERVER, "9C [1C 0001 'x']", 0x00},
    {0xE0, 5, SERVER, "04", 0x82},
    {0xE0, 5, SERVER, "8B [11 00000000]", 0x82},
    // AUTH. [v5 3.15]
    {0xF0, 5, CLIENT, "18 [15 0001 'm' 16 0001 'd']", 0x00},
    {0xF0, 5, CLIENT, "19 [15 0001 'm' 1F 0000 26 0000 0000]", 0x00},
    {0xF0, 5, SERVER, "00 [15 0001 'm']", 0x00},
    {0xF0, 5, SERVER, "", 0x00},
    {0xF0, 5, CLIENT, "", 0x82},
    {0xF0, 5, CLIENT, "18", 0x81},
    {0xF0, 5, SERVER, "00", 0x81},
    {0xF0, 5, CLIENT, "18 00", 0x82},
    {0xF0, 5, CLIENT, "18 [16 0001 'd']", 0x82},
    {0xF0, 5, CLIENT, "00 [15 0001 'm']", 0x82},
    {0xF0, 5, SERVER, "19 [15 0001 'm']", 0x82},
    {0xF0, 5, CLIENT, "87 [15 0001 'm']", 0x82},
    {0xF0, 5, CLIENT, "18 [15 0001 'm' 15 0001 'm']", 0x82},
    {0xF0, 5, CLIENT, "18 [15 0001 'm'] 00", 0x81},
    {0xF0, 5, CLIENT, "18 [11 00000000]", 0x81},
    // CONNACK. [v5 3.2]
    {0x20, 4, SERVER, "0100", 0x00},
    {0x20, 4, SERVER, "0005", 0x00},
    {0x20, 4, SERVER, "0006", 0x82},
    {0x20, 4, SERVER, "00FF", 0x82},
    {0x20, 4, SERVER, "0200", 0x81},
    {0x20, 4, SERVER, "0105", 0x82},
    {0x20, 4, SERVER, "000000", 0x81},
    {0x20, 3, SERVER, "7F00", 0x00},
    {0x20, 5, SERVER, "010000", 0x00},
    {0x20, 5, SERVER, "0000", 0x81},
    {0x20, 5, SERVER, "00 87 [1F 0001 'x']", 0x00},
    {0x20, 5, SERVER, "01 87 00", 0x82},
    {0x20, 5, SERVER, "00 01 00", 0x82},
    {0x20, 5, SERVER, "80 00 00", 0x81},
    {0x20, 5, SERVER, "00 00 [24 02]", 0x82},
    {0x20, 5, SERVER, "00 00 00 00", 0x81},
    // SUBACK, UNSUBACK. [v5 3.9, 3.11]
    {0x90, 4, SERVER, "0001 00010280", 0x00},
    {0x90, 3, SERVER, "0001 00", 0x00},
    {0x90, 4, SERVER, "0001", 0x82},
    {0x90, 4, SERVER, "0001 03", 0x82},
    {0x90, 4, SERVER, "0001 87", 0x82},
    {0x90, 5, SERVER, "0001 00 0187", 0x00},
    {0x90, 5, SERVER, "0001 00 11", 0x82},
    {0x90, 5, SERVER, "0001 00", 0x82},
    {0x90, 5, SERVER, "0000 00 00", 0x82},
    {0xB0, 4, SERVER, "0001", 0x00},
    {0xB0, 4, SERVER, "0001 00", 0x81},
    {0xB0, 5, SERVER, "0001 [1F 0001 'x'] 0011", 0x00},
    {0xB0, 5, SERVER, "0001 00 01", 0x82},
    {0xB0, 5, SERVER, "0001", 0x81},
};

START_TEST(rules)
{
    struct mqtt_frame frame = support_frame(RULES[_i].first, RULES[_i].body);
    struct packet packet;
    uint8_t reason = packet_decode(&frame, RULES[_i].version, RULES[_i].sender == CLIENT, &packet);
    ck_assert_msg(reason == RULES[_i].reason, "version %u, %02X %s: %02X", RULES[_i].version, RULES[_i].first,
                  RULES[_i].body, reason);
    packet_release(&packet);
}
END_TEST

START_TEST(ack_fields)
{
    struct mqtt_frame frame = support_frame(0x50, "0102 97 [1F 0003 'why']");
    struct mqtt_ack ack;
    ck_assert_uint_eq(mqtt_decode_ack(&frame, MQTT_V5, &ack), MQTT_SUCCESS);
    ck_assert_uint_eq(ack.type, MQTT_PUBREC);
    ck_assert_uint_eq(ack.packet_id, 258);
    ck_assert_uint_eq(ack.reason, MQTT_QUOTA_EXCEEDED);
    support_assert_str(ack.properties.reason_string, "why");
    frame = support_frame(0x62, "0102");
    ck_assert_uint_eq(mqtt_decode_ack(&frame, MQTT_V5, &ack), MQTT_SUCCESS);
    ck_assert_uint_eq(ack.type, MQTT_PUBREL);
    ck_assert_uint_eq(ack.reason | ack.properties.present | ack.properties.raw.length, 0);
}
END_TEST

START_TEST(filters_are_walked)
{
    struct mqtt_frame frame = support_frame(0x82, "0007 [0B 05] 0003 'a/b' 2D 0000 00 0001 '#' 02");
    struct mqtt_subscribe subscribe;
    ck_assert_uint_eq(mqtt_decode_subscribe(&frame, MQTT_V5, &subscribe), MQTT_SUCCESS);
    ck_assert_uint_eq(subscribe.packet_id, 7);
    ck_assert_uint_eq(subscribe.count, 3);
    ck_assert_uint_eq(subscribe.properties.subscription_identifier, 5);
    struct str rest = subscribe.filters;
    struct mqtt_filter filter;
    ck_assert(mqtt_filter_next(&rest, true, &filter));
    support_assert_str(filter.filter, "a/b");
    ck_assert_uint_eq(filter.options & MQTT_OPTION_QOS, 1);
    ck_assert_uint_eq(filter.options, MQTT_OPTION_RETAIN_AS_PUBLISHED | MQTT_OPTION_NO_LOCAL | 0x20 | 0x01);
    ck_assert(mqtt_filter_next(&rest, true, &filter));
    ck_assert_uint_eq(filter.filter.length, 0);
    ck_assert(mqtt_filter_next(&rest, true, &filter));
    support_assert_str(filter.filter, "#");
    ck_assert(!mqtt_filter_next(&rest, true, &filter));
    frame = support_frame(0xA2, "0007 0003 'a/b' 0001 '+'");
    ck_assert_uint_eq(mqtt_decode_unsubscribe(&frame, MQTT_V3_1_1, &subscribe), MQTT_SUCCESS);
    ck_assert_uint_eq(subscribe.count, 2);
    rest = subscribe.filters;
    ck_assert(mqtt_filter_next(&rest, false, &filter));
    support_assert_str(filter.filter, "a/b");
    ck_assert_uint_eq(filter.options, 0);
}
END_TEST

START_TEST(every_option_byte)
{
    for (uint8_t version = MQTT_V3_1; version <= MQTT_V5; version++) {
        uint8_t body[16];
        size_t count =
            support_parse(version == MQTT_V5 ? "0001 00 0001 'a'" : "0001 0001 'a'", body, sizeof body);
        body[count++] = (uint8_t)_i;
        struct mqtt_frame frame = support_frame_of_bytes(0x82, body, count);
        struct mqtt_subscribe subscribe;
        uint8_t expected = MQTT_SUCCESS;
        if (version < MQTT_V5 ? _i > 2 : (_i & 0xC0) != 0)
            expected = MQTT_MALFORMED_PACKET;
        else if ((_i & 3) == 3 || (_i & 0x30) == 0x30)
            expected = MQTT_PROTOCOL_ERROR;
        ck_assert_uint_eq(mqtt_decode_subscribe(&frame, version, &subscribe), expected);
    }
}
END_TEST

// Every reason code in every packet that carries one: what reason.h allows decodes, the rest is a Protocol
// Error.
START_TEST(every_reason_code)
{
    static const uint8_t types[] = {MQTT_CONNACK, MQTT_PUBACK,   MQTT_PUBREC,     MQTT_PUBREL, MQTT_PUBCOMP,
                                    MQTT_SUBACK,  MQTT_UNSUBACK, MQTT_DISCONNECT, MQTT_AUTH};
    for (size_t i = 0; i < sizeof types; i++) {
        for (int sender = SERVER; sender <= CLIENT; sender++) {
            uint8_t type = types[i];
            uint8_t body[16] = {0};
            size_t count = 0;
            if (type == MQTT_SUBACK || type == MQTT_UNSUBACK)
                count = support_parse("0001 00", body, sizeof body);
            else if (type == MQTT_CONNACK)
                count = 1;
            else if (type < MQTT_DISCONNECT)
                count = support_parse("0001", body, sizeof body);
            body[count++] = (uint8_t)_i;
            if (type == MQTT_AUTH)
                count += support_parse("[15 0001 'm']", body + count, 8);
            else if (type != MQTT_SUBACK && type != MQTT_UNSUBACK)
                body[count++] = 0;
            struct mqtt_frame frame =
                support_frame_of_bytes((uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0)), body, count);
            // Who sends CONNACK, SUBACK and UNSUBACK is not asked: the broker has no decoder for them.
            bool only_server = type == MQTT_CONNACK || type == MQTT_SUBACK || type == MQTT_UNSUBACK;
            bool allowed = mqtt_reason_allowed_from(sender == CLIENT && !only_server, type, (uint8_t)_i);
            struct packet packet;
            uint8_t reason = packet_decode(&frame, MQTT_V5, sender == CLIENT, &packet);
            ck_assert_msg(reason == (allowed ? MQTT_SUCCESS : MQTT_PROTOCOL_ERROR), "type %u code %02X: %02X",
                          type, _i, reason);
        }
    }
}
END_TEST

static void assert_bytes(const uint8_t *actual, size_t size, const char *expected)
{
    uint8_t bytes[128];
    size_t count = support_parse(expected, bytes, sizeof bytes);
    ck_assert_uint_eq(size, count);
    ck_assert_mem_eq(actual, bytes, count);
}

START_TEST(connack_bytes)
{
    uint8_t out[64];
    struct mqtt_properties properties = {.assigned_client_identifier = STR("x"), .maximum_qos = 1};
    mqtt_set(&properties, MQTT_ASSIGNED_CLIENT_IDENTIFIER);
    mqtt_set(&properties, MQTT_MAXIMUM_QOS);
    struct mqtt_connack connack = {.session_present = true, .properties = &properties};
    assert_bytes(out, mqtt_encode_connack(out, MQTT_V5, &connack), "20 09 01 00 [12 0001 'x' 24 01]");
    assert_bytes(out, mqtt_encode_connack(out, MQTT_V3_1_1, &connack), "20 02 01 00");
    assert_bytes(out, mqtt_encode_connack(out, MQTT_V3_1, &connack), "20 02 00 00");
    // A refusal never has Session Present. [v5 MQTT-3.2.2-6]
    connack.reason = MQTT_NOT_AUTHORIZED;
    connack.properties = NULL;
    assert_bytes(out, mqtt_encode_connack(out, MQTT_V5, &connack), "20 03 00 87 00");
    assert_bytes(out, mqtt_encode_connack(out, MQTT_V3_1_1, &connack), "20 02 00 05");
    // [v3.1.1 MQTT-3.2.2-6]
    connack.reason = MQTT_MALFORMED_PACKET;
    ck_assert_uint_eq(mqtt_encode_connack(out, MQTT_V3_1_1, &connack), 0);
    assert_bytes(out, mqtt_encode_connack(out, MQTT_V5, &connack), "20 03 00 81 00");
}
END_TEST

START_TEST(ack_bytes)
{
    uint8_t out[64];
    struct mqtt_ack ack = {.type = MQTT_PUBREL, .packet_id = 258};
    for (uint8_t version = MQTT_V3_1; version <= MQTT_V5; version++)
        assert_bytes(out, mqtt_encode_ack(out, version, &ack), "62 02 0102");
    ack.reason = MQTT_PACKET_IDENTIFIER_NOT_FOUND;
    assert_bytes(out, mqtt_encode_ack(out, MQTT_V5, &ack), "62 03 0102 92");
    assert_bytes(out, mqtt_encode_ack(out, MQTT_V3_1_1, &ack), "62 02 0102");
    // A User Property comes out of `raw`, its neighbours do not.
    ack.type = MQTT_PUBCOMP;
    ack.reason = MQTT_SUCCESS;
    ack.properties.raw = STR("\x01\x01\x26\0\1k\0\1v\x23\0\1");
    assert_bytes(out, mqtt_encode_ack(out, MQTT_V5, &ack), "70 0B 0102 00 [26 0001 'k' 0001 'v']");
    ck_assert_uint_eq(mqtt_encode_ack(NULL, MQTT_V5, &ack), 13);
    // Nothing in `raw` that an acknowledgement could carry.
    ack.properties.raw = STR("\x01\x01");
    assert_bytes(out, mqtt_encode_ack(out, MQTT_V5, &ack), "70 02 0102");
}
END_TEST

START_TEST(subscribe_bytes)
{
    uint8_t out[64];
    const struct mqtt_filter filters[] = {{STR("a/b"), 0x2E}, {STR("#"), 0x01}};
    assert_bytes(out, mqtt_encode_subscribe(out, MQTT_V5, 1, filters, 2, NULL),
                 "82 0D 0001 00 0003 'a/b' 2E 0001 '#' 01");
    assert_bytes(out, mqtt_encode_subscribe(out, MQTT_V3_1_1, 1, filters, 2, NULL),
                 "82 0C 0001 0003 'a/b' 02 0001 '#' 01");
    assert_bytes(out, mqtt_encode_unsubscribe(out, MQTT_V5, 1, filters, 2, NULL),
                 "A2 0B 0001 00 0003 'a/b' 0001 '#'");
    assert_bytes(out, mqtt_encode_unsubscribe(out, MQTT_V3_1, 1, filters, 2, NULL),
                 "A2 0A 0001 0003 'a/b' 0001 '#'");
    const uint8_t codes[] = {0x00, 0x02, 0x87, 0x80};
    assert_bytes(out, mqtt_encode_suback(out, MQTT_V5, MQTT_SUBACK, 9, codes, 4, NULL),
                 "90 07 0009 00 00028780");
    assert_bytes(out, mqtt_encode_suback(out, MQTT_V3_1_1, MQTT_SUBACK, 9, codes, 4, NULL),
                 "90 06 0009 00028080");
    assert_bytes(out, mqtt_encode_suback(out, MQTT_V3_1, MQTT_SUBACK, 9, codes, 4, NULL),
                 "90 06 0009 00028080");
    assert_bytes(out, mqtt_encode_suback(out, MQTT_V5, MQTT_UNSUBACK, 9, codes + 2, 1, NULL),
                 "B0 04 0009 00 87");
    assert_bytes(out, mqtt_encode_suback(out, MQTT_V3_1_1, MQTT_UNSUBACK, 9, codes + 2, 1, NULL),
                 "B0 02 0009");
}
END_TEST

START_TEST(disconnect_and_ping_bytes)
{
    uint8_t out[64];
    assert_bytes(out, mqtt_encode_ping(out, MQTT_PINGREQ), "C0 00");
    assert_bytes(out, mqtt_encode_ping(out, MQTT_PINGRESP), "D0 00");
    ck_assert_uint_eq(mqtt_encode_ping(NULL, MQTT_PINGRESP), 2);
    struct mqtt_disconnect disconnect = {.reason = MQTT_SUCCESS};
    assert_bytes(out, mqtt_encode_disconnect(out, MQTT_V5, MQTT_DISCONNECT, &disconnect), "E0 00");
    assert_bytes(out, mqtt_encode_disconnect(out, MQTT_V5, MQTT_AUTH, &disconnect), "F0 00");
    disconnect.reason = MQTT_SERVER_SHUTTING_DOWN;
    assert_bytes(out, mqtt_encode_disconnect(out, MQTT_V5, MQTT_DISCONNECT, &disconnect), "E0 01 8B");
    assert_bytes(out, mqtt_encode_disconnect(out, MQTT_V3_1_1, MQTT_DISCONNECT, &disconnect), "E0 00");
    disconnect.properties.reason_string = STR("bye");
    mqtt_set(&disconnect.properties, MQTT_REASON_STRING);
    assert_bytes(out, mqtt_encode_disconnect(out, MQTT_V5, MQTT_DISCONNECT, &disconnect),
                 "E0 08 8B [1F 0003 'bye']");
    disconnect.properties.reason_string.length = 65536;
    ck_assert_uint_eq(mqtt_encode_disconnect(NULL, MQTT_V5, MQTT_DISCONNECT, &disconnect), 0);
    struct mqtt_disconnect auth = {.reason = MQTT_CONTINUE_AUTHENTICATION};
    auth.properties.authentication_method = STR("m");
    mqtt_set(&auth.properties, MQTT_AUTHENTICATION_METHOD);
    assert_bytes(out, mqtt_encode_disconnect(out, MQTT_V5, MQTT_AUTH, &auth), "F0 06 18 [15 0001 'm']");
    ck_assert_uint_eq(mqtt_encode_disconnect(out, MQTT_V3_1_1, MQTT_AUTH, &auth), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mqtt packets");
    TCase *tests = tcase_create("packets");
    tcase_add_checked_fixture(tests, NULL, support_release);
    tcase_add_loop_test(tests, rules, 0, sizeof RULES / sizeof *RULES);
    tcase_add_test(tests, ack_fields);
    tcase_add_test(tests, filters_are_walked);
    tcase_add_loop_test(tests, every_option_byte, 0, 256);
    tcase_add_loop_test(tests, every_reason_code, 0, 256);
    tcase_add_test(tests, connack_bytes);
    tcase_add_test(tests, ack_bytes);
    tcase_add_test(tests, subscribe_bytes);
    tcase_add_test(tests, disconnect_and_ping_bytes);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
