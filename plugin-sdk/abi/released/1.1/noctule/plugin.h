/*
 * The plugin ABI of Noctule, version 1. A plugin includes this header and nothing else of the broker.
 *
 * A plugin is a shared object with one exported function, noctule_plugin_v1, which returns a constant
 * description of it. The broker hands the plugin a table of functions (struct noctule_host) and calls its
 * hooks; neither side sees the other's symbols or structures. What is written here stays: fields and table
 * entries are only appended, numbers never change their meaning. Every structure that crosses begins with its
 * size, set by whoever fills it in; whoever reads it treats fields past that size as absent (zero).
 *
 * Threads. `init`, `build`, `retire` and `fini` run on the main thread. Hooks of one client run on the
 * client's worker, in the order of its packets; hooks of different clients run in parallel. So what `init`
 * and `build` made is shared and must be read-only (or locked by the plugin); what `worker_up` made belongs
 * to one worker. Host functions say which threads may call them; from a wrong thread they return
 * NOCTULE_E_THREAD and do nothing.
 *
 * Strings are counted, not NUL-terminated, and borrowed: valid until the called function returns, unless said
 * otherwise.
 */
#ifndef NOCTULE_PLUGIN_H
#define NOCTULE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NOCTULE_ABI_MAJOR 1
#define NOCTULE_ABI_MINOR 1

#if defined(_WIN32)
#define NOCTULE_EXPORT __declspec(dllexport)
#else
#define NOCTULE_EXPORT __attribute__((visibility("default")))
#endif

/* ---- Values ----------------------------------------------------------------------------------------------
 */

struct noctule_string {
    const char *data; /* may be NULL when length is 0 */
    size_t length;
};

/* Opaque. Only pointers to these cross. */
struct noctule_instance; /* one configured use of a plugin: an entry of `plugins:` */
struct noctule_worker;   /* one of the broker's event loops */
struct noctule_client;   /* a connected client; borrowed, good inside the hook it was passed to */
struct noctule_request;  /* a decision that is being made */
struct noctule_message;  /* a message passing message_in or message_out */
struct noctule_config;   /* a node of the configuration */
struct noctule_timer;
struct noctule_watch;
struct noctule_metric;

/* What a hook returns, and what completes a deferred request. */
typedef int32_t noctule_verdict;
#define NOCTULE_NEXT     0 /* no opinion: ask the next in the chain */
#define NOCTULE_ALLOW    1
#define NOCTULE_DENY     2
#define NOCTULE_PENDING  3 /* decided later: noctule_host.defer first, then return this */
#define NOCTULE_CONTINUE 4 /* enhanced authentication: send reply.auth_data, wait for the client's AUTH */
#define NOCTULE_ERROR    5 /* could not decide: the entry's `on_error` counts */
#define NOCTULE_DROP     6 /* message_in, message_out: acknowledge the message, but go no further with it */

/* Results of host functions: 0 or more is success. */
#define NOCTULE_OK        0
#define NOCTULE_E_INVALID (-1) /* an argument makes no sense */
#define NOCTULE_E_THREAD  (-2) /* called from a thread that may not */
#define NOCTULE_E_GONE    (-3) /* the client, request or worker is no more */
#define NOCTULE_E_AGAIN   (-4) /* already completed, or already there */
#define NOCTULE_E_MEMORY  (-5)
#define NOCTULE_E_LIMIT   (-6) /* a limit of the broker's configuration */

/*
 * What a client wants to do: bits of noctule_access.access and noctule_plugin.authorize_mask. A plugin is
 * asked about exactly what its mask has, with one exception: about a WILL it is asked as about a PUBLISH when
 * its mask has PUBLISH but not WILL. The same holds for the grants of a login.
 */
#define NOCTULE_ACCESS_PUBLISH   0x01u
#define NOCTULE_ACCESS_SUBSCRIBE 0x02u
#define NOCTULE_ACCESS_DELIVER   0x04u /* receive a message; if no entry takes it, SUBSCRIBE decided */
#define NOCTULE_ACCESS_WILL      0x08u /* its will is published now */
#define NOCTULE_ACCESS_ALL       0x0Fu

/* Log levels. */
#define NOCTULE_LOG_ERROR 0u
#define NOCTULE_LOG_WARN  1u
#define NOCTULE_LOG_INFO  2u
#define NOCTULE_LOG_DEBUG 3u

