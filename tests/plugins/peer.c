/* Logs by which transport a client has come, from where, and who is at the other end of its unix socket. */
#include "common.h"

static void event(const struct noctule_context *context, const struct noctule_event *event)
{
    const struct noctule_client_info *info = host->client_info(context->client);
    (void)event;
    say(instance_of(context), "client %.*s from %.*s", ARG(info->client_id), ARG(info->address));
#if NOCTULE_ABI_MINOR >= 1
    say(instance_of(context), "client %.*s over %.*s, peer %u uid %u gid %u pid %d", ARG(info->client_id),
        ARG(info->transport), (unsigned)info->has_peer, (unsigned)info->uid, (unsigned)info->gid,
        (int)info->pid);
    say(instance_of(context), "client %.*s certificate %.*s", ARG(info->client_id),
        ARG(info->certificate_common_name));
#endif
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("peer"),
    .event_mask = NOCTULE_EVENT_CONNECTED,
    .init = test_init,
    .fini = test_fini,
    .event = event,
};

NOCTULE_PLUGIN_ENTRY(plugin)
