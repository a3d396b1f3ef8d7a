#include "tests/fault/exchange.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "tests/fault/invariants.h"
#include "tests/fault/moody.h"

enum { MESSAGES = 15, TURNS_MAX = 10000, LARGE = 20000, WILL_NUMBER = MESSAGES, NUMBERS = MESSAGES + 1 };

enum message_state { NOT_SENT, SENT, RECEIVED, ACKNOWLEDGED, REFUSED };

struct publication {
    const char *topic;
    uint8_t qos;
    bool retain;
    size_t size;
    enum message_state state;
    bool sent_before; ///< on an earlier connection
};

/** A client and what it remembers across connections. */
struct actor {
    const char *client_id;
    uint8_t version;
    bool clean_start;
    bool wanted; ///< should be connected
    const char *filter;
    uint8_t options;
    bool has_will;
    struct peer *peer;
    unsigned connections; ///< accepted ones
    bool subscribed;
    bool subscribing;
    bool open_ids[65536]; ///< QoS 2, PUBREL not yet come
    unsigned got[NUMBERS];
    unsigned retained_got[NUMBERS];
    bool let_in_unharmed; ///< nothing had failed when CONNACK came
    bool publishes;
};

static struct {
    const struct exchange_options *options;
    struct inprocess house;
    struct exchange_result result;
    struct publication messages[MESSAGES];
    struct actor publisher;
    struct actor subscriber; ///< 5.0, QoS 2, comes and goes
    struct actor absent;     ///< 3.1.1, QoS 1, away while messages are published
    struct actor sharer;     ///< a member of a shared group, then gone for good
    struct actor reader;     ///< comes for the retained messages
    struct actor dying;      ///< leaves a will
} exchange;

static struct actor *const actors[] = {&exchange.publisher, &exchange.subscriber, &exchange.absent,
                                       &exchange.sharer,    &exchange.reader,     &exchange.dying};
enum { ACTORS = sizeof actors / sizeof *actors };

static bool has_failed(void)
{
    return exchange.options->has_failed && exchange.options->has_failed();
}

/* ---- what the clients see ---- */

static uint16_t id_of(unsigned number)
{
    return (uint16_t)(number + 1);
}

static void connected(struct peer *peer, bool session_present, uint8_t reason)
{
    struct actor *actor = peer->owner;
    if (reason != MQTT_SUCCESS)
        return;
    bool resumes = actor->connections > 0 && !actor->clean_start;
    require(session_present || !resumes, "a session stays when its client comes back");
    if (actor->connections++ > 0)
        exchange.result.reconnects++;
    actor->let_in_unharmed = !has_failed();
    if (!session_present) {
        actor->subscribed = false;
        memset(actor->open_ids, 0, sizeof actor->open_ids);
    }
    actor->subscribing = false;
}

static void subscribed(struct peer *peer, const struct mqtt_suback *suback)
{
    struct actor *actor = peer->owner;
    require(suback->count == 1 && suback->codes[0] < 3, "the subscription is granted");
    actor->subscribed = true;
}

static void published(struct peer *peer, const struct mqtt_publish *publish)
{
    struct actor *actor = peer->owner;
    require(publish->payload.length > 0, "every message has a number");
    unsigned number = (unsigned char)publish->payload.data[0];
    require(number < NUMBERS, "no message but those published");
    size_t size = number == WILL_NUMBER ? 1 : exchange.messages[number].size;
    require(publish->payload.length == size, "a payload arrives whole");
    for (size_t i = 1; i < size; i++)
        require(publish->payload.data[i] == (char)('a' + number), "and unchanged");
    if (publish->qos == 2) {
        if (actor->open_ids[publish->packet_id]) {
            require(publish->dup, "a message is sent again with DUP");
            return;
        }
        actor->open_ids[publish->packet_id] = true;
    }
    actor->got[number]++;
    actor->retained_got[number] += publish->retain;
}

static void acknowledged(struct peer *peer, const struct mqtt_ack *ack)
{
    struct actor *actor = peer->owner;
    if (ack->type == MQTT_PUBREL) {
        actor->open_ids[ack->packet_id] = false;
        return;
    }
    require(ack->packet_id >= 1 && ack->packet_id <= MESSAGES, "an acknowledgement of what was sent");
    struct publication *message = &exchange.messages[ack->packet_id - 1];
    require(message->state == SENT || message->state == RECEIVED, "of what is under way");
    if (ack->type == MQTT_PUBREC)
        message->state = ack->reason < 0x80 ? RECEIVED : REFUSED;
    else
        message->state = ack->reason < 0x80 || message->state == RECEIVED ? ACKNOWLEDGED : REFUSED;
    exchange.result.refused += message->state == REFUSED;
}

