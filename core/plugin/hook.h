// One call into a plugin: what the plugin is told, who is asking, and how long it took.
// The thread that makes the call.
// Must not know what the answer means.
#ifndef NOCTULE_PLUGIN_HOOK_H
#define NOCTULE_PLUGIN_HOOK_H

#include "core/plugin/reply.h"
#include "core/plugin/types.h"

/**
 * The request of a decision hook while it runs, on the stack. A deferred request is no structure but a number
 * dressed up as a pointer, see ticket.h.
 */
struct noctule_request {
    const struct entry *entry;
    struct noctule_worker *worker; ///< whose decision it is; also on a helper thread
    struct arena *arena;           ///< takes the reply
    struct answer answer;
    const char *problem; ///< of a reply that made no sense, else NULL
    bool may_defer;
    bool deferred;                  ///< the plugin has the handle
    struct ticket *ticket;          ///< once deferred
    struct noctule_request *handle; ///< once deferred; on a helper thread from the beginning
};

struct hook {
    struct noctule_context context;
    struct noctule_instance *instance;
    struct noctule_worker *worker; ///< NULL on a helper thread
    struct noctule_message *message;
    const struct noctule_client *described; ///< whom `client_info` is about; NULL: it was not asked for
    struct noctule_client_info client_info;
    struct hook *outer;
    uint64_t began_ns;
};

/** The call this thread is inside of, or NULL. */
extern _Thread_local struct hook *hook_current;

/**
 * Begins a call. `worker` is NULL on a helper thread, `client` and `request` where there is none. Takes a
 * SERIAL instance's mutex. False when the instance is not up on this worker: the call must not be made, and
 * counts as an error.
 */
bool hook_begin(struct hook *hook, struct noctule_instance *instance, void *snapshot,
                struct noctule_worker *worker, struct client *client, struct noctule_request *request);

/** Ends it; returns how long it took in nanoseconds. `name` is the hook's, for the warning about a slow one.
 */
uint64_t hook_end(struct hook *hook, const char *name);

#endif
