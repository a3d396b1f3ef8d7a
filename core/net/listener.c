#include "core/net/listener.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/net/listening.h"
#include "core/net/stream.h"

enum {
    ACCEPTS_PER_TURN = 16,
    PAUSE_MS = 200,                                // after the process ran out of descriptors
    LISTENER_INTEREST = WATCH_READ | WATCH_SHARED, // one connection wakes one worker
};

// One socket on one worker's loop.
struct listener_worker {
    struct wheel_timer pause; // first: found again from the timer
    struct watch watch;
    const struct listening *socket;
    struct worker *worker;
    accepted_fn *accepted;
    void *argument;
};

struct listener {
    enum listener_kind kind;
    struct listening *sockets;
    size_t count;
    char *address;
    struct listener_worker *workers[WORKERS_MAX]; // an array each, as long as `sockets`
};

static _Atomic uint64_t pauses;

uint64_t listener_pauses(void)
{
    return pauses;
}

struct listener *listener_open(const struct listener_place *place, const struct listener_options *options,
                               char **error)
{
    struct listening *sockets;
    size_t count = listening_open(place, options, &sockets, error);
    if (count == 0)
        return NULL;
    struct listener *listener = memory_zalloc(sizeof *listener);
    *listener = (struct listener){.kind = place->kind, .sockets = sockets, .count = count};
    listener->address = str_to_c(str_of(sockets[0].address));
    for (size_t i = 1; i < count; i++) {
        char *longer = str_format("%s,%s", listener->address, sockets[i].address);
        free(listener->address);
        listener->address = longer;
    }
    return listener;
}

char *listener_configure(struct listener *listener, const struct listener_options *options)
{
    char *error = NULL;
    for (size_t i = 0; i < listener->count && !error; i++)
        error = listening_configure(&listener->sockets[i], options, listener->kind);
    return error;
}

const char *listener_address(const struct listener *listener)
{
    return listener->address;
}

static void pause_over(struct wheel_timer *timer, void *context)
{
    (void)context;
    struct listener_worker *here = (struct listener_worker *)timer;
    watch_change(&here->worker->poller, &here->watch, LISTENER_INTEREST);
}

// Out of descriptors or memory, or something unheard of: the waiting connections stay in the backlog,
// accepting goes on a little later.
static void pause_accepting(struct listener_worker *here, int why)
{
    watch_change(&here->worker->poller, &here->watch, 0);
    wheel_start(&here->worker->wheel, &here->pause, here->worker->now_ms + PAUSE_MS, pause_over);
    if (atomic_fetch_add(&pauses, 1) % 25 == 0)
        log_warn("cannot accept connections on %s: %s; trying again every %d ms", here->socket->address,
                 strerror(why), PAUSE_MS);
}

// Errors of the connection that waited, not of the listener; accept(2) hands them on.
static bool is_of_connection(int error)
{
    static const int errors[] = {ECONNABORTED, EINTR,        EPROTO,     ENETDOWN,    ENOPROTOOPT, EHOSTDOWN,
                                 ENONET,       EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT,   EPERM};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i] == error)
            return true;
    return false;
}

// The kernel wakes the first of the workers that sleep, in the order in which they came to the socket: who
// has accepted goes to the end of the line, so that the others have their turns.
static void go_behind(struct listener_worker *here)
{
    if (here->worker->count == 1 || here->watch.interest == 0)
        return;
    watch_change(&here->worker->poller, &here->watch, 0);
    watch_change(&here->worker->poller, &here->watch, LISTENER_INTEREST);
}

static void ready(struct watch *watch, unsigned what)
{
    (void)what;
    struct listener_worker *here =
        (struct listener_worker *)((char *)watch - offsetof(struct listener_worker, watch));
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t length = sizeof peer;
        int came = accept4(watch->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (came >= 0) {
            char address[ADDRESS_TEXT_MAX];
            address_text(&peer, address);
            here->accepted(here->worker, &(struct accepted){came, address, &peer}, here->argument);
        } else if (!is_of_connection(errno)) {
            if (errno != EAGAIN)
                pause_accepting(here, errno);
            break;
        }
    }
    go_behind(here);
}

void listener_attach(struct listener *listener, struct worker *worker, accepted_fn *accepted, void *argument)
{
    struct listener_worker *here = memory_zalloc(listener->count * sizeof *here);
    listener->workers[worker->index] = here;
    for (size_t i = 0; i < listener->count; i++, here++) {
        *here = (struct listener_worker){
            .socket = &listener->sockets[i], .worker = worker, .accepted = accepted, .argument = argument};
        here->watch = (struct watch){.ready = ready, .fd = here->socket->fd};
        watch_change(&worker->poller, &here->watch, LISTENER_INTEREST);
    }
}

void listener_detach(struct listener *listener, struct worker *worker)
{
    struct listener_worker *here = listener->workers[worker->index];
    if (!here)
        return;
    for (size_t i = 0; i < listener->count; i++) {
        watch_change(&worker->poller, &here[i].watch, 0);
        wheel_stop(&here[i].pause);
    }
    free(here);
    listener->workers[worker->index] = NULL;
}

void listener_close(struct listener *listener)
{
    listening_close(listener->sockets, listener->count);
    free(listener->address);
    free(listener);
}
