/* A shared object that is no plugin. */
#include <noctule/plugin.h>

NOCTULE_EXPORT int something_else(void);

int something_else(void)
{
    return 1;
}
