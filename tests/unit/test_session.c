// Sessions, their subscriptions in the real index, and what waits in them.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/memory.h"
#include "core/session/sessions.h"

// As ck_assert, which is too slow to be called millions of times.
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            ck_abort_msg("failed: %s", #what);                                                               \
    } while (0)

static struct sessions sessions;

static void set_up(void)
{
    sessions = (struct sessions){.worker = 7, .index = subscriptions_new(1)};
}

static void tear_down(void)
{
    for (size_t i = 0; i < sessions.slot_count; i++)
        if (sessions.slots[i])
            session_free(&sessions, sessions.slots[i]);
    ck_assert_uint_eq(subscriptions_count(sessions.index, NULL), 0);
    subscriptions_free(sessions.index);
    sessions_clear(&sessions);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}

static struct session *make(const char *name)
{
    return session_new(&sessions, str_of(name));
}

/* ---- the table ---- */

START_TEST(found_by_name_and_id)
{
    char name[24];
    uint64_t ids[2000];
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "client-%u", i);
        struct session *session = make(name);
        name[0] = 'X'; // the id was copied
        ids[i] = session->id;
        CHECK(session_home(session->id) == 7);
    }
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "client-%u", i);
        struct session *session = sessions_find(&sessions, str_of(name));
        CHECK(session && session->id == ids[i] && sessions_get(&sessions, ids[i]) == session);
        CHECK(str_equal(session_client_id(session), str_of(name)));
    }
    ck_assert_ptr_null(sessions_find(&sessions, STR("client-2000")));
    ck_assert_ptr_null(sessions_get(&sessions, 0));
    ck_assert_ptr_null(sessions_get(&sessions, UINT64_MAX));
    ck_assert_ptr_null(sessions_get(&sessions, ids[0] + 1));
}
END_TEST

START_TEST(long_and_strange_names)
{
    char *longest = memory_alloc(65535);
    memset(longest, 'n', 65535);
    struct session *first = session_new(&sessions, str_make(longest, 65535));
    struct session *second = session_new(&sessions, str_make(longest, 65534));
    struct session *third = session_new(&sessions, str_make("a\0b", 3));
    struct session *fourth = session_new(&sessions, str_make("a\0c", 3));
    ck_assert_ptr_eq(sessions_find(&sessions, str_make(longest, 65535)), first);
    ck_assert_ptr_eq(sessions_find(&sessions, str_make(longest, 65534)), second);
    ck_assert_ptr_eq(sessions_find(&sessions, str_make("a\0b", 3)), third);
    ck_assert_ptr_eq(sessions_find(&sessions, str_make("a\0c", 3)), fourth);
    ck_assert_uint_eq(session_client_id(first).length, 65535);
    free(longest);
}
END_TEST

