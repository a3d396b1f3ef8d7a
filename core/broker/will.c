// Wills: made at CONNECT, published with the permission of the client that left them. [v5 3.1.2.5, 3.1.3.2]
#include <stdlib.h>

#include "core/base/memory.h"
#include "core/broker/state.h"

struct will *will_new(const struct mqtt_will *packet, struct client *client)
{
    const struct mqtt_properties *properties = &packet->properties;
    uint8_t *forwarded = NULL;
    struct message message = {
        .qos = packet->qos, .retain = packet->retain, .topic = packet->topic, .payload = packet->payload};
    if (properties->present & MQTT_FORWARDED) {
        forwarded = memory_try(properties->raw.length);
        if (!forwarded)
            return NULL;
        message.properties = str_make(forwarded, mqtt_properties_forwarded(forwarded, properties->raw));
    }
    struct will *will = memory_zalloc(sizeof *will);
    will->message = message_new(&message);
    free(forwarded);
    if (!will->message) {
        free(will);
        return NULL;
    }
    if (mqtt_has(properties, MQTT_WILL_DELAY_INTERVAL))
        will->delay_s = properties->will_delay_interval;
    if (mqtt_has(properties, MQTT_MESSAGE_EXPIRY_INTERVAL))
        will->expiry_s = properties->message_expiry_interval;
    will->author = client_ref(client);
    return will;
}

void will_free(struct will *will)
{
    client_unref(will->author);
    message_unref(will->message);
    free(will);
}

static struct str topic_of(const struct will *will)
{
    return will->message->topic;
}

static void message_decided(struct client *client, const struct outcome *outcome, struct message *message,
                            void *argument)
{
    struct will *will = argument;
    if (outcome->verdict == NOCTULE_ALLOW) {
        struct worker *worker = worker_current();
        route_message(worker->owner, message);
    } else if (outcome->verdict == NOCTULE_DENY) {
        log_denial(worker_current()->owner, client, DENIED_WILL, topic_of(will), outcome);
    }
    message_unref(message);
    will_free(will);
}

static void decided(struct client *client, const struct outcome *outcome, void *argument)
{
    struct will *will = argument;
    struct broker_worker *here = worker_current()->owner;
    if (outcome->verdict != NOCTULE_ALLOW) {
        log_denial(here, client, DENIED_WILL, topic_of(will), outcome);
        will_free(will);
        return;
    }
    // The message's time starts now. [v5 3.1.3.2.4]
    if (will->expiry_s)
        will->message->expires_ms = here->worker->now_ms + will->expiry_s * 1000ULL;
    if (!chain_takes_message_in(here->worker, client)) {
        route_message(here, will->message);
        will_free(will);
        return;
    }
    struct outcome hooks;
    struct message *changed = NULL;
    if (decide_message_in(here->worker, client, will->message, message_decided, will, &hooks, &changed))
        return;
    message_decided(client, &hooks, changed ? changed : message_ref(will->message), will);
}

void will_publish(struct will *will)
{
    struct client *client = will->author;
    struct outcome outcome = {.verdict = NOCTULE_ALLOW};
    if (topic_is_reserved(topic_of(will))) {
        outcome = (struct outcome){.verdict = NOCTULE_DENY, .reason = STR("$SYS/ is the broker's own")};
    } else if (chain_takes_access(client, NOCTULE_ACCESS_WILL)) {
        struct noctule_access access = {
            .size = sizeof access,
            .access = NOCTULE_ACCESS_WILL,
            .topic = {topic_of(will).data, topic_of(will).length},
            .qos = will->message->qos,
            .retain = will->message->retain,
            .payload_size = will->message->payload.length,
        };
        struct decision_call call = {.done = decided, .argument = will};
        if (decide_access(client, &access, &call, &outcome))
            return;
    }
    decided(client, &outcome, will);
}

void will_drop(struct session *session)
{
    if (session->will)
        client_unref(session->will->author);
    session_drop_will(session);
}
