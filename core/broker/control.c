// The control thread: its socket, those who ask, and what comes back from the workers.
#include "core/broker/control.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/control_state.h"

enum { READ_SIZE = 16 * 1024, TICK_MS = 1000, BACKLOG = 8, ACCEPT_PAUSE_MS = 200 };

/* ---- the socket ---- */

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    memcpy(address.sun_path, path, length < sizeof address.sun_path ? length : sizeof address.sun_path - 1);
    return address;
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

// Whether the path is free, or can be made so: a socket at which nobody listens was left behind.
static const char *make_way(const char *path)
{
    struct sockaddr_un address = address_of(path);
    struct stat status;
    if (lstat(path, &status) != 0)
        return errno == ENOENT ? NULL : strerror(errno);
    if (!S_ISSOCK(status.st_mode))
        return "something else than a socket is there";
    int fd = new_socket();
    if (fd < 0)
        return strerror(errno);
    bool left_behind =
        connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 && errno == ECONNREFUSED;
    close(fd);
    if (!left_behind)
        return "another process uses it";
    return unlink(path) == 0 || errno == ENOENT ? NULL : strerror(errno);
}

// From the first moment on nobody else can connect: the mode is that of the file that bind makes.
static const char *listen_at(const char *path, int *fd)
{
    struct sockaddr_un address = address_of(path);
    const char *problem = make_way(path);
    if (problem)
        return problem;
    *fd = new_socket();
    if (*fd < 0)
        return strerror(errno);
    mode_t mask = umask(0177);
    int bound = bind(*fd, (const struct sockaddr *)&address, sizeof address);
    int error = errno;
    umask(mask);
    if (bound == 0 && listen(*fd, BACKLOG) == 0)
        return NULL;
    error = bound == 0 ? errno : error;
    close(*fd);
    return strerror(error);
}

struct control *control_open(const char *path, struct diagnostics *diagnostics)
{
    int fd = -1;
    const char *problem = listen_at(path, &fd);
    int wake = problem ? -1 : eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (problem || wake < 0) {
        diagnostics_error(diagnostics, (struct place){0}, "control: unix:%s: %s", path,
                          problem ? problem : strerror(errno));
        if (fd >= 0 && !problem)
            close(fd);
        return NULL;
    }
    struct control *control = memory_zalloc(sizeof *control);
    control->path = str_to_c(str_of(path));
    control->listening = fd;
    control->wake = wake;
    pthread_mutex_init(&control->lock, NULL);
    return control;
}

/* ---- jobs ---- */

void control_wake(struct control *control)
{
    uint64_t one = 1;
    ssize_t written = write(control->wake, &one, sizeof one);
    (void)written; // full: it is awake already
}

unsigned control_home(const struct control *control, struct str client_id)
{
    return login_home(control->broker, client_id);
}

struct control_job *control_job_new(struct control_session *session, struct control_request *request,
                                    job_fn *work, unsigned first, unsigned last)
{
    struct control_job *job = memory_zalloc(sizeof *job);
    job->control = session->control;
    job->session = session->number;
    job->request = *request;
    *request = (struct control_request){0};
    job->work = work;
    job->worker = first;
    job->last_worker = last;
    return job;
}

void control_job_free(struct control_job *job)
{
    if (job->clear)
        job->clear(job);
    control_request_clear(&job->request);
    json_decref(job->lines);
    free(job);
}

void control_deliver(struct control_job *job)
{
    struct control *control = job->control;
    pthread_mutex_lock(&control->lock);
    job->next = control->delivered;
    control->delivered = job;
    pthread_mutex_unlock(&control->lock);
    control_wake(control);
}

static void run_job(struct worker *worker, struct post *post)
{
    struct control_job *job = (struct control_job *)post;
    struct broker_worker *here = worker->owner;
    enum job_state state = here->ended ? JOB_DONE : job->work(here, job);
    if (state == JOB_LATER)
        return;
    job->more = state == JOB_MORE;
    control_deliver(job);
}

void control_job_send(struct control_job *job)
{
    job->post.run = run_job;
    job->lines = json_array();
    worker_post(&job->control->broker->workers[job->worker], &job->post);
}

/* ---- those who ask ---- */

static void close_session(struct control_session *session)
{
    close(session->fd);
    control_end_trace(session);
    if (session->held)
        control_job_free(session->held);
    free(session->input);
    free(session->output);
    free(session);
}

static void end_session(struct control *control, struct control_session *session)
{
    for (unsigned i = 0; i < CONTROL_SESSIONS_MAX; i++)
        if (control->sessions[i] == session)
            control->sessions[i] = NULL;
    close_session(session);
}

static struct control_session *session_find(struct control *control, uint64_t number)
{
    for (unsigned i = 0; i < CONTROL_SESSIONS_MAX; i++)
        if (control->sessions[i] && control->sessions[i]->number == number)
            return control->sessions[i];
    return NULL;
}

static size_t session_waiting(const struct control_session *session)
{
    return session->output_length - session->output_sent;
}

