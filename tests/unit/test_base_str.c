// Counted strings: UTF-8 against a decoder that does everything the slow way, copies, hashes, distances.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/base/str.h"

// Decodes one code point by the definition: as many continuation bytes as the lead byte asks for, and then
// the value tells whether the form was the shortest and the code point one that may be encoded.
static bool naive_is_utf8(const uint8_t *p, size_t length)
{
    size_t i = 0;
    while (i < length) {
        uint32_t code = p[i];
        size_t more;
        if (code < 0x80)
            more = 0;
        else if (code >= 0xC0 && code < 0xE0)
            more = 1;
        else if (code >= 0xE0 && code < 0xF0)
            more = 2;
        else if (code >= 0xF0 && code < 0xF8)
            more = 3;
        else
            return false;
        static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};
        static const uint32_t lead_bits[] = {0x7F, 0x1F, 0x0F, 0x07};
        code &= lead_bits[more];
        for (size_t j = 1; j <= more; j++) {
            if (i + j >= length || (p[i + j] & 0xC0) != 0x80)
                return false;
            code = code << 6 | (p[i + j] & 0x3FU);
        }
        if (code < least[more] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
            return false;
        i += more + 1;
    }
    return true;
}

static void compare(const uint8_t *bytes, size_t length)
{
    bool wanted = naive_is_utf8(bytes, length);
    if (str_is_utf8(str_make(bytes, length)) != wanted) {
        char text[64] = "";
        for (size_t i = 0; i < length && i < 20; i++)
            sprintf(text + 3 * i, "%02x ", bytes[i]);
        ck_abort_msg("%s(%zu bytes) should be %s", text, length, wanted ? "valid" : "invalid");
    }
}

// A copy of exactly this size, so that reading past the end is seen by the sanitizer.
static void compare_copy(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = memory_alloc(length);
    memcpy(copy, bytes, length);
    compare(copy, length);
    free(copy);
}

START_TEST(every_three_bytes)
{
    for (unsigned first = 0; first < 256; first++) {
        uint8_t bytes[3] = {(uint8_t)first};
        compare(bytes, 1);
        for (unsigned second = 0; second < 256; second++) {
            bytes[1] = (uint8_t)second;
            compare(bytes, 2);
            for (unsigned third = 0; third < 256; third++) {
                bytes[2] = (uint8_t)third;
                compare(bytes, 3);
            }
        }
    }
}
END_TEST

// Every second byte, and for the others those at the borders of what they may be.
START_TEST(four_bytes)
{
    static const uint8_t borders[] = {0x00, 0x01, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xE0, 0xFF};
    uint8_t bytes[5] = {(uint8_t)_i};
    for (unsigned second = 0; second < 256; second++)
        for (size_t i = 0; i < sizeof borders; i++)
            for (size_t j = 0; j < sizeof borders; j++)
                for (size_t k = 0; k < sizeof borders; k++) {
                    bytes[1] = (uint8_t)second;
                    bytes[2] = borders[i];
                    bytes[3] = borders[j];
                    bytes[4] = borders[k];
                    compare(bytes, 4);
                    compare(bytes, 5);
                }
}
END_TEST

static size_t encode(uint32_t code, uint8_t *out)
{
    if (code < 0x80) {
        out[0] = (uint8_t)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = length; i-- > 1; code >>= 6)
        out[i] = (uint8_t)(0x80 | (code & 0x3F));
    out[0] = (uint8_t)(lead[length] | code);
    return length;
}

START_TEST(every_code_point)
{
    for (uint32_t code = 0; code <= 0x1FFFFF; code++) {
        uint8_t bytes[4];
        size_t length = encode(code, bytes);
        bool valid = code != 0 && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
        if (str_is_utf8(str_make(bytes, length)) != valid)
            ck_abort_msg("U+%04X", code);
        if (length > 1 && str_is_utf8(str_make(bytes, length - 1)))
            ck_abort_msg("U+%04X without its last byte", code);
    }
}
END_TEST

// Something special at every place of a text that is otherwise read eight bytes at a time, from every
// alignment, for every length.
START_TEST(every_place)
{
    static const char *const inserts[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                                          "\x80",     "\xC3",         "\xED\xA0\x80",
                                          "\xFF",     "\x01",         "\x7F"};
    uint8_t text[64];
    for (size_t length = 0; length <= 40; length++)
        for (size_t at = 0; at < length; at++)
            for (size_t which = 0; which <= sizeof inserts / sizeof *inserts; which++) {
                memset(text, 'a', sizeof text);
                bool nul = which == sizeof inserts / sizeof *inserts;
                size_t size = nul ? 1 : strlen(inserts[which]);
                memcpy(text + at, nul ? "" : inserts[which], size);
                compare_copy(text, length); // the end may cut the insert in two
                for (size_t offset = 1; offset < 8 && offset < length; offset++)
                    compare(text + offset, length - offset);
            }
}
END_TEST

