// CONNECT and AUTH: from the first packet to the verdict about it.
#include <stdlib.h>
#include <sys/random.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/addresses.h"
#include "core/broker/state.h"
#include "core/broker/trace.h"
#include "core/topic/topic.h"

enum { ASSIGNED_ID_LENGTH = 30, MOVES_MAX = 2, SLOW_ANSWER_MS = 1000 };

/** A connection on its way to the worker of its client id. */
struct move {
    struct post post; // first: found again from the post
    struct turn_task task;
    struct connection *connection;
    unsigned home;
};

static void login_begin(struct connection *connection);

// Enough of CONNECT to know in which version to refuse it, even if the rest does not parse.
static uint8_t peek_version(const uint8_t *body, size_t length)
{
    static const uint8_t name[] = {0, 4, 'M', 'Q', 'T', 'T'};
    if (length > sizeof name && memcmp(body, name, sizeof name) == 0 && body[sizeof name] >= MQTT_V5)
        return MQTT_V5;
    return MQTT_V3_1_1;
}

// Who does not even name MQTT gets no packet of it. [v5 3.1.2-1, v3.1.1 3.1.2-1]
static bool names_mqtt(const uint8_t *body, size_t length)
{
    static const char *const names[] = {"\0\4MQTT", "\0\6MQIsdp"};
    static const size_t sizes[] = {6, 8};
    for (size_t i = 0; i < 2; i++)
        if (length > sizes[i] && memcmp(body, names[i], sizes[i]) == 0)
            return true;
    return false;
}

void login_too_large(struct connection *connection, const uint8_t *packet, size_t available)
{
    size_t header = 1;
    while (header < available && packet[header] & 0x80)
        header++;
    header++;
    if (header < available)
        connection->version = peek_version(packet + header, available - header);
    struct mqtt_connack connack = {.reason = MQTT_PACKET_TOO_LARGE};
    reply_connack(connection, &connack);
}

unsigned login_home(const struct broker *broker, struct str client_id)
{
    return (unsigned)((str_hash(client_id) >> 32) % broker->worker_count);
}

static unsigned home_of(const struct broker_worker *here, struct str client_id)
{
    return login_home(here->broker, client_id);
}

static void arrive(struct worker *worker, struct post *post)
{
    struct connection *connection = ((struct move *)post)->connection;
    free(post);
    login_arrived(worker, connection);
}

void login_arrived(struct worker *worker, struct connection *connection)
{
    struct broker_worker *here = worker->owner;
    if (here->ended) {
        connection_lose(connection);
        return;
    }
    connection_link(here, connection);
    stream_attach(&connection->stream, worker);
    connection->seen_ms = worker->now_ms;
    connection_set_deadline(connection, here->settings->limits.connect_timeout_ms);
    if (here->stopping)
        connection_fail(connection, MQTT_SERVER_SHUTTING_DOWN, NULL);
    else if (atomic_load_explicit(&connection->listener->leaving, memory_order_relaxed))
        connection_fail(connection, MQTT_ADMINISTRATIVE_ACTION, "its listener was removed");
    else
        login_begin(connection);
}

// Runs at the end of the turn, when nobody stands in the middle of the connection's bytes.
static void depart(struct worker *worker, struct turn_task *task)
{
    struct move *move = (struct move *)((char *)task - offsetof(struct move, task));
    struct connection *connection = move->connection;
    connection->connect->move = NULL;
    wheel_stop(&connection->timer);
    connection_unlink(connection);
    stream_detach(&connection->stream);
    worker_post(&worker->peers[move->home], &move->post);
}

static void move_to(struct connection *connection, unsigned home)
{
    struct move *move = memory_alloc(sizeof *move);
    *move = (struct move){.post.run = arrive, .task.run = depart, .connection = connection, .home = home};
    connection->connect->moves++;
    connection->connect->move = move;
    worker_at_turn_end(connection->stream.worker, &move->task);
}

void login_forget(struct connection *connection)
{
    struct connect_packet *connect = connection->connect;
    if (connect && connect->move) {
        worker_forget_task(connection->stream.worker, &connect->move->task);
        free(connect->move);
    }
    free(connect);
    connection->connect = NULL;
}

// A certificate may say which client id its owner has, whatever CONNECT says.
static void take_id_of_certificate(struct connect_packet *connect, size_t length, struct str id)
{
    connect->sent_id = connect->packet.client_id;
    if (!id.data)
        return;
    memcpy(connect->bytes + length, id.data, id.length);
    connect->packet.client_id = str_make(connect->bytes + length, id.length);
}

