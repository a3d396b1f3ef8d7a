"""Message Expiry Interval."""

import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V311

KEPT = {"session_expiry_interval": 60}


def test_expired_message_is_not_delivered(connect, topic):
    # [v5 MQTT-3.3.2-5]
    one, publisher = connect(clean=False, properties=KEPT), connect()
    one.subscribe(topic, qos=1)
    one.disconnect()
    publisher.publish(topic, "short", qos=1, properties={"message_expiry_interval": 1})
    publisher.publish(topic, "long", qos=1, properties={"message_expiry_interval": 100})
    publisher.publish(topic, "for ever", qos=1)
    time.sleep(2.1)
    one.connect(clean=False, properties=KEPT)
    got = one.expect_message(topic, "long").properties.get("message_expiry_interval")
    assert 96 <= got <= 98  # [v5 MQTT-3.3.2-6]
    assert "message_expiry_interval" not in one.expect_message(topic, "for ever").properties
    one.expect_nothing()


def test_expired_message_is_not_delivered_to_311(connect, client, topic):
    # [v5 MQTT-3.3.2-5]
    one, publisher = client(V311), connect()
    one.connect(clean=False)
    one.subscribe(topic, qos=1)
    one.disconnect()
    publisher.publish(topic, "short", qos=1, properties={"message_expiry_interval": 1})
    publisher.publish(topic, "long", qos=1, properties={"message_expiry_interval": 100})
    time.sleep(2.1)
    one.connect(clean=False)
    one.expect_message(topic, "long")
    one.expect_nothing()


def test_live_delivery_carries_the_interval(connect, topic):
    # [v5 MQTT-3.3.2-6]
    one = connect()
    one.subscribe(topic)
    for interval in (1, 10, 0xFFFFFFFF):
        one.publish(topic, "x", properties={"message_expiry_interval": interval})
        got = one.expect_message(topic, "x").properties.get("message_expiry_interval")
        assert interval - 1 <= got <= interval


def test_retained_message_expires(connect, topic):
    # [v5 MQTT-3.3.2-5, MQTT-3.3.2-6]
    publisher = connect()
    publisher.publish(f"{topic}/short", "short", qos=1, retain=True, properties={"message_expiry_interval": 1})
    publisher.publish(f"{topic}/long", "long", qos=1, retain=True, properties={"message_expiry_interval": 50})
    time.sleep(2.1)
    one = connect()
    one.subscribe(f"{topic}/+", qos=1)
    got = one.expect_message(f"{topic}/long", "long").properties.get("message_expiry_interval")
    assert 46 <= got <= 48
    one.expect_nothing()


@pytest.mark.reference_differs
def test_waiting_for_the_window_counts(connect, topic):
    # [v5 MQTT-3.3.2-5]: not yet begun when the interval runs out
    one, publisher = connect(properties={"receive_maximum": 1}), connect()
    one.subscribe(topic, qos=1)
    publisher.publish(topic, "holds the window", qos=1)
    publisher.publish(topic, "expires", qos=1, properties={"message_expiry_interval": 1})
    publisher.publish(topic, "stays", qos=1, properties={"message_expiry_interval": 100})
    held = one.expect_message(topic, "holds the window", acknowledge=False)
    time.sleep(2.1)
    one.acknowledge(held)
    got = one.expect_message(topic, "stays").properties.get("message_expiry_interval")
    assert 96 <= got <= 98
    one.expect_nothing()


@pytest.mark.reference_differs
def test_a_begun_delivery_does_not_expire(connect, topic):
    # [v5 MQTT-4.3.3-7, MQTT-4.3.3-13]
    one, publisher = connect(clean=False, properties=KEPT), connect()
    one.subscribe(topic, qos=2)
    publisher.publish(topic, "begun", qos=2, properties={"message_expiry_interval": 1})
    publisher.send_publish(f"{topic}/other", "unreleased", 2, packet_id=9, properties={"message_expiry_interval": 1})
    publisher.expect(wire.PUBREC, packet_id=9)
    begun = one.expect_message(topic, "begun", acknowledge=False)
    time.sleep(2.1)
    publisher.send_ack(wire.PUBREL, 9)
    publisher.expect(wire.PUBCOMP, packet_id=9, reason=0)
    one.disconnect()
    one.connect(clean=False, properties=KEPT)
    one.expect_message(topic, "begun", packet_id=begun.packet_id, dup=True)
