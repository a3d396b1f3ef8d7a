/* Strings of others inside the text that a scrape gets: what is no UTF-8, or would end a line or a string, is
 * replaced or escaped, so that nothing can be injected.
 * Any thread.
 * Knows nothing of metrics. */
#ifndef PROMETHEUS_ESCAPE_H
#define PROMETHEUS_ESCAPE_H

#include <noctule/plugin.h>

#include <event2/buffer.h>
#include <stdbool.h>

/* In help texts a quotation mark stands for itself. */
enum escape_place { ESCAPE_HELP, ESCAPE_LABEL };

enum { ESCAPE_MOST = 512 }; /* bytes of a string that are written; the rest is cut off */

/* False: memory is out. */
bool escape_add(struct evbuffer *out, struct noctule_string text, enum escape_place place);

/* `name="value"`, with a comma before it unless `out` is empty. Names that mean something here get a prefix,
 * characters that no name may have are replaced. */
bool escape_label(struct evbuffer *out, struct noctule_string name, struct noctule_string value);

/* The same for a name that is known to be good. */
bool escape_own_label(struct evbuffer *out, const char *name, struct noctule_string value);

#endif
