// A whole broker and up to four connections, driven by a script: packets, loose bytes, time, hang-ups, faults
// of the sockets, reloads, and a plugin that answers late. What the broker sends is checked packet by packet
// (tests/fault/peer.h), its structures after every step (tests/fault/invariants.h); at the end nothing is
// left.
//
// The first byte is the SETUP_ bits; then steps follow: one byte, of which the upper two bits choose the
// peer, STEP_AT_ONCE lets the next step follow in the same turn, and the rest is the index into `steps`;
// behind it what the step takes. make_connection_corpus.py writes such scripts.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "tests/fault/invariants.h"
#include "tests/fault/moody.h"
#include "tests/fault/peer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS = 4, STEP_AT_ONCE = 0x20, PACKET_ROOM = 4096 };

enum {
    SETUP_TWO_WORKERS = 0x01,
    SETUP_PLUGIN = 0x02,
    SETUP_TIGHT = 0x04,
    SETUP_RATES = 0x08,
    SETUPS = 0x10,
    SETUP_FAULTS = 0x10, ///< not of the configuration
};

struct script {
    const uint8_t *at;
    const uint8_t *end;
    struct inprocess house;
    struct peer *peers[PEERS];
    uint8_t setup;
    uint8_t faults;    ///< a pattern that turns with every call
    unsigned fails_in; ///< so many allocations from now one fails; 0: none
};

static struct script script;

static uint8_t take(void)
{
    return script.at < script.end ? *script.at++ : 0;
}

static struct str take_bytes(size_t length)
{
    size_t left = (size_t)(script.end - script.at);
    struct str taken = str_make(script.at, length < left ? length : left);
    script.at += taken.length;
    return taken;
}

/* ---- configurations ---- */

static const char *configuration(uint8_t setup)
{
    static char texts[SETUPS][1024];
    char *text = texts[setup % SETUPS];
    snprintf(
        text, sizeof *texts,
        "workers: %d\nallow_anonymous: true\ndefault_access: allow\nresponse_information: 'a/%%c'\n"
        "log: {level: debug}\n%slimits: {%s%s}\n%s",
        setup & SETUP_TWO_WORKERS ? 2 : 1, setup & SETUP_TIGHT ? "deny_action: disconnect\n" : "",
        setup & SETUP_TIGHT
            ? "packet_size: 600, inflight: 2, queued_messages: 3, queued_bytes: 1KiB, send_buffer: 4KiB, "
              "subscriptions: 3, topic_levels: 4, topic_aliases: 2, retained_messages: 2, sessions: 3, "
              "connections: 3, pending_decisions: 2, session_expiry: 30s, keep_alive: 20s"
            : "packet_size: 64KiB, session_expiry: 1h, send_buffer: 4KiB",
        setup & SETUP_RATES ? ", connect_rate: 2, auth_failures: 2, auth_block: 5s, publish_rate: 3, "
                              "publish_byte_rate: 1KiB, memory: 1GiB"
                            : "",
        setup & SETUP_PLUGIN ? "plugins:\n  - {name: test, timeout: 5s}\n" : "");
    return text;
}

/* ---- memory fails when the script says so (the program is linked with --wrap) ---- */

void *__real_memory_try(size_t size);
void *__real_memory_try_resize(void *block, size_t size);
void *__wrap_memory_try(size_t size);
void *__wrap_memory_try_resize(void *block, size_t size);

static bool memory_fails(void)
{
    return script.fails_in > 0 && --script.fails_in == 0;
}

void *__wrap_memory_try(size_t size)
{
    return memory_fails() ? NULL : __real_memory_try(size);
}

void *__wrap_memory_try_resize(void *block, size_t size)
{
    return memory_fails() ? NULL : __real_memory_try_resize(block, size);
}

/* ---- log lines are made, looked at and thrown away ---- */

void __wrap_log_write(enum log_level level, const char *event, const char *message,
                      const struct log_field *fields, size_t count);
void __wrap_log_warn(const char *format, ...);

