// CONNECT and AUTH: the authenticate hooks, enhanced authentication, and what an allowed login brings along.
// Also TLS-PSK.
#include "core/plugin/psk.h"

#include <stdlib.h>

#include "core/base/memory.h"
#include "core/mqtt/reason.h"
#include "core/plugin/client_state.h"
#include "core/plugin/generation.h"

// ---- What a login brings along -------------------------------------------------------------------------

static void login_allows(struct walk *walk, const struct entry *entry, const struct opinion *opinion)
{
    struct login_effect *effect = arena_alloc(walk->arena, sizeof *effect);
    *effect = (struct login_effect){.next = walk->effects, .entry = entry, .answer = opinion->answer};
    walk->effects = effect;
    if (walk->question->login.auth_method.data && entry->plugin->auth_step && !walk->step) {
        walk->pinned = walk->position;
        walk->is_pinned = true;
    }
}

static uint32_t lower(uint32_t current, uint32_t wanted)
{
    return wanted != 0 && (current == 0 || wanted < current) ? wanted : current;
}

static void effect_apply(struct client *client, const struct login_effect *effect, bool again)
{
    const struct answer *answer = &effect->answer;
    uint8_t instance = effect->entry->instance->index;
    client_mark_let_in(client, instance);
    if (!again && answer->username.length)
        client_set_username(client, answer->username);
    if (!again && answer->client_id.length)
        client_set_id(client, answer->client_id);
    if (answer->grant_count > 0 || (client->extra && client->extra->grants))
        grants_replace(&client_extra(client)->grants, instance, answer);
    if (answer->client_data)
        client_data_set(client, instance, answer->client_data);
    if (!answer->expires_at_ms && !answer->max_inflight && !answer->max_queued)
        return;
    struct client_extra *extra = client_extra(client);
    extra->max_inflight = lower(extra->max_inflight, answer->max_inflight);
    extra->max_queued = lower(extra->max_queued, answer->max_queued);
    // Authenticating again is how a login gets more time.
    bool sooner = extra->expires_at_ms == 0 || answer->expires_at_ms < extra->expires_at_ms;
    if (answer->expires_at_ms && (again || sooner))
        extra->expires_at_ms = answer->expires_at_ms;
}

// In the order of the chain: of two entries that give the client a name, the later one has the last word.
static void effects_apply(struct walk *walk, struct login_effect *effect)
{
    if (!effect)
        return;
    effects_apply(walk, effect->next);
    effect_apply(walk->client, effect, walk->reauthentication);
}

// The method and the entry that a re-authentication is bound to. [v5 4.12.1]
static void remember_authentication(struct walk *walk)
{
    struct client_extra *extra = client_extra(walk->client);
    const struct entry *entry = walk->list->entries[walk->pinned];
    extra->auth_instance = (uint8_t)(1 + entry->instance->index);
    if (!extra->auth_method.data)
        extra->auth_method = str_copy(str_from(walk->question->login.auth_method));
}

static void login_ends(struct walk *walk)
{
    struct client *client = walk->client;
    if (walk->outcome.verdict != NOCTULE_ALLOW)
        return;
    // What it was to get would be back after it was taken away. A login is made once more instead; an
    // exchange of AUTH packets cannot be.
    if (walk->reauthentication && client->revoked) {
        walk->outcome =
            (struct outcome){.verdict = NOCTULE_DENY, .reason = STR("revoked while it authenticated again")};
        return;
    }
    // A login anew sets its own limits; a re-authentication leaves what other entries have set.
    if (client->extra && !walk->reauthentication) {
        client->extra->max_inflight = 0;
        client->extra->max_queued = 0;
        client->extra->expires_at_ms = 0;
    }
    effects_apply(walk, walk->effects);
    client_forget_verdicts(client, -1);
    // Its grants may be other ones now; asked again later, for the answer to this is not yet told.
    if (walk->reauthentication)
        client_recheck_later(client);
    if (walk->is_pinned)
        remember_authentication(walk);
}

