"""Decisions of plugins: put off, answered late, twice or never; caps, caches, grants, enhanced authentication."""

import time

import pytest

import mqtt_codec as wire
from broker import WORKERS
from mqtt_codec import V311, V5
from mqtt_raw import TIME_SCALE
from plugins import chain, entry, lines, wait_lines

pytestmark = pytest.mark.reference_differs


# ---- Put off ---------------------------------------------------------------------------------------------


def test_slow_answer_holds_up_one_client_and_keeps_its_order(start_broker, connect):
    broker = start_broker(chain(entry("slow", config={"delay": "300ms"})))
    watcher = connect(to=broker)
    watcher.subscribe("fast/#", qos=1)
    slow, other = connect(to=broker), connect(to=broker)
    began = time.monotonic()
    slow.send_publish("slow/a", "1", 1)
    slow.send_publish("fast/a", "2", 1)  # behind the slow one
    other.publish("fast/b", "3", qos=1)  # does not wait
    assert time.monotonic() - began < 0.25 * TIME_SCALE
    watcher.expect_message("fast/b", "3")
    watcher.expect_message("fast/a", "2")
    assert time.monotonic() - began >= 0.29
    assert [slow.expect(wire.PUBACK).packet_id for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("verdict, reason", (("allow", 0), ("deny", 0x87), ("next", 0x87)))
def test_slow_verdicts(start_broker, connect, verdict, reason):
    broker = start_broker(chain(entry("slow", config={"delay": "20ms", "verdict": verdict})))
    one = connect(to=broker)
    one.publish("slow/a", "1", qos=1, reason=reason)
    one.publish("slow/a", "1", qos=2, reason=reason)
    one.subscribe("slow/#", reasons=[reason])
    if verdict == "deny":
        assert "rule=slowly" in lines(broker, "denied.*access=publish")[0]


@pytest.mark.parametrize("verdict, reason", (("allow", 0), ("deny", 0x87), ("next", 0)))
def test_slow_logins(start_broker, client, verdict, reason):
    broker = start_broker(chain(entry("slow", config={"delay": "50ms", "verdict": verdict, "logins": True})))
    client(to=broker).connect(reason=reason)  # at the end of the chain, allow_anonymous


def test_deliveries_wait_for_a_slow_answer_in_order(start_broker, connect):
    broker = start_broker(chain(entry("slow", config={"delay": "30ms"})))
    one = connect(to=broker)
    one.subscribe("#", qos=1)
    since = broker.log_size()
    other = connect(to=broker)
    for i in range(5):
        other.send_publish("fast/x" if i % 2 else "slow/x", str(i), 1)
    assert [m.payload for m in one.expect_messages(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert len(lines(broker, "asked about slow/x", since)) == 6  # three times published, three times delivered


def test_never_answered_is_denied_after_the_timeout(start_broker, connect, client):
    broker = start_broker(chain(entry("never", timeout="200ms")))
    began = time.monotonic()
    client(to=broker).connect(username="never", password="x", reason=0x87)
    assert time.monotonic() - began >= 0.19
    one = connect(to=broker)
    one.publish("never", "x", qos=1, reason=0x87)
    one.publish("ever", "x", qos=1)
    one.publish("in/never", "x", qos=1, reason=0x87)
    denied = lines(broker, "denied.*plugin=never")
    assert len(denied) >= 2 and all("no answer within 200 ms" in line for line in denied)


def test_never_answered_is_next_where_told_so(start_broker, connect):
    broker = start_broker(chain(entry("never", timeout="100ms", on_error="next"), "covers"))
    one = connect(to=broker)
    one.publish("never", "x", qos=1)
    one.subscribe("never/#")


def test_required_is_not_satisfied_by_silence(start_broker, connect):
    broker = start_broker(chain("covers", entry("never", timeout="100ms", on_error="next", required=True)))
    connect(to=broker, username="u", password="p", reason=0x86)  # its ALLOW is necessary, not sufficient


def test_cap_on_what_is_never_answered(start_broker, connect):
    broker = start_broker(chain(entry("never", timeout="100ms"), limits={"pending_decisions": 3}))
    one = connect(to=broker)
    for _ in range(3):
        one.publish("never", "x", qos=1, reason=0x87)
    began = time.monotonic()
    one.publish("never", "x", qos=1, reason=0x87)
    assert time.monotonic() - began < 0.09 * TIME_SCALE
    broker.wait_log("limits.pending_decisions reached")
    one.publish("ever", "x", qos=1)


def test_stop_with_decisions_that_nobody_answers(start_broker, connect, client):
    broker = start_broker(chain(entry("never", timeout="60s")))
    one = connect(to=broker, will=wire.Will("never/will", "x"))
    one.send_publish("never", "x", 1)
    waiting = client(to=broker).open()
    waiting.send_connect(username="never", password="x")
    other = connect(to=broker, will=wire.Will("in/never", "x"))
    other.drop()
    time.sleep(0.05)
    broker.stop()


def test_answered_twice_from_two_threads(start_broker, connect):
    broker = start_broker(chain("twice"))
    one = connect(to=broker)
    for _ in range(50):
        packet_id = one.send_publish("t", "x", 1)
        got = one.expect(wire.PUBACK, packet_id=packet_id)
        assert got.reason in (0, 0x10, 0x87)
    for line in wait_lines(broker, "answered twice", 50):
        # AGAIN while the broker can still tell, GONE once the request has been forgotten.
        assert ("other -4" in line or "other -3" in line) and " 0, " in line, line


@pytest.mark.parametrize("version", (V311, V5))
def test_answer_after_the_client_has_gone(start_broker, connect, client, version):
    broker = start_broker(chain(entry("late", timeout="60s"), limits={"connect_timeout": "300ms"}))
    one = connect(version, to=broker, id="same")
    one.send_publish("late", "x", 1)
    broker.wait_log("put off")
    connect(version, to=broker, id="same")  # takes the session over
    wait_lines(broker, "late answer: -3, again: -4", 1)
    waiting = client(version, to=broker).open()
    waiting.send_connect(username="late", password="x")
    wait_lines(broker, "late answer: -3, again: -4", 2)
    connect(version, to=broker).ping()


def test_answer_after_the_deadline(start_broker, connect):
    broker = start_broker(chain(entry("late", timeout="100ms")))
    one = connect(to=broker)
    one.publish("late", "x", qos=1, reason=0x87)
    broker.wait_log("late answer: -3, again: -4")


def test_answer_by_way_of_the_workers_own_loop(start_broker, connect):
    broker = start_broker(chain("pipe"))
    one = connect(to=broker)
    for _ in range(20):
        one.publish("t", "x", qos=1)
    assert len(lines(broker, "read a request: 0")) == 20


# ---- Blocking and serial ---------------------------------------------------------------------------------


def test_blocking_logins_do_not_delay_messages(start_broker, connect, client):
    broker = start_broker(chain(entry("blocking", config={"delay": "400ms"}), helper_threads=2, workers=1))
    began = time.monotonic()
    one, two = client(to=broker).open(), client(to=broker).open()
    for each in (one, two):
        each.send_connect(username="u", password="right")
    wrong = client(to=broker).open()
    wrong.send_connect(username="u", password="wrong")
    time.sleep(0.05)
    for each in (one, two):
        each.expect(wire.CONNACK, reason=0)
    spent = time.monotonic() - began
    assert 0.39 <= spent < 0.75 * TIME_SCALE  # both at once, and off the worker
    wrong.expect(wire.CONNACK, reason=0x87)
    waiting = client(to=broker).open()
    waiting.send_connect(username="u", password="right")
    began = time.monotonic()
    for _ in range(20):
        one.ping()
    assert time.monotonic() - began < 0.3 * TIME_SCALE
    waiting.expect(wire.CONNACK, reason=0)


def test_serial_plugin_never_runs_twice_at_once(start_broker, connect):
    broker = start_broker(chain("serial", workers=4))
    clients = [connect(to=broker) for _ in range(8)]
    for _ in range(50):
        for one in clients:
            one.send_publish("t", "x")
    for one in clients:
        one.ping()
    clients[0].publish("count", "x", qos=1)
    broker.wait_log("count 401 overlaps 0")


# ---- Grants and names ------------------------------------------------------------------------------------


def test_grants_of_a_login(start_broker, connect):
    broker = start_broker(chain("grants", default_access="allow"))
    one = connect(to=broker, id="me")
    one.publish("own/me/x", "1", qos=1)
    one.publish("own/me/x", "1", qos=2, reason=0x87)  # granted up to QoS 1
    one.publish("own/me/secret", "1", qos=1, reason=0x87)
    one.publish("own/you/x", "1", qos=1, reason=0x87)
    one.publish("news", "1", qos=1, reason=0x87)
    one.subscribe("own/me/#", "own/me/secret", "own/#", "news", "#", "$share/g/news",
                  reasons=[0, 0x87, 0x87, 0, 0x87, 0])
    assert 'rule="grant 1 of its login: deny own/me/secret"' in lines(broker, "denied.*own/me/secret")[0]
    you = connect(to=broker, id="you")
    you.publish("own/you/x", "1", qos=1)


def test_granted_subscription_does_not_deliver_what_is_denied(start_broker, connect):
    broker = start_broker(chain("grants"))
    one = connect(to=broker, id="me")
    one.subscribe("own/me/#", "own/me/open/#")
    other = connect(to=broker, id="me/secret")  # whose own topics these are
    other.publish("own/me/secret", "1", qos=1)
    other.publish("own/me/secret/x", "2", qos=1)
    one.expect_message("own/me/secret/x", "2")


def test_login_that_expires(start_broker, connect):
    broker = start_broker(chain("grants", allow_anonymous=False))
    one = connect(to=broker, id="me", username="brief", password="x")
    began = time.monotonic()
    one.expect_disconnect(0x87, 0xA0)
    assert time.monotonic() - began < 5 * TIME_SCALE


@pytest.mark.parametrize("workers", (1, 4))
def test_another_name_and_client_id(start_broker, connect, workers):
    broker = start_broker(chain("rename", "recorder", workers=workers))
    for name in ("ann", "bob", "cid", "dan"):
        one = connect(to=broker, id=f"was-{name}", username=name, password="x")
        assert one.connack.properties.get("assigned_client_identifier") == f"id-{name}"
        one.publish("t", "x", qos=1)
        broker.wait_log(f"asked for id-{name} as user-{name} about t")
    # A second login under another id, renamed to the same one, takes the session over.
    again = connect(to=broker, id="other", username="ann", password="x")
    broker.wait_log("event session-taken client id-ann")
    again.ping()


# ---- The cache, and what drops it ------------------------------------------------------------------------


def test_verdicts_are_reused_until_they_are_revoked(start_broker, connect):
    broker = start_broker(chain("revoke"))
    one, control = connect(to=broker), connect(to=broker)
    for _ in range(5):
        one.publish("a", "x", qos=1)
    assert len(lines(broker, "asked access 1 topic a")) == 1
    control.publish("control/revoke", "a", qos=1)
    broker.wait_log("asked access 1 topic control/revoke")
    time.sleep(0.05)
    one.publish("a", "x", qos=1, reason=0x87)
    one.publish("b", "x", qos=1)


def test_revoked_subscription_is_removed(start_broker, connect):
    broker = start_broker(chain("revoke"))
    one, control = connect(to=broker), connect(to=broker)
    one.subscribe("a/#", "b/#")
    control.publish("a/1", "x", qos=1)
    one.expect_message("a/1", "x")
    control.publish("control/revoke", "a/#", qos=1)
    wait_lines(broker, "asked access 2 topic a/#", 2)
    time.sleep(0.05)
    control.publish("a/1", "y", qos=1)
    control.publish("b/1", "z", qos=1)
    one.expect_message("b/1", "z")


def test_covered_deliveries_are_not_asked_about(start_broker, connect):
    broker = start_broker(chain("covers"))
    one = connect(to=broker)
    one.subscribe("covered/#", "other/#", qos=1)
    two = connect(to=broker)
    for topic in ("covered/a", "other/a", "covered/b"):
        two.publish(topic, "x", qos=1)
    one.expect_messages(3)
    assert [line.split()[-2] for line in lines(broker, "asked about delivery")] == ["other/a"]


def test_disconnecting_and_calling_by_connection_id(start_broker, connect):
    broker = start_broker(chain("revoke"))
    one, control = connect(to=broker, id="victim"), connect(to=broker)
    one.publish("control/who", "", qos=1)
    number = broker.wait_log(r"connection (\d+) is victim").group(1)
    control.publish("control/call", number, qos=1)
    broker.wait_log(r"(?s)called for victim.*released")
    control.publish("control/kick", number, qos=1)
    one.expect_disconnect(0x98)
    since = broker.log_size()
    control.publish("control/call", number, qos=1)  # it is gone: released without being called
    broker.wait_log("released", since=since)
    assert not lines(broker, "called for", since)
    control.publish("control/kick", "123456789", qos=1)
    control.publish("control/kick", str(200 << 56), qos=1)


def test_a_plugin_revokes_a_user(start_broker, connect):
    broker = start_broker(chain("revokes", default_access="deny"))
    bad, good = connect(to=broker, username="bad"), connect(to=broker, username="good")
    for one in (bad, good):
        one.subscribe("a/#", qos=1)
        one.publish("b", "x", qos=1)
    good.publish("control/revoke", "bad", qos=1)
    broker.wait_log(r"info what was granted is revoked.*user=bad.*plugin=revokes.*clients=1")
    assert len(lines(broker, "revoked user bad client  flags 0 worker")) == WORKERS
    bad.publish("b", "x", qos=1, reason=0x87)
    good.publish("a/1", "y", qos=1)
    good.expect_message("a/1", "y")
    bad.expect_nothing()
    bad.ping()
    # A login anew is asked about anew.
    connect(to=broker, username="bad").publish("b", "x", qos=1, reason=0x87)


def test_a_plugin_revokes_a_client_and_its_connection(start_broker, connect):
    broker = start_broker(chain("revokes", default_access="deny"))
    victim, other = connect(to=broker, id="victim"), connect(to=broker)
    other.publish("control/cut", "victim", qos=1)
    victim.expect_disconnect(0x98)
    broker.wait_log(r"info what was granted is revoked.*client=victim.*disconnect=yes clients=1")
    other.publish("control/cut", "", qos=1)  # an empty name is a name
    broker.wait_log("asked to revoke: 0")
    other.ping()


# ---- Enhanced authentication -----------------------------------------------------------------------------


def auth(client, data, reason=0x18, method="TEST"):
    client.send(wire.make_auth(reason, {"authentication_method": method, "authentication_data": data}))


def begin(client, **options):
    client.open()
    client.send_connect(properties={"authentication_method": "TEST"}, **options)
    got = client.expect(wire.AUTH, reason=0x18)
    assert got.properties.get("authentication_method") == "TEST"
    return got.properties.get("authentication_data")


def test_challenge_and_response(start_broker, client):
    broker = start_broker(chain("challenge", allow_anonymous=False))
    one = client(to=broker)
    assert begin(one) == b"say 2"
    auth(one, "2")
    assert one.expect(wire.AUTH, reason=0x18).properties.get("authentication_data") == b"say 1"
    auth(one, "1")
    connack = one.expect(wire.CONNACK, reason=0)
    assert connack.properties.get("authentication_data") == b"done"
    assert "user=challenged" in broker.wait_log("info client connected.*").group()
    one.ping()
    # Once more, while connected; other packets go on in between.
    auth(one, "", 0x19)
    assert one.expect(wire.AUTH, reason=0x18).properties.get("authentication_data") == b"say 2"
    one.ping()
    auth(one, "2")
    one.expect(wire.AUTH, reason=0x18)
    auth(one, "1")
    assert one.expect(wire.AUTH, reason=0).properties.get("authentication_data") == b"done"
    one.ping()


def test_wrong_response_is_refused(start_broker, client):
    broker = start_broker(chain("challenge", allow_anonymous=False))
    one = client(to=broker)
    begin(one)
    auth(one, "7")
    one.expect(wire.CONNACK, reason=0x87)
    one.expect_close()
    assert 'rule="wrong number"' in broker.wait_log("denied.*plugin=challenge.*").group()


def test_wrong_response_to_reauthentication_ends_the_connection(start_broker, client):
    broker = start_broker(chain(entry("challenge", config={"rounds": 1})))
    one = client(to=broker)
    begin(one)
    auth(one, "1")
    one.expect(wire.CONNACK, reason=0)
    auth(one, "", 0x19)
    one.expect(wire.AUTH, reason=0x18)
    auth(one, "7")
    one.expect_disconnect(0x87)


def test_method_that_the_plugin_does_not_know(start_broker, client):
    broker = start_broker(chain("challenge"))
    one = client(to=broker).open()
    one.send_connect(properties={"authentication_method": "OTHER"})
    one.expect(wire.CONNACK, reason=0x8C)
    one.expect_close()


def test_client_that_goes_in_the_middle_of_it(start_broker, client):
    broker = start_broker(chain("challenge"))
    for _ in range(3):
        one = client(to=broker)
        begin(one)
        one.drop()
    client(to=broker).connect()


def test_reload_in_the_middle_of_it(start_broker, client):
    broker = start_broker(chain(entry("challenge", config={"rounds": 1})))
    one = client(to=broker)
    begin(one)
    broker.configure(chain("covers"))
    broker.reload()
    auth(one, "1")
    one.expect(wire.CONNACK, reason=0)
    auth(one, "", 0x19)  # the plugin of the login is not in force any more
    one.expect_disconnect(0x87)
