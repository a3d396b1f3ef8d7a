/*
 * Lets everybody in with grants for everything, until a user is revoked: then without any. Logs what is
 * revoked. A message to control/revoke has it revoke the user named in the payload, one to control/cut the
 * client named there, with its connection.
 * Needs ABI 1.1.
 */
#include "common.h"

struct revokes {
    struct noctule_instance *instance;
    pthread_mutex_t lock;
    char user[128];
};

static int32_t init(const struct noctule_host *given, struct noctule_instance *instance, void **state)
{
    struct revokes *revokes = calloc(1, sizeof *revokes);
    host_take(given);
    revokes->instance = instance;
    pthread_mutex_init(&revokes->lock, NULL);
    *state = revokes;
    return NOCTULE_OK;
}

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    struct revokes *revokes = context->state;
    struct noctule_grant grant = {.size = sizeof grant,
                                  .access = NOCTULE_ACCESS_ALL,
                                  .allow = 1,
                                  .max_qos = 2,
                                  .retain = 2,
                                  .filter = NOCTULE_STRING("#")};
    pthread_mutex_lock(&revokes->lock);
    int revoked = login->username.length && is(login->username, revokes->user);
    pthread_mutex_unlock(&revokes->lock);
    struct noctule_reply reply = {.size = sizeof reply, .grants = &grant, .grant_count = revoked ? 0 : 1};
    host->annotate(context->request, &reply);
    return NOCTULE_ALLOW;
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    struct revokes *revokes = context->state;
    const struct noctule_message_info *info = host->message_info(message);
    struct noctule_revocation what = {.size = sizeof what};
    if (is(info->topic, "control/revoke")) {
        what.username = info->payload;
    } else if (is(info->topic, "control/cut")) {
        what.client_id = info->payload;
        what.flags = NOCTULE_REVOKE_DISCONNECT;
    } else {
        return NOCTULE_NEXT;
    }
    say(revokes->instance, "asked to revoke: %d", (int)host->revoke(revokes->instance, &what));
    return NOCTULE_NEXT;
}

static void revoked(const struct noctule_context *context, const struct noctule_revocation *what)
{
    struct revokes *revokes = context->state;
    pthread_mutex_lock(&revokes->lock);
    snprintf(revokes->user, sizeof revokes->user, "%.*s", ARG(what->username));
    pthread_mutex_unlock(&revokes->lock);
    say(revokes->instance, "revoked user %.*s client %.*s flags %u worker %u", ARG(what->username),
        ARG(what->client_id), (unsigned)what->flags, (unsigned)host->worker_index(context->worker));
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("revokes"), .init = init,      .fini = state_free, .authenticate = authenticate,
    .message_in = message_in,        .revoke = revoked,
};

NOCTULE_PLUGIN_ENTRY(plugin)
