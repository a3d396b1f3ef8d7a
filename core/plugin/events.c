#include "core/plugin/events.h"

#include "core/base/clock.h"
#include "core/plugin/client_state.h"
#include "core/plugin/generation.h"
#include "core/plugin/hook.h"

static void tell(struct noctule_worker *worker, const struct chain *chain, struct client *client,
                 struct noctule_event *event)
{
    event->size = sizeof *event;
    event->time_ms = clock_wall_ms();
    for (size_t i = 0; i < chain->events.count; i++) {
        const struct entry *entry = chain->events.entries[i];
        struct hook hook;
        if (!(entry->plugin->event_mask & event->event) ||
            !hook_begin(&hook, entry->instance, entry->snapshot, worker, client, NULL))
            continue;
        entry->plugin->event(&hook.context, event);
        hook_end(&hook, "event");
    }
}

bool chain_takes_event(const struct client *client, uint32_t event)
{
    return (client->chain->event_mask & event) != 0;
}

bool plugin_worker_takes_event(struct worker *worker, uint32_t event)
{
    struct noctule_worker *here = worker_plugins(worker);
    return here && here->generation && (generation_all(here->generation)->event_mask & event) != 0;
}

void tell_event(struct worker *worker, struct client *client, struct noctule_event *event)
{
    struct noctule_worker *here = worker_plugins(worker);
    if (!here || !here->generation)
        return;
    tell(here, client ? client->chain : generation_all(here->generation), client, event);
}

void tell_freed(struct client *client)
{
    if (!chain_takes_event(client, NOCTULE_EVENT_CLIENT_FREED))
        return;
    struct noctule_event event = {.event = NOCTULE_EVENT_CLIENT_FREED,
                                  .client_id = string_of(client_id(client))};
    tell(client->worker, client->chain, client, &event);
}
