// The broker as a whole: starts on a configuration, runs until it is told to stop.
// Main thread.
// The command line stands above; it must not know what is inside.
#ifndef NOCTULE_BROKER_BROKER_H
#define NOCTULE_BROKER_BROKER_H

#include "config/settings.h"

/** How to (re)load the configuration: called at start and at every SIGHUP. NULL with errors in `diagnostics`.
 */
typedef struct settings *broker_load_fn(void *argument, struct diagnostics *diagnostics);

struct broker_options {
    broker_load_fn *load;
    void *argument;
    /** Called once when connections are accepted (may be NULL), with the address of the first listener. */
    void (*ready)(const char *address, void *argument);
};

/** Runs until SIGTERM or SIGINT. Returns the exit code: 0 after a graceful stop, 1 when it could not start.
 */
int broker_run(const struct broker_options *options);

/** What is wrong with the certificates, keys and lists that the listeners of `settings` name; what has
 * expired is an error here. For `noctule check`. */
void broker_check_tls(const struct settings *settings, struct diagnostics *diagnostics);

#endif
