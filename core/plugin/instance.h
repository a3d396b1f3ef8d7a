// Instances: configured uses of modules, from init to fini.
// Main thread.
// Must not know generations.
#ifndef NOCTULE_PLUGIN_INSTANCE_H
#define NOCTULE_PLUGIN_INSTANCE_H

#include "core/plugin/types.h"

/** The instance of this name and module, or NULL. */
struct noctule_instance *instance_find(struct plugin_host *host, const char *name,
                                       const struct module *module);

/** A new instance with this index, not yet published; NULL when init refuses. */
struct noctule_instance *instance_new(struct plugin_host *host, const char *name, const struct module *module,
                                      unsigned index);

/** Lets all threads see it. Its index is the number of those published so far. */
void instance_publish(struct noctule_instance *instance);

/** Calls fini and frees. */
void instance_free(struct noctule_instance *instance);

/** How many workers something of the instance can be posted to; 0 before it is published. Any thread. */
static inline unsigned instance_workers(const struct noctule_instance *instance)
{
    struct noctule_instance *asked = (struct noctule_instance *)instance;
    return atomic_load(&asked->published) ? atomic_load(&asked->host->worker_count) : 0;
}

/** The published instances; any thread. */
static inline unsigned instance_count(const struct plugin_host *host)
{
    return atomic_load_explicit(&((struct plugin_host *)host)->instance_count, memory_order_acquire);
}

#endif
