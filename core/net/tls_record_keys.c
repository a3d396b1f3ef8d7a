#include "core/net/tls_record_keys.h"

#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/output.h"
#include "core/net/tls_records.h"

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

/** The ciphers of a worker, each with the key it was last used with. */
struct tls_ciphers {
    EVP_CIPHER_CTX *contexts[SUITES][DIRECTIONS];
    uint64_t keyed[SUITES][DIRECTIONS]; ///< half.id
};

/** Of a handshake under way. */
struct tls_secrets {
    uint8_t secrets[DIRECTIONS][TLS_SECRET_MAX];
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
        layer->secrets->lengths[i] = from_hex(last + 1, layer->secrets->secrets[i], TLS_SECRET_MAX);
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

static bool set_key(struct tls_half *half, const struct suite *suite)
{
    half->id = ++last_id;
    half->sequence = 0;
    return expand(suite, half->secret, "key", half->key, suite->key_length) &&
           expand(suite, half->secret, "iv", half->iv, TLS_IV);
}

bool tls_keys_renew(struct tls_records *records, int direction)
{
    const struct suite *suite = &suites[records->suite];
    struct tls_half *half = &records->halves[direction];
    uint8_t next[TLS_SECRET_MAX];
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
               : SSL3_RT_MAX_PLAIN_LENGTH;
}

bool tls_keys_take(struct tls_layer *layer, struct tls_records *records)
{
    const struct tls_secrets *secrets = layer->secrets;
    int suite = SSL_version(layer->ssl) == TLS1_3_VERSION ? find_suite(layer->ssl) : -1;
    if (suite < 0 || !secrets || SSL_has_pending(layer->ssl) || secrets->records[READING] > 0)
        return false;
    *records = (struct tls_records){.suite = (uint8_t)suite, .most = most_of(layer->ssl)};
    for (int i = 0; i < DIRECTIONS; i++) {
        struct tls_half *half = &records->halves[i];
        if (secrets->lengths[i] != suites[suite].secret_length)
            return false;
        memcpy(half->secret, secrets->secrets[i], suites[suite].secret_length);
        if (!set_key(half, &suites[suite]))
            return false;
        half->sequence = secrets->records[i];
    }
    return true;
}

void tls_ciphers_free(struct tls_ciphers *ciphers)
{
    for (size_t i = 0; ciphers && i < SUITES; i++)
        for (size_t k = 0; k < DIRECTIONS; k++)
            EVP_CIPHER_CTX_free(ciphers->contexts[i][k]);
    free(ciphers);
}

EVP_CIPHER_CTX *tls_keys_cipher(struct tls_layer *layer, int direction)
{
    struct stream_pool *pool = layer->stream->worker->streams;
    struct tls_records *records = layer->records;
    struct tls_half *half = &records->halves[direction];
    if (!pool->ciphers)
        pool->ciphers = memory_zalloc(sizeof *pool->ciphers);
    EVP_CIPHER_CTX **context = &pool->ciphers->contexts[records->suite][direction];
    uint64_t *keyed = &pool->ciphers->keyed[records->suite][direction];
    uint8_t nonce[TLS_IV];
    memcpy(nonce, half->iv, TLS_IV);
    for (int i = 0; i < 8; i++)
        nonce[TLS_IV - 1 - i] ^= (uint8_t)(half->sequence >> (8 * i));
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
