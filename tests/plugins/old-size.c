/* Describes itself by an older header, which ended behind `authorize`: what stands behind is not to be
 * called. */
#include "common.h"

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    (void)access;
    return because(context, NOCTULE_ALLOW, "from an older header");
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    (void)context;
    (void)message;
    abort();
}

static const struct noctule_plugin plugin = {
    .size = offsetof(struct noctule_plugin, authorize) + sizeof(void *),
    .abi_major = NOCTULE_ABI_MAJOR,
    .name = "old-size",
    .version = "1",
    .authorize_mask = NOCTULE_ACCESS_ALL,
    .init = test_init,
    .fini = test_fini,
    .authorize = authorize,
    .message_in = message_in,
};

NOCTULE_PLUGIN_ENTRY(plugin)
