/* Listening sockets: unix sockets and their files, several addresses, sockets that were passed, options. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/str.h"
#include "core/net/activation.h"
#include "core/net/listening.h"
#include "tests/unit/test_net_support.h"

static const struct listener_options usual = {
    .backlog = 16, .nodelay = true, .keepalive = true, .mode = 0660, .owner = (uid_t)-1, .group = (gid_t)-1};

static char folder[] = "/tmp/noctule-listener-XXXXXX";
static char path[sizeof folder + 16];

static void set_up(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/mqtt.sock", folder);
}

static void tear_down(void)
{
    unlink(path);
    rmdir(folder);
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
}

static size_t open_place(enum listener_kind kind, const char *name, const struct listener_options *options,
                         struct listening **sockets, char **error)
{
    const struct listener_place place = {.kind = kind, .name = name};
    return listening_open(&place, options, sockets, error);
}

static struct listening *open_unix(const struct listener_options *options)
{
    struct listening *made = NULL;
    char *error = NULL;
    size_t count = open_place(LISTENER_UNIX, path, options, &made, &error);
    ck_assert_msg(count == 1, "%s", error ? error : "?");
    return made;
}

static void refused(enum listener_kind kind, const char *name, const char *expected)
{
    struct listening *made;
    char *error = NULL;
    ck_assert_uint_eq(open_place(kind, name, &usual, &made, &error), 0);
    ck_assert_msg(strstr(error, expected), "%s: %s", expected, error);
    free(error);
}

static int dial(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static struct stat file(void)
{
    struct stat found = {0};
    ck_assert_int_eq(lstat(path, &found), 0);
    return found;
}

START_TEST(file_of_a_unix_socket)
{
    struct listener_options options = usual;
    options.mode = 0606;
    struct listening *one = open_unix(&options);
    char *expected = str_format("unix:%s", path);
    ck_assert_str_eq(one->address, expected);
    ck_assert_uint_eq(file().st_mode & 0777, 0606);
    int fd = dial();
    ck_assert_int_ge(fd, 0);
    close(fd);
    options.mode = 0600;
    options.group = getegid();
    ck_assert_ptr_null(listening_configure(one, &options, LISTENER_UNIX));
    ck_assert_uint_eq(file().st_mode & 0777, 0600);
    listening_close(one, 1);
    ck_assert_int_eq(access(path, F_OK), -1);
    free(expected);
}
END_TEST

START_TEST(stale_file_is_replaced)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    refused(LISTENER_UNIX, path, "somebody listens there already");
    while (dial() >= 0) // fills the backlog: still somebody
        ;
    refused(LISTENER_UNIX, path, "somebody listens there already");
    close(fd);
    struct listening *one = open_unix(&usual);
    ck_assert_int_ge(dial(), 0);
    ck_assert_uint_eq(one->inode, file().st_ino);
    // Another's file in the same place is left alone.
    unlink(path);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    listening_close(one, 1);
    (void)file();
    close(fd);
}
END_TEST

START_TEST(what_is_no_socket_is_left_alone)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_eq((int)write(fd, "mine", 4), 4);
    close(fd);
    refused(LISTENER_UNIX, path, "a file that is no socket is in its place");
    ck_assert_int_eq((int)file().st_size, 4);
    unlink(path);
    ck_assert_int_eq(symlink("/nowhere", path), 0);
    refused(LISTENER_UNIX, path, "a file that is no socket is in its place");
    ck_assert(S_ISLNK(file().st_mode));
    unlink(path);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    refused(LISTENER_UNIX, path, "a file that is no socket is in its place");
    rmdir(path);
    refused(LISTENER_UNIX, "/no/such/folder/mqtt.sock", "No such file or directory");
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    refused(LISTENER_UNIX, longest, "the path is longer than 107 bytes");
    // While another process looks at the same folder, none of both can be sure.
    int lock = open(folder, O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(flock(lock, LOCK_EX), 0);
    refused(LISTENER_UNIX, path, "somebody holds a lock on its folder");
    close(lock);
    listening_close(open_unix(&usual), 1);
}
END_TEST

START_TEST(failed_options_leave_no_file)
{
    if (geteuid() == 0) // may give files to anybody
        return;
    struct listening *made;
    struct listener_options options = usual;
    options.owner = 0;
    char *error = NULL;
    ck_assert_uint_eq(open_place(LISTENER_UNIX, path, &options, &made, &error), 0);
    ck_assert_ptr_nonnull(strstr(error, "to its owner or group: Operation not permitted"));
    free(error);
    ck_assert_int_eq(access(path, F_OK), -1);
}
END_TEST

START_TEST(name_with_several_addresses)
{
    struct listening *made;
    char *error = NULL;
    size_t count = open_place(LISTENER_TCP, "localhost", &usual, &made, &error);
    ck_assert_msg(count >= 1, "%s", error ? error : "?");
    const char *port = strrchr(made[0].address, ':');
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(strrchr(made[i].address, ':'), port);
        for (size_t k = 0; k < i; k++)
            ck_assert_str_ne(made[i].address, made[k].address);
        int only = 0;
        socklen_t length = sizeof only;
        if (made[i].family == AF_INET6)
            getsockopt(made[i].fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &length);
        ck_assert(made[i].family == AF_INET || only);
    }
    listening_close(made, count);
}
END_TEST

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;
    getsockopt(fd, level, name, &value, &length);
    return value;
}

START_TEST(options_of_tcp)
{
    struct listening *made;
    char *error = NULL;
    struct listener_options options = usual;
    ck_assert_uint_eq(open_place(LISTENER_TCP, "127.0.0.1", &options, &made, &error), 1);
    int system_idle = option(made->fd, IPPROTO_TCP, TCP_KEEPIDLE);
    ck_assert_int_eq(option(made->fd, IPPROTO_TCP, TCP_NODELAY), 1);
    ck_assert_int_eq(option(made->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT), 1); // the client speaks first
    ck_assert_int_eq(option(made->fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    options = (struct listener_options){.backlog = 5,
                                        .keepalive = true,
                                        .keepalive_idle_s = 61,
                                        .keepalive_interval_s = 7,
                                        .keepalive_count = 3};
    ck_assert_ptr_null(listening_configure(made, &options, LISTENER_TCP));
    ck_assert_int_eq(option(made->fd, IPPROTO_TCP, TCP_NODELAY), 0);
    ck_assert_int_eq(option(made->fd, IPPROTO_TCP, TCP_KEEPIDLE), 61);
    ck_assert_int_eq(option(made->fd, IPPROTO_TCP, TCP_KEEPINTVL), 7);
    ck_assert_int_eq(option(made->fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
    ck_assert_int_ne(system_idle, 61);
    options.keepalive = false;
    ck_assert_ptr_null(listening_configure(made, &options, LISTENER_TCP));
    ck_assert_int_eq(option(made->fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    listening_close(made, 1);
}
END_TEST

START_TEST(one_interface)
{
    struct listening *made;
    char *error = NULL;
    struct listener_place place = {.kind = LISTENER_TCP, .name = "127.0.0.1", .interface = "lo"};
    size_t count = listening_open(&place, &usual, &made, &error);
    if (count == 0) { // systems before Linux 5.7 ask for a privilege
        ck_assert_ptr_nonnull(strstr(error, "Operation not permitted"));
        free(error);
        return;
    }
    char name[16] = "";
    socklen_t length = sizeof name;
    getsockopt(made->fd, SOL_SOCKET, SO_BINDTODEVICE, name, &length);
    ck_assert_str_eq(name, "lo");
    listening_close(made, 1);
    place.interface = "nowhere0";
    ck_assert_uint_eq(listening_open(&place, &usual, &made, &error), 0);
    ck_assert_ptr_nonnull(strstr(error, "127.0.0.1:0 of the interface nowhere0: No such device"));
    free(error);
}
END_TEST

// ---- passed sockets, in a child of its own: they are the descriptors from 3 on, which here are others -----

static void require_(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "not so: %s\n", what);
    _exit(1);
}
#define require(condition) require_(condition, #condition)

static int listening_at(int wanted, int family)
{
    int fd = socket(family, SOCK_STREAM, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    strcpy(name.sun_path, path);
    if (family == AF_UNIX)
        bind(fd, (struct sockaddr *)&name, sizeof name);
    else
        bind(fd, (struct sockaddr *)&address, sizeof address);
    listen(fd, 5);
    require(dup2(fd, wanted) == wanted);
    if (fd != wanted)
        close(fd);
    return wanted;
}

static void pass(pid_t pid, const char *count, const char *names)
{
    char text[16];
    snprintf(text, sizeof text, "%d", (int)pid);
    setenv("LISTEN_PID", text, 1);
    setenv("LISTEN_FDS", count, 1);
    unsetenv("LISTEN_FDNAMES");
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
    activation_begin();
    require(!getenv("LISTEN_FDS"));
}

static void refused_here(const char *name, const char *expected)
{
    struct listening *made;
    char *error = NULL;
    require(open_place(LISTENER_PASSED, name, &usual, &made, &error) == 0);
    require(strstr(error, expected));
    free(error);
}

static void passed_by_name_here(void)
{
    closefrom(3);
    listening_at(3, AF_INET);
    listening_at(4, AF_UNIX);
    listening_at(5, AF_INET);
    require(dup2(open("/dev/null", O_RDONLY), 7) == 7);
    require(socket(AF_INET, SOCK_STREAM, 0) == 8);
    require(dup2(8, 6) == 6); // listens to nobody
    pass(getpid(), "5", "mqtt:local:mqtt:deaf:null");
    close(8);
    require(fcntl(4, F_GETFD) & FD_CLOEXEC);
    struct listening *made;
    char *error = NULL;
    require(open_place(LISTENER_PASSED, "mqtt", &usual, &made, &error) == 2);
    require(strncmp(made[1].address, "127.0.0.1:", 10) == 0);
    require(fcntl(made[1].fd, F_GETFL) & O_NONBLOCK);
    listening_close(made, 2);
    require(open_place(LISTENER_PASSED, "mqtt", &usual, &made, &error) == 2); // again, after a reload
    listening_close(made, 2);
    require(open_place(LISTENER_PASSED, "local", &usual, &made, &error) == 1);
    require(strncmp(made->address, "unix:", 5) == 0);
    listening_close(made, 1);
    require(access(path, F_OK) == 0); // is not the broker's to remove
    refused_here("deaf", "is none that listens for streams");
    refused_here("null", "is none that listens for streams");
    refused_here("other", "named other (it has passed: mqtt, local, mqtt, deaf, null)");
    require(!activation_names(true));
    activation_end();
}

static void passed_to_somebody_else_here(void)
{
    closefrom(3);
    listening_at(3, AF_INET);
    pass(getpid() + 1, "1", "mqtt");
    refused_here("mqtt", "(it has passed: none)");
    pass(getpid(), "x", "mqtt");
    refused_here("mqtt", "(it has passed: none)");
    pass(getpid(), "1", NULL);
    char *names = activation_names(true);
    require(strcmp(names, "unknown") == 0);
    free(names);
    struct listening *made;
    char *error = NULL;
    require(open_place(LISTENER_PASSED, "unknown", &usual, &made, &error) == 1);
    listening_close(made, 1);
    activation_end();
}

static void in_child(void (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", status);
}

START_TEST(passed_by_name)
{
    in_child(passed_by_name_here);
}
END_TEST

START_TEST(passed_to_somebody_else)
{
    in_child(passed_to_somebody_else_here);
}
END_TEST

START_TEST(texts_of_addresses)
{
    static const struct {
        const char *address;
        const char *text;
    } cases[] = {{"2001:db8::7", "[2001:db8::7]:1883"}, {"::ffff:192.0.2.7", "192.0.2.7:1883"}};
    char text[ADDRESS_TEXT_MAX];
    for (size_t i = 0; i < 2; i++) {
        union {
            struct sockaddr_in6 in6;
            struct sockaddr_storage any;
        } address = {.in6 = {.sin6_family = AF_INET6, .sin6_port = htons(1883)}};
        ck_assert_int_eq(inet_pton(AF_INET6, cases[i].address, &address.in6.sin6_addr), 1);
        address_text(&address.any, text);
        ck_assert_str_eq(text, cases[i].text);
    }
    address_text(&(struct sockaddr_storage){.ss_family = AF_UNIX}, text);
    ck_assert_str_eq(text, "unix");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("listener");
    TCase *group = tcase_create("sockets");
    tcase_add_checked_fixture(group, set_up, tear_down);
    tcase_add_test(group, file_of_a_unix_socket);
    tcase_add_test(group, stale_file_is_replaced);
    tcase_add_test(group, what_is_no_socket_is_left_alone);
    tcase_add_test(group, failed_options_leave_no_file);
    tcase_add_test(group, name_with_several_addresses);
    tcase_add_test(group, options_of_tcp);
    tcase_add_test(group, one_interface);
    tcase_add_test(group, passed_by_name);
    tcase_add_test(group, passed_to_somebody_else);
    tcase_add_test(group, texts_of_addresses);
    suite_add_tcase(suite, group);
    return run_suite(suite);
}
