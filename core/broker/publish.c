// PUBLISH from a client: alias, limits, permission, hooks, acceptance, acknowledgement.
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/broker/state.h"
#include "core/broker/trace.h"
#include "core/topic/topic.h"

/** A PUBLISH that could not be finished at once: a plugin decides, or its way is congested. The client's
 * input stands still. */
struct publish_call {
    struct message *message; ///< owned, one reference
    uint16_t packet_id;
    uint8_t qos;
};

static void finish(struct connection *connection, struct message *message, uint16_t packet_id, uint8_t qos);

/* ---- topic alias [v5 3.3.2.3.4] ---- */

static uint8_t resolve_alias(struct connection *connection, struct mqtt_publish *publish)
{
    uint16_t maximum = (uint16_t)connection_worker(connection)->settings->limits.topic_aliases;
    uint16_t alias = publish->properties.topic_alias;
    if (alias == 0 || alias > maximum)
        return MQTT_TOPIC_ALIAS_INVALID;
    struct aliases_in *aliases = connection->rare ? connection->rare->aliases_in : NULL;
    if (!aliases) {
        aliases = memory_try(sizeof *aliases + maximum * sizeof(struct str));
        if (!aliases)
            return MQTT_SERVER_UNAVAILABLE;
        aliases->maximum = maximum;
        memset(aliases->topics, 0, maximum * sizeof(struct str));
        connection_rare(connection)->aliases_in = aliases;
    }
    if (alias > aliases->maximum) // a reload raised the limit: the client was told the old one
        return MQTT_TOPIC_ALIAS_INVALID;
    struct str *known = &aliases->topics[alias - 1];
    if (publish->topic.length == 0) {
        if (known->length == 0)
            return MQTT_PROTOCOL_ERROR;
        publish->topic = *known;
    } else if (!str_equal(*known, publish->topic)) {
        free((char *)(uintptr_t)known->data);
        *known = str_copy(publish->topic);
    }
    return MQTT_SUCCESS;
}

/* ---- waiting ---- */

static bool wait_with(struct connection *connection, struct message *message, uint16_t packet_id, uint8_t qos)
{
    struct publish_call *call = memory_try(sizeof *call);
    struct message *kept = call ? message_keep(message) : NULL;
    if (!kept) {
        free(call);
        return false;
    }
    *call = (struct publish_call){.message = kept, .packet_id = packet_id, .qos = qos};
    connection->publish = call;
    connection_pause(connection, PAUSE_PUBLISH);
    return true;
}

static struct publish_call take_call(struct connection *connection)
{
    struct publish_call call = *connection->publish;
    free(connection->publish);
    connection->publish = NULL;
    connection->pending = NULL;
    return call;
}

void publish_cancel(struct connection *connection)
{
    if (connection->throttled) {
        struct connection **link = &connection_worker(connection)->throttled;
        while (*link != connection)
            link = &(*link)->rare->next_throttled;
        *link = connection->rare->next_throttled;
        connection->throttled = false;
    }
    if (!connection->publish)
        return;
    message_unref(connection->publish->message);
    free(connection->publish);
    connection->publish = NULL;
}

/* ---- acceptance: the last step; a store that makes messages durable would complete it later ---- */

static void acknowledge(struct connection *connection, uint16_t packet_id, uint8_t qos, uint8_t reason,
                        struct str told)
{
    if (qos == 1) {
        reply_ack(connection, MQTT_PUBACK, packet_id, reason, told);
    } else if (qos == 2) {
        if (reason < 0x80 && !packet_ids_add(&connection->session->received, packet_id)) {
            connection_drop(connection, MQTT_SERVER_UNAVAILABLE, "out of memory");
            return;
        }
        reply_ack(connection, MQTT_PUBREC, packet_id, reason, told);
    }
}

static void throttle_over(struct wheel_timer *timer, void *context)
{
    (void)timer;
    publish_unthrottle(((struct worker *)context)->owner);
}

