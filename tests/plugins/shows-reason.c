/* Tells clients at length why: refuses user "refused", topics below "refused/", and every re-authentication
 * by method SHOW, which lets in at first. */
#include "common.h"

static noctule_verdict refuse(const struct noctule_context *context)
{
    char reason[200];
    memset(reason, 'r', sizeof reason);
    struct noctule_reply reply = {.size = sizeof reply,
                                  .flags = NOCTULE_REPLY_SHOW_REASON,
                                  .reason = noctule_string_of(reason, sizeof reason)};
    host->annotate(context->request, &reply);
    return NOCTULE_DENY;
}

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    if (is(login->username, "refused"))
        return refuse(context);
    return is(login->auth_method, "SHOW") ? NOCTULE_ALLOW : NOCTULE_NEXT;
}

static noctule_verdict auth_step(const struct noctule_context *context, const struct noctule_auth *auth)
{
    (void)auth;
    return refuse(context);
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    return starts(access->topic, "refused/") ? refuse(context) : NOCTULE_ALLOW;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("shows-reason"),
    .authorize_mask = NOCTULE_ACCESS_PUBLISH | NOCTULE_ACCESS_SUBSCRIBE,
    .init = test_init,
    .fini = test_fini,
    .authenticate = authenticate,
    .auth_step = auth_step,
    .authorize = authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
