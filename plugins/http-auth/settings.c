#include "settings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, DAY = 24 * 60 * MINUTE };

static const char *const check_names[CHECK_KINDS] = {
    [CHECK_USER] = "user", [CHECK_SUPERUSER] = "superuser", [CHECK_ACL] = "acl"};

void settings_refuse(struct settings_reader *reader, const struct noctule_config *config, const char *key,
                     const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t shown = length < 0 ? 0 : (size_t)length < sizeof text ? (size_t)length : sizeof text - 1;
    reader->host->config_error(config, key, noctule_string_of(text, shown));
    reader->wrong = true;
}

char *settings_copy(struct settings_reader *reader, struct noctule_string string)
{
    char *copy = strndup(string.length ? string.data : "", string.length);
    if (!copy)
        settings_refuse(reader, NULL, NULL, "out of memory");
    return copy;
}

// Notes that a getter has reported something; true: the key is there, and right.
static bool found(struct settings_reader *reader, int32_t result)
{
    reader->wrong |= result < 0;
    return result > 0;
}

static void read_number(struct settings_reader *reader, const struct noctule_config *config, const char *key,
                        int64_t minimum, int64_t maximum, uint32_t *number)
{
    int64_t value;
    if (found(reader, reader->host->config_integer(config, key, minimum, maximum, &value)))
        *number = (uint32_t)value;
}

static void read_duration(struct settings_reader *reader, const struct noctule_config *config,
                          const char *key, uint64_t minimum, uint64_t maximum, uint64_t *milliseconds)
{
    found(reader, reader->host->config_duration(config, key, minimum, maximum, milliseconds));
}

// ---- Where to ask --------------------------------------------------------------------------------------

