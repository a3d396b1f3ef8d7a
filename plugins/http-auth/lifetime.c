// Cache-Control of an answer. [RFC 9111, 5.2.2]
#include "transfer.h"

#include <string.h>

enum { MAX_AGE_DIGITS = 9 };

static bool begins_with(struct noctule_string text, const char *word)
{
    size_t length = strlen(word);
    return text.length >= length && strncasecmp(text.data, word, length) == 0;
}

static struct noctule_string skip(struct noctule_string text, size_t count)
{
    return noctule_string_of(text.data + count, text.length - count);
}

static struct noctule_string trim(struct noctule_string text)
{
    while (text.length > 0 && strchr(" \t\r\n", text.data[0]))
        text = skip(text, 1);
    while (text.length > 0 && strchr(" \t\r\n", text.data[text.length - 1]))
        text.length--;
    return text;
}

static void directive_read(struct transfer_lifetime *lifetime, struct noctule_string directive)
{
    static const char max_age[] = "max-age=";
    if (begins_with(directive, "no-store") || begins_with(directive, "no-cache"))
        lifetime->forbidden = true;
    if (!begins_with(directive, max_age))
        return;
    directive = skip(directive, sizeof max_age - 1);
    if (directive.length > 0 && directive.data[0] == '"')
        directive = skip(directive, 1);
    uint64_t seconds = 0;
    size_t digits = 0;
    while (digits < directive.length && directive.data[digits] >= '0' && directive.data[digits] <= '9') {
        // What is longer is as good as for ever.
        if (digits < MAX_AGE_DIGITS)
            seconds = seconds * 10 + (uint64_t)(directive.data[digits] - '0');
        digits++;
    }
    if (digits == 0)
        return;
    lifetime->said = true;
    lifetime->milliseconds = seconds * 1000;
}

void lifetime_read(struct transfer_lifetime *lifetime, struct noctule_string line)
{
    static const char name[] = "cache-control:";
    if (!begins_with(line, name))
        return;
    line = skip(line, sizeof name - 1);
    while (line.length > 0) {
        const char *comma = memchr(line.data, ',', line.length);
        size_t length = comma ? (size_t)(comma - line.data) : line.length;
        directive_read(lifetime, trim(noctule_string_of(line.data, length)));
        line = skip(line, comma ? length + 1 : length);
    }
}
