// What http-auth makes of the platform's answers, and of the rules in them.
#include "plugins/http-auth/answer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOW NOCTULE_ALLOW
#define DENY  NOCTULE_DENY
#define NEXT  NOCTULE_NEXT
#define ERROR NOCTULE_ERROR

static struct answer *read_answer(enum answer_mode mode, enum check_kind kind, long status, const char *body)
{
    struct answer *answer = answer_read(mode, kind, status, body, strlen(body));
    ck_assert_ptr_nonnull(answer);
    return answer;
}

static const struct {
    enum answer_mode mode;
    long status;
    const char *body;
    noctule_verdict verdict;
    const char *reason; ///< a part of it
} answers[] = {
    {ANSWER_STATUS, 200, "", ALLOW, NULL},
    {ANSWER_STATUS, 299, "{\"ok\":false}", ALLOW, NULL},
    {ANSWER_STATUS, 300, "", ERROR, "redirects are not followed"},
    {ANSWER_STATUS, 399, "", ERROR, "redirects are not followed"},
    {ANSWER_STATUS, 400, "", DENY, "status 400"},
    {ANSWER_STATUS, 499, "ok", DENY, "status 499"},
    {ANSWER_STATUS, 500, "ok", ERROR, "status 500"},
    {ANSWER_STATUS, 199, "", ERROR, "status 199"},
    {ANSWER_STATUS, 0, "", ERROR, "status 0"},
    {ANSWER_STATUS, -1, "", ERROR, "status -1"},
    {ANSWER_TEXT, 200, "ok", ALLOW, NULL},
    {ANSWER_TEXT, 200, "OK", DENY, "\"OK\""},
    {ANSWER_TEXT, 200, "ok\n", DENY, "\"ok \""},
    {ANSWER_TEXT, 200, "", DENY, "\"\""},
    {ANSWER_TEXT, 200, "\xFF\x1b[0m", DENY, "\"? [0m\""},
    {ANSWER_JSON, 200, "{\"ok\":true}", ALLOW, NULL},
    {ANSWER_JSON, 200, " {\"OK\" : true, \"error\":\"\"}\n", ALLOW, NULL},
    {ANSWER_JSON, 200, "{\"ok\":false,\"error\":\"no\\nway\"}", DENY, "says no: no way"},
    {ANSWER_JSON, 200, "{\"ok\":null}", DENY, "says no"},
    {ANSWER_JSON, 200, "{}", DENY, "says no"},
    {ANSWER_JSON, 200, "null", DENY, "says no"},
    {ANSWER_JSON, 200, "{\"ok\":true,\"OK\":false}", DENY, "says no"},
    {ANSWER_JSON, 200, "{\"ok\":true,\"ok\":true}", ERROR, "no JSON"},
    {ANSWER_JSON, 200, "{\"ok\":1}", ERROR, "neither true nor false"},
    {ANSWER_JSON, 200, "{\"ok\":true}x", ERROR, "no JSON"},
    {ANSWER_JSON, 200, "", ERROR, "no JSON"},
    {ANSWER_JSON, 200, "true", ERROR, "no object"},
    {ANSWER_JSON, 200, "[{\"ok\":true}]", ERROR, "no object"},
    {ANSWER_JSON, 200, "{\"ok\":true,\"x\":\"\xFF\"}", ERROR, "no JSON"},
    {ANSWER_JSON, 200, "{\"result\":\"allow\"}", ALLOW, NULL},
    {ANSWER_JSON, 200, "{\"result\":\"deny\",\"error\":\"x\"}", DENY, "says no: x"},
    {ANSWER_JSON, 200, "{\"result\":\"ignore\"}", NEXT, NULL},
    {ANSWER_JSON, 200, "{\"result\":\"Allow\"}", ERROR, "none of"},
    {ANSWER_JSON, 200, "{\"result\":null}", ERROR, "none of"},
    {ANSWER_JSON, 200, "{\"result\":true}", ERROR, "none of"},
    {ANSWER_JSON, 200, "{\"result\":\"allow\",\"ok\":true}", ALLOW, NULL},
    {ANSWER_JSON, 200, "{\"result\":\"allow\",\"ok\":false}", ERROR, "contradict"},
    {ANSWER_JSON, 200, "{\"result\":\"ignore\",\"ok\":true}", ERROR, "contradict"},
    {ANSWER_JSON, 403, "{\"result\":\"allow\"}", DENY, "status 403"},
};

