// What a stream's bytes pass through: a stack of layers, the socket at its bottom, such as PROXY header, TLS
// and WebSocket above it. Only the thread of the worker whose stream it is. A layer knows the one below it
// and its stream's few functions for layers; must not know what the bytes mean to the owner of the stream.
#ifndef NOCTULE_NET_TRANSPORT_H
#define NOCTULE_NET_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;
struct transport;

/** What the layers know of the peer. Every string is NUL-terminated; NULL: not known. */
struct transport_facts {
    const char *name;             ///< "tcp", "tls", "websocket", "wss" or "unix": a constant, never NULL
    const char *address;          ///< of the client, where a trusted proxy tells it; NULL: the socket's own
    const char *tls_version;      ///< such as "TLSv1.3"; NULL: the bytes are not encrypted
    const char *psk_identity;     ///< that the peer has proved, with TLS-PSK
    const char *certificate_name; ///< common name of a verified certificate
    const char *subject;          ///< of a verified certificate, as in RFC 2253
    const char *alternative_name; ///< the first name of its subjectAltName: DNS, email, URI or address
    const char *pem;              ///< the certificate itself
    bool has_credentials;         ///< the three below hold: a unix socket's peer
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
};

/**
 * What a layer does. Those marked optional may be NULL: the layer has nothing of the kind. A layer reads and
 * writes the one below with transport_read and transport_write, from these functions only.
 */
struct transport_type {
    const char *name;

    /**
     * As read(2): the number of bytes put into `buffer`, 0 at the end, -1 with errno. EAGAIN says that
     * nothing can be handed up before the layer below has more (or before stream_unhold): then `pending` is
     * 0. A layer that opens with an exchange of its own (a handshake) makes it from here.
     */
    ssize_t (*read)(struct transport *transport, struct stream *stream, void *buffer, size_t size);

    /**
     * As writev(2): how many bytes were taken; fewer than were given, or -1 with EAGAIN: no more for now, and
     * the stream calls again once the socket takes bytes. What was taken and could not be passed on is the
     * layer's to keep, see `wants_write`; it takes no more until it is rid of that. With `count` 0: passes on
     * what it keeps, and the layers below do the same; returns 0, or -1.
     */
    ssize_t (*write)(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                     int count);

    /**
     * Optional. Bytes that `read` could hand up without the socket becoming readable (0 or more; a layer that
     * cannot tell how many says 1). The stream reads again by itself as long as there are any; such a read
     * uses up what is inside before it asks the layer below.
     */
    size_t (*pending)(const struct transport *transport);

    /** Optional. Whether the layer keeps bytes that wait for the socket: the stream then calls `write`. */
    bool (*wants_write)(const struct transport *transport);

    /**
     * No bytes follow: says goodbye in the layer's own way (close_notify, a Close frame), then calls
     * transport_shutdown for the one below. 0, or -1 with errno; EAGAIN: what it said waits for the socket,
     * and this is called again. Called again after success it does no harm. Reading goes on.
     */
    int (*shutdown)(struct transport *transport, struct stream *stream);

    /** Frees the layer, nothing below it. At any time; the stream may be detached. */
    void (*close)(struct transport *transport, struct stream *stream);

    /**
     * Optional. After `read` or `write` has failed with another errno than EAGAIN and EINTR: why, in words
     * for the log. NULL: errno says it all. Lives until `close`. With words, the owner's `failed` is called,
     * the layer is asked nothing more, and what it has written until then (an alert) still reaches the peer.
     */
    const char *(*why)(const struct transport *transport);

    /**
     * Optional. While the layer's own opening is under way: what is the matter when its time is up, such as
     * "the TLS handshake was not finished". NULL once it is open; may be NULL before anything has come.
     */
    const char *(*opening)(const struct transport *transport);

    /** Optional. Adds what the layer knows, and replaces what those below it have said. Strings live until
     * the stream is read again. */
    void (*facts)(const struct transport *transport, const struct stream *stream,
                  struct transport_facts *facts);
};

/** Embedded as the first member of what a layer keeps for its connection. */
struct transport {
    const struct transport_type *type;
    struct transport *below; ///< NULL: the bottom
};

/** The bottom of every stack: recv, sendmsg, shutdown and close of the stream's descriptor. One for all
 * streams, costs none of them any memory. */
extern struct transport transport_socket;

/** The same for unix sockets, whose peers have credentials; see stream_is_unix. */
extern struct transport transport_unix;

static inline ssize_t transport_read(struct transport *transport, struct stream *stream, void *buffer,
                                     size_t size)
{
    return transport->type->read(transport, stream, buffer, size);
}

static inline ssize_t transport_write(struct transport *transport, struct stream *stream,
                                      const struct iovec *pieces, int count)
{
    return transport->type->write(transport, stream, pieces, count);
}

static inline int transport_shutdown(struct transport *transport, struct stream *stream)
{
    return transport->type->shutdown(transport, stream);
}

/** Of this layer and all below: is there anything to read that no event will tell of? */
static inline bool transport_is_pending(const struct transport *transport)
{
    for (; transport->below; transport = transport->below)
        if (transport->type->pending && transport->type->pending(transport) > 0)
            return true;
    return false;
}

/** Of this layer and all below: does anything wait for the socket? */
static inline bool transport_wants_write(const struct transport *transport)
{
    for (; transport->below; transport = transport->below)
        if (transport->type->wants_write && transport->type->wants_write(transport))
            return true;
    return false;
}

/** The words of the uppermost layer that has failed, or NULL. */
const char *transport_why(const struct transport *transport);

/** What the lowest layer that is still opening says about that, or NULL. */
const char *transport_opening(const struct transport *transport);

/** What all layers know. A layer named "websocket" or "tls" gives the whole its name. */
void transport_facts(const struct transport *transport, const struct stream *stream,
                     struct transport_facts *facts);

/** Closes every layer from the top down, the descriptor last. */
void transport_close(struct transport *transport, struct stream *stream);

#endif
