/* Answers by way of a pipe that each worker watches: the handle goes in at one end, and the answer is given
 * at the other. */
#include "common.h"

#include <fcntl.h>

/* What goes through the pipe. */
struct letter {
    struct noctule_request *handle;
};

struct pipe_ends {
    struct noctule_watch *watch;
    int ends[2];
};

static void readable(const struct noctule_context *context, int fd, uint32_t events, void *argument)
{
    struct letter letter;
    (void)argument;
    if ((events & NOCTULE_READABLE) && read(fd, &letter, sizeof letter) == (ssize_t)sizeof letter)
        say(instance_of(context), "read a request: %d",
            (int)host->complete(letter.handle, NOCTULE_ALLOW, NULL));
}

static int32_t worker_up(void *state, struct noctule_worker *worker, void **worker_state)
{
    const struct test *test = state;
    struct pipe_ends *ends = calloc(1, sizeof *ends);
    *worker_state = ends;
    if (pipe2(ends->ends, O_NONBLOCK | O_CLOEXEC) != 0)
        return NOCTULE_E_LIMIT;
    ends->watch = host->watch_add(test->instance, worker, ends->ends[0], NOCTULE_READABLE, readable, ends);
    return ends->watch ? NOCTULE_OK : NOCTULE_E_INVALID;
}

static void worker_down(void *state, struct noctule_worker *worker, void *worker_state)
{
    struct pipe_ends *ends = worker_state;
    (void)state;
    (void)worker;
    host->watch_remove(ends->watch);
    close(ends->ends[0]);
    close(ends->ends[1]);
    free(ends);
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    struct pipe_ends *ends = context->worker_state;
    struct letter letter = {host->defer(context->request)};
    (void)access;
    if (!letter.handle)
        return NOCTULE_ERROR;
    if (write(ends->ends[1], &letter, sizeof letter) == (ssize_t)sizeof letter)
        return NOCTULE_PENDING;
    host->complete(letter.handle, NOCTULE_ERROR, NULL);
    return NOCTULE_PENDING;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("pipe"),
    .authorize_mask = NOCTULE_ACCESS_PUBLISH,
    .init = test_init,
    .fini = test_fini,
    .worker_up = worker_up,
    .worker_down = worker_down,
    .authorize = authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
