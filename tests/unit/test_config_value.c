/* Typed getters: what each takes, what it refuses, and in which words. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/tree.h"

static struct diagnostics found;
static struct config_tree *tree;

static struct config_node *value(const char *text)
{
    char document[256];
    config_tree_free(tree);
    diagnostics_clear(&found);
    snprintf(document, sizeof document, "k: %s\n", text);
    const struct config_options options = {0};
    tree = config_tree_parse(document, strlen(document), "dir/t.yaml", "dir", &options, &found);
    ck_assert_msg(tree && found.count == 0, "%s: %s", text, found.count ? found.items[0].text : "");
    return config_tree_root(tree);
}

static void teardown(void)
{
    config_tree_free(tree);
    tree = NULL;
    diagnostics_clear(&found);
}

static void check_one(const char *text, const char *expected)
{
    ck_assert_msg(found.count == 1, "%s: %zu findings", text, found.count);
    ck_assert_msg(strcmp(found.items[0].text, expected) == 0, "%s\nexpected: %s\nfound:    %s", text,
                  expected, found.items[0].text);
}

START_TEST(durations)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"250ms", 250},  {"30s", 30000},     {"5m", 300000},
        {"2h", 7200000}, {"7d", 604800000},  {"0", 0},
        {"0s", 0},       {"\"30s\"", 30000}, {"1000000000ms", 1000000000},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t ms = 1;
        ck_assert_msg(config_duration(value(good[i].text), "k", 0, 1000000000, &ms, &found) == CONFIG_FOUND &&
                          ms == good[i].ms && found.count == 0,
                      "%s", good[i].text);
    }
    static const char *const bad[] = {"5",
                                      "5 s",
                                      "-5s",
                                      "1.5h",
                                      "s",
                                      "5S",
                                      "5min",
                                      "1h30m",
                                      "05s",
                                      "+5s",
                                      "[5s]",
                                      "",
                                      "5s ms",
                                      "99999999999999999999s",
                                      "18446744073709551615d"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t ms = 77;
        ck_assert_msg(config_duration(value(bad[i]), "k", 0, UINT64_MAX, &ms, &found) == CONFIG_WRONG &&
                          ms == 77 && found.errors == 1,
                      "%s", bad[i]);
    }
}
END_TEST

START_TEST(sizes)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0}, {"512", 512}, {"64KiB", 65536}, {"16MiB", 16777216}, {"1GiB", 1073741824}, {"'1KiB'", 1024},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        uint64_t bytes = 1;
        ck_assert_msg(config_size(value(good[i].text), "k", 0, UINT64_MAX, &bytes, &found) == CONFIG_FOUND &&
                          bytes == good[i].bytes,
                      "%s", good[i].text);
    }
    static const char *const bad[] = {"1KB",  "1k",  "1 MiB",          "-1", "1.5GiB",
                                      "0x10", "KiB", "17179869185GiB", "~"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t bytes = 77;
        ck_assert_msg(config_size(value(bad[i]), "k", 0, UINT64_MAX, &bytes, &found) == CONFIG_WRONG &&
                          bytes == 77,
                      "%s", bad[i]);
    }
}
END_TEST

START_TEST(integers)
{
    static const struct {
        const char *text;
        int64_t number;
    } good[] = {
        {"0", 0},
        {"-5", -5},
        {"9223372036854775807", INT64_MAX},
        {"-0", 0},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t number = 1;
        ck_assert_msg(config_integer(value(good[i].text), "k", INT64_MIN, INT64_MAX, &number, &found) ==
                              CONFIG_FOUND &&
                          number == good[i].number,
                      "%s", good[i].text);
    }
    static const char *const bad[] = {"\"5\"", "0x10", "010",   "1_000", "5.0",
                                      "+5",    "--5",  "",      "true",  "[5]",
                                      "{}",    "1e3",  "99999", "-11",   "9223372036854775808"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t number = 77;
        ck_assert_msg(config_integer(value(bad[i]), "k", -10, 10000, &number, &found) == CONFIG_WRONG &&
                          number == 77,
                      "%s", bad[i]);
    }
}
END_TEST

START_TEST(booleans)
{
    bool flag = false;
    ck_assert_int_eq(config_bool(value("true"), "k", &flag, &found), CONFIG_FOUND);
    ck_assert(flag);
    ck_assert_int_eq(config_bool(value("false"), "k", &flag, &found), CONFIG_FOUND);
    ck_assert(!flag);
    static const char *const bad[] = {"yes",   "no", "on",       "off", "True",
                                      "FALSE", "1",  "\"true\"", "",    "[true]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(config_bool(value(bad[i]), "k", &flag, &found) == CONFIG_WRONG, "%s", bad[i]);
}
END_TEST

START_TEST(paths)
{
    const char *path = NULL;
    ck_assert_int_eq(config_path(value("users.passwd"), "k", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "dir/users.passwd");
    ck_assert_int_eq(config_path(value("/etc/x"), "k", &path, &found), CONFIG_FOUND);
    ck_assert_str_eq(path, "/etc/x");
    ck_assert_int_eq(config_path(value("\"\""), "k", &path, &found), CONFIG_WRONG);
    ck_assert_int_eq(config_path(value("[x]"), "k", &path, &found), CONFIG_WRONG);
}
END_TEST

START_TEST(sections)
{
    struct config_node *node = NULL;
    ck_assert_int_eq(config_map(value("{a: 1}"), "k", &node, &found), CONFIG_FOUND);
    ck_assert_uint_eq(node->count, 1);
    ck_assert_int_eq(config_list(value("[]"), "k", &node, &found), CONFIG_FOUND);
    ck_assert_uint_eq(node->count, 0);
    ck_assert_int_eq(config_map(value(""), "k", &node, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_list(value("~"), "k", &node, &found), CONFIG_ABSENT);
    ck_assert_uint_eq(found.count, 0);
    ck_assert_int_eq(config_map(value("[]"), "k", &node, &found), CONFIG_WRONG);
    ck_assert_int_eq(config_list(value("\"\""), "k", &node, &found), CONFIG_WRONG);
}
END_TEST

START_TEST(absent_keys_leave_defaults)
{
    static const struct config_choice choices[] = {{"a", 1}, {NULL, 0}};
    struct config_node *map = value("1");
    const char *text = "default";
    bool flag = true;
    int64_t number = 7;
    uint64_t amount = 8;
    int choice = 9;
    struct config_node *node = map;
    ck_assert_int_eq(config_string(map, "x", &text, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_path(map, "x", &text, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_bool(map, "x", &flag, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_integer(map, "x", 0, 1, &number, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_duration(map, "x", 0, 1, &amount, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_size(map, "x", 0, 1, &amount, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_enum(map, "x", choices, &choice, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_list(map, "x", &node, &found), CONFIG_ABSENT);
    ck_assert_int_eq(config_map(map, "x", &node, &found), CONFIG_ABSENT);
    ck_assert(strcmp(text, "default") == 0 && flag && number == 7 && amount == 8 && choice == 9 &&
              node == map);
    ck_assert_uint_eq(found.count, 0);
}
END_TEST

START_TEST(words_of_the_reports)
{
    static const struct config_choice choices[] = {{"text", 1}, {"json", 2}, {"logfmt", 3}, {NULL, 0}};
    uint64_t amount;
    int64_t number;
    bool flag;
    int choice = 0;
    const char *text;
    config_duration(value("5"), "k", 1, 600000, &amount, &found);
    check_one(
        "5", "dir/t.yaml:1:4: `k` expects a duration from 1ms to 10m, not `5` (whole numbers with one of the "
             "units ms, s, m, h, d)");
    config_duration(value("20m"), "k", 1500, 600000, &amount, &found);
    check_one("20m", "dir/t.yaml:1:4: `k` expects a duration from 1500ms to 10m, not `20m`");
    config_size(value("1MB"), "k", 0, 1 << 30, &amount, &found);
    check_one(
        "1MB",
        "dir/t.yaml:1:4: `k` expects a size from 0 to 1GiB, not `1MB` (a whole number of bytes, or with "
        "one of the units KiB, MiB, GiB)");
    config_size(value("100"), "k", 128, 1000, &amount, &found);
    check_one("100", "dir/t.yaml:1:4: `k` expects a size from 128 bytes to 1000 bytes, not `100`");
    config_integer(value("\"5\""), "k", 1, 9, &number, &found);
    check_one("\"5\"",
              "dir/t.yaml:1:4: `k` expects a whole number from 1 to 9, not `5` in quotes, which make it a "
              "text");
    config_integer(value(""), "k", 1, 9, &number, &found);
    check_one("", "dir/t.yaml:1:3: `k` expects a whole number from 1 to 9, not nothing");
    config_bool(value("yes"), "k", &flag, &found);
    check_one("yes", "dir/t.yaml:1:4: `k` expects true or false, not `yes` (write true)");
    config_bool(value("Off"), "k", &flag, &found);
    check_one("Off", "dir/t.yaml:1:4: `k` expects true or false, not `Off` (write false)");
    config_enum(value("jsno"), "k", choices, &choice, &found);
    check_one("jsno", "dir/t.yaml:1:4: `k` expects text, json or logfmt, not `jsno` (did you mean `json`?)");
    config_enum(value("xml"), "k", choices, &choice, &found);
    check_one("xml", "dir/t.yaml:1:4: `k` expects text, json or logfmt, not `xml`");
    config_string(value("{a: b}"), "k", &text, &found);
    check_one("{a: b}", "dir/t.yaml:1:4: `k` expects a text, not a map");
    config_node_string(config_get(value("[[x]]"), "k")->items, &text, &found);
    check_one("[[x]]", "dir/t.yaml:1:5: an item of `k` expects a text, not a list");
    config_integer(value("${X:-secret}"), "k", 1, 9, &number, &found);
    check_one("secret",
              "dir/t.yaml:1:4: `k` expects a whole number from 1 to 9, not what `${X:-secret}` stands for");
    ck_assert_int_eq(config_enum(value("logfmt"), "k", choices, &choice, &found), CONFIG_FOUND);
    ck_assert_int_eq(choice, 3);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config value");
    TCase *values = tcase_create("values");
    tcase_add_checked_fixture(values, NULL, teardown);
    tcase_add_test(values, durations);
    tcase_add_test(values, sizes);
    tcase_add_test(values, integers);
    tcase_add_test(values, booleans);
    tcase_add_test(values, paths);
    tcase_add_test(values, sections);
    tcase_add_test(values, absent_keys_leave_defaults);
    tcase_add_test(values, words_of_the_reports);
    suite_add_tcase(suite, values);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
