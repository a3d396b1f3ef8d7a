#include "core/plugin/client_facts.h"

#include "core/plugin/client_state.h"

bool client_grant_at(const struct client *client, size_t index, struct client_grant *grant)
{
    const struct grant_set *set = client->extra ? client->extra->grants : NULL;
    for (; set && index >= set->count; set = set->next)
        index -= set->count;
    if (!set)
        return false;
    const struct grant *found = &set->grants[index];
    *grant = (struct client_grant){.instance = client->worker->host->instances[set->instance]->name,
                                   .number = index + 1,
                                   .filter = found->filter,
                                   .access = found->access,
                                   .allow = found->allow,
                                   .max_qos = found->max_qos};
    return true;
}

size_t client_grant_count(const struct client *client)
{
    size_t count = 0;
    for (const struct grant_set *set = client->extra ? client->extra->grants : NULL; set; set = set->next)
        count += set->count;
    return count;
}

size_t client_cached_count(const struct client *client)
{
    return client->extra ? client->extra->cache.count : 0;
}
