/* acl-file: authorizes by an ACL file in Mosquitto's format. Everything a hook reads is made by build and
 * then never changes, so clients on all workers ask at once without a lock, and nothing is allocated for an
 * answer. */
#include <noctule/plugin.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"

#ifndef NOCTULE_PLUGIN_VERSION
#define NOCTULE_PLUGIN_VERSION "0"
#endif

struct acl_file {
    const struct noctule_host *host;
    struct noctule_instance *instance;
};

struct acl_snapshot {
    struct acl_rules *rules;
    int32_t check_subscribe;
};

static const char subscribe_reason[] = "subscriptions are granted, every delivery is checked";

static struct noctule_string string_of(const char *text)
{
    return noctule_string_of(text, strlen(text));
}

static int32_t acl_file_init(const struct noctule_host *host, struct noctule_instance *instance, void **state)
{
    struct acl_file *plugin = malloc(sizeof(*plugin));
    if (!plugin)
        return NOCTULE_E_MEMORY;
    plugin->host = host;
    plugin->instance = instance;
    *state = plugin;
    return NOCTULE_OK;
}

static void acl_file_fini(void *state)
{
    free(state);
}

/* Hands on what the parse found, with the file as the operator knows it. */
static void problems_report(const struct acl_file *plugin, struct noctule_string file,
                            const struct acl_problems *problems)
{
    const struct noctule_host *host = plugin->host;
    for (size_t i = 0; i < problems->count; i++) {
        const struct acl_problem *problem = &problems->list[i];
        struct noctule_string text = string_of(problem->message);
        if (problem->is_error)
            host->file_error(plugin->instance, file, problem->line, text);
        else
            host->file_warning(plugin->instance, file, problem->line, text);
    }
    char more[64];
    if (problems->errors > ACL_PROBLEMS_MAX) {
        snprintf(more, sizeof(more), "and %zu more errors", problems->errors - ACL_PROBLEMS_MAX);
        host->file_error(plugin->instance, file, 0, string_of(more));
    }
    if (problems->warnings > ACL_PROBLEMS_MAX) {
        snprintf(more, sizeof(more), "and %zu more warnings", problems->warnings - ACL_PROBLEMS_MAX);
        host->file_warning(plugin->instance, file, 0, string_of(more));
    }
}

static struct acl_rules *rules_load(const struct acl_file *plugin, struct noctule_string file,
                                    const struct acl_options *options)
{
    char *path = strndup(file.data, file.length);
    if (!path)
        return NULL;
    struct acl_problems problems = {0};
    struct acl_rules *rules = acl_rules_load(path, options, &problems);
    problems_report(plugin, file, &problems);
    acl_problems_clear(&problems);
    free(path);
    return rules;
}

static int32_t acl_file_build(void *state, const struct noctule_config *config, void **snapshot)
{
    static const char *const substitutions[] = {"anywhere", "level", NULL};
    const struct acl_file *plugin = state;
    const struct noctule_host *host = plugin->host;
    struct noctule_string file = {NULL, 0};
    int32_t substitution = ACL_SUBSTITUTION_ANYWHERE;
    int32_t check_subscribe = 0;
    /* All keys are asked for before anything is refused, so that one run reports every mistake. */
    int32_t file_result = host->config_path(config, "acl_file", &file);
    int32_t substitution_result = host->config_choice(config, "substitution", substitutions, &substitution);
    int32_t check_result = host->config_bool(config, "check_subscribe", &check_subscribe);
    if (file_result == 0)
        host->config_error(config, NULL,
                           NOCTULE_STRING("acl_file is missing (expected the path of an ACL file)"));
    if (file_result <= 0 || substitution_result < 0 || check_result < 0)
        return NOCTULE_E_INVALID;

    struct acl_snapshot *made = malloc(sizeof(*made));
    if (!made)
        return NOCTULE_E_MEMORY;
    struct acl_options options = {.substitution = (enum acl_substitution)substitution};
    made->check_subscribe = check_subscribe;
    made->rules = rules_load(plugin, file, &options);
    if (!made->rules) {
        free(made);
        return NOCTULE_E_INVALID;
    }
    *snapshot = made;
    return NOCTULE_OK;
}

static void acl_file_retire(void *state, void *snapshot)
{
    (void)state;
    struct acl_snapshot *made = snapshot;
    if (!made)
        return;
    acl_rules_free(made->rules);
    free(made);
}

