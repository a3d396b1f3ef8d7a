#include "decide.h"

#include "reply.h"

#include <stdlib.h>
#include <string.h>

/** A decision that waits for the platform. */
struct waiting {
    struct asker asker; // first: an asker is its decision
    const struct instance *instance;
    struct exchange *exchange;
    const struct settings *settings;
    enum check_kind kind; ///< that is asked now
    bool want_reason;
    bool superuser_failed;      ///< nobody knows whether it is one: a no is none then
    struct request_facts facts; ///< strings in `bytes`; no password
    struct noctule_string common_name;
    char bytes[];
};

// ---- What a request tells of a client ------------------------------------------------------------------

// "192.0.2.7:51234" and "[2001:db8::7]:51234" without port and brackets; the same client has many ports.
static struct noctule_string address_of(struct noctule_string address)
{
    const char *colon = address.length ? memrchr(address.data, ':', address.length) : NULL;
    if (!colon)
        return address;
    size_t length = (size_t)(colon - address.data);
    if (length >= 2 && address.data[0] == '[' && address.data[length - 1] == ']')
        return noctule_string_of(address.data + 1, length - 2);
    return noctule_string_of(address.data, length);
}

static struct request_facts facts_of(const struct noctule_client_info *client)
{
    return (struct request_facts){
        .username = client->username,
        .client_id = client->client_id,
        .address = address_of(client->address),
        .listener = client->listener,
        .certificate_subject = client->certificate_subject,
        .protocol = client->protocol_version,
    };
}

// ---- Waiting -------------------------------------------------------------------------------------------

static void string_keep(struct noctule_string *string, char **at)
{
    if (string->length)
        memcpy(*at, string->data, string->length);
    string->data = string->data ? *at : NULL;
    *at += string->length;
}

static struct waiting *waiting_new(const struct instance *instance, const struct noctule_context *context,
                                   const struct request_facts *facts, enum check_kind kind,
                                   struct noctule_string common_name)
{
    size_t bytes = facts->username.length + facts->client_id.length + facts->topic.length +
                   facts->address.length + facts->listener.length + facts->certificate_subject.length +
                   common_name.length;
    struct waiting *waiting = malloc(sizeof *waiting + bytes);
    if (!waiting)
        return NULL;
    *waiting = (struct waiting){.instance = instance,
                                .exchange = context->worker_state,
                                .settings = context->snapshot,
                                .kind = kind,
                                .want_reason = context->want_reason != 0,
                                .facts = *facts,
                                .common_name = common_name};
    char *at = waiting->bytes;
    waiting->facts.password = (struct noctule_string){NULL, 0};
    string_keep(&waiting->facts.username, &at);
    string_keep(&waiting->facts.client_id, &at);
    string_keep(&waiting->facts.topic, &at);
    string_keep(&waiting->facts.address, &at);
    string_keep(&waiting->facts.listener, &at);
    string_keep(&waiting->facts.certificate_subject, &at);
    string_keep(&waiting->common_name, &at);
    return waiting;
}

static void waiting_complete(struct waiting *waiting, struct verdict_reply *made)
{
    // The snapshot may be gone once this is done.
    waiting->instance->host->complete(waiting->asker.request, made->verdict, &made->reply);
    verdict_reply_clear(made);
    free(waiting);
}

// The answer that is there at once goes with the verdict.
static noctule_verdict answer_now(const struct instance *instance, const struct noctule_context *context,
                                  struct verdict_reply *made)
{
    noctule_verdict verdict = made->verdict;
    // An ALLOW whose grants or expiry the host did not note would allow too much.
    if (instance->host->annotate(context->request, &made->reply) < 0 && verdict == NOCTULE_ALLOW)
        verdict = NOCTULE_ERROR;
    verdict_reply_clear(made);
    return verdict;
}

// `waiting` has been lined up: now the decision is put off, and what waits is sent.
static noctule_verdict put_off(const struct instance *instance, const struct noctule_context *context,
                               struct waiting *waiting)
{
    waiting->asker.request = instance->host->defer(context->request);
    if (!waiting->asker.request) {
        exchange_leave(waiting->exchange, &waiting->asker);
        free(waiting);
        return NOCTULE_ERROR;
    }
    exchange_run(context->worker_state);
    return NOCTULE_PENDING;
}

