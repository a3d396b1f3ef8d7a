/* message_out: out/drop, out/error, out/change (the payload names the subscriber), out/lower (QoS 0),
 * out/raise (may not). */
#include "common.h"

static noctule_verdict message_out(const struct noctule_context *context, struct noctule_message *message)
{
    const struct noctule_message_info *info = host->message_info(message);
    if (is(info->topic, "out/drop"))
        return NOCTULE_DROP;
    if (is(info->topic, "out/error"))
        return NOCTULE_ERROR;
    if (is(info->topic, "out/lower"))
        host->message_set_qos(message, 0);
    if (is(info->topic, "out/raise"))
        say(instance_of(context), "raise: %d %d", (int)host->message_set_qos(message, 2),
            (int)host->message_set_retain(message, 1));
    if (is(info->topic, "out/change"))
        host->message_set_payload(message, host->client_info(context->client)->client_id);
    return NOCTULE_NEXT;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("message-out"),
    .init = test_init,
    .fini = test_fini,
    .message_out = message_out,
};

NOCTULE_PLUGIN_ENTRY(plugin)
