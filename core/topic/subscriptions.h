// The subscription index: which sessions want a topic. One index for the whole broker, shared by all workers.
// Reading: each worker under its own lock, so that readers never contend. Writing: any worker, takes every lock.
// Must not know sessions: they are 64-bit ids here, resolved by the worker that owns them.
#ifndef NOCTULE_TOPIC_SUBSCRIPTIONS_H
#define NOCTULE_TOPIC_SUBSCRIPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/str.h"

struct subscriptions;
struct subscription; ///< one filter of one session: a handle that the owning session keeps

/** A session that wants the topic that was matched, once for each of its matching subscriptions. */
struct subscription_target {
    uint64_t session;    ///< session id; its upper 8 bits are the index of its home worker
    uint32_t identifier; ///< Subscription Identifier, 0: none
    uint8_t options;     ///< MQTT_OPTION_* as granted
    bool covered;        ///< deliveries under this subscription need no READ check
    bool shared;         ///< chosen as the member of a shared group
    uint32_t group;      ///< number of that group, 0: not shared
};

/** Result of a match; zero-initialise once, reuse for every match (memory is kept), free with subscription_matches_free. */
struct subscription_matches {
    struct subscription_target *targets;
    size_t count;
    size_t capacity;
    bool may_repeat; ///< a session may stand in `targets` more than once
};

/** `workers`: how many threads will call subscriptions_match, each with its own index below that (at most 255). */
struct subscriptions *subscriptions_new(unsigned workers);
void subscriptions_free(struct subscriptions *index);

/**
 * Adds the subscription, or, when the session has this very filter, replaces its identifier and options (`*existed` tells)
 * and returns the same handle. `filter` is whole, "$share/..." included, and valid. Never NULL.
 */
struct subscription *subscriptions_add(struct subscriptions *index, uint64_t session, struct str filter, uint8_t options,
                                       uint32_t identifier, bool *existed);

/** Removes by handle; the handle is gone. */
void subscriptions_remove(struct subscriptions *index, struct subscription *subscription);

/** The session's own handle for `filter`, or NULL. Called by the session's owner. */
struct subscription *subscriptions_find(struct subscriptions *index, uint64_t session, struct str filter);

/** The whole filter, "$share/..." included, written to `buffer` (65535 + 1 bytes are always enough); returns its length. */
size_t subscription_filter(const struct subscription *subscription, char *buffer, size_t size);
uint8_t subscription_options(const struct subscription *subscription);
uint32_t subscription_identifier(const struct subscription *subscription);
bool subscription_is_shared(const struct subscription *subscription);
bool subscription_is_covered(const struct subscription *subscription);

/** Marks that deliveries need no READ check. Owner of the session only; readers see it without a lock (relaxed atomic). */
void subscription_set_covered(struct subscription *subscription, bool covered);

/**
 * Tells whether the session can take messages now (connected), for every shared subscription in `handles`: a shared group
 * prefers members that are online. Owner of the session only; relaxed atomic, no lock.
 */
void subscription_set_online(struct subscription *subscription, bool online);

/**
 * Finds everyone who wants `topic` (valid name): fills `matches` (from empty). Of each shared group one member is chosen,
 * round robin among the online ones; among all when none is online. `worker` names the caller's lock.
 */
void subscriptions_match(struct subscriptions *index, unsigned worker, struct str topic,
                         struct subscription_matches *matches);

/**
 * Chooses another member for a message of `topic` that a member of group `group` could not take: as subscriptions_match, but
 * only that group, never `except`. False when the group has no other member.
 */
bool subscriptions_match_group(struct subscriptions *index, unsigned worker, struct str topic, uint32_t group,
                               uint64_t except, struct subscription_target *target);

/** Counts for statistics: all subscriptions, and the shared ones among them. */
uint64_t subscriptions_count(struct subscriptions *index, uint64_t *shared);

/** Goes up with every change of the index: a cached match is good while this stays the same. Any thread. */
uint64_t subscriptions_version(const struct subscriptions *index);

void subscription_matches_free(struct subscription_matches *matches);

#endif
