#include "core/net/tls_records.h"

#include <errno.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/output.h"

enum {
    HEADER = SSL3_RT_HEADER_LENGTH,
    TAG = 16,
    IV = 12,
    SECRET_MAX = 48,
    KEY_MAX = 32,
    PLAIN_MOST = SSL3_RT_MAX_PLAIN_LENGTH,
    SEALED_MOST = PLAIN_MOST + 256, // [RFC 8446 5.2]
    BATCH = 4,                      // records in one write
    RENEW_AFTER = 1 << 24,          // records that one key may protect [RFC 8446 5.5]
    KEY_UPDATE = 24,
    READ_MOST = STREAM_READ_SIZE - SEALED_MOST - HEADER,
};

enum { READING, WRITING, DIRECTIONS };

struct suite {
    uint32_t id;
    const char *cipher;
    const char *digest;
    uint8_t key_length;
    uint8_t secret_length;
};

static const struct suite suites[] = {
    {TLS1_3_CK_AES_128_GCM_SHA256, "AES-128-GCM", "SHA256", 16, 32},
    {TLS1_3_CK_AES_256_GCM_SHA384, "AES-256-GCM", "SHA384", 32, 48},
    {TLS1_3_CK_CHACHA20_POLY1305_SHA256, "ChaCha20-Poly1305", "SHA256", 32, 32},
};
enum { SUITES = sizeof suites / sizeof *suites };

/** One way. */
struct half {
    uint64_t id;       ///< of this key, in the whole process; never used again
    uint64_t sequence; ///< of the next record
    uint8_t secret[SECRET_MAX];
    uint8_t key[KEY_MAX];
    uint8_t iv[IV];
};

struct tls_records {
    struct half halves[DIRECTIONS];
    struct tls_bytes plain; ///< what a reader with little room has not got yet
    uint16_t most;          ///< bytes of a record's text
    uint8_t suite;
    bool update_asked; ///< the peer wants to see a new key
};

/** The ciphers of a worker, each with the key it was last used with. */
struct tls_ciphers {
    EVP_CIPHER_CTX *contexts[SUITES][DIRECTIONS];
    uint64_t keyed[SUITES][DIRECTIONS]; ///< half.id
};

/** Of a handshake under way. */
struct tls_secrets {
    uint8_t secrets[DIRECTIONS][SECRET_MAX];
    size_t lengths[DIRECTIONS];
    uint64_t records[DIRECTIONS]; ///< since the secret is in use
};

static _Atomic uint64_t last_id;

/* ---- during the handshake ---- */

static size_t from_hex(const char *text, uint8_t *bytes, size_t size)
{
    long length = 0;
    unsigned char *decoded = OPENSSL_hexstr2buf(text, &length);
    if (!decoded || length < 0 || (size_t)length > size) {
        OPENSSL_clear_free(decoded, length > 0 ? (size_t)length : 0);
        return 0;
    }
    memcpy(bytes, decoded, (size_t)length);
    OPENSSL_clear_free(decoded, (size_t)length);
    return (size_t)length;
}

// A line of the key log: label, random of the client, secret.
static void note_secret(const SSL *ssl, const char *line)
{
    static const char *const labels[] = {"CLIENT_TRAFFIC_SECRET_0 ", "SERVER_TRAFFIC_SECRET_0 "};
    struct tls_layer *layer = tls_layer_of(ssl);
    for (size_t i = 0; i < DIRECTIONS; i++) {
        if (strncmp(line, labels[i], strlen(labels[i])) != 0)
            continue;
        if (!layer->secrets)
            layer->secrets = memory_zalloc(sizeof *layer->secrets);
        const char *last = strrchr(line, ' ');
        layer->secrets->lengths[i] = from_hex(last + 1, layer->secrets->secrets[i], SECRET_MAX);
        layer->secrets->records[i] = 0;
    }
}

static void note_record(int writing, int version, int type, const void *data, size_t length, SSL *ssl,
                        void *argument)
{
    (void)version;
    (void)data;
    (void)length;
    (void)argument;
    struct tls_layer *layer = tls_layer_of(ssl);
    if (type == SSL3_RT_HEADER && layer && layer->secrets)
        layer->secrets->records[writing ? WRITING : READING]++;
}

void tls_secrets_watch(SSL_CTX *ssl)
{
    SSL_CTX_set_keylog_callback(ssl, note_secret);
    SSL_CTX_set_msg_callback(ssl, note_record);
}

void tls_secrets_forget(struct tls_layer *layer)
{
    if (layer->secrets)
        OPENSSL_cleanse(layer->secrets, sizeof *layer->secrets);
    free(layer->secrets);
    layer->secrets = NULL;
}

/* ---- keys ---- */

// HKDF-Expand-Label with an empty context, for outputs not longer than the hash. [RFC 8446 7.1]
static bool expand(const struct suite *suite, const uint8_t *secret, const char *label, uint8_t *out,
                   size_t length)
{
    uint8_t info[64];
    uint8_t block[EVP_MAX_MD_SIZE];
    size_t label_length = strlen(label);
    size_t used = 0;
    info[used++] = 0;
    info[used++] = (uint8_t)length;
    info[used++] = (uint8_t)(6 + label_length);
    memcpy(info + used, "tls13 ", 6);
    used += 6;
    memcpy(info + used, label, label_length);
    used += label_length;
    info[used++] = 0;
    info[used++] = 1;
    unsigned block_length;
    const EVP_MD *digest = EVP_get_digestbyname(suite->digest);
    if (!digest || !HMAC(digest, secret, suite->secret_length, info, used, block, &block_length) ||
        block_length < length)
        return false;
    memcpy(out, block, length);
    OPENSSL_cleanse(block, sizeof block);
    return true;
}

