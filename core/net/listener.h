// A listening socket on every worker's loop: whoever wakes first accepts.
// listener_open/close on the main thread; `accepted` is called on any worker.
// Must not know what is spoken on the connections.
#ifndef NOCTULE_NET_LISTENER_H
#define NOCTULE_NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/net/worker.h"

enum { ADDRESS_TEXT_MAX = 64 };

/** A connection has come: `fd` is non-blocking and the callee's. `address` is "192.0.2.7:51234" or
 * "[2001:db8::7]:51234". */
typedef void accepted_fn(struct worker *worker, int fd, const char *address, void *argument);

struct listener;

/**
 * Binds and listens; nothing is accepted yet. On failure returns NULL and `*error` says why (to be freed).
 * `port` 0 lets the system choose.
 */
struct listener *listener_open(const char *host, uint16_t port, char **error);

/** The address it listens on, as text. */
const char *listener_address(const struct listener *listener);

/** On each worker: starts to accept, telling `accepted`. `argument` must outlive the accepting. */
void listener_attach(struct listener *listener, struct worker *worker, accepted_fn *accepted, void *argument);

/** On each worker: stops accepting. */
void listener_detach(struct listener *listener, struct worker *worker);

/** After every worker has detached. Connections stay. */
void listener_close(struct listener *listener);

/** How often accepting had to pause for lack of descriptors or memory, in this process. */
uint64_t listener_pauses(void);

#endif
