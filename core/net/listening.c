#include "core/net/listening.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/memory.h"
#include "core/base/str.h"
#include "core/net/activation.h"

enum {
    SOCKETS_MAX = 64,  // of one host name
    SILENT_MOST_S = 1, // a connection without a byte waits so long in the kernel, tcp(7), TCP_DEFER_ACCEPT
};

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

void address_text(const struct sockaddr_storage *address, char text[ADDRESS_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";
    struct sockaddr_in6 in6;
    struct sockaddr_in in;
    if (address->ss_family == AF_UNIX) {
        snprintf(text, ADDRESS_TEXT_MAX, "unix");
    } else if (address->ss_family == AF_INET6) {
        memcpy(&in6, address, sizeof in6);
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            inet_ntop(AF_INET, &in6.sin6_addr.s6_addr[12], host, sizeof host);
            snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in6.sin6_port));
        } else {
            inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof host);
            snprintf(text, ADDRESS_TEXT_MAX, "[%s]:%u", host, ntohs(in6.sin6_port));
        }
    } else {
        memcpy(&in, address, sizeof in);
        inet_ntop(AF_INET, &in.sin_addr, host, sizeof host);
        snprintf(text, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(in.sin_port));
    }
}

// Connections inherit these from the socket they are accepted on. In every protocol here the client speaks
// first, so a connection is worth a worker's attention once it has; one that says nothing comes a second
// later.
static bool configure_tcp(int fd, const struct listener_options *options)
{
    bool done = set(fd, SOL_SOCKET, SO_KEEPALIVE, options->keepalive) &&
                set(fd, IPPROTO_TCP, TCP_NODELAY, options->nodelay);
    set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, SILENT_MOST_S); // does without where it is not to be had
    if (options->keepalive_idle_s > 0)
        done = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, options->keepalive_idle_s) && done;
    if (options->keepalive_interval_s > 0)
        done = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, options->keepalive_interval_s) && done;
    if (options->keepalive_count > 0)
        done = set(fd, IPPROTO_TCP, TCP_KEEPCNT, options->keepalive_count) && done;
    return done;
}

char *listening_configure(const struct listening *socket, const struct listener_options *options,
                          enum listener_kind kind)
{
    if (kind != LISTENER_PASSED && listen(socket->fd, options->backlog) != 0)
        return str_format("cannot set the backlog of %s: %s", socket->address, strerror(errno));
    if (socket->family == AF_UNIX)
        return listening_configure_unix(socket, options);
    if (configure_tcp(socket->fd, options))
        return NULL;
    return str_format("cannot set the options of %s: %s", socket->address, strerror(errno));
}

static struct listening listening_of(int fd)
{
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof bound;
    char text[ADDRESS_TEXT_MAX];
    getsockname(fd, (struct sockaddr *)&bound, &length);
    address_text(&bound, text);
    struct listening made = {.fd = fd, .family = bound.ss_family};
    struct sockaddr_un file;
    memcpy(&file, &bound, sizeof file);
    // One without a name has no path, that of an abstract one begins with NUL.
    if (bound.ss_family == AF_UNIX && length > offsetof(struct sockaddr_un, sun_path))
        made.address =
            str_format("unix:%.*s", (int)sizeof file.sun_path, *file.sun_path ? file.sun_path : "(abstract)");
    else
        made.address = str_to_c(str_of(text));
    return made;
}

// ---- addresses and host names ----------------------------------------------------------------------------

static int bind_one(const struct addrinfo *candidate, const struct listener_place *place,
                    const struct listener_options *options)
{
    int fd = socket(candidate->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    const char *interface = place->interface;
    bool bound =
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1) && configure_tcp(fd, options) &&
        (candidate->ai_family != AF_INET6 || set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) &&
        (!interface ||
         setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) == 0) &&
        bind(fd, candidate->ai_addr, candidate->ai_addrlen) == 0 && listen(fd, options->backlog) == 0;
    if (bound)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

