#include "core/base/diagnostics.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/base/str.h"

static void add(struct diagnostics *list, struct place place, bool warning, const char *format,
                va_list arguments)
{
    char *what = NULL;
    if (vasprintf(&what, format, arguments) < 0)
        memory_exhausted();
    char *text;
    if (place.file && place.line && place.column)
        text = str_format("%s:%u:%u: %s", place.file, place.line, place.column, what);
    else if (place.file && place.line)
        text = str_format("%s:%u: %s", place.file, place.line, what);
    else if (place.file)
        text = str_format("%s: %s", place.file, what);
    else
        text = str_format("%s", what);
    free(what);
    memory_grow(&list->items, &list->capacity, list->count, sizeof *list->items);
    list->items[list->count++] = (struct diagnostic){.text = text, .warning = warning};
    if (!warning)
        list->errors++;
}

void diagnostics_error(struct diagnostics *list, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(list, place, false, format, arguments);
    va_end(arguments);
}

void diagnostics_warning(struct diagnostics *list, struct place place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(list, place, true, format, arguments);
    va_end(arguments);
}

void diagnostics_clear(struct diagnostics *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].text);
    free(list->items);
    *list = DIAGNOSTICS_EMPTY;
}
