// Where a listener listens, and how its sockets are set up.
#include <arpa/inet.h>
#include <ctype.h>
#include <grp.h>
#include <net/if.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config/settings_read.h"
#include "config/tree_build.h"

enum { BACKLOG = 4096, BACKLOG_MAX = 65535, MODE = 0660, KEEPALIVE_MAX_MS = 32767000, PROBES_MAX = 127 };

// --- bind -----------------------------------------------------------------------------------------

enum { HOST_MAX = 255 };

static bool is_address(int family, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(family, host, address) == 1;
}

static bool is_host_name(const char *host)
{
    bool digits_only = true;
    for (const char *c = host; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr(".-_", *c))
            return false;
        digits_only = digits_only && (isdigit((unsigned char)*c) || *c == '.');
    }
    return isalnum((unsigned char)*host) && strlen(host) <= HOST_MAX && !digits_only;
}

// The zone of a link-local address, `fe80::1%eth0`, is no part of what inet_pton reads.
static bool is_ipv6(const char *host)
{
    const char *zone = strchr(host, '%');
    char *address = str_to_c(str_make(host, zone ? (size_t)(zone - host) : strlen(host)));
    bool good = is_address(AF_INET6, address) && (!zone || zone[1]);
    free(address);
    return good;
}

static bool parse_port(const char *text, uint16_t *port)
{
    uint32_t value = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 5)
        return false;
    for (; *text; text++) {
        if (!isdigit((unsigned char)*text))
            return false;
        value = value * 10 + (uint32_t)(*text - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/**
 * HOST:PORT or [ADDRESS]:PORT. Returns NULL when good, and otherwise what is wrong; `*host` is set to a
 * string of the tree.
 */
static const char *parse_bind(struct config_tree *tree, const char *text, const char **host, uint16_t *port)
{
    bool bracketed = *text == '[';
    const char *end = bracketed ? strchr(text, ']') : strrchr(text, ':');
    if (!end || (bracketed && end[1] != ':'))
        return " (a port is missing)";
    *host = config_copy(tree, str_make(text + bracketed, (size_t)(end - text) - bracketed));
    if (!parse_port(end + 1 + bracketed, port))
        return " (a port is a number from 0 to 65535)";
    if (bracketed)
        return is_ipv6(*host) ? NULL : " (brackets are for IPv6 addresses)";
    if (strchr(*host, ':'))
        return " (an IPv6 address stands in brackets)";
    if (!**host || strcmp(*host, "*") == 0)
        return " (0.0.0.0 and [::] mean every address)";
    if (is_address(AF_INET, *host) || is_host_name(*host))
        return NULL;
    return " (neither an address nor a host name)";
}

static const char *parse_unix(const struct config_node *node, const char *path, const char **host)
{
    *host = config_path_join(node->source->tree, node->source->folder, path);
    if (!*path || path[strlen(path) - 1] == '/')
        return " (the path of a file is missing)";
    if (strlen(*host) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return " (the path of a unix socket has at most 107 bytes)";
    return NULL;
}

static const char *parse_name(const char *name)
{
    if (!*name)
        return " (a name is missing)";
    for (const char *c = name; *c; c++)
        if (!isgraph((unsigned char)*c) || *c == ':')
            return " (a name as in FileDescriptorName= has no spaces and no colon)";
    return NULL;
}

static const char *parse_any(const struct config_node *node, const char *text,
                             struct listener_settings *listener)
{
    static const char unix_[] = "unix:";
    static const char systemd[] = "systemd:";
    if (strncmp(text, unix_, sizeof unix_ - 1) == 0) {
        listener->kind = SETTINGS_BIND_UNIX;
        return parse_unix(node, text + sizeof unix_ - 1, &listener->host);
    }
    if (strncmp(text, systemd, sizeof systemd - 1) == 0) {
        listener->kind = SETTINGS_BIND_SYSTEMD;
        listener->host = text + sizeof systemd - 1;
        return parse_name(listener->host);
    }
    return parse_bind(node->source->tree, text, &listener->host, &listener->port);
}

static void read_bind(struct listener_settings *listener, struct config_node *map,
                      struct diagnostics *diagnostics)
{
    static const char *const expected[] = {[SETTINGS_BIND_TCP] = "HOST:PORT, such as 127.0.0.1:1883",
                                           [SETTINGS_BIND_UNIX] = "unix:PATH, such as unix:/run/mqtt.sock",
                                           [SETTINGS_BIND_SYSTEMD] = "systemd:NAME, such as systemd:mqtt"};
    const struct config_node *node = config_get(map, "bind");
    if (!node) {
        config_missing(map, "bind", diagnostics);
        return;
    }
    listener->bind_place = node->place;
    const char *text;
    if (node->kind != CONFIG_SCALAR || node->broken) {
        config_wrong(node, expected[SETTINGS_BIND_TCP], diagnostics);
        return;
    }
    if (!config_node_string(node, &text, diagnostics))
        return;
    const char *problem = parse_any(node, text, listener);
    if (!problem) {
        listener->bind = text;
        return;
    }
    char shown[CONFIG_SHOWN];
    diagnostics_error(diagnostics, node->place, "`bind` expects %s, not `%s`%s", expected[listener->kind],
                      config_show(node->written ? node->written : text, shown), problem);
}

// --- keys of some kinds only ----------------------------------------------------------------------

// The value of `key`, which is for listeners of the kinds in the bits of `kinds`.
static struct config_node *get_for(unsigned kinds, const char *only, const struct listener_settings *listener,
                                   struct config_node *map, const char *key, struct diagnostics *diagnostics)
{
    struct config_node *node = config_get(map, key);
    if (!node || !listener->bind || kinds >> listener->kind & 1)
        return node;
    diagnostics_error(diagnostics, node->place, "`%s` is %s", key, only);
    return NULL;
}

enum {
    TCP = 1 << SETTINGS_BIND_TCP,
    UNIX = 1 << SETTINGS_BIND_UNIX,
    SYSTEMD = 1 << SETTINGS_BIND_SYSTEMD,
};

static const char only_unix[] = "for unix sockets that the broker makes (bind: unix:PATH)";
static const char only_tcp[] = "for TCP, and has no meaning here";
static const char not_passed[] = "no matter of the broker's here: whoever passes the socket has set it up";

// --- unix sockets ---------------------------------------------------------------------------------

static void read_mode(struct socket_settings *socket, const struct config_node *node,
                      struct diagnostics *diagnostics)
{
    mode_t mode = 0;
    size_t digits = 0;
    bool good = node->kind == CONFIG_SCALAR && !node->broken;
    for (const char *c = good ? node->text : ""; *c; c++, digits++) {
        good = good && *c >= '0' && *c <= '7' && digits < 4;
        mode = good ? mode << 3 | (mode_t)(*c - '0') : 0;
    }
    if (good && digits >= 3 && mode <= 0777)
        socket->mode = mode;
    else
        config_wrong(node, "permissions as three or four octal digits, such as 0660", diagnostics);
}

static bool parse_id(const char *text, uint32_t *id)
{
    uint64_t value = 0;
    for (const char *c = text; *c; c++) {
        if (!isdigit((unsigned char)*c) || value > UINT32_MAX)
            return false;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    *id = (uint32_t)value;
    return *text && value < UINT32_MAX;
}

static void read_owner(struct socket_settings *socket, const struct config_node *node,
                       struct diagnostics *diagnostics)
{
    const char *text;
    if (!config_node_string(node, &text, diagnostics) || parse_id(text, &socket->owner))
        return;
    const struct passwd *user = getpwnam(text);
    char shown[CONFIG_SHOWN];
    if (user)
        socket->owner = user->pw_uid;
    else
        diagnostics_error(diagnostics, node->place, "no user of this machine is named `%s`",
                          config_show(node->written ? node->written : text, shown));
}

static void read_group(struct socket_settings *socket, const struct config_node *node,
                       struct diagnostics *diagnostics)
{
    const char *text;
    if (!config_node_string(node, &text, diagnostics) || parse_id(text, &socket->group))
        return;
    const struct group *group = getgrnam(text);
    char shown[CONFIG_SHOWN];
    if (group)
        socket->group = group->gr_gid;
    else
        diagnostics_error(diagnostics, node->place, "no group of this machine is named `%s`",
                          config_show(node->written ? node->written : text, shown));
}

// --- keepalive ------------------------------------------------------------------------------------

static void read_seconds(const struct config_node *node, uint64_t *ms, struct diagnostics *diagnostics)
{
    uint64_t value;
    if (!config_node_duration(node, 1000, KEEPALIVE_MAX_MS, &value, diagnostics))
        return;
    if (value % 1000 == 0)
        *ms = value;
    else
        config_wrong(node, "whole seconds", diagnostics);
}

static void read_keepalive(struct socket_settings *socket, struct config_node *node,
                           struct diagnostics *diagnostics)
{
    bool word = node->kind == CONFIG_SCALAR && !node->broken && isalpha((unsigned char)*node->text);
    if (node->kind == CONFIG_MAP && !node->broken) {
        struct config_node *idle = config_get(node, "idle");
        struct config_node *interval = config_get(node, "interval");
        int64_t count = 0;
        if (idle)
            read_seconds(idle, &socket->keepalive_idle_ms, diagnostics);
        if (interval)
            read_seconds(interval, &socket->keepalive_interval_ms, diagnostics);
        config_integer(node, "count", 1, PROBES_MAX, &count, diagnostics);
        socket->keepalive_count = (uint64_t)count;
    } else if (word) {
        config_node_bool(node, &socket->keepalive, diagnostics);
    } else if (node->kind == CONFIG_SCALAR) {
        read_seconds(node, &socket->keepalive_idle_ms, diagnostics);
    } else {
        config_wrong(node, "true, false, a duration, or a map of `idle`, `interval` and `count`",
                     diagnostics);
    }
}

// --- the whole ------------------------------------------------------------------------------------

static void read_interface(struct socket_settings *socket, const struct config_node *node,
                           struct diagnostics *diagnostics)
{
    const char *text;
    if (!config_node_string(node, &text, diagnostics))
        return;
    if (*text && strlen(text) < IF_NAMESIZE && !strpbrk(text, "/ \t\n"))
        socket->interface = text;
    else
        config_wrong(node, "the name of a network interface, such as eth0", diagnostics);
}

void listener_read_socket(struct listener_settings *listener, struct config_node *map,
                          struct diagnostics *diagnostics)
{
    struct socket_settings *socket = &listener->socket;
    *socket = (struct socket_settings){.backlog = BACKLOG,
                                       .nodelay = true,
                                       .keepalive = true,
                                       .mode = MODE,
                                       .owner = (uid_t)-1,
                                       .group = (gid_t)-1};
    read_bind(listener, map, diagnostics);
    struct config_node *node;
    if ((node = get_for(UNIX, only_unix, listener, map, "mode", diagnostics)))
        read_mode(socket, node, diagnostics);
    if ((node = get_for(UNIX, only_unix, listener, map, "owner", diagnostics)))
        read_owner(socket, node, diagnostics);
    if ((node = get_for(UNIX, only_unix, listener, map, "group", diagnostics)))
        read_group(socket, node, diagnostics);
    int64_t backlog = BACKLOG;
    if ((node = get_for(TCP | UNIX, not_passed, listener, map, "backlog", diagnostics)) &&
        config_node_integer(node, 1, BACKLOG_MAX, &backlog, diagnostics))
        socket->backlog = (uint64_t)backlog;
    if ((node = get_for(TCP | SYSTEMD, only_tcp, listener, map, "keepalive", diagnostics)))
        read_keepalive(socket, node, diagnostics);
    if ((node = get_for(TCP | SYSTEMD, only_tcp, listener, map, "nodelay", diagnostics)))
        config_node_bool(node, &socket->nodelay, diagnostics);
    if ((node = get_for(TCP, listener->kind == SETTINGS_BIND_UNIX ? only_tcp : not_passed, listener, map,
                        "interface", diagnostics)))
        read_interface(socket, node, diagnostics);
}

// Port 0 is another one for each listener, and one interface is not the other.
bool listener_is_bound_alike(const struct listener_settings *one, const struct listener_settings *other)
{
    if (one->kind != other->kind)
        return false;
    if (one->kind != SETTINGS_BIND_TCP)
        return strcmp(one->host, other->host) == 0;
    const char *mine = one->socket.interface;
    const char *others = other->socket.interface;
    return one->port != 0 && one->port == other->port && strcasecmp(one->host, other->host) == 0 &&
           (!mine || !others || strcmp(mine, others) == 0);
}

bool listener_is_local(const struct listener_settings *listener)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (listener->kind != SETTINGS_BIND_TCP)
        return listener->kind == SETTINGS_BIND_UNIX;
    if (inet_pton(AF_INET, listener->host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, listener->host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
    return strcasecmp(listener->host, "localhost") == 0;
}
