// Generations from within: finding chains.
// Any thread that holds a reference.
// Must not know clients.
#ifndef NOCTULE_PLUGIN_GENERATION_H
#define NOCTULE_PLUGIN_GENERATION_H

#include "core/plugin/types.h"

/** The chain of a listener; that of all entries when there is no such listener (any more). */
const struct chain *generation_chain(const struct generation *generation, struct str listener);

static inline const struct chain *generation_all(const struct generation *generation)
{
    return &generation->chains[generation->chain_count - 1];
}

/** The entry of an instance, or NULL. */
const struct entry *generation_entry(const struct generation *generation,
                                     const struct noctule_instance *instance);

#endif
