#include "answer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/** The last second of the year 9999: what is later never comes. */
#define EXPIRY_MAX 253402300799.0

__attribute__((format(printf, 4, 5))) static void answer_set(struct answer *answer, noctule_verdict verdict,
                                                             enum answer_error error, const char *format, ...)
{
    char reason[ANSWER_REASON_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    answer->verdict = verdict;
    answer->error = error;
    free(answer->reason);
    answer->reason = strdup(reason);
}

// The platform's own words, as one line for the log: cut between two characters, without control characters.
// In a body that may be anything, what is not ASCII is not shown.
static void words_copy(char *to, size_t room, const char *from, size_t length, bool any)
{
    size_t shown = length < room - 1 ? length : room - 1;
    while (shown < length && shown > 0 && ((uint8_t)from[shown] & 0xC0) == 0x80)
        shown--;
    for (size_t i = 0; i < shown; i++)
        to[i] = (uint8_t)from[i] < 0x20 || from[i] == 0x7F ? ' ' : any && from[i] < 0 ? '?' : from[i];
    to[shown] = '\0';
}

// ---- JSON ----------------------------------------------------------------------------------------------

static void body_is_wrong(struct answer *answer, const char *why)
{
    answer_set(answer, NOCTULE_ERROR, ANSWER_ERROR_BODY, "the answer makes no sense: %s", why);
}

/** The members that decide, as they were found. */
struct members {
    const json_t *result;
    const json_t *error;
    bool has_ok;
    bool ok;
};

// go-auth reads `ok` and `error` whatever their case.
static bool members_find(struct members *members, json_t *object, struct answer *answer)
{
    const char *name;
    json_t *value;
    *members = (struct members){.ok = true};
    json_object_foreach(object, name, value)
    {
        if (strcmp(name, "result") == 0) {
            members->result = value;
        } else if (strcasecmp(name, "error") == 0) {
            members->error = value;
        } else if (strcasecmp(name, "ok") == 0) {
            if (!json_is_boolean(value) && !json_is_null(value)) {
                body_is_wrong(answer, "`ok` is neither true nor false");
                return false;
            }
            members->has_ok = true;
            members->ok = members->ok && json_is_true(value);
        }
    }
    return true;
}

static void say_no(struct answer *answer, const json_t *error)
{
    char words[ANSWER_REASON_MAX - 40] = "";
    const char *text = json_string_value(error);
    if (text)
        words_copy(words, sizeof words, text, json_string_length(error), false);
    answer_set(answer, NOCTULE_DENY, ANSWER_NO_ERROR, "the platform says no%s%s", words[0] ? ": " : "",
               words);
}

// True: `answer` has its verdict; false: it is an error.
static bool verdict_read(struct answer *answer, const struct members *members)
{
    static const struct {
        const char *name;
        noctule_verdict verdict;
    } results[] = {{"allow", NOCTULE_ALLOW}, {"deny", NOCTULE_DENY}, {"ignore", NOCTULE_NEXT}};
    if (!members->result) {
        answer->verdict = members->has_ok && members->ok ? NOCTULE_ALLOW : NOCTULE_DENY;
        answer->said_no = answer->verdict == NOCTULE_DENY;
    } else {
        const char *text = json_string_value(members->result);
        size_t i = 0;
        while (text && i < 3 && strcmp(text, results[i].name) != 0)
            i++;
        if (!text || i == 3) {
            body_is_wrong(answer, "`result` is none of \"allow\", \"deny\", \"ignore\"");
            return false;
        }
        answer->verdict = results[i].verdict;
        if (members->has_ok && members->ok != (answer->verdict == NOCTULE_ALLOW)) {
            body_is_wrong(answer, "`ok` and `result` contradict each other");
            return false;
        }
    }
    if (answer->verdict == NOCTULE_DENY)
        say_no(answer, members->error);
    return true;
}

// A member that is there and is not null; NULL: none.
static const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

static bool expiry_read(struct answer *answer, const json_t *value)
{
    double seconds = json_number_value(value);
    if (!json_is_number(value) || !isfinite(seconds) || seconds <= 0) {
        body_is_wrong(answer, "`expire_at` is no time in seconds since 1970");
        return false;
    }
    answer->expire_at_ms = (uint64_t)((seconds < EXPIRY_MAX ? seconds : EXPIRY_MAX) * 1000);
    return true;
}

// What a login brings along.
static void login_read(struct answer *answer, const json_t *object)
{
    const json_t *superuser = member(object, "is_superuser");
    const json_t *expire_at = member(object, "expire_at");
    const json_t *acl = member(object, "acl");
    char problem[RULES_PROBLEM_MAX];
    if (superuser && !json_is_boolean(superuser)) {
        body_is_wrong(answer, "`is_superuser` is neither true nor false");
        return;
    }
    if (expire_at && !expiry_read(answer, expire_at))
        return;
    if (!rules_read(&answer->rules, acl, member(object, "client_attrs"), problem)) {
        body_is_wrong(answer, problem);
        return;
    }
    answer->has_rules = acl != NULL;
    if (superuser)
        answer->superuser = json_is_true(superuser) ? SUPERUSER_YES : SUPERUSER_NO;
}

static void json_read(struct answer *answer, enum check_kind kind, const char *body, size_t length)
{
    json_error_t where;
    json_t *document = json_loadb(body ? body : "", length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &where);
    struct members members;
    if (!document) {
        body_is_wrong(answer, "it is no JSON");
        return;
    }
    if (json_is_null(document)) {
        // As go-auth reads it: an object with nothing in it.
        answer->said_no = true;
        say_no(answer, NULL);
    } else if (!json_is_object(document)) {
        body_is_wrong(answer, "it is no object");
    } else if (members_find(&members, document, answer) && verdict_read(answer, &members) &&
               kind == CHECK_USER && answer->verdict == NOCTULE_ALLOW) {
        login_read(answer, document);
    }
    json_decref(document);
}

// ---- All modes -----------------------------------------------------------------------------------------

static void text_read(struct answer *answer, const char *body, size_t length)
{
    if (length == 2 && memcmp(body, "ok", 2) == 0) {
        answer->verdict = NOCTULE_ALLOW;
        return;
    }
    char words[ANSWER_REASON_MAX - 40];
    words_copy(words, sizeof words, body, length, true);
    answer->said_no = true;
    answer_set(answer, NOCTULE_DENY, ANSWER_NO_ERROR, "the platform says no: \"%s\"", words);
}

static void body_read(struct answer *answer, enum answer_mode mode, enum check_kind kind, const char *body,
                      size_t length)
{
    switch (mode) {
    case ANSWER_STATUS:
        answer->verdict = NOCTULE_ALLOW;
        break;
    case ANSWER_JSON:
        json_read(answer, kind, body, length);
        break;
    case ANSWER_TEXT:
        text_read(answer, body, length);
        break;
    }
}

struct answer *answer_read(enum answer_mode mode, enum check_kind kind, long status, const char *body,
                           size_t length)
{
    struct answer *answer = calloc(1, sizeof *answer);
    if (!answer)
        return NULL;
    answer->references = 1;
    if (status >= 200 && status < 300) {
        body_read(answer, mode, kind, body, length);
    } else if (status >= 400 && status < 500) {
        answer->said_no = true;
        answer_set(answer, NOCTULE_DENY, ANSWER_NO_ERROR, "the platform says no: status %ld", status);
    } else {
        bool elsewhere = status >= 300 && status < 400;
        answer_set(answer, NOCTULE_ERROR, elsewhere ? ANSWER_ERROR_REDIRECT : ANSWER_ERROR_STATUS,
                   "status %ld%s", status, elsewhere ? ": redirects are not followed" : "");
    }
    return answer;
}

size_t answer_bytes(const struct answer *answer)
{
    return sizeof *answer + answer->rules.bytes + (answer->reason ? strlen(answer->reason) : 0);
}

struct answer *answer_ref(struct answer *answer)
{
    answer->references++;
    return answer;
}

void answer_unref(struct answer *answer)
{
    if (!answer || --answer->references > 0)
        return;
    rules_clear(&answer->rules);
    free(answer->reason);
    free(answer);
}
