// From an answer of the platform to the reply that goes with a verdict.
// The client's worker.
// Must not know whether the reply goes at once or later.
#ifndef HTTP_AUTH_REPLY_H
#define HTTP_AUTH_REPLY_H

#include "exchange.h"

/** What a login leaves with its client, as bits of client_data. */
enum {
    CLIENT_HAS_RULES = 1,    ///< the grants of its login decide, and no URL is asked
    CLIENT_NO_SUPERUSER = 2, ///< so said its login: the superuser URL is not asked
};

enum { REPLY_REASON_MAX = 320 };

struct verdict_reply {
    noctule_verdict verdict;
    struct noctule_reply reply;
    struct rule_grants grants;
    char reason[REPLY_REASON_MAX];
};

/** Both fill `made`, whose reply points into it; verdict_reply_clear is due afterwards. */
void reply_to_login(struct verdict_reply *made, const struct instance *instance,
                    const struct settings *settings, const struct result *result,
                    const struct rules_client *client, bool want_reason);
void reply_to_access(struct verdict_reply *made, const struct settings *settings, enum check_kind kind,
                     const struct result *result, bool want_reason);
void verdict_reply_clear(struct verdict_reply *made);

#endif
