// What plugins do about clients, and what they publish.
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/plugin/client_state.h"
#include "core/plugin/hook.h"
#include "core/plugin/host_api.h"
#include "core/plugin/instance.h"
#include "core/plugin/sweep.h"
#include "core/plugin/worker_state.h"

enum { PUBLICATIONS_MAX = 65536 };

// The worker that a connection id names, or NULL.
static struct noctule_worker *home_of(const struct noctule_instance *instance, uint64_t connection_id)
{
    struct plugin_host *host = instance->host;
    uint64_t index = connection_id & ((1U << CONNECTION_WORKER_BITS) - 1);
    return index < instance_workers(instance) ? &host->own[index] : NULL;
}

// ---- Data ----------------------------------------------------------------------------------------------

uint64_t host_client_data(struct noctule_instance *instance, const struct noctule_client *client)
{
    if (!instance || !client || !worker_is_here(client_of(client)->worker))
        return 0;
    return client_data_get(client_of(client), instance->index);
}

int32_t host_set_client_data(struct noctule_instance *instance, struct noctule_client *client, uint64_t data)
{
    if (!instance || !client)
        return NOCTULE_E_INVALID;
    if (!worker_is_here(client_of(client)->worker))
        return NOCTULE_E_THREAD;
    client_data_set(client_of(client), instance->index, data);
    return NOCTULE_OK;
}

// ---- Errands -------------------------------------------------------------------------------------------

/** Something to be done on a client's worker, or on every worker. */
struct client_errand {
    struct post post;
    struct noctule_instance *instance;
    uint64_t connection_id;
    noctule_client_fn function;
    void *argument;
    void (*release)(void *argument);
    struct str reason;
    uint8_t reason_code;
};

static void errand_free(struct client_errand *errand)
{
    free((char *)errand->reason.data);
    free(errand);
}

// Sends a copy of `errand` to `worker`.
static int32_t errand_send(struct noctule_worker *worker, const struct client_errand *errand)
{
    if (!worker)
        return NOCTULE_E_GONE;
    struct client_errand *sent = memory_alloc(sizeof *sent);
    *sent = *errand;
    if (errand->reason.data)
        sent->reason = str_copy(errand->reason);
    if (plugin_post(worker, &sent->post))
        return NOCTULE_OK;
    errand_free(sent);
    return NOCTULE_E_GONE;
}

static void disconnect_here(struct worker *worker, struct post *post)
{
    struct client_errand *errand = (struct client_errand *)post;
    struct client *client = client_find(worker, errand->connection_id);
    if (client) {
        client_ref(client);
        client->worker->host->upcalls.disconnect(client, errand->reason_code, errand->reason,
                                                 errand->instance->name);
        client_unref(client);
    }
    errand_free(errand);
}

int32_t host_disconnect(struct noctule_instance *instance, uint64_t connection_id, uint8_t reason_code,
                        struct noctule_string reason)
{
    if (!instance || (!reason.data && reason.length))
        return NOCTULE_E_INVALID;
    struct client_errand errand = {.post.run = disconnect_here,
                                   .instance = instance,
                                   .connection_id = connection_id,
                                   .reason = str_from(reason),
                                   .reason_code = reason_code};
    return errand_send(home_of(instance, connection_id), &errand);
}

static void run_here(struct worker *worker, struct post *post)
{
    struct client_errand *errand = (struct client_errand *)post;
    struct noctule_worker *here = worker_plugins(worker);
    struct client *client = client_find(worker, errand->connection_id);
    struct hook hook;
    if (client &&
        hook_begin(&hook, errand->instance, snapshot_in_force(here, errand->instance), here, client, NULL)) {
        errand->function(&hook.context, errand->argument);
        hook_end(&hook, "run_on_client");
    }
    if (errand->release)
        errand->release(errand->argument);
    errand_free(errand);
}

int32_t host_run_on_client(struct noctule_instance *instance, uint64_t connection_id,
                           noctule_client_fn function, void *argument, void (*release)(void *argument))
{
    if (!instance || !function)
        return NOCTULE_E_INVALID;
    struct client_errand errand = {.post.run = run_here,
                                   .instance = instance,
                                   .connection_id = connection_id,
                                   .function = function,
                                   .argument = argument,
                                   .release = release};
    int32_t result = errand_send(home_of(instance, connection_id), &errand);
    if (result != NOCTULE_OK && release)
        release(argument);
    return result;
}

// ---- Verdicts that do not hold any more ----------------------------------------------------------------

