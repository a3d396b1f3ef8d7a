// A walk along a chain, and a decision: a walk that had to wait.
// Only the client's worker.
// Must not know single kinds of questions; those bring their rules along (struct walk_rules).
#ifndef NOCTULE_PLUGIN_DECISION_STATE_H
#define NOCTULE_PLUGIN_DECISION_STATE_H

#include "core/plugin/decision.h"
#include "core/plugin/message_view.h"
#include "core/plugin/question.h"
#include "core/plugin/reply.h"
#include "core/plugin/types.h"

struct ticket;
struct walk;

/** One entry's answer. */
struct opinion {
    noctule_verdict verdict;
    struct answer answer;
    uint64_t nanoseconds;
    enum decision_source source;
    bool covers_delivery; ///< from a grant, see grants.h
};

/** How questions of one kind differ. Functions may be NULL. */
struct walk_rules {
    /** Whether the entry is to be asked. NULL: always. */
    bool (*takes)(const struct walk *walk, const struct entry *entry);
    /** An answer that is known without asking. */
    bool (*knows)(struct walk *walk, const struct entry *entry, struct opinion *opinion);
    /** A ticket of an identical question that is still out. */
    struct ticket *(*finds)(const struct walk *walk, const struct entry *entry);
    /** The plugin has answered; `epoch` is that of the client's cache when it was asked. */
    void (*learns)(struct walk *walk, const struct entry *entry, const struct opinion *opinion,
                   uint32_t epoch);
    /** Takes an opinion into account; true: it ends the walk, with walk->outcome filled. */
    bool (*judges)(struct walk *walk, const struct entry *entry, const struct opinion *opinion);
    /** An ALLOW came: what it brings along. */
    void (*allows)(struct walk *walk, const struct entry *entry, const struct opinion *opinion);
    /** No entry has decided: fills walk->outcome. */
    void (*undecided)(struct walk *walk);
    /** The walk has ended, with walk->outcome filled. */
    void (*ends)(struct walk *walk);
    /** How the waiting caller is told. */
    void (*tells)(struct decision *decision);
};

/** What a login's ALLOW brings along, applied when the whole login is allowed. */
struct login_effect {
    struct login_effect *next;
    const struct entry *entry;
    struct answer answer;
};

/** On the stack while nothing waits, in a decision from then on. */
struct walk {
    const struct walk_rules *rules;
    struct noctule_worker *worker;
    struct client *client; ///< NULL: no client is concerned
    const struct chain *chain;
    const struct entry_list *list;
    size_t position;
    uint32_t epoch; ///< of the client's verdicts when the walk began
    const struct question *question;
    bool allowed; ///< an entry that need not be there has allowed; only required ones are asked from here on
    bool asked;   ///< some entry took the question
    bool covers;  ///< SUBSCRIBE: outcome.covers_delivery
    uint64_t reused_until_ms;    ///< the last answer is a kept one, which may be used until then; 0: none was
    uint64_t any_topic_until_ms; ///< an ALLOW that holds for every topic does so until then; 0: none does
    struct outcome allowance;    ///< with `allowed`: what it becomes when nobody objects
    struct str last_word;        ///< of enhanced authentication, with ALLOW
    struct outcome outcome;
    struct arena *arena; ///< of strings in `outcome` and `effects`
    struct decision *decision;
    decision_trace_fn *trace;
    void *trace_argument;
    // Logins.
    struct login_effect *effects; ///< the newest first
    const struct question *step;  ///< AUTH: what the entry at `pinned` is asked instead of `question`
    size_t pinned; ///< of the entry that answered CONTINUE, or allowed an Authentication Method
    bool is_pinned;
    bool reauthentication; ///< only the pinned entry is asked
    // Messages.
    struct noctule_message *view;
};

struct decision {
    struct walk walk;
    struct generation *generation;
    struct arena arena;
    struct question_copy *question;
    struct question_copy *step;
    struct noctule_message view; ///< of message_in
    struct ticket *ticket;       ///< NULL while it does not wait for a plugin
    struct decision *next_waiter;
    struct decision **waiter_link;
    struct decision *next; ///< of the client's, or of the worker's without a client
    struct decision **link;
    decision_done_fn *done;
    message_in_done_fn *message_done;
    void *argument;
};

enum walk_state { WALK_DONE, WALK_WAITING };

/** Asks from walk->position on. DONE: walk->outcome is filled; WAITING: walk->decision has the rest. */
enum walk_state walk_run(struct walk *walk);

/** The walk's home on the heap: moved there, when it is not yet. Everything borrowed is copied. */
struct decision *walk_keep(struct walk *walk);

/**
 * Begins a walk: what every caller does first. `call` may be NULL. Strings of the previous decision on this
 * worker are void from here on.
 */
void walk_begin(struct walk *walk, const struct walk_rules *rules, struct noctule_worker *worker,
                struct client *client, const struct question *question, const struct decision_call *call);

/**
 * Runs a walk and answers as decision.h says: NULL with `*outcome` filled, or the decision that waits, which
 * will call `call`.
 */
struct decision *walk_decide(struct walk *walk, const struct decision_call *call, struct outcome *outcome);

/** Takes a decision off the list it is on; the client's reference passes to the caller. */
void decision_unlink(struct decision *decision);

/** Frees a decision that waits for nothing. */
void decision_free(struct decision *decision);

/** The answer to a ticket: all decisions that wait for it go on. */
void decisions_resume(struct ticket *ticket, noctule_verdict verdict, const struct answer *answer);

/** Gives up every decision of the list. */
void decisions_cancel(struct decision **list);

/** Ends every decision of the list with an error: the worker stops, and whoever waits has something to free.
 */
void decisions_end(struct decision **list);

/** The outcome that an entry's opinion makes, with this verdict. */
struct outcome outcome_of(const struct entry *entry, const struct opinion *opinion, noctule_verdict verdict);

/** The usual rules of judging: ALLOW and DENY decide, required entries must ALLOW, on_error. */
bool opinion_judge(struct walk *walk, const struct entry *entry, const struct opinion *opinion);

/** Tells a decision_done_fn. */
void decision_tell(struct decision *decision);

/** CONTINUE: the decision waits for the client's AUTH packet; the client keeps it. */
void login_continues(struct decision *decision);

/** Asks the entry's hook for this kind of question. */
noctule_verdict question_ask(const struct noctule_plugin *plugin, const struct noctule_context *context,
                             const struct question *question);
const char *question_hook_name(enum question_kind kind);

#endif
