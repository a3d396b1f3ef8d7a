"""http-auth in bad times and under load: faults of the platform, what is kept, shared, bounded, and how it recovers."""

import threading
import time

import pytest

import mqtt_codec as wire
from broker import WORKERS, passwords
from http_backend import Answer, BROKEN, NO, OK, YES
from mqtt_codec import V5
from mqtt_raw import Client, DEADLINE, TIME_SCALE
from scrape import scrape, wait_served
from test_http_auth import BAD_LOGIN, NOT_AUTHORIZED, asking, backend, login, start  # noqa: F401: fixtures

pytestmark = pytest.mark.reference_differs

# No breaker where a test is about something else.
PATIENT = {"breaker": {"failures": 0}}


# ---------------------------------------------------------------------------------------------- faults

FAULTS = {
    "close": Answer(fault="close"),
    "reset": Answer(body=b'{"ok":true}' + b" " * 1000, fault="reset"),
    "trickle": Answer(fault="trickle"),
    "hang": Answer(fault="hang"),
    "endless": Answer(fault="endless"),
    "10 MB": Answer(body=b'{"ok":true' + b" " * 10_000_000 + b"}"),
    "10 MB of headers": Answer(body=b'{"ok":true}', headers={f"X-{i}": "x" * 1000 for i in range(10_000)}),
    "garbage": Answer(body=b"\x00\xff\x16\x03garbage\r\n\r\n" * 50, fault="garbage"),
    "no status": Answer(body=b"HTTP/1.1\r\n\r\n", fault="garbage"),
    "endless redirect": Answer(307, headers={"Location": "/user"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_errors_and_are_not_kept(backend, start, login, client, fault):  # noqa: F811
    broker = start("user", response="json", timeout="600ms", **PATIENT)
    backend["/user"] = FAULTS[fault]
    began = time.monotonic()
    one = client(V5, "dev", broker)
    one.open()
    one.send_connect(username="ann", password="secret")
    assert one.expect(wire.CONNACK).reason in (NOT_AUTHORIZED, 0x88)
    assert time.monotonic() - began < 3 * TIME_SCALE
    one.drop()
    backend["/user"] = OK
    login(broker, id="dev")


def test_faults_on_the_way_of_messages(backend, start, login):  # noqa: F811
    broker = start(timeout="400ms", **PATIENT)
    backend["/acl"] = lambda r: FAULTS[r.json()["topic"]] if r.json()["topic"] in FAULTS else YES
    one = login(broker)
    for fault in ("close", "trickle", "endless", "garbage"):
        one.publish(fault, qos=1, reason=NOT_AUTHORIZED)
    one.publish("fine", qos=1)


def test_a_refused_connection(backend, start, login):  # noqa: F811
    broker = start("user", **PATIENT)
    backend.stop()
    login(broker, reason=NOT_AUTHORIZED)
    backend.start()
    login(broker)


def test_on_error_next(backend, start_broker, login):  # noqa: F811
    config = asking(backend, "user", **PATIENT)
    config["plugins"][0]["on_error"] = "next"
    config["plugins"].append({"name": "file-auth", "config": {"password_file": "users.passwd"}})
    broker = start_broker(config, {"users.passwd": passwords(ann="secret")})
    backend["/user"] = BROKEN
    login(broker)


def test_retries(backend, start, login):  # noqa: F811
    broker = start("user", retries=2, **PATIENT)
    answers = [BROKEN, Answer(fault="close"), YES]
    # A connection that is closed before any answer may also be tried again by the HTTP library itself.
    backend["/user"] = lambda request: answers[min(len({id(r) for r in backend.on("/user")}) - 1, 2)]
    login(broker)
    assert len(backend.on("/user")) == 3
    backend.forget()
    backend["/user"] = BROKEN
    login(broker, id="again", reason=NOT_AUTHORIZED)
    assert len(backend.on("/user")) == 3


def test_connections_are_kept(backend, start, login):  # noqa: F811
    broker = start()
    one = login(broker)
    for index in range(20):
        one.publish(f"t/{index}", qos=1)
    assert len(backend.on("/acl")) == 20
    assert backend.connections <= 2 * WORKERS


# ---------------------------------------------------------------------------------------------- what is kept


def test_logins_are_kept_by_user_password_and_client(backend, start, login):  # noqa: F811
    broker = start("user", cache={"allow": "1h"})
    login(broker, id="a").disconnect()
    login(broker, id="a").disconnect()
    assert len(backend.on("/user")) == 1
    login(broker, id="b")
    login(broker, id="a", password="other")
    login(broker, id="a", username="bob")
    # What is glued together the same way is not the same question.
    login(broker, id="ab", username="c", password="d")
    login(broker, id="a", username="bc", password="d")
    assert len(backend.on("/user")) == 6


def test_yes_and_no_have_their_own_time(backend, start, login):  # noqa: F811
    broker = start("user", cache={"allow": "1h", "deny": "1s"})
    backend["/user"] = NO
    login(broker, id="a", reason=BAD_LOGIN)
    backend["/user"] = YES
    login(broker, id="a", reason=BAD_LOGIN)
    time.sleep(1.1)
    login(broker, id="a")
    backend["/user"] = NO
    login(broker, id="a")
    assert len(backend.on("/user")) == 2


def test_accesses_are_kept(backend, start, login):  # noqa: F811
    one = login(start(cache={"allow": "1h", "deny": "1h"}))
    backend["/acl"] = lambda request: NO if request.json()["topic"] == "no" else YES
    for _ in range(5):
        one.publish("yes", qos=1)
        one.publish("no", qos=1, reason=NOT_AUTHORIZED)
    assert len(backend.on("/acl")) == 2


def test_usual_topics_are_asked_about_once(backend, start, login):  # noqa: F811
    broker = start(cache={"allow": "1h"})
    clients = [login(broker) for _ in range(5)]
    for _ in range(4):
        for one in clients:
            for index in range(10):
                one.send_publish(f"c/{one.client_id}/{index}", "x")
            one.ping()
    assert len(backend.on("/acl")) == 50


def test_the_least_recently_used_go_first(backend, start, login):  # noqa: F811
    broker = start("user", cache={"allow": "1h", "entries": 2 * WORKERS})
    for id in range(40 * WORKERS):
        login(broker, id=f"c{id}").drop()
    backend.forget()
    login(broker, id="c0")
    assert len(backend.on("/user")) == 1


def test_a_reload_keeps_what_is_still_true(backend, start_broker, login):  # noqa: F811
    config = asking(backend, "user", cache={"allow": "1h"})
    broker = start_broker(config)
    login(broker, id="a").disconnect()
    config["plugins"][0]["config"]["timeout"] = "4s"
    broker.configure(config)
    broker.reload()
    login(broker, id="a").disconnect()
    assert len(backend.on("/user")) == 1
    config["plugins"][0]["config"]["user"]["url"] += "?v=2"
    broker.configure(config)
    broker.reload()
    login(broker, id="a")
    assert len(backend.on("/user")) == 2


@pytest.mark.parametrize("header, asked", (("max-age=3600", 1), ("private, max-age=0", 2), ("no-store", 2), ("public", 2)))
def test_cache_control_when_honoured(backend, start, login, header, asked):  # noqa: F811
    broker = start("user", cache={"allow": 0, "honour_cache_control": True})
    backend["/user"] = Answer(headers={"Cache-Control": header})
    for _ in range(2):
        login(broker, id="a").disconnect()
    assert len(backend.on("/user")) == asked


def test_cache_control_when_not(backend, start, login):  # noqa: F811
    broker = start("user", cache={"allow": "1h"})
    backend["/user"] = Answer(headers={"Cache-Control": "no-store"})
    for _ in range(2):
        login(broker, id="a").disconnect()
    assert len(backend.on("/user")) == 1


# ---------------------------------------------------------------------------------------------- many at once


def many(broker, count, **options):
    """So many clients, whose CONNECT is sent and whose CONNACK is not waited for."""
    clients = [Client(broker.address, V5, f"m{index}").open() for index in range(count)]
    for one in clients:
        one.send_connect(username="ann", password="secret", **options)
    return clients


def test_all_are_asked_about_at_once_and_nobody_else_waits(backend, start, login):  # noqa: F811
    count = 200
    broker = start()
    bystander = login(broker)
    bystander.publish("t", qos=1)
    backend["/user"] = Answer(delay=1.0 * TIME_SCALE)
    clients = many(broker, count)
    try:
        backend.wait_for(lambda: backend.in_flight == count, "all are in flight")
        began = time.monotonic()
        for _ in range(20):
            bystander.publish("t", qos=1)
            bystander.ping()
        assert backend.in_flight == count, "the bystander was answered while all others wait"
        for one in clients:
            assert one.expect(wire.CONNACK).reason == 0
        assert time.monotonic() - began < 2.5 * TIME_SCALE
    finally:
        for one in clients:
            one.drop()


@pytest.mark.parametrize("connections", (1, 7, 1000))
def test_all_of_many_have_their_turn(backend, start, login, connections):  # noqa: F811
    count = 300
    broker = start("user", "acl", connections=connections, timeout="60s", **PATIENT)
    backend["/user"] = lambda request: YES if int(request.json()["clientid"][1:]) % 3 else NO
    clients = many(broker, count)
    try:
        for index, one in enumerate(clients):
            assert one.expect(wire.CONNACK).reason == (0 if index % 3 else BAD_LOGIN)
        # What each of them asks next lines up behind answers to others.
        allowed = [one for index, one in enumerate(clients) if index % 3]
        for one in allowed:
            one.send_publish("t", qos=1)
        for one in allowed:
            assert one.await_packet(wire.PUBACK).reason in (0, 0x10)
    finally:
        for one in clients:
            one.drop()
    assert len(backend.on("/user")) == count and len(backend.on("/acl")) == count - count // 3
    assert backend.most_in_flight <= connections * WORKERS


def test_many_that_fail_at_once(backend, start, login):  # noqa: F811
    broker = start(timeout="500ms", breaker={"failures": 0})
    backend["/user"] = Answer(fault="hang")
    clients = many(broker, 300)
    try:
        assert all(one.expect(wire.CONNACK).reason == NOT_AUTHORIZED for one in clients)
    finally:
        for one in clients:
            one.drop()
    backend["/user"] = YES
    login(broker)


def test_the_same_question_is_asked_once(backend, start, login):  # noqa: F811
    broker = start("user", "superuser", "acl")
    backend["/superuser"] = Answer(403, delay=0.3)
    one = login(broker)
    others = [login(broker) for _ in range(4)]
    for other in [one, *others]:
        other.send_publish(f"t/{other.client_id}", qos=1)
    for other in [one, *others]:
        assert other.await_packet(wire.PUBACK).reason in (0, 0x10)
    # One for each worker that has clients of this user.
    assert 1 <= len(backend.on("/superuser")) <= WORKERS
    assert len(backend.on("/acl")) == 5


def test_the_line_is_bounded(backend, start_broker):  # noqa: F811
    config = asking(backend, "user", connections=2, waiting=3, timeout="60s")
    config["plugins"][0]["timeout"] = "60s"
    broker = start_broker(config)
    backend["/user"] = Answer(delay=0.5 * TIME_SCALE)
    clients = many(broker, 40)
    try:
        reasons = [one.expect(wire.CONNACK).reason for one in clients]
    finally:
        for one in clients:
            one.drop()
    assert 5 <= reasons.count(0) <= 5 * WORKERS
    assert backend.most_in_flight <= 2 * WORKERS
    assert broker.log().count("requests wait for the platform: more fail at once") <= WORKERS
    assert "too many requests wait" in broker.log()


def test_nobody_is_asked_about_who_has_gone(backend, start_broker, login):  # noqa: F811
    config = asking(backend, "user", connections=1, timeout="20s", **PATIENT)
    config["plugins"][0]["timeout"] = "500ms"
    broker = start_broker(config)
    backend["/user"] = Answer(delay=0.7)
    clients = many(broker, 10 * WORKERS)
    for one in clients:
        assert one.expect(wire.CONNACK).reason == NOT_AUTHORIZED
        one.drop()
    backend.wait_for(lambda: backend.in_flight == 0, "the last one is answered")
    backend["/user"] = YES
    login(broker, id="last")
    # Each worker sent one, and then one for the client that was still there.
    assert len(backend.on("/user")) <= WORKERS + 1


def test_who_goes_away_during_its_login_is_not_waited_for(backend, start_broker):  # noqa: F811
    config = asking(backend, "user", timeout="10m", **PATIENT)
    config["plugins"][0]["timeout"] = "10m"
    broker = start_broker(config)
    backend["/user"] = Answer(fault="hang")
    count = 3 * WORKERS
    clients = many(broker, count)
    backend.wait_for(lambda: backend.in_flight == count, "all are in flight")
    for one in clients:
        one.drop()
    backend.wait_for(lambda: broker.log().count('reason="no DISCONNECT"') == count, "the broker notices")


def test_what_was_sent_before_going_away_counts(backend, start, login, client):  # noqa: F811
    broker = start()
    bystander = login(broker)
    bystander.subscribe("t/#")
    backend["/user"] = Answer(delay=0.5)
    together, later = client(V5, "together", broker).open(), client(V5, "later", broker).open()
    connect = [wire.make_connect(V5, one, username="ann", password="secret") for one in ("together", "later")]
    together.send(connect[0] + wire.make_publish(V5, "t/together", "x"))
    together.drop()
    later.send(connect[1])
    backend.wait_for(lambda: backend.in_flight == 2, "both are asked about")
    later.send(wire.make_publish(V5, "t/later", "x"))
    later.drop()
    assert {bystander.await_packet(wire.PUBLISH).topic for _ in range(2)} == {"t/together", "t/later"}


def test_what_waits_too_long_fails(backend, start):  # noqa: F811
    broker = start("user", connections=1, timeout="300ms", **PATIENT)
    backend["/user"] = Answer(delay=0.25)
    clients = many(broker, 12)
    try:
        reasons = [one.expect(wire.CONNACK).reason for one in clients]
    finally:
        for one in clients:
            one.drop()
    assert 0 in reasons and NOT_AUTHORIZED in reasons
    assert "no connection was free in time" in broker.log()


# ---------------------------------------------------------------------------------------------- outages


def test_the_breaker_opens_and_recovers(backend, start, login):  # noqa: F811
    broker = start("user", breaker={"failures": 3, "probe": "1s"})
    backend["/user"] = BROKEN
    for index in range(3):
        login(broker, id=f"a{index}", reason=NOT_AUTHORIZED)
    broker.wait_log("user: the platform has failed 3 times in a row, last: status 500")
    backend.forget()
    for index in range(10):
        login(broker, id=f"b{index}", reason=NOT_AUTHORIZED)
    assert len(backend.on("/user")) <= 1
    backend["/user"] = YES
    deadline = time.monotonic() + DEADLINE
    while True:
        one = Client(broker.address, V5, "c").open()
        one.send_connect(username="ann", password="secret")
        if one.expect(wire.CONNACK).reason == 0:
            break
        assert time.monotonic() < deadline
        one.drop()
        time.sleep(0.05)
    one.drop()
    broker.wait_log("user: the platform answers again")
    assert broker.log().count("has failed 3 times") == broker.log().count("answers again") == 1
    login(broker, id="d")


def test_a_probe_that_fails_keeps_it_open(backend, start, login):  # noqa: F811
    broker = start("user", breaker={"failures": 1, "probe": "200ms"})
    backend["/user"] = BROKEN
    for index in range(4):
        login(broker, id=f"a{index}", reason=NOT_AUTHORIZED)
        time.sleep(0.25)
    assert len(backend.on("/user")) == 4
    assert broker.log().count("in a row") == 1


def test_an_expired_yes_while_the_platform_is_down(backend, start, login):  # noqa: F811
    broker = start(cache={"allow": "300ms", "stale": "1h"}, breaker={"failures": 2, "probe": "1h"})
    one = login(broker, id="a")
    one.publish("t", qos=1)
    time.sleep(0.4)
    backend.stop()
    for _ in range(5):
        one.publish("t", qos=1)
    one.publish("other", qos=1, reason=NOT_AUTHORIZED)
    login(broker, id="a")
    login(broker, id="b", reason=NOT_AUTHORIZED)
    login(broker, id="a", password="wrong", reason=NOT_AUTHORIZED)


def test_an_expired_yes_while_the_platform_hangs(backend, start, login):  # noqa: F811
    broker = start("user", timeout="1s", cache={"allow": "200ms", "stale": "1h"}, **PATIENT)
    login(broker, id="a").disconnect()
    time.sleep(0.3)
    backend["/user"] = Answer(fault="hang")
    login(broker, id="a")


def test_an_expired_no_is_none(backend, start, login):  # noqa: F811
    broker = start("user", cache={"deny": "200ms", "stale": "1h"}, **PATIENT)
    backend["/user"] = NO
    login(broker, id="a", reason=BAD_LOGIN)
    time.sleep(0.3)
    backend["/user"] = BROKEN
    login(broker, id="a", reason=NOT_AUTHORIZED)


@pytest.mark.parametrize("stale", ("0s", "1h"))
def test_the_platform_is_killed_and_comes_back_under_load(backend, start, login, stale):  # noqa: F811
    probe = 0.5
    broker = start(cache={"allow": "100ms", "deny": "100ms", "stale": stale},
                   breaker={"failures": 5, "probe": f"{int(probe * 1000)}ms"}, timeout="2s")
    ending, failed = threading.Event(), []
    verdicts = []

    def run(index):
        one = Client(broker.address, V5, f"load{index}")
        try:
            one.connect(username="ann", password="secret")
            turn = 0
            while not ending.is_set():
                packet_id = one.send_publish(f"t/{index}/{turn % 3}", qos=1)
                reason = one.await_packet(wire.PUBACK, packet_id=packet_id).reason
                verdicts.append((time.monotonic(), reason in (0, 0x10)))
                turn += 1
                time.sleep(0.01)
        except Exception as error:  # noqa: BLE001: told below, in the test's own thread
            failed.append(error)
        finally:
            one.drop()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.4)
        backend.stop()
        killed = time.monotonic()
        time.sleep(1.2)
        backend.start()
        back = time.monotonic()
        backend.wait_for(lambda: any(at > back and yes for at, yes in verdicts), "somebody is allowed again")
        time.sleep(probe + 0.5 * TIME_SCALE)
        settled = time.monotonic()
        time.sleep(0.3)
    finally:
        ending.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert not failed
    outage = [yes for at, yes in verdicts if killed + 0.5 < at < back]
    assert outage and all(outage) == (stale == "1h")
    assert stale == "1h" or not any(outage)
    after = [yes for at, yes in verdicts if at > settled]
    assert after and all(after)
    assert broker.log().count("in a row") <= 2


# ---------------------------------------------------------------------------------------------- changes meanwhile


def test_a_reload_while_requests_are_under_way(backend, start_broker, login, client):  # noqa: F811
    config = asking(backend, "user")
    broker = start_broker(config)
    backend["/user"] = lambda request: Answer(200 if request.target.endswith("2") else 403, delay=0.5)
    waiting = client(V5, "a", broker)
    waiting.open()
    waiting.send_connect(username="ann", password="secret")
    backend.wait_requests("/user", 1)
    config["plugins"][0]["config"]["user"]["url"] += "?v=2"
    broker.configure(config)
    broker.reload()
    # The same question under another configuration is another one.
    login(broker, id="a")
    assert [request.target for request in backend.requests] == ["/user", "/user?v=2"]


def test_the_plugin_is_taken_out_while_requests_are_under_way(backend, start_broker, login, client):  # noqa: F811
    config = asking(backend, "user")
    config["plugins"][0]["timeout"] = "1s"
    broker = start_broker(config)
    backend["/user"] = Answer(delay=0.3)
    waiting = client(V5, "a", broker)
    waiting.open()
    waiting.send_connect(username="ann", password="secret")
    backend.wait_requests("/user", 1)
    broker.configure({**config, "plugins": []})
    broker.reload()
    # Its requests rest, and the broker's own deadline passes.
    assert waiting.expect(wire.CONNACK).reason == NOT_AUTHORIZED
    broker.configure(config)
    broker.reload()
    login(broker, id="b")


def test_the_broker_stops_while_requests_are_under_way(backend, start):  # noqa: F811
    broker = start("user", connections=2)
    backend["/user"] = Answer(fault="hang")
    clients = many(broker, 10)
    backend.wait_requests("/user", 2)
    broker.stop()
    for one in clients:
        one.drop()


# ---------------------------------------------------------------------------------------------- metrics


def test_what_is_counted(backend, start_broker, login):  # noqa: F811
    config = asking(backend, "user", "superuser", "acl", cache={"allow": "1h"}, breaker={"failures": 2, "probe": "1h"})
    config["plugins"].append({"name": "prometheus", "config": {"bind": "@metrics@"}})
    broker = start_broker(config)
    wait_served(broker)
    one = login(broker, id="a")
    one.publish("t", qos=1)
    one.publish("t", qos=1)
    login(broker, id="b").drop()
    login(broker, id="b").drop()
    backend["/user"] = BROKEN
    for id in ("c", "d", "e"):
        login(broker, id=id, reason=NOT_AUTHORIZED)
    found = scrape(broker)

    def value(name):
        return found[f'noctule_plugin_{name}{{plugin="http-auth"}}']

    counted = {"requests_user_total": 4, "requests_superuser_total": 1, "requests_acl_total": 1, "cache_hits_total": 1,
               "cache_entries": 4, "errors_status_total": 2, "errors_timeout_total": 0, "breakers_open": 1,
               "breaker_opened_total": 1, "refused_breaker_total": 1, "in_flight": 0, "waiting": 0,
               "request_duration_seconds_count": 6, "verdicts_reused_total": 1}
    assert {name: value(name) for name in counted} == counted
    assert value("cache_bytes") > 0 and value("connections_opened_total") >= 1
