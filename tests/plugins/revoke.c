/*
 * Allows everything, and lets the core reuse that, until somebody publishes to control/revoke: from then on
 * the topic in the payload is denied, and the core is told so. control/kick disconnects the client whose
 * connection id is in the payload, control/who logs the connection id, control/call runs something on the
 * client.
 */
#include "common.h"

struct revoke {
    struct noctule_instance *instance;
    pthread_mutex_t lock;
    char topic[128];
};

static int32_t init(const struct noctule_host *given, struct noctule_instance *instance, void **state)
{
    struct revoke *revoke = calloc(1, sizeof *revoke);
    host_take(given);
    revoke->instance = instance;
    pthread_mutex_init(&revoke->lock, NULL);
    *state = revoke;
    return NOCTULE_OK;
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    struct revoke *revoke = context->state;
    struct noctule_reply reply = {
        .size = sizeof reply, .flags = NOCTULE_REPLY_COVERS_DELIVERY, .reuse_ms = 3600000};
    pthread_mutex_lock(&revoke->lock);
    int denied = is(access->topic, revoke->topic);
    pthread_mutex_unlock(&revoke->lock);
    say(revoke->instance, "asked access %u topic %.*s", (unsigned)access->access, ARG(access->topic));
    host->annotate(context->request, &reply);
    return denied ? NOCTULE_DENY : NOCTULE_ALLOW;
}

static void called(const struct noctule_context *context, void *argument)
{
    struct revoke *revoke = argument;
    say(revoke->instance, "called for %.*s", ARG(host->client_info(context->client)->client_id));
}

static void released(void *argument)
{
    struct revoke *revoke = argument;
    say(revoke->instance, "released");
}

static uint64_t number(struct noctule_string text)
{
    char digits[32] = "";
    memcpy(digits, text.data, text.length < sizeof digits - 1 ? text.length : sizeof digits - 1);
    return strtoull(digits, NULL, 10);
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    struct revoke *revoke = context->state;
    const struct noctule_message_info *info = host->message_info(message);
    if (is(info->topic, "control/revoke")) {
        pthread_mutex_lock(&revoke->lock);
        snprintf(revoke->topic, sizeof revoke->topic, "%.*s", ARG(info->payload));
        pthread_mutex_unlock(&revoke->lock);
        host->invalidate(revoke->instance, 0);
    } else if (is(info->topic, "control/who")) {
        say(revoke->instance, "connection %llu is %.*s",
            (unsigned long long)host->client_info(context->client)->connection_id,
            ARG(host->client_info(context->client)->client_id));
    } else if (is(info->topic, "control/kick")) {
        host->disconnect(revoke->instance, number(info->payload), 0x98, NOCTULE_STRING("kicked"));
    } else if (is(info->topic, "control/call")) {
        host->run_on_client(revoke->instance, number(info->payload), called, revoke, released);
    }
    return NOCTULE_NEXT;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("revoke"),
    .authorize_mask = NOCTULE_ACCESS_PUBLISH | NOCTULE_ACCESS_SUBSCRIBE | NOCTULE_ACCESS_DELIVER,
    .init = init,
    .fini = state_free,
    .authorize = authorize,
    .message_in = message_in,
};

NOCTULE_PLUGIN_ENTRY(plugin)
