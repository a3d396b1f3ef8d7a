// What the files of TLS share: the context, the layer and its bytes.
// As tls.h.
// Nothing outside of core/net/tls*.c includes this.
#ifndef NOCTULE_NET_TLS_STATE_H
#define NOCTULE_NET_TLS_STATE_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "core/net/stream.h"
#include "core/net/tls.h"
#include "core/net/tls_psk.h"

enum { TLS_KEY_TYPES = 2, TLS_DIGEST_SIZE = 32 };

/** Certificates for the same names: at most one of each type of key, of which the client's preference
 * decides. */
struct tls_certificates {
    SSL_CTX *ssl;
    struct tls_stapled {
        X509 *certificate;
        uint8_t *response; ///< NULL: none
        size_t length;
        time_t until; ///< 0: says no end
    } of_type[TLS_KEY_TYPES];
    size_t count;
};

/** Read-only once it is made, but for the count of references. */
struct tls_context {
    atomic_uint references;
    struct tls_certificates *groups; ///< at least one
    size_t group_count;
    struct tls_psk_keys *psk; ///< NULL: no file
    bool psk_asked;
    bool accept_expired_crl;
    char *protocol; ///< chosen with ALPN; NULL: none
    struct tls_expiry *expiries;
    size_t expiry_count;
    size_t expiry_capacity;
    uint8_t digest[TLS_DIGEST_SIZE]; ///< of all bytes and options
};

/** Bytes between two positions of an allocation; NULL: none. */
struct tls_bytes {
    uint8_t *data;
    size_t start;
    size_t end;
    size_t capacity;
};

static inline size_t tls_bytes_length(const struct tls_bytes *bytes)
{
    return bytes->end - bytes->start;
}

/** NULL when there are none. */
static inline const uint8_t *tls_bytes_front(const struct tls_bytes *bytes)
{
    return bytes->data ? bytes->data + bytes->start : NULL;
}

/** False when memory is out. */
bool tls_bytes_append(struct tls_bytes *bytes, const void *data, size_t length);
/** Takes up to `size` bytes from the front; the last ones free the allocation. */
size_t tls_bytes_take(struct tls_bytes *bytes, void *buffer, size_t size);
void tls_bytes_clear(struct tls_bytes *bytes);

/** What was learned of the peer: strings in one allocation. */
struct tls_peer;

struct tls_peer *tls_peer_new(SSL *ssl, const char *psk_identity);
void tls_peer_facts(const struct tls_peer *peer, struct transport_facts *facts);
void tls_peer_free(struct tls_peer *peer);

enum tls_phase {
    TLS_WAITS,     ///< nothing has come yet
    TLS_QUEUED,    ///< waits for its turn
    TLS_HANDSHAKE, ///< counted by the gate
    TLS_OPEN,
    TLS_FAILED,
};

/** A place in the queue of those that wait for their handshake's turn. Zero-initialised: has none. */
struct tls_turn {
    struct tls_turn *next;
    struct tls_turn **link; ///< NULL: does not wait
    struct stream *stream;
    struct tls_gate *gate; ///< that counts it, or lets it wait
    bool granted;          ///< counted already
};

struct tls_layer {
    struct transport transport; // first
    struct tls_context *context;
    SSL *ssl;              ///< from the first byte on; NULL again once `records` goes on
    struct stream *stream; ///< during a call
    struct tls_bytes in;   ///< as they came from below
    struct tls_bytes out;  ///< not yet taken by the layer below
    size_t for_ssl;        ///< bytes of `in` that OpenSSL may take during the handshake
    struct tls_peer *peer;
    struct tls_asked *asked; ///< about a PSK; NULL: nobody was
    tls_ask_key_fn *ask;
    char *why;
    struct tls_secrets *secrets; ///< during the handshake, with TLS 1.3
    struct tls_records *records; ///< after it; NULL: `ssl` goes on
    struct tls_turn turn;
    uint8_t phase;    ///< enum tls_phase
    bool ended : 1;   ///< below nothing more comes
    bool goodbye : 1; ///< close_notify was sent
    bool facts_told : 1;
    bool clogged : 1; ///< reads nothing until `out` has gone
    int below_error;  ///< errno of the layer below; 0: none
};

extern const struct transport_type tls_layer_type;

static inline struct tls_layer *tls_layer_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* tls_bio.c */
/** A BIO over the layer's bytes. */
BIO *tls_bio_new(struct tls_layer *layer);
/** Reads from below into `in`; as transport_read. */
ssize_t tls_fill(struct tls_layer *layer);
/** Passes `out` on; 0 when all is gone, -1 with errno. */
int tls_drain(struct tls_layer *layer);

/* tls_words.c */
/** Notes in words why `ssl` has failed, from OpenSSL's queue of errors; the first words stay. */
void tls_explain(struct tls_layer *layer);
void tls_say(struct tls_layer *layer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** What the bytes are that are no TLS. */
const char *tls_words_for_bytes(const uint8_t *bytes, size_t length);
/** What a client's alert says. */
const char *tls_words_for_alert(uint8_t alert);
/** OpenSSL's own words for its last error, which is taken from the queue; never NULL. */
const char *tls_openssl_words(void);

/* tls_verify.c */
int tls_verify_client(int good, X509_STORE_CTX *store);
/** Whether a resumed session's certificate still holds; says why not. */
bool tls_check_resumed(struct tls_layer *layer);

/* tls_key.c: which key belongs to an identity */
/** Looks into what has come; false: the handshake has to wait for an answer. */
bool tls_key_known(struct tls_layer *layer);
unsigned tls_key_find(SSL *ssl, const char *identity, unsigned char *key, unsigned size);
/** Whose key the handshake uses; NULL: none. */
const char *tls_key_identity(const struct tls_layer *layer);
/** The identity that nobody knows, in a handshake without a key; NULL: there was none. */
const char *tls_key_unknown(const struct tls_layer *layer);
void tls_key_forget(struct tls_layer *layer);

/* tls_gate.c */
/** Asks for the turn of a handshake; false: `stream` is held until it comes. */
bool tls_gate_enter(struct tls_layer *layer, struct stream *stream);
void tls_gate_leave(struct tls_layer *layer);

#endif
