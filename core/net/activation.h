// Listening sockets that the service manager has opened and passed to this process, by name: the protocol of
// sd_listen_fds(3).
// Main thread. Must not know what they are for.
#ifndef NOCTULE_NET_ACTIVATION_H
#define NOCTULE_NET_ACTIVATION_H

#include <stdbool.h>

enum { ACTIVATION_MAX = 256 }; ///< sockets

/** Takes what was passed, once, before there are threads: from the environment, which then has it no more. */
void activation_begin(void);

/**
 * Copies of the descriptors under `name`, the caller's to close; their number, at most ACTIVATION_MAX.
 * Sockets without a name of their own are named "unknown". The originals stay with this room: a listener that
 * a reload takes away can come back.
 */
unsigned activation_take(const char *name, int fds[ACTIVATION_MAX]);

/** Names of what was passed, with commas between; `idle`: only of what nobody has taken yet. NULL: none. To
 * be freed. */
char *activation_names(bool idle);

/** Closes everything. */
void activation_end(void);

#endif
