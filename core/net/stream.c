#include "core/net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/net/output.h"

enum {
    KEEP_IN_SCRATCH =
        16 * 1024, // kept bytes up to this are read behind in the scratch, not in a buffer of their own
    READ_LEAST = 4096,
    GROW_AT_ONCE = 64 * 1024,
    PIECES = 64,
    BLOCK_LEAST = 16 * 1024,
};

struct stream_linger {
    struct wheel_timer timer; // first: found again from the timer
    struct stream *stream;
};

static size_t high_mark = 256 * 1024;

void stream_set_high_mark(size_t high)
{
    high_mark = high;
}

static ssize_t tcp_read(struct stream *stream, void *buffer, size_t size)
{
    return recv(stream->fd, buffer, size, 0);
}

static ssize_t tcp_write(struct stream *stream, const struct iovec *pieces, int count)
{
    if (count == 1)
        return send(stream->fd, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL);
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    return sendmsg(stream->fd, &message, MSG_NOSIGNAL);
}

static void tcp_close(struct stream *stream)
{
    close(stream->fd);
}

const struct transport transport_tcp = {"tcp", tcp_read, tcp_write, tcp_close};

static void run_task(struct worker *worker, struct turn_task *task);
static void socket_ready(evutil_socket_t fd, short what, void *argument);

void stream_init(struct stream *stream, int fd, const struct transport *transport,
                 const struct stream_events *events)
{
    *stream = (struct stream){.fd = fd, .transport = transport, .events = events, .task = {.run = run_task}};
}

// What the loop watches the descriptor for follows from the stream's state, here and nowhere else.
static void update_interest(struct stream *stream)
{
    short interest = 0;
    if (!stream->closed) {
        if (!stream->paused || stream->closing)
            interest |= EV_READ;
        if (stream->writing)
            interest |= EV_WRITE;
    }
    if (interest == stream->interest)
        return;
    if (stream->interest)
        event_del(&stream->event);
    if (interest) {
        event_assign(&stream->event, stream->worker->base, stream->fd, (short)(interest | EV_PERSIST),
                     socket_ready, stream);
        event_add(&stream->event, NULL);
    }
    stream->interest = interest;
}

// From here on nothing is read or written; the owner is told at the end of the turn.
static void end(struct stream *stream)
{
    if (stream->closed)
        return;
    stream->closed = true;
    stream->writing = false;
    update_interest(stream);
    worker_at_turn_end(stream->worker, &stream->task);
}

static void linger_over(struct wheel_timer *timer, void *context)
{
    (void)context;
    end(((struct stream_linger *)timer)->stream);
}

static void free_input(struct stream *stream)
{
    free(stream->input);
    stream->input = NULL;
    stream->input_length = stream->input_capacity = stream->input_wanted = 0;
}

static void release(struct stream *stream)
{
    if (stream->linger) {
        wheel_stop(&stream->linger->timer);
        free(stream->linger);
        stream->linger = NULL;
    }
    free_input(stream);
    if (stream->output) {
        output_free(stream->worker->streams, stream->output);
        stream->output = NULL;
    }
    stream->transport->close(stream);
    stream->fd = -1;
}

void stream_attach(struct stream *stream, struct worker *worker)
{
    stream->worker = worker;
    update_interest(stream);
    if (stream->input_length > 0) {
        stream->offer = true;
        worker_at_turn_end(worker, &stream->task);
    }
}

void stream_detach(struct stream *stream)
{
    if (stream->interest)
        event_del(&stream->event);
    stream->interest = 0;
    worker_forget_task(stream->worker, &stream->task);
    stream->worker = NULL;
}

void stream_pause(struct stream *stream)
{
    if (stream->paused)
        return;
    stream->paused = true;
    // While bytes are being offered the registration is left alone: most pauses end before the turn does.
    if (!stream->receiving)
        update_interest(stream);
}

void stream_resume(struct stream *stream)
{
    if (!stream->paused || stream->closed)
        return;
    stream->paused = false;
    if (stream->receiving)
        return;
    if (stream->input_length > 0) {
        stream->offer = true;
        stream->input_wanted = 0;
        worker_at_turn_end(stream->worker, &stream->task);
    }
    update_interest(stream);
}

