// Enhanced authentication, re-authentication, helper threads, SERIAL, revalidation.
#include "core/plugin/ticket.h"
#include "tests/unit/plugin_support.h"

static void setup(void)
{
    scripts_reset();
}

static void teardown(void)
{
    fixture_stop();
    ck_assert_uint_eq(tickets_pending(), 0);
}

static struct decision *begin(struct client *client, struct later *later)
{
    struct noctule_login login = {.size = sizeof login,
                                  .has_username = 1,
                                  .username = text("u"),
                                  .auth_method = text("SCRAM"),
                                  .auth_data = text("first")};
    struct decision_call call = {.done = done_later, .argument = later};
    struct outcome outcome;
    struct decision *decision = decide_login(client, &login, &call, &outcome);
    if (!decision)
        done_later(client, &outcome, later);
    return decision;
}

static struct decision *go_on(struct client *client, uint8_t code, const char *method, struct later *later)
{
    struct noctule_auth auth = {
        .size = sizeof auth, .reason_code = code, .method = text(method), .data = text("next")};
    struct decision_call call = {.done = done_later, .argument = later};
    struct outcome outcome;
    struct decision *decision = decide_auth(client, &auth, &call, &outcome);
    if (!decision)
        done_later(client, &outcome, later);
    return decision;
}

static void says(unsigned i, const char *data)
{
    scripts[i].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply), .auth_data = text(data)};
}

static void expect(const struct later *later, unsigned count, noctule_verdict verdict, const char *data)
{
    ck_assert_uint_eq(later->count, count);
    ck_assert_int_eq(later->outcome.verdict, verdict);
    ck_assert_str_eq(later->auth_data, data);
}

START_TEST(challenge_and_response)
{
    scripts[1].login = scripts[1].step = NOCTULE_CONTINUE;
    fixture_start("plugins: [{name: p0}, {name: p1}, {name: p2, required: true}]\n");
    scripts[2].login = NOCTULE_ALLOW;
    struct client *client = a_client("c", "u");
    ck_assert(chain_takes_auth(client));
    struct later later = {0};
    says(1, "challenge 1");
    begin(client, &later);
    expect(&later, 1, NOCTULE_CONTINUE, "challenge 1");
    says(1, "challenge 2");
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 2, NOCTULE_CONTINUE, "challenge 2");
    scripts[1].step = NOCTULE_ALLOW;
    says(1, "well done");
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 3, NOCTULE_ALLOW, "well done");
    ck_assert_str_eq(later.outcome.instance, "p1");
    // Asked: once each, and the pinned one for its steps; the required one after all of them.
    ck_assert_uint_eq(scripts[0].logins + scripts[1].logins + scripts[2].logins, 3);
    ck_assert_uint_eq(scripts[1].steps, 2);
    ck_assert_uint_eq(scripts[0].steps + scripts[2].steps, 0);
    drop(client);
}
END_TEST

START_TEST(steps_that_are_refused)
{
    scripts[0].login = NOCTULE_CONTINUE;
    scripts[0].step = NOCTULE_DENY;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 1, NOCTULE_DENY, "");
    ck_assert_uint_eq(later.outcome.reason_code, 0x82);
    begin(client, &later);
    expect(&later, 2, NOCTULE_CONTINUE, "");
    go_on(client, 0x18, "PLAIN", &later);
    expect(&later, 3, NOCTULE_DENY, "");
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 4, NOCTULE_DENY, "");
    ck_assert_uint_eq(scripts[0].steps, 1);
    ck_assert_ptr_null(client_owner(client));
    drop(client);
}
END_TEST

