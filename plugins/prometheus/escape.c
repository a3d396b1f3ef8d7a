#include "escape.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

/* The length of the character that begins at `at`, or 0 when it is no UTF-8 [RFC 3629]. */
static size_t utf8_length(const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : at[0] >> 3 == 30 ? 4 : 0;
    if (length < 2 || length > left)
        return length > left ? 0 : length;
    uint32_t code = at[0] & (0x7FU >> length);
    for (size_t i = 1; i < length; i++) {
        if (at[i] >> 6 != 2)
            return 0;
        code = code << 6 | (at[i] & 0x3FU);
    }
    if (code < least[length] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    return length;
}

/* How a character is written; NULL: as it is. */
static const char *replacement(uint8_t first, size_t length, enum escape_place place)
{
    if (length == 0)
        return "\xEF\xBF\xBD"; /* U+FFFD */
    if (first == '\\')
        return "\\\\";
    if (first == '\n')
        return "\\n";
    if (first == '"' && place == ESCAPE_LABEL)
        return "\\\"";
    /* Terminals obey them; nobody needs them in a label. */
    return first < 0x20 || first == 0x7F ? "\xEF\xBF\xBD" : NULL;
}

bool escape_add(struct evbuffer *out, struct noctule_string text, enum escape_place place)
{
    size_t left = text.length < ESCAPE_MOST ? text.length : ESCAPE_MOST;
    const uint8_t *at = (const uint8_t *)text.data;
    bool done = true;
    while (left > 0) {
        size_t length = utf8_length(at, left);
        const char *instead = replacement(*at, length, place);
        size_t used = length ? length : 1;
        done &= instead ? evbuffer_add(out, instead, strlen(instead)) == 0 : evbuffer_add(out, at, used) == 0;
        at += used;
        left -= used;
    }
    return done;
}

static bool label_add(struct evbuffer *out, const char *prefix, const char *name, struct noctule_string value)
{
    const char *comma = evbuffer_get_length(out) > 0 ? "," : "";
    bool done = evbuffer_add_printf(out, "%s%s%s=\"", comma, prefix, name) >= 0;
    done &= escape_add(out, value, ESCAPE_LABEL);
    return done & (evbuffer_add(out, "\"", 1) == 0);
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {"plugin", "verdict", "le", "quantile", ""};
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        if (strcmp(name, ours[i]) == 0)
            return true;
    return false;
}

bool escape_label(struct evbuffer *out, struct noctule_string name, struct noctule_string value)
{
    char safe[64];
    size_t length = name.length < sizeof(safe) - 1 ? name.length : sizeof(safe) - 1;
    for (size_t i = 0; i < length; i++)
        safe[i] = isalnum((unsigned char)name.data[i]) ? name.data[i] : '_';
    safe[length] = '\0';
    bool prefixed = is_ours(safe) || isdigit((unsigned char)*safe) || *safe == '_';
    return label_add(out, prefixed ? "label_" : "", safe, value);
}

bool escape_own_label(struct evbuffer *out, const char *name, struct noctule_string value)
{
    return label_add(out, "", name, value);
}
