// Outgoing QoS 1 and 2 messages that are not yet acknowledged, in the order in which they were sent.
// Only the session's worker.
// Must not know connections: it survives them. [v5 4.3, 4.4, 4.6]
#ifndef NOCTULE_SESSION_WINDOW_H
#define NOCTULE_SESSION_WINDOW_H

#include "core/session/delivery.h"

enum inflight_state {
    INFLIGHT_DONE = 0, ///< acknowledged; its place is kept until everything before it is done
    INFLIGHT_PUBACK,   ///< QoS 1, PUBLISH sent
    INFLIGHT_PUBREC,   ///< QoS 2, PUBLISH sent
    INFLIGHT_PUBCOMP,  ///< QoS 2, PUBREL sent; the message is released
};

struct inflight {
    struct delivery delivery;
    uint8_t state; ///< enum inflight_state
    bool resend;   ///< not yet sent on the connection that resumed the session
};

/**
 * Packet identifiers are given out one after the other, so an identifier's place follows from its distance to
 * the oldest one: finding it costs the same however large the window is.
 */
struct window {
    struct inflight *ring;
    uint32_t capacity; ///< a power of two, or 0
    uint32_t head;
    uint32_t span;      ///< places from the oldest unacknowledged to the newest
    uint32_t active;    ///< of them not yet done
    uint16_t oldest_id; ///< packet identifier at `head`
};

/** Appends a message that is about to be sent; takes the delivery. Returns its packet identifier, or 0: no
 * room or no memory. */
uint16_t window_add(struct window *window, const struct delivery *delivery);

/** The entry of a packet identifier, or NULL when it is not in use. */
struct inflight *window_find(struct window *window, uint16_t packet_id);

/** The exchange of `entry` is over. */
void window_done(struct window *window, struct inflight *entry);

/** Walks entries that are not done, oldest first: start with *cursor = 0. Sets *packet_id; NULL at the end.
 */
struct inflight *window_next(struct window *window, uint32_t *cursor, uint16_t *packet_id);

void window_clear(struct window *window);

#endif
