// Listening sockets on every worker's loop: whoever wakes first accepts.
// Opening, configuring and closing on the main thread; `accepted` is called on any worker.
// Must not know what is spoken on the connections.
#ifndef NOCTULE_NET_LISTENER_H
#define NOCTULE_NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "core/net/worker.h"

/** Room for any address_text. */
enum { ADDRESS_TEXT_MAX = 64 };

enum listener_kind {
    LISTENER_TCP,
    LISTENER_UNIX,
    LISTENER_PASSED, ///< by the service manager; see activation.h
};

/** What to listen on; a listener for as long as it lives. */
struct listener_place {
    enum listener_kind kind;
    const char *name;      ///< a host, the path of a unix socket, or the name of passed sockets
    uint16_t port;         ///< TCP; 0 lets the system choose
    const char *interface; ///< TCP: only what comes in through this one; NULL: any
};

/** How to listen; may change meanwhile, for the connections that come then. */
struct listener_options {
    int backlog; ///< connections that wait to be accepted; not of passed sockets
    bool nodelay;
    bool keepalive;
    int keepalive_idle_s; ///< this and the next two: 0 leaves it to the system
    int keepalive_interval_s;
    int keepalive_count;
    mode_t mode; ///< of a unix socket's file
    uid_t owner; ///< of the same; (uid_t)-1 and (gid_t)-1: the process's own
    gid_t group;
};

/** A connection has come. */
struct accepted {
    int fd;              ///< non-blocking, and the callee's
    const char *address; ///< "192.0.2.7:51234", "[2001:db8::7]:51234" or "unix"
    const struct sockaddr_storage *peer;
};

typedef void accepted_fn(struct worker *worker, const struct accepted *accepted, void *argument);

struct listener;

/**
 * Binds and listens; nothing is accepted yet. A host name that stands for several addresses, and a name under
 * which several sockets were passed, make a listener with several sockets. An IPv6 socket takes IPv6 only.
 * The file of a unix socket on which nobody listens any more is replaced. On failure returns NULL and
 * `*error` says why (to be freed).
 */
struct listener *listener_open(const struct listener_place *place, const struct listener_options *options,
                               char **error);

/** Puts other options in force. NULL, or why not all of them are (to be freed). */
char *listener_configure(struct listener *listener, const struct listener_options *options);

/** What it listens on, as text: "127.0.0.1:1883", "unix:/run/noctule.sock"; several with commas between. */
const char *listener_address(const struct listener *listener);

/** On each worker: starts to accept, telling `accepted`. `argument` must outlive the accepting. */
void listener_attach(struct listener *listener, struct worker *worker, accepted_fn *accepted, void *argument);

/** On each worker: stops accepting. */
void listener_detach(struct listener *listener, struct worker *worker);

/** After every worker has detached. Connections stay. The file of a unix socket is removed, if it is still
 * this one's. */
void listener_close(struct listener *listener);

/** How often accepting had to pause for lack of descriptors or memory, in this process. */
uint64_t listener_pauses(void);

/** The address of a socket's peer, as in struct accepted; an IPv4 address that comes as an IPv6 one is
 * written as IPv4. */
void address_text(const struct sockaddr_storage *address, char text[ADDRESS_TEXT_MAX]);

#endif
