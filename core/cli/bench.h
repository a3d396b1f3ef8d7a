// `noctule bench`: puts load on a broker and measures it.
// Main thread.
// Must not know how the load is made; see core/bench.
#ifndef NOCTULE_CLI_BENCH_H
#define NOCTULE_CLI_BENCH_H

#include "core/bench/options.h"

/** argv[0] is "bench". Returns enum bench_exit. */
int cli_bench(int argc, char **argv);

enum bench_parsed { BENCH_PARSED, BENCH_WANTS_HELP, BENCH_WRONG };

/**
 * Reads the command line of `noctule bench` (argv[0] is "bench") and fills in the defaults of its scenario.
 * With BENCH_WRONG, what is wrong is in `*problem` (the caller frees it). The texts point into `argv`.
 */
enum bench_parsed bench_options_read(int argc, char **argv, struct bench_options *options, char **problem);

#endif
