// A plugin that answers every hook as it was told last, and can put decisions off and make them later.
// The thread of the in-process broker.
// Must not know why it is told so.
#ifndef NOCTULE_TESTS_MOODY_H
#define NOCTULE_TESTS_MOODY_H

#include <stdbool.h>

#include "noctule/plugin.h"

enum moody_hook {
    MOODY_LOGIN,
    MOODY_AUTH,
    MOODY_PUBLISH,
    MOODY_SUBSCRIBE,
    MOODY_DELIVER,
    MOODY_WILL,
    MOODY_IN,
    MOODY_OUT,
    MOODY_REVALIDATE,
    MOODY_HOOKS,
};

/** What a reply carries, besides a reason. */
enum {
    MOODY_REUSE = 0x01,
    MOODY_SHOW = 0x02,
    MOODY_COVERS = 0x04,
    MOODY_RENAME = 0x08, ///< another username and client id
    MOODY_LOWER = 0x10,  ///< max_inflight and max_queued
    MOODY_EXPIRE = 0x20, ///< the login ends after some seconds
    MOODY_GRANT = 0x40,
    MOODY_CHANGE = 0x80, ///< message hooks: topic, payload, QoS and properties
};

enum { MOODY_HELD_MAX = 64 };

struct moody {
    noctule_verdict verdicts[MOODY_HOOKS]; ///< NOCTULE_PENDING: put off
    uint8_t replies[MOODY_HOOKS];          ///< MOODY_ bits
    uint8_t reason_code;                   ///< of every reply
    const struct noctule_host *host;
    struct noctule_instance *instance;
    struct noctule_request *held[MOODY_HELD_MAX];
    unsigned held_count;
    uint64_t last_connection; ///< of the last login
    unsigned freed;           ///< clients freed
    unsigned logins;
};

extern struct moody moody;
extern const struct noctule_plugin moody_plugin;

/** Back to NEXT everywhere; what was held is forgotten. Before a broker starts. */
void moody_reset(void);

/** Makes the `index`th (modulo their number) of the decisions put off; false when there is none. */
bool moody_complete(unsigned index, noctule_verdict verdict, uint8_t reply);

#endif
