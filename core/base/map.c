#include "core/base/map.h"

#include <stdlib.h>

#include "core/base/memory.h"

static uint64_t hash_of(struct str key)
{
    uint64_t hash = str_hash(key);
    return hash ? hash : 1;
}

static struct map_slot *find(const struct map *map, struct str key, uint64_t hash)
{
    if (map->capacity == 0)
        return NULL;
    size_t mask = map->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots[i];
        if (slot->hash == 0)
            return NULL;
        if (slot->hash == hash && slot->value && str_equal(slot->key, key))
            return slot;
    }
}

static void insert_fresh(struct map_slot *slots, size_t capacity, struct map_slot entry)
{
    size_t mask = capacity - 1;
    size_t i = entry.hash & mask;
    while (slots[i].hash != 0)
        i = (i + 1) & mask;
    slots[i] = entry;
}

static void rehash(struct map *map)
{
    size_t capacity = 8;
    while (capacity < (map->count + 1) * 2)
        capacity *= 2;
    struct map_slot *slots = memory_zalloc(capacity * sizeof *slots);
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].value)
            insert_fresh(slots, capacity, map->slots[i]);
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    map->used = map->count;
}

void *map_get(const struct map *map, struct str key)
{
    struct map_slot *slot = find(map, key, hash_of(key));
    return slot ? slot->value : NULL;
}

void *map_put(struct map *map, struct str key, void *value)
{
    uint64_t hash = hash_of(key);
    struct map_slot *slot = find(map, key, hash);
    if (slot) {
        void *previous = slot->value;
        slot->key = key;
        slot->value = value;
        return previous;
    }
    if ((map->used + 1) * 4 > map->capacity * 3)
        rehash(map);
    insert_fresh(map->slots, map->capacity, (struct map_slot){.key = key, .hash = hash, .value = value});
    map->count++;
    map->used++;
    return NULL;
}

void *map_remove(struct map *map, struct str key)
{
    struct map_slot *slot = find(map, key, hash_of(key));
    if (!slot)
        return NULL;
    void *value = slot->value;
    slot->value = NULL;
    slot->key = (struct str){0};
    map->count--;
    if (map->count == 0)
        map_clear(map);
    return value;
}

void *map_next(const struct map *map, size_t *cursor)
{
    while (*cursor < map->capacity) {
        void *value = map->slots[(*cursor)++].value;
        if (value)
            return value;
    }
    return NULL;
}

void map_clear(struct map *map)
{
    free(map->slots);
    *map = (struct map){0};
}
