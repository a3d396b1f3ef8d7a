// Answers that may be used again: by key, for their time, the least recently used ones going first.
// One thread: each worker has its own.
// Must not know what a key says, nor any clock.
#ifndef HTTP_AUTH_CACHE_H
#define HTTP_AUTH_CACHE_H

#include "answer.h"

/*
 * One cache for each worker, without a lock. A client id lives on one worker, and every key but that of a
 * superuser check has one; so a shared cache would hit no more often, and would put a lock on the way of
 * messages.
 */

struct cache;

enum cache_found {
    CACHE_NOTHING,
    CACHE_FRESH,
    CACHE_STALE, ///< past its time, but good while the platform cannot be asked
};

struct cache_hit {
    struct answer *answer; ///< borrowed until the cache is changed
    uint64_t until_ms;     ///< when it is past its time
};

struct cache_count {
    size_t entries;
    size_t bytes;
};

/** NULL: out of memory. The secret must outlive the cache. */
struct cache *cache_new(const struct secret *secret);
void cache_free(struct cache *cache);

/** At most so many entries, of on average at most CACHE_ENTRY_BYTES each; those too many go now. 0: keeps
 * none. */
#define CACHE_ENTRY_BYTES 1024
void cache_limit(struct cache *cache, size_t entries);

/** Looks up, and counts as a use. Times are monotonic milliseconds. */
enum cache_found cache_find(struct cache *cache, struct noctule_string key, uint64_t now_ms,
                            struct cache_hit *hit);

/**
 * Keeps an answer (one more reference) fresh until `until_ms` and stale until `stale_ms`, in place of an
 * earlier one. When memory is gone, or it alone is too large, nothing is kept.
 */
void cache_store(struct cache *cache, struct noctule_string key, struct answer *answer, uint64_t until_ms,
                 uint64_t stale_ms);

/** Drops what is about a user or a client; a name whose data is NULL is any. Returns how many entries went.
 */
size_t cache_forget(struct cache *cache, struct noctule_string username, struct noctule_string client_id);

struct cache_count cache_count(const struct cache *cache);

/** What a cached or pending key is about, in the sense of cache_forget. */
bool key_is_about(struct noctule_string key, struct noctule_string username, struct noctule_string client_id);

/** `lifetime_ms` plus or minus up to `jitter_ms`, never below zero. `state` is any number but 0, and changes.
 */
uint64_t lifetime_vary(uint64_t lifetime_ms, uint64_t jitter_ms, uint64_t *state);

#endif
