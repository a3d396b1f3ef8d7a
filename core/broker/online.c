// From an allowed login to a running session: takeover, resumption, CONNACK, and what waits is sent.
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/broker/state.h"

static void tell_session(struct connection *connection, uint32_t kind)
{
    struct client *client = connection->client;
    if (!chain_takes_event(client, kind))
        return;
    struct noctule_event event = {.event = kind, .client_id = client_info(client).client_id};
    tell_event(connection->stream.worker, client, &event);
}

// The client id is connected already: that connection ends, and with it, where due, its will and its session.
// [v5 3.1.4-3]
static struct session *take_over(struct broker_worker *here, struct session *session, bool clean_start)
{
    struct connection *old = session->connection;
    if (old) {
        bool ends = clean_start || session->expiry_s == 0;
        counter_add(here->counters, COUNTER_TAKEN_OVER, 1);
        tell_session(old, NOCTULE_EVENT_SESSION_TAKEN);
        session->taken_over = true;
        bool publishes_will = session->will && (ends || session->will->delay_s == 0);
        struct will *will = NULL;
        if (publishes_will) {
            will = session->will;
            session->will = NULL;
        }
        connection_fail(old, MQTT_SESSION_TAKEN_OVER, NULL);
        session->taken_over = false;
        if (will)
            will_publish(will);
        if (ends) {
            session_end(here, session, false);
            return NULL;
        }
    }
    session_end_absence(session);
    if (clean_start) {
        session_end(here, session, false);
        return NULL;
    }
    will_drop(session);
    return session;
}

static uint32_t session_expiry(const struct broker_worker *here, const struct mqtt_connect *packet)
{
    uint64_t limit = here->settings->limits.session_expiry_ms / 1000;
    uint64_t wanted = packet->clean_start ? 0 : UINT32_MAX;
    if (packet->version == MQTT_V5)
        wanted = mqtt_has(&packet->properties, MQTT_SESSION_EXPIRY_INTERVAL)
                     ? packet->properties.session_expiry_interval
                     : 0;
    return (uint32_t)(wanted > limit ? limit : wanted);
}

static struct session *find_or_make(struct connection *connection, bool *present)
{
    struct broker_worker *here = connection_worker(connection);
    const struct mqtt_connect *packet = &connection->connect->packet;
    struct session *session = sessions_find(&here->sessions, client_id(connection->client));
    if (session)
        session = take_over(here, session, packet->clean_start);
    *present = session != NULL;
    if (session)
        return session;
    // Taken before it is looked at, so that workers in parallel cannot pass the limit together.
    uint64_t before = atomic_fetch_add_explicit(&here->broker->sessions, 1, memory_order_relaxed);
    if (before < here->settings->limits.sessions)
        session = session_new(&here->sessions, client_id(connection->client));
    if (!session)
        atomic_fetch_sub_explicit(&here->broker->sessions, 1, memory_order_relaxed);
    return session;
}

static uint16_t minimum(uint64_t a, uint64_t b)
{
    uint64_t smaller = a < b ? a : b;
    return (uint16_t)(smaller > UINT16_MAX ? UINT16_MAX : smaller);
}

// What the client announced in CONNECT about itself. [v5 3.1.2.11]
static void take_client_limits(struct connection *connection, const struct limit_settings *limits)
{
    const struct mqtt_connect *packet = &connection->connect->packet;
    const struct mqtt_properties *properties = &packet->properties;
    uint64_t quota = limits->inflight;
    connection->maximum_packet_size = PACKET_SIZE_MAX;
    if (packet->version == MQTT_V5) {
        if (mqtt_has(properties, MQTT_RECEIVE_MAXIMUM))
            quota = minimum(quota, properties->receive_maximum);
        if (mqtt_has(properties, MQTT_MAXIMUM_PACKET_SIZE) &&
            properties->maximum_packet_size < connection->maximum_packet_size)
            connection->maximum_packet_size = properties->maximum_packet_size;
        if (mqtt_has(properties, MQTT_TOPIC_ALIAS_MAXIMUM))
            connection->topic_alias_maximum = minimum(properties->topic_alias_maximum, limits->topic_aliases);
        if (mqtt_has(properties, MQTT_REQUEST_PROBLEM_INFORMATION))
            connection->problem_information = properties->request_problem_information;
        if (mqtt_has(properties, MQTT_REQUEST_RESPONSE_INFORMATION))
            connection->response_information = properties->request_response_information;
    }
    if (client_max_inflight(connection->client))
        quota = minimum(quota, client_max_inflight(connection->client));
    connection->send_quota = minimum(quota, UINT16_MAX);
}

