// Frames that come in, with libwslay: what they may look like, what they hold, what has to be answered.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/websocket_state.h"

struct websocket_reader {
    wslay_frame_context_ptr frames; // copies what it is fed, 4 KiB at a time, and takes the mask off there
    const uint8_t *next;            // bytes to feed
    const uint8_t *end;
    uint64_t unread; // of the frame under way
    uint64_t held;   // bytes that were fed and are not of a finished frame
    bool in_frame;
    bool pinged;    // with `ping`, unanswered
    uint8_t length; // of `control`
    uint8_t ping_length;
    uint8_t control[WEBSOCKET_CONTROL_MAX];
    uint8_t ping[WEBSOCKET_CONTROL_MAX];
};

// --- readers --------------------------------------------------------------------------------------

static ssize_t feed(uint8_t *buffer, size_t size, int flags, void *argument)
{
    (void)flags;
    struct websocket_reader *reader = argument;
    size_t length = (size_t)(reader->end - reader->next);
    if (length > size)
        length = size;
    if (length == 0)
        return -1;
    memcpy(buffer, reader->next, length);
    reader->next += length;
    reader->held += length;
    return (ssize_t)length;
}

static struct websocket_reader *reader_new(void)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = feed};
    struct websocket_reader *reader = memory_try(sizeof *reader);
    if (!reader)
        return NULL;
    *reader = (struct websocket_reader){0};
    if (wslay_frame_context_init(&reader->frames, &callbacks, reader) != 0) {
        free(reader);
        return NULL;
    }
    return reader;
}

void websocket_reader_free(struct websocket_reader *reader)
{
    if (!reader)
        return;
    wslay_frame_context_free(reader->frames);
    free(reader);
}

// The connection's own, or the worker's.
static struct websocket_reader *take_reader(struct websocket *layer, struct stream_pool *pool)
{
    struct websocket_reader *reader = layer->reader;
    if (!reader) {
        reader = pool->websocket_reader ? pool->websocket_reader : reader_new();
        pool->websocket_reader = NULL;
    }
    layer->reader = reader;
    return reader;
}

// One that is between two frames, with nothing of the next one, serves any connection.
static void give_reader_back(struct websocket *layer, struct stream_pool *pool)
{
    struct websocket_reader *reader = layer->reader;
    bool ended = layer->why || layer->peer_done;
    if (!ended && (reader->in_frame || reader->held > 0))
        return;
    layer->reader = NULL;
    if (ended || pool->websocket_reader)
        websocket_reader_free(reader);
    else
        pool->websocket_reader = reader;
}

// --- frames ---------------------------------------------------------------------------------------

static bool fail(struct websocket *layer, uint16_t code, const char *why)
{
    layer->code = code;
    layer->why = why;
    return false;
}

// [RFC 6455 5.1, 5.2, 5.4]
static bool begin_frame(struct websocket *layer, const struct wslay_frame_iocb *frame)
{
    if (frame->rsv)
        return fail(layer, WSLAY_CODE_PROTOCOL_ERROR, "a WebSocket frame with reserved bits");
    if (!frame->mask)
        return fail(layer, WSLAY_CODE_PROTOCOL_ERROR, "an unmasked WebSocket frame");
    if (frame->payload_length > WEBSOCKET_FRAME_MAX)
        return fail(layer, WSLAY_CODE_MESSAGE_TOO_BIG, "a WebSocket frame of more than 512 MiB");
    switch (frame->opcode) {
    case WSLAY_CONTINUATION_FRAME:
        return layer->in_message ||
               fail(layer, WSLAY_CODE_PROTOCOL_ERROR, "a WebSocket frame that goes on with no message");
    case WSLAY_TEXT_FRAME: // [v5 MQTT-6.0.0-1]
        return fail(layer, WSLAY_CODE_UNSUPPORTED_DATA, "a WebSocket frame of text, where MQTT is binary");
    case WSLAY_BINARY_FRAME:
        return !layer->in_message ||
               fail(layer, WSLAY_CODE_PROTOCOL_ERROR, "a WebSocket message within another");
    case WSLAY_CONNECTION_CLOSE:
    case WSLAY_PING:
    case WSLAY_PONG:
        return true;
    default:
        return fail(layer, WSLAY_CODE_PROTOCOL_ERROR, "a WebSocket frame of an unknown kind");
    }
}

