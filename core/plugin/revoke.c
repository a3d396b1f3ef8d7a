#include "core/plugin/revoke.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/mqtt/reason.h"
#include "core/plugin/client_state.h"
#include "core/plugin/hook.h"
#include "core/plugin/host_api.h"
#include "core/plugin/instance.h"
#include "core/plugin/worker_state.h"

enum { PLACES_AT_ONCE = 16, SLICE_NS = 300 * 1000 };

/** One revocation, shared by the posts to all workers. Read-only but for the counters. */
struct shared {
    struct revocation what; ///< owns its names
    char *instance;
    _Atomic uint64_t clients;
    _Atomic unsigned left; ///< workers that are not done
};

struct errand {
    struct post post; // first: found again from the post
    struct shared *shared;
    struct client_walk walk;
};

static void tell(const struct revocation *what, uint64_t clients)
{
    log_event(LOG_INFO, "revoked", "what was granted is revoked", LOG_STR("user", what->username),
              LOG_STR("client", what->client_id), LOG_TEXTF("plugin", what->instance),
              LOG_TEXTF("disconnect", what->disconnect ? "yes" : "no"), LOG_NUM("clients", clients));
    if (what->done)
        what->done(what->argument, clients);
}

// One worker is done. The last one tells.
static void shared_leave(struct shared *shared)
{
    if (atomic_fetch_sub(&shared->left, 1) != 1)
        return;
    tell(&shared->what, atomic_load(&shared->clients));
    free((char *)shared->what.username.data);
    free((char *)shared->what.client_id.data);
    free(shared->instance);
    free(shared);
}

static void errand_end(struct errand *errand)
{
    shared_leave(errand->shared);
    free(errand);
}

static bool concerns(const struct revocation *what, const struct client *client)
{
    if (what->client_id.data && !str_equal(what->client_id, client_id(client)))
        return false;
    if (!what->username.data)
        return true;
    struct noctule_string username = client_info(client).username;
    return username.data && str_equal(what->username, str_from(username));
}

static void revoke_client(struct client *client, void *argument)
{
    struct shared *shared = argument;
    client->doubted = true;
    if (!concerns(&shared->what, client))
        return;
    client->revoked = true;
    atomic_fetch_add(&shared->clients, 1);
    if (client->extra)
        grants_revoke(client->extra->grants);
    client_forget_verdicts(client, -1);
    const struct plugin_upcalls *upcalls = &client->worker->host->upcalls;
    if (shared->what.disconnect)
        upcalls->disconnect(client, MQTT_ADMINISTRATIVE_ACTION, STR("revoked"), shared->what.instance);
    else
        upcalls->recheck(client);
}

static void call_hooks(struct noctule_worker *worker, const struct revocation *what)
{
    const struct noctule_revocation told = {.size = sizeof told,
                                            .flags = what->disconnect ? NOCTULE_REVOKE_DISCONNECT : 0,
                                            .username = string_of(what->username),
                                            .client_id = string_of(what->client_id)};
    for (unsigned i = 0; i < instance_count(worker->host); i++) {
        struct noctule_instance *instance = worker->host->instances[i];
        struct hook hook;
        if (!instance->plugin->revoke || !worker->instances[i].entry ||
            !hook_begin(&hook, instance, snapshot_in_force(worker, instance), worker, NULL, NULL))
            continue;
        instance->plugin->revoke(&hook.context, &told);
        hook_end(&hook, "revoke");
    }
}

static void revoke_slice(struct worker *worker, struct post *post)
{
    struct errand *errand = (struct errand *)post;
    uint64_t until = clock_monotonic_ns() + SLICE_NS;
    do {
        if (!client_walk_on(worker, &errand->walk, PLACES_AT_ONCE, revoke_client, errand->shared)) {
            errand_end(errand);
            return;
        }
    } while (clock_monotonic_ns() < until);
    worker_post(worker, post); // others have their turn
}

static void revoke_here(struct worker *worker, struct post *post)
{
    struct errand *errand = (struct errand *)post;
    struct noctule_worker *here = worker_plugins(worker);
    if (!here) {
        errand_end(errand);
        return;
    }
    call_hooks(here, &errand->shared->what);
    client_walk_begin(worker, &errand->walk);
    post->run = revoke_slice;
    revoke_slice(worker, post);
}

bool plugin_revoke(struct plugin_host *host, const struct revocation *revocation)
{
    unsigned count = atomic_load(&host->worker_count);
    if (count == 0 || (!revocation->username.data && !revocation->client_id.data))
        return false;
    struct shared *shared = memory_zalloc(sizeof *shared);
    shared->what = *revocation;
    if (revocation->username.data)
        shared->what.username = str_copy(revocation->username);
    if (revocation->client_id.data)
        shared->what.client_id = str_copy(revocation->client_id);
    if (revocation->instance)
        shared->what.instance = shared->instance = str_to_c(str_of(revocation->instance));
    // One more than there are workers, so that it is still there when the last of them is done at once.
    atomic_store(&shared->left, count + 1);
    bool any = false;
    for (unsigned i = 0; i < count; i++) {
        struct errand *errand = memory_zalloc(sizeof *errand);
        *errand = (struct errand){.post.run = revoke_here, .shared = shared};
        if (plugin_post(&host->own[i], &errand->post))
            any = true;
        else
            errand_end(errand);
    }
    if (!any)
        shared->what.done = NULL;
    shared_leave(shared);
    return any;
}

// ---- For plugins ---------------------------------------------------------------------------------------

static bool name_makes_sense(struct noctule_string name)
{
    return name.data || name.length == 0;
}

int32_t host_revoke(struct noctule_instance *instance, const struct noctule_revocation *what)
{
    struct noctule_revocation given = {0};
    if (!instance || !what || what->size < offsetof(struct noctule_revocation, username))
        return NOCTULE_E_INVALID;
    memcpy(&given, what, what->size < sizeof given ? what->size : sizeof given);
    if ((given.flags & ~NOCTULE_REVOKE_DISCONNECT) || !name_makes_sense(given.username) ||
        !name_makes_sense(given.client_id) || (!given.username.data && !given.client_id.data))
        return NOCTULE_E_INVALID;
    if (instance_workers(instance) == 0)
        return NOCTULE_E_GONE;
    struct revocation revocation = {.username = str_from(given.username),
                                    .client_id = str_from(given.client_id),
                                    .disconnect = (given.flags & NOCTULE_REVOKE_DISCONNECT) != 0,
                                    .instance = instance->name};
    return plugin_revoke(instance->host, &revocation) ? NOCTULE_OK : NOCTULE_E_GONE;
}
