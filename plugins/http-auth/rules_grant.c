// From rules to the grants of one client.
#include "rules.h"

#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct attribute *attribute_find(const struct rules *rules, struct noctule_string name)
{
    for (size_t i = 0; i < rules->attribute_count; i++) {
        const char *here = rules->attributes[i].name;
        if (strlen(here) == name.length && memcmp(here, name.data, name.length) == 0)
            return &rules->attributes[i];
    }
    return NULL;
}

static bool string_is(struct noctule_string string, const char *text)
{
    return string.length == strlen(text) && memcmp(string.data, text, string.length) == 0;
}

// What a placeholder, without its "${" and "}", stands for; data is NULL: nothing that is known.
static struct noctule_string value_of(const struct rules *rules, const struct rules_client *client,
                                      struct noctule_string name)
{
    static const char prefix[] = "client_attrs.";
    enum { PREFIX = sizeof prefix - 1 };
    if (string_is(name, "username"))
        return client->username;
    if (string_is(name, "clientid"))
        return client->client_id;
    if (string_is(name, "cert_common_name"))
        return client->certificate_common_name;
    if (name.length > PREFIX && memcmp(name.data, prefix, PREFIX) == 0) {
        name = noctule_string_of(name.data + PREFIX, name.length - PREFIX);
        const struct attribute *attribute = attribute_find(rules, name);
        if (attribute)
            return noctule_string_of(attribute->value, strlen(attribute->value));
    }
    return (struct noctule_string){NULL, 0};
}

static bool is_one_level(struct noctule_string value)
{
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] == '/' || value.data[i] == '+' || value.data[i] == '#' || value.data[i] == '\0')
            return false;
    return value.length > 0;
}

// Writes a rule's topic with the client's values in it.
static bool topic_fill(struct text *filter, const struct rules *rules, const struct rules_client *client,
                       const char *topic, char *problem)
{
    const char *open;
    while ((open = strstr(topic, "${")) != NULL) {
        const char *close = strchr(open, '}');
        if (!close)
            break;
        struct noctule_string name = noctule_string_of(open + 2, (size_t)(close - open - 2));
        struct noctule_string value = value_of(rules, client, name);
        if (!value.data || !is_one_level(value)) {
            snprintf(problem, RULES_PROBLEM_MAX, "acl: ${%.*s} is %s",
                     (int)(name.length < 60 ? name.length : 60), name.data,
                     value.data ? "no single level of a topic for this client" : "not known");
            return false;
        }
        text_add(filter, topic, (size_t)(open - topic));
        text_add(filter, value.data, value.length);
        topic = close + 1;
    }
    text_add_c(filter, topic);
    return true;
}

static bool has_wildcard(const char *filter)
{
    return strpbrk(filter, "+#") != NULL;
}

/*
 * What a rule decides. Deliveries follow subscriptions: what may be subscribed to may be delivered, and what
 * may not, comes through no wider filter either. But a denial that is about some subscriptions only, by their
 * QoS or their exact filter, says nothing about messages.
 */
static uint32_t rule_access(const struct rule *rule, bool exact)
{
    uint32_t access = rule->access;
    // No message has a topic with wildcards in it.
    if (exact)
        access &= ~NOCTULE_ACCESS_PUBLISH;
    if ((access & NOCTULE_ACCESS_SUBSCRIBE) && (rule->allow || (!exact && rule->qos_mask == 0)))
        access |= NOCTULE_ACCESS_DELIVER;
    return access;
}

static void grant_make(struct noctule_grant *grant, const struct rule *rule)
{
    bool exact = rule->literal && has_wildcard(rule->topic);
    *grant = (struct noctule_grant){
        .size = sizeof *grant,
        .access = rule_access(rule, exact),
        .allow = rule->allow,
        .max_qos = 2,
        .retain = rule->retain,
        .qos_mask = rule->qos_mask,
        .exact = exact,
    };
}

// A topic that nobody uses, denied: the client has grants then, and nothing matches them.
static void grant_of_nothing(struct noctule_grant *grant)
{
    *grant = (struct noctule_grant){.size = sizeof *grant,
                                    .access = NOCTULE_ACCESS_ALL,
                                    .max_qos = 2,
                                    .retain = 2,
                                    .filter = NOCTULE_STRING("$noctule/no-rule")};
}

// Writes the filters one after the other, then lets the grants point to them.
static bool filters_write(const struct rules *rules, const struct rules_client *client,
                          struct rule_grants *grants, struct text *filters, char *problem)
{
    for (size_t i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->list[i];
        struct noctule_grant *grant = &grants->list[grants->count];
        size_t begin = filters->length;
        if (rule->literal)
            text_add_c(filters, rule->topic);
        else if (!topic_fill(filters, rules, client, rule->topic, problem))
            return false;
        grant_make(grant, rule);
        grant->filter.length = filters->length - begin;
        // The length of a filter is bounded by that of MQTT's strings; values may have made it longer.
        if (grant->filter.length > UINT16_MAX) {
            snprintf(problem, RULES_PROBLEM_MAX, "acl: a topic is too long for this client");
            return false;
        }
        grants->count++;
    }
    if (filters->failed)
        snprintf(problem, RULES_PROBLEM_MAX, "out of memory");
    return !filters->failed;
}

static bool grants_settle(struct rule_grants *grants, const struct text *filters)
{
    size_t head = (grants->count + 1) * sizeof *grants->list;
    struct noctule_grant *list = realloc(grants->list, head + filters->length);
    if (!list)
        return false;
    grants->list = list;
    char *at = (char *)list + head;
    if (filters->length)
        memcpy(at, filters->data, filters->length);
    size_t count = 0;
    for (size_t i = 0; i < grants->count; i++) {
        struct noctule_grant grant = list[i];
        grant.filter.data = at;
        at += grant.filter.length;
        // A rule that is left without an access has nothing to say.
        if (grant.access != 0)
            list[count++] = grant;
    }
    if (count == 0)
        grant_of_nothing(&list[count++]);
    grants->count = count;
    return true;
}

bool rules_grant(const struct rules *rules, const struct rules_client *client, struct rule_grants *grants,
                 char *problem)
{
    struct text filters = {0};
    *grants = (struct rule_grants){.list = calloc(rules->count + 1, sizeof *grants->list)};
    bool made = grants->list != NULL;
    if (!made)
        snprintf(problem, RULES_PROBLEM_MAX, "out of memory");
    made = made && filters_write(rules, client, grants, &filters, problem);
    if (made && !grants_settle(grants, &filters)) {
        snprintf(problem, RULES_PROBLEM_MAX, "out of memory");
        made = false;
    }
    text_free(&filters);
    if (!made)
        rule_grants_free(grants);
    return made;
}

bool rules_grant_everything(struct rule_grants *grants)
{
    static const char *const filters[] = {"#", "$SYS/#"};
    enum { FILTERS = sizeof filters / sizeof filters[0] };
    *grants = (struct rule_grants){.list = calloc(FILTERS, sizeof *grants->list)};
    for (size_t i = 0; grants->list && i < FILTERS; i++)
        grants->list[grants->count++] = (struct noctule_grant){
            .size = sizeof(struct noctule_grant),
            .access = NOCTULE_ACCESS_ALL,
            .allow = 1,
            .max_qos = 2,
            .retain = 2,
            .filter = noctule_string_of(filters[i], strlen(filters[i])),
        };
    return grants->list != NULL;
}

void rule_grants_free(struct rule_grants *grants)
{
    free(grants->list);
    *grants = (struct rule_grants){0};
}
