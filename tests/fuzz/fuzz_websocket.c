// Any bytes behind a good upgrade, in pieces: the layer hands up and answers the same whatever the pieces
// are, and never more than came in.
#include <errno.h>
#include <stdlib.h>

#include "core/net/stream.h"
#include "core/net/websocket.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

// The bottom of the stack: hands up what is fed, takes what the layer says.
struct bottom {
    struct transport transport; // first
    const uint8_t *next;
    const uint8_t *end;
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static ssize_t bottom_read(struct transport *transport, struct stream *stream, void *buffer, size_t size)
{
    (void)stream;
    struct bottom *bottom = (struct bottom *)transport;
    size_t length = (size_t)(bottom->end - bottom->next);
    if (length > size)
        length = size;
    if (length == 0) {
        errno = EAGAIN;
        return -1;
    }
    memcpy(buffer, bottom->next, length);
    bottom->next += length;
    return (ssize_t)length;
}

static ssize_t bottom_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                            int count)
{
    (void)transport;
    (void)stream;
    size_t length = 0;
    for (int i = 0; i < count; i++)
        length += pieces[i].iov_len;
    return (ssize_t)length;
}

static const struct transport_type bottom_type = {
    .name = "bottom", .read = bottom_read, .write = bottom_write};

struct outcome {
    uint8_t data[1 << 17];
    size_t length;
    const char *why;
    bool ended;
};

// Reads all there is; false once the layer has come to an end.
static bool drain(struct transport *layer, struct stream *stream, struct outcome *outcome)
{
    static uint8_t buffer[STREAM_READ_SIZE];
    for (;;) {
        ssize_t n = transport_read(layer, stream, buffer, sizeof buffer);
        if (n > 0) {
            require(outcome->length + (size_t)n <= sizeof outcome->data);
            memcpy(outcome->data + outcome->length, buffer, (size_t)n);
            outcome->length += (size_t)n;
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            require(!layer->type->pending(layer));
            return true;
        }
        require(n == 0 || errno == EPROTO);
        outcome->why = n < 0 ? layer->type->why(layer) : NULL;
        outcome->ended = true;
        require(n == 0 || outcome->why);
        return false;
    }
}

static void run(struct worker *worker, const uint8_t *data, size_t size, unsigned seed,
                struct outcome *outcome)
{
    struct bottom bottom = {.transport.type = &bottom_type};
    struct stream stream = {.worker = worker};
    struct upgrade_rules rules = {.path = STR("/mqtt"), .any_origin = true};
    struct transport *layer = websocket_new(&rules, NULL, NULL);
    layer->below = &bottom.transport;
    outcome->length = 0;
    outcome->why = NULL;
    outcome->ended = false;
    bottom.next = (const uint8_t *)request;
    bottom.end = bottom.next + sizeof request - 1;
    require(drain(layer, &stream, outcome) && outcome->length == 0);
    for (size_t done = 0; done < size && !outcome->ended;) {
        seed = seed * 1103515245U + 12345U;
        size_t piece = seed == 0 ? size : 1 + (seed >> 16) % 97;
        if (piece > size - done)
            piece = size - done;
        bottom.next = data + done;
        bottom.end = bottom.next + piece;
        done += piece;
        drain(layer, &stream, outcome);
    }
    require(outcome->length <= size);
    layer->type->close(layer, &stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct worker *worker;
    static struct outcome some;
    static struct outcome others;
    if (!worker)
        worker = workers_new(1);
    if (size < 1 || size > sizeof some.data)
        return 0;
    run(worker, data + 1, size - 1, data[0], &some);
    run(worker, data + 1, size - 1, data[0] + 4711U, &others);
    require(some.why == others.why && some.ended == others.ended && some.length == others.length);
    require(memcmp(some.data, others.data, some.length) == 0);
    return 0;
}