/* ---- What hooks are told ---------------------------------------------------------------------------------
 */

/* Who a client is. Lives as long as the client handle; no change while one of its requests is pending. */
struct noctule_client_info {
    uint32_t size;
    uint8_t protocol_version; /* 3 (MQTT 3.1), 4 (3.1.1), 5 (5.0) */
    uint8_t clean_start;
    uint16_t keep_alive;    /* seconds */
    uint64_t connection_id; /* never reused; the only name for a client that is good in any thread */
    struct noctule_string client_id;
    struct noctule_string username; /* data is NULL: none */
    struct noctule_string address;  /* "192.0.2.7:51234", "[2001:db8::7]:51234", or "unix" */
    struct noctule_string listener; /* its name in the configuration */
    /* Of a verified client certificate; data is NULL: none. */
    struct noctule_string certificate_common_name;
    struct noctule_string certificate_subject; /* RFC 2253 form */
    struct noctule_string certificate_pem;
    /* 1.1 */
    struct noctule_string transport; /* "tcp", "tls", "websocket", "wss" or "unix"; data is NULL: none */
    /* Of the process at the other end of a unix socket, when it connected, as the system knows it. */
    uint32_t has_peer; /* not 0: the three below hold */
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
};

/* Passed to every hook first. Good until the hook returns. */
struct noctule_context {
    uint32_t size;
    uint32_t want_reason; /* not 0: annotate ALLOW and NEXT with a reason, too (`noctule explain`) */
    void *state;          /* what init stored */
    void *snapshot;       /* what build stored, of the configuration in force for this call */
    void *worker_state;   /* what worker_up stored; NULL on a helper thread (NOCTULE_FLAG_BLOCKING) */
    struct noctule_worker *worker;   /* NULL on a helper thread */
    struct noctule_client *client;   /* NULL where no client is concerned */
    struct noctule_request *request; /* decision hooks; NULL elsewhere */
};

/* CONNECT, before the broker answers. */
struct noctule_login {
    uint32_t size;
    uint8_t has_username;
    uint8_t has_password;
    uint8_t reserved[2];
    struct noctule_string username;
    struct noctule_string password;
    struct noctule_string auth_method; /* MQTT 5 enhanced authentication; data is NULL: not asked for */
    struct noctule_string auth_data;
};

/* A client's AUTH packet: the next step of enhanced authentication, or the start of a re-authentication. */
struct noctule_auth {
    uint32_t size;
    uint8_t reason_code; /* 0x18 continue, 0x19 re-authenticate */
    uint8_t reserved[3];
    struct noctule_string method;
    struct noctule_string data;
};

/* May this client do this? */
struct noctule_access {
    uint32_t size;
    uint32_t access;             /* one NOCTULE_ACCESS_ bit */
    struct noctule_string topic; /* SUBSCRIBE: the filter as sent, "$share/group/..." included */
    uint8_t qos;
    uint8_t retain;
    uint8_t reserved[6];
    uint64_t payload_size; /* bytes; 0 for SUBSCRIBE */
};

/* TLS-PSK: the key of an identity. Answered through reply.psk. Asked by listeners with TLS-PSK. */
struct noctule_psk {
    uint32_t size;
    uint32_t reserved;
    struct noctule_string identity;
    struct noctule_string listener;
};

/* What a message looks like now. Good until the message is changed or the hook returns. */
struct noctule_message_info {
    uint32_t size;
    uint8_t qos;
    uint8_t retain;
    uint8_t has_payload_format;
    uint8_t payload_format;
    struct noctule_string topic;
    struct noctule_string payload;
    struct noctule_string content_type;     /* data is NULL: none */
    struct noctule_string response_topic;   /* data is NULL: none */
    struct noctule_string correlation_data; /* data is NULL: none */
    uint64_t expires_at;                    /* monotonic milliseconds (noctule_host.monotonic_ms); 0: never */
    uint32_t user_properties;               /* how many */
    uint32_t origin;                        /* 0: a client; else published by the broker or a plugin */
};

/* Revocation flags. */
#define NOCTULE_REVOKE_DISCONNECT 0x01u /* end the connections that are concerned, with 0x98 */

/* 1.1: what was let in or allowed before does not hold any more. A client is concerned when it has all the
 * names that are given; at least one is. */
