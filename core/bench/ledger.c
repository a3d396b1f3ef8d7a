#include "core/bench/ledger.h"

#include <stdlib.h>

#include "core/base/memory.h"

void ledger_open(struct ledger *ledger, size_t slots)
{
    ledger->slots = memory_zalloc((slots ? slots : 1) * sizeof *ledger->slots);
    ledger->count = slots;
}

void ledger_close(struct ledger *ledger)
{
    for (size_t i = 0; i < ledger->count; i++)
        free(ledger->slots[i].gaps);
    free(ledger->slots);
    ledger->slots = NULL;
    ledger->count = 0;
}

static void gap_add(struct ledger_slot *slot, uint32_t from, uint32_t to)
{
    if (from == to)
        return;
    slot->gaps = memory_resize(slot->gaps, (slot->gap_count + 1) * sizeof *slot->gaps);
    slot->gaps[slot->gap_count++] = (struct ledger_gap){from, to};
}

// Takes `number` out of the gap that holds it; false when it came before.
static bool gap_fill(struct ledger_slot *slot, uint32_t number)
{
    for (uint32_t i = slot->gap_count; i-- > 0;) {
        struct ledger_gap gap = slot->gaps[i];
        if (number < gap.from || number >= gap.to)
            continue;
        slot->gaps[i] = slot->gaps[--slot->gap_count];
        gap_add(slot, gap.from, number);
        gap_add(slot, number + 1, gap.to);
        return true;
    }
    return false;
}

void ledger_odd(struct ledger *ledger, struct ledger_slot *slot, uint32_t number)
{
    if (number > slot->next) {
        gap_add(slot, slot->next, number);
        ledger->passed += number + 1 - slot->next;
        ledger->delivered++;
        slot->next = number + 1;
    } else if (gap_fill(slot, number)) {
        ledger->delivered++;
        ledger->reordered++;
    } else {
        ledger->duplicates++;
    }
}
