// Text of strangers made fit for a log line or a terminal.
// Any thread; no state.
// Knows nothing of lines and formats: whoever prints says how much there is room for.
#ifndef NOCTULE_BASE_ESCAPE_H
#define NOCTULE_BASE_ESCAPE_H

#include "core/base/str.h"

enum { ESCAPED_MAX = 6 }; ///< bytes that one byte becomes at most

/**
 * Writes `text` to `out` as it may be shown: what could end a line, steer a terminal or turn the direction of
 * what follows becomes \uXXXX, valid in JSON and readable in text; so does every byte beyond ASCII of a text
 * that is no UTF-8. `quoted`: it will stand inside double quotes. Beyond `most` bytes of `text` it is cut,
 * and "..." says so. Returns the bytes written, which are no more than `room`; what does not fit is left out.
 */
size_t escape(struct str text, size_t most, bool quoted, char *out, size_t room);

/** As `escape`, into a new heap string; the caller frees it with free(). */
char *escape_new(struct str text, size_t most, bool quoted);

#endif
