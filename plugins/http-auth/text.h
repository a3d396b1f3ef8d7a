// A text that grows while it is written: request bodies, keys, answers. Its bytes are wiped when they go.
// Any thread, one at a time for each text.
// Must not know what is written.
#ifndef HTTP_AUTH_TEXT_H
#define HTTP_AUTH_TEXT_H

#include <noctule/plugin.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Zero-initialised is empty. Once memory was gone, `failed` is set and nothing more is added. */
struct text {
    char *data;
    size_t length;
    size_t capacity;
    bool failed;
};

void text_add(struct text *text, const void *data, size_t length);
void text_add_byte(struct text *text, uint8_t byte);
/** A C string. */
void text_add_c(struct text *text, const char *string);
/** In decimal. */
void text_add_decimal(struct text *text, uint64_t number);
/** Eight bytes in the machine's order: for keys, which never leave the process. */
void text_add_raw(struct text *text, uint64_t number);
/** Its length, raw, then its bytes: so that no two lists of strings are the same key. */
void text_add_counted(struct text *text, struct noctule_string string);

/** Wipes what is written and begins anew; the memory stays for the next use. */
void text_reset(struct text *text);
/** Wipes and frees. */
void text_free(struct text *text);

static inline struct noctule_string text_string(const struct text *text)
{
    return noctule_string_of(text->data, text->length);
}

#endif
