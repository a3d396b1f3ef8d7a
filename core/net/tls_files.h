// Reading what TLS is made of: certificates, keys, authorities and revocation lists in PEM, with what is
// wrong in words. Main thread. Must not know listeners.
#ifndef NOCTULE_NET_TLS_FILES_H
#define NOCTULE_NET_TLS_FILES_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "core/net/tls.h"

/** What a load gathers on its way. */
struct tls_load {
    const struct tls_options *options;
    struct diagnostics *diagnostics;
    EVP_MD_CTX *digest; ///< of everything that was read
};

void tls_load_error(struct tls_load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tls_load_warning(struct tls_load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Adds to the digest. */
void tls_load_note(struct tls_load *load, const void *data, size_t length);

/** The bytes of a file, to be freed with tls_text_free; data is NULL when it cannot be read: reported. */
struct str tls_file_read(struct tls_load *load, const char *path, const char *what);
/** Wipes and frees. */
void tls_text_free(struct str text);

/** All certificates of a file, in their order; NULL: reported. */
STACK_OF(X509) * tls_certificates_read(struct tls_load *load, const char *path, const char *what);

/** NULL: reported. */
EVP_PKEY *tls_key_read(struct tls_load *load, const char *path);

/** Calls `visit` for a file, or for each file of a folder in the order of their names; false when there is
 * none, or `visit` has said so. */
bool tls_files_each(struct tls_load *load, const char *path, const char *what,
                    bool (*visit)(struct tls_load *load, const char *path, void *argument), void *argument);

/** As RFC 2253, in a static buffer of the thread. */
const char *tls_name_of(const X509_NAME *name);

time_t tls_time_of(const ASN1_TIME *time);

#endif
