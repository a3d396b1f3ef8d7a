// The keys of TLS-PSK in a file: a line `identity:key` for each, the key in hexadecimal digits.
// Main thread reads, any thread looks up.
// Must not know TLS.
#ifndef NOCTULE_NET_TLS_PSK_H
#define NOCTULE_NET_TLS_PSK_H

#include "core/base/diagnostics.h"
#include "core/base/str.h"

enum { TLS_PSK_KEY_MAX = 256, TLS_PSK_IDENTITY_MAX = 256 };

struct tls_psk_keys;

/** Parses the text of `file`; NULL when something is wrong with it, which is added to `diagnostics`. */
struct tls_psk_keys *tls_psk_parse(const char *file, struct str text, struct diagnostics *diagnostics);
/** NULL does nothing. Keys are wiped. */
void tls_psk_free(struct tls_psk_keys *keys);

/** The key of an identity; empty: unknown. */
struct str tls_psk_find(const struct tls_psk_keys *keys, struct str identity);

#endif
