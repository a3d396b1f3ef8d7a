// What commands see of clients and do to them, on the workers; in slices that end after some hundred
// microseconds.
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/broker/control_state.h"
#include "core/plugin/client_facts.h"

enum { FILTER_BYTES_MAX = 65536 };

/** How much more one slice may do. */
struct slice {
    uint64_t began_ns;
    size_t bytes;
};

static struct slice slice_begin(void)
{
    return (struct slice){.began_ns = clock_monotonic_ns()};
}

static bool slice_is_over(const struct slice *slice)
{
    return slice->bytes >= CONTROL_SLICE_BYTES || clock_monotonic_ns() > slice->began_ns + CONTROL_SLICE_NS;
}

/* ---- who is meant ---- */

static struct str str_of_name(struct noctule_string name)
{
    return str_make(name.data, name.length);
}

static bool is_like(struct str pattern, struct str text)
{
    return !pattern.data || (text.data && control_matches(pattern, text));
}

static bool is_exactly(struct str wanted, struct str text)
{
    return !wanted.data || (text.data && str_equal(wanted, text));
}

// The address without its port.
static struct str host_of(struct str address)
{
    const char *colon = memrchr(address.data, ':', address.length);
    return colon ? str_make(address.data, (size_t)(colon - address.data)) : address;
}

static bool is_meant(const struct control_request *request, const struct session *session,
                     bool (*fits)(struct str wanted, struct str text))
{
    const struct connection *connection = session->connection;
    if (!fits(request->client_id, session_client_id(session)))
        return false;
    if (request->state.data && !str_equal(request->state, connection ? STR("connected") : STR("away")))
        return false;
    if (!request->username.data && !request->address.data && !request->listener.data)
        return true;
    if (!connection || !connection->client)
        return false;
    struct noctule_client_info info = client_info(connection->client);
    struct str address = str_of_name(info.address);
    return fits(request->username, str_of_name(info.username)) &&
           (fits(request->address, address) || fits(request->address, host_of(address))) &&
           fits(request->listener, str_of_name(info.listener));
}

/* ---- one client ---- */

static void describe_connection(json_t *object, const struct broker_worker *here,
                                const struct connection *connection)
{
    struct noctule_client_info info = client_info(connection->client);
    control_set(object, "username", control_name(info.username));
    control_set(object, "address", control_name(info.address));
    control_set(object, "listener", control_name(info.listener));
    control_set(object, "transport", control_name(info.transport));
    json_object_set_new(object, "connection", json_integer((json_int_t)info.connection_id));
    json_object_set_new(object, "version",
                        json_string(connection->version == MQTT_V5       ? "5.0"
                                    : connection->version == MQTT_V3_1_1 ? "3.1.1"
                                                                         : "3.1"));
    json_object_set_new(object, "silent_ms",
                        json_integer((json_int_t)(here->worker->now_ms - connection->seen_ms)));
}

static json_t *describe(const struct broker_worker *here, const struct session *session)
{
    const struct connection *connection = session->connection;
    json_t *object = json_object();
    control_set(object, "client_id", control_text(session_client_id(session)));
    json_object_set_new(object, "state", json_string(connection ? "connected" : "away"));
    json_object_set_new(object, "worker", json_integer(here->worker->index));
    if (connection && connection->client)
        describe_connection(object, here, connection);
    json_object_set_new(object, "subscriptions", json_integer(session->subscription_count));
    json_object_set_new(object, "queued", json_integer(session->queue.count));
    json_object_set_new(object, "inflight", json_integer(session->window.active));
    return object;
}

static size_t weight_of(const json_t *object)
{
    const char *key;
    json_t *value;
    size_t bytes = 0;
    json_object_foreach((json_t *)object, key, value) bytes += json_string_length(value);
    return bytes;
}

static void add_row(struct control_job *job, struct slice *slice, json_t *row)
{
    slice->bytes += weight_of(row);
    json_array_append_new(job->lines, json_pack("{s:o}", "row", row));
}

enum job_state control_work_clients(struct broker_worker *here, struct control_job *job)
{
    struct slice slice = slice_begin();
    for (; job->cursor < here->sessions.slot_count; job->cursor++) {
        if (slice_is_over(&slice))
            return JOB_MORE;
        const struct session *session = here->sessions.slots[job->cursor];
        if (session && is_meant(&job->request, session, is_like))
            add_row(job, &slice, describe(here, session));
    }
    return JOB_DONE;
}

/* ---- all about one ---- */

static void describe_session(json_t *object, const struct broker_worker *here, struct session *session)
{
    json_object_set_new(object, "queued_bytes", json_integer((json_int_t)queue_bytes(&session->queue)));
    json_object_set_new(object, "received_qos2", json_integer(session->received.count));
    json_object_set_new(object, "has_will", json_boolean(session->will != NULL));
    if (session->expiry_s == UINT32_MAX)
        json_object_set_new(object, "expiry_seconds", json_string("never"));
    else
        json_object_set_new(object, "expiry_seconds", json_integer(session->expiry_s));
    if (session->absence && session->absence->expires_ms != UINT64_MAX) {
        uint64_t now = here->worker->now_ms;
        uint64_t at = session->absence->expires_ms;
        json_object_set_new(object, "expires_in_ms", json_integer(at > now ? (json_int_t)(at - now) : 0));
    }
}

