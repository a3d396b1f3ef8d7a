"""Sections 4.1, 4.4 and 4.5, and the statements of section 3.1 about sessions."""

import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5
from support import BOTH, KEPT, drain, keep


def start_session(connect, topic, version):
    """A session that has gone, with a subscription, an unacknowledged message and a queued one."""
    one, publisher = connect(version, **keep(version)), connect()
    one.subscribe(topic, qos=2)
    publisher.publish(topic, "open", qos=1)
    one.expect_message(topic, "open", acknowledge=False)
    one.drop()
    publisher.publish(topic, "queued", qos=2)
    return one


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_2_4__and__v311_mqtt_3_1_2_6_clean_start_discards_session(connect, topic, version):
    one = start_session(connect, topic, version)
    assert not one.connect(clean=True).session_present
    connect().publish(topic, "x", qos=1)
    one.expect_nothing()
    one.drop()
    # What began clean ends with its connection (5.0: without an expiry).
    assert not one.connect(clean=False).session_present
    connect().publish(topic, "x", qos=1)
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_2_5__and__v5_mqtt_3_1_2_23__and__v311_mqtt_3_1_2_4__and__v311_mqtt_3_1_2_5_session_goes_on(
        connect, topic, version):
    one = start_session(connect, topic, version)
    assert one.connect(**keep(version)).session_present
    one.expect_message(topic, "open", qos=1)
    one.expect_message(topic, "queued", qos=2)
    connect().publish(topic, "live", qos=2)
    one.expect_message(topic, "live")
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_2_6__and__v311_mqtt_3_1_2_4_session_is_made(client, version):
    connack = client(version).connect(clean=False)
    assert connack.reason == 0 and not connack.session_present


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_2_2_5_state_that_the_server_does_not_have(connect, topic, version):
    # A client that goes on as if its session were there: PUBREL of an exchange that is lost, a PUBLISH that is new.
    one, watcher = connect(version), connect()
    watcher.subscribe(topic)
    one.send_ack(wire.PUBREL, 5)
    one.expect(wire.PUBCOMP, packet_id=5, reason=0x92 if version == V5 else 0)
    one.publish(topic, "again", qos=1, dup=True)
    watcher.expect_message(topic, "again")


def test_v5_mqtt_4_1_0_1__and__v311_mqtt_4_1_0_2_state_lasts_as_long_as_the_connection(connect, topic):
    publisher, begun = connect(), []
    for version in BOTH:
        for clean in (False, True):
            one = connect(version, clean=clean, **({"properties": {"session_expiry_interval": 0}} if version == V5 else {}))
            one.subscribe(topic, qos=2)
            one.send_publish(f"{topic}/x", "open", 2, packet_id=9)
            one.expect(wire.PUBREC, packet_id=9)
            begun.append(one)
    publisher.publish(topic, "held", qos=2)
    held = [one.expect_message(topic, "held", acknowledge=False) for one in begun]
    time.sleep(1.1)  # longer than an expiry of nothing could last
    publisher.publish(topic, "x", qos=1)
    for one, message in zip(begun, held):
        one.expect_message(topic, "x")
        one.acknowledge(message)
        one.send_ack(wire.PUBREL, 9)
        one.expect(wire.PUBCOMP, packet_id=9, reason=0)


def test_v311_mqtt_4_1_0_1_state_is_there_on_every_reconnect(connect, topic):
    one, publisher = connect(V311, clean=False), connect(V311)
    one.subscribe(topic, qos=1)
    for i in range(5):
        one.drop() if i % 2 else one.disconnect()
        publisher.publish(topic, str(i), qos=1)
        assert one.connect(clean=False).session_present
        one.expect_message(topic, str(i))


