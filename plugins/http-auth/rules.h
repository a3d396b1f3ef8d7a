// Rules that come with a login: read from the platform's answer, and made into grants of that connection.
// One thread for each list. Understands the `acl` of EMQX's HTTP authenticator.
// Must not know HTTP, nor when rules are asked.
#ifndef HTTP_AUTH_RULES_H
#define HTTP_AUTH_RULES_H

#include <noctule/plugin.h>

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/** More rules than this in one answer are an error: each is looked at for each message. */
#define RULES_MAX 1000

struct rule {
    bool allow;
    bool literal;      ///< "eq ...": the topic as it stands, placeholders and wildcards included
    uint32_t access;   ///< NOCTULE_ACCESS_PUBLISH, NOCTULE_ACCESS_SUBSCRIBE
    uint32_t qos_mask; ///< 0: any
    uint8_t retain;    ///< as in struct noctule_grant
    char *topic;       ///< without "eq "; with placeholders unless literal
};

/** A pair of the answer's `client_attrs`. */
struct attribute {
    char *name;
    char *value;
};

struct rules {
    struct rule *list;
    size_t count;
    struct attribute *attributes;
    size_t attribute_count;
    size_t bytes; ///< about as much memory as they take
};

/** Whom placeholders stand for. Borrowed. */
struct rules_client {
    struct noctule_string username;
    struct noctule_string client_id;
    struct noctule_string certificate_common_name;
};

/**
 * Reads `acl` and `client_attrs`; either may be NULL. False: `problem` (of RULES_PROBLEM_MAX bytes) says why,
 * and `rules` is empty. What is not understood is a problem: a condition that is left out would allow too
 * much.
 */
#define RULES_PROBLEM_MAX 200
bool rules_read(struct rules *rules, const json_t *acl, const json_t *attributes, char *problem);

void rules_clear(struct rules *rules);

/** Grants, in one block with their filters. */
struct rule_grants {
    struct noctule_grant *list;
    size_t count;
};

/**
 * Makes the grants of one client. A client id, username or attribute that a rule's placeholder stands for
 * must be one level of a topic: not empty, and without '/', '+' and '#'. False: `problem` says why. Of no
 * rules comes one grant that matches nothing, for a client with an empty list may do nothing, which is not
 * the same as no list.
 */
bool rules_grant(const struct rules *rules, const struct rules_client *client, struct rule_grants *grants,
                 char *problem);

/** The grants of a superuser. */
bool rules_grant_everything(struct rule_grants *grants);

void rule_grants_free(struct rule_grants *grants);

#endif
