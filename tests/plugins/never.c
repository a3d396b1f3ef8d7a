/* Puts decisions off and never answers them: users and topics that begin with "never". All others are
 * allowed. */
#include "common.h"

static noctule_verdict forget(const struct noctule_context *context)
{
    if (!host->defer(context->request)) {
        say(instance_of(context), "no more can be put off");
        return NOCTULE_ERROR;
    }
    return NOCTULE_PENDING;
}

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    return starts(login->username, "never") ? forget(context) : NOCTULE_ALLOW;
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    return starts(access->topic, "never") ? forget(context) : NOCTULE_ALLOW;
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    return starts(host->message_info(message)->topic, "in/never") ? forget(context) : NOCTULE_NEXT;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("never"),
    .authorize_mask = NOCTULE_ACCESS_ALL,
    .init = test_init,
    .fini = test_fini,
    .authenticate = authenticate,
    .authorize = authorize,
    .message_in = message_in,
};

NOCTULE_PLUGIN_ENTRY(plugin)
