// Commands: which there are, and how each begins to be answered.
#include <signal.h>
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/broker/control_state.h"
#include "core/plugin/revoke.h"

typedef void command_fn(struct control_session *session, struct control_request *request);

static void begin_status(struct control_session *session, struct control_request *request)
{
    (void)request;
    control_finish(session, control_status(session->control));
}

/* ---- what is done on workers ---- */

static void begin_clients(struct control_session *session, struct control_request *request)
{
    unsigned last = session->control->broker->worker_count - 1;
    control_job_send(control_job_new(session, request, control_work_clients, 0, last));
}

static void begin_client(struct control_session *session, struct control_request *request)
{
    if (!request->client_id.data) {
        control_refuse(session, "client: \"client_id\" is missing");
        return;
    }
    unsigned home = control_home(session->control, request->client_id);
    control_job_send(control_job_new(session, request, control_work_client, home, home));
}

static void begin_kick(struct control_session *session, struct control_request *request)
{
    if (!request->client_id.data && !request->username.data && !request->address.data &&
        !request->listener.data) {
        control_refuse(session, "kick: whom?");
        return;
    }
    unsigned last = session->control->broker->worker_count - 1;
    struct control_job *job = control_job_new(session, request, control_work_kick, 0, last);
    job->finish = control_finish_kick;
    control_job_send(job);
}

/* ---- revoke ---- */

static void finish_revoke(struct control_job *job, json_t *last)
{
    json_object_set_new(last, "clients", json_integer((json_int_t)job->count));
}

static void revoked(void *argument, uint64_t clients)
{
    struct control_job *job = argument;
    job->count = clients;
    control_deliver(job);
}

static void begin_revoke(struct control_session *session, struct control_request *request)
{
    if (!request->client_id.data && !request->username.data) {
        control_refuse(session, "revoke: whom?");
        return;
    }
    struct control_job *job = control_job_new(session, request, NULL, 0, 0);
    job->finish = finish_revoke;
    struct revocation revocation = {.username = job->request.username,
                                    .client_id = job->request.client_id,
                                    .disconnect = job->request.disconnect,
                                    .done = revoked,
                                    .argument = job};
    if (plugin_revoke(session->control->broker->plugins, &revocation))
        return;
    control_job_free(job);
    control_refuse(session, "the broker is stopping");
}

/* ---- reload ---- */

static void finish_reload(struct control_job *job, json_t *last)
{
    json_object_update(last, job->state);
}

static void clear_reload(struct control_job *job)
{
    json_decref(job->state);
}

static void begin_reload(struct control_session *session, struct control_request *request)
{
    struct control *control = session->control;
    struct control_job *job = control_job_new(session, request, NULL, 0, 0);
    job->finish = finish_reload;
    job->clear = clear_reload;
    pthread_mutex_lock(&control->lock);
    job->next = control->reloads;
    control->reloads = job;
    pthread_mutex_unlock(&control->lock);
    pthread_kill(control->main, SIGHUP);
}

void control_tell_reload(struct control *control, const struct reload_report *report)
{
    pthread_mutex_lock(&control->lock);
    struct control_job *jobs = control->reloading;
    control->reloading = NULL;
    pthread_mutex_unlock(&control->lock);
    while (jobs) {
        struct control_job *next = jobs->next;
        json_t *answer = json_object();
        json_t *problems = json_array();
        for (size_t i = 0; i < report->diagnostics.count; i++) {
            const struct diagnostic *item = &report->diagnostics.items[i];
            json_array_append_new(problems,
                                  json_pack("{s:s, s:o}", "level", item->warning ? "warning" : "error",
                                            "text", control_text(str_of(item->text))));
        }
        json_object_set_new(answer, "ok", json_boolean(report->done));
        if (!report->done)
            json_object_set_new(answer, "error", json_string("the configuration in force stays as it was"));
        json_object_set_new(answer, "problems", problems);
        if (report->changes)
            json_object_set_new(answer, "changes", json_deep_copy(report->changes)); // the thread's own
        jobs->state = answer;
        control_deliver(jobs);
        jobs = next;
    }
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    command_fn *begin;
} commands[] = {
    {"status", begin_status},           {"clients", begin_clients},     {"client", begin_client},
    {"explain", control_begin_explain}, {"trace", control_begin_trace}, {"kick", begin_kick},
    {"revoke", begin_revoke},           {"reload", begin_reload},
};

void control_begin(struct control_session *session, struct control_request *request)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (str_equal(request->command, str_of(commands[i].name))) {
            commands[i].begin(session, request);
            return;
        }
    }
    control_refuse(session, "there is no such command");
}