static void recheck_client(struct client *client, struct noctule_instance *instance)
{
    (void)instance;
    client->worker->host->upcalls.recheck(client);
}

static void recheck_ended(struct noctule_worker *worker, struct noctule_instance *instance);

static void recheck_all(struct noctule_worker *worker, struct noctule_instance *instance)
{
    worker->instances[instance->index].rechecking = true;
    sweep_start(worker, instance, recheck_client, recheck_ended);
}

// What was asked for while the sweep ran is done by one more.
static void recheck_ended(struct noctule_worker *worker, struct noctule_instance *instance)
{
    struct instance_worker *here = &worker->instances[instance->index];
    bool again = here->recheck_again;
    here->rechecking = here->recheck_again = false;
    if (again)
        recheck_all(worker, instance);
}

static void forget_all(struct noctule_worker *worker, const struct noctule_instance *instance)
{
    for (size_t i = 0; i < worker->clients.capacity; i++)
        for (struct client *client = worker->clients.buckets[i]; client; client = client->next)
            client_forget_verdicts(client, instance->index);
}

static void invalidate_here(struct worker *worker, struct post *post)
{
    struct client_errand *errand = (struct client_errand *)post;
    struct noctule_worker *here = worker_plugins(worker);
    struct client *client = errand->connection_id ? client_find(worker, errand->connection_id) : NULL;
    if (client) {
        client_ref(client);
        client_forget_verdicts(client, errand->instance->index);
        here->host->upcalls.recheck(client);
        client_unref(client);
    } else if (here && !errand->connection_id) {
        forget_all(here, errand->instance);
        struct instance_worker *state = &here->instances[errand->instance->index];
        if (state->rechecking)
            state->recheck_again = true;
        else
            recheck_all(here, errand->instance);
    }
    errand_free(errand);
}

int32_t host_invalidate(struct noctule_instance *instance, uint64_t connection_id)
{
    if (!instance)
        return NOCTULE_E_INVALID;
    struct client_errand errand = {
        .post.run = invalidate_here, .instance = instance, .connection_id = connection_id};
    if (connection_id)
        return errand_send(home_of(instance, connection_id), &errand);
    struct plugin_host *host = instance->host;
    unsigned count = instance_workers(instance);
    int32_t result = count ? NOCTULE_OK : NOCTULE_E_GONE;
    for (unsigned i = 0; i < count; i++)
        if (errand_send(&host->own[i], &errand) != NOCTULE_OK)
            result = NOCTULE_E_GONE;
    return result;
}

// ---- Publishing ----------------------------------------------------------------------------------------

struct parcel {
    struct post post;
    struct noctule_instance *instance;
    struct message *message;
};

static void publish_here(struct worker *worker, struct post *post)
{
    struct parcel *parcel = (struct parcel *)post;
    struct noctule_worker *here = worker_plugins(worker);
    atomic_fetch_sub(&parcel->instance->publications, 1);
    if (here)
        here->host->upcalls.publish(worker, parcel->message);
    else
        message_unref(parcel->message);
    free(parcel);
}

// The caller's own worker, so that what a hook publishes keeps its order; else always the same one of the
// instance's.
static struct noctule_worker *publishing_worker(const struct noctule_instance *instance)
{
    struct plugin_host *host = instance->host;
    unsigned count = instance_workers(instance);
    if (count == 0)
        return NULL;
    struct worker *here = worker_current();
    return here && here->index < count ? &host->own[here->index] : &host->own[instance->index % count];
}

int32_t host_publish(struct noctule_instance *instance, const struct noctule_publication *publication)
{
    if (!instance)
        return NOCTULE_E_INVALID;
    struct noctule_worker *worker = publishing_worker(instance);
    if (!worker)
        return NOCTULE_E_GONE;
    if (atomic_load(&instance->publications) >= PUBLICATIONS_MAX)
        return NOCTULE_E_LIMIT;
    int32_t why;
    struct message *message = publication_message(instance, publication, &why);
    if (!message)
        return why;
    struct parcel *parcel = memory_alloc(sizeof *parcel);
    *parcel = (struct parcel){.post.run = publish_here, .instance = instance, .message = message};
    atomic_fetch_add(&instance->publications, 1);
    if (plugin_post(worker, &parcel->post))
        return NOCTULE_OK;
    atomic_fetch_sub(&instance->publications, 1);
    message_unref(message);
    free(parcel);
    return NOCTULE_E_GONE;
}
