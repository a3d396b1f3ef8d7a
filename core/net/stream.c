#include "core/net/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/base/memory.h"
#include "core/net/output.h"

enum {
    KEEP_IN_SCRATCH = 16 * 1024, // kept bytes up to this are read behind in the scratch, not where they are
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

static void run_task(struct worker *worker, struct turn_task *task);
static void socket_ready(struct watch *watch, unsigned what);
static void end(struct stream *stream, int error);

void stream_init(struct stream *stream, int fd, const struct stream_events *events)
{
    *stream = (struct stream){
        .watch = {.ready = socket_ready, .fd = fd},
        .transport = &transport_socket,
        .events = events,
        .task = {.run = run_task},
    };
}

void stream_is_unix(struct stream *stream)
{
    stream->transport = &transport_unix;
}

void stream_push(struct stream *stream, struct transport *layer)
{
    layer->below = stream->transport;
    stream->transport = layer;
}

// Counts what came or went; one thread writes, so this needs no locked instruction.
static void add_to(_Atomic uint64_t *total, ssize_t bytes)
{
    atomic_store_explicit(total, atomic_load_explicit(total, memory_order_relaxed) + (uint64_t)bytes,
                          memory_order_relaxed);
}

// What the loop should watch the socket for follows from the stream's state, here and nowhere else.
static unsigned wanted_interest(const struct stream *stream)
{
    if (stream->closed)
        return 0;
    bool listens = (!stream->paused || stream->alert) && !stream->held && !stream->broken;
    bool reads = stream->closing ? !stream->ended : listens;
    return (reads ? WATCH_READ : 0U) | (stream->writing ? WATCH_WRITE : 0U);
}

static void watch_socket(struct stream *stream, unsigned interest)
{
    if (!watch_change(&stream->worker->poller, &stream->watch, interest))
        end(stream, errno);
}

// A stream that should not be read for now stays watched until its socket really has something: mostly it
// goes on before, and neither costs a system call.
static void update_interest(struct stream *stream)
{
    unsigned interest = wanted_interest(stream);
    if (!stream->closed)
        interest |= stream->watch.interest & WATCH_READ;
    watch_socket(stream, interest);
}

// From here on nothing is read or written; the owner is told at the end of the turn.
static void end(struct stream *stream, int error)
{
    if (stream->closed)
        return;
    stream->closed = true;
    stream->error = (uint8_t)error;
    stream->writing = false;
    update_interest(stream);
    if (!stream->running)
        worker_at_turn_end(stream->worker, &stream->task);
}

// The socket or a layer has failed, errno says how. A layer with words for it has its owner told at the end
// of the turn: here may be in the middle of what the owner does.
static void fail(struct stream *stream)
{
    int error = errno;
    if (stream->closing || !transport_why(stream->transport)) {
        end(stream, error);
        return;
    }
    stream->broken = true;
    stream->writing = false;
    update_interest(stream);
    worker_at_turn_end(stream->worker, &stream->task);
}

static void linger_over(struct wheel_timer *timer, void *context)
{
    (void)context;
    end(((struct stream_linger *)timer)->stream, ETIMEDOUT);
}

static void free_input(struct stream *stream)
{
    free(stream->input);
    stream->input = NULL;
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
    transport_close(stream->transport, stream);
    stream->watch.fd = -1;
}

static bool has_bytes(const struct stream *stream)
{
    return stream->input || transport_is_pending(stream->transport);
}

void stream_attach(struct stream *stream, struct worker *worker)
{
    stream->worker = worker;
    update_interest(stream);
    stream->offer = has_bytes(stream);
    if (stream->offer || stream->closed || stream->broken || transport_wants_write(stream->transport))
        worker_at_turn_end(worker, &stream->task);
}

void stream_attach_new(struct stream *stream, struct worker *worker)
{
    stream->worker = worker;
    stream->unseen = stream->offer = true;
    worker_at_turn_end(worker, &stream->task);
}

void stream_detach(struct stream *stream)
{
    watch_change(&stream->worker->poller, &stream->watch, 0);
    if (stream->output) {
        output_free(stream->worker->streams, stream->output);
        stream->output = NULL;
    }
    stream->writing = false;
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

void stream_pause_alert(struct stream *stream)
{
    stream->alert = true;
    stream_pause(stream);
}

void stream_resume(struct stream *stream)
{
    stream->alert = false;
    if (!stream->paused || stream->closed)
        return;
    stream->paused = false;
    if (stream->receiving)
        return;
    if (has_bytes(stream)) {
        stream->offer = true;
        worker_at_turn_end(stream->worker, &stream->task);
    }
    update_interest(stream);
}

void stream_hold(struct stream *stream)
{
    stream->held = true;
    update_interest(stream);
}

void stream_unhold(struct stream *stream)
{
    if (!stream->held)
        return;
    stream->held = false;
    stream->offer = true;
    worker_at_turn_end(stream->worker, &stream->task);
    update_interest(stream);
}

// Makes room for `capacity` bytes of input, or gives room back; false when memory is out.
static bool size_input(struct stream *stream, size_t capacity)
{
    struct stream_input *input = memory_try_resize(stream->input, sizeof *input + capacity);
    if (!input)
        return false;
    if (!stream->input)
        *input = (struct stream_input){0};
    input->capacity = (uint32_t)capacity;
    stream->input = input;
    return true;
}

// Keeps what was not consumed; `data` is the scratch or the stream's own input.
static bool keep(struct stream *stream, const uint8_t *data, size_t length, size_t consumed, size_t wanted)
{
    size_t left = length - consumed;
    if (left == 0) {
        free_input(stream);
        return true;
    }
    if (!stream->input || data != stream->input->data) {
        if ((!stream->input || stream->input->capacity < left) && !size_input(stream, left))
            return false;
        memcpy(stream->input->data, data + consumed, left);
    } else if (consumed > 0) {
        memmove(stream->input->data, data + consumed, left);
    }
    stream->input->length = (uint32_t)left;
    stream->input->wanted = wanted > UINT32_MAX ? UINT32_MAX : (uint32_t)wanted;
    // A large packet is followed by the beginning of a small one: what was needed for it is not kept.
    if (stream->input->capacity > KEEP_IN_SCRATCH && left < stream->input->capacity / 4 && consumed > 0)
        size_input(stream, left);
    return true;
}

static void offer(struct stream *stream, const uint8_t *data, size_t length)
{
    size_t wanted = 0;
    stream->offer = false;
    stream->receiving = true;
    size_t consumed = stream->events->received(stream, data, length, &wanted);
    stream->receiving = false;
    if (stream->closed || stream->closing) {
        free_input(stream);
        return;
    }
    if (!keep(stream, data, length, consumed, wanted))
        end(stream, ENOMEM);
    update_interest(stream);
}

// What a read returned without bytes.
static void end_unless_later(struct stream *stream, ssize_t n)
{
    if (n == 0)
        end(stream, 0);
    else if (errno != EAGAIN && errno != EINTR)
        fail(stream);
}

// Little or nothing is kept: reads into the scratch, and what was kept goes before it there.
static void read_into_scratch(struct stream *stream)
{
    uint8_t *scratch = stream->worker->streams->scratch;
    struct stream_input *input = stream->input;
    size_t kept = input ? input->length : 0;
    ssize_t n = transport_read(stream->transport, stream, scratch + kept, STREAM_READ_SIZE - kept);
    if (n <= 0) {
        end_unless_later(stream, n);
        return;
    }
    add_to(&stream->worker->bytes_read, n);
    size_t length = kept + (size_t)n;
    if (input && length < input->wanted) {
        if (length > input->capacity &&
            !size_input(stream, length > KEEP_IN_SCRATCH ? length + GROW_AT_ONCE : length)) {
            end(stream, ENOMEM);
            return;
        }
        memcpy(stream->input->data + kept, scratch + kept, (size_t)n);
        stream->input->length = (uint32_t)length;
        return;
    }
    if (kept > 0)
        memcpy(scratch, input->data, kept);
    offer(stream, scratch, length);
}

// A large packet comes: its bytes are read where they stay. The buffer grows with what has really come, not
// with what the packet's header promises.
static void read_into_input(struct stream *stream)
{
    struct stream_input *input = stream->input;
    size_t kept = input->length;
    if (input->capacity - kept < READ_LEAST) {
        size_t capacity = kept + (kept > GROW_AT_ONCE ? kept : GROW_AT_ONCE);
        if (input->wanted > kept && capacity > input->wanted)
            capacity = input->wanted > kept + READ_LEAST ? input->wanted : kept + READ_LEAST;
        if (!size_input(stream, capacity)) {
            end(stream, ENOMEM);
            return;
        }
        input = stream->input;
    }
    ssize_t n = transport_read(stream->transport, stream, input->data + kept, input->capacity - kept);
    if (n <= 0) {
        end_unless_later(stream, n);
        return;
    }
    add_to(&stream->worker->bytes_read, n);
    input->length += (uint32_t)n;
    if (input->length >= input->wanted)
        offer(stream, input->data, input->length);
}

static bool may_read(const struct stream *stream)
{
    return !stream->paused && !stream->held && !stream->broken && !stream->closing && !stream->closed;
}

// One read from the socket, and what layers hold back of it: no event would tell of that.
static void read_socket(struct stream *stream)
{
    do {
        if (stream_kept(stream) > KEEP_IN_SCRATCH)
            read_into_input(stream);
        else
            read_into_scratch(stream);
    } while (transport_is_pending(stream->transport) && may_read(stream));
    // What the layers have to say to that by themselves.
    if (transport_wants_write(stream->transport) && !stream->writing && !stream->closed)
        worker_at_turn_end(stream->worker, &stream->task);
}

// A layer that has failed is asked nothing more.
static struct transport *usable(const struct stream *stream)
{
    return stream->broken ? &transport_socket : stream->transport;
}

// A peer that sends nothing more may still read what it is told last.
static void discard(struct stream *stream)
{
    struct transport *transport = usable(stream);
    ssize_t n;
    do
        n = transport_read(transport, stream, stream->worker->streams->scratch, STREAM_READ_SIZE);
    while (n > 0 && transport_is_pending(transport));
    if (n > 0)
        return;
    if (n == 0 && (stream->output || transport_wants_write(transport))) {
        stream->ended = true;
        update_interest(stream);
    } else {
        end_unless_later(stream, n);
    }
}

static void wait_for_socket(struct stream *stream)
{
    if (stream->writing)
        return;
    stream->writing = true;
    if (!stream->output) // what waits is inside a layer; how long it waits is told by an empty output
        stream->output = output_new(stream->worker->streams);
    if (stream->output)
        stream->output->moved_ms = (uint32_t)stream->worker->now_ms;
    update_interest(stream);
}

// All has been written and the stream is closing: tells the peer, then waits for it to close as well.
static void finish(struct stream *stream)
{
    if (stream->ended)
        end(stream, 0);
    else if (transport_shutdown(usable(stream), stream) == 0)
        return;
    else if (errno == EAGAIN)
        wait_for_socket(stream);
    else
        end(stream, errno);
}

// Writes until nothing is left or the socket takes no more; false in the latter case, and when it failed.
static bool write_output(struct stream *stream)
{
    struct output *output = stream->output;
    while (output_pending(output) > 0) {
        struct iovec pieces[PIECES];
        size_t size;
        int count = output_pieces(output, pieces, PIECES, &size);
        ssize_t n = transport_write(stream->transport, stream, pieces, count);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            fail(stream);
            return false;
        }
        if (n > 0) {
            add_to(&stream->worker->bytes_written, n);
            output_sent(output, (size_t)n);
            output->moved_ms = (uint32_t)stream->worker->now_ms;
        }
        if (n < (ssize_t)size) {
            wait_for_socket(stream);
            return false;
        }
    }
    return true;
}

// What layers keep is passed on; false when some is left, and when it failed.
static bool write_kept(struct stream *stream)
{
    if (!transport_wants_write(stream->transport))
        return true;
    if (transport_write(stream->transport, stream, NULL, 0) < 0 && errno != EAGAIN && errno != EINTR) {
        fail(stream);
        return false;
    }
    if (!transport_wants_write(stream->transport))
        return true;
    wait_for_socket(stream);
    return false;
}

static void flush(struct stream *stream)
{
    if (!stream->broken && ((stream->output && !write_output(stream)) || !write_kept(stream)))
        return;
    if (stream->output) {
        output_free(stream->worker->streams, stream->output);
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
    if (stream->above && !stream->closing && !stream->closed && stream_pending(stream) <= high_mark / 4) {
        stream->above = false;
        stream->events->drained(stream);
    }
}

// There is something to read, and the owner does not want it yet; but nothing at all is the peer's end.
static void look_for_end(struct stream *stream)
{
    uint8_t first;
    bool alert = stream->alert && !has_bytes(stream);
    stream->alert = false;
    ssize_t n = alert ? recv(stream->watch.fd, &first, sizeof first, MSG_PEEK | MSG_DONTWAIT) : 1;
    if (n <= 0)
        end_unless_later(stream, n);
    if (!stream->closed)
        watch_socket(stream, wanted_interest(stream));
}

static void socket_ready(struct watch *watch, unsigned what)
{
    struct stream *stream = (struct stream *)((char *)watch - offsetof(struct stream, watch));
    if (what & WATCH_WRITE) {
        flush(stream);
        tell_drained(stream);
    }
    if (!(what & WATCH_READ) || stream->closed)
        return;
    // What is kept comes first, at the end of this turn: an end that is read now would come before it.
    if (stream->offer && may_read(stream))
        return;
    if (stream->closing && !stream->ended)
        discard(stream);
    else if (may_read(stream))
        read_socket(stream);
    else
        look_for_end(stream);
}

// At the end of a turn, with nothing of the owner's under way.
static void tell_failed(struct stream *stream)
{
    if (stream->output) {
        output_free(stream->worker->streams, stream->output);
        stream->output = NULL;
    }
    stream->above = false;
    stream->events->failed(stream, transport_why(stream->transport));
    if (!stream->closing)
        end(stream, EPROTO);
}

// What waits in the stream, and then in its layers.
static void offer_kept(struct stream *stream)
{
    stream->offer = false;
    if (stream->input)
        offer(stream, stream->input->data, stream->input->length);
    if ((stream->unseen || stream->transport->below) && may_read(stream))
        read_socket(stream);
    if (stream->unseen) {
        stream->unseen = false;
        update_interest(stream);
    }
}

static void run_task(struct worker *worker, struct turn_task *task)
{
    (void)worker;
    struct stream *stream = (struct stream *)((char *)task - offsetof(struct stream, task));
    stream->running = true;
    if (stream->broken && !stream->closing && !stream->closed)
        tell_failed(stream);
    if (stream->offer && may_read(stream))
        offer_kept(stream);
    if (!stream->closed && !stream->writing &&
        (stream->output || stream->closing || transport_wants_write(stream->transport)))
        flush(stream);
    tell_drained(stream);
    stream->running = false;
    if (stream->closed) {
        worker_forget_task(stream->worker, &stream->task);
        release(stream);
        stream->events->closed(stream, stream->error); // may free
    }
}

uint8_t *stream_reserve(struct stream *stream, size_t size)
{
    if (stream->closing || stream->closed || stream->broken)
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

bool stream_is_flooded(struct stream *stream)
{
    return stream_pending(stream) > 2 * high_mark && stream_is_full(stream);
}

bool stream_is_full(struct stream *stream)
{
    if (stream_pending(stream) <= high_mark)
        return false;
    if (!stream->writing && !stream->closed && !stream->broken)
        flush(stream);
    if (stream_pending(stream) <= high_mark)
        return false;
    stream->above = true;
    return true;
}

uint64_t stream_stalled_ms(const struct stream *stream)
{
    return stream->writing && stream->output ? (uint32_t)stream->worker->now_ms - stream->output->moved_ms
                                             : 0;
}

void stream_close(struct stream *stream, uint64_t linger_ms)
{
    if (stream->closing || stream->closed)
        return;
    stream->closing = true;
    if (stream->held) { // whatever the layer waits for, it comes too late
        stream->held = false;
        stream->broken = true;
    }
    if (!stream->receiving)
        free_input(stream);
    stream->linger = memory_try(sizeof *stream->linger);
    if (!stream->linger) { // nothing would end the waiting
        end(stream, ENOMEM);
        return;
    }
    *stream->linger = (struct stream_linger){.stream = stream};
    wheel_start(&stream->worker->wheel, &stream->linger->timer, stream->worker->now_ms + linger_ms,
                linger_over);
    update_interest(stream);
    worker_at_turn_end(stream->worker, &stream->task);
}

void stream_abort(struct stream *stream)
{
    stream->closing = true;
    end(stream, 0);
}

void stream_destroy(struct stream *stream)
{
    free_input(stream);
    transport_close(stream->transport, stream);
    stream->watch.fd = -1;
}