// Room for `capacity` bytes of input; false when memory is out.
static bool size_input(struct stream *stream, size_t capacity)
{
    if (capacity <= stream->input_capacity)
        return true;
    uint8_t *input = memory_try_resize(stream->input, capacity);
    if (!input)
        return false;
    stream->input = input;
    stream->input_capacity = (uint32_t)capacity;
    return true;
}

// Keeps what was not consumed; `data` is the scratch or the stream's own input.
static bool keep(struct stream *stream, const uint8_t *data, size_t length, size_t consumed)
{
    size_t left = length - consumed;
    if (left == 0) {
        free_input(stream);
        return true;
    }
    if (data == stream->input) {
        if (consumed > 0)
            memmove(stream->input, data + consumed, left);
    } else {
        if (!size_input(stream, left))
            return false;
        memcpy(stream->input, data + consumed, left);
    }
    stream->input_length = (uint32_t)left;
    return true;
}

static void offer(struct stream *stream, const uint8_t *data, size_t length)
{
    size_t wanted = 0;
    stream->receiving = true;
    size_t consumed = stream->events->received(stream, data, length, &wanted);
    stream->receiving = false;
    if (stream->closed || stream->closing) {
        free_input(stream);
        return;
    }
    stream->input_wanted = wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted;
    if (!keep(stream, data, length, consumed))
        end(stream);
    update_interest(stream);
}

// Reads into the scratch when what was kept is small, into a growing buffer of the stream's own otherwise.
// The buffer grows with what has really come, not with what a packet's header promises.
static void read_socket(struct stream *stream)
{
    uint8_t *scratch = stream->worker->streams->scratch;
    size_t kept = stream->input_length;
    uint8_t *buffer = scratch;
    size_t room = STREAM_READ_SIZE;
    bool own = kept > KEEP_IN_SCRATCH;
    if (own) {
        size_t capacity = kept + (kept > GROW_AT_ONCE ? kept : GROW_AT_ONCE);
        if (stream->input_wanted > kept && capacity > stream->input_wanted)
            capacity = stream->input_wanted > kept + READ_LEAST ? stream->input_wanted : kept + READ_LEAST;
        if (stream->input_capacity - kept < READ_LEAST && !size_input(stream, capacity)) {
            end(stream);
            return;
        }
        buffer = stream->input;
        room = stream->input_capacity;
    }
    ssize_t n = stream->transport->read(stream, buffer + kept, room - kept);
    if (n <= 0) {
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        end(stream);
        return;
    }
    size_t length = kept + (size_t)n;
    if (length < stream->input_wanted) {
        if (own) {
            stream->input_length = (uint32_t)length;
            return;
        }
        if (!size_input(stream, length > KEEP_IN_SCRATCH ? length + GROW_AT_ONCE : length)) {
            end(stream);
            return;
        }
        memcpy(stream->input + kept, buffer + kept, (size_t)n);
        stream->input_length = (uint32_t)length;
        return;
    }
    if (!own && kept > 0)
        memcpy(buffer, stream->input, kept);
    offer(stream, buffer, length);
}

static void discard(struct stream *stream)
{
    ssize_t n = stream->transport->read(stream, stream->worker->streams->scratch, STREAM_READ_SIZE);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        end(stream);
}

// All has been written and the stream is closing: tells the peer, then waits for it to close as well.
static void finish(struct stream *stream)
{
    if (!stream->linger || shutdown(stream->fd, SHUT_WR) < 0)
        end(stream);
}

static void flush(struct stream *stream)
{
    struct output *output = stream->output;
    while (output && output_pending(output) > 0) {
        struct iovec pieces[PIECES];
        int count = output_pieces(output, pieces, PIECES);
        ssize_t n = stream->transport->write(stream, pieces, count);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN) {
                end(stream);
                return;
            }
            if (!stream->writing) {
                stream->writing = true;
                stream->moved_ms = (uint32_t)stream->worker->now_ms;
                update_interest(stream);
            }
            return;
        }
        output_sent(output, (size_t)n);
        stream->moved_ms = (uint32_t)stream->worker->now_ms;
    }
    if (output) {
        output_free(stream->worker->streams, output);
        stream->output = NULL;
    }
    if (stream->writing) {
        stream->writing = false;
        update_interest(stream);
    }
    if (stream->closing)
        finish(stream);
}

