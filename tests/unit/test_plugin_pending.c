// Decisions that wait: completion, deadline, cancellation, the cap, coalescing, the cache of verdicts.
#include "core/plugin/ticket.h"
#include "tests/unit/plugin_support.h"

static const char one_plugin[] = "plugins: [{name: p0, timeout: 1s}]\n";

static void setup(void)
{
    scripts_reset();
    scripts[0].login = scripts[0].access = NOCTULE_PENDING;
}

static void teardown(void)
{
    fixture_stop();
    ck_assert_uint_eq(tickets_pending(), 0);
}

static int32_t complete(unsigned i, noctule_verdict verdict, const struct noctule_reply *reply)
{
    return scripts[0].host->complete(scripts[0].held[i], verdict, reply);
}

static int32_t is_cancelled(unsigned i)
{
    return scripts[0].host->is_cancelled(scripts[0].held[i]);
}

// ---- Completion ----------------------------------------------------------------------------------------

START_TEST(completed_decision_is_told_once_with_its_reply)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    ck_assert_ptr_nonnull(access_later(client, PUBLISH, "t", &later));
    ck_assert_uint_eq(tickets_pending(), 1);
    char reason[] = "because";
    struct noctule_reply reply = {.size = sizeof reply, .reason_code = 0x97, .reason = text(reason)};
    ck_assert_int_eq(is_cancelled(0), 0);
    ck_assert_int_eq(complete(0, NOCTULE_DENY, &reply), NOCTULE_OK);
    memset(reason, 'x', sizeof reason - 1); // the reply has been copied
    ck_assert_uint_eq(later.count, 0);      // never from inside the call
    ck_assert_uint_eq(tickets_pending(), 0);
    settle();
    ck_assert_uint_eq(later.count, 1);
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_DENY);
    ck_assert_uint_eq(later.outcome.reason_code, 0x97);
    ck_assert_str_eq(later.reason, "because");
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_E_AGAIN);
    ck_assert_int_eq(is_cancelled(0), 1);
    settle();
    ck_assert_uint_eq(later.count, 1);
    drop(client);
}
END_TEST

static noctule_verdict completes_at_once(const struct noctule_context *context,
                                         const struct noctule_access *access)
{
    (void)access;
    struct noctule_request *request = scripts[0].host->defer(context->request);
    ck_assert_ptr_nonnull(request);
    ck_assert_ptr_eq(scripts[0].host->defer(context->request), request);
    ck_assert_int_eq(scripts[0].host->complete(request, NOCTULE_ALLOW, NULL), NOCTULE_OK);
    scripts[0].held[0] = request;
    scripts[0].defers = false;
    return NOCTULE_PENDING;
}

START_TEST(completed_inside_the_hook)
{
    scripts[0].on_access = completes_at_once;
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    ck_assert_ptr_nonnull(access_later(client, PUBLISH, "t", &later));
    settle();
    ck_assert_uint_eq(later.count, 1);
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(complete(0, NOCTULE_DENY, NULL), NOCTULE_E_AGAIN);
    drop(client);
}
END_TEST

START_TEST(verdict_of_the_hook_counts_when_it_deferred_as_well)
{
    scripts[0].access = NOCTULE_ALLOW;
    scripts[0].defers_anyway = true;
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(tickets_pending(), 0);
    ck_assert_int_eq(complete(0, NOCTULE_DENY, NULL), NOCTULE_E_AGAIN);
    drop(client);
}
END_TEST

static noctule_verdict completes_and_answers(const struct noctule_context *context,
                                             const struct noctule_access *access)
{
    completes_at_once(context, access);
    return NOCTULE_DENY;
}

START_TEST(verdict_of_the_hook_counts_when_it_completed_as_well)
{
    scripts[0].on_access = completes_and_answers;
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    settle();
    drop(client);
}
END_TEST

