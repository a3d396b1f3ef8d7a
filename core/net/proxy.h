// The header of the PROXY protocol, versions 1 and 2: who the client of a proxy is, told before its bytes.
// Any thread; a pure function over bytes. The layer that uses it is for its stream's worker; see transport.h.
// Must not know who is trusted to send such headers: listeners ask that first.
#ifndef NOCTULE_NET_PROXY_H
#define NOCTULE_NET_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/str.h"
#include "core/net/listener.h"
#include "core/net/transport.h"

enum {
    PROXY_V1 = 1 << 0,
    PROXY_V2 = 1 << 1,
    PROXY_HEADER_MAX = 4096, ///< bytes; longer ones are refused
};

enum proxy_result { PROXY_COMPLETE, PROXY_INCOMPLETE, PROXY_BAD };

struct proxy_header {
    size_t size; ///< bytes of the header; when incomplete: how many there are at least
    /**
     * Of the client, as in struct accepted. Empty: the connection's own counts, because the proxy speaks for
     * itself (LOCAL) or does not know (UNKNOWN, AF_UNSPEC).
     */
    char address[ADDRESS_TEXT_MAX];
    bool certified;         ///< the client has a certificate, and the proxy has verified it
    struct str common_name; ///< of that; empty: it has none. Inside the parsed bytes, as the next
    struct str tls_version; ///< such as "TLSv1.3"; data is NULL: the client does not speak TLS with the proxy
};

/**
 * Parses the header at the beginning of `data`; `versions` are those that are allowed. PROXY_BAD: `*why` says
 * why, in words; as soon as it can be told, on the shortest input.
 * [The PROXY protocol, versions 1 and 2, 2.1 and 2.2]
 */
enum proxy_result proxy_parse(const uint8_t *data, size_t length, unsigned versions,
                              struct proxy_header *header, const char **why);

/** A layer that takes the header off and knows what was in it. The stream's owner is told of an address by
 * stream_events.identified. NULL: no memory. */
struct transport *proxy_layer_new(unsigned versions);

#endif
