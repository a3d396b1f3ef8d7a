// The retained messages of the whole broker, by topic, shared by all workers.
// Any thread; one reader-writer lock inside.
// Must not know who receives them.
#ifndef NOCTULE_TOPIC_RETAINED_H
#define NOCTULE_TOPIC_RETAINED_H

#include "core/topic/message.h"

struct retained;

struct retained *retained_new(void);

/** Frees the index and drops its references. NULL is fine. */
void retained_free(struct retained *index);

/**
 * Stores a message as the retained one of its topic (taking its own reference; the message is owned, see
 * message_keep), or with an empty payload removes the topic's. Returns false when `limit` messages are stored
 * and this would be one more, or when their bytes (message_weight) would exceed `limit_bytes` (0: no limit).
 * [v5 3.3.1.3]
 */
bool retained_store(struct retained *index, struct message *message, uint64_t limit, uint64_t limit_bytes);

/** A list of messages with one reference each, given to the caller. */
struct retained_list {
    struct message **messages;
    size_t count;
    size_t capacity;
};

/**
 * Collects the retained messages that `filter` (valid, not shared) matches, appending to `list`; expired ones
 * are left out and removed. Wildcards in the first level skip topics that begin with '$'.
 */
void retained_match(struct retained *index, struct str filter, uint64_t now_ms, struct retained_list *list);

struct retained_walk;

/**
 * The same in slices, so that neither the lock is held nor the caller busy for long: looks at about `budget`
 * levels of topics. NULL: that was all. Else a walk, for retained_go_on or retained_give_up. What is stored
 * after the walk has begun is left out; whoever subscribed before gets it when it is published.
 */
struct retained_walk *retained_begin(struct retained *index, struct str filter, uint64_t now_ms,
                                     size_t budget, struct retained_list *list);

/** Goes on, on the thread that began; false: that was all, and the walk is freed. */
bool retained_go_on(struct retained *index, struct retained_walk *walk, uint64_t now_ms, size_t budget,
                    struct retained_list *list);

/** Frees a walk that is not over. */
void retained_give_up(struct retained *index, struct retained_walk *walk);

/** Drops the references and frees the list's memory. */
void retained_list_clear(struct retained_list *list);

/**
 * Removes messages whose time has come, visiting at most `budget` topics (levels of topics, to be exact) from
 * where the last call stopped; past the last one it stops, too. Costs nothing while no message has an expiry.
 */
void retained_expire(struct retained *index, uint64_t now_ms, size_t budget);

/** Number of messages and their bytes (message_weight). */
uint64_t retained_count(struct retained *index, uint64_t *bytes);

#endif
