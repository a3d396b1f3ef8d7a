#include "core/plugin/sweep.h"

#include <stdlib.h>

#include "core/base/memory.h"
#include "core/mqtt/reason.h"
#include "core/plugin/client_state.h"
#include "core/plugin/hook.h"

enum { SLICE = 200 };

struct sweep {
    struct post post;
    struct generation *generation;
    struct noctule_instance *instance;
    sweep_fn *visit;
    void (*ended)(struct noctule_worker *worker, struct noctule_instance *instance);
    uint64_t *ids;
    size_t count;
    size_t at;
};

static void sweep_free(struct sweep *sweep)
{
    generation_unref(sweep->generation);
    free(sweep->ids);
    free(sweep);
}

static void sweep_slice(struct worker *worker, struct post *post)
{
    struct sweep *sweep = (struct sweep *)post;
    struct noctule_worker *here = worker_plugins(worker);
    if (!here) {
        sweep_free(sweep);
        return;
    }
    bool current = here->generation == sweep->generation;
    for (size_t i = 0; current && i < SLICE && sweep->at < sweep->count; i++) {
        struct client *client = client_find(worker, sweep->ids[sweep->at++]);
        if (!client)
            continue;
        client_ref(client);
        sweep->visit(client, sweep->instance);
        client_unref(client);
    }
    if (current && sweep->at < sweep->count) {
        worker_post(worker, &sweep->post);
        return;
    }
    if (sweep->ended)
        sweep->ended(here, sweep->instance);
    sweep_free(sweep);
}

void sweep_start(struct noctule_worker *worker, struct noctule_instance *instance, sweep_fn *visit,
                 void (*ended)(struct noctule_worker *worker, struct noctule_instance *instance))
{
    struct sweep *sweep = memory_zalloc(sizeof *sweep);
    sweep->post.run = sweep_slice;
    sweep->generation = generation_ref(worker->generation);
    sweep->instance = instance;
    sweep->visit = visit;
    sweep->ended = ended;
    sweep->ids = client_ids(worker, &sweep->count);
    worker_post(worker->worker, &sweep->post);
}

// ---- After a reload ------------------------------------------------------------------------------------

// Whether the client may stay, as far as this entry is concerned.
static bool revalidate_entry(struct client *client, const struct entry *entry)
{
    struct noctule_worker *worker = client->worker;
    struct noctule_request request = {.entry = entry, .worker = worker, .arena = &worker->scratch};
    struct hook hook;
    noctule_verdict verdict = NOCTULE_ERROR;
    arena_reset(&worker->scratch);
    if (hook_begin(&hook, entry->instance, entry->snapshot, worker, client, &request)) {
        verdict = entry->plugin->revalidate(&hook.context);
        hook_end(&hook, "revalidate");
    }
    if (verdict == NOCTULE_NEXT || verdict == NOCTULE_ALLOW)
        return true;
    if (verdict != NOCTULE_DENY) {
        request.answer = (struct answer){.reason = STR("could not be checked again after a reload")};
        if (!entry->required && entry->error_is_next)
            return true;
    }
    uint8_t code = request.answer.reason_code ? request.answer.reason_code : MQTT_NOT_AUTHORIZED;
    struct str reason =
        request.answer.reason.data ? request.answer.reason : STR("its login does not hold after a reload");
    worker->host->upcalls.disconnect(client, code, reason, entry->instance->name);
    return false;
}

static void revalidate_client(struct client *client, struct noctule_instance *instance)
{
    (void)instance;
    const struct entry_list *list = &client->chain->all;
    for (size_t i = 0; i < list->count; i++) {
        const struct entry *entry = list->entries[i];
        if (entry->plugin->revalidate && client_was_let_in(client, entry->instance->index) &&
            !revalidate_entry(client, entry))
            return;
    }
}

void plugin_worker_revalidate(struct worker *worker)
{
    struct noctule_worker *here = worker_plugins(worker);
    if (!here || !here->generation)
        return;
    const struct generation *generation = here->generation;
    for (size_t i = 0; i < generation->entry_count; i++) {
        if (!generation->entries[i].plugin->revalidate)
            continue;
        sweep_start(here, NULL, revalidate_client, NULL);
        return;
    }
}
