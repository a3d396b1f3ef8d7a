// The subscribers of one filter, or the members of one shared group. Internal.
// The locks of the subscription index.
// Must not know topics.
#ifndef NOCTULE_TOPIC_SUBSCRIBERS_H
#define NOCTULE_TOPIC_SUBSCRIBERS_H

#include "core/topic/subscription_tree.h"
#include "core/topic/subscriptions.h"

/** Never moves. Its owner reads it without a lock, so all but `slot` is written by its owner's calls alone.
 */
struct subscription {
    uint64_t session;
    uint32_t identifier;
    uint8_t options;
    bool covered;
    bool online;    ///< matters in a shared group only
    uint32_t slot;  ///< place in the crowd
    uint32_t place; ///< the session's: where it keeps this handle
    struct tree_node *node;
    struct subscriptions *index;
};

/**
 * Two or more subscribers; a single one hangs on the node itself. What a reader wants stands densely in
 * `targets`, ready to be copied; `members` says whose they are. The members of a shared group that are online
 * stand first.
 */
struct crowd {
    uint32_t count;
    uint32_t capacity;
    uint32_t online; ///< 0 unless a shared group
    struct subscription_target *targets;
    struct subscription **members;
};

/**
 * The subscription of `session` on `node`, or NULL. `members` is the index's table of all subscriptions that
 * stand in a crowd, so that a filter with a hundred thousand subscribers is as quick as one with two.
 */
struct subscription *subscribers_find(const struct table *members, const struct tree_node *node,
                                      uint64_t session);

/** Hangs `subscription` on its node. */
void subscribers_add(struct table *members, struct subscription *subscription);

/** Takes it off its node; `subscription` is not freed. */
void subscribers_remove(struct table *members, struct subscription *subscription);

/** To be called when identifier, options or `covered` have changed. */
void subscribers_update(struct subscription *subscription);

/** Sets `online` and moves the member of a group to where it belongs. */
void subscribers_set_online(struct subscription *subscription, bool online);

/** How many ordinary subscribers `node` has. */
size_t subscribers_count(const struct tree_node *node);

/** Writes all of them to `targets`, which has room. */
void subscribers_copy(const struct tree_node *node, struct subscription_target *targets);

/** The member whose turn it is, never that of session `except` (0: any); false when there is none. */
bool group_choose(struct tree_group *group, uint64_t except, struct subscription_target *target);

/** Frees the subscribers of `node` together with their subscriptions. */
void subscribers_drop(struct tree_node *node);

#endif
