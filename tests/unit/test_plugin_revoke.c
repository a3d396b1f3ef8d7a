// Revocation: who is concerned, what is taken away, and what plugins are told.
#include "core/plugin/client_state.h"
#include "core/plugin/revoke.h"
#include "tests/unit/plugin_support.h"

enum { CROWD = 30000 };

static struct noctule_revocation seen;
static char seen_username[32];
static char seen_client_id[32];

static void setup(void)
{
    scripts_reset();
}

static void teardown(void)
{
    fixture_stop();
}

static void remember(const struct noctule_context *context, const struct noctule_revocation *what)
{
    ck_assert_ptr_null(context->client);
    ck_assert_ptr_nonnull(context->snapshot);
    ck_assert_ptr_nonnull(context->worker);
    seen = *what;
    snprintf(seen_username, sizeof seen_username, "%.*s",
             what->username.data ? (int)what->username.length : 1,
             what->username.data ? what->username.data : "-");
    snprintf(seen_client_id, sizeof seen_client_id, "%.*s",
             what->client_id.data ? (int)what->client_id.length : 1,
             what->client_id.data ? what->client_id.data : "-");
}

static int32_t revoke_names(const char *username, const char *client_id, uint32_t flags)
{
    struct noctule_revocation what = {
        .size = sizeof what, .flags = flags, .username = text(username), .client_id = text(client_id)};
    int32_t result = scripts[0].host->revoke(scripts[0].instance, &what);
    settle();
    return result;
}

struct who {
    const char *username;
    const char *client_id;
    unsigned concerned;
};

// Connected are (a, u1), (b, u1), (c, u2), (d, no username).
static const struct who who[] = {
    {"u1", NULL, 2}, {"u2", NULL, 1}, {NULL, "a", 1}, {"u1", "a", 1}, {"u2", "a", 0},
    {NULL, "d", 1},  {"", NULL, 0},   {"u", NULL, 0}, {NULL, "", 0},
};

START_TEST(those_are_concerned_that_have_all_names)
{
    fixture_start("plugins: [{name: p0}]\n");
    struct client *clients[] = {a_client("a", "u1"), a_client("b", "u1"), a_client("c", "u2"),
                                a_client("d", NULL)};
    ck_assert_int_eq(revoke_names(who[_i].username, who[_i].client_id, 0), NOCTULE_OK);
    ck_assert_uint_eq(upcall_log.rechecks, who[_i].concerned);
    ck_assert_uint_eq(upcall_log.disconnects, 0);
    ck_assert_int_eq(revoke_names(who[_i].username, who[_i].client_id, NOCTULE_REVOKE_DISCONNECT),
                     NOCTULE_OK);
    ck_assert_uint_eq(upcall_log.disconnects, who[_i].concerned);
    if (who[_i].concerned) {
        ck_assert_uint_eq(upcall_log.code, 0x98);
        ck_assert_str_eq(upcall_log.instance, "p0");
    }
    for (size_t i = 0; i < 4; i++)
        drop(clients[i]);
}
END_TEST

START_TEST(grants_and_kept_verdicts_are_taken)
{
    fixture_start("default_access: allow\nplugins: [{name: p0}]\n");
    struct noctule_grant grant = {.size = sizeof grant,
                                  .access = PUBLISH,
                                  .allow = 1,
                                  .max_qos = 2,
                                  .retain = 2,
                                  .filter = text("granted")};
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].reply =
        (struct noctule_reply){.size = sizeof(struct noctule_reply), .grants = &grant, .grant_count = 1};
    struct client *client = a_client("a", "u");
    ck_assert_int_eq(login_now(client, "u", "x").verdict, NOCTULE_ALLOW);
    scripts[0].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply), .reuse_ms = 60000};
    scripts[0].access = NOCTULE_ALLOW;
    ck_assert_int_eq(access_now(client, PUBLISH, "kept").verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(access_now(client, PUBLISH, "kept").verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(access_now(client, PUBLISH, "granted").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(scripts[0].accesses, 1);
    scripts[0].access = NOCTULE_NEXT;
    ck_assert_int_eq(revoke_names("u", NULL, 0), NOCTULE_OK);
    // The chain is asked, and its end is a denial: default_access is not for who had grants.
    ck_assert_int_eq(access_now(client, PUBLISH, "kept").verdict, NOCTULE_DENY);
    ck_assert_int_eq(access_now(client, PUBLISH, "granted").verdict, NOCTULE_DENY);
    ck_assert_uint_eq(scripts[0].accesses, 3);
    drop(client);
}
END_TEST

START_TEST(without_a_hook_what_was_granted_is_denied)
{
    script_plugins[0].authorize = NULL;
    fixture_start("default_access: allow\nplugins: [{name: p0}]\n");
    struct noctule_grant grant = {
        .size = sizeof grant, .access = PUBLISH, .allow = 1, .max_qos = 2, .retain = 2, .filter = text("#")};
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].reply =
        (struct noctule_reply){.size = sizeof(struct noctule_reply), .grants = &grant, .grant_count = 1};
    struct client *client = a_client("a", "u");
    login_now(client, "u", "x");
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_ALLOW);
    revoke_names(NULL, "a", 0);
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    ck_assert_int_eq(access_now(client, SUBSCRIBE, "t").verdict, NOCTULE_DENY);
    // A login anew brings them back.
    login_now(client, "u", "x");
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_ALLOW);
    drop(client);
}
END_TEST

