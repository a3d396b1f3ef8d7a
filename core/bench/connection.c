#include "core/bench/connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/str.h"
#include "core/bench/packets.h"
#include "core/bench/publisher.h"
#include "core/bench/websocket.h"

enum {
    PER_SOURCE = 25000, // connections from one address of the loopback device: ports run out soon after
    HOPELESS = 50,      // so many failures and not one success: the others need not be tried
};

static bool is_opening(const struct connection *connection)
{
    return connection->state > CONNECTION_NEW && connection->state < CONNECTION_READY;
}

void bench_connection_close(struct bench *bench, struct connection *connection)
{
    if (connection->state == CONNECTION_NEW || connection->state == CONNECTION_CLOSED)
        return;
    if (is_opening(connection))
        bench->opening--;
    connection->state = CONNECTION_CLOSED;
    bench->subacks_due -= connection->subacks;
    connection->subacks = 0;
    if (connection->ssl) {
        // Freed without this, its session could not be resumed.
        SSL_set_shutdown(connection->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(connection->ssl);
        connection->ssl = NULL;
    }
    close(connection->fd);
    connection->fd = -1;
    free(connection->websocket);
    free(connection->kept);
    free(connection->pending);
    connection->websocket = NULL;
    connection->kept = NULL;
    connection->pending = NULL;
    connection->kept_length = connection->kept_capacity = connection->wanted = 0;
    connection->pending_start = connection->pending_end = connection->pending_capacity = 0;
}

void bench_connection_fail(struct bench *bench, struct connection *connection, const char *format, ...)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    if (connection->state == CONNECTION_READY)
        bench->lost++;
    else
        bench->failed++;
    bench_connection_close(bench, connection);
    if (!bench->tolerant || (bench->connected == 0 && bench->failed >= HOPELESS))
        bench_fail(bench, BENCH_REFUSED, "client %u: %s", connection->number, reason);
    else if (!bench->problem)
        bench->problem = str_format("client %u: %s", connection->number, reason);
}

// ---- opening -------------------------------------------------------------------------------------------

// The loopback device has many addresses; each has ports of its own.
static void choose_source(const struct bench *bench, const struct connection *connection)
{
    const struct sockaddr_in *target = (const struct sockaddr_in *)&bench->options->target.address;
    if (bench->connection_count <= PER_SOURCE || target->sin_family != AF_INET ||
        ntohl(target->sin_addr.s_addr) >> 24 != 127)
        return;
    const int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + connection->number / PER_SOURCE);
    setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    // Should that fail, connect chooses, and says so when there is no port.
    (void)!bind(connection->fd, (const struct sockaddr *)&source, sizeof source);
}

static const char *connect_words(int error)
{
    return error == EADDRNOTAVAIL
               ? "no free port is left on this side (net.ipv4.ip_local_port_range, or fewer clients)"
               : strerror(error);
}

void bench_connection_open(struct bench *bench, struct connection *connection, uint64_t due_ns)
{
    const struct bench_target *target = &bench->options->target;
    const int on = 1;
    connection->due_ns = due_ns;
    connection->fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->fd < 0) {
        bench_fail(bench, BENCH_LOCAL, "cannot make a socket: %s", strerror(errno));
        return;
    }
    connection->state = CONNECTION_TCP;
    bench->opening++;
    if (target->host)
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    choose_source(bench, connection);
    if (connect(connection->fd, (const struct sockaddr *)&target->address, target->address_length) != 0 &&
        errno != EINPROGRESS) {
        // A unix socket whose backlog is full says so at once, where TCP would wait.
        bench_connection_fail(bench, connection, "%s: %s", target->text, connect_words(errno));
        return;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
    connection->waits_to_write = true;
    epoll_ctl(bench->epoll, EPOLL_CTL_ADD, connection->fd, &event);
}

