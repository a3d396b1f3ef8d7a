#include "core/plugin/metrics.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/plugin/types.h"

// Threads beyond so many share the last shard: still right, only slower.
enum { SHARDS = 24, SHARED_SHARD = SHARDS - 1, LINE_CELLS = 64 / sizeof(int64_t) };

struct noctule_metric {
    struct noctule_metric *next; ///< of the instance's
    uint32_t kind;
    const char *name;
    const char *help;
    _Atomic int64_t gauge;
    struct cells cells;
};

static const uint64_t bucket_bounds[METRIC_BOUNDS] = {10,   25,    50,     100,    250,     1000,
                                                      2500, 10000, 100000, 500000, 1000000, 5000000};

// The shard of this thread, which nobody else writes to, unless it is the last one.
static unsigned own_shard(void)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned shard = SHARDS;
    if (shard == SHARDS) {
        unsigned number = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed);
        shard = number < SHARED_SHARD ? number : SHARED_SHARD;
    }
    return shard;
}

void cells_init(struct cells *cells, unsigned width)
{
    cells->width = (width + LINE_CELLS - 1) / LINE_CELLS * LINE_CELLS;
    size_t bytes = SHARDS * cells->width * sizeof *cells->values;
    cells->values = aligned_alloc(64, bytes);
    if (!cells->values)
        memory_exhausted();
    memset((void *)cells->values, 0, bytes);
}

void cells_free(struct cells *cells)
{
    free((void *)cells->values);
    cells->values = NULL;
}

static inline void add_to(_Atomic int64_t *cell, int64_t amount, bool shared)
{
    if (shared)
        atomic_fetch_add_explicit(cell, amount, memory_order_relaxed);
    else // one thread writes, so this needs no locked instruction
        atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + amount,
                              memory_order_relaxed);
}

void cells_add(struct cells *cells, unsigned index, int64_t amount)
{
    unsigned shard = own_shard();
    add_to(&cells->values[shard * cells->width + index], amount, shard == SHARED_SHARD);
}

void cells_add_two(struct cells *cells, unsigned one, unsigned other)
{
    unsigned shard = own_shard();
    _Atomic int64_t *values = &cells->values[shard * cells->width];
    add_to(&values[one], 1, shard == SHARED_SHARD);
    add_to(&values[other], 1, shard == SHARED_SHARD);
}

int64_t cells_sum(const struct cells *cells, unsigned index)
{
    int64_t sum = 0;
    for (unsigned shard = 0; shard < SHARDS; shard++)
        sum += atomic_load_explicit(&cells->values[shard * cells->width + index], memory_order_relaxed);
    return sum;
}

void cells_observe(struct cells *cells, unsigned first, uint64_t microseconds)
{
    unsigned bucket = 0;
    while (bucket < METRIC_BOUNDS && microseconds > bucket_bounds[bucket])
        bucket++;
    cells_add(cells, first, (int64_t)microseconds);
    cells_add(cells, first + 1 + bucket, 1);
}

struct noctule_metric *metric_new(struct noctule_instance *instance, uint32_t kind, const char *name,
                                  const char *help)
{
    struct noctule_metric *metric = memory_zalloc(sizeof *metric);
    metric->kind = kind;
    metric->name = name;
    metric->help = help;
    cells_init(&metric->cells, kind == NOCTULE_HISTOGRAM ? METRIC_HISTOGRAM_CELLS : 1);
    metric->next = instance->metrics;
    instance->metrics = metric;
    return metric;
}

void metric_free(struct noctule_metric *metric)
{
    while (metric) {
        struct noctule_metric *next = metric->next;
        cells_free(&metric->cells);
        free(metric);
        metric = next;
    }
}

void metric_add(struct noctule_metric *metric, int64_t amount)
{
    if (metric && metric->kind == NOCTULE_COUNTER)
        cells_add(&metric->cells, 0, amount);
    else if (metric && metric->kind == NOCTULE_GAUGE)
        atomic_fetch_add_explicit(&metric->gauge, amount, memory_order_relaxed);
}

void metric_set(struct noctule_metric *metric, int64_t value)
{
    if (metric && metric->kind == NOCTULE_GAUGE)
        atomic_store_explicit(&metric->gauge, value, memory_order_relaxed);
}

