// A worker's traffic, as the files of the exchange share it.
// That worker's thread.
// Only exchange*.c include it.
#ifndef HTTP_AUTH_EXCHANGE_STATE_H
#define HTTP_AUTH_EXCHANGE_STATE_H

#include "flight.h"
#include "loop.h"
#include "pace.h"
#include "transfer.h"

enum { SPARE_MAX = 64 };

struct exchange {
    const struct instance *instance;
    struct noctule_worker *worker;
    struct pace pace;
    struct loop *loop;
    struct cache *cache;
    struct cache_count counted; ///< what the gauges have of this worker's cache
    uint64_t entries;           ///< limit in force
    uint32_t connections;       ///< limit in force
    uint64_t chance;
    struct flights flights;
    struct text key; ///< scratch
    struct transfer *spare[SPARE_MAX];
    size_t spare_count;
    struct noctule_timer *sweep; ///< runs while flights wait in the line
    bool full;                   ///< the line is, or was a moment ago; said in the log
    bool pumping;
    bool ended;
};

/** Tells everybody who waits for a flight, and ends it. */
void flight_conclude(struct exchange *exchange, struct flight *flight, const struct result *result);

/** Ends a flight with what counts when the platform cannot be asked: an expired yes, or an ERROR. */
void flight_fail(struct exchange *exchange, struct flight *flight, const char *reason);

/** What counts for a key when the platform cannot be asked. */
struct result exchange_failure(struct exchange *exchange, struct noctule_string key, const char *reason);

/** Puts the gauges right after the cache may have changed. */
void exchange_count_cache(struct exchange *exchange);

/** The end of a transfer; see loop_done_fn. */
void exchange_landed(void *exchange, CURL *easy, CURLcode code);

static inline uint64_t exchange_now(const struct exchange *exchange)
{
    return exchange->instance->host->monotonic_ms();
}

static inline void exchange_count(const struct exchange *exchange, enum metric metric, int64_t amount)
{
    metrics_add(&exchange->instance->metrics, metric, amount);
}

#endif
