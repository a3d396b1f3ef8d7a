#include "token.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_MOST = 1024 };

char *token_copy(const char *token, size_t length, const char **problem)
{
    *problem = NULL;
    if (length == 0)
        *problem = "the token is empty";
    else if (length > TOKEN_MOST)
        *problem = "the token is longer than 1024 characters";
    for (size_t i = 0; i < length && !*problem; i++)
        if (token[i] <= ' ' || token[i] > '~')
            *problem = "the token has characters other than letters, digits and signs";
    if (*problem)
        return NULL;
    char *copy = strndup(token, length);
    if (!copy)
        *problem = "out of memory";
    return copy;
}

char *token_read(const char *path, size_t length, const char **problem)
{
    char text[TOKEN_MOST + 3];
    char *name = strndup(path, length);
    FILE *file = name ? fopen(name, "re") : NULL;
    int why = errno;
    free(name);
    if (!file) {
        *problem = strerror(why);
        return NULL;
    }
    size_t count = fread(text, 1, sizeof(text), file);
    bool failed = ferror(file);
    why = errno;
    fclose(file);
    if (failed) {
        *problem = strerror(why);
        return NULL;
    }
    if (count > 0 && text[count - 1] == '\n')
        count--;
    if (count > 0 && text[count - 1] == '\r')
        count--;
    char *token = token_copy(text, count, problem);
    explicit_bzero(text, sizeof(text));
    return token;
}