static void say_connect(struct bench *bench, struct connection *connection)
{
    connection->state = CONNECTION_CONNECT;
    if (bench->options->target.websocket)
        connection->websocket = memory_zalloc(sizeof *connection->websocket);
    packet_connect(bench, connection);
}

static void say_upgrade(struct bench *bench, struct connection *connection)
{
    if (!bench->upgrade) {
        say_connect(bench, connection);
        return;
    }
    connection->state = CONNECTION_UPGRADE;
    bench_connection_send_raw(bench, connection, (const uint8_t *)bench->upgrade, strlen(bench->upgrade));
}

static void go_on_with_tls(struct bench *bench, struct connection *connection)
{
    if (bench_tls_handshake(bench, connection))
        say_upgrade(bench, connection);
}

static void tcp_is_up(struct bench *bench, struct connection *connection)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        bench_connection_fail(bench, connection, "%s: %s", bench->options->target.text, connect_words(error));
        return;
    }
    if (!bench->tls) {
        say_upgrade(bench, connection);
        return;
    }
    connection->state = CONNECTION_TLS;
    if (bench_tls_start(bench, connection))
        go_on_with_tls(bench, connection);
}

// ---- writing -------------------------------------------------------------------------------------------

// 0: the socket takes nothing now, -1: the connection has failed.
static ssize_t write_some(struct bench *bench, struct connection *connection, const uint8_t *data,
                          size_t size)
{
    if (connection->ssl)
        return bench_tls_write(bench, connection, data, size);
    ssize_t written = send(connection->fd, data, size, MSG_NOSIGNAL);
    if (written >= 0)
        return written;
    if (errno == EAGAIN || errno == EINTR)
        return 0;
    bench_connection_fail(bench, connection, "the broker closed the connection: %s", strerror(errno));
    return -1;
}

static void keep_for_later(struct connection *connection, const uint8_t *data, size_t size)
{
    size_t length = connection->pending_end - connection->pending_start;
    if (connection->pending_end + size > connection->pending_capacity) {
        if (length > 0)
            memmove(connection->pending, connection->pending + connection->pending_start, length);
        connection->pending_start = 0;
        connection->pending_end = length;
        if (length + size > connection->pending_capacity) {
            connection->pending_capacity = 2 * (length + size);
            connection->pending = memory_resize(connection->pending, connection->pending_capacity);
        }
    }
    memcpy(connection->pending + connection->pending_end, data, size);
    connection->pending_end += size;
}

