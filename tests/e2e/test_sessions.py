"""Sessions: clean start, resumption, expiry, queueing while offline, retransmission after resumption."""

import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5, VERSIONS

KEPT = {"session_expiry_interval": 60}


def keep(version):
    """CONNECT options of a session that outlives its connection."""
    return {"clean": False, **({"properties": KEPT} if version == V5 else {})}


def session_present(one):
    """3.1 has no such flag: its CONNACK byte is reserved."""
    return one.connack.session_present if one.version != wire.V31 else None


@pytest.mark.parametrize("version", VERSIONS)
def test_session_is_resumed_with_its_subscriptions(connect, client, topic, version):
    # [v5 MQTT-3.1.2-5, MQTT-3.1.2-23, MQTT-3.2.2-3, MQTT-3.1.3-2] [v311 MQTT-3.1.2-4, MQTT-3.2.2-2, MQTT-3.1.3-2]
    one = client(version)
    one.connect(**keep(version))
    assert not one.connack.session_present
    one.subscribe(topic, qos=1)
    one.disconnect()
    other = client(version)
    assert not other.connect(**keep(version)).session_present
    one.connect(**keep(version))
    assert session_present(one) in (True, None)
    connect().publish(topic, "hello", qos=1)
    one.expect_message(topic, "hello", qos=1)


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_wait_for_an_offline_client_in_order(connect, client, topic, version):
    # [v5 MQTT-4.5.0-1, MQTT-4.6.0-5, MQTT-3.2.0-1] [v311 MQTT-3.1.2-5, MQTT-4.5.0-1, MQTT-3.2.0-1]
    one, publisher = client(version), connect(version)
    one.connect(**keep(version))
    one.subscribe(topic, qos=2)
    one.disconnect()
    for i in range(50):
        publisher.publish(topic, str(i), qos=1 + i % 2)
    one.connect(**keep(version))
    for i in range(50):
        one.acknowledge(one.await_packet(wire.PUBLISH, topic=topic, payload=str(i).encode(), qos=1 + i % 2, dup=False))
    one.expect_nothing()
    publisher.publish(topic, "live", qos=1)
    one.expect_message(topic, "live")


@pytest.mark.parametrize("version", VERSIONS)
def test_more_messages_than_the_window_wait_and_all_arrive(connect, client, topic, version):
    one, publisher = client(version), connect(version)
    one.connect(**keep(version))
    one.subscribe(topic, qos=2)
    one.disconnect()
    for i in range(300):
        publisher.publish(topic, str(i), qos=2)
    one.connect(**keep(version))
    got = [m.payload for m in one.expect_messages(300)]
    assert got == [str(i).encode() for i in range(300)]


@pytest.mark.reference_differs
def test_qos_0_messages_are_not_queued_for_an_offline_client(broker, connect, client, topic):
    one, publisher = client(), connect()
    one.connect(**keep(V5))
    one.subscribe(topic, qos=1)
    one.drop()
    publisher.publish(topic, "lost", qos=0)
    publisher.publish(topic, "kept", qos=1)
    # Acknowledged is not yet arrived where the session lives on another worker: a reload passes through them all.
    broker.reload()
    one.connect(**keep(V5))
    one.expect_message(topic, "kept")
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_clean_start_discards_the_session(connect, client, topic, version):
    # [v5 MQTT-3.1.2-4, MQTT-3.2.2-2] [v311 MQTT-3.1.2-6, MQTT-3.2.2-1]
    one, publisher = client(version), connect(version)
    one.connect(**keep(version))
    one.subscribe(topic, qos=1)
    one.drop()
    publisher.publish(topic, "old", qos=1)
    assert not one.connect(clean=True).session_present
    publisher.publish(topic, "new", qos=1)
    one.expect_nothing()
    one.disconnect()
    assert not one.connect(clean=False).session_present
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_clean_start_discards_the_session_of_a_live_connection(connect, client, topic, version):
    # [v5 MQTT-3.1.4-4] [v311 MQTT-3.1.4-3]
    one, two = client(version), None
    one.connect(**keep(version))
    one.subscribe(topic, qos=1)
    two = client(version, id=one.client_id)
    assert not two.connect(clean=True).session_present
    connect().publish(topic, "x", qos=1)
    two.expect_nothing()


