// What OpenSSL reads and writes: the layer's bytes, which come from and go to the layer below. Whatever
// OpenSSL writes is taken at once, so that a write never has to be repeated.
#include <errno.h>
#include <openssl/bio.h>
#include <pthread.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/net/output.h"
#include "core/net/tls_state.h"

enum {
    FILL_MOST = STREAM_READ_SIZE - 20 * 1024
}; // with a record that has begun, not more than a stream's buffer

/* ---- bytes ---- */

bool tls_bytes_append(struct tls_bytes *bytes, const void *data, size_t length)
{
    if (bytes->capacity - bytes->end < length) {
        size_t kept = tls_bytes_length(bytes);
        uint8_t *room = memory_try(kept + length);
        if (!room)
            return false;
        if (kept > 0)
            memcpy(room, bytes->data + bytes->start, kept);
        free(bytes->data);
        *bytes = (struct tls_bytes){.data = room, .end = kept, .capacity = kept + length};
    }
    memcpy(bytes->data + bytes->end, data, length);
    bytes->end += length;
    return true;
}

size_t tls_bytes_take(struct tls_bytes *bytes, void *buffer, size_t size)
{
    size_t length = tls_bytes_length(bytes);
    if (length > size)
        length = size;
    if (length > 0)
        memcpy(buffer, bytes->data + bytes->start, length);
    bytes->start += length;
    if (bytes->start == bytes->end)
        tls_bytes_clear(bytes);
    return length;
}

void tls_bytes_clear(struct tls_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct tls_bytes){0};
}

/* ---- from and to the layer below ---- */

ssize_t tls_fill(struct tls_layer *layer)
{
    struct stream_pool *pool = layer->stream->worker->streams;
    if (!pool->lower_scratch)
        pool->lower_scratch = memory_try(STREAM_READ_SIZE);
    if (!pool->lower_scratch) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = transport_read(layer->transport.below, layer->stream, pool->lower_scratch, FILL_MOST);
    if (n == 0)
        layer->ended = true;
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        layer->below_error = errno;
    if (n > 0 && !tls_bytes_append(&layer->in, pool->lower_scratch, (size_t)n)) {
        layer->below_error = errno = ENOMEM;
        return -1;
    }
    return n;
}

int tls_drain(struct tls_layer *layer)
{
    struct tls_bytes *out = &layer->out;
    while (tls_bytes_length(out) > 0) {
        struct iovec piece = {out->data + out->start, tls_bytes_length(out)};
        ssize_t n = transport_write(layer->transport.below, layer->stream, &piece, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EAGAIN;
            return -1;
        }
        out->start += (size_t)n;
    }
    tls_bytes_clear(out);
    return transport_write(layer->transport.below, layer->stream, NULL, 0) < 0 ? -1 : 0;
}

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *buffer, size_t size, size_t *length)
{
    struct tls_layer *layer = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    bool open = layer->phase == TLS_OPEN;
    // During the handshake the layer fills, and hands in what it has looked at.
    size_t most = open ? size : layer->for_ssl;
    if (open && tls_bytes_length(&layer->in) == 0 && !layer->ended)
        tls_fill(layer);
    if (most == 0 || tls_bytes_length(&layer->in) == 0) {
        if (!layer->ended && layer->below_error == 0)
            BIO_set_retry_read(bio);
        return 0;
    }
    *length = tls_bytes_take(&layer->in, buffer, most < size ? most : size);
    if (!open)
        layer->for_ssl -= *length;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t size, size_t *length)
{
    struct tls_layer *layer = BIO_get_data(bio);
    size_t sent = 0;
    BIO_clear_retry_flags(bio);
    if (tls_bytes_length(&layer->out) == 0) {
        struct iovec piece = {(void *)(uintptr_t)data, size};
        ssize_t n = transport_write(layer->transport.below, layer->stream, &piece, 1);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            layer->below_error = errno;
            return 0;
        }
        sent = n > 0 ? (size_t)n : 0;
    }
    if (sent < size && !tls_bytes_append(&layer->out, data + sent, size - sent)) {
        layer->below_error = ENOMEM;
        return 0;
    }
    *length = size;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    const struct tls_layer *layer = BIO_get_data(bio);
    if (command == BIO_CTRL_FLUSH)
        return 1;
    return command == BIO_CTRL_EOF ? layer->ended : 0;
}

static BIO_METHOD *method;

static void make_method(void)
{
    method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "stream");
    if (!method || !BIO_meth_set_read_ex(method, bio_read) || !BIO_meth_set_write_ex(method, bio_write) ||
        !BIO_meth_set_ctrl(method, bio_control))
        memory_exhausted();
}

BIO *tls_bio_new(struct tls_layer *layer)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *bio = BIO_new(method);
    if (bio) {
        BIO_set_data(bio, layer);
        BIO_set_init(bio, 1);
    }
    return bio;
}