// [RFC 6455 7.4]
static bool may_be_sent(unsigned code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

// [RFC 6455 5.5.1, 7.1.5]
static bool receive_close(struct websocket *layer, const struct websocket_reader *reader)
{
    unsigned code = 0;
    if (reader->length > 0) {
        code = reader->length > 1 ? (unsigned)(reader->control[0] << 8 | reader->control[1]) : 0;
        if (!may_be_sent(code))
            return fail(layer, WSLAY_CODE_PROTOCOL_ERROR, "a WebSocket Close with a bad code");
        if (!str_is_utf8(str_make(reader->control + 2, reader->length - 2)))
            return fail(layer, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA,
                        "a WebSocket Close whose reason is not UTF-8");
    }
    layer->code = (uint16_t)code;
    layer->peer_done = true;
    return false;
}

// False: nothing more is read.
static bool end_frame(struct websocket *layer, const struct wslay_frame_iocb *frame)
{
    struct websocket_reader *reader = layer->reader;
    if (!wslay_is_ctrl_frame(frame->opcode)) {
        layer->in_message = !frame->fin;
        return true;
    }
    if (frame->opcode == WSLAY_CONNECTION_CLOSE)
        return receive_close(layer, reader);
    if (frame->opcode == WSLAY_PING) {
        memcpy(reader->ping, reader->control, reader->length);
        reader->ping_length = reader->length;
        reader->pinged = true;
    }
    return true;
}

// The bytes that were fed beyond this frame, if any, are of the next one.
static void count_frame(struct websocket_reader *reader, const struct wslay_frame_iocb *frame)
{
    unsigned extended = frame->payload_length > UINT16_MAX ? 8 : frame->payload_length >= 126 ? 2 : 0;
    reader->held -= 2 + extended + 4 + frame->payload_length;
}

// A piece of a frame; false: nothing more is read.
static bool take_piece(struct websocket *layer, const struct wslay_frame_iocb *piece, uint8_t *bytes,
                       size_t *length)
{
    struct websocket_reader *reader = layer->reader;
    if (!reader->in_frame) {
        if (!begin_frame(layer, piece))
            return false;
        reader->in_frame = true;
        reader->unread = piece->payload_length;
        reader->length = 0;
    }
    if (wslay_is_ctrl_frame(piece->opcode)) {
        memcpy(reader->control + reader->length, piece->data, piece->data_length);
        reader->length = (uint8_t)(reader->length + piece->data_length);
    } else {
        memcpy(bytes + *length, piece->data, piece->data_length);
        *length += piece->data_length;
    }
    reader->unread -= piece->data_length;
    if (reader->unread > 0)
        return true;
    reader->in_frame = false;
    count_frame(reader, piece);
    return end_frame(layer, piece);
}

// Of several pings only the last needs an answer, so that who floods gets no flood back. [RFC 6455 5.5.3]
static void answer_ping(struct websocket *layer, struct stream *stream)
{
    struct websocket_reader *reader = layer->reader;
    if (reader->pinged && !layer->said_close)
        websocket_say_control(layer, stream, WSLAY_PONG, reader->ping, reader->ping_length);
    reader->pinged = false;
}

ssize_t websocket_unpack(struct websocket *layer, struct stream *stream, uint8_t *bytes, size_t length)
{
    struct stream_pool *pool = stream->worker->streams;
    struct websocket_reader *reader = take_reader(layer, pool);
    size_t unpacked = 0;
    if (!reader) {
        errno = ENOMEM;
        return -1;
    }
    // A piece is copied over bytes that have been fed already: heads and masks make it shorter than they
    // were.
    reader->next = bytes;
    reader->end = bytes + length;
    struct wslay_frame_iocb piece;
    ssize_t n;
    while ((n = wslay_frame_recv(reader->frames, &piece)) >= 0)
        if (!take_piece(layer, &piece, bytes, &unpacked))
            break;
    if (n == WSLAY_ERR_PROTO)
        fail(layer, WSLAY_CODE_PROTOCOL_ERROR,
             "a malformed WebSocket frame (a control frame of more than 125 bytes or in pieces, or a length "
             "in "
             "another form than its shortest)");
    answer_ping(layer, stream);
    give_reader_back(layer, pool);
    return (ssize_t)unpacked;
}
