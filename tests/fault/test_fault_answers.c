// A plugin that answers nonsense: any number as verdict or reason code, in every hook. Clients get only what
// the standard knows, which peer.c checks. And answers for which a version of MQTT has no packet.
#include <check.h>
#include <stdlib.h>

#include "tests/fault/invariants.h"
#include "tests/fault/moody.h"
#include "tests/fault/peer.h"

#define YAML "workers: 1\nallow_anonymous: true\ndefault_access: allow\nlog: {level: error}\n"

static struct inprocess house;
static struct peer *peer;

static void settle(void)
{
    for (int i = 0; i < 4; i++) {
        inprocess_settle(&house);
        if (peer)
            peer_go_on(peer);
        invariants_check(&house);
    }
}

static void start(const char *yaml)
{
    moody_reset();
    inprocess_start(&house, yaml, &moody_plugin);
}

static void stop(void)
{
    peer_free(peer);
    peer = NULL;
    settle();
    inprocess_stop(&house);
    require(message_bytes_alive() == 0, "no message is left");
}

static void come(uint8_t version)
{
    const struct mqtt_connect connect = {.version = version, .clean_start = true, .client_id = STR("client")};
    uint8_t packet[128];
    peer_free(peer);
    peer = NULL;
    settle();
    peer = peer_new(&house, 0);
    peer->version = version;
    peer_send(peer, packet, mqtt_encode_connect(packet, &connect));
    settle();
}

static void send_subscribe(void)
{
    const struct mqtt_filter filter = {STR("a/#"), 2};
    uint8_t packet[128];
    peer_send(peer, packet, mqtt_encode_subscribe(packet, peer->version, 1, &filter, 1, NULL));
    settle();
}

static void send_publish(uint8_t qos)
{
    const struct mqtt_publish publish = {
        .qos = qos, .packet_id = qos ? 7 : 0, .topic = STR("a/b"), .payload = STR("x")};
    uint8_t packet[128];
    peer_send(peer, packet, mqtt_encode_publish(packet, peer->version, &publish));
    settle();
}

static const uint8_t versions[] = {MQTT_V3_1, MQTT_V3_1_1, MQTT_V5};

static void all_versions(enum moody_hook hook, noctule_verdict verdict)
{
    for (unsigned i = 0; i < sizeof versions; i++) {
        for (unsigned k = 0; k < MOODY_HOOKS; k++)
            moody.verdicts[k] = k == MOODY_OUT || k == MOODY_REVALIDATE ? NOCTULE_NEXT : NOCTULE_ALLOW;
        moody.verdicts[hook] = verdict;
        come(versions[i]);
        if (hook == MOODY_LOGIN)
            continue;
        require(peer->connacked && !peer->refused, "the client is let in");
        send_subscribe();
        for (uint8_t qos = 0; qos <= 2 && !peer->ended; qos++)
            send_publish(qos);
    }
}

static const enum moody_hook deciding[] = {MOODY_LOGIN, MOODY_PUBLISH, MOODY_SUBSCRIBE, MOODY_DELIVER,
                                           MOODY_IN};

// Every code with which a denial may be explained.
START_TEST(any_reason_code)
{
    start(YAML "plugins: [{name: test}]\n");
    for (unsigned code = 0; code < 256; code++) {
        moody.reason_code = (uint8_t)code;
        all_versions(deciding[_i], NOCTULE_DENY);
    }
    stop();
}
END_TEST

START_TEST(any_verdict)
{
    start(YAML "plugins: [{name: test}]\n");
    // PENDING is a promise, not nonsense, once the question was deferred, as the plugin does.
    static const int32_t verdicts[] = {0, 1, 2, 4, 5, 6, 7, 100, -1, INT32_MAX, INT32_MIN};
    for (unsigned i = 0; i < sizeof verdicts / sizeof *verdicts; i++)
        all_versions((enum moody_hook)_i, verdicts[i]);
    stop();
}
END_TEST

START_TEST(a_disconnection_with_any_reason_code)
{
    start(YAML "plugins: [{name: test}]\n");
    for (unsigned code = 0; code < 256; code++) {
        for (unsigned late = 0; late < 2; late++) {
            moody.verdicts[MOODY_LOGIN] = late ? NOCTULE_PENDING : NOCTULE_ALLOW;
            come(MQTT_V5);
            moody.host->disconnect(moody.instance, moody.last_connection, (uint8_t)code,
                                   NOCTULE_STRING("told"));
            settle();
            require(late ? peer->refused : peer->dismissed, "the client is told");
            moody_complete(0, NOCTULE_ALLOW, 0);
        }
    }
    stop();
}
END_TEST

// 3.1.1 has no return code for it: the connection is closed without a CONNACK. [v3.1.1 MQTT-3.2.2-6]
START_TEST(a_connect_that_is_too_large)
{
    static const uint8_t head[] = {0x10, 0xFF, 0xFF, 0xFF, 0x7F, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0};
    start(YAML);
    peer = peer_new(&house, 0);
    peer_send(peer, head, sizeof head);
    settle();
    require(peer->ended && !peer->connacked, "closed, without a word");
    stop();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answers");
    TCase *tests = tcase_create("answers");
    tcase_set_timeout(tests, 250);
    tcase_add_loop_test(tests, any_reason_code, 0, sizeof deciding / sizeof *deciding);
    tcase_add_loop_test(tests, any_verdict, 0, MOODY_HOOKS);
    tcase_add_test(tests, a_disconnection_with_any_reason_code);
    tcase_add_test(tests, a_connect_that_is_too_large);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
