// The wheel against a list that is searched from end to end, over seconds and over months.
#include <check.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/wheel.h"

enum { TIMERS = 300 };

#define SECOND 1000ULL
#define HOUR   (3600 * SECOND)
#define DAY    (24 * HOUR)

struct entry {
    struct wheel_timer timer; // first: found again from the timer
    uint64_t due_ms;          ///< 0: not running
    unsigned fired;
};

// As ck_assert, which is too slow to be called millions of times.
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            ck_abort_msg("failed: %s", #what);                                                               \
    } while (0)

static struct wheel wheel;
static struct entry entries[TIMERS];
static uint64_t now;
static uint64_t before; ///< of the advance before this one
static uint64_t spread;
static bool meddle; ///< functions start and stop other timers

static void expired(struct wheel_timer *timer, void *context);

static void start(struct entry *entry, uint64_t due_ms)
{
    entry->due_ms = due_ms;
    wheel_start(&wheel, &entry->timer, due_ms, expired);
}

static void stop(struct entry *entry)
{
    entry->due_ms = 0;
    wheel_stop(&entry->timer);
}

static uint64_t some_time(void)
{
    uint64_t bits = (uint64_t)random() << 31 ^ (uint64_t)random();
    switch (random() % 4) {
    case 0:
        return bits % 600;
    case 1:
        return bits % (spread / 50 + 1);
    default:
        return bits % spread;
    }
}

static void expired(struct wheel_timer *timer, void *context)
{
    struct entry *entry = (struct entry *)timer;
    CHECK(context == &now);
    CHECK(!wheel_is_running(timer));
    CHECK(entry->due_ms != 0);
    CHECK(entry->due_ms <= now); // never early
    // Not late either: the advance before must not have been a tick or more behind its time.
    CHECK(before < entry->due_ms + WHEEL_TICK_MS);
    entry->due_ms = 0;
    entry->fired++;
    if (!meddle)
        return;
    if (random() % 2)
        start(entry, now + some_time());
    if (random() % 4 == 0)
        stop(&entries[random() % TIMERS]);
    if (random() % 4 == 0)
        start(&entries[random() % TIMERS], now + some_time());
}

static void advance(uint64_t by)
{
    before = now;
    now += by;
    wheel_advance(&wheel, now, &now);
    uint64_t soonest = UINT64_MAX;
    for (int i = 0; i < TIMERS; i++) {
        CHECK(wheel_is_running(&entries[i].timer) == (entries[i].due_ms != 0));
        if (!entries[i].due_ms)
            continue;
        // What is due has run; only what was due when it was started may wait for the next tick.
        CHECK(entries[i].due_ms >= now || now - entries[i].due_ms < WHEEL_TICK_MS);
        if (entries[i].due_ms < soonest)
            soonest = entries[i].due_ms;
    }
    // wheel_next never sleeps past the tick of the soonest timer, and says the limit when nothing is near.
    uint64_t next = wheel_next(&wheel, now, 10000);
    CHECK(next <= 10000);
    if (soonest != UINT64_MAX && soonest < now + 10000) {
        uint64_t due = soonest < now ? now : soonest;
        CHECK(now + next <= due + 2 * WHEEL_TICK_MS);
    }
}

static void prepare(uint64_t at)
{
    now = before = at;
    wheel_init(&wheel, now);
    for (int i = 0; i < TIMERS; i++)
        entries[i] = (struct entry){0};
}

static const uint64_t spreads[] = {1 * SECOND, 40 * SECOND, 1 * HOUR, 3 * DAY, 90 * DAY, 400 * DAY};
enum { SPREADS = sizeof spreads / sizeof *spreads };

START_TEST(random_timers)
{
    srandom((unsigned)_i);
    spread = spreads[_i % SPREADS];
    meddle = _i / SPREADS % 2;
    prepare((uint64_t)random() * 1000 + (uint64_t)random() % 1000);
    uint64_t longest_step = spread / 100 + 2;
    for (int step = 0; step < 3000; step++) {
        for (long changes = random() % 4; changes > 0; changes--) {
            struct entry *entry = &entries[random() % TIMERS];
            if (random() % 4 == 0)
                stop(entry);
            else
                start(entry, now + some_time());
        }
        uint64_t by = random() % 3 == 0 ? (uint64_t)random() % 20 : (uint64_t)random() % longest_step;
        advance(random() % 200 == 0 ? by * 60 : by);
    }
    meddle = false;
    for (int i = 0; i < 300; i++)
        advance(spread / 100 + 1);
    for (int i = 0; i < TIMERS; i++)
        ck_assert(!wheel_is_running(&entries[i].timer));
    ck_assert_uint_eq(wheel_next(&wheel, now, 12345), 12345);
}
END_TEST

// A loop that sleeps exactly as long as wheel_next says is on time with every timer, and wakes seldom.
START_TEST(sleeps_as_told)
{
    srandom((unsigned)_i);
    spread = 5 * HOUR;
    meddle = false;
    prepare(123456789);
    for (int i = 0; i < TIMERS; i++)
        start(&entries[i], now + some_time());
    unsigned turns = 0;
    for (bool running = true; running; turns++) {
        uint64_t wait = wheel_next(&wheel, now, HOUR);
        before = now + wait; // so that lateness counts from when we wake
        now += wait;
        wheel_advance(&wheel, now, &now);
        running = false;
        for (int i = 0; i < TIMERS; i++) {
            running |= wheel_is_running(&entries[i].timer);
            CHECK(!entries[i].due_ms || entries[i].due_ms + WHEEL_TICK_MS > now);
        }
    }
    // One turn for each timer, and one for each hour.
    ck_assert_uint_le(turns, TIMERS + 6);
}
END_TEST

