// SUBSCRIBE and UNSUBSCRIBE: every filter is asked about at once, then all are applied in their order.
// [v5 3.8, 3.10]
#include <stdlib.h>

#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/broker/state.h"
#include "core/broker/trace.h"
#include "core/topic/topic.h"

enum { REPLAYING_MOST = 1 << 20 }; // retained messages on their way to one client

/** One filter of a SUBSCRIBE (or of a recheck), and the answer about it. */
struct subscribe_item {
    struct subscribe_call *call;
    struct decision *decision;
    struct str filter;
    uint8_t options;
    uint8_t code; ///< for SUBACK: the granted QoS, or a failure
    bool covered;
};

/** A SUBSCRIBE on its way. The client's input stands still while answers are awaited, and while retained
 * messages are looked for; a recheck stops nothing. */
struct subscribe_call {
    struct subscribe_call *next;
    struct connection *connection;
    bool recheck;
    bool stale; ///< rules have changed since it was asked: to be asked again
    uint16_t packet_id;
    uint32_t identifier;
    size_t count;
    size_t waiting;
    size_t applied; ///< of a SUBSCRIBE
    bool answered;
    char *bytes; ///< the filters' own copy
    struct subscribe_item items[];
};

static void free_call(struct subscribe_call *call)
{
    free(call->bytes);
    free(call);
}

static void unlink_call(struct subscribe_call *call)
{
    struct subscribe_call **link = &call->connection->subscribe;
    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
}

static void cancel_call(struct subscribe_call *call)
{
    unlink_call(call);
    for (size_t i = 0; i < call->count; i++)
        if (call->items[i].decision)
            decision_cancel(call->items[i].decision);
    free_call(call);
}

void subscribe_cancel(struct connection *connection)
{
    struct subscribe_call *next;
    for (struct subscribe_call *call = connection->subscribe; call; call = next) {
        next = call->next;
        cancel_call(call);
    }
}

// What is asked about now was asked under rules that may not hold any more: a recheck starts anew, a
// SUBSCRIBE is followed by one.
static void doubt_calls(struct connection *connection)
{
    struct subscribe_call *next;
    for (struct subscribe_call *call = connection->subscribe; call; call = next) {
        next = call->next;
        if (call->recheck)
            cancel_call(call);
        else
            call->stale = true;
    }
}

static struct subscribe_call *new_call(struct connection *connection, size_t count, size_t bytes)
{
    struct subscribe_call *call = memory_try(sizeof *call + count * sizeof *call->items);
    char *copy = call ? memory_try(bytes) : NULL;
    if (!copy) {
        free(call);
        connection_drop(connection, MQTT_SERVER_UNAVAILABLE, "out of memory");
        return NULL;
    }
    *call = (struct subscribe_call){
        .connection = connection, .count = count, .bytes = copy, .next = connection->subscribe};
    memset(call->items, 0, count * sizeof *call->items);
    connection->subscribe = call;
    return call;
}

/* ---- asking ---- */

static void note_answer(struct subscribe_item *item, const struct outcome *outcome)
{
    struct connection *connection = item->call->connection;
    item->covered = outcome->verdict == NOCTULE_ALLOW && outcome->covers_delivery;
    if (outcome->verdict == NOCTULE_ALLOW)
        return;
    log_denial(connection_worker(connection), connection->client, DENIED_SUBSCRIBE, item->filter, outcome);
    item->code = denial_reason(outcome, MQTT_SUBACK);
}

static void answered(struct subscribe_call *call);

static void item_decided(struct client *client, const struct outcome *outcome, void *argument)
{
    (void)client;
    struct subscribe_item *item = argument;
    item->decision = NULL;
    note_answer(item, outcome);
    if (--item->call->waiting == 0)
        answered(item->call);
}

static void ask(struct subscribe_item *item)
{
    struct connection *connection = item->call->connection;
    struct noctule_access access = {
        .size = sizeof access,
        .access = NOCTULE_ACCESS_SUBSCRIBE,
        .topic = {item->filter.data, item->filter.length},
        .qos = item->options & MQTT_OPTION_QOS,
    };
    struct outcome outcome;
    struct decision_call call = {
        .done = item_decided, .argument = item, .trace = trace_of(connection), .trace_argument = connection};
    item->decision = decide_access(connection->client, &access, &call, &outcome);
    if (item->decision)
        item->call->waiting++;
    else
        note_answer(item, &outcome);
}

// True when nothing is awaited.
static bool ask_all(struct subscribe_call *call)
{
    // NOCTULE_ACCESS_DELIVER is looked at as well: SUBSCRIBE is where a plugin says that deliveries are
    // covered.
    if (!chain_takes_access(call->connection->client, NOCTULE_ACCESS_SUBSCRIBE))
        return true;
    for (size_t i = 0; i < call->count; i++)
        if (call->items[i].code < 0x80)
            ask(&call->items[i]);
    return call->waiting == 0;
}

