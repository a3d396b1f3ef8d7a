#include "tests/fault/inprocess.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/plugin/module.h"
#include "tests/fault/invariants.h"

/* ---- start, reload, stop ---- */

static struct settings *load(void *argument, struct diagnostics *diagnostics)
{
    const struct inprocess *house = argument;
    char *whole = str_format("listeners:\n  - {name: default, bind: 127.0.0.1:1}\n%s", house->yaml);
    struct config_tree *tree = config_tree_parse(whole, strlen(whole), "inprocess.yaml", NULL,
                                                 &(struct config_options){0}, diagnostics);
    free(whole);
    return tree ? settings_take(tree, diagnostics) : NULL;
}

static struct generation *build(struct inprocess *house, const char *yaml, struct settings **settings)
{
    struct diagnostics diagnostics = DIAGNOSTICS_EMPTY;
    house->yaml = yaml;
    struct generation *generation = reload_build(&house->broker, settings, &diagnostics);
    for (size_t i = 0; !generation && i < diagnostics.count; i++)
        fprintf(stderr, "%s\n", diagnostics.items[i].text);
    require(generation != NULL, "the configuration is right");
    diagnostics_clear(&diagnostics);
    return generation;
}

struct errand {
    struct post post; // first: found again from the post
    struct generation *generation;
};

static void put_in_force(struct worker *worker, struct post *post)
{
    reload_switch(worker->owner, ((struct errand *)post)->generation);
    free(post);
}

static void revalidate(struct worker *worker, struct post *post)
{
    plugin_worker_revalidate(worker);
    free(post);
}

static void on_all_workers(struct inprocess *house, post_fn *run, struct generation *generation)
{
    for (unsigned i = 0; i < house->broker.worker_count; i++) {
        struct errand *errand = memory_alloc(sizeof *errand);
        *errand = (struct errand){.post.run = run, .generation = generation};
        worker_post(&house->broker.workers[i], &errand->post);
    }
    inprocess_turn(house, 1);
}

void inprocess_start(struct inprocess *house, const char *yaml, const struct noctule_plugin *plugin)
{
    *house = (struct inprocess){.options = {.load = load, .argument = house}};
    struct broker *broker = &house->broker;
    broker->options = &house->options;
    broker->plugins = plugin_host_new(&broker_upcalls);
    if (plugin)
        plugin_host_register(broker->plugins, "test", plugin);
    broker->generation = build(house, yaml, &broker->settings);

    struct broker_listener *listener = memory_zalloc(sizeof *listener);
    listener->broker = broker;
    listener->name = str_to_c(STR("default"));
    listener->stays = true;
    listener->counters = metrics_of_listener(broker, "default");
    atomic_store(&listener->max_connections, broker->settings->listeners[0].max_connections);
    broker->listeners = listener;

    log_configure(broker->settings->log_level, broker->settings->log_format);
    broker_assemble(broker);
    for (unsigned i = 0; i < broker->worker_count; i++)
        broker_worker_up(&broker->workers[i]);
    on_all_workers(house, put_in_force, broker->generation);
}

void inprocess_reload(struct inprocess *house, const char *yaml)
{
    struct settings *settings;
    struct generation *generation = build(house, yaml, &settings);
    house->reloaded = true;
    on_all_workers(house, put_in_force, generation);
    generation_unref(house->broker.generation);
    house->broker.generation = generation;
    house->broker.settings = settings;
    on_all_workers(house, revalidate, NULL);
    plugin_host_retire(house->broker.plugins);
}

void inprocess_stop(struct inprocess *house)
{
    struct broker *broker = &house->broker;
    for (unsigned i = 0; i < broker->worker_count; i++) {
        worker_turn(&broker->workers[i], false);
        broker_worker_down(&broker->workers[i]);
    }
    broker_disassemble(broker);
}

/* ---- going on ---- */

void inprocess_turn(struct inprocess *house, unsigned times)
{
    while (times-- > 0)
        for (unsigned i = 0; i < house->broker.worker_count; i++)
            worker_turn(&house->broker.workers[i], false);
}

void inprocess_pass(struct inprocess *house, uint64_t ms)
{
    clock_advance(ms);
    inprocess_turn(house, 1);
}

void inprocess_settle(struct inprocess *house)
{
    inprocess_turn(house, 4 * house->broker.worker_count);
}

struct connection *inprocess_accept(struct inprocess *house, unsigned index, int fd)
{
    struct broker_worker *here = &house->broker.states[index];
    struct connection *before = here->connections;
    const struct sockaddr_storage peer = {.ss_family = AF_INET};
    listeners_accepted(here->worker, &(struct accepted){fd, "192.0.2.1:50000", &peer},
                       house->broker.listeners);
    return here->connections == before ? NULL : here->connections;
}
