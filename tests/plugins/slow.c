/* Answers from a thread of its own, after a while: `delay`, `verdict`. */
#include "common.h"

#include <time.h>

struct request {
    struct request *next;
    struct noctule_request *handle;
    uint64_t due_ms;
    noctule_verdict verdict;
};

struct slow {
    struct noctule_instance *instance;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct request *first;
    struct request **last;
    int stopping;
};

struct settings {
    uint64_t delay_ms;
    noctule_verdict verdict;
    int32_t logins;
};

static void *answer(void *argument)
{
    struct slow *slow = argument;
    pthread_mutex_lock(&slow->lock);
    while (!slow->stopping) {
        struct request *request = slow->first;
        uint64_t now = host->monotonic_ms();
        if (!request || request->due_ms > now) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            uint64_t wait_ms = request ? request->due_ms - now : 1000;
            until.tv_sec += (time_t)(wait_ms / 1000);
            until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            pthread_cond_timedwait(&slow->changed, &slow->lock, &until);
            continue;
        }
        slow->first = request->next;
        if (!slow->first)
            slow->last = &slow->first;
        pthread_mutex_unlock(&slow->lock);
        struct noctule_reply reply = {.size = sizeof reply, .reason = NOCTULE_STRING("slowly")};
        host->complete(request->handle, request->verdict, &reply);
        free(request);
        pthread_mutex_lock(&slow->lock);
    }
    pthread_mutex_unlock(&slow->lock);
    return NULL;
}

static int32_t init(const struct noctule_host *given, struct noctule_instance *instance, void **state)
{
    struct slow *slow = calloc(1, sizeof *slow);
    host_take(given);
    slow->instance = instance;
    slow->last = &slow->first;
    pthread_mutex_init(&slow->lock, NULL);
    pthread_cond_init(&slow->changed, NULL);
    *state = slow;
    return pthread_create(&slow->thread, NULL, answer, slow) == 0 ? NOCTULE_OK : NOCTULE_E_MEMORY;
}

static void fini(void *state)
{
    struct slow *slow = state;
    pthread_mutex_lock(&slow->lock);
    slow->stopping = 1;
    pthread_cond_signal(&slow->changed);
    pthread_mutex_unlock(&slow->lock);
    pthread_join(slow->thread, NULL);
    while (slow->first) {
        struct request *next = slow->first->next;
        free(slow->first);
        slow->first = next;
    }
    free(slow);
}

static int32_t build(void *state, const struct noctule_config *config, void **snapshot)
{
    static const char *const verdicts[] = {"next", "allow", "deny", NULL};
    struct settings *settings = calloc(1, sizeof *settings);
    int32_t verdict = NOCTULE_ALLOW;
    (void)state;
    settings->delay_ms = 100;
    host->config_duration(config, "delay", 0, 60000, &settings->delay_ms);
    host->config_choice(config, "verdict", verdicts, &verdict);
    host->config_bool(config, "logins", &settings->logins);
    settings->verdict = verdict;
    *snapshot = settings;
    return NOCTULE_OK;
}

static void retire(void *state, void *snapshot)
{
    (void)state;
    free(snapshot);
}

static noctule_verdict later(const struct noctule_context *context)
{
    struct slow *slow = context->state;
    const struct settings *settings = context->snapshot;
    struct request *request = calloc(1, sizeof *request);
    request->handle = host->defer(context->request);
    if (!request->handle) {
        free(request);
        return NOCTULE_ERROR;
    }
    request->due_ms = host->monotonic_ms() + settings->delay_ms;
    request->verdict = settings->verdict;
    pthread_mutex_lock(&slow->lock);
    *slow->last = request;
    slow->last = &request->next;
    pthread_cond_signal(&slow->changed);
    pthread_mutex_unlock(&slow->lock);
    return NOCTULE_PENDING;
}

static noctule_verdict authenticate(const struct noctule_context *context, const struct noctule_login *login)
{
    (void)login;
    return ((const struct settings *)context->snapshot)->logins ? later(context) : NOCTULE_NEXT;
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    const struct slow *slow = context->state;
    say(slow->instance, "asked about %.*s", ARG(access->topic));
    return starts(access->topic, "fast/") ? NOCTULE_ALLOW : later(context);
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("slow"),
    .authorize_mask = NOCTULE_ACCESS_PUBLISH | NOCTULE_ACCESS_SUBSCRIBE | NOCTULE_ACCESS_DELIVER,
    .init = init,
    .fini = fini,
    .build = build,
    .retire = retire,
    .authenticate = authenticate,
    .authorize = authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