START_TEST(steps_that_wait)
{
    scripts[0].login = scripts[0].step = NOCTULE_PENDING;
    fixture_start("plugins: [{name: p0, timeout: 1s}, {name: p1, required: true}]\n");
    scripts[1].login = NOCTULE_ALLOW;
    const struct noctule_host *host = scripts[0].host;
    struct client *client = a_client("c", "u");
    struct later later = {0};
    struct noctule_reply reply = {.size = sizeof reply, .auth_data = text("challenge")};
    ck_assert_ptr_nonnull(begin(client, &later));
    ck_assert_int_eq(host->complete(scripts[0].held[0], NOCTULE_CONTINUE, &reply), NOCTULE_OK);
    settle();
    expect(&later, 1, NOCTULE_CONTINUE, "challenge");
    reply.auth_data = text("done");
    ck_assert_ptr_nonnull(go_on(client, 0x18, "SCRAM", &later));
    host->complete(scripts[0].held[1], NOCTULE_ALLOW, &reply);
    settle();
    expect(&later, 2, NOCTULE_ALLOW, "done");
    drop(client);
}
END_TEST

START_TEST(client_goes_between_steps)
{
    scripts[0].login = NOCTULE_CONTINUE;
    scripts[0].step = NOCTULE_PENDING;
    fixture_start("plugins: [{name: p0}]\n");
    struct later later = {0};
    struct client *one = a_client("c", "u");
    begin(one, &later);
    drop(one);
    struct client *two = a_client("d", "u");
    begin(two, &later);
    go_on(two, 0x18, "SCRAM", &later);
    drop(two);
    ck_assert_uint_eq(later.count, 2);
    ck_assert_int_eq(scripts[0].host->complete(scripts[0].held[0], NOCTULE_ALLOW, NULL), NOCTULE_E_GONE);
    struct client *three = a_client("e", "u");
    begin(three, &later);
    ck_assert(fixture_reload("plugins: [{name: p1}]\n"));
    scripts[0].step = NOCTULE_ALLOW;
    go_on(three, 0x18, "SCRAM", &later); // goes on in the generation in which it began
    expect(&later, 4, NOCTULE_ALLOW, "");
    drop(three);
}
END_TEST

START_TEST(continue_without_a_method_is_an_error)
{
    scripts[0].login = NOCTULE_CONTINUE;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    ck_assert(login_now(client, "u", "x").failed);
    drop(client);
}
END_TEST

START_TEST(authenticating_again)
{
    scripts[1].login = NOCTULE_CONTINUE;
    scripts[1].step = NOCTULE_ALLOW;
    scripts[1].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .username = text("alice"), .expires_at_ms = 1000};
    fixture_start("plugins: [{name: p0}, {name: p1}, {name: p2, required: true}]\n");
    scripts[2].login = NOCTULE_ALLOW;
    struct client *client = a_client("c", "u");
    struct later later = {0};
    go_on(client, 0x19, "SCRAM", &later);
    expect(&later, 1, NOCTULE_DENY, ""); // nothing to renew
    begin(client, &later);
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 3, NOCTULE_ALLOW, "");
    ck_assert_uint_eq(client_expires_at(client), 1000);
    // Only the instance of the login is asked; the name stays, the time is new.
    scripts[1].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .username = text("bob"), .expires_at_ms = 2000};
    scripts[1].step = NOCTULE_CONTINUE;
    unsigned logins = scripts[0].logins + scripts[1].logins + scripts[2].logins;
    go_on(client, 0x19, "SCRAM", &later);
    expect(&later, 4, NOCTULE_CONTINUE, "");
    scripts[1].step = NOCTULE_ALLOW;
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 5, NOCTULE_ALLOW, "");
    ck_assert_uint_eq(scripts[0].logins + scripts[1].logins + scripts[2].logins, logins);
    ck_str(str_from(client_info(client).username), "alice");
    ck_assert_uint_eq(client_expires_at(client), 2000);
    ck_assert_uint_eq(upcall_log.rechecks, 0);
    settle();
    ck_assert_uint_eq(upcall_log.rechecks, 1); // what it may do may have changed
    go_on(client, 0x19, "PLAIN", &later);
    expect(&later, 6, NOCTULE_DENY, "");
    scripts[1].step = NOCTULE_NEXT;
    go_on(client, 0x19, "SCRAM", &later);
    expect(&later, 7, NOCTULE_DENY, "");
    ck_assert(fixture_reload("plugins: [{name: p0}]\n"));
    go_on(client, 0x19, "SCRAM", &later);
    expect(&later, 8, NOCTULE_DENY, "");
    drop(client);
}
END_TEST

