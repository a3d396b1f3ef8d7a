#include <pthread.h>
#include <stdatomic.h>

#include "core/topic/retained.h"
#include "core/topic/topic.h"
#include "test_topic_support.h"

static struct retained *retained;

static bool store_until(const char *topic, const char *payload, uint64_t expires_ms, uint64_t limit)
{
    struct message *message = message_of(str_of(topic), str_of(payload), expires_ms);
    bool stored = retained_store(retained, message, limit, 0);
    message_unref(message);
    return stored;
}

static void store(const char *topic, const char *payload)
{
    ck_assert(store_until(topic, payload, 0, 0));
}

static size_t match_at(const char *filter, uint64_t now_ms, struct retained_list *list)
{
    retained_list_clear(list);
    retained_match(retained, str_of(filter), now_ms, list);
    return list->count;
}

static size_t count(const char *filter)
{
    struct retained_list list = {0};
    size_t result = match_at(filter, 1, &list);
    retained_list_clear(&list);
    return result;
}

START_TEST(storing)
{
    uint64_t before = message_bytes_alive();
    retained = retained_new();
    struct retained_list list = {0};
    store("a/b", "one");
    store("a/b", "second");
    store("a", "x");
    ck_assert_uint_eq(match_at("a/b", 1, &list), 1);
    ck_assert(str_equal(list.messages[0]->topic, STR("a/b")));
    ck_assert(str_equal(list.messages[0]->payload, STR("second")));
    uint64_t bytes;
    ck_assert_uint_eq(retained_count(retained, &bytes), 2);
    ck_assert_uint_eq(bytes, 2 * sizeof(struct message) + 3 + 6 + 1 + 1);
    // An empty payload removes. What a list holds stays alive.
    store("a/b", "");
    store("never/stored", "");
    ck_assert_uint_eq(retained_count(retained, &bytes), 1);
    ck_assert(str_equal(list.messages[0]->payload, STR("second")));
    ck_assert_uint_eq(count("a/b"), 0);
    ck_assert_uint_eq(count("a/#"), 1);
    // Lists are appended to.
    retained_match(retained, STR("a"), 1, &list);
    ck_assert_uint_eq(list.count, 2);
    retained_list_clear(&list);
    retained_free(retained);
    retained_free(NULL);
    ck_assert_uint_eq(message_bytes_alive(), before);
}
END_TEST

START_TEST(wildcards)
{
    static const char *const topics[] = {"a",    "a/b",    "a/b/c", "/",    "/a",
                                         "$SYS", "$SYS/x", "a/$x",  "a//c", "b"};
    static const struct {
        const char *filter;
        size_t count;
    } cases[] = {
        {"#", 8},       {"+", 2},   {"+/+", 4},   {"a/#", 5},   {"a/+", 2},    {"a/+/c", 2}, {"$SYS/#", 2},
        {"$SYS/+", 1},  {"+/x", 0}, {"/#", 2},    {"/+", 2},    {"+/#", 8},    {"a", 1},     {"a/b/c/#", 1},
        {"a/b/c/+", 0}, {"c/#", 0}, {"+/+/+", 2}, {"+/+/#", 6}, {"a/$x/#", 1}, {"a/+/#", 4}, {"$SYS", 1},
    };
    retained = retained_new();
    for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
        store(topics[i], "x");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(count(cases[i].filter) == cases[i].count, "%s: %zu", cases[i].filter,
                      count(cases[i].filter));
    retained_free(retained);
}
END_TEST

START_TEST(limit)
{
    retained = retained_new();
    ck_assert(store_until("a/b", "x", 0, 2));
    ck_assert(store_until("c", "x", 0, 2));
    ck_assert(!store_until("d", "x", 0, 2));
    ck_assert(!store_until("a", "x", 0, 2));
    ck_assert(store_until("c", "y", 0, 2));
    ck_assert(store_until("d", "", 0, 2));
    ck_assert(store_until("c", "", 0, 2));
    ck_assert(store_until("a", "x", 0, 2));
    ck_assert_uint_eq(retained_count(retained, NULL), 2);
    retained_free(retained);
}
END_TEST