START_TEST(pending_without_deferring_is_an_error)
{
    scripts[0].defers = false;
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct outcome outcome = access_now(client, PUBLISH, "t");
    ck_assert_int_eq(outcome.verdict, NOCTULE_DENY);
    ck_assert(outcome.failed);
    drop(client);
}
END_TEST

START_TEST(nonsense_handles_are_refused)
{
    fixture_start(one_plugin);
    const struct noctule_host *host = scripts[0].host;
    int32_t (*complete_)(struct noctule_request *, noctule_verdict, const struct noctule_reply *) =
        host->complete;
    ck_assert_int_eq(complete_(NULL, NOCTULE_ALLOW, NULL), NOCTULE_E_INVALID);
    ck_assert_int_eq(complete_((struct noctule_request *)&host, NOCTULE_ALLOW, NULL), NOCTULE_E_INVALID);
    ck_assert_int_lt(complete_(pointer_of(UINTPTR_MAX), NOCTULE_ALLOW, NULL), 0);
    ck_assert_int_eq(host->is_cancelled(pointer_of(UINTPTR_MAX)), 1);
    ck_assert_ptr_null(host->defer(NULL));
    ck_assert_ptr_null(host->defer((struct noctule_request *)&host));
    ck_assert_int_lt(host->annotate((struct noctule_request *)&host,
                                    &(struct noctule_reply){.size = sizeof(struct noctule_reply)}),
                     0);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    ck_assert_int_eq(complete(0, NOCTULE_PENDING, NULL), NOCTULE_E_INVALID);
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_OK);
    drop(client);
    settle();
}
END_TEST

START_TEST(reply_that_makes_no_sense_is_an_error)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    login_later(client, "u", &later);
    struct noctule_grant grant = {
        .size = sizeof grant, .access = PUBLISH, .allow = 1, .filter = text("a/#/b")};
    struct noctule_reply reply = {.size = sizeof reply, .grants = &grant, .grant_count = 1};
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, &reply), NOCTULE_E_INVALID);
    settle();
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_DENY);
    ck_assert(later.outcome.failed);
    drop(client);
}
END_TEST

// ---- Nobody waits any more -----------------------------------------------------------------------------

START_TEST(deadline_is_the_entrys)
{
    fixture_start("plugins: [{name: p0, timeout: 1s}, {name: p1}]\n");
    scripts[1].access = NOCTULE_ALLOW;
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    pass_ms(900);
    ck_assert_uint_eq(later.count, 0);
    pass_ms(200);
    ck_assert_uint_eq(later.count, 1);
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_DENY);
    ck_assert(later.outcome.failed);
    ck_assert_str_eq(later.reason, "no answer within 1000 ms");
    ck_assert_int_eq(is_cancelled(0), 1);
    ck_assert_uint_eq(tickets_pending(), 1); // the plugin still has it
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_E_GONE);
    ck_assert_uint_eq(tickets_pending(), 0);
    settle();
    ck_assert_uint_eq(later.count, 1);
    drop(client);
}
END_TEST

START_TEST(deadline_asks_the_next_when_told_so)
{
    fixture_start("plugins: [{name: p0, timeout: 1s, on_error: next}, {name: p1}]\n");
    scripts[1].access = NOCTULE_ALLOW;
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    pass_ms(1100);
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(complete(0, NOCTULE_DENY, NULL), NOCTULE_E_GONE);
    drop(client);
}
END_TEST

START_TEST(answer_after_the_client_has_gone)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    login_later(client, "u", &later);
    drop(client);
    ck_assert_int_eq(is_cancelled(0), 1);
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_E_GONE);
    ck_assert_int_eq(complete(1, NOCTULE_ALLOW, NULL), NOCTULE_E_GONE);
    ck_assert_int_eq(complete(1, NOCTULE_ALLOW, NULL), NOCTULE_E_AGAIN);
    settle();
    ck_assert_uint_eq(later.count, 0);
}
END_TEST

