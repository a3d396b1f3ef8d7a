// Frames that go out. What a stream writes at a time becomes one frame: its head, then the stream's own
// pieces, so that nothing is copied. libwslay would want to be the one who writes; a head without a mask is
// two to ten bytes.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/websocket_state.h"

enum { PIECES_MOST = 64, FINAL = 0x80 };

static size_t put_head(uint8_t head[WEBSOCKET_HEAD_MAX], uint8_t opcode, uint64_t length)
{
    size_t size = length > UINT16_MAX ? 8 : length >= 126 ? 2 : 0;
    head[0] = FINAL | opcode;
    head[1] = size == 8 ? 127 : size == 2 ? 126 : (uint8_t)length;
    for (size_t i = 0; i < size; i++)
        head[2 + i] = (uint8_t)(length >> 8 * (size - 1 - i));
    return 2 + size;
}

// --- what is kept ---------------------------------------------------------------------------------

static bool keep_ready(struct websocket *layer)
{
    if (layer->kept)
        return true;
    layer->kept = memory_try(sizeof *layer->kept);
    if (!layer->kept) {
        errno = ENOMEM;
        return false;
    }
    layer->kept->start = layer->kept->end = layer->kept->control_length = 0;
    return true;
}

// Passes on what waits, a control frame only between data frames. False: some is left, or an error.
static bool push(struct websocket *layer, struct stream *stream)
{
    struct transport *below = layer->transport.below;
    struct websocket_kept *kept = layer->kept;
    while (kept) {
        if (kept->start == kept->end && kept->control_length > 0 && layer->frame_left == 0) {
            memcpy(kept->bytes, kept->control, kept->control_length);
            kept->start = 0;
            kept->end = kept->control_length;
            kept->control_length = 0;
        }
        if (kept->start == kept->end)
            break;
        struct iovec piece = {kept->bytes + kept->start, kept->end - kept->start};
        ssize_t n = transport_write(below, stream, &piece, 1);
        if (n < 0)
            return false;
        kept->start += (size_t)n;
        if (n < (ssize_t)piece.iov_len) {
            errno = EAGAIN;
            return false;
        }
    }
    if (kept && kept->control_length == 0) {
        free(kept);
        layer->kept = NULL;
    }
    return true;
}

bool websocket_wants_write(const struct transport *transport)
{
    const struct websocket *layer = (const struct websocket *)transport;
    const struct websocket_kept *kept = layer->kept;
    // While a data frame is under way the stream has its rest, and will write anyway.
    return kept && (kept->start < kept->end || (kept->control_length > 0 && layer->frame_left == 0));
}

bool websocket_say(struct websocket *layer, struct stream *stream, const void *bytes, size_t length)
{
    if (!push(layer, stream) && errno != EAGAIN)
        return false;
    size_t sent = 0;
    if (!layer->kept) {
        struct iovec piece = {(void *)(uintptr_t)bytes, length};
        ssize_t n = transport_write(layer->transport.below, stream, &piece, 1);
        if (n < 0 && errno != EAGAIN)
            return false;
        sent = n > 0 ? (size_t)n : 0;
    }
    if (sent == length)
        return true;
    if (!keep_ready(layer))
        return false;
    struct websocket_kept *kept = layer->kept;
    memcpy(kept->bytes + kept->end, (const uint8_t *)bytes + sent, length - sent);
    kept->end += length - sent;
    return true;
}

bool websocket_say_control(struct websocket *layer, struct stream *stream, uint8_t opcode,
                           const void *payload, size_t length)
{
    uint8_t frame[2 + WEBSOCKET_CONTROL_MAX];
    frame[0] = FINAL | opcode;
    frame[1] = (uint8_t)length;
    if (length > 0)
        memcpy(frame + 2, payload, length);
    if (!layer->kept && layer->frame_left == 0)
        return websocket_say(layer, stream, frame, 2 + length);
    if (!keep_ready(layer))
        return false;
    memcpy(layer->kept->control, frame, 2 + length);
    layer->kept->control_length = 2 + length;
    return push(layer, stream) || errno == EAGAIN;
}

bool websocket_say_close(struct websocket *layer, struct stream *stream, uint16_t code)
{
    const uint8_t payload[] = {(uint8_t)(code >> 8), (uint8_t)code};
    layer->said_close = true;
    return websocket_say_control(layer, stream, WSLAY_CONNECTION_CLOSE, payload, code ? sizeof payload : 0);
}

// --- data -----------------------------------------------------------------------------------------

// The frame under way goes on with as much of the pieces as it was promised.
static ssize_t continue_frame(struct websocket *layer, struct stream *stream, const struct iovec *pieces,
                              int count)
{
    struct iovec limited[PIECES_MOST];
    uint64_t left = layer->frame_left;
    int used = 0;
    for (; used < count && left > 0; used++) {
        limited[used] = pieces[used];
        if (limited[used].iov_len > left)
            limited[used].iov_len = (size_t)left;
        left -= limited[used].iov_len;
    }
    ssize_t n = transport_write(layer->transport.below, stream, limited, used);
    if (n > 0)
        layer->frame_left -= (uint64_t)n;
    return n;
}

static ssize_t begin_frame(struct websocket *layer, struct stream *stream, const struct iovec *pieces,
                           int count)
{
    uint8_t head[WEBSOCKET_HEAD_MAX];
    struct iovec framed[1 + PIECES_MOST];
    uint64_t length = 0;
    for (int i = 0; i < count; i++) {
        framed[1 + i] = pieces[i];
        length += pieces[i].iov_len;
    }
    size_t size = put_head(head, WSLAY_BINARY_FRAME, length);
    framed[0] = (struct iovec){head, size};
    ssize_t n = transport_write(layer->transport.below, stream, framed, 1 + count);
    if (n <= 0)
        return n;
    // From here on the peer expects the frame.
    layer->frame_left = length;
    if ((size_t)n < size) {
        if (!keep_ready(layer))
            return -1;
        layer->kept->end = size - (size_t)n;
        memcpy(layer->kept->bytes, head + n, layer->kept->end);
        errno = EAGAIN;
        return -1;
    }
    n -= (ssize_t)size;
    layer->frame_left -= (uint64_t)n;
    return n;
}

ssize_t websocket_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                        int count)
{
    struct websocket *layer = (struct websocket *)transport;
    if (!push(layer, stream))
        return -1;
    if (count == 0)
        return transport_write(transport->below, stream, NULL, 0);
    if (layer->opening || layer->said_close) {
        errno = EPIPE;
        return -1;
    }
    if (count > PIECES_MOST)
        count = PIECES_MOST;
    if (layer->frame_left > 0)
        return continue_frame(layer, stream, pieces, count);
    return begin_frame(layer, stream, pieces, count);
}
