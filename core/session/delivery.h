// One message on its way to one session: what the subscription made of it.
// Only the session's worker.
// Must not know how it is sent.
#ifndef NOCTULE_SESSION_DELIVERY_H
#define NOCTULE_SESSION_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "core/topic/message.h"

struct delivery {
    struct message *
        message; ///< one reference, unless the message is borrowed; NULL in a window: released (PUBREL phase)
    uint32_t *more;       ///< further Subscription Identifiers, owned; see `identifiers`
    uint32_t identifier;  ///< the first Subscription Identifier; 0: none
    uint32_t group;       ///< shared group it was chosen for; 0: not shared
    uint16_t identifiers; ///< how many in all
    uint8_t qos;          ///< to be delivered with
    bool retain : 1;      ///< RETAIN flag to be sent
    bool covered : 1;     ///< needs no READ check
    bool checked : 1;     ///< READ check has passed
};

/** The i-th Subscription Identifier. */
static inline uint32_t delivery_identifier(const struct delivery *delivery, uint16_t i)
{
    return i == 0 ? delivery->identifier : delivery->more[i - 1];
}

/** Adds an identifier; false when memory is out. */
bool delivery_add_identifier(struct delivery *delivery, uint32_t identifier);

/** Makes the delivery outlive the caller's message: keeps a borrowed message. False when memory is out. */
bool delivery_keep(struct delivery *delivery);

/** Gives the message back and frees the identifiers. */
void delivery_clear(struct delivery *delivery);

#endif