@pytest.mark.parametrize("version", (V311, V5))
def test_session_ends_with_its_connection(client, topic, version):
    # [v5 MQTT-4.1.0-2] (expiry 0, or absent) [v311 MQTT-3.1.2-6]
    for end in ("disconnect", "drop"):
        one = client(version)
        one.connect(clean=True)
        one.subscribe(topic, qos=1)
        getattr(one, end)()
        time.sleep(0.05)
        assert not one.connect(clean=False).session_present
        one.drop()


def test_session_expires(connect, client, topic):
    # [v5 MQTT-4.1.0-2, MQTT-3.1.2-23]
    one = client()
    options = {"clean": False, "properties": {"session_expiry_interval": 1}}
    one.connect(**options)
    one.subscribe(topic, qos=1)
    one.drop()
    time.sleep(0.3)
    assert one.connect(**options).session_present
    one.drop()
    connect().publish(topic, "too late", qos=1)
    time.sleep(2.6)
    assert not one.connect(**options).session_present
    one.expect_nothing()


def test_session_with_expiry_is_kept_while_connected(connect, client, topic):
    # [v5 MQTT-4.1.0-1]
    one = connect(properties={"session_expiry_interval": 1})
    one.subscribe(topic, qos=1)
    time.sleep(1.6)
    connect().publish(topic, "x", qos=1)
    one.expect_message(topic, "x")


def test_disconnect_changes_the_session_expiry(client):
    # [v5 section 3.14.2.2.2]
    one = client()
    one.connect(clean=False, properties=KEPT)
    one.disconnect(0, {"session_expiry_interval": 0})
    assert not one.connect(clean=False, properties=KEPT).session_present
    one.disconnect(0, {"session_expiry_interval": 100})
    assert one.connect(clean=False, properties=KEPT).session_present


def test_disconnect_cannot_give_a_session_without_expiry_one(connect):
    # [v5 section 3.14.2.2.2]: a Protocol Error
    one = connect()
    one.send(wire.make_disconnect(V5, 0, {"session_expiry_interval": 10}))
    one.expect_disconnect(0x82)


@pytest.mark.parametrize("from_version, to_version", ((V311, V5), (V5, V311)))
def test_session_survives_a_change_of_version(connect, client, topic, from_version, to_version):
    one = client(from_version)
    one.connect(**keep(from_version))
    one.subscribe(topic, qos=1)
    one.drop()
    connect().publish(topic, "waiting", qos=1)
    two = client(to_version, id=one.client_id)
    assert two.connect(**keep(to_version)).session_present
    two.expect_message(topic, "waiting")


