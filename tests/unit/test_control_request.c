// Requests of the control socket: what is taken and what is refused; patterns.
#include <check.h>
#include <stdlib.h>

#include "core/broker/control_request.h"

static struct control_request request;
static char error[CONTROL_ERROR_MAX];

static bool parse(const char *text)
{
    return control_request_parse(str_of(text), &request, error);
}

START_TEST(what_is_asked_for)
{
    ck_assert(
        parse("{\"noctule\":1,\"command\":\"trace\",\"client_id\":\"\",\"username\":\"u\",\"payload\":true,"
              "\"seconds\":5}"));
    ck_assert(str_equal(request.command, STR("trace")));
    ck_assert(request.client_id.data != NULL && request.client_id.length == 0);
    ck_assert(str_equal(request.username, STR("u")));
    ck_assert_ptr_null(request.topic.data);
    ck_assert(request.payload && !request.disconnect);
    ck_assert_uint_eq(request.seconds, 5);
    control_request_clear(&request);
    ck_assert_ptr_null(request.tree);
}
END_TEST

static const char *const wrong[] = {
    "",
    "x",
    "7",
    "[]",
    "{}",
    "{\"command\":\"status\"}",
    "{\"noctule\":1}",
    "{\"noctule\":2,\"command\":\"status\"}",
    "{\"noctule\":\"1\",\"command\":\"status\"}",
    "{\"noctule\":1,\"command\":7}",
    "{\"noctule\":1,\"command\":\"status\",\"fly\":1}",
    "{\"noctule\":1,\"command\":\"status\",\"command\":\"kick\"}",
    "{\"noctule\":1,\"command\":\"trace\",\"seconds\":0}",
    "{\"noctule\":1,\"command\":\"trace\",\"seconds\":86401}",
    "{\"noctule\":1,\"command\":\"trace\",\"seconds\":4294967297}",
    "{\"noctule\":1,\"command\":\"trace\",\"payload\":1}",
    "{\"noctule\":1,\"command\":\"client\",\"client_id\":\"\\u0000\"}",
    "{\"noctule\":1,\"command\":\"client\",\"client_id\":null}",
    "{\"noctule\":1,\"command\":\"status\"}x",
};

START_TEST(what_makes_no_sense)
{
    ck_assert(!parse(wrong[_i]));
    ck_assert_ptr_null(request.tree);
    ck_assert_uint_gt(strlen(error), 3);
}
END_TEST

START_TEST(an_unknown_key_is_told_harmlessly)
{
    ck_assert(!parse("{\"noctule\":1,\"a\\u001bxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\":1}"));
    ck_assert_str_eq(error, "an unknown key: a\\u001bxxxxxxxxxxxxxxxxxx...");
}
END_TEST

struct match_case {
    const char *pattern;
    const char *text;
    bool matches;
};

static const struct match_case matches[] = {
    {"", "", true},        {"", "a", false},     {"a", "", false},         {"abc", "abc", true},
    {"abc", "abd", false}, {"*", "", true},      {"*", "abc", true},       {"a*", "abc", true},
    {"*c", "abc", true},   {"*b", "abc", false}, {"a*c", "abbc", true},    {"a*b*c", "aXbYbZc", true},
    {"a**c", "ac", true},  {"*ab", "aab", true}, {"a*bc", "abcbd", false}, {"a*b", "a", false},
};

START_TEST(patterns)
{
    const struct match_case *one = &matches[_i];
    ck_assert_int_eq(control_matches(str_of(one->pattern), str_of(one->text)), one->matches);
}
END_TEST

START_TEST(an_evil_pattern_takes_no_forever)
{
    static char text[20000];
    static char pattern[200];
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[sizeof pattern - 1] = 'b';
    ck_assert(!control_matches(str_make(pattern, sizeof pattern), str_make(text, sizeof text)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("control_request");
    TCase *tests = tcase_create("control_request");
    tcase_add_test(tests, what_is_asked_for);
    tcase_add_loop_test(tests, what_makes_no_sense, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tests, an_unknown_key_is_told_harmlessly);
    tcase_add_loop_test(tests, patterns, 0, sizeof matches / sizeof *matches);
    tcase_add_test(tests, an_evil_pattern_takes_no_forever);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
