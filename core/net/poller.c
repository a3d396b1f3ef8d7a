#include "core/net/poller.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/base/memory.h"

enum { READY_MOST = 512 }; // told in one turn; what is left over is ready in the next one as well

bool poller_init(struct poller *poller)
{
    *poller = (struct poller){.fd = epoll_create1(EPOLL_CLOEXEC)};
    if (poller->fd < 0)
        return false;
    poller->ready = memory_alloc(READY_MOST * sizeof *poller->ready);
    return true;
}

void poller_clear(struct poller *poller)
{
    close(poller->fd);
    free(poller->ready);
}

void poller_wait(struct poller *poller, int timeout_ms)
{
    int count = epoll_wait(poller->fd, poller->ready, READY_MOST, timeout_ms);
    poller->count = count > 0 ? count : 0; // interrupted: whoever waited looks again
    poller->next = 0;
}

void poller_tell(struct poller *poller)
{
    while (poller->next < poller->count) {
        const struct epoll_event *event = &poller->ready[poller->next++];
        struct watch *watch = event->data.ptr;
        if (!watch)
            continue;
        unsigned what = 0;
        if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            what |= WATCH_READ;
        if (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
            what |= WATCH_WRITE;
        what &= watch->interest;
        if (what)
            watch->ready(watch, what);
    }
}

// A watch that is stopped while others are told: what was found of it is void.
static void forget(struct poller *poller, const struct watch *watch)
{
    for (int i = poller->next; i < poller->count; i++)
        if (poller->ready[i].data.ptr == watch)
            poller->ready[i].data.ptr = NULL;
}

static uint32_t events_of(unsigned interest)
{
    return (interest & WATCH_READ ? EPOLLIN : 0U) | (interest & WATCH_WRITE ? EPOLLOUT : 0U) |
           (interest & WATCH_EDGE ? EPOLLET : 0U) | (interest & WATCH_SHARED ? EPOLLEXCLUSIVE : 0U);
}

bool watch_change(struct poller *poller, struct watch *watch, unsigned interest)
{
    if (interest == watch->interest)
        return true;
    struct epoll_event event = {.events = events_of(interest), .data.ptr = watch};
    int operation = watch->interest == 0 ? EPOLL_CTL_ADD : interest == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    bool done = epoll_ctl(poller->fd, operation, watch->fd, &event) == 0;
    // One that cannot be taken out is not in it: its descriptor was closed before.
    watch->interest = done || interest == 0 ? (uint8_t)interest : 0;
    if (watch->interest == 0)
        forget(poller, watch);
    return done || interest == 0;
}
