// A clock that jumps forward, as that of a machine that slept: at each turn of an exchange, and far beyond
// every timer there is.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "tests/fault/exchange.h"
#include "tests/fault/invariants.h"
#include "tests/fault/moody.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };
#define DAY (24 * 60 * (uint64_t)MINUTE)

static unsigned long turns;
static unsigned long jumping; ///< 0: none
static uint64_t distance_ms;

static void turn(void)
{
    if (++turns == jumping)
        clock_advance(distance_ms);
}

static void tell(void)
{
    fprintf(stderr, "jump at turn %lu of %lu\n", jumping, turns);
}

static void run(unsigned workers)
{
    turns = 0;
    exchange_run(&(struct exchange_options){.workers = workers, .turn = turn});
}

// Shorter than the life of sessions and messages, longer than all other times.
START_TEST(a_jump_costs_no_message)
{
    unsigned workers = (unsigned)_i;
    distance_ms = 50 * MINUTE;
    jumping = 0;
    run(workers);
    unsigned long total = turns;
    ck_assert_uint_gt(total, 10);
    for (jumping = 1; jumping <= total; jumping++)
        run(workers);
}
END_TEST

static const uint64_t far[] = {
    DAY, 49 * DAY + 17 * 60 * (uint64_t)MINUTE, 50 * DAY, 99 * DAY, 200 * DAY, 40000 * DAY};
enum { FAR = sizeof far / sizeof *far };

static void send_connect(struct peer *peer, const char *client_id, uint16_t keep_alive, uint32_t expiry_s)
{
    struct mqtt_connect connect = {
        .version = MQTT_V5,
        .has_will = true,
        .keep_alive = keep_alive,
        .client_id = str_of(client_id),
        .will = {.topic = STR("will"), .payload = STR("x"), .qos = 1, .retain = true}};
    mqtt_set(&connect.will.properties, MQTT_WILL_DELAY_INTERVAL);
    connect.will.properties.will_delay_interval = 3600;
    mqtt_set(&connect.properties, MQTT_SESSION_EXPIRY_INTERVAL);
    connect.properties.session_expiry_interval = expiry_s;
    uint8_t packet[256];
    peer_send(peer, packet, mqtt_encode_connect(packet, &connect));
}

static void settle(struct inprocess *house, struct peer *peer)
{
    for (int i = 0; i < 8; i++) {
        inprocess_settle(house);
        peer_go_on(peer);
        invariants_check(house);
    }
}

// However far the clock jumps, whoever was silent is gone, its will published once, its session at its end.
START_TEST(everything_that_is_due_happens)
{
    struct inprocess house;
    moody_reset();
    inprocess_start(&house,
                    "workers: 1\nallow_anonymous: true\ndefault_access: allow\nlog: {level: error}\n"
                    "limits: {session_expiry: 100d}\n",
                    NULL);
    struct peer *silent = peer_new(&house, 0);
    struct peer *lasting = peer_new(&house, 0);
    struct peer *mute = peer_new(&house, 0);
    send_connect(silent, "silent", 60, 3600);
    send_connect(lasting, "lasting", 0, UINT32_MAX);
    settle(&house, silent);
    settle(&house, lasting);
    require(silent->connacked && lasting->connacked, "both are let in");

    inprocess_pass(&house, far[_i]);
    settle(&house, silent);
    settle(&house, mute);
    settle(&house, lasting);
    require(silent->dismissed, "keep alive has passed");
    require(mute->ended, "the time for CONNECT has passed");
    require(!lasting->ended, "who promised no sign of life stays");
    require(atomic_load(&house.broker.sessions) == 2, "a session lives on after its connection");

    inprocess_pass(&house, far[_i]);
    settle(&house, silent);
    uint64_t bytes;
    require(retained_count(house.broker.retained, &bytes) == 1, "the will is published");
    require(atomic_load(&house.broker.sessions) == 1, "a session ends");
    peer_free(lasting);
    inprocess_settle(&house);
    require(atomic_load(&house.broker.sessions) == 1, "a session without end lasts as long as the limit");
    inprocess_pass(&house, 100 * DAY);
    inprocess_settle(&house);
    invariants_check_empty(&house);
    peer_free(silent);
    peer_free(mute);
    inprocess_stop(&house);
    require(message_bytes_alive() == 0, "no message is left");
}
END_TEST

int main(void)
{
    require_failed = tell;
    Suite *suite = suite_create("clock");
    TCase *tests = tcase_create("clock");
    tcase_set_timeout(tests, 250);
    tcase_add_loop_test(tests, a_jump_costs_no_message, 1, 3);
    tcase_add_loop_test(tests, everything_that_is_due_happens, 0, FAR);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
