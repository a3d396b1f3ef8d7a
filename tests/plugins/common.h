/*
 * What the test plugins share: logging, comparing, and a queue with a thread of its own.
 * The first instance's host table serves all; each instance keeps its own `struct test`.
 */
#ifndef NOCTULE_TEST_PLUGIN_COMMON_H
#define NOCTULE_TEST_PLUGIN_COMMON_H

#include <noctule/plugin.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

static const struct noctule_host *host;

/** Written once: threads of an earlier instance may be reading it. */
UNUSED static void host_take(const struct noctule_host *given)
{
    if (!host)
        host = given;
}

struct test {
    struct noctule_instance *instance;
    _Atomic int threads; /* of the instance, still running; fini waits for them */
};

UNUSED static int32_t test_init(const struct noctule_host *given, struct noctule_instance *instance,
                                void **state)
{
    struct test *test = calloc(1, sizeof *test);
    host_take(given);
    test->instance = instance;
    *state = test;
    return NOCTULE_OK;
}

UNUSED static void test_fini(void *state)
{
    struct test *test = state;
    while (test->threads > 0)
        usleep(1000);
    free(test);
}

/** For plugins with a state of their own kind. */
UNUSED static void state_free(void *state)
{
    free(state);
}

/** Runs `function` in a thread of its own, which must end with `test->threads--`. 0: it could not be started.
 */
UNUSED static int thread_start(struct test *test, void *(*function)(void *), void *argument)
{
    pthread_t thread;
    test->threads++;
    if (pthread_create(&thread, NULL, function, argument) == 0)
        return pthread_detach(thread) == 0;
    test->threads--;
    return 0;
}

UNUSED static struct noctule_instance *instance_of(const struct noctule_context *context)
{
    return ((struct test *)context->state)->instance;
}

UNUSED __attribute__((format(printf, 2, 3))) static void say(struct noctule_instance *instance,
                                                             const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof text - 1)
        length = (int)sizeof text - 1;
    host->log(instance, NOCTULE_LOG_INFO, noctule_string_of(text, (size_t)length));
}

#define ARG(string) (int)(string).length, (string).data ? (string).data : ""

UNUSED static int is(struct noctule_string text, const char *other)
{
    return text.length == strlen(other) && (text.length == 0 || memcmp(text.data, other, text.length) == 0);
}

UNUSED static int starts(struct noctule_string text, const char *prefix)
{
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

UNUSED static struct noctule_string string(const char *text)
{
    return noctule_string_of(text, strlen(text));
}

/** Annotates a reason and returns the verdict. */
UNUSED static noctule_verdict because(const struct noctule_context *context, noctule_verdict verdict,
                                      const char *reason)
{
    struct noctule_reply reply = {.size = sizeof reply, .reason = string(reason)};
    host->annotate(context->request, &reply);
    return verdict;
}

#define TEST_PLUGIN_IDENTITY(plugin_name)                                                                    \
    .size = sizeof(struct noctule_plugin), .abi_major = NOCTULE_ABI_MAJOR, .abi_minor = 0,                   \
    .name = (plugin_name), .version = "1", .description = "test plugin", .license = "MIT"

#endif