static bool url_has_scheme(const char *url, const char *scheme)
{
    return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

static void url_check(struct settings_reader *reader, const struct noctule_config *config, const char *url)
{
    CURLU *parsed = curl_url();
    char *fragment = NULL;
    CURLUcode code = parsed ? curl_url_set(parsed, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    bool http = url_has_scheme(url, "http://") || url_has_scheme(url, "https://");
    if (!http)
        settings_refuse(reader, config, "url", "url expects http:// or https://");
    else if (code != CURLUE_OK)
        settings_refuse(reader, config, "url", "url: %s", curl_url_strerror(code));
    else if (curl_url_get(parsed, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
        settings_refuse(reader, config, "url", "url: a `#` and what follows it never reach a server");
    curl_free(fragment);
    curl_url_cleanup(parsed);
}

static void read_endpoints(struct settings_reader *reader, const struct noctule_config *config,
                           struct settings *settings)
{
    bool any = false;
    for (unsigned kind = 0; kind < CHECK_KINDS; kind++) {
        const struct noctule_config *map;
        struct noctule_string url;
        if (!found(reader, reader->host->config_map(config, check_names[kind], &map)))
            continue;
        any = true;
        int32_t result = reader->host->config_string(map, "url", &url);
        if (result == 0)
            settings_refuse(reader, config, check_names[kind],
                            "url is missing (expected %s: {url: http://...})", check_names[kind]);
        if (!found(reader, result))
            continue;
        settings->endpoints[kind].url = settings_copy(reader, url);
        if (settings->endpoints[kind].url)
            url_check(reader, map, settings->endpoints[kind].url);
    }
    if (!any && !reader->wrong)
        settings_refuse(reader, config, NULL,
                        "nothing to ask (expected user: {url: ...}, acl: {url: ...}, or both)");
}

static void read_manner(struct settings_reader *reader, const struct noctule_config *config,
                        struct settings *settings)
{
    static const char *const methods[] = {"POST", "GET", "PUT", NULL};
    static const char *const params[] = {[PARAMS_JSON] = "json", [PARAMS_FORM] = "form", NULL};
    static const char *const responses[] = {
        [ANSWER_STATUS] = "status", [ANSWER_JSON] = "json", [ANSWER_TEXT] = "text", NULL};
    static const char *const refusals[] = {"deny", "next", NULL};
    const struct noctule_host *host = reader->host;
    int32_t method = 0;
    int32_t chosen;
    found(reader, host->config_choice(config, "method", methods, &method));
    settings->method = methods[method];
    if (found(reader, host->config_choice(config, "params", params, &chosen)))
        settings->params = (enum request_params)chosen;
    if (found(reader, host->config_choice(config, "response", responses, &chosen)))
        settings->response = (enum answer_mode)chosen;
    if (found(reader, host->config_choice(config, "on_no", refusals, &chosen)))
        settings->on_no = chosen == 0 ? NOCTULE_DENY : NOCTULE_NEXT;
    if (settings->params == PARAMS_FORM && method == 1)
        settings_refuse(reader, config, "method", "params: form needs method: POST or PUT");
    read_duration(reader, config, "timeout", 100, 10 * MINUTE, &settings->timeout_ms);
    read_number(reader, config, "retries", 0, 10, &settings->retries);
    read_number(reader, config, "connections", 1, 65535, &settings->connections);
    read_number(reader, config, "waiting", 0, 1000000, &settings->waiting);
}

// ---- What to tell --------------------------------------------------------------------------------------

static bool string_is(struct noctule_string string, const char *text)
{
    return string.length == strlen(text) && memcmp(string.data, text, string.length) == 0;
}

static void read_send_name(struct settings_reader *reader, const struct noctule_config *item,
                           struct settings *settings)
{
    struct noctule_string name;
    if (!found(reader, reader->host->config_scalar(item, &name)))
        return;
    unsigned i = 0;
    while (request_send_names[i] && !string_is(name, request_send_names[i]))
        i++;
    if (!request_send_names[i])
        settings_refuse(reader, item, NULL,
                        "send knows address, listener, protocol, certificate_subject, qos, retain and "
                        "payload_size, not `%.*s`",
                        (int)(name.length < 64 ? name.length : 64), name.data);
    else if (settings->send >> i & 1)
        settings_refuse(reader, item, NULL, "send lists `%s` twice", request_send_names[i]);
    settings->send |= 1U << i;
}

static void read_send(struct settings_reader *reader, const struct noctule_config *config,
                      struct settings *settings)
{
    const struct noctule_config *list;
    if (!found(reader, reader->host->config_list(config, "send", &list)))
        return;
    for (size_t i = 0; i < reader->host->config_count(list); i++)
        read_send_name(reader, reader->host->config_at(list, i, NULL), settings);
}

static void read_proxy(struct settings_reader *reader, const struct noctule_config *config,
                       struct settings *settings)
{
    struct noctule_string proxy = {"", 0};
    if (found(reader, reader->host->config_string(config, "proxy", &proxy)) && proxy.length == 0)
        settings_refuse(reader, config, "proxy", "proxy expects a URL such as http://proxy:3128");
    settings->proxy = settings_copy(reader, proxy);
}

// ---- How long it holds ---------------------------------------------------------------------------------

static void read_cache(struct settings_reader *reader, const struct noctule_config *config,
                       struct settings *settings)
{
    const struct noctule_config *map = NULL;
    int32_t honour = 0;
    int64_t entries;
    if (!found(reader, reader->host->config_map(config, "cache", &map)))
        return;
    read_duration(reader, map, "allow", 0, 7 * DAY, &settings->allow_ms);
    read_duration(reader, map, "deny", 0, 7 * DAY, &settings->deny_ms);
    read_duration(reader, map, "jitter", 0, DAY, &settings->jitter_ms);
    read_duration(reader, map, "stale", 0, 7 * DAY, &settings->stale_ms);
    if (found(reader, reader->host->config_integer(map, "entries", 0, 100000000, &entries)))
        settings->entries = (uint64_t)entries;
    found(reader, reader->host->config_bool(map, "honour_cache_control", &honour));
    settings->honour_cache_control = honour != 0;
    if (settings->jitter_ms > settings->allow_ms)
        settings_refuse(reader, map, "jitter", "jitter is longer than what it varies, cache.allow");
    if (settings->stale_ms > 0 && settings->entries == 0)
        settings_refuse(reader, map, "stale", "stale needs entries");
}

static void read_breaker(struct settings_reader *reader, const struct noctule_config *config,
                         uint32_t *failures, uint64_t *probe_ms)
{
    const struct noctule_config *map;
    if (!found(reader, reader->host->config_map(config, "breaker", &map)))
        return;
    read_number(reader, map, "failures", 0, 1000000, failures);
    read_duration(reader, map, "probe", 100, DAY, probe_ms);
}

// A fingerprint of all that decides what is asked, and what an answer means.
static void origin_make(struct settings *settings)
{
    struct text text = {0};
    for (unsigned kind = 0; kind < CHECK_KINDS; kind++) {
        const char *url = settings->endpoints[kind].url ? settings->endpoints[kind].url : "";
        text_add_counted(&text, noctule_string_of(url, strlen(url)));
    }
    for (const struct curl_slist *header = settings->headers; header; header = header->next)
        text_add_counted(&text, noctule_string_of(header->data, strlen(header->data)));
    text_add_c(&text, settings->method);
    text_add_raw(&text, settings->params);
    text_add_raw(&text, settings->response);
    text_add_raw(&text, settings->send);
    settings->origin = XXH3_64bits(text.data, text.length);
    text_free(&text);
}

static bool has_https(const struct settings *settings)
{
    for (unsigned kind = 0; kind < CHECK_KINDS; kind++)
        if (settings->endpoints[kind].url && url_has_scheme(settings->endpoints[kind].url, "https://"))
            return true;
    return settings->proxy && url_has_scheme(settings->proxy, "https://");
}

struct settings *settings_new(const struct noctule_host *host, struct noctule_instance *instance,
                              const struct noctule_config *config)
{
    struct settings_reader reader = {host, instance, false};
    struct settings *settings = calloc(1, sizeof *settings);
    uint32_t failures = 10;
    uint64_t probe_ms = 5 * SECOND;
    if (!settings)
        return NULL;
    *settings = (struct settings){.timeout_ms = 5 * SECOND,
                                  .on_no = NOCTULE_DENY,
                                  .verify = true,
                                  .allow_ms = 30 * SECOND,
                                  .deny_ms = 5 * SECOND,
                                  .entries = 100000,
                                  .connections = 256,
                                  .waiting = 2000};
    // Everything is read before anything is given up, so that one run reports every mistake.
    read_endpoints(&reader, config, settings);
    read_manner(&reader, config, settings);
    read_send(&reader, config, settings);
    read_proxy(&reader, config, settings);
    settings_read_headers(&reader, config, settings);
    settings_read_tls(&reader, config, has_https(settings), settings);
    read_cache(&reader, config, settings);
    read_breaker(&reader, config, &failures, &probe_ms);
    for (unsigned kind = 0; kind < CHECK_KINDS; kind++)
        breaker_init(&settings->endpoints[kind].breaker, failures, probe_ms);
    origin_make(settings);
    if (!reader.wrong)
        return settings;
    settings_free(settings);
    return NULL;
}

void settings_free(struct settings *settings)
{
    for (unsigned kind = 0; kind < CHECK_KINDS; kind++) {
        breaker_destroy(&settings->endpoints[kind].breaker);
        free(settings->endpoints[kind].url);
    }
    curl_slist_free_all(settings->headers);
    free(settings->proxy);
    pem_free(&settings->ca);
    pem_free(&settings->certificate);
    pem_free(&settings->key);
    free(settings);
}
