#include "acl_walk.h"

#include <string.h>

#define REFUSAL_NONE ACL_REFUSAL_COUNT

static bool begins_with(const char *text, size_t length, const char *prefix)
{
    size_t prefix_length = strlen(prefix);
    return length >= prefix_length && memcmp(text, prefix, prefix_length) == 0;
}

static bool holds_wildcard(const char *text, size_t length)
{
    return length > 0 && (memchr(text, '+', length) || memchr(text, '#', length));
}

/* The one kind of topic under $SYS that clients write: a bridge's state, $SYS/broker/connection/+/state. */
static bool is_bridge_state(const char *topic, size_t length)
{
    static const char front[] = "$SYS/broker/connection/";
    static const char back[] = "/state";
    size_t front_length = sizeof(front) - 1;
    size_t back_length = sizeof(back) - 1;
    if (length < front_length + back_length || memcmp(topic, front, front_length) != 0 ||
        memcmp(topic + length - back_length, back, back_length) != 0)
        return false;
    return !memchr(topic + front_length, '/', length - front_length - back_length);
}

/* What is refused whatever the rules say. Prefixes, not levels: "$SYSTEM" counts as well, as in Mosquitto. */
static unsigned topic_refusal(enum acl_access access, const char *topic, size_t length)
{
    if (holds_wildcard(topic, length))
        return ACL_REFUSAL_NOT_A_TOPIC;
    if (length == 0 || topic[0] != '$')
        return REFUSAL_NONE;
    if (begins_with(topic, length, "$share"))
        return ACL_REFUSAL_SHARE;
    if (access == ACL_WRITE && begins_with(topic, length, "$SYS") && !is_bridge_state(topic, length))
        return ACL_REFUSAL_SYS;
    return REFUSAL_NONE;
}

/* A client whose name could act as a wildcard uses no pattern at all, not even one without %c and %u, as in
 * Mosquitto. */
static unsigned pattern_refusal(const struct acl_rules *rules, const struct acl_identity *identity)
{
    if (!rules->nodes[ACL_NODE_PATTERNS].below)
        return REFUSAL_NONE;
    if (holds_wildcard(identity->username, identity->username_length))
        return ACL_REFUSAL_USERNAME;
    if (holds_wildcard(identity->client_id, identity->client_id_length))
        return ACL_REFUSAL_CLIENT_ID;
    return REFUSAL_NONE;
}

static uint32_t own_root(const struct acl_rules *rules, const struct acl_identity *identity)
{
    if (identity->username_length == 0)
        return ACL_NODE_NOBODY;
    return acl_tree_literal(rules, ACL_NODE_USERS, identity->username, identity->username_length);
}

static enum acl_outcome decided_by_rule(const struct acl_walk *walk, enum acl_outcome outcome,
                                        uint32_t number, struct acl_decision *decision)
{
    const struct acl_rule *rule = &walk->rules->rules[number - 1];
    *decision = (struct acl_decision){
        .outcome = outcome,
        .line = rule->line,
        .reason = walk->rules->text + rule->reason,
        .reason_length = rule->reason_length,
        .steps = walk->steps,
    };
    return outcome;
}

static enum acl_outcome refused(const struct acl_walk *walk, unsigned refusal, struct acl_decision *decision)
{
    const char *reason = walk->rules->text + walk->rules->refusals[refusal];
    *decision = (struct acl_decision){
        .outcome = ACL_DENIED,
        .reason = reason,
        .reason_length = strlen(reason),
        .steps = walk->steps,
    };
    return ACL_DENIED;
}

static enum acl_outcome undecided(const struct acl_walk *walk, struct acl_decision *decision)
{
    *decision = (struct acl_decision){.outcome = ACL_NO_MATCH, .steps = walk->steps};
    return ACL_NO_MATCH;
}

/* One group of rules (a client's own, or the patterns): its denies first, then its allows. */
static enum acl_outcome group_decide(struct acl_walk *walk, uint32_t root, unsigned kind,
                                     struct acl_decision *decision)
{
    acl_walk_including(walk, root, (uint8_t)(ACL_KIND_BIT(ACL_KIND_DENY) | ACL_KIND_BIT(kind)));
    if (walk->best[ACL_KIND_DENY])
        return decided_by_rule(walk, ACL_DENIED, walk->best[ACL_KIND_DENY], decision);
    if (walk->best[kind])
        return decided_by_rule(walk, ACL_ALLOWED, walk->best[kind], decision);
    return ACL_NO_MATCH;
}

