"""Sections 4.3 and 4.6: the exchanges of QoS 1 and 2, and the order of messages."""

import threading
import time

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V5
from mqtt_raw import Client
from support import BOTH, keep


@pytest.fixture
def pair(connect, topic):
    """pair(version, qos): a subscriber with a lasting session, and a publisher."""
    def make(version=V5, qos=2, **properties):
        one = connect(version, **keep(version, **properties))
        one.subscribe(topic, qos=qos)
        return one, connect(version)
    return make


# ------------------------------------------------------------------------------------------- QoS 1


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_2_1__and__v5_mqtt_4_3_2_2__and__v5_mqtt_4_3_3_1__and__v5_mqtt_4_3_3_2__and__v311_mqtt_4_3_2_1__and__v311_mqtt_4_3_3_1_first_sending(
        pair, topic, version):
    one, publisher = pair(version)
    for i in range(30):
        publisher.publish(topic, str(i), qos=1 + i % 2)
    held = [one.expect_message(topic, str(i), qos=1 + i % 2, dup=False, acknowledge=False) for i in range(30)]
    assert len({m.packet_id for m in held}) == 30 and 0 not in {m.packet_id for m in held}
    for message in held[:10]:
        one.acknowledge(message)
    for i in range(10):  # identifiers that are free again do not collide with those in use
        publisher.publish(topic, "more", qos=2)
    more = one.expect_messages(10, acknowledge=False)
    assert not {m.packet_id for m in more} & {m.packet_id for m in held[10:]}


def test_v5_mqtt_4_3_2_1__and__v5_mqtt_4_3_3_1_identifier_in_use(connect, topic):
    one = connect()
    one.send_publish(topic, "x", 2, packet_id=4)
    one.expect(wire.PUBREC, packet_id=4)
    one.send_publish(topic, "y", 1, packet_id=4)
    assert one.expect(wire.PUBACK, packet_id=4).reason in (0, 0x10, 0x91)
    one.send_publish(topic, "z", 2, packet_id=4)
    assert one.expect(wire.PUBREC, packet_id=4).reason in (0, 0x10, 0x91)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_2_3__and__v311_mqtt_4_3_2_1_unacknowledged_until_puback(pair, topic, version):
    one, publisher = pair(version)
    for payload in ("open", "done"):
        publisher.publish(topic, payload, qos=1)
    held = one.expect_message(topic, "open", acknowledge=False)
    one.expect_message(topic, "done")
    one.ping()
    one.drop()
    one.connect(**keep(version))
    one.expect_message(topic, "open", dup=True, packet_id=held.packet_id)
    one.expect_nothing()
    one.drop()
    one.connect(**keep(version))
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_2_4__and__v5_mqtt_4_3_2_5__and__v311_mqtt_4_3_2_2_identifier_is_new_after_puback(pair, topic, version):
    one, publisher = pair(version)
    for dup in (False, True):
        publisher.send_publish(topic, f"dup {dup}", 1, packet_id=8, dup=dup)
        publisher.expect(wire.PUBACK, packet_id=8)
        one.expect_message(topic, f"dup {dup}")


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_2_4__and__v5_mqtt_4_3_3_8__and__v311_mqtt_4_3_2_2__and__v311_mqtt_4_3_3_2_server_that_hears_nothing(
        pair, topic, version):
    # A subscriber that answers nothing gets it again with the next resumption, and every time.
    one, publisher = pair(version)
    for qos in (1, 2):
        publisher.publish(topic, str(qos), qos=qos)
    for dup in (False, True, True):
        for qos in (1, 2):
            one.expect_message(topic, str(qos), dup=dup, acknowledge=False)
        one.drop()
        one.connect(**keep(version))


