#include "core/base/log_rate.h"

#include <stdatomic.h>
#include <string.h>

// Second in the upper half, lines written in it in the lower: one word, so that both change together.
struct kind {
    _Atomic(const char *) event;
    _Atomic uint64_t written;
    _Atomic uint64_t left_out;
};

static struct kind kinds[LOG_KINDS];
static _Atomic uint64_t limit = LOG_RATE_DEFAULT;

void log_rate_set(uint64_t lines_per_second)
{
    atomic_store(&limit, lines_per_second);
}

// There are some dozen kinds, and a line costs a system call: a walk is quick enough. NULL: no room.
static struct kind *kind_of(const char *event)
{
    for (struct kind *kind = kinds; kind < kinds + LOG_KINDS; kind++) {
        const char *known = atomic_load_explicit(&kind->event, memory_order_acquire);
        if (!known && atomic_compare_exchange_strong(&kind->event, &known, event))
            return kind;
        if (known == event || strcmp(known, event) == 0)
            return kind;
    }
    return NULL;
}

bool log_rate_allows(const char *event, uint32_t second)
{
    uint64_t most = atomic_load_explicit(&limit, memory_order_relaxed);
    struct kind *kind = most ? kind_of(event) : NULL;
    if (!kind)
        return true;
    uint64_t before = atomic_load_explicit(&kind->written, memory_order_relaxed);
    uint64_t after;
    do {
        bool same_second = before >> 32 == second;
        if (same_second && (uint32_t)before >= most) {
            atomic_fetch_add_explicit(&kind->left_out, 1, memory_order_relaxed);
            return false;
        }
        after = same_second ? before + 1 : (uint64_t)second << 32 | 1;
    } while (!atomic_compare_exchange_weak(&kind->written, &before, after));
    return true;
}

uint64_t log_rate_take(uint32_t now, const char **event)
{
    for (struct kind *kind = kinds; kind < kinds + LOG_KINDS; kind++) {
        *event = atomic_load_explicit(&kind->event, memory_order_acquire);
        if (!*event)
            break;
        if (now && atomic_load_explicit(&kind->written, memory_order_relaxed) >> 32 == now)
            continue;
        uint64_t count = atomic_exchange_explicit(&kind->left_out, 0, memory_order_relaxed);
        if (count > 0)
            return count;
    }
    return 0;
}
