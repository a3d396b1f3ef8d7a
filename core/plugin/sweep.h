// Sweeps: something done for every client of a worker, a slice per turn of the loop.
// The worker.
// Must not know what is done.
#ifndef NOCTULE_PLUGIN_SWEEP_H
#define NOCTULE_PLUGIN_SWEEP_H

#include "core/plugin/types.h"

typedef void sweep_fn(struct client *client, struct noctule_instance *instance);

/**
 * Calls `visit` for every client that is connected now and still is when its turn comes; `instance` is passed
 * on. The sweep ends early when another generation comes into force. `ended` (may be NULL) is called at the
 * end, but not when the worker stops.
 */
void sweep_start(struct noctule_worker *worker, struct noctule_instance *instance, sweep_fn *visit,
                 void (*ended)(struct noctule_worker *worker, struct noctule_instance *instance));

#endif
