// Plugins whose answers can be repeated: what is asked again, and what never is.
#include "core/plugin/access_memo.h"
#include "core/plugin/client_state.h"
#include "tests/unit/plugin_support.h"

static void setup(void)
{
    scripts_reset();
    scripts[0].access = NOCTULE_ALLOW;
    script_plugins[0].flags = NOCTULE_FLAG_REPEATABLE;
}

static void teardown(void)
{
    fixture_stop();
}

static int64_t count(enum instance_counter counter)
{
    return cells_sum(&scripts[0].instance->cells, counter);
}

static void ask(struct client *client, uint32_t access, const char *topic, noctule_verdict verdict,
                unsigned asked_until_now)
{
    ck_assert_int_eq(access_now(client, access, topic).verdict, verdict);
    ck_assert_uint_eq(scripts[0].accesses, asked_until_now);
}

START_TEST(asked_once)
{
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    struct client *other = a_client("d", NULL);
    ask(client, PUBLISH, "a/b", NOCTULE_ALLOW, 1);
    ask(client, PUBLISH, "a/b", NOCTULE_ALLOW, 1);
    ask(client, PUBLISH, "a/b", NOCTULE_ALLOW, 1);
    ck_assert_int_eq(count(COUNT_ALLOW), 3);
    ck_assert_int_eq(count(COUNT_REUSED), 2);
    // Neither for another client, nor for another topic, nor for another access.
    ask(other, PUBLISH, "a/b", NOCTULE_ALLOW, 2);
    ask(client, PUBLISH, "a/c", NOCTULE_ALLOW, 3);
    ask(client, PUBLISH, "a/bb", NOCTULE_ALLOW, 4);
    ask(client, DELIVER, "a/b", NOCTULE_ALLOW, 5);
    ask(client, DELIVER, "a/b", NOCTULE_ALLOW, 5);
    // These do not come often, and say more than yes.
    ask(client, SUBSCRIBE, "a/b", NOCTULE_ALLOW, 6);
    ask(client, SUBSCRIBE, "a/b", NOCTULE_ALLOW, 7);
    ask(client, WILL, "a/b", NOCTULE_ALLOW, 8);
    ask(client, WILL, "a/b", NOCTULE_ALLOW, 9);
    drop(other);
    drop(client);
}
END_TEST

START_TEST(other_answers_are_asked_for)
{
    fixture_start("plugins: [{name: p0}, {name: p1}]\n");
    struct client *client = a_client("c", NULL);
    scripts[0].access = NOCTULE_DENY;
    ask(client, PUBLISH, "t", NOCTULE_DENY, 1);
    ask(client, PUBLISH, "t", NOCTULE_DENY, 2);
    // Another one has decided, who said nothing of repeating.
    scripts[0].access = NOCTULE_NEXT;
    scripts[1].access = NOCTULE_ALLOW;
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 3);
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 4);
    ck_assert_uint_eq(scripts[1].accesses, 2);
    drop(client);
}
END_TEST

START_TEST(plugins_that_did_not_say_so)
{
    script_plugins[0].flags = 0;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 1);
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 2);
    drop(client);
}
END_TEST

START_TEST(kept_answers_have_their_time)
{
    script_plugins[0].flags = 0;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    scripts[0].reply = (struct noctule_reply){.size = sizeof(struct noctule_reply), .reuse_ms = 1000};
    ask(client, PUBLISH, "a/b", NOCTULE_ALLOW, 1);
    for (int i = 0; i < 3; i++)
        ask(client, PUBLISH, "a/b", NOCTULE_ALLOW, 1);
    ck_assert(client->extra && client->extra->memo);
    ck_assert_int_eq(count(COUNT_ALLOW), 4);
    ck_assert_int_eq(count(COUNT_REUSED), 3);
    pass_ms(500); // and what the test itself takes
    ask(client, PUBLISH, "a/b", NOCTULE_ALLOW, 1);
    pass_ms(500);
    scripts[0].access = NOCTULE_DENY;
    ask(client, PUBLISH, "a/b", NOCTULE_DENY, 2);
    ask(client, PUBLISH, "a/b", NOCTULE_DENY, 2);
    // What is invalidated is asked about again, however it was kept.
    scripts[0].access = NOCTULE_ALLOW;
    pass_ms(1000);
    for (int i = 0; i < 3; i++)
        ask(client, PUBLISH, "a/b", NOCTULE_ALLOW, 3);
    ck_assert_int_eq(scripts[0].host->invalidate(scripts[0].instance, 0), NOCTULE_OK);
    settle();
    ask(client, PUBLISH, "a/b", NOCTULE_ALLOW, 4);
    drop(client);
}
END_TEST

