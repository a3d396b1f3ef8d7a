// A hash map from counted strings to pointers: client ids, aliases, cached verdicts.
// One thread at a time; the owner of the map decides which.
// Owns nothing it points to, neither keys nor values.
#ifndef NOCTULE_BASE_MAP_H
#define NOCTULE_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/str.h"

struct map_slot {
    const char *key;
    void *value; ///< NULL: free
    uint32_t key_length;
    uint32_t hash;
};

/**
 * Open addressing, at most three quarters full. A removal closes the gap it leaves, so a map does not get
 * slower with age, and gives memory back when little is left in it. Zero-initialised is empty.
 */
struct map {
    struct map_slot *slots;
    size_t capacity; ///< a power of two, or 0
    size_t count;
};

/** The value stored under `key`, or NULL. */
void *map_get(const struct map *map, struct str key);

/**
 * Stores `value` (not NULL) under `key` (below 4 GiB), whose bytes must live as long as the entry. Returns
 * the value that stood there, or NULL; on replacement the new key's bytes are kept.
 */
void *map_put(struct map *map, struct str key, void *value);

/** Takes the entry out; returns its value, or NULL when there was none. */
void *map_remove(struct map *map, struct str key);

/** Walks all entries: start with *cursor = 0; returns NULL at the end. The map must not change meanwhile. */
void *map_next(const struct map *map, size_t *cursor);

/** Frees the table, not what it points to. */
void map_clear(struct map *map);

#endif
