// What strangers choose is shown harmless, and fits.
#include <check.h>
#include <stdlib.h>

#include "core/base/escape.h"

struct escape_case {
    const char *text;
    size_t most;
    bool quoted;
    const char *shown;
};

static const struct escape_case cases[] = {
    {"", 10, false, ""},
    {"plain", 10, false, "plain"},
    {"plain", 5, false, "plain"},
    {"plain", 4, false, "plai..."},
    {"a\nb\x1b[2J\x7f", 100, false, "a\\u000ab\\u001b[2J\\u007f"},
    {"\xc3\xa9\xc2\x85", 100, false, "\xc3\xa9\\u0085"},
    {"\xe2\x80\xae"
     "x\xe2\x81\xa6",
     100, false, "\\u202ex\\u2066"},
    {"caf\xc3\xa9", 4, false, "caf..."},
    {"\xff\x80", 100, false, "\\u00ff\\u0080"},
    {"\"\\", 100, true, "\\\"\\\\"},
    {"\"\\", 100, false, "\"\\"},
};

START_TEST(shown_as_it_should)
{
    char *shown = escape_new(str_of(cases[_i].text), cases[_i].most, cases[_i].quoted);
    ck_assert_str_eq(shown, cases[_i].shown);
    free(shown);
}
END_TEST

START_TEST(no_more_than_there_is_room_for)
{
    for (size_t room = 0; room < 30; room++) {
        char out[64];
        memset(out, 'x', sizeof out);
        size_t length = escape(STR("a\n\"b\xc3\xa9"), 100, true, out, room);
        ck_assert_uint_le(length, room);
        for (size_t i = room; i < sizeof out; i++)
            ck_assert_int_eq(out[i], 'x');
        // An escape is whole or not there.
        ck_assert(length == 0 || length >= 7 || out[length - 1] == 'a');
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("escape");
    TCase *tests = tcase_create("escape");
    tcase_add_loop_test(tests, shown_as_it_should, 0, sizeof cases / sizeof *cases);
    tcase_add_test(tests, no_more_than_there_is_room_for);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
