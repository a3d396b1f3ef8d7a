"""Sections 4.9 and 3.3.4: how many messages may be under way."""

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V5
from support import KEPT, drain, keep


@pytest.mark.parametrize("qos", (1, 2))
@pytest.mark.parametrize("maximum", (1, 2, 7))
def test_v5_mqtt_3_3_4_9__and__v5_mqtt_4_9_0_1__and__v5_mqtt_4_9_0_2_receive_maximum_of_the_client(
        connect, topic, qos, maximum):
    one, publisher = connect(properties={"receive_maximum": maximum}), connect()
    one.subscribe(topic, qos=qos)
    total = 3 * maximum
    for i in range(total):
        publisher.publish(topic, str(i), qos=qos)
    window = one.expect_messages(maximum, acknowledge=False)
    one.expect_nothing()
    for i in range(maximum, total):
        first = window.pop(0)
        if qos == 2:
            one.send_ack(wire.PUBREC, first.packet_id)
            one.expect(wire.PUBREL, packet_id=first.packet_id)
            if i == maximum:
                one.expect_nothing()  # only PUBCOMP frees the slot
        one.send_ack(wire.PUBACK if qos == 1 else wire.PUBCOMP, first.packet_id)
        window.append(one.expect_message(topic, str(i), acknowledge=False))
    one.expect_nothing()


def test_v5_mqtt_4_9_0_2_resumed_session_obeys_the_new_receive_maximum(connect, topic):
    one, publisher = connect(**keep(V5, receive_maximum=10)), connect()
    one.subscribe(topic, qos=2)
    for i in range(12):
        publisher.publish(topic, str(i), qos=2)
    one.expect_messages(10, acknowledge=False)
    one.drop()
    one.connect(**keep(V5, receive_maximum=2))
    first = one.expect_messages(2, acknowledge=False)
    one.expect_nothing()
    for message in first:
        one.acknowledge(message)
    assert [int(m.payload) for m in drain(one)] == list(range(2, 12))


def test_v5_mqtt_3_3_4_10__and__v5_mqtt_4_9_0_3_everything_else_flows(connect, topic):
    one, publisher = connect(properties={"receive_maximum": 1}), connect()
    one.subscribe(topic, qos=2)
    publisher.publish(topic, "fills the window", qos=2)
    first = one.expect_message(topic, acknowledge=False)
    publisher.publish(topic, "waits", qos=1)
    one.ping()
    one.subscribe(f"{topic}/zero", qos=0)
    one.unsubscribe(f"{topic}/none", reasons=[0x11])
    one.publish(f"{topic}/x", "in", qos=1)
    one.publish(f"{topic}/x", "in", qos=2)
    # A server may hold back QoS 0 as well [v5 section 4.9]; this one does, behind what waits, and no further.
    publisher.publish(f"{topic}/zero", "QoS 0", qos=0)
    one.acknowledge(first)
    one.expect_message(topic, "waits")
    one.expect_message(f"{topic}/zero", "QoS 0")
    # With nothing waiting, QoS 0 flows although the window is full.
    publisher.publish(topic, "fills the window", qos=2)
    one.expect_message(topic, acknowledge=False)
    publisher.publish(f"{topic}/zero", "QoS 0", qos=0)
    one.expect_message(f"{topic}/zero", "QoS 0")


def test_v5_mqtt_3_3_4_7__and__v5_mqtt_4_9_0_2_receive_maximum_of_the_server(start_broker, connect, topic):
    broker = start_broker(base_config(limits={"inflight": 3}))
    one, watcher = connect(to=broker, properties=KEPT), connect(to=broker)
    watcher.subscribe(topic)
    assert one.connack.properties.get("receive_maximum") == 3
    for round_ in range(3):  # within the limit, again and again; a repeated PUBLISH takes no further slot
        for packet_id in (1, 2, 3, 3):
            one.send_publish(topic, str(round_), 2, packet_id=packet_id, dup=packet_id == 3)
            one.expect(wire.PUBREC, packet_id=packet_id)
        for packet_id in (1, 2, 3):
            one.send_ack(wire.PUBREL, packet_id)
            one.expect(wire.PUBCOMP, packet_id=packet_id)
    assert len(drain(watcher)) == 9
    for packet_id in (1, 2, 3):
        one.send_publish(topic, "x", 2, packet_id=packet_id)
        one.expect(wire.PUBREC)
    one.send_publish(topic, "one too many", 2, packet_id=4)
    one.expect_disconnect(0x93)
    assert len(drain(watcher)) == 3


def test_v5_mqtt_3_3_4_7_refused_publish_frees_its_slot(start_broker, connect, test_plugin):
    broker = start_broker(base_config(limits={"inflight": 2},
                                      plugins=[{"name": "shows-reason", "path": test_plugin("shows-reason")}]))
    one = connect(to=broker)
    for packet_id in range(1, 8):
        one.send_publish("refused/x", "x", 2, packet_id=packet_id)
        one.expect(wire.PUBREC, packet_id=packet_id, reason=0x87)
    one.publish("allowed", "x", qos=2)


def test_v5_section_4_9_expired_message_frees_its_slot(connect, topic):
    # [v5 section 3.3.2.3.3]: a message that waits for the window and expires meanwhile never blocks it
    one, publisher = connect(properties={"receive_maximum": 1}), connect()
    one.subscribe(topic, qos=1)
    publisher.publish(topic, "first", qos=1)
    first = one.expect_message(topic, "first", acknowledge=False)
    publisher.publish(topic, "expires", qos=1, properties={"message_expiry_interval": 1})
    publisher.publish(topic, "last", qos=1)
    one.expect_nothing(1.3)
    one.acknowledge(first)
    one.expect_message(topic, "last")
    one.expect_nothing()
