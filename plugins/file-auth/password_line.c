#include "password_line.h"

#include <string.h>

static struct password_text text_trim(struct password_text text)
{
    while (text.length > 0 && (text.data[0] == ' ' || text.data[0] == '\t')) {
        text.data++;
        text.length--;
    }
    while (text.length > 0 && (text.data[text.length - 1] == ' ' || text.data[text.length - 1] == '\t')) {
        text.length--;
    }
    return text;
}

/** Cuts the line with its end off `rest`; `body` is the line without it. */
static struct password_text line_take(struct password_text *rest, struct password_line *line)
{
    const char *newline = memchr(rest->data, '\n', rest->length);
    size_t length = newline ? (size_t)(newline - rest->data) + 1 : rest->length;
    struct password_text body = {rest->data, length};
    if (newline) {
        body.length--;
        if (body.length > 0 && body.data[body.length - 1] == '\r') {
            body.length--;
        }
    }
    line->whole = (struct password_text){rest->data, length};
    line->end = (struct password_text){rest->data + body.length, length - body.length};
    rest->data += length;
    rest->length -= length;
    return body;
}

bool password_line_next(struct password_lines *lines, struct password_line *line)
{
    if (lines->rest.length == 0) {
        return false;
    }
    *line = (struct password_line){.number = ++lines->number};
    struct password_text body = line_take(&lines->rest, line);
    if (line->number == 1 && body.length >= 3 && memcmp(body.data, "\xEF\xBB\xBF", 3) == 0) {
        body.data += 3;
        body.length -= 3;
    }
    if (text_trim(body).length == 0 || body.data[0] == '#') {
        line->kind = PASSWORD_LINE_BLANK;
        return true;
    }
    const char *colon = memchr(body.data, ':', body.length);
    if (!colon) {
        line->kind = PASSWORD_LINE_MALFORMED;
        return true;
    }
    line->kind = PASSWORD_LINE_ENTRY;
    line->user = text_trim((struct password_text){body.data, (size_t)(colon - body.data)});
    struct password_text field = {colon + 1, body.length - (size_t)(colon + 1 - body.data)};
    const char *second = field.length > 0 ? memchr(field.data, ':', field.length) : NULL;
    if (second) {
        line->more = true;
        field.length = (size_t)(second - field.data);
    }
    line->field = text_trim(field);
    return true;
}

/** Length of the UTF-8 character at the start of `text`, and its code point; 0 when it is none. */
static size_t character_read(const unsigned char *text, size_t length, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text[0];
    size_t size = first < 0x80 ? 1 : first < 0xC0 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (size == 0 || size > length || first > 0xF4) {
        return 0;
    }
    *code = size == 1 ? first : first & (0xFFu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xC0) != 0x80) {
            return 0;
        }
        *code = *code << 6 | (text[i] & 0x3Fu);
    }
    bool surrogate = *code >= 0xD800 && *code <= 0xDFFF;
    return *code < least[size] || *code > 0x10FFFF || surrogate ? 0 : size;
}

const char *password_user_problem(const char *user, size_t length)
{
    if (length == 0) {
        return "the user name is empty";
    }
    if (length > PASSWORD_USER_MAX) {
        return "the user name is longer than 65535 bytes";
    }
    for (size_t i = 0; i < length;) {
        uint32_t code = 0;
        size_t size = character_read((const unsigned char *)user + i, length - i, &code);
        if (size == 0) {
            return "the user name is not UTF-8";
        }
        if (code < 0x20 || (code >= 0x7F && code <= 0x9F)) {
            return "the user name contains a control character";
        }
        if (code == ':') {
            return "the user name contains ':'";
        }
        i += size;
    }
    return NULL;
}