static bool set_key(struct half *half, const struct suite *suite)
{
    half->id = ++last_id;
    half->sequence = 0;
    return expand(suite, half->secret, "key", half->key, suite->key_length) &&
           expand(suite, half->secret, "iv", half->iv, IV);
}

// The next secret follows from the one before. [RFC 8446 7.2]
static bool renew_key(struct half *half, const struct suite *suite)
{
    uint8_t next[SECRET_MAX];
    if (!expand(suite, half->secret, "traffic upd", next, suite->secret_length))
        return false;
    memcpy(half->secret, next, suite->secret_length);
    OPENSSL_cleanse(next, sizeof next);
    return set_key(half, suite);
}

static int find_suite(const SSL *ssl)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    for (int i = 0; cipher && i < (int)SUITES; i++)
        if (suites[i].id == SSL_CIPHER_get_id(cipher))
            return i;
    return -1;
}

static uint16_t most_of(const SSL *ssl)
{
    uint8_t code = SSL_SESSION_get_max_fragment_length(SSL_get0_session(ssl));
    return code >= TLSEXT_max_fragment_length_512 && code <= TLSEXT_max_fragment_length_4096
               ? (uint16_t)(256U << code)
               : PLAIN_MOST;
}

struct tls_records *tls_records_new(struct tls_layer *layer)
{
    const struct tls_secrets *secrets = layer->secrets;
    int suite = SSL_version(layer->ssl) == TLS1_3_VERSION ? find_suite(layer->ssl) : -1;
    if (suite < 0 || !secrets || SSL_has_pending(layer->ssl) || secrets->records[READING] > 0)
        return NULL;
    for (int i = 0; i < DIRECTIONS; i++)
        if (secrets->lengths[i] != suites[suite].secret_length)
            return NULL;
    struct tls_records *records = memory_try(sizeof *records);
    if (!records)
        return NULL;
    *records = (struct tls_records){.suite = (uint8_t)suite, .most = most_of(layer->ssl)};
    for (int i = 0; i < DIRECTIONS; i++) {
        struct half *half = &records->halves[i];
        memcpy(half->secret, secrets->secrets[i], suites[suite].secret_length);
        if (!set_key(half, &suites[suite])) {
            tls_records_free(records);
            return NULL;
        }
        half->sequence = secrets->records[i];
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

void tls_ciphers_free(struct tls_ciphers *ciphers)
{
    for (size_t i = 0; ciphers && i < SUITES; i++)
        for (size_t k = 0; k < DIRECTIONS; k++)
            EVP_CIPHER_CTX_free(ciphers->contexts[i][k]);
    free(ciphers);
}

// The worker's cipher with this half's key and the nonce of its next record. [RFC 8446 5.3]
static EVP_CIPHER_CTX *cipher_for(struct tls_layer *layer, int direction)
{
    struct stream_pool *pool = layer->stream->worker->streams;
    struct tls_records *records = layer->records;
    struct half *half = &records->halves[direction];
    if (!pool->ciphers)
        pool->ciphers = memory_zalloc(sizeof *pool->ciphers);
    EVP_CIPHER_CTX **context = &pool->ciphers->contexts[records->suite][direction];
    uint64_t *keyed = &pool->ciphers->keyed[records->suite][direction];
    uint8_t nonce[IV];
    memcpy(nonce, half->iv, IV);
    for (int i = 0; i < 8; i++)
        nonce[IV - 1 - i] ^= (uint8_t)(half->sequence >> (8 * i));
    half->sequence++;
    const EVP_CIPHER *cipher = NULL;
    if (!*context) {
        *context = EVP_CIPHER_CTX_new();
        cipher = EVP_get_cipherbyname(suites[records->suite].cipher);
        *keyed = 0;
    }
    const uint8_t *key = *keyed == half->id ? NULL : half->key;
    *keyed = 0;
    if (!*context || EVP_CipherInit_ex(*context, cipher, NULL, key, nonce, direction == WRITING) != 1)
        return NULL;
    *keyed = half->id;
    return *context;
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
    size_t sealed = length + 1 + TAG;
    uint8_t header[HEADER] = {SSL3_RT_APPLICATION_DATA, 3, 3, (uint8_t)(sealed >> 8), (uint8_t)sealed};
    memcpy(out, header, HEADER);
    EVP_CIPHER_CTX *cipher = cipher_for(layer, WRITING);
    int written;
    if (!cipher || EVP_CipherUpdate(cipher, NULL, &written, header, HEADER) != 1 ||
        !seal_pieces(cipher, source, length, out + HEADER) ||
        EVP_CipherUpdate(cipher, out + HEADER + length, &written, &type, 1) != 1 ||
        EVP_CipherFinal_ex(cipher, out + HEADER + length + 1, &written) != 1 ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG, out + HEADER + length + 1) != 1)
        return 0;
    return HEADER + sealed;
}

// A few bytes of TLS's own. What does not leave now waits in `out`.
static bool say(struct tls_layer *layer, uint8_t type, const void *data, size_t length)
{
    uint8_t record[HEADER + 16 + 1 + TAG];
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
    return say(layer, SSL3_RT_HANDSHAKE, update, sizeof update) &&
           renew_key(&records->halves[WRITING], &suites[records->suite]);
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
    size_t length = record_size(record) - HEADER - TAG;
    EVP_CIPHER_CTX *cipher = cipher_for(layer, READING);
    int written;
    if (!cipher ||
        EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG,
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
    if (!renew_key(&records->halves[READING], &suites[records->suite]))
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
    if (size < HEADER + 1 + TAG)
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
