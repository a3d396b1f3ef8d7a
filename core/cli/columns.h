// A table on standard output: columns as wide as what is in them.
// Main thread.
// Must not know what is shown; cells are made fit for a terminal here.
#ifndef NOCTULE_CLI_COLUMNS_H
#define NOCTULE_CLI_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>

enum { COLUMNS_MAX = 12, COLUMNS_CELL_MAX = 60 };

/** Zero-initialise, then columns_row for the heading and each row. */
struct columns {
    char **cells; ///< row by row, escaped
    size_t count;
    size_t capacity;
    size_t columns;
    bool right[COLUMNS_MAX]; ///< numbers
};

/** Adds a row of `columns` cells, the same number for every row; they are copied, escaped and cut. */
void columns_row(struct columns *table, const char *const *cells, size_t columns);

/** Frees what it holds; it is empty again. */
void columns_clear(struct columns *table);

/** Prints it and clears it. */
void columns_print(struct columns *table);

#endif
