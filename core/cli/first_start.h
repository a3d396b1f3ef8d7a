// The first start without a configuration: a state folder with one user and rules for it.
// Main thread.
// Must not touch files that are already there.
#ifndef NOCTULE_CLI_FIRST_START_H
#define NOCTULE_CLI_FIRST_START_H

#include <stdbool.h>

struct first_start {
    char *folder;   ///< state folder
    char *user;     ///< of the example
    char *password; ///< NULL when the operator has changed the user's password
};

/**
 * Finds the state folder ($NOCTULE_STATE, $XDG_STATE_HOME/noctule, ~/.local/state/noctule) and makes what is
 * missing in it: users.passwd with one user of a random password, users.acl, and first-user, from which later
 * starts can print them. False: it said why on standard error.
 */
bool first_start_prepare(struct first_start *first);

/** Prints how to publish and subscribe at `address` ("127.0.0.1:1883"). */
void first_start_greet(const struct first_start *first, const char *address);

void first_start_free(struct first_start *first);

#endif
