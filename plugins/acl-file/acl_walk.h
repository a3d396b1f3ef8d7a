/* Walking the compiled rules with a topic or a subscription filter: which rules include it, which share a
 * topic with it. A walk lives on its caller's stack; any thread, the rules being read-only. Internal to this
 * library: in which order the groups of rules are asked is decided in acl_decide.c. */
#ifndef ACL_FILE_ACL_WALK_H
#define ACL_FILE_ACL_WALK_H

#include "acl_tree.h"

/* What %c or %u stands for in this walk. */
struct acl_value {
    const char *text;
    size_t length;
    bool usable; /* false: patterns that name it do not apply */
};

struct acl_walk {
    const struct acl_rules *rules;
    const char *text; /* topic name or subscription filter */
    size_t length;
    struct acl_value client;
    struct acl_value user;
    bool is_anonymous;
    uint8_t wanted;                /* ACL_KIND_BITs looked for */
    uint32_t best[ACL_KIND_COUNT]; /* found: the first rule of the file for each kind; 0 none */
    uint32_t steps;
};

/* One level of the walk's text. */
struct acl_level {
    const char *text;
    size_t length;
    size_t next; /* where the following level begins; past the text's length when there is none */
};

enum acl_relation {
    ACL_INCLUDES, /* every topic of the walk's text is one of the rule's */
    ACL_MEETS,    /* some topic is both's */
};

/* Prepares a walk of `text`; everything is borrowed. */
void acl_walk_begin(struct acl_walk *walk, const struct acl_rules *rules, const struct acl_identity *identity,
                    const char *text, size_t length);

/* Fills walk->best with the rules under `root` that include the text. For a topic name these are the rules
 * that match. */
void acl_walk_including(struct acl_walk *walk, uint32_t root, uint8_t wanted);

/* Returns a rule under `root` that shares a topic with the text, a filter; 0 when there is none. */
uint32_t acl_walk_meeting(struct acl_walk *walk, uint32_t root, uint8_t wanted);

/* How the rest of a pattern, its values filled in, relates to the text from the level at `offset` on. */
bool acl_tail_relates(const struct acl_walk *walk, const struct acl_tail *tail, size_t offset,
                      enum acl_relation relation);

/* The level that begins at `offset`, which is not past the text's length. */
struct acl_level acl_level_at(const struct acl_walk *walk, size_t offset);

static inline bool acl_level_is(const struct acl_level *level, char wildcard)
{
    return level->length == 1 && level->text[0] == wildcard;
}

/* Does the rule speak to the walk's client at all? */
static inline bool acl_rule_applies(const struct acl_walk *walk, uint32_t rule_number)
{
    return !(walk->is_anonymous && walk->rules->rules[rule_number - 1].names_user);
}

/* May a whole level %c or %u that stands at `offset` be this value? In 2.1 one that leads a filter is no way
 * to `$`. */
static inline bool acl_value_usable_at(const struct acl_walk *walk, const struct acl_value *value,
                                       size_t offset)
{
    return value->usable &&
           !(offset == 0 && walk->rules->substitution == ACL_SUBSTITUTION_LEVEL && value->text[0] == '$');
}

#endif
