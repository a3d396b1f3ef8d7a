#include "core/cli/first_start.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/base/str.h"
#include "plugins/file-auth/password_edit.h"
#include "plugins/file-auth/password_hash.h"

static const char user_name[] = "demo";
static const char rules[] = "# Rules in Mosquitto's format; README.md and docs/acl-file.md tell more.\n"
                            "user demo\n"
                            "topic readwrite demo/#\n"
                            "topic read $SYS/#\n"
                            "topic deny secret/#\n";

static char *state_folder(void)
{
    const char *own = getenv("NOCTULE_STATE");
    if (own && *own)
        return str_to_c(str_of(own));
    const char *xdg = getenv("XDG_STATE_HOME");
    if (xdg && *xdg == '/')
        return str_format("%s/noctule", xdg);
    const char *home = getenv("HOME");
    return str_format("%s/.local/state/noctule", home && *home ? home : "/var/lib");
}

// Makes the folder and those above it; only the last is private.
static bool make_folder(const char *folder)
{
    char *path = str_to_c(str_of(folder));
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0755);
        *slash = '/';
    }
    free(path);
    return mkdir(folder, 0700) == 0 || errno == EEXIST;
}

static bool write_new(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == EEXIST;
    size_t length = strlen(text);
    bool written = write(fd, text, length) == (ssize_t)length;
    return close(fd) == 0 && written;
}

static char *draw_password(void)
{
    static const char alphabet[] = "abcdefghijkmnpqrstuvwxyz23456789"; // 32 characters, none easily mistaken
    uint8_t random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return NULL;
    char *password = memory_alloc(sizeof random + 1);
    for (size_t i = 0; i < sizeof random; i++)
        password[i] = alphabet[random[i] % 32];
    password[sizeof random] = '\0';
    return password;
}

static bool add_user(const char *path, const char *password)
{
    char hash[PASSWORD_HASH_TEXT_MAX];
    if (!password_hash_make(PASSWORD_ARGON2ID, password, strlen(password), hash))
        return false;
    struct password_edit edit = {.path = path, .create = true};
    bool added = password_edit_set(&edit, user_name, strlen(user_name), hash);
    return added;
}

static char *read_note(const char *path)
{
    char text[128];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    ssize_t length = read(fd, text, sizeof text);
    close(fd);
    while (length > 0 && text[length - 1] == '\n')
        length--;
    return length > 0 ? str_to_c(str_make(text, (size_t)length)) : NULL;
}

// The note belongs to the password file as it was made; once that has been edited, the note may be wrong and
// is not shown.
static bool note_is_current(const char *note, const char *users)
{
    struct stat a;
    struct stat b;
    return stat(note, &a) == 0 && stat(users, &b) == 0 && b.st_mtim.tv_sec <= a.st_mtim.tv_sec + 1;
}

bool first_start_prepare(struct first_start *first)
{
    *first = (struct first_start){.folder = state_folder(), .user = str_to_c(str_of(user_name))};
    char *users = str_format("%s/users.passwd", first->folder);
    char *acl = str_format("%s/users.acl", first->folder);
    char *note = str_format("%s/first-user", first->folder);
    bool done = false;
    if (!make_folder(first->folder))
        goto out;
    if (access(users, F_OK) != 0) {
        first->password = draw_password();
        unlink(note);
        if (!first->password || !add_user(users, first->password) || !write_new(note, first->password))
            goto out;
    } else if (note_is_current(note, users)) {
        first->password = read_note(note);
    }
    done = write_new(acl, rules);
out:
    if (!done)
        fprintf(stderr, "noctule: cannot prepare the state folder %s: %s\n", first->folder, strerror(errno));
    free(users);
    free(acl);
    free(note);
    return done;
}

void first_start_greet(const struct first_start *first, const char *address)
{
    const char *colon = strrchr(address, ':');
    int host = (int)(colon - address);
    const char *port = colon + 1;
    const char *password = first->password ? first->password : "PASSWORD";
    printf("\nNoctule is ready on %s. In two other terminals:\n\n", address);
    printf("  mosquitto_sub -h %.*s -p %s -u %s -P %s -t 'demo/#' -v\n", host, address, port, first->user,
           password);
    printf("  mosquitto_pub -h %.*s -p %s -u %s -P %s -t demo/hello -m 'hello, bat'\n\n", host, address, port,
           first->user, password);
    printf("Users and rules are in %s; Ctrl-C stops the broker.\n\n", first->folder);
    fflush(stdout);
}

void first_start_free(struct first_start *first)
{
    free(first->folder);
    free(first->user);
    free(first->password);
}
