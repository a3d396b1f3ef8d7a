// The window of unacknowledged messages and the set of open incoming ones, against tables of all packet
// identifiers.
#include <check.h>
#include <stdlib.h>
#include <time.h>

#include "core/session/packet_ids.h"
#include "core/session/window.h"

enum { IDENTIFIERS = 65535 };

// As ck_assert, which is too slow to be called millions of times.
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            ck_abort_msg("failed: %s", #what);                                                               \
    } while (0)

static struct message *shared;

static void make_shared(void)
{
    struct message message = {.qos = 2, .topic = STR("t")};
    shared = message_new(&message);
}

static void free_shared(void)
{
    // One reference is left: ours. Everything the windows held was given back.
    ck_assert_uint_eq(atomic_load(&shared->references), 1);
    message_unref(shared);
}

/* ---- the reference: what is in flight, by identifier, and the order in which it was sent ---- */

struct sent {
    uint16_t id;
    uint32_t number;
};

static uint32_t number_of[IDENTIFIERS + 1]; ///< 1 + number of the message in flight under this identifier
static struct sent order[IDENTIFIERS];      ///< of what is in flight
static size_t in_flight;
static uint32_t next_number;

static void forget_all(void)
{
    memset(number_of, 0, sizeof number_of);
    in_flight = 0;
    next_number = 0;
}

static uint16_t add(struct window *window, uint8_t qos)
{
    struct delivery delivery = {.message = message_ref(shared), .qos = qos, .group = next_number};
    uint16_t id = window_add(window, &delivery);
    if (id == 0) {
        message_unref(delivery.message);
        return 0;
    }
    CHECK(number_of[id] == 0); // never one that is in use
    number_of[id] = ++next_number;
    order[in_flight++] = (struct sent){id, next_number};
    return id;
}

static void done(struct window *window, size_t place)
{
    uint16_t id = order[place].id;
    struct inflight *entry = window_find(window, id);
    CHECK(entry != NULL && entry->delivery.group + 1 == order[place].number);
    window_done(window, entry);
    CHECK(window_find(window, id) == NULL);
    number_of[id] = 0;
    memmove(&order[place], &order[place + 1], (in_flight - place - 1) * sizeof *order);
    in_flight--;
}

static void compare(struct window *window)
{
    CHECK(window->active == in_flight);
    CHECK(window->span >= window->active);
    uint32_t cursor = 0;
    uint16_t id;
    size_t i = 0;
    for (struct inflight *entry; (entry = window_next(window, &cursor, &id)); i++) {
        CHECK(i < in_flight && id == order[i].id);
        CHECK(entry->delivery.group + 1 == order[i].number);
        CHECK(window_find(window, id) == entry);
    }
    CHECK(i == in_flight);
}

START_TEST(random_acknowledgements)
{
    srandom((unsigned)_i);
    forget_all();
    struct window window = {0};
    ck_assert_ptr_null(window_find(&window, 0));
    ck_assert_ptr_null(window_find(&window, 1));
    size_t most = 1U << (_i * 2); // 1, 4, 16, ... 1024 in flight
    uint32_t rounds = 0;
    uint16_t last = 0;
    for (int step = 0; rounds < 3; step++) {
        if (in_flight < most && random() % 5 < 3) {
            uint16_t id = add(&window, (uint8_t)(1 + random() % 2));
            CHECK(id == last % IDENTIFIERS + 1); // one after the other, and around
            rounds += id < last;
            last = id;
        } else if (in_flight > 0) {
            // Mostly in order, as clients do; sometimes any.
            done(&window, random() % 4 ? 0 : (size_t)random() % in_flight);
        }
        if (step % (most < 64 ? 500 : 5000) == 0)
            compare(&window);
    }
    // Identifiers that are not in flight find nothing.
    for (uint32_t id = 0; id <= IDENTIFIERS; id++)
        CHECK((window_find(&window, (uint16_t)id) != NULL) == (number_of[id] != 0));
    window_clear(&window);
    ck_assert_uint_eq(window.span + window.active, 0);
}
END_TEST

// One message stays unacknowledged while all others are: the identifiers run out, and come back with it.
START_TEST(span_ends)
{
    forget_all();
    struct window window = {0};
    for (int i = 0; i < 1000; i++) // so that it does not begin at 1
        add(&window, 1);
    while (in_flight > 1)
        done(&window, 0);
    uint16_t stuck = order[0].id;
    for (int i = 0; i < IDENTIFIERS - 1; i++) {
        CHECK(window_has_room(&window));
        CHECK(add(&window, 1) != 0);
        done(&window, 1);
    }
    ck_assert_uint_eq(window.span, WINDOW_SPAN_MAX);
    ck_assert_uint_eq(window.active, 1);
    ck_assert(!window_has_room(&window));
    ck_assert_uint_eq(add(&window, 1), 0);
    compare(&window);
    done(&window, 0);
    ck_assert_uint_eq(window.span, 0);
    ck_assert(window_has_room(&window));
    ck_assert_ptr_null(window.ring);
    ck_assert_uint_eq(add(&window, 1), stuck); // 65535 identifiers later
    window_clear(&window);
}
END_TEST