START_TEST(one_answer_for_every_topic)
{
    script_plugins[0].flags = 0;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    struct client *other = a_client("d", NULL);
    scripts[0].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .flags = NOCTULE_REPLY_ANY_TOPIC, .reuse_ms = 1000};
    ask(client, PUBLISH, "a", NOCTULE_ALLOW, 1);
    ask(client, PUBLISH, "b/c", NOCTULE_ALLOW, 1);
    ask(client, PUBLISH, "", NOCTULE_ALLOW, 1);
    ck_assert_int_eq(count(COUNT_ALLOW), 3);
    ck_assert_int_eq(count(COUNT_REUSED), 2);
    // For each kind of access by itself, and for each client.
    ck_assert(!access_is_free(client, DELIVER));
    ask(client, DELIVER, "a", NOCTULE_ALLOW, 2);
    ask(client, DELIVER, "d", NOCTULE_ALLOW, 2);
    ck_assert(access_is_free(client, DELIVER));
    ck_assert(!access_is_free(other, DELIVER));
    ck_assert_int_eq(count(COUNT_REUSED), 4);
    ck_assert_int_eq(count(COUNT_ALLOW), 6);
    ask(client, SUBSCRIBE, "d", NOCTULE_ALLOW, 3);
    ask(client, SUBSCRIBE, "e", NOCTULE_ALLOW, 4);
    ask(other, PUBLISH, "a", NOCTULE_ALLOW, 5);
    pass_ms(500); // and what the test itself takes
    ask(client, PUBLISH, "f", NOCTULE_ALLOW, 5);
    pass_ms(500);
    ck_assert(!access_is_free(client, DELIVER));
    scripts[0].access = NOCTULE_DENY;
    ask(client, PUBLISH, "f", NOCTULE_DENY, 6);
    ask(client, DELIVER, "f", NOCTULE_DENY, 7);
    drop(other);
    drop(client);
}
END_TEST

START_TEST(one_answer_that_is_taken_back)
{
    script_plugins[0].flags = 0;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    scripts[0].reply = (struct noctule_reply){
        .size = sizeof(struct noctule_reply), .flags = NOCTULE_REPLY_ANY_TOPIC, .reuse_ms = 1000};
    ask(client, PUBLISH, "a", NOCTULE_ALLOW, 1);
    ask(client, PUBLISH, "b", NOCTULE_ALLOW, 1);
    ck_assert(access_is_free(client, PUBLISH));
    ck_assert_int_eq(scripts[0].host->invalidate(scripts[0].instance, 0), NOCTULE_OK);
    settle();
    ck_assert(!access_is_free(client, PUBLISH));
    // Without a time it holds for this once.
    scripts[0].reply.reuse_ms = 0;
    ask(client, PUBLISH, "b", NOCTULE_ALLOW, 2);
    ask(client, PUBLISH, "b", NOCTULE_ALLOW, 3);
    drop(client);
}
END_TEST

// An answer that was kept for its topic, as all are that came later, tells it as well.
START_TEST(one_answer_that_came_later)
{
    script_plugins[0].flags = 0;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    struct noctule_reply reply = {.size = sizeof reply, .flags = NOCTULE_REPLY_ANY_TOPIC, .reuse_ms = 1000};
    scripts[0].access = NOCTULE_PENDING;
    scripts[0].defers = true;
    struct later later = {0};
    access_later(client, PUBLISH, "a", &later);
    ck_assert_int_eq(scripts[0].host->complete(scripts[0].held[0], NOCTULE_ALLOW, &reply), NOCTULE_OK);
    wait_later(&later, 1);
    ask(client, PUBLISH, "a", NOCTULE_ALLOW, 1);
    ask(client, PUBLISH, "b", NOCTULE_ALLOW, 1);
    drop(client);
}
END_TEST

START_TEST(required_ones_are_asked)
{
    scripts[1].access = NOCTULE_ALLOW;
    fixture_start("plugins: [{name: p0}, {name: p1, required: true}]\n");
    struct client *client = a_client("c", NULL);
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 1);
    scripts[1].access = NOCTULE_DENY;
    ask(client, PUBLISH, "t", NOCTULE_DENY, 2);
    drop(client);
}
END_TEST

