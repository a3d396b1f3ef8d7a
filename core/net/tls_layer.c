// The layer of TLS: a handshake inside the first reads, then records both ways.
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/net/output.h"
#include "core/net/tls_records.h"
#include "core/net/tls_state.h"

enum {
    RECORD_MOST = SSL3_RT_MAX_PLAIN_LENGTH,
    UNSENT_MOST = 64 * 1024, // a peer that has so much said to it by TLS itself, and reads none of it, waits
};

struct transport *tls_layer_new(struct tls_context *context, tls_ask_key_fn *ask)
{
    struct tls_layer *layer = memory_try(sizeof *layer);
    if (!layer)
        return NULL;
    *layer = (struct tls_layer){
        .transport.type = &tls_layer_type, .context = tls_context_ref(context), .ask = ask};
    return &layer->transport;
}

/* ---- failing ---- */

static const char left_early[] = "the client closed the connection during the TLS handshake";

static int fail(struct tls_layer *layer)
{
    tls_gate_leave(layer);
    ERR_clear_error();
    if (layer->below_error == ECONNRESET && layer->phase == TLS_HANDSHAKE)
        tls_say(layer, "%s", left_early);
    if (layer->below_error && !layer->why) {
        errno = layer->below_error;
        return -1;
    }
    if (!layer->why)
        tls_say(layer, "TLS failed");
    layer->phase = TLS_FAILED;
    errno = EPROTO;
    return -1;
}