void publish_unthrottle(struct broker_worker *here)
{
    if (route_is_congested(here)) {
        wheel_start(&here->worker->wheel, &here->throttle, here->worker->now_ms + BACKLOG_RETRY_MS,
                    throttle_over);
        return;
    }
    here->effort = 0;
    while (here->throttled) {
        struct connection *connection = here->throttled;
        here->throttled = connection->rare->next_throttled;
        connection->throttled = false;
        connection_resume(connection, PAUSE_CONGESTED);
    }
}

static void rest_over(struct worker *worker, struct post *post)
{
    (void)post;
    struct broker_worker *here = worker->owner;
    here->resting = false;
    if (!here->ended)
        publish_unthrottle(here);
}

// The publisher's input waits: for a while when another worker is behind with what this one handed to it,
// else for the next turn, so that others have theirs.
static void throttle(struct connection *connection, bool congested)
{
    struct broker_worker *here = connection_worker(connection);
    if (connection->throttled)
        return;
    connection_pause(connection, PAUSE_CONGESTED);
    connection->throttled = true;
    connection_rare(connection)->next_throttled = here->throttled;
    here->throttled = connection;
    if (!congested && !here->resting) {
        here->resting = true;
        here->rest.run = rest_over;
        worker_post(here->worker, &here->rest);
    }
    if (congested && !wheel_is_running(&here->throttle))
        wheel_start(&here->worker->wheel, &here->throttle, here->worker->now_ms + BACKLOG_RETRY_MS,
                    throttle_over);
}

// Without memory a message is not accepted: 5.0 has a code to say so, a client of 3.x comes again and repeats
// it.
static void give_up(struct connection *connection, uint16_t packet_id, uint8_t qos)
{
    if (connection->version == MQTT_V5)
        acknowledge(connection, packet_id, qos, MQTT_QUOTA_EXCEEDED, (struct str){0});
    else
        connection_drop(connection, MQTT_SERVER_UNAVAILABLE, "out of memory");
}

static void finish(struct connection *connection, struct message *message, uint16_t packet_id, uint8_t qos)
{
    struct broker_worker *here = connection_worker(connection);
    struct packet_ids *received = &connection->session->received;
    uint64_t lost = here->lost;
    // Before anybody gets the message: what is repeated must be known.
    if (qos == 2 && !packet_ids_add(received, packet_id)) {
        give_up(connection, packet_id, qos);
        return;
    }
    size_t matched = route_message(here, message);
    if (qos > 0 && here->lost != lost) {
        if (qos == 2)
            packet_ids_remove(received, packet_id);
        give_up(connection, packet_id, qos);
        return;
    }
    if (qos > 0)
        reply_ack(connection, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet_id,
                  matched ? MQTT_SUCCESS : MQTT_NO_MATCHING_SUBSCRIBERS, (struct str){0});
    bool congested = here->broker->worker_count > 1 && route_is_congested(here);
    if (congested || route_is_tired(here))
        throttle(connection, congested);
}

// Refused: 5.0 clients are told in the acknowledgement, 3.x ones as deny_action says.
static void refuse(struct connection *connection, struct str topic, uint16_t packet_id, uint8_t qos,
                   const struct outcome *outcome)
{
    uint8_t reason = denial_reason(outcome, MQTT_PUBACK);
    log_denial(connection_worker(connection), connection->client, DENIED_PUBLISH, topic, outcome);
    if (connection->version != MQTT_V5 &&
        connection_worker(connection)->settings->deny_action == SETTINGS_DENY_DISCONNECT) {
        connection_fail(connection, reason, "a publication was denied (deny_action: disconnect)");
        return;
    }
    struct str told = outcome->show_reason ? outcome->reason : (struct str){0};
    if (connection->version == MQTT_V5) {
        acknowledge(connection, packet_id, qos, reason, told);
    } else {
        acknowledge(connection, packet_id, qos, MQTT_SUCCESS, told);
    }
}

/* ---- hooks ---- */

static void drop(struct connection *connection, uint16_t packet_id, uint8_t qos)
{
    counter_add(connection_worker(connection)->counters, COUNTER_DROPPED + DROP_HOOK, 1);
    acknowledge(connection, packet_id, qos, MQTT_SUCCESS, (struct str){0});
}

