#include "core/net/transport.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/net/stream.h"

static ssize_t socket_read(struct transport *transport, struct stream *stream, void *buffer, size_t size)
{
    (void)transport;
    return recv(stream->watch.fd, buffer, size, 0);
}

static ssize_t socket_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                            int count)
{
    (void)transport;
    if (count == 0)
        return 0;
    if (count == 1)
        return send(stream->watch.fd, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    return sendmsg(stream->watch.fd, &message, MSG_NOSIGNAL);
}

static int socket_shutdown(struct transport *transport, struct stream *stream)
{
    (void)transport;
    return shutdown(stream->watch.fd, SHUT_WR);
}

static void socket_close(struct transport *transport, struct stream *stream)
{
    (void)transport;
    close(stream->watch.fd);
}

static const struct transport_type socket_type = {
    .name = "socket",
    .read = socket_read,
    .write = socket_write,
    .shutdown = socket_shutdown,
    .close = socket_close,
};

struct transport transport_socket = {.type = &socket_type};

static void unix_facts(const struct transport *transport, const struct stream *stream,
                       struct transport_facts *facts)
{
    (void)transport;
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(stream->watch.fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0)
        return;
    facts->has_credentials = true;
    facts->uid = peer.uid;
    facts->gid = peer.gid;
    facts->pid = peer.pid;
}

static const struct transport_type unix_type = {
    .name = "unix",
    .read = socket_read,
    .write = socket_write,
    .shutdown = socket_shutdown,
    .close = socket_close,
    .facts = unix_facts,
};

struct transport transport_unix = {.type = &unix_type};

const char *transport_why(const struct transport *transport)
{
    for (; transport; transport = transport->below) {
        const char *why = transport->type->why ? transport->type->why(transport) : NULL;
        if (why)
            return why;
    }
    return NULL;
}

static void gather_facts(const struct transport *transport, const struct stream *stream,
                         struct transport_facts *facts)
{
    if (transport->below)
        gather_facts(transport->below, stream, facts);
    if (transport->type->facts)
        transport->type->facts(transport, stream, facts);
}

static bool has_layer(const struct transport *transport, const char *name)
{
    for (; transport; transport = transport->below)
        if (strcmp(transport->type->name, name) == 0)
            return true;
    return false;
}

const char *transport_opening(const struct transport *transport)
{
    const char *opening = NULL;
    for (; transport; transport = transport->below) {
        const char *lower = transport->type->opening ? transport->type->opening(transport) : NULL;
        if (lower)
            opening = lower;
    }
    return opening;
}

void transport_facts(const struct transport *transport, const struct stream *stream,
                     struct transport_facts *facts)
{
    bool tls = has_layer(transport, "tls");
    *facts = (struct transport_facts){0};
    gather_facts(transport, stream, facts);
    if (has_layer(transport, "websocket"))
        facts->name = tls ? "wss" : "websocket";
    else if (tls)
        facts->name = "tls";
    else
        facts->name = has_layer(transport, "unix") ? "unix" : "tcp";
}

void transport_close(struct transport *transport, struct stream *stream)
{
    while (transport) {
        struct transport *below = transport->below;
        transport->type->close(transport, stream);
        transport = below;
    }
}