START_TEST(full)
{
    forget_all();
    struct window window = {0};
    for (int i = 0; i < IDENTIFIERS; i++)
        CHECK(add(&window, 2) == i + 1);
    ck_assert_uint_eq(add(&window, 2), 0);
    compare(&window);
    // Acknowledged from the newest to the oldest: nothing is free until the oldest is.
    while (in_flight > 1)
        done(&window, in_flight - 1);
    ck_assert_uint_eq(add(&window, 2), 0);
    done(&window, 0);
    ck_assert_uint_eq(add(&window, 2), 1);
    window_clear(&window);
}
END_TEST

START_TEST(states)
{
    struct window window = {0};
    struct delivery delivery = {.message = message_ref(shared), .qos = 1};
    uint16_t first = window_add(&window, &delivery);
    delivery = (struct delivery){.message = message_ref(shared), .qos = 2};
    uint16_t second = window_add(&window, &delivery);
    ck_assert_int_eq(window_find(&window, first)->state, INFLIGHT_PUBACK);
    struct inflight *entry = window_find(&window, second);
    ck_assert_int_eq(entry->state, INFLIGHT_PUBREC);
    ck_assert(!entry->resend);
    delivery_clear(&entry->delivery); // PUBREC came: only the identifier is kept
    entry->state = INFLIGHT_PUBCOMP;
    ck_assert_ptr_eq(window_find(&window, second), entry);
    window_done(&window, entry);
    ck_assert_ptr_null(window_find(&window, second));
    ck_assert_uint_eq(window.active, 1);
    window_done(&window, window_find(&window, first));
    ck_assert_uint_eq(window.span, 0);
    window_clear(&window);
}
END_TEST

// A window that has been large gives its memory back, a small one keeps it for the next message.
START_TEST(memory)
{
    forget_all();
    struct window window = {0};
    for (int size = 1; size <= 64; size *= 2) {
        for (int i = 0; i < size; i++)
            add(&window, 1);
        while (in_flight > 0)
            done(&window, 0);
        ck_assert_int_eq(window.ring != NULL, size <= 16);
    }
    window_clear(&window);
}
END_TEST

/* ---- incoming ---- */

static bool is_open[IDENTIFIERS + 1];
static uint16_t open_ids[IDENTIFIERS];
static size_t open_place[IDENTIFIERS + 1]; ///< in open_ids
static size_t open_count;

static void note_open(uint16_t id)
{
    is_open[id] = true;
    open_place[id] = open_count;
    open_ids[open_count++] = id;
}

static void note_released(uint16_t id)
{
    uint16_t last = open_ids[--open_count];
    open_ids[open_place[id]] = last;
    open_place[last] = open_place[id];
    is_open[id] = false;
}

START_TEST(packet_ids)
{
    memset(is_open, 0, sizeof is_open);
    open_count = 0;
    srandom((unsigned)_i);
    struct packet_ids set = {0};
    size_t most = (size_t)1 << (_i * 2 % 18); // from one to more than there are
    for (int step = 0; step < 400000; step++) {
        uint16_t id = (uint16_t)(1 + random() % IDENTIFIERS);
        bool fill = (step / 50000) % 2 ? random() % 3 == 0 : random() % 3 != 0;
        CHECK(packet_ids_has(&set, id) == is_open[id]);
        if (fill && open_count < most && !is_open[id]) {
            CHECK(packet_ids_add(&set, id));
            note_open(id);
        } else if (!fill && open_count > 0) {
            CHECK(is_open[id] || !packet_ids_remove(&set, id));
            id = open_ids[(size_t)random() % open_count];
            CHECK(packet_ids_has(&set, id) && packet_ids_remove(&set, id) && !packet_ids_has(&set, id));
            note_released(id);
        }
        CHECK(set.count == open_count);
    }
    for (uint32_t id = 0; id <= IDENTIFIERS; id++)
        CHECK(packet_ids_has(&set, (uint16_t)id) == is_open[id]);
    packet_ids_clear(&set);
    ck_assert(!packet_ids_has(&set, 1) && !packet_ids_remove(&set, 1));
}
END_TEST

// A client that leaves all of its 65535 messages open costs nobody anything.
START_TEST(packet_ids_all_open)
{
    struct packet_ids set = {0};
    struct timespec from;
    struct timespec to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    for (uint32_t id = 1; id <= IDENTIFIERS; id++)
        CHECK(!packet_ids_has(&set, (uint16_t)id) && packet_ids_add(&set, (uint16_t)id));
    for (int round = 0; round < 100; round++)
        for (uint32_t id = 1; id <= IDENTIFIERS; id++)
            CHECK(packet_ids_has(&set, (uint16_t)id));
    for (uint32_t id = IDENTIFIERS; id > 0; id--)
        CHECK(packet_ids_remove(&set, (uint16_t)id));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    ck_assert_int_le(to.tv_sec - from.tv_sec, 3);
    ck_assert_ptr_null(set.in.bits);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session window");
    TCase *tests = tcase_create("window");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, make_shared, free_shared);
    tcase_add_loop_test(tests, random_acknowledgements, 0, 6);
    tcase_add_test(tests, span_ends);
    tcase_add_test(tests, full);
    tcase_add_test(tests, states);
    tcase_add_test(tests, memory);
    suite_add_tcase(suite, tests);
    TCase *incoming = tcase_create("packet ids");
    tcase_set_timeout(incoming, 120);
    tcase_add_loop_test(incoming, packet_ids, 0, 9);
    tcase_add_test(incoming, packet_ids_all_open);
    suite_add_tcase(suite, incoming);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
