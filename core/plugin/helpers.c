#include "core/plugin/helpers.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/plugin/client_state.h"

enum { BELOW_WORKERS = 5 }; // nice levels: a third of a worker's share where both want all of it

/** One question on its way. The entry lives as long as the handle is not answered. */
struct job {
    struct job *next;
    struct noctule_request *handle;
    const struct entry *entry;
    struct noctule_worker *worker;
    struct question_copy *question;
    struct client *client;
    bool want_reason;
};

struct helpers {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct job *first;
    struct job **last;
    bool stopping;
    unsigned count;
    pthread_t threads[];
};

static void job_free(struct job *job)
{
    question_unref(job->question);
    client_unref(job->client);
    free(job);
}

// A request whose ticket stands already: `defer` in the hook hands that one out.
static void job_run(struct job *job)
{
    struct arena arena = {0};
    struct noctule_request request = {
        .entry = job->entry, .worker = job->worker, .arena = &arena, .may_defer = true};
    struct hook hook;
    struct noctule_instance *instance = job->entry->instance;
    request.handle = job->handle;
    hook_begin(&hook, instance, job->entry->snapshot, NULL, job->client, &request);
    hook.context.want_reason = job->want_reason;
    noctule_verdict verdict = question_ask(job->entry->plugin, &hook.context, &job->question->question);
    hook_end(&hook, question_hook_name(job->question->question.kind));
    if (verdict == NOCTULE_PENDING && request.deferred) {
        arena_free(&arena);
        return;
    }
    const char *problem = request.problem;
    if (verdict == NOCTULE_PENDING)
        problem = "answered PENDING without deferring";
    if (problem) {
        verdict = NOCTULE_ERROR;
        request.answer = (struct answer){.reason = str_of(problem)};
    }
    ticket_answer(job->handle, verdict, &request.answer);
    arena_free(&arena);
}

// Hashes of passwords take milliseconds each, of a processor that workers may want: they come first. On Linux
// this is about the calling thread alone.
static void give_way(void)
{
    setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + BELOW_WORKERS);
}

static void *helper_main(void *argument)
{
    struct helpers *helpers = argument;
    give_way();
    pthread_mutex_lock(&helpers->lock);
    for (;;) {
        while (!helpers->first && !helpers->stopping)
            pthread_cond_wait(&helpers->work, &helpers->lock);
        struct job *job = helpers->first;
        if (helpers->stopping)
            break;
        helpers->first = job->next;
        if (!helpers->first)
            helpers->last = &helpers->first;
        pthread_mutex_unlock(&helpers->lock);
        if (request_is_cancelled(job->handle))
            ticket_drop(job->handle);
        else
            job_run(job);
        job_free(job);
        pthread_mutex_lock(&helpers->lock);
    }
    pthread_mutex_unlock(&helpers->lock);
    return NULL;
}

void helpers_start(struct plugin_host *host)
{
    if (host->helpers || !host->needs_helpers)
        return;
    struct helpers *helpers =
        memory_zalloc(sizeof *helpers + host->helper_threads * sizeof *helpers->threads);
    pthread_mutex_init(&helpers->lock, NULL);
    pthread_cond_init(&helpers->work, NULL);
    helpers->last = &helpers->first;
    // Signals are the main thread's.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (; helpers->count < host->helper_threads; helpers->count++) {
        if (pthread_create(&helpers->threads[helpers->count], NULL, helper_main, helpers) != 0)
            log_fatal("cannot start a helper thread");
        char name[24];
        snprintf(name, sizeof name, "helper %u", helpers->count);
        pthread_setname_np(helpers->threads[helpers->count], name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    host->helpers = helpers;
}

void helpers_stop(struct plugin_host *host)
{
    struct helpers *helpers = host->helpers;
    if (!helpers)
        return;
    pthread_mutex_lock(&helpers->lock);
    helpers->stopping = true;
    pthread_cond_broadcast(&helpers->work);
    pthread_mutex_unlock(&helpers->lock);
    for (unsigned i = 0; i < helpers->count; i++)
        pthread_join(helpers->threads[i], NULL);
    while (helpers->first) {
        struct job *next = helpers->first->next;
        ticket_drop(helpers->first->handle);
        job_free(helpers->first);
        helpers->first = next;
    }
    pthread_mutex_destroy(&helpers->lock);
    pthread_cond_destroy(&helpers->work);
    free(helpers);
    host->helpers = NULL;
}

void helpers_ask(struct helpers *helpers, const struct ticket *ticket, struct question_copy *question,
                 struct client *client, bool want_reason)
{
    struct job *job = memory_alloc(sizeof *job);
    *job = (struct job){.handle = ticket_request(ticket),
                        .entry = ticket->entry,
                        .worker = ticket->worker,
                        .question = question,
                        .client = client ? client_ref(client) : NULL,
                        .want_reason = want_reason};
    pthread_mutex_lock(&helpers->lock);
    *helpers->last = job;
    helpers->last = &job->next;
    pthread_cond_signal(&helpers->work);
    pthread_mutex_unlock(&helpers->lock);
}
