"""`limits:`: what happens where a client meets one."""

import socket
import time

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V311, V5
from mqtt_raw import Client

KEPT = {"session_expiry_interval": 60}


@pytest.fixture
def limited(start_broker):
    return lambda **limits: start_broker(base_config(limits=limits))


def wait_accepted(broker, id, seconds=5):
    """Connects again and again until the broker lets the client in."""
    deadline = time.monotonic() + seconds
    while True:
        one = Client(broker.address, V5, id)
        try:
            one.connect()
            return one
        except wire.WireError:
            raise
        except AssertionError:
            one.drop()
            assert time.monotonic() < deadline, "still refused"
            time.sleep(0.05)


def test_connections(limited, connect, client):
    broker = limited(connections=3)
    clients = [connect(to=broker) for _ in range(3)]
    for version, codes in ((V5, (0x97, 0x88, 0x89)), (V311, (3,))):
        one = client(version, to=broker).open()
        one.send_connect()
        try:
            got = one.receive()
            assert got.kind == wire.CONNACK and got.reason in codes, got
            one.expect_close()
        except wire.WireError:
            raise
        except AssertionError as error:
            assert "closed" in str(error)
    for one in clients:
        one.ping()
    clients.pop().disconnect()
    wait_accepted(broker, "next").ping()


def test_connections_without_connect_count_too(limited, connect):
    broker = limited(connections=3, connect_timeout="300ms")
    idle = [socket.create_connection(broker.address) for _ in range(3)]
    time.sleep(0.1)
    wait_accepted(broker, "after the timeout").ping()
    for one in idle:
        one.close()


def test_connect_timeout(limited, client):
    broker = limited(connect_timeout="300ms")
    for sent in (b"", b"\x10", wire.make_connect(V5, "half")[:-3]):
        one = client(V5, to=broker).open()
        one.send(sent)
        began = time.monotonic()
        one.expect_close(timeout=5)
        assert 0.2 < time.monotonic() - began < 4


def test_connect_timeout_does_not_count_once_connected(limited, connect):
    broker = limited(connect_timeout="300ms")
    one = connect(to=broker, keep_alive=0)
    time.sleep(0.7)
    one.ping()


def test_inflight_is_the_receive_maximum_both_ways(limited, connect, topic):
    broker = limited(inflight=3)
    one, publisher = connect(to=broker), connect(to=broker)
    assert one.connack.properties.get("receive_maximum") == 3
    one.subscribe(topic, qos=1)
    for i in range(5):
        publisher.publish(topic, str(i), qos=1)
    window = [one.expect_message(topic, str(i), acknowledge=False) for i in range(3)]
    one.expect_nothing()
    for message in window:
        one.acknowledge(message)
    one.expect_messages(2)
    for i in range(3):
        publisher.send_publish(topic, "x", 2, packet_id=i + 1)
        publisher.expect(wire.PUBREC)
    publisher.send_publish(topic, "x", 2, packet_id=4)
    publisher.expect_disconnect(0x93)


def test_queued_messages(limited, connect, topic):
    broker = limited(queued_messages=5)
    one, publisher = connect(to=broker, properties=KEPT), connect(to=broker)
    one.subscribe(topic, qos=1)
    one.disconnect()
    for i in range(12):
        publisher.publish(topic, str(i), qos=1)
    # Acknowledged is not yet queued where the session lives on another worker: a reload passes through them all.
    broker.reload()
    one.connect(clean=False, properties=KEPT)
    got = [int(m.payload) for m in one.expect_messages(5)]
    assert got == sorted(got) and len(set(got)) == 5
    one.expect_nothing()
    publisher.publish(topic, "again", qos=1)
    one.expect_message(topic, "again")


def test_queued_bytes(limited, connect, topic):
    broker = limited(queued_bytes="4KiB")
    one, publisher = connect(to=broker, properties=KEPT), connect(to=broker)
    one.subscribe(topic, qos=1)
    one.disconnect()
    for i in range(20):
        publisher.publish(topic, bytes([i]) * 1000, qos=1)
    broker.reload()
    one.connect(clean=False, properties=KEPT)
    got = []
    while True:
        try:
            message = one.receive(0.3)
        except wire.WireError:
            raise
        except AssertionError:
            break
        one.acknowledge(message)
        got.append(message.payload[0])
    assert got == sorted(got) and 1 <= len(got) <= 4
    publisher.publish(topic, "again", qos=1)
    one.expect_message(topic, "again")


def test_one_full_queue_does_not_touch_the_others(limited, connect, topic):
    broker = limited(queued_messages=5)
    away, here, publisher = connect(to=broker, properties=KEPT), connect(to=broker), connect(to=broker)
    away.subscribe(topic, qos=1)
    here.subscribe(topic, qos=1)
    away.disconnect()
    for i in range(50):
        publisher.publish(topic, str(i), qos=1)
        here.expect_message(topic, str(i))


