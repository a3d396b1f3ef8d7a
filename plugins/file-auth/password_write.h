// Holding a password file against other editors, and replacing it in one step.
// One thread at a time per struct; blocks on the disk and on other editors.
// Must not know what is in the file.
#ifndef NOCTULE_PASSWORD_WRITE_H
#define NOCTULE_PASSWORD_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/** A file that is about to be replaced. */
struct password_target {
    char *path;         ///< symbolic links resolved
    int descriptor;     ///< of the file there was, locked; -1: there was none
    struct stat status; ///< of the file there was
};

/**
 * Opens and locks the regular file at `path`; waits while another editor holds it. With `create`, it may be
 * missing. False with errno set (EINVAL: not a regular file). Pair with password_target_close().
 */
bool password_target_open(struct password_target *target, const char *path, bool create);

/**
 * Replaces the file by `text`: temporary file in the same folder, owner and group as before, mode 0600,
 * fsync, rename. False with errno set and the file as it was.
 */
bool password_target_replace(const struct password_target *target, const char *text, size_t length);

/** Unlocks and frees; fine on a zeroed struct with descriptor -1. */
void password_target_close(struct password_target *target);

#endif