static bool keep_connect(struct connection *connection, const struct mqtt_frame *frame)
{
    struct tls_names names;
    const char *why;
    tls_names_of(connection, &names, &why); // whom it refuses is told so once the rest is known
    struct connect_packet *connect = memory_try(sizeof *connect + frame->length + names.client_id.length);
    if (!connect)
        return false;
    connect->moves = 0;
    connect->move = NULL;
    memcpy(connect->bytes, frame->body, frame->length);
    struct mqtt_frame copy = *frame;
    copy.body = connect->bytes;
    connection->connect = connect;
    connection->version = peek_version(frame->body, frame->length);
    uint8_t reason = mqtt_decode_connect(&copy, &connect->packet);
    if (reason) {
        connect->packet = (struct mqtt_connect){0}; // what a failed decoder leaves means nothing
        if (names_mqtt(frame->body, frame->length))
            connection_fail(connection, reason, "CONNECT is not valid");
        else
            connection_drop(connection, reason, "CONNECT does not name MQTT");
        return true;
    }
    connection->version = connect->packet.version;
    take_id_of_certificate(connect, frame->length, names.client_id);
    return true;
}

// Whoever goes away meanwhile, having sent nothing more, is not waited for.
static void pause_for_verdict(struct connection *connection)
{
    connection_pause(connection, PAUSE_LOGIN);
    if (connection->state != STATE_ONLINE)
        stream_pause_alert(&connection->stream);
}

void login_receive(struct connection *connection, const struct mqtt_frame *frame)
{
    if (!keep_connect(connection, frame)) {
        connection_drop(connection, MQTT_SERVER_UNAVAILABLE, "out of memory");
        return;
    }
    if (connection->state == STATE_CLOSED)
        return;
    struct broker_worker *here = connection_worker(connection);
    connection->state = STATE_LOGIN;
    unsigned home = home_of(here, connection->connect->packet.client_id);
    if (connection->connect->packet.client_id.length == 0)
        home = here->worker->index;
    pause_for_verdict(connection);
    if (home == here->worker->index)
        login_begin(connection);
    else
        move_to(connection, home);
}

// Whoever tries passwords has to wait for each answer, and in the end gets none. An address that many share
// is slowed by all of them: that is why nothing of it happens unless it is asked for.
static bool answer_waits(struct connection *connection, uint8_t reason, const struct outcome *outcome)
{
    struct broker_worker *here = connection_worker(connection);
    const struct limit_settings *limits = &here->settings->limits;
    if (!limits->auth_failures || outcome->failed)
        return false;
    enum address_failure failure =
        addresses_failed(here->broker->addresses, addresses_key(connection->address), here->worker->now_ms,
                         limits->auth_failures, limits->auth_block_ms);
    if (failure == FAILURE_BLOCKS)
        log_event(LOG_WARN, "address_blocked",
                  "too many logins from an address have failed: its connections are refused for a while",
                  LOG_TEXTF("address", connection->address), LOG_NUM("ms", limits->auth_block_ms));
    if (failure == FAILURE_NOTED || connection->state == STATE_ONLINE)
        return false;
    connection->refusal = reason;
    connection->state = STATE_REFUSED;
    connection_set_deadline(connection, SLOW_ANSWER_MS);
    return true;
}

static void refuse(struct connection *connection, const struct outcome *outcome)
{
    struct client *client = connection->client;
    uint8_t reason =
        denial_reason(outcome, connection->state == STATE_ONLINE ? MQTT_DISCONNECT : MQTT_CONNACK);
    counter_add(connection_worker(connection)->counters,
                COUNTER_LOGINS + (outcome->failed ? LOGIN_FAILED : LOGIN_DENIED), 1);
    log_denial(connection_worker(connection), client, DENIED_CONNECT, (struct str){0}, outcome);
    if (chain_takes_event(client, NOCTULE_EVENT_LOGIN_FAILED)) {
        struct noctule_event event = {.event = NOCTULE_EVENT_LOGIN_FAILED,
                                      .reason_code = reason,
                                      .reason = {outcome->reason.data, outcome->reason.length},
                                      .client_id = client_info(client).client_id};
        tell_event(connection->stream.worker, client, &event);
    }
    if (answer_waits(connection, reason, outcome))
        return;
    connection_fail_telling(connection, reason, "login refused",
                            outcome->show_reason ? outcome->reason : (struct str){0});
}

