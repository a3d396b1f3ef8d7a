// `explain --live`: what the running chain says about a connected client, with its grants and kept verdicts.
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/broker/control_state.h"
#include "core/broker/trace.h"
#include "core/plugin/client_facts.h"
#include "core/topic/topic.h"

enum { LOOK_MS = 50, WAIT_MS = 60 * 1000 };

/** A question that waits for a plugin. Its worker only. */
struct explanation {
    struct wheel_timer timer; ///< looks whether the client is still there
    struct broker_worker *here;
    struct explanation *next;
    struct control_job *job;
    struct client *client; ///< one reference
    struct decision *decision;
    uint64_t until_ms;
};

static const struct {
    const char *name;
    uint32_t bit;
} accesses[] = {{"publish", NOCTULE_ACCESS_PUBLISH},
                {"subscribe", NOCTULE_ACCESS_SUBSCRIBE},
                {"deliver", NOCTULE_ACCESS_DELIVER},
                {"will", NOCTULE_ACCESS_WILL}};

static uint32_t access_of(struct str name)
{
    for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++)
        if (str_equal(name, str_of(accesses[i].name)))
            return accesses[i].bit;
    return 0;
}

static void note_step(const struct decision_step *step, void *argument)
{
    struct control_job *job = argument;
    json_array_append_new(job->lines, json_pack("{s:o}", "row", trace_step_json(step)));
}

static void note_outcome(struct control_job *job, const struct client *client, const struct outcome *outcome)
{
    struct noctule_client_info info = client_info(client);
    json_t *answer = json_object();
    json_object_set_new(answer, "verdict", json_string(outcome->verdict == NOCTULE_ALLOW ? "allow" : "deny"));
    control_set(answer, "plugin", control_text(str_of(outcome->decided ? outcome->instance : NULL)));
    control_set(answer, "rule", control_text(outcome->reason.length ? outcome->reason : (struct str){0}));
    json_object_set_new(answer, "failed", json_boolean(outcome->failed));
    control_set(answer, "client_id", control_name(info.client_id));
    control_set(answer, "username", control_name(info.username));
    control_set(answer, "address", control_name(info.address));
    control_set(answer, "listener", control_name(info.listener));
    json_object_set_new(answer, "grants", json_integer((json_int_t)client_grant_count(client)));
    json_object_set_new(answer, "cached_verdicts", json_integer((json_int_t)client_cached_count(client)));
    job->state = answer;
}

static void finish(struct control_job *job, json_t *last)
{
    json_object_update(last, job->state);
}

static void clear(struct control_job *job)
{
    json_decref(job->state);
}

/* ---- waiting ---- */

static void explanation_end(struct explanation *explanation, const char *error)
{
    wheel_stop(&explanation->timer);
    struct explanation **link = &explanation->here->explanations;
    while (*link != explanation)
        link = &(*link)->next;
    *link = explanation->next;
    explanation->job->error = error;
    control_deliver(explanation->job);
    client_unref(explanation->client);
    free(explanation);
}

// The end of its connection takes the decision along, without a word.
static void look(struct wheel_timer *timer, void *context)
{
    struct explanation *explanation = (struct explanation *)timer;
    struct worker *worker = context;
    if (!client_owner(explanation->client)) {
        explanation_end(explanation, "the client has gone");
    } else if (worker->now_ms >= explanation->until_ms) {
        decision_cancel(explanation->decision);
        explanation_end(explanation, "the plugins do not answer");
    } else {
        wheel_start(&worker->wheel, timer, worker->now_ms + LOOK_MS, look);
    }
}

static void decided(struct client *client, const struct outcome *outcome, void *argument)
{
    struct explanation *explanation = argument;
    note_outcome(explanation->job, client, outcome);
    explanation_end(explanation, NULL);
}

void control_worker_down(struct broker_worker *here)
{
    while (here->explanations) {
        struct explanation *explanation = here->explanations;
        if (client_owner(explanation->client))
            decision_cancel(explanation->decision);
        explanation_end(explanation, "the broker is stopping");
    }
    trace_end_all(here);
}

static struct explanation *explanation_new(struct broker_worker *here, struct control_job *job,
                                           struct client *client)
{
    struct explanation *explanation = memory_zalloc(sizeof *explanation);
    explanation->here = here;
    explanation->job = job;
    explanation->client = client_ref(client);
    explanation->until_ms = here->worker->now_ms + WAIT_MS;
    explanation->next = here->explanations;
    here->explanations = explanation;
    return explanation;
}

/* ---- asking ---- */

static enum job_state ask(struct broker_worker *here, struct control_job *job, struct client *client)
{
    struct explanation *explanation = explanation_new(here, job, client);
    struct noctule_access access = {.size = sizeof access,
                                    .access = access_of(job->request.access),
                                    .topic = {job->request.topic.data, job->request.topic.length}};
    struct decision_call call = {
        .done = decided, .argument = explanation, .trace = note_step, .trace_argument = job};
    struct outcome outcome;
    explanation->decision = decide_access(client, &access, &call, &outcome);
    if (explanation->decision)
        look(&explanation->timer, here->worker);
    else
        decided(client, &outcome, explanation);
    return JOB_LATER;
}

static enum job_state work(struct broker_worker *here, struct control_job *job)
{
    const struct session *session = sessions_find(&here->sessions, job->request.client_id);
    const struct connection *connection = session ? session->connection : NULL;
    if (connection && connection->state == STATE_ONLINE && !here->stopping)
        return ask(here, job, connection->client);
    job->error = session ? "the client is not connected" : "there is no such client";
    return JOB_DONE;
}

static const char *problem_of(const struct control_request *request)
{
    struct topic_filter parsed;
    if (!request->client_id.data || !request->access.data || !request->topic.data)
        return "explain: \"client_id\", \"access\" and \"topic\" are needed";
    uint32_t access = access_of(request->access);
    if (!access)
        return "explain: there is no such access";
    if (access == NOCTULE_ACCESS_SUBSCRIBE)
        return topic_filter_parse(request->topic, &parsed) ? NULL : "explain: no valid topic filter";
    return topic_is_valid(request->topic) ? NULL : "explain: no valid topic";
}

void control_begin_explain(struct control_session *session, struct control_request *request)
{
    const char *problem = problem_of(request);
    if (problem) {
        control_refuse(session, problem);
        return;
    }
    unsigned home = control_home(session->control, request->client_id);
    struct control_job *job = control_job_new(session, request, work, home, home);
    job->finish = finish;
    job->clear = clear;
    control_job_send(job);
}
