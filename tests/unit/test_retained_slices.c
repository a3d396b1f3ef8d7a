// Walks over the retained messages that rest between slices, while others store and remove.
#include <pthread.h>
#include <stdatomic.h>

#include "core/topic/retained.h"
#include "core/topic/topic.h"
#include "test_topic_support.h"

static struct retained *retained;

static void store(struct str topic, const char *payload, uint64_t expires_ms)
{
    struct message *message = message_of(topic, str_of(payload), expires_ms);
    ck_assert(retained_store(retained, message, 0, 0));
    message_unref(message);
}

static struct text numbered(const char *first, unsigned number)
{
    char last[16];
    struct text text = {.length = 0};
    snprintf(last, sizeof last, "%u", number);
    text_level(&text, true, first);
    text_level(&text, false, last);
    return text;
}

static void store_many(const char *first, unsigned count, const char *payload)
{
    for (unsigned i = 0; i < count; i++) {
        struct text topic = numbered(first, i);
        store(text_str(&topic), payload, 0);
    }
}

static void go_on_to_the_end(struct retained_walk *walk, uint64_t now_ms, size_t budget,
                             struct retained_list *list)
{
    while (walk && retained_go_on(retained, walk, now_ms, budget, list))
        ;
}

static unsigned times_in(const struct retained_list *list, struct str topic)
{
    unsigned times = 0;
    for (size_t i = 0; i < list->count; i++)
        times += str_equal(list->messages[i]->topic, topic);
    return times;
}

// Whatever the size of the slices, the messages are those of retained_match, in the same order.
START_TEST(same_as_at_once)
{
    struct chance chance = {5};
    retained = retained_new();
    for (unsigned i = 0; i < 400; i++) {
        struct text topic = chance_topic(&chance);
        store(text_str(&topic), "x", 0);
    }
    for (unsigned i = 0; i < 2000; i++) {
        struct text filter = chance_filter(&chance);
        struct retained_list whole = {0};
        struct retained_list sliced = {0};
        size_t budget = 1 + chance_below(&chance, 5);
        retained_match(retained, text_str(&filter), 1, &whole);
        go_on_to_the_end(retained_begin(retained, text_str(&filter), 1, budget, &sliced), 1, budget, &sliced);
        ck_assert_uint_eq(sliced.count, whole.count);
        for (size_t k = 0; k < whole.count; k++)
            ck_assert_ptr_eq(sliced.messages[k], whole.messages[k]);
        retained_list_clear(&whole);
        retained_list_clear(&sliced);
    }
    retained_free(retained);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}
END_TEST

// A slice brings no more than it may look at: that is how long the lock is held.
START_TEST(slices_are_bounded)
{
    retained = retained_new();
    store_many("a", 1000, "x");
    struct retained_list list = {0};
    struct retained_walk *walk = retained_begin(retained, STR("#"), 1, 10, &list);
    unsigned slices = 1;
    size_t before = 0;
    do {
        ck_assert_uint_le(list.count - before, 10);
        before = list.count;
        slices++;
    } while (retained_go_on(retained, walk, 1, 10, &list));
    ck_assert_uint_eq(list.count, 1000);
    ck_assert_uint_ge(slices, 100);
    retained_list_clear(&list);
    // What needs one slice only leaves nothing behind.
    ck_assert_ptr_null(retained_begin(retained, STR("a/7"), 1, 10, &list));
    ck_assert_uint_eq(list.count, 1);
    retained_list_clear(&list);
    retained_free(retained);
}
END_TEST