struct noctule_revocation {
    uint32_t size;
    uint32_t flags;                  /* NOCTULE_REVOKE_ bits */
    struct noctule_string username;  /* data is NULL: whatever it is */
    struct noctule_string client_id; /* data is NULL: whatever it is */
};

/* Events: bits of noctule_plugin.event_mask and values of noctule_event.event. */
#define NOCTULE_EVENT_CONNECTED         0x00000001u
#define NOCTULE_EVENT_DISCONNECTED      0x00000002u /* reason_code and reason say why */
#define NOCTULE_EVENT_LOGIN_FAILED      0x00000004u
#define NOCTULE_EVENT_SESSION_CREATED   0x00000008u
#define NOCTULE_EVENT_SESSION_RESUMED   0x00000010u
#define NOCTULE_EVENT_SESSION_TAKEN     0x00000020u /* of the old connection, before the new one's CONNECTED */
#define NOCTULE_EVENT_SESSION_EXPIRED   0x00000040u
#define NOCTULE_EVENT_SUBSCRIBED        0x00000080u
#define NOCTULE_EVENT_UNSUBSCRIBED      0x00000100u
#define NOCTULE_EVENT_MESSAGE_DELIVERED 0x00000200u /* handed to the client's connection */
#define NOCTULE_EVENT_MESSAGE_ACKED     0x00000400u /* QoS 1: PUBACK, QoS 2: PUBCOMP */
#define NOCTULE_EVENT_MESSAGE_DROPPED   0x00000800u /* reason says why */
#define NOCTULE_EVENT_CLIENT_FREED      0x00001000u /* the last of a client: clear up its data */

struct noctule_event {
    uint32_t size;
    uint32_t event;              /* one NOCTULE_EVENT_ bit */
    uint64_t time_ms;            /* wall clock */
    struct noctule_string topic; /* topic or filter, where one is concerned */
    struct noctule_string reason;
    struct noctule_string client_id; /* also where no connected client is concerned (SESSION_EXPIRED) */
    uint8_t reason_code;
    uint8_t qos;
    uint8_t reserved[6];
};

/* ---- What plugins answer ---------------------------------------------------------------------------------
 */

/* A rule that a login brings along, valid for that connection. The first rule that matches decides. */
struct noctule_grant {
    uint32_t size;
    uint32_t access; /* NOCTULE_ACCESS_ bits */
    uint8_t allow;   /* 1 allow, 0 deny */
    uint8_t max_qos; /* PUBLISH: highest QoS it covers; 2 for all */
    uint8_t retain;  /* PUBLISH: 0 it covers retain 0 only, 1 retain 1 only, 2 both */
    uint8_t reserved[5];
    struct noctule_string filter; /* topic filter; for SUBSCRIBE it must cover the client's filter */
    /* 1.1: PUBLISH and SUBSCRIBE: QoS that it covers, bit 0 being QoS 0; 0: all, as far as max_qos goes. */
    uint32_t qos_mask;
    uint32_t exact; /* 1.1: SUBSCRIBE: not 0: the client's filter must be `filter` itself */
};

/* Reply flags. */
#define NOCTULE_REPLY_SHOW_REASON     0x01u /* send `reason` to the client as Reason String (MQTT 5) */
#define NOCTULE_REPLY_COVERS_DELIVERY 0x02u /* ALLOW of SUBSCRIBE: allows all deliveries under it */
/* 1.1. ALLOW of PUBLISH or DELIVER: for reuse_ms it holds for the same client and access whatever the topic,
 * QoS, retain and size of the payload, so the broker may allow them without asking. */
#define NOCTULE_REPLY_ANY_TOPIC 0x04u

/* Goes with a verdict, by noctule_host.annotate or .complete; the host copies all it keeps. Zero means absent
 * throughout. */
