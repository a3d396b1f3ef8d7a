// Questions to plugins: what a decision hook is told, borrowed or as a copy that outlives the caller.
// A copy may be read by several threads at once.
// Must not know who answers.
#ifndef NOCTULE_PLUGIN_QUESTION_H
#define NOCTULE_PLUGIN_QUESTION_H

#include <stdatomic.h>
#include <stdbool.h>

#include "noctule/plugin.h"

enum question_kind {
    QUESTION_LOGIN,
    QUESTION_AUTH,
    QUESTION_ACCESS,
    QUESTION_PSK,
    QUESTION_MESSAGE,
    QUESTION_KINDS
};

struct question {
    enum question_kind kind;
    union {
        struct noctule_login login;
        struct noctule_auth auth;
        struct noctule_access access;
        struct noctule_psk psk;
        struct noctule_message *message; ///< never copied
    };
};

/** The strings are in the same block, behind the structure. */
struct question_copy {
    _Atomic unsigned references;
    struct question question;
};

/** With one reference. Passwords are wiped when the last one goes. */
struct question_copy *question_copy(const struct question *question);
struct question_copy *question_ref(struct question_copy *copy);
void question_unref(struct question_copy *copy);

/** What is asked, in a word: "connect", "publish". */
const char *question_name(const struct question *question);

/** Whether both ask for the same access to the same topic. */
bool access_is_same(const struct noctule_access *a, const struct noctule_access *b);

#endif