void __wrap_log_write(enum log_level level, const char *event, const char *message,
                      const struct log_field *fields, size_t count)
{
    (void)level;
    volatile uint8_t seen = (uint8_t)(*event + *message);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; fields[i].text.data && k < fields[i].text.length; k++)
            seen = (uint8_t)(seen + fields[i].text.data[k]);
}

void __wrap_log_warn(const char *format, ...)
{
    (void)format;
}

/* ---- steps ---- */

typedef void step_fn(struct peer **peer);

static enum fault next_fault(struct peer *peer, bool writing)
{
    (void)peer;
    (void)writing;
    // A pattern of eight calls; one of them at least goes well, so that nobody waits for ever.
    script.faults = (uint8_t)(script.faults << 1 | script.faults >> 7);
    if (script.faults == 0xFF || !(script.faults & 1))
        return FAULT_NONE;
    return (enum fault)(FAULT_INTERRUPTED + (script.faults >> 1) % 3);
}

static void step_open(struct peer **peer)
{
    uint8_t how = take();
    if (*peer)
        return;
    *peer = peer_new(&script.house, how % script.house.broker.worker_count);
    if (!*peer)
        return;
    (*peer)->answers = (enum peer_answers)((how >> 4) % ANSWERS);
    if (script.setup & SETUP_FAULTS)
        (*peer)->fault = next_fault;
}

// A peer that is sent something is opened first.
static struct peer *ready(struct peer **peer)
{
    if (!*peer)
        *peer = peer_new(&script.house, 0);
    if (*peer && !(*peer)->fault && (script.setup & SETUP_FAULTS))
        (*peer)->fault = next_fault;
    return *peer;
}

static void send_packet(struct peer **peer, const uint8_t *packet, size_t size)
{
    if (ready(peer))
        peer_send(*peer, packet, size);
}

static void step_bytes(struct peer **peer)
{
    struct str bytes = take_bytes(take());
    send_packet(peer, (const uint8_t *)bytes.data, bytes.length);
}

// Any body behind a fixed header that fits it.
static void step_frame(struct peer **peer)
{
    uint8_t packet[2 + 255];
    packet[0] = take();
    struct str body = take_bytes(take() & 0x7F);
    packet[1] = (uint8_t)body.length;
    memcpy(packet + 2, body.data ? body.data : "", body.length);
    send_packet(peer, packet, 2 + body.length);
}

static const struct str client_ids[] = {STR("one"), STR("two"), STR("three"), STR("four"), STR("")};
static const struct str topics[] = {STR("a"),       STR("a/b"),    STR("a/b/c"), STR("b"),
                                    STR("$x/a"),    STR("a//b"),   STR("/"),     STR("a/b/c/d/e"),
                                    STR("$SYS/ab"), STR("a/deep"), STR(""),      STR("a/+")};
static const struct str filters[] = {
    STR("a"),          STR("a/#"),          STR("+/b"),  STR("#"), STR("$share/g/a/#"),
    STR("$share/g/#"), STR("$share/h/+/b"), STR("$x/#"), STR("b"), STR("a/b/c/d/e"),
    STR("a/#/b"),      STR("$share/g")};

static struct str pick(const struct str *list, size_t count)
{
    return list[take() % count];
}

#define PICK(list) pick((list), sizeof(list) / sizeof *(list))

static void set_will(struct mqtt_connect *connect, uint8_t bits)
{
    connect->has_will = true;
    connect->will = (struct mqtt_will){
        .topic = PICK(topics), .payload = STR("will"), .qos = bits % 3, .retain = bits & 4};
    if (bits & 8) {
        mqtt_set(&connect->will.properties, MQTT_WILL_DELAY_INTERVAL);
        connect->will.properties.will_delay_interval = bits >> 4;
    }
    if (bits & 16) {
        mqtt_set(&connect->will.properties, MQTT_MESSAGE_EXPIRY_INTERVAL);
        connect->will.properties.message_expiry_interval = 3;
    }
}

