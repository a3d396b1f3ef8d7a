// The life of the process: starts everything in order, waits for signals, stops everything in the opposite
// order.
#include "core/broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/control.h"
#include "core/broker/state.h"
#include "core/net/websocket.h"
#include "core/net/activation.h"

enum { SWEEP_MS = 250, CEILING_MS = 50 };

/* ---- on all workers ---- */

struct errand {
    pthread_mutex_t lock;
    pthread_cond_t done;
    unsigned left;
    void (*work)(struct broker_worker *here, void *argument);
    void *argument;
};

struct errand_post {
    struct post post; // first: found again from the post
    struct errand *errand;
};

static void run_errand(struct worker *worker, struct post *post)
{
    struct errand *errand = ((struct errand_post *)post)->errand;
    free(post);
    errand->work(worker->owner, errand->argument);
    pthread_mutex_lock(&errand->lock);
    if (--errand->left == 0)
        pthread_cond_signal(&errand->done);
    pthread_mutex_unlock(&errand->lock);
}

void broker_on_all_workers(struct broker *broker, void (*work)(struct broker_worker *here, void *argument),
                           void *argument)
{
    struct errand errand = {.left = broker->worker_count, .work = work, .argument = argument};
    pthread_mutex_init(&errand.lock, NULL);
    pthread_cond_init(&errand.done, NULL);
    for (unsigned i = 0; i < broker->worker_count; i++) {
        struct errand_post *post = memory_alloc(sizeof *post);
        *post = (struct errand_post){.post.run = run_errand, .errand = &errand};
        worker_post(&broker->workers[i], &post->post);
    }
    pthread_mutex_lock(&errand.lock);
    while (errand.left > 0)
        pthread_cond_wait(&errand.done, &errand.lock);
    pthread_mutex_unlock(&errand.lock);
    pthread_mutex_destroy(&errand.lock);
    pthread_cond_destroy(&errand.done);
}

/* ---- start and stop ---- */

static void say_goodbye(struct broker_worker *here, void *argument)
{
    (void)argument;
    here->stopping = true;
    websocket_going_away();
    listeners_stop(here);
    struct connection *next;
    for (struct connection *connection = here->connections; connection; connection = next) {
        next = connection->next;
        connection_fail(connection, MQTT_SERVER_SHUTTING_DOWN, NULL);
    }
}

// As many descriptors as the system lets us have; the limit on connections is told when it cannot be met.
static void raise_descriptors(const struct settings *settings)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < settings->limits.connections)
        log_warn("limits.connections is %llu, but the system allows %llu open descriptors (ulimit -n)",
                 (unsigned long long)settings->limits.connections, (unsigned long long)limit.rlim_cur);
}

// The kernel's table of descriptors grows by doubling, and in a process with threads every step stops the
// accepting worker for some ten milliseconds (it waits for an RCU grace period). So the table gets its size
// while there is only one thread.
static void grow_descriptor_table(const struct settings *settings)
{
    struct rlimit limit;
    uint64_t wanted = settings->limits.connections + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur != RLIM_INFINITY && wanted > limit.rlim_cur - 1)
        wanted = limit.rlim_cur - 1;
    if (wanted > INT32_MAX)
        return;
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)wanted);
    if (fd >= 0)
        close(fd);
}

// The protocol of sd_notify(3): one datagram to the socket that the service manager names.
static void notify_manager(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path)
        return;
    size_t length = strlen(path);
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
    if (sent < 0)
        log_warn("cannot notify the service manager: %s", strerror(errno));
    close(fd);
}

// With the time, systemd can tell this reload from those before it (Type=notify-reload).
static void notify_reloading(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char *state = str_format("RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)now.tv_sec * 1000000 +
                                                                     (unsigned long long)now.tv_nsec / 1000);
    notify_manager(state);
    free(state);
}

static void announce(const struct broker *broker)
{
    char *listeners = str_format("%s", "");
    for (const struct broker_listener *listener = broker->listeners; listener; listener = listener->next) {
        char *longer = str_format("%s%s%s=%s", listeners, *listeners ? " " : "", listener->name,
                                  listener_address(listener->socket));
        free(listeners);
        listeners = longer;
    }
    log_event(LOG_INFO, "ready", "ready", LOG_NUM("workers", broker->worker_count),
              LOG_TEXTF("listeners", listeners));
    free(listeners);
}

