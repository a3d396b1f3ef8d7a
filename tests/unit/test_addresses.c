// What the broker remembers of addresses: rates, failures, and that the table stays bounded.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/broker/addresses.h"

static struct addresses *table;

static void setup(void)
{
    table = addresses_new();
}

static void teardown(void)
{
    addresses_free(table);
}

START_TEST(keys)
{
    static const struct {
        const char *a;
        const char *b;
        bool same;
    } pairs[] = {
        {"192.0.2.7:1", "192.0.2.7:65535", true},
        {"192.0.2.7:1", "192.0.2.8:1", false},
        {"192.0.2.7:1", "[::ffff:192.0.2.7]:1", true},
        {"[2001:db8::1]:1", "[2001:db8::ffff:1]:9", true},
        {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false},
        {"[::1]:1", "[::1]:2", true},
        {"[::1]:1", "127.0.0.1:1", false},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        ck_assert_uint_ne(addresses_key(pairs[i].a), 0);
        ck_assert_msg((addresses_key(pairs[i].a) == addresses_key(pairs[i].b)) == pairs[i].same, "%s %s",
                      pairs[i].a, pairs[i].b);
    }
    static const char *const none[] = {"", "unix", "a.example:1", "[2001:db8::1", "192.0.2.256:1"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        ck_assert_uint_eq(addresses_key(none[i]), 0);
}
END_TEST

START_TEST(rate_of_connections)
{
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(addresses_connect(table, 7, 5000, 10), ADDRESS_WELCOME);
    ck_assert_int_eq(addresses_connect(table, 7, 5000, 10), ADDRESS_TOO_FAST);
    ck_assert_int_eq(addresses_connect(table, 8, 5000, 10), ADDRESS_WELCOME);
    ck_assert_int_eq(addresses_connect(table, 7, 5099, 10), ADDRESS_TOO_FAST);
    ck_assert_int_eq(addresses_connect(table, 7, 5100, 10), ADDRESS_WELCOME);
    ck_assert_int_eq(addresses_connect(table, 7, 5100, 10), ADDRESS_TOO_FAST);
    ck_assert_int_eq(addresses_connect(table, 7, 5100, 0), ADDRESS_WELCOME);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(addresses_connect(table, 7, 60000, 10), ADDRESS_WELCOME);
    ck_assert_int_eq(addresses_connect(table, 7, 60000, 10), ADDRESS_TOO_FAST);
    ck_assert_int_eq(addresses_connect(table, 0, 60000, 1), ADDRESS_WELCOME);
    ck_assert_int_eq(addresses_connect(table, 0, 60000, 1), ADDRESS_WELCOME);
}
END_TEST

START_TEST(failures)
{
    static const enum address_failure wanted[] = {FAILURE_NOTED, FAILURE_NOTED, FAILURE_SLOW, FAILURE_BLOCKS,
                                                  FAILURE_BLOCKED};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        ck_assert_int_eq(addresses_failed(table, 7, 1000, 4, 2000), wanted[i]);
    ck_assert_int_eq(addresses_connect(table, 7, 2999, 0), ADDRESS_BLOCKED);
    ck_assert_int_eq(addresses_connect(table, 8, 2999, 0), ADDRESS_WELCOME);
    ck_assert_int_eq(addresses_connect(table, 7, 3000, 0), ADDRESS_WELCOME);
    ck_assert_int_eq(addresses_failed(table, 7, 3000, 4, 2000), FAILURE_NOTED);
    // One every 15 seconds is forgotten as fast as it comes.
    for (uint64_t i = 0; i < 20; i++)
        ck_assert_int_eq(addresses_failed(table, 9, 1000 + i * 15000, 4, 2000), FAILURE_NOTED);
    ck_assert_int_eq(addresses_failed(table, 10, 1000, 1, 2000), FAILURE_BLOCKS);
}
END_TEST

START_TEST(blocked_addresses_outlive_a_flood_of_others)
{
    addresses_failed(table, 7, 1000, 1, 3600000);
    for (uint64_t key = 100; key < 100000; key++)
        ck_assert_int_eq(addresses_connect(table, key, 1000 + key / 100, 5), ADDRESS_WELCOME);
    ck_assert_int_eq(addresses_connect(table, 7, 100000, 5), ADDRESS_BLOCKED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("addresses");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, keys);
    tcase_add_test(all, rate_of_connections);
    tcase_add_test(all, failures);
    tcase_add_test(all, blocked_addresses_outlive_a_flood_of_others);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
