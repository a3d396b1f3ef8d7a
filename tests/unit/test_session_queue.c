// Deliveries and the queue of a session, against a plain array; every message is given back.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/session/queue.h"

// As ck_assert, which is too slow to be called millions of times.
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            ck_abort_msg("failed: %s", #what);                                                               \
    } while (0)

static struct message *make_message(unsigned number)
{
    char topic[16];
    char payload[100] = "";
    int length = snprintf(topic, sizeof topic, "t/%u", number);
    struct message message = {.qos = 1,
                              .topic = str_make(topic, (size_t)length),
                              .payload = str_make(payload, number % sizeof payload)};
    return message_new(&message);
}

START_TEST(against_array)
{
    enum { MOST = 5000 };
    static struct delivery reference[MOST];
    srandom((unsigned)_i);
    struct queue queue = {0};
    size_t first = 0;
    size_t last = 0;
    unsigned number = 0;
    for (int step = 0; step < 40000; step++) {
        // Long phases of filling and emptying, so that the ring grows while its head stands anywhere.
        bool fill = (step / 700) % 2 ? random() % 3 == 0 : random() % 3 != 0;
        if (fill && last < MOST) {
            struct delivery delivery = {.message = make_message(number), .qos = 1, .group = number};
            number++;
            CHECK(queue_push(&queue, &delivery));
            reference[last++] = delivery;
        } else if (first < last) {
            CHECK(queue_front(&queue)->message == reference[first].message);
            struct delivery delivery = queue_pop(&queue);
            CHECK(delivery.message == reference[first].message && delivery.group == reference[first].group);
            first++;
            delivery_clear(&delivery);
        }
        CHECK(queue.count == last - first);
        if (first == last) {
            first = last = 0;
            CHECK(queue_front(&queue) == NULL && queue.ring == NULL);
        }
        if (step % 100 == 0) {
            uint64_t bytes = 0;
            for (size_t i = first; i < last; i++) {
                bytes += message_weight(reference[i].message);
                CHECK(queue_at(&queue, (uint32_t)(i - first))->message == reference[i].message);
            }
            CHECK(queue_bytes(&queue) == bytes);
        }
    }
    queue_clear(&queue);
    ck_assert_uint_eq(queue.count, 0);
    ck_assert_ptr_null(queue.ring);
    ck_assert_uint_eq(message_bytes_alive(), 0);
    queue_clear(&queue);
}
END_TEST

START_TEST(identifiers)
{
    struct delivery delivery = {0};
    for (uint32_t i = 0; i < UINT16_MAX; i++)
        CHECK(delivery_add_identifier(&delivery, 1000 + i));
    ck_assert_uint_eq(delivery.identifiers, UINT16_MAX);
    ck_assert(!delivery_add_identifier(&delivery, 7));
    for (uint32_t i = 0; i < UINT16_MAX; i++)
        CHECK(delivery_identifier(&delivery, (uint16_t)i) == 1000 + i);
    delivery_clear(&delivery);
    ck_assert_uint_eq(delivery.identifiers, 0);
    ck_assert_ptr_null(delivery.more);
}
END_TEST

// A borrowed message is copied once, however many deliveries keep it.
START_TEST(keeping)
{
    struct message borrowed = {.topic = STR("a/b"), .payload = STR("x")};
    struct delivery first = {.message = &borrowed};
    struct delivery second = {.message = &borrowed};
    ck_assert(delivery_keep(&first));
    ck_assert(delivery_keep(&second));
    ck_assert_ptr_ne(first.message, &borrowed);
    ck_assert_ptr_eq(first.message, second.message);
    message_release(&borrowed);
    ck_assert(str_equal(first.message->topic, STR("a/b")));
    delivery_clear(&first);
    ck_assert(str_equal(second.message->payload, STR("x")));
    struct delivery third = {.message = second.message};
    ck_assert(delivery_keep(&third));
    delivery_clear(&second);
    delivery_clear(&third);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("session queue");
    TCase *tests = tcase_create("queue");
    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, against_array, 0, 5);
    tcase_add_test(tests, identifiers);
    tcase_add_test(tests, keeping);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
