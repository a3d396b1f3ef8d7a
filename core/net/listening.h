// Opens listening sockets: of addresses, host names and files, and those that were passed to the process.
// Main thread. Only files of this room include it. Must not know who accepts on them.
#ifndef NOCTULE_NET_LISTENING_H
#define NOCTULE_NET_LISTENING_H

#include <stddef.h>

#include "core/net/listener.h"

/** One listening socket. */
struct listening {
    int fd;
    int family;    ///< AF_INET, AF_INET6 or AF_UNIX
    char *address; ///< as text
    char *path;    ///< of the file that this process has made; NULL: none
    dev_t device;  ///< of that file
    ino_t inode;
};

/** Opens all sockets of a place into a new array; returns their number, and 0 with `*error` on failure. */
size_t listening_open(const struct listener_place *place, const struct listener_options *options,
                      struct listening **sockets, char **error);

/** See listener_configure. */
char *listening_configure(const struct listening *socket, const struct listener_options *options,
                          enum listener_kind kind);

/** Closes the sockets and frees the array. */
void listening_close(struct listening *sockets, size_t count);

/** A unix socket in the file `path`: listening_unix.c. False with `*error` on failure. */
bool listening_open_unix(const char *path, const struct listener_options *options, struct listening *made,
                         char **error);

/** Owner and permissions of the file; NULL, or what is wrong. */
char *listening_configure_unix(const struct listening *socket, const struct listener_options *options);

/** Removes the file of a unix socket, if there is one and it is still the same. */
void listening_remove_unix(const struct listening *socket);

#endif
