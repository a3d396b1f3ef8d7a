// Metrics: counters, gauges and histograms of the instances, kept in shards so that threads do not meet.
// Any thread, except metrics_add, metrics_free and metrics_remove (main thread, while nobody reads).
// Must not know who publishes them.
#ifndef NOCTULE_PLUGIN_METRICS_H
#define NOCTULE_PLUGIN_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "noctule/plugin.h"

struct noctule_instance;
struct plugin_host;

/** Upper bounds of a histogram's buckets, in microseconds; one more bucket has none. */
enum { METRIC_BOUNDS = 12, METRIC_BUCKETS = METRIC_BOUNDS + 1, METRIC_HISTOGRAM_CELLS = METRIC_BUCKETS + 1 };

/** `width` numbers, once per shard. */
struct cells {
    unsigned width;
    _Atomic int64_t *values;
};

void cells_init(struct cells *cells, unsigned width);
void cells_free(struct cells *cells);
void cells_add(struct cells *cells, unsigned index, int64_t amount);
/** Adds 1 to both. */
void cells_add_two(struct cells *cells, unsigned one, unsigned other);
int64_t cells_sum(const struct cells *cells, unsigned index);

/** Adds an observation to the METRIC_HISTOGRAM_CELLS cells from `first` on. */
void cells_observe(struct cells *cells, unsigned first, uint64_t microseconds);

/** What the host itself counts of every instance. */
enum instance_counter {
    COUNT_NEXT,
    COUNT_ALLOW,
    COUNT_DENY,
    COUNT_PENDING,
    COUNT_CONTINUE,
    COUNT_ERROR,
    COUNT_DROP,
    COUNT_TIMEOUT,
    COUNT_REUSED,
    COUNT_SHARED,
    INSTANCE_COUNTERS,
    /** Not a counter: requests that are put off now. */
    INSTANCE_PENDING = INSTANCE_COUNTERS,
    /** The histogram of how long hooks ran begins here. */
    INSTANCE_DURATION,
    /** And that of how long decisions took, what was put off included. */
    INSTANCE_DECISION = INSTANCE_DURATION + METRIC_HISTOGRAM_CELLS,
    INSTANCE_CELLS = INSTANCE_DECISION + METRIC_HISTOGRAM_CELLS,
};

/** A metric that a plugin made; see noctule_host.metric_new. */
struct noctule_metric *metric_new(struct noctule_instance *instance, uint32_t kind, const char *name,
                                  const char *help);
void metric_free(struct noctule_metric *metric);
void metric_add(struct noctule_metric *metric, int64_t amount);
void metric_set(struct noctule_metric *metric, int64_t value);
void metric_observe(struct noctule_metric *metric, uint64_t microseconds);

/** Tells `function` the metrics of one instance. */
void metrics_of_instance(const struct noctule_instance *instance, noctule_metric_fn function, void *argument);

#endif