struct noctule_reply {
    uint32_t size;
    uint32_t flags;
    uint32_t reuse_ms;   /* how long this holds for the same client, access, topic, QoS and retain */
    uint8_t reason_code; /* MQTT 5 reason code of a denial; 0: the usual one */
    uint8_t reserved[3];
    struct noctule_string reason;       /* for `explain` and the log: "users.acl:12: topic read sensors/#" */
    struct noctule_string username;     /* login: the name to go by from now on */
    struct noctule_string client_id;    /* login: the client id to go by from now on */
    struct noctule_string auth_data;    /* CONTINUE, or the last word of enhanced authentication */
    const struct noctule_grant *grants; /* login */
    size_t grant_count;
    uint64_t expires_at_ms;    /* login: wall clock; the client is disconnected then; 0: never */
    uint64_t client_data;      /* login: becomes this instance's data of the client, see client_data below */
    uint32_t max_inflight;     /* login: lowers limits.inflight for this client */
    uint32_t max_queued;       /* login: lowers limits.queued_messages for this client */
    struct noctule_string psk; /* key of the PSK hook, raw bytes */
};

/* A message for noctule_host.publish. */
struct noctule_user_property {
    struct noctule_string name;
    struct noctule_string value;
};

struct noctule_publication {
    uint32_t size;
    uint8_t qos;
    uint8_t retain;
    uint8_t has_payload_format;
    uint8_t payload_format;
    struct noctule_string topic; /* may begin with '$' */
    struct noctule_string payload;
    struct noctule_string content_type;
    struct noctule_string response_topic;
    struct noctule_string correlation_data;
    const struct noctule_user_property *user_properties;
    size_t user_property_count;
    uint32_t expiry_seconds; /* 0: never */
    uint32_t reserved;
};

/* ---- Host: what the broker does for plugins --------------------------------------------------------------
 */

/* Watch events. */
#define NOCTULE_READABLE 0x01u
#define NOCTULE_WRITABLE 0x02u

/* Metric kinds. */
#define NOCTULE_COUNTER   0u
#define NOCTULE_GAUGE     1u
#define NOCTULE_HISTOGRAM 2u /* of microseconds */

/* 1.1: tells metrics of one name apart, as in {listener="tls"}. */
struct noctule_metric_label {
    struct noctule_string name;
    struct noctule_string value;
};

struct noctule_metric_value {
    uint32_t size;
    uint32_t kind;
    struct noctule_string instance;
    struct noctule_string name;
    struct noctule_string help;
    int64_t value;                 /* counter, gauge: the value; histogram: number of observations */
    uint64_t total;                /* histogram: sum of observations */
    const uint64_t *buckets;       /* histogram: observations up to the bound of the same index */
    const uint64_t *bucket_bounds; /* microseconds; the last bucket has no bound and is not listed */
    size_t bucket_count;
    const struct noctule_metric_label *labels; /* 1.1 */
    size_t label_count;                        /* 1.1 */
    struct noctule_string
        unit; /* 1.1: of value, total and bounds: "bytes", "microseconds"; empty: a number */
};

typedef void (*noctule_client_fn)(const struct noctule_context *context, void *argument);
typedef void (*noctule_worker_fn)(const struct noctule_context *context, void *argument);
typedef void (*noctule_timer_fn)(const struct noctule_context *context, void *argument);
typedef void (*noctule_watch_fn)(const struct noctule_context *context, int fd, uint32_t events,
                                 void *argument);
typedef void (*noctule_metric_fn)(const struct noctule_metric_value *metric, void *argument);

struct noctule_host {
    uint32_t size;
    uint16_t major;
    uint16_t minor;

    /* -- log: any thread. One line; the instance's name is added. */
    void (*log)(struct noctule_instance *instance, uint32_t level, struct noctule_string text);

    /* -- decisions. `annotate`: inside the decision hook only, before it returns its verdict. */
    int32_t (*annotate)(struct noctule_request *request, const struct noctule_reply *reply);
    /* Inside the decision hook only: returns the handle with which to complete later; the hook then returns
     * NOCTULE_PENDING. NULL: `limits.pending_decisions` requests are put off already (or this is no such
     * hook); the hook returns NOCTULE_ERROR then. */
    struct noctule_request *(*defer)(struct noctule_request *request);
    /* Any thread, exactly once per deferred request; `reply` may be NULL. A late one (deadline, client gone)
     * returns NOCTULE_E_GONE, a second one of a handle NOCTULE_E_AGAIN while the broker can still tell;
     * neither has an effect. */
    int32_t (*complete)(struct noctule_request *request, noctule_verdict verdict,
                        const struct noctule_reply *reply);
    /* Any thread: 1 when nobody waits for this deferred request any more, so work for it can be saved. It
     * must be completed all the same. */
    int32_t (*is_cancelled)(const struct noctule_request *request);

