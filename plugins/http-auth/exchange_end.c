// How requests end: with an answer that is kept, with one more try, or without.
#include "exchange_state.h"

#include <stdio.h>
#include <stdlib.h>

enum { RETRY_FIRST_MS = 100 };

/** The longest that Cache-Control can make an answer hold. */
#define LIFETIME_MAX_MS 86400000u

static const char *const check_names[CHECK_KINDS] = {
    [CHECK_USER] = "user", [CHECK_SUPERUSER] = "superuser", [CHECK_ACL] = "acl"};

// ---- Telling -------------------------------------------------------------------------------------------

void flight_conclude(struct exchange *exchange, struct flight *flight, const struct result *result)
{
    struct asker *first = NULL;
    // Back into the order in which they came.
    while (flight->askers) {
        struct asker *asker = flight->askers;
        flight->askers = asker->next;
        asker->next = first;
        first = asker;
    }
    // Off the table first: who is told may ask the same again.
    flight_free(&exchange->flights, flight);
    while (first) {
        struct asker *asker = first;
        first = asker->next;
        asker->answered(asker, result);
    }
}

void flight_fail(struct exchange *exchange, struct flight *flight, const char *reason)
{
    struct result result = exchange_failure(exchange, text_string(&flight->key), reason);
    struct answer *answer = (struct answer *)result.answer;
    if (answer)
        answer_ref(answer);
    flight_conclude(exchange, flight, &result);
    answer_unref(answer);
}

// ---- Circuit breakers ----------------------------------------------------------------------------------

static void log_change(const struct exchange *exchange, const struct flight *flight,
                       enum breaker_change change, const struct answer *answer)
{
    char text[400];
    int length;
    const char *name = check_names[flight->kind];
    const struct breaker *breaker = settings_breaker(flight->settings, flight->kind);
    if (change == BREAKER_OPENED)
        length =
            snprintf(text, sizeof text,
                     "%s: the platform has failed %u times in a row, last: %s; it is asked once every %llu "
                     "ms until it answers",
                     name, breaker->failures_max, answer && answer->reason ? answer->reason : "out of memory",
                     (unsigned long long)breaker->probe_ms);
    else
        length = snprintf(text, sizeof text, "%s: the platform answers again", name);
    exchange->instance->host->log(exchange->instance->handle,
                                  change == BREAKER_OPENED ? NOCTULE_LOG_WARN : NOCTULE_LOG_INFO,
                                  noctule_string_of(text, (size_t)length));
}

static void breaker_learns(struct exchange *exchange, struct flight *flight, const struct answer *answer)
{
    bool good = answer && answer->verdict != NOCTULE_ERROR;
    struct breaker *breaker = settings_breaker(flight->settings, flight->kind);
    enum breaker_change change = breaker_tell(breaker, flight->probe, good, exchange_now(exchange));
    if (change == BREAKER_UNCHANGED)
        return;
    exchange_count(exchange, METRIC_BREAKERS_OPEN, change == BREAKER_OPENED ? 1 : -1);
    exchange_count(exchange, METRIC_BREAKER_OPENED, change == BREAKER_OPENED);
    log_change(exchange, flight, change, answer);
}

// ---- Keeping -------------------------------------------------------------------------------------------

