#include "reply.h"

#include <stdarg.h>
#include <stdio.h>

enum { BAD_USER_NAME_OR_PASSWORD = 0x86, NOT_AUTHORIZED = 0x87 };

static const char *const check_names[CHECK_KINDS] = {
    [CHECK_USER] = "user", [CHECK_SUPERUSER] = "superuser", [CHECK_ACL] = "acl"};

__attribute__((format(printf, 3, 4))) static void verdict_set(struct verdict_reply *made,
                                                              noctule_verdict verdict, const char *format,
                                                              ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(made->reason, sizeof made->reason, format, arguments);
    va_end(arguments);
    size_t shown = length < 0                             ? 0
                   : (size_t)length < sizeof made->reason ? (size_t)length
                                                          : sizeof made->reason - 1;
    made->verdict = verdict;
    made->reply.reason = noctule_string_of(made->reason, shown);
}

static const char *yes_of(const struct result *result)
{
    return result->stale ? "the platform said yes, and cannot be asked now" : "the platform says yes";
}

// Everything but a yes, which is the same for all checks.
static void reply_to_other(struct verdict_reply *made, const struct settings *settings, enum check_kind kind,
                           const struct result *result)
{
    const struct answer *answer = result->answer;
    noctule_verdict verdict = result->verdict;
    if (verdict == NOCTULE_DENY && answer && answer->said_no)
        verdict = settings->on_no;
    if (verdict == NOCTULE_NEXT && result->verdict == NOCTULE_NEXT)
        verdict_set(made, verdict, "%s: the platform leaves it to others", check_names[kind]);
    else
        verdict_set(made, verdict, "%s: %s", check_names[kind],
                    result->reason ? result->reason : "out of memory");
}

// ---- Logins --------------------------------------------------------------------------------------------

static void grants_give(struct verdict_reply *made, const struct answer *answer,
                        const struct rules_client *client)
{
    char problem[RULES_PROBLEM_MAX] = "out of memory";
    bool superuser = answer->superuser == SUPERUSER_YES;
    bool given = superuser ? rules_grant_everything(&made->grants)
                           : rules_grant(&answer->rules, client, &made->grants, problem);
    if (!given) {
        made->reply.reason_code = NOT_AUTHORIZED;
        verdict_set(made, NOCTULE_DENY, "user: %s", problem);
        return;
    }
    made->reply.grants = made->grants.list;
    made->reply.grant_count = made->grants.count;
    made->reply.client_data |= CLIENT_HAS_RULES;
}

static void login_allow(struct verdict_reply *made, const struct instance *instance,
                        const struct result *result, const struct rules_client *client, bool want_reason)
{
    const struct answer *answer = result->answer;
    made->verdict = NOCTULE_ALLOW;
    if (answer->expire_at_ms && answer->expire_at_ms <= instance->host->wall_ms()) {
        made->reply.reason_code = NOT_AUTHORIZED;
        verdict_set(made, NOCTULE_DENY, "user: the login has expired: expire_at has passed");
        return;
    }
    made->reply.expires_at_ms = answer->expire_at_ms;
    if (answer->superuser == SUPERUSER_NO)
        made->reply.client_data |= CLIENT_NO_SUPERUSER;
    if (want_reason)
        verdict_set(made, NOCTULE_ALLOW, "user: %s%s", yes_of(result),
                    answer->superuser == SUPERUSER_YES ? " to a superuser"
                    : answer->has_rules                ? " and brings rules along"
                                                       : "");
    if (answer->has_rules || answer->superuser == SUPERUSER_YES)
        grants_give(made, answer, client);
}

void reply_to_login(struct verdict_reply *made, const struct instance *instance,
                    const struct settings *settings, const struct result *result,
                    const struct rules_client *client, bool want_reason)
{
    *made = (struct verdict_reply){.reply.size = sizeof made->reply};
    if (result->verdict == NOCTULE_ALLOW && result->answer) {
        login_allow(made, instance, result, client, want_reason);
        return;
    }
    reply_to_other(made, settings, CHECK_USER, result);
    if (made->verdict == NOCTULE_DENY)
        made->reply.reason_code = BAD_USER_NAME_OR_PASSWORD;
}

// ---- Accesses ------------------------------------------------------------------------------------------

void reply_to_access(struct verdict_reply *made, const struct settings *settings, enum check_kind kind,
                     const struct result *result, bool want_reason)
{
    *made = (struct verdict_reply){.reply.size = sizeof made->reply};
    bool superuser = kind == CHECK_SUPERUSER && result->verdict == NOCTULE_ALLOW;
    // The broker knows nothing of a payload's size when it looks for what it may use again.
    if (superuser || (settings->send & SEND_PAYLOAD_SIZE) == 0)
        made->reply.reuse_ms = result->reuse_ms < UINT32_MAX ? (uint32_t)result->reuse_ms : UINT32_MAX;
    if (result->verdict != NOCTULE_ALLOW) {
        reply_to_other(made, settings, kind, result);
        return;
    }
    made->verdict = NOCTULE_ALLOW;
    if (superuser)
        made->reply.flags |= NOCTULE_REPLY_ANY_TOPIC;
    if (want_reason)
        verdict_set(made, NOCTULE_ALLOW, "%s: %s", check_names[kind], yes_of(result));
}

void verdict_reply_clear(struct verdict_reply *made)
{
    rule_grants_free(&made->grants);
}
