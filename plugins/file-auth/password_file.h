// A password file in memory: who its users are, where each stands, and what their passwords hash to.
// Loading: one thread. A loaded file is immutable; any number of threads may look up and check.
// Must not know the plugin interface or the core: the plugin and the command line both stand on this.
#ifndef NOCTULE_PASSWORD_FILE_H
#define NOCTULE_PASSWORD_FILE_H

#include "password_hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How many problems of one file are kept. */
#define PASSWORD_PROBLEMS_MAX 50

struct password_problem {
    uint32_t line;  ///< from 1; 0: the file as a whole
    char text[192]; ///< what is wrong, without file and line
};

/** What is wrong with a file, in its order. Begin with `{0}`. */
struct password_problems {
    size_t count; ///< entries of `list`
    size_t total; ///< all that were found
    struct password_problem list[PASSWORD_PROBLEMS_MAX];
};

struct password_entry {
    char *user; ///< not NUL-terminated
    uint32_t user_length;
    uint32_t line;        ///< where it stands, from 1
    uint64_t fingerprint; ///< of user and hash field, never 0: differs when either has changed
    struct password_hash *hash;
};

struct password_file;

/** Adds a problem; past PASSWORD_PROBLEMS_MAX it is only counted. */
void password_problem_add(struct password_problems *problems, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Reads the regular file at `path`. NULL when it cannot be read or anything in it is malformed: `problems`
 * then says what. The caller frees the result.
 */
struct password_file *password_file_load(const char *path, enum password_salt salt,
                                         struct password_problems *problems);

/** As password_file_load, from text in memory (not kept). */
struct password_file *password_file_parse(const char *text, size_t length, enum password_salt salt,
                                          struct password_problems *problems);

/** Frees a file and wipes its hashes; NULL is fine. */
void password_file_free(struct password_file *file);

/** The entry of a user, or NULL. Takes the same few steps however many users there are. */
const struct password_entry *password_file_find(const struct password_file *file, const char *user,
                                                size_t length);

/** Whether an entry has this fingerprint: the same user, with the same hash field. */
bool password_file_holds(const struct password_file *file, uint64_t fingerprint);

/** How many users there are. */
size_t password_file_count(const struct password_file *file);

/**
 * Spends what checking a password of this file costs, for a user that is not in it, so that time does not
 * tell which users exist. Where formats are mixed, the price is that of the most frequent, on a tie the
 * dearest. Costs nothing when the file has no users.
 */
void password_file_spend(const struct password_file *file, const void *password, size_t length);

#endif
