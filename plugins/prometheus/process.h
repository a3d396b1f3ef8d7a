/* What the kernel says of this process, under the names that client libraries of Prometheus use.
 * Any thread.
 * Knows Linux. */
#ifndef PROMETHEUS_PROCESS_H
#define PROMETHEUS_PROCESS_H

#include "exposition.h"

/* Leaves out what the kernel does not tell. */
void process_add(struct exposition *exposition);

#endif
