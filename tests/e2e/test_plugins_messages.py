"""Hooks on messages, events, publishing plugins, metrics."""

import re
import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5
from plugins import chain, entry, lines, wait_lines

pytestmark = pytest.mark.reference_differs


# ---- message_in ------------------------------------------------------------------------------------------


@pytest.fixture
def inward(start_broker):
    return start_broker(chain("message-in"))


@pytest.fixture
def watcher(inward, connect):
    one = connect(to=inward)
    one.subscribe("#", qos=2)
    return one


def test_message_in_changes_what_everybody_gets(inward, watcher, connect):
    properties = {"content_type": "text/plain", "correlation_data": b"\0\1", "response_topic": "answers",
                  "payload_format_indicator": 1, "user_property": [("a", "1"), ("b", "2")]}
    connect(to=inward).publish("in/change", "x", qos=1, properties=properties)
    got = watcher.expect_message("out/changed", "<x>", qos=1)
    assert [value for name, value in got.properties if name == "user_property"] == [("b", "2"), ("seen by", "message-in")]
    for name in ("content_type", "correlation_data", "response_topic", "payload_format_indicator"):
        assert got.properties.get(name) is not None
    connect(V311, to=inward).publish("in/change", "y", qos=2)
    watcher.expect_message("out/changed", "<y>", qos=2)


@pytest.mark.parametrize("qos", (0, 1, 2))
def test_message_in_drops(inward, watcher, connect, qos):
    connect(to=inward).publish("in/drop", "x", qos=qos)
    watcher.expect_nothing()


def test_message_in_refuses_with_its_own_code_and_reason(inward, watcher, connect):
    one = connect(to=inward)
    for qos, kind in ((1, wire.PUBACK), (2, wire.PUBREC)):
        packet_id = one.send_publish("in/refuse", "x", qos)
        got = one.expect(kind, packet_id=packet_id, reason=0x99)
        assert got.properties.get("reason_string") == "not in this format"
    connect(V311, to=inward).publish("in/refuse", "x", qos=1)
    watcher.expect_nothing()
    assert "plugin=message-in" in lines(inward, "in/refuse")[-1]


def test_message_in_that_errs_refuses(inward, watcher, connect):
    connect(to=inward).publish("in/error", "x", qos=1, reason=0x87)
    watcher.expect_nothing()


def test_message_in_that_errs_is_passed_over_where_told_so(start_broker, connect):
    broker = start_broker(chain(entry("message-in", on_error="next")))
    one = connect(to=broker)
    one.subscribe("in/error")
    one.publish("in/error", "x", qos=1)
    one.await_packet(wire.PUBLISH)


def test_message_in_changes_qos_and_retain(inward, watcher, connect):
    one = connect(to=inward)
    one.publish("in/qos0", "x", qos=2)
    watcher.expect_message("in/qos0", "x", qos=0)
    one.publish("in/retain", "x", qos=1)
    watcher.expect_message("in/retain", "x")
    late = connect(to=inward)
    late.subscribe("in/retain", qos=1)
    late.expect_message("in/retain", "x", retain=True)


def test_message_in_that_waits_keeps_the_order_of_its_client(inward, watcher, connect):
    one, other = connect(to=inward), connect(to=inward)
    one.send_publish("in/pending", "x", 1)
    one.send_publish("behind", "y", 1)
    time.sleep(0.05)
    other.publish("in/release", "z", qos=1)
    got = {message.topic: message.payload for message in watcher.expect_messages(3)}
    assert [topic for topic in got if topic != "in/release"] == ["in/pending", "behind"]
    assert got["in/pending"] == b"waited"
    assert [one.expect(wire.PUBACK).packet_id for _ in range(2)] == [1, 2]


