#include "core/plugin/verdict_cache.h"

#include <stdlib.h>

#include "core/base/memory.h"

enum { CAPACITY_FIRST = 4 };

struct cached_verdict {
    uint64_t until_ms;
    noctule_verdict verdict;
    uint32_t flags;
    uint32_t reason_length;
    uint16_t topic_length;
    uint8_t access;
    uint8_t qos;
    uint8_t retain;
    uint8_t instance;
    uint8_t reason_code;
    char bytes[]; ///< topic, then reason
};

static uint32_t hash_of(uint8_t instance, const struct noctule_access *access)
{
    uint64_t hash = str_hash(str_from(access->topic));
    uint32_t rest =
        (uint32_t)instance << 16 | access->access << 8 | (uint32_t)access->qos << 1 | access->retain;
    return (uint32_t)(hash ^ hash >> 32) ^ rest * 0x9E3779B1U;
}

static bool is_about(const struct cached_verdict *cached, uint8_t instance,
                     const struct noctule_access *access)
{
    return cached->instance == instance && cached->access == access->access && cached->qos == access->qos &&
           cached->retain == access->retain &&
           str_equal(str_make(cached->bytes, cached->topic_length), str_from(access->topic));
}

// Index of the verdict, or the number of verdicts.
static unsigned place_of(const struct verdict_cache *cache, uint8_t instance,
                         const struct noctule_access *access, uint32_t hash)
{
    unsigned i = 0;
    while (i < cache->count && (cache->hashes[i] != hash || !is_about(cache->verdicts[i], instance, access)))
        i++;
    return i;
}

bool verdict_cache_find(const struct verdict_cache *cache, uint8_t instance,
                        const struct noctule_access *access, uint64_t now_ms, struct opinion *opinion,
                        uint64_t *until_ms)
{
    if (cache->count == 0)
        return false;
    unsigned place = place_of(cache, instance, access, hash_of(instance, access));
    if (place == cache->count || cache->verdicts[place]->until_ms <= now_ms)
        return false;
    const struct cached_verdict *cached = cache->verdicts[place];
    *until_ms = cached->until_ms;
    *opinion = (struct opinion){.verdict = cached->verdict,
                                .answer = {.flags = cached->flags, .reason_code = cached->reason_code}};
    if (cached->reason_length)
        opinion->answer.reason = str_make(cached->bytes + cached->topic_length, cached->reason_length);
    return true;
}

static void grow(struct verdict_cache *cache)
{
    uint16_t capacity = cache->capacity ? (uint16_t)(cache->capacity * 2) : CAPACITY_FIRST;
    cache->hashes = memory_resize(cache->hashes, capacity * sizeof *cache->hashes);
    cache->verdicts = memory_resize(cache->verdicts, capacity * sizeof(void *));
    cache->capacity = capacity;
}

// Where a new verdict goes: at the end, or in the place of an old one.
static unsigned place_make(struct verdict_cache *cache)
{
    if (cache->count < VERDICT_CACHE_MAX) {
        if (cache->count == cache->capacity)
            grow(cache);
        cache->verdicts[cache->count] = NULL;
        return cache->count++;
    }
    unsigned place = cache->hand;
    cache->hand = (uint16_t)((place + 1U) % VERDICT_CACHE_MAX);
    return place;
}

void verdict_cache_store(struct verdict_cache *cache, uint8_t instance, const struct noctule_access *access,
                         uint64_t until_ms, const struct opinion *opinion)
{
    const struct answer *answer = &opinion->answer;
    if (access->topic.length > UINT16_MAX || answer->reason.length > UINT16_MAX)
        return;
    struct cached_verdict *cached = memory_try(sizeof *cached + access->topic.length + answer->reason.length);
    if (!cached)
        return; // asked again the next time
    *cached = (struct cached_verdict){.until_ms = until_ms,
                                      .verdict = opinion->verdict,
                                      .flags = answer->flags,
                                      .reason_length = (uint32_t)answer->reason.length,
                                      .topic_length = (uint16_t)access->topic.length,
                                      .access = (uint8_t)access->access,
                                      .qos = access->qos,
                                      .retain = access->retain,
                                      .instance = instance,
                                      .reason_code = answer->reason_code};
    memcpy(cached->bytes, access->topic.data, access->topic.length);
    if (answer->reason.length)
        memcpy(cached->bytes + access->topic.length, answer->reason.data, answer->reason.length);
    uint32_t hash = hash_of(instance, access);
    unsigned place = place_of(cache, instance, access, hash);
    if (place == cache->count)
        place = place_make(cache);
    free(cache->verdicts[place]);
    cache->verdicts[place] = cached;
    cache->hashes[place] = hash;
}

void verdict_cache_clear(struct verdict_cache *cache, int instance)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < cache->count; i++) {
        if (instance < 0 || cache->verdicts[i]->instance == instance) {
            free(cache->verdicts[i]);
            continue;
        }
        cache->hashes[kept] = cache->hashes[i];
        cache->verdicts[kept++] = cache->verdicts[i];
    }
    cache->count = (uint16_t)kept;
    cache->hand = 0;
    if (kept > 0)
        return;
    free(cache->hashes);
    free(cache->verdicts);
    *cache = (struct verdict_cache){0};
}