static void hooks_done(struct connection *connection, const struct outcome *outcome, struct message *message,
                       uint16_t packet_id, uint8_t qos)
{
    if (outcome->verdict == NOCTULE_DENY)
        refuse(connection, message->topic, packet_id, qos, outcome);
    else if (outcome->verdict == NOCTULE_DROP)
        drop(connection, packet_id, qos);
    else
        finish(connection, message, packet_id, qos);
}

static void hooks_decided(struct client *client, const struct outcome *outcome, struct message *message,
                          void *argument)
{
    (void)client;
    struct connection *connection = argument;
    struct publish_call call = take_call(connection);
    // Resumed first: what follows may pause again.
    connection_resume(connection, PAUSE_PUBLISH);
    hooks_done(connection, outcome, message, call.packet_id, call.qos);
    message_unref(message);
    message_unref(call.message);
}

static void run_hooks(struct connection *connection, struct message *message, uint16_t packet_id, uint8_t qos)
{
    if (!chain_takes_message_in(connection->stream.worker, connection->client)) {
        finish(connection, message, packet_id, qos);
        return;
    }
    struct outcome outcome;
    struct message *changed = NULL;
    connection->pending = decide_message_in(connection->stream.worker, connection->client, message,
                                            hooks_decided, connection, &outcome, &changed);
    if (!connection->pending) {
        hooks_done(connection, &outcome, changed ? changed : message, packet_id, qos);
        message_unref(changed);
    } else if (!wait_with(connection, message, packet_id, qos)) {
        connection_drop(connection, MQTT_SERVER_UNAVAILABLE, "out of memory");
    }
}

static void access_decided(struct client *client, const struct outcome *outcome, void *argument)
{
    (void)client;
    struct connection *connection = argument;
    struct publish_call call = take_call(connection);
    // Resumed first: what follows may pause again.
    connection_resume(connection, PAUSE_PUBLISH);
    if (outcome->verdict == NOCTULE_ALLOW)
        run_hooks(connection, call.message, call.packet_id, call.qos);
    else
        refuse(connection, call.message->topic, call.packet_id, call.qos, outcome);
    message_unref(call.message);
}

static void check_access(struct connection *connection, struct message *message, uint16_t packet_id,
                         uint8_t qos)
{
    if (chain_takes_access(connection->client, NOCTULE_ACCESS_PUBLISH)) {
        struct outcome outcome;
        struct noctule_access access = {
            .size = sizeof access,
            .access = NOCTULE_ACCESS_PUBLISH,
            .topic = {message->topic.data, message->topic.length},
            .qos = qos,
            .retain = message->retain,
            .payload_size = message->payload.length,
        };
        struct decision_call call = {.done = access_decided,
                                     .argument = connection,
                                     .trace = trace_of(connection),
                                     .trace_argument = connection};
        connection->pending = decide_access(connection->client, &access, &call, &outcome);
        if (connection->pending) {
            if (!wait_with(connection, message, packet_id, qos))
                connection_drop(connection, MQTT_SERVER_UNAVAILABLE, "out of memory");
            return;
        }
        if (outcome.verdict != NOCTULE_ALLOW) {
            refuse(connection, message->topic, packet_id, qos, &outcome);
            return;
        }
    }
    run_hooks(connection, message, packet_id, qos);
}

/* ---- the packet ---- */

bool topic_is_reserved(struct str topic)
{
    return str_starts(topic, STR("$SYS/"));
}

// The properties that travel on: as they came when all of them do, copied without the others when not.
static bool take_properties(const struct mqtt_publish *publish, struct message *message, uint8_t **copy,
                            uint64_t now_ms)
{
    const struct mqtt_properties *properties = &publish->properties;
    if (mqtt_has(properties, MQTT_MESSAGE_EXPIRY_INTERVAL))
        message->expires_ms = now_ms + properties->message_expiry_interval * 1000ULL;
    if ((properties->present & ~MQTT_FORWARDED) == 0) {
        message->properties = properties->raw;
        return true;
    }
    if (properties->present & MQTT_FORWARDED) {
        *copy = memory_try(properties->raw.length);
        if (!*copy)
            return false;
        message->properties = str_make(*copy, mqtt_properties_forwarded(*copy, properties->raw));
    }
    return true;
}

