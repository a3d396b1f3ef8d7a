#include "acl_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void acl_problem_add(struct acl_problems *problems, uint32_t line, bool is_error, const char *format, ...)
{
    size_t *counter = is_error ? &problems->errors : &problems->warnings;
    if ((*counter)++ >= ACL_PROBLEMS_MAX)
        return;
    struct acl_problem *list = realloc(problems->list, (problems->count + 1) * sizeof(*list));
    if (!list)
        return;
    problems->list = list;
    char *message = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&message, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    list[problems->count++] = (struct acl_problem){.line = line, .is_error = is_error, .message = message};
}

void acl_problems_clear(struct acl_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++)
        free(problems->list[i].message);
    free(problems->list);
    memset(problems, 0, sizeof(*problems));
}

const char *acl_text_shown(const char *text, size_t length, char *shown, size_t room)
{
    size_t used = 0;
    for (size_t i = 0; i < length && used + 1 < room; i++) {
        unsigned char byte = (unsigned char)text[i];
        shown[used++] = byte < 0x20 || byte >= 0x7f ? '?' : (char)byte;
    }
    shown[used] = '\0';
    if (used < length && room > 4)
        strcpy(shown + room - 4, "...");
    return shown;
}
