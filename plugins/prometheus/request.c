#include "request.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* The weight of the media range that ends before `end`, its parameters from `at` on. */
static double weight(const char *at, const char *end)
{
    while ((at = memchr(at, ';', (size_t)(end - at))) != NULL) {
        at = skip_blanks(at + 1);
        if (end - at > 2 && strncasecmp(at, "q=", 2) == 0)
            return strtod(at + 2, NULL);
    }
    return 1;
}

enum exposition_format request_format(const char *accept)
{
    static const char type[] = "application/openmetrics-text";
    size_t length = sizeof(type) - 1;
    while (accept && *accept) {
        accept = skip_blanks(accept);
        const char *end = accept + strcspn(accept, ",");
        if ((size_t)(end - accept) >= length && strncasecmp(accept, type, length) == 0 &&
            strchr("; \t,", accept[length]) && weight(accept, end) > 0)
            return EXPOSITION_OPENMETRICS;
        accept = *end ? end + 1 : end;
    }
    return EXPOSITION_TEXT;
}

bool request_is_authorized(const char *authorization, const char *token)
{
    static const char scheme[] = "Bearer ";
    if (!token)
        return true;
    if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return false;
    const char *given = skip_blanks(authorization + sizeof(scheme) - 1);
    size_t length = strlen(token);
    size_t given_length = strlen(given);
    volatile unsigned char difference = given_length != length;
    for (size_t i = 0; i < given_length; i++)
        difference |= (unsigned char)(given[i] ^ token[length ? i % length : 0]);
    return difference == 0;
}