void metric_observe(struct noctule_metric *metric, uint64_t microseconds)
{
    if (metric && metric->kind == NOCTULE_HISTOGRAM)
        cells_observe(&metric->cells, 0, microseconds);
}

// A histogram as plugins read it: buckets count everything up to their bound, the last one everything.
static void tell_histogram(struct noctule_metric_value *value, const struct cells *cells, unsigned first,
                           noctule_metric_fn function, void *argument)
{
    uint64_t buckets[METRIC_BUCKETS];
    uint64_t sum = 0;
    for (unsigned i = 0; i < METRIC_BUCKETS; i++) {
        sum += (uint64_t)cells_sum(cells, first + 1 + i);
        buckets[i] = sum;
    }
    value->kind = NOCTULE_HISTOGRAM;
    value->value = (int64_t)sum;
    value->total = (uint64_t)cells_sum(cells, first);
    value->buckets = buckets;
    value->bucket_bounds = bucket_bounds;
    value->bucket_count = METRIC_BUCKETS;
    value->unit = NOCTULE_STRING("microseconds");
    function(value, argument);
}

static const struct {
    const char *name;
    const char *help;
} counter_names[INSTANCE_COUNTERS] = {
    [COUNT_NEXT] = {"verdicts_next", "hooks that had no opinion"},
    [COUNT_ALLOW] = {"verdicts_allow", "hooks that allowed"},
    [COUNT_DENY] = {"verdicts_deny", "hooks that denied"},
    [COUNT_PENDING] = {"verdicts_pending", "decisions put off"},
    [COUNT_CONTINUE] = {"verdicts_continue", "steps of enhanced authentication"},
    [COUNT_ERROR] = {"verdicts_error", "hooks that could not decide, or answered nonsense"},
    [COUNT_DROP] = {"verdicts_drop", "messages dropped"},
    [COUNT_TIMEOUT] = {"timeouts", "decisions put off that were not answered in time"},
    [COUNT_REUSED] = {"verdicts_reused", "verdicts taken from the cache"},
    [COUNT_SHARED] = {"verdicts_shared", "requests that waited for the answer to an identical one"},
};

void metrics_of_instance(const struct noctule_instance *instance, noctule_metric_fn function, void *argument)
{
    struct str owner = str_of(instance->name);
    struct noctule_metric_value value = {.size = sizeof value, .instance = {owner.data, owner.length}};
    for (unsigned i = 0; i < INSTANCE_COUNTERS; i++) {
        value.kind = NOCTULE_COUNTER;
        value.name = noctule_string_of(counter_names[i].name, strlen(counter_names[i].name));
        value.help = noctule_string_of(counter_names[i].help, strlen(counter_names[i].help));
        value.value = cells_sum(&instance->cells, i);
        function(&value, argument);
    }
    value.kind = NOCTULE_GAUGE;
    value.name = NOCTULE_STRING("pending");
    value.help = NOCTULE_STRING("decisions put off and not answered yet");
    value.value = cells_sum(&instance->cells, INSTANCE_PENDING);
    function(&value, argument);
    value.name = NOCTULE_STRING("hook_duration");
    value.help = NOCTULE_STRING("how long hooks ran, in microseconds");
    tell_histogram(&value, &instance->cells, INSTANCE_DURATION, function, argument);
    value.name = NOCTULE_STRING("decision_duration");
    value.help = NOCTULE_STRING("how long decisions took, the waiting for an answer included");
    tell_histogram(&value, &instance->cells, INSTANCE_DECISION, function, argument);
    for (const struct noctule_metric *metric = instance->metrics; metric; metric = metric->next) {
        value = (struct noctule_metric_value){
            .size = sizeof value, .kind = metric->kind, .instance = {owner.data, owner.length}};
        value.name = noctule_string_of(metric->name, strlen(metric->name));
        value.help = noctule_string_of(metric->help, metric->help ? strlen(metric->help) : 0);
        if (metric->kind == NOCTULE_HISTOGRAM) {
            tell_histogram(&value, &metric->cells, 0, function, argument);
            continue;
        }
        value.value = metric->kind == NOCTULE_COUNTER
                          ? cells_sum(&metric->cells, 0)
                          : atomic_load_explicit(&metric->gauge, memory_order_relaxed);
        function(&value, argument);
    }
}
