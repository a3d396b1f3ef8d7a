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

struct window_ring;

enum { WINDOW_SPAN_MAX = 65535 };

/**
 * Packet identifiers are given out one after the other, so an identifier's place follows from its distance to
 * the oldest one: finding it costs the same however large the window is. Zero-initialised is empty.
 */
struct window {
    struct window_ring *ring;
    uint16_t span;      ///< places from the oldest unacknowledged to the newest
    uint16_t active;    ///< of them not yet done
    uint16_t oldest_id; ///< packet identifier of the oldest; 0: none was given out yet
};

/**
 * Whether there is a packet identifier for another message. A client that leaves one message unacknowledged
 * and acknowledges all others comes to the end of them.
 */
static inline bool window_has_room(const struct window *window)
{
    return window->span < WINDOW_SPAN_MAX;
}

/** Appends a message that is about to be sent; takes the delivery. Returns its packet identifier, or 0: no
 * room or no memory. */
uint16_t window_add(struct window *window, const struct delivery *delivery);

/** The entry of a packet identifier, or NULL when it is not in use. Good until the window changes. */
struct inflight *window_find(struct window *window, uint16_t packet_id);

/** The exchange of `entry` (of window_find or window_next) is over; no entry is good any more. */
void window_done(struct window *window, struct inflight *entry);

/** Walks entries that are not done, oldest first: start with *cursor = 0. Sets *packet_id; NULL at the end.
 */
struct inflight *window_next(struct window *window, uint32_t *cursor, uint16_t *packet_id);

void window_clear(struct window *window);

#endif