// What stays is found once, whatever becomes of the others; what is stored meanwhile, or replaced, is left
// out.
START_TEST(changes_between_slices)
{
    retained = retained_new();
    store_many("a", 300, "x");
    struct retained_list list = {0};
    struct retained_walk *walk = retained_begin(retained, STR("a/+"), 1, 50, &list);
    ck_assert_ptr_nonnull(walk);
    size_t found = list.count;
    ck_assert(found > 0 && found < 100);
    for (unsigned i = 0; i < 300; i++) {
        struct text topic = numbered("a", i);
        if (i % 3 == 0) // gone, the place where the walk rests among them
            store(text_str(&topic), "", 0);
        else if (i % 3 == 1)
            store(text_str(&topic), "new", 0);
    }
    store_many("a/b", 300, "new");
    store_many("c", 300, "new");
    for (unsigned i = 300; i < 600; i++) {
        struct text topic = numbered("a", i);
        store(text_str(&topic), "new", 0);
    }
    go_on_to_the_end(walk, 1, 7, &list);
    for (size_t i = 0; i < list.count; i++)
        ck_assert(str_equal(list.messages[i]->payload, STR("x")));
    for (unsigned i = 0; i < 300; i++) {
        struct text topic = numbered("a", i);
        unsigned times = times_in(&list, text_str(&topic));
        if (i % 3 == 2)
            ck_assert_uint_eq(times, 1);
        else
            ck_assert_uint_le(times, 1);
    }
    retained_list_clear(&list);
    ck_assert_uint_eq(retained_count(retained, NULL), 200 + 300 + 300 + 300);
    retained_match(retained, STR("a/+"), 1, &list);
    ck_assert_uint_eq(list.count, 500);
    retained_list_clear(&list);
    retained_free(retained);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}
END_TEST

// Everything is removed while a walk rests: nothing is freed under it, and all of it afterwards.
START_TEST(all_is_removed_meanwhile)
{
    retained = retained_new();
    store_many("a/b/c", 500, "x");
    struct retained_list list = {0};
    struct retained_walk *walk = retained_begin(retained, STR("a/#"), 1, 100, &list);
    struct retained_walk *other = retained_begin(retained, STR("a/b/c/+"), 1, 20, &list);
    ck_assert(walk && other);
    store_many("a/b/c", 500, "");
    ck_assert_uint_eq(retained_count(retained, NULL), 0);
    size_t before = list.count;
    go_on_to_the_end(walk, 1, 3, &list);
    ck_assert_uint_eq(list.count, before);
    // Topics that come back while their levels wait to be freed.
    store_many("a/b/c", 10, "again");
    store_many("a", 1, "again");
    retained_give_up(retained, other);
    for (unsigned i = 0; i < 20; i++) // tidied step by step
        store(STR("z"), i % 2 ? "" : "x", 0);
    retained_expire(retained, 1, 10);
    retained_list_clear(&list);
    retained_match(retained, STR("#"), 1, &list);
    ck_assert_uint_eq(list.count, 11);
    retained_list_clear(&list);
    store_many("a/b/c", 10, "");
    store_many("a", 1, "");
    retained_match(retained, STR("#"), 1, &list);
    ck_assert_uint_eq(list.count, 0);
    retained_list_clear(&list);
    retained_free(retained);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}
END_TEST

START_TEST(expired_on_the_way)
{
    retained = retained_new();
    for (unsigned i = 0; i < 200; i++) {
        struct text topic = numbered("a", i);
        store(text_str(&topic), "x", i % 2 ? 100 : 0);
    }
    struct retained_list list = {0};
    struct retained_walk *walk = retained_begin(retained, STR("#"), 1, 20, &list);
    size_t early = list.count;
    go_on_to_the_end(walk, 100, 20, &list);
    ck_assert_uint_le(list.count, 100 + early);
    ck_assert_uint_ge(list.count, 100);
    retained_expire(retained, 100, SIZE_MAX);
    ck_assert_uint_eq(retained_count(retained, NULL), 100);
    retained_list_clear(&list);
    retained_free(retained);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}
END_TEST

// Random changes between random slices of several walks: what is there from the beginning of a walk to its
// end is found once.
enum { TOPICS = 120, WALKS = 4, STEPS = 4000 };

