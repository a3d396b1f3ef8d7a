// What the files of the control socket share: its thread, those who ask, and work that goes to workers and
// back. Each structure says which thread may touch it. Only control*.c include this.
#ifndef NOCTULE_BROKER_CONTROL_STATE_H
#define NOCTULE_BROKER_CONTROL_STATE_H

#include "core/broker/control.h"
#include "core/broker/control_json.h"
#include "core/broker/control_request.h"
#include "core/broker/state.h"

enum {
    CONTROL_SESSIONS_MAX = 16,
    CONTROL_OUTPUT_HIGH = 256 * 1024, ///< bytes that wait for a reader above which no more is fetched
    CONTROL_STALL_MS = 15000,         ///< a reader that takes nothing for so long is dropped
    CONTROL_SLICE_NS = 300 * 1000,    ///< that one slice may hold up a worker
    CONTROL_SLICE_BYTES = 64 * 1024,  ///< of names and topics in one slice
    CONTROL_RATE_SECONDS = 10,
};

struct control_job;
struct trace;

/** One that asks. The control thread only. */
struct control_session {
    struct control *control;
    uint64_t number; ///< not used again
    int fd;
    char *input;
    size_t input_length;
    size_t input_capacity;
    char *output;
    size_t output_length;
    size_t output_sent;
    size_t output_capacity;
    uint64_t progress_ms;     ///< when it last took something, or nothing waited
    struct control_job *held; ///< goes on when the reader has taken what there is
    struct trace *trace;
    uint64_t trace_ends_ms;
    bool busy;    ///< a request is being answered: the next one waits
    bool at_end;  ///< it will send nothing more
    bool closing; ///< once its output is written
};

enum job_state {
    JOB_MORE, ///< there is more on this worker
    JOB_DONE, ///< not on this one
    JOB_LATER ///< whoever took the job delivers it
};

typedef enum job_state job_fn(struct broker_worker *here, struct control_job *job);

/**
 * One request's work on workers. It belongs to the thread that has it: a worker between being posted and
 * being delivered, the control thread else.
 */
struct control_job {
    struct post post; // first: found again from the post
    struct control_job *next;
    struct control *control;
    uint64_t session;
    struct control_request request; ///< owned
    job_fn *work;
    /** Control thread: adds to the last line. May be NULL. */
    void (*finish)(struct control_job *job, json_t *last);
    void (*clear)(struct control_job *job); ///< frees `state`. May be NULL
    unsigned worker;
    unsigned last_worker;
    bool more;
    bool goes_on; ///< the answer does, when the job is done
    struct client_walk *walk;
    size_t cursor; ///< of `work`, on this worker; 0 at first
    size_t cursor_2;
    json_t *lines; ///< what has been found since it was last delivered
    const char *error;
    uint64_t count;
    void *state;
};

/** Counters at a moment, for rates. */
struct control_sample {
    uint64_t at_ms;
    uint64_t values[5];
};

struct control {
    char *path;
    int listening;
    int wake; ///< an eventfd
    pthread_t thread;
    pthread_t main;
    bool started;
    struct broker *broker;
    uint64_t started_ms;
    // The control thread only.
    struct control_session *sessions[CONTROL_SESSIONS_MAX];
    uint64_t last_number;
    uint64_t accepts_at_ms;                                  ///< not before
    struct control_sample samples[CONTROL_RATE_SECONDS + 1]; ///< the newest first
    unsigned sample_count;
    // Any thread, under `lock`.
    pthread_mutex_t lock;
    bool stopping;
    struct control_job *delivered; ///< the newest first
    struct control_job *reloads;   ///< wait for the main thread
    struct control_job *reloading; ///< the main thread's: answered with the next report
    struct limit_settings limits;
};

/* control.c */
/** A line for the reader; takes `line`. */
void control_say(struct control_session *session, json_t *line);
/** A line that is JSON already. */
void control_put_line(struct control_session *session, const char *text, size_t length);
/** The last line of an answer; takes `last`, an object. */
void control_finish(struct control_session *session, json_t *last);
void control_refuse(struct control_session *session, const char *error);
/** Control thread: a job about this request, which it takes, for workers `first` to `last`. */
struct control_job *control_job_new(struct control_session *session, struct control_request *request,
                                    job_fn *work, unsigned first, unsigned last);
/** Posts it to its worker. */
void control_job_send(struct control_job *job);
void control_job_free(struct control_job *job);
/** Any thread: back to the control thread, which says its lines and goes on. */
void control_deliver(struct control_job *job);
/** Any thread: something is there for the control thread. */
void control_wake(struct control *control);
/** The worker of this client id. */
unsigned control_home(const struct control *control, struct str client_id);

/* control_commands.c */
/** Control thread: begins to answer; takes what is in `request`. */
void control_begin(struct control_session *session, struct control_request *request);

/* control_explain.c */
void control_begin_explain(struct control_session *session, struct control_request *request);

/* control_trace.c */
void control_begin_trace(struct control_session *session, struct control_request *request);
/** Takes what has come as far as the reader keeps up; ends the trace when its time is over. */
void control_pump_trace(struct control_session *session);
void control_end_trace(struct control_session *session);

/* control_status.c */
void control_sample(struct control *control);
json_t *control_status(struct control *control);

/* control_clients.c */
job_fn control_work_clients;
job_fn control_work_client;
job_fn control_work_kick;
void control_finish_kick(struct control_job *job, json_t *last);

#endif
