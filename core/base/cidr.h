// Addresses of clients and proxies, and ranges of them: "192.0.2.0/24", "2001:db8::/32".
// Any thread; values, no shared state.
// Knows nothing of sockets: where an address comes from is the caller's.
#ifndef NOCTULE_BASE_CIDR_H
#define NOCTULE_BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/str.h"

/** An IPv6 address in network order, or an IPv4 one as ::ffff:192.0.2.7. */
struct address {
    uint8_t bytes[16];
};

struct cidr {
    struct address address; ///< zero behind the first `bits`
    unsigned bits;          ///< 0 to 128; those of an IPv4 range are 96 and more
};

/** Reads "192.0.2.7", "192.0.2.7:51234", "2001:db8::7", "[2001:db8::7]" or "[2001:db8::7]:51234"; a port is
 * passed over. Names are no addresses. */
bool address_parse(struct str text, struct address *address);

/** The address alone, as "192.0.2.7" or "2001:db8::7", into `text` of at least 46 bytes. */
void address_format(const struct address *address, char *text);

/** Reads ADDRESS/BITS, or ADDRESS alone, which is a range of one. Bits that are set behind the range are an
 * error: one of the two numbers is not what was meant. */
bool cidr_parse(struct str text, struct cidr *cidr);

/** Whether one of `count` ranges has the address. */
bool cidr_any_holds(const struct cidr *ranges, size_t count, const struct address *address);

#endif