struct observed {
    struct retained_walk *walk;
    struct retained_list list;
    bool steady[TOPICS]; ///< untouched since the walk began, and there
};

static void check_observed(struct observed *observed)
{
    for (unsigned i = 0; i < TOPICS; i++) {
        struct text topic = numbered(i % 2 ? "a/b" : "a", i);
        unsigned times = times_in(&observed->list, text_str(&topic));
        if (observed->steady[i])
            ck_assert_uint_eq(times, 1);
        else
            ck_assert_uint_le(times, 1);
    }
    retained_list_clear(&observed->list);
}

START_TEST(random_changes)
{
    static struct observed walks[WALKS];
    struct chance chance = {77};
    bool there[TOPICS] = {false};
    retained = retained_new();
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = chance_below(&chance, TOPICS);
        struct text topic = numbered(i % 2 ? "a/b" : "a", i);
        there[i] = chance_below(&chance, 3) > 0;
        store(text_str(&topic), there[i] ? "x" : "", 0);
        for (unsigned k = 0; k < WALKS; k++)
            walks[k].steady[i] = false;
        struct observed *one = &walks[chance_below(&chance, WALKS)];
        size_t budget = 1 + chance_below(&chance, 12);
        if (!one->walk) {
            memcpy(one->steady, there, sizeof there);
            one->walk = retained_begin(retained, chance_below(&chance, 2) ? STR("#") : STR("a/#"), 1, budget,
                                       &one->list);
        } else if (chance_below(&chance, 50) == 0) {
            retained_give_up(retained, one->walk);
            one->walk = NULL;
            retained_list_clear(&one->list);
            continue;
        } else if (!retained_go_on(retained, one->walk, 1, budget, &one->list)) {
            one->walk = NULL;
        }
        if (!one->walk)
            check_observed(one);
    }
    for (unsigned k = 0; k < WALKS; k++) {
        if (walks[k].walk)
            retained_give_up(retained, walks[k].walk);
        retained_list_clear(&walks[k].list);
    }
    retained_free(retained);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}
END_TEST

enum { THREADS = 4, ROUNDS = 1500 };

static atomic_uint wrong;

static void *work(void *argument)
{
    struct chance chance = {(uint64_t)(uintptr_t)argument};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct text filter = chance_filter(&chance);
        struct retained_list list = {0};
        struct retained_walk *walk = retained_begin(retained, text_str(&filter), round, 3, &list);
        bool more = walk != NULL;
        while (more) {
            struct text topic = chance_topic(&chance);
            struct message *message =
                message_of(text_str(&topic), chance_below(&chance, 3) ? STR("x") : STR(""),
                           chance_below(&chance, 2) ? round + 50 : 0);
            retained_store(retained, message, 500, 0);
            message_unref(message);
            if (chance_below(&chance, 20) == 0) {
                retained_give_up(retained, walk);
                break;
            }
            more = retained_go_on(retained, walk, round, 3, &list);
        }
        struct text topic = chance_topic(&chance);
        store(text_str(&topic), "x", 0);
        for (size_t i = 0; i < list.count; i++)
            if (!topic_matches(text_str(&filter), list.messages[i]->topic))
                atomic_fetch_add(&wrong, 1);
        retained_list_clear(&list);
        if (round % 10 == 0)
            retained_expire(retained, round, 20);
    }
    return NULL;
}

START_TEST(threads)
{
    retained = retained_new();
    pthread_t ids[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, work, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    ck_assert_uint_eq(atomic_load(&wrong), 0);
    retained_free(retained);
    ck_assert_uint_eq(message_bytes_alive(), 0);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {same_as_at_once,
                            slices_are_bounded,
                            changes_between_slices,
                            all_is_removed_meanwhile,
                            expired_on_the_way,
                            random_changes,
                            threads};
    return topic_tests_run("retained slices", tests, sizeof tests / sizeof *tests);
}
