/* What a decision of acl-file costs, counted in tree nodes looked at: the topic's depth, not the size of the
 * file. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/acl-file/acl.h"

struct text {
    char *data;
    size_t length;
};

/* `users` users with `each` rules of their own, and `patterns` patterns. */
static struct text file_make(int users, int each, int patterns)
{
    struct text text;
    FILE *out = open_memstream(&text.data, &text.length);
    ck_assert_ptr_nonnull(out);
    for (int user = 0; user < users; user++) {
        fprintf(out, "user user%d\n", user);
        for (int rule = 0; rule < each; rule++)
            fprintf(out, "topic readwrite site/%d/room/%d/#\n", user, rule);
    }
    for (int rule = 0; rule < patterns; rule++)
        fprintf(out, "pattern read device/%%c/channel/%d\npattern write kind%d/x-%%u/#\n", rule, rule);
    fclose(out);
    return text;
}

static struct acl_rules *rules_make(int users, int each, int patterns)
{
    struct text text = file_make(users, each, patterns);
    struct acl_options options = {.substitution = ACL_SUBSTITUTION_ANYWHERE};
    struct acl_problems problems = {0};
    struct acl_rules *rules = acl_rules_parse(text.data, text.length, "f", &options, &problems);
    ck_assert_ptr_nonnull(rules);
    ck_assert_uint_eq(acl_rules_count(rules), (size_t)(users * each + 2 * patterns));
    acl_problems_clear(&problems);
    free(text.data);
    return rules;
}

static struct acl_decision decide(const struct acl_rules *rules, const char *username, enum acl_access access,
                                  const char *topic)
{
    struct acl_identity identity = {username, strlen(username), "dev", 3};
    struct acl_decision decision;
    acl_decide(rules, &identity, access, topic, strlen(topic), &decision);
    return decision;
}

START_TEST(thousands_of_rules_cost_the_depth_of_the_topic)
{
    struct acl_rules *rules = rules_make(1000, 5, 1000);
    struct acl_decision decision = decide(rules, "user999", ACL_WRITE, "site/999/room/4/lamp/on");
    ck_assert_int_eq(decision.outcome, ACL_ALLOWED);
    ck_assert_uint_le(decision.steps, 7);
    decision = decide(rules, "user0", ACL_READ, "device/dev/channel/999");
    ck_assert_int_eq(decision.outcome, ACL_ALLOWED);
    ck_assert_uint_le(decision.steps, 1 + 5); /* its own root, and the pattern's path */
    decision = decide(rules, "user7", ACL_WRITE, "kind500/x-user7/y/z");
    ck_assert_int_eq(decision.outcome, ACL_ALLOWED);
    ck_assert_uint_le(decision.steps, 1 + 3); /* one partly substituted pattern, not a thousand */
    decision = decide(rules, "user7", ACL_WRITE, "a/b/c/d/e/f/g/h");
    ck_assert_int_eq(decision.outcome, ACL_NO_MATCH);
    ck_assert_uint_le(decision.steps, 2);
    acl_rules_free(rules);
}
END_TEST

START_TEST(cost_does_not_grow_with_the_file)
{
    static const char *const topics[] = {"site/1/room/1/x", "device/dev/channel/1", "kind1/x-user1/y",
                                         "none"};
    struct acl_rules *small = rules_make(2, 2, 2);
    struct acl_rules *large = rules_make(4000, 10, 5000);
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++) {
        ck_assert_uint_eq(decide(small, "user1", ACL_READ, topics[i]).steps,
                          decide(large, "user1", ACL_READ, topics[i]).steps);
        ck_assert_uint_eq(decide(small, "user1", ACL_WRITE, topics[i]).steps,
                          decide(large, "user1", ACL_WRITE, topics[i]).steps);
    }
    acl_rules_free(small);
    acl_rules_free(large);
}
END_TEST

START_TEST(a_deep_topic_costs_no_more_than_the_rules_depth)
{
    struct acl_rules *rules = rules_make(10, 10, 10);
    static char topic[60001];
    for (size_t i = 0; i < sizeof(topic) - 1; i += 2)
        memcpy(topic + i, "a/", 2);
    memcpy(topic, "site/1/room/1/", 14);
    struct acl_decision decision = decide(rules, "user1", ACL_READ, topic);
    ck_assert_int_eq(decision.outcome, ACL_ALLOWED);
    ck_assert_uint_le(decision.steps, 6);
    acl_rules_free(rules);
}
END_TEST

START_TEST(covering_costs_the_depth_of_the_filter)
{
    struct acl_rules *rules = rules_make(1000, 5, 1000);
    struct acl_identity identity = {"user5", 5, "dev", 3};
    struct acl_decision why;
    ck_assert(acl_covers(rules, &identity, "site/5/room/3/#", 15, &why));
    ck_assert_uint_le(why.steps, 6);
    ck_assert(!acl_covers(rules, &identity, "#", 1, &why));
    ck_assert_uint_le(why.steps, 4);
    acl_rules_free(rules);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("acl_cost");
    TCase *tests = tcase_create("cost");
    tcase_add_test(tests, thousands_of_rules_cost_the_depth_of_the_topic);
    tcase_add_test(tests, cost_does_not_grow_with_the_file);
    tcase_add_test(tests, a_deep_topic_costs_no_more_than_the_rules_depth);
    tcase_add_test(tests, covering_costs_the_depth_of_the_filter);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
