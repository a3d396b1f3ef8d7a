/* What acl-file refuses in a file, what it warns of, and where it says so. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/acl-file/acl.h"

static struct acl_problems problems;

static struct acl_rules *parse(const char *text, size_t length, enum acl_substitution substitution)
{
    struct acl_options options = {.substitution = substitution};
    acl_problems_clear(&problems);
    return acl_rules_parse(text, length, "users.acl", &options, &problems);
}

static void clear_problems(void)
{
    acl_problems_clear(&problems);
}

struct faulty {
    const char *text;
    uint32_t line;
    const char *message;
};

static const struct faulty faulty_files[] = {
    {"topic read a\nnonsense\n", 2, "unknown keyword 'nonsense' (expected topic, pattern or user)"},
    {"Topic read a\n", 1, "unknown keyword 'Topic': keywords are lower case (expected 'topic')"},
    {"USER bob\n", 1, "unknown keyword 'USER': keywords are lower case (expected 'user')"},
    {"  # comment\n", 1, "a comment must begin in the first column"},
    {"topic\tread a\n", 1, "words are separated by spaces, not by tabs"},
    {"\ttopic read a\n", 1, "words are separated by spaces, not by tabs"},
    {"topic read\ta\n", 1, "words are separated by spaces, not by tabs"},
    {"topic read \ta\n", 1, "words are separated by spaces, not by tabs"},
    {"topic a\tb\n", 1, "words are separated by spaces, not by tabs"},
    {"user\tbob\n", 1, "words are separated by spaces, not by tabs"},
    {"user \tbob\n", 1, "words are separated by spaces, not by tabs"},
    {"topic\n", 1, "'topic' without a topic filter"},
    {"\n\npattern  \n", 3, "'pattern' without a topic filter"},
    {"user\n", 1, "'user' without a name"},
    {"user  \r\n", 1, "'user' without a name"},
    {"topic Read a\n", 1, "unknown access 'Read': keywords are lower case (expected 'read')"},
    {"topic none a\n", 1,
     "unknown access 'none' (expected read, write, readwrite or deny; a filter that holds a space needs one "
     "of "
     "them before it)"},
    {"topic a # why\n", 1,
     "unknown access 'a' (expected read, write, readwrite or deny; a filter that holds a space needs one of "
     "them "
     "before it)"},
    {"topic read a # why\n", 1,
     "'a # why' is no topic filter: '#' must be a whole level (a comment stands on a line of its own)"},
    {"topic read a #\n", 1,
     "'a #' is no topic filter: '#' must be a whole level (a comment stands on a line of its own)"},
    {"topic read a#\n", 1, "'a#' is no topic filter: '#' must be a whole level"},
    {"topic read a/#/b\n", 1, "'a/#/b' is no topic filter: '#' must be the last level"},
    {"topic read a+/b\n", 1, "'a+/b' is no topic filter: '+' must be a whole level"},
    {"pattern read +%c\n", 1, "'+%c' is no topic filter: '+' must be a whole level"},
    {"pattern read %c#\n", 1, "'%c#' is no topic filter: '#' must be a whole level"},
    {"topic read ++\n", 1, "'++' is no topic filter: '+' must be a whole level"},
    {"\xef\xbb\xbftopic read a\n", 1, "unknown keyword '???topic' (expected topic, pattern or user)"},
};

START_TEST(faults_have_line_and_words)
{
    const struct faulty *faulty = &faulty_files[_i];
    ck_assert_ptr_null(parse(faulty->text, strlen(faulty->text), ACL_SUBSTITUTION_ANYWHERE));
    ck_assert_uint_eq(problems.count, 1);
    ck_assert_uint_eq(problems.errors, 1);
    ck_assert(problems.list[0].is_error);
    ck_assert_str_eq(problems.list[0].message, faulty->message);
    ck_assert_uint_eq(problems.list[0].line, faulty->line);
}
END_TEST

START_TEST(all_faults_are_collected)
{
    static const char text[] = "x\ntopic read a\ntopic a b\n# fine\nuser\npattern read a\n";
    ck_assert_ptr_null(parse(text, sizeof(text) - 1, ACL_SUBSTITUTION_ANYWHERE));
    ck_assert_uint_eq(problems.errors, 3);
    ck_assert_uint_eq(problems.warnings, 1);
    ck_assert_uint_eq(problems.count, 4);
    ck_assert_uint_eq(problems.list[0].line, 1);
    ck_assert_uint_eq(problems.list[1].line, 3);
    ck_assert_uint_eq(problems.list[2].line, 5);
    ck_assert_uint_eq(problems.list[3].line, 6);
    ck_assert(!problems.list[3].is_error);
}
END_TEST

START_TEST(fifty_faults_are_kept_and_all_counted)
{
    char text[400];
    memset(text, 0, sizeof(text));
    for (int i = 0; i < 120; i++)
        strcat(text, "x\n");
    ck_assert_ptr_null(parse(text, strlen(text), ACL_SUBSTITUTION_ANYWHERE));
    ck_assert_uint_eq(problems.count, ACL_PROBLEMS_MAX);
    ck_assert_uint_eq(problems.errors, 120);
}
END_TEST

START_TEST(nul_bytes)
{
    static const char text[] = "topic read a\0b\n";
    ck_assert_ptr_null(parse(text, sizeof(text) - 1, ACL_SUBSTITUTION_ANYWHERE));
    ck_assert_str_eq(problems.list[0].message, "the line holds a NUL byte");
    static const char comment[] = "#\0\ntopic read a\n";
    struct acl_rules *rules = parse(comment, sizeof(comment) - 1, ACL_SUBSTITUTION_ANYWHERE);
    ck_assert_ptr_nonnull(rules);
    acl_rules_free(rules);
}
END_TEST

/* "topic read " and `count` bytes of `fill`. */
static struct acl_rules *parse_long(size_t count, char fill)
{
    static char text[70000];
    memcpy(text, "topic read ", 11);
    memset(text + 11, fill, count);
    return parse(text, 11 + count, ACL_SUBSTITUTION_ANYWHERE);
}

