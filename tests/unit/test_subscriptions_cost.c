// What a match and a subscription cost. Prints figures; asserts bounds that only a wrong structure would
// miss.
#include "core/topic/subscriptions.h"
#include "test_topic_heap.h"
#include "test_topic_support.h"

enum { FILTERS = 50000, SESSIONS = 100, WIDE = 100000, MATCHES = SANITIZED ? 20000 : 1000000 };

static struct subscription_matches found;

static uint64_t session_of(unsigned i)
{
    return ((uint64_t)1 << 56) + i % SESSIONS + 1;
}

// Three levels; of ten, one has "+" in its middle and one ends in "#".
static struct text filter_of(unsigned i, bool topic)
{
    struct text text = {.length = 0};
    char level[32];
    text_level(&text, true, "bench");
    snprintf(level, sizeof level, i % 10 == 0 ? "plus%u" : "client%u", i % 10 == 0 ? i : i % SESSIONS);
    text_level(&text, false, i % 10 == 1 ? "multi" : level);
    snprintf(level, sizeof level, "topic%u", i);
    text_level(&text, false, i % 10 == 0 && !topic ? "+" : level);
    if (i % 10 == 1)
        text_level(&text, false, topic ? "x" : "#");
    return text;
}

// Nanoseconds per match of topics in turn; all of them must have `wanted` targets.
static double match_ns(struct subscriptions *subs, const struct text *topics, size_t count, size_t wanted)
{
    size_t targets = 0;
    size_t rounds = (size_t)MATCHES / (wanted > 100 ? 100 : 1);
    for (size_t i = 0; i < count; i++)
        subscriptions_match(subs, 0, text_str(&topics[i]), &found);
    uint64_t start = clock_monotonic_ns();
    for (size_t i = 0; i < rounds; i++) {
        subscriptions_match(subs, 0, text_str(&topics[i % count]), &found);
        targets += found.count;
    }
    double ns = each_ns(start, rounds);
    ck_assert_uint_eq(targets, rounds * wanted);
    return ns;
}

// A topic's match must not depend on how many filters it does not match. Two workers, so that locks are in
// the figures.
START_TEST(one_of_many)
{
    struct text *topics = calloc(FILTERS, sizeof *topics);
    for (unsigned i = 0; i < FILTERS; i++)
        topics[i] = filter_of(i, true);
    double few_ns = 0;
    for (unsigned many = 10; many <= FILTERS; many *= 5000) {
        struct subscriptions *subs = subscriptions_new(2);
        for (unsigned i = 0; i < many; i++) {
            struct text filter = filter_of(i, false);
            subscriptions_add(subs, session_of(i), text_str(&filter), 1, 0, NULL);
        }
        double warm_ns = match_ns(subs, topics, 10, 1);
        printf("%u filters: %.0f ns per match of ten topics, %.0f of all, %.0f of one without wildcards\n",
               many, warm_ns, match_ns(subs, topics, many, 1), match_ns(subs, topics + 2, 1, 1));
        if (many == 10)
            few_ns = warm_ns;
        ck_assert_double_lt(warm_ns, few_ns * 10 + 500);
        subscriptions_free(subs);
    }
    struct subscriptions *subs = subscriptions_new(1);
    subscriptions_add(subs, 1, STR("bench/exact/topic"), 1, 0, NULL);
    struct text topic = {.bytes = "bench/exact/topic", .length = 17};
    printf("one exact subscriber, nothing else: %.0f ns without locks\n", match_ns(subs, &topic, 1, 1));
    subscriptions_free(subs);
    free(topics);
}
END_TEST

START_TEST(fan_out)
{
    struct subscriptions *subs = subscriptions_new(2);
    struct text topic = {.bytes = "wide/topic", .length = 10};
    struct subscription **handles = calloc(WIDE, sizeof *handles);
    uint64_t start = clock_monotonic_ns();
    for (unsigned i = 0; i < WIDE; i++) {
        handles[i] = subscriptions_add(subs, i + 1, text_str(&topic), 1, 0, NULL);
        if (i == 199) {
            double ns = match_ns(subs, &topic, 1, 200);
            printf("fan-out to 200: %.0f ns per match, %.2f per target\n", ns, ns / 200);
            start = clock_monotonic_ns();
        }
    }
    double add_ns = each_ns(start, WIDE - 200);
    start = clock_monotonic_ns();
    for (unsigned i = 0; i < WIDE; i++)
        if (subscriptions_find(subs, i + 1, text_str(&topic)) != handles[i])
            ck_abort_msg("session %u", i + 1);
    double find_ns = each_ns(start, WIDE);
    start = clock_monotonic_ns();
    for (unsigned i = 0; i < WIDE; i++)
        subscriptions_remove(subs, handles[(uint64_t)i * 7919 % WIDE]);
    double remove_ns = each_ns(start, WIDE);
    printf("%u subscribers of one filter: %.0f ns to add, %.0f to find, %.0f to remove\n", (unsigned)WIDE,
           add_ns, find_ns, remove_ns);
    // A scan of the others would take a hundred times as long.
    ck_assert_double_lt(add_ns + find_ns + remove_ns, 60000);
    free(handles);
    subscriptions_free(subs);
}
END_TEST