    /* -- clients. `client_info`: wherever the client handle is good. */
    const struct noctule_client_info *(*client_info)(const struct noctule_client *client);
    /* One 64-bit value per instance and client; 0 at first. On the client's worker. */
    uint64_t (*client_data)(struct noctule_instance *instance, const struct noctule_client *client);
    int32_t (*set_client_data)(struct noctule_instance *instance, struct noctule_client *client,
                               uint64_t data);
    /* Any thread: ends the connection; `reason_code` goes into DISCONNECT (MQTT 5). NOCTULE_OK means asked,
     * not done. */
    int32_t (*disconnect)(struct noctule_instance *instance, uint64_t connection_id, uint8_t reason_code,
                          struct noctule_string reason);
    /* Any thread: runs `function` on the client's worker, with its client; not at all when the client has
     * gone. `release` (may be NULL) is called with `argument` in either case, at the end. */
    int32_t (*run_on_client)(struct noctule_instance *instance, uint64_t connection_id,
                             noctule_client_fn function, void *argument, void (*release)(void *argument));
    /* Any thread: forgets cached verdicts of this instance, of one client or (connection_id 0) of all, and
     * asks again about live subscriptions; those now denied are removed. Answers that are still pending are
     * not kept, either. */
    int32_t (*invalidate)(struct noctule_instance *instance, uint64_t connection_id);

    /* -- workers */
    uint32_t (*worker_count)(void);
    uint32_t (*worker_index)(const struct noctule_worker *worker);
    /* Any thread. */
    int32_t (*run_on_worker)(struct noctule_instance *instance, uint32_t worker_index,
                             noctule_worker_fn function, void *argument);
    /* On that worker only. One-shot; the timer is gone after it ran or was cancelled. */
    struct noctule_timer *(*timer_start)(struct noctule_instance *instance, struct noctule_worker *worker,
                                         uint64_t after_ms, noctule_timer_fn function, void *argument);
    void (*timer_cancel)(struct noctule_timer *timer);
    /* On that worker only. Level-triggered; `fd` stays the plugin's. */
    struct noctule_watch *(*watch_add)(struct noctule_instance *instance, struct noctule_worker *worker,
                                       int fd, uint32_t events, noctule_watch_fn function, void *argument);
    int32_t (*watch_change)(struct noctule_watch *watch, uint32_t events);
    void (*watch_remove)(struct noctule_watch *watch);

    /* -- messages. Inside message_in and message_out only. Setters change what goes on from here: for all
     * (message_in) or for this subscriber (message_out). They copy what they are given. */
    const struct noctule_message_info *(*message_info)(struct noctule_message *message);
    int32_t (*message_set_topic)(struct noctule_message *message, struct noctule_string topic);
    int32_t (*message_set_payload)(struct noctule_message *message, struct noctule_string payload);
    /* message_out: can only lower. */
    int32_t (*message_set_qos)(struct noctule_message *message, uint8_t qos);
    /* message_in only. */
    int32_t (*message_set_retain)(struct noctule_message *message, uint8_t retain);
    int32_t (*message_user_property)(struct noctule_message *message, uint32_t index,
                                     struct noctule_string *name, struct noctule_string *value);
    int32_t (*message_add_user_property)(struct noctule_message *message, struct noctule_string name,
                                         struct noctule_string value);
    int32_t (*message_remove_user_property)(struct noctule_message *message, uint32_t index);
    /* Any thread, while there are workers. Routed like a client's message; its message_in hooks run except
     * this instance's own. What one thread publishes keeps its order. NOCTULE_E_LIMIT: too many are on their
     * way already. */
    int32_t (*publish)(struct noctule_instance *instance, const struct noctule_publication *publication);

    /* -- clocks: any thread */
    uint64_t (*monotonic_ms)(void);
    uint64_t (*wall_ms)(void);

