// Whether what TLS is made of fits together and will do tomorrow: errors refuse a context, the rest is warned
// of. Main thread. Must not know listeners.
#ifndef NOCTULE_NET_TLS_CHECK_H
#define NOCTULE_NET_TLS_CHECK_H

#include "core/net/tls_files.h"
#include "core/net/tls_state.h"

/** A certificate of the server with its chain and key; notes when it expires. False: it cannot be used. */
bool tls_check_identity(struct tls_load *load, struct tls_context *context,
                        const struct tls_identity *identity, STACK_OF(X509) * chain, EVP_PKEY *key);

/** Adds the revocation lists of a file to `store`, and notes when they expire. False: reported. */
bool tls_crl_read(struct tls_load *load, struct tls_context *context, const char *path, X509_STORE *store);

/** The OCSP response for the first certificate of `chain`. False: it is no such; reported. */
bool tls_staple_read(struct tls_load *load, const char *path, STACK_OF(X509) * chain,
                     struct tls_stapled *stapled);

/** Warns of a secret that everybody on the machine can read. */
void tls_check_permissions(struct tls_load *load, const char *path, const char *what);

#endif