START_TEST(limit_of_bytes)
{
    retained = retained_new();
    char payload[400];
    memset(payload, 'x', sizeof payload);
    struct message *large = message_of(STR("a"), str_make(payload, sizeof payload), 0);
    struct message *small = message_of(STR("a"), str_make(payload, 10), 0);
    struct message *other = message_of(STR("b"), str_make(payload, 10), 0);
    uint64_t most = message_weight(small) + message_weight(other);
    ck_assert(!retained_store(retained, large, 0, message_weight(large) - 1));
    ck_assert_uint_eq(count("#"), 0);
    ck_assert(retained_store(retained, small, 0, most));
    ck_assert(retained_store(retained, other, 0, most));
    ck_assert(!retained_store(retained, large, 0, most));
    ck_assert(retained_store(retained, small, 0, most - 1)); // no larger than what it replaces
    uint64_t bytes;
    ck_assert_uint_eq(retained_count(retained, &bytes), 2);
    ck_assert_uint_eq(bytes, most);
    message_unref(large);
    message_unref(small);
    message_unref(other);
    retained_free(retained);
}
END_TEST

START_TEST(expiry)
{
    retained = retained_new();
    struct retained_list list = {0};
    store_until("a/1", "x", 100, 0);
    store_until("a/2", "x", 200, 0);
    store("a/3", "x");
    ck_assert_uint_eq(match_at("a/+", 99, &list), 3);
    ck_assert_uint_eq(match_at("a/+", 100, &list), 2);
    ck_assert_uint_eq(retained_count(retained, NULL), 2);
    ck_assert_uint_eq(match_at("a/2", 200, &list), 0);
    ck_assert_uint_eq(retained_count(retained, NULL), 1);
    // Back again, for ever this time.
    store("a/1", "y");
    ck_assert_uint_eq(match_at("#", UINT64_MAX, &list), 2);
    retained_list_clear(&list);
    retained_free(retained);
}
END_TEST

START_TEST(sweeping)
{
    enum { TOPICS = 5000, BUDGET = 100 };
    retained = retained_new();
    char topic[64];
    for (unsigned i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof topic, "%u/deep/%u", i % 50, i);
        ck_assert(store_until(topic, "x", i % 3 ? 1000 : 0, 0));
    }
    retained_expire(retained, 999, (size_t)1 << 30);
    ck_assert_uint_eq(retained_count(retained, NULL), TOPICS);
    // Not much at a time, yet all in the end.
    retained_expire(retained, 1000, BUDGET);
    uint64_t left = retained_count(retained, NULL);
    ck_assert_uint_ge(left, TOPICS - BUDGET);
    ck_assert_uint_lt(left, TOPICS);
    for (unsigned i = 0; i < 1000; i++)
        retained_expire(retained, 1000, BUDGET);
    ck_assert_uint_eq(retained_count(retained, NULL), (TOPICS + 2) / 3);
    ck_assert_uint_eq(count("#"), (TOPICS + 2) / 3);
    retained_free(retained);
}
END_TEST

// As many levels as a topic can have: no stack is used per level, not even to free them.
START_TEST(deepest)
{
    retained = retained_new();
    struct retained_list list = {0};
    char *text = malloc(65535);
    for (size_t length = 65533; length <= 65535; length += 2) {
        for (size_t i = 0; i < length; i++)
            text[i] = i % 2 ? '/' : 'x';
        struct message *message = message_of(str_make(text, length), STR("x"), 0);
        ck_assert(retained_store(retained, message, 0, 0));
        message_unref(message);
    }
    static const size_t lengths[] = {65535, 65533, 1};
    for (size_t i = 0; i < 3; i++) {
        retained_match(retained, str_make(text, lengths[i]), 1, &list);
        ck_assert_uint_eq(list.count, lengths[i] == 1 ? 0 : 1);
        retained_list_clear(&list);
        // The shorter topic is the longer one's parent, which "#" includes.
        text[lengths[i] - 1] = '#';
        retained_match(retained, str_make(text, lengths[i]), 1, &list);
        ck_assert_uint_eq(list.count, 2);
        retained_list_clear(&list);
        text[lengths[i] - 1] = 'x';
    }
    for (size_t i = 0; i < 65535; i += 2)
        text[i] = '+';
    retained_match(retained, str_make(text, 65535), 1, &list);
    ck_assert_uint_eq(list.count, 1);
    retained_list_clear(&list);
    free(text);
    retained_free(retained);
}
END_TEST

enum { RECORDS = 400, STEPS = 30000 };

struct record {
    struct text topic;
    uint64_t expires_ms;
    uint32_t value;
    bool present;
};

