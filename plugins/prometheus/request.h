/* What the headers of a scrape say.
 * Any thread.
 * Knows nothing of the server. */
#ifndef PROMETHEUS_REQUEST_H
#define PROMETHEUS_REQUEST_H

#include <stdbool.h>

#include "exposition.h"

/* The format to answer in, by the Accept header (NULL: there is none): OpenMetrics where it is named with a
 * weight above zero [RFC 9110 12.5.1], else Prometheus's text format, which everybody reads. */
enum exposition_format request_format(const char *accept);

/* Whether the Authorization header (NULL: there is none) carries `token` (NULL: none is needed), compared in
 * a time that does not tell how much of it was right [RFC 6750 2.1]. */
bool request_is_authorized(const char *authorization, const char *token);

#endif