static struct str authentication_method(const struct connection *connection)
{
    return connection->connect->packet.properties.authentication_method;
}

static const char too_large_auth[] = "AUTH is larger than the client's Maximum Packet Size";

static void challenge(struct connection *connection, const struct outcome *outcome)
{
    struct mqtt_disconnect packet = {.reason = MQTT_CONTINUE_AUTHENTICATION};
    mqtt_set(&packet.properties, MQTT_AUTHENTICATION_METHOD);
    packet.properties.authentication_method = authentication_method(connection);
    if (outcome->auth_data.data) {
        mqtt_set(&packet.properties, MQTT_AUTHENTICATION_DATA);
        packet.properties.authentication_data = outcome->auth_data;
    }
    if (!reply_disconnect(connection, MQTT_AUTH, &packet)) {
        connection_fail(connection, MQTT_PACKET_TOO_LARGE, too_large_auth);
        return;
    }
    if (!connection->reauthenticating)
        connection->state = STATE_AUTHENTICATING;
    connection_resume(connection, PAUSE_LOGIN);
}

static void forget_client(struct connection *connection)
{
    struct client *client = connection->client;
    connection->client = NULL;
    client_set_owner(client, NULL);
    client_gone(client);
    client_unref(client);
}

// A plugin may have given the client another id; its session then lives with that id's worker, where the
// login is repeated.
static bool moves_again(struct connection *connection)
{
    struct broker_worker *here = connection_worker(connection);
    struct connect_packet *connect = connection->connect;
    struct str given = client_id(connection->client);
    unsigned home = home_of(here, given);
    if (home == here->worker->index || connect->packet.client_id.length == 0 ||
        str_equal(given, connect->packet.client_id))
        return false;
    if (connect->moves >= MOVES_MAX || connection->enhanced) {
        connection_fail(connection, MQTT_UNSPECIFIED_ERROR,
                        "the client id given by a plugin changes with every login");
        return true;
    }
    forget_client(connection);
    move_to(connection, home);
    return true;
}

// A reload or a revocation came while a plugin was thinking: what it let in was judged by what does not hold
// any more.
static bool is_outdated(const struct connection *connection)
{
    return connection->connect->judges != plugin_worker_generation(connection->stream.worker) ||
           client_login_is_revoked(connection->client);
}

static void login_again(struct connection *connection)
{
    forget_client(connection);
    login_begin(connection);
}

// An exchange of AUTH packets cannot be repeated: after a reload it counts, after a revocation it does not.
static bool logs_in_again(struct connection *connection)
{
    if (!is_outdated(connection))
        return false;
    if (!connection->enhanced) {
        login_again(connection);
        return true;
    }
    if (!client_login_is_revoked(connection->client))
        return false;
    connection_fail(connection, MQTT_NOT_AUTHORIZED, "revoked during its login");
    return true;
}

static void let_in(struct connection *connection, const struct outcome *outcome)
{
    counter_add(connection_worker(connection)->counters, COUNTER_LOGINS + LOGIN_ALLOWED, 1);
    trace_consider(connection); // its login may have brought other names
    online_start(connection, outcome);
}

static void login_decided(struct client *client, const struct outcome *outcome, void *argument)
{
    (void)client;
    struct connection *connection = argument;
    connection->pending = NULL;
    switch (outcome->verdict) {
    case NOCTULE_ALLOW:
        if (!logs_in_again(connection) && !moves_again(connection))
            let_in(connection, outcome);
        break;
    case NOCTULE_CONTINUE:
        challenge(connection, outcome);
        break;
    default:
        refuse(connection, outcome);
    }
}

// An id for a client that has none; one that belongs to this worker: it is drawn, on average, as many times
// as there are workers.
static struct str assigned_id(const struct broker_worker *here, char id[ASSIGNED_ID_LENGTH])
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char front[] = "noctule-";
    memcpy(id, front, sizeof front - 1);
    do {
        uint8_t random[ASSIGNED_ID_LENGTH - (sizeof front - 1)];
        if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
            memory_exhausted();
        for (size_t i = 0; i < sizeof random; i++)
            id[sizeof front - 1 + i] = alphabet[random[i] % (sizeof alphabet - 1)];
    } while (home_of(here, str_make(id, ASSIGNED_ID_LENGTH)) != here->worker->index);
    return str_make(id, ASSIGNED_ID_LENGTH);
}