    /* -- configuration. Inside build only. Getters look up `key` in a map: 1 present and *value set, 0 absent
     * and *value left as it was, negative: wrong, and reported with its place (build then fails whatever it
     * returns). Keys never asked for are reported as unknown, so ask for all of them before giving up on one.
     * Values live until the snapshot is retired. `config` may be NULL: an empty map. */
    int32_t (*config_string)(const struct noctule_config *config, const char *key,
                             struct noctule_string *value);
    /* A relative one is resolved from the folder of the file that it is written in. */
    int32_t (*config_path)(const struct noctule_config *config, const char *key,
                           struct noctule_string *value);
    int32_t (*config_bool)(const struct noctule_config *config, const char *key, int32_t *value);
    int32_t (*config_integer)(const struct noctule_config *config, const char *key, int64_t minimum,
                              int64_t maximum, int64_t *value);
    int32_t (*config_duration)(const struct noctule_config *config, const char *key, uint64_t minimum_ms,
                               uint64_t maximum_ms, uint64_t *value_ms);
    int32_t (*config_size)(const struct noctule_config *config, const char *key, uint64_t minimum,
                           uint64_t maximum, uint64_t *bytes);
    /* One of `names`, NULL-terminated; *value is its index. */
    int32_t (*config_choice)(const struct noctule_config *config, const char *key, const char *const *names,
                             int32_t *value);
    int32_t (*config_map)(const struct noctule_config *config, const char *key,
                          const struct noctule_config **map);
    int32_t (*config_list)(const struct noctule_config *config, const char *key,
                           const struct noctule_config **list);
    size_t (*config_count)(const struct noctule_config *list_or_map);
    /* Item of a list; or value of a map's entry, whose key goes to *key (may be NULL) and counts as asked
     * for. */
    const struct noctule_config *(*config_at)(const struct noctule_config *list_or_map, size_t index,
                                              struct noctule_string *key);
    /* The text of a scalar node. */
    int32_t (*config_scalar)(const struct noctule_config *scalar, struct noctule_string *value);
    /* Reports what is wrong at a key's place (NULL: at the node's). Fails the build. */
    void (*config_error)(const struct noctule_config *config, const char *key, struct noctule_string text);
    /* Reports on a data file: "FILE:LINE: text" (line 0: no line). An error fails the build, a warning does
     * not. */
    void (*file_error)(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                       struct noctule_string text);
    void (*file_warning)(struct noctule_instance *instance, struct noctule_string file, uint32_t line,
                         struct noctule_string text);

    /* -- metrics. `metric_new` in init only; name and help are C string constants. The others from any
     * thread, cheapest on a worker. */
    struct noctule_metric *(*metric_new)(struct noctule_instance *instance, uint32_t kind, const char *name,
                                         const char *help);
    void (*metric_add)(struct noctule_metric *metric, int64_t amount);            /* counter, gauge */
    void (*metric_set)(struct noctule_metric *metric, int64_t value);             /* gauge */
    void (*metric_observe)(struct noctule_metric *metric, uint64_t microseconds); /* histogram */
    /* Any thread: calls `function` for every metric of the broker and of all instances. */
    void (*metric_each)(noctule_metric_fn function, void *argument);

    /* -- 1.1. Any thread: what `noctule revoke` does. On every worker, at a later turn of its loop: the
     * `revoke` hook of every instance is called, this one's included; then the connected clients that are
     * concerned lose what their login granted and the verdicts that are kept of them, and their live
     * subscriptions are asked about again; or, if so asked, they are disconnected. Logins that are being
     * decided are asked about anew. NOCTULE_OK means asked, not done. */
    int32_t (*revoke)(struct noctule_instance *instance, const struct noctule_revocation *what);
};

/* ---- Plugin: what the shared object describes ------------------------------------------------------------
 */

/* Never run two hooks, timers or watches of one instance at once: workers wait for each other. */
#define NOCTULE_FLAG_SERIAL 0x01u
/* authenticate, auth_step, authorize and psk run on helper threads, and may block. */
#define NOCTULE_FLAG_BLOCKING 0x02u
/* 1.1. What `authorize` answers follows from the snapshot, the client's info and the access (whatever the
 * size of the payload), and from nothing else: the broker may take an ALLOW of PUBLISH or DELIVER again
 * without asking, until the client or the snapshot is another one or `invalidate` is called. */
#define NOCTULE_FLAG_REPEATABLE 0x04u

struct noctule_plugin {
    uint32_t size;
    uint16_t abi_major; /* NOCTULE_ABI_MAJOR */
    uint16_t abi_minor; /* the smallest minor version that this plugin can live with */
    const char *name;   /* its module name: "file-auth" */
    const char *version;
    const char *description; /* one line */
    const char *license;
    uint32_t flags;          /* NOCTULE_FLAG_ bits */
    uint32_t authorize_mask; /* NOCTULE_ACCESS_ bits that `authorize` wants to be asked about */
    uint32_t event_mask;     /* NOCTULE_EVENT_ bits that `event` wants to be told of */
    uint32_t reserved;