START_TEST(answer_on_its_way_when_the_client_goes)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_OK);
    drop(client);
    settle();
    ck_assert_uint_eq(later.count, 0);
}
END_TEST

START_TEST(answer_on_its_way_when_the_deadline_passes)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_OK);
    pass_ms(2000);
    ck_assert_uint_eq(later.count, 1);
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW);
    drop(client);
}
END_TEST

START_TEST(cancelled_decision_is_not_told)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    decision_cancel(access_later(client, PUBLISH, "t", &later));
    ck_assert_int_eq(is_cancelled(0), 1);
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_E_GONE);
    settle();
    ck_assert_uint_eq(later.count, 0);
    drop(client);
}
END_TEST

START_TEST(never_answered_until_the_end)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct client *gone = a_client("d", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    client_gone(client); // its will, say
    access_later(client, WILL, "t", &later);
    login_later(gone, "u", &later);
    drop(gone);
    const struct noctule_host *host = scripts[0].host;
    struct noctule_request *held = scripts[0].held[1];
    plugin_worker_down(fixture.worker);
    ck_assert_uint_eq(later.count, 1); // so that whoever waits can free something
    ck_assert(later.outcome.failed);
    client_unref(client);
    plugin_host_stop(fixture.host);
    workers_free(fixture.workers);
    fixture.workers = NULL;
    ck_assert_int_eq(host->complete(scripts[0].held[2], NOCTULE_ALLOW, NULL), NOCTULE_E_GONE);
    fixture_stop();
    ck_assert_uint_eq(scripts[0].retires, 1);
    ck_assert_uint_eq(scripts[0].finis, 1);
    ck_assert_int_eq(host->complete(held, NOCTULE_ALLOW, NULL), NOCTULE_E_GONE);
    ck_assert_int_eq(host->is_cancelled(held), 1);
    fixture_try("plugins: []\n");
}
END_TEST

START_TEST(answer_in_the_mailbox_when_the_worker_ends)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_OK);
    drop(client);
}
END_TEST

// ---- The cap -------------------------------------------------------------------------------------------

START_TEST(cap_counts_what_plugins_have_not_answered)
{
    fixture_start("limits: {pending_decisions: 2}\nplugins: [{name: p0, timeout: 1s}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "a", &later);
    access_later(client, PUBLISH, "b", &later);
    struct outcome outcome = access_now(client, PUBLISH, "c");
    ck_assert(outcome.failed);
    pass_ms(1100);
    ck_assert_uint_eq(later.count, 2);
    // Given up, but the plugin has not answered: they count.
    ck_assert(access_now(client, PUBLISH, "d").failed);
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_E_GONE);
    ck_assert_ptr_nonnull(access_later(client, PUBLISH, "e", &later));
    ck_assert(access_now(client, PUBLISH, "f").failed);
    drop(client);
}
END_TEST

START_TEST(cap_follows_on_error)
{
    scripts[1].access = NOCTULE_ALLOW;
    fixture_start("limits: {pending_decisions: 1}\nplugins: [{name: p0, on_error: next}, {name: p1}]\n");
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "a", &later);
    ck_assert_int_eq(access_now(client, PUBLISH, "b").verdict, NOCTULE_ALLOW);
    drop(client);
}
END_TEST

// ---- Coalescing ----------------------------------------------------------------------------------------

START_TEST(identical_requests_are_asked_once)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct client *other = a_client("d", "u");
    struct later later = {0};
    struct later different = {0};
    access_later(client, PUBLISH, "t", &later);
    access_later(client, PUBLISH, "t", &later);
    access_later(client, PUBLISH, "t", &later);
    ck_assert_uint_eq(scripts[0].accesses, 1);
    access_later(client, PUBLISH, "u", &different);
    access_later(client, SUBSCRIBE, "t", &different);
    access_later(other, PUBLISH, "t", &different);
    ck_assert_uint_eq(scripts[0].accesses, 4);
    complete(0, NOCTULE_ALLOW, NULL);
    settle();
    ck_assert_uint_eq(later.count, 3);
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(different.count, 0);
    access_later(client, PUBLISH, "t", &later); // without reuse_ms it is asked again
    ck_assert_uint_eq(scripts[0].accesses, 5);
    drop(client);
    drop(other);
}
END_TEST

