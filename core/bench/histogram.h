// A histogram of durations with a bounded relative error: buckets grow with the values.
// One thread.
// Must not know what is measured.
#ifndef NOCTULE_BENCH_HISTOGRAM_H
#define NOCTULE_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/**
 * Values below 2^HISTOGRAM_BITS have a bucket each. Above, each power of two is cut into 2^HISTOGRAM_BITS
 * buckets of one size, so that a bucket is never wider than a 128th of its values.
 */
enum { HISTOGRAM_BITS = 7, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS };

/** Zero-initialised is empty. */
struct histogram {
    uint64_t count;
    uint64_t least;
    uint64_t most;
    double sum;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/** The bucket that `value` belongs to. */
static inline size_t histogram_bucket(uint64_t value)
{
    if (value >> HISTOGRAM_BITS == 0)
        return (size_t)value;
    unsigned shift = 63U - HISTOGRAM_BITS - (unsigned)__builtin_clzll(value);
    // The leading bit makes the part below at least 2^HISTOGRAM_BITS: buckets of `shift` follow those before.
    return ((size_t)shift << HISTOGRAM_BITS) + (size_t)(value >> shift);
}

/** Counts `times` values of `value`. */
static inline void histogram_add(struct histogram *histogram, uint64_t value, uint64_t times)
{
    if (histogram->count == 0 || value < histogram->least)
        histogram->least = value;
    if (value > histogram->most)
        histogram->most = value;
    histogram->count += times;
    histogram->sum += (double)value * (double)times;
    histogram->buckets[histogram_bucket(value)] += times;
}

/**
 * The value that a share `quantile` (0 to 1) of all values does not exceed, off by at most half a bucket;
 * exact for 0 and 1. 0 when there are none.
 */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

/** The mean; 0 when there are none. */
double histogram_mean(const struct histogram *histogram);

#endif
