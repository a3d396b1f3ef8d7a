// The subscription index: which sessions want a topic. One index for the whole broker, shared by all workers.
// Reading: each worker under its own lock, so that readers never contend. Writing: any worker, takes every
// lock. With one worker there are no locks: all but the count and the version is for that worker's thread.
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

/** Result of a match: zero-initialise once, reuse (memory is kept), free with subscription_matches_free. */
struct subscription_matches {
    struct subscription_target *targets;
    size_t count;
    size_t capacity;
    bool may_repeat; ///< a session may stand in `targets` more than once
    size_t effort;   ///< what finding them has cost: nodes of the index looked at
};

/** `workers`: how many threads (1 to 255) call subscriptions_match, each with its own index below that. */
struct subscriptions *subscriptions_new(unsigned workers);

/** Frees the index and every subscription left in it. NULL is fine. */
void subscriptions_free(struct subscriptions *index);

/**
 * Adds the subscription, or, when the session has this very filter, replaces its identifier and options
 * (`*existed` tells) and returns the same handle; whether it is covered or online stays as it was. `filter`
 * is whole, "$share/..." included, and valid. A new subscription is not covered, and online. Never NULL.
 */
struct subscription *subscriptions_add(struct subscriptions *index, uint64_t session, struct str filter,
                                       uint8_t options, uint32_t identifier, bool *existed);

/** Removes by handle; the handle is gone. */
void subscriptions_remove(struct subscriptions *index, struct subscription *subscription);

/** The session's own handle for `filter`, or NULL (also when that is invalid). Owner of the session only. */
struct subscription *subscriptions_find(struct subscriptions *index, uint64_t session, struct str filter);

/**
 * The whole filter, "$share/..." included, written to `buffer` with a NUL behind it (65535 + 1 bytes are
 * always enough); returns its length. When `size` is not above that, the buffer becomes the empty string.
 * Owner of the session only, as all below.
 */
size_t subscription_filter(const struct subscription *subscription, char *buffer, size_t size);
uint8_t subscription_options(const struct subscription *subscription);
uint32_t subscription_identifier(const struct subscription *subscription);
bool subscription_is_shared(const struct subscription *subscription);
bool subscription_is_covered(const struct subscription *subscription);

/** A number that the session keeps with the handle: where it stands in a list of the session's. */
uint32_t subscription_place(const struct subscription *subscription);
void subscription_set_place(struct subscription *subscription, uint32_t place);

/** Marks that deliveries need no READ check. Owner only; a change writes the index, under its locks. */
void subscription_set_covered(struct subscription *subscription, bool covered);

/**
 * Tells whether the session can take messages now (connected), where the subscription is shared: a
 * shared group prefers members that are online. Owner of the session only; a change is a writing of the
 * index, under its locks. Nothing happens to a subscription that is not shared.
 */
void subscription_set_online(struct subscription *subscription, bool online);

/**
 * Finds everyone who wants `topic` (valid name): fills `matches` (from empty). Of each shared group one
 * member is chosen, round robin among the online ones; among all when none is online. `worker` names the
 * caller's lock.
 */
void subscriptions_match(struct subscriptions *index, unsigned worker, struct str topic,
                         struct subscription_matches *matches);

/**
 * Chooses another member for a message of `topic` that a member of group `group` could not take: as
 * subscriptions_match, but only that group, never `except`. False when the group has no other member.
 */
bool subscriptions_match_group(struct subscriptions *index, unsigned worker, struct str topic, uint32_t group,
                               uint64_t except, struct subscription_target *target);

/** Counts for statistics: all subscriptions, and the shared ones among them. */
uint64_t subscriptions_count(struct subscriptions *index, uint64_t *shared);

/**
 * Goes up with every change of the index: a match is good while this is what it was before the match was made
 * (one that chose a member of a shared group is good once). Any thread.
 */
uint64_t subscriptions_version(const struct subscriptions *index);

void subscription_matches_free(struct subscription_matches *matches);

#endif
