/* Answers every authorization twice, from two threads at once: once ALLOW, once DENY. Logs what the host said
 * to both. */
#include "common.h"

struct pair {
    struct test *test;
    struct noctule_request *handle;
    pthread_barrier_t start;
    int32_t results[2];
    noctule_verdict verdicts[2];
};

struct half {
    struct pair *pair;
    int index;
};

static void *complete(void *argument)
{
    struct half *half = argument;
    struct pair *pair = half->pair;
    pthread_barrier_wait(&pair->start);
    pair->results[half->index] = host->complete(pair->handle, pair->verdicts[half->index], NULL);
    return NULL;
}

static void *answer(void *argument)
{
    struct pair *pair = argument;
    struct half halves[2] = {{pair, 0}, {pair, 1}};
    pthread_t other;
    pthread_barrier_init(&pair->start, NULL, 2);
    if (pthread_create(&other, NULL, complete, &halves[1]) != 0)
        abort();
    complete(&halves[0]);
    pthread_join(other, NULL);
    pthread_barrier_destroy(&pair->start);
    int won = pair->results[0] == NOCTULE_OK ? 0 : 1;
    say(pair->test->instance, "answered twice: %s %d, other %d",
        pair->verdicts[won] == NOCTULE_ALLOW ? "allow" : "deny", (int)pair->results[won],
        (int)pair->results[1 - won]);
    struct test *test = pair->test;
    free(pair);
    test->threads--;
    return NULL;
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    (void)access;
    struct pair *pair = calloc(1, sizeof *pair);
    *pair = (struct pair){.test = context->state,
                          .handle = host->defer(context->request),
                          .verdicts = {NOCTULE_ALLOW, NOCTULE_DENY}};
    if (!pair->handle || !thread_start(context->state, answer, pair)) {
        free(pair);
        return NOCTULE_ERROR;
    }
    return NOCTULE_PENDING;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("twice"),
    .authorize_mask = NOCTULE_ACCESS_PUBLISH,
    .init = test_init,
    .fini = test_fini,
    .authorize = authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
