// Memory of one decision: strings and small structures that all go at once.
// One thread at a time.
// Must not know what is kept in it.
#ifndef NOCTULE_PLUGIN_ARENA_H
#define NOCTULE_PLUGIN_ARENA_H

#include <stddef.h>

#include "core/base/str.h"

struct arena_block;

/** Zero-initialised is empty. */
struct arena {
    struct arena_block *blocks; ///< the newest first
};

/** Zeroed, aligned for everything; lives until arena_reset or arena_free. Never NULL. */
void *arena_alloc(struct arena *arena, size_t size);

/** A copy, NUL-terminated behind its length; a string without data stays one. */
struct str arena_copy(struct arena *arena, struct str text);

/** printf into the arena. */
struct str arena_format(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Forgets everything, but keeps a block for the next use. */
void arena_reset(struct arena *arena);

/** Frees everything; the arena is empty then. */
void arena_free(struct arena *arena);

#endif
