#include "core/net/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

// ---- version 1: a line of text ----------------------------------------------------------------------------

enum { V1_MAX = 107 }; // bytes, CR and LF among them

// The text up to the next space, which must be a single one, or up to the end.
static struct str next_word(struct str *line)
{
    const char *space = line->length > 0 ? memchr(line->data, ' ', line->length) : NULL;
    struct str word = str_make(line->data, space ? (size_t)(space - line->data) : line->length);
    size_t used = word.length + (space ? 1 : 0);
    *line = str_make(line->data + used, line->length - used);
    return word;
}

static bool parse_port(struct str text, uint16_t *port)
{
    uint32_t value = 0;
    if (text.length == 0 || text.length > 5 || (text.length > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool parse_address(int family, struct str text, void *bytes)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.length == 0 || text.length >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return strlen(copy) == text.length && inet_pton(family, copy, bytes) == 1;
}

// What an address and a port are as text.
static void write_address(int family, const void *bytes, uint16_t port, char text[ADDRESS_TEXT_MAX])
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (family == AF_INET) {
        memcpy(&in.sin_addr, bytes, sizeof in.sin_addr);
        memcpy(&address, &in, sizeof in);
    } else {
        memcpy(&in6.sin6_addr, bytes, sizeof in6.sin6_addr);
        memcpy(&address, &in6, sizeof in6);
    }
    address_text(&address, text);
}

// NULL, or what is wrong with the line behind "PROXY ".
static const char *parse_v1_line(struct str line, struct proxy_header *header)
{
    struct str protocol = next_word(&line);
    if (str_equal(protocol, STR("UNKNOWN")))
        return NULL;
    bool is_v4 = str_equal(protocol, STR("TCP4"));
    if (!is_v4 && !str_equal(protocol, STR("TCP6")))
        return "bad PROXY header: its protocol is none of TCP4, TCP6 and UNKNOWN";
    int family = is_v4 ? AF_INET : AF_INET6;
    struct in6_addr source;
    struct in6_addr destination;
    uint16_t ports[2];
    if (!parse_address(family, next_word(&line), &source) ||
        !parse_address(family, next_word(&line), &destination))
        return "bad PROXY header: an address is none of its protocol";
    if (!parse_port(next_word(&line), &ports[0]) || !parse_port(next_word(&line), &ports[1]))
        return "bad PROXY header: a port is no number from 0 to 65535";
    if (line.length > 0)
        return "bad PROXY header: something follows the ports";
    write_address(family, &source, ports[0], header->address);
    return NULL;
}

static enum proxy_result parse_v1(const uint8_t *data, size_t length, struct proxy_header *header,
                                  const char **why)
{
    static const char start[] = "PROXY ";
    size_t most = length < V1_MAX ? length : V1_MAX;
    const uint8_t *end = memchr(data, '\n', most);
    if (!end && length >= V1_MAX) {
        *why = "bad PROXY header: its line is longer than 107 bytes";
        return PROXY_BAD;
    }
    if (!end) {
        header->size = length + 1;
        return PROXY_INCOMPLETE;
    }
    header->size = (size_t)(end - data) + 1;
    size_t line = sizeof start - 1;
    if (header->size < line + 2 || end[-1] != '\r')
        *why = "bad PROXY header: its line does not end in CR and LF";
    else
        *why = parse_v1_line(str_make(data + line, header->size - 2 - line), header);
    return *why ? PROXY_BAD : PROXY_COMPLETE;
}

// ---- version 2: binary ------------------------------------------------------------------------------------

enum {
    V2_START = 16, // signature, version and command, family and protocol, length
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    SSL_VERSION = 0x21,
    SSL_COMMON_NAME = 0x22,
    CLIENT_SSL = 0x01,         // the client speaks TLS with the proxy
    CLIENT_CERTIFICATE = 0x06, // and has shown a certificate, now or when the session began
};

static const uint8_t signature[12] = {0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A};

static size_t big_endian16(const uint8_t *bytes)
{
    return (size_t)(bytes[0] << 8 | bytes[1]);
}

struct tlv {
    uint8_t type;
    const uint8_t *value;
    size_t length;
};

// Takes one off the front; false when what is there is none.
static bool next_tlv(const uint8_t **data, size_t *length, struct tlv *tlv)
{
    if (*length < 3 || big_endian16(*data + 1) > *length - 3)
        return false;
    *tlv = (struct tlv){.type = **data, .value = *data + 3, .length = big_endian16(*data + 1)};
    *data += 3 + tlv->length;
    *length -= 3 + tlv->length;
    return true;
}

static uint32_t crc32c(uint32_t crc, const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78 : 0);
    }
    return crc;
}

