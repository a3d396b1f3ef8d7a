// The settings of a broker: noctule.yaml read, checked and turned into plain C.
// Main thread makes and frees them; read-only in between, from any thread.
// Knows nothing of sockets and of what plugins' own configuration means.
#ifndef NOCTULE_CONFIG_SETTINGS_H
#define NOCTULE_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/tree.h"
#include "core/base/cidr.h"
#include "core/base/diagnostics.h"
#include "core/base/log.h"

/** `default_access`: what a client may do where no plugin in force authorizes. */
enum settings_access { SETTINGS_DENY, SETTINGS_ALLOW };

/** `deny_action`: what a client of MQTT 3.x meets whose PUBLISH is denied. */
enum settings_deny { SETTINGS_DENY_DROP, SETTINGS_DENY_DISCONNECT };

/** `on_error` of a plugin: what an error or a timeout of it counts as. */
enum settings_on_error { SETTINGS_ERROR_DENY, SETTINGS_ERROR_NEXT };

/** What `bind` names. */
enum settings_bind {
    SETTINGS_BIND_TCP,
    SETTINGS_BIND_UNIX,   ///< unix:PATH
    SETTINGS_BIND_SYSTEMD ///< systemd:NAME
};

/** How a listener's sockets are set up. */
struct socket_settings {
    uint64_t backlog;
    bool nodelay;
    bool keepalive;
    uint64_t keepalive_idle_ms; ///< whole seconds, as the next; 0: the system's own
    uint64_t keepalive_interval_ms;
    uint64_t keepalive_count; ///< 0: the system's own
    const char *interface;    ///< NULL: any
    mode_t mode;              ///< of a unix socket's file
    uid_t owner;              ///< (uid_t)-1: the process's own
    gid_t group;              ///< (gid_t)-1: the process's own
};

/** `tls.client_certificate` */
enum settings_client_certificate { SETTINGS_CLIENT_NONE, SETTINGS_CLIENT_REQUEST, SETTINGS_CLIENT_REQUIRE };

/** `tls.username_from`, `tls.client_id_from`: what of a verified certificate names the client. A PSK's
 * identity takes its place where there is no certificate, and alone with `psk`. */
enum settings_name_from {
    SETTINGS_NAME_NONE,
    SETTINGS_NAME_CN,
    SETTINGS_NAME_SUBJECT,
    SETTINGS_NAME_SAN,
    SETTINGS_NAME_PSK,
};

enum settings_tls_version { SETTINGS_TLS_1_2, SETTINGS_TLS_1_3 };

/** A certificate of the server: paths of files in PEM, and of a response in DER. */
struct settings_certificate {
    struct place place;
    const char *certificate; ///< with its chain behind it
    const char *key;         ///< may be the same file
    const char *ocsp_response;
};

/** `tls` of a listener. Strings are NULL where nothing is configured. */
struct settings_tls {
    struct place place;
    struct settings_certificate *certificates; ///< the first is the default
    size_t certificate_count;                  ///< 0 only with a PSK
    const char *client_ca;                     ///< a file or a folder
    enum settings_client_certificate client_certificate;
    const char *crl; ///< a file or a folder
    bool accept_expired_crl;
    enum settings_name_from username_from;
    enum settings_name_from client_id_from;
    bool certificate_suffices; ///< who is named by certificate or PSK is not asked for a password
    enum settings_tls_version min_version;
    const char *ciphers;
    const char *ciphersuites;
    bool session_tickets;
    bool compact; ///< TLS 1.3: keeps keys only once a handshake is over
    const char *psk_file;
    bool psk_plugins; ///< the chain is asked for keys
    const char *psk_hint;
    bool watch; ///< files are looked at now and then
};

/** `proxy_protocol`: the versions of the header that a connection begins with, as bits. */
enum settings_proxy {
    SETTINGS_PROXY_OFF,
    SETTINGS_PROXY_V1 = 1,
    SETTINGS_PROXY_V2 = 2,
    SETTINGS_PROXY_ANY = 3
};

/** Clients that come through a proxy. */
struct proxy_settings {
    enum settings_proxy versions;
    struct cidr *from; ///< whose headers are believed, also X-Forwarded-For of WebSocket; unix sockets are
                       ///< told apart by their mode
    size_t from_count;
    bool username_from_cn; ///< the common name of a certificate that the proxy has verified names the user
};

/** `transport: websocket` */
struct settings_websocket {
    struct str path;
    struct str *origins; ///< of pages that may connect
    size_t origin_count;
    bool any_origin; ///< there is no such list
};