// What a call of OpenSSL's that did not succeed comes to: -1 with errno, or 0 at the end.
static int judge(struct tls_layer *layer, int result)
{
    switch (SSL_get_error(layer->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        // Clients that just close are many; the end of MQTT's packets is known without close_notify.
        if (layer->ended && layer->phase == TLS_OPEN) {
            ERR_clear_error();
            return 0;
        }
        if (layer->ended)
            tls_say(layer, "%s", left_early);
        else if (layer->below_error == 0)
            tls_explain(layer);
        return fail(layer);
    }
}

/* ---- handshake ---- */

static bool begin(struct tls_layer *layer)
{
    BIO *bio = tls_bio_new(layer);
    layer->ssl = bio ? SSL_new(layer->context->groups->ssl) : NULL;
    if (!layer->ssl) {
        BIO_free(bio);
        layer->below_error = ENOMEM;
        return false;
    }
    SSL_set_bio(layer->ssl, bio, bio);
    SSL_set_app_data(layer->ssl, layer);
    SSL_set_accept_state(layer->ssl);
    layer->phase = TLS_HANDSHAKE;
    return true;
}

// The first bytes are looked at before anything is made for them. 1: TLS it is.
static int first_bytes(struct tls_layer *layer)
{
    if (tls_bytes_length(&layer->in) == 0) {
        ssize_t n = tls_fill(layer);
        if (n <= 0)
            return (int)n;
    }
    const uint8_t *bytes = tls_bytes_front(&layer->in);
    if (*bytes != SSL3_RT_HANDSHAKE) {
        tls_say(layer, "%s", tls_words_for_bytes(bytes, tls_bytes_length(&layer->in)));
        return fail(layer);
    }
    layer->phase = TLS_QUEUED;
    return 1;
}

static bool finish(struct tls_layer *layer)
{
    layer->phase = TLS_OPEN;
    tls_gate_leave(layer);
    if (!tls_check_resumed(layer))
        return false;
    layer->peer = tls_peer_new(layer->ssl, tls_key_identity(layer));
    tls_key_forget(layer);
    layer->records = tls_records_new(layer);
    tls_secrets_forget(layer);
    if (layer->records) {
        SSL_free(layer->ssl);
        layer->ssl = NULL;
    }
    return true;
}

// A handshake goes on with whole records: then it does not matter to it how they come in. One that is longer
// than any may be is OpenSSL's to refuse.
static size_t whole_record(const struct tls_layer *layer)
{
    const uint8_t *bytes = tls_bytes_front(&layer->in);
    size_t length = tls_bytes_length(&layer->in);
    if (length < SSL3_RT_HEADER_LENGTH)
        return 0;
    size_t record = (size_t)bytes[3] << 8 | bytes[4];
    if (record > SSL3_RT_MAX_ENCRYPTED_LENGTH)
        return length;
    return length - SSL3_RT_HEADER_LENGTH >= record ? SSL3_RT_HEADER_LENGTH + record : 0;
}

// 1: done. 0: the peer has left before it said anything. -1 with errno.
static int handshake(struct tls_layer *layer)
{
    if (layer->phase == TLS_WAITS) {
        int looked = first_bytes(layer);
        if (looked <= 0)
            return looked;
    }
    if (layer->phase == TLS_QUEUED) {
        errno = EAGAIN;
        if (!tls_gate_enter(layer, layer->stream))
            return -1;
        if (!begin(layer))
            return fail(layer);
    }
    for (;;) {
        // One at a time: OpenSSL would take a part of the next one as well, and what is left be no record.
        layer->for_ssl = layer->ended ? tls_bytes_length(&layer->in) : whole_record(layer);
        if (layer->for_ssl == 0 && !layer->ended) {
            if (tls_fill(layer) < 0)
                return errno == EAGAIN || errno == EINTR ? -1 : fail(layer);
            continue;
        }
        if (!tls_key_known(layer)) {
            errno = EAGAIN;
            return -1;
        }
        ERR_clear_error();
        int result = SSL_do_handshake(layer->ssl);
        if (result == 1)
            return finish(layer) ? 1 : fail(layer);
        result = judge(layer, result);
        if (result == 0 || errno != EAGAIN || layer->ended)
            return result;
    }
}

/* ---- reading and writing ---- */

static ssize_t read_records(struct tls_layer *layer, uint8_t *buffer, size_t size)
{
    size_t used = 0;
    // As long as there is something inside: the socket is read once for it.
    do {
        size_t length = 0;
        ERR_clear_error();
        int result = SSL_read_ex(layer->ssl, buffer + used, size - used, &length);
        if (result != 1) {
            int judged = judge(layer, result);
            return used > 0 && (judged == 0 || errno == EAGAIN) ? (ssize_t)used : judged;
        }
        used += length;
    } while (used < size && (tls_bytes_length(&layer->in) > 0 || SSL_pending(layer->ssl) > 0));
    return (ssize_t)used;
}

static ssize_t layer_read(struct transport *transport, struct stream *stream, void *buffer, size_t size)
{
    struct tls_layer *layer = (struct tls_layer *)transport;
    layer->stream = stream;
    if (tls_bytes_length(&layer->out) > UNSENT_MOST && tls_drain(layer) < 0) {
        layer->clogged = errno == EAGAIN;
        if (layer->clogged)
            stream_hold(stream);
        return -1;
    }
    if (layer->phase != TLS_OPEN) {
        int done = handshake(layer);
        if (done <= 0)
            return done;
    }
    ssize_t n = layer->records ? tls_records_read(layer, buffer, size) : read_records(layer, buffer, size);
    if (n > 0 && layer->facts_told) {
        tls_peer_free(layer->peer);
        layer->peer = NULL;
    }
    return n;
}

// Small pieces are put together: a record is as large as there is something to say.
static size_t gather(uint8_t *record, const struct iovec *pieces, int count, size_t skip)
{
    size_t used = 0;
    for (int i = 0; i < count && used < RECORD_MOST; i++) {
        if (skip >= pieces[i].iov_len) {
            skip -= pieces[i].iov_len;
            continue;
        }
        size_t length = pieces[i].iov_len - skip;
        if (length > RECORD_MOST - used)
            length = RECORD_MOST - used;
        memcpy(record + used, (const uint8_t *)pieces[i].iov_base + skip, length);
        used += length;
        skip = 0;
    }
    return used;
}

static ssize_t write_records(struct tls_layer *layer, const struct iovec *pieces, int count)
{
    uint8_t record[RECORD_MOST];
    size_t taken = 0;
    size_t length;
    // One record may stay behind; it is the last one until it has gone.
    while (tls_bytes_length(&layer->out) == 0 && (length = gather(record, pieces, count, taken)) > 0) {
        size_t written;
        ERR_clear_error();
        int result = SSL_write_ex(layer->ssl, record, length, &written);
        if (result != 1) {
            int judged = judge(layer, result);
            if (judged == 0)
                errno = EPIPE;
            return taken > 0 && errno == EAGAIN ? (ssize_t)taken : -1;
        }
        taken += length;
    }
    return (ssize_t)taken;
}

static ssize_t layer_write(struct transport *transport, struct stream *stream, const struct iovec *pieces,
                           int count)
{
    struct tls_layer *layer = (struct tls_layer *)transport;
    layer->stream = stream;
    if (tls_drain(layer) < 0)
        return -1;
    if (layer->clogged) {
        layer->clogged = false;
        stream_unhold(stream);
    }
    if (count == 0)
        return 0;
    if (layer->phase != TLS_OPEN) {
        errno = EAGAIN;
        return -1;
    }
    return layer->records ? tls_records_write(layer, pieces, count) : write_records(layer, pieces, count);
}

static size_t layer_pending(const struct transport *transport)
{
    const struct tls_layer *layer = (const struct tls_layer *)transport;
    if (layer->records)
        return tls_records_pending(layer);
    // A handshake stops at half a record only, or is held.
    return layer->phase == TLS_OPEN ? tls_bytes_length(&layer->in) + (size_t)SSL_pending(layer->ssl) : 0;
}

static bool layer_wants_write(const struct transport *transport)
{
    return tls_bytes_length(&((const struct tls_layer *)transport)->out) > 0;
}

static int layer_shutdown(struct transport *transport, struct stream *stream)
{
    struct tls_layer *layer = (struct tls_layer *)transport;
    layer->stream = stream;
    if (layer->phase == TLS_OPEN && !layer->goodbye) {
        layer->goodbye = true;
        if (layer->records)
            tls_records_goodbye(layer);
        else
            SSL_shutdown(layer->ssl);
        ERR_clear_error();
    }
    if (tls_drain(layer) < 0)
        return -1;
    return transport_shutdown(transport->below, stream);
}

static void layer_close(struct transport *transport, struct stream *stream)
{
    (void)stream;
    struct tls_layer *layer = (struct tls_layer *)transport;
    tls_gate_leave(layer);
    SSL_free(layer->ssl);
    tls_records_free(layer->records);
    tls_secrets_forget(layer);
    tls_bytes_clear(&layer->in);
    tls_bytes_clear(&layer->out);
    tls_peer_free(layer->peer);
    tls_key_forget(layer);
    tls_context_unref(layer->context);
    free(layer->why);
    free(layer);
}

static const char *layer_why(const struct transport *transport)
{
    return ((const struct tls_layer *)transport)->why;
}

static const char *layer_opening(const struct transport *transport)
{
    const struct tls_layer *layer = (const struct tls_layer *)transport;
    return layer->phase == TLS_HANDSHAKE || layer->phase == TLS_QUEUED ? "the TLS handshake was not finished"
                                                                       : NULL;
}

static void layer_facts(const struct transport *transport, const struct stream *stream,
                        struct transport_facts *facts)
{
    (void)stream;
    struct tls_layer *layer = (struct tls_layer *)(uintptr_t)transport;
    layer->facts_told = true;
    if (layer->peer)
        tls_peer_facts(layer->peer, facts);
}

const struct transport_type tls_layer_type = {
    .name = "tls",
    .read = layer_read,
    .write = layer_write,
    .pending = layer_pending,
    .wants_write = layer_wants_write,
    .shutdown = layer_shutdown,
    .close = layer_close,
    .why = layer_why,
    .opening = layer_opening,
    .facts = layer_facts,
};