def test_message_in_sees_everything(inward, connect):
    one = connect(to=inward)
    one.publish("in/show", "payload", qos=1, retain=True, properties={
        "content_type": "text", "response_topic": "re", "correlation_data": b"co", "user_property": [("k", "v")]})
    inward.wait_log("shown: qos 1 retain 1 payload payload content text response re correlation co user 1 k=v origin 0")
    connect(V311, to=inward).publish("in/show", "", qos=0)
    inward.wait_log("shown: qos 0 retain 0 payload  content  response  correlation  user 0 = origin 0")


def test_wills_pass_message_in(inward, watcher, connect):
    one = connect(to=inward, will=wire.Will("in/change", "gone", qos=1))
    one.drop()
    watcher.expect_message("out/changed", "<gone>")


# ---- message_out -----------------------------------------------------------------------------------------


@pytest.fixture
def outward(start_broker):
    return start_broker(chain("message-out"))


def test_message_out_is_for_one_subscriber(outward, connect):
    one, two = connect(to=outward, id="first"), connect(to=outward, id="second")
    for each in (one, two):
        each.subscribe("out/#", qos=1)
    publisher = connect(to=outward)
    publisher.publish("out/change", "x", qos=1)
    one.expect_message("out/change", "first", qos=1)
    two.expect_message("out/change", "second", qos=1)
    publisher.publish("out/drop", "x", qos=1)
    publisher.publish("out/error", "x", qos=1)
    publisher.publish("out/lower", "x", qos=1)
    publisher.publish("out/plain", "y", qos=1)
    for each in (one, two):
        each.expect_message("out/lower", "x", qos=0)
        each.expect_message("out/plain", "y", qos=1)


def test_message_out_cannot_raise(outward, connect):
    one = connect(to=outward)
    one.subscribe("out/raise", qos=1)
    connect(to=outward).publish("out/raise", "x", qos=1)
    one.expect_message("out/raise", "x", qos=1, retain=False)
    assert "raise: -1 -1" in lines(outward, "raise:")[0]


def test_message_out_of_retained_and_queued_messages(outward, connect):
    one = connect(to=outward, id="first", properties={"session_expiry_interval": 60})
    one.subscribe("out/#", qos=1)
    one.drop()
    connect(to=outward).publish("out/change", "x", qos=1, retain=True)
    one.connect(clean=False, properties={"session_expiry_interval": 60})
    one.expect_message("out/change", "first", qos=1)
    two = connect(to=outward, id="second")
    two.subscribe("out/#", qos=1)
    two.expect_message("out/change", "second", qos=1, retain=True)


# ---- Events ----------------------------------------------------------------------------------------------


def events(broker, client):
    """Names of the events of a client so far, in order."""
    return [re.search(r"event (\S+)", line).group(1) for line in lines(broker, rf"event \S+ client {client} ")]


def test_events_of_one_life(start_broker, connect):
    broker = start_broker(chain("recorder"))
    one = connect(to=broker, id="me")
    one.subscribe("a/#", qos=1)
    one.publish("a/1", "x", qos=1)
    one.await_packet(wire.PUBLISH, topic="a/1")
    one.send_ack(wire.PUBACK, 1)
    one.unsubscribe("a/#")
    one.disconnect()
    wait_lines(broker, "event client-freed client me", 1)
    assert sorted(events(broker, "me")[:2]) == ["connected", "session-created"]
    rest = events(broker, "me")[2:]
    assert rest[:4] == ["subscribed", "message-delivered", "message-acked", "unsubscribed"]
    assert rest[-1] == "client-freed" and "disconnected" in rest
    # What the plugin keeps of a client is there until the very last event.
    last = lines(broker, "event client-freed client me")[0]
    assert f"nth {len(events(broker, 'me')) - 1} " in last or "session-expired" in rest
    assert "topic a/#" in lines(broker, "event subscribed")[0]


def test_events_of_a_takeover_come_in_order(start_broker, connect):
    broker = start_broker(chain("recorder"))
    connect(to=broker, id="me", properties={"session_expiry_interval": 60})
    connect(to=broker, id="me", clean=False, properties={"session_expiry_interval": 60})
    wait_lines(broker, "event connected client me", 2)
    names = events(broker, "me")
    assert names.index("session-taken") < len(names) - 1 - names[::-1].index("connected")
    assert "session-resumed" in names


