// The rules of the chain: who decides, what on_error and required do, what the end of the chain means.
#include "tests/unit/plugin_support.h"

static void setup(void)
{
    scripts_reset();
}

static void teardown(void)
{
    fixture_stop();
}

// ---- A table of chains ---------------------------------------------------------------------------------

enum {
    N = NOCTULE_NEXT,
    A = NOCTULE_ALLOW,
    D = NOCTULE_DENY,
    E = NOCTULE_ERROR,
    P = NOCTULE_PENDING,
    X = 77
};

struct chain_case {
    const char *entries; ///< for each entry: '-' plain, 'r' required, 'n' on_error: next, 'b' required and
                         ///< on_error: next
    int verdicts[3];
    noctule_verdict result;
    int decided_by; ///< index of the entry, -1: none
    bool failed;
    unsigned asked[3];
};

static const struct chain_case chain_cases[] = {
    {"-", {A}, A, 0, false, {1}},
    {"-", {D}, D, 0, false, {1}},
    {"-", {N}, D, -1, false, {1}},
    {"-", {E}, D, 0, true, {1}},
    {"-", {X}, D, 0, true, {1}},
    {"-", {NOCTULE_CONTINUE}, D, 0, true, {1}},
    {"-", {NOCTULE_DROP}, D, 0, true, {1}},
    {"n", {E}, D, -1, false, {1}},
    {"n", {X}, D, -1, false, {1}},
    {"--", {N, A}, A, 1, false, {1, 1}},
    {"--", {A, D}, A, 0, false, {1, 0}},
    {"--", {D, A}, D, 0, false, {1, 0}},
    {"--", {E, A}, D, 0, true, {1, 0}},
    {"n-", {E, A}, A, 1, false, {1, 1}},
    {"n-", {X, D}, D, 1, false, {1, 1}},
    {"---", {N, N, A}, A, 2, false, {1, 1, 1}},
    {"---", {N, N, N}, D, -1, false, {1, 1, 1}},
    // A required entry's ALLOW is necessary and not sufficient.
    {"r", {A}, D, -1, false, {1}},
    {"r-", {A, A}, A, 1, false, {1, 1}},
    {"r-", {A, N}, D, -1, false, {1, 1}},
    {"r-", {N, A}, D, 0, false, {1, 0}},
    {"r-", {D, A}, D, 0, false, {1, 0}},
    {"r-", {E, A}, D, 0, true, {1, 0}},
    {"b-", {E, A}, D, 0, true, {1, 0}},
    {"b-", {X, A}, D, 0, true, {1, 0}},
    // Also behind another entry's ALLOW.
    {"-r", {A, A}, A, 0, false, {1, 1}},
    {"-r", {A, N}, D, 1, false, {1, 1}},
    {"-r", {A, D}, D, 1, false, {1, 1}},
    {"-r", {A, E}, D, 1, true, {1, 1}},
    {"-r", {D, A}, D, 0, false, {1, 0}},
    {"-r", {N, A}, D, -1, false, {1, 1}},
    {"--r", {A, D, A}, A, 0, false, {1, 0, 1}},
    {"-r-", {A, A, D}, A, 0, false, {1, 1, 0}},
    {"rr-", {A, A, A}, A, 2, false, {1, 1, 1}},
    {"r-r", {A, A, N}, D, 2, false, {1, 1, 1}},
};

static char *yaml_of(const struct chain_case *row)
{
    char *yaml = str_format("default_access: deny\nplugins:\n");
    for (int i = 0; row->entries[i]; i++) {
        char kind = row->entries[i];
        char *longer = str_format("%s  - {name: p%d%s%s}\n", yaml, i,
                                  kind == 'r' || kind == 'b' ? ", required: true" : "",
                                  kind == 'n' || kind == 'b' ? ", on_error: next" : "");
        free(yaml);
        yaml = longer;
    }
    return yaml;
}

static void check_outcome(const struct chain_case *row, struct outcome outcome)
{
    char name[8];
    snprintf(name, sizeof name, "p%d", row->decided_by);
    ck_assert_int_eq(outcome.verdict, row->result);
    ck_assert_int_eq(outcome.decided, row->decided_by >= 0);
    if (row->decided_by >= 0)
        ck_assert_str_eq(outcome.instance, name);
    ck_assert_int_eq(outcome.failed, row->failed);
}