# ------------------------------------------------------------------------------------------- QoS 2, server sends


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_3_3__and__v5_mqtt_4_3_3_5__and__v5_mqtt_4_3_3_6__and__v311_mqtt_4_3_3_1_what_is_resent(
        pair, topic, version):
    one, publisher = pair(version)
    publisher.publish(topic, "x", qos=2)
    packet_id = one.expect_message(topic, "x", dup=False, acknowledge=False).packet_id
    one.drop()
    one.connect(**keep(version))
    one.expect_message(topic, "x", dup=True, packet_id=packet_id, acknowledge=False)
    one.send_ack(wire.PUBREC, packet_id)
    one.expect(wire.PUBREL, packet_id=packet_id)
    for _ in range(2):
        one.drop()
        one.connect(**keep(version))
        one.expect(wire.PUBREL, packet_id=packet_id)
        one.expect_nothing()
    one.send_ack(wire.PUBCOMP, packet_id)
    one.drop()
    one.connect(**keep(version))
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_3_4__and__v311_mqtt_4_3_3_1_pubrel_answers_pubrec(pair, topic, version):
    one, publisher = pair(version)
    for i in range(3):
        publisher.publish(topic, str(i), qos=2)
    held = one.expect_messages(3, acknowledge=False)
    for message in reversed(held):
        one.send_ack(wire.PUBREC, message.packet_id)
        one.expect(wire.PUBREL, packet_id=message.packet_id)
        one.send_ack(wire.PUBREC, message.packet_id)  # once more: PUBREL once more, no PUBLISH
        one.expect(wire.PUBREL, packet_id=message.packet_id)


def test_v5_mqtt_4_3_3_4_no_pubrel_after_a_failing_pubrec(pair, topic):
    one, publisher = pair(V5, receive_maximum=1)
    for payload in ("refused", "next"):
        publisher.publish(topic, payload, qos=2)
    message = one.expect_message(topic, "refused", acknowledge=False)
    one.send_ack(wire.PUBREC, message.packet_id, 0x97)
    one.expect_message(topic, "next")
    one.expect_nothing()


def test_v5_mqtt_4_3_3_4_exchange_without_pubrec_holds_its_slot(pair, topic):
    one, publisher = pair(V5, receive_maximum=1)
    for payload in ("open", "waits"):
        publisher.publish(topic, payload, qos=2)
    message = one.expect_message(topic, "open", acknowledge=False)
    one.expect_nothing()
    one.send_ack(wire.PUBREC, message.packet_id)
    one.expect(wire.PUBREL)
    one.expect_nothing()
    one.send_ack(wire.PUBCOMP, message.packet_id)
    one.expect_message(topic, "waits")


def test_v5_mqtt_4_3_3_7__and__v5_mqtt_4_3_3_13_expiry_does_not_stop_an_exchange(pair, topic):
    one, publisher = pair(V5)
    for payload in ("before PUBREC", "after PUBREC"):
        publisher.publish(topic, payload, qos=2, properties={"message_expiry_interval": 1})
    before, after = one.expect_messages(2, acknowledge=False)
    one.send_ack(wire.PUBREC, after.packet_id)
    one.expect(wire.PUBREL)
    publisher.send_publish(topic, "received", 2, packet_id=900, properties={"message_expiry_interval": 1})
    publisher.expect(wire.PUBREC, packet_id=900, reason=0)
    one.expect_message(topic, "received")
    time.sleep(1.6)
    publisher.send_ack(wire.PUBREL, 900)
    publisher.expect(wire.PUBCOMP, packet_id=900, reason=0)
    one.drop()
    one.connect(**keep(V5))
    one.expect_message(topic, "before PUBREC", dup=True, packet_id=before.packet_id, acknowledge=False)
    one.expect(wire.PUBREL, packet_id=after.packet_id)
    one.send_ack(wire.PUBREC, before.packet_id)
    one.expect(wire.PUBREL, packet_id=before.packet_id, reason=0)


# ------------------------------------------------------------------------------------------- QoS 2, server receives


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_3_8__and__v5_mqtt_4_3_3_10__and__v5_mqtt_4_3_3_12__and__v311_mqtt_4_3_3_2_repeated_publish(
        pair, topic, version):
    one, publisher = pair(version)
    for round_ in ("first", "second"):  # the second is a new message
        for dup in (False, True, False):
            publisher.send_publish(topic, round_, 2, packet_id=6, dup=dup)
            publisher.expect(wire.PUBREC, packet_id=6)
        publisher.send_ack(wire.PUBREL, 6)
        publisher.expect(wire.PUBCOMP, packet_id=6)
        one.expect_message(topic, round_)
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_3_10__and__v311_mqtt_4_3_3_2_repeated_publish_after_resumption(pair, connect, topic, version):
    one, _ = pair(version)
    publisher = connect(version, **keep(version))
    publisher.send_publish(topic, "once", 2, packet_id=6)
    publisher.expect(wire.PUBREC, packet_id=6)
    publisher.drop()
    publisher.connect(**keep(version))
    publisher.send_publish(topic, "once", 2, packet_id=6, dup=True)
    publisher.expect(wire.PUBREC, packet_id=6)
    publisher.send_ack(wire.PUBREL, 6)
    publisher.expect(wire.PUBCOMP, packet_id=6, reason=0)
    one.expect_message(topic, "once")
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_3_3_11__and__v311_mqtt_4_3_3_2_pubcomp_answers_pubrel(pair, topic, version):
    _, publisher = pair(version)
    publisher.send_publish(topic, "x", 2, packet_id=6)
    publisher.expect(wire.PUBREC, packet_id=6)
    for unknown in (False, True, True):
        publisher.send_ack(wire.PUBREL, 6)
        publisher.expect(wire.PUBCOMP, packet_id=6, reason=0x92 if unknown and version == V5 else 0)


