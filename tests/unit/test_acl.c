/* acl-file's rules: one test for each thing that Mosquitto's ACL files promise. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "plugins/acl-file/acl.h"

static struct acl_rules *rules_of(const char *text, enum acl_substitution substitution)
{
    struct acl_options options = {.substitution = substitution};
    struct acl_problems problems = {0};
    struct acl_rules *rules = acl_rules_parse(text, strlen(text), "users.acl", &options, &problems);
    ck_assert_msg(rules != NULL, "refused: %s", problems.count ? problems.list[0].message : "?");
    acl_problems_clear(&problems);
    return rules;
}

static struct acl_identity identity_of(const char *username, const char *client_id)
{
    return (struct acl_identity){
        .username = username,
        .username_length = username ? strlen(username) : 0,
        .client_id = client_id,
        .client_id_length = strlen(client_id),
    };
}

static struct acl_decision decide(const struct acl_rules *rules, const char *username, const char *client_id,
                                  enum acl_access access, const char *topic)
{
    struct acl_identity identity = identity_of(username, client_id);
    struct acl_decision decision;
    acl_decide(rules, &identity, access, topic, strlen(topic), &decision);
    return decision;
}

struct question {
    const char *username;
    const char *client_id;
    enum acl_access access;
    const char *topic;
    enum acl_outcome outcome;
    uint32_t line;
};

static void questions_ask(const char *text, enum acl_substitution substitution,
                          const struct question *questions, size_t count)
{
    struct acl_rules *rules = rules_of(text, substitution);
    for (size_t i = 0; i < count; i++) {
        const struct question *question = &questions[i];
        struct acl_decision decision =
            decide(rules, question->username, question->client_id, question->access, question->topic);
        ck_assert_msg(decision.outcome == question->outcome && decision.line == question->line,
                      "question %zu (%s, %s, %s): outcome %d line %u, expected %d line %u", i,
                      question->username ? question->username : "-", question->client_id, question->topic,
                      (int)decision.outcome, decision.line, (int)question->outcome, question->line);
    }
    acl_rules_free(rules);
}

#define ASK(text, substitution, ...)                                                                         \
    do {                                                                                                     \
        static const struct question questions[] = __VA_ARGS__;                                              \
        questions_ask(text, substitution, questions, sizeof(questions) / sizeof(questions[0]));              \
    } while (0)

#define ANYWHERE ACL_SUBSTITUTION_ANYWHERE
#define LEVEL    ACL_SUBSTITUTION_LEVEL
#define R        ACL_READ
#define W        ACL_WRITE
#define NO       ACL_NO_MATCH
#define YES      ACL_ALLOWED
#define DENY     ACL_DENIED

START_TEST(accesses)
{
    ASK("topic read r\ntopic write w\ntopic readwrite rw\ntopic none-needed\ntopic deny d\n", ANYWHERE,
        {{NULL, "c", R, "r", YES, 1},
         {NULL, "c", W, "r", NO, 0},
         {NULL, "c", R, "w", NO, 0},
         {NULL, "c", W, "w", YES, 2},
         {NULL, "c", R, "rw", YES, 3},
         {NULL, "c", W, "rw", YES, 3},
         {NULL, "c", R, "none-needed", YES, 4},
         {NULL, "c", W, "none-needed", YES, 4},
         {NULL, "c", R, "d", DENY, 5},
         {NULL, "c", W, "d", DENY, 5}});
}
END_TEST

START_TEST(keyword_alone_is_a_filter)
{
    ASK("topic read\ntopic deny\npattern write\n", ANYWHERE,
        {{NULL, "c", R, "read", YES, 1},
         {NULL, "c", W, "deny", YES, 2},
         {"bob", "c", R, "write", YES, 3},
         {"bob", "c", R, "read", NO, 0}});
}
END_TEST

START_TEST(filters_with_spaces)
{
    ASK("topic read a b\ntopic  write   c  d \n  topic read e\n", ANYWHERE,
        {{NULL, "c", R, "a b", YES, 1},
         {NULL, "c", R, "a", NO, 0},
         {NULL, "c", W, "c  d", YES, 2},
         {NULL, "c", R, "e", YES, 3}});
}
END_TEST

START_TEST(comments_blank_lines_and_line_ends)
{
    ASK("# topic read x\n\n   \n \t \ntopic read a\r\n#\ntopic read b", ANYWHERE,
        {{NULL, "c", R, "x", NO, 0}, {NULL, "c", R, "a", YES, 5}, {NULL, "c", R, "b", YES, 7}});
}
END_TEST

START_TEST(topics_before_any_user_are_for_anonymous_only)
{
    ASK("topic read a\nuser bob\ntopic read b\n", ANYWHERE,
        {{NULL, "c", R, "a", YES, 1},
         {"bob", "c", R, "a", NO, 0},
         {"al", "c", R, "a", NO, 0},
         {"bob", "c", R, "b", YES, 3},
         {NULL, "c", R, "b", NO, 0},
         {"al", "c", R, "b", NO, 0},
         {"", "c", R, "a", YES, 1}}); /* an empty username is no username */
}
END_TEST

