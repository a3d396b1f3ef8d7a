#include "loop.h"

#include <stdlib.h>

/** Turns of one run: what is left after them waits for the timer, so that others have their turn. */
enum { TURNS_MAX = 32 };

struct loop {
    const struct noctule_host *host;
    struct noctule_instance *instance;
    struct noctule_worker *worker;
    loop_done_fn *done;
    void *argument;
    CURLM *multi;
    struct noctule_timer *timer;
    bool due;     ///< libcurl wants to be called at once
    bool running; ///< inside loop_act
};

// A socket that libcurl watches; its pointer lies with libcurl.
struct watched {
    struct loop *loop;
    struct noctule_watch *watch;
};

static void loop_act(struct loop *loop, curl_socket_t fd, int events);

// ---- What libcurl wants --------------------------------------------------------------------------------

static void socket_ready(const struct noctule_context *context, int fd, uint32_t events, void *argument)
{
    (void)context;
    struct watched *watched = argument;
    int what = (events & NOCTULE_READABLE ? CURL_CSELECT_IN : 0) |
               (events & NOCTULE_WRITABLE ? CURL_CSELECT_OUT : 0);
    loop_act(watched->loop, fd, what);
}

static uint32_t events_of(int what)
{
    return (what & CURL_POLL_IN ? NOCTULE_READABLE : 0) | (what & CURL_POLL_OUT ? NOCTULE_WRITABLE : 0);
}

static int socket_forget(struct loop *loop, curl_socket_t fd, struct watched *watched)
{
    if (!watched)
        return 0;
    loop->host->watch_remove(watched->watch);
    curl_multi_assign(loop->multi, fd, NULL);
    free(watched);
    return 0;
}

static int socket_watch(struct loop *loop, curl_socket_t fd, uint32_t events)
{
    struct watched *watched = malloc(sizeof *watched);
    if (!watched)
        return -1;
    watched->loop = loop;
    watched->watch = loop->host->watch_add(loop->instance, loop->worker, fd, events, socket_ready, watched);
    if (!watched->watch) {
        free(watched);
        return -1;
    }
    curl_multi_assign(loop->multi, fd, watched);
    return 0;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *argument, void *socket)
{
    (void)easy;
    struct loop *loop = argument;
    struct watched *watched = socket;
    if (what == CURL_POLL_REMOVE)
        return socket_forget(loop, fd, watched);
    if (!watched)
        return socket_watch(loop, fd, events_of(what));
    return loop->host->watch_change(watched->watch, events_of(what)) == NOCTULE_OK ? 0 : -1;
}

static void timer_expired(const struct noctule_context *context, void *argument)
{
    (void)context;
    struct loop *loop = argument;
    loop->timer = NULL;
    loop_act(loop, CURL_SOCKET_TIMEOUT, 0);
}

static void timer_set(struct loop *loop, uint64_t after_ms)
{
    loop->timer = loop->host->timer_start(loop->instance, loop->worker, after_ms, timer_expired, loop);
}

static int timer_wanted(CURLM *multi, long after_ms, void *argument)
{
    (void)multi;
    struct loop *loop = argument;
    loop->host->timer_cancel(loop->timer);
    loop->timer = NULL;
    // "At once" is not a timer's business, whose ticks are long; see loop_act.
    loop->due = after_ms == 0;
    if (after_ms > 0)
        timer_set(loop, (uint64_t)after_ms);
    return 0;
}

// ---- Running -------------------------------------------------------------------------------------------

static void ended_tell(struct loop *loop)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(loop->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        // The message is gone with the transfer.
        curl_multi_remove_handle(loop->multi, easy);
        loop->done(loop->argument, easy, code);
    }
}

static void loop_act(struct loop *loop, curl_socket_t fd, int events)
{
    int left;
    if (loop->running)
        return;
    loop->running = true;
    curl_multi_socket_action(loop->multi, fd, events, &left);
    ended_tell(loop);
    for (unsigned turn = 0; loop->due && turn < TURNS_MAX; turn++) {
        loop->due = false;
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &left);
        ended_tell(loop);
    }
    loop->running = false;
    if (loop->due && !loop->timer)
        timer_set(loop, 0);
    loop->due = false;
}

void loop_run(struct loop *loop)
{
    if (loop->due)
        loop_act(loop, CURL_SOCKET_TIMEOUT, 0);
}

// ---- Life ----------------------------------------------------------------------------------------------

struct loop *loop_new(const struct noctule_host *host, struct noctule_instance *instance,
                      struct noctule_worker *worker, loop_done_fn *done, void *argument)
{
    struct loop *loop = malloc(sizeof *loop);
    if (!loop)
        return NULL;
    *loop = (struct loop){.host = host,
                          .instance = instance,
                          .worker = worker,
                          .done = done,
                          .argument = argument,
                          .multi = curl_multi_init()};
    if (!loop->multi) {
        free(loop);
        return NULL;
    }
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    return loop;
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop->running = true;
    curl_multi_cleanup(loop->multi);
    loop->host->timer_cancel(loop->timer);
    free(loop);
}

void loop_limit(struct loop *loop, long connections)
{
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, connections);
}

bool loop_add(struct loop *loop, CURL *easy)
{
    return curl_multi_add_handle(loop->multi, easy) == CURLM_OK;
}

void loop_remove(struct loop *loop, CURL *easy)
{
    curl_multi_remove_handle(loop->multi, easy);
}
