#include "acl_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Levels are short: a call would cost more than the hash. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#define EDGES_AT_FIRST 64U

static const char *const refusal_texts[ACL_REFUSAL_COUNT] = {
    [ACL_REFUSAL_SYS] = "topics that begin with $SYS are written by the broker alone",
    [ACL_REFUSAL_SHARE] = "$share names subscriptions, not topics",
    [ACL_REFUSAL_NOT_A_TOPIC] = "a topic name holds no + or #",
    [ACL_REFUSAL_USERNAME] = "a username that holds + or # may not use patterns",
    [ACL_REFUSAL_CLIENT_ID] = "a client id that holds + or # may not use patterns",
};

/* Makes room for one more element in a growing array. Room is a 32-bit count, so that numbers fit in nodes.
 */
static void *grow(void *list, uint32_t count, uint32_t *room, size_t element)
{
    if (count < *room)
        return list;
    if (*room >= UINT32_MAX / 4)
        return NULL;
    uint32_t wanted = *room ? *room * 2 : 16;
    void *moved = realloc(list, wanted * element);
    if (moved)
        *room = wanted;
    return moved;
}

static uint32_t node_new(struct acl_rules *rules)
{
    struct acl_node *nodes = grow(rules->nodes, rules->node_count, &rules->node_room, sizeof(*nodes));
    if (!nodes)
        return ACL_NODE_NONE;
    rules->nodes = nodes;
    memset(&nodes[rules->node_count], 0, sizeof(*nodes));
    return rules->node_count++;
}

static bool refusals_store(struct acl_rules *rules, const char *file_name)
{
    for (size_t i = 0; i < ACL_REFUSAL_COUNT; i++) {
        char *line = NULL;
        int length = asprintf(&line, "%s: %s", file_name, refusal_texts[i]);
        if (length < 0)
            return false;
        rules->refusals[i] = acl_tree_store(rules, line, (size_t)length);
        free(line);
        if (rules->refusals[i] == UINT32_MAX)
            return false;
    }
    return true;
}

struct acl_rules *acl_tree_new(enum acl_substitution substitution, const char *file_name)
{
    struct acl_rules *rules = calloc(1, sizeof(*rules));
    if (!rules)
        return NULL;
    rules->substitution = substitution;
    rules->edges = calloc(EDGES_AT_FIRST, sizeof(*rules->edges));
    rules->edge_mask = EDGES_AT_FIRST - 1;
    bool made = rules->edges != NULL;
    /* Number 0 is "no node" and never looked at; the fixed nodes follow it. */
    for (uint32_t i = ACL_NODE_NONE; made && i <= ACL_NODE_PATTERNS; i++)
        made = node_new(rules) == i && rules->node_count == i + 1;
    if (!made || !refusals_store(rules, file_name)) {
        acl_rules_free(rules);
        return NULL;
    }
    return rules;
}

void acl_rules_free(struct acl_rules *rules)
{
    if (!rules)
        return;
    free(rules->text);
    free(rules->rules);
    free(rules->nodes);
    free(rules->tails);
    free(rules->edges);
    free(rules);
}

size_t acl_rules_count(const struct acl_rules *rules)
{
    return rules->rule_count;
}

uint32_t acl_tree_store(struct acl_rules *rules, const char *text, size_t length)
{
    if (length >= UINT32_MAX / 2 || rules->text_length >= UINT32_MAX / 2)
        return UINT32_MAX;
    size_t needed = rules->text_length + length + 1;
    if (needed > rules->text_room) {
        size_t room = rules->text_room ? rules->text_room : 1024;
        while (room < needed)
            room *= 2;
        char *moved = realloc(rules->text, room);
        if (!moved)
            return UINT32_MAX;
        rules->text = moved;
        rules->text_room = room;
    }
    uint32_t offset = (uint32_t)rules->text_length;
    memcpy(rules->text + offset, text, length);
    rules->text[offset + length] = '\0';
    rules->text_length = needed;
    return offset;
}

