// The HTTP request that opens a WebSocket: read strictly and within bounds, judged by rules, answered.
// Any thread; what is read stays in the caller's buffer.
// Must not know streams, frames and MQTT, of which the names of its subprotocols are all that stands here.
#ifndef NOCTULE_NET_UPGRADE_H
#define NOCTULE_NET_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/cidr.h"
#include "core/base/str.h"

// Why there is a parser here: one request head is all of HTTP that is needed, before anybody has logged in.
// The parsers that Debian 12 has come with much more (libevent's has sockets of its own, http-parser is given
// up, llhttp is not packaged as a library), and none refuses what no WebSocket client sends.

enum {
    UPGRADE_HEAD_MAX = 8192,   ///< bytes of the request, up to and with its empty line
    UPGRADE_TARGET_MAX = 2048, ///< bytes of path and query
    UPGRADE_HEADERS_MAX = 64,
    UPGRADE_ANSWER_MAX = 768, ///< bytes of any answer, with a path of at most UPGRADE_PATH_MAX
    UPGRADE_PATH_MAX = 255,
};

/** What upgrades a listener takes. */
struct upgrade_rules {
    struct str path;           ///< the only one there is; begins with a slash
    const struct str *origins; ///< that may connect, when a request names its origin
    size_t origin_count;
    bool any_origin;
    const struct cidr *proxies; ///< whose X-Forwarded-For is believed
    size_t proxy_count;
};

struct upgrade_header {
    struct str name;
    struct str value; ///< without space around it
};

struct upgrade_request {
    struct str method;
    struct str path; ///< without the query
    struct upgrade_header headers[UPGRADE_HEADERS_MAX];
    size_t header_count;
};

/** Why a request is refused. */
struct upgrade_refusal {
    unsigned status; ///< of the answer; 0: none, the peer would not understand it
    const char *why; ///< in words: a constant
    struct str what; ///< of the request it is about, untrusted; may be empty
};

/** What a good request gets. */
struct upgrade_grant {
    struct str key;      ///< its Sec-WebSocket-Key
    struct str protocol; ///< "mqtt" or "mqttv3.1"
};

/**
 * Looks for the end of a request's head among `length` bytes, of which `*seen` (0 at first) were looked at
 * before. Returns its length; 0: more has to come, or, when refusal->why is set, it need not. Every byte is
 * looked at once, however few come at a time.
 */
size_t upgrade_head_length(const uint8_t *bytes, size_t length, size_t *seen,
                           struct upgrade_refusal *refusal);

/** Takes a head apart. False: `*refusal` says why. [RFC 9112 2 to 5] */
bool upgrade_parse(struct str head, struct upgrade_request *request, struct upgrade_refusal *refusal);

/** Whether it asks for what is here, by the rules. [RFC 6455 4.2, v5 6] */
bool upgrade_judge(const struct upgrade_request *request, const struct upgrade_rules *rules,
                   struct upgrade_grant *grant, struct upgrade_refusal *refusal);

/**
 * Finds the client behind proxies: X-Forwarded-For is followed from the nearest proxy back as long as each is
 * trusted. False: `peer` is not trusted, or has told nothing; it is the client itself.
 */
bool upgrade_client(const struct upgrade_request *request, const struct upgrade_rules *rules,
                    const struct address *peer, struct address *client);

/** Writes the answer to a good request into `answer` of UPGRADE_ANSWER_MAX bytes; returns its length. */
size_t upgrade_accept(const struct upgrade_grant *grant, char *answer);

/** The answer to a bad one, with a short text for whoever reads it; 0: none. */
size_t upgrade_refuse(const struct upgrade_refusal *refusal, const struct upgrade_rules *rules, char *answer);

#endif
