// TLS-PSK: asking a listener's chain for the key of an identity, before there is a client.
// The worker of the connection.
// Must not know TLS.
#ifndef NOCTULE_PLUGIN_PSK_H
#define NOCTULE_PLUGIN_PSK_H

#include "core/plugin/decision.h"

/**
 * As the decisions of decision.h: ALLOW with the key in outcome.psk, or DENY; `done` gets no client. A caller
 * whose connection ends calls decision_cancel.
 */
struct decision *decide_psk(struct worker *worker, const struct noctule_psk *psk,
                            const struct decision_call *call, struct outcome *outcome);

/** Whether an entry of the listener's chain takes `psk`. */
bool chain_takes_psk(struct worker *worker, struct str listener);

#endif
