// The names of topics and filters, by the number of their stream.
// Any thread.
// Must not know who uses them.
#ifndef NOCTULE_BENCH_TOPICS_H
#define NOCTULE_BENCH_TOPICS_H

#include "core/bench/state.h"

enum { TOPIC_PREFIX_MAX = 200, TOPIC_MAX = TOPIC_PREFIX_MAX + 64 };

/** Writes the topic of `stream`; returns where its digits begin. */
size_t bench_topic_name(const struct bench *bench, uint32_t stream, char text[static TOPIC_MAX]);

/** Writes the digits of `stream` over those of another one. */
void bench_topic_digits(const struct topics *topics, uint32_t stream, uint8_t *digits);

/** Writes the filter with the number `index` of a subscriber. */
void bench_topic_filter(const struct bench *bench, const struct subscriber *subscriber, uint32_t index,
                        char text[static TOPIC_MAX]);

#endif