void acl_decide(const struct acl_rules *rules, const struct acl_identity *identity, enum acl_access access,
                const char *topic, size_t topic_length, struct acl_decision *decision)
{
    struct acl_walk walk;
    acl_walk_begin(&walk, rules, identity, topic, topic_length);
    unsigned refusal = topic_refusal(access, topic, topic_length);
    if (refusal != REFUSAL_NONE) {
        refused(&walk, refusal, decision);
        return;
    }
    unsigned kind = access == ACL_READ ? ACL_KIND_READ : ACL_KIND_WRITE;
    if (group_decide(&walk, own_root(rules, identity), kind, decision) != ACL_NO_MATCH)
        return;
    refusal = pattern_refusal(rules, identity);
    if (refusal != REFUSAL_NONE) {
        refused(&walk, refusal, decision);
        return;
    }
    if (group_decide(&walk, ACL_NODE_PATTERNS, kind, decision) == ACL_NO_MATCH)
        undecided(&walk, decision);
}

/* "$share/GROUP/FILTER" subscribes to FILTER. Leaves other filters, and malformed ones, as they are. */
static void inner_filter(const char **filter, size_t *length)
{
    static const char front[] = "$share/";
    if (!begins_with(*filter, *length, front))
        return;
    const char *group = *filter + sizeof(front) - 1;
    const char *slash = memchr(group, '/', *length - (sizeof(front) - 1));
    if (!slash)
        return;
    *length -= (size_t)(slash + 1 - *filter);
    *filter = slash + 1;
}

/* Whether one group settles that the whole filter is readable: ACL_ALLOWED yes, ACL_DENIED no,
 * ACL_NO_MATCH when the following group has to be asked. */
static enum acl_outcome group_covers(struct acl_walk *walk, uint32_t root, struct acl_decision *why)
{
    uint32_t deny = acl_walk_meeting(walk, root, ACL_KIND_BIT(ACL_KIND_DENY));
    if (deny)
        return decided_by_rule(walk, ACL_DENIED, deny, why);
    acl_walk_including(walk, root, ACL_KIND_BIT(ACL_KIND_READ));
    if (walk->best[ACL_KIND_READ])
        return decided_by_rule(walk, ACL_ALLOWED, walk->best[ACL_KIND_READ], why);
    return ACL_NO_MATCH;
}

bool acl_covers(const struct acl_rules *rules, const struct acl_identity *identity, const char *filter,
                size_t filter_length, struct acl_decision *why)
{
    struct acl_decision unused;
    struct acl_walk walk;
    why = why ? why : &unused;
    inner_filter(&filter, &filter_length);
    acl_walk_begin(&walk, rules, identity, filter, filter_length);
    if (begins_with(filter, filter_length, "$share"))
        return refused(&walk, ACL_REFUSAL_SHARE, why) == ACL_ALLOWED;
    enum acl_outcome outcome = group_covers(&walk, own_root(rules, identity), why);
    if (outcome != ACL_NO_MATCH)
        return outcome == ACL_ALLOWED;
    unsigned refusal = pattern_refusal(rules, identity);
    if (refusal != REFUSAL_NONE)
        return refused(&walk, refusal, why) == ACL_ALLOWED;
    outcome = group_covers(&walk, ACL_NODE_PATTERNS, why);
    if (outcome == ACL_NO_MATCH)
        undecided(&walk, why);
    return outcome == ACL_ALLOWED;
}

/* Whether one group settles that something of the filter may be readable, or that nothing is. */
static enum acl_outcome group_may_read(struct acl_walk *walk, uint32_t root, struct acl_decision *why)
{
    enum acl_outcome outcome = group_decide(walk, root, ACL_KIND_READ, why);
    if (outcome != ACL_NO_MATCH)
        return outcome;
    uint32_t allow = acl_walk_meeting(walk, root, ACL_KIND_BIT(ACL_KIND_READ));
    return allow ? decided_by_rule(walk, ACL_ALLOWED, allow, why) : ACL_NO_MATCH;
}

enum acl_outcome acl_may_read_some(const struct acl_rules *rules, const struct acl_identity *identity,
                                   const char *filter, size_t filter_length, struct acl_decision *why)
{
    struct acl_decision unused;
    struct acl_walk walk;
    why = why ? why : &unused;
    inner_filter(&filter, &filter_length);
    acl_walk_begin(&walk, rules, identity, filter, filter_length);
    if (begins_with(filter, filter_length, "$share"))
        return refused(&walk, ACL_REFUSAL_SHARE, why);
    enum acl_outcome outcome = group_may_read(&walk, own_root(rules, identity), why);
    if (outcome != ACL_NO_MATCH)
        return outcome;
    unsigned refusal = pattern_refusal(rules, identity);
    if (refusal != REFUSAL_NONE)
        return refused(&walk, refusal, why);
    outcome = group_may_read(&walk, ACL_NODE_PATTERNS, why);
    return outcome != ACL_NO_MATCH ? outcome : undecided(&walk, why);
}
