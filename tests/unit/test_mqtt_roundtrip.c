#include "mqtt_roundtrip.h"
#include "mqtt_support.h"

enum { SERVER, CLIENT };

// Packets in the form in which the encoders write them, and the shorter bodies that are packets too. [v5 3]
static const struct sample {
    uint8_t first;
    uint8_t version;
    uint8_t sender;
    const char *body;
    const char *shorter; ///< Remaining Lengths below the whole at which the body may end, as bytes
} SAMPLES[] = {
    {0x10, 5, CLIENT,
     "0004 'MQTT' 05 EE 003C [11 00000E10 15 0001 'm' 16 0002 0001 17 00 19 01 21 0010 22 0005 27 00010000 "
     "26 0001 'k' 0001 'v' 26 0000 0000] 0002 'id' "
     "[01 01 02 0000003C 03 0001 't' 08 0001 'r' 09 0001 FF 18 0000000A 26 0000 0001 'v'] "
     "0001 'w' 0002 00FF 0004 'user' 0003 'p' 00 'w'",
     ""},
    {0x10, 5, CLIENT, "0004 'MQTT' 05 02 0000 00 0000", ""},
    {0x10, 4, CLIENT, "0004 'MQTT' 04 F6 000A 0002 'id' 0003 'w/t' 0000 0001 'u' 0000", ""},
    {0x10, 4, CLIENT, "0004 'MQTT' 84 02 000A 0002 'id'", ""},
    // 3.1 may end before the user name and before the password.
    {0x10, 3, CLIENT, "0006 'MQIsdp' 03 F6 000A 0002 'id' 0003 'w/t' 0000 0001 'u' 0001 'p'", "17 1A"},
    {0x20, 5, SERVER,
     "01 00 [11 00000001 12 0001 'c' 13 0005 15 0001 'm' 16 0001 'd' 1A 0001 'i' 1C 0001 's' 1F 0001 'r' 21 "
     "0001 "
     "22 0001 24 01 25 00 27 00000001 28 01 29 01 2A 00 26 0001 'k' 0001 'v']",
     ""},
    {0x20, 4, SERVER, "01 00", ""},
    {0x20, 4, SERVER, "00 03", ""},
    {0x20, 3, SERVER, "00 05", ""},
    {0x30, 5, SERVER, "0001 't' [01 01 0B 05 23 0007 26 0001 'a' 0001 'b']", ""},
    {0x3B, 5, CLIENT, "0003 'a/b' 0102 [02 00000005 03 0001 'c' 08 0001 'r' 09 0002 0000 26 0000 0000]", ""},
    {0x34, 5, CLIENT, "0000 0102 [23 0001] 'xyz'", "08 09 0A"},
    {0x31, 4, CLIENT, "0003 'a/b'", ""},
    {0x3D, 4, CLIENT, "0003 'a/b' 0102 'xyz'", "07 08 09"},
    {0x32, 3, CLIENT, "0003 'a/b' 0102", ""},
    {0x40, 3, CLIENT, "0102", ""},
    {0x40, 4, SERVER, "0102", ""},
    {0x50, 4, CLIENT, "0102", ""},
    {0x62, 4, CLIENT, "0102", ""},
    {0x70, 4, SERVER, "0102", ""},
    {0x40, 5, CLIENT, "0102", ""},
    {0x50, 5, CLIENT, "0102 87", "02"},
    {0x62, 5, CLIENT, "0102 92 [1F 0001 'x' 26 0000 0000]", "02 03"},
    {0x70, 5, CLIENT, "0102 00 [26 0001 'a' 0000]", "02 03"},
    {0x82, 3, CLIENT, "0102 0003 'a/b' 02", ""},
    {0x82, 4, CLIENT, "0102 0003 'a/b' 02 0001 '#' 00", "08"},
    {0x82, 5, CLIENT, "0102 [0B FFFFFF7F 26 0000 0000] 0003 'a/b' 2D 0000 00", "13"},
    {0x90, 4, SERVER, "0102 000180", "03 04"},
    {0x90, 5, SERVER, "0102 [1F 0001 'x'] 0087", "08"},
    {0xA2, 4, CLIENT, "0102 0003 'a/b' 0001 '#'", "07"},
    {0xA2, 5, CLIENT, "0102 [26 0000 0000] 0003 'a/b'", ""},
    {0xB0, 4, SERVER, "0102", ""},
    {0xB0, 5, SERVER, "0102 00 001187", "04 05"},
    {0xC0, 4, CLIENT, "", ""},
    {0xD0, 5, SERVER, "", ""},
    {0xE0, 4, CLIENT, "", ""},
    {0xE0, 5, CLIENT, "", ""},
    {0xE0, 5, CLIENT, "04", "00"},
    {0xE0, 5, CLIENT, "04 [11 00000005 1F 0001 'x' 26 0000 0000]", "00 01"},
    {0xE0, 5, SERVER, "9C [1C 0001 's' 1F 0001 'x']", "00 01"},
    {0xF0, 5, CLIENT, "18 [15 0001 'm' 16 0001 'd' 1F 0000 26 0000 0000]", ""},
    {0xF0, 5, SERVER, "", ""},
};

static struct mqtt_frame sample_frame(const struct sample *sample)
{
    return support_frame(sample->first, sample->body);
}

