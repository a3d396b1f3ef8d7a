"""PUBLISH and its acknowledgements: QoS 0, 1 and 2, all versions and between versions."""

import itertools

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5, VERSIONS


@pytest.mark.parametrize("from_version, to_version", list(itertools.product(VERSIONS, VERSIONS)))
def test_delivery_at_the_lower_of_published_and_granted_qos(connect, topic, from_version, to_version):
    # [v5 MQTT-3.8.4-8, MQTT-3.3.4-1, MQTT-4.3.1-1, MQTT-4.3.2-2, MQTT-4.3.2-4, MQTT-4.3.3-2, MQTT-4.3.3-4,
    #  MQTT-4.3.3-8, MQTT-4.3.3-11] [v311 MQTT-3.8.4-6, MQTT-3.3.4-1, MQTT-4.3.1-1, MQTT-4.3.2-1, MQTT-4.3.2-2,
    #  MQTT-4.3.3-1, MQTT-4.3.3-2]
    publisher, subscriber = connect(from_version), connect(to_version)
    for published, granted in itertools.product(range(3), range(3)):
        where = f"{topic}/{published}{granted}"
        subscriber.subscribe(where, qos=granted)
        publisher.publish(where, f"message {published}{granted}", qos=published)
        subscriber.expect_message(where, f"message {published}{granted}", qos=min(published, granted), dup=False,
                                  retain=False)
    subscriber.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", (0, 1, 127, 128, 16383, 16384, 70000, 900000))
def test_payload_sizes(connect, topic, version, size):
    payload = bytes(range(256)) * (size // 256 + 1)
    payload = payload[:size]
    publisher, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic, qos=2)
    for qos in range(3):
        publisher.publish(topic, payload, qos=qos)
        subscriber.expect_message(topic, payload, qos=qos)


@pytest.mark.parametrize("version", VERSIONS)
def test_publisher_gets_its_own_message(connect, topic, version):
    one = connect(version)
    one.subscribe(topic, qos=2)
    for qos in range(3):
        one.publish(topic, f"own {qos}", qos=qos)
        one.acknowledge(one.await_packet(wire.PUBLISH, topic=topic, payload=f"own {qos}".encode()))


@pytest.mark.parametrize("version", VERSIONS)
def test_interleaved_exchanges_keep_their_identifiers(connect, topic, version):
    # [v5 MQTT-2.2.1-5] [v311 MQTT-2.3.1-6]
    one = connect(version)
    ids = {7: 1, 65535: 2, 256: 1, 1: 2, 4097: 1}
    for packet_id, qos in ids.items():
        one.send_publish(topic, str(packet_id), qos, packet_id=packet_id)
    for packet_id, qos in ids.items():
        one.await_packet(wire.PUBACK if qos == 1 else wire.PUBREC, packet_id=packet_id)
    for packet_id in (1, 65535):
        one.send_ack(wire.PUBREL, packet_id)
    for packet_id in (1, 65535):
        one.await_packet(wire.PUBCOMP, packet_id=packet_id, reason=0)
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_qos_2_repeat_before_pubrel_is_delivered_once(connect, topic, version):
    # [v5 MQTT-4.3.3-10] [v311 MQTT-4.3.3-2]
    publisher, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic, qos=2)
    publisher.send_publish(topic, "once", 2, packet_id=10)
    publisher.expect(wire.PUBREC, packet_id=10)
    publisher.send_publish(topic, "once", 2, dup=True, packet_id=10)
    publisher.expect(wire.PUBREC, packet_id=10)
    publisher.send_ack(wire.PUBREL, 10)
    publisher.expect(wire.PUBCOMP, packet_id=10, reason=0)
    subscriber.expect_message(topic, "once", qos=2)
    subscriber.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_identifiers_are_free_again_after_the_exchange(connect, topic, version):
    # [v5 MQTT-4.3.2-5, MQTT-4.3.3-12, MQTT-3.3.1-3] [v311 MQTT-4.3.2-2, MQTT-4.3.3-2, MQTT-3.3.1-3]
    publisher, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic, qos=2)
    for qos in (1, 2):
        publisher.publish(topic, "first", qos=qos, packet_id=10)
        publisher.publish(topic, "second", qos=qos, packet_id=10, dup=True)
        subscriber.expect_message(topic, "first", qos=qos, dup=False)
        subscriber.expect_message(topic, "second", qos=qos, dup=False)


@pytest.mark.reference_differs
@pytest.mark.parametrize("version", VERSIONS)
def test_pubrel_of_an_unknown_identifier_gets_pubcomp(connect, version):
    # [v5 MQTT-2.2.1-5, MQTT-4.3.3-11, section 3.7.2.1]
    one = connect(version)
    one.send_ack(wire.PUBREL, 77)
    one.expect(wire.PUBCOMP, packet_id=77, reason=0x92 if version == V5 else 0)


@pytest.mark.reference_differs
def test_pubrec_of_an_unknown_identifier_gets_pubrel_with_0x92(connect):
    # [v5 MQTT-2.2.1-5, section 3.6.2.1]
    one = connect()
    one.send_ack(wire.PUBREC, 77)
    one.expect(wire.PUBREL, packet_id=77, reason=0x92)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", (wire.PUBACK, wire.PUBCOMP))
def test_stray_acknowledgements_are_survived(connect, topic, version, kind):
    # [v5 MQTT-2.2.1-5]: what the server does is unspecified; others notice nothing
    one, bystander = connect(version), connect(version)
    one.send_ack(kind, 4711)
    bystander.subscribe(topic)
    bystander.publish(topic, "fine")
    bystander.expect_message(topic, "fine")