START_TEST(user_names)
{
    ASK("user  bob smith \ntopic read a\nuser #1\ntopic read b\nuser bob smith\ntopic read c\nuser idle\n",
        ANYWHERE,
        {{"bob smith", "c", R, "a", YES, 2},
         {"bob", "c", R, "a", NO, 0},
         {"#1", "c", R, "b", YES, 4},
         {"bob smith", "c", R, "c", YES, 6}, /* a repeated user line continues the block */
         {"bob smith", "c", R, "b", NO, 0},
         {"idle", "c", R, "a", NO, 0},
         {"BOB SMITH", "c", R, "a", NO, 0}});
}
END_TEST

START_TEST(patterns_are_for_everyone_but_user_patterns_skip_anonymous)
{
    ASK("user bob\npattern read c/%c\npattern read u/%u\npattern read all\npattern read x/%u-%c\n", ANYWHERE,
        {{"bob", "dev", R, "c/dev", YES, 2},
         {"al", "dev", R, "c/dev", YES, 2},
         {NULL, "dev", R, "c/dev", YES, 2},
         {"bob", "dev", R, "u/bob", YES, 3},
         {NULL, "dev", R, "u/", NO, 0},
         {NULL, "dev", R, "u/%u", NO, 0},
         {"", "dev", R, "u/", NO, 0},
         {NULL, "dev", R, "all", YES, 4},
         {"bob", "dev", R, "x/bob-dev", YES, 5},
         {NULL, "dev", R, "x/-dev", NO, 0}});
}
END_TEST

START_TEST(own_denies_come_before_own_allows)
{
    ASK("user bob\ntopic a/#\ntopic deny a/secret\ntopic read a/secret\n", ANYWHERE,
        {{"bob", "c", R, "a/x", YES, 2},
         {"bob", "c", R, "a/secret", DENY, 3},
         {"bob", "c", W, "a/secret", DENY, 3}});
}
END_TEST

START_TEST(pattern_denies_come_before_pattern_allows)
{
    ASK("pattern a/%c/#\npattern deny a/%c/x\n", ANYWHERE,
        {{NULL, "c", R, "a/c/y", YES, 1},
         {NULL, "c", R, "a/c/x", DENY, 2},
         {NULL, "c", W, "a/c/x", DENY, 2}});
}
END_TEST

START_TEST(own_rules_beat_patterns)
{
    ASK("user bob\ntopic read x\ntopic deny y\npattern deny x\npattern readwrite y\n", ANYWHERE,
        {{"bob", "c", R, "x", YES, 2},  /* a user's allow beats a pattern's deny */
         {"bob", "c", W, "x", DENY, 4}, /* but only for the access it gives */
         {"bob", "c", R, "y", DENY, 3}, /* a user's deny beats a pattern's allow */
         {"al", "c", R, "x", DENY, 4},
         {"al", "c", R, "y", YES, 5}});
}
END_TEST

