// What commands show of a client beyond what plugins see: the grants of its login and the verdicts that are
// kept. Only the client's worker. Must not know who looks.
#ifndef NOCTULE_PLUGIN_CLIENT_FACTS_H
#define NOCTULE_PLUGIN_CLIENT_FACTS_H

#include "core/plugin/client.h"

/** A rule that the login brought. Strings are good until the client's grants change. */
struct client_grant {
    const char *instance;
    size_t number; ///< from 1, as the log names it: "grant 1 of its login"
    struct str filter;
    uint32_t access; ///< NOCTULE_ACCESS_ bits
    bool allow;
    uint8_t max_qos;
};

/** The `index`-th of all grants, from 0; false when there are not so many. Costs a step for each instance
 * with grants. */
bool client_grant_at(const struct client *client, size_t index, struct client_grant *grant);
size_t client_grant_count(const struct client *client);

/** Verdicts that are kept, also those that are too old to be used. */
size_t client_cached_count(const struct client *client);

#endif
