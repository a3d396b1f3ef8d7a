#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_FIRST = 128 };

// Grows by copying, not by realloc, which would leave the old bytes behind unwiped.
static bool text_grow(struct text *text, size_t needed)
{
    size_t capacity = text->capacity ? text->capacity : CAPACITY_FIRST;
    while (capacity < needed)
        capacity *= 2;
    char *data = malloc(capacity);
    if (!data) {
        text->failed = true;
        return false;
    }
    if (text->data) {
        memcpy(data, text->data, text->length);
        explicit_bzero(text->data, text->length);
        free(text->data);
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void text_add(struct text *text, const void *data, size_t length)
{
    if (length == 0 || text->failed)
        return;
    if (text->capacity - text->length < length && !text_grow(text, text->length + length))
        return;
    memcpy(text->data + text->length, data, length);
    text->length += length;
}

void text_add_byte(struct text *text, uint8_t byte)
{
    text_add(text, &byte, 1);
}

void text_add_c(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_add_decimal(struct text *text, uint64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    text_add(text, digits, (size_t)length);
}

void text_add_raw(struct text *text, uint64_t number)
{
    text_add(text, &number, sizeof number);
}

void text_add_counted(struct text *text, struct noctule_string string)
{
    text_add_raw(text, string.length);
    text_add(text, string.data, string.length);
}

void text_reset(struct text *text)
{
    if (text->data)
        explicit_bzero(text->data, text->length);
    text->length = 0;
    text->failed = false;
}

void text_free(struct text *text)
{
    text_reset(text);
    free(text->data);
    *text = (struct text){0};
}