START_TEST(every_instance_is_told)
{
    script_plugins[2].revoke = NULL;
    fixture_start("plugins: [{name: p0}, {name: p1}, {name: p2}]\n");
    scripts[1].on_revoke = remember;
    ck_assert_int_eq(revoke_names("u", "c", NOCTULE_REVOKE_DISCONNECT), NOCTULE_OK);
    ck_assert_uint_eq(scripts[0].revocations, 1);
    ck_assert_uint_eq(scripts[1].revocations, 1);
    ck_assert_uint_eq(scripts[2].revocations, 0);
    ck_assert_str_eq(seen_username, "u");
    ck_assert_str_eq(seen_client_id, "c");
    ck_assert_uint_eq(seen.flags, NOCTULE_REVOKE_DISCONNECT);
    ck_assert_uint_eq(seen.size, sizeof seen);
    revoke_names(NULL, "c", 0);
    ck_assert_str_eq(seen_username, "-");
    ck_assert_ptr_null(seen.username.data);
    ck_assert_uint_eq(seen.flags, 0);
    // One without an entry is told nothing.
    ck_assert(fixture_reload("plugins: [{name: p0}]\n"));
    revoke_names("u", NULL, 0);
    ck_assert_uint_eq(scripts[0].revocations, 3);
    ck_assert_uint_eq(scripts[1].revocations, 2);
}
END_TEST

START_TEST(plugins_of_1_0_have_no_such_hook)
{
    script_plugins[0].size = offsetof(struct noctule_plugin, revoke);
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    ck_assert_int_eq(revoke_names("u", NULL, 0), NOCTULE_OK);
    ck_assert_uint_eq(scripts[0].revocations, 0);
    ck_assert_uint_eq(scripts[1].revocations, 1);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
    fixture_start("plugins: [{name: p0}]\n");
    const struct noctule_host *host = scripts[0].host;
    struct noctule_instance *instance = scripts[0].instance;
    struct noctule_revocation what = {.size = sizeof what};
    ck_assert_int_eq(host->revoke(instance, &what), NOCTULE_E_INVALID);
    ck_assert_int_eq(host->revoke(instance, NULL), NOCTULE_E_INVALID);
    what.username = text("u");
    ck_assert_int_eq(host->revoke(NULL, &what), NOCTULE_E_INVALID);
    what.flags = 2;
    ck_assert_int_eq(host->revoke(instance, &what), NOCTULE_E_INVALID);
    what.flags = 0;
    what.client_id.length = 1;
    ck_assert_int_eq(host->revoke(instance, &what), NOCTULE_E_INVALID);
    what.client_id.length = 0;
    what.size = 4;
    ck_assert_int_eq(host->revoke(instance, &what), NOCTULE_E_INVALID);
    // One that ends before the client id names the user only.
    what.size = offsetof(struct noctule_revocation, client_id);
    ck_assert_int_eq(host->revoke(instance, &what), NOCTULE_OK);
    settle();
    ck_assert_uint_eq(scripts[0].revocations, 1);
}
END_TEST