START_TEST(an_allow_for_the_other_access_decides_nothing)
{
    ASK("user bob\ntopic read q\npattern write q\n", ANYWHERE,
        {{"bob", "c", W, "q", YES, 3}, {"bob", "c", R, "q", YES, 2}});
}
END_TEST

START_TEST(first_of_the_file_is_named)
{
    ASK("topic read a/#\ntopic read a/b\ntopic read +/b\ntopic deny #\nuser u\ntopic read +/b\ntopic read "
        "a/b\n",
        ANYWHERE, {{"u", "c", R, "a/b", YES, 6}, {NULL, "c", R, "a/b", DENY, 4}});
}
END_TEST

START_TEST(nothing_matches)
{
    struct acl_rules *rules = rules_of("topic read a\n", ANYWHERE);
    struct acl_decision decision = decide(rules, NULL, "c", R, "b");
    ck_assert_int_eq(decision.outcome, ACL_NO_MATCH);
    ck_assert_ptr_null(decision.reason);
    acl_rules_free(rules);
}
END_TEST

START_TEST(an_empty_file_allows_nothing)
{
    ASK("", ANYWHERE,
        {{NULL, "c", R, "a", NO, 0}, {"bob", "c", W, "a", NO, 0}, {"bob", "c+", W, "a", NO, 0}});
    ASK("# nothing\n\nuser bob\n", ANYWHERE, {{"bob", "c", R, "a", NO, 0}});
}
END_TEST

START_TEST(wildcards)
{
    ASK("topic +/y\ntopic a/+\ntopic b/+/#\ntopic /#\ntopic c/#\ntopic d/+/e\n", ANYWHERE,
        {{NULL, "c", W, "x/y", YES, 1},
         {NULL, "c", W, "/y", YES, 1},
         {NULL, "c", W, "a", NO, 0},
         {NULL, "c", W, "a/", YES, 2},
         {NULL, "c", W, "a/b/c", NO, 0},
         {NULL, "c", W, "b", NO, 0},
         {NULL, "c", W, "b/", YES, 3},
         {NULL, "c", W, "b/x", YES, 3},
         {NULL, "c", W, "b/x/y/z", YES, 3},
         {NULL, "c", W, "/", YES, 4},
         {NULL, "c", W, "/x/y", YES, 4},
         {NULL, "c", W, "c", YES, 5},
         {NULL, "c", W, "c/", YES, 5},
         {NULL, "c", W, "cc", NO, 0},
         {NULL, "c", W, "d//e", YES, 6},
         {NULL, "c", W, "d/e", NO, 0},
         {NULL, "c", W, "d/x/y/e", NO, 0}});
}
END_TEST

START_TEST(leading_wildcards_never_match_dollar_topics)
{
    ASK("topic #\ntopic +/x\ntopic $own/#\npattern +/%c\npattern deny #\n", ANYWHERE,
        {{NULL, "c", R, "$SYS/x", NO, 0},
         {NULL, "c", R, "$other/x", NO, 0},
         {NULL, "c", R, "$other", NO, 0},
         {NULL, "c", R, "$own", YES, 3},
         {NULL, "c", R, "$own/x", YES, 3},
         {"bob", "c", R, "$z/c", NO, 0},
         {"bob", "c", R, "z/c", DENY, 5},
         {NULL, "c", R, "a$/x", YES, 1}});
    ASK("topic read $SYS/#\ntopic read a/#\n", ANYWHERE,
        {{NULL, "c", R, "$SYS/broker/uptime", YES, 1}, {NULL, "c", R, "a/$x", YES, 2}});
}
END_TEST

