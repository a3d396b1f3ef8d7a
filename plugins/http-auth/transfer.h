// One HTTP request and its answer, as a transfer of libcurl.
// The worker's thread.
// Must not know why it is sent, nor who waits.
#ifndef HTTP_AUTH_TRANSFER_H
#define HTTP_AUTH_TRANSFER_H

#include "metrics.h"
#include "settings.h"

/** What the answer's Cache-Control says. */
struct transfer_lifetime {
    bool said;
    bool forbidden; ///< no-store, no-cache
    uint64_t milliseconds;
};

struct transfer {
    CURL *easy;
    void *owner;
    struct text body;    ///< of the answer
    size_t header_bytes; ///< that came in
    bool too_long;
    struct transfer_lifetime lifetime;
    char problem[CURL_ERROR_SIZE]; ///< libcurl's words about a failure
};

/** NULL: out of memory. */
struct transfer *transfer_new(void);
void transfer_free(struct transfer *transfer);

/**
 * Makes it ready to be put on a loop. `body` is borrowed until the end of the transfer, and so are the
 * settings. An earlier request's answer is forgotten.
 */
void transfer_prepare(struct transfer *transfer, const struct settings *settings, enum check_kind kind,
                      struct noctule_string body, uint64_t timeout_ms);

struct transfer *transfer_of(CURL *easy);

/** The answer of a transfer that ended with `code`; one that failed is an ERROR. NULL: out of memory. */
struct answer *transfer_answer(const struct transfer *transfer, const struct settings *settings,
                               enum check_kind kind, CURLcode code);

/** As which kind of error such an end counts; METRICS: none. */
enum metric transfer_error(const struct transfer *transfer, const struct answer *answer, CURLcode code);

/** Reads one header line of an answer: "Cache-Control: max-age=60". */
void lifetime_read(struct transfer_lifetime *lifetime, struct noctule_string line);

#endif
