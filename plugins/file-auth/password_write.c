#include "password_write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { OWNER_ONLY = 0600 };

/** Locks `target->descriptor`; false when the file at the path is another by now. */
static bool target_lock(struct password_target *target)
{
    while (flock(target->descriptor, LOCK_EX) != 0 && errno == EINTR) {
    }
    // Some network file systems know no locks: two editors at once there is the operator's to avoid.
    struct stat now;
    return fstat(target->descriptor, &target->status) == 0 && stat(target->path, &now) == 0 &&
           now.st_dev == target->status.st_dev && now.st_ino == target->status.st_ino;
}

bool password_target_open(struct password_target *target, const char *path, bool create)
{
    for (;;) {
        *target = (struct password_target){.descriptor = -1};
        target->path = realpath(path, NULL);
        if (!target->path) {
            target->path = errno == ENOENT && create ? strdup(path) : NULL;
            return target->path != NULL;
        }
        target->descriptor = open(target->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (target->descriptor < 0) {
            break;
        }
        if (target_lock(target)) {
            if (S_ISREG(target->status.st_mode)) {
                return true;
            }
            errno = EINVAL;
            break;
        }
        password_target_close(target);
    }
    int error = errno;
    password_target_close(target);
    errno = error;
    return false;
}

void password_target_close(struct password_target *target)
{
    if (target->descriptor >= 0) {
        close(target->descriptor);
    }
    free(target->path);
    *target = (struct password_target){.descriptor = -1};
}

static bool text_write(int descriptor, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(descriptor, text, length);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
    return true;
}

/** Gives the new file its content, owner and mode, and puts it on the disk. */
static bool temporary_fill(const struct password_target *target, int descriptor, const char *text,
                           size_t length)
{
    struct stat made;
    if (target->descriptor >= 0 && fstat(descriptor, &made) == 0 &&
        (made.st_uid != target->status.st_uid || made.st_gid != target->status.st_gid) &&
        fchown(descriptor, target->status.st_uid, target->status.st_gid) != 0) {
        return false;
    }
    return fchmod(descriptor, OWNER_ONLY) == 0 && text_write(descriptor, text, length) &&
           fsync(descriptor) == 0;
}

/** Makes the rename last. What fails here is not undone: the file is replaced, whole. */
static void folder_sync(char *folder)
{
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
}

bool password_target_replace(const struct password_target *target, const char *text, size_t length)
{
    const char *slash = strrchr(target->path, '/');
    int folder_length = slash ? (int)(slash - target->path) + 1 : 0;
    char *temporary = NULL, *folder = NULL;
    if (asprintf(&temporary, "%.*s.%s.XXXXXX", folder_length, target->path, target->path + folder_length) <
        0) {
        return false;
    }
    int descriptor = mkostemp(temporary, O_CLOEXEC);
    bool done = descriptor >= 0 && temporary_fill(target, descriptor, text, length);
    int error = errno;
    if (descriptor >= 0 && close(descriptor) != 0 && done) {
        done = false;
        error = errno;
    }
    if (done && rename(temporary, target->path) != 0) {
        done = false;
        error = errno;
    }
    if (!done && descriptor >= 0) {
        unlink(temporary);
    }
    if (done && asprintf(&folder, "%.*s.", folder_length, target->path) >= 0) {
        folder_sync(folder);
        free(folder);
    }
    free(temporary);
    errno = error;
    return done;
}