START_TEST(answers_and_verdicts)
{
    struct answer *answer = read_answer(answers[_i].mode, CHECK_USER, answers[_i].status, answers[_i].body);
    ck_assert_int_eq(answer->verdict, answers[_i].verdict);
    ck_assert((answer->error != ANSWER_NO_ERROR) == (answer->verdict == ERROR));
    if (answers[_i].reason)
        ck_assert_msg(answer->reason && strstr(answer->reason, answers[_i].reason), "%s", answer->reason);
    answer_unref(answer);
}
END_TEST

START_TEST(long_reasons_are_cut_between_characters)
{
    char body[1000] = "{\"ok\":false,\"error\":\"x";
    for (int i = 0; i < 300; i++)
        strcat(body, "\xC3\xA9");
    strcat(body, "\"}");
    struct answer *answer = read_answer(ANSWER_JSON, CHECK_USER, 200, body);
    size_t length = strlen(answer->reason);
    ck_assert_uint_le(length, ANSWER_REASON_MAX);
    ck_assert_uint_ge(length, 100);
    ck_assert_mem_eq(answer->reason + length - 2, "\xC3\xA9", 2);
    answer_unref(answer);
}
END_TEST

// ---- What a login brings along -------------------------------------------------------------------------

START_TEST(members_of_a_login)
{
    const char *body = "{\"result\":\"allow\",\"is_superuser\":false,\"expire_at\":1700000000.5,\"acl\":[],"
                       "\"client_attrs\":{\"a\":\"b\"},\"unknown\":1}";
    struct answer *answer = read_answer(ANSWER_JSON, CHECK_USER, 200, body);
    ck_assert_int_eq(answer->verdict, ALLOW);
    ck_assert_int_eq(answer->superuser, SUPERUSER_NO);
    ck_assert_uint_eq(answer->expire_at_ms, 1700000000500);
    ck_assert(answer->has_rules);
    ck_assert_uint_eq(answer->rules.count, 0);
    ck_assert_uint_eq(answer->rules.attribute_count, 1);
    answer_unref(answer);
    // Of another check, or a no, they are nobody's business.
    answer = read_answer(ANSWER_JSON, CHECK_ACL, 200, "{\"result\":\"allow\",\"acl\":7,\"expire_at\":\"x\"}");
    ck_assert_int_eq(answer->verdict, ALLOW);
    ck_assert(!answer->has_rules);
    answer_unref(answer);
    answer = read_answer(ANSWER_JSON, CHECK_USER, 200, "{\"result\":\"deny\",\"acl\":7}");
    ck_assert_int_eq(answer->verdict, DENY);
    answer_unref(answer);
    answer = read_answer(
        ANSWER_JSON, CHECK_USER, 200,
        "{\"ok\":true,\"acl\":null,\"expire_at\":null,\"is_superuser\":null,\"client_attrs\":null}");
    ck_assert_int_eq(answer->verdict, ALLOW);
    ck_assert_int_eq(answer->superuser, SUPERUSER_UNSAID);
    ck_assert(!answer->has_rules && answer->expire_at_ms == 0);
    answer_unref(answer);
}
END_TEST

static const struct {
    const char *members;
    const char *problem;
} wrong_logins[] = {
    {"\"is_superuser\":1", "`is_superuser`"},
    {"\"expire_at\":\"1700000000\"", "`expire_at`"},
    {"\"expire_at\":0", "`expire_at`"},
    {"\"expire_at\":-5", "`expire_at`"},
    {"\"expire_at\":1e999", "no JSON"},
    {"\"client_attrs\":[]", "client_attrs"},
    {"\"client_attrs\":{\"a\":1}", "client_attrs"},
    {"\"acl\":{\"pub\":[\"a\"]}", "acl is no list"},
    {"\"acl\":[1]", "rule 1: it is no object"},
    {"\"acl\":[{}]", "rule 1: permission is missing"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\"}]", "topic is missing"},
    {"\"acl\":[{\"permission\":\"allow\",\"topic\":\"t\"}]", "action is missing"},
    {"\"acl\":[{\"permission\":\"yes\",\"action\":\"all\",\"topic\":\"t\"}]", "permission is neither"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"read\",\"topic\":\"t\"}]", "action is none"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"\"}]", "no topic filter"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"eq \"}]", "no topic filter"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a#\"}]", "no topic filter"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"#/a\"}]", "no topic filter"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a/b+/c\"}]", "no topic filter"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"$share/g/t\"}]", "no topic filter"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":[\"t\"]}]", "topic is no text"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"t\",\"qos\":[3]}]", "qos is no list"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"t\",\"qos\":[]}]", "qos is no list"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"t\",\"qos\":\"1\"}]",
     "qos is no list"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"t\",\"retain\":2}]",
     "retain is neither"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"t\",\"ipaddr\":\"10.0.0.1\"}]",
     "not known"},
    {"\"acl\":[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"t\",\"permission\":\"deny\"}]",
     "no JSON"},
};

