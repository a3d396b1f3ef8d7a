// Verdicts that a plugin allowed to be used again, of one client.
// The client's worker.
// Must not know who the client is.
#ifndef NOCTULE_PLUGIN_VERDICT_CACHE_H
#define NOCTULE_PLUGIN_VERDICT_CACHE_H

#include "core/plugin/decision_state.h"

enum { VERDICT_CACHE_MAX = 128 };

struct cached_verdict;

/** Zero-initialised is empty. Bounded: beyond VERDICT_CACHE_MAX verdicts the oldest place is used again. */
struct verdict_cache {
    uint32_t *hashes;
    struct cached_verdict **verdicts;
    uint16_t count;
    uint16_t capacity;
    uint16_t hand; ///< next place to be used again
};

/** Looks up; the opinion's strings belong to the cache. `*until_ms`: how long it may be used. */
bool verdict_cache_find(const struct verdict_cache *cache, uint8_t instance,
                        const struct noctule_access *access, uint64_t now_ms, struct opinion *opinion,
                        uint64_t *until_ms);

/** Keeps `opinion` until `until_ms`, in place of an earlier one for the same access. */
void verdict_cache_store(struct verdict_cache *cache, uint8_t instance, const struct noctule_access *access,
                         uint64_t until_ms, const struct opinion *opinion);

/** Forgets the verdicts of one instance, or all (-1). */
void verdict_cache_clear(struct verdict_cache *cache, int instance);

#endif
