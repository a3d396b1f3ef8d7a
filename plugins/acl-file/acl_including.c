#include "acl_walk.h"

#include <string.h>

static struct acl_value value_of(const struct acl_rules *rules, const char *text, size_t length)
{
    struct acl_value value = {.text = text ? text : "", .length = length, .usable = true};
    if (rules->substitution == ACL_SUBSTITUTION_LEVEL)
        value.usable = length > 0 && !memchr(value.text, '/', length);
    return value;
}

void acl_walk_begin(struct acl_walk *walk, const struct acl_rules *rules, const struct acl_identity *identity,
                    const char *text, size_t length)
{
    *walk = (struct acl_walk){
        .rules = rules,
        .text = text ? text : "",
        .length = length,
        .client = value_of(rules, identity->client_id, identity->client_id_length),
        .user = value_of(rules, identity->username, identity->username_length),
        .is_anonymous = identity->username_length == 0,
    };
    if (walk->is_anonymous)
        walk->user.usable = false;
}

struct acl_level acl_level_at(const struct acl_walk *walk, size_t offset)
{
    const char *start = walk->text + offset;
    const char *slash = memchr(start, '/', walk->length - offset);
    size_t length = slash ? (size_t)(slash - start) : walk->length - offset;
    return (struct acl_level){.text = start, .length = length, .next = offset + length + 1};
}

static void best_take(struct acl_walk *walk, unsigned kind, uint32_t rule_number)
{
    if (!walk->best[kind] || rule_number < walk->best[kind])
        walk->best[kind] = rule_number;
}

static void slots_take(struct acl_walk *walk, const uint32_t *slots)
{
    for (unsigned kind = 0; kind < ACL_KIND_COUNT; kind++)
        if ((walk->wanted & ACL_KIND_BIT(kind)) && slots[kind] && acl_rule_applies(walk, slots[kind]))
            best_take(walk, kind, slots[kind]);
}

static void tails_take(struct acl_walk *walk, const struct acl_node *node, size_t offset)
{
    for (uint32_t number = node->first_tail; number;) {
        const struct acl_tail *tail = &walk->rules->tails[number - 1];
        walk->steps++;
        if ((tail->kinds & walk->wanted) && acl_rule_applies(walk, tail->rule) &&
            acl_tail_relates(walk, tail, offset, ACL_INCLUDES)) {
            for (unsigned kind = 0; kind < ACL_KIND_COUNT; kind++)
                if (tail->kinds & walk->wanted & ACL_KIND_BIT(kind))
                    best_take(walk, kind, tail->rule);
        }
        number = tail->next;
    }
}

static void node_including(struct acl_walk *walk, uint32_t number, size_t offset);

/* Goes on under a whole level %c or %u where the text has the value at `offset`. The value may span levels.
 */
static void value_including(struct acl_walk *walk, uint32_t child, const struct acl_value *value,
                            size_t offset)
{
    if (child == ACL_NODE_NONE || !acl_value_usable_at(walk, value, offset))
        return;
    size_t rest = walk->length - offset;
    if (value->length > rest || memcmp(walk->text + offset, value->text, value->length) != 0)
        return;
    if (value->length < rest && walk->text[offset + value->length] != '/')
        return;
    node_including(walk, child, offset + value->length + 1);
}

/* Recursion goes one node down each time, so no deeper than a rule has levels. */
static void node_including(struct acl_walk *walk, uint32_t number, size_t offset)
{
    const struct acl_node *node = &walk->rules->nodes[number];
    if (number == ACL_NODE_NONE || !(node->below & walk->wanted))
        return;
    walk->steps++;
    if (offset > walk->length) {
        slots_take(walk, node->exact);
        slots_take(walk, node->open); /* "a/#" includes "a" */
        return;
    }
    struct acl_level level = acl_level_at(walk, offset);
    bool hidden = offset == 0 && level.length > 0 && level.text[0] == '$'; /* from wildcards */
    if (!hidden)
        slots_take(walk, node->open);
    if (acl_level_is(&level, '#')) {
        /* A topic has at least one level, so "+" "/#" includes all that a lone "#" does. */
        if (offset == 0 && node->plus != ACL_NODE_NONE)
            slots_take(walk, walk->rules->nodes[node->plus].open);
        return;
    }
    if (!hidden)
        node_including(walk, node->plus, level.next);
    if (acl_level_is(&level, '+'))
        return;
    node_including(walk, acl_tree_literal(walk->rules, number, level.text, level.length), level.next);
    value_including(walk, node->client, &walk->client, offset);
    value_including(walk, node->user, &walk->user, offset);
    tails_take(walk, node, offset);
}

void acl_walk_including(struct acl_walk *walk, uint32_t root, uint8_t wanted)
{
    walk->wanted = wanted;
    memset(walk->best, 0, sizeof(walk->best));
    node_including(walk, root, 0);
}
