// Reading a whole password file into memory.
// Any thread; blocks on the disk.
// Must not know what is in the file.
#ifndef NOCTULE_PASSWORD_READ_H
#define NOCTULE_PASSWORD_READ_H

#include <stddef.h>

/**
 * Reads the regular file behind `descriptor` from its beginning into a new block, which the caller frees with
 * password_text_free(). Returns NULL with errno set: EINVAL when it is not a regular file, EFBIG above 1 GiB.
 */
char *password_text_read(int descriptor, size_t *length);

/** Wipes and frees a block; NULL is fine. */
void password_text_free(char *text, size_t length);

/** strerror for the errors above, in words that fit a password file. Static or thread-local lifetime. */
const char *password_read_problem(int error);

#endif
