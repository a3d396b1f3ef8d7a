#include "core/cli/columns.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/escape.h"
#include "core/base/memory.h"

// Characters of UTF-8.
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

void columns_row(struct columns *table, const char *const *cells, size_t columns)
{
    table->columns = columns;
    for (size_t i = 0; i < columns; i++) {
        memory_grow(&table->cells, &table->capacity, table->count, sizeof *table->cells);
        table->cells[table->count++] = escape_new(str_of(cells[i]), COLUMNS_CELL_MAX, false);
    }
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
    int padding = (int)(width - width_of(text));
    if (right)
        printf("%*s%s", padding, "", text);
    else
        printf("%s%*s", text, last ? 0 : padding, "");
    fputs(last ? "\n" : "  ", stdout);
}

void columns_clear(struct columns *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct columns){0};
}

void columns_print(struct columns *table)
{
    size_t widths[COLUMNS_MAX] = {0};
    for (size_t i = 0; i < table->count; i++) {
        size_t width = width_of(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t i = 0; i < table->count; i++) {
        size_t column = i % table->columns;
        print_cell(table->cells[i], widths[column], table->right[column], column + 1 == table->columns);
    }
    columns_clear(table);
}
