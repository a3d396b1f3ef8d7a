// Topic names and topic filters: validity, matching, and the parts of a shared subscription.
// Any thread; pure functions.
// Must not know who subscribes.
#ifndef NOCTULE_TOPIC_TOPIC_H
#define NOCTULE_TOPIC_TOPIC_H

#include <stdbool.h>

#include "core/base/str.h"

/** Whether `topic` may name a message: 1 to 65535 bytes, no wildcards. UTF-8 is the codec's. [v5 4.7] */
bool topic_is_valid(struct str topic);

/** A filter taken apart; `group` is empty for an ordinary subscription. [v5 4.8.2] */
struct topic_filter {
    struct str group;
    struct str filter; ///< what is matched: behind "$share/GROUP/" for a shared subscription
    bool shared;
};

/** Takes apart, into pieces of `text`; false when filter or share name is invalid. [v5 4.7.1, 4.8.2] */
bool topic_filter_parse(struct str text, struct topic_filter *parsed);

/** Whether a filter (valid, not shared) holds no wildcard: it matches the topic that is spelt as it is. */
bool topic_filter_is_literal(struct str filter);

/**
 * Whether `filter` (valid, not shared) matches `topic` (valid). Wildcards in the first level match no topic
 * that begins with '$'. [v5 4.7.1, 4.7.2]
 */
bool topic_matches(struct str filter, struct str topic);

/** Whether every topic that `narrow` matches is matched by `wide`, too. Both valid, neither shared. */
bool topic_filter_covers(struct str wide, struct str narrow);

/** Number of levels, at least 1. */
size_t topic_levels(struct str topic);

/** Whether it has more than `most` of them: short ones are not even looked at. */
static inline bool topic_is_deeper(struct str topic, uint64_t most)
{
    return topic.length >= most && topic_levels(topic) > most;
}

#endif
