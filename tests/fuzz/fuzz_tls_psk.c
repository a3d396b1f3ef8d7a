// Any bytes as a file of pre-shared keys: either refused with what is wrong, or one in which every line's
// identity has its key.
#include <stdint.h>
#include <stdlib.h>

#include "core/net/tls_psk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check_line(const struct tls_psk_keys *keys, struct str line)
{
    const char *colon = line.length > 0 && line.data[0] != '#' ? memchr(line.data, ':', line.length) : NULL;
    if (!colon)
        return;
    struct str key = tls_psk_find(keys, str_make(line.data, (size_t)(colon - line.data)));
    require(key.length > 0 && key.length <= TLS_PSK_KEY_MAX);
    require(key.length * 2 <= line.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    struct str text = str_make(data, size);
    struct tls_psk_keys *keys = tls_psk_parse("keys", text, &diagnostics);
    require((keys == NULL) == (diagnostics.errors > 0));
    while (keys && text.length > 0) {
        const char *end = memchr(text.data, '\n', text.length);
        size_t length = end ? (size_t)(end - text.data) : text.length;
        check_line(keys, str_make(text.data, length));
        text = str_make(text.data + length + (end != NULL), text.length - length - (end != NULL));
    }
    tls_psk_free(keys);
    diagnostics_clear(&diagnostics);
    return 0;
}
