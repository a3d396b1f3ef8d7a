// Any bytes as a PROXY header. The first byte chooses the versions that are allowed. However the rest is cut,
// what is found is the same, and is found no earlier than the words say.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/cidr.h"
#include "core/net/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

// Of exactly `length` bytes, so that the sanitizer sees who reads on.
static enum proxy_result parse(const uint8_t *data, size_t length, unsigned versions,
                               struct proxy_header *header)
{
    const char *why;
    uint8_t *exact = malloc(length + 1);
    memcpy(exact, data, length);
    enum proxy_result result = proxy_parse(exact, length, versions, header, &why);
    require((result == PROXY_BAD) == (why != NULL));
    if (result == PROXY_INCOMPLETE)
        require(header->size > length && header->size <= PROXY_HEADER_MAX);
    // The strings point into the bytes.
    struct str texts[] = {header->common_name, header->tls_version};
    for (int i = 0; i < 2; i++)
        if (result == PROXY_COMPLETE && texts[i].length > 0 && !str_equal(texts[i], STR("unknown"))) {
            require((const uint8_t *)texts[i].data >= exact);
            require((const uint8_t *)texts[i].data + texts[i].length <= exact + header->size);
            require(str_is_utf8(texts[i]));
        }
    header->common_name = header->tls_version = (struct str){0};
    free(exact);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    unsigned versions = data[0] % 3 + 1;
    data++;
    size--;
    struct proxy_header whole;
    enum proxy_result result = parse(data, size, versions, &whole);
    if (result == PROXY_COMPLETE) {
        struct address address;
        require(whole.size <= size && whole.size <= PROXY_HEADER_MAX);
        require(!*whole.address || strcmp(whole.address, "unix") == 0 ||
                address_parse(str_of(whole.address), &address));
        require(whole.certified || whole.common_name.length == 0);
    }
    size_t most = size < 300 ? size : 300;
    for (size_t cut = 0; cut < most; cut++) {
        struct proxy_header part;
        enum proxy_result early = parse(data, cut, versions, &part);
        if (result == PROXY_COMPLETE && cut < whole.size)
            require(early == PROXY_INCOMPLETE && part.size <= whole.size);
        else if (early != PROXY_INCOMPLETE)
            require(early == result);
    }
    return 0;
}
