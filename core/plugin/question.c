#include "core/plugin/question.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/memory.h"

enum { STRINGS_MAX = 4 };

// The strings of each kind, so that copying has one way for all of them.
static size_t question_strings(struct question *question, struct noctule_string *strings[STRINGS_MAX])
{
    switch (question->kind) {
    case QUESTION_LOGIN:
        strings[0] = &question->login.username;
        strings[1] = &question->login.password;
        strings[2] = &question->login.auth_method;
        strings[3] = &question->login.auth_data;
        return 4;
    case QUESTION_AUTH:
        strings[0] = &question->auth.method;
        strings[1] = &question->auth.data;
        return 2;
    case QUESTION_ACCESS:
        strings[0] = &question->access.topic;
        return 1;
    case QUESTION_PSK:
        strings[0] = &question->psk.identity;
        strings[1] = &question->psk.listener;
        return 2;
    case QUESTION_MESSAGE:
    case QUESTION_KINDS:
        break;
    }
    return 0;
}

struct question_copy *question_copy(const struct question *question)
{
    struct question from = *question;
    struct noctule_string *strings[STRINGS_MAX];
    size_t count = question_strings(&from, strings);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += strings[i]->length + 1;
    struct question_copy *copy = memory_alloc(sizeof *copy + bytes);
    char *end = (char *)(copy + 1);
    for (size_t i = 0; i < count; i++) {
        if (!strings[i]->data)
            continue;
        memcpy(end, strings[i]->data, strings[i]->length);
        end[strings[i]->length] = '\0';
        strings[i]->data = end;
        end += strings[i]->length + 1;
    }
    atomic_init(&copy->references, 1);
    copy->question = from;
    return copy;
}

struct question_copy *question_ref(struct question_copy *copy)
{
    atomic_fetch_add_explicit(&copy->references, 1, memory_order_relaxed);
    return copy;
}

void question_unref(struct question_copy *copy)
{
    if (!copy || atomic_fetch_sub_explicit(&copy->references, 1, memory_order_acq_rel) != 1)
        return;
    struct noctule_string *strings[STRINGS_MAX];
    size_t count = question_strings(&copy->question, strings);
    for (size_t i = 0; copy->question.kind != QUESTION_ACCESS && i < count; i++)
        if (strings[i]->data)
            explicit_bzero((char *)strings[i]->data, strings[i]->length);
    free(copy);
}

const char *question_name(const struct question *question)
{
    static const char *const kinds[QUESTION_KINDS] = {[QUESTION_LOGIN] = "connect",
                                                      [QUESTION_AUTH] = "auth",
                                                      [QUESTION_PSK] = "psk",
                                                      [QUESTION_MESSAGE] = "message"};
    static const char *const accesses[] = {"publish", "subscribe", "deliver", "will"};
    if (question->kind == QUESTION_ACCESS)
        return accesses[__builtin_ctz(question->access.access) & 3];
    return kinds[question->kind];
}

bool access_is_same(const struct noctule_access *a, const struct noctule_access *b)
{
    return a->access == b->access && a->qos == b->qos && a->retain == b->retain &&
           a->topic.length == b->topic.length &&
           (a->topic.length == 0 || memcmp(a->topic.data, b->topic.data, a->topic.length) == 0);
}
