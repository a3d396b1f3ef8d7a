/* The compiled form of an ACL file: every client's rules and the patterns, as trees of topic levels in one
 * pool. Built by the parsing thread; read-only afterwards and then free for any thread. Internal to this
 * library: what the lines of a file look like is acl_parse.c's business, not this one's. */
#ifndef ACL_FILE_ACL_TREE_H
#define ACL_FILE_ACL_TREE_H

#include "acl.h"

/* What a rule does; a readwrite rule is both of the last two. */
enum {
    ACL_KIND_DENY,
    ACL_KIND_READ,
    ACL_KIND_WRITE,
    ACL_KIND_COUNT,
};
#define ACL_KIND_BIT(kind) ((uint8_t)(1U << (kind)))

/* Node numbers. 0 is "no node"; three nodes always exist. */
#define ACL_NODE_NONE     0U
#define ACL_NODE_USERS    1U /* its literal children are the roots of the users' own trees, by name */
#define ACL_NODE_NOBODY   2U /* root of the rules for clients without a username */
#define ACL_NODE_PATTERNS 3U /* root of the patterns */

/* A place in a tree: the levels from its root to here. Rule numbers are 1-based, 0 is none; of several rules
 * with the same filter and kind the first in the file is kept, as it is the one that decides. */
struct acl_node {
    uint32_t hash;                  /* of parent and level text, for the edge table */
    uint32_t parent;                /* its parent, when this is a literal child */
    uint32_t text;                  /* this level's text, an offset into acl_rules.text */
    uint16_t text_length;           /* in bytes */
    uint8_t below;                  /* ACL_KIND_BITs of every rule at this node or under it */
    uint32_t first_literal;         /* children that are plain text, as a list; found by the edge table */
    uint32_t next_literal;          /* sibling in that list */
    uint32_t plus;                  /* child for '+' */
    uint32_t client;                /* child for a whole level %c */
    uint32_t user;                  /* child for a whole level %u */
    uint32_t first_tail;            /* patterns that go on with a level holding %c or %u among other text */
    uint32_t exact[ACL_KIND_COUNT]; /* rules that end here */
    uint32_t open[ACL_KIND_COUNT];  /* rules that go on with a final '#' here */
};

/* The rest of a pattern from its first level that mixes %c or %u with other text; compared piece by piece. */
struct acl_tail {
    uint32_t rule;
    uint32_t text; /* offset into acl_rules.text */
    uint32_t next; /* 1-based, 0 ends the list of one node */
    uint16_t text_length;
    uint8_t kinds; /* ACL_KIND_BITs */
};

struct acl_rule {
    uint32_t line;
    uint32_t reason; /* offset into acl_rules.text, NUL terminated */
    uint32_t reason_length;
    uint32_t filter; /* offset of the filter inside the reason */
    uint16_t filter_length;
    uint8_t kinds; /* ACL_KIND_BITs */
    bool is_pattern;
    bool names_user; /* a pattern with %u: not for anonymous clients */
};

/* Built-in refusals, in the order of acl_rules.refusals. */
enum {
    ACL_REFUSAL_SYS,
    ACL_REFUSAL_SHARE,
    ACL_REFUSAL_NOT_A_TOPIC,
    ACL_REFUSAL_USERNAME,
    ACL_REFUSAL_CLIENT_ID,
    ACL_REFUSAL_COUNT,
};

struct acl_rules {
    enum acl_substitution substitution;
    char *text; /* reasons and usernames; everything else points into it */
    size_t text_length;
    size_t text_room;
    struct acl_rule *rules;
    uint32_t rule_count;
    uint32_t rule_room;
    struct acl_node *nodes;
    uint32_t node_count;
    uint32_t node_room;
    struct acl_tail *tails;
    uint32_t tail_count;
    uint32_t tail_room;
    uint32_t *edges;    /* open addressing over literal children; ACL_NODE_NONE is free */
    uint32_t edge_mask; /* room - 1; room is a power of two and at most half full */
    uint32_t edge_count;
    uint32_t refusals[ACL_REFUSAL_COUNT]; /* offsets into text */
};

/* An empty set of rules, or NULL when memory runs out. */
struct acl_rules *acl_tree_new(enum acl_substitution substitution, const char *file_name);

/* Appends text (NUL terminated) to the store. Returns its offset, or UINT32_MAX when memory or room runs out.
 */
uint32_t acl_tree_store(struct acl_rules *rules, const char *text, size_t length);

/* The root of a user's own tree, made when missing. ACL_NODE_NONE when memory runs out. */
uint32_t acl_tree_user(struct acl_rules *rules, const char *name, size_t length);

/* Adds a rule (copied) under a root, whose filter has been checked. False when memory runs out. */
bool acl_tree_add(struct acl_rules *rules, uint32_t root, const struct acl_rule *rule);

/* The literal child of `parent` with this text, or ACL_NODE_NONE. */
uint32_t acl_tree_literal(const struct acl_rules *rules, uint32_t parent, const char *text, size_t length);

/* True when a level of a pattern is %c or %u and nothing else; false also when it holds neither. */
static inline bool acl_level_is_whole(const char *level, size_t length)
{
    return length == 2 && level[0] == '%' && (level[1] == 'c' || level[1] == 'u');
}

/* Does the text hold %c (which = 'c') or %u (which = 'u')? */
bool acl_text_names(const char *text, size_t length, char which);

#endif
