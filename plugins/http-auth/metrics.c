#include "metrics.h"

static const struct {
    uint32_t kind;
    const char *name;
    const char *help;
} names[METRICS] = {
    [METRIC_REQUESTS_USER] = {NOCTULE_COUNTER, "requests_user", "requests sent to the user URL"},
    [METRIC_REQUESTS_SUPERUSER] = {NOCTULE_COUNTER, "requests_superuser",
                                   "requests sent to the superuser URL"},
    [METRIC_REQUESTS_ACL] = {NOCTULE_COUNTER, "requests_acl", "requests sent to the acl URL"},
    [METRIC_RETRIES] = {NOCTULE_COUNTER, "retries", "requests that were sent once more after an error"},
    [METRIC_COALESCED] = {NOCTULE_COUNTER, "coalesced",
                          "checks that waited for a request that was under way"},
    [METRIC_CACHE_HITS] = {NOCTULE_COUNTER, "cache_hits", "checks answered from the cache"},
    [METRIC_CACHE_MISSES] = {NOCTULE_COUNTER, "cache_misses", "checks that the cache could not answer"},
    [METRIC_CACHE_STALE] = {NOCTULE_COUNTER, "cache_stale", "checks answered by an expired yes"},
    [METRIC_CACHE_ENTRIES] = {NOCTULE_GAUGE, "cache_entries", "answers in the cache"},
    [METRIC_CACHE_BYTES] = {NOCTULE_GAUGE, "cache_bytes", "memory that the cache takes"},
    [METRIC_REFUSED_BREAKER] = {NOCTULE_COUNTER, "refused_breaker",
                                "checks that failed at once because a circuit breaker was open"},
    [METRIC_REFUSED_WAITING] = {NOCTULE_COUNTER, "refused_waiting",
                                "checks that failed at once because too many requests waited"},
    [METRIC_ABANDONED] = {NOCTULE_COUNTER, "abandoned",
                          "requests that were not sent because nobody waited for them any more"},
    [METRIC_ERRORS_CONNECT] = {NOCTULE_COUNTER, "errors_connect", "requests that found no connection"},
    [METRIC_ERRORS_TLS] = {NOCTULE_COUNTER, "errors_tls", "requests that failed in TLS"},
    [METRIC_ERRORS_TIMEOUT] = {NOCTULE_COUNTER, "errors_timeout", "requests without an answer in time"},
    [METRIC_ERRORS_STATUS] = {NOCTULE_COUNTER, "errors_status", "answers with a status of 500 or above"},
    [METRIC_ERRORS_REDIRECT] = {NOCTULE_COUNTER, "errors_redirect", "answers that point elsewhere"},
    [METRIC_ERRORS_ANSWER] = {NOCTULE_COUNTER, "errors_answer", "answers that make no sense"},
    [METRIC_ERRORS_SIZE] = {NOCTULE_COUNTER, "errors_size", "answers that are too long"},
    [METRIC_ERRORS_OTHER] = {NOCTULE_COUNTER, "errors_other", "requests that failed otherwise"},
    [METRIC_BREAKERS_OPEN] = {NOCTULE_GAUGE, "breakers_open", "circuit breakers that are open"},
    [METRIC_BREAKER_OPENED] = {NOCTULE_COUNTER, "breaker_opened", "times that a circuit breaker opened"},
    [METRIC_IN_FLIGHT] = {NOCTULE_GAUGE, "in_flight", "requests under way"},
    [METRIC_WAITING] = {NOCTULE_GAUGE, "waiting", "requests that wait for a connection"},
    [METRIC_CONNECTIONS_OPENED] = {NOCTULE_COUNTER, "connections_opened", "connections that were opened"},
    [METRIC_REVOKED] = {NOCTULE_COUNTER, "revoked", "cached answers dropped by a revocation"},
    [METRIC_REQUEST_DURATION] = {NOCTULE_HISTOGRAM, "request_duration",
                                 "from sending a request to its end, in microseconds"},
};

void metrics_new(struct metrics *metrics, const struct noctule_host *host, struct noctule_instance *instance)
{
    metrics->host = host;
    for (unsigned i = 0; i < METRICS; i++)
        metrics->list[i] = host->metric_new(instance, names[i].kind, names[i].name, names[i].help);
}

void metrics_add(const struct metrics *metrics, enum metric metric, int64_t amount)
{
    if (amount != 0)
        metrics->host->metric_add(metrics->list[metric], amount);
}

void metrics_observe(const struct metrics *metrics, enum metric metric, uint64_t microseconds)
{
    metrics->host->metric_observe(metrics->list[metric], microseconds);
}