START_TEST(sys_writes_are_refused_but_for_bridge_state)
{
    ASK("topic #\ntopic $SYS/#\ntopic $SYSTEM/#\ntopic $SYS\n", ANYWHERE,
        {{NULL, "c", W, "$SYS/x", DENY, 0},
         {NULL, "c", W, "$SYS", DENY, 0},
         {NULL, "c", W, "$SYSTEM/x", DENY, 0},
         {NULL, "c", R, "$SYSTEM/x", YES, 3},
         {NULL, "c", W, "$SYS/broker/connection/x/state", YES, 2},
         {NULL, "c", W, "$SYS/broker/connection//state", YES, 2},
         {NULL, "c", W, "$SYS/broker/connection/state", DENY, 0},
         {NULL, "c", W, "$SYS/broker/connection/x/y/state", DENY, 0},
         {NULL, "c", W, "$SYS/broker/connection/x/status", DENY, 0},
         {NULL, "c", R, "$SYS/x", YES, 2}});
    /* The exception is only from the refusal: a rule has to allow it. */
    ASK("topic #\n", ANYWHERE, {{NULL, "c", W, "$SYS/broker/connection/x/state", NO, 0}});
}
END_TEST

START_TEST(share_names_no_topic)
{
    ASK("topic $share/#\ntopic $shared\n", ANYWHERE,
        {{NULL, "c", W, "$share/g/x", DENY, 0}, {NULL, "c", R, "$shared", DENY, 0}});
}
END_TEST

START_TEST(topics_hold_no_wildcard)
{
    ASK("topic #\n", ANYWHERE, {{NULL, "c", R, "a/+", DENY, 0}, {NULL, "c", W, "#", DENY, 0}});
}
END_TEST

START_TEST(substitution_anywhere)
{
    ASK("pattern a%c/b\npattern %%c\npattern x/%u%c\npattern %c/sys\npattern %u/#\npattern z/%c/t\n"
        "pattern p-%c-%c/+/q/#\npattern %\npattern q/%\npattern r/%x%c%\n",
        ANYWHERE,
        {{NULL, "c", W, "ac/b", YES, 1},
         {NULL, "c", W, "ac/b/d", NO, 0},
         {NULL, "c", W, "a/b", NO, 0},
         {NULL, "c", W, "%c", YES, 2},
         {"bob", "c", W, "x/bobc", YES, 3},
         {"bob", "$d", W, "$d/sys", YES, 4},
         {"$q", "c", W, "$q/sys", YES, 5},
         {"bob", "c", W, "bob", YES, 5},
         {"b/", "c", W, "b/", YES, 5},
         {"b/", "c", W, "b", NO, 0},
         {"b/", "c", W, "b//x", YES, 5},
         {"bob", "c/d", W, "z/c/d/t", YES, 6},
         {"bob", "c/d", W, "z/c/t", NO, 0},
         {"bob", "c/d", W, "ac/d/b", YES, 1},
         {NULL, "a/b", W, "p-a/b-a/b/any/q", YES, 7},
         {NULL, "a/b", W, "p-a/b-a/b/any/q/r/s", YES, 7},
         {NULL, "a/b", W, "p-a/b-a/b/any", NO, 0},
         {NULL, "a", W, "p-a-a//q", YES, 7},
         {NULL, "c", W, "%", YES, 8},
         {NULL, "c", W, "q/%", YES, 9},
         {NULL, "c", W, "r/%xc%", YES, 10}});
}
END_TEST

START_TEST(substitution_level)
{
    ASK("pattern a%c/b\npattern x/%u/%c\npattern %c/sys\npattern z/%c/t\npattern u%u\n", LEVEL,
        {{NULL, "c", W, "ac/b", NO, 0},
         {NULL, "c", W, "a%c/b", YES, 1}, /* not a whole level: stands for itself */
         {"bob", "c", W, "x/bob/c", YES, 2},
         {"bob", "c", W, "x/bo/c", NO, 0},
         {"bob", "c", W, "x/bobb/c", NO, 0},
         {"bob", "c", W, "c/sys", YES, 3},
         {"bob", "$d", W, "$d/sys", NO, 0},
         {"bob", "c", W, "z/c/t", YES, 4},
         {"bob", "c/d", W, "z/c/d/t", NO, 0}, /* the value may not span '/' */
         {"bob", "", W, "z//t", NO, 0},
         {"bob", "c", W, "u%u", YES, 5},
         {NULL, "c", W, "u%u", NO, 0}});
}
END_TEST

