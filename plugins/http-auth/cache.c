#include "cache.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKETS_FIRST = 64 };

struct entry {
    struct entry *next; ///< in its bucket
    struct entry *newer;
    struct entry *older;
    uint64_t hash;
    uint64_t until_ms;
    uint64_t stale_ms;
    struct answer *answer;
    size_t bytes;
    size_t length;
    char key[];
};

struct cache {
    const struct secret *secret;
    struct entry **buckets;
    size_t bucket_count; ///< a power of two
    struct entry *newest;
    struct entry *oldest;
    struct cache_count count;
    size_t entries_max;
    size_t bytes_max;
};

struct cache *cache_new(const struct secret *secret)
{
    struct cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return NULL;
    cache->secret = secret;
    cache->bucket_count = BUCKETS_FIRST;
    cache->buckets = calloc(cache->bucket_count, sizeof(void *));
    if (cache->buckets)
        return cache;
    free(cache);
    return NULL;
}

static struct entry **bucket_of(const struct cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & (cache->bucket_count - 1)];
}

// ---- Order of use --------------------------------------------------------------------------------------

static void order_remove(struct cache *cache, struct entry *entry)
{
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void order_add(struct cache *cache, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

static void entry_drop(struct cache *cache, struct entry *entry)
{
    struct entry **link = bucket_of(cache, entry->hash);
    while (*link != entry)
        link = &(*link)->next;
    *link = entry->next;
    order_remove(cache, entry);
    cache->count.entries--;
    cache->count.bytes -= entry->bytes;
    answer_unref(entry->answer);
    free(entry);
}

static void shrink(struct cache *cache)
{
    while (cache->oldest &&
           (cache->count.entries > cache->entries_max || cache->count.bytes > cache->bytes_max))
        entry_drop(cache, cache->oldest);
}

void cache_limit(struct cache *cache, size_t entries)
{
    cache->entries_max = entries;
    cache->bytes_max = entries * CACHE_ENTRY_BYTES;
    shrink(cache);
}

void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    cache_limit(cache, 0);
    free(cache->buckets);
    free(cache);
}

// ---- Entries -------------------------------------------------------------------------------------------

static struct entry *entry_find(const struct cache *cache, struct noctule_string key, uint64_t hash)
{
    struct entry *entry = *bucket_of(cache, hash);
    while (entry && (entry->hash != hash || entry->length != key.length ||
                     memcmp(entry->key, key.data, key.length) != 0))
        entry = entry->next;
    return entry;
}

enum cache_found cache_find(struct cache *cache, struct noctule_string key, uint64_t now_ms,
                            struct cache_hit *hit)
{
    struct entry *entry = entry_find(cache, key, secret_hash_key(cache->secret, key.data, key.length));
    if (!entry)
        return CACHE_NOTHING;
    if (now_ms >= entry->until_ms && now_ms >= entry->stale_ms) {
        entry_drop(cache, entry);
        return CACHE_NOTHING;
    }
    if (entry != cache->newest) {
        order_remove(cache, entry);
        order_add(cache, entry);
    }
    *hit = (struct cache_hit){entry->answer, entry->until_ms};
    return now_ms < entry->until_ms ? CACHE_FRESH : CACHE_STALE;
}

// More buckets, so that chains stay short; with the old ones when there is no memory.
static void buckets_grow(struct cache *cache)
{
    size_t count = cache->bucket_count * 2;
    struct entry **buckets = calloc(count, sizeof(void *));
    if (!buckets)
        return;
    free(cache->buckets);
    cache->buckets = buckets;
    cache->bucket_count = count;
    for (struct entry *entry = cache->oldest; entry; entry = entry->newer) {
        struct entry **bucket = bucket_of(cache, entry->hash);
        entry->next = *bucket;
        *bucket = entry;
    }
}

void cache_store(struct cache *cache, struct noctule_string key, struct answer *answer, uint64_t until_ms,
                 uint64_t stale_ms)
{
    uint64_t hash = secret_hash_key(cache->secret, key.data, key.length);
    struct entry *old = entry_find(cache, key, hash);
    if (old)
        entry_drop(cache, old);
    size_t bytes = sizeof(struct entry) + key.length + answer_bytes(answer);
    if (cache->entries_max == 0 || bytes > cache->bytes_max / 2)
        return;
    struct entry *entry = malloc(sizeof *entry + key.length);
    if (!entry)
        return;
    *entry = (struct entry){.hash = hash,
                            .until_ms = until_ms,
                            .stale_ms = stale_ms,
                            .answer = answer_ref(answer),
                            .bytes = bytes,
                            .length = key.length};
    memcpy(entry->key, key.data, key.length);
    if (cache->count.entries >= cache->bucket_count)
        buckets_grow(cache);
    struct entry **bucket = bucket_of(cache, hash);
    entry->next = *bucket;
    *bucket = entry;
    order_add(cache, entry);
    cache->count.entries++;
    cache->count.bytes += bytes;
    shrink(cache);
}

static bool is_same(struct noctule_string a, struct noctule_string b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool key_is_about(struct noctule_string key, struct noctule_string username, struct noctule_string client_id)
{
    struct noctule_string key_username;
    struct noctule_string key_client_id;
    request_key_names(key, &key_username, &key_client_id);
    // A check that does not tell the client id is about every client of its user.
    return (!username.data || is_same(username, key_username)) &&
           (!client_id.data || key_client_id.length == 0 || is_same(client_id, key_client_id));
}

size_t cache_forget(struct cache *cache, struct noctule_string username, struct noctule_string client_id)
{
    size_t forgotten = 0;
    struct entry *older;
    for (struct entry *entry = cache->newest; entry; entry = older) {
        older = entry->older;
        if (!key_is_about(noctule_string_of(entry->key, entry->length), username, client_id))
            continue;
        entry_drop(cache, entry);
        forgotten++;
    }
    return forgotten;
}

struct cache_count cache_count(const struct cache *cache)
{
    return cache->count;
}

// ---- Lifetimes -----------------------------------------------------------------------------------------

// xorshift64*: for spreading, not for secrets.
static uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1DULL;
}

uint64_t lifetime_vary(uint64_t lifetime_ms, uint64_t jitter_ms, uint64_t *state)
{
    if (jitter_ms == 0 || lifetime_ms == 0)
        return lifetime_ms;
    uint64_t shift = random_next(state) % (2 * jitter_ms + 1);
    return lifetime_ms + shift > jitter_ms ? lifetime_ms + shift - jitter_ms : 0;
}
