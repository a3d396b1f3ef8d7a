#include "core/base/wheel.h"

#include <stddef.h>
#include <string.h>

// A slot of level L holds what is due in a span of 64^L ticks. When the span of a slot above the lowest level
// begins, its timers are sorted into the levels below ("cascade"). The slot of the span that the current tick
// stands in is free again and holds what is due one turn of the level later.

enum { SLOT_MASK = WHEEL_SLOTS - 1 };

static const uint64_t reach = 1ULL << (WHEEL_BITS * WHEEL_LEVELS);

void wheel_init(struct wheel *wheel, uint64_t now_ms)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->tick = now_ms / WHEEL_TICK_MS;
    wheel->soonest = wheel->due = UINT64_MAX;
}

// Rounded up, so that a timer never runs early.
static uint64_t due_tick(const struct wheel_timer *timer)
{
    return timer->due_ms / WHEEL_TICK_MS + (timer->due_ms % WHEEL_TICK_MS != 0);
}

static void put(struct wheel *wheel, struct wheel_timer *timer, unsigned level, unsigned slot)
{
    struct wheel_timer **head = &wheel->slots[level][slot];
    timer->next = *head;
    if (timer->next)
        timer->next->link = &timer->next;
    timer->link = head;
    *head = timer;
}

static void note_due(struct wheel *wheel, unsigned level, unsigned slot, uint64_t due)
{
    uint64_t bit = 1ULL << slot;
    if (!(wheel->filled[level] & bit) || due < wheel->slot_due[level][slot])
        wheel->slot_due[level][slot] = due;
    wheel->filled[level] |= bit;
    if (due < wheel->due)
        wheel->due = due;
}

// `earliest` is the first tick that may run the timer: the current one only while that is being prepared.
static void insert(struct wheel *wheel, struct wheel_timer *timer, uint64_t earliest)
{
    uint64_t due = due_tick(timer);
    if (due < earliest)
        due = earliest;
    uint64_t ahead = due - wheel->tick;
    if (ahead >= reach) {
        ahead = reach - 1;
        due = wheel->tick + ahead;
    }
    unsigned level = 0;
    while (ahead >> (WHEEL_BITS * (level + 1)) != 0)
        level++;
    uint64_t span = due >> (WHEEL_BITS * level);
    unsigned slot = (unsigned)(span & SLOT_MASK);
    put(wheel, timer, level, slot);
    note_due(wheel, level, slot, due);
    if (span << (WHEEL_BITS * level) < wheel->soonest)
        wheel->soonest = span << (WHEEL_BITS * level);
}

void wheel_start(struct wheel *wheel, struct wheel_timer *timer, uint64_t due_ms, wheel_fn *expired)
{
    wheel_stop(timer);
    timer->due_ms = due_ms;
    timer->expired = expired;
    insert(wheel, timer, wheel->tick + 1);
}

void wheel_stop(struct wheel_timer *timer)
{
    if (!timer->link)
        return;
    *timer->link = timer->next;
    if (timer->next)
        timer->next->link = timer->link;
    timer->link = NULL;
    timer->next = NULL;
}

// Takes the timers of the current tick's slot as a list of its own, so that those started meanwhile are not
// walked.
static void take(struct wheel *wheel, unsigned level, struct wheel_timer **list)
{
    unsigned slot = (unsigned)(wheel->tick >> (WHEEL_BITS * level)) & SLOT_MASK;
    *list = wheel->slots[level][slot];
    wheel->slots[level][slot] = NULL;
    wheel->filled[level] &= ~(1ULL << slot);
    if (*list)
        (*list)->link = list;
}

static void cascade(struct wheel *wheel, unsigned level)
{
    struct wheel_timer *list;
    take(wheel, level, &list);
    while (list) {
        struct wheel_timer *timer = list;
        wheel_stop(timer);
        insert(wheel, timer, wheel->tick);
    }
}

static void run_tick(struct wheel *wheel, void *context)
{
    for (unsigned level = 1; level < WHEEL_LEVELS; level++) {
        if ((wheel->tick & ((1ULL << (WHEEL_BITS * level)) - 1)) != 0)
            break;
        cascade(wheel, level);
    }
    struct wheel_timer *list;
    take(wheel, 0, &list);
    while (list) {
        struct wheel_timer *timer = list;
        wheel_stop(timer);
        timer->expired(timer, context);
    }
}

// Finds the first filled slot of `level` behind the current tick: when its span begins, and when the first of
// its timers is due. Slots that turn out to be empty lose their bit.
static void look_at_level(struct wheel *wheel, unsigned level)
{
    uint64_t next = (wheel->tick >> (WHEEL_BITS * level)) + 1;
    unsigned turn = (unsigned)next & SLOT_MASK;
    while (wheel->filled[level]) {
        uint64_t from_next = wheel->filled[level] >> turn | wheel->filled[level] << (-turn & SLOT_MASK);
        unsigned away = (unsigned)__builtin_ctzll(from_next);
        unsigned slot = (turn + away) & SLOT_MASK;
        if (!wheel->slots[level][slot]) {
            wheel->filled[level] &= ~(1ULL << slot);
            continue;
        }
        uint64_t begins = (next + away) << (WHEEL_BITS * level);
        if (begins < wheel->soonest)
            wheel->soonest = begins;
        if (wheel->slot_due[level][slot] < wheel->due)
            wheel->due = wheel->slot_due[level][slot];
        return;
    }
}

static void look_ahead(struct wheel *wheel)
{
    wheel->soonest = wheel->due = UINT64_MAX;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++)
        look_at_level(wheel, level);
}

void wheel_advance(struct wheel *wheel, uint64_t now_ms, void *context)
{
    uint64_t now = now_ms / WHEEL_TICK_MS;
    while (wheel->soonest <= now) {
        wheel->tick = wheel->soonest;
        run_tick(wheel, context);
        look_ahead(wheel);
    }
    if (wheel->tick < now)
        wheel->tick = now;
}

// Sorting can wait until there is something to run: wheel_advance catches up with it.
uint64_t wheel_next(const struct wheel *wheel, uint64_t now_ms, uint64_t limit_ms)
{
    if (wheel->due > (now_ms + limit_ms) / WHEEL_TICK_MS)
        return limit_ms;
    uint64_t at = wheel->due * WHEEL_TICK_MS;
    uint64_t wait = at > now_ms ? at - now_ms : 0;
    return wait < limit_ms ? wait : limit_ms;
}