START_TEST(one_of_those_who_wait_may_leave)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    struct decision *first = access_later(client, PUBLISH, "t", &later);
    access_later(client, PUBLISH, "t", &later);
    decision_cancel(first);
    ck_assert_int_eq(is_cancelled(0), 0);
    ck_assert_int_eq(complete(0, NOCTULE_ALLOW, NULL), NOCTULE_OK);
    settle();
    ck_assert_uint_eq(later.count, 1);
    drop(client);
}
END_TEST

static struct client *leaving;
static unsigned told;
static void leave(struct client *client, const struct outcome *outcome, void *argument)
{
    (void)outcome;
    (void)argument;
    told++;
    client_gone(client); // gives up the others that wait for the same answer
}

START_TEST(being_told_may_end_everything)
{
    fixture_start(one_plugin);
    leaving = a_client("c", "u");
    told = 0;
    struct noctule_access access = {.size = sizeof access, .access = PUBLISH, .topic = text("t")};
    struct outcome outcome;
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_nonnull(
            decide_access(leaving, &access, &(struct decision_call){.done = leave}, &outcome));
    complete(0, NOCTULE_ALLOW, NULL);
    settle();
    ck_assert_uint_eq(told, 1);
    client_unref(leaving);
}
END_TEST

START_TEST(a_timeout_is_for_all_who_wait)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    access_later(client, PUBLISH, "t", &later);
    pass_ms(1100);
    ck_assert_uint_eq(later.count, 2);
    ck_assert(later.outcome.failed);
    drop(client);
}
END_TEST

// ---- The cache -----------------------------------------------------------------------------------------

static void reuse(uint32_t ms)
{
    scripts[0].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .reuse_ms = ms, .reason = text("rule 7"), .reason_code = 0x97};
}

START_TEST(verdicts_are_reused_for_their_time)
{
    reuse(1000);
    scripts[0].access = NOCTULE_DENY;
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    access_now(client, PUBLISH, "t");
    struct outcome outcome = access_now(client, PUBLISH, "t");
    ck_assert_uint_eq(scripts[0].accesses, 1);
    ck_assert_int_eq(outcome.verdict, NOCTULE_DENY);
    ck_assert_uint_eq(outcome.reason_code, 0x97);
    ck_str(outcome.reason, "rule 7");
    access_now(client, PUBLISH, "u");
    access_now(client, DELIVER, "t");
    ck_assert_uint_eq(scripts[0].accesses, 3);
    pass_ms(1100);
    access_now(client, PUBLISH, "t");
    ck_assert_uint_eq(scripts[0].accesses, 4);
    drop(client);
}
END_TEST

START_TEST(later_verdicts_and_abstentions_are_reused_as_well)
{
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    scripts[1].access = NOCTULE_ALLOW;
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    struct noctule_reply reply = {.size = sizeof reply, .reuse_ms = 1000};
    complete(0, NOCTULE_NEXT, &reply);
    settle();
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW);
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_ALLOW);
    ck_assert_uint_eq(scripts[0].accesses, 1);
    ck_assert_uint_eq(scripts[1].accesses, 2);
    drop(client);
}
END_TEST

START_TEST(cache_is_bounded)
{
    reuse(100000);
    scripts[0].access = NOCTULE_ALLOW;
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    char topic[16];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 300; i++) {
            snprintf(topic, sizeof topic, "t/%d", i);
            ck_assert_int_eq(access_now(client, PUBLISH, topic).verdict, NOCTULE_ALLOW);
        }
    }
    ck_assert_uint_eq(scripts[0].accesses, 600);
    for (int i = 299; i > 299 - 128; i--) {
        snprintf(topic, sizeof topic, "t/%d", i);
        access_now(client, PUBLISH, topic);
    }
    ck_assert_uint_eq(scripts[0].accesses, 600);
    drop(client);
}
END_TEST