static void put(struct control_session *session, const char *bytes, size_t length)
{
    if (session->output_length + length > session->output_capacity && session->output_sent > 0) {
        session->output_length -= session->output_sent;
        memmove(session->output, session->output + session->output_sent, session->output_length);
        session->output_sent = 0;
    }
    if (session->output_length + length > session->output_capacity) {
        session->output_capacity = (session->output_length + length) * 2;
        session->output = memory_resize(session->output, session->output_capacity);
    }
    memcpy(session->output + session->output_length, bytes, length);
    session->output_length += length;
}

void control_put_line(struct control_session *session, const char *text, size_t length)
{
    if (session_waiting(session) == 0)
        session->progress_ms = clock_monotonic_ms();
    put(session, text, length);
    put(session, "\n", 1);
}

void control_say(struct control_session *session, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    if (text)
        control_put_line(session, text, strlen(text));
    free(text);
}

void control_finish(struct control_session *session, json_t *last)
{
    if (!json_object_get(last, "ok"))
        json_object_set_new(last, "ok", json_true());
    control_say(session, last);
    session->busy = false;
}

void control_refuse(struct control_session *session, const char *error)
{
    control_finish(session, json_pack("{s:b, s:s}", "ok", 0, "error", error));
}

// Only the same user and root: the mode of the socket says so too, but a folder may have been moved.
static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

static void accept_one(struct control *control)
{
    int fd = accept4(control->listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        // Without descriptors it would be told of the same connection again and again.
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            control->accepts_at_ms = clock_monotonic_ms() + ACCEPT_PAUSE_MS;
        return;
    }
    unsigned place = 0;
    while (place < CONTROL_SESSIONS_MAX && control->sessions[place])
        place++;
    if (place == CONTROL_SESSIONS_MAX || !is_allowed(fd)) {
        static const char busy[] = "{\"ok\":false,\"error\":\"too many commands at once\"}\n";
        static const char refused[] = "{\"ok\":false,\"error\":\"not for this user\"}\n";
        const char *told = place == CONTROL_SESSIONS_MAX ? busy : refused;
        ssize_t sent = send(fd, told, strlen(told), MSG_NOSIGNAL);
        (void)sent; // it is closed in any case
        close(fd);
        return;
    }
    struct control_session *session = memory_zalloc(sizeof *session);
    session->fd = fd;
    session->control = control;
    session->number = ++control->last_number;
    session->progress_ms = clock_monotonic_ms();
    control->sessions[place] = session;
}

static void read_some(struct control_session *session)
{
    if (session->input_capacity - session->input_length < READ_SIZE) {
        session->input_capacity = session->input_capacity * 2 + READ_SIZE;
        session->input = memory_resize(session->input, session->input_capacity);
    }
    ssize_t got = read(session->fd, session->input + session->input_length, READ_SIZE);
    if (got > 0)
        session->input_length += (size_t)got;
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        session->at_end = true;
}

// One line at a time: the next request waits for the end of the answer.
static void take_lines(struct control_session *session)
{
    while (!session->busy && !session->closing) {
        char *end = session->input_length ? memchr(session->input, '\n', session->input_length) : NULL;
        if (!end) {
            if (session->input_length > CONTROL_LINE_MAX) {
                control_refuse(session, "a request is longer than 1 MiB");
                session->closing = true;
            }
            return;
        }
        size_t length = (size_t)(end - session->input);
        struct control_request request;
        char error[CONTROL_ERROR_MAX];
        bool good = control_request_parse(str_make(session->input, length), &request, error);
        session->input_length -= length + 1;
        memmove(session->input, end + 1, session->input_length);
        session->busy = true;
        if (good) {
            control_begin(session, &request);
            control_request_clear(&request);
        } else {
            control_refuse(session, error);
        }
    }
}