static uint8_t check_limits(struct connection *connection, const struct mqtt_publish *publish)
{
    const struct limit_settings *limits = &connection_worker(connection)->settings->limits;
    // 3.x knows no Receive Maximum. What earlier connections left open does not count. [v5 3.3.4-7, 4.9]
    if (publish->qos > 0 && connection->version == MQTT_V5 &&
        connection->session->received.count >= limits->inflight + connection->carried)
        return MQTT_RECEIVE_MAXIMUM_EXCEEDED;
    if (topic_is_deeper(publish->topic, limits->topic_levels))
        return MQTT_TOPIC_NAME_INVALID;
    if (publish->retain && connection->retain_refused)
        return MQTT_RETAIN_NOT_SUPPORTED;
    return MQTT_SUCCESS;
}

void publish_receive(struct connection *connection, const struct mqtt_frame *frame)
{
    struct mqtt_publish publish;
    uint8_t reason = mqtt_decode_publish(frame, connection->version, &publish);
    if (!reason && connection->version == MQTT_V5 && mqtt_has(&publish.properties, MQTT_TOPIC_ALIAS))
        reason = resolve_alias(connection, &publish);
    if (reason) {
        connection_fail(connection, reason, NULL);
        return;
    }
    counter_add(connection_worker(connection)->counters, COUNTER_PUBLISH_RECEIVED_BYTES,
                publish.payload.length);
    if (publish.qos == 2 && packet_ids_has(&connection->session->received, publish.packet_id)) {
        reply_ack(connection, MQTT_PUBREC, publish.packet_id, MQTT_SUCCESS, (struct str){0});
        return;
    }
    const struct limit_settings *limits = &connection_worker(connection)->settings->limits;
    if (limits->publish_rate | limits->publish_byte_rate)
        rate_count(connection, frame->size);
    reason = check_limits(connection, &publish);
    if (reason) {
        connection_fail(connection, reason, NULL);
        return;
    }
    struct message message = {
        .qos = publish.qos,
        .retain = publish.retain,
        .publisher = connection->session->id,
        .topic = publish.topic,
        .payload = publish.payload,
    };
    uint8_t *copy = NULL;
    if (connection->version == MQTT_V5 && publish.properties.present &&
        !take_properties(&publish, &message, &copy, connection->stream.worker->now_ms)) {
        connection_drop(connection, MQTT_SERVER_UNAVAILABLE, "out of memory");
        return;
    }
    if (topic_is_reserved(publish.topic)) {
        struct outcome outcome = {.verdict = NOCTULE_DENY, .reason = STR("$SYS/ is the broker's own")};
        refuse(connection, publish.topic, publish.packet_id, publish.qos, &outcome);
    } else {
        check_access(connection, &message, publish.packet_id, publish.qos);
    }
    message_release(&message);
    free(copy);
}

/* ---- messages of plugins ---- */

static void system_decided(struct client *client, const struct outcome *outcome, struct message *message,
                           void *argument)
{
    (void)client;
    struct broker_worker *here = argument;
    if (outcome->verdict == NOCTULE_ALLOW)
        route_message(here, message);
    message_unref(message);
}

void publish_system(struct broker_worker *here, struct message *message)
{
    struct outcome outcome = {.verdict = NOCTULE_ALLOW};
    struct message *changed = NULL;
    if (chain_takes_message_in(here->worker, NULL) &&
        decide_message_in(here->worker, NULL, message, system_decided, here, &outcome, &changed)) {
        message_unref(message);
        return;
    }
    if (outcome.verdict == NOCTULE_ALLOW)
        route_message(here, changed ? changed : message);
    message_unref(changed);
    message_unref(message);
}