START_TEST(limits_of_a_filter)
{
    struct acl_rules *rules = parse_long(65535, 'a');
    ck_assert_ptr_nonnull(rules);
    acl_rules_free(rules);
    ck_assert_ptr_null(parse_long(65536, 'a'));
    ck_assert_ptr_nonnull(strstr(problems.list[0].message, "it is longer than 65535 bytes"));
    ck_assert_uint_lt(strlen(problems.list[0].message), 200);
    rules = parse_long(200, '/');
    ck_assert_ptr_nonnull(rules);
    acl_rules_free(rules);
    ck_assert_ptr_null(parse_long(201, '/'));
    ck_assert_ptr_nonnull(strstr(problems.list[0].message, "it has more than 201 levels"));
}
END_TEST

struct warned {
    const char *text;
    enum acl_substitution substitution;
    const char *message; /* NULL: none */
};

static const struct warned warned_files[] = {
    {"pattern read a/b\n", ACL_SUBSTITUTION_ANYWHERE, "pattern without %c or %u applies to every client"},
    {"pattern read a/%x\n", ACL_SUBSTITUTION_ANYWHERE, "pattern without %c or %u applies to every client"},
    {"pattern read a/x%c\n", ACL_SUBSTITUTION_ANYWHERE, NULL},
    {"pattern read a/%u\n", ACL_SUBSTITUTION_LEVEL, NULL},
    {"pattern read a/%c/x%u\n", ACL_SUBSTITUTION_LEVEL,
     "%c and %u stand for themselves unless they are a whole level (substitution: level)"},
    {"topic read a/%c\n", ACL_SUBSTITUTION_ANYWHERE,
     "%c and %u stand for themselves in a 'topic' line (was 'pattern' meant?)"},
    {"topic read a\n", ACL_SUBSTITUTION_ANYWHERE, NULL},
    {"topic read \xc3\xa9t\xc3\xa9/\xf0\x9f\x90\x9d\n", ACL_SUBSTITUTION_ANYWHERE, NULL},
    {"topic read \xe9t\xe9\n", ACL_SUBSTITUTION_ANYWHERE,
     "the filter is not valid UTF-8, so it matches no topic"},
    {"topic read \xed\xa0\x80\n", ACL_SUBSTITUTION_ANYWHERE,
     "the filter is not valid UTF-8, so it matches no topic"},
    {"# only words\n", ACL_SUBSTITUTION_ANYWHERE, "there is no rule in it, so it allows nothing"},
};

START_TEST(warnings)
{
    const struct warned *warned = &warned_files[_i];
    struct acl_rules *rules = parse(warned->text, strlen(warned->text), warned->substitution);
    ck_assert_ptr_nonnull(rules);
    acl_rules_free(rules);
    ck_assert_uint_eq(problems.errors, 0);
    ck_assert_uint_eq(problems.count, warned->message ? 1 : 0);
    if (warned->message) {
        ck_assert_str_eq(problems.list[0].message, warned->message);
        ck_assert(!problems.list[0].is_error);
    }
}
END_TEST

START_TEST(files)
{
    char path[] = "/tmp/acl-test-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *file = fdopen(fd, "w");
    ck_assert_ptr_nonnull(file);
    for (int i = 0; i < 5000; i++) /* more than one read */
        fprintf(file, "topic read a/%d\n", i);
    fclose(file);
    struct acl_options options = {0};
    acl_problems_clear(&problems);
    struct acl_rules *rules = acl_rules_load(path, &options, &problems);
    ck_assert_ptr_nonnull(rules);
    ck_assert_uint_eq(acl_rules_count(rules), 5000);
    struct acl_identity identity = {.client_id = "c", .client_id_length = 1};
    struct acl_decision decision;
    acl_decide(rules, &identity, ACL_READ, "a/4999", 6, &decision);
    ck_assert_uint_eq(decision.line, 5000);
    ck_assert_int_eq(strncmp(decision.reason, "acl-test-", 9), 0); /* the base name */
    acl_rules_free(rules);
    unlink(path);
    ck_assert_ptr_null(acl_rules_load(path, &options, &problems));
    ck_assert_str_eq(problems.list[0].message, "cannot read it: No such file or directory");
    acl_problems_clear(&problems);
    ck_assert_ptr_null(acl_rules_load("/tmp", &options, &problems));
    ck_assert_str_eq(problems.list[0].message, "cannot read it: Is a directory");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("acl_parse");
    TCase *tests = tcase_create("parse");
    tcase_add_checked_fixture(tests, NULL, clear_problems);
    tcase_add_loop_test(tests, faults_have_line_and_words, 0,
                        (int)(sizeof(faulty_files) / sizeof(faulty_files[0])));
    tcase_add_test(tests, all_faults_are_collected);
    tcase_add_test(tests, fifty_faults_are_kept_and_all_counted);
    tcase_add_test(tests, nul_bytes);
    tcase_add_test(tests, limits_of_a_filter);
    tcase_add_loop_test(tests, warnings, 0, (int)(sizeof(warned_files) / sizeof(warned_files[0])));
    tcase_add_test(tests, files);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
