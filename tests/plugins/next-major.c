/* A plugin for the next major version of the ABI. */
#include <noctule/plugin.h>

NOCTULE_EXPORT const void *noctule_plugin_v2(void);

const void *noctule_plugin_v2(void)
{
    return "described otherwise";
}
