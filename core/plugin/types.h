// The structures of the plugin host that more than one of its files touches.
// Who may touch what is said at each structure.
// Only files of core/plugin and its tests include it.
#ifndef NOCTULE_PLUGIN_TYPES_H
#define NOCTULE_PLUGIN_TYPES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/plugin/arena.h"
#include "core/plugin/client.h"
#include "core/plugin/host.h"
#include "core/plugin/metrics.h"

/** A message names the instance that published it in one byte, 0 being none. */
enum { INSTANCES_MAX = 255 };

/** A loaded shared object, or a description registered by a test. Main thread; never unloaded. */
struct module {
    struct module *next;
    char *name;                   ///< as the configuration names it, or its path
    char *path;                   ///< resolved; NULL: registered
    struct noctule_plugin plugin; ///< its description, fields past its size zero
};

/** One configured use of a module. Lives until plugin_host_free. Read-only once it is published. */
struct noctule_instance {
    struct plugin_host *host;
    const struct noctule_plugin *plugin;
    const struct module *module;
    char *name;
    uint8_t index;
    void *state;
    pthread_mutex_t serial; ///< held around its callbacks when NOCTULE_FLAG_SERIAL
    struct noctule_metric *metrics;
    struct cells cells;           ///< enum instance_counter
    _Atomic uint64_t warned_ms;   ///< when a slow hook was last logged
    _Atomic bool published;       ///< until then it may still be taken back: nothing may be posted for it
    _Atomic int32_t publications; ///< under way to a worker
};

/** An instance in a generation, with its snapshot and the settings of its entry. Read-only. */
struct entry {
    struct noctule_instance *instance;
    const struct noctule_plugin *plugin;
    struct generation *generation;
    void *snapshot;
    bool built;
    bool required;
    bool error_is_next;      ///< on_error: next
    uint32_t authorize_mask; ///< what its authorize hook is asked about
    uint64_t timeout_ms;
};

/** Entries that take a hook, in the chain's order. Read-only. */
struct entry_list {
    const struct entry **entries;
    size_t count;
    size_t required_end; ///< one past the last required entry
};

enum { ACCESS_KINDS = 4 };

/** The chain of one listener, taken apart by hook when the generation is built. Read-only. */
struct chain {
    struct generation *generation;
    const char *listener; ///< NULL: the chain of all entries
    bool allow_anonymous;
    bool default_allow;
    bool authorizes; ///< some entry takes `authorize`
    bool takes_auth;
    uint32_t event_mask;
    struct entry_list all;
    struct entry_list login;
    struct entry_list psk;
    struct entry_list access[ACCESS_KINDS]; ///< by bit number; WILL: also those that take PUBLISH only
    struct entry_list message_in;
    struct entry_list message_out;
    struct entry_list events;
};

/** What is in force, or waits to be, or is not any more. Read-only but for the counter. */
struct generation {
    _Atomic uint32_t references;
    struct plugin_host *host;
    const struct settings *settings;
    struct entry *entries;
    size_t entry_count;
    struct chain *chains; ///< of the listeners, in their order, and last that of all entries
    size_t chain_count;
    uint64_t pending_limit;
    void (*retired)(void *argument);
    void *retired_argument;
    struct generation *next; ///< of those to be retired
};

/** An instance on one worker. That worker only. */
struct instance_worker {
    void *state;
    bool up;
    bool failed;               ///< its worker_up refused: its hooks err
    const struct entry *entry; ///< in force on this worker; NULL: none
    struct noctule_timer *timers;
    struct noctule_watch *watches;
    bool rechecking;    ///< a sweep over all clients is under way
    bool recheck_again; ///< and another one is wanted
};

struct client_table {
    struct client **buckets; ///< by connection id, chained through client->next
    size_t capacity;         ///< a power of two, or 0
    size_t count;
};

/** The plugin host's part of a worker. Its worker only, except `gate`, `open` and what never changes. */
struct noctule_worker {
    struct worker *worker;
    struct plugin_host *host;
    unsigned index;
    struct generation *generation;
    struct instance_worker instances[INSTANCES_MAX];
    struct arena scratch; ///< of the decision being made; reset when the next one begins
    struct client_table clients;
    uint64_t last_connection;
    struct decision *orphans; ///< decisions without a client
    pthread_mutex_t gate;     ///< any thread: held while a post is put into the mailbox
    bool open;                ///< the worker still takes posts; under `gate`
};

/** The process has one at a time. Main thread, except what says else. */
struct plugin_host {
    struct plugin_upcalls upcalls;
    struct module *modules;
    struct noctule_instance *instances[INSTANCES_MAX];
    _Atomic unsigned instance_count; ///< any thread: those below are published
    struct worker *workers;
    struct noctule_worker *own;    ///< one per worker
    _Atomic unsigned worker_count; ///< any thread: 0 before plugin_host_start
    unsigned helper_threads;
    bool needs_helpers; ///< some plugin was BLOCKING
    bool finished;      ///< fini has been called everywhere
    struct helpers *helpers;
    pthread_mutex_t retired_lock;
    struct generation *retired; ///< any thread, under retired_lock
};

/** The plugin host's part of `worker`; NULL before plugin_host_start and after plugin_worker_down. */
static inline struct noctule_worker *worker_plugins(struct worker *worker)
{
    return worker->plugins;
}

static inline struct noctule_string string_of(struct str text)
{
    return (struct noctule_string){text.data, text.length};
}

static inline struct str str_from(struct noctule_string text)
{
    return (struct str){text.data, text.length};
}

#endif
