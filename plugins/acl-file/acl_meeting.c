#include "acl_walk.h"

#include <string.h>

/* The walk's text met a '#' inside a value: everything under the value's node shares a topic with it. */
#define SWALLOWED SIZE_MAX

static uint32_t node_meeting(struct acl_walk *walk, uint32_t number, size_t offset);

static uint32_t slots_any(const struct acl_walk *walk, const uint32_t *slots)
{
    for (unsigned kind = 0; kind < ACL_KIND_COUNT; kind++)
        if ((walk->wanted & ACL_KIND_BIT(kind)) && slots[kind] && acl_rule_applies(walk, slots[kind]))
            return slots[kind];
    return 0;
}

static uint32_t tails_meeting(struct acl_walk *walk, const struct acl_node *node, size_t offset)
{
    for (uint32_t number = node->first_tail; number;) {
        const struct acl_tail *tail = &walk->rules->tails[number - 1];
        walk->steps++;
        if ((tail->kinds & walk->wanted) && acl_rule_applies(walk, tail->rule) &&
            acl_tail_relates(walk, tail, offset, ACL_MEETS))
            return tail->rule;
        number = tail->next;
    }
    return 0;
}

/* Matches a value, level by level, with the filter from `offset` on. False: they share nothing. */
static bool value_meets(const struct acl_walk *walk, const struct acl_value *value, size_t offset,
                        size_t *next)
{
    const char *part = value->text;
    const char *end = value->text + value->length;
    for (;;) {
        if (offset > walk->length)
            return false;
        struct acl_level level = acl_level_at(walk, offset);
        const char *slash = memchr(part, '/', (size_t)(end - part));
        size_t length = slash ? (size_t)(slash - part) : (size_t)(end - part);
        bool hidden = offset == 0 && length > 0 && part[0] == '$';
        if (acl_level_is(&level, '#')) {
            *next = SWALLOWED;
            return !hidden;
        }
        if (acl_level_is(&level, '+')) {
            if (hidden)
                return false;
        } else if (level.length != length || memcmp(level.text, part, length) != 0) {
            return false;
        }
        offset = level.next;
        if (!slash)
            break;
        part = slash + 1;
    }
    *next = offset;
    return true;
}

/* Any rule at or under this node, wherever `#` can lead. */
static uint32_t node_any(struct acl_walk *walk, uint32_t number)
{
    const struct acl_node *node = &walk->rules->nodes[number];
    if (number == ACL_NODE_NONE || !(node->below & walk->wanted))
        return 0;
    walk->steps++;
    uint32_t rule = slots_any(walk, node->exact);
    if (!rule)
        rule = slots_any(walk, node->open);
    if (!rule)
        rule = node_any(walk, node->plus);
    if (!rule && walk->client.usable)
        rule = node_any(walk, node->client);
    if (!rule && walk->user.usable)
        rule = node_any(walk, node->user);
    for (uint32_t child = node->first_literal; !rule && child; child = walk->rules->nodes[child].next_literal)
        rule = node_any(walk, child);
    for (uint32_t tail = node->first_tail; !rule && tail; tail = walk->rules->tails[tail - 1].next)
        if ((walk->rules->tails[tail - 1].kinds & walk->wanted) &&
            acl_rule_applies(walk, walk->rules->tails[tail - 1].rule))
            rule = walk->rules->tails[tail - 1].rule;
    return rule;
}

static uint32_t value_meeting(struct acl_walk *walk, uint32_t child, const struct acl_value *value,
                              size_t offset)
{
    size_t next;
    if (child == ACL_NODE_NONE || !acl_value_usable_at(walk, value, offset) ||
        !value_meets(walk, value, offset, &next))
        return 0;
    return next == SWALLOWED ? node_any(walk, child) : node_meeting(walk, child, next);
}

/* Literal children under a wildcard level of the filter: all of them, except `$...` at the top. */
static uint32_t literals_meeting(struct acl_walk *walk, const struct acl_node *node, size_t offset,
                                 const struct acl_level *level)
{
    uint32_t rule = 0;
    for (uint32_t child = node->first_literal; !rule && child;
         child = walk->rules->nodes[child].next_literal) {
        const struct acl_node *literal = &walk->rules->nodes[child];
        if (offset == 0 && literal->text_length > 0 && walk->rules->text[literal->text] == '$')
            continue;
        rule = acl_level_is(level, '#') ? node_any(walk, child) : node_meeting(walk, child, level->next);
    }
    return rule;
}

/* Recursion goes one node down each time, so no deeper than a rule has levels. */
static uint32_t node_meeting(struct acl_walk *walk, uint32_t number, size_t offset)
{
    const struct acl_node *node = &walk->rules->nodes[number];
    if (number == ACL_NODE_NONE || !(node->below & walk->wanted))
        return 0;
    walk->steps++;
    if (offset > walk->length) {
        uint32_t rule = slots_any(walk, node->exact);
        return rule ? rule : slots_any(walk, node->open);
    }
    struct acl_level level = acl_level_at(walk, offset);
    if (offset > 0 && acl_level_is(&level, '#'))
        return node_any(walk, number); /* "a/#" has "a" as well, so this node's own rules count */
    bool hidden = offset == 0 && level.length > 0 && level.text[0] == '$';
    uint32_t rule = 0;
    if (!hidden) {
        rule = slots_any(walk, node->open);
        if (!rule && acl_level_is(&level, '#'))
            rule = node_any(walk, node->plus);
        else if (!rule)
            rule = node_meeting(walk, node->plus, level.next);
    }
    if (!rule && (acl_level_is(&level, '#') || acl_level_is(&level, '+')))
        rule = literals_meeting(walk, node, offset, &level);
    else if (!rule)
        rule =
            node_meeting(walk, acl_tree_literal(walk->rules, number, level.text, level.length), level.next);
    if (!rule)
        rule = value_meeting(walk, node->client, &walk->client, offset);
    if (!rule)
        rule = value_meeting(walk, node->user, &walk->user, offset);
    if (!rule)
        rule = tails_meeting(walk, node, offset);
    return rule;
}

uint32_t acl_walk_meeting(struct acl_walk *walk, uint32_t root, uint8_t wanted)
{
    walk->wanted = wanted;
    return node_meeting(walk, root, 0);
}