/* ---- applying ---- */

static void tell_subscription(struct connection *connection, uint32_t kind, struct str filter, uint8_t qos)
{
    struct client *client = connection->client;
    if (!chain_takes_event(client, kind))
        return;
    struct noctule_event event = {.event = kind,
                                  .topic = {filter.data, filter.length},
                                  .qos = qos,
                                  .client_id = client_info(client).client_id};
    tell_event(connection->stream.worker, client, &event);
}

// False: refused.
static bool apply(struct connection *connection, struct subscribe_item *item, uint32_t identifier)
{
    struct broker_worker *here = connection_worker(connection);
    struct session *session = connection->session;
    // Subscribing to everything again and again would make the broker hold all of it each time.
    if (!session->replay_first)
        connection->replaying = 0;
    if (connection->replaying >= REPLAYING_MOST || broker_is_full(here->broker)) {
        item->code = MQTT_QUOTA_EXCEEDED;
        return false;
    }
    if (session->subscription_count >= here->settings->limits.subscriptions &&
        !subscriptions_find(here->broker->subscriptions, session->id, item->filter)) {
        item->code = MQTT_QUOTA_EXCEEDED;
        return false;
    }
    bool existed;
    struct subscription *subscription = session_subscribe(session, here->broker->subscriptions, item->filter,
                                                          item->options, identifier, &existed);
    subscription_set_covered(subscription, item->covered);
    item->code = item->options & MQTT_OPTION_QOS;
    tell_subscription(connection, NOCTULE_EVENT_SUBSCRIBED, item->filter, item->code);
    unsigned handling = (item->options & MQTT_OPTION_RETAIN_HANDLING) >> 4;
    if (handling == 0 || (handling == 1 && !existed))
        replay_start(connection, item->filter, item->options, identifier, item->covered);
    return true;
}

static void send_suback(struct connection *connection, const struct subscribe_call *call)
{
    uint8_t stack[64];
    uint8_t *codes = call->count <= sizeof stack ? stack : memory_alloc(call->count);
    for (size_t i = 0; i < call->count; i++)
        codes[i] = call->items[i].code;
    reply_suback(connection, MQTT_SUBACK, call->packet_id, codes, call->count);
    if (codes != stack)
        free(codes);
}

static void apply_recheck(struct connection *connection, struct subscribe_item *item)
{
    struct broker_worker *here = connection_worker(connection);
    struct session *session = connection->session;
    struct subscription *subscription =
        subscriptions_find(here->broker->subscriptions, session->id, item->filter);
    if (!subscription)
        return;
    if (item->code < 0x80) {
        subscription_set_covered(subscription, item->covered);
    } else if (session_unsubscribe(session, here->broker->subscriptions, item->filter)) {
        tell_subscription(connection, NOCTULE_EVENT_UNSUBSCRIBED, item->filter, 0);
    }
}

// May end the connection.
static void finish(struct subscribe_call *call)
{
    struct connection *connection = call->connection;
    unlink_call(call);
    if (!call->recheck)
        send_suback(connection, call);
    if (call->stale && connection->state == STATE_ONLINE)
        subscribe_recheck(connection);
    if (!call->recheck && connection->state == STATE_ONLINE) {
        deliver_waiting(connection);
        connection_resume(connection, PAUSE_SUBSCRIBE);
    }
    free_call(call);
}

// One filter after the other: what is still looked for counts when the next one is judged.
static void apply_all(struct subscribe_call *call)
{
    struct connection *connection = call->connection;
    while (!connection->session->gathers) {
        if (call->applied == call->count) {
            finish(call);
            return;
        }
        struct subscribe_item *item = &call->items[call->applied++];
        if (item->code < 0x80)
            apply(connection, item, call->identifier);
    }
}

static void answered(struct subscribe_call *call)
{
    call->answered = true;
    for (size_t i = 0; i < call->count; i++) {
        call->items[i].covered &= !call->stale;
        if (call->recheck)
            apply_recheck(call->connection, &call->items[i]);
    }
    if (call->recheck)
        finish(call);
    else
        apply_all(call);
}

void subscribe_go_on(struct connection *connection)
{
    struct subscribe_call *call = connection->subscribe;
    while (call && (call->recheck || !call->answered))
        call = call->next;
    if (call)
        apply_all(call);
}

/* ---- SUBSCRIBE ---- */

