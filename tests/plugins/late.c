/* Answers from a thread of its own once nobody waits any more, and logs what the host says to that. */
#include "common.h"

struct request {
    struct test *test;
    struct noctule_request *handle;
};

static void *answer(void *argument)
{
    struct request *request = argument;
    while (!host->is_cancelled(request->handle))
        usleep(1000);
    int32_t first = host->complete(request->handle, NOCTULE_ALLOW, NULL);
    int32_t second = host->complete(request->handle, NOCTULE_ALLOW, NULL);
    say(request->test->instance, "late answer: %d, again: %d", (int)first, (int)second);
    struct test *test = request->test;
    free(request);
    test->threads--;
    return NULL;
}

static noctule_verdict defer(const struct noctule_context *context)
{
    struct request *request = calloc(1, sizeof *request);
    *request = (struct request){context->state, host->defer(context->request)};
    if (!request->handle || !thread_start(context->state, answer, request)) {
        free(request);
        return NOCTULE_ERROR;
    }
    say(instance_of(context), "put off");
    return NOCTULE_PENDING;
}

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    return is(login->username, "late") ? defer(context) : NOCTULE_ALLOW;
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    return starts(access->topic, "late") ? defer(context) : NOCTULE_ALLOW;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("late"),
    .authorize_mask = NOCTULE_ACCESS_PUBLISH | NOCTULE_ACCESS_SUBSCRIBE,
    .init = test_init,
    .fini = test_fini,
    .authenticate = authenticate,
    .authorize = authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
