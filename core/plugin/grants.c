#include "core/plugin/grants.h"

#include <stdlib.h>

#include "core/base/memory.h"
#include "core/plugin/types.h"
#include "core/topic/topic.h"

const struct grant_set *grants_of(const struct grant_set *sets, uint8_t instance)
{
    while (sets && sets->instance != instance)
        sets = sets->next;
    return sets;
}

void grants_free(struct grant_set *sets)
{
    while (sets) {
        struct grant_set *next = sets->next;
        free(sets);
        sets = next;
    }
}

void grants_revoke(struct grant_set *sets)
{
    for (; sets; sets = sets->next) {
        sets->count = 0;
        sets->access = 0;
    }
}

void grants_replace(struct grant_set **sets, uint8_t instance, const struct answer *answer)
{
    for (struct grant_set **link = sets; *link; link = &(*link)->next) {
        if ((*link)->instance != instance)
            continue;
        struct grant_set *old = *link;
        *link = old->next;
        free(old);
        break;
    }
    if (answer->grant_count == 0)
        return;
    size_t bytes = 0;
    for (size_t i = 0; i < answer->grant_count; i++)
        bytes += answer->grants[i].filter.length;
    struct grant_set *set = memory_alloc(sizeof *set + answer->grant_count * sizeof *set->grants + bytes);
    *set = (struct grant_set){.next = *sets, .instance = instance, .count = answer->grant_count};
    char *end = (char *)&set->grants[set->count];
    for (size_t i = 0; i < set->count; i++) {
        struct grant *grant = &set->grants[i];
        *grant = answer->grants[i];
        memcpy(end, grant->filter.data, grant->filter.length);
        grant->filter.data = end;
        end += grant->filter.length;
        set->access |= grant->access;
    }
    *sets = set;
}

// As what a set is asked: one that does not tell wills from other messages, as about any message.
static uint32_t access_in(const struct grant_set *set, uint32_t access)
{
    return access == NOCTULE_ACCESS_WILL && !(set->access & NOCTULE_ACCESS_WILL) ? NOCTULE_ACCESS_PUBLISH
                                                                                 : access;
}

bool grants_take(const struct grant_set *set, uint32_t access)
{
    return set && (set->access & access_in(set, access)) != 0;
}

static bool grant_fits(const struct grant *grant, const struct noctule_access *access, struct str filter)
{
    if (grant->qos_mask != 0 && access->access != NOCTULE_ACCESS_DELIVER &&
        !(grant->qos_mask >> access->qos & 1))
        return false;
    if (access->access == NOCTULE_ACCESS_SUBSCRIBE)
        return grant->exact ? str_equal(grant->filter, filter) : topic_filter_covers(grant->filter, filter);
    bool publishes = (access->access & (NOCTULE_ACCESS_PUBLISH | NOCTULE_ACCESS_WILL)) != 0;
    // A grant that covers no more than QoS 0 says nothing about QoS 1, whether it allows or denies.
    if (publishes &&
        (access->qos > grant->max_qos || (grant->retain != 2 && grant->retain != access->retain)))
        return false;
    return topic_matches(grant->filter, filter);
}

const struct grant *grants_decide(const struct grant_set *set, const struct noctule_access *access,
                                  size_t *index)
{
    uint32_t bit = access_in(set, access->access);
    struct str topic = str_from(access->topic);
    struct topic_filter parsed = {.filter = topic};
    if (access->access == NOCTULE_ACCESS_SUBSCRIBE && !topic_filter_parse(topic, &parsed))
        return NULL;
    for (size_t i = 0; i < set->count; i++) {
        if (!(set->grants[i].access & bit) || !grant_fits(&set->grants[i], access, parsed.filter))
            continue;
        *index = i;
        return &set->grants[i];
    }
    return NULL;
}

// The next level of a filter, which is taken off; false at the end.
static bool level_next(struct str *rest, bool *more, struct str *level)
{
    if (!*more)
        return false;
    const char *slash = rest->length ? memchr(rest->data, '/', rest->length) : NULL;
    *more = slash != NULL;
    size_t length = slash ? (size_t)(slash - rest->data) : rest->length;
    *level = str_make(rest->data, length);
    if (slash)
        *rest = str_make(slash + 1, rest->length - length - 1);
    return true;
}

bool filters_meet(struct str a, struct str b)
{
    bool more_a = true;
    bool more_b = true;
    struct str level_a;
    struct str level_b;
    for (;;) {
        bool has_a = level_next(&a, &more_a, &level_a);
        bool has_b = level_next(&b, &more_b, &level_b);
        // "#" also matches the level above it.
        if ((has_a && str_equal(level_a, STR("#"))) || (has_b && str_equal(level_b, STR("#"))))
            return true;
        if (!has_a || !has_b)
            return has_a == has_b;
        bool wild = str_equal(level_a, STR("+")) || str_equal(level_b, STR("+"));
        if (!wild && !str_equal(level_a, level_b))
            return false;
    }
}

bool grants_cover_delivery(const struct grant_set *set, struct str filter)
{
    struct topic_filter parsed;
    if (!topic_filter_parse(filter, &parsed))
        return false;
    for (size_t i = 0; i < set->count; i++) {
        const struct grant *grant = &set->grants[i];
        if (!(grant->access & NOCTULE_ACCESS_DELIVER))
            continue;
        if (grant->allow && topic_filter_covers(grant->filter, parsed.filter))
            return true;
        if (!grant->allow && filters_meet(grant->filter, parsed.filter))
            return false;
    }
    return false;
}