def test_client_that_reads_nothing_costs_only_itself(limited, connect, client, topic):
    broker = limited(queued_messages=100, queued_bytes="256KiB", send_buffer="64KiB")
    slow = client(V311, to=broker)
    slow.socket = socket.socket()
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.socket.connect(broker.address)
    slow.send_connect()
    slow.expect(wire.CONNACK, reason=0)
    slow.subscribe(topic)
    here, publisher = connect(V311, to=broker), connect(V311, to=broker)
    here.subscribe(topic)
    count = 1500
    for i in range(count):
        publisher.send_publish(topic, b"%06d" % i + b"x" * 8000)
        here.expect_message(topic, b"%06d" % i + b"x" * 8000)
    got = []
    publisher.send_publish(topic, b"end")
    slow.send(wire.packet(wire.PINGREQ))
    while True:
        packet = slow.receive()
        if packet.kind == wire.PINGRESP:
            break
        got.append(int(packet.payload[:6]) if packet.payload != b"end" else count)
    assert got == sorted(got) and len(got) < count / 2


def test_session_expiry(limited, connect, client, topic):
    # [v5 section 3.2.2.3.2]: the CONNACK tells a client of a shorter expiry
    broker = limited(session_expiry="1s")
    one = connect(to=broker, clean=False, properties={"session_expiry_interval": 1000})
    assert one.connack.properties.get("session_expiry_interval") == 1
    one.drop()
    old = connect(V311, to=broker, clean=False)
    old.drop()
    time.sleep(2.6)
    assert not one.connect(clean=False).session_present
    assert not old.connect(clean=False).session_present


def test_keep_alive(limited, connect):
    # [v5 MQTT-3.1.2-21, MQTT-3.2.2-21]
    broker = limited(keep_alive="1s")
    for asked in (0, 60):
        one = connect(to=broker, keep_alive=asked)
        assert one.connack.properties.get("server_keep_alive") == 1
        began = time.monotonic()
        one.expect_disconnect(0x8D, timeout=8)
        assert 1.3 < time.monotonic() - began < 5


def test_subscriptions(limited, connect, topic):
    broker = limited(subscriptions=3)
    one = connect(to=broker)
    one.subscribe(f"{topic}/1", f"{topic}/2")
    one.subscribe(f"{topic}/3", f"{topic}/4", reasons=[0, 0x97])
    one.subscribe(f"{topic}/1", qos=1)
    one.unsubscribe(f"{topic}/2")
    one.subscribe(f"{topic}/4")
    old = connect(V311, to=broker)
    old.subscribe("a", "b", "c", "d", reasons=[0, 0, 0, 0x80])


def test_topic_levels(limited, connect):
    broker = limited(topic_levels=4)
    one = connect(to=broker)
    one.subscribe("a/b/c/#", "a/b/c/d/e", reasons=[0, 0x8F])
    one.publish("a/b/c/d", "fits", qos=1)
    one.acknowledge(one.await_packet(wire.PUBLISH, topic="a/b/c/d"))
    one.send_publish("a/b/c/d/e", "too deep", 1, packet_id=9)
    got = one.receive()
    assert got.kind in (wire.PUBACK, wire.DISCONNECT) and got.reason == 0x90


def test_retained_messages(limited, connect, topic):
    broker = limited(retained_messages=2)
    publisher = connect(to=broker)
    for i in range(4):
        packet_id = publisher.send_publish(f"{topic}/{i}", str(i), 1, retain=True)
        publisher.expect(wire.PUBACK, packet_id=packet_id)
    one = connect(to=broker)
    one.subscribe(f"{topic}/+")
    assert [m.payload for m in one.expect_messages(2)] == [b"0", b"1"]
    one.expect_nothing()
    publisher.publish(f"{topic}/0", "replaced", qos=1, retain=True)
    one.expect_message(f"{topic}/0", "replaced")
    publisher.publish(f"{topic}/1", "", qos=1, retain=True)
    one.expect_message(f"{topic}/1", "")
    publisher.publish(f"{topic}/3", "now it fits", qos=1, retain=True)
    late = connect(to=broker)
    late.subscribe(f"{topic}/+")
    assert sorted(m.payload for m in late.expect_messages(2)) == [b"now it fits", b"replaced"]


def test_sessions(limited, connect, client):
    broker = limited(sessions=2)
    kept = connect(to=broker, clean=False, properties=KEPT)
    kept.disconnect()
    connect(to=broker)
    one = client(V5, to=broker).open()
    one.send_connect()
    assert one.expect(wire.CONNACK).reason in (0x97, 0x88, 0x89)
    one.expect_close()
    assert kept.connect(clean=False, properties=KEPT).session_present


def test_topic_aliases(limited, connect, topic):
    # [v5 MQTT-3.2.2-18]
    broker = limited(topic_aliases=0)
    one = connect(to=broker, properties={"topic_alias_maximum": 10})
    assert one.connack.properties.get("topic_alias_maximum", 0) == 0
    one.subscribe(topic)
    for _ in range(3):
        one.publish(topic, "x")
        assert "topic_alias" not in one.expect_message(topic, "x").properties
    one.send_publish(topic, "x", properties={"topic_alias": 1})
    one.expect_disconnect(0x94)


def test_retained_bytes(limited, connect, topic):
    broker = limited(retained_bytes="4KiB")
    publisher = connect(to=broker)
    for i in range(3):
        publisher.publish(f"{topic}/{i}", b"x" * 1800, qos=1, retain=True)
    publisher.publish(f"{topic}/0", b"y" * 1800, qos=1, retain=True)
    one = connect(to=broker)
    one.subscribe(f"{topic}/+")
    assert [m.payload[:1] for m in one.expect_messages(2)] == [b"y", b"x"]
    one.expect_nothing()
    assert "a message is not retained" in broker.log()
