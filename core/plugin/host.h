// The plugin host: loads modules, keeps instances, builds generations (snapshots and chains), runs workers'
// plugin state. plugin_host_* and generation_* on the main thread; plugin_worker_* on that worker. Must not
// know sessions, connections or routing: what it needs of the broker comes as functions (struct
// plugin_upcalls).
#ifndef NOCTULE_PLUGIN_HOST_H
#define NOCTULE_PLUGIN_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "config/settings.h"
#include "core/base/diagnostics.h"
#include "core/net/worker.h"
#include "core/topic/message.h"
#include "noctule/plugin.h"

struct client;
struct plugin_host;
struct generation;

/** What plugins may ask of the broker. Called on the named worker (the client's own, where there is a
 * client). */
struct plugin_upcalls {
    /** End the client's connection; `reason` (may be empty) for the log. `instance` is NULL when it was no
     * plugin that wants it. */
    void (*disconnect)(struct client *client, uint8_t reason_code, struct str reason, const char *instance);
    /** Ask again about the client's live subscriptions, because verdicts may have changed. */
    void (*recheck)(struct client *client);
    /** Route a message published by a plugin; takes the reference. message_in hooks are the broker's to run.
     */
    void (*publish)(struct worker *worker, struct message *message);
    /** Any thread: there is something for plugin_host_retire to do, soon. May be NULL. */
    void (*retire)(void);
    /** Any thread: tells `function` the broker's own metrics (`instance` empty). May be NULL. */
    void (*metrics)(noctule_metric_fn function, void *argument);
};

/** Directories searched for "MODULE.so", in order: environment NOCTULE_PLUGIN_PATH (colon separated),
 * "plugins" beside the executable, the installation's. Fills `directories` (strings on the heap,
 * NULL-terminated array); free with plugin_path_free. */
char **plugin_path(void);
void plugin_path_free(char **directories);

struct plugin_host *plugin_host_new(const struct plugin_upcalls *upcalls);

/**
 * Calls fini of every instance. After the workers have ended and have been freed: it is the last of all, and
 * no client may be left. Requests that plugins have not answered by then are void, and their snapshots are
 * retired.
 */
void plugin_host_free(struct plugin_host *host);

/** Makes per-worker state for `workers` (worker->plugins) and starts helper threads when an instance is
 * BLOCKING. Before workers_start. */
void plugin_host_start(struct plugin_host *host, struct worker *workers, unsigned helper_threads);

/** Stops and joins helper threads, after the workers have ended. */
void plugin_host_stop(struct plugin_host *host);

/**
 * Loads what `settings` names and is not loaded yet (dlopen, checks, init), and builds every entry's snapshot
 * and every listener's chains. NULL when anything was wrong, all of it reported in `diagnostics` with its
 * place in the configuration; nothing has changed then. The generation starts with one reference; it refers
 * to `settings`, which must outlive it.
 */
struct generation *generation_build(struct plugin_host *host, const struct settings *settings,
                                    struct diagnostics *diagnostics);
struct generation *generation_ref(struct generation *generation);

/** Any thread. At the last reference the snapshots are retired, on the main thread (see plugin_host_retire),
 * and then `settings_free` of its settings is the broker's: `retired` (may be NULL) is called. */
void generation_unref(struct generation *generation);
void generation_on_retired(struct generation *generation, void (*retired)(void *argument), void *argument);
const struct settings *generation_settings(const struct generation *generation);

/** Main thread, now and then, and when woken: retires generations nobody holds. Returns true when there were
 * any. */
bool plugin_host_retire(struct plugin_host *host);

/**
 * On the worker: puts `generation` in force here (takes a reference, gives back the old one's): worker_up for
 * new instances, chains of all clients exchanged, cached verdicts dropped. Timers and watches of instances
 * without an entry rest until they have one again. What follows for live subscriptions is the broker's. A
 * plugin whose worker_up refuses ends the process at the first switch; later, its hooks on this worker count
 * as errors.
 */
void plugin_worker_switch(struct worker *worker, struct generation *generation);

/**
 * On the worker, after all workers have switched: asks `revalidate` of the instances whose snapshot is new
 * for every client they let in; those denied are disconnected through the upcall. Works in slices, so returns
 * at once.
 */
void plugin_worker_revalidate(struct worker *worker);

/**
 * On the worker, at its end: decisions still pending are made (a denial, `failed`), worker_down of every
 * instance is called, and the generation given back. Connections should have left by then; clients may still
 * be given back afterwards.
 */
void plugin_worker_down(struct worker *worker);

struct generation *plugin_worker_generation(struct worker *worker);

/** Any thread: tells `function` every metric of the broker and of all instances, as noctule_host.metric_each.
 */
void plugin_host_metrics(noctule_metric_fn function, void *argument);

/** On the worker: whether any instance in force wants this event, whatever the client. Cheap. */
bool plugin_worker_takes_event(struct worker *worker, uint32_t event);

#endif
