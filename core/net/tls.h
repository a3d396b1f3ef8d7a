// TLS for a listener: its certificates, keys and authorities as one context, and a layer for each connection.
// Main thread loads contexts, any thread refers to them; a layer belongs to the worker of its stream.
// Must not know MQTT, nor what a name in a certificate is good for.
#ifndef NOCTULE_NET_TLS_H
#define NOCTULE_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/base/diagnostics.h"
#include "core/base/str.h"
#include "core/net/transport.h"

struct tls_context;

/** `client_certificate`: whether a client is asked for a certificate, and may do without. */
enum tls_ask { TLS_ASK_NONE, TLS_ASK_REQUEST, TLS_ASK_REQUIRE };

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

/** A certificate of the server with its key: files in PEM. */
struct tls_identity {
    const char *certificate; ///< and the certificates of its issuers behind it
    const char *key;
    const char *ocsp_response; ///< DER, stapled as long as it is current; NULL: none
};

/** What a context is made of. Paths are as the process can open them; NULL: not given. */
struct tls_options {
    struct place place; ///< where it is configured, for what is wrong with it
    const struct tls_identity
        *identities;       ///< the first is for clients that name no server, or an unknown one
    size_t identity_count; ///< may be 0 with a PSK
    const char *client_ca; ///< a file or a folder of files
    enum tls_ask client_certificate;
    const char *crl; ///< a file or a folder of files
    bool accept_expired_crl;
    enum tls_version min_version;
    const char *ciphers;      ///< of TLS 1.2, as OpenSSL writes them
    const char *ciphersuites; ///< of TLS 1.3
    const char *protocol;     ///< chosen with ALPN when a client offers it
    bool session_tickets;
    bool compact; ///< TLS 1.3: see tls_records.h; false: OpenSSL makes and reads records throughout
    const char *psk_file;
    const char *psk_hint;
    bool strict;    ///< what has expired is an error, not a warning
    bool psk_asked; ///< somebody else may know keys, see tls_layer_new
};

/**
 * Reads everything and checks that it fits together; what is wrong or soon will be is added to `diagnostics`.
 * NULL when there was an error. One reference is the caller's. Main thread.
 */
struct tls_context *tls_context_new(const struct tls_options *options, struct diagnostics *diagnostics);

struct tls_context *tls_context_ref(struct tls_context *context);
/** NULL does nothing. */
void tls_context_unref(struct tls_context *context);

/** Whether both were made from the same bytes with the same options: then there is nothing to change. */
bool tls_context_equal(const struct tls_context *a, const struct tls_context *b);

/** When a certificate or revocation list of a context ends. */
struct tls_expiry {
    const char *file;
    const char *subject;
    bool is_crl;
    time_t not_after; ///< seconds since 1970
};

/** The dates of every certificate of the server, and of every revocation list; lives as long as the context.
 */
const struct tls_expiry *tls_context_expiries(const struct tls_context *context, size_t *count);

/** Handshakes of each worker at the same time (further ones wait for their turn) and in a second; 0: any
 * number. Any thread, at any time. */
void tls_limit_handshakes(unsigned at_once, unsigned per_second);

/**
 * Who knows keys of TLS-PSK that are in no file. `ask` is called on the stream's worker during a handshake,
 * with an identity of a client; it calls tls_layer_answer, at once or later. The stream may end before.
 */
typedef void tls_ask_key_fn(struct stream *stream, struct str identity);

/** A layer for one connection, for stream_push; NULL when memory is out. It keeps a reference. */
struct transport *tls_layer_new(struct tls_context *context, tls_ask_key_fn *ask);

/** The key for the identity that was asked about; an empty one: nobody knows it. */
void tls_layer_answer(struct stream *stream, struct str key);

#endif
