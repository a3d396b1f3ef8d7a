/* Any bytes as an ACL file, a client and a topic: either refused with problems, or rules whose answers agree.
 */
#include "plugins/acl-file/acl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

/* Takes what comes before the next newline off the front. */
static const char *field_take(const char **rest, size_t *rest_length, size_t *length)
{
    const char *start = *rest;
    const char *newline = *rest_length ? memchr(start, '\n', *rest_length) : NULL;
    *length = newline ? (size_t)(newline - start) : *rest_length;
    size_t taken = newline ? *length + 1 : *length;
    *rest += taken;
    *rest_length -= taken;
    return start;
}

static void decision_check(const struct acl_decision *decision)
{
    require((decision->outcome == ACL_NO_MATCH) == (decision->reason == NULL));
    require(decision->line == 0 || decision->outcome != ACL_NO_MATCH);
    if (decision->reason)
        require(strlen(decision->reason) == decision->reason_length);
}

/* A topic name is a filter that matches itself alone, so questions about either have the same answer. */
static void answers_agree(const struct acl_rules *rules, const struct acl_identity *identity,
                          const char *topic, size_t length)
{
    struct acl_decision read;
    struct acl_decision write;
    struct acl_decision covers;
    struct acl_decision some;
    acl_decide(rules, identity, ACL_READ, topic, length, &read);
    acl_decide(rules, identity, ACL_WRITE, topic, length, &write);
    bool covered = acl_covers(rules, identity, topic, length, &covers);
    enum acl_outcome outcome = acl_may_read_some(rules, identity, topic, length, &some);
    decision_check(&read);
    decision_check(&write);
    decision_check(&covers);
    decision_check(&some);
    require(outcome == some.outcome && covered == (covers.outcome == ACL_ALLOWED));
    require(!covered || outcome == ACL_ALLOWED);
    bool is_filter = length && (memchr(topic, '+', length) || memchr(topic, '#', length));
    bool is_shared = length >= 7 && memcmp(topic, "$share/", 7) == 0;
    if (is_filter || is_shared)
        return;
    require(outcome == read.outcome);
    require(covered == (read.outcome == ACL_ALLOWED));
    require(some.line == read.line);
    require(!covered || covers.line == read.line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *rest = (const char *)data;
    size_t rest_length = size;
    struct acl_identity identity;
    struct acl_options options = {.substitution = ACL_SUBSTITUTION_ANYWHERE};
    size_t length;
    size_t topic_length;
    /* Four lines, then the file: substitution, username, client id, topic. */
    const char *substitution = field_take(&rest, &rest_length, &length);
    if (length && substitution[0] == 'l')
        options.substitution = ACL_SUBSTITUTION_LEVEL;
    identity.username = field_take(&rest, &rest_length, &identity.username_length);
    identity.client_id = field_take(&rest, &rest_length, &identity.client_id_length);
    const char *topic = field_take(&rest, &rest_length, &topic_length);
    struct acl_problems problems = {0};
    struct acl_rules *rules = acl_rules_parse(rest, rest_length, "f", &options, &problems);
    require((rules == NULL) == (problems.errors > 0));
    require(problems.count <= problems.errors + problems.warnings);
    for (size_t i = 0; i < problems.count; i++)
        require(problems.list[i].message[0] != '\0' && !strchr(problems.list[i].message, '\n'));
    if (rules)
        answers_agree(rules, &identity, topic, topic_length);
    acl_rules_free(rules);
    acl_problems_clear(&problems);
    return 0;
}