START_TEST(percent_is_text_in_topic_lines)
{
    ASK("topic read a/%c\n", ANYWHERE, {{NULL, "c", R, "a/c", NO, 0}, {NULL, "c", R, "a/%c", YES, 1}});
}
END_TEST

START_TEST(names_with_wildcards_use_no_pattern)
{
    ASK("user b+\ntopic own\nuser bob\ntopic deny no\npattern pub/#\npattern dev/%c/#\n", ANYWHERE,
        {{"bob", "c", W, "pub/x", YES, 5},
         {"bob", "a+b", W, "pub/x", DENY, 0},
         {"bob", "#", R, "dev/x", DENY, 0},
         {"bob", "a+b", R, "elsewhere", DENY, 0},
         {"b#b", "c", R, "pub/x", DENY, 0},
         {"b+", "c", W, "own", YES, 2}, /* its own entries are asked before */
         {"b+", "c", W, "pub/x", DENY, 0},
         {"bob", "a+b", W, "no", DENY, 4}});
    /* No pattern in the file, so nothing that would use the name. */
    ASK("user b+\ntopic own\n", ANYWHERE, {{"b+", "c#", W, "own", YES, 2}, {"b+", "c#", W, "x", NO, 0}});
}
END_TEST

START_TEST(reasons)
{
    struct acl_rules *rules =
        rules_of("\nuser bob\n  topic  read sensors/#  \r\npattern deny x/%c\n", ANYWHERE);
    struct acl_decision decision = decide(rules, "bob", "c", R, "sensors/1");
    ck_assert_str_eq(decision.reason, "users.acl:3: topic  read sensors/#");
    ck_assert_uint_eq(decision.reason_length, strlen(decision.reason));
    decision = decide(rules, "bob", "c", W, "x/c");
    ck_assert_str_eq(decision.reason, "users.acl:4: pattern deny x/%c");
    decision = decide(rules, "bob", "c", W, "$SYS/x");
    ck_assert_str_eq(decision.reason,
                     "users.acl: topics that begin with $SYS are written by the broker alone");
    ck_assert_uint_eq(decision.reason_length, strlen(decision.reason));
    decision = decide(rules, "b+", "c", W, "y");
    ck_assert_str_eq(decision.reason, "users.acl: a username that holds + or # may not use patterns");
    decision = decide(rules, "bob", "c#", W, "y");
    ck_assert_str_eq(decision.reason, "users.acl: a client id that holds + or # may not use patterns");
    acl_rules_free(rules);
}
END_TEST

/* ---- Subscriptions
 * ------------------------------------------------------------------------------------------------ */

struct filter_question {
    const char *username;
    const char *client_id;
    const char *filter;
    bool covered;
    enum acl_outcome some;
};

static void filters_ask(const char *text, enum acl_substitution substitution,
                        const struct filter_question *questions, size_t count)
{
    struct acl_rules *rules = rules_of(text, substitution);
    for (size_t i = 0; i < count; i++) {
        const struct filter_question *question = &questions[i];
        struct acl_identity identity = identity_of(question->username, question->client_id);
        size_t length = strlen(question->filter);
        bool covered = acl_covers(rules, &identity, question->filter, length, NULL);
        enum acl_outcome some = acl_may_read_some(rules, &identity, question->filter, length, NULL);
        ck_assert_msg(covered == question->covered && some == question->some,
                      "question %zu (%s, %s, %s): covered %d some %d", i,
                      question->username ? question->username : "-", question->client_id, question->filter,
                      covered, (int)some);
    }
    acl_rules_free(rules);
}

#define ASK_FILTERS(text, substitution, ...)                                                                 \
    do {                                                                                                     \
        static const struct filter_question questions[] = __VA_ARGS__;                                       \
        filters_ask(text, substitution, questions, sizeof(questions) / sizeof(questions[0]));                \
    } while (0)