static void warn_of_idle_sockets(void)
{
    char *names = activation_names(true);
    if (names)
        log_warn("the service manager has passed sockets that no listener is bound to: %s", names);
    free(names);
}

static void start(struct broker *broker)
{
    broker_assemble(broker);
    workers_start(broker->workers, broker_worker_up, broker_worker_down);
    broker_on_all_workers(broker, reload_switch, broker->generation);
    metrics_open(broker);
    tls_commit(broker, broker->settings);
    broker_on_all_workers(broker, listeners_enter, NULL);
    listeners_settle(broker);
    if (broker->control)
        control_start(broker->control, broker);
}

static void sleep_ms(long ms)
{
    struct timespec pause = {.tv_nsec = ms * 1000000};
    nanosleep(&pause, NULL);
}

static void stop(struct broker *broker)
{
    log_event(LOG_INFO, "stopping", "stopping");
    notify_manager("STOPPING=1");
    broker_on_all_workers(broker, say_goodbye, NULL);
    for (int waited = 0; waited < 2 * GOODBYE_MS && atomic_load(&broker->connections) > 0; waited += 10)
        sleep_ms(10);
    if (broker->control)
        control_stop(broker->control);
    metrics_close();
    workers_stop(broker->workers);
    workers_join(broker->workers);
    broker_disassemble(broker);
    control_free(broker->control);
    log_tell_held_back(true);
    log_event(LOG_INFO, "stopped", "stopped");
}

static void reload_now(struct broker *broker)
{
    struct reload_report report = {0};
    bool asked = broker->control && control_wants_reload(broker->control);
    notify_reloading();
    reload(broker, &report);
    notify_manager("READY=1");
    if (broker->control)
        control_set_limits(broker->control, &broker->settings->limits);
    if (asked)
        control_tell_reload(broker->control, &report);
    reload_report_clear(&report);
}

static void wait_for_signals(struct broker *broker, const sigset_t *signals)
{
    struct timespec sweep = {0};
    for (;;) {
        sweep.tv_nsec = (broker->settings->limits.memory ? CEILING_MS : SWEEP_MS) * 1000000L;
        int signal = sigtimedwait(signals, NULL, &sweep);
        if (signal == SIGTERM || signal == SIGINT)
            return;
        if (signal == SIGHUP) {
            reload_now(broker);
        }
        plugin_host_retire(broker->plugins);
        listeners_sweep(broker);
        tls_watch(broker);
        ceiling_watch(broker);
        log_tell_held_back(false);
    }
}

static bool open_control(struct broker *broker, const struct settings *settings,
                         struct diagnostics *diagnostics)
{
    if (settings->control)
        broker->control = control_open(settings->control, diagnostics);
    if (broker->control)
        control_set_limits(broker->control, &settings->limits);
    return broker->control || !settings->control;
}

int broker_run(const struct broker_options *options)
{
    struct broker broker = {.options = options};
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    activation_begin();

    broker.plugins = plugin_host_new(&broker_upcalls);
    broker.generation = reload_build(&broker, &broker.settings, &diagnostics);
    const struct settings *settings = broker.settings;
    bool started = broker.generation && settings && open_control(&broker, settings, &diagnostics) &&
                   listeners_open(&broker, settings, &diagnostics);
    if (settings)
        log_apply(settings);
    reload_report(&diagnostics);
    diagnostics_clear(&diagnostics);
    if (!started) {
        if (broker.generation)
            generation_unref(broker.generation);
        plugin_host_retire(broker.plugins);
        plugin_host_free(broker.plugins);
        metrics_forget_listeners(&broker);
        activation_end();
        control_free(broker.control);
        return 1;
    }
    warn_of_idle_sockets();
    raise_descriptors(settings);
    grow_descriptor_table(settings);
    start(&broker);
    announce(&broker);
    notify_manager("READY=1");
    if (options->ready)
        options->ready(listener_address(broker.listeners->socket), options->argument);
    wait_for_signals(&broker, &signals);
    stop(&broker);
    activation_end();
    return 0;
}
