/* Calls the host from a thread that may not, and after a hook has returned what was good only inside; logs
 * what the host says. */
#include "common.h"

struct misuse {
    struct test *test;
    struct noctule_worker *worker;
    struct noctule_client *client;
    struct noctule_request *request;
    struct noctule_message *message;
};

static void nothing(const struct noctule_context *context, void *argument)
{
    (void)context;
    (void)argument;
}

static void *misuse(void *argument)
{
    const struct misuse *from = argument;
    struct noctule_instance *instance = from->test->instance;
    struct noctule_reply reply = {.size = sizeof reply};
    int32_t number = 0;
    say(instance, "timer %s watch %s data %d set %d",
        host->timer_start(instance, from->worker, 1, nothing, NULL) ? "yes" : "no",
        host->watch_add(instance, from->worker, 0, NOCTULE_READABLE, NULL, NULL) ? "yes" : "no",
        (int)host->client_data(instance, from->client),
        (int)host->set_client_data(instance, from->client, 7));
    say(instance, "info %s payload %d annotate %d defer %s", host->message_info(from->message) ? "yes" : "no",
        (int)host->message_set_payload(from->message, NOCTULE_STRING("x")),
        (int)host->annotate(from->request, &reply), host->defer(from->request) ? "yes" : "no");
    say(instance, "config %d metric %s", (int)host->config_bool(NULL, "x", &number),
        host->metric_new(instance, NOCTULE_COUNTER, "late", "") ? "yes" : "no");
    return NULL;
}

static noctule_verdict message_in(const struct noctule_context *context, struct noctule_message *message)
{
    struct misuse from = {.test = context->state,
                          .worker = context->worker,
                          .client = context->client,
                          .request = context->request,
                          .message = message};
    pthread_t thread;
    if (pthread_create(&thread, NULL, misuse, &from) == 0)
        pthread_join(thread, NULL);
    return NOCTULE_NEXT;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("wrong-thread"),
    .init = test_init,
    .fini = test_fini,
    .message_in = message_in,
};

NOCTULE_PLUGIN_ENTRY(plugin)
