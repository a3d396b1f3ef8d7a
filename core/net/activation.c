#include "core/net/activation.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/base/str.h"

enum { FIRST = 3 }; // descriptor

static struct passed {
    int fd;
    char *name;
    bool taken;
} passed[ACTIVATION_MAX];

static unsigned passed_count;

static unsigned long number(const char *variable)
{
    const char *text = getenv(variable);
    char *end = NULL;
    errno = 0;
    unsigned long value = text && *text >= '0' && *text <= '9' ? strtoul(text, &end, 10) : 0;
    return value && *end == '\0' && errno == 0 ? value : 0;
}

void activation_begin(void)
{
    unsigned long count = number("LISTEN_PID") == (unsigned long)getpid() ? number("LISTEN_FDS") : 0;
    const char *names = getenv("LISTEN_FDNAMES");
    for (int fd = FIRST; passed_count < count && passed_count < ACTIVATION_MAX; fd++) {
        size_t length = names ? strcspn(names, ":") : 0;
        struct str name = length > 0 ? str_make(names, length) : STR("unknown");
        passed[passed_count++] = (struct passed){.fd = fd, .name = str_to_c(name)};
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (names)
            names += length + (names[length] == ':');
    }
    // What this process starts was not meant.
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

unsigned activation_take(const char *name, int fds[ACTIVATION_MAX])
{
    unsigned count = 0;
    for (unsigned i = 0; i < passed_count; i++) {
        if (strcmp(passed[i].name, name) != 0)
            continue;
        passed[i].taken = true;
        int fd = fcntl(passed[i].fd, F_DUPFD_CLOEXEC, 0);
        if (fd >= 0)
            fds[count++] = fd;
    }
    return count;
}

char *activation_names(bool idle)
{
    char *names = NULL;
    for (unsigned i = 0; i < passed_count; i++) {
        if (idle && passed[i].taken)
            continue;
        char *longer = str_format("%s%s%s", names ? names : "", names ? ", " : "", passed[i].name);
        free(names);
        names = longer;
    }
    return names;
}

void activation_end(void)
{
    while (passed_count > 0) {
        struct passed *last = &passed[--passed_count];
        close(last->fd);
        free(last->name);
    }
}
