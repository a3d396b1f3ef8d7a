/* Logs every event, and keeps a number for every client, which CLIENT_FREED must still find. */
#include "common.h"

static const char *const names[] = {
    "connected",     "disconnected",    "login-failed", "session-created", "session-resumed",
    "session-taken", "session-expired", "subscribed",   "unsubscribed",    "message-delivered",
    "message-acked", "message-dropped", "client-freed"};

static void event(const struct noctule_context *context, const struct noctule_event *event)
{
    struct noctule_instance *instance = instance_of(context);
    unsigned number = 0;
    while (!(event->event >> number & 1))
        number++;
    uint64_t data = 0;
    uint64_t connection = 0;
    if (context->client) {
        connection = host->client_info(context->client)->connection_id;
        data = host->client_data(instance, context->client);
        host->set_client_data(instance, context->client, data + 1);
    }
    say(instance, "event %s client %.*s topic %.*s code %02x qos %d reason \"%.*s\" nth %llu connection %s",
        names[number], ARG(event->client_id), ARG(event->topic), event->reason_code, event->qos,
        ARG(event->reason), (unsigned long long)data, connection ? "known" : "none");
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("recorder"),
    .event_mask = 0x1FFF,
    .init = test_init,
    .fini = test_fini,
    .event = event,
};

NOCTULE_PLUGIN_ENTRY(plugin)
