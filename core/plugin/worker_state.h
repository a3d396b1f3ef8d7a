// The plugin host's part of a worker: what is put in force there, and the way to it from other threads.
// The worker itself, except plugin_post.
// Must not know what is posted.
#ifndef NOCTULE_PLUGIN_WORKER_STATE_H
#define NOCTULE_PLUGIN_WORKER_STATE_H

#include "core/plugin/types.h"

/** Any thread: as worker_post. False: the worker has ended, and the post is still the caller's. */
bool plugin_post(struct noctule_worker *worker, struct post *post);

/** Whether this is the worker's thread. */
bool worker_is_here(const struct noctule_worker *worker);

/** The snapshot of an instance in force on this worker, or NULL. */
static inline void *snapshot_in_force(const struct noctule_worker *worker,
                                      const struct noctule_instance *instance)
{
    const struct entry *entry = worker->instances[instance->index].entry;
    return entry ? entry->snapshot : NULL;
}

#endif
