#include "acl_walk.h"

/* Reads a pattern's text with the values filled in, byte by byte, without building it anywhere. Values hold
 * no wildcard (such clients may not use patterns), so a wildcard byte is always one of the pattern's own. */
struct cursor {
    const struct acl_walk *walk;
    const char *pattern;
    const char *pattern_end;
    const char *value;
    const char *value_end;
};

#define CURSOR_END (-1)

static int cursor_peek(struct cursor *cursor)
{
    for (;;) {
        if (cursor->value < cursor->value_end)
            return (unsigned char)*cursor->value;
        if (cursor->pattern == cursor->pattern_end)
            return CURSOR_END;
        const char *at = cursor->pattern;
        if (at[0] != '%' || at + 1 == cursor->pattern_end || (at[1] != 'c' && at[1] != 'u'))
            return (unsigned char)*at;
        const struct acl_value *value = at[1] == 'c' ? &cursor->walk->client : &cursor->walk->user;
        cursor->value = value->text;
        cursor->value_end = value->text + value->length;
        cursor->pattern += 2;
    }
}

/* Only after cursor_peek has returned a byte. */
static void cursor_advance(struct cursor *cursor)
{
    if (cursor->value < cursor->value_end)
        cursor->value++;
    else
        cursor->pattern++;
}

static bool cursor_in_level(struct cursor *cursor)
{
    int byte = cursor_peek(cursor);
    return byte != CURSOR_END && byte != '/';
}

/* Is the rest of the pattern exactly "/#"? Uses the cursor up. */
static bool cursor_ends_open(struct cursor *cursor)
{
    if (cursor_peek(cursor) != '/')
        return false;
    cursor_advance(cursor);
    return cursor_peek(cursor) == '#';
}

/* Both stand at the start of a level. Moves the cursor to the level's end; false when the levels do not go
 * together. */
static bool level_relates(struct cursor *cursor, const struct acl_level *level, bool first,
                          enum acl_relation relation)
{
    bool is_plus = acl_level_is(level, '+');
    int byte = cursor_peek(cursor);
    if (byte == '+') {
        cursor_advance(cursor);
        return true;
    }
    if (is_plus) {
        if (relation == ACL_INCLUDES || (first && byte == '$'))
            return false;
        while (cursor_in_level(cursor))
            cursor_advance(cursor);
        return true;
    }
    for (size_t i = 0; i < level->length; i++) {
        if (!cursor_in_level(cursor) || cursor_peek(cursor) != (unsigned char)level->text[i])
            return false;
        cursor_advance(cursor);
    }
    return !cursor_in_level(cursor);
}

bool acl_tail_relates(const struct acl_walk *walk, const struct acl_tail *tail, size_t offset,
                      enum acl_relation relation)
{
    const char *pattern = walk->rules->text + tail->text;
    struct cursor cursor = {.walk = walk, .pattern = pattern, .pattern_end = pattern + tail->text_length};
    for (size_t at = offset;;) {
        struct acl_level level = acl_level_at(walk, at);
        if (cursor_peek(&cursor) == '#')
            return true;
        if (acl_level_is(&level, '#'))
            return relation == ACL_MEETS && !(at == 0 && cursor_peek(&cursor) == '$');
        if (!level_relates(&cursor, &level, at == 0, relation))
            return false;
        bool text_ended = level.next > walk->length;
        bool pattern_ended = cursor_peek(&cursor) == CURSOR_END;
        if (text_ended && pattern_ended)
            return true;
        if (text_ended)
            return cursor_ends_open(&cursor);
        at = level.next;
        if (pattern_ended) { /* the filter "a/#" has "a" as well */
            level = acl_level_at(walk, at);
            return relation == ACL_MEETS && acl_level_is(&level, '#');
        }
        cursor_advance(&cursor);
    }
}