// Asks the loop to tell when the socket takes bytes, or no longer to.
static void wait_to_write(struct bench *bench, struct connection *connection, bool wait)
{
    if (connection->waits_to_write == wait)
        return;
    struct epoll_event event = {.events = wait ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = connection};
    connection->waits_to_write = wait;
    epoll_ctl(bench->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

void bench_connection_send_raw(struct bench *bench, struct connection *connection, const uint8_t *data,
                               size_t size)
{
    if (connection->state == CONNECTION_CLOSED)
        return;
    connection->sent_ns = bench->now_ns;
    while (size > 0 && bench_connection_is_flushed(connection)) {
        ssize_t written = write_some(bench, connection, data, size);
        if (written < 0)
            return;
        if (written == 0)
            break;
        data += written;
        size -= (size_t)written;
    }
    if (size == 0)
        return;
    keep_for_later(connection, data, size);
    wait_to_write(bench, connection, true);
}

void bench_connection_send(struct bench *bench, struct connection *connection, uint8_t *data, size_t size)
{
    uint8_t *start = connection->websocket ? bench_websocket_frame(data, size, 2) : data;
    bench_connection_send_raw(bench, connection, start, size + (size_t)(data - start));
}

static void flush(struct bench *bench, struct connection *connection)
{
    while (!bench_connection_is_flushed(connection)) {
        ssize_t written = write_some(bench, connection, connection->pending + connection->pending_start,
                                     connection->pending_end - connection->pending_start);
        if (written <= 0)
            return;
        connection->pending_start += (size_t)written;
    }
    connection->pending_start = connection->pending_end = 0;
    wait_to_write(bench, connection, false);
    if (connection->publisher)
        publisher_offer(bench, connection->publisher);
}

// ---- reading -------------------------------------------------------------------------------------------

// Appends what is not consumed to nothing else than itself: the beginning of a packet of `wanted` bytes, if
// known.
static void keep(struct connection *connection, const uint8_t *data, size_t length, uint32_t wanted)
{
    connection->wanted = wanted > KEPT_SMALL ? wanted : 0;
    uint32_t capacity = connection->wanted ? wanted : (uint32_t)length;
    if (capacity > connection->kept_capacity) {
        // `data` may lie in the old block: only when it is small, and is then to become a large one.
        uint8_t *block = memory_alloc(capacity);
        memcpy(block, data, length);
        free(connection->kept);
        connection->kept = block;
        connection->kept_capacity = capacity;
    } else if (length > 0) {
        memmove(connection->kept, data, length);
    }
    connection->kept_length = (uint32_t)length;
}

static ssize_t read_some(struct bench *bench, struct connection *connection, uint8_t *data, size_t size)
{
    if (connection->ssl)
        return bench_tls_read(bench, connection, data, size);
    ssize_t got = recv(connection->fd, data, size, 0);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR)))
        return got > 0 ? got : 0;
    if (got == 0)
        bench_connection_fail(bench, connection, "the broker closed the connection%s",
                              connection->state < CONNECTION_READY ? " before CONNACK" : "");
    else
        bench_connection_fail(bench, connection, "the broker closed the connection: %s", strerror(errno));
    return -1;
}

// The answer to the WebSocket handshake; returns how much of it was used.
static size_t upgraded(struct bench *bench, struct connection *connection, const uint8_t *data, size_t length)
{
    char *problem;
    ssize_t used = bench_websocket_upgraded(bench, data, length, &problem);
    if (used < 0) {
        bench_connection_fail(bench, connection, "%s", problem);
        free(problem);
        return length;
    }
    if (used > 0)
        say_connect(bench, connection);
    return (size_t)used;
}

// One read. True when there may be more to read right away.
static bool receive(struct bench *bench, struct connection *connection)
{
    size_t kept = connection->kept_length;
    bool large = connection->wanted > 0;
    uint8_t *at = large ? connection->kept + kept : bench->receive + KEPT_SMALL;
    size_t room = large ? connection->wanted - kept : RECEIVE_SIZE;
    if (!large && kept > 0)
        memcpy(at - kept, connection->kept, kept);
    ssize_t got = read_some(bench, connection, at, room);
    if (got <= 0)
        return false;
    bool more = connection->ssl && (size_t)got == room;
    bench->now_ns = clock_monotonic_ns();
    if (connection->websocket && (got = bench_websocket_unwrap(bench, connection, at, (size_t)got)) < 0)
        return false;
    uint32_t wanted = 0;
    uint8_t *data = at - kept;
    size_t length = kept + (size_t)got;
    size_t used = connection->state == CONNECTION_UPGRADE
                      ? upgraded(bench, connection, data, length)
                      : packets_receive(bench, connection, data, length, &wanted);
    if (connection->state == CONNECTION_CLOSED)
        return false;
    keep(connection, data + used, length - used, wanted);
    return more;
}

void bench_connection_ready(struct bench *bench, struct connection *connection, uint32_t events)
{
    if (connection->state == CONNECTION_TCP) {
        tcp_is_up(bench, connection);
    } else if (connection->state == CONNECTION_TLS) {
        go_on_with_tls(bench, connection);
    } else {
        if (events & EPOLLOUT)
            flush(bench, connection);
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            while (connection->state != CONNECTION_CLOSED && receive(bench, connection))
                ;
        return;
    }
    if (connection->state != CONNECTION_CLOSED && bench_connection_is_flushed(connection))
        wait_to_write(bench, connection, false);
}
