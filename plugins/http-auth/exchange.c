#include "exchange_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** How long a decision that rests on an expired yes may be used again. */
enum { STALE_REUSE_MS = 1000, SWEEP_MS = 50, FLIGHT_BYTES_MAX = 64 << 20 };

static const char reason_waiting[] = "too many requests wait for the platform";
static const char reason_breaker[] = "the platform failed too often, and is not asked for a while";
static const char reason_memory[] = "out of memory";
static const char reason_timeout[] = "no connection was free in time";

static void sweep_expired(const struct noctule_context *context, void *argument);

// ---- Limits that the configuration sets ----------------------------------------------------------------

void exchange_count_cache(struct exchange *exchange)
{
    struct cache_count count = cache_count(exchange->cache);
    exchange_count(exchange, METRIC_CACHE_ENTRIES,
                   (int64_t)count.entries - (int64_t)exchange->counted.entries);
    exchange_count(exchange, METRIC_CACHE_BYTES, (int64_t)count.bytes - (int64_t)exchange->counted.bytes);
    exchange->counted = count;
}

// Another configuration may have come into force since the last time.
static void limits_follow(struct exchange *exchange, const struct settings *settings)
{
    if (exchange->entries != settings->entries) {
        uint64_t workers = exchange->instance->host->worker_count();
        if (workers == 0)
            workers = 1;
        exchange->entries = settings->entries;
        cache_limit(exchange->cache, (size_t)((settings->entries + workers - 1) / workers));
        exchange_count_cache(exchange);
    }
    if (exchange->connections != settings->connections) {
        exchange->connections = settings->connections;
        loop_limit(exchange->loop, (long)settings->connections);
    }
}

// ---- What is known -------------------------------------------------------------------------------------

static bool key_make(struct exchange *exchange, const struct settings *settings, enum check_kind kind,
                     const struct request_facts *facts)
{
    text_reset(&exchange->key);
    return request_key(&exchange->key, settings->origin, kind, settings->send, facts,
                       &exchange->instance->secret);
}

static struct result result_of(const struct answer *answer, uint64_t reuse_ms)
{
    return (struct result){
        .verdict = answer->verdict, .answer = answer, .reason = answer->reason, .reuse_ms = reuse_ms};
}

bool exchange_knows(struct exchange *exchange, const struct settings *settings, enum check_kind kind,
                    const struct request_facts *facts, struct result *result)
{
    limits_follow(exchange, settings);
    if (!key_make(exchange, settings, kind, facts))
        return false;
    uint64_t now = exchange_now(exchange);
    struct cache_hit hit;
    bool fresh = cache_find(exchange->cache, text_string(&exchange->key), now, &hit) == CACHE_FRESH;
    exchange_count(exchange, fresh ? METRIC_CACHE_HITS : METRIC_CACHE_MISSES, 1);
    exchange_count_cache(exchange);
    if (fresh)
        *result = result_of(hit.answer, hit.until_ms - now);
    return fresh;
}

struct result exchange_failure(struct exchange *exchange, struct noctule_string key, const char *reason)
{
    struct cache_hit hit;
    // Not only a stale one: somebody else may have brought a fresh one meanwhile.
    enum cache_found found = cache_find(exchange->cache, key, exchange_now(exchange), &hit);
    if (found == CACHE_NOTHING)
        return (struct result){.verdict = NOCTULE_ERROR, .reason = reason};
    if (found == CACHE_STALE)
        exchange_count(exchange, METRIC_CACHE_STALE, 1);
    struct result result = result_of(hit.answer, STALE_REUSE_MS);
    result.stale = found == CACHE_STALE;
    return result;
}

// ---- The line ------------------------------------------------------------------------------------------

static void line_is_full(struct exchange *exchange, const struct settings *settings)
{
    char text[160];
    exchange_count(exchange, METRIC_REFUSED_WAITING, 1);
    if (exchange->full)
        return;
    exchange->full = true;
    int length = snprintf(text, sizeof text, "%u requests wait for the platform: more fail at once",
                          settings->waiting);
    exchange->instance->host->log(exchange->instance->handle, NOCTULE_LOG_WARN,
                                  noctule_string_of(text, (size_t)length));
}

static void line_has_room(struct exchange *exchange, const struct settings *settings)
{
    if (!exchange->full || exchange->flights.waiting > settings->waiting / 2)
        return;
    exchange->full = false;
    exchange->instance->host->log(
        exchange->instance->handle, NOCTULE_LOG_INFO,
        NOCTULE_STRING("requests no longer wait too long in line for the platform"));
}

static void sweep_start(struct exchange *exchange)
{
    const struct instance *instance = exchange->instance;
    if (!exchange->sweep && exchange->flights.waiting > 0 && !exchange->ended)
        exchange->sweep = instance->host->timer_start(instance->handle, exchange->worker, SWEEP_MS,
                                                      sweep_expired, exchange);
}

