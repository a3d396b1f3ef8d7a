#include "loop.h"

#include <stdlib.h>

// A socket that libcurl watches; its pointer lies with libcurl.
struct watched {
    struct loop *loop;
    struct noctule_watch *watch;
    struct watched *next;  ///< in line
    struct watched **link; ///< NULL: not in line
    curl_socket_t fd;
    uint32_t wanted; ///< what libcurl waits for
    int ready;       ///< in line: what it can do, in libcurl's words
};

struct loop {
    const struct noctule_host *host;
    struct noctule_instance *instance;
    struct noctule_worker *worker;
    struct pace *pace;
    loop_done_fn *done;
    void *argument;
    CURLM *multi;
    struct noctule_timer *timer;
    struct watched *first; ///< of the sockets that are ready, and not watched until their turn
    struct watched **last;
    bool due;     ///< libcurl wants to be called at once
    bool ended;   ///< there are ends that nobody was told of
    bool running; ///< inside loop_act
};

static void loop_act(struct loop *loop, curl_socket_t fd, int events);

// ---- Sockets in line -----------------------------------------------------------------------------------

static void line_join(struct loop *loop, struct watched *watched, int ready)
{
    watched->ready = ready;
    watched->next = NULL;
    watched->link = loop->last;
    *loop->last = watched;
    loop->last = &watched->next;
    // It stays ready, and the loop would tell of it in every turn.
    loop->host->watch_change(watched->watch, 0);
}

static void line_leave(struct loop *loop, struct watched *watched)
{
    if (!watched->link)
        return;
    *watched->link = watched->next;
    if (watched->next)
        watched->next->link = watched->link;
    else
        loop->last = watched->link;
    watched->link = NULL;
}

// ---- What libcurl wants --------------------------------------------------------------------------------

static void socket_ready(const struct noctule_context *context, int fd, uint32_t events, void *argument)
{
    (void)context;
    struct watched *watched = argument;
    struct loop *loop = watched->loop;
    int what = (events & NOCTULE_READABLE ? CURL_CSELECT_IN : 0) |
               (events & NOCTULE_WRITABLE ? CURL_CSELECT_OUT : 0);
    if (!loop->first && pace_may(loop->pace))
        loop_act(loop, fd, what);
    else
        line_join(loop, watched, what);
}

static uint32_t events_of(int what)
{
    return (what & CURL_POLL_IN ? NOCTULE_READABLE : 0) | (what & CURL_POLL_OUT ? NOCTULE_WRITABLE : 0);
}

static int socket_forget(struct loop *loop, curl_socket_t fd, struct watched *watched)
{
    if (!watched)
        return 0;
    line_leave(loop, watched);
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
    *watched = (struct watched){.loop = loop, .fd = fd, .wanted = events};
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
    // What it was ready for may not matter any more; the loop will tell.
    line_leave(loop, watched);
    watched->wanted = events_of(what);
    return loop->host->watch_change(watched->watch, watched->wanted) == NOCTULE_OK ? 0 : -1;
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

// At least one of those that have ended: what libcurl has just been called for mostly ends one.
static void ended_tell(struct loop *loop)
{
    CURLMsg *message;
    int left = 0;
    do {
        message = curl_multi_info_read(loop->multi, &left);
        if (!message || message->msg != CURLMSG_DONE)
            continue;
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        // The message is gone with the transfer.
        curl_multi_remove_handle(loop->multi, easy);
        loop->done(loop->argument, easy, code);
    } while (left > 0 && pace_may(loop->pace));
    loop->ended = left > 0;
}

static void loop_act(struct loop *loop, curl_socket_t fd, int events)
{
    int left;
    if (loop->running)
        return;
    loop->running = true;
    curl_multi_socket_action(loop->multi, fd, events, &left);
    ended_tell(loop);
    while (loop->due && pace_may(loop->pace)) {
        loop->due = false;
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &left);
        ended_tell(loop);
    }
    loop->running = false;
}

void loop_run(struct loop *loop)
{
    if (loop->due)
        loop_act(loop, CURL_SOCKET_TIMEOUT, 0);
}

static void line_first(struct loop *loop)
{
    struct watched *watched = loop->first;
    line_leave(loop, watched);
    loop->host->watch_change(watched->watch, watched->wanted);
    loop_act(loop, watched->fd, watched->ready);
}

void loop_go_on(struct loop *loop)
{
    loop->running = true;
    if (loop->ended && pace_may(loop->pace))
        ended_tell(loop);
    loop->running = false;
    while (loop->first && pace_may(loop->pace))
        line_first(loop);
    if (loop->due && pace_may(loop->pace))
        loop_act(loop, CURL_SOCKET_TIMEOUT, 0);
}

// ---- Life ----------------------------------------------------------------------------------------------

struct loop *loop_new(const struct noctule_host *host, struct noctule_instance *instance,
                      struct noctule_worker *worker, struct pace *pace, loop_done_fn *done, void *argument)
{
    struct loop *loop = malloc(sizeof *loop);
    if (!loop)
        return NULL;
    *loop = (struct loop){.host = host,
                          .instance = instance,
                          .worker = worker,
                          .pace = pace,
                          .done = done,
                          .argument = argument,
                          .multi = curl_multi_init()};
    loop->last = &loop->first;
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