START_TEST(subscriptions_without_deny)
{
    ASK_FILTERS("topic read a/#\ntopic read b/+/c\ntopic write w/#\ntopic read $x/+\n", ANYWHERE,
                {{NULL, "c", "a/#", true, YES},
                 {NULL, "c", "a", true, YES},
                 {NULL, "c", "a/+/x", true, YES},
                 {NULL, "c", "#", false, YES},
                 {NULL, "c", "+/#", false, YES},
                 {NULL, "c", "b/+/c", true, YES},
                 {NULL, "c", "b/x/c", true, YES},
                 {NULL, "c", "b/#", false, YES},
                 {NULL, "c", "b/+/+", false, YES},
                 {NULL, "c", "b/+", false, NO},
                 {NULL, "c", "w/#", false, NO},
                 {NULL, "c", "$x/+", true, YES},
                 {NULL, "c", "$x/#", false, YES},
                 {NULL, "c", "+/+", false, YES},
                 {NULL, "c", "$y/#", false, NO},
                 {"bob", "c", "a/#", false, NO}});
    ASK_FILTERS("topic read $x/+\n", ANYWHERE, {{NULL, "c", "#", false, NO}, {NULL, "c", "+/y", false, NO}});
    ASK_FILTERS("topic read #\n", ANYWHERE,
                {{NULL, "c", "#", true, YES},
                 {NULL, "c", "+/#", true, YES},
                 {NULL, "c", "+", true, YES},
                 {NULL, "c", "$SYS/#", false, NO}});
    ASK_FILTERS("topic read +/#\n", ANYWHERE, {{NULL, "c", "#", true, YES}, {NULL, "c", "$x/#", false, NO}});
    ASK_FILTERS("topic read a/+/#\n", ANYWHERE,
                {{NULL, "c", "a/#", false, YES}, {NULL, "c", "a", false, NO}});
}
END_TEST

START_TEST(subscriptions_and_denies)
{
    ASK_FILTERS("user bob\ntopic read a/#\ntopic deny a/x/#\npattern read p/%c/#\npattern deny p/+/no\n"
                "pattern deny a/#\n",
                ANYWHERE,
                {{"bob", "c", "a/#", false, YES},
                 {"bob", "c", "a/y/#", true, YES}, /* the pattern's deny is asked too late */
                 {"bob", "c", "a/x/+", false, DENY},
                 {"bob", "c", "a/+", false, YES},
                 {"al", "c", "a/#", false, DENY},
                 {"al", "c", "p/c/#", false, YES},
                 {"al", "c", "p/c/yes/#", true, YES},
                 {"al", "c", "p/c/no", false, DENY},
                 {"al", "c", "#", false, YES},
                 {"al", "c", "p/d/#", false, NO}});
}
END_TEST

START_TEST(subscriptions_and_substitution)
{
    ASK_FILTERS("pattern read d/%c/#\npattern read u/%u\npattern read m/%c-%u/+\n", ANYWHERE,
                {{"bob", "a/b", "d/a/b/#", true, YES},
                 {"bob", "a/b", "d/a/#", false, YES},
                 {"bob", "a/b", "d/+/b", false, YES},
                 {"bob", "a/b", "d/+/c", false, NO},
                 {"bob", "a/b", "d/a", false, NO},
                 {NULL, "a/b", "u/+", false, NO},
                 {"bob", "a/b", "u/+", false, YES},
                 {"bob", "a/b", "u/bob", true, YES},
                 {"bob", "c", "m/c-bob/+", true, YES},
                 {"bob", "c", "m/c-bob/x", true, YES},
                 {"bob", "c", "m/c-bob/#", false, YES},
                 {"bob", "c", "m/+/x", false, YES},
                 {"bob", "c", "m/c-al/+", false, NO},
                 {NULL, "c", "m/#", false, NO}});
    ASK_FILTERS("pattern read d/%c/#\n", LEVEL,
                {{"bob", "a/b", "d/#", false, NO}, {"bob", "a", "d/a", true, YES}});
}
END_TEST

