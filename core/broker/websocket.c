// WebSocket of the listeners: what their settings ask for, on each connection that is accepted.
#include "core/broker/state.h"
#include "core/net/websocket.h"

static void release(void *generation)
{
    generation_unref(generation);
}

bool websocket_begin(struct broker_worker *here, struct connection *connection)
{
    const struct listener_settings *settings = listeners_settings(here, connection->listener);
    if (!settings || !settings->websocket)
        return true;
    struct upgrade_rules rules = {
        .path = settings->websocket->path,
        .origins = settings->websocket->origins,
        .origin_count = settings->websocket->origin_count,
        .any_origin = settings->websocket->any_origin,
        .proxies = settings->proxy.from,
        .proxy_count = settings->proxy.from_count,
    };
    // The rules are the settings' own, and a reload may come before the upgrade is done.
    struct generation *generation = generation_ref(plugin_worker_generation(here->worker));
    struct transport *layer = websocket_new(&rules, release, generation);
    if (layer)
        stream_push(&connection->stream, layer);
    return layer != NULL;
}