// How long an answer holds from now; 0: it is not kept.
static uint64_t lifetime_of(struct exchange *exchange, const struct settings *settings,
                            const struct transfer_lifetime *told, const struct answer *answer)
{
    bool yes = answer->verdict == NOCTULE_ALLOW;
    uint64_t lifetime = yes ? settings->allow_ms : settings->deny_ms;
    if (settings->honour_cache_control && told->forbidden)
        return 0;
    if (settings->honour_cache_control && told->said)
        lifetime = told->milliseconds < LIFETIME_MAX_MS ? told->milliseconds : LIFETIME_MAX_MS;
    return lifetime_vary(lifetime, settings->jitter_ms < lifetime ? settings->jitter_ms : lifetime,
                         &exchange->chance);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

// Keeps a verdict, and returns how long it holds from now.
static uint64_t answer_keep(struct exchange *exchange, const struct flight *flight,
                            const struct transfer_lifetime *told, struct answer *answer)
{
    const struct settings *settings = flight->settings;
    uint64_t now = exchange_now(exchange);
    uint64_t lifetime = lifetime_of(exchange, settings, told, answer);
    uint64_t stale = answer->verdict == NOCTULE_ALLOW ? lifetime + settings->stale_ms : 0;
    if (answer->expire_at_ms) {
        uint64_t wall = exchange->instance->host->wall_ms();
        uint64_t left = answer->expire_at_ms > wall ? answer->expire_at_ms - wall : 0;
        lifetime = earlier(lifetime, left);
        stale = earlier(stale, left);
    }
    if (lifetime == 0)
        return 0;
    cache_store(exchange->cache, text_string(&flight->key), answer, now + lifetime, stale ? now + stale : 0);
    exchange_count_cache(exchange);
    return lifetime;
}

// ---- Once more -----------------------------------------------------------------------------------------

static void flight_again(struct exchange *exchange, struct flight *flight)
{
    flight_line_up(&exchange->flights, flight);
    exchange_count(exchange, METRIC_WAITING, 1);
}

static void retry_due(const struct noctule_context *context, void *argument)
{
    (void)context;
    struct flight *flight = argument;
    struct exchange *exchange = flight->exchange;
    flight->retry = NULL;
    exchange_count(exchange, METRIC_RETRIES, 1);
    flight_again(exchange, flight);
    exchange_run(exchange);
}

// True: it will be tried again.
static bool flight_retry(struct exchange *exchange, struct flight *flight)
{
    const struct instance *instance = exchange->instance;
    uint64_t wait = (uint64_t)RETRY_FIRST_MS << (flight->attempts - 1);
    if (flight->probe || flight->attempts > flight->settings->retries ||
        exchange_now(exchange) + wait >= flight->deadline_ms)
        return false;
    flight->retry = instance->host->timer_start(instance->handle, exchange->worker, wait, retry_due, flight);
    if (flight->retry)
        flight->state = FLIGHT_RETRYING;
    return flight->retry != NULL;
}

// ---- Landing -------------------------------------------------------------------------------------------

static void transfer_put_back(struct exchange *exchange, struct transfer *transfer)
{
    text_reset(&transfer->body);
    if (exchange->spare_count < SPARE_MAX)
        exchange->spare[exchange->spare_count++] = transfer;
    else
        transfer_free(transfer);
}

static void count_end(const struct exchange *exchange, const struct transfer *transfer,
                      const struct answer *answer, CURLcode code)
{
    curl_off_t microseconds = 0;
    long connections = 0;
    enum metric error = transfer_error(transfer, answer, code);
    curl_easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &microseconds);
    curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connections);
    exchange_count(exchange, METRIC_IN_FLIGHT, -1);
    exchange_count(exchange, METRIC_CONNECTIONS_OPENED, connections);
    metrics_observe(&exchange->instance->metrics, METRIC_REQUEST_DURATION, (uint64_t)microseconds);
    if (error != METRICS)
        exchange_count(exchange, error, 1);
}

static void flight_landed(struct exchange *exchange, struct flight *flight, struct answer *answer,
                          const struct transfer_lifetime *told)
{
    breaker_learns(exchange, flight, answer);
    if (flight->outdated) {
        flight->outdated = flight->probe = false;
        flight_again(exchange, flight);
        return;
    }
    if (answer && answer->verdict != NOCTULE_ERROR) {
        struct result result = {.verdict = answer->verdict, .answer = answer, .reason = answer->reason};
        result.reuse_ms = answer_keep(exchange, flight, told, answer);
        flight_conclude(exchange, flight, &result);
        return;
    }
    if (!flight_retry(exchange, flight))
        flight_fail(exchange, flight, answer ? answer->reason : "out of memory");
}

void exchange_landed(void *argument, CURL *easy, CURLcode code)
{
    struct exchange *exchange = argument;
    struct transfer *transfer = transfer_of(easy);
    struct flight *flight = transfer->owner;
    struct answer *answer = transfer_answer(transfer, flight->settings, flight->kind, code);
    struct transfer_lifetime told = transfer->lifetime;
    count_end(exchange, transfer, answer, code);
    flight->transfer = NULL;
    exchange->flights.sent--;
    transfer_put_back(exchange, transfer);
    flight_landed(exchange, flight, answer, &told);
    answer_unref(answer);
    if (exchange->flights.first)
        pace_later(&exchange->pace);
}

void exchange_forget(struct exchange *exchange, struct noctule_string username,
                     struct noctule_string client_id)
{
    size_t forgotten = cache_forget(exchange->cache, username, client_id);
    exchange_count(exchange, METRIC_REVOKED, (int64_t)forgotten);
    exchange_count_cache(exchange);
    for (size_t i = 0; i < FLIGHT_BUCKETS; i++)
        for (struct flight *flight = exchange->flights.buckets[i]; flight; flight = flight->next)
            if (flight->state == FLIGHT_SENT && key_is_about(text_string(&flight->key), username, client_id))
                flight->outdated = true;
}
