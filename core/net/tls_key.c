// The key of a PSK identity: from the file, or from whoever is asked. OpenSSL wants the key at once when it
// meets the identity; where somebody has to be asked, the identity is looked for in the client's message
// before OpenSSL gets it, and the handshake waits for the answer there.
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/net/tls_state.h"

enum {
    CLIENT_HELLO = 1,
    CLIENT_KEY_EXCHANGE = 16,
    EXTENSION_PSK = 41,
    RECORD_HEADER = 5,
    MESSAGE_HEADER = 4,
    HELLO_FIXED = 2 + 32, // version, random
};

enum asked_state { NOT_ASKED, WAITS, ANSWERED };

struct tls_asked {
    char *identity; ///< asked about, or of the key that was found
    char *used;     ///< whose key OpenSSL has got
    char *unknown;  ///< for which there was none
    uint8_t *key;
    size_t key_length;
    enum asked_state state;
};

static struct tls_asked *asked_of(struct tls_layer *layer)
{
    if (!layer->asked)
        layer->asked = memory_zalloc(sizeof *layer->asked);
    return layer->asked;
}

static void wipe(struct tls_asked *asked)
{
    if (asked->key)
        OPENSSL_cleanse(asked->key, asked->key_length);
    free(asked->key);
    asked->key = NULL;
    asked->key_length = 0;
}

void tls_key_forget(struct tls_layer *layer)
{
    if (!layer->asked)
        return;
    wipe(layer->asked);
    free(layer->asked->identity);
    free(layer->asked->used);
    free(layer->asked->unknown);
    free(layer->asked);
    layer->asked = NULL;
}

const char *tls_key_unknown(const struct tls_layer *layer)
{
    return layer->asked && !layer->asked->used ? layer->asked->unknown : NULL;
}

const char *tls_key_identity(const struct tls_layer *layer)
{
    return layer->asked ? layer->asked->used : NULL;
}

/* ---- what OpenSSL asks ---- */

static struct str key_of(const struct tls_layer *layer, struct str identity)
{
    struct str key = layer->context->psk ? tls_psk_find(layer->context->psk, identity) : (struct str){0};
    const struct tls_asked *asked = layer->asked;
    if (key.length == 0 && asked && asked->key && str_equal(str_of(asked->identity), identity))
        key = str_make(asked->key, asked->key_length);
    return key;
}

unsigned tls_key_find(SSL *ssl, const char *identity, unsigned char *key, unsigned size)
{
    struct tls_layer *layer = tls_layer_of(ssl);
    struct str found = key_of(layer, str_of(identity));
    struct tls_asked *asked = asked_of(layer);
    if (found.length == 0 || found.length > size) {
        // TLS 1.3 hands in tickets as well, which are no text; and there may be a certificate for who has no
        // key.
        free(asked->unknown);
        asked->unknown = str_is_utf8(str_of(identity)) ? str_to_c(str_of(identity)) : NULL;
        return 0;
    }
    free(asked->used);
    asked->used = str_to_c(str_of(identity));
    memcpy(key, found.data, found.length);
    return (unsigned)found.length;
}

/* ---- looking for the identity ---- */

/** Bytes of a message, as far as they have come. */
struct view {
    const uint8_t *data;
    size_t length;
};

static bool skip(struct view *view, size_t length)
{
    if (view->length < length)
        return false;
    view->data += length;
    view->length -= length;
    return true;
}

static bool take_number(struct view *view, size_t size, size_t *number)
{
    const uint8_t *data = view->data;
    if (!skip(view, size))
        return false;
    *number = 0;
    for (size_t i = 0; i < size; i++)
        *number = *number << 8 | data[i];
    return true;
}

// A vector with `size` bytes of length in front.
static bool take_vector(struct view *view, size_t size, struct view *vector)
{
    size_t length;
    if (!take_number(view, size, &length) || view->length < length)
        return false;
    *vector = (struct view){view->data, length};
    return skip(view, length);
}

