#include "core/bench/scenario.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/bench/connection.h"
#include "core/bench/ledger.h"
#include "core/bench/publisher.h"
#include "core/bench/websocket.h"

enum { OTHER_DESCRIPTORS = 32 };

// Raises the soft limit of descriptors as far as it must.
static void allow_descriptors(struct bench *bench, uint32_t connections)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)connections + OTHER_DESCRIPTORS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    rlim_t hard = limit.rlim_max;
    limit.rlim_cur = needed;
    if (needed > hard)
        limit.rlim_max = needed; // root may
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        bench_fail(
            bench, BENCH_LOCAL,
            "%u connections need %llu open files, and %llu are allowed: raise the limit (ulimit -n as root, "
            "LimitNOFILE= of a service, /etc/security/limits.conf), or use fewer clients",
            connections, (unsigned long long)needed, (unsigned long long)hard);
}

void cast_make(struct bench *bench, uint32_t connections, uint32_t publishers, uint32_t subscribers)
{
    allow_descriptors(bench, connections);
    bench->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (bench->epoll < 0)
        bench_fail(bench, BENCH_LOCAL, "cannot make an event loop: %s", strerror(errno));
    bench->connection_count = connections;
    bench->connections = memory_zalloc(connections * sizeof *bench->connections);
    bench->publisher_count = publishers;
    bench->publishers = memory_zalloc((publishers + 1U) * sizeof *bench->publishers);
    bench->subscriber_count = subscribers;
    bench->subscribers = memory_zalloc((subscribers + 1U) * sizeof *bench->subscribers);
    for (uint32_t i = 0; i < connections; i++) {
        bench->connections[i].number = i;
        bench->connections[i].fd = -1;
    }
}

void cast_ready(struct bench *bench)
{
    const struct bench_options *options = bench->options;
    bench->payload = memory_alloc(options->payload);
    for (uint32_t i = 0; i < options->payload; i++)
        bench->payload[i] = (uint8_t)('a' + i % 26);
    bench->batch = options->batch;
    if (options->window > 0 && bench->batch > options->window)
        bench->batch = options->window;
    bench->send_size = SEND_SIZE;
    for (uint32_t i = 0; i < bench->publisher_count; i++)
        publisher_open(bench, &bench->publishers[i]);
    bench->ready = memory_alloc((bench->publisher_count + 1U) * sizeof(struct publisher *));
    bench->send = memory_alloc(SEND_HEADROOM + bench->send_size);
    bench->receive = memory_alloc(KEPT_SMALL + RECEIVE_SIZE);
    bench->acks = memory_alloc(SEND_HEADROOM + KEPT_SMALL + RECEIVE_SIZE);
    if (options->target.tls && !bench->stop)
        bench_tls_open(bench);
    if (options->target.websocket)
        bench_websocket_open(bench);
}

void cast_free(struct bench *bench)
{
    for (uint32_t i = 0; i < bench->connection_count; i++)
        bench_connection_close(bench, &bench->connections[i]);
    for (uint32_t i = 0; i < bench->publisher_count; i++)
        publisher_close(&bench->publishers[i]);
    if (bench->tls)
        bench_tls_close(bench);
    if (bench->epoll > 0)
        close(bench->epoll);
    ledger_close(&bench->ledger);
    free(bench->connections);
    free(bench->publishers);
    free(bench->subscribers);
    free(bench->ready);
    free(bench->payload);
    free(bench->send);
    free(bench->receive);
    free(bench->acks);
    free(bench->upgrade);
    free(bench->accept);
}
