#include "password_read.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 30, READ_STEP = 1 << 16 };

char *password_text_read(int descriptor, size_t *length)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        return NULL;
    }
    // Room for what is there and one more read, which finds the end or what was appended meanwhile.
    size_t room = (size_t)status.st_size + READ_STEP;
    if (status.st_size > FILE_MAX) {
        errno = EFBIG;
        return NULL;
    }
    char *text = malloc(room);
    size_t used = 0;
    while (text && used < room) {
        ssize_t got = pread(descriptor, text + used, room - used, (off_t)used);
        if (got == 0) {
            *length = used;
            return text;
        }
        if (got < 0 && errno != EINTR) {
            break;
        }
        used += got > 0 ? (size_t)got : 0;
    }
    int error = text && used == room ? EFBIG : errno;
    password_text_free(text, used);
    errno = error;
    return NULL;
}

void password_text_free(char *text, size_t length)
{
    if (text) {
        OPENSSL_cleanse(text, length);
        free(text);
    }
}

const char *password_read_problem(int error)
{
    switch (error) {
    case EINVAL:
        return "not a regular file";
    case EFBIG:
        return "larger than 1 GiB, or still growing";
    default:
        return strerror(error);
    }
}
