// Helper threads: decision hooks of plugins that block run here.
// Start and stop on the main thread; asking from any worker.
// Must not know what becomes of an answer: it goes to the ticket.
#ifndef NOCTULE_PLUGIN_HELPERS_H
#define NOCTULE_PLUGIN_HELPERS_H

#include "core/plugin/question.h"
#include "core/plugin/ticket.h"

struct helpers;

/** Starts the threads, when they are needed and not there yet. */
void helpers_start(struct plugin_host *host);

/** Waits for hooks that run; what has not begun is never asked. The threads end. */
void helpers_stop(struct plugin_host *host);

/**
 * Has the ticket's entry asked by the next thread that is free, and answers the ticket. Takes `question`;
 * `client` may be NULL. The queue is as long as `limits.pending_decisions` lets it become.
 */
void helpers_ask(struct helpers *helpers, const struct ticket *ticket, struct question_copy *question,
                 struct client *client, bool want_reason);

#endif
