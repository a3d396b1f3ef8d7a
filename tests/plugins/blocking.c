/* Blocks: every login takes `delay`; the password must be "right". */
#include "common.h"

static int32_t build(void *state, const struct noctule_config *config, void **snapshot)
{
    uint64_t *delay_ms = calloc(1, sizeof *delay_ms);
    (void)state;
    *delay_ms = 200;
    host->config_duration(config, "delay", 0, 60000, delay_ms);
    *snapshot = delay_ms;
    return NOCTULE_OK;
}

static void retire(void *state, void *snapshot)
{
    (void)state;
    free(snapshot);
}

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    usleep((useconds_t)(*(const uint64_t *)context->snapshot * 1000));
    if (context->worker)
        return because(context, NOCTULE_ERROR, "on a worker");
    return is(login->password, "right") ? NOCTULE_ALLOW : because(context, NOCTULE_DENY, "not right");
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("blocking"),
    .flags = NOCTULE_FLAG_BLOCKING,
    .init = test_init,
    .fini = test_fini,
    .build = build,
    .retire = retire,
    .authenticate = authenticate,
};

NOCTULE_PLUGIN_ENTRY(plugin)
