// Two ends of a connection for the tests of streams: the stream under test and a plain socket of the peer's.
// The thread of the test; each test file has its own copy of everything here.
// Must not know what is tested.
#ifndef NOCTULE_TESTS_NET_SUPPORT_H
#define NOCTULE_TESTS_NET_SUPPORT_H

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/net/output.h"
#include "core/net/stream.h"

// As ck_assert, which is too slow to be called millions of times.
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            ck_abort_msg("%s:%d failed: %s", __FILE__, __LINE__, #what);                                     \
    } while (0)

/** The owner of a stream, as the tests need it. */
struct side {
    struct stream stream; ///< first
    size_t (*handle)(struct side *side, const uint8_t *data, size_t length, size_t *wanted);
    uint8_t *bytes; ///< all that was consumed
    size_t length;
    size_t capacity;
    unsigned calls;   ///< of `received`
    unsigned drained; ///< calls
    unsigned closed;  ///< calls
    unsigned failed;  ///< calls
    const char *why;  ///< as told by `failed`
    int error;        ///< as told by `closed`
    int peer;         ///< the other end
    bool keep_closed; ///< not freed by `closed`
    bool careless;    ///< does not close a stream that has failed
    void *argument;
};

static inline void side_keep_bytes(struct side *side, const uint8_t *data, size_t length)
{
    while (side->capacity - side->length < length) {
        side->capacity = side->capacity ? side->capacity * 2 : 1024;
        side->bytes = memory_resize(side->bytes, side->capacity);
    }
    if (length > 0)
        memcpy(side->bytes + side->length, data, length);
    side->length += length;
}

static inline size_t side_received(struct stream *stream, const uint8_t *data, size_t length, size_t *wanted)
{
    struct side *side = (struct side *)stream;
    CHECK(!stream->paused && !stream->closed && !stream->closing && length > 0);
    side->calls++;
    size_t consumed = side->handle ? side->handle(side, data, length, wanted) : length;
    CHECK(consumed <= length);
    side_keep_bytes(side, data, consumed);
    return consumed;
}

static inline void side_drained(struct stream *stream)
{
    ((struct side *)stream)->drained++;
}

static inline void side_failed(struct stream *stream, const char *why)
{
    struct side *side = (struct side *)stream;
    CHECK(++side->failed == 1 && side->closed == 0 && why);
    side->why = why;
    if (!side->careless)
        stream_close(stream, 1000);
}

static inline void side_closed(struct stream *stream, int error)
{
    struct side *side = (struct side *)stream;
    CHECK(++side->closed == 1);
    CHECK(stream->watch.fd == -1 && !stream->input && !stream->output && !stream->linger);
    side->error = error;
    if (side->keep_closed)
        return;
    close(side->peer);
    free(side->bytes);
    free(side);
}

static const struct stream_events side_events = {side_received, side_drained, side_failed, side_closed};

static inline void set_nonblocking(int fd)
{
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

static inline struct side *side_over(int fd, int peer)
{
    struct side *side = memory_zalloc(sizeof *side);
    set_nonblocking(fd);
    set_nonblocking(peer);
    stream_init(&side->stream, fd, &side_events);
    side->peer = peer;
    side->keep_closed = true;
    return side;
}

/** Over a pair of local sockets. Detached. */
static inline struct side *side_new(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    return side_over(ends[0], ends[1]);
}

/** Over TCP on the loopback: resets and half-closes as on a network. Detached. */
static inline struct side *side_new_tcp(void)
{
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    CHECK(bind(listening, (struct sockaddr *)&address, length) == 0 && listen(listening, 1) == 0);
    CHECK(getsockname(listening, (struct sockaddr *)&address, &length) == 0);
    int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(peer, (struct sockaddr *)&address, length) == 0);
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    CHECK(fd >= 0);
    close(listening);
    return side_over(fd, peer);
}

static inline void side_free(struct side *side)
{
    if (side->peer >= 0)
        close(side->peer);
    free(side->bytes);
    free(side);
}

/** Ends a stream that is attached, whatever it is doing, and frees the side. */
static inline void side_end(struct side *side, struct worker *worker)
{
    if (!side->closed)
        stream_abort(&side->stream);
    worker_turn(worker, false);
    ck_assert_uint_eq(side->closed, 1);
    side_free(side);
}

/** Sends all of it, with turns of the worker in between where the socket is full. */
static inline void peer_send(struct side *side, struct worker *worker, const void *data, size_t length)
{
    for (size_t sent = 0; sent < length;) {
        ssize_t n = send(side->peer, (const uint8_t *)data + sent, length - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            worker_turn(worker, false);
        else if (n < 0)
            ck_abort_msg("send: %s", strerror(errno));
        else
            sent += (size_t)n;
    }
}

/** Reads what there is, at most `size` bytes; 0: nothing now; -1: the end, or an error in errno. */
static inline ssize_t peer_read(struct side *side, void *buffer, size_t size)
{
    ssize_t n = recv(side->peer, buffer, size, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n == 0)
        errno = 0;
    return n > 0 ? n : -1;
}

/** Bytes that tell where they stand. */
static inline uint8_t byte_at(size_t place)
{
    return (uint8_t)((place * 2654435761U) >> 13);
}

static inline void fill_bytes(uint8_t *bytes, size_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        bytes[i] = byte_at(from + i);
}

static inline bool bytes_are(const uint8_t *bytes, size_t from, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (bytes[i] != byte_at(from + i))
            return false;
    return true;
}

static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}

#endif
