#include <pthread.h>

#include "core/topic/message.h"
#include "test_topic_support.h"

START_TEST(owned)
{
    char topic[] = "room/1";
    char payload[] = "pay\0load";
    char properties[] = "\x01\x01";
    struct message from = {
        .qos = 2,
        .retain = true,
        .from_system = true,
        .origin = 3,
        .publisher = 77,
        .expires_ms = 123,
        .topic = str_make(topic, 6),
        .payload = str_make(payload, 8),
        .properties = str_make(properties, 2),
    };
    uint64_t before = message_bytes_alive();
    struct message *message = message_new(&from);
    memset(topic, 'x', sizeof topic);
    memset(payload, 'x', sizeof payload);
    memset(properties, 'x', sizeof properties);
    ck_assert_uint_eq(message->qos, 2);
    ck_assert(message->retain && message->from_system && message->origin == 3);
    ck_assert(message->publisher == 77 && message->expires_ms == 123 && !message->kept);
    ck_assert(str_equal(message->topic, STR("room/1")));
    ck_assert(str_equal(message->payload, STR("pay\0load")));
    ck_assert(str_equal(message->properties, STR("\x01\x01")));
    // The encoded topic: its length stands directly before it.
    ck_assert_mem_eq(message->topic.data - 2, "\0\6room/1", 8);
    ck_assert_uint_eq(message_weight(message), sizeof *message + 6 + 8 + 2);
    ck_assert_uint_eq(message_bytes_alive() - before, message_weight(message));
    ck_assert_ptr_eq(message_ref(message), message);
    ck_assert_ptr_eq(message_keep(message), message);
    message_unref(message);
    message_unref(message);
    ck_assert_uint_ne(message_bytes_alive(), before);
    message_unref(message);
    ck_assert_uint_eq(message_bytes_alive(), before);
    message_unref(NULL);
}
END_TEST

START_TEST(empty_and_long)
{
    char *bytes = calloc(1, 65535);
    struct message *message = message_of(str_make(bytes, 65535), (struct str){0}, 0);
    ck_assert_uint_eq(message->topic.length, 65535);
    ck_assert_mem_eq(message->topic.data - 2, "\xFF\xFF", 2);
    ck_assert_uint_eq(message->payload.length, 0);
    ck_assert_uint_eq(message->properties.length, 0);
    message_unref(message);
    free(bytes);
}
END_TEST

START_TEST(keeping)
{
    uint64_t before = message_bytes_alive();
    struct message borrowed = {.topic = STR("a/b"), .payload = STR("x")};
    message_release(&borrowed);
    struct message *first = message_keep(&borrowed);
    struct message *second = message_keep(&borrowed);
    ck_assert_ptr_ne(first, &borrowed);
    ck_assert_ptr_eq(first, second);
    ck_assert_ptr_eq(borrowed.kept, first);
    ck_assert_ptr_ne(first->topic.data, borrowed.topic.data);
    ck_assert_uint_eq(atomic_load(&first->references), 3);
    message_release(&borrowed);
    message_unref(first);
    ck_assert(str_equal(second->topic, STR("a/b")));
    message_unref(second);
    ck_assert_uint_eq(message_bytes_alive(), before);
}
END_TEST

START_TEST(laid_down)
{
    uint64_t before = message_bytes_alive();
    char topic[] = "room/1";
    struct message from = {.qos = 1,
                           .retain = true,
                           .publisher = 77,
                           .expires_ms = 123,
                           .topic = str_make(topic, 6),
                           .payload = STR("payload"),
                           .properties = str_make("\x01\x01", 2)};
    struct message *kept = message_keep(&from); // the copy does not go along
    size_t size = message_laid_size(&from);
    void *room = malloc(size);
    struct message *laid = message_lay_down(&from, room);
    memset(topic, 'x', sizeof topic);
    ck_assert(message_is_borrowed(laid) && !laid->kept);
    ck_assert(laid->qos == 1 && laid->retain && laid->publisher == 77 && laid->expires_ms == 123);
    ck_assert(str_equal(laid->topic, STR("room/1")) && str_equal(laid->payload, STR("payload")));
    ck_assert(str_equal(laid->properties, STR("\x01\x01")));
    ck_assert(laid->payload.data + laid->payload.length == (char *)room + size);
    struct message *after = message_keep(laid);
    ck_assert_ptr_ne(after, kept);
    message_release(laid);
    free(room);
    ck_assert(str_equal(after->payload, STR("payload")));
    message_unref(after);
    message_release(&from);
    message_unref(kept);
    ck_assert_uint_eq(message_bytes_alive(), before);
}
END_TEST

enum { THREADS = 70, ROUNDS = 200 };

static void *pass_around(void *shared)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        message_unref(message_ref(shared));
        message_unref(message_of(STR("t"), STR("own"), 0));
    }
    message_unref(shared);
    return NULL;
}

// More threads than private counters; each also drops a reference that another thread took.
START_TEST(threads)
{
    uint64_t before = message_bytes_alive();
    struct message *shared = message_of(STR("t"), STR("shared by all"), 0);
    pthread_t ids[THREADS];
    for (unsigned i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, pass_around, message_ref(shared)), 0);
    message_unref(shared);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    ck_assert_uint_eq(message_bytes_alive(), before);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {owned, empty_and_long, keeping, laid_down, threads};
    return topic_tests_run("topic message", tests, sizeof tests / sizeof *tests);
}
