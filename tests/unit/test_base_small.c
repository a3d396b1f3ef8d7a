// Diagnostics, memory and clock.
#include <check.h>
#include <signal.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/diagnostics.h"
#include "core/base/memory.h"

// Memory that cannot be had is answered with NULL under the sanitizers, too.
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static volatile size_t impossible = SIZE_MAX / 2;

START_TEST(places)
{
    struct diagnostics list = DIAGNOSTICS_EMPTY;
    diagnostics_error(&list, (struct place){"a.yaml", 3, 7}, "%s is %d", "x", 5);
    diagnostics_warning(&list, (struct place){"a.yaml", 3, 0}, "w");
    diagnostics_error(&list, (struct place){"a.yaml", 0, 9}, "no line");
    diagnostics_error(&list, (struct place){0}, "nowhere");
    ck_assert_uint_eq(list.count, 4);
    ck_assert_uint_eq(list.errors, 3);
    ck_assert_str_eq(list.items[0].text, "a.yaml:3:7: x is 5");
    ck_assert_str_eq(list.items[1].text, "a.yaml:3: w");
    ck_assert_str_eq(list.items[2].text, "a.yaml: no line");
    ck_assert_str_eq(list.items[3].text, "nowhere");
    ck_assert(!list.items[0].warning && list.items[1].warning);
    diagnostics_clear(&list);
    ck_assert_uint_eq(list.count + list.errors, 0);
}
END_TEST

// What stands at a place is copied; a percent sign in a finding is no format.
START_TEST(many_findings)
{
    struct diagnostics list = DIAGNOSTICS_EMPTY;
    for (unsigned i = 1; i <= 1000; i++) {
        char file[16] = "volatile";
        diagnostics_error(&list, (struct place){file, i, i}, "%s", "100% \"%s\"");
        file[0] = '\0';
    }
    ck_assert_uint_eq(list.count, 1000);
    ck_assert_str_eq(list.items[999].text, "volatile:1000:1000: 100% \"%s\"");
    diagnostics_clear(&list);
    diagnostics_clear(&list);
}
END_TEST

START_TEST(zeroed)
{
    unsigned char *block = memory_zalloc(1000);
    for (int i = 0; i < 1000; i++)
        ck_assert_uint_eq(block[i], 0);
    free(block);
}
END_TEST

START_TEST(nothing_is_something)
{
    void *blocks[] = {memory_alloc(0), memory_zalloc(0), memory_resize(NULL, 0), memory_try(0),
                      memory_try_resize(NULL, 0)};
    for (int i = 0; i < 5; i++) {
        ck_assert_ptr_nonnull(blocks[i]);
        free(blocks[i]);
    }
}
END_TEST

START_TEST(growing_array)
{
    unsigned *array = NULL;
    size_t capacity = 0;
    size_t moves = 0;
    for (size_t count = 0; count < 10000; count++) {
        size_t before = capacity;
        memory_grow(&array, &capacity, count, sizeof *array);
        moves += capacity != before;
        array[count] = (unsigned)count;
    }
    ck_assert_uint_lt(moves, 16);
    for (size_t i = 0; i < 10000; i++)
        if (array[i] != i)
            ck_abort_msg("element %zu", i);
    free(array);
}
END_TEST

START_TEST(trying_fails)
{
    ck_assert_ptr_null(memory_try(impossible));
    char *block = memory_try(4);
    block[3] = 'x';
    ck_assert_ptr_null(memory_try_resize(block, impossible));
    ck_assert_int_eq(block[3], 'x');
    free(block);
}
END_TEST

START_TEST(not_trying_aborts)
{
    free(memory_alloc(impossible));
}
END_TEST

START_TEST(clocks)
{
    uint64_t ms = clock_monotonic_ms();
    uint64_t ns = clock_monotonic_ns();
    uint64_t wall = clock_wall_ms();
    ck_assert_uint_gt(ms, 0);
    ck_assert_uint_gt(wall, 1700000000000U);
    clock_advance(3600000);
    ck_assert_uint_ge(clock_monotonic_ms(), ms + 3600000);
    ck_assert_uint_lt(clock_monotonic_ms(), ms + 3600000 + 60000);
    ck_assert_uint_ge(clock_monotonic_ns(), ns + 3600000000000U);
    ck_assert_uint_ge(clock_wall_ms(), wall + 3600000 - 5000);
    uint64_t last = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_monotonic_ms();
        if (now < last)
            ck_abort_msg("the clock went back");
        last = now;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base small");
    TCase *tests = tcase_create("diagnostics, memory, clock");
    tcase_add_test(tests, places);
    tcase_add_test(tests, many_findings);
    tcase_add_test(tests, zeroed);
    tcase_add_test(tests, nothing_is_something);
    tcase_add_test(tests, growing_array);
    tcase_add_test(tests, trying_fails);
    tcase_add_test_raise_signal(tests, not_trying_aborts, SIGABRT);
    tcase_add_test(tests, clocks);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
