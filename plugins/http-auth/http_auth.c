/*
 * http-auth: a web platform decides, asked over HTTP as mosquitto-go-auth asks it, and richer where it
 * answers richer.
 *
 * A snapshot is one configuration. Each worker has an exchange of its own: cache, requests and connections
 * belong to it alone, so nothing on the way of a message takes a lock. Nothing blocks: libcurl runs on the
 * worker's loop.
 */
#include "decide.h"
#include "wipe.h"

#include <stdlib.h>

static int32_t http_auth_init(const struct noctule_host *host, struct noctule_instance *instance,
                              void **state)
{
    if (!wipe_global_init())
        return NOCTULE_E_INVALID;
    struct instance *made = calloc(1, sizeof *made);
    if (!made || !secret_make(&made->secret)) {
        free(made);
        curl_global_cleanup();
        return NOCTULE_E_MEMORY;
    }
    made->host = host;
    made->handle = instance;
    metrics_new(&made->metrics, host, instance);
    *state = made;
    return NOCTULE_OK;
}

static void http_auth_fini(void *state)
{
    free(state);
    curl_global_cleanup();
}

static int32_t http_auth_build(void *state, const struct noctule_config *config, void **snapshot)
{
    const struct instance *instance = state;
    *snapshot = settings_new(instance->host, instance->handle, config);
    return *snapshot ? NOCTULE_OK : NOCTULE_E_INVALID;
}

static void http_auth_retire(void *state, void *snapshot)
{
    const struct instance *instance = state;
    struct settings *settings = snapshot;
    // The breakers go with their configuration; those that were open are so no more.
    for (unsigned kind = 0; kind < CHECK_KINDS; kind++)
        metrics_add(&instance->metrics, METRIC_BREAKERS_OPEN,
                    -(int64_t)breaker_is_open(settings_breaker(settings, (enum check_kind)kind)));
    settings_free(settings);
}

static int32_t http_auth_worker_up(void *state, struct noctule_worker *worker, void **worker_state)
{
    *worker_state = exchange_new(state, worker);
    return *worker_state ? NOCTULE_OK : NOCTULE_E_MEMORY;
}

static void http_auth_worker_down(void *state, struct noctule_worker *worker, void *worker_state)
{
    (void)state;
    (void)worker;
    exchange_free(worker_state);
}

static uint32_t http_auth_access_wanted(void *state, void *snapshot)
{
    (void)state;
    const struct settings *settings = snapshot;
    return settings->endpoints[CHECK_ACL].url || settings->endpoints[CHECK_SUPERUSER].url ? NOCTULE_ACCESS_ALL
                                                                                          : 0;
}

static noctule_verdict http_auth_authenticate(const struct noctule_context *context,
                                              const struct noctule_login *login)
{
    return decide_login(context->state, context, login);
}

static noctule_verdict http_auth_authorize(const struct noctule_context *context,
                                           const struct noctule_access *access)
{
    return decide_access(context->state, context, access);
}

static void http_auth_revoke(const struct noctule_context *context, const struct noctule_revocation *what)
{
    exchange_forget(context->worker_state, what->username, what->client_id);
}

static const struct noctule_plugin PLUGIN = {
    .size = sizeof(struct noctule_plugin),
    .abi_major = NOCTULE_ABI_MAJOR,
    .abi_minor = 1,
    .name = "http-auth",
    .version = NOCTULE_PLUGIN_VERSION,
    .description = "Asks a web platform over HTTP (mosquitto-go-auth's contract, EMQX's richer answers)",
    .license = "MIT",
    .authorize_mask = NOCTULE_ACCESS_ALL,
    .init = http_auth_init,
    .fini = http_auth_fini,
    .build = http_auth_build,
    .retire = http_auth_retire,
    .worker_up = http_auth_worker_up,
    .worker_down = http_auth_worker_down,
    .authenticate = http_auth_authenticate,
    .authorize = http_auth_authorize,
    .access_wanted = http_auth_access_wanted,
    .revoke = http_auth_revoke,
};

NOCTULE_PLUGIN_ENTRY(PLUGIN)
