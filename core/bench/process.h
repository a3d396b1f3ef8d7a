// CPU time and memory of processes on this machine, from the kernel.
// Any thread.
// Must not know what the processes are.
#ifndef NOCTULE_BENCH_PROCESS_H
#define NOCTULE_BENCH_PROCESS_H

#include "core/bench/state.h"

/** Whether there is a process `pid` whose figures can be read. */
bool process_exists(int pid);

/** Reads the clocks of the broker's processes, of this program and of the machine, and its counters. */
struct sample sample_take(const struct bench *bench);

/** Resident memory of the broker's processes, in bytes; 0 when unknown. */
uint64_t resident_bytes(const struct bench *bench);

#endif
