#include "core/plugin/worker_state.h"

#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/plugin/client_state.h"
#include "core/plugin/generation.h"
#include "core/plugin/host_api.h"
#include "core/plugin/instance.h"

bool plugin_post(struct noctule_worker *worker, struct post *post)
{
    pthread_mutex_lock(&worker->gate);
    bool open = worker->open;
    if (open)
        worker_post(worker->worker, post);
    pthread_mutex_unlock(&worker->gate);
    return open;
}

bool worker_is_here(const struct noctule_worker *worker)
{
    return worker && worker_current() == worker->worker;
}

static void instance_up(struct noctule_worker *worker, struct noctule_instance *instance, bool starting)
{
    struct instance_worker *here = &worker->instances[instance->index];
    if (here->up || here->failed)
        return;
    const struct noctule_plugin *plugin = instance->plugin;
    int32_t result =
        plugin->worker_up ? plugin->worker_up(instance->state, worker, &here->state) : NOCTULE_OK;
    here->up = result == NOCTULE_OK;
    here->failed = !here->up;
    if (here->up)
        return;
    if (starting)
        log_fatal("plugin \"%s\" refuses to start on worker %u", instance->name, worker->index);
    log_event(LOG_ERROR, "plugin_not_up", "a plugin refuses to start on a worker: its hooks fail there",
              LOG_TEXTF("plugin", instance->name), LOG_NUM("worker", worker->index));
}

static void entries_switch(struct noctule_worker *worker, const struct generation *generation, bool starting)
{
    struct plugin_host *host = worker->host;
    for (unsigned i = 0; i < instance_count(host); i++) {
        struct noctule_instance *instance = host->instances[i];
        struct instance_worker *here = &worker->instances[i];
        const struct entry *before = here->entry;
        here->entry = generation_entry(generation, instance);
        if (here->entry)
            instance_up(worker, instance, starting);
        if (before && !here->entry)
            loop_pause(worker, instance);
        else if (!before && here->entry)
            loop_resume(worker, instance);
    }
}

void plugin_worker_switch(struct worker *worker, struct generation *generation)
{
    struct noctule_worker *here = worker_plugins(worker);
    struct generation *old = here->generation;
    here->generation = generation_ref(generation);
    entries_switch(here, generation, old == NULL);
    for (size_t i = 0; i < here->clients.capacity; i++) {
        for (struct client *client = here->clients.buckets[i]; client; client = client->next) {
            client_set_chain(client, generation);
            client_forget_verdicts(client, -1);
        }
    }
    generation_unref(old);
}

struct generation *plugin_worker_generation(struct worker *worker)
{
    struct noctule_worker *here = worker_plugins(worker);
    return here ? here->generation : NULL;
}

static void end_decisions(struct noctule_worker *worker)
{
    for (size_t i = 0; i < worker->clients.capacity; i++) {
        // Whoever is told may give up clients, so the bucket is looked at anew each time.
        struct client *client = worker->clients.buckets[i];
        while (client) {
            if (!client->decisions) {
                client = client->next;
                continue;
            }
            decisions_end(&client_ref(client)->decisions);
            client_unref(client);
            client = worker->clients.buckets[i];
        }
    }
    decisions_end(&worker->orphans);
}

void plugin_worker_down(struct worker *worker)
{
    struct noctule_worker *here = worker_plugins(worker);
    struct plugin_host *host = here->host;
    if (here->generation)
        end_decisions(here);
    pthread_mutex_lock(&here->gate);
    here->open = false;
    pthread_mutex_unlock(&here->gate);
    for (unsigned i = instance_count(host); i > 0; i--) {
        struct noctule_instance *instance = host->instances[i - 1];
        struct instance_worker *state = &here->instances[i - 1];
        if (state->up && instance->plugin->worker_down)
            instance->plugin->worker_down(instance->state, here, state->state);
        loop_clear(here, instance);
        state->up = false;
        state->entry = NULL;
    }
    worker->plugins = NULL;
    generation_unref(here->generation);
    here->generation = NULL;
}