START_TEST(a_login_that_makes_no_sense_is_none)
{
    char body[512];
    snprintf(body, sizeof body, "{\"result\":\"allow\",%s}", wrong_logins[_i].members);
    struct answer *answer = read_answer(ANSWER_JSON, CHECK_USER, 200, body);
    ck_assert_int_eq(answer->verdict, ERROR);
    ck_assert_msg(strstr(answer->reason, wrong_logins[_i].problem) != NULL, "%s", answer->reason);
    ck_assert_uint_eq(answer->rules.count, 0);
    ck_assert(!answer->has_rules);
    answer_unref(answer);
}
END_TEST

START_TEST(too_many_rules_are_refused)
{
    size_t room = (RULES_MAX + 2) * 64;
    char *body = malloc(room);
    for (int count = RULES_MAX; count <= RULES_MAX + 1; count++) {
        strcpy(body, "{\"ok\":true,\"acl\":[");
        size_t at = strlen(body);
        for (int i = 0; i < count; i++)
            at += (size_t)snprintf(body + at, room - at,
                                   "%s{\"permission\":\"deny\",\"action\":\"all\",\"topic\":\"t\"}",
                                   i ? "," : "");
        strcpy(body + at, "]}");
        struct answer *answer = read_answer(ANSWER_JSON, CHECK_USER, 200, body);
        ck_assert_int_eq(answer->verdict, count <= RULES_MAX ? ALLOW : ERROR);
        answer_unref(answer);
    }
    free(body);
}
END_TEST

// ---- Grants --------------------------------------------------------------------------------------------

#define PUBLISH   NOCTULE_ACCESS_PUBLISH
#define SUBSCRIBE NOCTULE_ACCESS_SUBSCRIBE
#define DELIVER   NOCTULE_ACCESS_DELIVER