static void login_undecided(struct walk *walk)
{
    const struct noctule_login *login = &walk->question->login;
    // A name that TLS has proved needs no password where none would be needed without a name.
    bool vouched = walk->client->vouched;
    bool anonymous = (!login->has_username || vouched) && !login->auth_method.data;
    walk->outcome = (struct outcome){.verdict = NOCTULE_DENY};
    if (walk->reauthentication)
        walk->outcome.reason = STR("the plugin of the login has no opinion");
    else if (anonymous && walk->chain->allow_anonymous)
        walk->outcome.verdict = NOCTULE_ALLOW;
    else if (walk->chain->login.count == 0 && walk->chain->allow_anonymous) {
        // A name that nobody could check is worth nothing: rules for that user must not be had by claiming
        // it.
        client_set_username(walk->client, (struct str){0});
        walk->outcome.verdict = NOCTULE_ALLOW;
    } else if (login->auth_method.data)
        walk->outcome.reason_code = MQTT_BAD_AUTHENTICATION_METHOD;
    else if (login->has_username && walk->chain->login.count > 0) {
        // Answered like a wrong password, so that the answer does not tell which names exist.
        walk->outcome.reason_code = MQTT_BAD_USER_NAME_OR_PASSWORD;
    }
    if (walk->outcome.verdict == NOCTULE_DENY && !walk->outcome.reason.data)
        walk->outcome.reason = anonymous ? STR("end of chain: allow_anonymous is false")
                                         : STR("end of chain: no plugin knows this client");
}

static bool login_judge(struct walk *walk, const struct entry *entry, const struct opinion *opinion)
{
    if (opinion->verdict == NOCTULE_CONTINUE) {
        walk->pinned = walk->position;
        walk->is_pinned = true;
    }
    return opinion_judge(walk, entry, opinion);
}

static const struct walk_rules login_rules = {
    .judges = login_judge,
    .allows = login_allows,
    .undecided = login_undecided,
    .ends = login_ends,
    .tells = decision_tell,
};

// ---- CONNECT -------------------------------------------------------------------------------------------

// A walk that met CONTINUE becomes the client's, which may come back with AUTH.
static void login_park(struct walk *walk)
{
    struct decision *decision = walk_keep(walk);
    struct client *client = decision->walk.client;
    decision_unlink(decision);
    login_continues(decision);
    client_unref(client);
}

void login_continues(struct decision *decision)
{
    client_extra(decision->walk.client)->login = decision;
}

static struct decision *login_decide(struct walk *walk, const struct decision_call *call,
                                     struct outcome *outcome)
{
    struct decision *waiting = walk_decide(walk, call, outcome);
    if (!waiting && outcome->verdict == NOCTULE_CONTINUE)
        login_park(walk);
    return waiting;
}

struct decision *decide_login(struct client *client, const struct noctule_login *login,
                              const struct decision_call *call, struct outcome *outcome)
{
    struct question question = {.kind = QUESTION_LOGIN, .login = *login};
    struct walk walk;
    walk_begin(&walk, &login_rules, client->worker, client, &question, call);
    walk.chain = client->chain;
    walk.list = &walk.chain->login;
    return login_decide(&walk, call, outcome);
}

// ---- AUTH ----------------------------------------------------------------------------------------------

static struct decision *auth_refuse(struct outcome *outcome, uint8_t reason_code, const char *reason)
{
    *outcome =
        (struct outcome){.verdict = NOCTULE_DENY, .reason_code = reason_code, .reason = str_of(reason)};
    return NULL;
}

// The outcome of a decision that ends here, with strings that outlive it.
static void outcome_keep_in_scratch(struct noctule_worker *worker, struct outcome *outcome)
{
    outcome->reason = arena_copy(&worker->scratch, outcome->reason);
    outcome->auth_data = arena_copy(&worker->scratch, outcome->auth_data);
    outcome->psk = arena_copy(&worker->scratch, outcome->psk);
}

