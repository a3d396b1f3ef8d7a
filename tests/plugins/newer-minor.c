/* Needs a minor version that is not there yet. */
#include "common.h"

static const struct noctule_plugin plugin = {
    .size = sizeof(struct noctule_plugin),
    .name = "newer-minor",
    .abi_major = NOCTULE_ABI_MAJOR,
    .abi_minor = NOCTULE_ABI_MINOR + 1,
};

NOCTULE_PLUGIN_ENTRY(plugin)
