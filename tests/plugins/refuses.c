/* Refuses what it is told to refuse: `refuse: init | build | quietly | worker | file`, or nothing. */
#include "common.h"

struct snapshot {
    int32_t worker;
};

static int refuse_worker;

static int32_t build(void *state, const struct noctule_config *config, void **snapshot)
{
    static const char *const what[] = {"nothing", "build", "quietly", "worker", "file", "warning", NULL};
    const struct test *test = state;
    int32_t chosen = 0;
    int64_t number = 0;
    host->config_choice(config, "refuse", what, &chosen);
    host->config_integer(config, "number", 1, 10, &number);
    refuse_worker = chosen == 3;
    *snapshot = NULL;
    if (chosen == 1)
        host->config_error(config, "refuse", NOCTULE_STRING("this is refused"));
    if (chosen == 4)
        host->file_error(test->instance, NOCTULE_STRING("data.txt"), 12, NOCTULE_STRING("no such word"));
    if (chosen == 5)
        host->file_warning(test->instance, NOCTULE_STRING("data.txt"), 3, NOCTULE_STRING("an odd word"));
    return chosen == 2 ? NOCTULE_E_INVALID : NOCTULE_OK;
}

static int32_t worker_up(void *state, struct noctule_worker *worker, void **worker_state)
{
    (void)state;
    (void)worker;
    *worker_state = NULL;
    return refuse_worker ? NOCTULE_E_LIMIT : NOCTULE_OK;
}

static const struct noctule_plugin plugin = {
    TEST_PLUGIN_IDENTITY("refuses"), .init = test_init, .fini = test_fini, .build = build,
    .worker_up = worker_up,
};

NOCTULE_PLUGIN_ENTRY(plugin)
