// Grants of a login: matching, their place in the chain, and what they cover.
#include "core/plugin/grants.h"
#include "tests/unit/plugin_support.h"

static void setup(void)
{
    scripts_reset();
}

static void teardown(void)
{
    fixture_stop();
}

static void nothing(void)
{
}

// ---- Matching ------------------------------------------------------------------------------------------

static struct noctule_grant grant(uint32_t access, bool allow, const char *filter)
{
    return (struct noctule_grant){.size = sizeof(struct noctule_grant),
                                  .access = access,
                                  .allow = allow,
                                  .max_qos = 2,
                                  .retain = 2,
                                  .filter = text(filter)};
}

// Logs a client in at p0 with these grants.
static struct client *granted(const struct noctule_grant *grants, size_t count)
{
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].reply =
        (struct noctule_reply){.size = sizeof(struct noctule_reply), .grants = grants, .grant_count = count};
    struct client *client = a_client("c", "u");
    ck_assert_int_eq(login_now(client, "u", "x").verdict, NOCTULE_ALLOW);
    scripts[0].reply = (struct noctule_reply){0};
    return client;
}

struct match_case {
    uint32_t access;
    noctule_verdict verdict;
    const char *topic;
};

START_TEST(first_grant_that_matches_decides)
{
    script_plugins[0].authorize = NULL; // grants alone authorize
    fixture_start("default_access: allow\nplugins: [{name: p0}]\n");
    struct noctule_grant grants[] = {
        grant(PUBLISH | SUBSCRIBE | DELIVER, false, "a/secret/#"),
        grant(PUBLISH | SUBSCRIBE | DELIVER, true, "a/#"),
        grant(PUBLISH, true, "b/+"),
        grant(DELIVER, true, "c"),
    };
    static const struct match_case cases[] = {
        {PUBLISH, NOCTULE_ALLOW, "a/x"},
        {PUBLISH, NOCTULE_DENY, "a/secret/x"},
        {PUBLISH, NOCTULE_DENY, "a/secret"},
        {PUBLISH, NOCTULE_ALLOW, "b/x"},
        {PUBLISH, NOCTULE_DENY, "b/x/y"},
        {PUBLISH, NOCTULE_DENY, "c"},
        {DELIVER, NOCTULE_ALLOW, "c"},
        {DELIVER, NOCTULE_DENY, "b/x"},
        {SUBSCRIBE, NOCTULE_ALLOW, "a/#"},
        {SUBSCRIBE, NOCTULE_ALLOW, "a/b/+"},
        {SUBSCRIBE, NOCTULE_DENY, "a/secret/#"},
        {SUBSCRIBE, NOCTULE_DENY, "#"},
        {SUBSCRIBE, NOCTULE_DENY, "+/x"},
        {SUBSCRIBE, NOCTULE_ALLOW, "$share/g/a/#"},
        {SUBSCRIBE, NOCTULE_DENY, "$share/g/b/#"},
        // Wills are for grants of PUBLISH where none is of WILL.
        {WILL, NOCTULE_ALLOW, "b/x"},
        {WILL, NOCTULE_DENY, "a/secret/x"},
        {WILL, NOCTULE_DENY, "c"},
    };
    struct client *client = granted(grants, sizeof grants / sizeof *grants);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome outcome = access_now(client, cases[i].access, cases[i].topic);
        ck_assert_msg(outcome.verdict == cases[i].verdict, "case %zu: %s", i, cases[i].topic);
        ck_assert(chain_takes_access(client, cases[i].access));
    }
    ck_str(access_now(client, PUBLISH, "a/secret/x").reason, "grant 1 of its login: deny a/secret/#");
    struct client *other = a_client("d", "v");
    ck_assert_int_eq(access_now(other, PUBLISH, "z").verdict, NOCTULE_ALLOW); // default_access
    drop(client);
    drop(other);
}
END_TEST

