#include "core/net/tls_records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/output.h"
#include "core/net/tls_record_keys.h"

enum {
    HEADER = SSL3_RT_HEADER_LENGTH,
    PLAIN_MOST = SSL3_RT_MAX_PLAIN_LENGTH,
    SEALED_MOST = PLAIN_MOST + 256, // [RFC 8446 5.2]
    BATCH = 4,                      // records in one write
    RENEW_AFTER = 1 << 24,          // records that one key may protect [RFC 8446 5.5]
    KEY_UPDATE = 24,
    READ_MOST = STREAM_READ_SIZE - SEALED_MOST - HEADER,
};

struct tls_records *tls_records_new(struct tls_layer *layer)
{
    struct tls_records *records = memory_try(sizeof *records);
    if (records && !tls_keys_take(layer, records)) {
        OPENSSL_cleanse(records, sizeof *records);
        free(records);
        records = NULL;
    }
    return records;
}

void tls_records_free(struct tls_records *records)
{
    if (!records)
        return;
    tls_bytes_clear(&records->plain);
    OPENSSL_cleanse(records, sizeof *records);
    free(records);
}

/* ---- writing ---- */

/** Where the next bytes of the pieces are. */
struct source {
    const struct iovec *pieces;
    int count;
    size_t offset; ///< in the first
};

static size_t left_in(const struct source *source)
{
    size_t left = 0;
    for (int i = 0; i < source->count && left < PLAIN_MOST; i++)
        left += source->pieces[i].iov_len - (i == 0 ? source->offset : 0);
    return left;
}

// Encrypts the next `length` bytes; false when OpenSSL refuses.
static bool seal_pieces(EVP_CIPHER_CTX *cipher, struct source *source, size_t length, uint8_t *out)
{
    while (length > 0) {
        const struct iovec *piece = source->pieces;
        size_t part = piece->iov_len - source->offset;
        part = part < length ? part : length;
        int written;
        if (part > 0 && EVP_CipherUpdate(cipher, out, &written,
                                         (const uint8_t *)piece->iov_base + source->offset, (int)part) != 1)
            return false;
        out += part;
        length -= part;
        source->offset += part;
        if (source->offset == piece->iov_len) {
            source->pieces++;
            source->count--;
            source->offset = 0;
        }
    }
    return true;
}

// Makes one record of the next `length` bytes at `out`; its size, or 0 when OpenSSL refuses. [RFC 8446 5.2]
static size_t seal(struct tls_layer *layer, uint8_t type, struct source *source, size_t length, uint8_t *out)
{
    size_t sealed = length + 1 + TLS_TAG;
    uint8_t header[HEADER] = {SSL3_RT_APPLICATION_DATA, 3, 3, (uint8_t)(sealed >> 8), (uint8_t)sealed};
    memcpy(out, header, HEADER);
    EVP_CIPHER_CTX *cipher = tls_keys_cipher(layer, WRITING);
    int written;
    if (!cipher || EVP_CipherUpdate(cipher, NULL, &written, header, HEADER) != 1 ||
        !seal_pieces(cipher, source, length, out + HEADER) ||
        EVP_CipherUpdate(cipher, out + HEADER + length, &written, &type, 1) != 1 ||
        EVP_CipherFinal_ex(cipher, out + HEADER + length + 1, &written) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TLS_TAG, out + HEADER + length + 1) != 1)
        return 0;
    return HEADER + sealed;
}

// A few bytes of TLS's own. What does not leave now waits in `out`.
static bool say(struct tls_layer *layer, uint8_t type, const void *data, size_t length)
{
    uint8_t record[HEADER + 16 + 1 + TLS_TAG];
    struct iovec piece = {(void *)(uintptr_t)data, length};
    struct source source = {&piece, 1, 0};
    size_t size = seal(layer, type, &source, length, record);
    if (size == 0 || !tls_bytes_append(&layer->out, record, size))
        return false;
    tls_drain(layer);
    return true;
}

static bool say_update(struct tls_layer *layer)
{
    static const uint8_t update[] = {KEY_UPDATE, 0, 0, 1, 0};
    struct tls_records *records = layer->records;
    return say(layer, SSL3_RT_HANDSHAKE, update, sizeof update) && tls_keys_renew(records, WRITING);
}

static void say_alert(struct tls_layer *layer, uint8_t level, uint8_t alert)
{
    uint8_t bytes[] = {level, alert};
    say(layer, SSL3_RT_ALERT, bytes, sizeof bytes);
}

void tls_records_goodbye(struct tls_layer *layer)
{
    say_alert(layer, SSL3_AL_WARNING, SSL_AD_CLOSE_NOTIFY);
}

