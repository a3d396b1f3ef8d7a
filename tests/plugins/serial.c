/* SERIAL: no two of its hooks run at once, whatever the number of workers. Counts without a lock; logs the
 * count on "count". */
#include "common.h"

struct serial {
    struct noctule_instance *instance;
    volatile int inside;
    int count;
    int overlaps;
};

static int32_t init(const struct noctule_host *given, struct noctule_instance *instance, void **state)
{
    struct serial *serial = calloc(1, sizeof *serial);
    host_take(given);
    serial->instance = instance;
    *state = serial;
    return NOCTULE_OK;
}

static noctule_verdict authorize(const struct noctule_context *context, const struct noctule_access *access)
{
    struct serial *serial = context->state;
    if (serial->inside)
        serial->overlaps++;
    serial->inside = 1;
    for (volatile int i = 0; i < 1000; i++)
        ;
    serial->count++;
    if (is(access->topic, "count"))
        say(serial->instance, "count %d overlaps %d", serial->count, serial->overlaps);
    serial->inside = 0;
    return NOCTULE_ALLOW;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("serial"),
    .flags = NOCTULE_FLAG_SERIAL,
    .authorize_mask = NOCTULE_ACCESS_PUBLISH,
    .init = init,
    .fini = state_free,
    .authorize = authorize,
};

NOCTULE_PLUGIN_ENTRY(plugin)