def test_events_of_failed_logins(start_broker, client):
    broker = start_broker(chain("recorder", allow_anonymous=False))
    client(to=broker, id="me").connect(username="u", password="x", reason=0x87)
    wait_lines(broker, "event client-freed client me", 1)
    assert events(broker, "me")[0] == "login-failed" and "connected" not in events(broker, "me")


def test_events_of_sessions_that_expire(start_broker, connect):
    broker = start_broker(chain("recorder"))
    one = connect(to=broker, id="me", properties={"session_expiry_interval": 1})
    one.disconnect()
    line = wait_lines(broker, "event session-expired client me", 1)[0]
    assert "connection none" in line


def test_events_of_dropped_messages(start_broker, connect):
    broker = start_broker(chain("recorder", "message-out"))
    one = connect(to=broker, id="me")
    one.subscribe("out/#")
    connect(to=broker).publish("out/drop", "x", qos=1)
    wait_lines(broker, "event message-dropped client me topic out/drop", 1)


# ---- Publishing plugins ----------------------------------------------------------------------------------


def test_plugin_publishes_from_a_timer(start_broker, connect):
    broker = start_broker(chain(entry("ticker", config={"topic": "$ticks/a", "interval": "20ms"}), "message-in"))
    one = connect(to=broker)
    one.subscribe("$ticks/#", qos=1)
    for _ in range(3):
        got = one.expect_message("$ticks/a", "tick", qos=1)
        assert got.properties.get("content_type") == "text/plain"
        assert got.properties.get("user_property") == ("from", "ticker")
        assert 0 < got.properties.get("message_expiry_interval") <= 60
    assert not lines(broker, "seen")  # its own message_in does not see it


def test_publications_pass_the_message_in_of_others(start_broker, connect):
    broker = start_broker(chain(entry("ticker", config={"topic": "in/change", "interval": "20ms"}), "message-in"))
    one = connect(to=broker)
    one.subscribe("#")
    one.expect_message("out/changed", "<tick>")


def test_reload_changes_what_a_timer_does_and_stops_it(start_broker, connect):
    broker = start_broker(chain(entry("ticker", config={"topic": "a", "interval": "20ms"})))
    one = connect(to=broker)
    one.subscribe("#")
    one.expect_message("a", "tick")
    broker.configure(chain(entry("ticker", config={"topic": "b", "interval": "20ms"})))
    broker.reload()
    one.await_packet(wire.PUBLISH, topic="b")
    broker.configure(chain())
    broker.reload()
    time.sleep(0.1)
    two = connect(to=broker)
    two.subscribe("#")
    two.expect_nothing()
    broker.configure(chain(entry("ticker", config={"topic": "c", "interval": "20ms"})))
    broker.reload()
    two.expect_message("c", "tick")


# ---- Metrics and wrong calls -----------------------------------------------------------------------------


def test_metrics(start_broker, connect):
    broker = start_broker(chain("metrics", "covers"))
    one = connect(to=broker)
    for payload in ("a", "bbb", "cc"):
        one.publish("t", payload, qos=1)
    one.publish("metrics/print", "", qos=1)
    for part in ("metrics/messages kind 0 value 4", "metrics/bytes kind 1 value 0", "metrics/sizes kind 2 value 4 total 6",
                 "covers/verdicts_allow kind 0 value 4", "metrics/hook_duration kind 2 value 3", "/pending_decisions kind 1 value 0"):
        broker.wait_log(f"metric {part}")


def test_calls_from_the_wrong_thread_do_nothing(start_broker, connect):
    broker = start_broker(chain("wrong-thread"))
    one = connect(to=broker)
    one.publish("t", "x", qos=1)
    broker.wait_log("timer no watch no data 0 set -2")
    broker.wait_log("info no payload -2 annotate -2 defer no")
    broker.wait_log("config -2 metric no")