static void set_connect_properties(struct mqtt_properties *properties, uint8_t bits)
{
    if (bits & 1) {
        mqtt_set(properties, MQTT_SESSION_EXPIRY_INTERVAL);
        properties->session_expiry_interval = (uint32_t)take() << (take() & 31);
    }
    if (bits & 2) {
        mqtt_set(properties, MQTT_RECEIVE_MAXIMUM);
        properties->receive_maximum = take();
    }
    if (bits & 4) {
        mqtt_set(properties, MQTT_MAXIMUM_PACKET_SIZE);
        properties->maximum_packet_size = take();
    }
    if (bits & 8) {
        mqtt_set(properties, MQTT_TOPIC_ALIAS_MAXIMUM);
        properties->topic_alias_maximum = take() & 7;
    }
    if (bits & 16) {
        mqtt_set(properties, MQTT_AUTHENTICATION_METHOD);
        properties->authentication_method = STR("method");
        mqtt_set(properties, MQTT_AUTHENTICATION_DATA);
        properties->authentication_data = STR("data");
    }
    if (bits & 32) {
        mqtt_set(properties, MQTT_REQUEST_RESPONSE_INFORMATION);
        properties->request_response_information = 1;
    }
    if (bits & 64) {
        mqtt_set(properties, MQTT_REQUEST_PROBLEM_INFORMATION);
        properties->request_problem_information = 0;
    }
}

static void step_connect(struct peer **peer)
{
    uint8_t bits = take();
    struct mqtt_connect connect = {.version = (uint8_t)(MQTT_V5 - (bits & 3) % 3),
                                   .clean_start = bits & 4,
                                   .keep_alive = bits & 8 ? 10 : 0,
                                   .has_username = bits & 16,
                                   .has_password = bits & 32,
                                   .username = STR("user"),
                                   .password = STR("password"),
                                   .client_id = PICK(client_ids)};
    if (bits & 64)
        set_will(&connect, take());
    if (bits & 128)
        set_connect_properties(&connect.properties, take());
    uint8_t packet[PACKET_ROOM];
    if (mqtt_encode_connect(NULL, &connect) <= sizeof packet)
        send_packet(peer, packet, mqtt_encode_connect(packet, &connect));
}

static uint8_t version_of(struct peer **peer)
{
    return *peer ? (*peer)->version : MQTT_V5;
}

static void set_publish_properties(struct mqtt_properties *properties, uint8_t bits)
{
    static const uint8_t user_property[] = {MQTT_USER_PROPERTY, 0, 1, 'n', 0, 1, 'v'};
    if (bits & 1) {
        mqtt_set(properties, MQTT_TOPIC_ALIAS);
        properties->topic_alias = take() & 7;
    }
    if (bits & 2) {
        mqtt_set(properties, MQTT_MESSAGE_EXPIRY_INTERVAL);
        properties->message_expiry_interval = take();
    }
    if (bits & 4) {
        mqtt_set(properties, MQTT_USER_PROPERTY);
        properties->raw = str_make(user_property, sizeof user_property);
    }
    if (bits & 8) {
        mqtt_set(properties, MQTT_RESPONSE_TOPIC);
        properties->response_topic = STR("a/answer");
    }
    if (bits & 16) {
        mqtt_set(properties, MQTT_CONTENT_TYPE);
        properties->content_type = STR("text");
    }
}

static void step_publish(struct peer **peer)
{
    static const uint16_t sizes[] = {1, 0, 5, 100, 700, 3000, 20000, 50000};
    static char payload[50000];
    uint8_t bits = take();
    struct mqtt_publish publish = {.qos = bits % 3,
                                   .retain = bits & 4,
                                   .dup = bits % 3 && (bits & 8),
                                   .topic = PICK(topics),
                                   .payload = {payload, sizes[bits >> 5]}};
    memset(payload, 'p', sizeof payload);
    if (publish.qos > 0)
        publish.packet_id = take();
    if (bits & 16)
        set_publish_properties(&publish.properties, take());
    size_t size = mqtt_encode_publish(NULL, version_of(peer), &publish);
    uint8_t *packet = malloc(size ? size : 1);
    send_packet(peer, packet, mqtt_encode_publish(packet, version_of(peer), &publish));
    free(packet);
}