START_TEST(chain_decides_login_and_access_alike)
{
    const struct chain_case *row = &chain_cases[_i];
    for (int i = 0; i < 3; i++)
        scripts[i].login = scripts[i].access = scripts[i].psk = row->verdicts[i];
    char *yaml = yaml_of(row);
    fixture_start(yaml);
    struct client *client = a_client("c", "u");
    check_outcome(row, login_now(client, "u", "secret"));
    check_outcome(row, access_now(client, PUBLISH, "t"));
    check_outcome(row, access_now(client, SUBSCRIBE, "t/#"));
    for (unsigned i = 0; row->entries[i]; i++) {
        ck_assert_uint_eq(scripts[i].logins, row->asked[i]);
        ck_assert_uint_eq(scripts[i].accesses, 2 * row->asked[i]);
    }
    struct noctule_psk psk = {.size = sizeof psk, .identity = text("i"), .listener = text("default")};
    struct outcome outcome;
    ck_assert_ptr_null(decide_psk(fixture.worker, &psk, &(struct decision_call){0}, &outcome));
    check_outcome(row, outcome);
    drop(client);
    free(yaml);
}
END_TEST

// The same table, every answer given later: the result must be the same.
START_TEST(chain_decides_alike_when_answers_come_later)
{
    const struct chain_case *row = &chain_cases[_i];
    for (int i = 0; i < 3; i++)
        scripts[i].login = scripts[i].access = NOCTULE_PENDING;
    char *yaml = yaml_of(row);
    fixture_start(yaml);
    struct client *client = a_client("c", "u");
    for (int round = 0; round < 2; round++) {
        struct later later = {0};
        if (round == 0)
            ck_assert_ptr_nonnull(login_later(client, "u", &later));
        else
            ck_assert_ptr_nonnull(access_later(client, PUBLISH, "t", &later));
        for (unsigned i = 0; row->entries[i]; i++) {
            unsigned asked = round == 0 ? scripts[i].logins : scripts[i].accesses;
            ck_assert_uint_eq(asked, row->asked[i]);
            if (!row->asked[i])
                continue;
            ck_assert_uint_eq(later.count, 0);
            struct noctule_request *held = scripts[i].held[scripts[i].held_count - 1];
            ck_assert_int_eq(scripts[i].host->complete(held, row->verdicts[i], NULL), NOCTULE_OK);
            settle();
        }
        ck_assert_uint_eq(later.count, 1);
        check_outcome(row, later.outcome);
    }
    drop(client);
    free(yaml);
}
END_TEST

// ---- The end of the chain ------------------------------------------------------------------------------

