/* prometheus: serves the broker's metrics over HTTP, in the formats that Prometheus reads. A thread of its
 * own does all the work; a timer of the first worker only tells it, after a start or a reload, where to
 * listen. */
#include <noctule/plugin.h>

#include <event2/util.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"
#include "token.h"

#ifndef NOCTULE_PLUGIN_VERSION
#define NOCTULE_PLUGIN_VERSION "0"
#endif

enum {
    LOOK_MS = 500, /* a reload that changes something is seen after this at the latest */
    FIRST_MS = 1,
};

struct prometheus {
    const struct noctule_host *host;
    struct noctule_instance *instance;
    uint64_t builds;       /* main thread: counts them */
    unsigned snapshots;    /* main thread: how many there are */
    struct server *server; /* worker 0's, or the main thread's while that does not call */
    uint64_t in_force;     /* number of the snapshot that the server was told about; 0: none */
};

struct prometheus_snapshot {
    uint64_t number;
    struct server_settings settings;
};

static int32_t prometheus_init(const struct noctule_host *host, struct noctule_instance *instance,
                               void **state)
{
    struct prometheus *plugin = calloc(1, sizeof(*plugin));
    if (!plugin)
        return NOCTULE_E_MEMORY;
    plugin->host = host;
    plugin->instance = instance;
    *state = plugin;
    return NOCTULE_OK;
}

static void prometheus_fini(void *state)
{
    struct prometheus *plugin = state;
    if (plugin->server)
        server_free(plugin->server);
    free(plugin);
}

/* ---- configuration ---- */

static void snapshot_free(struct prometheus_snapshot *snapshot)
{
    free(snapshot->settings.bind);
    free(snapshot->settings.token);
    free(snapshot);
}

/* Numbers only: a name would have to be looked up, and could mean many addresses. */
static bool read_bind(const struct prometheus *plugin, const struct noctule_config *config,
                      struct server_settings *settings)
{
    struct noctule_string bind = NOCTULE_STRING("127.0.0.1:9464");
    if (plugin->host->config_string(config, "bind", &bind) < 0)
        return false;
    settings->bind = strndup(bind.data, bind.length);
    settings->address_length = sizeof(settings->address);
    uint16_t port = 0;
    if (settings->bind && evutil_parse_sockaddr_port(settings->bind, (struct sockaddr *)&settings->address,
                                                     &settings->address_length) == 0)
        port = settings->address.ss_family == AF_INET6
                   ? ((const struct sockaddr_in6 *)&settings->address)->sin6_port
                   : ((const struct sockaddr_in *)&settings->address)->sin_port;
    if (port)
        return true;
    plugin->host->config_error(
        config, "bind",
        NOCTULE_STRING("bind is no address with a port (expected such as 127.0.0.1:9464 or [::1]:9464)"));
    return false;
}

static bool read_token(const struct prometheus *plugin, const struct noctule_config *config,
                       struct server_settings *settings)
{
    struct noctule_string token = {NULL, 0};
    struct noctule_string file = {NULL, 0};
    int32_t has_token = plugin->host->config_string(config, "token", &token);
    int32_t has_file = plugin->host->config_path(config, "token_file", &file);
    if (has_token < 0 || has_file < 0)
        return false;
    if (has_token && has_file) {
        plugin->host->config_error(config, "token_file",
                                   NOCTULE_STRING("token and token_file exclude each other"));
        return false;
    }
    const char *problem = NULL;
    if (has_token)
        settings->token = token_copy(token.data, token.length, &problem);
    else if (has_file)
        settings->token = token_read(file.data, file.length, &problem);
    if (problem && has_file)
        plugin->host->file_error(plugin->instance, file, 0, noctule_string_of(problem, strlen(problem)));
    else if (problem)
        plugin->host->config_error(config, "token", noctule_string_of(problem, strlen(problem)));
    return !problem;
}

static int32_t prometheus_build(void *state, const struct noctule_config *config, void **snapshot)
{
    struct prometheus *plugin = state;
    struct prometheus_snapshot *made = calloc(1, sizeof(*made));
    if (!made)
        return NOCTULE_E_MEMORY;
    bool good = read_bind(plugin, config, &made->settings);
    good &= read_token(plugin, config, &made->settings);
    if (!good) {
        snapshot_free(made);
        return NOCTULE_E_INVALID;
    }
    made->number = ++plugin->builds;
    plugin->snapshots++;
    *snapshot = made;
    return NOCTULE_OK;
}

/* When the last snapshot goes, the entry has left the configuration, and nothing is served any more. */
static void prometheus_retire(void *state, void *snapshot)
{
    struct prometheus *plugin = state;
    snapshot_free(snapshot);
    if (--plugin->snapshots > 0)
        return;
    plugin->in_force = 0;
    if (plugin->server)
        server_set(plugin->server, NULL);
}

/* ---- the first worker ---- */

static void look(const struct noctule_context *context, void *argument)
{
    struct prometheus *plugin = context->state;
    const struct prometheus_snapshot *snapshot = context->snapshot;
    if (!plugin->server)
        plugin->server = server_new(plugin->host, plugin->instance);
    if (plugin->server && snapshot->number != plugin->in_force) {
        plugin->in_force = snapshot->number;
        server_set(plugin->server, &snapshot->settings);
    }
    plugin->host->timer_start(plugin->instance, context->worker, LOOK_MS, look, argument);
}

static int32_t prometheus_worker_up(void *state, struct noctule_worker *worker, void **worker_state)
{
    struct prometheus *plugin = state;
    *worker_state = NULL;
    if (plugin->host->worker_index(worker) != 0)
        return NOCTULE_OK;
    return plugin->host->timer_start(plugin->instance, worker, FIRST_MS, look, NULL) ? NOCTULE_OK
                                                                                     : NOCTULE_E_MEMORY;
}

/* Before the broker takes apart what scrapes read. */
static void prometheus_worker_down(void *state, struct noctule_worker *worker, void *worker_state)
{
    struct prometheus *plugin = state;
    (void)worker_state;
    if (plugin->host->worker_index(worker) != 0 || !plugin->server)
        return;
    server_free(plugin->server);
    plugin->server = NULL;
}

static const struct noctule_plugin prometheus_plugin = {
    .size = sizeof(struct noctule_plugin),
    .abi_major = NOCTULE_ABI_MAJOR,
    .abi_minor = 1, /* labels of metrics */
    .name = "prometheus",
    .version = NOCTULE_PLUGIN_VERSION,
    .description = "Serves metrics over HTTP in the formats of Prometheus and OpenMetrics",
    .license = "MIT",
    .init = prometheus_init,
    .fini = prometheus_fini,
    .build = prometheus_build,
    .retire = prometheus_retire,
    .worker_up = prometheus_worker_up,
    .worker_down = prometheus_worker_down,
};

NOCTULE_PLUGIN_ENTRY(prometheus_plugin)
