// Configuration and plugins' snapshots become a generation; a generation is put in force on every worker
// between two packets.
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/changes.h"
#include "core/broker/state.h"

/** Rechecks the subscriptions of a worker's sessions, a slice per turn. */
struct recheck {
    struct post post; // first: found again from the post
    size_t slot;
};

void reload_report(const struct diagnostics *diagnostics)
{
    for (size_t i = 0; i < diagnostics->count; i++) {
        const struct diagnostic *item = &diagnostics->items[i];
        log_event(item->warning ? LOG_WARN : LOG_ERROR, "configuration", item->text);
    }
}

static void settings_retired(void *settings)
{
    settings_free(settings);
}

struct generation *reload_build(struct broker *broker, struct settings **settings,
                                struct diagnostics *diagnostics)
{
    *settings = broker->options->load(broker->options->argument, diagnostics);
    if (!*settings)
        return NULL;
    struct generation *generation = generation_build(broker->plugins, *settings, diagnostics);
    if (!generation) {
        settings_free(*settings);
        *settings = NULL;
        return NULL;
    }
    generation_on_retired(generation, settings_retired, *settings);
    return generation;
}

static void recheck_slice(struct worker *worker, struct post *post)
{
    struct broker_worker *here = worker->owner;
    struct recheck *recheck = (struct recheck *)post;
    size_t end = recheck->slot + SLICE;
    for (; recheck->slot < end && recheck->slot < here->sessions.slot_count; recheck->slot++) {
        struct session *session = here->sessions.slots[recheck->slot];
        struct connection *connection = session ? session->connection : NULL;
        if (connection && connection->state == STATE_ONLINE)
            subscribe_recheck(connection);
    }
    if (recheck->slot < here->sessions.slot_count && !here->stopping)
        worker_post(worker, post);
    else
        free(post);
}

void reload_switch(struct broker_worker *here, void *argument)
{
    struct generation *generation = argument;
    here->settings = generation_settings(generation);
    plugin_worker_switch(here->worker, generation);
    listeners_leave(here);
    for (size_t i = 0; i < here->sessions.slot_count; i++)
        if (here->sessions.slots[i])
            session_uncover(here->sessions.slots[i]);
    struct recheck *recheck = memory_zalloc(sizeof *recheck);
    recheck->post.run = recheck_slice;
    worker_post(here->worker, &recheck->post);
}

static void revalidate(struct broker_worker *here, void *argument)
{
    (void)argument;
    plugin_worker_revalidate(here->worker);
}

static void note_what_needs_a_restart(const struct settings *old, const struct settings *new)
{
    if (old->workers != new->workers)
        log_warn("workers: the number of workers changes with the next start");
    if (old->limits.send_buffer != new->limits.send_buffer)
        log_warn("limits.send_buffer changes with the next start");
    bool same_control =
        old->control && new->control ? strcmp(old->control, new->control) == 0 : old->control == new->control;
    if (!same_control)
        log_warn("control changes with the next start");
    if (old->helper_threads != new->helper_threads)
        log_warn("helper_threads changes with the next start");
}

void log_apply(const struct settings *settings)
{
    log_configure(settings->log_level, settings->log_format);
    log_limit(settings->log_rate_limit);
}

void reload(struct broker *broker, struct reload_report *report)
{
    struct diagnostics *diagnostics = &report->diagnostics;
    struct settings *settings;
    struct generation *generation = reload_build(broker, &settings, diagnostics);
    if (generation && !listeners_open(broker, settings, diagnostics)) {
        generation_unref(generation);
        generation = NULL;
    }
    reload_report(diagnostics);
    if (!generation) {
        log_event(LOG_ERROR, "reload_failed", "reload failed: the configuration in force stays as it was");
        return;
    }
    report->done = true;
    report->changes = changes_between(broker->settings, settings);
    note_what_needs_a_restart(broker->settings, settings);
    broker_on_all_workers(broker, reload_switch, generation);
    tls_commit(broker, settings);
    broker_on_all_workers(broker, listeners_enter, NULL);
    listeners_settle(broker);
    log_apply(settings);
    struct generation *old = broker->generation;
    broker->generation = generation;
    broker->settings = settings;
    generation_unref(old);
    broker_on_all_workers(broker, revalidate, NULL);
    log_event(LOG_INFO, "reloaded", "configuration reloaded");
}

void reload_report_clear(struct reload_report *report)
{
    diagnostics_clear(&report->diagnostics);
    json_decref(report->changes);
    *report = (struct reload_report){0};
}
