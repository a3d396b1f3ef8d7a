// The configuration of one instance, read once and then never changed: a snapshot.
// Made and freed on the main thread; read by any, but for the breakers, which lock themselves.
// Must not know requests and workers.
#ifndef HTTP_AUTH_SETTINGS_H
#define HTTP_AUTH_SETTINGS_H

#include "answer.h"
#include "breaker.h"
#include "request.h"

#include <curl/curl.h>

/** Where one kind of check goes. */
struct endpoint {
    char *url; ///< NULL: this check is not asked
    struct breaker breaker;
};

/** A PEM file, in memory. */
struct pem {
    char *data; ///< NULL: none
    size_t length;
};

struct settings {
    struct endpoint endpoints[CHECK_KINDS];
    const char *method;
    enum request_params params;
    enum answer_mode response;
    uint64_t timeout_ms;
    uint32_t retries;
    uint32_t send;         ///< SEND_ bits
    noctule_verdict on_no; ///< what go-auth's no counts as: DENY or NEXT
    struct curl_slist *headers;
    char *proxy; ///< "": none, whatever the environment says
    bool verify;
    struct pem ca;
    struct pem certificate;
    struct pem key;
    uint64_t allow_ms;
    uint64_t deny_ms;
    uint64_t jitter_ms;
    uint64_t stale_ms;
    uint64_t entries; ///< of all workers together
    bool honour_cache_control;
    uint32_t connections; ///< of each worker
    uint32_t waiting;     ///< of each worker
    uint64_t origin;      ///< the same for configurations under which cached answers are the same
};

/** Reads everything; NULL when something is wrong, which has been reported then. */
struct settings *settings_new(const struct noctule_host *host, struct noctule_instance *instance,
                              const struct noctule_config *config);
void settings_free(struct settings *settings);

/** The circuit breaker of a URL: the one part of a snapshot that changes, under its own lock. */
static inline struct breaker *settings_breaker(const struct settings *settings, enum check_kind kind)
{
    return (struct breaker *)&settings->endpoints[kind].breaker;
}

// ---- Between the files that read the configuration ----

struct settings_reader {
    const struct noctule_host *host;
    struct noctule_instance *instance;
    bool wrong;
};

/** Reports what is wrong at a key (NULL: at the map). */
__attribute__((format(printf, 4, 5))) void settings_refuse(struct settings_reader *reader,
                                                           const struct noctule_config *config,
                                                           const char *key, const char *format, ...);

/** A copy of a counted string, NUL-terminated; refuses when memory is gone. */
char *settings_copy(struct settings_reader *reader, struct noctule_string string);

/** `tls:`, with the files it names; `https` says whether some URL is of that kind. */
void settings_read_tls(struct settings_reader *reader, const struct noctule_config *config, bool https,
                       struct settings *settings);

/** `headers:`, and those that every request has. */
void settings_read_headers(struct settings_reader *reader, const struct noctule_config *config,
                           struct settings *settings);

void pem_free(struct pem *pem);

#endif
