// Lines of any bytes as filters and as topics: the indexes find what topic_matches says, and covering is
// sound.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/topic/retained.h"
#include "core/topic/subscriptions.h"
#include "core/topic/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MOST = 24 };

struct line {
    struct str text;
    struct topic_filter parsed;
    bool is_filter;
    bool is_topic;
    struct subscription *subscription;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static size_t lines_read(struct line *lines, const char *data, size_t size)
{
    size_t count = 0;
    while (size > 0 && count < LINES_MOST) {
        const char *end = memchr(data, '\n', size);
        size_t length = end ? (size_t)(end - data) : size;
        struct line line = {.text = str_make(data, length)};
        line.is_topic = topic_is_valid(line.text);
        line.is_filter = topic_filter_parse(line.text, &line.parsed);
        lines[count++] = line;
        data += length + (end != NULL);
        size -= length + (end != NULL);
    }
    return count;
}

// A name without wildcards is both; and a filter matches itself when read as a topic.
static void check_line(const struct line *line)
{
    if (line->is_topic && line->is_filter && !line->parsed.shared) {
        require(topic_filter_is_literal(line->text));
        require(topic_matches(line->text, line->text));
    }
    if (line->is_filter) {
        require(topic_filter_covers(line->parsed.filter, line->parsed.filter));
        require(topic_is_valid(line->parsed.filter) == topic_filter_is_literal(line->parsed.filter));
    }
}

// What the narrow filter matches, the wide one matches, with each line as topic, and with a topic made from
// the narrow one.
static void check_covers(const struct line *wide, const struct line *narrow, const struct line *lines,
                         size_t count)
{
    if (!topic_filter_covers(wide->parsed.filter, narrow->parsed.filter))
        return;
    for (size_t i = 0; i < count; i++)
        if (lines[i].is_topic && topic_matches(narrow->parsed.filter, lines[i].text))
            require(topic_matches(wide->parsed.filter, lines[i].text));
    struct str made = str_copy(narrow->parsed.filter);
    for (size_t i = 0; i < made.length; i++)
        if (made.data[i] == '+' || made.data[i] == '#')
            ((char *)made.data)[i] = 'x';
    require(topic_matches(narrow->parsed.filter, made) && topic_matches(wide->parsed.filter, made));
    free((char *)made.data);
}

// One session per line, so each filter that matches gives a target of its own, unless another line has the
// very group.
static void check_match(struct subscriptions *subscriptions, const struct line *lines, size_t count,
                        struct subscription_matches *found, struct str topic)
{
    bool met[LINES_MOST] = {false};
    subscriptions_match(subscriptions, 0, topic, found);
    for (size_t i = 0; i < found->count; i++) {
        size_t line = found->targets[i].session - 1;
        require(line < count && !met[line] && lines[line].is_filter);
        require(topic_matches(lines[line].parsed.filter, topic));
        require(lines[line].parsed.shared == found->targets[i].shared);
        met[line] = true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!lines[i].is_filter || !topic_matches(lines[i].parsed.filter, topic))
            continue;
        unsigned times = 0;
        for (size_t k = 0; k < count; k++)
            times +=
                met[k] && (k == i || (lines[i].parsed.shared && str_equal(lines[k].text, lines[i].text)));
        require(times == 1);
    }
}

static void check_subscriptions(struct line *lines, size_t count)
{
    static char text[65536];
    struct subscriptions *subscriptions = subscriptions_new(1);
    struct subscription_matches found = {0};
    for (size_t i = 0; i < count; i++)
        if (lines[i].is_filter)
            lines[i].subscription = subscriptions_add(subscriptions, i + 1, lines[i].text, 0, 0, NULL);
    for (size_t i = 0; i < count; i++)
        if (lines[i].is_topic)
            check_match(subscriptions, lines, count, &found, lines[i].text);
    for (size_t i = 0; i < count; i++) {
        if (!lines[i].subscription)
            continue;
        size_t length = subscription_filter(lines[i].subscription, text, sizeof text);
        require(str_equal(str_make(text, length), lines[i].text));
        require(subscriptions_find(subscriptions, i + 1, lines[i].text) == lines[i].subscription);
        // Every other one goes, and the rest must not miss it.
        if (i % 2)
            continue;
        subscriptions_remove(subscriptions, lines[i].subscription);
        lines[i].is_filter = false;
    }
    for (size_t i = 0; i < count; i++)
        if (lines[i].is_topic)
            check_match(subscriptions, lines, count, &found, lines[i].text);
    subscription_matches_free(&found);
    subscriptions_free(subscriptions);
}

static void check_retained(const struct line *lines, size_t count)
{
    struct retained *retained = retained_new();
    for (size_t i = 0; i < count; i++) {
        struct message borrowed = {.topic = lines[i].text, .payload = STR("x")};
        struct message *owned = lines[i].is_topic ? message_keep(&borrowed) : NULL;
        if (owned)
            retained_store(retained, owned, 0, 0);
        message_unref(owned);
        message_release(&borrowed);
    }
    for (size_t i = 0; i < count; i++) {
        if (!lines[i].is_filter)
            continue;
        struct retained_list list = {0};
        retained_match(retained, lines[i].parsed.filter, 1, &list);
        size_t wanted = 0;
        for (size_t k = 0; k < count; k++) {
            bool counts = lines[k].is_topic && topic_matches(lines[i].parsed.filter, lines[k].text);
            for (size_t before = 0; before < k && counts; before++)
                counts = !str_equal(lines[before].text, lines[k].text);
            wanted += counts;
        }
        require(list.count == wanted);
        for (size_t k = 0; k < list.count; k++)
            require(topic_matches(lines[i].parsed.filter, list.messages[k]->topic));
        retained_list_clear(&list);
    }
    retained_free(retained);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct line lines[LINES_MOST];
    size_t count = lines_read(lines, (const char *)data, size);
    for (size_t i = 0; i < count; i++) {
        check_line(&lines[i]);
        for (size_t k = 0; k < count; k++)
            if (lines[i].is_filter && lines[k].is_filter)
                check_covers(&lines[i], &lines[k], lines, count);
    }
    check_retained(lines, count);
    check_subscriptions(lines, count);
    require(message_bytes_alive() == 0);
    return 0;
}
