// A hash table of pointers for the indexes of this room: 64-bit hash in, candidates out, no keys of its own.
// The locks of the index that owns it.
// Must not know what it points to: whoever looks something up compares the candidates.
#ifndef NOCTULE_TOPIC_TABLE_H
#define NOCTULE_TOPIC_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_slot {
    uint64_t hash;
    void *item; ///< NULL: free
};

/** Open addressing, at most three quarters full, no tombstones: a removal closes the gap it leaves. */
struct table_shard {
    struct table_slot *slots;
    uint32_t capacity; ///< a power of two, or 0
    uint32_t count;
};

/**
 * The upper bits of a hash choose a shard, the lower ones its slot. Shards grow and shrink one by one: with
 * millions of items the pause of a growing table stays below a millisecond. Zero-initialised is empty.
 */
enum { TABLE_SHARD_BITS = 8, TABLE_SHARDS = 1 << TABLE_SHARD_BITS };

struct table {
    struct table_shard shards[TABLE_SHARDS];
};

/** Steps through the items stored under one hash. */
struct table_probe {
    const struct table_shard *shard;
    uint64_t hash;
    uint32_t at;
};

static inline void *table_probe_next(struct table_probe *probe)
{
    uint32_t mask = probe->shard->capacity - 1;
    for (;;) {
        const struct table_slot *slot = &probe->shard->slots[probe->at & mask];
        probe->at++;
        if (!slot->item || slot->hash == probe->hash)
            return slot->item;
    }
}

/** The first item under `hash`, then table_probe_next for more; NULL at the end. No changes meanwhile. */
static inline void *table_probe_first(const struct table *table, uint64_t hash, struct table_probe *probe)
{
    const struct table_shard *shard = &table->shards[hash >> (64 - TABLE_SHARD_BITS)];
    *probe = (struct table_probe){.shard = shard, .hash = hash, .at = (uint32_t)hash};
    return shard->capacity == 0 ? NULL : table_probe_next(probe);
}

/** Adds `item`, which is not in the table. */
void table_insert(struct table *table, uint64_t hash, void *item);

/** Takes out `item`, which is in the table under `hash`. */
void table_remove(struct table *table, uint64_t hash, const void *item);

/** A place in the table, zero-initialised at the beginning. */
struct table_position {
    uint32_t shard;
    uint32_t slot;
};

/**
 * The next item at or behind `position`, which is left at that item's slot: step `slot` to go on. NULL at the
 * end. Looks at no more than `*budget` slots and takes what it looked at off it; when that reaches 0,
 * `position` says where to go on.
 */
void *table_walk(const struct table *table, struct table_position *position, size_t *budget);

/** Frees the slots, not what they point to; the table is empty then. */
void table_clear(struct table *table);

/** Mixes a pointer or number into a hash of its own, so that all bits of it count. */
static inline uint64_t table_mix(uint64_t value)
{
    value *= 0x9E3779B97F4A7C15U;
    value ^= value >> 32;
    value *= 0xD6E8FEB86659FD93U;
    return value ^ (value >> 32);
}

#endif
