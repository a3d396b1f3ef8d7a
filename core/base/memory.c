#include "core/base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void memory_exhausted(void)
{
    static const char line[] = "noctule: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
    (void)ignored;
    abort();
}

void *memory_alloc(size_t size)
{
    void *block = malloc(size ? size : 1);
    if (!block)
        memory_exhausted();
    return block;
}

void *memory_zalloc(size_t size)
{
    void *block = calloc(1, size ? size : 1);
    if (!block)
        memory_exhausted();
    return block;
}

void *memory_resize(void *block, size_t size)
{
    void *moved = realloc(block, size ? size : 1);
    if (!moved)
        memory_exhausted();
    return moved;
}

void *memory_try(size_t size)
{
    return malloc(size ? size : 1);
}

void *memory_try_resize(void *block, size_t size)
{
    return realloc(block, size ? size : 1);
}

void memory_grow(void *array, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return;
    size_t wanted = *capacity ? *capacity * 2 : 4;
    void *block;
    memcpy(&block, array, sizeof block);
    block = memory_resize(block, wanted * size);
    memcpy(array, &block, sizeof block);
    *capacity = wanted;
}