START_TEST(encoded_as_decoded)
{
    struct mqtt_frame frame = sample_frame(&SAMPLES[_i]);
    struct packet packet;
    ck_assert_uint_eq(packet_decode(&frame, SAMPLES[_i].version, SAMPLES[_i].sender == CLIENT, &packet),
                      MQTT_SUCCESS);
    ck_assert_uint_eq(packet.version, SAMPLES[_i].version);
    ck_assert_uint_eq(packet_encode(NULL, &packet), frame.size);
    uint8_t *out = support_copy(frame.body + frame.length - frame.size, frame.size);
    memset(out, 0xAA, frame.size);
    ck_assert_uint_eq(packet_encode(out, &packet), frame.size);
    ck_assert_mem_eq(out, frame.body + frame.length - frame.size, frame.size);
    packet_release(&packet);
}
END_TEST

// A body that ends early, in a packet whose Remaining Length says so.
START_TEST(every_truncation)
{
    const struct sample *sample = &SAMPLES[_i];
    struct mqtt_frame whole = sample_frame(sample);
    uint8_t shorter[8];
    size_t count = support_parse(sample->shorter, shorter, sizeof shorter);
    for (uint32_t length = 0; length < whole.length; length++) {
        struct mqtt_frame frame = support_frame_of_bytes(sample->first, whole.body, length);
        struct packet packet;
        uint8_t reason = packet_decode(&frame, sample->version, sample->sender == CLIENT, &packet);
        bool valid = memchr(shorter, (int)length, count) != NULL;
        ck_assert_msg((reason == MQTT_SUCCESS) == valid, "%02X %s cut to %u: %02X", sample->first,
                      sample->body, length, reason);
        ck_assert(valid || reason >= 0x80);
        packet_release(&packet);
    }
}
END_TEST

// What has not arrived is not looked at.
START_TEST(every_prefix)
{
    struct mqtt_frame whole = sample_frame(&SAMPLES[_i]);
    const uint8_t *start = whole.body + whole.length - whole.size;
    for (size_t available = 0; available < whole.size; available++) {
        struct mqtt_frame frame;
        const uint8_t *copy = support_copy(start, available);
        ck_assert_int_eq(mqtt_frame_next(copy, available, 1000, &frame), MQTT_FRAME_INCOMPLETE);
    }
}
END_TEST

// One more byte is a payload, a code, or wrong.
START_TEST(trailing_byte)
{
    struct mqtt_frame whole = sample_frame(&SAMPLES[_i]);
    uint8_t type = whole.type;
    if (type == MQTT_PUBLISH || type == MQTT_SUBACK ||
        (type == MQTT_UNSUBACK && SAMPLES[_i].version == MQTT_V5))
        return;
    uint8_t body[256] = {0};
    ck_assert_uint_lt(whole.length, sizeof body);
    if (whole.length > 0)
        memcpy(body, whole.body, whole.length);
    // 5.0 lets these go on with a Reason Code or an empty property block.
    bool may_go_on =
        SAMPLES[_i].version == MQTT_V5 && ((type == MQTT_DISCONNECT && whole.length < 2) ||
                                           (type >= MQTT_PUBACK && type <= MQTT_PUBCOMP && whole.length < 4));
    struct mqtt_frame frame = support_frame_of_bytes(SAMPLES[_i].first, body, whole.length + 1);
    struct packet packet;
    uint8_t reason = packet_decode(&frame, SAMPLES[_i].version, SAMPLES[_i].sender == CLIENT, &packet);
    ck_assert_uint_eq(reason, may_go_on ? MQTT_SUCCESS : MQTT_MALFORMED_PACKET);
    packet_release(&packet);
}
END_TEST

// Whatever one wrong byte makes of a packet, what still decodes encodes to something that decodes to the
// same.
START_TEST(every_wrong_byte)
{
    const struct sample *sample = &SAMPLES[_i];
    uint8_t body[256];
    size_t length = support_parse(sample->body, body, sizeof body);
    for (size_t place = 0; place < length; place++) {
        const uint8_t right = body[place];
        for (int value = 0; value < 256; value++) {
            body[place] = (uint8_t)value;
            struct mqtt_frame frame = support_frame_of_bytes(sample->first, body, length);
            struct packet packet;
            struct packet again;
            uint8_t first[512];
            uint8_t second[512];
            if (packet_decode(&frame, sample->version, sample->sender == CLIENT, &packet) == MQTT_SUCCESS) {
                size_t size = packet_encode(first, &packet);
                ck_assert_int_eq(mqtt_frame_next(first, size, 512, &frame), MQTT_FRAME_READY);
                ck_assert_uint_eq(frame.size, size);
                ck_assert_uint_eq(packet_decode(&frame, sample->version, sample->sender == CLIENT, &again),
                                  MQTT_SUCCESS);
                ck_assert_uint_eq(packet_encode(second, &again), size);
                ck_assert_mem_eq(first, second, size);
                packet_release(&again);
            }
            packet_release(&packet);
            support_release();
        }
        body[place] = right;
    }
}
END_TEST

int main(void)
{
    const int samples = sizeof SAMPLES / sizeof *SAMPLES;
    Suite *suite = suite_create("mqtt roundtrip");
    TCase *tests = tcase_create("roundtrip");
    tcase_add_checked_fixture(tests, NULL, support_release);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, encoded_as_decoded, 0, samples);
    tcase_add_loop_test(tests, every_truncation, 0, samples);
    tcase_add_loop_test(tests, every_prefix, 0, samples);
    tcase_add_loop_test(tests, trailing_byte, 0, samples);
    tcase_add_loop_test(tests, every_wrong_byte, 0, samples);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