START_TEST(grants_may_be_for_some_qos_and_retain_only)
{
    script_plugins[0].authorize = NULL;
    fixture_start("plugins: [{name: p0}]\n");
    struct noctule_grant grants[] = {grant(PUBLISH, true, "q"), grant(PUBLISH, true, "r"),
                                     grant(PUBLISH | WILL, true, "n")};
    grants[0].max_qos = 1;
    grants[1].retain = 1;
    grants[2].retain = 0;
    struct client *client = granted(grants, 3);
    static const struct {
        uint32_t access;
        const char *topic;
        uint8_t qos;
        uint8_t retain;
        noctule_verdict verdict;
    } cases[] = {
        {PUBLISH, "q", 0, 0, NOCTULE_ALLOW}, {PUBLISH, "q", 1, 1, NOCTULE_ALLOW},
        {PUBLISH, "q", 2, 0, NOCTULE_DENY},  {PUBLISH, "r", 0, 0, NOCTULE_DENY},
        {PUBLISH, "r", 2, 1, NOCTULE_ALLOW}, {PUBLISH, "n", 0, 0, NOCTULE_ALLOW},
        {PUBLISH, "n", 0, 1, NOCTULE_DENY},  {WILL, "n", 0, 1, NOCTULE_DENY},
        {WILL, "q", 0, 0, NOCTULE_DENY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct noctule_access access = {.size = sizeof access,
                                        .access = cases[i].access,
                                        .topic = text(cases[i].topic),
                                        .qos = cases[i].qos,
                                        .retain = cases[i].retain};
        struct outcome outcome;
        decide_access(client, &access, &(struct decision_call){0}, &outcome);
        ck_assert_msg(outcome.verdict == cases[i].verdict, "case %zu", i);
    }
    drop(client);
}
END_TEST

START_TEST(qos_mask_and_exact_bound_grants)
{
    script_plugins[0].authorize = NULL;
    fixture_start("plugins: [{name: p0}]\n");
    struct noctule_grant grants[] = {
        grant(PUBLISH | SUBSCRIBE | DELIVER, true, "q/+"),
        grant(SUBSCRIBE | DELIVER, true, "x/#"),
        grant(SUBSCRIBE, false, "y/#"),
        grant(SUBSCRIBE, true, "y/+"),
    };
    grants[0].qos_mask = 1U << 0 | 1U << 2;
    grants[1].exact = 1;
    grants[2].qos_mask = 1U << 2;
    struct client *client = granted(grants, 4);
    static const struct {
        uint32_t access;
        const char *topic;
        uint8_t qos;
        noctule_verdict verdict;
    } cases[] = {
        {PUBLISH, "q/1", 0, NOCTULE_ALLOW},   {PUBLISH, "q/1", 1, NOCTULE_DENY},
        {PUBLISH, "q/1", 2, NOCTULE_ALLOW},   {WILL, "q/1", 1, NOCTULE_DENY},
        {SUBSCRIBE, "q/1", 1, NOCTULE_DENY},  {SUBSCRIBE, "q/1", 2, NOCTULE_ALLOW},
        {DELIVER, "q/1", 1, NOCTULE_ALLOW},   {SUBSCRIBE, "x/#", 0, NOCTULE_ALLOW},
        {SUBSCRIBE, "x/1", 0, NOCTULE_DENY},  {SUBSCRIBE, "$share/g/x/#", 0, NOCTULE_ALLOW},
        {DELIVER, "x/1/2", 0, NOCTULE_ALLOW}, {SUBSCRIBE, "y/1", 1, NOCTULE_ALLOW},
        {SUBSCRIBE, "y/1", 2, NOCTULE_DENY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct noctule_access access = {.size = sizeof access,
                                        .access = cases[i].access,
                                        .topic = text(cases[i].topic),
                                        .qos = cases[i].qos};
        struct outcome outcome;
        decide_access(client, &access, &(struct decision_call){0}, &outcome);
        ck_assert_msg(outcome.verdict == cases[i].verdict, "case %zu", i);
    }
    drop(client);
}
END_TEST

static uint32_t wanted;
static uint32_t only_what_is_wanted(void *state, void *snapshot)
{
    (void)state;
    (void)snapshot;
    return wanted;
}

START_TEST(a_snapshot_says_what_it_wants_to_be_asked_about)
{
    script_plugins[0].access_wanted = only_what_is_wanted;
    scripts[0].access = NOCTULE_DENY;
    wanted = 0;
    fixture_start("default_access: allow\nplugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    ck_assert_int_eq(access_now(client, PUBLISH, "a").verdict, NOCTULE_ALLOW);
    ck_assert(!chain_takes_access(client, PUBLISH));
    wanted = PUBLISH | 1U << 20;
    ck_assert(fixture_reload("default_access: allow\nplugins: [{name: p0}]\n"));
    ck_assert_int_eq(access_now(client, PUBLISH, "a").verdict, NOCTULE_DENY);
    ck_assert_uint_eq(scripts[0].accesses, 1);
    // A will is for those that want PUBLISH and not WILL, as ever.
    ck_assert_int_eq(access_now(client, WILL, "a").verdict, NOCTULE_DENY);
    ck_assert_uint_eq(scripts[0].accesses, 2);
    ck_assert_uint_eq(scripts[0].last_access, PUBLISH);
    ck_assert_int_eq(access_now(client, DELIVER, "a").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(scripts[0].accesses, 2);
    drop(client);
}
END_TEST

START_TEST(grants_come_before_the_hook_of_their_instance)
{
    fixture_start("plugins: [{name: p1}, {name: p0}, {name: p2}]\n");
    struct noctule_grant grants[] = {grant(PUBLISH, true, "granted"), grant(PUBLISH, false, "denied")};
    struct client *client = granted(grants, 2);
    scripts[0].access = NOCTULE_DENY;
    ck_assert_int_eq(access_now(client, PUBLISH, "granted").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(scripts[0].accesses, 0);
    ck_assert_uint_eq(scripts[1].accesses, 1);
    scripts[0].access = NOCTULE_ALLOW;
    ck_assert_int_eq(access_now(client, PUBLISH, "denied").verdict, NOCTULE_DENY);
    ck_assert_int_eq(access_now(client, PUBLISH, "else").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(scripts[0].accesses, 1);
    scripts[1].access = NOCTULE_DENY; // stands before
    ck_assert_int_eq(access_now(client, PUBLISH, "granted").verdict, NOCTULE_DENY);
    drop(client);
}
END_TEST

START_TEST(grants_of_a_required_entry)
{
    script_plugins[0].authorize = NULL;
    fixture_start("plugins: [{name: p0, required: true}, {name: p1}]\n");
    struct noctule_grant grants[] = {grant(PUBLISH, true, "mine/#")};
    struct client *client;
    scripts[1].login = scripts[1].access = NOCTULE_ALLOW;
    client = granted(grants, 1);
    ck_assert_int_eq(access_now(client, PUBLISH, "mine/x").verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(access_now(client, PUBLISH, "other").verdict, NOCTULE_DENY);
    scripts[1].access = NOCTULE_NEXT;
    ck_assert_int_eq(access_now(client, PUBLISH, "mine/x").verdict,
                     NOCTULE_DENY); // necessary, not sufficient
    drop(client);
}
END_TEST

START_TEST(a_new_login_replaces_the_grants)
{
    script_plugins[0].authorize = NULL;
    fixture_start("plugins: [{name: p0}]\n");
    struct noctule_grant grants[] = {grant(PUBLISH, true, "a")};
    struct client *client = granted(grants, 1);
    ck_assert_int_eq(access_now(client, PUBLISH, "a").verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(login_now(client, "u", "x").verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(access_now(client, PUBLISH, "a").verdict, NOCTULE_DENY);
    drop(client);
}
END_TEST

START_TEST(grants_that_come_later)
{
    script_plugins[0].authorize = NULL;
    scripts[0].login = NOCTULE_PENDING;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    login_later(client, "u", &later);
    char filter[] = "a/#";
    struct noctule_grant grants[] = {grant(PUBLISH, true, filter)};
    struct noctule_reply reply = {.size = sizeof reply, .grants = grants, .grant_count = 1};
    scripts[0].host->complete(scripts[0].held[0], NOCTULE_ALLOW, &reply);
    filter[0] = 'x';
    settle();
    ck_assert_uint_eq(later.count, 1);
    ck_assert_int_eq(access_now(client, PUBLISH, "a/b").verdict, NOCTULE_ALLOW);
    drop(client);
}
END_TEST

START_TEST(grants_of_other_sizes)
{
    script_plugins[0].authorize = NULL;
    fixture_start("plugins: [{name: p0}]\n");
    // From a later header, with a field more; the array has its stride.
    struct {
        struct noctule_grant grant;
        uint64_t more;
    } grants[2] = {{grant(PUBLISH, false, "a/b"), ~0ULL}, {grant(PUBLISH, true, "a/#"), ~0ULL}};
    grants[0].grant.size = grants[1].grant.size = sizeof grants[0];
    struct client *client = granted(&grants[0].grant, 2);
    ck_assert_int_eq(access_now(client, PUBLISH, "a/b").verdict, NOCTULE_DENY);
    ck_assert_int_eq(access_now(client, PUBLISH, "a/c").verdict, NOCTULE_ALLOW);
    grants[1].grant.size = 12; // no array at all
    scripts[0].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .grants = &grants[0].grant, .grant_count = 2};
    ck_assert(login_now(client, "u", "x").failed);
    grants[0].grant.size = 0;
    ck_assert(login_now(client, "u", "x").failed);
    scripts[0].reply.grants = NULL;
    ck_assert(login_now(client, "u", "x").failed);
    drop(client);
}
END_TEST

// ---- Covering ------------------------------------------------------------------------------------------

struct cover_case {
    const char *deny_first; ///< a DELIVER deny before the allow, or NULL
    const char *allow;      ///< filter of DELIVER
    const char *subscribe;
    bool covers;
};

static const struct cover_case cover_cases[] = {
    {NULL, "a/#", "a/#", true},           {NULL, "a/#", "a/b/+", true},
    {NULL, "a/#", "$share/g/a/b", true},  {NULL, "a/b", "a/#", false},
    {"a/secret/#", "a/#", "a/#", false},  {"a/secret/#", "a/#", "a/+/x", false},
    {"a/secret/#", "a/#", "a/b/#", true}, {"b/#", "a/#", "a/#", true},
};

START_TEST(grants_that_cover_deliveries)
{
    const struct cover_case *row = &cover_cases[_i];
    script_plugins[0].authorize = NULL;
    fixture_start("plugins: [{name: p0}]\n");
    struct noctule_grant grants[3];
    size_t count = 0;
    if (row->deny_first)
        grants[count++] = grant(DELIVER, false, row->deny_first);
    grants[count++] = grant(DELIVER, true, row->allow);
    grants[count++] = grant(SUBSCRIBE, true, "a/#");
    struct client *client = granted(grants, count);
    struct outcome outcome = access_now(client, SUBSCRIBE, row->subscribe);
    ck_assert_int_eq(outcome.verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(outcome.covers_delivery, row->covers);
    drop(client);
}
END_TEST

START_TEST(grants_do_not_speak_for_others)
{
    script_plugins[0].authorize = NULL;
    fixture_start("plugins: [{name: p1}, {name: p0}]\n");
    struct noctule_grant grants[] = {grant(SUBSCRIBE | DELIVER, true, "a/#")};
    struct client *client = granted(grants, 1);
    struct outcome outcome = access_now(client, SUBSCRIBE, "a/#");
    ck_assert_int_eq(outcome.verdict, NOCTULE_ALLOW);
    ck_assert(!outcome.covers_delivery); // p1 would be asked first
    drop(client);
}
END_TEST

static const struct {
    const char *a;
    const char *b;
    bool meet;
} meetings[] = {
    {"a", "a", true},     {"a", "b", false},       {"a/b", "a", false},     {"a/+", "a/b", true},
    {"+/b", "a/+", true}, {"+/b", "a/c", false},   {"#", "a/b/c", true},    {"a/#", "a", true},
    {"a", "a/#", true},   {"a/#", "b/#", false},   {"a/+/c", "a/b", false}, {"a/+/c", "a/b/#", true},
    {"+", "a/b", false},  {"a//b", "a/+/b", true}, {"a/", "a", false},      {"a/", "a/+", true},
    {"+/+", "a", false},  {"+/#", "a", true},      {"", "", true},
};

START_TEST(filters_that_meet)
{
    struct str a = str_of(meetings[_i].a);
    struct str b = str_of(meetings[_i].b);
    ck_assert_int_eq(filters_meet(a, b), meetings[_i].meet);
    ck_assert_int_eq(filters_meet(b, a), meetings[_i].meet);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("grants");
    TCase *tests = tcase_create("grants");
    tcase_add_checked_fixture(tests, setup, teardown);
    const TTest *const all[] = {
        first_grant_that_matches_decides,
        grants_may_be_for_some_qos_and_retain_only,
        qos_mask_and_exact_bound_grants,
        a_snapshot_says_what_it_wants_to_be_asked_about,
        grants_come_before_the_hook_of_their_instance,
        grants_of_a_required_entry,
        a_new_login_replaces_the_grants,
        grants_that_come_later,
        grants_of_other_sizes,
        grants_do_not_speak_for_others,
        NULL,
    };
    for (const TTest *const *test = all; *test; test++)
        tcase_add_test(tests, *test);
    tcase_add_loop_test(tests, grants_that_cover_deliveries, 0, sizeof cover_cases / sizeof *cover_cases);
    suite_add_tcase(suite, tests);
    TCase *filters = tcase_create("filters");
    tcase_add_checked_fixture(filters, nothing, nothing);
    tcase_add_loop_test(filters, filters_that_meet, 0, sizeof meetings / sizeof *meetings);
    suite_add_tcase(suite, filters);
    return run_suite(suite);
}
