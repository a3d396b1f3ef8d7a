#include "core/bench/histogram.h"

#include <math.h>

// The value in the middle of a bucket.
static uint64_t bucket_value(size_t bucket)
{
    if (bucket >> (HISTOGRAM_BITS + 1) == 0)
        return bucket; // width 1
    unsigned shift = (unsigned)(bucket >> HISTOGRAM_BITS) - 1;
    uint64_t leading = bucket - ((size_t)shift << HISTOGRAM_BITS);
    return (leading << shift) + ((1ULL << shift) >> 1);
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    if (histogram->count == 0)
        return 0;
    if (quantile <= 0)
        return histogram->least;
    double exact = ceil(quantile * (double)histogram->count);
    uint64_t rank = exact < 1 ? 1 : (uint64_t)exact;
    if (rank >= histogram->count)
        return histogram->most;
    uint64_t seen = 0;
    size_t bucket = 0;
    while (bucket < HISTOGRAM_BUCKETS - 1 && (seen += histogram->buckets[bucket]) < rank)
        bucket++;
    uint64_t value = bucket_value(bucket);
    if (value < histogram->least)
        return histogram->least;
    return value > histogram->most ? histogram->most : value;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum / (double)histogram->count;
}