START_TEST(invalidate_forgets_and_asks_the_broker_to_recheck)
{
    reuse(100000);
    scripts[0].access = scripts[1].access = NOCTULE_NEXT;
    scripts[1].reply = scripts[0].reply;
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    struct client *client = a_client("c", "u");
    struct client *other = a_client("d", "u");
    access_now(client, PUBLISH, "t");
    access_now(other, PUBLISH, "t");
    const struct noctule_host *host = scripts[0].host;
    ck_assert_int_eq(host->invalidate(scripts[0].instance, client_info(client).connection_id), NOCTULE_OK);
    settle();
    ck_assert_uint_eq(upcall_log.rechecks, 1);
    access_now(client, PUBLISH, "t");
    access_now(other, PUBLISH, "t");
    ck_assert_uint_eq(scripts[0].accesses, 3);
    ck_assert_uint_eq(scripts[1].accesses, 2); // the other instance's stay
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(host->invalidate(scripts[0].instance, 0), NOCTULE_OK);
    settle();
    ck_assert_uint_ge(upcall_log.rechecks, 3);
    ck_assert_uint_le(upcall_log.rechecks, 5); // ten at once are one sweep, and one more
    access_now(client, PUBLISH, "t");
    access_now(other, PUBLISH, "t");
    ck_assert_uint_eq(scripts[0].accesses, 5);
    ck_assert_int_eq(host->invalidate(scripts[0].instance, 9), NOCTULE_E_GONE);
    drop(client);
    drop(other);
}
END_TEST

START_TEST(answers_from_before_an_invalidation_are_not_kept)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later before = {0};
    struct later after = {0};
    access_later(client, PUBLISH, "t", &before);
    scripts[0].host->invalidate(scripts[0].instance, 0);
    settle();
    access_later(client, PUBLISH, "t", &after); // not the same question any more
    ck_assert_uint_eq(scripts[0].accesses, 2);
    struct noctule_reply reply = {.size = sizeof reply, .reuse_ms = 100000};
    complete(0, NOCTULE_ALLOW, &reply);
    settle();
    ck_assert_uint_eq(before.count, 1);
    ck_assert_uint_eq(after.count, 0);
    complete(1, NOCTULE_DENY, NULL);
    settle();
    ck_assert_int_eq(after.outcome.verdict, NOCTULE_DENY);
    scripts[0].access = NOCTULE_DENY;
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    drop(client);
}
END_TEST

START_TEST(a_new_login_forgets_verdicts)
{
    reuse(100000);
    scripts[0].access = NOCTULE_DENY;
    scripts[0].login = NOCTULE_ALLOW;
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    access_now(client, PUBLISH, "t");
    login_now(client, "u", "x");
    access_now(client, PUBLISH, "t");
    ck_assert_uint_eq(scripts[0].accesses, 2);
    drop(client);
}
END_TEST

// ---- Reload --------------------------------------------------------------------------------------------

START_TEST(pending_requests_hold_their_generation)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    ck_assert(fixture_reload("plugins: [{name: p1}]\n"));
    scripts[1].access = NOCTULE_DENY;
    settle();
    plugin_host_retire(fixture.host);
    ck_assert_uint_eq(scripts[0].retires, 0);
    ck_assert_int_eq(access_now(client, PUBLISH, "t").verdict, NOCTULE_DENY);
    complete(0, NOCTULE_ALLOW, NULL);
    settle();
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW); // by the rules it was asked under
    ck_assert(plugin_host_retire(fixture.host));
    ck_assert_uint_eq(scripts[0].retires, 1);
    drop(client);
}
END_TEST