// An address of a name may be one that this machine has not got, as ::1 where there is no IPv6.
static bool is_not_here(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

// The port that the system has chosen for the first address is that of the others, too.
static void set_port(struct sockaddr *address, const struct listening *like)
{
    struct sockaddr_in6 in6 = {0};
    socklen_t length = sizeof in6;
    getsockname(like->fd, (struct sockaddr *)&in6, &length); // the port lies at the same place in both
    if (address->sa_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = in6.sin6_port;
    else
        ((struct sockaddr_in *)(void *)address)->sin_port = in6.sin6_port;
}

static bool is_listed_before(const struct addrinfo *first, const struct addrinfo *candidate)
{
    for (; first != candidate; first = first->ai_next)
        if (first->ai_addrlen == candidate->ai_addrlen &&
            memcmp(first->ai_addr, candidate->ai_addr, candidate->ai_addrlen) == 0)
            return true;
    return false;
}

static size_t open_tcp(const struct listener_place *place, const struct listener_options *options,
                       struct listening sockets[SOCKETS_MAX], char **error)
{
    char service[8];
    snprintf(service, sizeof service, "%u", place->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *candidates;
    int failure = getaddrinfo(place->name, service, &hints, &candidates);
    if (failure != 0) {
        *error = str_format("cannot resolve %s: %s", place->name, gai_strerror(failure));
        return 0;
    }
    size_t count = 0;
    int why = 0;
    for (struct addrinfo *one = candidates; one && count < SOCKETS_MAX; one = one->ai_next) {
        if (is_listed_before(candidates, one))
            continue;
        if (place->port == 0 && count > 0)
            set_port(one->ai_addr, &sockets[0]);
        int fd = bind_one(one, place, options);
        if (fd >= 0)
            sockets[count++] = listening_of(fd);
        else if (!why || is_not_here(why))
            why = errno;
    }
    freeaddrinfo(candidates);
    if (count > 0 && (!why || is_not_here(why)))
        return count;
    *error = str_format(strchr(place->name, ':') ? "cannot listen on [%s]:%u%s%s: %s"
                                                 : "cannot listen on %s:%u%s%s: %s",
                        place->name, place->port, place->interface ? " of the interface " : "",
                        place->interface ? place->interface : "", strerror(why));
    while (count > 0) {
        close(sockets[--count].fd);
        free(sockets[count].address);
    }
    return 0;
}

// ---- passed sockets --------------------------------------------------------------------------------------

static bool is_listening_stream(int fd)
{
    int type = 0;
    int accepting = 0;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &length) == 0 && accepting;
}

static size_t open_passed(const struct listener_place *place, const struct listener_options *options,
                          struct listening *sockets, char **error)
{
    int fds[ACTIVATION_MAX];
    unsigned count = activation_take(place->name, fds);
    if (count == 0) {
        char *names = activation_names(false);
        *error = str_format("the service manager has passed no socket named %s (it has passed: %s)",
                            place->name, names ? names : "none");
        free(names);
        return 0;
    }
    for (unsigned i = 0; i < count; i++) {
        sockets[i] = listening_of(fds[i]);
        int family = sockets[i].family;
        bool good = is_listening_stream(fds[i]) &&
                    (family == AF_INET || family == AF_INET6 || family == AF_UNIX) &&
                    fcntl(fds[i], F_SETFL, fcntl(fds[i], F_GETFL) | O_NONBLOCK) == 0;
        if (!good && !*error)
            *error = str_format("a socket that the service manager has passed as %s is none that listens for "
                                "streams",
                                place->name);
        if (good && !*error)
            *error = listening_configure(&sockets[i], options, LISTENER_PASSED);
    }
    for (unsigned i = 0; *error && i < count; i++) {
        close(fds[i]);
        free(sockets[i].address);
    }
    return *error ? 0 : count;
}

// ---- all -------------------------------------------------------------------------------------------------

size_t listening_open(const struct listener_place *place, const struct listener_options *options,
                      struct listening **sockets, char **error)
{
    enum { MOST = (int)ACTIVATION_MAX > (int)SOCKETS_MAX ? ACTIVATION_MAX : SOCKETS_MAX };
    struct listening *made = memory_alloc(MOST * sizeof *made);
    size_t count = 0;
    *error = NULL;
    switch (place->kind) {
    case LISTENER_TCP:
        count = open_tcp(place, options, made, error);
        break;
    case LISTENER_UNIX:
        count = listening_open_unix(place->name, options, made, error);
        break;
    case LISTENER_PASSED:
        count = open_passed(place, options, made, error);
        break;
    }
    if (count == 0) {
        free(made);
        return 0;
    }
    *sockets = memory_resize(made, count * sizeof *made);
    return count;
}

void listening_close(struct listening *sockets, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        listening_remove_unix(&sockets[i]);
        close(sockets[i].fd);
        free(sockets[i].address);
        free(sockets[i].path);
    }
    free(sockets);
}
