#include "core/plugin/decision_state.h"

#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/plugin/client_state.h"
#include "core/plugin/generation.h"
#include "core/plugin/helpers.h"
#include "core/plugin/ticket.h"

void walk_begin(struct walk *walk, const struct walk_rules *rules, struct noctule_worker *worker,
                struct client *client, const struct question *question, const struct decision_call *call)
{
    arena_reset(&worker->scratch);
    *walk = (struct walk){.rules = rules,
                          .worker = worker,
                          .client = client,
                          .epoch = client ? client_epoch(client) : 0,
                          .question = question,
                          .arena = &worker->scratch,
                          .trace = call ? call->trace : NULL,
                          .trace_argument = call ? call->trace_argument : NULL};
}

// ---- Keeping a walk that has to wait -------------------------------------------------------------------

static void outcome_keep(struct outcome *outcome, struct arena *arena)
{
    outcome->reason = arena_copy(arena, outcome->reason);
    outcome->auth_data = arena_copy(arena, outcome->auth_data);
    outcome->psk = arena_copy(arena, outcome->psk);
}

static void effects_keep(struct walk *walk)
{
    for (struct login_effect **link = &walk->effects; *link; link = &(*link)->next) {
        struct login_effect *kept = arena_alloc(walk->arena, sizeof *kept);
        *kept = **link;
        kept->answer = answer_copy(&(*link)->answer, walk->arena);
        *link = kept;
    }
}

static struct decision *decision_new(const struct walk *walk)
{
    struct decision *decision = memory_zalloc(sizeof *decision);
    decision->walk = *walk;
    struct walk *kept = &decision->walk;
    kept->decision = decision;
    kept->arena = &decision->arena;
    outcome_keep(&kept->allowance, kept->arena);
    kept->last_word = arena_copy(kept->arena, kept->last_word);
    effects_keep(kept);
    decision->question = question_copy(walk->question);
    kept->question = &decision->question->question;
    if (walk->view) {
        decision->view = *walk->view;
        kept->view = &decision->view;
        decision->question->question.message = kept->view;
    }
    decision->generation = generation_ref(walk->chain->generation);
    return decision;
}

struct decision *walk_keep(struct walk *walk)
{
    struct decision *decision = walk->decision;
    if (!decision) {
        decision = decision_new(walk);
        walk->decision = decision;
    }
    struct walk *kept = &decision->walk;
    if (kept->step && (!decision->step || kept->step != &decision->step->question)) {
        question_unref(decision->step);
        decision->step = question_copy(kept->step);
        kept->step = &decision->step->question;
    }
    if (!decision->link) {
        struct decision **list = kept->client ? client_decisions(kept->client) : &kept->worker->orphans;
        if (kept->client)
            client_ref(kept->client);
        decision->next = *list;
        decision->link = list;
        if (decision->next)
            decision->next->link = &decision->next;
        *list = decision;
    }
    return decision;
}

void decision_unlink(struct decision *decision)
{
    *decision->link = decision->next;
    if (decision->next)
        decision->next->link = decision->link;
    decision->next = NULL;
    decision->link = NULL;
}

void decision_free(struct decision *decision)
{
    question_unref(decision->question);
    question_unref(decision->step);
    message_view_clear(&decision->view);
    arena_free(&decision->arena);
    generation_unref(decision->generation);
    free(decision);
}

void decision_cancel(struct decision *decision)
{
    struct client *client = decision->walk.client;
    if (decision->ticket)
        ticket_leave(decision->ticket, decision);
    decision_unlink(decision);
    decision_free(decision);
    client_unref(client);
}

void decisions_cancel(struct decision **list)
{
    struct decision *next;
    for (struct decision *decision = *list; decision; decision = next) {
        next = decision->next;
        decision_cancel(decision);
    }
}

// ---- Judging -------------------------------------------------------------------------------------------

struct outcome outcome_of(const struct entry *entry, const struct opinion *opinion, noctule_verdict verdict)
{
    const struct answer *answer = &opinion->answer;
    return (struct outcome){.verdict = verdict,
                            .reason_code = answer->reason_code,
                            .show_reason = (answer->flags & NOCTULE_REPLY_SHOW_REASON) != 0,
                            .decided = true,
                            .instance = entry->instance->name,
                            .reason = answer->reason,
                            .auth_data = answer->auth_data,
                            .psk = answer->psk};
}