START_TEST(anonymous_clients_at_the_end)
{
    fixture_start("allow_anonymous: true\nplugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    struct outcome outcome = login_now(client, NULL, NULL);
    ck_assert_int_eq(outcome.verdict, NOCTULE_ALLOW);
    ck_assert(!outcome.decided);
    ck_assert_int_eq(login_now(client, NULL, "secret").verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(login_now(client, "u", "secret").verdict, NOCTULE_DENY);
    ck_assert_int_eq(login_now(client, "u", NULL).verdict, NOCTULE_DENY);
    scripts[0].login = NOCTULE_DENY;
    ck_assert_int_eq(login_now(client, NULL, NULL).verdict, NOCTULE_DENY);
    scripts[0].login = NOCTULE_ERROR;
    ck_assert_int_eq(login_now(client, NULL, NULL).verdict, NOCTULE_DENY);
    drop(client);
}
END_TEST

START_TEST(anonymous_clients_are_refused_by_default)
{
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    ck_assert_int_eq(login_now(client, NULL, NULL).verdict, NOCTULE_DENY);
    drop(client);
}
END_TEST

START_TEST(nobody_lets_in_an_authentication_method_that_nobody_took)
{
    fixture_start("allow_anonymous: true\nplugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    struct noctule_login login = {.size = sizeof login, .auth_method = text("SCRAM")};
    struct outcome outcome;
    ck_assert_ptr_null(decide_login(client, &login, &(struct decision_call){0}, &outcome));
    ck_assert_int_eq(outcome.verdict, NOCTULE_DENY);
    ck_assert_uint_eq(outcome.reason_code, 0x8C);
    drop(client);
}
END_TEST

START_TEST(default_access_counts_where_nobody_authorizes)
{
    script_plugins[0].authorize = NULL;
    fixture_start("default_access: allow\nplugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    ck_assert(!chain_takes_access(client, PUBLISH));
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_ALLOW);
    ck_assert(!access_now(client, SUBSCRIBE, "t").decided);
    drop(client);
}
END_TEST

START_TEST(default_access_denies)
{
    script_plugins[0].authorize = NULL;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    ck_assert(chain_takes_access(client, PUBLISH));
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    ck_assert(!chain_takes_access(client, DELIVER));
    drop(client);
}
END_TEST

START_TEST(default_access_does_not_count_where_somebody_authorizes_something)
{
    script_plugins[0].authorize_mask = NOCTULE_ACCESS_PUBLISH;
    scripts[0].access = NOCTULE_ALLOW;
    fixture_start("default_access: allow\nplugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(access_now(client, SUBSCRIBE, "t").verdict, NOCTULE_DENY);
    ck_assert_int_eq(access_now(client, DELIVER, "t").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(scripts[0].accesses, 1);
    drop(client);
}
END_TEST

START_TEST(wills_are_for_those_who_only_know_publish)
{
    script_plugins[0].authorize_mask = NOCTULE_ACCESS_PUBLISH;
    script_plugins[1].authorize_mask = NOCTULE_ACCESS_WILL;
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    struct client *client = a_client("c", "u");
    scripts[1].access = NOCTULE_ALLOW;
    ck_assert_int_eq(access_now(client, WILL, "t").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(scripts[0].last_access, PUBLISH);
    ck_assert_uint_eq(scripts[1].last_access, WILL);
    scripts[0].access = NOCTULE_DENY;
    ck_assert_int_eq(access_now(client, WILL, "t").verdict, NOCTULE_DENY);
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    ck_assert_uint_eq(scripts[1].accesses, 1);
    drop(client);
}
END_TEST

START_TEST(deliveries_taken_by_somebody_end_in_deny)
{
    script_plugins[0].authorize_mask = NOCTULE_ACCESS_DELIVER;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    ck_assert(chain_takes_access(client, DELIVER));
    ck_assert_int_eq(access_now(client, DELIVER, "t").verdict, NOCTULE_DENY);
    drop(client);
}
END_TEST

START_TEST(an_empty_chain_asks_nobody)
{
    scripts[0].login = scripts[0].access = NOCTULE_ALLOW;
    fixture_start("plugins: [{name: p0}]\nallow_anonymous: true\n"
                  "default_access: allow\n");
    // The listener of the fixture takes all plugins; one that is not known any more does so, too.
    struct client_identity identity = {.client_id = STR("c"), .listener = STR("gone")};
    struct client *client = client_new(fixture.worker, &identity);
    ck_assert_int_eq(login_now(client, "u", "x").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(scripts[0].logins, 1);
    drop(client);
}
END_TEST

// ---- What goes with a verdict --------------------------------------------------------------------------

START_TEST(denial_carries_code_and_reason)
{
    scripts[0].access = NOCTULE_DENY;
    scripts[0].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply),
                                              .flags = NOCTULE_REPLY_SHOW_REASON,
                                              .reason_code = 0x97,
                                              .reason = text("too many")};
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    struct outcome outcome = access_now(client, PUBLISH, "t");
    ck_assert_int_eq(outcome.verdict, NOCTULE_DENY);
    ck_assert_uint_eq(outcome.reason_code, 0x97);
    ck_assert(outcome.show_reason);
    ck_str(outcome.reason, "too many");
    drop(client);
}
END_TEST

START_TEST(error_keeps_its_reason_from_the_client)
{
    scripts[0].access = NOCTULE_ERROR;
    scripts[0].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply),
                                              .flags = NOCTULE_REPLY_SHOW_REASON,
                                              .reason = text("database password wrong")};
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    struct outcome outcome = access_now(client, PUBLISH, "t");
    ck_assert(outcome.failed && !outcome.show_reason);
    ck_str(outcome.reason, "database password wrong");
    drop(client);
}
END_TEST

START_TEST(replies_of_an_older_header_are_read_by_their_size)
{
    scripts[0].access = NOCTULE_DENY;
    scripts[0].reply = (struct noctule_reply){.size = offsetof(struct noctule_reply, username),
                                              .reason = text("short"),
                                              .username = {(const char *)1, 1 << 30}}; // not to be looked at
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    ck_str(access_now(client, PUBLISH, "t").reason, "short");
    scripts[0].reply.size = 2;
    ck_assert(access_now(client, PUBLISH, "t").failed);
    drop(client);
}
END_TEST

START_TEST(login_brings_along_names_limits_and_data)
{
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply),
                                              .username = text("alice"),
                                              .client_id = text("alice-1"),
                                              .expires_at_ms = 5000,
                                              .client_data = 77,
                                              .max_inflight = 3,
                                              .max_queued = 9};
    scripts[1].login = NOCTULE_ALLOW;
    scripts[1].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply),
                                              .expires_at_ms = 4000,
                                              .client_data = 88,
                                              .max_inflight = 5,
                                              .max_queued = 4};
    fixture_start("plugins: [{name: p0}, {name: p1, required: true}]\n");
    struct client *client = a_client("c", "u");
    ck_assert_int_eq(login_now(client, "u", "x").verdict, NOCTULE_ALLOW);
    ck_str(str_from(client_info(client).username), "alice");
    ck_str(str_from(client_info(client).client_id), "alice-1");
    ck_assert_uint_eq(client_expires_at(client), 4000);
    ck_assert_uint_eq(client_max_inflight(client), 3);
    ck_assert_uint_eq(client_max_queued(client), 4);
    const struct noctule_client *handle = (const struct noctule_client *)client;
    ck_assert_uint_eq(scripts[0].host->client_data(scripts[0].instance, handle), 77);
    ck_assert_uint_eq(scripts[1].host->client_data(scripts[1].instance, handle), 88);
    drop(client);
}
END_TEST

