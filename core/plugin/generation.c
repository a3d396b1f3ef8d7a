#include "core/plugin/generation.h"

#include <stdlib.h>

#include "core/base/memory.h"
#include "core/plugin/helpers.h"
#include "core/plugin/host_api.h"
#include "core/plugin/instance.h"
#include "core/plugin/module.h"

// ---- Entries and their snapshots -----------------------------------------------------------------------

// The instance of a `plugins:` entry: the one there is, or a new one, which is put on the list.
static struct noctule_instance *entry_instance(struct plugin_host *host,
                                               const struct plugin_settings *settings,
                                               struct noctule_instance **fresh, unsigned *fresh_count,
                                               struct diagnostics *diagnostics)
{
    char *problem;
    const struct module *module = module_load(host, settings->module, settings->path, &problem);
    if (!module) {
        diagnostics_error(diagnostics, settings->place, "plugin \"%s\": %s", settings->name, problem);
        free(problem);
        return NULL;
    }
    struct noctule_instance *instance = instance_find(host, settings->name, module);
    if (instance)
        return instance;
    unsigned index = instance_count(host) + *fresh_count;
    if (index >= INSTANCES_MAX) {
        diagnostics_error(
            diagnostics, settings->place,
            "plugin \"%s\" would be number %u since the start, and there can be %d: restart the broker",
            settings->name, index + 1, INSTANCES_MAX);
        return NULL;
    }
    instance = instance_new(host, settings->name, module, index);
    if (instance)
        fresh[(*fresh_count)++] = instance;
    else
        diagnostics_error(diagnostics, settings->place, "plugin \"%s\" refuses to start", settings->name);
    return instance;
}

// Moves all findings to the end of another list.
static void diagnostics_move(struct diagnostics *to, struct diagnostics *from)
{
    for (size_t i = 0; i < from->count; i++) {
        memory_grow(&to->items, &to->capacity, to->count, sizeof *to->items);
        to->items[to->count++] = from->items[i];
    }
    to->errors += from->errors;
    free(from->items);
    *from = DIAGNOSTICS_EMPTY;
}

// What the entry is asked about: what its plugin authorizes, or, where its configuration decides that, what
// it wants.
static uint32_t entry_authorize_mask(const struct entry *entry)
{
    const struct noctule_plugin *plugin = entry->plugin;
    uint32_t mask = plugin->authorize ? plugin->authorize_mask : 0;
    return plugin->access_wanted ? mask & plugin->access_wanted(entry->instance->state, entry->snapshot)
                                 : mask;
}

static void entry_build(struct entry *entry, const struct plugin_settings *settings,
                        struct diagnostics *diagnostics)
{
    struct diagnostics own = DIAGNOSTICS_EMPTY;
    int32_t result = NOCTULE_OK;
    if (entry->plugin->build) {
        config_reports_to(entry->instance, &own);
        result = entry->plugin->build(entry->instance->state, (const struct noctule_config *)settings->config,
                                      &entry->snapshot);
        config_reports_end();
        entry->built = result == NOCTULE_OK;
    }
    if (result == NOCTULE_OK)
        entry->authorize_mask = entry_authorize_mask(entry);
    if (result != NOCTULE_OK && own.errors == 0)
        diagnostics_error(&own, settings->place, "plugin \"%s\" refuses its configuration", settings->name);
    // A misspelt key comes before what the plugin says, which may be that the key is missing.
    config_report_unused(settings->config, diagnostics);
    diagnostics_move(diagnostics, &own);
}

static void entries_make(struct generation *generation, struct plugin_host *host,
                         struct noctule_instance **fresh, unsigned *fresh_count,
                         struct diagnostics *diagnostics)
{
    const struct settings *settings = generation->settings;
    for (size_t i = 0; i < settings->plugin_count; i++) {
        const struct plugin_settings *given = &settings->plugins[i];
        struct entry *entry = &generation->entries[i];
        struct noctule_instance *instance = entry_instance(host, given, fresh, fresh_count, diagnostics);
        if (!instance)
            continue;
        *entry = (struct entry){.instance = instance,
                                .plugin = instance->plugin,
                                .generation = generation,
                                .required = given->required,
                                .error_is_next = given->on_error == SETTINGS_ERROR_NEXT,
                                .timeout_ms = given->timeout_ms};
        entry_build(entry, given, diagnostics);
    }
}

static void entries_retire(struct generation *generation)
{
    for (size_t i = 0; i < generation->entry_count; i++) {
        struct entry *entry = &generation->entries[i];
        if (entry->built && entry->plugin->retire)
            entry->plugin->retire(entry->instance->state, entry->snapshot);
    }
}

// ---- Chains --------------------------------------------------------------------------------------------

static void list_add(struct entry_list *list, size_t room, const struct entry *entry)
{
    if (!list->entries)
        list->entries = memory_alloc(room * sizeof(void *));
    list->entries[list->count++] = entry;
    if (entry->required)
        list->required_end = list->count;
}

static void chain_add(struct chain *chain, size_t room, const struct entry *entry)
{
    const struct noctule_plugin *plugin = entry->plugin;
    list_add(&chain->all, room, entry);
    if (plugin->authenticate)
        list_add(&chain->login, room, entry);
    if (plugin->auth_step)
        chain->takes_auth = true;
    if (plugin->psk)
        list_add(&chain->psk, room, entry);
    if (plugin->message_in)
        list_add(&chain->message_in, room, entry);
    if (plugin->message_out)
        list_add(&chain->message_out, room, entry);
    if (plugin->event && plugin->event_mask) {
        list_add(&chain->events, room, entry);
        chain->event_mask |= plugin->event_mask;
    }
    uint32_t mask = entry->authorize_mask;
    if (mask & NOCTULE_ACCESS_PUBLISH)
        mask |= NOCTULE_ACCESS_WILL;
    for (unsigned i = 0; i < ACCESS_KINDS; i++)
        if (mask >> i & 1)
            list_add(&chain->access[i], room, entry);
    chain->authorizes |= mask != 0;
}