// ---- Logins --------------------------------------------------------------------------------------------

static struct rules_client rules_client_of(const struct request_facts *facts,
                                           struct noctule_string common_name)
{
    return (struct rules_client){facts->username, facts->client_id, common_name};
}

static void login_answered(struct asker *asker, const struct result *result)
{
    struct waiting *waiting = (struct waiting *)asker;
    struct rules_client client = rules_client_of(&waiting->facts, waiting->common_name);
    struct verdict_reply made;
    reply_to_login(&made, waiting->instance, waiting->settings, result, &client, waiting->want_reason);
    waiting_complete(waiting, &made);
}

// go-auth: without a name or a password, no without asking.
static noctule_verdict refuse_unasked(const struct instance *instance, const struct noctule_context *context)
{
    static const struct answer no = {.verdict = NOCTULE_DENY, .said_no = true};
    struct result result = {.verdict = NOCTULE_DENY,
                            .answer = &no,
                            .reason = "no without asking: a name or a password is missing"};
    struct verdict_reply made;
    reply_to_login(&made, instance, context->snapshot, &result, NULL, false);
    return answer_now(instance, context, &made);
}

noctule_verdict decide_login(const struct instance *instance, const struct noctule_context *context,
                             const struct noctule_login *login)
{
    const struct settings *settings = context->snapshot;
    const struct noctule_client_info *info = instance->host->client_info(context->client);
    struct exchange *exchange = context->worker_state;
    // Who gives no name is nobody that the platform knows; who has another method of proving it, neither.
    if (!settings->endpoints[CHECK_USER].url || !login->has_username || login->auth_method.data)
        return NOCTULE_NEXT;
    if (!info)
        return NOCTULE_ERROR;
    if (login->username.length == 0 || login->password.length == 0)
        return refuse_unasked(instance, context);
    struct request_facts facts = facts_of(info);
    facts.username = login->username;
    facts.password = login->password;
    struct rules_client client = rules_client_of(&facts, info->certificate_common_name);
    struct result result;
    if (!exchange_knows(exchange, settings, CHECK_USER, &facts, &result)) {
        struct waiting *waiting =
            waiting_new(instance, context, &facts, CHECK_USER, info->certificate_common_name);
        if (!waiting)
            return NOCTULE_ERROR;
        waiting->asker.answered = login_answered;
        if (exchange_ask(exchange, settings, CHECK_USER, &facts, &waiting->asker, &result))
            return put_off(instance, context, waiting);
        free(waiting);
    }
    struct verdict_reply made;
    reply_to_login(&made, instance, settings, &result, &client, context->want_reason != 0);
    return answer_now(instance, context, &made);
}

// ---- Accesses ------------------------------------------------------------------------------------------

static uint64_t access_number(uint32_t access)
{
    return access == NOCTULE_ACCESS_SUBSCRIBE ? ACCESS_SUBSCRIBE
           : access == NOCTULE_ACCESS_DELIVER ? ACCESS_READ
                                              : ACCESS_WRITE;
}

// What counts when the platform says nothing about an access: there is no URL for it.
static struct result result_of_nobody(void)
{
    return (struct result){.verdict = NOCTULE_NEXT};
}

/*
 * Goes on from the answer to a superuser check. A yes decides. After a no, and also after an error, the acl
 * check decides: a superuser only gains by being one. True: `*result` is the answer; false: `waiting` waits
 * for it.
 */
static bool superuser_goes_on(struct waiting *waiting, struct result *result)
{
    if (result->verdict == NOCTULE_ALLOW)
        return true;
    waiting->superuser_failed = result->verdict == NOCTULE_ERROR;
    if (!waiting->settings->endpoints[CHECK_ACL].url) {
        if (!waiting->superuser_failed)
            *result = result_of_nobody();
        return true;
    }
    waiting->kind = CHECK_ACL;
    return !exchange_ask(waiting->exchange, waiting->settings, CHECK_ACL, &waiting->facts, &waiting->asker,
                         result);
}

