/* sys-stats: publishes what the broker counts under $SYS/broker/, with Mosquitto's names, so that dashboards
 * made for that go on working. A timer of the first worker reads the metrics and publishes what has changed.
 * All state belongs to that timer; retire and fini run when it rests. */
#include <noctule/plugin.h>

#include <stdlib.h>
#include <string.h>

#include "tree.h"

#ifndef NOCTULE_PLUGIN_VERSION
#define NOCTULE_PLUGIN_VERSION "0"
#endif

enum {
    LOOK_MS = 1000, /* a reload that changes the interval is seen after this at the latest */
    FIRST_MS = 20,
    INTERVAL_MS = 10000,
    INTERVAL_LEAST_MS = 100,
    INTERVAL_MOST_MS = 24 * 3600 * 1000,
};

struct sys_stats {
    const struct noctule_host *host;
    struct noctule_instance *instance;
    struct topics topics;
    struct tree tree;
    uint64_t published_ms; /* 0: not since this entry is in force */
    unsigned snapshots;    /* main thread: how many there are */
};

struct sys_stats_snapshot {
    uint64_t interval_ms; /* 0: publish nothing */
};

static int32_t sys_stats_init(const struct noctule_host *host, struct noctule_instance *instance,
                              void **state)
{
    struct sys_stats *plugin = calloc(1, sizeof(*plugin));
    if (!plugin)
        return NOCTULE_E_MEMORY;
    plugin->host = plugin->topics.host = host;
    plugin->instance = plugin->topics.instance = instance;
    *state = plugin;
    return NOCTULE_OK;
}

static void forget(struct sys_stats *plugin)
{
    topics_clear(&plugin->topics);
    tree_clear(&plugin->tree);
    plugin->published_ms = 0;
}

static void sys_stats_fini(void *state)
{
    forget(state);
    free(state);
}

static int32_t sys_stats_build(void *state, const struct noctule_config *config, void **snapshot)
{
    struct sys_stats *plugin = state;
    struct sys_stats_snapshot *made = calloc(1, sizeof(*made));
    if (!made)
        return NOCTULE_E_MEMORY;
    made->interval_ms = INTERVAL_MS;
    int32_t result =
        plugin->host->config_duration(config, "interval", 0, INTERVAL_MOST_MS, &made->interval_ms);
    if (result > 0 && made->interval_ms > 0 && made->interval_ms < INTERVAL_LEAST_MS) {
        plugin->host->config_error(config, "interval",
                                   NOCTULE_STRING("interval is too short (expected at least 100ms, or 0s "
                                                  "to publish nothing)"));
        result = NOCTULE_E_INVALID;
    }
    if (result < 0) {
        free(made);
        return NOCTULE_E_INVALID;
    }
    plugin->snapshots++;
    *snapshot = made;
    return NOCTULE_OK;
}

/* When the last snapshot goes, the entry has left the configuration: what it published would stay for ever,
 * and be wrong. At the broker's end nobody is left to tell, and the host says so. */
static void sys_stats_retire(void *state, void *snapshot)
{
    struct sys_stats *plugin = state;
    free(snapshot);
    if (--plugin->snapshots == 0)
        forget(plugin);
}

static void update(struct sys_stats *plugin, uint64_t now_ms)
{
    struct readings readings;
    readings_take(&readings, plugin->host);
    tree_update(&plugin->tree, &plugin->topics, &readings, now_ms, plugin->host->wall_ms());
    plugin->published_ms = now_ms;
}

static void tick(const struct noctule_context *context, void *argument)
{
    struct sys_stats *plugin = context->state;
    const struct sys_stats_snapshot *snapshot = context->snapshot;
    uint64_t now_ms = plugin->host->monotonic_ms();
    uint64_t interval_ms = snapshot->interval_ms;
    if (interval_ms == 0)
        forget(plugin);
    else if (!plugin->published_ms || now_ms - plugin->published_ms >= interval_ms)
        update(plugin, now_ms);
    uint64_t next_ms = LOOK_MS;
    if (interval_ms > 0) {
        uint64_t left_ms = plugin->published_ms + interval_ms - now_ms;
        next_ms = left_ms < LOOK_MS ? left_ms : LOOK_MS;
    }
    plugin->host->timer_start(plugin->instance, context->worker, next_ms, tick, argument);
}

static int32_t sys_stats_worker_up(void *state, struct noctule_worker *worker, void **worker_state)
{
    struct sys_stats *plugin = state;
    *worker_state = NULL;
    if (plugin->host->worker_index(worker) != 0)
        return NOCTULE_OK;
    return plugin->host->timer_start(plugin->instance, worker, FIRST_MS, tick, NULL) ? NOCTULE_OK
                                                                                     : NOCTULE_E_MEMORY;
}

static const struct noctule_plugin sys_stats_plugin = {
    .size = sizeof(struct noctule_plugin),
    .abi_major = NOCTULE_ABI_MAJOR,
    .abi_minor = 1, /* labels of metrics */
    .name = "sys-stats",
    .version = NOCTULE_PLUGIN_VERSION,
    .description = "Publishes statistics under $SYS/broker/, with Mosquitto's names",
    .license = "MIT",
    .init = sys_stats_init,
    .fini = sys_stats_fini,
    .build = sys_stats_build,
    .retire = sys_stats_retire,
    .worker_up = sys_stats_worker_up,
};

NOCTULE_PLUGIN_ENTRY(sys_stats_plugin)