static void step_subscribe(struct peer **peer)
{
    struct mqtt_filter wanted[3];
    struct mqtt_properties properties = {0};
    uint8_t bits = take();
    size_t count = bits % 4;
    uint16_t packet_id = take();
    for (size_t i = 0; i < count; i++)
        wanted[i] = (struct mqtt_filter){.filter = PICK(filters), .options = take()};
    if (bits & 4) {
        mqtt_set(&properties, MQTT_SUBSCRIPTION_IDENTIFIER);
        properties.subscription_identifier = take() + 1U;
    }
    uint8_t packet[PACKET_ROOM];
    size_t size = mqtt_encode_subscribe(packet, version_of(peer), packet_id, wanted, count, &properties);
    send_packet(peer, packet, size);
}

static void step_unsubscribe(struct peer **peer)
{
    struct mqtt_filter unwanted = {.filter = PICK(filters)};
    uint8_t packet[PACKET_ROOM];
    size_t size = mqtt_encode_unsubscribe(packet, version_of(peer), take(), &unwanted, 1, NULL);
    send_packet(peer, packet, size);
}

static void step_ack(struct peer **peer)
{
    uint8_t bits = take();
    uint16_t packet_id = take();
    if (ready(peer))
        peer_send_ack(*peer, (uint8_t)(MQTT_PUBACK + bits % 4), packet_id, bits & 4 ? take() : MQTT_SUCCESS);
}

static void step_disconnect(struct peer **peer)
{
    struct mqtt_disconnect packet = {.reason = take()};
    uint8_t bits = take();
    uint8_t type = bits & 1 ? MQTT_AUTH : MQTT_DISCONNECT;
    if (type == MQTT_AUTH) {
        mqtt_set(&packet.properties, MQTT_AUTHENTICATION_METHOD);
        packet.properties.authentication_method = bits & 2 ? STR("other") : STR("method");
    } else if (bits & 2) {
        mqtt_set(&packet.properties, MQTT_SESSION_EXPIRY_INTERVAL);
        packet.properties.session_expiry_interval = take();
    }
    uint8_t out[256];
    send_packet(peer, out, mqtt_encode_disconnect(out, version_of(peer), type, &packet));
}

static void step_ping(struct peer **peer)
{
    uint8_t out[2];
    send_packet(peer, out, mqtt_encode_ping(out, MQTT_PINGREQ));
}

static void step_hang_up(struct peer **peer)
{
    peer_free(*peer);
    *peer = NULL;
}

static void step_shut_down(struct peer **peer)
{
    if (*peer)
        peer_shutdown(*peer);
}

static void step_pass(struct peer **peer)
{
    (void)peer;
    static const uint32_t spans_ms[] = {1, 50, 250, 1000, 3000, 5100, 10100, 15100, 30100, 61000, 3700000};
    clock_advance(spans_ms[take() % (sizeof spans_ms / sizeof *spans_ms)]);
}

static void step_hear(struct peer **peer)
{
    uint8_t bits = take();
    if (!*peer)
        return;
    (*peer)->deaf = bits & 1;
    (*peer)->answers = (enum peer_answers)((bits >> 4) % ANSWERS);
}

static void step_mood(struct peer **peer)
{
    (void)peer;
    uint8_t bits = take();
    unsigned hook = (bits & 0x0F) % MOODY_HOOKS;
    moody.verdicts[hook] = bits >> 4 & 7;
    moody.replies[hook] = take();
}

static void step_complete(struct peer **peer)
{
    (void)peer;
    uint8_t bits = take();
    moody_complete(bits & 0x0F, bits >> 4 & 7, take());
}