START_TEST(a_denied_login_brings_nothing_along)
{
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .username = text("alice"), .client_data = 77};
    scripts[1].login = NOCTULE_DENY;
    fixture_start("plugins: [{name: p0}, {name: p1, required: true}]\n");
    struct client *client = a_client("c", "u");
    ck_assert_int_eq(login_now(client, "u", "x").verdict, NOCTULE_DENY);
    ck_str(str_from(client_info(client).username), "u");
    ck_assert_uint_eq(
        scripts[0].host->client_data(scripts[0].instance, (const struct noctule_client *)client), 0);
    drop(client);
}
END_TEST

START_TEST(impossible_names_are_errors)
{
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].reply =
        (struct noctule_reply){.size = sizeof(struct noctule_reply), .username = text("a\xFF")};
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    struct outcome outcome = login_now(client, "u", "x");
    ck_assert_int_eq(outcome.verdict, NOCTULE_DENY);
    ck_assert(outcome.failed);
    drop(client);
}
END_TEST

static unsigned traced;
static void trace(const struct decision_step *step, void *argument)
{
    (void)argument;
    traced++;
    ck_assert_str_eq(step->instance, traced == 1 ? "p0" : "p1");
    ck_assert_int_eq(step->verdict, traced == 1 ? NOCTULE_NEXT : NOCTULE_ALLOW);
    ck_str(step->reason, traced == 1 ? "" : "why not");
}

static noctule_verdict wants_reason(const struct noctule_context *context,
                                    const struct noctule_access *access)
{
    (void)access;
    ck_assert_uint_ne(context->want_reason, 0);
    return NOCTULE_ALLOW;
}

START_TEST(trace_tells_every_step)
{
    traced = 0;
    scripts[1].on_access = wants_reason;
    scripts[1].reply =
        (struct noctule_reply){.size = sizeof(struct noctule_reply), .reason = text("why not")};
    fixture_start("plugins: [{name: p0}, {name: p1}, {name: p2}]\n");
    struct client *client = a_client("c", "u");
    struct noctule_access access = {.size = sizeof access, .access = PUBLISH, .topic = text("t")};
    struct outcome outcome;
    ck_assert_ptr_null(decide_access(client, &access, &(struct decision_call){.trace = trace}, &outcome));
    ck_assert_uint_eq(traced, 2);
    ck_assert_int_eq(outcome.verdict, NOCTULE_ALLOW);
    drop(client);
}
END_TEST