static bool deny_failed(struct walk *walk, const struct entry *entry, const struct opinion *opinion)
{
    walk->outcome = outcome_of(entry, opinion, NOCTULE_DENY);
    walk->outcome.failed = true;
    // What a plugin said beside its error is for the log, not for the client.
    walk->outcome.show_reason = false;
    return true;
}

static bool judge_allow(struct walk *walk, const struct entry *entry, const struct opinion *opinion)
{
    if (walk->rules->allows)
        walk->rules->allows(walk, entry, opinion);
    if (opinion->answer.auth_data.data)
        walk->last_word = opinion->answer.auth_data;
    if (walk->allowed || (entry->required && !walk->reauthentication))
        return false;
    walk->allowed = true;
    walk->allowance = outcome_of(entry, opinion, NOCTULE_ALLOW);
    return false;
}

bool opinion_judge(struct walk *walk, const struct entry *entry, const struct opinion *opinion)
{
    switch (opinion->verdict) {
    case NOCTULE_ALLOW:
        return judge_allow(walk, entry, opinion);
    case NOCTULE_DENY:
        walk->outcome = outcome_of(entry, opinion, NOCTULE_DENY);
        return true;
    case NOCTULE_NEXT:
        if (!entry->required)
            return false;
        walk->outcome = outcome_of(entry, opinion, NOCTULE_DENY);
        if (!walk->outcome.reason.data)
            walk->outcome.reason = STR("required, and had no opinion");
        return true;
    case NOCTULE_CONTINUE: // others have been turned into errors
        walk->outcome = outcome_of(entry, opinion, NOCTULE_CONTINUE);
        return true;
    default:
        return entry->required || !entry->error_is_next ? deny_failed(walk, entry, opinion) : false;
    }
}

static bool verdict_is_listed(const struct walk *walk, const struct entry *entry, noctule_verdict verdict)
{
    enum question_kind kind = walk->question->kind;
    switch (verdict) {
    case NOCTULE_NEXT:
    case NOCTULE_ALLOW:
    case NOCTULE_DENY:
    case NOCTULE_ERROR:
        return true;
    case NOCTULE_CONTINUE:
        return kind == QUESTION_LOGIN && walk->question->login.auth_method.data && entry->plugin->auth_step;
    case NOCTULE_DROP:
        return kind == QUESTION_MESSAGE;
    default:
        return false;
    }
}

static void opinion_count(const struct entry *entry, noctule_verdict verdict)
{
    static const enum instance_counter counters[] = {
        [NOCTULE_NEXT] = COUNT_NEXT,       [NOCTULE_ALLOW] = COUNT_ALLOW,       [NOCTULE_DENY] = COUNT_DENY,
        [NOCTULE_PENDING] = COUNT_PENDING, [NOCTULE_CONTINUE] = COUNT_CONTINUE, [NOCTULE_ERROR] = COUNT_ERROR,
        [NOCTULE_DROP] = COUNT_DROP,
    };
    cells_add(&entry->instance->cells, counters[verdict], 1);
}

// Takes one answer into account; true: the walk is at its end.
static bool walk_judge(struct walk *walk, const struct entry *entry, struct opinion *opinion)
{
    walk->asked = true;
    if (!verdict_is_listed(walk, entry, opinion->verdict)) {
        opinion->answer =
            (struct answer){.reason = arena_format(walk->arena, "answered %d, which means nothing here",
                                                   (int)opinion->verdict)};
        opinion->verdict = NOCTULE_ERROR;
    }
    opinion_count(entry, opinion->verdict);
    if (walk->trace) {
        bool access = walk->question->kind == QUESTION_ACCESS;
        struct decision_step step = {.question = question_name(walk->question),
                                     .topic =
                                         access ? str_from(walk->question->access.topic) : (struct str){0},
                                     .instance = entry->instance->name,
                                     .source = opinion->source,
                                     .verdict = opinion->verdict,
                                     .reason = opinion->answer.reason,
                                     .nanoseconds = opinion->nanoseconds};
        walk->trace(&step, walk->trace_argument);
    }
    return walk->rules->judges(walk, entry, opinion);
}

// ---- Asking --------------------------------------------------------------------------------------------