def test_v5_mqtt_4_1_0_2__and__v5_mqtt_3_1_2_23_expiry(connect, topic):
    # Two sessions of one second: one comes back in time, the other does not; and one that began before neither of them.
    short = {"clean": False, "properties": {"session_expiry_interval": 1}}
    back, late, none = connect(**short), connect(**short), connect(clean=False)
    for one in (back, late, none):
        one.subscribe(topic, qos=1)
        one.drop()
    time.sleep(0.6)
    assert back.connect(**short).session_present
    assert not none.connect(clean=False).session_present
    time.sleep(0.8)
    back.ping()
    assert not late.connect(**short).session_present
    connect().publish(topic, "x", qos=1)
    back.expect_message(topic, "x")
    late.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_4_0_1__and__v311_mqtt_4_4_0_1_resending(connect, topic, version):
    one, publisher = connect(version, **keep(version)), connect()
    one.subscribe(topic, qos=2)
    for i in range(6):
        publisher.publish(topic, str(i), qos=1 + i % 2)
    first = [one.expect_message(topic, str(i), acknowledge=False) for i in range(6)]
    one.send_ack(wire.PUBREC, first[1].packet_id)
    one.expect(wire.PUBREL, packet_id=first[1].packet_id)
    one.send_ack(wire.PUBACK, first[2].packet_id)
    one.expect_nothing(0.6)  # never on a live connection
    for _ in range(2):
        one.drop()
        one.connect(**keep(version))
        again = [one.receive() for _ in range(5)]
        assert [p.packet_id for p in again] == [p.packet_id for p in first if p is not first[2]]
        assert [p.kind for p in again] == [wire.PUBLISH, wire.PUBREL] + [wire.PUBLISH] * 3
        assert all(p.dup and p.payload == first[int(p.payload)].payload for p in again if p.kind == wire.PUBLISH)
        one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_4_0_1_client_that_resends_on_a_live_connection_is_tolerated(connect, topic, version):
    one, watcher = connect(version), connect()
    watcher.subscribe(topic)
    for dup in (False, True, True):
        one.send_publish(topic, "x", 2, packet_id=2, dup=dup)
        one.expect(wire.PUBREC, packet_id=2)
    watcher.expect_message(topic, "x")
    watcher.expect_nothing()


@pytest.mark.parametrize("qos", (1, 2))
def test_v5_mqtt_4_4_0_2_refused_delivery_does_not_return(connect, topic, qos):
    one, publisher = connect(**keep(V5, receive_maximum=1)), connect()
    one.subscribe(topic, qos=qos)
    for reason in (0x80, 0x83, 0x87, 0x97, 0x99):
        publisher.publish(topic, hex(reason), qos=qos)
        message = one.expect_message(topic, hex(reason), acknowledge=False)
        one.send_ack(wire.PUBACK if qos == 1 else wire.PUBREC, message.packet_id, reason)
    one.expect_nothing()
    one.drop()
    one.connect(**keep(V5))
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_5_0_1__and__v311_mqtt_4_5_0_1_every_matching_session_gets_it(connect, topic, version):
    away = [connect(version, **keep(version)) for _ in range(3)]
    for i, one in enumerate(away):
        one.subscribe((topic, f"{topic}/#", "+/+")[i] if i < 2 else topic.split("/")[0] + "/+", qos=1 + i % 2)
        one.drop()
    connect(version).publish(topic, "taken", qos=2)  # complete, so the server owns it
    for one in away:
        one.connect(**keep(version))
        one.expect_message(topic, "taken")
        one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_5_0_2__and__v311_mqtt_4_5_0_2_client_that_never_acknowledges(connect, topic, version):
    one, publisher = connect(version, **keep(version, receive_maximum=5)), connect()
    one.subscribe(topic, qos=1)
    for i in range(50):
        publisher.publish(topic, str(i), qos=1)
    window = [int(m.payload) for m in one.expect_messages(5 if version == V5 else 32, acknowledge=False)]
    one.expect_nothing()
    one.drop()
    one.connect(**keep(version))
    assert [int(m.payload) for m in drain(one)] == list(range(50))
    assert window == list(range(len(window)))


@pytest.mark.parametrize("reason", (0, 0x04, None))
def test_v5_section_3_1_2_11_2_expiry_counts_from_the_disconnect(client, reason):
    one = client()
    one.connect(clean=True, properties=KEPT)
    one.drop() if reason is None else one.disconnect(reason)
    assert one.connect(**keep(V5)).session_present
