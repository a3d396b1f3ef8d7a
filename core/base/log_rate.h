// How many log lines of one kind are written in a second: an attack fills neither the disk nor what people
// read. Any thread; no lock. Knows nothing of lines: what was held back is only counted.
#ifndef NOCTULE_BASE_LOG_RATE_H
#define NOCTULE_BASE_LOG_RATE_H

#include <stdbool.h>
#include <stdint.h>

enum { LOG_RATE_DEFAULT = 1000, LOG_KINDS = 128 };

/** Lines of one kind a second; 0: any number. */
void log_rate_set(uint64_t lines_per_second);

/**
 * Whether a line of the kind `event`, a string constant, may be written in the second `second` of a clock
 * that does not go back; counts it in either case. Kinds beyond the first LOG_KINDS are not limited.
 */
bool log_rate_allows(const char *event, uint32_t second);

/**
 * Takes the number of lines of one kind that were held back in a second that is over: before `now`, or any
 * with `now` 0. 0 when there are none (left); `*event` is their kind. Call it until then.
 */
uint64_t log_rate_take(uint32_t now, const char **event);

#endif
