// Where the broker is: a URL or a host and port, resolved.
// One thread.
// Must not know what is said there.
#ifndef NOCTULE_BENCH_TARGET_H
#define NOCTULE_BENCH_TARGET_H

#include <stdbool.h>
#include <sys/socket.h>

/** Zero-initialised is empty. Strings are owned. */
struct bench_target {
    bool tls;
    bool websocket;
    char *host; ///< NULL: a unix socket
    unsigned port;
    char *path; ///< of the unix socket, or of the WebSocket
    char *text; ///< as a URL, for people
    struct sockaddr_storage address;
    socklen_t address_length;
};

/**
 * Understands mqtt://, mqtts://, ws:// and wss:// HOST[:PORT][/PATH] and unix:PATH. Returns false, with what
 * is wrong with it in `*problem` (the caller frees it).
 */
bool bench_target_parse(const char *url, struct bench_target *target, char **problem);

/** Looks the host up. Returns false as above. */
bool bench_target_resolve(struct bench_target *target, char **problem);

void bench_target_clear(struct bench_target *target);

#endif