START_TEST(given_up_requests_hold_their_generation_until_answered)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, PUBLISH, "t", &later);
    drop(client);
    ck_assert(fixture_reload("plugins: []\n"));
    plugin_host_retire(fixture.host);
    ck_assert_uint_eq(scripts[0].retires, 0);
    complete(0, NOCTULE_ALLOW, NULL);
    ck_assert(plugin_host_retire(fixture.host));
    ck_assert_uint_eq(scripts[0].retires, 1);
}
END_TEST

START_TEST(a_subscription_decided_by_old_rules_covers_nothing)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, SUBSCRIBE, "t/#", &later);
    ck_assert(fixture_reload(one_plugin));
    struct noctule_reply reply = {.size = sizeof reply, .flags = NOCTULE_REPLY_COVERS_DELIVERY};
    complete(0, NOCTULE_ALLOW, &reply);
    settle();
    ck_assert_int_eq(later.outcome.verdict, NOCTULE_ALLOW);
    ck_assert(!later.outcome.covers_delivery);
    settle();
    ck_assert_uint_eq(upcall_log.rechecks, 1); // it is asked about again under the new ones
    drop(client);
}
END_TEST

START_TEST(a_subscription_decided_before_an_invalidation_is_asked_about_again)
{
    fixture_start(one_plugin);
    struct client *client = a_client("c", "u");
    struct later later = {0};
    access_later(client, SUBSCRIBE, "a/#", &later);
    access_later(client, SUBSCRIBE, "b/#", &later);
    access_later(client, PUBLISH, "c", &later);
    scripts[0].host->invalidate(scripts[0].instance, 0);
    settle();
    ck_assert_uint_eq(upcall_log.rechecks, 1);
    struct noctule_reply reply = {.size = sizeof reply, .flags = NOCTULE_REPLY_COVERS_DELIVERY};
    for (unsigned i = 0; i < 3; i++)
        complete(i, NOCTULE_ALLOW, &reply);
    settle();
    ck_assert_uint_eq(later.count, 3);
    ck_assert(!later.outcome.covers_delivery);
    ck_assert_uint_eq(upcall_log.rechecks, 2);
    drop(client);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pending");
    TCase *tests = tcase_create("pending");
    tcase_add_checked_fixture(tests, setup, teardown);
    const TTest *const all[] = {
        completed_decision_is_told_once_with_its_reply,
        completed_inside_the_hook,
        verdict_of_the_hook_counts_when_it_deferred_as_well,
        verdict_of_the_hook_counts_when_it_completed_as_well,
        pending_without_deferring_is_an_error,
        nonsense_handles_are_refused,
        reply_that_makes_no_sense_is_an_error,
        deadline_is_the_entrys,
        deadline_asks_the_next_when_told_so,
        answer_after_the_client_has_gone,
        answer_on_its_way_when_the_client_goes,
        answer_on_its_way_when_the_deadline_passes,
        cancelled_decision_is_not_told,
        never_answered_until_the_end,
        answer_in_the_mailbox_when_the_worker_ends,
        cap_counts_what_plugins_have_not_answered,
        cap_follows_on_error,
        identical_requests_are_asked_once,
        one_of_those_who_wait_may_leave,
        being_told_may_end_everything,
        a_timeout_is_for_all_who_wait,
        verdicts_are_reused_for_their_time,
        later_verdicts_and_abstentions_are_reused_as_well,
        cache_is_bounded,
        invalidate_forgets_and_asks_the_broker_to_recheck,
        answers_from_before_an_invalidation_are_not_kept,
        a_new_login_forgets_verdicts,
        pending_requests_hold_their_generation,
        given_up_requests_hold_their_generation_until_answered,
        a_subscription_decided_by_old_rules_covers_nothing,
        a_subscription_decided_before_an_invalidation_is_asked_about_again,
        NULL,
    };
    for (const TTest *const *test = all; *test; test++)
        tcase_add_test(tests, *test);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