static const struct {
    const char *rule;
    uint32_t access; ///< 0: no grant comes of it
    bool allow;
    bool exact;
    uint8_t retain;
    uint32_t qos_mask;
    const char *filter;
} grants_made[] = {
    {"allow\",\"action\":\"publish\",\"topic\":\"a/#\"", PUBLISH, true, false, 2, 0, "a/#"},
    {"allow\",\"action\":\"subscribe\",\"topic\":\"a/+\"", SUBSCRIBE | DELIVER, true, false, 2, 0, "a/+"},
    {"allow\",\"action\":\"all\",\"topic\":\"a\"", PUBLISH | SUBSCRIBE | DELIVER, true, false, 2, 0, "a"},
    {"deny\",\"action\":\"subscribe\",\"topic\":\"a\"", SUBSCRIBE | DELIVER, false, false, 2, 0, "a"},
    // A denial of some subscriptions is none of messages.
    {"deny\",\"action\":\"subscribe\",\"topic\":\"a\",\"qos\":[2]", SUBSCRIBE, false, false, 2, 4, "a"},
    {"deny\",\"action\":\"all\",\"topic\":\"eq a/#\"", SUBSCRIBE, false, true, 2, 0, "a/#"},
    {"deny\",\"action\":\"subscribe\",\"topic\":\"eq a\"", SUBSCRIBE | DELIVER, false, false, 2, 0, "a"},
    {"allow\",\"action\":\"subscribe\",\"topic\":\"eq a/#\",\"qos\":[1]", SUBSCRIBE | DELIVER, true, true, 2,
     2, "a/#"},
    {"allow\",\"action\":\"publish\",\"topic\":\"eq a/#\"", 0, true, false, 2, 0, ""},
    {"allow\",\"action\":\"publish\",\"topic\":\"a\",\"qos\":[0,1]", PUBLISH, true, false, 2, 3, "a"},
    {"allow\",\"action\":\"publish\",\"topic\":\"a\",\"qos\":[0,1,2,1]", PUBLISH, true, false, 2, 0, "a"},
    {"allow\",\"action\":\"publish\",\"topic\":\"a\",\"qos\":1", PUBLISH, true, false, 2, 2, "a"},
    {"allow\",\"action\":\"publish\",\"topic\":\"a\",\"qos\":null", PUBLISH, true, false, 2, 0, "a"},
    {"allow\",\"action\":\"publish\",\"topic\":\"a\",\"retain\":true", PUBLISH, true, false, 1, 0, "a"},
    {"allow\",\"action\":\"publish\",\"topic\":\"a\",\"retain\":false", PUBLISH, true, false, 0, 0, "a"},
    {"allow\",\"action\":\"publish\",\"topic\":\"a\",\"retain\":\"all\"", PUBLISH, true, false, 2, 0, "a"},
    {"allow\",\"action\":\"publish\",\"topic\":\"${username}/${clientid}/#\"", PUBLISH, true, false, 2, 0,
     "ann/dev/#"},
    {"allow\",\"action\":\"publish\",\"topic\":\"x${cert_common_name}y\"", PUBLISH, true, false, 2, 0,
     "xcny"},
    {"allow\",\"action\":\"publish\",\"topic\":\"${client_attrs.site}\"", PUBLISH, true, false, 2, 0, "hall"},
    {"allow\",\"action\":\"publish\",\"topic\":\"eq ${username}\"", PUBLISH, true, false, 2, 0,
     "${username}"},
    {"allow\",\"action\":\"publish\",\"topic\":\"${username\"", PUBLISH, true, false, 2, 0, "${username"},
    {"allow\",\"action\":\"publish\",\"topic\":\"$SYS/x\"", PUBLISH, true, false, 2, 0, "$SYS/x"},
};

static struct rules_client dev_of_ann(void)
{
    return (struct rules_client){NOCTULE_STRING("ann"), NOCTULE_STRING("dev"), NOCTULE_STRING("cn")};
}

static struct answer *login_with(const char *rule)
{
    char body[512];
    snprintf(body, sizeof body,
             "{\"result\":\"allow\",\"client_attrs\":{\"site\":\"hall\",\"many\":\"a/"
             "b\"},\"acl\":[{\"permission\":\"%s}]}",
             rule);
    struct answer *answer = read_answer(ANSWER_JSON, CHECK_USER, 200, body);
    ck_assert_msg(answer->verdict == ALLOW, "%s: %s", rule, answer->reason);
    return answer;
}

START_TEST(rules_become_grants)
{
    struct answer *answer = login_with(grants_made[_i].rule);
    struct rules_client client = dev_of_ann();
    struct rule_grants grants;
    char problem[RULES_PROBLEM_MAX];
    ck_assert(rules_grant(&answer->rules, &client, &grants, problem));
    ck_assert_uint_eq(grants.count, 1);
    const struct noctule_grant *grant = &grants.list[0];
    ck_assert_uint_eq(grant->size, sizeof *grant);
    if (grants_made[_i].access == 0) {
        // Nothing is left of it but that there are grants.
        ck_assert_uint_eq(grant->allow, 0);
        ck_assert_uint_eq(grant->access, NOCTULE_ACCESS_ALL);
    } else {
        ck_assert_uint_eq(grant->access, grants_made[_i].access);
        ck_assert_uint_eq(grant->allow, grants_made[_i].allow);
        ck_assert_uint_eq(grant->exact, grants_made[_i].exact);
        ck_assert_uint_eq(grant->retain, grants_made[_i].retain);
        ck_assert_uint_eq(grant->qos_mask, grants_made[_i].qos_mask);
        ck_assert_uint_eq(grant->max_qos, 2);
        ck_assert_uint_eq(grant->filter.length, strlen(grants_made[_i].filter));
        ck_assert_mem_eq(grant->filter.data, grants_made[_i].filter, grant->filter.length);
    }
    rule_grants_free(&grants);
    answer_unref(answer);
}
END_TEST