static void step_host(struct peer **peer)
{
    (void)peer;
    uint8_t bits = take();
    if (!(script.setup & SETUP_PLUGIN))
        return;
    struct noctule_publication publication = {.size = sizeof publication,
                                              .qos = (bits >> 2) % 3,
                                              .retain = bits >> 5 & 1,
                                              .payload = NOCTULE_STRING("plugin"),
                                              .expiry_seconds = bits >> 6,
                                              .topic = NOCTULE_STRING("a/b")};
    switch (bits & 3) {
    case 0:
        moody.host->publish(moody.instance, &publication);
        break;
    case 1:
        moody.host->disconnect(moody.instance, moody.last_connection, bits, NOCTULE_STRING("told"));
        break;
    case 2:
        moody.host->invalidate(moody.instance, moody.last_connection);
        break;
    default:
        moody.host->invalidate(moody.instance, 0);
    }
}

static void step_reload(struct peer **peer)
{
    (void)peer;
    // The number of workers stays; the plugin and the limits may come and go.
    uint8_t setup = (uint8_t)((take() & ~SETUP_TWO_WORKERS) | (script.setup & SETUP_TWO_WORKERS));
    if (!(script.setup & SETUP_PLUGIN))
        setup &= (uint8_t)~SETUP_PLUGIN;
    inprocess_reload(&script.house, configuration(setup));
}

static void step_settle(struct peer **peer)
{
    (void)peer;
    for (int i = 0; i < 3; i++) {
        inprocess_settle(&script.house);
        for (unsigned k = 0; k < PEERS; k++)
            if (script.peers[k])
                peer_go_on(script.peers[k]);
    }
    if (!(script.setup & SETUP_FAULTS))
        invariants_check_settled(&script.house);
}

static void step_faults(struct peer **peer)
{
    (void)peer;
    script.faults = take();
}

// As if limits.memory were reached, or were not any more.
static void step_memory(struct peer **peer)
{
    (void)peer;
    atomic_store(&script.house.broker.memory_full, (take() & 1) != 0);
}

static void step_starve(struct peer **peer)
{
    (void)peer;
    script.fails_in = take();
}

static step_fn *const steps[] = {
    step_open,        step_bytes,  step_frame,      step_connect,  step_publish, step_subscribe,
    step_unsubscribe, step_ack,    step_disconnect, step_ping,     step_hang_up, step_shut_down,
    step_pass,        step_hear,   step_mood,       step_complete, step_host,    step_reload,
    step_settle,      step_faults, step_memory,     step_starve,
};

/* ---- the run ---- */

static void go_on(void)
{
    inprocess_turn(&script.house, 1);
    for (unsigned i = 0; i < PEERS; i++)
        if (script.peers[i])
            peer_go_on(script.peers[i]);
    invariants_check(&script.house);
}

static void complete_all(void)
{
    while (moody_complete(0, NOCTULE_ALLOW, 0))
        ;
}

// Everybody leaves, and the time of everything that was left behind comes.
static void end(void)
{
    script.faults = 0;
    script.fails_in = 0;
    atomic_store(&script.house.broker.memory_full, false);
    complete_all();
    for (unsigned i = 0; i < PEERS; i++)
        step_hang_up(&script.peers[i]);
    // Who is read slowly (limits.publish_rate) goes once all is read that it has sent.
    for (int i = 0; i < 1000 && atomic_load(&script.house.broker.connections) > 0; i++) {
        inprocess_settle(&script.house);
        complete_all();
        inprocess_pass(&script.house, 6000);
    }
    for (int i = 0; i < 3; i++) {
        inprocess_settle(&script.house);
        complete_all();
        inprocess_pass(&script.house, 3700000);
        invariants_check(&script.house);
    }
    inprocess_settle(&script.house);
    invariants_check_empty(&script.house);
    require(script.house.reloaded || moody.freed >= moody.logins, "every client is freed");
    inprocess_stop(&script.house);
    require(message_bytes_alive() == 0, "no message is left");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    script = (struct script){.at = data, .end = data + size};
    moody_reset();
    script.setup = take();
    inprocess_start(&script.house, configuration(script.setup), &moody_plugin);
    while (script.at < script.end) {
        uint8_t step = take();
        steps[(step & 0x1F) % (sizeof steps / sizeof *steps)](&script.peers[step >> 6]);
        if (!(step & STEP_AT_ONCE))
            go_on();
    }
    go_on();
    end();
    return 0;
}
