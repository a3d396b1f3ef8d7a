/* Publishes to `topic` every `interval`, from a timer of worker 0. Its own message_in must not see that. */
#include "common.h"

struct settings {
    char topic[128];
    uint64_t interval_ms;
};

static void tick(const struct noctule_context *context, void *argument)
{
    const struct settings *settings = context->snapshot;
    struct noctule_user_property property = {NOCTULE_STRING("from"), NOCTULE_STRING("ticker")};
    struct noctule_publication publication = {.size = sizeof publication,
                                              .qos = 1,
                                              .topic = string(settings->topic),
                                              .payload = NOCTULE_STRING("tick"),
                                              .content_type = NOCTULE_STRING("text/plain"),
                                              .user_properties = &property,
                                              .user_property_count = 1,
                                              .expiry_seconds = 60};
    int32_t result = host->publish(instance_of(context), &publication);
    if (result != NOCTULE_OK)
        say(instance_of(context), "not published: %d", (int)result);
    host->timer_start(instance_of(context), context->worker, settings->interval_ms, tick, argument);
}

static int32_t build(void *state, const struct noctule_config *config, void **snapshot)
{
    struct settings *settings = calloc(1, sizeof *settings);
    struct noctule_string topic = NOCTULE_STRING("tick");
    (void)state;
    settings->interval_ms = 50;
    host->config_string(config, "topic", &topic);
    host->config_duration(config, "interval", 10, 60000, &settings->interval_ms);
    snprintf(settings->topic, sizeof settings->topic, "%.*s", ARG(topic));
    *snapshot = settings;
    return NOCTULE_OK;
}

static void retire(void *state, void *snapshot)
{
    (void)state;
    free(snapshot);
}

static int32_t worker_up(void *state, struct noctule_worker *worker, void **worker_state)
{
    struct test *test = state;
    *worker_state = NULL;
    if (host->worker_index(worker) != 0)
        return NOCTULE_OK;
    return host->timer_start(test->instance, worker, 10, tick, NULL) ? NOCTULE_OK : NOCTULE_E_INVALID;
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    const struct noctule_message_info *info = host->message_info(message);
    if (info->origin)
        say(instance_of(context), "seen %.*s again", ARG(info->topic));
    return NOCTULE_NEXT;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("ticker"),
    .init = test_init,
    .fini = test_fini,
    .build = build,
    .retire = retire,
    .worker_up = worker_up,
    .message_in = message_in,
};

NOCTULE_PLUGIN_ENTRY(plugin)
