/* The smallest plugin: what abidiff looks at. Every structure of the ABI hangs on its one symbol. */
#include <noctule/plugin.h>

static const struct noctule_plugin plugin = {
    .size = sizeof(struct noctule_plugin),
    .abi_major = NOCTULE_ABI_MAJOR,
    .abi_minor = NOCTULE_ABI_MINOR,
    .name = "probe",
};

NOCTULE_PLUGIN_ENTRY(plugin)
