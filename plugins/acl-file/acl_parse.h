/* Reading the lines of an ACL file: what is wrong with them, and the filter check that goes with it.
 * One parse belongs to one thread.
 * Internal to this library: knows nothing of how rules are matched later. */
#ifndef ACL_FILE_ACL_PARSE_H
#define ACL_FILE_ACL_PARSE_H

#include "acl.h"

/* Adds an error or warning; past ACL_PROBLEMS_MAX of its sort, or without memory, it is only counted. */
__attribute__((format(printf, 4, 5))) void acl_problem_add(struct acl_problems *problems, uint32_t line,
                                                           bool is_error, const char *format, ...);

/* Copies `text` into `shown`, cut to `room` and with control bytes as '?', so that it can stand in a message.
 */
const char *acl_text_shown(const char *text, size_t length, char *shown, size_t room);

/* What is wrong with a rule's topic filter (MQTT 5.0 section 4.7, and Mosquitto's limits), or NULL. */
const char *acl_filter_fault(const char *filter, size_t length);

/* Is the text well-formed UTF-8? */
bool acl_text_is_utf8(const char *text, size_t length);

#endif