static ssize_t fail(struct tls_layer *layer, uint8_t alert, const char *words)
{
    if (alert)
        say_alert(layer, SSL3_AL_FATAL, alert);
    tls_say(layer, "%s", words);
    layer->phase = TLS_FAILED;
    errno = EPROTO;
    return -1;
}

static uint8_t *scratch_of(struct tls_layer *layer)
{
    struct stream_pool *pool = layer->stream->worker->streams;
    if (!pool->lower_scratch)
        pool->lower_scratch = memory_try(STREAM_READ_SIZE);
    if (!pool->lower_scratch)
        errno = ENOMEM;
    return pool->lower_scratch;
}

// Hands sealed records on; what the socket does not take is kept.
static bool pass_on(struct tls_layer *layer, uint8_t *sealed, size_t length)
{
    struct iovec piece = {sealed, length};
    ssize_t n = transport_write(layer->transport.below, layer->stream, &piece, 1);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    size_t sent = n > 0 ? (size_t)n : 0;
    if (sent == length || tls_bytes_append(&layer->out, sealed + sent, length - sent))
        return true;
    errno = ENOMEM;
    return false;
}

ssize_t tls_records_write(struct tls_layer *layer, const struct iovec *pieces, int count)
{
    struct tls_records *records = layer->records;
    struct source source = {pieces, count, 0};
    uint8_t *out = scratch_of(layer);
    size_t taken = 0;
    size_t left = left_in(&source);
    while (out && left > 0 && tls_bytes_length(&layer->out) == 0) {
        size_t used = 0;
        for (int i = 0; i < BATCH && left > 0; i++) {
            size_t length = left < records->most ? left : records->most;
            size_t size = seal(layer, SSL3_RT_APPLICATION_DATA, &source, length, out + used);
            if (size == 0)
                return fail(layer, SSL_AD_INTERNAL_ERROR, "a record could not be encrypted");
            used += size;
            taken += length;
            left = left_in(&source);
        }
        if (!pass_on(layer, out, used))
            return -1;
        if (records->halves[WRITING].sequence >= RENEW_AFTER && !say_update(layer))
            return fail(layer, 0, "a key could not be renewed");
    }
    return out ? (ssize_t)taken : -1;
}

/* ---- reading ---- */

/** Sealed bytes, and what is done with those that are text. */
struct intake {
    uint8_t *sealed;
    size_t length;
    size_t at;
    uint8_t *buffer;
    size_t size;
    size_t used;
    bool full; ///< the next record's text may have no room
};

static size_t record_size(const uint8_t *record)
{
    return HEADER + ((size_t)record[3] << 8 | record[4]);
}

static bool has_record(const uint8_t *bytes, size_t length)
{
    return length >= HEADER && length >= record_size(bytes);
}

// Decrypts one record to `out`; the length of its text and its type, or -1. [RFC 8446 5.2]
static ssize_t unseal(struct tls_layer *layer, const uint8_t *record, uint8_t *out, uint8_t *type)
{
    size_t length = record_size(record) - HEADER - TLS_TAG;
    EVP_CIPHER_CTX *cipher = tls_keys_cipher(layer, READING);
    int written;
    if (!cipher ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TLS_TAG,
                            (void *)(uintptr_t)(record + HEADER + length)) != 1 ||
        EVP_CipherUpdate(cipher, NULL, &written, record, HEADER) != 1 ||
        EVP_CipherUpdate(cipher, out, &written, record + HEADER, (int)length) != 1 ||
        EVP_CipherFinal_ex(cipher, out + length, &written) != 1)
        return -1;
    // Zeros behind the type are padding.
    while (length > 0 && out[length - 1] == 0)
        length--;
    *type = length > 0 ? out[length - 1] : 0;
    return length > 0 ? (ssize_t)(length - 1) : 0;
}

static ssize_t take_alert(struct tls_layer *layer, const uint8_t *alert, size_t length)
{
    if (length != 2)
        return fail(layer, SSL_AD_DECODE_ERROR, "a malformed TLS message");
    if (alert[1] == SSL_AD_USER_CANCELLED)
        return 1;
    if (alert[1] != SSL_AD_CLOSE_NOTIFY)
        return fail(layer, 0, tls_words_for_alert(alert[1]));
    layer->ended = true;
    return 0;
}

// After the handshake a client has one thing to say in it: that its key changes. [RFC 8446 4.6.3]
static ssize_t take_update(struct tls_layer *layer, const uint8_t *message, size_t length)
{
    static const uint8_t head[] = {KEY_UPDATE, 0, 0, 1};
    struct tls_records *records = layer->records;
    if (length != sizeof head + 1 || memcmp(message, head, sizeof head) != 0 || message[sizeof head] > 1)
        return fail(layer, SSL_AD_UNEXPECTED_MESSAGE, "a TLS message out of place");
    records->update_asked |= message[sizeof head] == 1;
    if (!tls_keys_renew(records, READING))
        return fail(layer, SSL_AD_INTERNAL_ERROR, "a key could not be renewed");
    return 1;
}

