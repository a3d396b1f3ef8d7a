// Looking at plugins without starting them.
// Main thread.
// Must not know configurations.
#ifndef NOCTULE_PLUGIN_CATALOGUE_H
#define NOCTULE_PLUGIN_CATALOGUE_H

#include <stdbool.h>

#include "core/plugin/host.h"

/**
 * Opens the shared object that `module` (searched along plugin_path) or `path` names, and reads its
 * description; its strings stay. `*file` (may be NULL) is the file on the heap. False: `*problem` says why
 * not, on the heap.
 */
bool plugin_describe(const char *module, const char *path, struct noctule_plugin *plugin, char **file,
                     char **problem);

#endif
