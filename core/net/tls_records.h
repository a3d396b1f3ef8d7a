// Records of TLS 1.3 once the handshake is over: what OpenSSL's SSL keeps for a connection is 12 KiB, of
// which a few hundred bytes are needed from then on. The ciphers are OpenSSL's; a worker has one of each
// kind, and gives it a connection's key when that connection has something to say. The worker of the stream.
// Must not know handshakes: TLS 1.2 stays with OpenSSL's SSL throughout.
#ifndef NOCTULE_NET_TLS_RECORDS_H
#define NOCTULE_NET_TLS_RECORDS_H

#include "core/net/tls_state.h"

/** Has the secrets of a handshake noted as it comes to them; before it begins. */
void tls_secrets_watch(SSL_CTX *ssl);
void tls_secrets_forget(struct tls_layer *layer);

/** Takes a finished handshake over; NULL when OpenSSL has to go on with it. Nothing has been read or written
 * since. */
struct tls_records *tls_records_new(struct tls_layer *layer);
/** Wipes the keys. NULL does nothing. */
void tls_records_free(struct tls_records *records);

/** As transport_read and transport_write of the layer; -1 with EPROTO and words in the layer when it has
 * failed. */
ssize_t tls_records_read(struct tls_layer *layer, uint8_t *buffer, size_t size);
ssize_t tls_records_write(struct tls_layer *layer, const struct iovec *pieces, int count);

/** Whether a read would find something without the socket. */
bool tls_records_pending(const struct tls_layer *layer);

/** Says close_notify. */
void tls_records_goodbye(struct tls_layer *layer);

#endif
