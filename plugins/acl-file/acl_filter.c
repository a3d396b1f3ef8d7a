#include "acl_parse.h"

#include <string.h>

#define FILTER_BYTES_MAX 65535

static const char *level_fault(const char *level, size_t length, bool is_last)
{
    const char *hash = memchr(level, '#', length);
    if (hash && hash > level && hash[-1] == ' ')
        return "'#' must be a whole level (a comment stands on a line of its own)";
    if (hash && length > 1)
        return "'#' must be a whole level";
    if (hash && !is_last)
        return "'#' must be the last level";
    if (length > 1 && memchr(level, '+', length))
        return "'+' must be a whole level";
    return NULL;
}

const char *acl_filter_fault(const char *filter, size_t length)
{
    if (length > FILTER_BYTES_MAX)
        return "it is longer than 65535 bytes";
    size_t levels = 0;
    for (size_t offset = 0;;) {
        const char *level = filter + offset;
        const char *slash = memchr(level, '/', length - offset);
        size_t level_length = slash ? (size_t)(slash - level) : length - offset;
        const char *fault = level_fault(level, level_length, !slash);
        if (fault)
            return fault;
        if (++levels > ACL_LEVELS_MAX)
            return "it has more than 201 levels";
        if (!slash)
            return NULL;
        offset += level_length + 1;
    }
}

/* Bytes of the well-formed sequence at `text`, 0 when there is none (Unicode 15, table 3-7). */
static size_t utf8_sequence(const unsigned char *text, size_t length)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    size_t need = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || length < need)
        return 0;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (text[1] < low || text[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if (text[i] < 0x80 || text[i] > 0xbf)
            return 0;
    return need;
}

bool acl_text_is_utf8(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t step = utf8_sequence((const unsigned char *)text + i, length - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}