static uint32_t edge_hash(uint32_t parent, const char *text, size_t length)
{
    return (uint32_t)XXH3_64bits_withSeed(text, length, parent);
}

static bool literal_is(const struct acl_rules *rules, const struct acl_node *node, const char *text,
                       size_t length)
{
    return node->text_length == length && memcmp(rules->text + node->text, text, length) == 0;
}

uint32_t acl_tree_literal(const struct acl_rules *rules, uint32_t parent, const char *text, size_t length)
{
    uint32_t first = rules->nodes[parent].first_literal;
    if (first == ACL_NODE_NONE)
        return ACL_NODE_NONE;
    if (rules->nodes[first].next_literal == ACL_NODE_NONE) /* most nodes have one child: no need to hash */
        return literal_is(rules, &rules->nodes[first], text, length) ? first : ACL_NODE_NONE;
    uint32_t hash = edge_hash(parent, text, length);
    for (uint32_t slot = hash & rules->edge_mask;; slot = (slot + 1) & rules->edge_mask) {
        uint32_t number = rules->edges[slot];
        if (number == ACL_NODE_NONE)
            return ACL_NODE_NONE;
        const struct acl_node *node = &rules->nodes[number];
        if (node->hash == hash && node->parent == parent && literal_is(rules, node, text, length))
            return number;
    }
}

static void edge_put(uint32_t *edges, uint32_t mask, uint32_t hash, uint32_t number)
{
    uint32_t slot = hash & mask;
    while (edges[slot] != ACL_NODE_NONE)
        slot = (slot + 1) & mask;
    edges[slot] = number;
}

static bool edges_grow(struct acl_rules *rules)
{
    uint32_t room = rules->edge_mask + 1;
    if (rules->edge_count < room / 2)
        return true;
    if (room > UINT32_MAX / 4)
        return false;
    uint32_t *edges = calloc(room * (size_t)2, sizeof(*edges));
    if (!edges)
        return false;
    uint32_t mask = room * 2 - 1;
    for (uint32_t slot = 0; slot < room; slot++) {
        uint32_t number = rules->edges[slot];
        if (number != ACL_NODE_NONE)
            edge_put(edges, mask, rules->nodes[number].hash, number);
    }
    free(rules->edges);
    rules->edges = edges;
    rules->edge_mask = mask;
    return true;
}

/* The literal child with the text stored at `offset`, made when missing. */
static uint32_t literal_reach(struct acl_rules *rules, uint32_t parent, uint32_t offset, size_t length)
{
    uint32_t number = acl_tree_literal(rules, parent, rules->text + offset, length);
    if (number != ACL_NODE_NONE)
        return number;
    if (!edges_grow(rules))
        return ACL_NODE_NONE;
    number = node_new(rules);
    if (number == ACL_NODE_NONE)
        return ACL_NODE_NONE;
    struct acl_node *node = &rules->nodes[number];
    node->hash = edge_hash(parent, rules->text + offset, length);
    node->parent = parent;
    node->text = offset;
    node->text_length = (uint16_t)length;
    node->next_literal = rules->nodes[parent].first_literal;
    rules->nodes[parent].first_literal = number;
    edge_put(rules->edges, rules->edge_mask, node->hash, number);
    rules->edge_count++;
    return number;
}

uint32_t acl_tree_user(struct acl_rules *rules, const char *name, size_t length)
{
    uint32_t number = acl_tree_literal(rules, ACL_NODE_USERS, name, length);
    if (number != ACL_NODE_NONE)
        return number;
    uint32_t offset = acl_tree_store(rules, name, length);
    return offset == UINT32_MAX ? ACL_NODE_NONE : literal_reach(rules, ACL_NODE_USERS, offset, length);
}

/* Which link of a node a wildcard or whole-level substitution is kept in; NULL for plain text. */
static uint32_t *special_link(struct acl_node *node, const struct acl_rule *rule, const char *level,
                              size_t length)
{
    if (length == 1 && level[0] == '+')
        return &node->plus;
    if (rule->is_pattern && acl_level_is_whole(level, length))
        return level[1] == 'c' ? &node->client : &node->user;
    return NULL;
}