def resumable(connect, client, topic, version, qos, count=5):
    """A client with a kept session that has received `count` messages and acknowledged none."""
    one, publisher = client(version), connect(version)
    one.connect(**keep(version))
    one.subscribe(topic, qos=qos)
    for i in range(count):
        publisher.publish(topic, str(i), qos=qos)
    messages = one.expect_messages(count, acknowledge=False)
    assert not any(m.dup for m in messages)
    return one, publisher, messages


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", (1, 2))
def test_unacknowledged_messages_come_again_with_dup_and_the_same_ids_in_order(connect, client, topic, version, qos):
    # [v5 MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.3.2-3, MQTT-4.3.3-3] [v311 MQTT-4.4.0-1, MQTT-3.3.1-1, MQTT-4.3.2-1]
    one, publisher, messages = resumable(connect, client, topic, version, qos)
    one.disconnect()
    publisher.publish(topic, "later", qos=qos)
    one.connect(**keep(version))
    for first in messages:
        one.expect_message(topic, first.payload, packet_id=first.packet_id, dup=True, qos=qos, acknowledge=False)
    later = one.expect_message(topic, "later", dup=False, acknowledge=False)
    assert later.packet_id not in [m.packet_id for m in messages]
    for message in [*messages, later]:
        one.acknowledge(message)
    one.disconnect()
    one.connect(**keep(version))
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_acknowledged_messages_do_not_come_again(connect, client, topic, version):
    # [v5 MQTT-4.3.2-3]
    one, _, messages = resumable(connect, client, topic, version, 1)
    for index in (1, 3):
        one.acknowledge(messages[index])
    one.ping()
    one.drop()
    one.connect(**keep(version))
    for index in (0, 2, 4):
        one.expect_message(topic, messages[index].payload, packet_id=messages[index].packet_id, dup=True)
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_only_pubrel_comes_again_after_pubrec(connect, client, topic, version):
    # [v5 MQTT-4.3.3-5, MQTT-4.3.3-6] [v311 MQTT-4.3.3-1]
    one, _, messages = resumable(connect, client, topic, version, 2)
    for message in messages[:2]:
        one.send_ack(wire.PUBREC, message.packet_id)
        one.expect(wire.PUBREL, packet_id=message.packet_id)
    one.drop()
    one.connect(**keep(version))
    released = [one.await_packet(wire.PUBREL).packet_id for _ in range(2)]
    assert released == [m.packet_id for m in messages[:2]]
    for message in messages[2:]:
        one.await_packet(wire.PUBLISH, packet_id=message.packet_id, dup=True)
    for message in messages[:2]:
        one.send_ack(wire.PUBCOMP, message.packet_id)
    for message in messages[2:]:
        one.acknowledge(message)
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_incoming_qos_2_exchange_is_resumed(connect, client, topic, version):
    # The server keeps the identifiers of QoS 2 messages it has received but not seen released.
    # [v5 MQTT-4.3.3-10, MQTT-4.3.3-11] [v311 MQTT-4.3.3-2]
    subscriber, one = connect(version), client(version)
    subscriber.subscribe(topic, qos=2)
    one.connect(**keep(version))
    one.send_publish(topic, "once", 2, packet_id=5)
    one.expect(wire.PUBREC, packet_id=5)
    one.drop()
    one.connect(**keep(version))
    one.send_publish(topic, "once", 2, packet_id=5, dup=True)
    one.expect(wire.PUBREC, packet_id=5)
    one.send_ack(wire.PUBREL, 5)
    one.expect(wire.PUBCOMP, packet_id=5, reason=0)
    subscriber.expect_message(topic, "once", qos=2)
    subscriber.expect_nothing()


def test_retransmission_happens_on_takeover_too(connect, client, topic):
    # [v5 MQTT-4.4.0-1]
    one, _, messages = resumable(connect, client, topic, V5, 1)
    two = client(V5, id=one.client_id)
    assert two.connect(**keep(V5)).session_present
    for first in messages:
        two.expect_message(topic, first.payload, packet_id=first.packet_id, dup=True)


@pytest.mark.reference_differs
def test_resumption_with_a_smaller_receive_maximum(connect, client, topic):
    # [v5 MQTT-3.3.4-9]: the new connection's Receive Maximum holds for what is sent again, too
    one, _, messages = resumable(connect, client, topic, V5, 1, count=6)
    one.drop()
    one.connect(clean=False, properties={**KEPT, "receive_maximum": 2})
    for start in range(0, 6, 2):
        pair = [one.expect_message(topic, m.payload, packet_id=m.packet_id, acknowledge=False)
                for m in messages[start:start + 2]]
        one.expect_nothing()
        for message in pair:
            one.acknowledge(message)


def test_refused_connect_says_session_present_0(connect, client, topic):
    # [v5 MQTT-3.2.2-6]; the strict decoder checks the flag of the refusal
    one = client()
    one.connect(clean=False, properties=KEPT)
    one.drop()
    bad = client(id=one.client_id)
    bad.connect(clean=False, properties={**KEPT, "authentication_method": "NO-SUCH"}, reason=0x8C)
    assert one.connect(clean=False, properties=KEPT).session_present
