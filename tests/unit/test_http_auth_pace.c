// How much of a turn the traffic with the platform may take. Turns are the test's: `posted` counts those that
// were asked for.
#include <check.h>
#include <stdlib.h>

#include "plugins/http-auth/pace.h"

static unsigned posted;
static int32_t result;
static struct pace pace;

static int32_t run_on_worker(struct noctule_instance *instance, uint32_t worker_index,
                             noctule_worker_fn function, void *argument)
{
    ck_assert_ptr_null(instance);
    ck_assert_uint_eq(worker_index, 3);
    ck_assert_ptr_nonnull(function);
    ck_assert_ptr_null(argument);
    posted++;
    return result;
}

static uint32_t worker_index(const struct noctule_worker *worker)
{
    ck_assert_ptr_null(worker);
    return 3;
}

static void turned(const struct noctule_context *context, void *argument)
{
    (void)context;
    (void)argument;
}

static const struct noctule_host host = {
    .size = sizeof host, .run_on_worker = run_on_worker, .worker_index = worker_index};

static void setup(void)
{
    posted = 0;
    result = NOCTULE_OK;
    pace_init(&pace, &host, NULL, NULL, turned);
}

static void use_the_turn_up(void)
{
    while (pace_may(&pace))
        continue;
}

START_TEST(a_turn_ends)
{
    ck_assert(pace_may(&pace));
    ck_assert_uint_eq(posted, 1);
    use_the_turn_up();
    ck_assert(!pace_may(&pace));
    ck_assert_uint_eq(posted, 1);
    ck_assert(pace_turn(&pace));
    ck_assert(pace_may(&pace));
    ck_assert_uint_eq(posted, 2);
}
END_TEST

START_TEST(nobody_waits_for_the_next_turn)
{
    ck_assert(pace_may(&pace));
    ck_assert(!pace_turn(&pace));
    // Nothing was begun in this one: it is no turn to end.
    ck_assert(!pace_turn(&pace));
    ck_assert_uint_eq(posted, 1);
}
END_TEST

START_TEST(work_is_left_to_the_next_turn)
{
    pace_later(&pace);
    ck_assert_uint_eq(posted, 1);
    pace_later(&pace);
    ck_assert_uint_eq(posted, 1);
    ck_assert(pace_turn(&pace));
    ck_assert(pace_may(&pace));
    pace_later(&pace);
    ck_assert_uint_eq(posted, 2);
    ck_assert(pace_turn(&pace));
    ck_assert(!pace_turn(&pace));
}
END_TEST

START_TEST(without_a_next_turn_nothing_is_left)
{
    result = NOCTULE_E_GONE;
    for (unsigned i = 0; i < 100000; i++)
        ck_assert(pace_may(&pace));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_auth_pace");
    TCase *tests = tcase_create("http_auth_pace");
    tcase_add_checked_fixture(tests, setup, NULL);
    tcase_add_test(tests, a_turn_ends);
    tcase_add_test(tests, nobody_waits_for_the_next_turn);
    tcase_add_test(tests, work_is_left_to_the_next_turn);
    tcase_add_test(tests, without_a_next_turn_nothing_is_left);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