static void take_back(const char *username)
{
    struct noctule_revocation what = {.size = sizeof what, .username = text(username)};
    ck_assert_int_eq(scripts[1].host->revoke(scripts[1].instance, &what), NOCTULE_OK);
    settle();
}

// Grants that a re-authentication would bring do not come back after they were taken away.
START_TEST(revoked_while_it_authenticates_again)
{
    struct noctule_grant grant = {
        .size = sizeof grant, .access = PUBLISH, .allow = 1, .max_qos = 2, .retain = 2, .filter = text("#")};
    scripts[1].login = NOCTULE_CONTINUE;
    scripts[1].step = NOCTULE_ALLOW;
    scripts[1].reply =
        (struct noctule_reply){.size = sizeof(struct noctule_reply), .grants = &grant, .grant_count = 1};
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    begin(client, &later);
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 2, NOCTULE_ALLOW, "");
    // Between its steps, and while a step is being decided.
    scripts[1].step = NOCTULE_CONTINUE;
    go_on(client, 0x19, "SCRAM", &later);
    expect(&later, 3, NOCTULE_CONTINUE, "");
    take_back("u");
    scripts[1].step = NOCTULE_ALLOW;
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 4, NOCTULE_DENY, "");
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    scripts[1].step = NOCTULE_PENDING;
    scripts[1].defers = true;
    ck_assert_ptr_nonnull(go_on(client, 0x19, "SCRAM", &later));
    take_back("u");
    ck_assert_int_eq(scripts[1].host->complete(scripts[1].held[0], NOCTULE_ALLOW, &scripts[1].reply),
                     NOCTULE_OK);
    wait_later(&later, 5);
    expect(&later, 5, NOCTULE_DENY, "");
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    // One that begins after the revocation counts, and so does one that another's revocation comes into.
    scripts[1].step = NOCTULE_CONTINUE;
    go_on(client, 0x19, "SCRAM", &later);
    expect(&later, 6, NOCTULE_CONTINUE, "");
    take_back("other");
    scripts[1].step = NOCTULE_ALLOW;
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 7, NOCTULE_ALLOW, "");
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_ALLOW);
    drop(client);
}
END_TEST

START_TEST(a_required_plugin_may_authenticate_in_steps)
{
    scripts[0].login = NOCTULE_ALLOW;
    scripts[1].login = NOCTULE_CONTINUE;
    scripts[1].step = NOCTULE_ALLOW;
    fixture_start("plugins: [{name: p0}, {name: p1, required: true}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    begin(client, &later);
    expect(&later, 1, NOCTULE_CONTINUE, "");
    says(1, "fine");
    go_on(client, 0x18, "SCRAM", &later);
    expect(&later, 2, NOCTULE_ALLOW, "fine");
    ck_assert_str_eq(later.outcome.instance, "p0");
    scripts[1].step = NOCTULE_ALLOW;
    go_on(client, 0x19, "SCRAM", &later);
    expect(&later, 3, NOCTULE_ALLOW, "fine");
    drop(client);
}
END_TEST

// ---- Helper threads ------------------------------------------------------------------------------------

static pthread_t main_thread;

static noctule_verdict asked_elsewhere(const struct noctule_context *context,
                                       const struct noctule_access *access)
{
    ck_assert(!pthread_equal(pthread_self(), main_thread));
    ck_assert_ptr_null(context->worker);
    ck_assert_ptr_null(context->worker_state);
    const struct noctule_host *host = scripts[0].host;
    ck_assert(host->client_info(context->client)->client_id.length == 1);
    ck_assert_int_eq(host->set_client_data(scripts[0].instance, context->client, 1), NOCTULE_E_THREAD);
    return access->topic.length == 1 && access->topic.data[0] == 't' ? NOCTULE_ALLOW : NOCTULE_DENY;
}

START_TEST(blocking_hooks_run_on_helper_threads)
{
    main_thread = pthread_self();
    script_plugins[0].flags = NOCTULE_FLAG_BLOCKING;
    scripts[0].on_access = asked_elsewhere;
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .client_data = 42, .reason = text("checked")};
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    char topic[] = "t";
    ck_assert_ptr_nonnull(access_later(client, PUBLISH, topic, &later));
    topic[0] = 'x'; // the question was copied
    wait_later(&later, 1);
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW);
    ck_assert_str_eq(later.reason, "checked");
    ck_assert_ptr_nonnull(login_later(client, "u", &later));
    wait_later(&later, 2);
    ck_assert_uint_eq(
        scripts[0].host->client_data(scripts[0].instance, (const struct noctule_client *)client), 42);
    drop(client);
}
END_TEST

