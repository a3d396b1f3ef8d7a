#include "core/topic/table.h"

#include <assert.h>
#include <stdlib.h>

#include "core/base/memory.h"

enum { CAPACITY_SMALLEST = 4 };

static void shard_place(struct table_shard *shard, uint64_t hash, void *item)
{
    uint32_t mask = shard->capacity - 1;
    uint32_t at = (uint32_t)hash & mask;
    while (shard->slots[at].item)
        at = (at + 1) & mask;
    shard->slots[at] = (struct table_slot){hash, item};
}

static void shard_resize(struct table_shard *shard, uint32_t capacity)
{
    struct table_slot *before = shard->slots;
    uint32_t capacity_before = shard->capacity;
    shard->slots = memory_zalloc(capacity * sizeof *shard->slots);
    shard->capacity = capacity;
    for (uint32_t i = 0; i < capacity_before; i++)
        if (before[i].item)
            shard_place(shard, before[i].hash, before[i].item);
    free(before);
}

static struct table_shard *shard_of(struct table *table, uint64_t hash)
{
    return &table->shards[hash >> (64 - TABLE_SHARD_BITS)];
}

void table_insert(struct table *table, uint64_t hash, void *item)
{
    struct table_shard *shard = shard_of(table, hash);
    if (shard->count >= shard->capacity / 4 * 3)
        shard_resize(shard, shard->capacity ? shard->capacity * 2 : CAPACITY_SMALLEST);
    shard_place(shard, hash, item);
    shard->count++;
}

// Moves up whatever stood behind the freed slot because its own place was taken, so that probing finds no
// gap.
static void shard_close_gap(struct table_shard *shard, uint32_t gap)
{
    uint32_t mask = shard->capacity - 1;
    for (uint32_t at = (gap + 1) & mask; shard->slots[at].item; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)shard->slots[at].hash & mask;
        if (((at - home) & mask) >= ((at - gap) & mask)) {
            shard->slots[gap] = shard->slots[at];
            gap = at;
        }
    }
    shard->slots[gap].item = NULL;
}

void table_remove(struct table *table, uint64_t hash, const void *item)
{
    struct table_shard *shard = shard_of(table, hash);
    assert(shard->count > 0);
    uint32_t mask = shard->capacity - 1;
    uint32_t at = (uint32_t)hash & mask;
    while (shard->slots[at].item != item) {
        assert(shard->slots[at].item);
        at = (at + 1) & mask;
    }
    shard_close_gap(shard, at);
    shard->count--;
    if (shard->count == 0) {
        free(shard->slots);
        *shard = (struct table_shard){0};
    } else if (shard->capacity > CAPACITY_SMALLEST && shard->count < shard->capacity / 8) {
        shard_resize(shard, shard->capacity / 2);
    }
}

void *table_walk(const struct table *table, struct table_position *position, size_t *budget)
{
    for (; position->shard < TABLE_SHARDS; position->shard++, position->slot = 0) {
        const struct table_shard *shard = &table->shards[position->shard];
        for (; position->slot < shard->capacity; position->slot++) {
            if (*budget == 0)
                return NULL;
            --*budget;
            if (shard->slots[position->slot].item)
                return shard->slots[position->slot].item;
        }
    }
    return NULL;
}

void table_clear(struct table *table)
{
    for (uint32_t i = 0; i < TABLE_SHARDS; i++)
        free(table->shards[i].slots);
    *table = (struct table){0};
}