// An entry that does not tell wills from other messages is asked about a will as about any message.
static const struct question *walk_question(const struct walk *walk, const struct entry *entry,
                                            struct question *other)
{
    if (walk->step && walk->position == walk->pinned)
        return walk->step;
    const struct question *question = walk->question;
    if (question->kind != QUESTION_ACCESS || question->access.access != NOCTULE_ACCESS_WILL ||
        (entry->authorize_mask & NOCTULE_ACCESS_WILL) != 0)
        return question;
    *other = *question;
    other->access.access = NOCTULE_ACCESS_PUBLISH;
    return other;
}

static struct opinion opinion_error(const char *reason)
{
    return (struct opinion){.verdict = NOCTULE_ERROR, .answer.reason = str_of(reason)};
}

// The decision now waits for `ticket`, which stands for `question`.
static void walk_wait(struct walk *walk, struct ticket *ticket, const struct question *question)
{
    bool own = question == walk->question;
    struct question_copy *copy = NULL;
    if (question->kind == QUESTION_ACCESS && !own)
        copy = question_copy(question);
    struct decision *decision = walk_keep(walk);
    if (question->kind == QUESTION_ACCESS)
        ticket->question = own ? question_ref(decision->question) : copy;
    ticket->epoch = decision->walk.client ? client_epoch(decision->walk.client) : 0;
    ticket_join(ticket, decision);
}

// Asks on a helper thread. False: there is no room, and `*opinion` says so.
static bool walk_ask_helper(struct walk *walk, const struct entry *entry, const struct question *question,
                            struct opinion *opinion)
{
    struct ticket *ticket = ticket_new(walk->worker, entry);
    if (!ticket) {
        *opinion = opinion_error("limits.pending_decisions reached");
        return false;
    }
    struct question_copy *copy = question_copy(question);
    bool want_reason = walk->trace != NULL;
    walk_wait(walk, ticket, question);
    helpers_ask(walk->worker->host->helpers, ticket, copy, walk->client, want_reason);
    return true;
}

// Asks here and now. True: the plugin puts it off.
static bool walk_ask(struct walk *walk, const struct entry *entry, const struct question *question,
                     struct opinion *opinion)
{
    struct noctule_request request = {
        .entry = entry, .worker = walk->worker, .arena = walk->arena, .may_defer = true};
    struct hook hook;
    if (!hook_begin(&hook, entry->instance, entry->snapshot, walk->worker, walk->client, &request)) {
        *opinion = opinion_error("not up on this worker");
        return false;
    }
    hook.context.want_reason = walk->trace != NULL;
    hook.message = walk->view;
    noctule_verdict verdict = question_ask(entry->plugin, &hook.context, question);
    uint64_t nanoseconds = hook_end(&hook, question_hook_name(question->kind));
    bool kept = verdict != NOCTULE_PENDING || !walk->view || message_view_keep(walk->view);
    if (verdict == NOCTULE_PENDING && request.deferred && kept) {
        opinion_count(entry, NOCTULE_PENDING);
        walk_wait(walk, request.ticket, question);
        return true;
    }
    if (request.ticket)
        ticket_withdraw(request.ticket);
    if (request.problem)
        *opinion = opinion_error(request.problem);
    else if (!kept)
        *opinion = opinion_error("out of memory");
    else if (verdict == NOCTULE_PENDING)
        *opinion = opinion_error("answered PENDING without deferring");
    else
        *opinion = (struct opinion){.verdict = verdict, .answer = request.answer};
    opinion->nanoseconds = nanoseconds;
    cells_observe(&entry->instance->cells, INSTANCE_DECISION, nanoseconds / 1000);
    return false;
}

// True: the answer is in `*opinion`. False: the walk waits.
static bool walk_consult(struct walk *walk, const struct entry *entry, struct opinion *opinion)
{
    const struct walk_rules *rules = walk->rules;
    if (rules->knows && rules->knows(walk, entry, opinion))
        return true;
    struct ticket *out = rules->finds ? rules->finds(walk, entry) : NULL;
    if (out) {
        cells_add(&entry->instance->cells, COUNT_SHARED, 1);
        ticket_join(out, walk_keep(walk));
        return false;
    }
    struct question other;
    const struct question *question = walk_question(walk, entry, &other);
    bool blocks = (entry->plugin->flags & NOCTULE_FLAG_BLOCKING) != 0 && question->kind != QUESTION_MESSAGE;
    if (blocks && walk_ask_helper(walk, entry, question, opinion))
        return false;
    if (!blocks && walk_ask(walk, entry, question, opinion))
        return false;
    if (rules->learns)
        rules->learns(walk, entry, opinion, walk->client ? client_epoch(walk->client) : 0);
    return true;
}

