#include "wipe.h"

#include <curl/curl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void wipe_free(void *memory)
{
    if (memory)
        explicit_bzero(memory, malloc_usable_size(memory));
    free(memory);
}

// What realloc moves, it would leave behind.
static void *wipe_realloc(void *memory, size_t size)
{
    void *larger = malloc(size ? size : 1);
    if (!larger || !memory)
        return larger;
    size_t held = malloc_usable_size(memory);
    memcpy(larger, memory, held < size ? held : size);
    wipe_free(memory);
    return larger;
}

bool wipe_global_init(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wipe_free, wipe_realloc, strdup, calloc) ==
           CURLE_OK;
}
