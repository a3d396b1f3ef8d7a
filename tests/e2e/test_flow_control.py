"""Receive Maximum and Maximum Packet Size, both ways."""

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5
from mqtt_raw import ConnectionClosed

KEPT = {"session_expiry_interval": 60}


@pytest.mark.parametrize("qos", (1, pytest.param(2, marks=pytest.mark.reference_differs)))
@pytest.mark.parametrize("maximum", (1, 3, 20))
def test_no_more_than_receive_maximum_messages_are_outstanding(connect, topic, qos, maximum):
    # [v5 MQTT-3.3.4-9, MQTT-4.9.0-1, MQTT-4.9.0-2]
    one, publisher = connect(properties={"receive_maximum": maximum}), connect()
    one.subscribe(topic, qos=qos)
    total = maximum * 2 + 3
    for i in range(total):
        publisher.publish(topic, str(i), qos=qos)
    window = [one.expect_message(topic, str(i), acknowledge=False) for i in range(maximum)]
    one.expect_nothing()
    for i in range(maximum, total):
        first = window.pop(0)
        if qos == 1:
            one.send_ack(wire.PUBACK, first.packet_id)
        else:
            one.send_ack(wire.PUBREC, first.packet_id)
            one.expect(wire.PUBREL, packet_id=first.packet_id)
            if i == maximum:
                one.expect_nothing()  # a slot is free after PUBCOMP, not after PUBREC
            one.send_ack(wire.PUBCOMP, first.packet_id)
        window.append(one.expect_message(topic, str(i), acknowledge=False))
    for message in window:
        one.acknowledge(message)
    one.expect_nothing()


def test_everything_else_flows_while_the_window_is_full(connect, topic):
    # [v5 MQTT-3.3.4-10, MQTT-4.9.0-3]
    one, publisher = connect(properties={"receive_maximum": 1}), connect()
    one.subscribe((topic, 1), (f"{topic}/0", 0))
    publisher.publish(topic, "fills", qos=1)
    publisher.publish(topic, "waits", qos=1)
    held = one.expect_message(topic, "fills", acknowledge=False)
    one.ping()
    one.subscribe(f"{topic}/more")
    one.unsubscribe(f"{topic}/more")
    for qos in range(3):
        one.publish(f"{topic}/elsewhere", "in", qos=qos)
    one.expect_nothing()
    one.acknowledge(held)
    one.expect_message(topic, "waits")


@pytest.mark.reference_differs
def test_qos_0_overtakes_a_full_window(connect, topic):
    # [v5 MQTT-4.9.0-3]; order is promised among messages of the same QoS only [v5 MQTT-4.6.0-5]
    one, publisher = connect(properties={"receive_maximum": 1}), connect()
    one.subscribe(topic, qos=1)
    publisher.publish(topic, "fills", qos=1)
    held = one.expect_message(topic, "fills", acknowledge=False)
    publisher.publish(topic, "quick", qos=0)
    one.expect_message(topic, "quick", qos=0)
    one.acknowledge(held)


@pytest.mark.reference_differs
@pytest.mark.parametrize("version", (V311,))
def test_window_towards_311_clients_is_the_configured_one(start_broker, connect, topic, version):
    broker = start_broker({"workers": 1, "allow_anonymous": True, "default_access": "allow",
                           "listeners": [{"name": "default", "bind": "@default@"}], "limits": {"inflight": 4}})
    one, publisher = connect(version, to=broker), connect(to=broker)
    one.subscribe(topic, qos=1)
    for i in range(6):
        publisher.publish(topic, str(i), qos=1)
    window = [one.expect_message(topic, str(i), acknowledge=False) for i in range(4)]
    one.expect_nothing()
    for message in window:
        one.acknowledge(message)
    one.expect_messages(2)


@pytest.mark.reference_differs
@pytest.mark.parametrize("qos", (2,))
def test_client_exceeding_receive_maximum_is_disconnected(connect, topic, qos):
    # [v5 MQTT-3.3.4-7, MQTT-4.9.0-2]
    one, bystander = connect(), connect()
    maximum = one.connack.properties.get("receive_maximum", 65535)
    assert maximum < 2000, "the broker offers too large a window to test it"
    for i in range(maximum):
        one.send_publish(topic, "x", 2, packet_id=i + 1)
        one.expect(wire.PUBREC, packet_id=i + 1)
    one.send_publish(topic, "x", 2, packet_id=maximum + 1)
    one.expect_disconnect(0x93)
    bystander.ping()


def test_client_may_use_its_whole_window_again_and_again(connect, topic):
    one = connect()
    maximum = one.connack.properties.get("receive_maximum", 65535)
    for _ in range(3):
        for i in range(min(maximum, 100)):
            one.send_publish(topic, "x", 2, packet_id=i + 1)
        for i in range(min(maximum, 100)):
            one.expect(wire.PUBREC, packet_id=i + 1)
        for i in range(min(maximum, 100)):
            one.send_ack(wire.PUBREL, i + 1)
        for i in range(min(maximum, 100)):
            one.expect(wire.PUBCOMP, packet_id=i + 1, reason=0)


