// Lines of one kind beyond the limit are held back and counted, in whatever thread; nothing is lost from the
// count.
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log_rate.h"

// What was held back of `event`; all kinds are emptied.
static uint64_t taken(uint32_t now, const char *wanted)
{
    const char *event;
    uint64_t count;
    uint64_t sum = 0;
    while ((count = log_rate_take(now, &event)) > 0)
        if (strcmp(event, wanted) == 0)
            sum += count;
    return sum;
}

static unsigned allowed(const char *event, uint32_t second, unsigned lines)
{
    unsigned count = 0;
    for (unsigned i = 0; i < lines; i++)
        count += log_rate_allows(event, second);
    return count;
}

START_TEST(kinds_are_apart)
{
    log_rate_set(10);
    ck_assert_uint_eq(allowed("one", 1, 25), 10);
    ck_assert_uint_eq(allowed("two", 1, 9), 9);
    ck_assert_uint_eq(taken(0, "one"), 15);
    ck_assert_uint_eq(taken(0, "one"), 0);
    ck_assert_uint_eq(allowed("two", 1, 9), 1);
    ck_assert_uint_eq(taken(0, "two"), 8);
}
END_TEST

START_TEST(seconds_are_apart)
{
    log_rate_set(3);
    ck_assert_uint_eq(allowed("seconds", 7, 5), 3);
    ck_assert_msg(taken(7, "seconds") == 0, "told before the second was over");
    ck_assert_uint_eq(allowed("seconds", 8, 2), 2);
    ck_assert_uint_eq(taken(9, "seconds"), 2);
}
END_TEST

START_TEST(same_text_is_one_kind)
{
    char other[] = "text";
    log_rate_set(4);
    ck_assert_uint_eq(allowed("text", 1, 3) + allowed(other, 1, 3), 4);
    log_rate_set(0);
    ck_assert_uint_eq(allowed("text", 1, 1000), 1000);
}
END_TEST

// A broker has some dozen; beyond the table nothing is limited, and nothing breaks.
START_TEST(more_kinds_than_there_is_room)
{
    static char names[2 * LOG_KINDS][8];
    log_rate_set(1);
    for (int i = 0; i < 2 * LOG_KINDS; i++) {
        snprintf(names[i], sizeof names[i], "k%d", i);
        ck_assert_uint_eq(allowed(names[i], 1, 3), i < LOG_KINDS ? 1 : 3);
    }
    ck_assert_uint_eq(taken(0, "k0"), 2);
}
END_TEST

enum { THREADS = 4, LINES = 50000 };
static _Atomic unsigned written;

static void *writes(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < LINES; i++)
        written += log_rate_allows("threads", 1 + i / 10000);
    return NULL;
}

START_TEST(every_line_is_written_or_counted)
{
    pthread_t threads[THREADS];
    log_rate_set(100);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, writes, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_eq(written + taken(0, "threads"), THREADS * LINES);
    ck_assert_uint_ge(written, 500);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("log rate");
    TCase *tests = tcase_create("log rate");
    tcase_add_test(tests, kinds_are_apart);
    tcase_add_test(tests, seconds_are_apart);
    tcase_add_test(tests, same_text_is_one_kind);
    tcase_add_test(tests, more_kinds_than_there_is_room);
    tcase_add_test(tests, every_line_is_written_or_counted);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