START_TEST(nobody_is_missed_while_clients_come_and_go)
{
    fixture_start("plugins: [{name: p0}]\n");
    static struct client *crowd[CROWD];
    static struct client *later[CROWD];
    for (unsigned i = 0; i < CROWD; i++)
        crowd[i] = a_client("c", i % 2 ? "odd" : "even");
    struct noctule_revocation what = {.size = sizeof what, .username = text("odd")};
    scripts[0].host->revoke(scripts[0].instance, &what);
    worker_turn(fixture.worker, false);
    ck_assert_uint_lt(upcall_log.rechecks, CROWD / 2); // it works in slices
    // The table grows meanwhile; who comes later was let in by what holds.
    for (unsigned i = 0; i < CROWD; i++)
        later[i] = a_client("c", "odd");
    for (int i = 0; i < 3000; i++)
        worker_turn(fixture.worker, false);
    ck_assert_uint_eq(upcall_log.rechecks, CROWD / 2);
    for (unsigned i = 0; i < CROWD; i++) {
        ck_assert_int_eq(crowd[i]->revoked, i % 2);
        ck_assert(!later[i]->revoked);
        drop(crowd[i]);
        drop(later[i]);
    }
}
END_TEST

static void count(void *argument, uint64_t clients)
{
    *(uint64_t *)argument = clients;
}

START_TEST(a_command_is_told_how_many)
{
    fixture_start("plugins: [{name: p0}]\n");
    struct client *clients[] = {a_client("a", "u"), a_client("b", "u")};
    uint64_t concerned = 99;
    struct revocation revocation = {
        .username = STR("u"), .disconnect = true, .done = count, .argument = &concerned};
    ck_assert(plugin_revoke(fixture.host, &revocation));
    settle();
    ck_assert_uint_eq(concerned, 2);
    ck_assert_uint_eq(upcall_log.disconnects, 2);
    ck_assert_str_eq(upcall_log.reason, "revoked");
    drop(clients[0]);
    drop(clients[1]);
}
END_TEST

START_TEST(a_login_that_was_under_way_does_not_hold)
{
    fixture_start("plugins: [{name: p0}]\n");
    scripts[0].login = NOCTULE_ALLOW;
    struct client *same = a_client("a", "u");
    struct client *other = a_client("b", "token");
    struct client *renamed = a_client("c", "token");
    revoke_names("u", NULL, 0);
    ck_assert_int_eq(login_now(same, "u", "x").verdict, NOCTULE_ALLOW);
    ck_assert(client_login_is_revoked(same));
    ck_assert_int_eq(login_now(other, "token", "x").verdict, NOCTULE_ALLOW);
    ck_assert(!client_login_is_revoked(other));
    scripts[0].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply), .username = text("u")};
    ck_assert_int_eq(login_now(renamed, "token", "x").verdict, NOCTULE_ALLOW);
    ck_assert(client_login_is_revoked(renamed));
    drop(same);
    drop(other);
    drop(renamed);
}
END_TEST

START_TEST(the_end_of_the_worker_is_the_end_of_it)
{
    fixture_start("plugins: [{name: p0}]\n");
    uint64_t concerned = 99;
    struct revocation revocation = {.username = STR("u"), .done = count, .argument = &concerned};
    ck_assert(plugin_revoke(fixture.host, &revocation));
    plugin_worker_down(fixture.worker);
    ck_assert(!plugin_revoke(fixture.host, &revocation));
    ck_assert_int_eq(revoke_names("u", NULL, 0), NOCTULE_E_GONE);
    plugin_host_stop(fixture.host);
    workers_free(fixture.workers);
    fixture.workers = NULL;
    ck_assert_uint_eq(concerned, 0);
    ck_assert_uint_eq(scripts[0].revocations, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("revoke");
    TCase *tests = tcase_create("revoke");
    tcase_add_checked_fixture(tests, setup, teardown);
    const TTest *const all[] = {
        grants_and_kept_verdicts_are_taken,
        without_a_hook_what_was_granted_is_denied,
        every_instance_is_told,
        plugins_of_1_0_have_no_such_hook,
        what_makes_no_sense_is_refused,
        nobody_is_missed_while_clients_come_and_go,
        a_command_is_told_how_many,
        a_login_that_was_under_way_does_not_hold,
        the_end_of_the_worker_is_the_end_of_it,
        NULL,
    };
    for (const TTest *const *test = all; *test; test++)
        tcase_add_test(tests, *test);
    tcase_add_loop_test(tests, those_are_concerned_that_have_all_names, 0, sizeof who / sizeof *who);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
