#include "tests/fault/moody.h"

#include <string.h>

struct moody moody;

static const struct noctule_grant grant = {.size = sizeof grant,
                                           .access = NOCTULE_ACCESS_ALL,
                                           .allow = 1,
                                           .max_qos = 2,
                                           .retain = 2,
                                           .filter = {"a/#", 3}};

static struct noctule_reply reply_of(uint8_t bits)
{
    struct noctule_reply reply = {
        .size = sizeof reply, .reason_code = moody.reason_code, .reason = NOCTULE_STRING("as told")};
    reply.auth_data = NOCTULE_STRING("data");
    if (bits & MOODY_REUSE)
        reply.reuse_ms = 10000;
    if (bits & MOODY_SHOW) {
        reply.flags |= NOCTULE_REPLY_SHOW_REASON;
        reply.reason_code = 0x97;
    }
    if (bits & MOODY_COVERS)
        reply.flags |= NOCTULE_REPLY_COVERS_DELIVERY;
    if (bits & MOODY_RENAME) {
        reply.username = NOCTULE_STRING("renamed");
        reply.client_id = NOCTULE_STRING("renamed");
    }
    if (bits & MOODY_LOWER)
        reply.max_inflight = reply.max_queued = 1;
    if (bits & MOODY_EXPIRE)
        reply.expires_at_ms = moody.host->wall_ms() + 5000;
    if (bits & MOODY_GRANT) {
        reply.grants = &grant;
        reply.grant_count = 1;
    }
    return reply;
}

static noctule_verdict decide(const struct noctule_context *context, enum moody_hook hook)
{
    noctule_verdict verdict = moody.verdicts[hook];
    struct noctule_reply reply = reply_of(moody.replies[hook]);
    if (verdict != NOCTULE_PENDING) {
        moody.host->annotate(context->request, &reply);
        return verdict;
    }
    if (moody.held_count == MOODY_HELD_MAX)
        return NOCTULE_ERROR;
    struct noctule_request *held = moody.host->defer(context->request);
    if (!held)
        return NOCTULE_ERROR;
    moody.held[moody.held_count++] = held;
    return NOCTULE_PENDING;
}

bool moody_complete(unsigned index, noctule_verdict verdict, uint8_t bits)
{
    if (moody.held_count == 0)
        return false;
    index %= moody.held_count;
    struct noctule_request *held = moody.held[index];
    memmove(&moody.held[index], &moody.held[index + 1],
            (moody.held_count - index - 1) * sizeof(struct noctule_request *));
    moody.held_count--;
    struct noctule_reply reply = reply_of(bits);
    moody.host->complete(held, verdict, &reply);
    return true;
}

void moody_reset(void)
{
    moody = (struct moody){0};
}

/* ---- hooks ---- */

static int32_t init(const struct noctule_host *host, struct noctule_instance *instance, void **state)
{
    (void)state;
    moody.host = host;
    moody.instance = instance;
    return NOCTULE_OK;
}

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    (void)login;
    moody.logins++;
    moody.last_connection = moody.host->client_info(context->client)->connection_id;
    moody.host->set_client_data(moody.instance, context->client, moody.logins);
    return decide(context, MOODY_LOGIN);
}

static noctule_verdict auth_step(const struct noctule_context *context, const struct noctule_auth *auth)
{
    (void)auth;
    return decide(context, MOODY_AUTH);
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    switch (access->access) {
    case NOCTULE_ACCESS_PUBLISH:
        return decide(context, MOODY_PUBLISH);
    case NOCTULE_ACCESS_SUBSCRIBE:
        return decide(context, MOODY_SUBSCRIBE);
    case NOCTULE_ACCESS_DELIVER:
        return decide(context, MOODY_DELIVER);
    default:
        return decide(context, MOODY_WILL);
    }
}

static void change(struct noctule_message *message, enum moody_hook hook)
{
    if (!(moody.replies[hook] & MOODY_CHANGE))
        return;
    const struct noctule_host *host = moody.host;
    host->message_set_topic(message, NOCTULE_STRING("a/changed"));
    host->message_set_payload(message, NOCTULE_STRING("changed"));
    host->message_set_qos(message, 1);
    host->message_set_retain(message, 1);
    host->message_remove_user_property(message, 0);
    host->message_add_user_property(message, NOCTULE_STRING("name"), NOCTULE_STRING("value"));
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    change(message, MOODY_IN);
    return decide(context, MOODY_IN);
}

static noctule_verdict message_out(const struct noctule_context *context, struct noctule_message *message)
{
    (void)context;
    change(message, MOODY_OUT);
    return moody.verdicts[MOODY_OUT];
}

static noctule_verdict revalidate(const struct noctule_context *context)
{
    (void)context;
    return moody.verdicts[MOODY_REVALIDATE];
}

static void event(const struct noctule_context *context, const struct noctule_event *told)
{
    (void)context;
    moody.freed += told->event == NOCTULE_EVENT_CLIENT_FREED;
}

const struct noctule_plugin moody_plugin = {
    .size = sizeof moody_plugin,
    .abi_major = NOCTULE_ABI_MAJOR,
    .name = "test",
    .version = "1",
    .authorize_mask = NOCTULE_ACCESS_ALL,
    .event_mask = 0xFFFFFFFF,
    .init = init,
    .authenticate = authenticate,
    .auth_step = auth_step,
    .authorize = authorize,
    .message_in = message_in,
    .message_out = message_out,
    .revalidate = revalidate,
    .event = event,
};
