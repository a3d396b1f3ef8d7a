// Grants: rules that a login brought along, per client and instance.
// The client's worker.
// Must not know where in the chain they count.
#ifndef NOCTULE_PLUGIN_GRANTS_H
#define NOCTULE_PLUGIN_GRANTS_H

#include "core/plugin/reply.h"

/** The grants of one instance, in its order; filters in the same block. */
struct grant_set {
    struct grant_set *next; ///< of the client's
    uint32_t access;        ///< every bit that some grant has
    uint8_t instance;
    size_t count;
    struct grant grants[];
};

/** Replaces the instance's set by the answer's grants (none: removes it). */
void grants_replace(struct grant_set **sets, uint8_t instance, const struct answer *answer);
void grants_free(struct grant_set *sets);

/** Takes every grant away. The sets stay: who had grants is not for `default_access` because of that. */
void grants_revoke(struct grant_set *sets);

/** The instance's set, or NULL. */
const struct grant_set *grants_of(const struct grant_set *sets, uint8_t instance);

/** Whether the set has a say about this kind of access: wills fall back on PUBLISH. */
bool grants_take(const struct grant_set *set, uint32_t access);

/**
 * The first grant that matches, or NULL. SUBSCRIBE: that covers the client's filter; an invalid filter
 * matches nothing.
 * `*index` is its position.
 */
const struct grant *grants_decide(const struct grant_set *set, const struct noctule_access *access,
                                  size_t *index);

/** Whether every delivery under `filter` (as sent by the client) is allowed by the set's DELIVER grants. */
bool grants_cover_delivery(const struct grant_set *set, struct str filter);

/** Whether some topic is matched by both filters; may say so of filters that only seem to meet below '$'. */
bool filters_meet(struct str a, struct str b);

#endif
