// Memory runs out at every place where it may: each allocation that may fail (memory_try, memory_try_resize)
// does so once in an exchange, and then with those that follow. Nothing crashes, leaks or hangs, and what was
// acknowledged arrives. The program is linked with --wrap.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "tests/fault/exchange.h"
#include "tests/fault/invariants.h"

void *__real_memory_try(size_t size);
void *__real_memory_try_resize(void *block, size_t size);
void *__wrap_memory_try(size_t size);
void *__wrap_memory_try_resize(void *block, size_t size);

static unsigned long calls;
static unsigned long first_failing; ///< 0: none
static unsigned long failing;       ///< how many, one after the other

static bool fails(void)
{
    calls++;
    return first_failing && calls >= first_failing && calls < first_failing + failing;
}

void *__wrap_memory_try(size_t size)
{
    return fails() ? NULL : __real_memory_try(size);
}

void *__wrap_memory_try_resize(void *block, size_t size)
{
    return fails() ? NULL : __real_memory_try_resize(block, size);
}

static void tell(void)
{
    fprintf(stderr, "allocation %lu and %lu in all failed\n", first_failing, failing);
}

static bool has_failed(void)
{
    return first_failing && calls >= first_failing;
}

// Packets that come and go in pieces take other buffers.
static enum fault in_pieces(struct peer *peer, bool writing)
{
    (void)peer;
    (void)writing;
    return FAULT_SHORT;
}

struct variant {
    bool plugin;
    bool pieces;
    unsigned long count; ///< of allocations that fail one after the other
};

static struct exchange_result run(unsigned workers, const struct variant *variant, unsigned long first)
{
    const struct exchange_options options = {.workers = workers,
                                             .may_repeat = variant->count > 1,
                                             .plugin = variant->plugin,
                                             .fault = variant->pieces ? in_pieces : NULL,
                                             .short_size = 3000,
                                             .has_failed = has_failed};
    calls = 0;
    first_failing = first;
    failing = variant->count;
    return exchange_run(&options);
}

static void fail_everywhere(unsigned workers, const struct variant *variant)
{
    run(workers, variant, 0);
    unsigned long total = calls;
    unsigned reconnects = 0;
    unsigned refused = 0;
    ck_assert_uint_gt(total, 50);
    for (unsigned long n = 1; n <= total; n++) {
        struct exchange_result result = run(workers, variant, n);
        reconnects += result.reconnects;
        refused += result.refused;
    }
    // Some failures must have been felt.
    ck_assert_uint_gt(reconnects, 0);
    ck_assert_uint_gt(refused, 0);
}

static const struct variant variants[] = {
    {.count = 1},
    {.count = 4},
    {.count = 1, .plugin = true},
    {.count = 1, .pieces = true},
    {.count = 3, .pieces = true, .plugin = true},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

START_TEST(every_allocation_fails_with_one_worker)
{
    fail_everywhere(1, &variants[_i]);
}
END_TEST

START_TEST(every_allocation_fails_with_two_workers)
{
    fail_everywhere(2, &variants[_i]);
}
END_TEST

int main(void)
{
    require_failed = tell;
    Suite *suite = suite_create("memory");
    TCase *tests = tcase_create("memory");
    tcase_set_timeout(tests, 250);
    tcase_add_loop_test(tests, every_allocation_fails_with_one_worker, 0, VARIANTS);
    tcase_add_loop_test(tests, every_allocation_fails_with_two_workers, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
