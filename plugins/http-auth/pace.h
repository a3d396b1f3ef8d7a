// How much of one turn of a worker's loop its traffic with the platform may take.
// That worker's thread.
// Must not know what the traffic is.
#ifndef HTTP_AUTH_PACE_H
#define HTTP_AUTH_PACE_H

#include <noctule/plugin.h>

#include <stdbool.h>

/*
 * To begin a request, or to take an answer in, costs as much as hundreds of messages do. When hundreds of
 * either are due at once, all other clients of the worker would wait for the last of them; so a turn takes
 * only some, and the rest waits in line for the next turns, between which others are served.
 */

/** Microseconds of a turn: what is begun within them is finished. */
enum { PACE_TURN_US = 100 };

/** Lives inside its owner; pace_init makes it. */
struct pace {
    const struct noctule_host *host;
    struct noctule_instance *instance;
    uint32_t worker;
    noctule_worker_fn turned;
    bool counting; ///< something was begun in this turn, and the next one will be told of
    bool wanted;   ///< somebody waits for the next turn
    uint64_t until_us;
};

/** `turned` is called at a later turn when pace_may said no, or pace_later was called, in this one; it is for
 * pace_turn. */
void pace_init(struct pace *pace, const struct noctule_host *host, struct noctule_instance *instance,
               const struct noctule_worker *worker, noctule_worker_fn turned);

/** Whether one thing more may be begun now; the first of a turn always may. */
bool pace_may(struct pace *pace);

/** Has `turned` called at a later turn, however much of this one is left. */
void pace_later(struct pace *pace);

/** To be called first by `turned`: a new turn begins. True: somebody waits for it. */
bool pace_turn(struct pace *pace);

#endif
