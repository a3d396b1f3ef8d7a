// A whole broker in the calling thread: its workers' loops are turned by the test, its clock by
// clock_advance, and sockets are handed over without a listener. One at a time in a process; one thread. Must
// not know what a test is about.
#ifndef NOCTULE_TESTS_INPROCESS_H
#define NOCTULE_TESTS_INPROCESS_H

#include "core/broker/state.h"

struct inprocess {
    struct broker broker;
    struct broker_options options;
    const char *yaml; ///< of the configuration in force, without its listener
    bool reloaded;    ///< limits may have been lowered below what was there already
};

/**
 * Starts a broker with the configuration `yaml`, to which a listener "default" is added; the text must live
 * as long as the broker. `plugin` (may be NULL) can be named there as module "test". Aborts when the
 * configuration is wrong.
 */
void inprocess_start(struct inprocess *house, const char *yaml, const struct noctule_plugin *plugin);

/** Every worker turns its loop `times` times, one after the other. */
void inprocess_turn(struct inprocess *house, unsigned times);

/** Moves the clock, then turns. */
void inprocess_pass(struct inprocess *house, uint64_t ms);

/** As SIGHUP with a new configuration. */
void inprocess_reload(struct inprocess *house, const char *yaml);

/** Hands one end of a pair of sockets to worker `index`. The connection, or NULL when it was refused. */
struct connection *inprocess_accept(struct inprocess *house, unsigned index, int fd);

/** Turns until posts between the workers have arrived and nothing is left to do. */
void inprocess_settle(struct inprocess *house);

/** Stops and frees everything. */
void inprocess_stop(struct inprocess *house);

#endif
