// The lowest layer of connections that come through a proxy: takes the PROXY header off, then is out of the
// way.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/proxy.h"
#include "core/net/stream.h"

enum { FIRST_READ = 256 }; // most headers are smaller, and what follows one waits for an answer

struct proxy {
    struct transport transport; // first: found again from it
    unsigned versions;
    bool done;
    bool certified;
    const char *why; // NULL: all is well so far
    uint8_t *bytes;  // of the header so far; then what came behind it and was not handed up
    uint32_t start;  // of what is not handed up
    uint32_t length; // where it ends
    uint32_t capacity;
    char *common_name; // owned, as the next; NULL: not known
    char *tls_version;
    char address[ADDRESS_TEXT_MAX]; // empty: not told
};

static struct proxy *proxy_of(const struct transport *transport)
{
    return (struct proxy *)(uintptr_t)transport;
}

static ssize_t fail(struct proxy *proxy, const char *why)
{
    proxy->why = why;
    errno = EPROTO;
    return -1;
}

static void drop_bytes(struct proxy *proxy)
{
    free(proxy->bytes);
    proxy->bytes = NULL;
    proxy->start = proxy->length = proxy->capacity = 0;
}

// NULL, or why it is no good here.
static const char *learn(struct proxy *proxy, struct stream *stream, const struct proxy_header *header)
{
    proxy->done = true;
    proxy->start = (uint32_t)header->size;
    memcpy(proxy->address, header->address, sizeof proxy->address);
    proxy->certified = header->certified;
    if (header->certified)
        proxy->common_name = str_to_c(header->common_name.data ? header->common_name : STR(""));
    if (header->tls_version.data)
        proxy->tls_version = str_to_c(header->tls_version);
    if (proxy->start == proxy->length)
        drop_bytes(proxy);
    return *proxy->address && stream->events->identified ? stream->events->identified(stream, proxy->address)
                                                         : NULL;
}

static bool make_room(struct proxy *proxy)
{
    if (proxy->length < proxy->capacity)
        return true;
    uint32_t capacity = proxy->capacity ? PROXY_HEADER_MAX : FIRST_READ;
    uint8_t *bytes = memory_try_resize(proxy->bytes, capacity);
    if (!bytes)
        return false;
    proxy->bytes = bytes;
    proxy->capacity = capacity;
    return true;
}

// 1: the header is complete; otherwise as `read`.
static ssize_t read_header(struct proxy *proxy, struct stream *stream)
{
    for (;;) {
        if (!make_room(proxy)) {
            errno = ENOMEM;
            return -1;
        }
        ssize_t n = transport_read(proxy->transport.below, stream, proxy->bytes + proxy->length,
                                   proxy->capacity - proxy->length);
        // Who says nothing at all, such as a check of health, has not done anything wrong.
        if (n == 0 && proxy->length > 0)
            return fail(proxy, "the connection has ended inside the PROXY header");
        if (n <= 0)
            return n;
        proxy->length += (uint32_t)n;
        struct proxy_header header;
        const char *why;
        enum proxy_result result = proxy_parse(proxy->bytes, proxy->length, proxy->versions, &header, &why);
        if (result == PROXY_COMPLETE)
            why = learn(proxy, stream, &header);
        if (why)
            return fail(proxy, why);
        if (result == PROXY_COMPLETE)
            return 1;
    }
}

static ssize_t proxy_read(struct transport *transport, struct stream *stream, void *buffer, size_t size)
{
    struct proxy *proxy = proxy_of(transport);
    if (proxy->why)
        return fail(proxy, proxy->why);
    if (!proxy->done) {
        ssize_t n = read_header(proxy, stream);
        if (n <= 0)
            return n;
    }
    if (!proxy->bytes)
        return transport_read(transport->below, stream, buffer, size);
    size_t left = proxy->length - proxy->start;
    size_t taken = left < size ? left : size;
    memcpy(buffer, proxy->bytes + proxy->start, taken);
    proxy->start += (uint32_t)taken;
    if (proxy->start == proxy->length)
        drop_bytes(proxy);
    return (ssize_t)taken;
}

static ssize_t proxy_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                           int count)
{
    return transport_write(transport->below, stream, pieces, count);
}

static size_t proxy_pending(const struct transport *transport)
{
    const struct proxy *proxy = proxy_of(transport);
    return proxy->done && !proxy->why ? proxy->length - proxy->start : 0;
}

static int proxy_shutdown(struct transport *transport, struct stream *stream)
{
    return transport_shutdown(transport->below, stream);
}

static void proxy_close(struct transport *transport, struct stream *stream)
{
    (void)stream;
    struct proxy *proxy = proxy_of(transport);
    drop_bytes(proxy);
    free(proxy->common_name);
    free(proxy->tls_version);
    free(proxy);
}

static const char *proxy_why(const struct transport *transport)
{
    return proxy_of(transport)->why;
}

static void proxy_facts(const struct transport *transport, const struct stream *stream,
                        struct transport_facts *facts)
{
    (void)stream;
    const struct proxy *proxy = proxy_of(transport);
    if (!*proxy->address)
        return;
    // The process at the other end of a unix socket is the proxy, not the client.
    facts->has_credentials = false;
    facts->address = proxy->address;
    facts->tls_version = proxy->tls_version;
    facts->certificate_name = proxy->certified ? proxy->common_name : NULL;
}

static const char *proxy_opening(const struct transport *transport)
{
    return proxy_of(transport)->done ? NULL : "no PROXY header";
}

static const struct transport_type proxy_type = {
    .name = "proxy",
    .read = proxy_read,
    .write = proxy_write,
    .pending = proxy_pending,
    .shutdown = proxy_shutdown,
    .close = proxy_close,
    .why = proxy_why,
    .opening = proxy_opening,
    .facts = proxy_facts,
};

struct transport *proxy_layer_new(unsigned versions)
{
    struct proxy *proxy = memory_try(sizeof *proxy);
    if (!proxy)
        return NULL;
    *proxy = (struct proxy){.transport.type = &proxy_type, .versions = versions};
    return &proxy->transport;
}