static void chains_make(struct generation *generation)
{
    const struct settings *settings = generation->settings;
    bool default_allow = settings->default_access == SETTINGS_ALLOW;
    for (size_t i = 0; i < settings->listener_count; i++) {
        const struct listener_settings *listener = &settings->listeners[i];
        struct chain *chain = &generation->chains[i];
        *chain = (struct chain){.generation = generation,
                                .listener = listener->name,
                                .allow_anonymous = listener->allow_anonymous,
                                .default_allow = default_allow};
        for (size_t k = 0; k < listener->chain_count; k++)
            chain_add(chain, listener->chain_count, &generation->entries[listener->chain[k]]);
    }
    struct chain *all = &generation->chains[generation->chain_count - 1];
    *all = (struct chain){.generation = generation, .default_allow = default_allow};
    for (size_t i = 0; i < generation->entry_count; i++)
        chain_add(all, generation->entry_count, &generation->entries[i]);
}

static void chain_clear(struct chain *chain)
{
    free(chain->all.entries);
    free(chain->login.entries);
    free(chain->psk.entries);
    free(chain->message_in.entries);
    free(chain->message_out.entries);
    free(chain->events.entries);
    for (unsigned i = 0; i < ACCESS_KINDS; i++)
        free(chain->access[i].entries);
}

const struct chain *generation_chain(const struct generation *generation, struct str listener)
{
    const struct chain *chain = generation->chains;
    while (chain->listener && !str_equal(str_of(chain->listener), listener))
        chain++;
    return chain;
}

const struct entry *generation_entry(const struct generation *generation,
                                     const struct noctule_instance *instance)
{
    for (size_t i = 0; i < generation->entry_count; i++)
        if (generation->entries[i].instance == instance)
            return &generation->entries[i];
    return NULL;
}

// ---- Life ----------------------------------------------------------------------------------------------

static void generation_free(struct generation *generation)
{
    for (size_t i = 0; i < generation->chain_count; i++)
        chain_clear(&generation->chains[i]);
    free(generation->chains);
    free(generation->entries);
    free(generation);
}

static bool needs_helpers(const struct generation *generation)
{
    for (size_t i = 0; i < generation->entry_count; i++)
        if (generation->entries[i].plugin->flags & NOCTULE_FLAG_BLOCKING)
            return true;
    return false;
}

struct generation *generation_build(struct plugin_host *host, const struct settings *settings,
                                    struct diagnostics *diagnostics)
{
    struct noctule_instance *fresh[INSTANCES_MAX];
    unsigned fresh_count = 0;
    size_t errors = diagnostics->errors;
    struct generation *generation = memory_zalloc(sizeof *generation);
    atomic_init(&generation->references, 1);
    generation->host = host;
    generation->settings = settings;
    generation->pending_limit = settings->limits.pending_decisions;
    generation->entries = memory_zalloc(settings->plugin_count * sizeof *generation->entries);
    generation->entry_count = settings->plugin_count;
    entries_make(generation, host, fresh, &fresh_count, diagnostics);
    if (diagnostics->errors != errors) {
        entries_retire(generation);
        while (fresh_count > 0)
            instance_free(fresh[--fresh_count]);
        generation_free(generation);
        return NULL;
    }
    generation->chain_count = settings->listener_count + 1;
    generation->chains = memory_zalloc(generation->chain_count * sizeof *generation->chains);
    chains_make(generation);
    for (unsigned i = 0; i < fresh_count; i++)
        instance_publish(fresh[i]);
    host->needs_helpers |= needs_helpers(generation);
    if (host->workers)
        helpers_start(host);
    return generation;
}

struct generation *generation_ref(struct generation *generation)
{
    atomic_fetch_add_explicit(&generation->references, 1, memory_order_relaxed);
    return generation;
}

void generation_unref(struct generation *generation)
{
    if (!generation || atomic_fetch_sub_explicit(&generation->references, 1, memory_order_acq_rel) != 1)
        return;
    struct plugin_host *host = generation->host;
    pthread_mutex_lock(&host->retired_lock);
    generation->next = host->retired;
    host->retired = generation;
    pthread_mutex_unlock(&host->retired_lock);
    if (host->upcalls.retire)
        host->upcalls.retire();
}

void generation_on_retired(struct generation *generation, void (*retired)(void *argument), void *argument)
{
    generation->retired = retired;
    generation->retired_argument = argument;
}

const struct settings *generation_settings(const struct generation *generation)
{
    return generation->settings;
}

bool plugin_host_retire(struct plugin_host *host)
{
    pthread_mutex_lock(&host->retired_lock);
    struct generation *generation = host->retired;
    host->retired = NULL;
    pthread_mutex_unlock(&host->retired_lock);
    bool any = generation != NULL;
    while (generation) {
        struct generation *next = generation->next;
        if (!host->finished)
            entries_retire(generation);
        if (generation->retired)
            generation->retired(generation->retired_argument);
        generation_free(generation);
        generation = next;
    }
    return any;
}