/* The child of `number` for one level of the rule's filter, made when missing. */
static uint32_t child_reach(struct acl_rules *rules, uint32_t number, const struct acl_rule *rule,
                            uint32_t offset, size_t length)
{
    uint32_t *link = special_link(&rules->nodes[number], rule, rules->text + offset, length);
    if (!link)
        return literal_reach(rules, number, offset, length);
    if (*link != ACL_NODE_NONE)
        return *link;
    uint32_t child = node_new(rules);
    if (child != ACL_NODE_NONE) /* node_new may have moved the nodes */
        *special_link(&rules->nodes[number], rule, rules->text + offset, length) = child;
    return child;
}

static bool tail_add(struct acl_rules *rules, uint32_t number, const struct acl_rule *rule, uint32_t offset)
{
    struct acl_tail *tails = grow(rules->tails, rules->tail_count, &rules->tail_room, sizeof(*tails));
    if (!tails)
        return false;
    rules->tails = tails;
    tails[rules->tail_count] = (struct acl_tail){
        .rule = rules->rule_count,
        .text = offset,
        .text_length = (uint16_t)(rule->filter + rule->filter_length - offset),
        .kinds = rule->kinds,
    };
    rules->tail_count++;
    tails[rules->tail_count - 1].next = rules->nodes[number].first_tail;
    rules->nodes[number].first_tail = rules->tail_count;
    return true;
}

static void slots_fill(uint32_t *slots, uint8_t kinds, uint32_t rule_number)
{
    for (unsigned kind = 0; kind < ACL_KIND_COUNT; kind++)
        if ((kinds & ACL_KIND_BIT(kind)) && !slots[kind])
            slots[kind] = rule_number;
}

bool acl_text_names(const char *text, size_t length, char which)
{
    for (size_t i = 0; i + 1 < length; i++)
        if (text[i] == '%' && text[i + 1] == which)
            return true;
    return false;
}

static bool level_mixes(const struct acl_rules *rules, const struct acl_rule *rule, const char *level,
                        size_t length)
{
    return rule->is_pattern && rules->substitution == ACL_SUBSTITUTION_ANYWHERE &&
           !acl_level_is_whole(level, length) &&
           (acl_text_names(level, length, 'c') || acl_text_names(level, length, 'u'));
}

/* Hangs the rule that was appended last into the tree under `number`, level by level. */
static bool rule_hang(struct acl_rules *rules, uint32_t number, const struct acl_rule *rule)
{
    uint32_t offset = rule->filter;
    uint32_t end = rule->filter + rule->filter_length;
    for (;;) {
        rules->nodes[number].below |= rule->kinds;
        const char *level = rules->text + offset;
        const char *slash = memchr(level, '/', end - offset);
        size_t length = slash ? (size_t)(slash - level) : end - offset;
        if (length == 1 && level[0] == '#') {
            slots_fill(rules->nodes[number].open, rule->kinds, rules->rule_count);
            return true;
        }
        if (level_mixes(rules, rule, level, length))
            return tail_add(rules, number, rule, offset);
        number = child_reach(rules, number, rule, offset, length);
        if (number == ACL_NODE_NONE)
            return false;
        if (!slash)
            break;
        offset += (uint32_t)length + 1;
    }
    rules->nodes[number].below |= rule->kinds;
    slots_fill(rules->nodes[number].exact, rule->kinds, rules->rule_count);
    return true;
}

bool acl_tree_add(struct acl_rules *rules, uint32_t root, const struct acl_rule *rule)
{
    struct acl_rule *list = grow(rules->rules, rules->rule_count, &rules->rule_room, sizeof(*list));
    if (!list)
        return false;
    rules->rules = list;
    list[rules->rule_count++] = *rule;
    return rule_hang(rules, root, rule);
}
