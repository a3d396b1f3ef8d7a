// Modules: shared objects that hold plugins, found, opened and checked.
// Main thread.
// Must not know instances.
#ifndef NOCTULE_PLUGIN_MODULE_H
#define NOCTULE_PLUGIN_MODULE_H

#include "core/plugin/types.h"

/** Sizes of struct noctule_plugin that are known: the smallest one has identity and flags only. */
enum { PLUGIN_SIZE_MIN = 56 };

/**
 * The module that `name` (searched along plugin_path) or else `path` names; opened and checked the first
 * time. NULL: `*problem` is one sentence about why not, on the heap.
 */
struct module *module_load(struct plugin_host *host, const char *name, const char *path, char **problem);

/** The file that `name` stands for along plugin_path, on the heap; NULL and `*problem` when there is none. */
char *module_find(const char *name, char **problem);

/** Checks a description and copies it by its size. False: `*problem` as above. */
bool module_describe(struct noctule_plugin *plugin, const struct noctule_plugin *given, char **problem);

/**
 * Makes a description known as module `name`, without a shared object: for tests, and for programs that bring
 * a plugin along. It is checked like any other when it is used.
 */
void plugin_host_register(struct plugin_host *host, const char *name, const struct noctule_plugin *plugin);

void modules_free(struct plugin_host *host);

#endif
