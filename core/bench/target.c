#include "core/bench/target.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "core/base/memory.h"
#include "core/base/str.h"

enum { UNIX_PATH = sizeof(((struct sockaddr_un *)0)->sun_path) };

struct scheme {
    const char *prefix;
    bool tls;
    bool websocket;
    unsigned port;
};

static const struct scheme schemes[] = {
    {"mqtt://", false, false, 1883}, {"mqtts://", true, false, 8883}, {"tcp://", false, false, 1883},
    {"ssl://", true, false, 8883},   {"ws://", false, true, 80},      {"wss://", true, true, 443},
};

static const struct scheme *scheme_of(const char *url)
{
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        if (strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)) == 0)
            return &schemes[i];
    return NULL;
}

static bool unix_parse(const char *path, struct bench_target *target, char **problem)
{
    if (strncmp(path, "//", 2) == 0) // unix:///run/x as well as unix:/run/x
        path += 2;
    if (*path == '\0' || strlen(path) >= UNIX_PATH) {
        *problem = str_format("a unix socket's path has 1 to %d bytes", UNIX_PATH - 1);
        return false;
    }
    target->path = str_format("%s", path);
    target->text = str_format("unix:%s", path);
    return true;
}

static bool port_parse(const char *text, unsigned *port)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value == 0 || value > 65535)
        return false;
    *port = (unsigned)value;
    return true;
}

// HOST, HOST:PORT, [IPV6] or [IPV6]:PORT, taken apart in place.
static bool authority_parse(char *text, struct bench_target *target, char **problem)
{
    char *host = text;
    char *port = NULL;
    if (*text == '[') {
        char *end = strchr(text, ']');
        if (!end || (end[1] != '\0' && end[1] != ':')) {
            *problem = str_format("'%s' is not [ADDRESS]:PORT", text);
            return false;
        }
        host = text + 1;
        port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    } else if ((port = strchr(text, ':')) != NULL) {
        *port++ = '\0';
    }
    if (strchr(host, '@')) {
        *problem = str_format("a URL holds no user here; say --username and --password");
        return false;
    }
    if (*host == '\0') {
        *problem = str_format("the host is missing");
        return false;
    }
    if (port && !port_parse(port, &target->port)) {
        *problem = str_format("'%s' is not a port (1 to 65535)", port);
        return false;
    }
    target->host = str_format("%s", host);
    return true;
}

bool bench_target_parse(const char *url, struct bench_target *target, char **problem)
{
    *target = (struct bench_target){0};
    if (strncmp(url, "unix:", 5) == 0)
        return unix_parse(url + 5, target, problem);
    const struct scheme *scheme = scheme_of(url);
    if (!scheme) {
        *problem = str_format("'%s' does not begin with mqtt://, mqtts://, ws://, wss:// or unix:", url);
        return false;
    }
    target->tls = scheme->tls;
    target->websocket = scheme->websocket;
    target->port = scheme->port;
    const char *rest = url + strlen(scheme->prefix);
    size_t length = strcspn(rest, "/");
    if (rest[length] != '\0' && rest[length + 1] != '\0' && !scheme->websocket) {
        *problem = str_format("'%s': only ws:// and wss:// have a path", url);
        return false;
    }
    target->path = str_format("%s", rest[length] != '\0' ? rest + length : "/");
    char *authority = str_to_c(str_make(rest, length));
    bool good = authority_parse(authority, target, problem);
    free(authority);
    if (!good) {
        bench_target_clear(target);
        return false;
    }
    bool brackets = strchr(target->host, ':') != NULL;
    target->text = str_format("%s%s%s%s:%u%s", scheme->prefix, brackets ? "[" : "", target->host,
                              brackets ? "]" : "", target->port, scheme->websocket ? target->path : "");
    return true;
}

bool bench_target_resolve(struct bench_target *target, char **problem)
{
    if (!target->host) {
        struct sockaddr_un *address = (struct sockaddr_un *)&target->address;
        address->sun_family = AF_UNIX;
        memcpy(address->sun_path, target->path, strlen(target->path) + 1);
        target->address_length = sizeof *address;
        return true;
    }
    char port[8];
    snprintf(port, sizeof port, "%u", target->port);
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int code = getaddrinfo(target->host, port, &hints, &found);
    if (code != 0 || !found) {
        *problem =
            str_format("%s: %s", target->host, code == EAI_SYSTEM ? strerror(errno) : gai_strerror(code));
        return false;
    }
    // Brokers on this machine often listen on 127.0.0.1 alone, while localhost names ::1 first.
    const struct addrinfo *chosen = found;
    for (const struct addrinfo *each = found; each; each = each->ai_next)
        if (each->ai_family == AF_INET) {
            chosen = each;
            break;
        }
    memcpy(&target->address, chosen->ai_addr, chosen->ai_addrlen);
    target->address_length = chosen->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

void bench_target_clear(struct bench_target *target)
{
    free(target->host);
    free(target->path);
    free(target->text);
    *target = (struct bench_target){0};
}