START_TEST(memory)
{
    struct subscription **handles = calloc(FILTERS, sizeof *handles);
    struct subscriptions *subs = subscriptions_new(2);
    subscriptions_match(subs, 0, STR("a"), &found);
    size_t empty = heap_bytes();
    size_t blocks = heap_blocks;
    uint64_t start = clock_monotonic_ns();
    for (unsigned i = 0; i < FILTERS; i++) {
        struct text filter = filter_of(i, false);
        handles[i] = subscriptions_add(subs, session_of(i), text_str(&filter), 1, 0, NULL);
    }
    double add_ns = each_ns(start, FILTERS);
    double bytes = (double)(heap_bytes() - empty) / FILTERS;
    for (unsigned i = 0; i < FILTERS; i++)
        subscriptions_remove(subs, handles[i]);
    size_t left = heap_blocks - blocks;
    printf("%u filters: %.0f bytes per subscription, %zu blocks left when all are gone, %.0f ns to add\n",
           (unsigned)FILTERS, bytes, left, add_ns);
    if (!SANITIZED) {
        ck_assert_double_gt(bytes, 40);
        ck_assert_double_lt(bytes, 350);
    }
    ck_assert_uint_eq(left, 0);
    free(handles);
    subscriptions_free(subs);
}
END_TEST

START_TEST(steady_state)
{
    struct subscriptions *subs = subscriptions_new(2);
    for (uint64_t i = 1; i < 300; i++) {
        subscriptions_add(subs, i, STR("a/+/c"), 1, 0, NULL);
        subscriptions_add(subs, i, STR("#"), 1, 0, NULL);
        subscriptions_add(subs, i, STR("$share/g/a/b/c"), 1, 0, NULL);
    }
    subscriptions_match(subs, 0, STR("a/b/c"), &found);
    size_t before = heap_allocations;
    for (unsigned i = 0; i < 1000; i++)
        subscriptions_match(subs, 0, STR("a/b/c"), &found);
    ck_assert_uint_eq(heap_allocations, before);
    ck_assert(SANITIZED || before > 900);
    ck_assert_uint_eq(found.count, 299 + 299 + 1);
    subscriptions_free(subs);
}
END_TEST

// What is looked at for a topic is the same, however many filters there are that it does not match.
START_TEST(nodes_looked_at)
{
    enum { TOPICS = 20, MOST = SANITIZED ? 20000 : 200000 };
    size_t looked_at[TOPICS] = {0};
    for (unsigned many = 2000; many <= MOST; many *= 10) {
        struct subscriptions *subs = subscriptions_new(1);
        for (unsigned i = 0; i < many; i++) {
            struct text filter = filter_of(i, false);
            subscriptions_add(subs, session_of(i), text_str(&filter), 1, 0, NULL);
        }
        size_t sum = 0;
        for (unsigned i = 0; i < TOPICS; i++) {
            struct text topic = filter_of(i, true);
            subscriptions_match(subs, 0, text_str(&topic), &found);
            ck_assert_uint_eq(found.count, 1);
            ck_assert_uint_gt(found.effort, 0);
            if (many > 2000)
                ck_assert_uint_eq(found.effort, looked_at[i]);
            looked_at[i] = found.effort;
            sum += found.effort;
        }
        printf("%u filters: %.1f nodes looked at for each topic\n", many, (double)sum / TOPICS);
        subscriptions_free(subs);
    }
}
END_TEST

int main(void)
{
    const TTest *tests[] = {memory, one_of_many, nodes_looked_at, fan_out, steady_state};
    int status = topic_tests_run("subscriptions cost", tests, sizeof tests / sizeof *tests);
    subscription_matches_free(&found);
    return status;
}