// 1: go on. 0: the end. -1: failed.
static ssize_t take_record(struct tls_layer *layer, struct intake *intake)
{
    const uint8_t *record = intake->sealed + intake->at;
    size_t size = record_size(record);
    uint8_t *out = intake->buffer + intake->used;
    uint8_t type;
    if (record[0] != SSL3_RT_APPLICATION_DATA)
        return fail(layer, SSL_AD_UNEXPECTED_MESSAGE, "a TLS record out of place");
    if (size < HEADER + 1 + TLS_TAG)
        return fail(layer, SSL_AD_BAD_RECORD_MAC, "a record that does not decrypt");
    ssize_t length = unseal(layer, record, out, &type);
    if (length < 0)
        return fail(layer, SSL_AD_BAD_RECORD_MAC, "a record that does not decrypt");
    if (length > PLAIN_MOST)
        return fail(layer, SSL_AD_RECORD_OVERFLOW, "a record that is too long");
    intake->at += size;
    switch (type) {
    case SSL3_RT_APPLICATION_DATA:
        intake->used += (size_t)length;
        return 1;
    case SSL3_RT_ALERT:
        return take_alert(layer, out, (size_t)length);
    case SSL3_RT_HANDSHAKE:
        return take_update(layer, out, (size_t)length);
    default:
        return fail(layer, SSL_AD_UNEXPECTED_MESSAGE, "a TLS record out of place");
    }
}

// All whole records, as long as there is room for what is in them.
static ssize_t take_records(struct tls_layer *layer, struct intake *intake)
{
    ssize_t result = 1;
    while (result > 0 && intake->length - intake->at >= HEADER) {
        size_t size = record_size(intake->sealed + intake->at);
        if (size > HEADER + SEALED_MOST)
            return fail(layer, SSL_AD_RECORD_OVERFLOW, "a record that is too long");
        if (size > intake->length - intake->at)
            break;
        intake->full = size - HEADER > intake->size - intake->used;
        if (intake->full)
            break;
        result = take_record(layer, intake);
    }
    return result;
}

// Reads with a buffer of its own when the caller's has no room for a record.
static ssize_t read_by_and_by(struct tls_layer *layer, uint8_t *buffer, size_t size)
{
    uint8_t *room = memory_try(SEALED_MOST);
    if (!room) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = tls_records_read(layer, room, SEALED_MOST);
    if (n > 0 && !tls_bytes_append(&layer->records->plain, room, (size_t)n)) {
        errno = ENOMEM;
        n = -1;
    }
    free(room);
    return n > 0 ? (ssize_t)tls_bytes_take(&layer->records->plain, buffer, size) : n;
}

static ssize_t keep_rest(struct tls_layer *layer, const struct intake *intake)
{
    size_t rest = layer->ended ? 0 : intake->length - intake->at;
    if (rest == 0 || tls_bytes_append(&layer->in, intake->sealed + intake->at, rest))
        return 1;
    errno = ENOMEM;
    return -1;
}

ssize_t tls_records_read(struct tls_layer *layer, uint8_t *buffer, size_t size)
{
    struct tls_records *records = layer->records;
    if (tls_bytes_length(&records->plain) > 0)
        return (ssize_t)tls_bytes_take(&records->plain, buffer, size);
    if (size < SEALED_MOST)
        return read_by_and_by(layer, buffer, size);
    struct intake intake = {.sealed = scratch_of(layer), .buffer = buffer, .size = size};
    if (!intake.sealed)
        return -1;
    for (;;) {
        if (layer->ended)
            return 0;
        bool whole = has_record(tls_bytes_front(&layer->in), tls_bytes_length(&layer->in));
        intake.at = 0;
        intake.length = tls_bytes_take(&layer->in, intake.sealed, STREAM_READ_SIZE);
        ssize_t n = 1;
        if (!whole) {
            n = transport_read(layer->transport.below, layer->stream, intake.sealed + intake.length,
                               READ_MOST - intake.length);
            if (n > 0)
                intake.length += (size_t)n;
        }
        int error = errno;
        ssize_t taken = take_records(layer, &intake);
        if (taken < 0 || keep_rest(layer, &intake) < 0)
            return -1;
        if (records->update_asked) {
            records->update_asked = false;
            if (!say_update(layer))
                return fail(layer, 0, "a key could not be renewed");
        }
        if (intake.used > 0)
            return (ssize_t)intake.used;
        errno = error;
        if (n <= 0)
            return n;
    }
}

bool tls_records_pending(const struct tls_layer *layer)
{
    return tls_bytes_length(&layer->records->plain) > 0 || layer->ended ||
           has_record(tls_bytes_front(&layer->in), tls_bytes_length(&layer->in));
}
