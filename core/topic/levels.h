// Steps through the levels of a topic name or filter. Internal to this room.
// Any thread; values.
// Must not know what the levels mean, wildcards apart.
#ifndef NOCTULE_TOPIC_LEVELS_H
#define NOCTULE_TOPIC_LEVELS_H

#include "core/base/str.h"

/** `level` is the current one, without its '/'; an empty level is a level. [v5 4.7.3] */
struct levels {
    struct str text;
    struct str level;
    size_t next; ///< where the following level begins; past the end of `text` when there is none
    bool ended;  ///< stepped past the last one
};

static inline void levels_read(struct levels *levels, size_t from)
{
    const char *start = levels->text.data + from;
    size_t left = levels->text.length - from;
    const char *slash = left > 0 ? memchr(start, '/', left) : NULL;
    levels->level = str_make(start, slash ? (size_t)(slash - start) : left);
    levels->next = from + levels->level.length + 1;
}

static inline struct levels levels_of(struct str text)
{
    struct levels levels = {.text = text};
    levels_read(&levels, 0);
    return levels;
}

static inline void levels_step(struct levels *levels)
{
    if (levels->next > levels->text.length)
        levels->ended = true;
    else
        levels_read(levels, levels->next);
}

static inline bool level_is(struct str level, char wildcard)
{
    return level.length == 1 && level.data[0] == wildcard;
}

/** Topics that begin with '$' are hidden from wildcards in the first level. [v5 4.7.2] */
static inline bool topic_is_hidden(struct str topic)
{
    return topic.length > 0 && topic.data[0] == '$';
}

#endif
