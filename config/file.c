#include "config/tree_build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/memory.h"

// Grows as it reads instead of asking for the size, which a pipe or a file in /proc does not have.
char *config_file_read(const char *path, size_t max, size_t *length, const char **why)
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0) {
        *why = strerror(errno);
        return NULL;
    }
    size_t capacity = 4096;
    size_t used = 0;
    char *text = memory_alloc(capacity + 1);
    *why = NULL;
    for (;;) {
        ssize_t got = read(file, text + used, capacity - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            *why = strerror(errno);
        if (got <= 0)
            break;
        used += (size_t)got;
        if (used > max) {
            *why = "too large";
            break;
        }
        if (used == capacity) {
            capacity *= 2;
            text = memory_resize(text, capacity + 1);
        }
    }
    close(file);
    if (*why) {
        free(text);
        return NULL;
    }
    text[used] = '\0';
    *length = used;
    return text;
}
