// Tickets: questions that a plugin has put off, and the handles by which it answers them.
// Handles: any thread. Everything else: the worker that the ticket belongs to.
// Must not know what is decided: it hands the answer to whoever waits.
#ifndef NOCTULE_PLUGIN_TICKET_H
#define NOCTULE_PLUGIN_TICKET_H

#include "core/base/wheel.h"
#include "core/plugin/hook.h"
#include "core/plugin/question.h"

struct decision;

/**
 * WAITING becomes ANSWERED (by the plugin, any thread) or GIVEN_UP (deadline, or nobody waits any more; the
 * worker): once, by compare and exchange, so that of an answer and a deadline that meet only one counts.
 */
enum ticket_state { TICKET_WAITING, TICKET_ANSWERED, TICKET_GIVEN_UP };

struct ticket {
    struct post post; ///< brings the answer to the worker
    _Atomic int state;
    _Atomic unsigned references; ///< the handle's and the worker's
    struct noctule_worker *worker;
    const struct entry *entry;
    struct generation *generation; ///< one reference, until the plugin has answered
    // The worker's.
    struct decision *waiters;
    struct wheel_timer deadline;
    uint64_t began_ns;
    struct question_copy *question; ///< to tell identical ones; NULL: never shared
    uint32_t epoch;                 ///< of the client's cache when the question was asked
    // Written by whoever answers, before the post; read by the worker after it.
    noctule_verdict verdict;
    struct answer answer;
    struct arena arena;
    // Of the table, under its lock.
    uintptr_t handle; ///< never changes
    struct ticket *next;
    struct ticket **link;
};

/** A new ticket whose handle counts as pending; NULL when `limits.pending_decisions` of them are pending. */
struct ticket *ticket_new(struct noctule_worker *worker, const struct entry *entry);

/** What the plugin gets to see. */
struct noctule_request *ticket_request(const struct ticket *ticket);

/** Puts a decision on the list of those that wait, and sets the deadline with the first. */
void ticket_join(struct ticket *ticket, struct decision *decision);

/** Takes a decision off; the last one gives the ticket up. */
void ticket_leave(struct ticket *ticket, struct decision *decision);

/** The question was answered after all without the ticket: its handle is void. Nobody waits. */
void ticket_withdraw(struct ticket *ticket);

/** Whether nobody waits for an answer any more. Any thread that holds the handle or a reference. */
bool ticket_is_given_up(struct ticket *ticket);

/** Answers from the host itself (a helper thread); `answer` is copied. The plugin's handle is void
 * afterwards. */
void ticket_answer(struct noctule_request *handle, noctule_verdict verdict, const struct answer *answer);

/** Gives up the answer on behalf of a plugin that is never going to be asked. */
void ticket_drop(struct noctule_request *handle);

/** noctule_host.defer, complete and is_cancelled. */
struct noctule_request *request_defer(struct noctule_request *request);
int32_t request_complete(struct noctule_request *handle, noctule_verdict verdict,
                         const struct noctule_reply *reply);
int32_t request_is_cancelled(const struct noctule_request *handle);

/** Makes all handles of `host` void and gives back what their tickets hold. The workers have ended. */
void tickets_close(struct plugin_host *host);

/** Requests put off and not answered yet. Any thread. */
uint64_t tickets_pending(void);

#endif