const char *login_why_refused(uint8_t refusal)
{
    switch (refusal) {
    case MQTT_SERVER_BUSY:
        return "limits.memory is reached";
    case MQTT_CONNECTION_RATE_EXCEEDED:
        return "connections come faster than connect_rate";
    case MQTT_BANNED:
        return "too many logins from the address have failed (limits.auth_failures)";
    default:
        return "limits.connections or the listener's max_connections is reached";
    }
}

// What the broker itself refuses before any plugin is asked.
static uint8_t check_connect(const struct connection *connection, const char **why)
{
    const struct mqtt_connect *packet = &connection->connect->packet;
    const struct limit_settings *limits = &connection_worker(connection)->settings->limits;
    *why = NULL;
    if (connection->refusal) {
        *why = login_why_refused(connection->refusal);
        return connection->refusal;
    }
    if (packet->client_id.length == 0 &&
        (packet->version == MQTT_V3_1 || (packet->version == MQTT_V3_1_1 && !packet->clean_start))) {
        *why = "an empty client id needs a clean session";
        return MQTT_CLIENT_IDENTIFIER_NOT_VALID;
    }
    if (packet->has_will && topic_is_deeper(packet->will.topic, limits->topic_levels)) {
        *why = "the will's topic has more levels than limits.topic_levels";
        return MQTT_TOPIC_NAME_INVALID;
    }
    if (packet->version == MQTT_V5 && packet->has_will && packet->will.retain &&
        limits->retained_messages == 0) {
        *why = "the will is to be retained, and limits.retained_messages is 0";
        return MQTT_RETAIN_NOT_SUPPORTED;
    }
    return MQTT_SUCCESS;
}

static struct client *make_client(struct connection *connection, const struct noctule_login *login,
                                  bool vouched)
{
    const struct mqtt_connect *packet = &connection->connect->packet;
    char assigned[ASSIGNED_ID_LENGTH];
    struct transport_facts facts;
    transport_facts(connection->stream.transport, &connection->stream, &facts);
    struct client_identity identity = {
        .protocol_version = packet->version,
        .clean_start = packet->clean_start,
        .keep_alive = packet->keep_alive,
        .client_id = packet->client_id.length > 0 ? packet->client_id
                                                  : assigned_id(connection_worker(connection), assigned),
        .username = login->has_username
                        ? str_make(login->username.data ? login->username.data : "", login->username.length)
                        : (struct str){0},
        .vouched = vouched,
        .address = str_of(connection->address),
        .listener = str_of(connection->listener->name),
        .transport = facts.name,
        .certificate_common_name = str_of(facts.certificate_name),
        .certificate_subject = str_of(facts.subject),
        .certificate_pem = str_of(facts.pem),
        .has_peer = facts.has_credentials,
        .uid = facts.uid,
        .gid = facts.gid,
        .pid = facts.pid,
    };
    struct client *client = client_new(connection->stream.worker, &identity);
    client_set_owner(client, connection);
    return client;
}

static void login_begin(struct connection *connection)
{
    const struct mqtt_connect *packet = &connection->connect->packet;
    struct tls_names names;
    const char *why = NULL;
    bool named = tls_names_of(connection, &names, &why);
    struct noctule_login login = {
        .size = sizeof login,
        .has_username = packet->has_username,
        .has_password = packet->has_password,
        .username = {packet->username.data, packet->username.length},
        .password = {packet->password.data, packet->password.length},
    };
    // What TLS has proved counts, not what CONNECT claims.
    if (names.username.data) {
        login.has_username = true;
        login.username = noctule_string_of(names.username.data, names.username.length);
    }
    connection->client = make_client(connection, &login, names.username.data != NULL);
    trace_consider(connection);
    if (trace_on(connection))
        trace_connect(connection, packet);
    uint8_t reason = named ? check_connect(connection, &why) : MQTT_NOT_AUTHORIZED;
    if (reason) {
        connection_fail(connection, reason, why);
        return;
    }
    if (mqtt_has(&packet->properties, MQTT_AUTHENTICATION_METHOD)) {
        if (!chain_takes_auth(connection->client)) {
            connection_fail(connection, MQTT_BAD_AUTHENTICATION_METHOD,
                            "no plugin takes enhanced authentication");
            return;
        }
        connection->enhanced = true;
        struct str method = authentication_method(connection);
        login.auth_method = noctule_string_of(method.data, method.length);
        if (mqtt_has(&packet->properties, MQTT_AUTHENTICATION_DATA))
            login.auth_data = noctule_string_of(packet->properties.authentication_data.data,
                                                packet->properties.authentication_data.length);
    }
    connection->connect->judges = plugin_worker_generation(connection->stream.worker);
    struct outcome outcome = {.verdict = NOCTULE_ALLOW};
    if (names.suffices && names.username.data && !login.auth_method.data) {
        login_decided(connection->client, &outcome, connection);
        return;
    }
    struct decision_call call = {.done = login_decided,
                                 .argument = connection,
                                 .trace = trace_of(connection),
                                 .trace_argument = connection};
    connection->pending = decide_login(connection->client, &login, &call, &outcome);
    if (!connection->pending)
        login_decided(connection->client, &outcome, connection);
}

