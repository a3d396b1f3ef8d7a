#include "core/session/packet_ids.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

static int find(const struct packet_ids *set, uint16_t id)
{
    for (int i = 0; i < set->count; i++)
        if (set->ids[i] == id)
            return i;
    return -1;
}

bool packet_ids_has(const struct packet_ids *set, uint16_t id)
{
    return find(set, id) >= 0;
}

bool packet_ids_add(struct packet_ids *set, uint16_t id)
{
    if (set->count == set->capacity) {
        unsigned capacity = set->capacity ? set->capacity * 2U : 8U;
        if (capacity > UINT16_MAX)
            capacity = UINT16_MAX;
        uint16_t *ids = set->count < capacity ? memory_try_resize(set->ids, capacity * sizeof *ids) : NULL;
        if (!ids)
            return false;
        set->ids = ids;
        set->capacity = (uint16_t)capacity;
    }
    set->ids[set->count++] = id;
    return true;
}

bool packet_ids_remove(struct packet_ids *set, uint16_t id)
{
    int i = find(set, id);
    if (i < 0)
        return false;
    // Releases come in the order of the messages, so the order is kept for the next search to end early.
    memmove(&set->ids[i], &set->ids[i + 1], (size_t)(set->count - i - 1) * sizeof *set->ids);
    set->count--;
    return true;
}

void packet_ids_clear(struct packet_ids *set)
{
    free(set->ids);
    *set = (struct packet_ids){0};
}