static void describe_login(json_t *object, const struct connection *connection)
{
    const struct client *client = connection->client;
    struct noctule_client_info info = client_info(client);
    control_set(object, "certificate", control_name(info.certificate_subject));
    if (info.has_peer)
        json_object_set_new(
            object, "peer",
            json_pack("{s:i, s:i, s:i}", "uid", (int)info.uid, "gid", (int)info.gid, "pid", (int)info.pid));
    json_object_set_new(object, "keep_alive_seconds", json_integer(info.keep_alive));
    json_object_set_new(object, "send_quota", json_integer(connection->send_quota));
    json_object_set_new(object, "paused", json_boolean(connection->pauses != 0));
    json_object_set_new(object, "grants", json_integer((json_int_t)client_grant_count(client)));
    json_object_set_new(object, "cached_verdicts", json_integer((json_int_t)client_cached_count(client)));
    uint64_t expires = client_expires_at(client);
    uint64_t now = clock_wall_ms();
    if (expires)
        json_object_set_new(object, "login_expires_in_ms",
                            json_integer(expires > now ? (json_int_t)(expires - now) : 0));
}

static void add_subscription(struct control_job *job, struct slice *slice, struct subscription *subscription,
                             char *filter)
{
    size_t length = subscription_filter(subscription, filter, FILTER_BYTES_MAX);
    uint8_t options = subscription_options(subscription);
    add_row(job, slice,
            json_pack("{s:s, s:o, s:i, s:b, s:b}", "kind", "subscription", "filter",
                      control_text(str_make(filter, length)), "qos", options & 3, "no_local",
                      (options & 4) != 0, "retain_as_published", (options & 8) != 0));
}

static void add_grant(struct control_job *job, struct slice *slice, const struct client_grant *grant)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } accesses[] = {{NOCTULE_ACCESS_PUBLISH, "publish"},
                    {NOCTULE_ACCESS_SUBSCRIBE, "subscribe"},
                    {NOCTULE_ACCESS_DELIVER, "deliver"},
                    {NOCTULE_ACCESS_WILL, "will"}};
    json_t *access = json_array();
    for (size_t i = 0; i < sizeof accesses / sizeof *accesses; i++)
        if (grant->access & accesses[i].bit)
            json_array_append_new(access, json_string(accesses[i].name));
    add_row(job, slice,
            json_pack("{s:s, s:s, s:i, s:s, s:o, s:o, s:i}", "kind", "grant", "plugin", grant->instance,
                      "number", (int)grant->number, "effect", grant->allow ? "allow" : "deny", "access",
                      access, "filter", control_text(grant->filter), "max_qos", (int)grant->max_qos));
}

// First the session itself, then its subscriptions, then grants: job->cursor counts through all of them.
enum job_state control_work_client(struct broker_worker *here, struct control_job *job)
{
    struct slice slice = slice_begin();
    struct session *session = sessions_find(&here->sessions, job->request.client_id);
    if (!session) {
        job->error = job->cursor ? "its session has ended" : "there is no such client";
        return JOB_DONE;
    }
    const struct connection *connection = session->connection;
    const struct client *client = connection ? connection->client : NULL;
    if (job->cursor == 0) {
        json_t *object = describe(here, session);
        json_object_set_new(object, "kind", json_string("client"));
        describe_session(object, here, session);
        if (client)
            describe_login(object, connection);
        add_row(job, &slice, object);
        job->cursor = 1;
    }
    char *filter = memory_alloc(FILTER_BYTES_MAX);
    for (; job->cursor <= session->subscription_count && !slice_is_over(&slice); job->cursor++)
        add_subscription(job, &slice, session->subscriptions[job->cursor - 1], filter);
    free(filter);
    struct client_grant grant;
    while (!slice_is_over(&slice) && client && client_grant_at(client, job->cursor_2, &grant)) {
        add_grant(job, &slice, &grant);
        job->cursor_2++;
    }
    return slice_is_over(&slice) ? JOB_MORE : JOB_DONE;
}

/* ---- kick ---- */

enum job_state control_work_kick(struct broker_worker *here, struct control_job *job)
{
    struct slice slice = slice_begin();
    for (; job->cursor < here->sessions.slot_count; job->cursor++) {
        if (slice_is_over(&slice))
            return JOB_MORE;
        const struct session *session = here->sessions.slots[job->cursor];
        if (!session || !session->connection || !is_meant(&job->request, session, is_exactly))
            continue;
        connection_fail(session->connection, MQTT_ADMINISTRATIVE_ACTION, "kicked");
        job->count++;
    }
    return JOB_DONE;
}

void control_finish_kick(struct control_job *job, json_t *last)
{
    json_object_set_new(last, "clients", json_integer((json_int_t)job->count));
}
