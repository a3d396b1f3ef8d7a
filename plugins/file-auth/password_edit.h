// Changing a password file: one user, or hashing what stands in it as plain text.
// One thread at a time per struct; several processes may edit one file, they wait for each other.
// Must not know terminals or command lines, nor the plugin interface or the core.
#ifndef NOCTULE_PASSWORD_EDIT_H
#define NOCTULE_PASSWORD_EDIT_H

#include "password_file.h"

#include <stdbool.h>
#include <stddef.h>

/**
 * One change to one file, and how it went. Comments, order and line ends stay. The new text is written beside
 * the file and renamed over it (over its target, for a symbolic link), so that a reader sees the old text or
 * the new. The file then has mode 0600, and the owner and group it had.
 */
struct password_edit {
    const char *path;
    bool create; ///< in: begin with an empty file, whether there is one or not
    bool closed; ///< out: others than the owner could read the file, and now they cannot
    struct password_problems problems; ///< out, when the edit returned false; the file is as it was
};

/**
 * What keeps a user name from being written to a password file: what password_user_problem() says, and what
 * the file's form would swallow. NULL when it is fine; else a sentence part with static lifetime.
 */
const char *password_edit_user_problem(const char *user, size_t length);

/** Gives `user` the hash `hash`, in place or at the end. The name must have passed the check above.
 */
bool password_edit_set(struct password_edit *edit, const char *user, size_t length, const char *hash);

/** Takes `user` out. It is an error when there is no such user. */
bool password_edit_delete(struct password_edit *edit, const char *user, size_t length);

/**
 * Hashes every entry that is not hashed yet and leaves the others alone. An entry that is malformed, or whose
 * plain text has a ':' in it (so that it is not clear where the password ends), is an error, and then nothing
 * is changed.
 */
bool password_edit_hash_plain(struct password_edit *edit, enum password_algorithm algorithm);

#endif