static void auth_decided(struct client *client, const struct outcome *outcome, void *argument)
{
    struct connection *connection = argument;
    if (!connection->reauthenticating) {
        login_decided(client, outcome, argument);
        return;
    }
    connection->pending = NULL;
    if (outcome->verdict == NOCTULE_CONTINUE) {
        challenge(connection, outcome);
        return;
    }
    connection->reauthenticating = false;
    if (outcome->verdict != NOCTULE_ALLOW) {
        refuse(connection, outcome);
        return;
    }
    online_start_expiry(connection);
    struct mqtt_disconnect packet = {.reason = MQTT_SUCCESS};
    mqtt_set(&packet.properties, MQTT_AUTHENTICATION_METHOD);
    packet.properties.authentication_method = authentication_method(connection);
    if (outcome->auth_data.data) {
        mqtt_set(&packet.properties, MQTT_AUTHENTICATION_DATA);
        packet.properties.authentication_data = outcome->auth_data;
    }
    if (!reply_disconnect(connection, MQTT_AUTH, &packet)) {
        connection_fail(connection, MQTT_PACKET_TOO_LARGE, too_large_auth);
        return;
    }
    connection_resume(connection, PAUSE_LOGIN);
}

// Which AUTH is due follows from the state; the method is the one of CONNECT, always. [v5 4.12]
static uint8_t check_auth(struct connection *connection, const struct mqtt_disconnect *packet)
{
    bool online = connection->state == STATE_ONLINE;
    uint8_t due =
        online && !connection->reauthenticating ? MQTT_REAUTHENTICATE : MQTT_CONTINUE_AUTHENTICATION;
    if (packet->reason != due)
        return MQTT_PROTOCOL_ERROR;
    if (!mqtt_has(&packet->properties, MQTT_AUTHENTICATION_METHOD) ||
        !str_equal(packet->properties.authentication_method, authentication_method(connection)))
        return MQTT_PROTOCOL_ERROR;
    return MQTT_SUCCESS;
}

void login_auth(struct connection *connection, const struct mqtt_frame *frame)
{
    struct mqtt_disconnect packet;
    uint8_t reason =
        connection->state == STATE_LOGIN ? MQTT_PROTOCOL_ERROR : mqtt_decode_auth(frame, true, &packet);
    if (!reason)
        reason = check_auth(connection, &packet);
    if (reason) {
        connection_fail(connection, reason, "AUTH out of place");
        return;
    }
    if (connection->state == STATE_ONLINE)
        connection->reauthenticating = true;
    else
        connection->state = STATE_LOGIN;
    struct noctule_auth auth = {
        .size = sizeof auth,
        .reason_code = packet.reason,
        .method = {packet.properties.authentication_method.data,
                   packet.properties.authentication_method.length},
    };
    if (mqtt_has(&packet.properties, MQTT_AUTHENTICATION_DATA))
        auth.data = noctule_string_of(packet.properties.authentication_data.data,
                                      packet.properties.authentication_data.length);
    pause_for_verdict(connection);
    struct outcome outcome;
    struct decision_call call = {.done = auth_decided,
                                 .argument = connection,
                                 .trace = trace_of(connection),
                                 .trace_argument = connection};
    connection->pending = decide_auth(connection->client, &auth, &call, &outcome);
    if (!connection->pending)
        auth_decided(connection->client, &outcome, connection);
}