static bool write_some(struct control_session *session)
{
    while (session_waiting(session) > 0) {
        ssize_t sent =
            send(session->fd, session->output + session->output_sent, session_waiting(session), MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        session->output_sent += (size_t)sent;
        session->progress_ms = clock_monotonic_ms();
    }
    session->output_sent = session->output_length = 0;
    return true;
}

// The job goes on, on the same worker or on the next one, or is at its end.
static void go_on(struct control_session *session, struct control_job *job)
{
    if (job->more || (job->worker < job->last_worker && !job->error)) {
        if (!job->more) {
            job->worker++;
            job->cursor = job->cursor_2 = 0;
        }
        control_job_send(job);
        return;
    }
    if (job->goes_on && !job->error) {
        control_job_free(job);
        control_say(session, json_pack("{s:{s:s}}", "row", "event", "begin"));
        return;
    }
    if (job->error)
        control_end_trace(session);
    json_t *last = json_object();
    if (job->error)
        json_object_update_new(last, json_pack("{s:b, s:s}", "ok", 0, "error", job->error));
    else if (job->finish)
        job->finish(job, last);
    control_job_free(job);
    control_finish(session, last);
}

static void job_arrived(struct control *control, struct control_job *job)
{
    struct control_session *session = session_find(control, job->session);
    if (!session) {
        control_job_free(job);
        return;
    }
    size_t i;
    json_t *line;
    json_array_foreach(job->lines, i, line) control_say(session, json_incref(line));
    json_decref(job->lines);
    job->lines = NULL;
    if (session_waiting(session) > CONTROL_OUTPUT_HIGH)
        session->held = job;
    else
        go_on(session, job);
}

static void take_delivered(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    struct control_job *newest = control->delivered;
    control->delivered = NULL;
    pthread_mutex_unlock(&control->lock);
    struct control_job *oldest = NULL;
    while (newest) {
        struct control_job *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        struct control_job *next = oldest->next;
        job_arrived(control, oldest);
        oldest = next;
    }
}

/* ---- the thread ---- */

static void serve_session(struct control *control, struct control_session *session, short events)
{
    if (events & (POLLIN | POLLHUP | POLLERR) && !session->at_end)
        read_some(session);
    take_lines(session);
    control_pump_trace(session);
    bool alive = write_some(session);
    if (alive && session->held && session_waiting(session) <= CONTROL_OUTPUT_HIGH / 2) {
        struct control_job *job = session->held;
        session->held = NULL;
        go_on(session, job);
        alive = write_some(session);
    }
    bool stalled =
        session_waiting(session) > 0 && clock_monotonic_ms() > session->progress_ms + CONTROL_STALL_MS;
    bool done = session_waiting(session) == 0 && (session->closing || (session->at_end && !session->busy));
    if (!alive || stalled || done || events & POLLERR || (events & POLLHUP && session->at_end))
        end_session(control, session);
}

static bool wait_for_events(struct control *control, struct pollfd *polled, struct control_session **whose)
{
    nfds_t count = 2;
    polled[0] = (struct pollfd){.fd = control->wake, .events = POLLIN};
    bool accepts = clock_monotonic_ms() >= control->accepts_at_ms;
    polled[1] = (struct pollfd){.fd = control->listening, .events = accepts ? POLLIN : 0};
    for (unsigned i = 0; i < CONTROL_SESSIONS_MAX; i++) {
        struct control_session *session = control->sessions[i];
        if (!session)
            continue;
        bool reads = !session->at_end && session->input_length <= CONTROL_LINE_MAX;
        short events = (short)((reads ? POLLIN : 0) | (session_waiting(session) ? POLLOUT : 0));
        whose[count] = session;
        polled[count++] = (struct pollfd){.fd = session->fd, .events = events};
    }
    whose[count] = NULL;
    poll(polled, count, accepts ? TICK_MS : ACCEPT_PAUSE_MS);
    pthread_mutex_lock(&control->lock);
    bool stopping = control->stopping;
    pthread_mutex_unlock(&control->lock);
    return !stopping;
}

static void *serve(void *argument)
{
    struct control *control = argument;
    struct pollfd polled[CONTROL_SESSIONS_MAX + 3];
    struct control_session *whose[CONTROL_SESSIONS_MAX + 3];
    while (wait_for_events(control, polled, whose)) {
        uint64_t woken;
        ssize_t got = read(control->wake, &woken, sizeof woken);
        (void)got; // nothing there: something else woke it
        control_sample(control);
        take_delivered(control);
        for (unsigned i = 2; whose[i]; i++)
            serve_session(control, whose[i], polled[i].revents);
        if (polled[1].revents & POLLIN)
            accept_one(control);
    }
    for (unsigned i = 0; i < CONTROL_SESSIONS_MAX; i++)
        if (control->sessions[i])
            close_session(control->sessions[i]);
    return NULL;
}

void control_start(struct control *control, struct broker *broker)
{
    control->broker = broker;
    control->main = pthread_self();
    control->started_ms = clock_monotonic_ms();
    control->started = pthread_create(&control->thread, NULL, serve, control) == 0;
    if (!control->started)
        log_warn("control: no thread could be started: commands are not answered");
}

void control_set_limits(struct control *control, const struct limit_settings *limits)
{
    pthread_mutex_lock(&control->lock);
    control->limits = *limits;
    pthread_mutex_unlock(&control->lock);
}

void control_stop(struct control *control)
{
    if (!control->started)
        return;
    pthread_mutex_lock(&control->lock);
    control->stopping = true;
    pthread_mutex_unlock(&control->lock);
    control_wake(control);
    pthread_join(control->thread, NULL);
    control->started = false;
}

static void jobs_free(struct control_job *jobs)
{
    while (jobs) {
        struct control_job *next = jobs->next;
        control_job_free(jobs);
        jobs = next;
    }
}

void control_free(struct control *control)
{
    if (!control)
        return;
    jobs_free(control->delivered);
    jobs_free(control->reloads);
    jobs_free(control->reloading);
    close(control->listening);
    close(control->wake);
    unlink(control->path);
    pthread_mutex_destroy(&control->lock);
    free(control->path);
    free(control);
}

/* ---- reload ---- */

bool control_wants_reload(struct control *control)
{
    pthread_mutex_lock(&control->lock);
    control->reloading = control->reloads;
    control->reloads = NULL;
    bool wanted = control->reloading != NULL;
    pthread_mutex_unlock(&control->lock);
    return wanted;
}
