#include "core/plugin/host.h"

#include <stdlib.h>

#include "core/base/memory.h"
#include "core/plugin/helpers.h"
#include "core/plugin/host_api.h"
#include "core/plugin/instance.h"
#include "core/plugin/module.h"
#include "core/plugin/ticket.h"

struct plugin_host *_Atomic the_plugin_host;

struct plugin_host *plugin_host_new(const struct plugin_upcalls *upcalls)
{
    struct plugin_host *host = memory_zalloc(sizeof *host);
    host->upcalls = *upcalls;
    pthread_mutex_init(&host->retired_lock, NULL);
    atomic_store(&the_plugin_host, host);
    return host;
}

void plugin_host_start(struct plugin_host *host, struct worker *workers, unsigned helper_threads)
{
    host->workers = workers;
    host->helper_threads = helper_threads ? helper_threads : 1;
    host->own = memory_zalloc(workers->count * sizeof *host->own);
    for (unsigned i = 0; i < workers->count; i++) {
        struct noctule_worker *own = &host->own[i];
        own->worker = &workers[i];
        own->host = host;
        own->index = i;
        pthread_mutex_init(&own->gate, NULL);
        own->open = true;
        workers[i].plugins = own;
    }
    // Any thread of a plugin may look: the count last.
    atomic_store(&host->worker_count, workers->count);
    helpers_start(host);
}

void plugin_host_stop(struct plugin_host *host)
{
    helpers_stop(host);
}

void plugin_host_free(struct plugin_host *host)
{
    tickets_close(host);
    plugin_host_retire(host);
    for (unsigned i = instance_count(host); i > 0; i--)
        instance_free(host->instances[i - 1]);
    host->finished = true;
    plugin_host_retire(host);
    atomic_store(&the_plugin_host, NULL);
    for (unsigned i = 0; i < host->worker_count; i++) {
        arena_free(&host->own[i].scratch);
        free(host->own[i].clients.buckets);
        pthread_mutex_destroy(&host->own[i].gate);
    }
    free(host->own);
    modules_free(host);
    pthread_mutex_destroy(&host->retired_lock);
    free(host);
}