static const struct peer_observer observer = {connected, published, acknowledged, subscribed};

/* ---- what the clients do ---- */

static void send_connect(struct actor *actor)
{
    static const char will = WILL_NUMBER;
    struct mqtt_connect connect = {.version = actor->version,
                                   .clean_start = actor->clean_start,
                                   .has_will = actor->has_will,
                                   .client_id = str_of(actor->client_id)};
    if (actor->version == MQTT_V5) {
        mqtt_set(&connect.properties, MQTT_SESSION_EXPIRY_INTERVAL);
        connect.properties.session_expiry_interval = actor->clean_start ? 0 : 3600;
        mqtt_set(&connect.properties, MQTT_TOPIC_ALIAS_MAXIMUM);
        connect.properties.topic_alias_maximum = 2;
        mqtt_set(&connect.properties, MQTT_RECEIVE_MAXIMUM);
        connect.properties.receive_maximum = 6;
    }
    if (actor->has_will) {
        static const uint8_t user_property[] = {MQTT_USER_PROPERTY, 0, 1, 'n', 0, 1, 'v'};
        connect.will = (struct mqtt_will){.topic = STR("a/will"), .payload = str_make(&will, 1), .qos = 1};
        mqtt_set(&connect.will.properties, MQTT_USER_PROPERTY);
        connect.will.properties.raw = str_make(user_property, sizeof user_property);
    }
    uint8_t packet[512];
    peer_send(actor->peer, packet, mqtt_encode_connect(packet, &connect));
}

static void send_subscribe(struct actor *actor)
{
    const struct mqtt_filter filter = {str_of(actor->filter), actor->options};
    struct mqtt_properties properties = {0};
    mqtt_set(&properties, MQTT_SUBSCRIPTION_IDENTIFIER);
    properties.subscription_identifier = 200;
    uint8_t packet[256];
    peer_send(actor->peer, packet,
              mqtt_encode_subscribe(packet, actor->version, 1000, &filter, 1,
                                    actor->version == MQTT_V5 ? &properties : NULL));
    actor->subscribing = true;
}

static void send_publication(struct actor *actor, unsigned number)
{
    struct publication *message = &exchange.messages[number];
    char *payload = malloc(message->size);
    memset(payload, 'a' + (int)number, message->size);
    payload[0] = (char)number;
    struct mqtt_publish publish = {.dup = message->sent_before && message->qos > 0,
                                   .retain = message->retain,
                                   .qos = message->qos,
                                   .packet_id = message->qos ? id_of(number) : 0,
                                   .topic = str_of(message->topic),
                                   .payload = {payload, message->size}};
    if (number % 3 == 1) { // properties of which one is the broker's, so that the others are copied
        static const uint8_t user_property[] = {MQTT_USER_PROPERTY, 0, 1, 'n', 0, 1, 'v'};
        mqtt_set(&publish.properties, MQTT_MESSAGE_EXPIRY_INTERVAL);
        publish.properties.message_expiry_interval = 3600;
        mqtt_set(&publish.properties, MQTT_USER_PROPERTY);
        publish.properties.raw = str_make(user_property, sizeof user_property);
        mqtt_set(&publish.properties, MQTT_TOPIC_ALIAS);
        publish.properties.topic_alias = 1;
    }
    size_t size = mqtt_encode_publish(NULL, actor->version, &publish);
    uint8_t *packet = malloc(size);
    peer_send(actor->peer, packet, mqtt_encode_publish(packet, actor->version, &publish));
    message->state = message->qos ? SENT : ACKNOWLEDGED;
    free(packet);
    free(payload);
}

// What a new connection has to repeat. [v5 4.4]
static void repeat(struct actor *actor)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct publication *message = &exchange.messages[i];
        if (message->state == SENT) {
            message->sent_before = true;
            send_publication(actor, i);
        } else if (message->state == RECEIVED) {
            peer_send_ack(actor->peer, MQTT_PUBREL, id_of(i), MQTT_SUCCESS);
        }
    }
}

static void leave(struct actor *actor)
{
    peer_free(actor->peer);
    actor->peer = NULL;
    actor->wanted = false;
}

static void come(struct actor *actor)
{
    actor->peer = peer_new(&exchange.house,
                           (unsigned)(actor - &exchange.publisher) % exchange.house.broker.worker_count);
    if (!actor->peer)
        return;
    actor->peer->owner = actor;
    actor->peer->observer = &observer;
    actor->peer->answers = ANSWERS_RIGHT;
    actor->peer->fault = exchange.options->fault;
    if (exchange.options->short_size)
        actor->peer->short_size = exchange.options->short_size;
    actor->peer->version = actor->version;
    send_connect(actor);
}

