#include "core/base/escape.h"

#include "core/base/memory.h"

/** Where what is shown goes. */
struct sink {
    char *out;
    size_t room;
    size_t length;
    bool full;
};

// All of it or nothing, and nothing more behind it.
static void put(struct sink *sink, const char *bytes, size_t length)
{
    sink->full = sink->full || length > sink->room - sink->length;
    if (sink->full)
        return;
    memcpy(sink->out + sink->length, bytes, length);
    sink->length += length;
}

// `at`, or the beginning of the character that a cut there would split. `s` is UTF-8.
static size_t cut_at(struct str s, size_t at)
{
    while (at > 0 && at < s.length && ((uint8_t)s.data[at] & 0xC0) == 0x80)
        at--;
    return at;
}

static uint8_t byte_at(struct str s, size_t i)
{
    return i < s.length ? (uint8_t)s.data[i] : 0;
}

// The character at `i` if it is one that could end a line, steer a terminal or turn the direction of what
// follows; 0 if it may be shown. `*length` is how many bytes it takes.
static unsigned hidden_character(struct str s, size_t i, bool utf8, size_t *length)
{
    uint8_t first = byte_at(s, i);
    uint8_t second = byte_at(s, i + 1);
    uint8_t third = byte_at(s, i + 2);
    *length = 1;
    if (first < 0x20 || first == 0x7F || (first >= 0x80 && !utf8))
        return 0x100U | first;            // the bit beyond the byte tells NUL from "may be shown"
    if (first == 0xC2 && second < 0xA0) { // U+0080 to U+009F
        *length = 2;
        return second;
    }
    bool turns =
        first == 0xE2 && ((second == 0x80 && (third == 0x8E || third == 0x8F)) || // marks
                          (second == 0x80 && third >= 0xA8 && third <= 0xAE) ||   // separators, overrides
                          (second == 0x81 && third >= 0xA6 && third <= 0xA9));    // isolates
    if (!turns)
        return 0;
    *length = 3;
    return 0x2000U | (unsigned)(second & 0x3F) << 6 | (third & 0x3FU);
}

static void put_hidden(struct sink *sink, unsigned hidden)
{
    static const char hex[] = "0123456789abcdef";
    unsigned code = hidden & 0x2000U ? hidden : hidden & 0xFFU;
    const char escaped[ESCAPED_MAX] = {
        '\\', 'u', hex[code >> 12], hex[code >> 8 & 15], hex[code >> 4 & 15], hex[code & 15]};
    put(sink, escaped, sizeof escaped);
}

size_t escape(struct str text, size_t most, bool quoted, char *out, size_t room)
{
    struct sink sink = {.out = out, .room = room};
    bool utf8 = str_is_utf8(text);
    size_t shown = text.length;
    if (shown > most)
        shown = utf8 ? cut_at(text, most) : most;
    size_t length;
    for (size_t i = 0; i < shown && !sink.full; i += length) {
        unsigned hidden = hidden_character(text, i, utf8, &length);
        const char *byte = &text.data[i];
        if (hidden)
            put_hidden(&sink, hidden);
        else if (quoted && (*byte == '"' || *byte == '\\'))
            put(&sink, (const char[]){'\\', *byte}, 2);
        else
            put(&sink, byte, 1);
    }
    if (shown < text.length)
        put(&sink, "...", 3);
    return sink.length;
}

char *escape_new(struct str text, size_t most, bool quoted)
{
    size_t room = (text.length < most ? text.length : most) * ESCAPED_MAX + 3;
    char *out = memory_alloc(room + 1);
    out[escape(text, most, quoted, out, room)] = '\0';
    return out;
}
