#include "core/net/tls_psk.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "core/base/map.h"
#include "core/base/memory.h"

struct psk_key {
    size_t length;
    uint8_t bytes[TLS_PSK_KEY_MAX];
    unsigned line;
    char identity[]; // NUL-terminated
};

struct tls_psk_keys {
    struct map by_identity;
};

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_key(struct str text, struct psk_key *key)
{
    if (text.length == 0 || text.length % 2 || text.length / 2 > TLS_PSK_KEY_MAX)
        return false;
    for (size_t i = 0; i < text.length; i += 2) {
        int high = digit(text.data[i]);
        int low = digit(text.data[i + 1]);
        if (high < 0 || low < 0)
            return false;
        key->bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    key->length = text.length / 2;
    return true;
}

static void free_key(struct psk_key *key)
{
    OPENSSL_cleanse(key, sizeof *key);
    free(key);
}

// A client sends its identity as a C string of at most 256 bytes.
static bool is_identity(struct str identity)
{
    return identity.length > 0 && identity.length <= TLS_PSK_IDENTITY_MAX && str_is_utf8(identity);
}

static void parse_line(struct tls_psk_keys *keys, struct str line, struct place place,
                       struct diagnostics *diagnostics)
{
    const char *colon = line.length > 0 ? memchr(line.data, ':', line.length) : NULL;
    if (!colon) {
        diagnostics_error(diagnostics, place, "expected `identity:key`");
        return;
    }
    struct str identity = str_make(line.data, (size_t)(colon - line.data));
    struct str text = str_make(colon + 1, line.length - identity.length - 1);
    if (!is_identity(identity)) {
        diagnostics_error(diagnostics, place, "an identity has 1 to %d bytes of UTF-8 text",
                          TLS_PSK_IDENTITY_MAX);
        return;
    }
    struct psk_key *key = memory_zalloc(sizeof *key + identity.length + 1);
    memcpy(key->identity, identity.data, identity.length);
    key->line = place.line;
    if (!parse_key(text, key)) {
        diagnostics_error(diagnostics, place,
                          "the key of `%s` is not 1 to %d bytes, each as two hexadecimal digits",
                          key->identity, TLS_PSK_KEY_MAX);
        free_key(key);
        return;
    }
    struct str name = str_make(key->identity, identity.length);
    const struct psk_key *other = map_get(&keys->by_identity, name);
    if (other) {
        diagnostics_error(diagnostics, place, "a second key for `%s` (the first is in line %u)",
                          key->identity, other->line);
        free_key(key);
        return;
    }
    map_put(&keys->by_identity, name, key);
}

static struct str trimmed(struct str line)
{
    while (line.length > 0 && strchr(" \t\r", line.data[line.length - 1]) && line.data[line.length - 1])
        line.length--;
    return line;
}

struct tls_psk_keys *tls_psk_parse(const char *file, struct str text, struct diagnostics *diagnostics)
{
    struct tls_psk_keys *keys = memory_zalloc(sizeof *keys);
    struct place place = {.file = file};
    size_t errors = diagnostics->errors;
    while (text.length > 0) {
        const char *end = memchr(text.data, '\n', text.length);
        size_t length = end ? (size_t)(end - text.data) : text.length;
        struct str line = trimmed(str_make(text.data, length));
        place.line++;
        if (line.length > 0 && line.data[0] != '#')
            parse_line(keys, line, place, diagnostics);
        text.data += length + (end != NULL);
        text.length -= length + (end != NULL);
    }
    if (diagnostics->errors == errors)
        return keys;
    tls_psk_free(keys);
    return NULL;
}

void tls_psk_free(struct tls_psk_keys *keys)
{
    if (!keys)
        return;
    size_t cursor = 0;
    struct psk_key *key;
    while ((key = map_next(&keys->by_identity, &cursor)))
        free_key(key);
    map_clear(&keys->by_identity);
    free(keys);
}

struct str tls_psk_find(const struct tls_psk_keys *keys, struct str identity)
{
    const struct psk_key *key = map_get(&keys->by_identity, identity);
    return key ? str_make(key->bytes, key->length) : (struct str){0};
}