START_TEST(rules_change)
{
    static const char yaml[] = "plugins: [{name: p0}]\n";
    fixture_start(yaml);
    struct client *client = a_client("c", NULL);
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 1);
    scripts[0].access = NOCTULE_DENY;
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 1);
    ck_assert(fixture_reload(yaml));
    settle();
    ask(client, PUBLISH, "t", NOCTULE_DENY, 2);
    scripts[0].access = NOCTULE_ALLOW;
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 3);
    scripts[0].access = NOCTULE_DENY;
    const struct noctule_host *host = scripts[0].host;
    ck_assert_int_eq(host->invalidate(scripts[0].instance, client_info(client).connection_id), NOCTULE_OK);
    settle();
    ask(client, PUBLISH, "t", NOCTULE_DENY, 4);
    drop(client);
}
END_TEST

static noctule_verdict invalidate_and_allow(const struct noctule_context *context,
                                            const struct noctule_access *access)
{
    (void)access;
    client_forget_verdicts((struct client *)context->client, -1);
    return NOCTULE_ALLOW;
}

START_TEST(rules_change_while_it_answers)
{
    scripts[0].on_access = invalidate_and_allow;
    fixture_start("plugins: [{name: p0}]\n");
    struct client *client = a_client("c", NULL);
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 1);
    ask(client, PUBLISH, "t", NOCTULE_ALLOW, 2);
    drop(client);
}
END_TEST

START_TEST(memo_tells_everything_apart)
{
    struct access_memo *memo = NULL;
    struct noctule_access access = {.size = sizeof access, .access = PUBLISH, .topic = text("a/b"), .qos = 1};
    access_memo_keep(&memo, &access, 7, 100);
    ck_assert(access_memo_has(memo, &access, 7, 99));
    ck_assert(!access_memo_has(memo, &access, 7, 100));
    ck_assert(access_memo_has(memo, &access, 7, 0));
    ck_assert(!access_memo_has(memo, &access, 8, 0));
    struct noctule_access other = access;
    other.payload_size = 99;
    ck_assert(access_memo_has(memo, &other, 7, 0));
    other.qos = 0;
    ck_assert(!access_memo_has(memo, &other, 7, 0));
    other = access;
    other.retain = 1;
    ck_assert(!access_memo_has(memo, &other, 7, 0));
    other = access;
    other.access = DELIVER;
    ck_assert(!access_memo_has(memo, &other, 7, 0));
    other = access;
    other.topic = text("a/c");
    ck_assert(!access_memo_has(memo, &other, 7, 0));
    other.topic = text("");
    ck_assert(!access_memo_has(memo, &other, 7, 0));
    access_memo_keep(&memo, &other, 7, UINT64_MAX);
    ck_assert(!access_memo_has(memo, &other, 7, 0));
    access_memo_free(memo);
}
END_TEST

// Topics of all lengths go through the places, whose memory is used again.
START_TEST(memo_holds_topics_of_any_length)
{
    static char letters[70000];
    memset(letters, 'x', sizeof letters);
    struct access_memo *memo = NULL;
    struct noctule_access access = {.size = sizeof access, .access = PUBLISH};
    for (size_t length = 1; length < sizeof letters; length += length / 3 + 1) {
        for (size_t again = 0; again < 2; again++) {
            access.topic = noctule_string_of(letters, length);
            access_memo_keep(&memo, &access, 1, UINT64_MAX);
            ck_assert(access_memo_has(memo, &access, 1, 0) == (length <= UINT16_MAX));
        }
    }
    access_memo_free(memo);
    access_memo_free(NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugin_repeat");
    TCase *tests = tcase_create("plugin_repeat");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, asked_once);
    tcase_add_test(tests, other_answers_are_asked_for);
    tcase_add_test(tests, plugins_that_did_not_say_so);
    tcase_add_test(tests, kept_answers_have_their_time);
    tcase_add_test(tests, one_answer_for_every_topic);
    tcase_add_test(tests, one_answer_that_is_taken_back);
    tcase_add_test(tests, one_answer_that_came_later);
    tcase_add_test(tests, required_ones_are_asked);
    tcase_add_test(tests, rules_change);
    tcase_add_test(tests, rules_change_while_it_answers);
    suite_add_tcase(suite, tests);
    TCase *memo = tcase_create("access_memo");
    tcase_add_test(memo, memo_tells_everything_apart);
    tcase_add_test(memo, memo_holds_topics_of_any_length);
    suite_add_tcase(suite, memo);
    return run_suite(suite);
}
