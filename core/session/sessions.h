// The sessions of one worker: by client id, and by the 64-bit id under which other workers know them.
// Only that worker.
// Must not know who decides when a session is made or ended.
#ifndef NOCTULE_SESSION_SESSIONS_H
#define NOCTULE_SESSION_SESSIONS_H

#include "core/session/session.h"
#include "core/topic/table.h"

/** Zero-initialise and set `worker` and `index`. */
struct sessions {
    unsigned worker; ///< its index, part of every session id
    struct subscriptions *index;
    struct table by_client_id; ///< by str_hash of it
    size_t count;
    struct session **slots;
    uint32_t *generations; ///< of each slot, so that an id is never reused; 0: the slot has run out of them
    size_t slot_count;
    size_t slot_capacity;
    size_t generation_capacity;
    uint32_t *free_slots;
    size_t free_count;
    size_t free_capacity;
};

/** The worker that a session id belongs to. */
static inline unsigned session_home(uint64_t id)
{
    return (unsigned)(id >> 56);
}

/**
 * Makes a session; NULL when the worker has 16 million of them or memory is out. `client_id` (65535 bytes at
 * most, of no session yet) is copied.
 */
struct session *session_new(struct sessions *sessions, struct str client_id);

/** Removes its subscriptions, drops everything it holds and frees it. Will and connection must be gone. */
void session_free(struct sessions *sessions, struct session *session);

struct session *sessions_find(const struct sessions *sessions, struct str client_id);

/** By id; NULL when that session has ended. */
static inline struct session *sessions_get(const struct sessions *sessions, uint64_t id)
{
    uint32_t slot = (uint32_t)(id >> 32) & 0xFFFFFF;
    if (slot >= sessions->slot_count || sessions->generations[slot] != (uint32_t)id)
        return NULL;
    return sessions->slots[slot];
}

/** Frees the tables once all sessions are freed. */
void sessions_clear(struct sessions *sessions);

#endif
