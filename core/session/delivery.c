#include "core/session/delivery.h"

#include <stdlib.h>

#include "core/base/memory.h"

bool delivery_add_identifier(struct delivery *delivery, uint32_t identifier)
{
    if (delivery->identifiers == 0) {
        delivery->identifier = identifier;
        delivery->identifiers = 1;
        return true;
    }
    if (delivery->identifiers == UINT16_MAX)
        return false;
    uint32_t count = delivery->identifiers - 1U; // in `more`
    if ((count & (count - 1)) == 0) {            // its room is the next power of two
        uint32_t *more = memory_try_resize(delivery->more, (count ? count * 2UL : 1UL) * sizeof *more);
        if (!more)
            return false;
        delivery->more = more;
    }
    delivery->more[count] = identifier;
    delivery->identifiers++;
    return true;
}

bool delivery_keep(struct delivery *delivery)
{
    struct message *kept = message_keep(delivery->message);
    if (!kept)
        return false;
    delivery->message = kept;
    return true;
}

void delivery_clear(struct delivery *delivery)
{
    message_unref(delivery->message);
    free(delivery->more);
    delivery->message = NULL;
    delivery->more = NULL;
    delivery->identifiers = 0;
}
