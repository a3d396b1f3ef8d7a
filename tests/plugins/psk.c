/* Knows the key abcdef of the identity "known", tells it at once or, with `late`, from a thread after a
 * while, and has nothing to say about others; about "silence" it never answers in time. */
#include "common.h"

struct request {
    struct test *test;
    struct noctule_request *handle;
    int known;
    int silent;
};

static const unsigned char key[] = {0xab, 0xcd, 0xef};

static struct noctule_reply reply_with_key(void)
{
    return (struct noctule_reply){.size = sizeof(struct noctule_reply),
                                  .psk = noctule_string_of((const char *)key, sizeof key)};
}

static void *answer(void *argument)
{
    struct request *request = argument;
    struct test *test = request->test;
    struct noctule_reply reply = reply_with_key();
    usleep(30000);
    while (request->silent && !host->is_cancelled(request->handle))
        usleep(1000);
    host->complete(request->handle, request->known ? NOCTULE_ALLOW : NOCTULE_NEXT,
                   request->known ? &reply : NULL);
    free(request);
    test->threads--;
    return NULL;
}

static int32_t build(void *state, const struct noctule_config *config, void **snapshot)
{
    int32_t *late = calloc(1, sizeof *late);
    (void)state;
    host->config_bool(config, "late", late);
    *snapshot = late;
    return NOCTULE_OK;
}

static void retire(void *state, void *snapshot)
{
    (void)state;
    free(snapshot);
}

static noctule_verdict psk(const struct noctule_context *context, const struct noctule_psk *asked)
{
    int known = is(asked->identity, "known");
    say(instance_of(context), "asked for %.*s on %.*s", ARG(asked->identity), ARG(asked->listener));
    if (!*(const int32_t *)context->snapshot) {
        struct noctule_reply reply = reply_with_key();
        if (known)
            host->annotate(context->request, &reply);
        return known ? NOCTULE_ALLOW : NOCTULE_NEXT;
    }
    struct request *request = calloc(1, sizeof *request);
    *request = (struct request){context->state, host->defer(context->request), known,
                                is(asked->identity, "silence")};
    if (!request->handle || !thread_start(context->state, answer, request)) {
        free(request);
        return NOCTULE_ERROR;
    }
    return NOCTULE_PENDING;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("psk"),
    .init = test_init,
    .fini = test_fini,
    .build = build,
    .retire = retire,
    .psk = psk,
};

NOCTULE_PLUGIN_ENTRY(plugin)
