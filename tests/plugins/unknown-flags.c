/* Has a flag that nobody knows. */
#include "common.h"

static const struct noctule_plugin plugin = {
    .size = sizeof(struct noctule_plugin),
    .name = "unknown-flags",
    .abi_major = NOCTULE_ABI_MAJOR,
    .flags = 0x80000000u,
};

NOCTULE_PLUGIN_ENTRY(plugin)
