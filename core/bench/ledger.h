// Which messages have come: each subscriber's streams, loss, duplicates and order.
// One thread.
// Must not know packets.
#ifndef NOCTULE_BENCH_LEDGER_H
#define NOCTULE_BENCH_LEDGER_H

#include "core/bench/state.h"

/** Numbers from `from` to before `to` that did not come. */
struct ledger_gap {
    uint32_t from;
    uint32_t to;
};

/** One stream as one subscriber sees it. */
struct ledger_slot {
    uint32_t next; ///< the number behind the highest that came
    uint32_t gap_count;
    struct ledger_gap *gaps;
};

void ledger_open(struct ledger *ledger, size_t slots);
void ledger_close(struct ledger *ledger);

/** A message that is not the next one of its stream. */
void ledger_odd(struct ledger *ledger, struct ledger_slot *slot, uint32_t number);

/** Message `number` of a stream has come. */
static inline void ledger_note(struct ledger *ledger, struct ledger_slot *slot, uint32_t number)
{
    if (number != slot->next) {
        ledger_odd(ledger, slot, number);
        return;
    }
    slot->next++;
    ledger->delivered++;
    ledger->passed++;
}

#endif