// The sum is that of the whole header with zeros where it stands itself.
static bool sum_is_right(const uint8_t *header, size_t size, const uint8_t *sum)
{
    static const uint8_t zeros[4];
    uint32_t crc = crc32c(UINT32_MAX, header, (size_t)(sum - header));
    crc = crc32c(crc, zeros, sizeof zeros);
    crc = ~crc32c(crc, sum + 4, (size_t)(header + size - sum - 4));
    return crc == ((uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 | (uint32_t)sum[2] << 8 | sum[3]);
}

static const char *parse_ssl(const struct tlv *ssl, struct proxy_header *header)
{
    static const char bad[] = "bad PROXY header: what it says of TLS does not add up";
    if (ssl->length < 5)
        return bad;
    uint8_t client = ssl->value[0];
    bool verified = memcmp(ssl->value + 1, "\0\0\0\0", 4) == 0;
    const uint8_t *data = ssl->value + 5;
    size_t length = ssl->length - 5;
    struct str version = STR("unknown");
    struct tlv tlv;
    while (length > 0) {
        if (!next_tlv(&data, &length, &tlv))
            return bad;
        struct str text = str_make(tlv.value, tlv.length);
        if (tlv.type != SSL_VERSION && tlv.type != SSL_COMMON_NAME)
            continue;
        if (text.length == 0 || !str_is_utf8(text))
            return bad;
        *(tlv.type == SSL_VERSION ? &version : &header->common_name) = text;
    }
    if (client & CLIENT_SSL)
        header->tls_version = version;
    header->certified = client & CLIENT_SSL && client & CLIENT_CERTIFICATE && verified;
    if (!header->certified)
        header->common_name = (struct str){0};
    return NULL;
}

static const char *parse_tlvs(const uint8_t *start, const uint8_t *data, struct proxy_header *header)
{
    size_t length = (size_t)(start + header->size - data);
    const char *why = NULL;
    bool seen[2] = {false, false};
    struct tlv tlv;
    while (length > 0 && !why) {
        if (!next_tlv(&data, &length, &tlv))
            return "bad PROXY header: what follows the addresses does not add up";
        if (tlv.type != TLV_SSL && tlv.type != TLV_CRC32C)
            continue;
        bool *twice = &seen[tlv.type == TLV_SSL];
        if (*twice)
            return "bad PROXY header: it says the same thing twice";
        *twice = true;
        if (tlv.type == TLV_SSL)
            why = parse_ssl(&tlv, header);
        else if (tlv.length != 4 || !sum_is_right(start, header->size, tlv.value))
            why = "bad PROXY header: its checksum is wrong";
    }
    return why;
}

static const char *parse_v2_addresses(const uint8_t *data, struct proxy_header *header)
{
    static const struct {
        uint8_t family; // and protocol
        uint8_t size;
    } kinds[] = {{0x11, 12}, {0x21, 36}, {0x31, 216}};
    const uint8_t *body = data + V2_START;
    size_t size = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].family == data[13])
            size = kinds[i].size;
    if (size == 0)
        return "bad PROXY header: its address family and protocol are none of streams";
    if (header->size - V2_START < size)
        return "bad PROXY header: its addresses are cut off";
    if (data[13] == 0x11)
        write_address(AF_INET, body, (uint16_t)big_endian16(body + 8), header->address);
    else if (data[13] == 0x21)
        write_address(AF_INET6, body, (uint16_t)big_endian16(body + 32), header->address);
    else
        memcpy(header->address, "unix", 5);
    return parse_tlvs(data, body + size, header);
}

static enum proxy_result parse_v2(const uint8_t *data, size_t length, struct proxy_header *header,
                                  const char **why)
{
    header->size = V2_START;
    if (length > 12 && (data[12] >> 4 != 2 || (data[12] & 0x0F) > COMMAND_PROXY)) {
        *why = "bad PROXY header: its version or command is unknown";
        return PROXY_BAD;
    }
    if (length < V2_START)
        return PROXY_INCOMPLETE;
    header->size = V2_START + big_endian16(data + 14);
    if (header->size > PROXY_HEADER_MAX) {
        *why = "bad PROXY header: it is longer than 4096 bytes";
        return PROXY_BAD;
    }
    if (length < header->size)
        return PROXY_INCOMPLETE;
    // What a proxy says of a connection of its own, or of one of a kind unknown to it, is passed over.
    if ((data[12] & 0x0F) != COMMAND_LOCAL && data[13] != 0)
        *why = parse_v2_addresses(data, header);
    return *why ? PROXY_BAD : PROXY_COMPLETE;
}

// ---- both -------------------------------------------------------------------------------------------------

// Whether `data` begins as one of that version; as far as can be told from what there is.
static bool begins_with(const uint8_t *data, size_t length, const void *start, size_t size)
{
    return memcmp(data, start, length < size ? length : size) == 0;
}

enum proxy_result proxy_parse(const uint8_t *data, size_t length, unsigned versions,
                              struct proxy_header *header, const char **why)
{
    *header = (struct proxy_header){.size = 1};
    *why = NULL;
    if (length == 0)
        return PROXY_INCOMPLETE;
    bool is_v1 = begins_with(data, length, "PROXY ", 6);
    bool is_v2 = begins_with(data, length, signature, sizeof signature);
    if (!is_v1 && !is_v2)
        *why = "no PROXY header";
    else if (is_v1 && !(versions & PROXY_V1))
        *why = "a PROXY header of version 1, where version 2 is expected";
    else if (is_v2 && !(versions & PROXY_V2))
        *why = "a PROXY header of version 2, where version 1 is expected";
    else
        return is_v1 ? parse_v1(data, length, header, why) : parse_v2(data, length, header, why);
    return PROXY_BAD;
}
