// A connection's bytes: reads what the socket has in one call, gathers what is to be written until the turn's
// end. Only the thread of the worker it is attached to. Must not know what the bytes mean, nor what they pass
// through underneath: see transport.h.
#ifndef NOCTULE_NET_STREAM_H
#define NOCTULE_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/net/transport.h"
#include "core/net/worker.h"

struct stream_events {
    /**
     * Bytes have come: `length` of them at `data`, everything not yet consumed. Returns how many were
     * consumed; the rest is kept and offered again with more. `*wanted` may be set to the number of bytes
     * below which another call is useless. May call stream_pause; must not free the stream, may call
     * stream_close.
     */
    size_t (*received)(struct stream *stream, const uint8_t *data, size_t length, size_t *wanted);
    /** Output that had risen above the high mark has fallen below the low one. */
    void (*drained)(struct stream *stream);
    /**
     * A layer of the transport cannot go on, for the reason `why`, in words (a handshake failed, bytes do not
     * decode). Nothing more is received, nor can be written. At the end of a turn; stream_close lets the peer
     * read what the layer has told it, and an owner that does not call it has its stream aborted. Must not
     * free the stream.
     */
    void (*failed)(struct stream *stream, const char *why);
    /**
     * The peer has gone, an error occurred, or stream_close was called and its output is flushed: the last
     * call, at the end of a turn; may free. `error` is an errno, or 0: the end was orderly or wanted.
     */
    void (*closed)(struct stream *stream, int error);
    /**
     * Optional. A layer has learnt from which address the client really comes, before any byte of the client
     * is received. NULL: all right; words: it is not welcome, and `failed` follows with them. Inside of a
     * read: must not close the stream.
     */
    const char *(*identified)(struct stream *stream, const char *address);
};

/** A large piece of output that is not copied: released once sent (or given up). */
struct stream_block {
    const void *data;
    size_t length;
    void (*release)(void *owner);
    void *owner;
};

struct output;
struct stream_linger;

/** Buffers of one worker that wait for their next use; `wheel` is that worker's. */
struct stream_pool *stream_pool_new(struct wheel *wheel);
void stream_pool_free(struct stream_pool *pool);

/** Bytes that were not consumed and wait for more. */
struct stream_input {
    uint32_t length;
    uint32_t capacity;
    uint32_t wanted; ///< `received` is not called with less
    uint8_t data[];
};

/** Embedded in its owner. Sized for many idle connections: buffers exist only while there is something in
 * them. */
struct stream {
    struct transport *transport; ///< the uppermost layer
    const struct stream_events *events;
    struct worker *worker;
    struct stream_input *input;   ///< NULL: nothing kept
    struct output *output;        ///< NULL: nothing to write
    struct stream_linger *linger; ///< while closing
    struct turn_task task;        ///< flush, offer kept bytes or close, at the end of the turn
    struct watch watch;           ///< of the socket
    uint8_t error;                ///< errno of what ended the stream
    bool paused : 1;              ///< do not read
    bool alert : 1;               ///< while paused: the peer's end is to be noticed
    bool writing : 1;             ///< waits until the socket takes more
    bool above : 1;               ///< above the high mark; `drained` will be called
    bool closing : 1;             ///< close once flushed
    bool ended : 1;               ///< while closing: the peer will send nothing more
    bool closed : 1;
    bool receiving : 1; ///< inside `received`
    bool offer : 1;     ///< kept bytes, or bytes in a layer, wait to be offered at the end of the turn
    bool running : 1;   ///< inside its task
    bool held : 1;      ///< a layer waits for something other than the socket
    bool broken : 1;    ///< a layer has failed, with words
    bool unseen : 1;    ///< new: nothing was read so far, and the socket is not watched
};

enum { STREAM_READ_SIZE = 128 * 1024 };

/** Output above `high` bytes makes a stream full; below a quarter of it, it has drained. Before workers
 * start; default 256 KiB. */