// The first identity of pre_shared_key, the extension that stands last. [RFC 8446 4.2.11]
static bool find_in_hello(struct view hello, struct view *identity)
{
    struct view ignored;
    struct view extensions;
    if (!skip(&hello, HELLO_FIXED) || !take_vector(&hello, 1, &ignored) ||
        !take_vector(&hello, 2, &ignored) || !take_vector(&hello, 1, &ignored) ||
        !take_vector(&hello, 2, &extensions))
        return false;
    size_t type;
    struct view extension;
    while (take_number(&extensions, 2, &type) && take_vector(&extensions, 2, &extension)) {
        struct view identities;
        if (type == EXTENSION_PSK)
            return take_vector(&extension, 2, &identities) && take_vector(&identities, 2, identity);
    }
    return false;
}

// The message at the front of what has come, when it stands there unencrypted. An incomplete one is looked at
// when the rest has come.
static bool find_identity(const struct tls_layer *layer, struct view *identity)
{
    struct view record = {tls_bytes_front(&layer->in), tls_bytes_length(&layer->in)};
    struct view message;
    size_t type;
    if (!record.data || record.length < RECORD_HEADER || record.data[0] != SSL3_RT_HANDSHAKE ||
        !skip(&record, 3) || !take_vector(&record, 2, &message) || !take_number(&message, 1, &type))
        return false;
    struct view body;
    if (!take_vector(&message, 3, &body))
        return false;
    if (type == CLIENT_HELLO)
        return find_in_hello(body, identity);
    // Every key exchange with a PSK begins with its identity. [RFC 4279 2, RFC 5489 2]
    return type == CLIENT_KEY_EXCHANGE && SSL_version(layer->ssl) == TLS1_2_VERSION &&
           take_vector(&body, 2, identity);
}

static bool uses_psk(const struct tls_layer *layer)
{
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(layer->ssl);
    if (!cipher)
        return true;
    int exchange = SSL_CIPHER_get_kx_nid(cipher);
    return exchange == NID_kx_psk || exchange == NID_kx_ecdhe_psk || exchange == NID_kx_dhe_psk ||
           exchange == NID_kx_rsa_psk || exchange == NID_kx_any;
}

bool tls_key_known(struct tls_layer *layer)
{
    struct view found = {0};
    if (!layer->context->psk_asked || !layer->ask)
        return true;
    if (layer->asked && layer->asked->state == WAITS) {
        stream_hold(layer->stream);
        return false;
    }
    if (!find_identity(layer, &found) || !uses_psk(layer))
        return true;
    struct str identity = str_make(found.data, found.length);
    // A ticket stands in the same place, and is no text.
    if (identity.length == 0 || identity.length > TLS_PSK_IDENTITY_MAX || !str_is_utf8(identity) ||
        key_of(layer, identity).length > 0)
        return true;
    struct tls_asked *asked = asked_of(layer);
    if (asked->state == ANSWERED && str_equal(str_of(asked->identity), identity))
        return true;
    wipe(asked);
    free(asked->identity);
    asked->identity = str_to_c(identity);
    asked->state = WAITS;
    stream_hold(layer->stream);
    layer->ask(layer->stream, str_of(asked->identity));
    return false;
}

static struct tls_asked *asked_of_stream(const struct stream *stream)
{
    struct transport *transport = stream->transport;
    while (transport && transport->type != &tls_layer_type)
        transport = transport->below;
    return transport ? ((struct tls_layer *)transport)->asked : NULL;
}

void tls_layer_answer(struct stream *stream, struct str key)
{
    struct tls_asked *asked = asked_of_stream(stream);
    if (!asked || asked->state != WAITS)
        return;
    asked->state = ANSWERED;
    if (key.length > 0 && key.length <= TLS_PSK_KEY_MAX) {
        asked->key = memory_alloc(key.length);
        memcpy(asked->key, key.data, key.length);
        asked->key_length = key.length;
    }
    stream_unhold(stream);
}
