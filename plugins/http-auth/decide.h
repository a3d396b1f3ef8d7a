// What the platform's answers mean for a client: logins with what they bring along, and accesses.
// The client's worker.
// Must not know how the platform is asked.
#ifndef HTTP_AUTH_DECIDE_H
#define HTTP_AUTH_DECIDE_H

#include "exchange.h"

/** The hooks `authenticate` and `authorize`. */
noctule_verdict decide_login(const struct instance *instance, const struct noctule_context *context,
                             const struct noctule_login *login);
noctule_verdict decide_access(const struct instance *instance, const struct noctule_context *context,
                              const struct noctule_access *access);

#endif
