#include "transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_BYTES_MAX = 65536 };

static size_t body_arrived(char *data, size_t one, size_t length, void *argument)
{
    (void)one;
    struct transfer *transfer = argument;
    if (length > ANSWER_BODY_MAX - transfer->body.length) {
        transfer->too_long = true;
        return 0;
    }
    text_add(&transfer->body, data, length);
    return transfer->body.failed ? 0 : length;
}

static size_t header_arrived(char *data, size_t one, size_t length, void *argument)
{
    (void)one;
    struct transfer *transfer = argument;
    transfer->header_bytes += length;
    if (transfer->header_bytes > HEADER_BYTES_MAX) {
        transfer->too_long = true;
        return 0;
    }
    // The headers of another answer begin: those before were an interim one's.
    if (length > 5 && memcmp(data, "HTTP/", 5) == 0)
        transfer->lifetime = (struct transfer_lifetime){0};
    lifetime_read(&transfer->lifetime, noctule_string_of(data, length));
    return length;
}

struct transfer *transfer_new(void)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);
    if (!transfer)
        return NULL;
    transfer->easy = curl_easy_init();
    if (transfer->easy)
        return transfer;
    free(transfer);
    return NULL;
}

void transfer_free(struct transfer *transfer)
{
    if (!transfer)
        return;
    curl_easy_cleanup(transfer->easy);
    text_free(&transfer->body);
    free(transfer);
}

// ---- Preparing -----------------------------------------------------------------------------------------

static void set_blob(CURL *easy, CURLoption option, const struct pem *pem)
{
    struct curl_blob blob = {.data = pem->data, .len = pem->length, .flags = CURL_BLOB_NOCOPY};
    if (pem->data)
        curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct settings *settings)
{
    long host = settings->verify ? 2 : 0;
    long peer = settings->verify ? 1 : 0;
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, peer);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, host);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, peer);
    curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, host);
    set_blob(easy, CURLOPT_CAINFO_BLOB, &settings->ca);
    set_blob(easy, CURLOPT_PROXY_CAINFO_BLOB, &settings->ca);
    set_blob(easy, CURLOPT_SSLCERT_BLOB, &settings->certificate);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, &settings->key);
}

static void set_manner(CURL *easy, const struct settings *settings, const char *url)
{
    bool https = strncasecmp(url, "https:", 6) == 0;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    // A connection that may turn out to take several requests is worth the wait for its handshake.
    curl_easy_setopt(easy, CURLOPT_PIPEWAIT, https ? 1L : 0L);
    // The environment's proxies, and its exceptions from them, are for people at a terminal.
    curl_easy_setopt(easy, CURLOPT_PROXY, settings->proxy);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    // A name server that does not answer is waited for by a thread of libcurl, never by this one.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    set_tls(easy, settings);
}

void transfer_prepare(struct transfer *transfer, const struct settings *settings, enum check_kind kind,
                      struct noctule_string body, uint64_t timeout_ms)
{
    CURL *easy = transfer->easy;
    text_reset(&transfer->body);
    transfer->header_bytes = 0;
    transfer->too_long = false;
    transfer->lifetime = (struct transfer_lifetime){0};
    transfer->problem[0] = '\0';
    curl_easy_reset(easy);
    set_manner(easy, settings, settings->endpoints[kind].url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->problem);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.data);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.length);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, settings->method);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, settings->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE, (long)ANSWER_BODY_MAX);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_arrived);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_arrived);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
}

struct transfer *transfer_of(CURL *easy)
{
    void *transfer = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    return transfer;
}

// ---- Ending --------------------------------------------------------------------------------------------

static bool is_too_long(const struct transfer *transfer, CURLcode code)
{
    return transfer->too_long || code == CURLE_FILESIZE_EXCEEDED;
}

static struct answer *failure_answer(const struct transfer *transfer, CURLcode code)
{
    char reason[ANSWER_REASON_MAX + 1];
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        return NULL;
    if (is_too_long(transfer, code))
        snprintf(reason, sizeof reason, "the answer is longer than %d bytes", ANSWER_BODY_MAX);
    else
        snprintf(reason, sizeof reason, "%.*s", ANSWER_REASON_MAX,
                 transfer->problem[0] ? transfer->problem : curl_easy_strerror(code));
    *answer = (struct answer){.references = 1, .verdict = NOCTULE_ERROR, .reason = strdup(reason)};
    return answer;
}

struct answer *transfer_answer(const struct transfer *transfer, const struct settings *settings,
                               enum check_kind kind, CURLcode code)
{
    long status = 0;
    if (code != CURLE_OK)
        return failure_answer(transfer, code);
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    return answer_read(settings->response, kind, status, transfer->body.data, transfer->body.length);
}

enum metric transfer_error(const struct transfer *transfer, const struct answer *answer, CURLcode code)
{
    static const enum metric of_answers[] = {
        [ANSWER_NO_ERROR] = METRICS,
        [ANSWER_ERROR_STATUS] = METRIC_ERRORS_STATUS,
        [ANSWER_ERROR_REDIRECT] = METRIC_ERRORS_REDIRECT,
        [ANSWER_ERROR_BODY] = METRIC_ERRORS_ANSWER,
    };
    if (code == CURLE_OK)
        return answer ? of_answers[answer->error] : METRIC_ERRORS_OTHER;
    if (is_too_long(transfer, code))
        return METRIC_ERRORS_SIZE;
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return METRIC_ERRORS_TIMEOUT;
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return METRIC_ERRORS_CONNECT;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
        return METRIC_ERRORS_TLS;
    default:
        return METRIC_ERRORS_OTHER;
    }
}