static void tell_drained(struct stream *stream)
{
    if (stream->above && !stream->closing && stream_pending(stream) <= high_mark / 4) {
        stream->above = false;
        stream->events->drained(stream);
    }
}

static void socket_ready(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    struct stream *stream = argument;
    worker_awake(stream->worker);
    if (what & EV_WRITE) {
        flush(stream);
        tell_drained(stream);
    }
    if ((what & EV_READ) && !stream->closed) {
        if (stream->closing)
            discard(stream);
        else if (!stream->paused)
            read_socket(stream);
    }
}

static void run_task(struct worker *worker, struct turn_task *task)
{
    (void)worker;
    struct stream *stream = (struct stream *)((char *)task - offsetof(struct stream, task));
    if (stream->offer && !stream->paused && !stream->closing && !stream->closed) {
        stream->offer = false;
        if (stream->input_length > 0)
            offer(stream, stream->input, stream->input_length);
    }
    if (!stream->closed && !stream->writing && (stream->output || stream->closing))
        flush(stream);
    if (!stream->closed)
        tell_drained(stream);
    if (stream->closed && !stream->told) {
        stream->told = true;
        worker_forget_task(stream->worker, &stream->task);
        release(stream);
        stream->events->closed(stream, 0); // may free
    }
}

uint8_t *stream_reserve(struct stream *stream, size_t size)
{
    if (stream->closing || stream->closed)
        return NULL;
    if (!stream->output) {
        stream->output = output_new(stream->worker->streams);
        if (!stream->output)
            return NULL;
    }
    return output_reserve(stream->output, size);
}

void stream_commit(struct stream *stream, size_t size)
{
    stream->output->end += size;
    worker_at_turn_end(stream->worker, &stream->task);
}

bool stream_write(struct stream *stream, const void *data, size_t length)
{
    uint8_t *room = stream_reserve(stream, length);
    if (!room)
        return false;
    memcpy(room, data, length);
    stream_commit(stream, length);
    return true;
}

bool stream_write_block(struct stream *stream, struct stream_block block)
{
    if (block.length < BLOCK_LEAST) {
        bool written = stream_write(stream, block.data, block.length);
        block.release(block.owner);
        return written;
    }
    if (!stream_reserve(stream, 0) || !output_add_block(stream->output, block)) {
        block.release(block.owner);
        return false;
    }
    worker_at_turn_end(stream->worker, &stream->task);
    return true;
}

size_t stream_pending(const struct stream *stream)
{
    return stream->output ? output_pending(stream->output) : 0;
}

bool stream_is_full(struct stream *stream)
{
    if (stream_pending(stream) <= high_mark)
        return false;
    if (!stream->writing && !stream->closed)
        flush(stream);
    if (stream_pending(stream) <= high_mark)
        return false;
    stream->above = true;
    return true;
}

bool stream_is_flooded(struct stream *stream)
{
    return stream_pending(stream) > 2 * high_mark && stream_is_full(stream);
}

uint64_t stream_stalled_ms(const struct stream *stream)
{
    return stream->writing ? (uint32_t)stream->worker->now_ms - stream->moved_ms : 0;
}

void stream_close(struct stream *stream, uint64_t linger_ms)
{
    if (stream->closing || stream->closed)
        return;
    stream->closing = true;
    stream->offer = false;
    if (!stream->receiving)
        free_input(stream);
    stream->linger = memory_try(sizeof *stream->linger);
    if (stream->linger) {
        *stream->linger = (struct stream_linger){.stream = stream};
        wheel_start(&stream->worker->wheel, &stream->linger->timer, stream->worker->now_ms + linger_ms,
                    linger_over);
    }
    update_interest(stream);
    worker_at_turn_end(stream->worker, &stream->task);
}

void stream_abort(struct stream *stream)
{
    stream->closing = true;
    end(stream);
}

void stream_destroy(struct stream *stream)
{
    free_input(stream);
    stream->transport->close(stream);
    stream->fd = -1;
}
