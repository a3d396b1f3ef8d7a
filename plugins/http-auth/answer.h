// What the platform answers: from status and body to a verdict and what comes with it.
// Any thread; an answer belongs to one worker, which alone counts its references.
// Must not know how it was asked, nor how long it holds.
#ifndef HTTP_AUTH_ANSWER_H
#define HTTP_AUTH_ANSWER_H

#include "request.h"
#include "rules.h"

enum answer_mode { ANSWER_STATUS, ANSWER_JSON, ANSWER_TEXT };

/** Bodies longer than this are refused before they have come in whole. */
#define ANSWER_BODY_MAX 262144

/** Whether the login said if the user is a superuser. */
enum answer_superuser { SUPERUSER_UNSAID, SUPERUSER_NO, SUPERUSER_YES };

/** Why there is no verdict; kinds of the metrics. */
enum answer_error {
    ANSWER_NO_ERROR,
    ANSWER_ERROR_STATUS,   ///< 500 and above, or no status that is one
    ANSWER_ERROR_REDIRECT, ///< 300 to 399
    ANSWER_ERROR_BODY,     ///< not what the mode expects
};

struct answer {
    unsigned references;
    noctule_verdict verdict; ///< ALLOW, DENY, NEXT or ERROR
    enum answer_error error;
    enum answer_superuser superuser;
    bool has_rules;
    bool said_no;          ///< DENY in go-auth's words, which `on_no` may turn into NEXT
    uint64_t expire_at_ms; ///< wall clock; 0: never
    struct rules rules;
    char *reason; ///< for the log, one line of UTF-8, at most ANSWER_REASON_MAX bytes; NULL: none
};

#define ANSWER_REASON_MAX 200

/**
 * Reads an answer. Status: 200 to 299 by `mode`, 300 to 399 an error, 400 to 499 no, everything else an
 * error. Returns a new answer with one reference; NULL: out of memory.
 */
struct answer *answer_read(enum answer_mode mode, enum check_kind kind, long status, const char *body,
                           size_t length);

/** About as much memory as it takes. */
size_t answer_bytes(const struct answer *answer);

struct answer *answer_ref(struct answer *answer);
void answer_unref(struct answer *answer); /* NULL is fine */

#endif