static bool walk_is_over(const struct walk *walk)
{
    if (walk->reauthentication)
        return walk->position > walk->pinned;
    return walk->position >= walk->list->count ||
           (walk->allowed && walk->position >= walk->list->required_end);
}

static bool walk_skips(const struct walk *walk, const struct entry *entry)
{
    return (walk->allowed && !entry->required) || (walk->rules->takes && !walk->rules->takes(walk, entry));
}

static enum walk_state walk_end(struct walk *walk, bool decided)
{
    if (!decided && !walk->allowed) {
        walk->rules->undecided(walk);
    } else if (!decided) {
        walk->outcome = walk->allowance;
        walk->outcome.auth_data = walk->last_word;
        walk->outcome.covers_delivery = walk->covers;
    }
    if (walk->rules->ends)
        walk->rules->ends(walk);
    return WALK_DONE;
}

enum walk_state walk_run(struct walk *walk)
{
    for (; !walk_is_over(walk); walk->position++) {
        const struct entry *entry = walk->list->entries[walk->position];
        if (walk_skips(walk, entry))
            continue;
        struct opinion opinion;
        if (!walk_consult(walk, entry, &opinion))
            return WALK_WAITING;
        if (walk_judge(walk, entry, &opinion))
            return walk_end(walk, true);
    }
    return walk_end(walk, false);
}

struct decision *walk_decide(struct walk *walk, const struct decision_call *call, struct outcome *outcome)
{
    if (walk_run(walk) == WALK_WAITING) {
        walk->decision->done = call->done;
        walk->decision->argument = call->argument;
        return walk->decision;
    }
    *outcome = walk->outcome;
    return NULL;
}

// ---- Going on ------------------------------------------------------------------------------------------

void decision_tell(struct decision *decision)
{
    decision->done(decision->walk.client, &decision->walk.outcome, decision->argument);
}

// Tells the caller of a decision that is on no list any more, and gives the list's reference of the client
// back.
static void decision_finish(struct decision *decision)
{
    struct client *client = decision->walk.client;
    bool continues = decision->walk.outcome.verdict == NOCTULE_CONTINUE;
    if (continues)
        login_continues(decision);
    decision->walk.rules->tells(decision);
    // A login that goes on is the client's now, and may be gone already.
    if (!continues)
        decision_free(decision);
    client_unref(client);
}

void decisions_resume(struct ticket *ticket, noctule_verdict verdict, const struct answer *answer)
{
    const struct entry *entry = ticket->entry;
    uint64_t nanoseconds = clock_monotonic_ns() - ticket->began_ns;
    cells_observe(&entry->instance->cells, INSTANCE_DECISION, nanoseconds / 1000);
    bool learnt = false;
    while (ticket->waiters) {
        struct decision *decision = ticket->waiters;
        struct walk *walk = &decision->walk;
        ticket->waiters = decision->next_waiter;
        if (ticket->waiters)
            ticket->waiters->waiter_link = &ticket->waiters;
        decision->ticket = NULL;
        struct opinion opinion = {.verdict = verdict,
                                  .answer = answer_copy(answer, walk->arena),
                                  .source = learnt ? DECISION_SHARED : DECISION_ASKED,
                                  .nanoseconds = nanoseconds};
        if (!learnt && walk->rules->learns)
            walk->rules->learns(walk, entry, &opinion, ticket->epoch);
        learnt = true;
        enum walk_state state;
        if (walk_judge(walk, entry, &opinion)) {
            state = walk_end(walk, true);
        } else {
            walk->position++;
            state = walk_run(walk);
        }
        if (state == WALK_DONE) {
            decision_unlink(decision);
            decision_finish(decision);
        }
    }
}

void decisions_end(struct decision **list)
{
    while (*list) {
        // Whoever is told may take others off the list, so its first is looked for anew each time.
        struct decision *decision = *list;
        *list = decision->next;
        if (decision->next)
            decision->next->link = list;
        decision->next = NULL;
        decision->link = NULL;
        if (decision->ticket)
            ticket_leave(decision->ticket, decision);
        decision->walk.outcome =
            (struct outcome){.verdict = NOCTULE_DENY, .failed = true, .reason = STR("the broker stops")};
        decision_finish(decision);
    }
}
