// A plugin for Mosquitto 2 that asks a web platform about every login and waits for the answer, as plugins
// for it do that have no way to answer later: the stand-in for mosquitto-go-auth in the row slow-backend of
// ./dev bench. Mosquitto has one thread, which calls this; meanwhile nobody else is served.
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

struct platform {
    mosquitto_plugin_id_t *id;
    CURL *curl; ///< keeps its connection
    char *url;
    struct curl_slist *headers;
};

static size_t ignore(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

// The names of ./dev bench need no escapes in JSON; others are refused.
static int is_plain(const char *text)
{
    return text && strpbrk(text, "\"\\") == NULL;
}

static int ask(int event, void *event_data, void *context)
{
    (void)event;
    const struct mosquitto_evt_basic_auth *login = event_data;
    struct platform *platform = context;
    char body[1024];
    long status = 0;
    if (!is_plain(login->username) || !is_plain(login->password))
        return MOSQ_ERR_AUTH;
    int length = snprintf(body, sizeof body, "{\"clientid\":\"%s\",\"password\":\"%s\",\"username\":\"%s\"}",
                          mosquitto_client_id(login->client), login->password, login->username);
    if (length < 0 || (size_t)length >= sizeof body)
        return MOSQ_ERR_AUTH;
    curl_easy_setopt(platform->curl, CURLOPT_POSTFIELDS, body);
    if (curl_easy_perform(platform->curl) != CURLE_OK)
        return MOSQ_ERR_AUTH;
    curl_easy_getinfo(platform->curl, CURLINFO_RESPONSE_CODE, &status);
    return status / 100 == 2 ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH;
}

int mosquitto_plugin_version(int count, const int *versions)
{
    for (int i = 0; i < count; i++)
        if (versions[i] == 5)
            return 5;
    return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **context, struct mosquitto_opt *options, int count)
{
    struct platform *platform = calloc(1, sizeof *platform);
    if (!platform)
        return MOSQ_ERR_NOMEM;
    platform->id = id;
    *context = platform;
    for (int i = 0; i < count; i++)
        if (strcmp(options[i].key, "url") == 0)
            platform->url = strdup(options[i].value);
    platform->curl = curl_easy_init();
    platform->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!platform->url || !platform->curl)
        return MOSQ_ERR_INVAL;
    curl_easy_setopt(platform->curl, CURLOPT_URL, platform->url);
    curl_easy_setopt(platform->curl, CURLOPT_HTTPHEADER, platform->headers);
    curl_easy_setopt(platform->curl, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(platform->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(platform->curl, CURLOPT_TIMEOUT, 10L);
    return mosquitto_callback_register(id, MOSQ_EVT_BASIC_AUTH, ask, NULL, platform);
}

int mosquitto_plugin_cleanup(void *context, struct mosquitto_opt *options, int count)
{
    (void)options;
    (void)count;
    struct platform *platform = context;
    mosquitto_callback_unregister(platform->id, MOSQ_EVT_BASIC_AUTH, ask, NULL);
    curl_easy_cleanup(platform->curl);
    curl_slist_free_all(platform->headers);
    free(platform->url);
    free(platform);
    return MOSQ_ERR_SUCCESS;
}
