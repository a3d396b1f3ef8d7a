// From the platform's JSON to rules.
#include "rules.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static bool refuse(char *problem, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem, RULES_PROBLEM_MAX, format, arguments);
    va_end(arguments);
    return false;
}

static bool is_one_of(const json_t *value, const char *const *names, size_t *index)
{
    const char *text = json_string_value(value);
    for (size_t i = 0; text && names[i]; i++) {
        if (strcmp(text, names[i]) == 0) {
            *index = i;
            return true;
        }
    }
    return false;
}

static bool permission_read(struct rule *rule, const json_t *value, char *problem)
{
    static const char *const names[] = {"deny", "allow", NULL};
    size_t index;
    if (!is_one_of(value, names, &index))
        return refuse(problem, "permission is neither \"allow\" nor \"deny\"");
    rule->allow = index == 1;
    return true;
}

static bool action_read(struct rule *rule, const json_t *value, char *problem)
{
    static const char *const names[] = {"publish", "subscribe", "all", NULL};
    static const uint32_t accesses[] = {NOCTULE_ACCESS_PUBLISH, NOCTULE_ACCESS_SUBSCRIBE,
                                        NOCTULE_ACCESS_PUBLISH | NOCTULE_ACCESS_SUBSCRIBE};
    size_t index;
    if (!is_one_of(value, names, &index))
        return refuse(problem, "action is none of \"publish\", \"subscribe\", \"all\"");
    rule->access = accesses[index];
    return true;
}

// Whether a topic is a filter that a grant may have; placeholders are ordinary characters here. [v5 4.7.1]
static bool filter_is_valid(const char *filter)
{
    size_t length = strlen(filter);
    if (length == 0 || length > UINT16_MAX || strncmp(filter, "$share/", 7) == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        bool alone = (i == 0 || filter[i - 1] == '/') && (i + 1 == length || filter[i + 1] == '/');
        if ((filter[i] == '+' && !alone) || (filter[i] == '#' && (!alone || i + 1 != length)))
            return false;
    }
    return true;
}

static bool topic_read(struct rule *rule, const json_t *value, char *problem)
{
    const char *topic = json_string_value(value);
    if (!topic)
        return refuse(problem, "topic is no text");
    rule->literal = strncmp(topic, "eq ", 3) == 0;
    if (rule->literal)
        topic += 3;
    if (!filter_is_valid(topic))
        return refuse(problem, "topic is no topic filter (without $share)");
    rule->topic = strdup(topic);
    return rule->topic ? true : refuse(problem, "out of memory");
}

static bool qos_add(struct rule *rule, const json_t *value)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > 2)
        return false;
    rule->qos_mask |= 1U << json_integer_value(value);
    return true;
}

static bool qos_read(struct rule *rule, const json_t *value, char *problem)
{
    bool right = true;
    size_t count = json_array_size(value);
    if (!json_is_array(value))
        right = qos_add(rule, value);
    for (size_t i = 0; i < count && right; i++)
        right = qos_add(rule, json_array_get(value, i));
    if (!right || rule->qos_mask == 0)
        return refuse(problem, "qos is no list of 0, 1 and 2");
    // All of them is no condition.
    if (rule->qos_mask == 7)
        rule->qos_mask = 0;
    return true;
}

static bool retain_read(struct rule *rule, const json_t *value, char *problem)
{
    static const char *const names[] = {"all", NULL};
    size_t index;
    if (json_is_boolean(value))
        rule->retain = json_is_true(value) ? 1 : 0;
    else if (!is_one_of(value, names, &index))
        return refuse(problem, "retain is neither true nor false");
    return true;
}

typedef bool key_read_fn(struct rule *rule, const json_t *value, char *problem);

static const struct {
    const char *name;
    bool required;
    key_read_fn *read;
} rule_keys[] = {
    {"permission", true, permission_read}, {"action", true, action_read},
    {"topic", true, topic_read},           {"qos", false, qos_read},
    {"retain", false, retain_read},
};

enum { RULE_KEYS = sizeof rule_keys / sizeof rule_keys[0] };

static bool rule_read(struct rule *rule, const json_t *object, char *problem)
{
    if (!json_is_object(object))
        return refuse(problem, "it is no object");
    size_t known = 0;
    *rule = (struct rule){.retain = 2};
    for (size_t i = 0; i < RULE_KEYS; i++) {
        const json_t *value = json_object_get(object, rule_keys[i].name);
        known += value != NULL;
        if (!value && rule_keys[i].required)
            return refuse(problem, "%s is missing", rule_keys[i].name);
        if (value && (rule_keys[i].required || !json_is_null(value)) &&
            !rule_keys[i].read(rule, value, problem))
            return false;
    }
    if (known != json_object_size(object))
        return refuse(problem, "it has a condition that is not known here");
    return true;
}

static bool list_read(struct rules *rules, const json_t *acl, char *problem)
{
    size_t count = json_array_size(acl);
    if (!json_is_array(acl))
        return refuse(problem, "acl is no list");
    if (count > RULES_MAX)
        return refuse(problem, "acl has %zu rules, and at most %d are taken", count, RULES_MAX);
    rules->list = calloc(count ? count : 1, sizeof *rules->list);
    if (!rules->list)
        return refuse(problem, "out of memory");
    for (size_t i = 0; i < count; i++) {
        char why[RULES_PROBLEM_MAX];
        // Counted first, so that a rule that was read half is freed as well.
        rules->count = i + 1;
        if (!rule_read(&rules->list[i], json_array_get(acl, i), why))
            return refuse(problem, "acl, rule %zu: %.120s", i + 1, why);
        rules->bytes += sizeof(struct rule) + strlen(rules->list[i].topic);
    }
    return true;
}

static bool attributes_read(struct rules *rules, const json_t *attributes, char *problem)
{
    size_t count = json_object_size(attributes);
    if (!json_is_object(attributes))
        return refuse(problem, "client_attrs is no object");
    rules->attributes = calloc(count ? count : 1, sizeof *rules->attributes);
    if (!rules->attributes)
        return refuse(problem, "out of memory");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)attributes, name, value)
    {
        if (!json_is_string(value))
            return refuse(problem, "client_attrs: a value is no text");
        struct attribute *attribute = &rules->attributes[rules->attribute_count++];
        attribute->name = strdup(name);
        attribute->value = strdup(json_string_value(value));
        if (!attribute->name || !attribute->value)
            return refuse(problem, "out of memory");
        rules->bytes += sizeof *attribute + strlen(name) + strlen(attribute->value);
    }
    return true;
}

bool rules_read(struct rules *rules, const json_t *acl, const json_t *attributes, char *problem)
{
    *rules = (struct rules){0};
    if ((!acl || list_read(rules, acl, problem)) &&
        (!attributes || attributes_read(rules, attributes, problem)))
        return true;
    rules_clear(rules);
    return false;
}

void rules_clear(struct rules *rules)
{
    for (size_t i = 0; i < rules->count; i++)
        free(rules->list[i].topic);
    for (size_t i = 0; i < rules->attribute_count; i++) {
        free(rules->attributes[i].name);
        free(rules->attributes[i].value);
    }
    free(rules->list);
    free(rules->attributes);
    *rules = (struct rules){0};
}