START_TEST(subscriptions_of_names_with_wildcards)
{
    ASK_FILTERS("user b+\ntopic read own/#\npattern read #\n", ANYWHERE,
                {{"b+", "c", "own/#", true, YES},
                 {"b+", "c", "x", false, DENY},
                 {"al", "#", "x", false, DENY},
                 {"al", "c", "x", true, YES}});
}
END_TEST

START_TEST(shared_subscriptions_are_judged_by_their_filter)
{
    ASK_FILTERS("topic read a/#\ntopic read $share/#\n", ANYWHERE,
                {{NULL, "c", "$share/g/a/#", true, YES},
                 {NULL, "c", "$share/g/#", false, YES},
                 {NULL, "c", "$share/g/b", false, NO},
                 {NULL, "c", "$share/g", false, DENY},
                 {NULL, "c", "$share/g/$share/x", false, DENY}});
}
END_TEST

START_TEST(subscription_reasons)
{
    struct acl_rules *rules = rules_of("topic read a/#\ntopic deny b\n", ANYWHERE);
    struct acl_identity identity = identity_of(NULL, "c");
    struct acl_decision why;
    ck_assert(acl_covers(rules, &identity, "a/b", 3, &why));
    ck_assert_str_eq(why.reason, "users.acl:1: topic read a/#");
    ck_assert_int_eq(acl_may_read_some(rules, &identity, "b", 1, &why), ACL_DENIED);
    ck_assert_str_eq(why.reason, "users.acl:2: topic deny b");
    ck_assert_int_eq(acl_may_read_some(rules, &identity, "#", 1, &why), ACL_ALLOWED);
    ck_assert_str_eq(why.reason, "users.acl:1: topic read a/#");
    ck_assert_int_eq(acl_may_read_some(rules, &identity, "c", 1, &why), ACL_NO_MATCH);
    ck_assert_ptr_null(why.reason);
    acl_rules_free(rules);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("acl");
    TCase *rules = tcase_create("rules");
    tcase_add_test(rules, accesses);
    tcase_add_test(rules, keyword_alone_is_a_filter);
    tcase_add_test(rules, filters_with_spaces);
    tcase_add_test(rules, comments_blank_lines_and_line_ends);
    tcase_add_test(rules, topics_before_any_user_are_for_anonymous_only);
    tcase_add_test(rules, user_names);
    tcase_add_test(rules, patterns_are_for_everyone_but_user_patterns_skip_anonymous);
    tcase_add_test(rules, own_denies_come_before_own_allows);
    tcase_add_test(rules, pattern_denies_come_before_pattern_allows);
    tcase_add_test(rules, own_rules_beat_patterns);
    tcase_add_test(rules, an_allow_for_the_other_access_decides_nothing);
    tcase_add_test(rules, first_of_the_file_is_named);
    tcase_add_test(rules, nothing_matches);
    tcase_add_test(rules, an_empty_file_allows_nothing);
    tcase_add_test(rules, wildcards);
    tcase_add_test(rules, leading_wildcards_never_match_dollar_topics);
    tcase_add_test(rules, sys_writes_are_refused_but_for_bridge_state);
    tcase_add_test(rules, share_names_no_topic);
    tcase_add_test(rules, topics_hold_no_wildcard);
    tcase_add_test(rules, substitution_anywhere);
    tcase_add_test(rules, substitution_level);
    tcase_add_test(rules, percent_is_text_in_topic_lines);
    tcase_add_test(rules, names_with_wildcards_use_no_pattern);
    tcase_add_test(rules, reasons);
    suite_add_tcase(suite, rules);
    TCase *subscriptions = tcase_create("subscriptions");
    tcase_add_test(subscriptions, subscriptions_without_deny);
    tcase_add_test(subscriptions, subscriptions_and_denies);
    tcase_add_test(subscriptions, subscriptions_and_substitution);
    tcase_add_test(subscriptions, subscriptions_of_names_with_wildcards);
    tcase_add_test(subscriptions, shared_subscriptions_are_judged_by_their_filter);
    tcase_add_test(subscriptions, subscription_reasons);
    suite_add_tcase(suite, subscriptions);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
