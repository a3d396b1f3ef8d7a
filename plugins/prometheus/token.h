/* The token that scrapes have to show.
 * Any thread.
 * Knows nothing of HTTP. */
#ifndef PROMETHEUS_TOKEN_H
#define PROMETHEUS_TOKEN_H

#include <stddef.h>

/* A copy on the heap, or NULL and what is wrong with it: it must not be empty, and consist of printable
 * characters without blanks, as a header can carry it [RFC 6750 2.1]. */
char *token_copy(const char *token, size_t length, const char **problem);

/* The same from a file, which may end with a line break. */
char *token_read(const char *path, size_t length, const char **problem);

#endif