START_TEST(idle_wheel_sleeps)
{
    prepare(1000003);
    ck_assert_uint_eq(wheel_next(&wheel, now, 10000), 10000);
    start(&entries[0], now + 3 * HOUR);
    stop(&entries[0]);
    unsigned turns = 0;
    for (uint64_t end = now + 10 * HOUR; now < end; turns++)
        advance(wheel_next(&wheel, now, 10000));
    ck_assert_uint_le(turns, 3602);
    // A timer wakes when it is due, not when it is sorted down.
    for (uint64_t after = 1; after < 30 * DAY; after = after * 3 + 1) {
        start(&entries[0], now + after);
        advance(wheel_next(&wheel, now, UINT32_MAX));
        ck_assert_uint_eq(entries[0].due_ms, 0);
    }
}
END_TEST

START_TEST(long_jumps_cost_nothing)
{
    prepare(5);
    struct timespec from;
    struct timespec to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (int i = 0; i < 1000; i++) {
        start(&entries[0], now + 30 * DAY);
        start(&entries[1], now + 1);
        advance(60 * DAY);
        ck_assert_uint_eq(entries[0].due_ms + entries[1].due_ms, 0);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    ck_assert_int_le(to.tv_sec - from.tv_sec, 2);
}
END_TEST

START_TEST(never_means_never)
{
    prepare(777);
    meddle = false;
    start(&entries[0], UINT64_MAX);
    start(&entries[1], UINT64_MAX - 3);
    start(&entries[2], now + 40000 * DAY);
    for (int i = 0; i < 400; i++)
        advance(99 * DAY);
    ck_assert(wheel_is_running(&entries[0].timer));
    ck_assert(wheel_is_running(&entries[1].timer));
    ck_assert(wheel_is_running(&entries[2].timer));
    advance(400 * DAY + WHEEL_TICK_MS);
    ck_assert(!wheel_is_running(&entries[2].timer));
    ck_assert_uint_eq(entries[2].fired, 1);
}
END_TEST

// The time that passed for good is never run twice, and one that stands still runs nothing.
START_TEST(time_stands_still)
{
    prepare(8000);
    start(&entries[0], now);
    wheel_advance(&wheel, now, &now);
    ck_assert_uint_eq(entries[0].fired, 0); // at the next tick
    ck_assert_uint_le(wheel_next(&wheel, now, 10000), WHEEL_TICK_MS);
    wheel_advance(&wheel, now - 5000, &now);
    ck_assert_uint_eq(entries[0].fired, 0);
    advance(WHEEL_TICK_MS);
    ck_assert_uint_eq(entries[0].fired, 1);
    advance(0);
    ck_assert_uint_eq(entries[0].fired, 1);
}
END_TEST

static unsigned freed;

static void free_itself(struct wheel_timer *timer, void *context)
{
    struct wheel_timer **other = context;
    freed++;
    if (*other && *other != timer) { // stops and frees one of the same tick that has not run
        wheel_stop(*other);
        free(*other);
        *other = NULL;
        freed++;
    }
    free(timer);
}

START_TEST(functions_that_free)
{
    prepare(64);
    struct wheel_timer *other = NULL;
    for (int i = 0; i < 10; i++) {
        struct wheel_timer *timer = calloc(1, sizeof *timer);
        wheel_start(&wheel, timer, 100, free_itself);
        if (i == 4)
            other = timer;
    }
    wheel_advance(&wheel, 200, &other);
    ck_assert_uint_eq(freed, 10);
    ck_assert_ptr_null(other);
}
END_TEST

static struct wheel_timer chain;
static unsigned chain_runs;

static void again_at_once(struct wheel_timer *timer, void *context)
{
    chain_runs++;
    wheel_start(&wheel, timer, *(uint64_t *)context, again_at_once);
}

// One that is due again at once runs at the next tick, not for ever in this one.
START_TEST(restarts_for_now)
{
    prepare(0);
    wheel_start(&wheel, &chain, 1, again_at_once);
    now = 80;
    wheel_advance(&wheel, now, &now);
    ck_assert_uint_le(chain_runs, 10);
    unsigned runs = chain_runs;
    now = 88;
    wheel_advance(&wheel, now, &now);
    ck_assert_uint_eq(chain_runs, runs + 1);
    wheel_stop(&chain);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base wheel");
    TCase *tests = tcase_create("wheel");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, random_timers, 0, SPREADS * 8);
    tcase_add_loop_test(tests, sleeps_as_told, 0, 10);
    tcase_add_test(tests, idle_wheel_sleeps);
    tcase_add_test(tests, long_jumps_cost_nothing);
    tcase_add_test(tests, never_means_never);
    tcase_add_test(tests, time_stands_still);
    tcase_add_test(tests, functions_that_free);
    tcase_add_test(tests, restarts_for_now);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