struct listener_settings {
    const char *name;
    struct place place; ///< of the list's item
    struct place bind_place;
    const char *bind; ///< as written
    enum settings_bind kind;
    const char *host; ///< an address without brackets or a name to resolve; a path; a name of passed sockets
    uint16_t port;    ///< TCP; 0: the system chooses one
    struct socket_settings socket;
    struct proxy_settings proxy;

    /** Indexes into `plugins`, in the order of the chain; "all" is spelled out. */
    size_t *chain;
    size_t chain_count;

    bool allow_anonymous;     ///< the listener's own, or else that of the broker
    uint64_t max_connections; ///< of this listener; never more than limits.connections
    uint64_t connect_rate;    ///< connections a second, over all addresses; 0: any number
    struct settings_tls *tls; ///< NULL: none

    struct settings_websocket *websocket; ///< NULL: packets follow each other on the connection itself
};

struct plugin_settings {
    const char *name; ///< of the instance
    struct place place;
    const char *module; ///< base name of the shared object, without .so; NULL when `path` is given
    const char *path;   ///< absolute or relative to the current folder; NULL: look for `module`
    enum settings_on_error on_error;
    bool required;
    uint64_t timeout_ms;
    struct config_node *config; ///< a map, never NULL; its keys are the plugin's own
};

/** Every bound a client can meet. None means "without bound" unless it says so. */
struct limit_settings {
    uint64_t connections;
    uint64_t sessions;          ///< connected or not
    uint64_t memory;            ///< bytes of the process above which new work is refused; 0: none
    uint64_t connect_rate;      ///< connections a second from one address; 0: any number
    uint64_t auth_failures;     ///< failed logins from one address before it is blocked; 0: any number
    uint64_t auth_block_ms;     ///< for how long
    uint64_t publish_rate;      ///< messages a second from one client; 0: any number
    uint64_t publish_byte_rate; ///< bytes of PUBLISH packets a second from one client; 0: any number
    uint64_t packet_size;       ///< bytes of a whole packet from a client
    uint64_t inflight;          ///< Receive Maximum, each way, 1 to 65535
    uint64_t queued_messages;   ///< per session
    uint64_t queued_bytes;      ///< per session
    uint64_t send_buffer;       ///< bytes that wait for one socket before messages stay in the queue
    uint64_t subscriptions;     ///< per session
    uint64_t topic_levels;      ///< of a topic name or filter
    uint64_t topic_aliases;     ///< each way, 0 to 65535
    uint64_t retained_messages; ///< of the broker
    uint64_t retained_bytes;    ///< of the broker
    uint64_t pending_decisions; ///< of the broker
    uint64_t session_expiry_ms; ///< at most UINT32_MAX seconds
    uint64_t keep_alive_ms;     ///< longest keep alive, at most 65535 seconds; 0: what the client asks for
    uint64_t handshakes;        ///< of TLS, under way at the same time; 0: any number
    uint64_t handshake_rate;    ///< that begin in a second; 0: any number
    uint64_t connect_timeout_ms;
    uint64_t send_timeout_ms; ///< without progress on a full socket; 0: never
};

struct settings {
    unsigned workers;        ///< 0: as many as there are cores
    unsigned helper_threads; ///< for plugins that block; 0: as many as there are cores, at least 2
    bool allow_anonymous;
    enum settings_access default_access;
    enum settings_deny deny_action;
    /** What a client of MQTT 5.0 that asks gets as Response Information; "%c" is its client id. NULL:
     * nothing. */
    const char *response_information;
    const char *control;                 ///< path of the control socket; NULL: none
    struct listener_settings *listeners; ///< at least one
    size_t listener_count;
    struct plugin_settings *plugins; ///< in list order
    size_t plugin_count;
    struct limit_settings limits;
    enum log_level log_level;
    enum log_format log_format;
    uint64_t log_rate_limit;  ///< lines of one event a second; 0: any number
    struct config_tree *tree; ///< owns every string and node above
};

/**
 * Reads and checks the file at `path`. All errors and warnings are collected in `diagnostics`; NULL when
 * there was an error. The caller frees the result with settings_free.
 */
struct settings *settings_load(const char *path, struct diagnostics *diagnostics);

/**
 * The settings for a first look: one listener on the loopback address, file-auth and acl-file with
 * users.passwd and users.acl in `state_folder`, whose files this function neither reads nor makes.
 */
struct settings *settings_default(const char *state_folder, struct diagnostics *diagnostics);

/** The YAML that settings_default reads, where ${NOCTULE_STATE} is the state folder. */
const char *settings_default_text(void);

/** As settings_load, from a tree in hand, which is taken: it is freed when NULL is returned. */
struct settings *settings_take(struct config_tree *tree, struct diagnostics *diagnostics);

/** Frees the settings and their tree. NULL does nothing. */
void settings_free(struct settings *settings);

#endif
