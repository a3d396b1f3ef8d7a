// message_in, once per message before it is routed, and message_out, once per subscriber.
#include "core/plugin/client_state.h"
#include "core/plugin/generation.h"
#include "core/plugin/hook.h"

// ---- Asking --------------------------------------------------------------------------------------------

static noctule_verdict ask_login(const struct noctule_plugin *plugin, const struct noctule_context *context,
                                 const struct question *question)
{
    return plugin->authenticate(context, &question->login);
}

static noctule_verdict ask_auth(const struct noctule_plugin *plugin, const struct noctule_context *context,
                                const struct question *question)
{
    return plugin->auth_step(context, &question->auth);
}

static noctule_verdict ask_access(const struct noctule_plugin *plugin, const struct noctule_context *context,
                                  const struct question *question)
{
    return plugin->authorize(context, &question->access);
}

static noctule_verdict ask_psk(const struct noctule_plugin *plugin, const struct noctule_context *context,
                               const struct question *question)
{
    return plugin->psk(context, &question->psk);
}

static noctule_verdict ask_message(const struct noctule_plugin *plugin, const struct noctule_context *context,
                                   const struct question *question)
{
    return plugin->message_in(context, question->message);
}

static const struct {
    noctule_verdict (*ask)(const struct noctule_plugin *plugin, const struct noctule_context *context,
                           const struct question *question);
    const char *name;
} hooks[QUESTION_KINDS] = {
    [QUESTION_LOGIN] = {ask_login, "authenticate"},   [QUESTION_AUTH] = {ask_auth, "auth_step"},
    [QUESTION_ACCESS] = {ask_access, "authorize"},    [QUESTION_PSK] = {ask_psk, "psk"},
    [QUESTION_MESSAGE] = {ask_message, "message_in"},
};

noctule_verdict question_ask(const struct noctule_plugin *plugin, const struct noctule_context *context,
                             const struct question *question)
{
    return hooks[question->kind].ask(plugin, context, question);
}

const char *question_hook_name(enum question_kind kind)
{
    return hooks[kind].name;
}

// ---- message_in ----------------------------------------------------------------------------------------

// What a plugin published does not come back to it.
static bool message_takes(const struct walk *walk, const struct entry *entry)
{
    return walk->view->base->origin != entry->instance->index + 1;
}

static bool message_judge(struct walk *walk, const struct entry *entry, const struct opinion *opinion)
{
    switch (opinion->verdict) {
    case NOCTULE_NEXT:
    case NOCTULE_ALLOW:
        return false;
    case NOCTULE_DENY:
    case NOCTULE_DROP:
        walk->outcome = outcome_of(entry, opinion, opinion->verdict);
        return true;
    default:
        if (!entry->required && entry->error_is_next)
            return false;
        walk->outcome = outcome_of(entry, opinion, NOCTULE_DENY);
        walk->outcome.failed = true;
        walk->outcome.show_reason = false;
        return true;
    }
}

static void message_undecided(struct walk *walk)
{
    walk->outcome = (struct outcome){.verdict = NOCTULE_ALLOW};
}

// The message that goes on, with a reference for whoever is told.
static void message_tell(struct decision *decision)
{
    struct walk *walk = &decision->walk;
    bool failed;
    struct message *message = message_view_result(walk->view, &failed);
    if (failed)
        walk->outcome =
            (struct outcome){.verdict = NOCTULE_DENY, .failed = true, .reason = STR("out of memory")};
    if (!message)
        message = message_ref(walk->view->base);
    decision->message_done(walk->client, &walk->outcome, message, decision->argument);
}

static const struct walk_rules message_rules = {
    .takes = message_takes,
    .judges = message_judge,
    .undecided = message_undecided,
    .tells = message_tell,
};

struct decision *decide_message_in(struct worker *worker, struct client *client, struct message *message,
                                   message_in_done_fn *done, void *argument, struct outcome *outcome,
                                   struct message **changed)
{
    struct noctule_worker *here = worker_plugins(worker);
    struct noctule_message view;
    message_view_init(&view, message, false, message->qos);
    struct question question = {.kind = QUESTION_MESSAGE, .message = &view};
    struct walk walk;
    walk_begin(&walk, &message_rules, here, client, &question, NULL);
    walk.chain = client ? client->chain : generation_all(here->generation);
    walk.list = &walk.chain->message_in;
    walk.view = &view;
    if (walk_run(&walk) == WALK_WAITING) {
        walk.decision->message_done = done;
        walk.decision->argument = argument;
        return walk.decision;
    }
    *outcome = walk.outcome;
    bool failed;
    *changed = message_view_result(&view, &failed);
    if (failed)
        *outcome = (struct outcome){.verdict = NOCTULE_DENY, .failed = true, .reason = STR("out of memory")};
    message_view_clear(&view);
    return NULL;
}

bool chain_takes_message_in(struct worker *worker, const struct client *client)
{
    if (client)
        return client->chain->message_in.count > 0;
    struct noctule_worker *here = worker_plugins(worker);
    return here && here->generation && generation_all(here->generation)->message_in.count > 0;
}

// ---- message_out ---------------------------------------------------------------------------------------

// Whether the message goes on to the next entry.
static bool message_out_ask(struct noctule_worker *worker, struct client *client, const struct entry *entry,
                            struct noctule_message *view)
{
    struct hook hook;
    noctule_verdict verdict = NOCTULE_ERROR;
    if (hook_begin(&hook, entry->instance, entry->snapshot, worker, client, NULL)) {
        hook.message = view;
        verdict = entry->plugin->message_out(&hook.context, view);
        hook_end(&hook, "message_out");
    }
    switch (verdict) {
    case NOCTULE_NEXT:
    case NOCTULE_ALLOW:
        return true;
    case NOCTULE_DENY:
    case NOCTULE_DROP:
        cells_add(&entry->instance->cells, COUNT_DROP, 1);
        return false;
    default:
        cells_add(&entry->instance->cells, COUNT_ERROR, 1);
        return !entry->required && entry->error_is_next;
    }
}

bool message_out(struct client *client, struct message *message, uint8_t qos, struct message **changed)
{
    const struct entry_list *list = &client->chain->message_out;
    struct noctule_message view;
    message_view_init(&view, message, true, qos);
    *changed = NULL;
    bool goes_on = true;
    for (size_t i = 0; goes_on && i < list->count; i++)
        goes_on = message_out_ask(client->worker, client, list->entries[i], &view);
    bool failed = false;
    if (goes_on)
        *changed = message_view_result(&view, &failed);
    message_view_clear(&view);
    return goes_on && !failed;
}

bool chain_takes_message_out(const struct client *client)
{
    return client->chain->message_out.count > 0;
}
