// What the tests of core/topic share: chance, made-up topics, and a matcher that is plain enough to be
// believed. One thread per generator. Must not know how the indexes work.
#ifndef NOCTULE_TEST_TOPIC_SUPPORT_H
#define NOCTULE_TEST_TOPIC_SUPPORT_H

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/topic/message.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

struct chance {
    uint64_t state;
};

static inline uint32_t chance_below(struct chance *chance, uint32_t bound)
{
    chance->state = chance->state * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)((chance->state >> 33) % bound);
}

struct text {
    char bytes[256];
    size_t length;
};

static inline struct str text_str(const struct text *text)
{
    return str_make(text->bytes, text->length);
}

/** Appends "LEVEL", with a '/' before it unless it is the first. */
static inline void text_level(struct text *text, bool first, const char *level)
{
    int length = snprintf(text->bytes + text->length, sizeof text->bytes - text->length, "%s%s",
                          first ? "" : "/", level);
    text->length += (size_t)length;
}

/** Few words, so that topics and filters meet often; empty levels and '$' among them. Never the empty topic.
 */
static inline struct text chance_topic(struct chance *chance)
{
    static const char *const words[] = {"a", "b", "c", "", "long-level-name", "$s", "a$"};
    struct text text = {.length = 0};
    uint32_t levels = 1 + chance_below(chance, 5);
    for (uint32_t i = 0; i < levels; i++)
        text_level(&text, i == 0, words[chance_below(chance, 7)]);
    if (text.length == 0)
        text_level(&text, true, "a");
    return text;
}

static inline struct text chance_filter(struct chance *chance)
{
    static const char *const words[] = {"a", "b", "c", "", "long-level-name", "$s", "+", "+", "+"};
    struct text text = {.length = 0};
    uint32_t levels = 1 + chance_below(chance, 5);
    for (uint32_t i = 0; i < levels; i++) {
        if (i + 1 == levels && chance_below(chance, 3) == 0)
            text_level(&text, i == 0, "#");
        else
            text_level(&text, i == 0, words[chance_below(chance, 9)]);
    }
    if (text.length == 0)
        text_level(&text, true, "+");
    return text;
}

/** Level by level, straight from the wording of the standard; recursive, so for short ones only. */
static inline bool plain_levels_match(const char *filter, const char *filter_end, const char *topic,
                                      const char *topic_end)
{
    const char *f = memchr(filter, '/', (size_t)(filter_end - filter));
    const char *t = memchr(topic, '/', (size_t)(topic_end - topic));
    const char *f_level_end = f ? f : filter_end;
    const char *t_level_end = t ? t : topic_end;
    size_t f_length = (size_t)(f_level_end - filter);
    if (f_length == 1 && *filter == '#')
        return true;
    bool same = f_length == (size_t)(t_level_end - topic) && memcmp(filter, topic, f_length) == 0;
    if (!same && !(f_length == 1 && *filter == '+'))
        return false;
    if (f && t)
        return plain_levels_match(f + 1, filter_end, t + 1, topic_end);
    if (!f && !t)
        return true;
    return f && filter_end - f == 2 && f[1] == '#';
}

static inline bool plain_match(struct str filter, struct str topic)
{
    if (topic.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#'))
        return false;
    return plain_levels_match(filter.data, filter.data + filter.length, topic.data,
                              topic.data + topic.length);
}

/** An owned message with one reference. */
static inline struct message *message_of(struct str topic, struct str payload, uint64_t expires_ms)
{
    struct message from = {.topic = topic, .payload = payload, .retain = true, .expires_ms = expires_ms};
    return message_new(&from);
}

/** Nanoseconds since `start` per one of `count`. */
static inline double each_ns(uint64_t start, size_t count)
{
    return (double)(clock_monotonic_ns() - start) / (double)count;
}

/** Runs one suite of one case with a long time limit; the exit code of the program. */
static inline int topic_tests_run(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *together = tcase_create(name);
    tcase_set_timeout(together, 240);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(together, tests[i]);
    suite_add_tcase(suite, together);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
