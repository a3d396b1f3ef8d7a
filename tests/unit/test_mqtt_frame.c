#include "mqtt_support.h"

// First bytes that the standard allows, written out. [v5 table 2-2] 3.1's DUP makes 6A, 8A and AA possible.
static const char VALID_FIRST[] =
    "10 20 30 31 32 33 34 35 3A 3B 3C 3D 40 50 62 6A 70 82 8A 90 A2 AA B0 C0 D0 E0 F0";

START_TEST(first_byte)
{
    uint8_t valid[64];
    size_t count = support_parse(VALID_FIRST, valid, sizeof valid);
    const uint8_t *wanted = memchr(valid, _i, count);
    uint8_t bytes[14] = {(uint8_t)_i, 12};
    struct mqtt_frame frame;
    enum mqtt_frame_state state = mqtt_frame_next(support_copy(bytes, 14), 14, 100, &frame);
    ck_assert_int_eq(state, wanted ? MQTT_FRAME_READY : MQTT_FRAME_MALFORMED);
    ck_assert_uint_eq(frame.type, (unsigned)_i >> 4);
    ck_assert_uint_eq(frame.flags, (unsigned)_i & 15);
    // One byte is enough to know.
    state = mqtt_frame_next(support_copy(bytes, 1), 1, 100, &frame);
    ck_assert_int_eq(state, wanted ? MQTT_FRAME_INCOMPLETE : MQTT_FRAME_MALFORMED);
}
END_TEST

START_TEST(nothing_yet)
{
    struct mqtt_frame frame;
    ck_assert_int_eq(mqtt_frame_next(NULL, 0, 100, &frame), MQTT_FRAME_INCOMPLETE);
    ck_assert_uint_eq(frame.size, 0);
}
END_TEST

static const uint32_t LENGTHS[] = {0, 1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455};
static const size_t LENGTH_SIZES[] = {1, 1, 1, 2, 2, 3, 3, 4, 4};

// [v5 table 2-4 of 1.5.5]
START_TEST(length_boundaries)
{
    uint8_t bytes[5] = {0xC0};
    size_t size = LENGTH_SIZES[_i];
    ck_assert_uint_eq(mqtt_varint_size(LENGTHS[_i]), size);
    ck_assert_ptr_eq(mqtt_varint_write(bytes + 1, LENGTHS[_i]), bytes + 1 + size);
    struct mqtt_frame frame;
    for (size_t given = 1; given <= size; given++) {
        enum mqtt_frame_state state = mqtt_frame_next(support_copy(bytes, given), given, UINT32_MAX, &frame);
        ck_assert_int_eq(state, MQTT_FRAME_INCOMPLETE);
        ck_assert_uint_eq(frame.size, 0);
    }
    const uint8_t *copy = support_copy(bytes, 1 + size);
    enum mqtt_frame_state state = mqtt_frame_next(copy, 1 + size, UINT32_MAX, &frame);
    ck_assert_int_eq(state, LENGTHS[_i] == 0 ? MQTT_FRAME_READY : MQTT_FRAME_INCOMPLETE);
    ck_assert_uint_eq(frame.size, 1 + size + LENGTHS[_i]);
    ck_assert_uint_eq(frame.length, LENGTHS[_i]);
    // The limit counts the fixed header, and is known before the body is there.
    ck_assert_int_eq(mqtt_frame_next(copy, 1 + size, frame.size, &frame), state);
    uint32_t whole = frame.size;
    ck_assert_int_eq(mqtt_frame_next(copy, 1 + size, whole - 1, &frame), MQTT_FRAME_TOO_LARGE);
}
END_TEST

// [v5 MQTT-1.5.5-1]
static const char *const BAD_LENGTHS[] = {"C0 8000",       "C0 FF00",     "C0 808000",   "C0 FFFF00",
                                          "C0 80808000",   "C0 FFFFFF80", "C0 FFFFFFFF", "C0 FFFFFFFF7F",
                                          "C0 8080808001", "C0 81808000"};

START_TEST(length_not_shortest)
{
    uint8_t bytes[8];
    size_t count = support_parse(BAD_LENGTHS[_i], bytes, sizeof bytes);
    struct mqtt_frame frame;
    ck_assert_int_eq(mqtt_frame_next(support_copy(bytes, count), count, UINT32_MAX, &frame),
                     MQTT_FRAME_MALFORMED);
}
END_TEST

START_TEST(two_packets)
{
    uint8_t bytes[16];
    size_t count = support_parse("32 08 0001 'a' 0007 'xyz' C0 00", bytes, sizeof bytes);
    const uint8_t *copy = support_copy(bytes, count);
    struct mqtt_frame frame;
    ck_assert_int_eq(mqtt_frame_next(copy, count, 10, &frame), MQTT_FRAME_READY);
    ck_assert_uint_eq(frame.type, MQTT_PUBLISH);
    ck_assert_uint_eq(frame.flags, 2);
    ck_assert_ptr_eq(frame.body, copy + 2);
    ck_assert_uint_eq(frame.length, 8);
    ck_assert_uint_eq(frame.size, 10);
    ck_assert_int_eq(mqtt_frame_next(copy + 10, count - 10, 10, &frame), MQTT_FRAME_READY);
    ck_assert_uint_eq(frame.type, MQTT_PINGREQ);
    for (size_t given = 2; given < 10; given++) {
        ck_assert_int_eq(mqtt_frame_next(support_copy(bytes, given), given, 10, &frame),
                         MQTT_FRAME_INCOMPLETE);
        ck_assert_uint_eq(frame.size, 10);
    }
}
END_TEST

START_TEST(length_too_short_for_type)
{
    static const struct {
        uint8_t first;
        uint8_t least;
    } types[] = {{0x10, 12}, {0x20, 2}, {0x30, 2}, {0x40, 2}, {0x50, 2}, {0x62, 2}, {0x70, 2}, {0x82, 2},
                 {0x90, 2},  {0xA2, 2}, {0xB0, 2}, {0xC0, 0}, {0xD0, 0}, {0xE0, 0}, {0xF0, 0}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct mqtt_frame frame;
        for (uint8_t length = 0; length <= types[i].least; length++) {
            const uint8_t bytes[2] = {types[i].first, length};
            enum mqtt_frame_state state = mqtt_frame_next(support_copy(bytes, 2), 2, 100, &frame);
            if (length < types[i].least)
                ck_assert_int_eq(state, MQTT_FRAME_MALFORMED);
            else
                ck_assert_int_eq(state, length == 0 ? MQTT_FRAME_READY : MQTT_FRAME_INCOMPLETE);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mqtt frame");
    TCase *tests = tcase_create("frame");
    tcase_add_checked_fixture(tests, NULL, support_release);
    tcase_add_loop_test(tests, first_byte, 0, 256);
    tcase_add_test(tests, nothing_yet);
    tcase_add_loop_test(tests, length_boundaries, 0, sizeof LENGTHS / sizeof *LENGTHS);
    tcase_add_loop_test(tests, length_not_shortest, 0, sizeof BAD_LENGTHS / sizeof *BAD_LENGTHS);
    tcase_add_test(tests, two_packets);
    tcase_add_test(tests, length_too_short_for_type);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