// Those whose time is over fail; the line may hold several deadlines in any order.
static void sweep_expired(const struct noctule_context *context, void *argument)
{
    (void)context;
    struct exchange *exchange = argument;
    uint64_t now = exchange_now(exchange);
    struct flight *after;
    exchange->sweep = NULL;
    for (struct flight *flight = exchange->flights.first; flight; flight = after) {
        after = flight->after;
        if (now < flight->deadline_ms)
            continue;
        flight_step_out(&exchange->flights, flight);
        exchange_count(exchange, METRIC_WAITING, -1);
        flight_fail(exchange, flight, reason_timeout);
    }
    exchange_run(exchange);
    sweep_start(exchange);
}

static bool nobody_waits(const struct exchange *exchange, const struct flight *flight)
{
    const struct asker *asker = flight->askers;
    while (asker && asker->request && exchange->instance->host->is_cancelled(asker->request))
        asker = asker->next;
    return asker == NULL;
}

// The first of the line whose turn it is; false: it has been ended without being sent.
static bool flight_may_leave(struct exchange *exchange, struct flight *flight, uint64_t now)
{
    if (nobody_waits(exchange, flight)) {
        exchange_count(exchange, METRIC_ABANDONED, 1);
        flight_fail(exchange, flight, "nobody waits any more");
        return false;
    }
    if (now >= flight->deadline_ms) {
        flight_fail(exchange, flight, reason_timeout);
        return false;
    }
    struct breaker *breaker = settings_breaker(flight->settings, flight->kind);
    enum breaker_leave leave = breaker_ask(breaker, now);
    if (leave == BREAKER_REFUSED) {
        exchange_count(exchange, METRIC_REFUSED_BREAKER, 1);
        flight_fail(exchange, flight, reason_breaker);
        return false;
    }
    flight->probe = leave == BREAKER_PROBE;
    return true;
}

static struct transfer *transfer_take(struct exchange *exchange)
{
    return exchange->spare_count > 0 ? exchange->spare[--exchange->spare_count] : transfer_new();
}

static void flight_send(struct exchange *exchange, struct flight *flight, uint64_t now)
{
    struct transfer *transfer = transfer_take(exchange);
    if (transfer) {
        transfer->owner = flight;
        transfer_prepare(transfer, flight->settings, flight->kind, text_string(&flight->body),
                         flight->deadline_ms - now);
    }
    if (!transfer || !loop_add(exchange->loop, transfer->easy)) {
        if (flight->probe)
            breaker_return(settings_breaker(flight->settings, flight->kind));
        transfer_free(transfer);
        flight_fail(exchange, flight, reason_memory);
        return;
    }
    flight->state = FLIGHT_SENT;
    flight->transfer = transfer;
    flight->attempts++;
    exchange->flights.sent++;
    exchange_count(exchange, METRIC_IN_FLIGHT, 1);
    exchange_count(exchange, METRIC_REQUESTS_USER + (enum metric)flight->kind, 1);
}

static bool line_is_ready(const struct exchange *exchange)
{
    const struct flight *first = exchange->flights.first;
    return first && exchange->flights.sent < first->settings->connections;
}

void exchange_run(struct exchange *exchange)
{
    // Whoever is told of an end may ask again, which lines up for this same loop.
    if (exchange->pumping)
        return;
    exchange->pumping = true;
    while (line_is_ready(exchange) && pace_may(&exchange->pace)) {
        struct flight *flight = exchange->flights.first;
        uint64_t now = exchange_now(exchange);
        flight_step_out(&exchange->flights, flight);
        exchange_count(exchange, METRIC_WAITING, -1);
        line_has_room(exchange, flight->settings);
        if (flight_may_leave(exchange, flight, now))
            flight_send(exchange, flight, now);
        loop_run(exchange->loop);
    }
    exchange->pumping = false;
    sweep_start(exchange);
}

static void exchange_turned(const struct noctule_context *context, void *argument)
{
    (void)argument;
    struct exchange *exchange = context->worker_state;
    if (!pace_turn(&exchange->pace))
        return;
    // What has ended makes room for what waits.
    loop_go_on(exchange->loop);
    exchange_run(exchange);
}

// ---- Asking --------------------------------------------------------------------------------------------

static void asker_join(struct flight *flight, struct asker *asker)
{
    asker->flight = flight;
    asker->next = flight->askers;
    flight->askers = asker;
}

// Whether a request more is too much, and why.
static const char *refusal(struct exchange *exchange, const struct settings *settings, enum check_kind kind)
{
    const struct flights *flights = &exchange->flights;
    // Those that will leave in a moment do not wait.
    size_t room = flights->sent < settings->connections ? settings->connections - flights->sent : 0;
    if (exchange->ended)
        return reason_breaker;
    if (breaker_refuses(settings_breaker(settings, kind), exchange_now(exchange))) {
        exchange_count(exchange, METRIC_REFUSED_BREAKER, 1);
        return reason_breaker;
    }
    if (flights->waiting >= room + settings->waiting || flights->bytes >= FLIGHT_BYTES_MAX) {
        line_is_full(exchange, settings);
        return reason_waiting;
    }
    return NULL;
}