// The login that answered CONTINUE goes on where it stopped.
static struct decision *auth_step(struct client *client, const struct question *step,
                                  const struct decision_call *call, struct outcome *outcome)
{
    struct decision *decision = client->extra->login;
    struct walk *walk = &decision->walk;
    client->extra->login = NULL;
    arena_reset(&client->worker->scratch);
    walk->step = step;
    walk->position = walk->pinned;
    walk->trace = call->trace;
    walk->trace_argument = call->trace_argument;
    decision->done = call->done;
    decision->argument = call->argument;
    struct decision *waiting = walk_decide(walk, call, outcome);
    if (waiting)
        return waiting;
    outcome_keep_in_scratch(client->worker, outcome);
    if (outcome->verdict == NOCTULE_CONTINUE)
        login_park(walk);
    else
        decision_free(decision);
    return NULL;
}

// The position of an instance in the list, or its length.
static size_t position_of(const struct entry_list *list, uint8_t instance)
{
    size_t position = 0;
    while (position < list->count && list->entries[position]->instance->index != instance)
        position++;
    return position;
}

static struct decision *auth_again(struct client *client, const struct question *step,
                                   const struct decision_call *call, struct outcome *outcome)
{
    const struct entry_list *list = &client->chain->login;
    size_t position = position_of(list, (uint8_t)(client->extra->auth_instance - 1));
    if (position == list->count || !list->entries[position]->plugin->auth_step)
        return auth_refuse(outcome, MQTT_NOT_AUTHORIZED, "the plugin of the login is not in force any more");
    struct question question = {.kind = QUESTION_LOGIN,
                                .login = {.size = sizeof question.login, .auth_method = step->auth.method}};
    struct walk walk;
    walk_begin(&walk, &login_rules, client->worker, client, &question, call);
    walk.chain = client->chain;
    walk.list = list;
    walk.position = walk.pinned = position;
    walk.step = step;
    walk.reauthentication = true;
    client->revoked = false; // what was revoked before is asked about now
    return login_decide(&walk, call, outcome);
}

struct decision *decide_auth(struct client *client, const struct noctule_auth *auth,
                             const struct decision_call *call, struct outcome *outcome)
{
    struct question step = {.kind = QUESTION_AUTH, .auth = *auth};
    struct client_extra *extra = client->extra;
    if (extra && extra->login) {
        struct str method = str_from(extra->login->walk.question->login.auth_method);
        if (auth->reason_code != MQTT_CONTINUE_AUTHENTICATION || !str_equal(method, str_from(auth->method)))
            return auth_refuse(outcome, MQTT_PROTOCOL_ERROR, "AUTH does not fit the one before");
        return auth_step(client, &step, call, outcome);
    }
    if (auth->reason_code != MQTT_REAUTHENTICATE || !extra || extra->auth_instance == 0 ||
        !str_equal(extra->auth_method, str_from(auth->method)))
        return auth_refuse(outcome, MQTT_PROTOCOL_ERROR, "AUTH without a login to renew");
    return auth_again(client, &step, call, outcome);
}

bool chain_takes_auth(const struct client *client)
{
    return client->chain->takes_auth;
}

// ---- TLS-PSK -------------------------------------------------------------------------------------------

static void psk_undecided(struct walk *walk)
{
    walk->outcome = (struct outcome){.verdict = NOCTULE_DENY, .reason = STR("no plugin knows this identity")};
}

static const struct walk_rules psk_rules = {
    .judges = opinion_judge,
    .undecided = psk_undecided,
    .tells = decision_tell,
};

struct decision *decide_psk(struct worker *worker, const struct noctule_psk *psk,
                            const struct decision_call *call, struct outcome *outcome)
{
    struct noctule_worker *here = worker_plugins(worker);
    struct question question = {.kind = QUESTION_PSK, .psk = *psk};
    struct walk walk;
    walk_begin(&walk, &psk_rules, here, NULL, &question, call);
    walk.chain = generation_chain(here->generation, str_from(psk->listener));
    walk.list = &walk.chain->psk;
    return walk_decide(&walk, call, outcome);
}

bool chain_takes_psk(struct worker *worker, struct str listener)
{
    return generation_chain(worker_plugins(worker)->generation, listener)->psk.count > 0;
}
