// The keys of TLS 1.3 records: from the secrets of a handshake, lent to a worker's ciphers, renewed in time.
// The worker of the stream. Only core/net/tls_record*.c include this.
// Must not know what is in the records.
#ifndef NOCTULE_NET_TLS_RECORD_KEYS_H
#define NOCTULE_NET_TLS_RECORD_KEYS_H

#include "core/net/tls_state.h"

enum {
    TLS_SECRET_MAX = 48,
    TLS_KEY_MAX = 32,
    TLS_IV = 12,
    TLS_TAG = 16,
};

enum { READING, WRITING, DIRECTIONS };

/** One way. */
struct tls_half {
    uint64_t id;       ///< of this key, in the whole process; never used again
    uint64_t sequence; ///< of the next record
    uint8_t secret[TLS_SECRET_MAX];
    uint8_t key[TLS_KEY_MAX];
    uint8_t iv[TLS_IV];
};

struct tls_records {
    struct tls_half halves[DIRECTIONS];
    struct tls_bytes plain; ///< what a reader with little room has not got yet
    uint16_t most;          ///< bytes of a record's text
    uint8_t suite;
    bool update_asked; ///< the peer wants to see a new key
};

/** Takes keys from the secrets of a finished handshake; false: OpenSSL has to go on with it. */
bool tls_keys_take(struct tls_layer *layer, struct tls_records *records);

/** The next key of one way follows from the one before. False when OpenSSL refuses. [RFC 8446 7.2] */
bool tls_keys_renew(struct tls_records *records, int direction);

/** The worker's cipher with the key of one way and the nonce of its next record, which is then used up. NULL
 * when OpenSSL refuses. [RFC 8446 5.3] */
EVP_CIPHER_CTX *tls_keys_cipher(struct tls_layer *layer, int direction);

#endif