def test_pubrec_with_an_error_ends_the_exchange(connect, topic):
    # [v5 MQTT-4.3.3-4, MQTT-4.4.0-2]
    publisher, subscriber = connect(), connect(properties={"receive_maximum": 1})
    subscriber.subscribe(topic, qos=2)
    publisher.publish(topic, "refused", qos=2)
    publisher.publish(topic, "next", qos=2)
    refused = subscriber.expect_message(topic, "refused", acknowledge=False)
    subscriber.send_ack(wire.PUBREC, refused.packet_id, 0x80)
    subscriber.expect_message(topic, "next", qos=2)
    subscriber.expect_nothing()


def test_puback_with_an_error_ends_the_exchange(connect, topic):
    # [v5 MQTT-4.4.0-2]
    publisher, subscriber = connect(), connect(properties={"receive_maximum": 1})
    subscriber.subscribe(topic, qos=1)
    publisher.publish(topic, "refused", qos=1)
    publisher.publish(topic, "next", qos=1)
    refused = subscriber.expect_message(topic, "refused", acknowledge=False)
    subscriber.send_ack(wire.PUBACK, refused.packet_id, 0x97, {"reason_string": "no", "user_property": [("a", "b")]})
    subscriber.expect_message(topic, "next", qos=1)


@pytest.mark.parametrize("qos, kind", ((1, wire.PUBACK), (2, wire.PUBREC)))
def test_publish_without_subscribers_is_acknowledged(connect, topic, qos, kind):
    one = connect()
    packet_id = one.send_publish(topic, "nobody", qos)
    assert one.expect(kind, packet_id=packet_id).reason in (0, 0x10)


def test_outstanding_deliveries_have_distinct_identifiers(connect, topic):
    # [v5 MQTT-2.2.1-4, MQTT-4.3.2-1, MQTT-4.3.3-1]
    publisher, subscriber = connect(), connect()
    subscriber.subscribe(topic, qos=2)
    for i in range(20):
        publisher.publish(topic, str(i), qos=1 + i % 2)
    messages = subscriber.expect_messages(20, acknowledge=False)
    assert len({m.packet_id for m in messages}) == 20
    assert [m.payload for m in messages] == [str(i).encode() for i in range(20)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", (1, 2))
def test_nothing_is_sent_twice_on_a_live_connection(connect, topic, version, qos):
    # [v5 MQTT-4.4.0-1]
    publisher, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic, qos=qos)
    publisher.publish(topic, "held", qos=qos)
    held = subscriber.expect_message(topic, "held", acknowledge=False)
    subscriber.expect_nothing(0.3)
    subscriber.acknowledge(held)


@pytest.mark.parametrize("version", VERSIONS)
def test_acknowledgements_in_any_order(connect, topic, version):
    # [v5 MQTT-4.6.0-2, MQTT-4.6.0-3]: the server accepts any order
    publisher, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic, qos=2)
    for i in range(10):
        publisher.publish(topic, str(i), qos=1 + i % 2)
    for message in reversed(subscriber.expect_messages(10, acknowledge=False)):
        subscriber.acknowledge(message)
    for i in range(30):
        publisher.publish(topic, f"more {i}", qos=1 + i % 2)
        subscriber.expect_message(topic, f"more {i}")


def test_all_65535_identifiers_can_be_used(connect, topic):
    one = connect(V311)
    for start in range(1, 65536, 1000):
        ids = range(start, min(start + 1000, 65536))
        one.send(b"".join(wire.make_publish(V311, topic, b"", 1, packet_id=i) for i in ids))
        for packet_id in ids:
            one.expect(wire.PUBACK, packet_id=packet_id)


def test_server_identifiers_wrap_around(connect, topic):
    # More than 65535 QoS 1 deliveries on one connection: no identifier 0, none twice at a time.
    publisher, subscriber = connect(V311), connect(V311)
    subscriber.subscribe(topic, qos=1)
    total, batch = 66000, 500
    for start in range(0, total, batch):
        publisher.send(b"".join(wire.make_publish(V311, topic, str(i), 1, packet_id=i % 65535 + 1)
                                for i in range(start, start + batch)))
        for i in range(start, start + batch):
            message = subscriber.expect(wire.PUBLISH, payload=str(i).encode())
            subscriber.send_ack(wire.PUBACK, message.packet_id)
        for _ in range(batch):
            publisher.expect(wire.PUBACK)


@pytest.mark.parametrize("version", VERSIONS)
def test_publish_split_into_pieces(connect, topic, version):
    one, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic, qos=1)
    data = b"".join(wire.make_publish(version, topic, f"piece {i}" * 20, 1, packet_id=i + 1) for i in range(5))
    for at in range(0, len(data), 7):
        one.send(data[at:at + 7])
    for i in range(5):
        one.await_packet(wire.PUBACK, packet_id=i + 1)
        subscriber.expect_message(topic, f"piece {i}" * 20)


@pytest.mark.parametrize("version", VERSIONS)
def test_many_packets_in_one_segment_keep_their_order(connect, topic, version):
    # [v5 MQTT-4.6.0-5] [v311 MQTT-4.6.0-6]
    one, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic)
    one.send(b"".join(wire.make_publish(version, topic, str(i)) for i in range(2000)))
    for i in range(2000):
        subscriber.expect(wire.PUBLISH, topic=topic, payload=str(i).encode())