static void act(struct actor *actor)
{
    if (!actor->wanted)
        return;
    if (!actor->peer) {
        come(actor);
        return;
    }
    unsigned before = actor->connections;
    peer_go_on(actor->peer);
    if (actor->peer->ended) {
        peer_free(actor->peer);
        actor->peer = NULL;
        return;
    }
    if (actor->publishes && before > 0 && actor->connections > before)
        repeat(actor);
    if (actor->filter && actor->peer->connacked && !actor->subscribed && !actor->subscribing)
        send_subscribe(actor);
}

/* ---- the script ---- */

static void tell_state(const char *what)
{
    fprintf(stderr, "waiting for: %s\n", what);
    for (unsigned i = 0; i < MESSAGES; i++)
        fprintf(stderr, "message %u: QoS %u, state %d, subscriber %u, absent %u\n", i,
                exchange.messages[i].qos, exchange.messages[i].state, exchange.subscriber.got[i],
                exchange.absent.got[i]);
    for (unsigned i = 0; i < ACTORS; i++)
        fprintf(stderr, "%s: wanted %d, %s\n", actors[i]->client_id, actors[i]->wanted,
                actors[i]->peer ? "connected" : "not connected");
}

typedef bool done_fn(void);

static void go_on_until(done_fn *done, const char *what)
{
    for (unsigned turns = 0; !done(); turns++) {
        if (turns == TURNS_MAX)
            tell_state(what);
        require(turns < TURNS_MAX, "the exchange goes on");
        for (unsigned i = 0; i < ACTORS; i++)
            act(actors[i]);
        if (exchange.options->turn)
            exchange.options->turn();
        inprocess_pass(&exchange.house, 4);
        moody_complete(0, NOCTULE_ALLOW, 0);
        invariants_check(&exchange.house);
    }
}

static bool is_online(const struct actor *actor)
{
    return actor->peer && actor->peer->connacked && !actor->peer->refused && !actor->peer->ended;
}

static bool subscribers_are_there(void)
{
    return is_online(&exchange.subscriber) && exchange.subscriber.subscribed && is_online(&exchange.absent) &&
           exchange.absent.subscribed && is_online(&exchange.sharer) && exchange.sharer.subscribed;
}

static bool publisher_is_there(void)
{
    return is_online(&exchange.publisher);
}

static bool some_are_acknowledged(void)
{
    return exchange.messages[4].state >= ACKNOWLEDGED;
}

static bool all_are_acknowledged(void)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        if (exchange.messages[i].state < ACKNOWLEDGED)
            return false;
    return true;
}

static bool is_complete(const struct actor *actor)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        if (exchange.messages[i].state == ACKNOWLEDGED && exchange.messages[i].qos > 0 && actor->got[i] == 0)
            return false;
    return true;
}

static bool all_have_arrived(void)
{
    return is_complete(&exchange.subscriber) && is_complete(&exchange.absent);
}

static bool reader_is_there(void)
{
    return is_online(&exchange.reader) && exchange.reader.subscribed;
}

static bool retained_has_arrived(void)
{
    const struct publication *first = &exchange.messages[3];
    const struct publication *second = &exchange.messages[10];
    if (second->state == ACKNOWLEDGED)
        return exchange.reader.retained_got[10] > 0;
    return first->state != ACKNOWLEDGED ||
           exchange.reader.retained_got[3] + exchange.reader.retained_got[10] > 0;
}

static bool dying_is_there(void)
{
    return is_online(&exchange.dying);
}

static bool will_has_arrived(void)
{
    // Nothing is promised when memory runs out while it is published; before CONNACK it must be told.
    bool excused = exchange.dying.let_in_unharmed && has_failed();
    return exchange.subscriber.got[WILL_NUMBER] > 0 || excused;
}

static bool broker_is_quiet(void)
{
    return atomic_load(&exchange.house.broker.connections) == 0;
}

