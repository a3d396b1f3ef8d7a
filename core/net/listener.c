#include "core/net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/net/stream.h"

enum {
    ACCEPTS_PER_TURN = 16,
    PAUSE_MS = 200, // after the process ran out of descriptors
    BACKLOG = 4096,
    LISTENER_INTEREST = WATCH_READ | WATCH_SHARED, // one connection wakes one worker
};

struct listener_worker {
    struct wheel_timer pause; // first: found again from the timer
    struct watch watch;
    struct listener *listener;
    struct worker *worker;
    accepted_fn *accepted;
    void *argument;
};

struct listener {
    int fd;
    char address[ADDRESS_TEXT_MAX];
    struct listener_worker *workers[WORKERS_MAX];
};

static _Atomic uint64_t pauses;

uint64_t listener_pauses(void)
{
    return pauses;
}

static void address_text(const struct sockaddr_storage *address, char text[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host);
        snprintf(text, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(in6.sin6_port));
    } else {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
        snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in.sin_port));
    }
}

static void switch_on(int fd, int level, int option)
{
    int on = 1;
    setsockopt(fd, level, option, &on, sizeof on);
}

static int bind_one(const struct addrinfo *candidate)
{
    int fd = socket(candidate->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    switch_on(fd, SOL_SOCKET, SO_REUSEADDR);
    // Connections inherit these from the socket they were accepted on.
    switch_on(fd, SOL_SOCKET, SO_KEEPALIVE);
    switch_on(fd, IPPROTO_TCP, TCP_NODELAY);
    if (candidate->ai_family == AF_INET6)
        switch_on(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    if (bind(fd, candidate->ai_addr, candidate->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

struct listener *listener_open(const char *host, uint16_t port, char **error)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *candidates;
    int failure = getaddrinfo(host, service, &hints, &candidates);
    if (failure != 0) {
        *error = str_format("cannot resolve %s: %s", host, gai_strerror(failure));
        return NULL;
    }
    int fd = -1;
    for (struct addrinfo *candidate = candidates; candidate && fd < 0; candidate = candidate->ai_next)
        fd = bind_one(candidate);
    int why = errno;
    freeaddrinfo(candidates);
    if (fd < 0) {
        *error = str_format(strchr(host, ':') ? "cannot listen on [%s]:%u: %s" : "cannot listen on %s:%u: %s",
                            host, port, strerror(why));
        return NULL;
    }
    struct listener *listener = memory_zalloc(sizeof *listener);
    listener->fd = fd;
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    getsockname(fd, (struct sockaddr *)&bound, &length);
    address_text(&bound, listener->address);
    return listener;
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
        log_warn("cannot accept connections on %s: %s; trying again every %d ms", here->listener->address,
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
        int accepted = accept4(watch->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            char address[ADDRESS_TEXT_MAX];
            address_text(&peer, address);
            here->accepted(here->worker, accepted, address, here->argument);
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
    struct listener_worker *here = memory_zalloc(sizeof *here);
    *here = (struct listener_worker){
        .listener = listener, .worker = worker, .accepted = accepted, .argument = argument};
    listener->workers[worker->index] = here;
    here->watch = (struct watch){.ready = ready, .fd = listener->fd};
    watch_change(&worker->poller, &here->watch, LISTENER_INTEREST);
}

void listener_detach(struct listener *listener, struct worker *worker)
{
    struct listener_worker *here = listener->workers[worker->index];
    if (!here)
        return;
    watch_change(&here->worker->poller, &here->watch, 0);
    wheel_stop(&here->pause);
    free(here);
    listener->workers[worker->index] = NULL;
}

void listener_close(struct listener *listener)
{
    close(listener->fd);
    free(listener);
}
