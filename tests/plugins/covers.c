/* Subscriptions to "covered/..." cover their deliveries, others do not; deliveries that are asked about are
 * logged and allowed. */
#include "common.h"

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    struct noctule_reply reply = {.size = sizeof reply};
    if (access->access == NOCTULE_ACCESS_DELIVER) {
        say(instance_of(context), "asked about delivery of %.*s", ARG(access->topic));
        return NOCTULE_ALLOW;
    }
    if (starts(access->topic, "covered/") || starts(access->topic, "$share/g/covered/"))
        reply.flags = NOCTULE_REPLY_COVERS_DELIVERY;
    host->annotate(context->request, &reply);
    return NOCTULE_ALLOW;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("covers"),
    .authorize_mask = NOCTULE_ACCESS_SUBSCRIBE | NOCTULE_ACCESS_DELIVER | NOCTULE_ACCESS_PUBLISH,
    .init = test_init,
    .fini = test_fini,
    .authorize = authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
