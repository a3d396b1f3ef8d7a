// Counts what a test program allocates, by standing before the C library's allocator. Included by one source
// file of it. One thread. Must not know what is allocated; knows nothing at all under a sanitizer, which has
// an allocator of its own.
#ifndef NOCTULE_TEST_TOPIC_HEAP_H
#define NOCTULE_TEST_TOPIC_HEAP_H

#include <malloc.h>
#include <stdlib.h>

#include "test_topic_support.h"

static size_t heap_allocations __attribute__((unused)); ///< calls that may have returned new memory
static size_t heap_blocks;                              ///< blocks alive

/** Bytes in use, the allocator's own overhead included. */
static inline size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

#if !SANITIZED
// Visible to the C library as well, so that what it allocates and a test frees counts both times.
#pragma GCC visibility push(default)
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

void *malloc(size_t size)
{
    heap_allocations++;
    heap_blocks++;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    heap_allocations++;
    heap_blocks++;
    return __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    heap_allocations++;
    heap_blocks += block == NULL;
    return __libc_realloc(block, size);
}

void free(void *block)
{
    heap_blocks -= block != NULL;
    __libc_free(block);
}
#pragma GCC visibility pop
#endif

#endif