static const struct {
    const char *topic;
    const char *problem;
} unfit[] = {
    {"${nobody}", "${nobody} is not known"},
    {"${client_attrs.other}", "${client_attrs.other} is not known"},
    {"${client_attrs.}", "is not known"},
    {"${}", "${} is not known"},
    {"a/${client_attrs.many}", "no single level"},
};

START_TEST(placeholders_that_do_not_fit)
{
    char rule[128];
    struct rules_client client = dev_of_ann();
    struct rule_grants grants;
    char problem[RULES_PROBLEM_MAX];
    snprintf(rule, sizeof rule, "allow\",\"action\":\"all\",\"topic\":\"%s\"", unfit[_i].topic);
    struct answer *answer = login_with(rule);
    ck_assert(!rules_grant(&answer->rules, &client, &grants, problem));
    ck_assert_msg(strstr(problem, unfit[_i].problem) != NULL, "%s", problem);
    ck_assert_ptr_null(grants.list);
    answer_unref(answer);
}
END_TEST

START_TEST(names_that_would_widen_a_rule)
{
    static const char *const names[] = {"+", "#", "a/b", "/", "a#", "a+b", ""};
    struct answer *answer = login_with("deny\",\"action\":\"all\",\"topic\":\"x/${clientid}/#\"");
    struct rule_grants grants;
    char problem[RULES_PROBLEM_MAX];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct rules_client client = dev_of_ann();
        client.client_id = noctule_string_of(names[i], strlen(names[i]));
        ck_assert_msg(!rules_grant(&answer->rules, &client, &grants, problem), "%s", names[i]);
    }
    struct rules_client nobody = dev_of_ann();
    nobody.client_id = (struct noctule_string){NULL, 0};
    ck_assert(!rules_grant(&answer->rules, &nobody, &grants, problem));
    answer_unref(answer);
}
END_TEST

START_TEST(no_rules_are_one_grant_of_nothing)
{
    struct rules none = {0};
    struct rules_client client = dev_of_ann();
    struct rule_grants grants;
    char problem[RULES_PROBLEM_MAX];
    ck_assert(rules_grant(&none, &client, &grants, problem));
    ck_assert_uint_eq(grants.count, 1);
    ck_assert_uint_eq(grants.list[0].allow, 0);
    rule_grants_free(&grants);
    ck_assert(rules_grant_everything(&grants));
    ck_assert_uint_eq(grants.count, 2);
    ck_assert_uint_eq(grants.list[0].allow, 1);
    rule_grants_free(&grants);
}
END_TEST

START_TEST(a_filter_that_grows_too_long)
{
    static char name[65535];
    memset(name, 'x', sizeof name);
    struct answer *answer = login_with("allow\",\"action\":\"all\",\"topic\":\"${clientid}/x\"");
    struct rules_client client = dev_of_ann();
    struct rule_grants grants;
    char problem[RULES_PROBLEM_MAX];
    client.client_id = noctule_string_of(name, sizeof name);
    ck_assert(!rules_grant(&answer->rules, &client, &grants, problem));
    ck_assert_ptr_nonnull(strstr(problem, "too long"));
    answer_unref(answer);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("http_auth_answer");
    TCase *tests = tcase_create("answer");
    tcase_add_loop_test(tests, answers_and_verdicts, 0, sizeof answers / sizeof *answers);
    tcase_add_test(tests, long_reasons_are_cut_between_characters);
    tcase_add_test(tests, members_of_a_login);
    tcase_add_loop_test(tests, a_login_that_makes_no_sense_is_none, 0,
                        sizeof wrong_logins / sizeof *wrong_logins);
    tcase_add_test(tests, too_many_rules_are_refused);
    suite_add_tcase(suite, tests);
    TCase *grants = tcase_create("grants");
    tcase_add_loop_test(grants, rules_become_grants, 0, sizeof grants_made / sizeof *grants_made);
    tcase_add_loop_test(grants, placeholders_that_do_not_fit, 0, sizeof unfit / sizeof *unfit);
    tcase_add_test(grants, names_that_would_widen_a_rule);
    tcase_add_test(grants, no_rules_are_one_grant_of_nothing);
    tcase_add_test(grants, a_filter_that_grows_too_long);
    suite_add_tcase(suite, grants);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