// An expired yes at hand is served before the broker's own deadline passes.
static uint64_t deadline_of(struct exchange *exchange, const struct settings *settings, uint64_t now)
{
    struct cache_hit hit;
    bool stale = settings->stale_ms > 0 &&
                 cache_find(exchange->cache, text_string(&exchange->key), now, &hit) == CACHE_STALE;
    return now + (stale ? settings->timeout_ms * 4 / 5 : settings->timeout_ms);
}

static struct flight *flight_begin(struct exchange *exchange, const struct settings *settings,
                                   enum check_kind kind, const struct request_facts *facts, uint64_t hash)
{
    struct text body = {0};
    uint64_t now = exchange_now(exchange);
    uint64_t deadline = deadline_of(exchange, settings, now);
    request_body(&body, settings->params, kind, settings->send, facts);
    struct flight *flight =
        body.failed ? NULL : flight_new(&exchange->flights, settings, &exchange->key, hash, &body);
    text_free(&body);
    if (!flight)
        return NULL;
    flight->kind = kind;
    flight->exchange = exchange;
    flight->deadline_ms = deadline;
    flight_line_up(&exchange->flights, flight);
    exchange_count(exchange, METRIC_WAITING, 1);
    return flight;
}

bool exchange_ask(struct exchange *exchange, const struct settings *settings, enum check_kind kind,
                  const struct request_facts *facts, struct asker *asker, struct result *result)
{
    limits_follow(exchange, settings);
    if (!key_make(exchange, settings, kind, facts)) {
        *result = (struct result){.verdict = NOCTULE_ERROR, .reason = reason_memory};
        return false;
    }
    struct noctule_string key = text_string(&exchange->key);
    uint64_t hash = secret_hash_key(&exchange->instance->secret, key.data, key.length);
    struct flight *flight = flight_find(&exchange->flights, settings, key, hash);
    if (flight) {
        exchange_count(exchange, METRIC_COALESCED, 1);
        asker_join(flight, asker);
        return true;
    }
    const char *why = refusal(exchange, settings, kind);
    if (!why) {
        flight = flight_begin(exchange, settings, kind, facts, hash);
        if (flight) {
            asker_join(flight, asker);
            return true;
        }
        why = reason_memory;
    }
    *result = exchange_failure(exchange, text_string(&exchange->key), why);
    return false;
}

void exchange_leave(struct exchange *exchange, struct asker *asker)
{
    struct flight *flight = asker->flight;
    struct asker **link = &flight->askers;
    while (*link != asker)
        link = &(*link)->next;
    *link = asker->next;
    if (flight->askers || flight->state != FLIGHT_WAITING)
        return;
    flight_step_out(&exchange->flights, flight);
    exchange_count(exchange, METRIC_WAITING, -1);
    flight_free(&exchange->flights, flight);
}

// ---- Life ----------------------------------------------------------------------------------------------

struct exchange *exchange_new(const struct instance *instance, struct noctule_worker *worker)
{
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange)
        return NULL;
    exchange->instance = instance;
    exchange->worker = worker;
    exchange->entries = UINT64_MAX;
    // Any number but 0, another one for each worker.
    exchange->chance = (instance->secret.seed ^ (uintptr_t)exchange) | 1;
    exchange->cache = cache_new(&instance->secret);
    pace_init(&exchange->pace, instance->host, instance->handle, worker, exchange_turned);
    exchange->loop =
        loop_new(instance->host, instance->handle, worker, &exchange->pace, exchange_landed, exchange);
    if (exchange->cache && exchange->loop)
        return exchange;
    exchange_free(exchange);
    return NULL;
}

static void flights_end(struct exchange *exchange)
{
    struct flights *flights = &exchange->flights;
    for (size_t i = 0; i < FLIGHT_BUCKETS; i++) {
        struct flight *flight;
        while ((flight = flights->buckets[i]) != NULL) {
            if (flight->state == FLIGHT_WAITING) {
                flight_step_out(flights, flight);
                exchange_count(exchange, METRIC_WAITING, -1);
            }
            if (flight->transfer) {
                loop_remove(exchange->loop, flight->transfer->easy);
                transfer_free(flight->transfer);
                flight->transfer = NULL;
                flights->sent--;
                exchange_count(exchange, METRIC_IN_FLIGHT, -1);
            }
            exchange->instance->host->timer_cancel(flight->retry);
            flight_fail(exchange, flight, "the broker stops");
        }
    }
}

void exchange_free(struct exchange *exchange)
{
    if (!exchange)
        return;
    exchange->ended = true;
    if (exchange->cache && exchange->loop)
        flights_end(exchange);
    exchange->instance->host->timer_cancel(exchange->sweep);
    while (exchange->spare_count > 0)
        transfer_free(exchange->spare[--exchange->spare_count]);
    loop_free(exchange->loop);
    if (exchange->cache) {
        cache_limit(exchange->cache, 0);
        exchange_count_cache(exchange);
    }
    cache_free(exchange->cache);
    text_free(&exchange->key);
    free(exchange);
}
