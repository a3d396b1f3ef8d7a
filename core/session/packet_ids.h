// Packet identifiers of incoming QoS 2 messages whose PUBREL has not come: a repeated PUBLISH is recognised
// by them. Only the session's worker. Must not know messages. [v5 4.3.3]
#ifndef NOCTULE_SESSION_PACKET_IDS_H
#define NOCTULE_SESSION_PACKET_IDS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * A set: a short list while it is small, a bit for each identifier once a client leaves many open, so that
 * no client makes a search long. Zero-initialised is empty.
 */
struct packet_ids {
    union {
        uint16_t *ids;
        uint64_t *bits; ///< with `capacity` PACKET_IDS_BITS
    } in;
    uint16_t count;
    uint16_t capacity; ///< of the list
};

enum { PACKET_IDS_LIST_MOST = 64, PACKET_IDS_BITS = UINT16_MAX };

bool packet_ids_has(const struct packet_ids *set, uint16_t id);

/** Adds one that is not in the set; false when memory is out. */
bool packet_ids_add(struct packet_ids *set, uint16_t id);

/** False when it was not in the set. */
bool packet_ids_remove(struct packet_ids *set, uint16_t id);

void packet_ids_clear(struct packet_ids *set);

#endif