// The code of a filter before anybody is asked: MQTT_SUCCESS, a failure for SUBACK, or MQTT_PROTOCOL_ERROR.
static uint8_t check_filter(struct connection *connection, const struct mqtt_filter *entry)
{
    struct topic_filter parsed;
    if (!topic_filter_parse(entry->filter, &parsed))
        return MQTT_TOPIC_FILTER_INVALID;
    if (parsed.shared && (entry->options & MQTT_OPTION_NO_LOCAL))
        return MQTT_PROTOCOL_ERROR;
    if (topic_is_deeper(parsed.filter, connection_worker(connection)->settings->limits.topic_levels))
        return MQTT_TOPIC_FILTER_INVALID;
    return MQTT_SUCCESS;
}

void subscribe_receive(struct connection *connection, const struct mqtt_frame *frame)
{
    struct mqtt_subscribe packet;
    uint8_t reason = mqtt_decode_subscribe(frame, connection->version, &packet);
    if (reason) {
        connection_fail(connection, reason, NULL);
        return;
    }
    struct subscribe_call *call = new_call(connection, packet.count, packet.filters.length);
    if (!call)
        return;
    memcpy(call->bytes, packet.filters.data, packet.filters.length);
    call->packet_id = packet.packet_id;
    if (mqtt_has(&packet.properties, MQTT_SUBSCRIPTION_IDENTIFIER) && connection->version == MQTT_V5)
        call->identifier = packet.properties.subscription_identifier;
    struct str rest = str_make(call->bytes, packet.filters.length);
    struct mqtt_filter entry;
    uint64_t most = connection_worker(connection)->settings->limits.subscriptions;
    for (size_t i = 0; i < call->count && mqtt_filter_next(&rest, true, &entry); i++) {
        // Nobody is asked about more filters than a session may have.
        uint8_t code = i < most ? check_filter(connection, &entry) : MQTT_QUOTA_EXCEEDED;
        if (code == MQTT_PROTOCOL_ERROR) {
            connection_fail(connection, code, "No Local with a shared subscription"); // frees the call
            return;
        }
        call->items[i] = (struct subscribe_item){
            .call = call, .filter = entry.filter, .options = entry.options, .code = code};
    }
    connection_pause(connection, PAUSE_SUBSCRIBE);
    if (ask_all(call))
        answered(call);
}

void subscribe_recheck(struct connection *connection)
{
    struct session *session = connection->session;
    doubt_calls(connection);
    if (session->subscription_count == 0 || !chain_takes_access(connection->client, NOCTULE_ACCESS_SUBSCRIBE))
        return;
    char *filter = memory_alloc(65536);
    size_t bytes = 0;
    for (size_t i = 0; i < session->subscription_count; i++)
        bytes += subscription_filter(session->subscriptions[i], filter, 65536);
    free(filter);
    struct subscribe_call *call = new_call(connection, session->subscription_count, bytes + 1);
    if (!call)
        return;
    call->recheck = true;
    char *at = call->bytes;
    for (size_t i = 0; i < call->count; i++) {
        size_t length =
            subscription_filter(session->subscriptions[i], at, bytes + 1 - (size_t)(at - call->bytes));
        call->items[i] = (struct subscribe_item){.call = call,
                                                 .filter = str_make(at, length),
                                                 .options = subscription_options(session->subscriptions[i])};
        at += length;
    }
    if (ask_all(call))
        answered(call);
}

/* ---- UNSUBSCRIBE ---- */

void unsubscribe_receive(struct connection *connection, const struct mqtt_frame *frame)
{
    struct mqtt_subscribe packet;
    uint8_t reason = mqtt_decode_unsubscribe(frame, connection->version, &packet);
    if (reason) {
        connection_fail(connection, reason, NULL);
        return;
    }
    struct broker_worker *here = connection_worker(connection);
    uint8_t stack[64];
    uint8_t *codes = packet.count <= sizeof stack ? stack : memory_alloc(packet.count);
    struct str rest = packet.filters;
    struct mqtt_filter entry;
    for (size_t i = 0; i < packet.count && mqtt_filter_next(&rest, false, &entry); i++) {
        struct topic_filter parsed;
        if (!topic_filter_parse(entry.filter, &parsed)) {
            codes[i] = MQTT_TOPIC_FILTER_INVALID;
        } else if (session_unsubscribe(connection->session, here->broker->subscriptions, entry.filter)) {
            codes[i] = MQTT_SUCCESS;
            tell_subscription(connection, NOCTULE_EVENT_UNSUBSCRIBED, entry.filter, 0);
        } else {
            codes[i] = MQTT_NO_SUBSCRIPTION_EXISTED;
        }
    }
    reply_suback(connection, MQTT_UNSUBACK, packet.packet_id, codes, packet.count);
    if (codes != stack)
        free(codes);
}
