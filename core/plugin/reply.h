// Replies of plugins as the host keeps them: read by their size, checked and copied.
// The owner of the arena.
// Must not know what the answer is for.
#ifndef NOCTULE_PLUGIN_REPLY_H
#define NOCTULE_PLUGIN_REPLY_H

#include <stdbool.h>

#include "core/plugin/arena.h"
#include "noctule/plugin.h"

/** A grant as compiled from struct noctule_grant. */
struct grant {
    uint32_t access;
    bool allow;
    uint8_t max_qos;
    uint8_t retain;   ///< 0, 1, or 2 for both
    uint8_t qos_mask; ///< of PUBLISH, WILL and SUBSCRIBE; 0: all
    bool exact;       ///< SUBSCRIBE: the filter itself, and none that it covers
    struct str filter;
};

/** A reply whose strings and grants are in an arena. Zeroed: no reply. */
struct answer {
    uint32_t flags;
    uint32_t reuse_ms;
    uint8_t reason_code;
    struct str reason;
    struct str username;
    struct str client_id;
    struct str auth_data;
    struct str psk;
    struct grant *grants;
    size_t grant_count;
    uint64_t expires_at_ms;
    uint64_t client_data;
    uint32_t max_inflight;
    uint32_t max_queued;
};

/** Reads and copies. False when something in it makes no sense (`*problem` says what); the verdict is then an
 * error. */
bool answer_read(struct answer *answer, const struct noctule_reply *reply, struct arena *arena,
                 const char **problem);

/** A copy that lives in another arena. */
struct answer answer_copy(const struct answer *answer, struct arena *arena);

/** What a plugin meant by a structure of `size` bytes of which the host knows `known`: at most that many. */
static inline size_t size_read(uint32_t size, size_t known)
{
    return size < known ? size : known;
}

#endif
