// Telling observers.
// The client's worker.
// Must not know what happened.
#ifndef NOCTULE_PLUGIN_EVENTS_H
#define NOCTULE_PLUGIN_EVENTS_H

#include "core/plugin/decision.h"

/** CLIENT_FREED, the last event of a client. */
void tell_freed(struct client *client);

#endif
