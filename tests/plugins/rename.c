/* Lets everybody in as somebody else: user "x" becomes "user-x", with the client id "id-x". Logs by what name
 * it is asked later. */
#include "common.h"

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    char user[128];
    char id[128];
    int user_length = snprintf(user, sizeof user, "user-%.*s", ARG(login->username));
    int id_length = snprintf(id, sizeof id, "id-%.*s", ARG(login->username));
    struct noctule_reply reply = {.size = sizeof reply,
                                  .username = noctule_string_of(user, (size_t)user_length),
                                  .client_id = noctule_string_of(id, (size_t)id_length)};
    host->annotate(context->request, &reply);
    return NOCTULE_ALLOW;
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    const struct noctule_client_info *info = host->client_info(context->client);
    say(instance_of(context), "asked for %.*s as %.*s about %.*s", ARG(info->client_id), ARG(info->username),
        ARG(access->topic));
    return NOCTULE_ALLOW;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("rename"),
    .authorize_mask = NOCTULE_ACCESS_PUBLISH,
    .init = test_init,
    .fini = test_fini,
    .authenticate = authenticate,
    .authorize = authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