def test_v5_mqtt_4_3_3_9_identifier_of_a_refused_publish_is_free(start_broker, connect, test_plugin):
    broker = start_broker(base_config(plugins=[{"name": "shows-reason", "path": test_plugin("shows-reason")}]))
    one, publisher = connect(to=broker), connect(to=broker)
    one.subscribe("allowed", qos=2)
    publisher.send_publish("refused/x", "x", 2, packet_id=6)
    publisher.expect(wire.PUBREC, packet_id=6, reason=0x87)
    publisher.send_publish("allowed", "delivered", 2, packet_id=6)
    publisher.expect(wire.PUBREC, packet_id=6, reason=0)
    one.expect_message("allowed", "delivered")


# ------------------------------------------------------------------------------------------- order


PUBLISHERS, MESSAGES = 4, 100


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_v5_mqtt_4_6_0_5__and__v5_mqtt_4_6_0_6__and__v311_mqtt_4_6_0_5__and__v311_mqtt_4_6_0_6_order(
        broker, connect, topic, version, qos):
    # Several publishers at once to several subscribers; each publisher's messages keep their order at each.
    subscribers = [connect(version) for _ in range(3)]
    for one in subscribers:
        one.subscribe(topic, qos=2)

    def publish(number):
        with Client(broker.address, version, f"order{version}{qos}{number}") as one:
            one.connect()
            for i in range(MESSAGES):
                one.publish(topic, f"{number} {i}", qos=qos)
            one.ping()

    threads = [threading.Thread(target=publish, args=[number]) for number in range(PUBLISHERS)]
    for thread in threads:
        thread.start()
    for one in subscribers:
        got = [m.payload.decode().split() for m in one.expect_messages(PUBLISHERS * MESSAGES)]
        for number in range(PUBLISHERS):
            assert [int(i) for who, i in got if who == str(number)] == list(range(MESSAGES))
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("qos", (1, 2))
def test_v5_mqtt_4_6_0_5__and__v311_mqtt_4_6_0_6_order_of_queued_and_resent_messages(pair, topic, version, qos):
    one, publisher = pair(version)
    for i in range(10):
        publisher.publish(topic, str(i), qos=qos)
    one.expect_messages(10, acknowledge=False)
    one.drop()
    for i in range(10, 60):
        publisher.publish(topic, str(i), qos=qos)
    one.connect(**keep(version))
    for i in range(60, 70):
        publisher.publish(topic, str(i), qos=qos)
    assert [int(m.payload) for m in one.expect_messages(70)] == list(range(70))


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_6_0_2__and__v5_mqtt_4_6_0_3__and__v5_mqtt_4_6_0_4__and__v311_mqtt_4_6_0_2__and__v311_mqtt_4_6_0_3__and__v311_mqtt_4_6_0_4_acknowledgements_in_any_order(
        pair, topic, version):
    one, publisher = pair(version)
    for i in range(12):
        publisher.publish(topic, str(i), qos=1 + i % 2)
    held = one.expect_messages(12, acknowledge=False)
    for message in [*held[::-3], *held[1::-3]]:
        one.acknowledge(message)
    done = {m.packet_id for m in [*held[::-3], *held[1::-3]]}
    for packet_id in range(1, 9):
        publisher.send_publish(f"{topic}/x", "x", 2, packet_id=packet_id + 500)
        publisher.expect(wire.PUBREC, packet_id=packet_id + 500)
    for packet_id in (5, 1, 8, 3, 2, 7, 4, 6):
        publisher.send_ack(wire.PUBREL, packet_id + 500)
        publisher.expect(wire.PUBCOMP, packet_id=packet_id + 500, reason=0)
    one.drop()
    one.connect(**keep(version))
    left = [m for m in held if m.packet_id not in done]
    assert [m.packet_id for m in one.expect_messages(len(left))] == [m.packet_id for m in left]
    one.expect_nothing()
