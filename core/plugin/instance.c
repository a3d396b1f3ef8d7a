#include "core/plugin/instance.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"
#include "core/plugin/host_api.h"

struct noctule_instance *instance_find(struct plugin_host *host, const char *name,
                                       const struct module *module)
{
    for (unsigned i = 0; i < instance_count(host); i++) {
        struct noctule_instance *instance = host->instances[i];
        if (instance->module == module && strcmp(instance->name, name) == 0)
            return instance;
    }
    return NULL;
}

static void release(struct noctule_instance *instance)
{
    metric_free(instance->metrics);
    cells_free(&instance->cells);
    pthread_mutex_destroy(&instance->serial);
    free(instance->name);
    free(instance);
}

struct noctule_instance *instance_new(struct plugin_host *host, const char *name, const struct module *module,
                                      unsigned index)
{
    struct noctule_instance *instance = memory_zalloc(sizeof *instance);
    instance->host = host;
    instance->plugin = &module->plugin;
    instance->module = module;
    instance->name = str_to_c(str_of(name));
    instance->index = (uint8_t)index;
    pthread_mutex_init(&instance->serial, NULL);
    cells_init(&instance->cells, INSTANCE_CELLS);
    initialising_instance = instance;
    int32_t result =
        instance->plugin->init ? instance->plugin->init(&host_api, instance, &instance->state) : NOCTULE_OK;
    initialising_instance = NULL;
    if (result == NOCTULE_OK)
        return instance;
    release(instance);
    return NULL;
}

void instance_publish(struct noctule_instance *instance)
{
    struct plugin_host *host = instance->host;
    host->instances[instance->index] = instance;
    atomic_store(&instance->published, true);
    atomic_store_explicit(&host->instance_count, instance->index + 1U, memory_order_release);
}

void instance_free(struct noctule_instance *instance)
{
    if (instance->plugin->fini)
        instance->plugin->fini(instance->state);
    release(instance);
}
