// The traffic of one worker with the platform: answers from the cache, requests that are shared, the line of
// those that wait, retries and circuit breakers. That worker's thread. Must not know what an answer means for
// a client.
#ifndef HTTP_AUTH_EXCHANGE_H
#define HTTP_AUTH_EXCHANGE_H

#include "answer.h"
#include "metrics.h"
#include "settings.h"

/** What all workers of an instance share. Read-only. */
struct instance {
    const struct noctule_host *host;
    struct noctule_instance *handle;
    struct secret secret;
    struct metrics metrics;
};

struct exchange;
struct flight;

/** An answer as it counts now. */
struct result {
    noctule_verdict verdict;     ///< ALLOW, DENY, NEXT, or ERROR
    const struct answer *answer; ///< NULL: out of memory, or nobody was asked
    const char *reason;          ///< of an ERROR; may be NULL
    uint64_t reuse_ms;           ///< how long it holds from now
    bool stale;                  ///< an expired yes, served because the platform cannot be asked
};

/** Somebody who waits for an answer. Lives inside its owner. */
struct asker {
    struct asker *next;
    struct flight *flight; ///< what it waits for
    struct noctule_request *request;
    /** Once for each exchange_ask that returned true. May ask again. The result is good until it returns. */
    void (*answered)(struct asker *asker, const struct result *result);
};

/** NULL: out of memory. */
struct exchange *exchange_new(const struct instance *instance, struct noctule_worker *worker);

/** Ends all traffic; whoever still waits gets an ERROR. */
void exchange_free(struct exchange *exchange);

/** Looks into the cache; true: `*result` is an answer that holds. */
bool exchange_knows(struct exchange *exchange, const struct settings *settings, enum check_kind kind,
                    const struct request_facts *facts, struct result *result);

/**
 * Has the platform asked. True: `asker` will be told, but not before exchange_run or the return to the loop.
 * False: it cannot be asked, and `*result` says what counts instead. Facts are borrowed for the call. The
 * settings must live until every asker is answered.
 */
bool exchange_ask(struct exchange *exchange, const struct settings *settings, enum check_kind kind,
                  const struct request_facts *facts, struct asker *asker, struct result *result);

/** Takes back what was asked since the last exchange_run. */
void exchange_leave(struct exchange *exchange, struct asker *asker);

/** Sends what waits, as far as connections go. Not from inside `answered`. */
void exchange_run(struct exchange *exchange);

/**
 * Forgets what is known about a user or client (data NULL: not named), and asks again where an answer is on
 * its way.
 */
void exchange_forget(struct exchange *exchange, struct noctule_string username,
                     struct noctule_string client_id);

#endif
