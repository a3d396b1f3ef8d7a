// A unix socket's file: replaced when nobody listens on it any more, removed in the end.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/str.h"
#include "core/net/listening.h"

enum { LOCK_TRIES = 50, LOCK_PAUSE_NS = 10000000 };

// Between looking whether a file is stale and binding to it nobody else may do the same. The lock is on the
// folder and goes with the descriptor; -1: the folder cannot be read, so nothing is locked.
static int lock_folder(const char *path, bool *busy)
{
    char *folder = str_to_c(str_of(path));
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            return fd;
        nanosleep(&pause, NULL);
    }
    *busy = fd >= 0;
    return fd;
}

// Whether the file is a socket on which nobody listens; else `*why` says what it is.
static bool is_stale(const struct sockaddr_un *address, const char **why)
{
    struct stat file;
    if (lstat(address->sun_path, &file) != 0 || !S_ISSOCK(file.st_mode)) {
        *why = "a file that is no socket is in its place";
        return false;
    }
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (probe < 0) {
        *why = strerror(errno);
        return false;
    }
    bool refused = connect(probe, (const struct sockaddr *)address, sizeof *address) != 0;
    int error = refused ? errno : 0;
    close(probe);
    if (refused && error == ECONNREFUSED)
        return true;
    *why = refused && error != EAGAIN ? strerror(error) : "somebody listens there already";
    return false;
}

// NULL, or why not.
static const char *bind_to(int fd, const struct sockaddr_un *address)
{
    const struct sockaddr *where = (const struct sockaddr *)address;
    const char *why = NULL;
    if (bind(fd, where, sizeof *address) == 0)
        return NULL;
    if (errno != EADDRINUSE)
        return strerror(errno);
    if (!is_stale(address, &why))
        return why;
    bool bound = unlink(address->sun_path) == 0 && bind(fd, where, sizeof *address) == 0;
    return bound ? NULL : strerror(errno);
}

// What the file is, so that it can be told from another one later.
static void note_file(struct listening *made, const char *path)
{
    struct stat file = {0};
    made->path = str_to_c(str_of(path));
    if (lstat(path, &file) == 0) {
        made->device = file.st_dev;
        made->inode = file.st_ino;
    }
}

char *listening_configure_unix(const struct listening *socket, const struct listener_options *options)
{
    if (!socket->path)
        return NULL;
    if ((options->owner != (uid_t)-1 || options->group != (gid_t)-1) &&
        lchown(socket->path, options->owner, options->group) != 0)
        return str_format("cannot give %s to its owner or group: %s", socket->path, strerror(errno));
    if (chmod(socket->path, options->mode) != 0)
        return str_format("cannot set the mode of %s: %s", socket->path, strerror(errno));
    return NULL;
}

bool listening_open_unix(const char *path, const struct listener_options *options, struct listening *made,
                         char **error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *why;
    bool busy = false;
    *made = (struct listening){.family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        *error = str_format("cannot listen on unix:%s: the path is longer than %zu bytes", path,
                            sizeof address.sun_path - 1);
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int folder = lock_folder(path, &busy);
    made->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (busy)
        why = "somebody holds a lock on its folder";
    else
        why = made->fd < 0 ? strerror(errno) : bind_to(made->fd, &address);
    if (!why) {
        note_file(made, path);
        // Before it listens, nobody can connect, whatever the mode of the file.
        *error = listening_configure_unix(made, options);
        if (!*error && listen(made->fd, options->backlog) != 0)
            why = strerror(errno);
    }
    if (why)
        *error = str_format("cannot listen on unix:%s: %s", path, why);
    if (*error) {
        listening_remove_unix(made);
        free(made->path);
        if (made->fd >= 0)
            close(made->fd);
    } else {
        made->address = str_format("unix:%s", path);
    }
    if (folder >= 0)
        close(folder);
    return !*error;
}

void listening_remove_unix(const struct listening *socket)
{
    struct stat file;
    if (socket->path && lstat(socket->path, &file) == 0 && S_ISSOCK(file.st_mode) &&
        file.st_dev == socket->device && file.st_ino == socket->inode)
        unlink(socket->path);
}