START_TEST(random_bytes)
{
    uint8_t text[48];
    srandom(7);
    for (int round = 0; round < 300000; round++) {
        size_t length = (size_t)random() % 30;
        size_t filled = 0;
        while (filled < length) {
            uint32_t code = (uint32_t)random() % 4 ? (uint32_t)random() % 128 : (uint32_t)random() % 0x110000;
            filled += encode(code, text + filled);
        }
        if (random() % 3 == 0 && filled > 0)
            text[(size_t)random() % filled] = (uint8_t)random();
        compare(text, filled);
    }
}
END_TEST

START_TEST(empty)
{
    ck_assert(str_is_utf8((struct str){0}));
    ck_assert(str_equal((struct str){0}, STR("")));
    ck_assert(str_starts(STR("abc"), (struct str){0}));
    ck_assert(!str_starts((struct str){0}, STR("a")));
    struct str copy = str_copy((struct str){0});
    ck_assert_str_eq(copy.data, "");
    free((char *)(uintptr_t)copy.data);
    ck_assert_uint_eq(str_of(NULL).length, 0);
    ck_assert_uint_eq(str_hash((struct str){0}), str_hash(STR("")));
}
END_TEST

START_TEST(copies)
{
    const struct str bytes = STR("with\0NUL");
    struct str copy = str_copy(bytes);
    ck_assert_uint_eq(copy.length, 8);
    ck_assert_mem_eq(copy.data, bytes.data, 9);
    ck_assert_ptr_ne(copy.data, bytes.data);
    ck_assert(str_equal(copy, bytes));
    ck_assert(str_starts(copy, STR("with")));
    ck_assert(!str_starts(copy, STR("wits")));
    free((char *)(uintptr_t)copy.data);
    char *text = str_format("%d %.*s", 42, STR_ARG(STR("xyz")));
    ck_assert_str_eq(text, "42 xyz");
    free(text);
}
END_TEST

// Words of equal beginning and words that differ in one bit spread over the buckets of a table.
START_TEST(hashes)
{
    enum { WORDS = 65536, BUCKETS = 4096 };
    static unsigned buckets[BUCKETS];
    for (unsigned i = 0; i < WORDS; i++) {
        char word[24];
        int length = snprintf(word, sizeof word, "client-%u", i);
        buckets[str_hash(str_make(word, (size_t)length)) % BUCKETS]++;
        ck_assert_uint_eq(str_hash(str_make(word, (size_t)length)), str_hash(str_of(word)));
    }
    for (unsigned i = 0; i < BUCKETS; i++)
        ck_assert_uint_lt(buckets[i], 50); // 16 in the mean
}
END_TEST

static size_t naive_distance(const char *a, const char *b)
{
    if (!*a || !*b)
        return strlen(a) + strlen(b);
    size_t best = naive_distance(a + 1, b + 1) + (*a != *b);
    size_t without_a = naive_distance(a + 1, b) + 1;
    size_t without_b = naive_distance(a, b + 1) + 1;
    best = without_a < best ? without_a : best;
    return without_b < best ? without_b : best;
}

START_TEST(distances)
{
    srandom(3);
    for (int round = 0; round < 400; round++) {
        char a[7] = "";
        char b[7] = "";
        for (long i = random() % 6; i >= 0; i--)
            a[i] = (char)('a' + random() % 3);
        for (long i = random() % 6; i >= 0; i--)
            b[i] = (char)('a' + random() % 3);
        ck_assert_uint_eq(str_distance(str_of(a), str_of(b)), naive_distance(a, b));
    }
    ck_assert_uint_eq(str_distance(STR(""), STR("abc")), 3);
    ck_assert_uint_eq(str_distance(STR("lisener"), STR("listener")), 1);
    char longest[65];
    memset(longest, 'x', sizeof longest);
    ck_assert_uint_eq(str_distance(str_make(longest, 64), str_make(longest, 64)), 0);
    ck_assert_uint_eq(str_distance(str_make(longest, 65), STR("x")), 65);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base str");
    TCase *tests = tcase_create("str");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, every_three_bytes);
    tcase_add_loop_test(tests, four_bytes, 0xEF, 0xF6);
    tcase_add_test(tests, every_code_point);
    tcase_add_test(tests, every_place);
    tcase_add_test(tests, random_bytes);
    tcase_add_test(tests, empty);
    tcase_add_test(tests, copies);
    tcase_add_test(tests, hashes);
    tcase_add_test(tests, distances);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