/* Says why, where someone will read it: a denial is always logged, the rest only when `explain` asks. */
static void answer_annotate(const struct noctule_context *context, noctule_verdict verdict, uint32_t flags,
                            const char *reason, size_t reason_length)
{
    bool tell = reason && (verdict == NOCTULE_DENY || context->want_reason);
    if (!tell && !flags)
        return;
    const struct acl_file *plugin = context->state;
    struct noctule_reply reply = {.size = sizeof(reply), .flags = flags};
    if (tell)
        reply.reason = noctule_string_of(reason, reason_length);
    plugin->host->annotate(context->request, &reply);
}

static noctule_verdict verdict_of(enum acl_outcome outcome)
{
    static const noctule_verdict verdicts[] = {
        [ACL_NO_MATCH] = NOCTULE_NEXT,
        [ACL_ALLOWED] = NOCTULE_ALLOW,
        [ACL_DENIED] = NOCTULE_DENY,
    };
    return verdicts[outcome];
}

/* With check_subscribe, a filter that rules could never deliver anything under is refused; without it none
 * is, as in Mosquitto. Either way the broker learns when it need not ask about the deliveries. */
static noctule_verdict subscription_authorize(const struct noctule_context *context,
                                              const struct acl_identity *identity,
                                              struct noctule_string filter)
{
    const struct acl_snapshot *snapshot = context->snapshot;
    struct acl_decision why;
    if (acl_covers(snapshot->rules, identity, filter.data, filter.length, &why)) {
        answer_annotate(context, NOCTULE_ALLOW, NOCTULE_REPLY_COVERS_DELIVERY, why.reason, why.reason_length);
        return NOCTULE_ALLOW;
    }
    if (!snapshot->check_subscribe) {
        answer_annotate(context, NOCTULE_ALLOW, 0, subscribe_reason, sizeof(subscribe_reason) - 1);
        return NOCTULE_ALLOW;
    }
    enum acl_outcome outcome = acl_may_read_some(snapshot->rules, identity, filter.data, filter.length, &why);
    noctule_verdict verdict = verdict_of(outcome);
    answer_annotate(context, verdict, 0, why.reason, why.reason_length);
    return verdict;
}

static noctule_verdict topic_authorize(const struct noctule_context *context,
                                       const struct acl_identity *identity, enum acl_access access,
                                       struct noctule_string topic)
{
    const struct acl_snapshot *snapshot = context->snapshot;
    struct acl_decision decision;
    acl_decide(snapshot->rules, identity, access, topic.data, topic.length, &decision);
    noctule_verdict verdict = verdict_of(decision.outcome);
    answer_annotate(context, verdict, 0, decision.reason, decision.reason_length);
    return verdict;
}

static noctule_verdict acl_file_authorize(const struct noctule_context *context,
                                          const struct noctule_access *access)
{
    const struct acl_file *plugin = context->state;
    const struct noctule_client_info *client =
        context->client ? plugin->host->client_info(context->client) : NULL;
    if (!client)
        return NOCTULE_ERROR;
    struct acl_identity identity = {
        .username = client->username.data,
        .username_length = client->username.data ? client->username.length : 0,
        .client_id = client->client_id.data,
        .client_id_length = client->client_id.length,
    };
    switch (access->access) {
    case NOCTULE_ACCESS_SUBSCRIBE:
        return subscription_authorize(context, &identity, access->topic);
    case NOCTULE_ACCESS_DELIVER:
        return topic_authorize(context, &identity, ACL_READ, access->topic);
    case NOCTULE_ACCESS_PUBLISH:
    case NOCTULE_ACCESS_WILL:
        return topic_authorize(context, &identity, ACL_WRITE, access->topic);
    default:
        return NOCTULE_NEXT;
    }
}

static const struct noctule_plugin acl_file_plugin = {
    .size = sizeof(struct noctule_plugin),
    .abi_major = NOCTULE_ABI_MAJOR,
    .abi_minor = 1,
    .name = "acl-file",
    .version = NOCTULE_PLUGIN_VERSION,
    .description = "Authorizes by an access control file in Mosquitto's format",
    .license = "MIT",
    .flags = NOCTULE_FLAG_REPEATABLE,
    .authorize_mask = NOCTULE_ACCESS_ALL,
    .init = acl_file_init,
    .fini = acl_file_fini,
    .build = acl_file_build,
    .retire = acl_file_retire,
    .authorize = acl_file_authorize,
};

NOCTULE_PLUGIN_ENTRY(acl_file_plugin)
