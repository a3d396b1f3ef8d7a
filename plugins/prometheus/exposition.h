/* The text that a scrape gets: metrics gathered into families and written in one of two formats.
 * One thread at a time.
 * Knows the names that the broker gives its metrics, nothing of HTTP. */
#ifndef PROMETHEUS_EXPOSITION_H
#define PROMETHEUS_EXPOSITION_H

#include <noctule/plugin.h>

#include <event2/buffer.h>
#include <stdbool.h>

enum exposition_format { EXPOSITION_TEXT, EXPOSITION_OPENMETRICS };

struct exposition;

/* NULL: memory is out, as with everything below that can fail. */
struct exposition *exposition_new(enum exposition_format format);
void exposition_free(struct exposition *exposition);

/* A noctule_metric_fn; `exposition` is a struct exposition. Metrics of one family may come in any order; one
 * of another kind than the first of its family is left out. */
void exposition_add(const struct noctule_metric_value *metric, void *exposition);

/* A metric of the process, under its full name (without _total). */
void exposition_add_process(struct exposition *exposition, const char *name, uint32_t kind, const char *help,
                            double value);

/* Writes all families to `out`; false when memory was out. */
bool exposition_write(struct exposition *exposition, struct evbuffer *out);

#endif
