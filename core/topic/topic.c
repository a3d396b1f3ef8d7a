#include "core/topic/topic.h"

#include "core/topic/levels.h"

enum { TOPIC_LONGEST = 65535 };

// '+' is 0x2B and '#' is 0x23: with bit 3 set both are 0x2B, and no other byte is. So one test of eight bytes
// finds both.
static bool has_wildcard(struct str s)
{
    static const uint64_t low = 0x0101010101010101U;
    size_t i = 0;
    for (; i + 8 <= s.length; i += 8) {
        uint64_t word;
        memcpy(&word, s.data + i, sizeof word);
        word = (word | (low * 0x08)) ^ (low * 0x2B);
        if ((word - low) & ~word & (low * 0x80))
            return true;
    }
    for (; i < s.length; i++)
        if ((s.data[i] | 0x08) == '+')
            return true;
    return false;
}

bool topic_is_valid(struct str topic)
{
    return topic.length > 0 && topic.length <= TOPIC_LONGEST && !has_wildcard(topic);
}

bool topic_filter_is_literal(struct str filter)
{
    return !has_wildcard(filter);
}

static bool filter_is_valid(struct str filter)
{
    if (filter.length == 0 || filter.length > TOPIC_LONGEST)
        return false;
    if (!has_wildcard(filter))
        return true;
    for (struct levels at = levels_of(filter); !at.ended; levels_step(&at)) {
        if (level_is(at.level, '#'))
            return at.next > filter.length;
        if (!level_is(at.level, '+') && has_wildcard(at.level))
            return false;
    }
    return true;
}

bool topic_filter_parse(struct str text, struct topic_filter *parsed)
{
    static const struct str share = STR("$share/");
    *parsed = (struct topic_filter){.filter = text};
    if (text.length > TOPIC_LONGEST)
        return false;
    if (str_starts(text, share)) {
        struct levels behind_share = {.text = text};
        levels_read(&behind_share, share.length);
        struct str group = behind_share.level;
        size_t behind = behind_share.next;
        if (group.length == 0 || has_wildcard(group) || behind >= text.length)
            return false;
        parsed->shared = true;
        parsed->group = group;
        parsed->filter = str_make(text.data + behind, text.length - behind);
    }
    return filter_is_valid(parsed->filter);
}

static bool begins_with_wildcard(struct str filter)
{
    return filter.length > 0 && (filter.data[0] == '+' || filter.data[0] == '#');
}

bool topic_matches(struct str filter, struct str topic)
{
    if (topic_is_hidden(topic) && begins_with_wildcard(filter))
        return false;
    struct levels want = levels_of(filter);
    struct levels have = levels_of(topic);
    while (!want.ended) {
        // "a/#" matches "a" as well: the level before '#' is enough. [v5 4.7.1.2]
        if (level_is(want.level, '#'))
            return true;
        if (have.ended || !(level_is(want.level, '+') || str_equal(want.level, have.level)))
            return false;
        levels_step(&want);
        levels_step(&have);
    }
    return have.ended;
}

bool topic_filter_covers(struct str wide, struct str narrow)
{
    if (topic_is_hidden(narrow) && begins_with_wildcard(wide))
        return false;
    // The one pair where a longer filter covers a shorter one: every topic has a first level.
    if (str_equal(wide, STR("+/#")) && str_equal(narrow, STR("#")))
        return true;
    struct levels have = levels_of(wide);
    struct levels need = levels_of(narrow);
    while (!have.ended) {
        if (level_is(have.level, '#'))
            return true;
        if (need.ended || level_is(need.level, '#'))
            return false;
        if (!level_is(have.level, '+') && !str_equal(have.level, need.level))
            return false;
        levels_step(&have);
        levels_step(&need);
    }
    return need.ended;
}

size_t topic_levels(struct str topic)
{
    size_t levels = 1;
    for (size_t i = 0; i < topic.length; i++)
        levels += topic.data[i] == '/';
    return levels;
}
