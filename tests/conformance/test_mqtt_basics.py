"""Sections 4.2 and 7: the transport, and what a plain client can do."""

import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V311
from support import BOTH


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_2_0_1__and__v311_mqtt_7_1_1_1_tcp(client, topic, version):
    # An ordered, lossless stream: bytes come in any pieces.
    one = client(version).open()
    for byte in wire.make_connect(version, one.client_id):
        one.send(bytes([byte]))
        time.sleep(0.0005)
    one.expect(wire.CONNACK, reason=0)
    one.send(b"".join(wire.make_publish(version, topic, str(i), 1, packet_id=i) for i in range(1, 200)))
    for i in range(1, 200):
        one.expect(wire.PUBACK, packet_id=i)


def test_v311_mqtt_7_0_0_2_a_plain_client_needs_no_extension(connect, topic):
    one, two = connect(V311), connect(V311)
    for qos in (0, 1, 2):
        one.subscribe(f"{topic}/+", qos=qos)
        two.publish(f"{topic}/x", "x", qos=qos)
        one.expect_message(f"{topic}/x", "x", qos=qos)
    two.publish(f"{topic}/x", "retained", qos=1, retain=True)
    one.expect_message(f"{topic}/x", "retained")
    one.ping()
    one.unsubscribe(f"{topic}/+")
    for client in (one, two):
        client.disconnect()