static uint16_t keep_alive(struct connection *connection, const struct limit_settings *limits)
{
    uint16_t seconds = connection->connect->packet.keep_alive;
    uint64_t longest = limits->keep_alive_ms / 1000;
    // A client of 3.x cannot be told of another value, so its own counts.
    if (connection->version == MQTT_V5 && longest && (seconds == 0 || seconds > longest))
        seconds = (uint16_t)longest;
    connection->keep_alive_ms = seconds * 1500U;
    return seconds;
}

static char *response_information(struct connection *connection)
{
    const char *pattern = connection_worker(connection)->settings->response_information;
    if (!connection->response_information || !pattern)
        return NULL;
    struct str id = client_id(connection->client);
    const char *mark = strstr(pattern, "%c");
    if (!mark)
        return str_to_c(str_of(pattern));
    return str_format("%.*s%.*s%s", (int)(mark - pattern), pattern, STR_ARG(id), mark + 2);
}

// False: it would be larger than the client takes.
static bool send_connack(struct connection *connection, bool present, uint16_t seconds,
                         const struct outcome *outcome)
{
    const struct limit_settings *limits = &connection_worker(connection)->settings->limits;
    const struct mqtt_connect *packet = &connection->connect->packet;
    struct mqtt_properties properties = {0};
    char *response = NULL;
    if (connection->version == MQTT_V5) {
        mqtt_set(&properties, MQTT_RECEIVE_MAXIMUM);
        properties.receive_maximum = minimum(limits->inflight, UINT16_MAX);
        mqtt_set(&properties, MQTT_MAXIMUM_PACKET_SIZE);
        properties.maximum_packet_size = (uint32_t)limits->packet_size;
        if (limits->topic_aliases) {
            mqtt_set(&properties, MQTT_TOPIC_ALIAS_MAXIMUM);
            properties.topic_alias_maximum = minimum(limits->topic_aliases, UINT16_MAX);
        }
        if (limits->retained_messages == 0) {
            mqtt_set(&properties, MQTT_RETAIN_AVAILABLE);
            properties.retain_available = 0;
            connection->retain_refused = true;
        }
        if (!str_equal(connection->connect->sent_id, client_id(connection->client))) {
            mqtt_set(&properties, MQTT_ASSIGNED_CLIENT_IDENTIFIER);
            properties.assigned_client_identifier = client_id(connection->client);
        }
        if (seconds != packet->keep_alive) {
            mqtt_set(&properties, MQTT_SERVER_KEEP_ALIVE);
            properties.server_keep_alive = seconds;
        }
        uint32_t asked = mqtt_has(&packet->properties, MQTT_SESSION_EXPIRY_INTERVAL)
                             ? packet->properties.session_expiry_interval
                             : 0;
        if (connection->session->expiry_s != asked) {
            mqtt_set(&properties, MQTT_SESSION_EXPIRY_INTERVAL);
            properties.session_expiry_interval = connection->session->expiry_s;
        }
        if (connection->enhanced) {
            mqtt_set(&properties, MQTT_AUTHENTICATION_METHOD);
            properties.authentication_method = packet->properties.authentication_method;
            if (outcome->auth_data.data) {
                mqtt_set(&properties, MQTT_AUTHENTICATION_DATA);
                properties.authentication_data = outcome->auth_data;
            }
        }
        response = response_information(connection);
        if (response) {
            mqtt_set(&properties, MQTT_RESPONSE_INFORMATION);
            properties.response_information = str_of(response);
        }
    }
    struct mqtt_connack connack = {
        .session_present = present, .reason = MQTT_SUCCESS, .properties = &properties};
    bool sent = reply_connack(connection, &connack);
    free(response);
    return sent;
}

