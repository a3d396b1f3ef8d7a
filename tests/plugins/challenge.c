/* Enhanced authentication TEST: `rounds` challenges "say N", each answered by "N". The login is good for
 * `expires` (0: for ever). */
#include "common.h"

struct settings {
    int64_t rounds;
    uint64_t expires_ms;
};

static int32_t build(void *state, const struct noctule_config *config, void **snapshot)
{
    struct settings *settings = calloc(1, sizeof *settings);
    (void)state;
    settings->rounds = 2;
    host->config_integer(config, "rounds", 1, 9, &settings->rounds);
    host->config_duration(config, "expires", 0, 600000, &settings->expires_ms);
    *snapshot = settings;
    return NOCTULE_OK;
}

static void retire(void *state, void *snapshot)
{
    (void)state;
    free(snapshot);
}

/* Challenges that are still due are the client's data. */
static noctule_verdict challenge(const struct noctule_context *context, uint64_t left)
{
    char text[16];
    int length = snprintf(text, sizeof text, left ? "say %u" : "done", (unsigned)left);
    struct noctule_reply reply = {.size = sizeof reply, .auth_data = noctule_string_of(text, (size_t)length)};
    host->set_client_data(instance_of(context), context->client, left);
    const struct settings *settings = context->snapshot;
    if (left == 0)
        reply.username = NOCTULE_STRING("challenged");
    if (left == 0 && settings->expires_ms)
        reply.expires_at_ms = host->wall_ms() + settings->expires_ms;
    host->annotate(context->request, &reply);
    return left ? NOCTULE_CONTINUE : NOCTULE_ALLOW;
}

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    if (!is(login->auth_method, "TEST"))
        return NOCTULE_NEXT;
    return challenge(context, (uint64_t)((const struct settings *)context->snapshot)->rounds);
}

static noctule_verdict auth_step(const struct noctule_context *context, const struct noctule_auth *auth)
{
    char due[8];
    uint64_t left = host->client_data(instance_of(context), context->client);
    if (auth->reason_code == 0x19)
        return challenge(context, (uint64_t)((const struct settings *)context->snapshot)->rounds);
    snprintf(due, sizeof due, "%u", (unsigned)left);
    return is(auth->data, due) ? challenge(context, left - 1)
                               : because(context, NOCTULE_DENY, "wrong number");
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("challenge"),
    .init = test_init,
    .fini = test_fini,
    .build = build,
    .retire = retire,
    .authenticate = authenticate,
    .auth_step = auth_step,
};

NOCTULE_PLUGIN_ENTRY(plugin)