void stream_set_high_mark(size_t high);

/** Takes the descriptor `fd` (non-blocking), over the bare socket. The stream starts detached. */
void stream_init(struct stream *stream, int fd, const struct stream_events *events);

/** Says that the descriptor is one of a unix socket. Before any layer is put on top of it. */
void stream_is_unix(struct stream *stream);

/** Puts a layer on top of those that are there, and takes it: it is closed with the stream. Before the stream
 * is attached for the first time, the lowest layer first. */
void stream_push(struct stream *stream, struct transport *layer);

/** Attaches to the calling worker's loop and starts to read; bytes kept from before, and those inside a
 * layer, are offered at the end of the turn. */
void stream_attach(struct stream *stream, struct worker *worker);

/** The same for a connection just accepted, whose first bytes are mostly there: they are read at the end of
 * the turn, before the socket is watched at all. */
void stream_attach_new(struct stream *stream, struct worker *worker);

/** Takes the stream out of its worker's loop, bytes kept, so that another worker may attach it with all its
 * layers. Output must be empty; what layers themselves have to say may wait. */
void stream_detach(struct stream *stream);

/** How many bytes are kept that were not consumed yet. */
static inline size_t stream_kept(const struct stream *stream)
{
    return stream->input ? stream->input->length : 0;
}

/** Milliseconds since the socket last took output; 0 when it takes all there is. */
uint64_t stream_stalled_ms(const struct stream *stream);

/** Stops offering and reading bytes until stream_resume. */
void stream_pause(struct stream *stream);

/** The same, but a peer that goes away meanwhile without another byte ends the stream at once. What it has
 * sent before hides that it has gone, for it is read first. */
void stream_pause_alert(struct stream *stream);

/** Goes on; kept bytes are offered from the end of this turn on, never from inside this call. */
void stream_resume(struct stream *stream);

/** For layers: one waits for something other than the socket (a key that a plugin looks up). Its `read` has
 * said EAGAIN; the stream reads nothing until stream_unhold, however much comes. */
void stream_hold(struct stream *stream);

/** Goes on: reads at the end of this turn. On the stream's worker; harmless when nothing was held. */
void stream_unhold(struct stream *stream);

/**
 * Room for `size` bytes at the end of the output; NULL when memory is out or the stream is closing. Fill it,
 * then call stream_commit with the bytes used before anything else is called on this stream. They leave at
 * the end of the turn.
 */
uint8_t *stream_reserve(struct stream *stream, size_t size);
void stream_commit(struct stream *stream, size_t size);

/** Appends `length` bytes; false when memory is out or the stream is closing. */
bool stream_write(struct stream *stream, const void *data, size_t length);

/** Appends a block without copying it; takes it, also on failure. */
bool stream_write_block(struct stream *stream, struct stream_block block);

/** Bytes of output not yet taken by the socket. */
size_t stream_pending(const struct stream *stream);

/** Whether more output should wait for `drained`. Tries to write first, so a reader that keeps up is never
 * "above". */
bool stream_is_full(struct stream *stream);

/** Whether so much waits that only answers to the peer's own packets can have brought it about (or a large
 * message): for those who would rather not read more of them. As with stream_is_full, `drained` follows. */
bool stream_is_flooded(struct stream *stream);

/**
 * Closes once the output has been written and the peer has closed its side too, so that what was written is
 * not lost to a reset; after `linger_ms` in any case. What still comes in is thrown away. `closed` is called
 * in the end.
 */
void stream_close(struct stream *stream, uint64_t linger_ms);

/** Closes at once; `closed` is called at the end of the turn. Harmless on a stream that is closing or closed
 * already. */
void stream_abort(struct stream *stream);

/** Frees buffers, layers and descriptor of a stream that is not attached (e.g. between two workers). Calls
 * nobody. */
void stream_destroy(struct stream *stream);

#endif
