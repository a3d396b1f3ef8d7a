// Sockets that interrupt, refuse, take and give little, or break, at each of their calls in an exchange and
// at all of them. What was acknowledged arrives, at QoS 2 once.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/fault/exchange.h"
#include "tests/fault/invariants.h"

static unsigned long calls;
static unsigned long failing; ///< 0: none
static enum fault kind;

static enum fault at_one_call(struct peer *peer, bool writing)
{
    (void)peer;
    (void)writing;
    return ++calls == failing ? kind : FAULT_NONE;
}

// Every other call, so that things go on.
static enum fault at_every_call(struct peer *peer, bool writing)
{
    (void)peer;
    (void)writing;
    return kind == FAULT_SHORT || ++calls % 2 ? kind : FAULT_NONE;
}

static enum fault all_kinds_in_turn(struct peer *peer, bool writing)
{
    (void)peer;
    (void)writing;
    return (enum fault)(++calls % FAULT_RESET);
}

static void tell(void)
{
    fprintf(stderr, "fault %d, call %lu of %lu\n", kind, failing, calls);
}

static const struct {
    unsigned workers;
    bool plugin;
} variants[] = {{1, false}, {2, false}, {1, true}, {2, true}};
enum { VARIANTS = sizeof variants / sizeof *variants };

static struct exchange_result run(int variant, fault_fn *fault, size_t short_size)
{
    calls = 0;
    return exchange_run(&(struct exchange_options){.workers = variants[variant].workers,
                                                   .plugin = variants[variant].plugin,
                                                   .fault = fault,
                                                   .short_size = short_size});
}

START_TEST(each_call_fails_once)
{
    int variant = _i % VARIANTS;
    kind = (enum fault)(FAULT_INTERRUPTED + _i / VARIANTS);
    failing = 0;
    struct exchange_result result = run(variant, at_one_call, 1);
    ck_assert_uint_eq(result.reconnects, 2); // those of the script
    unsigned long total = calls;
    ck_assert_uint_gt(total, 50);
    unsigned reconnects = 0;
    for (failing = 1; failing <= total; failing++)
        reconnects += run(variant, at_one_call, 1).reconnects;
    if (kind == FAULT_RESET)
        ck_assert_uint_gt(reconnects, 2 * total);
    else
        ck_assert_uint_eq(reconnects, 2 * total);
}
END_TEST

START_TEST(every_call_fails)
{
    kind = (enum fault)(FAULT_INTERRUPTED + _i / VARIANTS);
    ck_assert_uint_eq(run(_i % VARIANTS, at_every_call, 23).reconnects, 2);
}
END_TEST

START_TEST(every_call_fails_differently)
{
    ck_assert_uint_eq(run(_i, all_kinds_in_turn, 37).reconnects, 2);
}
END_TEST

int main(void)
{
    require_failed = tell;
    Suite *suite = suite_create("sockets");
    TCase *tests = tcase_create("sockets");
    tcase_set_timeout(tests, 250);
    tcase_add_loop_test(tests, each_call_fails_once, 0, (FAULTS - 1) * VARIANTS);
    tcase_add_loop_test(tests, every_call_fails, 0, FAULT_SHORT * VARIANTS);
    tcase_add_loop_test(tests, every_call_fails_differently, 0, VARIANTS);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
