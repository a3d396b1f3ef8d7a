// Counted strings: what travels on the data path instead of C strings.
// Any thread; values, no shared state.
// Knows nothing of MQTT: a string here is bytes, possibly with NUL inside.
#ifndef NOCTULE_BASE_STR_H
#define NOCTULE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** A borrowed run of bytes. `data` may be NULL when `length` is 0. */
struct str {
    const char *data;
    size_t length;
};

/** The counted string of a literal: STR("abc"). */
#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})

/** For printf's "%.*s". */
#define STR_ARG(s) (int)(s).length, (s).data ? (s).data : ""

static inline struct str str_of(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

static inline struct str str_make(const void *data, size_t length)
{
    return (struct str){data, length};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.length >= prefix.length &&
           (prefix.length == 0 || memcmp(s.data, prefix.data, prefix.length) == 0);
}

/** A copy on the heap, NUL-terminated behind `length`; the caller frees `data` with free(). */
struct str str_copy(struct str s);

/** A NUL-terminated heap copy as a C string; the caller frees it with free(). */
char *str_to_c(struct str s);

/** printf into a new heap string; the caller frees it with free(). */
char *str_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * Whether `s` is a well-formed UTF-8 encoded string of MQTT: no surrogates, nothing past U+10FFFF,
 * shortest forms only, no U+0000. [v5 1.5.4]
 */
bool str_is_utf8(struct str s);

/** A 64-bit hash with a secret drawn at process start, so that clients cannot choose collisions. */
uint64_t str_hash(struct str s);

/** Number of single-character edits between two words; used to suggest the key that was meant. */
size_t str_distance(struct str a, struct str b);

#endif
