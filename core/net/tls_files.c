#include "core/net/tls_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/net/tls_state.h"

enum { TEXT_MAX = 600, FILE_MAX = 16 * 1024 * 1024 };

void tls_load_error(struct tls_load *load, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    diagnostics_error(load->diagnostics, load->options->place, "%s", text);
}

void tls_load_warning(struct tls_load *load, const char *format, ...)
{
    char text[TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    diagnostics_warning(load->diagnostics, load->options->place, "%s", text);
}

void tls_load_note(struct tls_load *load, const void *data, size_t length)
{
    uint64_t size = length;
    EVP_DigestUpdate(load->digest, &size, sizeof size);
    EVP_DigestUpdate(load->digest, data, length);
}

/* ---- bytes ---- */

static struct str read_open(int fd, size_t size, const char **why)
{
    char *data = memory_try(size + 1);
    size_t length = 0;
    while (data && length < size) {
        ssize_t n = read(fd, data + length, size - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    if (!data)
        *why = "out of memory";
    else
        data[length] = '\0';
    return str_make(data, length);
}

struct str tls_file_read(struct tls_load *load, const char *path, const char *what)
{
    const char *why = NULL;
    struct str text = {0};
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0)
        why = strerror(errno);
    else if (!S_ISREG(status.st_mode))
        why = "not a file";
    else if (status.st_size > FILE_MAX)
        why = "too large";
    else
        text = read_open(fd, (size_t)status.st_size, &why);
    if (fd >= 0)
        close(fd);
    if (why)
        tls_load_error(load, "cannot read the %s %s: %s", what, path, why);
    else
        tls_load_note(load, text.data, text.length);
    return text;
}

void tls_text_free(struct str text)
{
    if (text.data)
        OPENSSL_cleanse((void *)(uintptr_t)text.data, text.length);
    free((void *)(uintptr_t)text.data);
}

/* ---- PEM ---- */

STACK_OF(X509) * tls_certificates_read(struct tls_load *load, const char *path, const char *what)
{
    struct str text = tls_file_read(load, path, what);
    if (!text.data)
        return NULL;
    BIO *memory = BIO_new_mem_buf(text.data, (int)text.length);
    STACK_OF(X509) *all = sk_X509_new_null();
    if (!memory || !all)
        memory_exhausted();
    ERR_clear_error();
    X509 *certificate;
    while ((certificate = PEM_read_bio_X509_AUX(memory, NULL, NULL, NULL)))
        sk_X509_push(all, certificate);
    bool ended = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (!ended || sk_X509_num(all) == 0) {
        if (ended)
            tls_load_error(load, "no certificate in PEM is in the %s %s", what, path);
        else
            tls_load_error(load, "the %s %s is damaged at certificate %d: %s", what, path,
                           sk_X509_num(all) + 1, tls_openssl_words());
        sk_X509_pop_free(all, X509_free);
        all = NULL;
    }
    ERR_clear_error();
    BIO_free(memory);
    tls_text_free(text);
    return all;
}

// Nobody is there to type a passphrase.
static int no_passphrase(char *buffer, int size, int writing, void *asked)
{
    (void)buffer;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

EVP_PKEY *tls_key_read(struct tls_load *load, const char *path)
{
    struct str text = tls_file_read(load, path, "key");
    if (!text.data)
        return NULL;
    BIO *memory = BIO_new_mem_buf(text.data, (int)text.length);
    if (!memory)
        memory_exhausted();
    bool asked = false;
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(memory, NULL, no_passphrase, &asked);
    if (!key && asked)
        tls_load_error(load, "the key %s is encrypted, and nobody is there to type its passphrase", path);
    else if (!key && !strstr(text.data, "-----BEGIN"))
        tls_load_error(load, "no private key in PEM is in %s", path);
    else if (!key)
        tls_load_error(load, "the key %s is damaged: %s", path, tls_openssl_words());
    ERR_clear_error();
    BIO_free(memory);
    tls_text_free(text);
    return key;
}

/* ---- folders ---- */

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

bool tls_files_each(struct tls_load *load, const char *path, const char *what,
                    bool (*visit)(struct tls_load *load, const char *path, void *argument), void *argument)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        tls_load_error(load, "cannot read the %s %s: %s", what, path, strerror(errno));
        return false;
    }
    if (!S_ISDIR(status.st_mode))
        return visit(load, path, argument);
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_shown, alphasort);
    if (count < 0) {
        tls_load_error(load, "cannot read the folder of the %s %s: %s", what, path, strerror(errno));
        return false;
    }
    bool good = true;
    int files = 0;
    for (int i = 0; i < count; i++) {
        char *file = str_format("%s/%s", path, entries[i]->d_name);
        // Folders in it are left alone; links lead to what they point to.
        if (stat(file, &status) == 0 && S_ISREG(status.st_mode)) {
            good = visit(load, file, argument) && good;
            files++;
        }
        free(file);
        free(entries[i]);
    }
    free(entries);
    if (files == 0)
        tls_load_error(load, "the folder of the %s %s has no file in it", what, path);
    return good && files > 0;
}

/* ---- what they say ---- */

const char *tls_name_of(const X509_NAME *name)
{
    static _Thread_local char text[200];
    text[0] = '\0';
    BIO *memory = BIO_new(BIO_s_mem());
    if (!memory)
        return text;
    X509_NAME_print_ex(memory, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    int length = BIO_read(memory, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    BIO_free(memory);
    return text;
}

time_t tls_time_of(const ASN1_TIME *time)
{
    struct tm broken;
    return time && ASN1_TIME_to_tm(time, &broken) ? timegm(&broken) : 0;
}
