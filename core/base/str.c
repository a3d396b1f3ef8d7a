#include "core/base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <xxhash.h>

#include "core/base/memory.h"

struct str str_copy(struct str s)
{
    return (struct str){str_to_c(s), s.length};
}

char *str_to_c(struct str s)
{
    char *copy = memory_alloc(s.length + 1);
    if (s.length > 0)
        memcpy(copy, s.data, s.length);
    copy[s.length] = '\0';
    return copy;
}

char *str_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        memory_exhausted();
    return text;
}

// The lead byte of a sequence decides its length and the range of its second byte (Unicode, table 3-7).
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    size_t length;
    uint8_t low = 0x80;
    uint8_t high = 0xBF;
    if (lead >= 0xC2 && lead <= 0xDF) {
        length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
        length = 3;
        if (lead == 0xE0)
            low = 0xA0;
        else if (lead == 0xED)
            high = 0x9F;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
        length = 4;
        if (lead == 0xF0)
            low = 0x90;
        else if (lead == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    if (left < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

// How many of eight bytes stand before the first one that is marked. The test for zero bytes may mark bytes
// behind a zero wrongly, never one before it.
static size_t plain_bytes(uint64_t marks)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(marks) / 8;
#else
    (void)marks;
    return 0;
#endif
}

bool str_is_utf8(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.data;
    size_t left = s.length;
    while (left > 0) {
        // Eight ASCII bytes at a time: none has its high bit set, and none is zero.
        while (left >= 8) {
            uint64_t word;
            memcpy(&word, p, 8);
            uint64_t zero = (word - 0x0101010101010101U) & ~word;
            uint64_t special = (zero | word) & 0x8080808080808080U;
            if (special) {
                size_t plain = plain_bytes(special);
                p += plain;
                left -= plain;
                break;
            }
            p += 8;
            left -= 8;
        }
        if (left == 0)
            break;
        if (*p == 0)
            return false;
        size_t length = *p < 0x80 ? 1 : utf8_sequence(p, left);
        if (length == 0)
            return false;
        p += length;
        left -= length;
    }
    return true;
}

static uint64_t hash_seed;

// Before main, so that a hash costs no look at whether the seed is there.
__attribute__((constructor)) static void hash_draw_seed(void)
{
    if (getrandom(&hash_seed, sizeof hash_seed, 0) != (ssize_t)sizeof hash_seed)
        hash_seed = (uint64_t)(uintptr_t)&hash_seed * 0x9E3779B97F4A7C15U;
}

uint64_t str_hash(struct str s)
{
    return XXH3_64bits_withSeed(s.data ? s.data : "", s.length, hash_seed);
}

size_t str_distance(struct str a, struct str b)
{
    size_t row[65];
    if (a.length > 64 || b.length > 64)
        return a.length > b.length ? a.length : b.length;
    for (size_t j = 0; j <= b.length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.length; j++) {
            size_t replace = diagonal + (a.data[i - 1] != b.data[j - 1]);
            size_t insert = row[j - 1] + 1;
            size_t remove = row[j] + 1;
            diagonal = row[j];
            row[j] = replace < insert ? replace : insert;
            if (remove < row[j])
                row[j] = remove;
        }
    }
    return row[b.length];
}