static void check_filter(struct record *records, struct str filter, uint64_t now_ms)
{
    struct retained_list list = {0};
    retained_match(retained, filter, now_ms, &list);
    size_t wanted = 0;
    for (unsigned i = 0; i < RECORDS; i++) {
        struct record *record = &records[i];
        if (!record->present || !plain_match(filter, text_str(&record->topic)))
            continue;
        if (record->expires_ms != 0 && record->expires_ms <= now_ms) {
            record->present = false;
            continue;
        }
        wanted++;
        bool met = false;
        for (size_t k = 0; k < list.count && !met; k++)
            met = str_equal(list.messages[k]->topic, text_str(&record->topic)) &&
                  memcmp(list.messages[k]->payload.data, &record->value, sizeof record->value) == 0;
        if (!met)
            ck_abort_msg("%.*s: %s missed", STR_ARG(filter), record->topic.bytes);
    }
    if (list.count != wanted)
        ck_abort_msg("%.*s: %zu, not %zu", STR_ARG(filter), list.count, wanted);
    retained_list_clear(&list);
}

static void change_something(struct chance *chance, struct record *records, uint64_t now_ms)
{
    struct record *record = NULL;
    struct text topic = chance_topic(chance);
    for (unsigned i = 0; i < RECORDS && !record; i++)
        if (records[i].present && str_equal(text_str(&records[i].topic), text_str(&topic)))
            record = &records[i];
    for (unsigned i = 0; i < RECORDS && !record; i++)
        if (!records[i].present)
            record = &records[i];
    if (!record)
        return;
    *record = (struct record){.topic = topic, .value = chance_below(chance, 1000000)};
    record->present = chance_below(chance, 3) > 0;
    if (chance_below(chance, 4) == 0)
        record->expires_ms = now_ms + chance_below(chance, 300);
    struct str payload = str_make(&record->value, record->present ? sizeof record->value : 0);
    struct message *message = message_of(text_str(&topic), payload, record->expires_ms);
    ck_assert(retained_store(retained, message, 0, 0));
    message_unref(message);
}

START_TEST(against_a_list)
{
    struct chance chance = {11};
    struct record *records = calloc(RECORDS, sizeof *records);
    uint64_t before = message_bytes_alive();
    retained = retained_new();
    for (uint64_t step = 1; step < STEPS; step++) {
        change_something(&chance, records, step);
        struct text filter = chance_filter(&chance);
        if (step % 10 == 0)
            check_filter(records, text_str(&filter), step);
        if (step % 1000 == 0)
            retained_expire(retained, step, 200);
    }
    check_filter(records, STR("#"), STEPS);
    check_filter(records, STR("$s/#"), STEPS);
    ck_assert_uint_gt(retained_count(retained, NULL), 20);
    retained_free(retained);
    ck_assert_uint_eq(message_bytes_alive(), before);
    free(records);
}
END_TEST

enum { THREADS = 4, ROUNDS = 3000 };

static atomic_uint wrong;

static void *work(void *argument)
{
    struct chance chance = {(uint64_t)(uintptr_t)argument};
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct text topic = chance_topic(&chance);
        struct message *message = message_of(text_str(&topic), chance_below(&chance, 3) ? STR("x") : STR(""),
                                             chance_below(&chance, 2) ? round + 50 : 0);
        retained_store(retained, message, 500, 0);
        message_unref(message);
        struct text filter = chance_filter(&chance);
        struct retained_list list = {0};
        retained_match(retained, text_str(&filter), round, &list);
        for (size_t i = 0; i < list.count; i++)
            if (!topic_matches(text_str(&filter), list.messages[i]->topic))
                atomic_fetch_add(&wrong, 1);
        retained_list_clear(&list);
        if (round % 10 == 0)
            retained_expire(retained, round, 20);
        retained_count(retained, NULL);
    }
    return NULL;
}

START_TEST(threads)
{
    uint64_t before = message_bytes_alive();
    retained = retained_new();
    pthread_t ids[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&ids[i], NULL, work, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    ck_assert_uint_eq(atomic_load(&wrong), 0);
    retained_free(retained);
    ck_assert_uint_eq(message_bytes_alive(), before);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {storing,  wildcards, limit,          limit_of_bytes, expiry,
                            sweeping, deepest,   against_a_list, threads};
    return topic_tests_run("retained", tests, sizeof tests / sizeof *tests);
}