static void login_expired(struct wheel_timer *timer, void *context)
{
    (void)context;
    connection_fail(((struct connection_rare *)timer)->connection, MQTT_NOT_AUTHORIZED,
                    "the login has expired");
}

void online_start_expiry(struct connection *connection)
{
    uint64_t at = client_expires_at(connection->client);
    if (connection->rare)
        wheel_stop(&connection->rare->expiry);
    if (!at)
        return;
    uint64_t now = clock_wall_ms();
    struct worker *worker = connection->stream.worker;
    wheel_start(&worker->wheel, &connection_rare(connection)->expiry,
                worker->now_ms + (at > now ? at - now : 0), login_expired);
}

// Everything unacknowledged is due again, in its order, as the window of the new connection lets it. [v5 4.4]
static void mark_for_resending(struct connection *connection)
{
    struct window *window = &connection->session->window;
    uint32_t cursor = 0;
    uint16_t packet_id;
    struct inflight *entry;
    while ((entry = window_next(window, &cursor, &packet_id)))
        entry->resend = true;
    connection->resend_left = window->active;
}

void online_start(struct connection *connection, const struct outcome *outcome)
{
    struct broker_worker *here = connection_worker(connection);
    const struct mqtt_connect *packet = &connection->connect->packet;
    struct will *will = packet->has_will ? will_new(&packet->will, connection->client) : NULL;
    if (packet->has_will && !will) {
        connection_fail(connection, MQTT_SERVER_UNAVAILABLE, "out of memory");
        return;
    }
    bool present;
    struct session *session = find_or_make(connection, &present);
    if (!session) {
        if (will)
            will_free(will);
        connection_fail(connection, MQTT_QUOTA_EXCEEDED, "limits.sessions is reached");
        return;
    }
    counter_add(here->counters, COUNTER_CLIENTS, 1);
    session->connection = connection;
    session->expiry_s = session_expiry(here, packet);
    connection->session = session;
    session->will = will;
    if (will)
        will->message->publisher = session->id;
    take_client_limits(connection, &here->settings->limits);
    uint16_t seconds = keep_alive(connection, &here->settings->limits);
    bool answered = send_connack(connection, present, seconds, outcome);
    connection->state = STATE_ONLINE;
    wheel_stop(&connection->timer);
    connection_start_keep_alive(connection);
    online_start_expiry(connection);
    tell_session(connection, present ? NOCTULE_EVENT_SESSION_RESUMED : NOCTULE_EVENT_SESSION_CREATED);
    tell_session(connection, NOCTULE_EVENT_CONNECTED);
    log_connection(connection, LOG_INFO, "connected",
                   present ? "client connected, session resumed" : "client connected", NULL);
    if (!answered) {
        will_drop(session); // without CONNACK the client was never accepted
        connection_drop(connection, MQTT_PACKET_TOO_LARGE,
                        "CONNACK is larger than the client's Maximum Packet Size");
        return;
    }
    if (!connection->enhanced) { // re-authentication needs the method again
        free(connection->connect);
        connection->connect = NULL;
    }
    if (present) {
        mark_for_resending(connection);
        connection->carried = connection->session->received.count;
        // Who the client is now decides anew what it may read.
        session_uncover(session);
        session_set_online(session, true);
        subscribe_recheck(connection);
        if (connection->state != STATE_ONLINE)
            return;
        deliver_waiting(connection);
    }
    connection_resume(connection, PAUSE_LOGIN);
}
