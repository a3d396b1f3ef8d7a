#include "core/bench/topics.h"

#include <stdio.h>
#include <string.h>

enum { TREE_LEAVES = 1000, TREE_DIGITS = 5, LEAF_DIGITS = 3 };

static void digits(uint8_t *out, uint32_t value, int count)
{
    for (int i = count; i-- > 0; value /= 10)
        out[i] = (uint8_t)('0' + value % 10);
}

void bench_topic_digits(const struct topics *topics, uint32_t stream, uint8_t *out)
{
    if (!topics->tree) {
        digits(out, stream, topics->digits);
        return;
    }
    digits(out, stream / TREE_LEAVES, TREE_DIGITS);
    digits(out + TREE_DIGITS + 1, stream % TREE_LEAVES, LEAF_DIGITS);
}

// `word` and `tail` may differ from those of the topics: wildcards in their place.
static size_t name(const struct bench *bench, uint32_t stream, const char *word, const char *tail, char *text)
{
    const struct topics *topics = &bench->topics;
    int head = snprintf(text, TOPIC_MAX, "%s/%s/", bench->options->topic, word);
    if (topics->tree)
        snprintf(text + head, TOPIC_MAX - (size_t)head, "%0*u/%0*u%s", TREE_DIGITS, stream / TREE_LEAVES,
                 LEAF_DIGITS, stream % TREE_LEAVES, tail);
    else
        snprintf(text + head, TOPIC_MAX - (size_t)head, "%0*u%s", topics->digits, stream, tail);
    return (size_t)head;
}

size_t bench_topic_name(const struct bench *bench, uint32_t stream, char text[static TOPIC_MAX])
{
    return name(bench, stream, bench->topics.word, bench->topics.tail, text);
}

// A number from 0 to 1 that has nothing to do with the order of streams, the same in every run.
static double share_of(uint32_t stream)
{
    uint32_t mixed = stream * 2654435769U;
    mixed ^= mixed >> 15;
    mixed *= 2246822519U;
    return (double)(mixed >> 8) / (1U << 24);
}

void bench_topic_filter(const struct bench *bench, const struct subscriber *subscriber, uint32_t index,
                        char text[static TOPIC_MAX])
{
    const struct topics *topics = &bench->topics;
    uint32_t stream = subscriber->first_stream + index;
    double share = share_of(stream);
    bool mixed = bench->filters == FILTERS_MIXED;
    if (bench->filters == FILTERS_ALL)
        snprintf(text, TOPIC_MAX, "%s/%s/#", bench->options->topic, topics->word);
    else if (mixed && share < bench->options->plus)
        name(bench, stream, "+", topics->tail, text);
    else if (mixed && share < bench->options->plus + bench->options->hash)
        name(bench, stream, topics->word, "/#", text);
    else
        name(bench, stream, topics->word, topics->tail, text);
}