// go-auth: the first yes counts; if there is none and anybody failed, it is an error.
static void superuser_failure_counts(const struct waiting *waiting, struct result *result)
{
    if (waiting->superuser_failed && result->verdict != NOCTULE_ALLOW && result->verdict != NOCTULE_ERROR)
        *result = (struct result){.verdict = NOCTULE_ERROR, .reason = "the superuser check failed"};
}

static void access_answered(struct asker *asker, const struct result *told)
{
    struct waiting *waiting = (struct waiting *)asker;
    struct result result = *told;
    struct verdict_reply made;
    if (waiting->kind == CHECK_SUPERUSER && !superuser_goes_on(waiting, &result))
        return;
    superuser_failure_counts(waiting, &result);
    reply_to_access(&made, waiting->settings, waiting->kind, &result, waiting->want_reason);
    waiting_complete(waiting, &made);
}

static noctule_verdict access_ask(const struct instance *instance, const struct noctule_context *context,
                                  const struct request_facts *facts, enum check_kind kind)
{
    struct noctule_string nothing = {NULL, 0};
    struct waiting *waiting = waiting_new(instance, context, facts, kind, nothing);
    struct result result;
    struct verdict_reply made;
    if (!waiting)
        return NOCTULE_ERROR;
    waiting->asker.answered = access_answered;
    if (exchange_ask(context->worker_state, context->snapshot, kind, facts, &waiting->asker, &result))
        return put_off(instance, context, waiting);
    if (kind == CHECK_SUPERUSER && !superuser_goes_on(waiting, &result))
        return put_off(instance, context, waiting);
    superuser_failure_counts(waiting, &result);
    reply_to_access(&made, context->snapshot, waiting->kind, &result, context->want_reason != 0);
    free(waiting);
    return answer_now(instance, context, &made);
}

// Asks in go-auth's order: a kept answer about this access, superuser, the platform.
static noctule_verdict access_decide(const struct instance *instance, const struct noctule_context *context,
                                     const struct request_facts *facts, bool superuser)
{
    const struct settings *settings = context->snapshot;
    struct exchange *exchange = context->worker_state;
    bool acl = settings->endpoints[CHECK_ACL].url != NULL;
    enum check_kind kind = CHECK_ACL;
    struct result result;
    if (!acl || !exchange_knows(exchange, settings, CHECK_ACL, facts, &result)) {
        if (!superuser)
            return acl ? access_ask(instance, context, facts, CHECK_ACL) : NOCTULE_NEXT;
        kind = CHECK_SUPERUSER;
        if (!exchange_knows(exchange, settings, CHECK_SUPERUSER, facts, &result))
            return access_ask(instance, context, facts, CHECK_SUPERUSER);
        if (result.verdict != NOCTULE_ALLOW)
            return acl ? access_ask(instance, context, facts, CHECK_ACL) : NOCTULE_NEXT;
    }
    struct verdict_reply made;
    reply_to_access(&made, settings, kind, &result, context->want_reason != 0);
    return answer_now(instance, context, &made);
}

noctule_verdict decide_access(const struct instance *instance, const struct noctule_context *context,
                              const struct noctule_access *access)
{
    const struct settings *settings = context->snapshot;
    const struct noctule_client_info *info = instance->host->client_info(context->client);
    if (!info)
        return NOCTULE_ERROR;
    uint64_t data = instance->host->client_data(instance->handle, context->client);
    // What no rule of its login allows is no business of the platform any more. Nor is who has no name.
    if ((data & CLIENT_HAS_RULES) || info->username.length == 0)
        return NOCTULE_NEXT;
    struct request_facts facts = facts_of(info);
    facts.topic = access->topic;
    facts.access = access_number(access->access);
    facts.qos = access->qos;
    facts.retain = access->retain;
    facts.payload_size = access->payload_size;
    bool superuser = settings->endpoints[CHECK_SUPERUSER].url && !(data & CLIENT_NO_SUPERUSER);
    return access_decide(instance, context, &facts, superuser);
}
