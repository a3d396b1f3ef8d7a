#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/str.h"
#include "core/bench/loop.h"
#include "core/bench/report.h"
#include "core/bench/scenario.h"

volatile sig_atomic_t bench_interrupted;

struct scenario {
    const char *name;
    scenario_run *run;
};

static const struct scenario scenarios[BENCH_SCENARIOS] = {
    [BENCH_CONNECT] = {"connect", scenario_connect},
    [BENCH_PAIRS] = {"pairs", scenario_traffic},
    [BENCH_FAN_IN] = {"fan-in", scenario_traffic},
    [BENCH_FAN_OUT] = {"fan-out", scenario_traffic},
    [BENCH_LATENCY] = {"latency", scenario_traffic},
    [BENCH_SUBSCRIPTIONS] = {"subscriptions", scenario_subscriptions},
    [BENCH_RETAINED] = {"retained", scenario_retained},
};

const char *bench_scenario_name(enum bench_scenario scenario)
{
    return scenarios[scenario].name;
}

void bench_fail(struct bench *bench, enum bench_exit exit, const char *format, ...)
{
    bench->stop = true;
    if (bench->exit != BENCH_DONE)
        return;
    va_list arguments;
    va_start(arguments, format);
    char *problem = NULL;
    if (vasprintf(&problem, format, arguments) < 0)
        memory_exhausted();
    va_end(arguments);
    bench->exit = exit;
    free(bench->problem);
    bench->problem = problem;
}

// Whether every message came once, to whom it belongs, in order, and was acknowledged.
static void check_delivery(struct bench *bench)
{
    const struct ledger *ledger = &bench->ledger;
    uint64_t expected = bench->sent * bench->fan;
    uint64_t lost = expected > ledger->delivered ? expected - ledger->delivered : 0;
    uint64_t refused = bench->refused + bench->wrong_acks;
    uint64_t unacknowledged = bench->options->qos > 0 ? bench->sent - bench->acknowledged : 0;
    if (bench->stop || bench->options->allow_loss ||
        lost + ledger->duplicates + ledger->reordered + ledger->misrouted + ledger->wrong_size +
                bench->refused + bench->wrong_acks + unacknowledged ==
            0)
        return;
    bench_fail(bench, BENCH_INEXACT,
               "delivery was not exact: %llu of %llu lost, %llu more than once, %llu not in order, %llu to "
               "the wrong "
               "subscriber, %llu of the wrong size, %llu not acknowledged, %llu refused",
               (unsigned long long)lost, (unsigned long long)expected, (unsigned long long)ledger->duplicates,
               (unsigned long long)ledger->reordered, (unsigned long long)ledger->misrouted,
               (unsigned long long)ledger->wrong_size, (unsigned long long)unacknowledged,
               (unsigned long long)refused);
}

static void interrupted(int signal)
{
    (void)signal;
    bench_interrupted = 1;
}

static void watch_signals(void)
{
    // Not again: a second one ends the program should the first not.
    const struct sigaction action = {.sa_handler = interrupted, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void print(struct bench *bench, const struct readings *readings)
{
    json_t *report = report_make(bench, readings);
    progress_clear(bench);
    if (bench->options->json) {
        json_dumpf(report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
        putchar('\n');
    } else {
        report_print(report, stdout);
    }
    json_decref(report);
    fflush(stdout);
    if (bench->problem)
        fprintf(stderr, "noctule bench: %s\n", bench->problem);
}

int bench_run(const struct bench_options *options)
{
    struct bench *bench = memory_zalloc(sizeof *bench);
    struct readings readings = {0};
    bench->options = options;
    bench->phase = "starting";
    bench->now_ns = clock_monotonic_ns();
    bench->run = (uint32_t)(bench->now_ns >> 10) ^ ((uint32_t)getpid() << 16);
    watch_signals();
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL); // nanoseconds: messages are due at their time
    scenarios[options->scenario].run(bench, &readings);
    check_delivery(bench);
    print(bench, &readings);
    if (options->scenario == BENCH_RETAINED && !options->keep && bench->sent > 0)
        retained_remove(bench);
    phase_close(bench);
    int code = (int)bench->exit;
    cast_free(bench);
    free(bench->problem);
    free(bench);
    return code;
}