    /* -- life cycle. All may be NULL; results: 0 success, anything else refuses to start (or to reload). */

    /* Once per instance. The host table is good for the whole life of the process. */
    int32_t (*init)(const struct noctule_host *host, struct noctule_instance *instance, void **state);
    void (*fini)(void *state);
    /* Reads the entry's `config:` (an empty map when there is none) into a new snapshot. At start, at every
     * reload, for `check` and `explain`. Hooks with an older snapshot may be running meanwhile. */
    int32_t (*build)(void *state, const struct noctule_config *config, void **snapshot);
    /* No hook uses the snapshot any more, and every request that was put off under it has been completed. At
     * the broker's end, it comes after the last worker_down, whatever has not been completed. */
    void (*retire)(void *state, void *snapshot);
    int32_t (*worker_up)(void *state, struct noctule_worker *worker, void **worker_state);
    void (*worker_down)(void *state, struct noctule_worker *worker, void *worker_state);

    /* -- decision hooks. NULL: not taken. */

    noctule_verdict (*authenticate)(const struct noctule_context *context, const struct noctule_login *login);
    /* Only of the instance that answered CONTINUE. */
    noctule_verdict (*auth_step)(const struct noctule_context *context, const struct noctule_auth *auth);
    noctule_verdict (*authorize)(const struct noctule_context *context, const struct noctule_access *access);
    noctule_verdict (*psk)(const struct noctule_context *context, const struct noctule_psk *psk);
    /* A message has been allowed in; every entry of the chain sees it. NEXT or ALLOW: go on (also of a
     * `required` entry, which only may not err); DROP; DENY: refused with the reply's reason code; PENDING,
     * with the changes made so far. */
    noctule_verdict (*message_in)(const struct noctule_context *context, struct noctule_message *message);
    /* A message is about to go to context->client. NEXT or ALLOW: go on; DROP or DENY: this client does not
     * get it. No PENDING. */
    noctule_verdict (*message_out)(const struct noctule_context *context, struct noctule_message *message);

    /* -- others. NULL: not taken. */

    /* After a reload that rebuilt this instance's snapshot, once for each connected client that this instance
     * let in (its ALLOW of authenticate): DENY disconnects the client, with the reply's reason code (default
     * 0x87); NEXT and ALLOW let it stay; anything else counts by `on_error`. No PENDING. */
    noctule_verdict (*revalidate)(const struct noctule_context *context);
    void (*event)(const struct noctule_context *context, const struct noctule_event *event);
    /* 1.1: which bits of authorize_mask this snapshot wants to be asked about, for plugins whose
     * configuration decides it. Main thread, once, after `build`. 0: as if there were no authorize hook. */
    uint32_t (*access_wanted)(void *state, void *snapshot);

    /* 1.1. Something is revoked: drop what this instance keeps about that user or client, on this worker and
     * beyond, before it returns. Called once per worker, whether or not such a client is connected; answers
     * of the time before must not be kept. What the broker keeps is its own business. */
    void (*revoke)(const struct noctule_context *context, const struct noctule_revocation *what);
};

#ifdef __cplusplus
#define NOCTULE_C_LINKAGE extern "C"
#else
#define NOCTULE_C_LINKAGE
#endif

/* Defines the one exported symbol; `plugin` is a static const struct noctule_plugin. */
#define NOCTULE_PLUGIN_ENTRY(plugin)                                                                         \
    NOCTULE_C_LINKAGE NOCTULE_EXPORT const struct noctule_plugin *noctule_plugin_v1(void);                   \
    const struct noctule_plugin *noctule_plugin_v1(void)                                                     \
    {                                                                                                        \
        return &(plugin);                                                                                    \
    }

/* A counted string of a literal. */
#define NOCTULE_STRING(literal) (noctule_string_of((literal), sizeof(literal) - 1))

static inline struct noctule_string noctule_string_of(const char *data, size_t length)
{
    struct noctule_string string;
    string.data = data;
    string.length = length;
    return string;
}

#ifdef __cplusplus
}
#endif

#endif
