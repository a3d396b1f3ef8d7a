/* Lets everybody in, with grants: "own/ID/#" for everything but "own/ID/secret", and reading "news"; ID is
 * the client id. */
#include "common.h"

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    struct noctule_string id = host->client_info(context->client)->client_id;
    char secret[128];
    char own[128];
    int secret_length = snprintf(secret, sizeof secret, "own/%.*s/secret", ARG(id));
    int own_length = snprintf(own, sizeof own, "own/%.*s/#", ARG(id));
    struct noctule_grant grants[] = {
        {.size = sizeof *grants,
         .access = NOCTULE_ACCESS_ALL,
         .allow = 0,
         .max_qos = 2,
         .retain = 2,
         .filter = noctule_string_of(secret, (size_t)secret_length)},
        {.size = sizeof *grants,
         .access = NOCTULE_ACCESS_ALL,
         .allow = 1,
         .max_qos = 1,
         .retain = 2,
         .filter = noctule_string_of(own, (size_t)own_length)},
        {.size = sizeof *grants,
         .access = NOCTULE_ACCESS_SUBSCRIBE | NOCTULE_ACCESS_DELIVER,
         .allow = 1,
         .max_qos = 2,
         .retain = 2,
         .filter = NOCTULE_STRING("news")},
    };
    struct noctule_reply reply = {.size = sizeof reply, .grants = grants, .grant_count = 3};
    if (is(login->username, "brief"))
        reply.expires_at_ms = host->wall_ms() + 300;
    host->annotate(context->request, &reply);
    return NOCTULE_ALLOW;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("grants"),
    .init = test_init,
    .fini = test_fini,
    .authenticate = authenticate,
};

NOCTULE_PLUGIN_ENTRY(plugin)