START_TEST(blocking_hooks_may_put_off_as_well)
{
    script_plugins[0].flags = NOCTULE_FLAG_BLOCKING;
    scripts[0].access = NOCTULE_PENDING;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    wait_for(&scripts[0].held_count, 1);
    ck_assert_int_eq(scripts[0].host->complete(scripts[0].held[0], NOCTULE_ALLOW, NULL), NOCTULE_OK);
    wait_later(&later, 1);
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW);
    scripts[0].defers = false;
    access_later(client, PUBLISH, "u", &later);
    wait_later(&later, 2);
    ck_assert(later.outcome.failed);
    drop(client);
}
END_TEST

START_TEST(clients_go_while_helpers_work)
{
    script_plugins[0].flags = NOCTULE_FLAG_BLOCKING;
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].sleep_ms = 20;
    fixture_start("plugins: [{name: p0}]\n");
    struct later later = {0};
    for (int i = 0; i < 20; i++) {
        struct client *client = a_client("c", "u");
        login_later(client, "u", &later);
        drop(client);
    }
    usleep(60000);
    settle();
    ck_assert_uint_eq(later.count, 0);
    ck_assert_uint_le(scripts[0].logins, 4); // the others were not asked any more
    // At the end some are waiting, and some are being asked.
    struct client *client = a_client("c", "u");
    for (int i = 0; i < 5; i++)
        login_later(client, "u", &later);
    drop(client);
}
END_TEST

START_TEST(helpers_have_a_deadline_too)
{
    script_plugins[0].flags = NOCTULE_FLAG_BLOCKING;
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].sleep_ms = 100;
    fixture_start("plugins: [{name: p0, timeout: 1s}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    login_later(client, "u", &later);
    wait_for(&scripts[0].logins, 1);
    pass_ms(1100);
    ck_assert_uint_eq(later.count, 1);
    ck_assert(later.outcome.failed);
    drop(client);
}
END_TEST

START_TEST(serial_plugins_are_asked_one_at_a_time)
{
    bool serial = _i == 1;
    script_plugins[0].flags = NOCTULE_FLAG_BLOCKING | (serial ? NOCTULE_FLAG_SERIAL : 0);
    scripts[0].access = NOCTULE_ALLOW;
    scripts[0].sleep_ms = 20;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    for (char topic[] = "a"; topic[0] < 'g'; topic[0]++)
        access_later(client, PUBLISH, topic, &later);
    wait_later(&later, 6);
    ck_assert_int_eq(scripts[0].overlap, serial ? 1 : 2);
    drop(client);
}
END_TEST

// ---- TLS-PSK -------------------------------------------------------------------------------------------

static char key[16];
static void key_done(struct client *client, const struct outcome *outcome, void *argument)
{
    ck_assert_ptr_null(client);
    *(unsigned *)argument += 1;
    snprintf(key, sizeof key, "%.*s", STR_ARG(outcome->psk));
}

