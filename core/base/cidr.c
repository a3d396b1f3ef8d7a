#include "core/base/cidr.h"

#include <arpa/inet.h>

enum { V4_OFFSET = 12 };

static const uint8_t v4_prefix[V4_OFFSET] = {[10] = 0xFF, [11] = 0xFF};

static bool is_v4(const struct address *address)
{
    return memcmp(address->bytes, v4_prefix, V4_OFFSET) == 0;
}

static bool is_port(struct str text)
{
    if (text.length == 0 || text.length > 5)
        return false;
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    return true;
}

// The address alone, without brackets and port.
static bool parse_bare(struct str text, struct address *address)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.length == 0 || text.length >= sizeof copy || memchr(text.data, 0, text.length))
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = 0;
    if (inet_pton(AF_INET6, copy, address->bytes) == 1)
        return true;
    memcpy(address->bytes, v4_prefix, V4_OFFSET);
    return inet_pton(AF_INET, copy, address->bytes + V4_OFFSET) == 1;
}

static struct str behind(struct str text, size_t offset)
{
    return str_make(text.data + offset, text.length - offset);
}

bool address_parse(struct str text, struct address *address)
{
    if (text.length == 0)
        return false;
    if (text.data[0] == '[') {
        const char *end = memchr(text.data, ']', text.length);
        if (!end)
            return false;
        struct str rest = behind(text, (size_t)(end + 1 - text.data));
        struct str inside = str_make(text.data + 1, (size_t)(end - text.data) - 1);
        if (rest.length > 0 && (rest.data[0] != ':' || !is_port(behind(rest, 1))))
            return false;
        return memchr(inside.data, ':', inside.length) && parse_bare(inside, address);
    }
    // One colon is that of a port; an IPv6 address has at least two.
    const char *colon = memchr(text.data, ':', text.length);
    if (colon && colon == memrchr(text.data, ':', text.length)) {
        size_t length = (size_t)(colon - text.data);
        return is_port(behind(text, length + 1)) && parse_bare(str_make(text.data, length), address);
    }
    return parse_bare(text, address);
}

void address_format(const struct address *address, char *text)
{
    if (is_v4(address))
        inet_ntop(AF_INET, address->bytes + V4_OFFSET, text, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, address->bytes, text, INET6_ADDRSTRLEN);
}

static bool parse_bits(struct str text, unsigned most, unsigned *bits)
{
    if (text.length == 0 || text.length > 3)
        return false;
    *bits = 0;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        *bits = *bits * 10 + (unsigned)(text.data[i] - '0');
    }
    return *bits <= most;
}

static bool has_bits_behind(const struct cidr *cidr)
{
    for (unsigned bit = cidr->bits; bit < 128; bit++)
        if (cidr->address.bytes[bit / 8] & (0x80 >> bit % 8))
            return true;
    return false;
}

bool cidr_parse(struct str text, struct cidr *cidr)
{
    const char *slash = memchr(text.data, '/', text.length);
    size_t length = slash ? (size_t)(slash - text.data) : text.length;
    struct str host = str_make(text.data, length);
    if (!parse_bare(host, &cidr->address))
        return false;
    // As it is written: ::ffff:192.0.2.0/120 counts from the front, 192.0.2.0/24 does not.
    unsigned before = memchr(host.data, ':', host.length) ? 0 : 96;
    cidr->bits = 128;
    if (!slash)
        return true;
    unsigned bits;
    if (!parse_bits(behind(text, length + 1), 128 - before, &bits))
        return false;
    cidr->bits = before + bits;
    return !has_bits_behind(cidr);
}

static bool holds(const struct cidr *cidr, const struct address *address)
{
    unsigned whole = cidr->bits / 8;
    unsigned rest = cidr->bits % 8;
    if (memcmp(cidr->address.bytes, address->bytes, whole) != 0)
        return false;
    return rest == 0 || (cidr->address.bytes[whole] ^ address->bytes[whole]) >> (8 - rest) == 0;
}

bool cidr_any_holds(const struct cidr *ranges, size_t count, const struct address *address)
{
    for (size_t i = 0; i < count; i++)
        if (holds(&ranges[i], address))
            return true;
    return false;
}