def test_qos_1_in_a_burst_beyond_the_window(connect, topic):
    # A client that sends its next QoS 1 message after a PUBACK is on the way must not be punished: the broker
    # acknowledges each in turn.
    one, subscriber = connect(), connect(V311)
    subscriber.subscribe(topic, qos=0)
    maximum = one.connack.properties.get("receive_maximum", 65535)
    for start in range(0, 20 * min(maximum, 50), min(maximum, 50)):
        for i in range(start, start + min(maximum, 50)):
            one.send_publish(topic, str(i), 1, packet_id=i + 1)
        for i in range(start, start + min(maximum, 50)):
            one.expect(wire.PUBACK, packet_id=i + 1)
    for i in range(20 * min(maximum, 50)):
        subscriber.expect_message(topic, str(i))


@pytest.mark.reference_differs
def test_messages_larger_than_the_client_takes_are_dropped(connect, topic):
    # [v5 MQTT-3.1.2-24, MQTT-3.1.2-25]
    limit = 100
    one, other = connect(properties={"maximum_packet_size": limit, "receive_maximum": 1}), connect()
    publisher = connect()
    one.subscribe(topic, qos=1)
    other.subscribe(topic, qos=1)
    fits = limit - (2 + 2 + len(topic) + 2 + 1)
    for size in (fits + 1, fits, 200, 5000, 1):
        publisher.publish(topic, b"x" * size, qos=1)
        other.expect_message(topic, b"x" * size)
    assert one.expect_message(topic, b"x" * fits).size == limit
    one.expect_message(topic, b"x")
    one.expect_nothing()


def test_message_too_large_because_of_its_properties_is_dropped(connect, topic):
    # [v5 MQTT-3.1.2-24]
    one, publisher = connect(properties={"maximum_packet_size": 150}), connect()
    one.subscribe(topic)
    publisher.publish(topic, "big", properties=[("user_property", ("key", "v" * 200))])
    publisher.publish(topic, "small", properties=[("user_property", ("key", "v"))])
    one.expect_message(topic, "small")


def test_queued_and_retained_messages_obey_the_size_of_the_new_connection(connect, topic):
    # [v5 MQTT-3.1.2-24]
    one, publisher = connect(properties=KEPT), connect()
    one.subscribe(topic, qos=1)
    one.disconnect()
    for payload in (b"a" * 500, b"small"):
        publisher.publish(topic, payload, qos=1)
    publisher.publish(f"{topic}/r", b"b" * 500, qos=1, retain=True)
    one.connect(clean=False, properties={**KEPT, "maximum_packet_size": 100})
    one.expect_message(topic, b"small")
    one.subscribe(f"{topic}/r")
    one.expect_nothing()


@pytest.mark.parametrize("limit", (20, 30))
def test_nothing_larger_than_a_tiny_limit_is_sent(client, topic, limit):
    # [v5 MQTT-3.1.2-24, MQTT-3.2.2-19, MQTT-3.9.2-1, MQTT-3.11.2-1, MQTT-3.4.2-2, MQTT-3.14.2-3]
    one = client(id="tiny")
    one.open()
    one.send_connect(properties={"maximum_packet_size": limit})
    try:
        connack = one.receive()
    except wire.WireError:
        raise
    except AssertionError:
        return  # a CONNACK that says what it must does not fit: a close is all that is left
    assert connack.size <= limit
    if connack.reason:
        return
    one.subscribe("t", "t/#")
    one.unsubscribe("t", "nowhere", reasons=[0, 0x11])
    one.publish("x", "y", qos=1)
    one.publish("x", "y", qos=2)
    one.send(b"\xc1\x00")
    try:
        assert one.receive().size <= limit
    except wire.WireError:
        raise
    except AssertionError:
        pass


def test_packet_larger_than_the_broker_takes(start_broker, connect, client, topic):
    # [v5 MQTT-3.2.2-15]
    broker = start_broker({"allow_anonymous": True, "default_access": "allow", "limits": {"packet_size": "1KiB"},
                           "listeners": [{"name": "default", "bind": "@default@"}]})
    subscriber = connect(to=broker)
    subscriber.subscribe(topic, qos=1)
    one = connect(to=broker)
    assert one.connack.properties.get("maximum_packet_size") == 1024
    fits = 1024 - (3 + 2 + len(topic) + 2 + 1)
    one.publish(topic, b"x" * fits, qos=1)
    subscriber.expect_message(topic, b"x" * fits)
    one.send_publish(topic, b"x" * (fits + 1), 1)
    one.expect_disconnect(0x95)
    old = connect(V311, to=broker)
    old.send_publish(topic, b"x" * 1100, 1)
    old.expect_close()
    big = client(V5, to=broker).open()
    big.send_connect(will=wire.Will("t", b"x" * 1100))
    try:
        assert big.expect(wire.CONNACK).reason == 0x95
    except ConnectionClosed:
        pass  # judged by its head, before the version is known
    subscriber.expect_nothing()


@pytest.mark.reference_differs
def test_packet_size_is_judged_by_its_head(start_broker, connect, topic):
    # 256 MiB are announced and not sent: the broker answers at once and reserves no memory for them.
    broker = start_broker({"allow_anonymous": True, "default_access": "allow",
                           "listeners": [{"name": "default", "bind": "@default@"}]})
    one = connect(to=broker)
    one.send(b"\x30\xff\xff\xff\x7f\x00\x01a")
    one.expect_disconnect(0x95)
