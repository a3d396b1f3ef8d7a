// A list of findings with their places: what `noctule check` prints and what start-up refuses with.
// One thread at a time.
// Knows nothing of YAML or plugins; whoever reads a file reports into it.
#ifndef NOCTULE_BASE_DIAGNOSTICS_H
#define NOCTULE_BASE_DIAGNOSTICS_H

#include <stdbool.h>
#include <stddef.h>

/** A place in a file. `line` and `column` count from 1; 0 means unknown and is left out when printed. */
struct place {
    const char *file;
    unsigned line;
    unsigned column;
};

struct diagnostic {
    char *text; ///< "FILE:LINE:COL: what is wrong", owned
    bool warning;
};

struct diagnostics {
    struct diagnostic *items;
    size_t count;
    size_t capacity;
    size_t errors; ///< items that are not warnings
};

#define DIAGNOSTICS_EMPTY ((struct diagnostics){0})

/** Adds an error at `place` (its strings are copied). */
void diagnostics_error(struct diagnostics *list, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Adds a warning: told to the operator, refuses nothing. */
void diagnostics_warning(struct diagnostics *list, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Frees the items and empties the list. */
void diagnostics_clear(struct diagnostics *list);

#endif
