// What is asked of the platform: the fields of each check, the bodies that carry them, and the keys that name
// them. Any thread; pure functions.
// Must not know HTTP, nor what is answered.
#ifndef HTTP_AUTH_REQUEST_H
#define HTTP_AUTH_REQUEST_H

#include "secret.h"
#include "text.h"

/** The three checks of mosquitto-go-auth's HTTP backend. */
enum check_kind {
    CHECK_USER,      ///< may this user log in?
    CHECK_SUPERUSER, ///< may this user do everything?
    CHECK_ACL,       ///< may this user do this?
    CHECK_KINDS,
};

/** mosquitto's numbers for what is done with a topic. */
enum check_access { ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_SUBSCRIBE = 4 };

enum request_params { PARAMS_JSON, PARAMS_FORM };

/** Context that is sent only when the configuration lists it under `send`: bits. */
enum {
    SEND_ADDRESS = 0x01,
    SEND_LISTENER = 0x02,
    SEND_PROTOCOL = 0x04,
    SEND_CERTIFICATE_SUBJECT = 0x08,
    SEND_QOS = 0x10,
    SEND_RETAIN = 0x20,
    SEND_PAYLOAD_SIZE = 0x40,
};

/** Everything that a request may tell. Strings are borrowed. */
struct request_facts {
    struct noctule_string username;
    struct noctule_string password;
    struct noctule_string client_id;
    struct noctule_string topic;
    struct noctule_string address; ///< of the client, without its port
    struct noctule_string listener;
    struct noctule_string certificate_subject;
    uint64_t access;   ///< enum check_access
    uint64_t protocol; ///< 3, 4 or 5
    uint64_t qos;
    uint64_t retain; ///< 0 or 1
    uint64_t payload_size;
};

/** The names under `send`, NULL-terminated; the place of a name is that of its bit. */
extern const char *const request_send_names[];

/**
 * Adds the body of a check: fields in the order of their names, as mosquitto-go-auth writes them. In JSON,
 * `<`, `>`, `&` and the line separators of Unicode are escaped, and bytes that are no UTF-8 become \ufffd.
 */
void request_body(struct text *body, enum request_params params, enum check_kind kind, uint32_t send,
                  const struct request_facts *facts);

/**
 * Adds the key of a check: `origin` (what the configuration makes of it), kind, username, client id (where it
 * is sent), and every other field that the body tells; of the password its keyed hash. Two checks have the
 * same key only if the platform is asked the same. False: the hash could not be computed.
 */
bool request_key(struct text *key, uint64_t origin, enum check_kind kind, uint32_t send,
                 const struct request_facts *facts, const struct secret *secret);

/** The names in a key; a client id that the check does not tell is empty. */
void request_key_names(struct noctule_string key, struct noctule_string *username,
                       struct noctule_string *client_id);

#endif
