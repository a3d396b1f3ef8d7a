#include "core/base/map.h"

#include <stdlib.h>

#include "core/base/memory.h"

enum { LEAST_CAPACITY = 8 };

static uint32_t hash_of(struct str key)
{
    return (uint32_t)str_hash(key);
}

// The slot that holds `key`, or the free one where it would go.
static struct map_slot *find(const struct map *map, struct str key, uint32_t hash)
{
    size_t mask = map->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct map_slot *slot = &map->slots[i];
        if (!slot->value || (slot->hash == hash && str_equal(str_make(slot->key, slot->key_length), key)))
            return slot;
    }
}

// Moves all entries to a table of another size; false when memory is out.
static bool resize(struct map *map, size_t capacity)
{
    struct map_slot *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return false;
    size_t mask = capacity - 1;
    for (size_t i = 0; i < map->capacity; i++) {
        if (!map->slots[i].value)
            continue;
        size_t to = map->slots[i].hash & mask;
        while (slots[to].value)
            to = (to + 1) & mask;
        slots[to] = map->slots[i];
    }
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return true;
}

void *map_get(const struct map *map, struct str key)
{
    return map->count > 0 ? find(map, key, hash_of(key))->value : NULL;
}

void *map_put(struct map *map, struct str key, void *value)
{
    if (map->capacity == 0 && !resize(map, LEAST_CAPACITY))
        memory_exhausted();
    uint32_t hash = hash_of(key);
    struct map_slot *slot = find(map, key, hash);
    void *previous = slot->value;
    if (!previous && (map->count + 1) * 4 > map->capacity * 3) {
        if (!resize(map, map->capacity * 2))
            memory_exhausted();
        slot = find(map, key, hash);
    }
    *slot =
        (struct map_slot){.key = key.data, .key_length = (uint32_t)key.length, .hash = hash, .value = value};
    map->count += !previous;
    return previous;
}

// Entries behind a gap that a search for them would have to cross move into it.
static void close_gap(struct map *map, size_t gap)
{
    size_t mask = map->capacity - 1;
    for (size_t i = (gap + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
        size_t home = map->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            map->slots[gap] = map->slots[i];
            gap = i;
        }
    }
    map->slots[gap] = (struct map_slot){0};
}

void *map_remove(struct map *map, struct str key)
{
    if (map->count == 0)
        return NULL;
    struct map_slot *slot = find(map, key, hash_of(key));
    void *value = slot->value;
    if (!value)
        return NULL;
    close_gap(map, (size_t)(slot - map->slots));
    if (--map->count == 0)
        map_clear(map);
    else if (map->capacity >= 4 * LEAST_CAPACITY && map->count * 8 < map->capacity)
        resize(map, map->capacity / 4); // without memory it stays as it is
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