START_TEST(keys_of_identities)
{
    scripts[0].psk = NOCTULE_PENDING;
    fixture_start("plugins: [{name: p0}]\n");
    ck_assert(chain_takes_psk(fixture.worker, STR("default")));
    struct noctule_psk psk = {.size = sizeof psk, .identity = text("i"), .listener = text("default")};
    static unsigned done; // outlives the test: what still waits is finished when the worker goes down
    done = 0;
    struct decision_call call = {.done = key_done, .argument = &done};
    struct outcome outcome;
    ck_assert_ptr_nonnull(decide_psk(fixture.worker, &psk, &call, &outcome));
    struct noctule_reply reply = {.size = sizeof reply, .psk = text("secret")};
    scripts[0].host->complete(scripts[0].held[0], NOCTULE_ALLOW, &reply);
    settle();
    ck_assert_uint_eq(done, 1);
    ck_assert_str_eq(key, "secret");
    decision_cancel(decide_psk(fixture.worker, &psk, &call, &outcome));
    scripts[0].host->complete(scripts[0].held[1], NOCTULE_ALLOW, &reply);
    decide_psk(fixture.worker, &psk, &call, &outcome); // and one that waits at the end
}
END_TEST

// ---- After a reload ------------------------------------------------------------------------------------

START_TEST(clients_are_revalidated_by_whom_let_them_in)
{
    scripts[0].valid = scripts[1].valid = NOCTULE_ALLOW;
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    struct client *clients[500];
    for (int i = 0; i < 500; i++) {
        scripts[0].login = i % 2 ? NOCTULE_NEXT : NOCTULE_ALLOW;
        scripts[1].login = NOCTULE_ALLOW;
        clients[i] = a_client("c", "u");
        login_now(clients[i], "u", "x");
    }
    ck_assert(fixture_reload("plugins: [{name: p0}, {name: p1}]\n"));
    ck_assert_uint_eq(scripts[0].valids + scripts[1].valids, 0); // not in one go
    settle();
    ck_assert_uint_eq(scripts[0].valids, 250);
    ck_assert_uint_eq(scripts[1].valids, 250);
    ck_assert_uint_eq(upcall_log.disconnects, 0);
    scripts[0].valid = NOCTULE_DENY;
    scripts[0].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .reason_code = 0x98, .reason = text("the entry changed")};
    ck_assert(fixture_reload("plugins: [{name: p0}, {name: p1}]\n"));
    settle();
    ck_assert_uint_eq(upcall_log.disconnects, 250);
    ck_assert_uint_eq(upcall_log.code, 0x98);
    ck_assert_str_eq(upcall_log.reason, "the entry changed");
    ck_assert_str_eq(upcall_log.instance, "p0");
    for (int i = 0; i < 500; i++)
        drop(clients[i]);
}
END_TEST

START_TEST(revalidation_that_fails)
{
    bool next = _i == 1;
    const char *yaml = next ? "plugins: [{name: p0, on_error: next}]\n" : "plugins: [{name: p0}]\n";
    scripts[0].login = NOCTULE_ALLOW;
    scripts[0].valid = NOCTULE_ERROR;
    fixture_start(yaml);
    struct client *client = a_client("c", "u");
    login_now(client, "u", "x");
    ck_assert(fixture_reload(yaml));
    settle();
    ck_assert_uint_eq(upcall_log.disconnects, next ? 0 : 1);
    drop(client);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("auth");
    TCase *tests = tcase_create("auth");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    const TTest *const all[] = {
        challenge_and_response,
        steps_that_are_refused,
        steps_that_wait,
        client_goes_between_steps,
        continue_without_a_method_is_an_error,
        authenticating_again,
        revoked_while_it_authenticates_again,
        a_required_plugin_may_authenticate_in_steps,
        blocking_hooks_run_on_helper_threads,
        blocking_hooks_may_put_off_as_well,
        clients_go_while_helpers_work,
        helpers_have_a_deadline_too,
        keys_of_identities,
        clients_are_revalidated_by_whom_let_them_in,
        NULL,
    };
    for (const TTest *const *test = all; *test; test++)
        tcase_add_test(tests, *test);
    tcase_add_loop_test(tests, serial_plugins_are_asked_one_at_a_time, 0, 2);
    tcase_add_loop_test(tests, revalidation_that_fails, 0, 2);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
