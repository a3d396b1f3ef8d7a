#include "core/session/packet_ids.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum { LEAST_CAPACITY = 8, BITMAP_BYTES = 65536 / 8 };

static bool is_bitmap(const struct packet_ids *set)
{
    return set->capacity == PACKET_IDS_BITS;
}

static uint64_t bit_of(uint16_t id)
{
    return 1ULL << (id % 64);
}

static int find(const struct packet_ids *set, uint16_t id)
{
    for (int i = 0; i < set->count; i++)
        if (set->in.ids[i] == id)
            return i;
    return -1;
}

bool packet_ids_has(const struct packet_ids *set, uint16_t id)
{
    return is_bitmap(set) ? (set->in.bits[id / 64] & bit_of(id)) != 0 : find(set, id) >= 0;
}

static bool turn_into_bitmap(struct packet_ids *set)
{
    uint64_t *bits = memory_try(BITMAP_BYTES);
    if (!bits)
        return false;
    memset(bits, 0, BITMAP_BYTES);
    for (int i = 0; i < set->count; i++)
        bits[set->in.ids[i] / 64] |= bit_of(set->in.ids[i]);
    free(set->in.ids);
    set->in.bits = bits;
    set->capacity = PACKET_IDS_BITS;
    return true;
}

static bool make_room(struct packet_ids *set)
{
    if (set->capacity == PACKET_IDS_LIST_MOST)
        return turn_into_bitmap(set);
    uint16_t capacity = (uint16_t)(set->capacity ? set->capacity * 2U : LEAST_CAPACITY);
    uint16_t *ids = memory_try_resize(set->in.ids, capacity * sizeof *ids);
    if (!ids)
        return false;
    set->in.ids = ids;
    set->capacity = capacity;
    return true;
}

bool packet_ids_add(struct packet_ids *set, uint16_t id)
{
    if (!is_bitmap(set) && set->count == set->capacity && !make_room(set))
        return false;
    if (is_bitmap(set))
        set->in.bits[id / 64] |= bit_of(id);
    else
        set->in.ids[set->count] = id;
    set->count++;
    return true;
}

bool packet_ids_remove(struct packet_ids *set, uint16_t id)
{
    if (is_bitmap(set)) {
        if (!packet_ids_has(set, id))
            return false;
        set->in.bits[id / 64] &= ~bit_of(id);
    } else {
        int i = find(set, id);
        if (i < 0)
            return false;
        // Releases come in the order of the messages, so the order is kept for the next search to end early.
        memmove(&set->in.ids[i], &set->in.ids[i + 1], (size_t)(set->count - i - 1) * sizeof *set->in.ids);
    }
    if (--set->count == 0 && set->capacity > LEAST_CAPACITY)
        packet_ids_clear(set);
    return true;
}

void packet_ids_clear(struct packet_ids *set)
{
    free(set->in.ids);
    *set = (struct packet_ids){0};
}