static void prepare(const struct exchange_options *options)
{
    memset(&exchange, 0, sizeof exchange);
    exchange.options = options;
    for (unsigned i = 0; i < MESSAGES; i++)
        exchange.messages[i] = (struct publication){.topic = i % 4 ? "a/some/topic" : "a/b",
                                                    .qos = (uint8_t)((i + 1) % 3),
                                                    .size = i % 5 == 4 ? LARGE : 1 + i * 40};
    exchange.messages[3] = (struct publication){.topic = "a/kept", .qos = 1, .retain = true, .size = 200};
    exchange.messages[10] = (struct publication){.topic = "a/kept", .qos = 2, .retain = true, .size = 300};
    exchange.publisher =
        (struct actor){.client_id = "publisher", .version = MQTT_V5, .wanted = true, .publishes = true};
    exchange.subscriber = (struct actor){
        .client_id = "subscriber", .version = MQTT_V5, .wanted = true, .filter = "a/#", .options = 2};
    exchange.absent = (struct actor){
        .client_id = "absent", .version = MQTT_V3_1_1, .wanted = true, .filter = "a/#", .options = 1};
    exchange.sharer = (struct actor){
        .client_id = "sharer", .version = MQTT_V5, .wanted = true, .filter = "$share/g/a/#", .options = 2};
    exchange.reader = (struct actor){
        .client_id = "reader", .version = MQTT_V5, .clean_start = true, .filter = "a/kept", .options = 2};
    exchange.dying =
        (struct actor){.client_id = "dying", .version = MQTT_V5, .clean_start = true, .has_will = true};
}

static void publish_from(unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++) {
        if (is_online(&exchange.publisher))
            send_publication(&exchange.publisher, i);
        else
            exchange.messages[i].state = exchange.messages[i].qos ? SENT : ACKNOWLEDGED;
    }
}

static void check_result(void)
{
    for (unsigned i = 0; i < MESSAGES; i++) {
        const struct publication *message = &exchange.messages[i];
        if (message->qos == 2 && message->state == ACKNOWLEDGED)
            require(exchange.subscriber.got[i] == 1 ||
                        (exchange.options->may_repeat && exchange.subscriber.got[i] > 0),
                    "QoS 2 arrives once");
        require(message->qos > 0 || exchange.subscriber.got[i] <= 1, "QoS 0 arrives once at most");
    }
}

static void script(void)
{
    go_on_until(subscribers_are_there, "the subscribers");
    leave(&exchange.absent);
    go_on_until(publisher_is_there, "the publisher");
    publish_from(0, 7);
    go_on_until(some_are_acknowledged, "the first acknowledgements");
    leave(&exchange.subscriber);
    leave(&exchange.sharer);
    publish_from(7, MESSAGES);
    go_on_until(all_are_acknowledged, "all acknowledgements");
    exchange.subscriber.wanted = exchange.absent.wanted = true;
    go_on_until(all_have_arrived, "every message");
    exchange.reader.wanted = true;
    go_on_until(reader_is_there, "the reader");
    go_on_until(retained_has_arrived, "the retained message");
    exchange.dying.wanted = true;
    go_on_until(dying_is_there, "the client with a will");
    leave(&exchange.dying);
    go_on_until(will_has_arrived, "the will");
}

struct exchange_result exchange_run(const struct exchange_options *options)
{
    static const char *const yaml[] = {
        "workers: 1\nallow_anonymous: true\ndefault_access: allow\nlog: {level: error}\n",
        "workers: 2\nallow_anonymous: true\ndefault_access: allow\nlog: {level: error}\n",
        "workers: 1\nallow_anonymous: true\ndefault_access: allow\nlog: {level: error}\nplugins: [{name: "
        "test}]\n",
        "workers: 2\nallow_anonymous: true\ndefault_access: allow\nlog: {level: error}\nplugins: [{name: "
        "test}]\n",
    };
    prepare(options);
    moody_reset();
    if (options->plugin)
        for (unsigned i = 0; i < MOODY_HOOKS; i++)
            moody.verdicts[i] = i == MOODY_OUT || i == MOODY_REVALIDATE ? NOCTULE_NEXT : NOCTULE_PENDING;
    inprocess_start(&exchange.house, yaml[options->workers - 1 + (options->plugin ? 2 : 0)], &moody_plugin);
    script();
    check_result();
    for (unsigned i = 0; i < ACTORS; i++)
        leave(actors[i]);
    go_on_until(broker_is_quiet, "the end of all connections");
    inprocess_pass(&exchange.house, 3700000);
    while (moody_complete(0, NOCTULE_ALLOW, 0))
        ;
    inprocess_pass(&exchange.house, 10000);
    inprocess_settle(&exchange.house);
    inprocess_pass(&exchange.house, 3700000ULL * 24 * 8);
    inprocess_settle(&exchange.house);
    invariants_check_empty(&exchange.house);
    inprocess_stop(&exchange.house);
    require(message_bytes_alive() == 0, "no message is left");
    return exchange.result;
}
