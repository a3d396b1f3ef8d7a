// `trace`: lines from the workers to one reader, until it goes or its time is over.
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/broker/control_state.h"
#include "core/broker/trace.h"

enum { PLACES_AT_ONCE = 64 };

static void consider(struct client *client, void *argument)
{
    (void)argument;
    struct connection *connection = client_owner(client);
    if (connection)
        trace_consider(connection);
}

static void clear_trace(struct control_job *job)
{
    trace_unref(job->state);
    free(job->walk);
}

static enum job_state work_begin(struct broker_worker *here, struct control_job *job)
{
    if (job->cursor == 0) {
        if (!trace_begin(here, job->state)) {
            job->error = "too many traces at once";
            return JOB_DONE;
        }
        job->cursor = 1;
        client_walk_begin(here->worker, job->walk);
    }
    uint64_t until = clock_monotonic_ns() + CONTROL_SLICE_NS;
    do {
        if (!client_walk_on(here->worker, job->walk, PLACES_AT_ONCE, consider, NULL))
            return JOB_DONE;
    } while (clock_monotonic_ns() < until);
    return JOB_MORE;
}

static enum job_state work_end(struct broker_worker *here, struct control_job *job)
{
    trace_end(here, job->state);
    return JOB_DONE;
}

static void wake(void *argument)
{
    control_wake(argument);
}

static struct control_job *job_for(struct control_session *session, struct control_request *request,
                                   job_fn *work, unsigned first, unsigned last)
{
    struct control_job *job = control_job_new(session, request, work, first, last);
    job->state = trace_ref(session->trace);
    job->clear = clear_trace;
    return job;
}

void control_begin_trace(struct control_session *session, struct control_request *request)
{
    if (!request->client_id.data && !request->username.data && !request->address.data) {
        control_refuse(session, "trace: whom?");
        return;
    }
    struct trace_filter filter = {.client_id = request->client_id,
                                  .username = request->username,
                                  .address = request->address,
                                  .payload = request->payload};
    session->trace = trace_new(&filter, wake, session->control);
    session->trace_ends_ms =
        request->seconds ? clock_monotonic_ms() + request->seconds * UINT64_C(1000) : UINT64_MAX;
    unsigned last = session->control->broker->worker_count - 1;
    struct control_job *job = job_for(session, request, work_begin, 0, last);
    job->walk = memory_zalloc(sizeof *job->walk);
    job->goes_on = true;
    control_job_send(job);
}

void control_end_trace(struct control_session *session)
{
    if (!session->trace)
        return;
    uint64_t number = session->number;
    session->number = 0; // nobody waits for these jobs
    for (unsigned i = 0; i < session->control->broker->worker_count; i++) {
        struct control_request none = {0};
        control_job_send(job_for(session, &none, work_end, i, i));
    }
    session->number = number;
    trace_unref(session->trace);
    session->trace = NULL;
}

void control_pump_trace(struct control_session *session)
{
    if (!session->trace || session->output_length - session->output_sent > CONTROL_OUTPUT_HIGH)
        return;
    uint64_t dropped;
    struct trace_line *line = trace_take(session->trace, &dropped);
    while (line) {
        struct trace_line *next = line->next;
        control_put_line(session, line->text, line->length);
        free(line);
        line = next;
    }
    if (dropped)
        control_say(session,
                    json_pack("{s:{s:s, s:I}}", "row", "event", "left_out", "count", (json_int_t)dropped));
    if (clock_monotonic_ms() >= session->trace_ends_ms) {
        control_end_trace(session);
        control_finish(session, json_object());
    }
}
