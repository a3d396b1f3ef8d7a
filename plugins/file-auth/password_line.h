// The lines of a password file: one entry, `user:hash`, taken apart in place.
// Any thread; works on borrowed text and keeps nothing.
// Must not know hashes, tables of users, or how files are read and written.
#ifndef NOCTULE_PASSWORD_LINE_H
#define NOCTULE_PASSWORD_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Longest user name, as MQTT counts: bytes. */
#define PASSWORD_USER_MAX 65535u

/** Borrowed characters, not NUL-terminated. */
struct password_text {
    const char *data;
    size_t length;
};

enum password_line_kind {
    PASSWORD_LINE_BLANK, ///< empty, blank or a comment ('#' in column 0)
    PASSWORD_LINE_ENTRY,
    PASSWORD_LINE_MALFORMED, ///< has no ':'
};

/** One line. All parts point into the text that is being read. */
struct password_line {
    enum password_line_kind kind;
    uint32_t number;            ///< from 1
    struct password_text whole; ///< with its line end
    struct password_text end;   ///< "\n", "\r\n", or empty on a last line without one
    struct password_text user;  ///< trimmed; an entry's only, as the fields below
    struct password_text field; ///< the hash, trimmed: up to a second ':' (what follows that is ignored)
    bool more;                  ///< whether there is a second ':'
};

/** Where reading stands. Begin with `{.rest = text}`. */
struct password_lines {
    struct password_text rest;
    uint32_t number;
};

/** Reads the next line; false at the end. A byte order mark before the first line belongs to no field. */
bool password_line_next(struct password_lines *lines, struct password_line *line);

/**
 * What is wrong with a user name: empty, longer than MQTT can carry, not UTF-8, or with ':' or a control
 * character in it. NULL when it is fine; else a sentence part with static lifetime.
 */
const char *password_user_problem(const char *user, size_t length);

#endif