static int by_value(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

// Sessions come and go: no id is given out twice, none that has ended finds anything.
START_TEST(ids_are_never_reused)
{
    enum { MADE = 50000, ALIVE = 40 };
    static uint64_t ids[MADE];
    struct session *alive[ALIVE] = {0};
    srandom(5);
    for (unsigned i = 0; i < MADE; i++) {
        struct session **place = &alive[random() % ALIVE];
        if (*place) {
            uint64_t ended = (*place)->id;
            session_free(&sessions, *place);
            CHECK(sessions_get(&sessions, ended) == NULL);
        }
        char name[24];
        snprintf(name, sizeof name, "c%u", i);
        *place = make(name);
        ids[i] = (*place)->id;
        CHECK(sessions_get(&sessions, ids[random() % (i + 1)]) == NULL || sessions.slot_count <= ALIVE);
    }
    ck_assert_uint_le(sessions.slot_count, ALIVE);
    qsort(ids, MADE, sizeof *ids, by_value);
    for (unsigned i = 1; i < MADE; i++)
        CHECK(ids[i] != ids[i - 1]);
}
END_TEST

// Not even when a slot has been used four thousand million times: it retires.
START_TEST(slot_runs_out)
{
    struct session *session = make("a");
    uint64_t first = session->id;
    session_free(&sessions, session);
    sessions.generations[0] = UINT32_MAX;
    session = make("b");
    uint64_t last = session->id;
    ck_assert_uint_eq((uint32_t)last, UINT32_MAX);
    session_free(&sessions, session);
    session = make("c");
    ck_assert_uint_ne(session->id >> 32, first >> 32);
    ck_assert_ptr_null(sessions_get(&sessions, first));
    ck_assert_ptr_null(sessions_get(&sessions, last));
    ck_assert_ptr_null(sessions_get(&sessions, last & ~0xFFFFFFFFULL));
}
END_TEST

/* ---- subscriptions ---- */

static void check_list(const struct session *session)
{
    uint32_t shared = 0;
    for (uint32_t i = 0; i < session->subscription_count; i++) {
        CHECK(subscription_place(session->subscriptions[i]) == i);
        shared += subscription_is_shared(session->subscriptions[i]);
    }
    CHECK(session->shared_count == shared);
    CHECK(session->subscription_count <= session->subscription_capacity);
}

START_TEST(subscribing)
{
    enum { FILTERS = 60 };
    struct session *session = make("s");
    struct session *other = make("o");
    bool wanted[FILTERS] = {false};
    bool existed;
    srandom((unsigned)_i);
    for (int step = 0; step < 3000; step++) {
        int i = (int)random() % FILTERS;
        char filter[32];
        snprintf(filter, sizeof filter, i % 3 == 0 ? "$share/g/a/%d" : i % 3 == 1 ? "a/+/%d" : "a/%d", i);
        if (random() % 5 == 0)
            session_subscribe(other, sessions.index, str_of(filter), 1, 0, &existed);
        if (random() % 200 < (step / 500 % 2 ? 60 : 140)) {
            struct subscription *subscription =
                session_subscribe(session, sessions.index, str_of(filter), 1, (uint32_t)step + 1, &existed);
            CHECK(existed == wanted[i]);
            CHECK(subscription_identifier(subscription) == (uint32_t)step + 1);
            wanted[i] = true;
        } else {
            CHECK(session_unsubscribe(session, sessions.index, str_of(filter)) == wanted[i]);
            wanted[i] = false;
        }
        check_list(session);
        uint32_t count = 0;
        for (int j = 0; j < FILTERS; j++)
            count += wanted[j];
        CHECK(session->subscription_count == count);
    }
    ck_assert(!session_unsubscribe(session, sessions.index, STR("no/such")));
    ck_assert(!session_unsubscribe(session, sessions.index, STR("a/#/b")));
}
END_TEST

// A session with half a million filters is rid of them in the time that the index takes.
START_TEST(unsubscribing_is_not_quadratic)
{
    enum { MANY = 500000 };
    struct session *session = make("s");
    bool existed;
    char filter[32];
    struct timespec from;
    struct timespec to;
    for (unsigned i = 0; i < MANY; i++) {
        int length = snprintf(filter, sizeof filter, "f/%u", i);
        session_subscribe(session, sessions.index, str_make(filter, (size_t)length), 0, 0, &existed);
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (unsigned i = 0; i < 1000; i++) // nothing is shared, so nobody has to look
        session_set_online(session, i % 2);
    for (unsigned i = 0; i < MANY; i++) {
        int length = snprintf(filter, sizeof filter, "f/%u", i);
        CHECK(session_unsubscribe(session, sessions.index, str_make(filter, (size_t)length)));
    }
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    ck_assert_int_le(to.tv_sec - from.tv_sec, 10);
    ck_assert_uint_eq(session->subscription_count, 0);
    ck_assert_ptr_null(session->subscriptions);
}
END_TEST

// Shared groups prefer members that are connected.
START_TEST(online)
{
    struct session *here = make("here");
    struct session *away = make("away");
    bool existed;
    int connection;
    here->connection = &connection;
    session_subscribe(here, sessions.index, STR("plain"), 1, 0, &existed);
    session_subscribe(here, sessions.index, STR("$share/g/t"), 1, 0, &existed);
    session_subscribe(away, sessions.index, STR("$share/g/t"), 1, 0, &existed);
    struct subscription_matches matches = {0};
    for (int i = 0; i < 10; i++) {
        subscriptions_match(sessions.index, 0, STR("t"), &matches);
        ck_assert_uint_eq(matches.count, 1);
        ck_assert_uint_eq(matches.targets[0].session, here->id);
    }
    session_set_online(here, false);
    session_set_online(away, true);
    for (int i = 0; i < 10; i++) {
        subscriptions_match(sessions.index, 0, STR("t"), &matches);
        ck_assert_uint_eq(matches.targets[0].session, away->id);
    }
    // To subscribe again does not bring it back; to connect does.
    session_subscribe(here, sessions.index, STR("$share/g/t"), 2, 0, &existed);
    ck_assert(existed);
    session_set_online(here, true);
    unsigned mine = 0;
    for (int i = 0; i < 10; i++) {
        subscriptions_match(sessions.index, 0, STR("t"), &matches);
        mine += matches.targets[0].session == here->id;
    }
    ck_assert_uint_eq(mine, 5);
    subscription_matches_free(&matches);
}
END_TEST

/* ---- what waits ---- */

static struct retained_list list_of(unsigned from, unsigned count, uint8_t qos)
{
    struct retained_list list = {0};
    for (unsigned i = 0; i < count; i++) {
        char topic[16];
        int length = snprintf(topic, sizeof topic, "r/%u", from + i);
        struct message message = {.qos = qos, .retain = true, .topic = str_make(topic, (size_t)length)};
        memory_grow(&list.messages, &list.capacity, list.count, sizeof(struct message *));
        list.messages[list.count++] = message_new(&message);
    }
    return list;
}

START_TEST(replaying)
{
    struct session *session = make("s");
    struct delivery delivery;
    ck_assert(!session_peek_replay(session, &delivery));
    ck_assert(!session_has_waiting(session));
    unsigned next = 0;
    for (unsigned i = 0; i < 20; i++) {
        struct retained_list list = list_of(next, i % 5, (uint8_t)(i % 3));
        next += i % 5;
        session_add_replay(session, &list, 1, i, i % 2);
        ck_assert_ptr_null(list.messages);
    }
    ck_assert(session_has_waiting(session));
    unsigned seen = 0;
    for (unsigned i = 0; i < 20; i++)
        for (unsigned j = 0; j < i % 5; j++) {
            char topic[16];
            snprintf(topic, sizeof topic, "r/%u", seen++);
            struct delivery peeked;
            ck_assert(session_peek_replay(session, &peeked));
            ck_assert(session_next_replay(session, &delivery));
            ck_assert_ptr_eq(peeked.message, delivery.message);
            ck_assert(str_equal(delivery.message->topic, str_of(topic)));
            ck_assert_uint_eq(delivery.qos, i % 3 < 1 ? 0 : 1);
            ck_assert_uint_eq(delivery.identifier, i);
            ck_assert_uint_eq(delivery.identifiers, i > 0);
            ck_assert_int_eq(delivery.covered, i % 2);
            ck_assert(delivery.retain);
            delivery_clear(&delivery);
        }
    ck_assert_uint_eq(seen, next);
    ck_assert(!session_has_waiting(session));
    // A session that ends in the middle gives back what is left; see tear_down.
    struct retained_list list = list_of(0, 10, 1);
    session_add_replay(session, &list, 1, 0, false);
    list = list_of(10, 10, 1);
    session_add_replay(session, &list, 1, 0, false);
    for (int i = 0; i < 3; i++) {
        session_next_replay(session, &delivery);
        delivery_clear(&delivery);
    }
}
END_TEST

START_TEST(uncovering)
{
    struct session *session = make("s");
    bool existed;
    struct subscription *subscription =
        session_subscribe(session, sessions.index, STR("a/#"), 1, 0, &existed);
    subscription_set_covered(subscription, true);
    for (unsigned i = 0; i < 3; i++) {
        struct retained_list list = list_of(i, 1, 1);
        struct delivery delivery = {
            .message = message_ref(list.messages[0]), .covered = true, .checked = true, .qos = 1};
        ck_assert(queue_push(&session->queue, &delivery));
        session_add_replay(session, &list, 1, 0, true);
    }
    session_uncover(session);
    ck_assert(!subscription_is_covered(subscription));
    struct delivery delivery;
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(!queue_at(&session->queue, i)->covered && !queue_at(&session->queue, i)->checked);
        session_next_replay(session, &delivery);
        ck_assert(!delivery.covered && !delivery.checked);
        delivery_clear(&delivery);
    }
}
END_TEST

// Everything that a session may hold is given back with it, and its timer does not outlive it.
START_TEST(ending)
{
    struct wheel wheel;
    wheel_init(&wheel, 0);
    struct session *session = make("s");
    struct retained_list list = list_of(0, 3, 2);
    struct delivery delivery = {.message = message_ref(list.messages[0]), .qos = 2};
    delivery_add_identifier(&delivery, 1);
    delivery_add_identifier(&delivery, 2);
    ck_assert_uint_ne(window_add(&session->window, &delivery), 0);
    delivery = (struct delivery){.message = message_ref(list.messages[1]), .qos = 1};
    ck_assert(queue_push(&session->queue, &delivery));
    ck_assert(packet_ids_add(&session->received, 5));
    session->will = memory_zalloc(sizeof *session->will);
    session->will->message = message_ref(list.messages[2]);
    session_add_replay(session, &list, 2, 0, false);
    session_set_away(session, 100);
    wheel_start(&wheel, &session->absence->timer, 100, NULL);
    session_drop_will(session);
    session_drop_will(session);
    ck_assert_ptr_null(session->will);
    session_free(&sessions, session);
    ck_assert_ptr_null(sessions_find(&sessions, STR("s")));
    wheel_advance(&wheel, 1000, NULL);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session");
    TCase *tests = tcase_create("session");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, found_by_name_and_id);
    tcase_add_test(tests, long_and_strange_names);
    tcase_add_test(tests, ids_are_never_reused);
    tcase_add_test(tests, slot_runs_out);
    tcase_add_loop_test(tests, subscribing, 0, 3);
    tcase_add_test(tests, unsubscribing_is_not_quadratic);
    tcase_add_test(tests, online);
    tcase_add_test(tests, replaying);
    tcase_add_test(tests, uncovering);
    tcase_add_test(tests, ending);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
