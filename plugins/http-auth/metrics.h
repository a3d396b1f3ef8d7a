// What an instance counts.
// Made on the main thread in `init`; counted on any.
// Must not know when.
#ifndef HTTP_AUTH_METRICS_H
#define HTTP_AUTH_METRICS_H

#include <noctule/plugin.h>

enum metric {
    METRIC_REQUESTS_USER, // in the order of enum check_kind
    METRIC_REQUESTS_SUPERUSER,
    METRIC_REQUESTS_ACL,
    METRIC_RETRIES,
    METRIC_COALESCED,
    METRIC_CACHE_HITS,
    METRIC_CACHE_MISSES,
    METRIC_CACHE_STALE,
    METRIC_CACHE_ENTRIES,
    METRIC_CACHE_BYTES,
    METRIC_REFUSED_BREAKER,
    METRIC_REFUSED_WAITING,
    METRIC_ABANDONED,
    METRIC_ERRORS_CONNECT,
    METRIC_ERRORS_TLS,
    METRIC_ERRORS_TIMEOUT,
    METRIC_ERRORS_STATUS,
    METRIC_ERRORS_REDIRECT,
    METRIC_ERRORS_ANSWER,
    METRIC_ERRORS_SIZE,
    METRIC_ERRORS_OTHER,
    METRIC_BREAKERS_OPEN,
    METRIC_BREAKER_OPENED,
    METRIC_IN_FLIGHT,
    METRIC_WAITING,
    METRIC_CONNECTIONS_OPENED,
    METRIC_REVOKED,
    METRIC_REQUEST_DURATION,
    METRICS,
};

struct metrics {
    const struct noctule_host *host;
    struct noctule_metric *list[METRICS];
};

void metrics_new(struct metrics *metrics, const struct noctule_host *host, struct noctule_instance *instance);
void metrics_add(const struct metrics *metrics, enum metric metric, int64_t amount);
void metrics_observe(const struct metrics *metrics, enum metric metric, uint64_t microseconds);

#endif
