// What a retained message costs. Prints figures; asserts bounds that only a wrong structure would miss.
#include "core/topic/retained.h"
#include "test_topic_heap.h"
#include "test_topic_support.h"

enum { MESSAGES = SANITIZED ? 50000 : 1000000, DEVICES = 1000 };

static struct text topic_of(unsigned i)
{
    struct text text = {.length = 0};
    char level[32];
    text_level(&text, true, "devices");
    snprintf(level, sizeof level, "device%u", i % DEVICES);
    text_level(&text, false, level);
    snprintf(level, sizeof level, "value%u", i / DEVICES);
    text_level(&text, false, level);
    return text;
}

static void store_all(struct retained *retained, struct str payload)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct text topic = topic_of(i);
        struct message *message = message_of(text_str(&topic), payload, 0);
        ck_assert(retained_store(retained, message, 0, 0));
        message_unref(message);
    }
}

static double match_ns(struct retained *retained, const char *filter, size_t wanted)
{
    struct retained_list list = {0};
    retained_match(retained, str_of(filter), 1, &list);
    retained_list_clear(&list);
    uint64_t start = clock_monotonic_ns();
    retained_match(retained, str_of(filter), 1, &list);
    double ns = each_ns(start, wanted);
    ck_assert_uint_eq(list.count, wanted);
    retained_list_clear(&list);
    return ns;
}

START_TEST(a_million)
{
    char payload[64] = {1};
    struct retained *retained = retained_new();
    size_t empty = heap_bytes();
    size_t blocks = heap_blocks;
    uint64_t start = clock_monotonic_ns();
    store_all(retained, str_make(payload, sizeof payload));
    double store_ns = each_ns(start, MESSAGES);
    double bytes = (double)(heap_bytes() - empty) / MESSAGES;
    double all_ns = match_ns(retained, "#", MESSAGES);
    double device_ns = match_ns(retained, "devices/device7/+", MESSAGES / DEVICES);
    double value_ns = match_ns(retained, "devices/+/value7", DEVICES);
    double exact_ns = match_ns(retained, "devices/device500/value7", 1);
    printf("%u retained messages of 64 bytes: %.0f bytes each with the message, %.0f ns to store\n",
           (unsigned)MESSAGES, bytes, store_ns);
    printf("per message: # %.0f ns, devices/device7/+ %.0f ns, devices/+/value7 %.0f ns, exact %.0f ns\n",
           all_ns, device_ns, value_ns, exact_ns);
    // A filter costs what it matches: looking at everything would take thousands of times as long.
    ck_assert_double_lt(exact_ns, all_ns * MESSAGES / 20);
    ck_assert_double_lt(device_ns * MESSAGES / DEVICES, all_ns * MESSAGES / 2);
    ck_assert_double_lt(value_ns * DEVICES, all_ns * MESSAGES / 2);
    start = clock_monotonic_ns();
    store_all(retained, (struct str){0});
    printf("%.0f ns to remove\n", each_ns(start, MESSAGES));
    ck_assert_uint_eq(retained_count(retained, NULL), 0);
    ck_assert_uint_eq(heap_blocks, blocks);
    if (!SANITIZED) {
        ck_assert_double_gt(bytes, 100);
        ck_assert_double_lt(bytes, 400);
    }
    retained_free(retained);
}
END_TEST

int main(void)
{
    const TTest *tests[] = {a_million};
    return topic_tests_run("retained cost", tests, sizeof tests / sizeof *tests);
}
