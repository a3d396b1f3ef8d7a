/* Says another major version than its symbol. */
#include "common.h"

static const struct noctule_plugin plugin = {
    .size = sizeof(struct noctule_plugin),
    .name = "wrong-major",
    .abi_major = NOCTULE_ABI_MAJOR + 1,
};

NOCTULE_PLUGIN_ENTRY(plugin)
