// Allocation: small objects end the process when memory is gone, what a client sizes may fail.
// Any thread; the C library's allocator underneath, so free() frees everything.
// Knows nothing of what is allocated.
#ifndef NOCTULE_BASE_MEMORY_H
#define NOCTULE_BASE_MEMORY_H

#include <stddef.h>

/** Never returns NULL. For start-up and for objects whose number other limits bound. */
void *memory_alloc(size_t size) __attribute__((malloc, returns_nonnull));

/** As memory_alloc, zeroed. */
void *memory_zalloc(size_t size) __attribute__((malloc, returns_nonnull));

/** As realloc; never returns NULL for size > 0. */
void *memory_resize(void *block, size_t size) __attribute__((returns_nonnull));

/** May return NULL: for payloads, buffers and whatever else a client chooses the size of. */
void *memory_try(size_t size) __attribute__((malloc));

/** As realloc, may return NULL and then leaves `block` as it was. */
void *memory_try_resize(void *block, size_t size);

/**
 * Makes room for one more element in a growing array: `*array` of `*capacity` elements of `size` bytes,
 * `count` of them used. Doubles; never fails.
 */
void memory_grow(void *array, size_t *capacity, size_t count, size_t size);

/** Writes one line and aborts. */
void memory_exhausted(void) __attribute__((noreturn));

#endif
