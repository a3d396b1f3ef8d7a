/* Access rules in Mosquitto's ACL file format: parsed once, then asked by every publish and delivery.
 * Parsing belongs to one thread; a finished `struct acl_rules` is read-only and may be asked from any thread
 * at once. Knows nothing of the broker, of plugins or of the network: text in, answers out. */
#ifndef ACL_FILE_ACL_H
#define ACL_FILE_ACL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most levels a rule's filter may have; Mosquitto's own limit (200 separators). It also bounds recursion. */
#define ACL_LEVELS_MAX 201

/* What a topic is used for. A subscription is not an access: what it delivers is read. */
enum acl_access {
    ACL_READ = 1,
    ACL_WRITE = 2,
};

/* How %c and %u in `pattern` lines stand for the client's id and username. */
enum acl_substitution {
    /* Mosquitto 2.0: anywhere in a level, and the value may hold '/' and so span levels. */
    ACL_SUBSTITUTION_ANYWHERE,
    /* Mosquitto 2.1: only where it is a whole level; a value that is empty or holds '/' matches nothing. */
    ACL_SUBSTITUTION_LEVEL,
};

struct acl_options {
    enum acl_substitution substitution;
};

/* Who asks. Borrowed for the length of a call. A username of length 0 is an anonymous client, as in
 * Mosquitto. */
struct acl_identity {
    const char *username;
    size_t username_length;
    const char *client_id;
    size_t client_id_length;
};

enum acl_outcome {
    ACL_NO_MATCH = 0, /* no rule speaks about this */
    ACL_ALLOWED,
    ACL_DENIED,
};

/* An answer, and what decided it. `reason` is `FILE:LINE: the rule as written` (or `FILE: why` when a
 * built-in refusal decided, with line 0), NUL terminated, owned by the rules and valid as long as they are;
 * NULL when nothing matched. `steps` counts the tree nodes that were looked at, so that a test can hold the
 * cost. */
struct acl_decision {
    enum acl_outcome outcome;
    uint32_t line;
    const char *reason;
    size_t reason_length;
    uint32_t steps;
};

/* Most errors, and most warnings, that one parse keeps; the rest are only counted. */
#define ACL_PROBLEMS_MAX 50

struct acl_problem {
    uint32_t line; /* 1-based; 0 when the file as a whole is meant */
    bool is_error;
    char *message; /* owned; one line, without file and line number */
};

/* What a parse found wrong, in the order of the file. */
struct acl_problems {
    struct acl_problem *list;
    size_t count;
    size_t errors;   /* all of them, also those past ACL_PROBLEMS_MAX */
    size_t warnings; /* likewise */
};

/* Empties the list and frees what it holds. A zeroed struct is an empty list. */
void acl_problems_clear(struct acl_problems *problems);

struct acl_rules;

/* Parses `text`. `file_name` (copied) is what reasons begin with. Returns NULL when there is any error, or
 * when memory runs out; every error and warning is in `problems`, which the caller clears. The caller owns
 * the result. */
struct acl_rules *acl_rules_parse(const char *text, size_t length, const char *file_name,
                                  const struct acl_options *options, struct acl_problems *problems);

/* The same for the file at `path`; reasons begin with the last component of the path. */
struct acl_rules *acl_rules_load(const char *path, const struct acl_options *options,
                                 struct acl_problems *problems);

/* NULL is allowed. */
void acl_rules_free(struct acl_rules *rules);

/* How many rules there are. */
size_t acl_rules_count(const struct acl_rules *rules);

/* May `identity` read or write the topic name `topic`? Order: the built-in refusals of `$` topics, the
 * client's own denies, its own allows, then (unless its name or id holds a wildcard) the patterns' denies and
 * allows. Where several rules of the deciding group match, the first in the file is named. Never allocates.
 */
void acl_decide(const struct acl_rules *rules, const struct acl_identity *identity, enum acl_access access,
                const char *topic, size_t topic_length, struct acl_decision *decision);

/* True only when every topic that the subscription filter matches is readable by `identity`: one allow rule
 * includes the whole filter, and no deny that would be asked before it touches the filter. False when unsure.
 * `why` (may be NULL) receives the including rule. `$share/GROUP/FILTER` is judged as FILTER. Never
 * allocates. */
bool acl_covers(const struct acl_rules *rules, const struct acl_identity *identity, const char *filter,
                size_t filter_length, struct acl_decision *why);

/* Could `identity` read anything at all through this subscription filter? ACL_ALLOWED when an allow rule
 * shares a topic with the filter, ACL_DENIED when a deny includes the whole filter or the client may use no
 * pattern, ACL_NO_MATCH when no rule shares a topic with it. `why` as above, for any outcome; may be NULL.
 * Never allocates. */
enum acl_outcome acl_may_read_some(const struct acl_rules *rules, const struct acl_identity *identity,
                                   const char *filter, size_t filter_length, struct acl_decision *why);

#endif
