// The result of a run: one tree of figures, printed as text or as JSON.
// One thread.
// Must not know how the figures came about.
#ifndef NOCTULE_BENCH_REPORT_H
#define NOCTULE_BENCH_REPORT_H

#include <stdio.h>

#include "core/bench/scenario.h"

/** Every figure of the run; noctule-bench(1) describes the members. The caller gives it back with
 * json_decref. */
json_t *report_make(const struct bench *bench, const struct readings *readings);

/** Prints it for people. */
void report_print(json_t *report, FILE *out);

#endif
