// Helpers of the codec's tests: packets written as text, kept in heap buffers of exactly their size.
// One thread. The buffers live until support_release, which the tests' fixture calls.
// Must not know expected results.
#ifndef NOCTULE_TESTS_MQTT_SUPPORT_H
#define NOCTULE_TESTS_MQTT_SUPPORT_H

#include <check.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/mqtt/packet.h"

static void *support_kept[65536];
static size_t support_count;

/** A heap copy of exactly `length` bytes, so that the sanitizer sees a read past its end. */
static inline uint8_t *support_copy(const void *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    ck_assert_ptr_nonnull(copy);
    ck_assert_uint_lt(support_count, sizeof support_kept / sizeof *support_kept);
    support_kept[support_count++] = copy;
    // With no bytes the one byte allocated is behind the end that the caller is told; nothing may read it.
    return length > 0 ? memcpy(copy, bytes, length) : copy + 1;
}

static inline void support_release(void)
{
    while (support_count > 0)
        free(support_kept[--support_count]);
}

/**
 * Parses "0004 'MQTT' 05 [21 0010]": hexadecimal bytes, quoted characters as they stand, and in brackets a
 * block that its length in one byte precedes. Returns the number of bytes written to `out`, which has room
 * for `room`.
 */
static inline size_t support_parse(const char *text, uint8_t *out, size_t room)
{
    size_t count = 0;
    size_t block = 0;
    while (*text != '\0') {
        if (*text == ' ') {
            text++;
            continue;
        }
        if (*text == ']') {
            ck_assert_uint_lt(count - block, 128);
            out[block - 1] = (uint8_t)(count - block);
            text++;
            continue;
        }
        ck_assert_uint_lt(count, room);
        if (*text == '[') {
            block = ++count;
            text++;
            continue;
        }
        if (*text == '\'') {
            for (text++; *text != '\''; text++) {
                ck_assert_uint_lt(count, room);
                out[count++] = (uint8_t)*text;
            }
            text++;
            continue;
        }
        ck_assert_msg(isxdigit((unsigned char)text[0]) && isxdigit((unsigned char)text[1]), "bad text: %s",
                      text);
        const char pair[3] = {text[0], text[1], '\0'};
        out[count++] = (uint8_t)strtoul(pair, NULL, 16);
        text += 2;
    }
    return count;
}

/** The frame of `first`, a right Remaining Length and `length` bytes of body. */
static inline struct mqtt_frame support_frame_of_bytes(uint8_t first, const void *body, size_t length)
{
    size_t header = 1 + mqtt_varint_size((uint32_t)length);
    uint8_t *packet = malloc(header + length);
    packet[0] = first;
    mqtt_varint_write(packet + 1, (uint32_t)length);
    if (length > 0)
        memcpy(packet + header, body, length);
    uint8_t *kept = support_copy(packet, header + length);
    free(packet);
    struct mqtt_frame frame;
    enum mqtt_frame_state state = mqtt_frame_next(kept, header + length, UINT32_MAX, &frame);
    if (state == MQTT_FRAME_MALFORMED) {
        // Too short for its type: let the decoder see it nevertheless, it has to stand on its own.
        frame = (struct mqtt_frame){first >> 4, first & 0x0F, kept + header, (uint32_t)length,
                                    (uint32_t)(header + length)};
    } else {
        ck_assert_int_eq(state, MQTT_FRAME_READY);
    }
    return frame;
}

static inline struct mqtt_frame support_frame(uint8_t first, const char *body)
{
    static uint8_t bytes[70000];
    return support_frame_of_bytes(first, bytes, support_parse(body, bytes, sizeof bytes));
}

static inline void support_assert_str(struct str actual, const char *expected)
{
    ck_assert_msg(str_equal(actual, str_of(expected)), "\"%.*s\" is not \"%s\"", STR_ARG(actual), expected);
}

/** Runs the suite and prints Check's closing line; the exit code of the program. */
static inline int support_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