// ---- Whether a subscription covers its deliveries ------------------------------------------------------

struct covers_case {
    const char *plugins;
    uint32_t masks[2];
    int answers[2];
    bool covers;
};

static const struct covers_case covers_cases[] = {
    {"{name: p0}", {NOCTULE_ACCESS_ALL}, {A}, true},
    // p1 is the first that would be asked about a delivery.
    {"{name: p0}, {name: p1}", {SUBSCRIBE, NOCTULE_ACCESS_ALL}, {A, N}, false},
    {"{name: p0}, {name: p1}", {NOCTULE_ACCESS_ALL, NOCTULE_ACCESS_ALL}, {A, N}, true},
    {"{name: p0}, {name: p1}", {NOCTULE_ACCESS_ALL, NOCTULE_ACCESS_ALL}, {N, A}, false},
    {"{name: p0}, {name: p1}", {PUBLISH, NOCTULE_ACCESS_ALL}, {N, A}, true},
    // A required entry that takes deliveries wants to be asked.
    {"{name: p0}, {name: p1, required: true}", {NOCTULE_ACCESS_ALL, NOCTULE_ACCESS_ALL}, {A, A}, false},
    {"{name: p0}, {name: p1, required: true}", {NOCTULE_ACCESS_ALL, PUBLISH}, {A, A}, true},
};

START_TEST(covering_deliveries)
{
    const struct covers_case *row = &covers_cases[_i];
    for (int i = 0; i < 2; i++) {
        script_plugins[i].authorize_mask = row->masks[i] ? row->masks[i] : NOCTULE_ACCESS_ALL;
        scripts[i].access = row->answers[i];
        scripts[i].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply),
                                                  .flags = NOCTULE_REPLY_COVERS_DELIVERY};
    }
    char *yaml = str_format("plugins: [%s]\n", row->plugins);
    fixture_start(yaml);
    struct client *client = a_client("c", "u");
    struct outcome outcome = access_now(client, SUBSCRIBE, "t/#");
    ck_assert_int_eq(outcome.verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(outcome.covers_delivery, row->covers);
    ck_assert(!access_now(client, PUBLISH, "t").covers_delivery);
    for (int i = 0; i < 2; i++)
        scripts[i].reply.flags = 0;
    ck_assert(!access_now(client, SUBSCRIBE, "t/#").covers_delivery);
    drop(client);
    free(yaml);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chain");
    TCase *rules = tcase_create("rules");
    tcase_add_checked_fixture(rules, setup, teardown);
    int cases = sizeof chain_cases / sizeof *chain_cases;
    tcase_add_loop_test(rules, chain_decides_login_and_access_alike, 0, cases);
    tcase_add_loop_test(rules, chain_decides_alike_when_answers_come_later, 0, cases);
    tcase_add_loop_test(rules, covering_deliveries, 0, sizeof covers_cases / sizeof *covers_cases);
    const TTest *const tests[] = {
        anonymous_clients_at_the_end,
        anonymous_clients_are_refused_by_default,
        nobody_lets_in_an_authentication_method_that_nobody_took,
        default_access_counts_where_nobody_authorizes,
        default_access_denies,
        default_access_does_not_count_where_somebody_authorizes_something,
        wills_are_for_those_who_only_know_publish,
        deliveries_taken_by_somebody_end_in_deny,
        an_empty_chain_asks_nobody,
        denial_carries_code_and_reason,
        error_keeps_its_reason_from_the_client,
        replies_of_an_older_header_are_read_by_their_size,
        login_brings_along_names_limits_and_data,
        a_denied_login_brings_nothing_along,
        impossible_names_are_errors,
        trace_tells_every_step,
        NULL,
    };
    for (const TTest *const *test = tests; *test; test++)
        tcase_add_test(rules, *test);
    suite_add_tcase(suite, rules);
    return run_suite(suite);
}
