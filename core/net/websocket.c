#include "core/net/websocket.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/net/websocket_state.h"

static atomic_bool going_away;

void websocket_going_away(void)
{
    atomic_store_explicit(&going_away, true, memory_order_relaxed);
}

// What there is left to say once everything before it has been handed up: 0 at the end, -1 when it is wrong.
static ssize_t tell_end(struct websocket *layer, struct stream *stream)
{
    if (!layer->told && !layer->said_close)
        websocket_say_close(layer, stream, layer->code);
    layer->told = true;
    errno = EPROTO;
    return layer->why ? -1 : 0;
}

static ssize_t layer_read(struct transport *transport, struct stream *stream, void *buffer, size_t size)
{
    struct websocket *layer = (struct websocket *)transport;
    if (layer->why || layer->peer_done)
        return tell_end(layer, stream);
    ssize_t n = layer->opening ? websocket_open(layer, stream, buffer, size)
                               : transport_read(transport->below, stream, buffer, size);
    if (n > 0)
        n = websocket_unpack(layer, stream, buffer, (size_t)n);
    else
        return n;
    if (n != 0)
        return n;
    if (layer->why || layer->peer_done)
        return tell_end(layer, stream);
    errno = EAGAIN; // frames without data, or not whole yet
    return -1;
}

static size_t layer_pending(const struct transport *transport)
{
    const struct websocket *layer = (const struct websocket *)transport;
    return (layer->why || layer->peer_done) && !layer->told;
}

static int layer_shutdown(struct transport *transport, struct stream *stream)
{
    struct websocket *layer = (struct websocket *)transport;
    if (!layer->opening && !layer->said_close) {
        bool going = atomic_load_explicit(&going_away, memory_order_relaxed);
        if (!websocket_say_close(layer, stream, going ? WSLAY_CODE_GOING_AWAY : WSLAY_CODE_NORMAL_CLOSURE))
            return -1;
    } else if (websocket_write(transport, stream, NULL, 0) < 0) {
        return -1;
    }
    if (websocket_wants_write(transport)) {
        errno = EAGAIN;
        return -1;
    }
    return transport_shutdown(transport->below, stream);
}

static void layer_close(struct transport *transport, struct stream *stream)
{
    (void)stream;
    struct websocket *layer = (struct websocket *)transport;
    websocket_opening_free(layer->opening);
    websocket_reader_free(layer->reader);
    free(layer->kept);
    free(layer->text);
    free(layer);
}

static const char *layer_why(const struct transport *transport)
{
    return ((const struct websocket *)transport)->why;
}

static const char *layer_opening(const struct transport *transport)
{
    const struct websocket *layer = (const struct websocket *)transport;
    if (!layer->opening)
        return NULL;
    return layer->opening->length > 0 ? "the HTTP upgrade was not finished" : "no HTTP upgrade";
}

static void layer_facts(const struct transport *transport, const struct stream *stream,
                        struct transport_facts *facts)
{
    (void)stream;
    const struct websocket *layer = (const struct websocket *)transport;
    if (layer->text && !layer->why)
        facts->address = layer->text;
}

static const struct transport_type websocket_type = {
    .name = "websocket",
    .read = layer_read,
    .write = websocket_write,
    .pending = layer_pending,
    .wants_write = websocket_wants_write,
    .shutdown = layer_shutdown,
    .close = layer_close,
    .why = layer_why,
    .opening = layer_opening,
    .facts = layer_facts,
};

struct transport *websocket_new(const struct upgrade_rules *rules, void (*release)(void *owner), void *owner)
{
    struct websocket *layer = memory_try(sizeof *layer);
    struct websocket_opening *opening = memory_try(sizeof *opening);
    if (!layer || !opening) {
        free(layer);
        free(opening);
        if (release)
            release(owner);
        return NULL;
    }
    *opening = (struct websocket_opening){.rules = *rules, .release = release, .owner = owner};
    *layer = (struct websocket){.transport.type = &websocket_type, .opening = opening};
    return &layer->transport;
}
