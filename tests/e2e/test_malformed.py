"""Malformed packets and Protocol Errors after CONNECT: the right reason code, a closed connection, and others notice
nothing."""

import random
import re
import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5, VERSIONS

P = wire.packet


def publish5(topic=b"t", qos=0, packet_id=1, properties=b"", payload=b"", flags=None):
    body = wire.string(topic) + (wire.u16(packet_id) if qos else b"") + wire.properties(properties) + payload
    return P(wire.PUBLISH, body, qos << 1 if flags is None else flags)


def subscribe5(topic_filter=b"t", options=0, packet_id=1, properties=b""):
    return P(wire.SUBSCRIBE, wire.u16(packet_id) + wire.properties(properties) + wire.string(topic_filter)
             + bytes([options]))


BAD_UTF8 = {"overlong": b"a\xc0\x80", "surrogate": b"\xed\xa0\x80b", "truncated": b"abc\xe2\x82", "above": b"\xf4\x90\x80\x80",
            "stray": b"\x80", "NUL": b"a\0b"}

# What is sent after a CONNECT of version 5, and the reason codes of DISCONNECT that are right. Where the standard
# names one code there is one.
TABLE_5 = {
    # Fixed header [v5 MQTT-2.1.3-1, section 2.1.4, MQTT-1.5.5-1]
    "reserved packet type 0": (b"\x00\x00", 0x81),
    "reserved packet type 0 with flags": (b"\x0f\x00", 0x81),
    "PINGREQ with flags": (b"\xc1\x00", 0x81),
    "PINGREQ with a body": (b"\xc0\x01\x00", 0x81),
    "PUBACK with flags": (b"\x41\x02\x00\x01", 0x81),
    "PUBREC with flags": (b"\x52\x02\x00\x01", 0x81),
    "PUBREL without its flag": (b"\x60\x02\x00\x01", 0x81),  # [v5 MQTT-3.6.1-1]
    "PUBREL with more flags": (b"\x63\x02\x00\x01", 0x81),
    "PUBCOMP with flags": (b"\x72\x02\x00\x01", 0x81),
    "SUBSCRIBE without its flag": (b"\x80\x07\x00\x01\x00\x00\x01t\x00", 0x81),  # [v5 MQTT-3.8.1-1]
    "UNSUBSCRIBE without its flag": (b"\xa0\x06\x00\x01\x00\x00\x01t", 0x81),  # [v5 MQTT-3.10.1-1]
    "DISCONNECT with flags": (b"\xe1\x00", 0x81),  # [v5 MQTT-3.14.1-1]
    "AUTH with flags": (b"\xf1\x00", 0x81),  # [v5 MQTT-3.15.1-1]
    "Remaining Length of 5 bytes": (b"\x30\x80\x80\x80\x80\x01", 0x81),
    "Remaining Length all continuation": (b"\xc0\xff\xff\xff\xff", 0x81),
    "Remaining Length padded": (b"\xc0\x80\x00", 0x81),  # [v5 MQTT-1.5.5-1]
    # Packets that only a server sends
    "CONNACK": (b"\x20\x03\x00\x00\x00", 0x82, 0x81),
    "SUBACK": (b"\x90\x04\x00\x01\x00\x00", 0x82, 0x81),
    "UNSUBACK": (b"\xb0\x04\x00\x01\x00\x00", 0x82, 0x81),
    "PINGRESP": (b"\xd0\x00", 0x82, 0x81),
    # PUBLISH
    "PUBLISH with QoS 3": (P(3, b"\0\1t\0\1\0", 6), 0x81),  # [v5 MQTT-3.3.1-4]
    "PUBLISH with QoS 0 and DUP": (P(3, b"\0\1t\0", 8), 0x81, 0x82),  # [v5 MQTT-3.3.1-2]
    "PUBLISH with identifier 0": (publish5(qos=1, packet_id=0), 0x81, 0x82),  # [v5 MQTT-2.2.1-3]
    "PUBLISH empty": (P(3, b""), 0x81),
    "PUBLISH with half a length": (P(3, b"\0"), 0x81),
    "PUBLISH with topic beyond its end": (P(3, b"\0\5ab"), 0x81),
    "PUBLISH without identifier": (P(3, b"\0\1t", 2), 0x81),
    "PUBLISH without property length": (P(3, b"\0\1t"), 0x81),  # [v5 MQTT-2.2.2-1]
    "PUBLISH with properties beyond its end": (P(3, b"\0\1t\x05\x01\x01"), 0x81),
    "PUBLISH with property length padded": (P(3, b"\0\1t\x80\x00"), 0x81),
    "PUBLISH with wildcard #": (publish5(b"a/#"), 0x90, 0x81, 0x82),  # [v5 MQTT-3.3.2-2, MQTT-4.7.0-1]
    "PUBLISH with wildcard +": (publish5(b"a/+/b"), 0x90, 0x81, 0x82),
    "PUBLISH with empty topic": (publish5(b""), 0x82, 0x81),  # [v5 MQTT-4.7.3-1]
    "PUBLISH with alias 0": (publish5(properties=b"\x23\0\0"), 0x94),  # [v5 MQTT-3.3.2-8]
    "PUBLISH with alias twice": (publish5(properties=b"\x23\0\1\x23\0\1"), 0x82, 0x81),
    "PUBLISH with alias beyond the maximum": (publish5(properties=b"\x23\xff\xff"), 0x94),
    "PUBLISH with unknown property": (publish5(properties=b"\x7e\0"), 0x81),
    "PUBLISH with property 0": (publish5(properties=b"\x00"), 0x81),
    "PUBLISH with property of CONNECT": (publish5(properties=b"\x11\0\0\0\1"), 0x82, 0x81),
    "PUBLISH with Subscription Identifier": (publish5(properties=b"\x0b\1"), 0x82),  # [v5 MQTT-3.3.4-6]
    "PUBLISH with Payload Format 2": (publish5(properties=b"\x01\2"), 0x82, 0x81),
    "PUBLISH with Payload Format twice": (publish5(properties=b"\x01\1\x01\1"), 0x82, 0x81),
    "PUBLISH with Message Expiry twice": (publish5(properties=b"\x02\0\0\0\1\x02\0\0\0\1"), 0x82, 0x81),
    "PUBLISH with property cut short": (publish5(properties=b"\x02\0\0"), 0x81),
    "PUBLISH with Response Topic wildcard": (publish5(properties=b"\x08\0\3a/#"), 0x82, 0x81, 0x90),  # [v5 MQTT-3.3.2-14]
    "PUBLISH with Response Topic not UTF-8": (publish5(properties=b"\x08\0\1\xff"), 0x81),  # [v5 MQTT-3.3.2-13]
    "PUBLISH with Content Type not UTF-8": (publish5(properties=b"\x03\0\1\xff"), 0x81),  # [v5 MQTT-3.3.2-19]
    "PUBLISH with User Property name not UTF-8": (publish5(properties=b"\x26\0\1\xff\0\0"), 0x81),  # [v5 MQTT-1.5.7-1]
    "PUBLISH with User Property value NUL": (publish5(properties=b"\x26\0\0\0\1\0"), 0x81),
    "PUBLISH with half a User Property": (publish5(properties=b"\x26\0\1a"), 0x81),
    **{f"PUBLISH with topic not UTF-8: {what}": (publish5(bad), 0x81) for what, bad in BAD_UTF8.items()},
    # Acknowledgements
    "PUBACK empty": (P(4, b""), 0x81),
    "PUBACK of one byte": (P(4, b"\0"), 0x81),
    "PUBACK of identifier 0": (P(4, b"\0\0"), 0x81, 0x82),
    "PUBACK with unknown reason": (P(4, b"\0\1\x42"), 0x81, 0x82),  # [v5 MQTT-3.4.2-1]
    "PUBACK with illegal property": (P(4, b"\0\1\0\3\x23\0\1"), 0x82, 0x81),
    "PUBREC with unknown reason": (P(5, b"\0\1\x92"), 0x81, 0x82),  # [v5 MQTT-3.5.2-1]
    "PUBREL with unknown reason": (P(6, b"\0\1\x10"), 0x81, 0x82),  # [v5 MQTT-3.6.2-1]
    "PUBCOMP with unknown reason": (P(7, b"\0\1\x80"), 0x81, 0x82),  # [v5 MQTT-3.7.2-1]
    "PUBCOMP with bytes behind it": (P(7, b"\0\1\0\0\0"), 0x81),
    "PUBACK with Reason String twice": (P(4, b"\0\1\0\x06\x1f\0\0\x1f\0\0"), 0x82, 0x81),
    # SUBSCRIBE and UNSUBSCRIBE
    "SUBSCRIBE empty": (P(8, b""), 0x81),
    "SUBSCRIBE of identifier 0": (subscribe5(packet_id=0), 0x81, 0x82),  # [v5 MQTT-2.2.1-3]
    "SUBSCRIBE without filters": (P(8, b"\0\1\0"), 0x82, 0x81),  # [v5 MQTT-3.8.3-2]
    "SUBSCRIBE without options": (P(8, b"\0\1\0\0\1t"), 0x81),
    "SUBSCRIBE with filter beyond its end": (P(8, b"\0\1\0\0\5ab"), 0x81),
    "SUBSCRIBE with QoS 3": (subscribe5(options=3), 0x81, 0x82),
    "SUBSCRIBE with Retain Handling 3": (subscribe5(options=0x30), 0x82, 0x81),
    "SUBSCRIBE with reserved option bit 6": (subscribe5(options=0x40), 0x81),  # [v5 MQTT-3.8.3-5]
    "SUBSCRIBE with reserved option bit 7": (subscribe5(options=0x80), 0x81),
    "SUBSCRIBE with identifier property 0": (subscribe5(properties=b"\x0b\0"), 0x82, 0x81),
    "SUBSCRIBE shared with No Local": (subscribe5(b"$share/g/t", 4), 0x82),  # [v5 MQTT-3.8.3-4]
    **{f"SUBSCRIBE with filter not UTF-8: {what}": (subscribe5(bad), 0x81) for what, bad in BAD_UTF8.items()},
    "UNSUBSCRIBE empty": (P(10, b""), 0x81),
    "UNSUBSCRIBE of identifier 0": (P(10, b"\0\0\0\0\1t"), 0x81, 0x82),
    "UNSUBSCRIBE without filters": (P(10, b"\0\1\0"), 0x82, 0x81),  # [v5 MQTT-3.10.3-2]
    "UNSUBSCRIBE with filter not UTF-8": (P(10, b"\0\1\0\0\1\xff"), 0x81),  # [v5 MQTT-3.10.3-1]
    "UNSUBSCRIBE with illegal property": (P(10, b"\0\1\2\x0b\1\0\1t"), 0x82, 0x81),
    # DISCONNECT and AUTH
    "DISCONNECT with a server's reason": (P(14, b"\x8e"), 0x82, 0x81),  # [v5 MQTT-3.14.2-1]
    "DISCONNECT with unknown reason": (P(14, b"\x05"), 0x82, 0x81),
    "DISCONNECT with bytes behind it": (P(14, b"\0\0\0"), 0x81),
    "DISCONNECT with illegal property": (P(14, b"\0\3\x21\0\1"), 0x82, 0x81),
    "AUTH without a method in CONNECT": (wire.make_auth(0x18, {"authentication_method": "x"}), 0x82),
    "AUTH with unknown reason": (P(15, b"\x01\0"), 0x82, 0x81),  # [v5 MQTT-3.15.2-1]
}

# Sent after a CONNECT of version 3.1.1: the connection ends. [v311 MQTT-4.8.0-1]
TABLE_311 = {
    "reserved packet type 0": b"\x00\x00",
    "reserved packet type 15": b"\xf0\x00",
    "PINGREQ with flags": b"\xc1\x00",  # [v311 MQTT-2.2.2-1, MQTT-2.2.2-2]
    "PUBREL without its flag": b"\x60\x02\x00\x01",  # [v311 MQTT-3.6.1-1]
    "SUBSCRIBE without its flag": b"\x80\x06\x00\x01\x00\x01t\x00",  # [v311 MQTT-3.8.1-1]
    "UNSUBSCRIBE without its flag": b"\xa0\x05\x00\x01\x00\x01t",  # [v311 MQTT-3.10.1-1]
    "DISCONNECT with flags": b"\xe1\x00",  # [v311 MQTT-3.14.1-1]
    "Remaining Length of 5 bytes": b"\x30\x80\x80\x80\x80\x01",
    "CONNACK": b"\x20\x02\x00\x00",
    "SUBACK": b"\x90\x03\x00\x01\x00",
    "PUBLISH with QoS 3": P(3, b"\0\1t\0\1", 6),  # [v311 MQTT-3.3.1-4]
    "PUBLISH with identifier 0": wire.make_publish(V311, "t", "", 1, packet_id=0),  # [v311 MQTT-2.3.1-1]
    "PUBLISH with wildcard": wire.make_publish(V311, "a/#"),  # [v311 MQTT-3.3.2-2, MQTT-4.7.1-1]
    "PUBLISH with empty topic": wire.make_publish(V311, ""),  # [v311 MQTT-4.7.3-1]
    "PUBLISH empty": P(3, b""),
    "PUBLISH without identifier": P(3, b"\0\1t", 2),
    **{f"PUBLISH with topic not UTF-8: {what}": wire.make_publish(V311, bad)  # [v311 MQTT-3.3.2-1, MQTT-1.5.3-1/2]
       for what, bad in BAD_UTF8.items()},
    "PUBACK of one byte": P(4, b"\0"),
    "PUBACK of three bytes": P(4, b"\0\1\0"),
    "SUBSCRIBE of identifier 0": wire.make_subscribe(V311, 0, [("t", 0)]),
    "SUBSCRIBE without filters": P(8, b"\0\1"),  # [v311 MQTT-3.8.3-3]
    "SUBSCRIBE without QoS": P(8, b"\0\1\0\1t"),
    "SUBSCRIBE with QoS 3": wire.make_subscribe(V311, 1, [("t", 3)]),  # [v311 MQTT-3.8.3-4]
    "SUBSCRIBE with filter not UTF-8": wire.make_subscribe(V311, 1, [(b"\xff", 0)]),  # [v311 MQTT-3.8.3-1]
    "UNSUBSCRIBE without filters": P(10, b"\0\1"),  # [v311 MQTT-3.10.3-2]
    "UNSUBSCRIBE with filter not UTF-8": wire.make_unsubscribe(V311, 1, [b"\xff"]),  # [v311 MQTT-3.10.3-1]
    "DISCONNECT with a body": P(14, b"\0"),
}


REFERENCE_IGNORES = re.compile("PINGREQ|DISCONNECT|PUBACK|SUBACK|.*empty")


@pytest.fixture(scope="module")
def bystander():
    """A connection that lives through every test of this module; see `unharmed`."""
    return {}


@pytest.fixture
def unharmed(broker, bystander, topic):
    """After the test, a client that was connected all along still sends and receives."""
    if bystander.get("broker") is not broker:
        one = wire_client(broker)
        one.connect(keep_alive=0)
        bystander.update(broker=broker, client=one)
    one = bystander["client"]
    yield one
    one.subscribe(topic, qos=1)
    one.publish(topic, "still here", qos=1)
    one.acknowledge(one.await_packet(wire.PUBLISH, topic=topic, payload=b"still here"))
    one.unsubscribe(topic)
    assert not one.pending and not one.buffer


def wire_client(broker):
    from mqtt_raw import Client
    return Client(broker.address, V5, "bystander")


@pytest.mark.reference_differs
@pytest.mark.parametrize("what", TABLE_5)
def test_malformed_packet_in_5(connect, unharmed, what):
    # [v5 MQTT-4.13.1-1, MQTT-3.14.4-1, MQTT-3.14.4-2]
    data, *reasons = TABLE_5[what]
    one = connect()
    one.send(data)
    one.expect_disconnect(*reasons)


@pytest.mark.parametrize("what", [
    pytest.param(what, marks=pytest.mark.reference_differs) if REFERENCE_IGNORES.match(what) else what
    for what in TABLE_311])
def test_malformed_packet_in_311(connect, unharmed, what):
    # [v311 MQTT-4.8.0-1]
    one = connect(V311)
    one.send(TABLE_311[what])
    one.expect_close()


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_before_a_malformed_one_count_and_those_behind_do_not(connect, topic, version):
    subscriber, one = connect(), connect(version)
    subscriber.subscribe(topic)
    one.send(wire.make_publish(version, topic, "before") + b"\x00\x00" + wire.make_publish(version, topic, "after"))
    one.expect_disconnect(0x81, 0x82)
    subscriber.expect_message(topic, "before")
    subscriber.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_malformed_connection_loses_no_session(connect, client, topic, version):
    kept = {"clean": False, **({"properties": {"session_expiry_interval": 60}} if version == V5 else {})}
    one = client(version)
    one.connect(**kept)
    one.subscribe(topic, qos=1)
    one.send(b"\x00\x00")
    one.expect_disconnect(0x81, 0x82)
    connect().publish(topic, "kept", qos=1)
    one.connect(**kept)
    one.expect_message(topic, "kept")


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes_are_survived(client, unharmed, seed):
    generator = random.Random(seed)
    for _ in range(25):
        one = client(V5).open()
        try:
            one.send(generator.randbytes(generator.randint(1, 300)))
            one.drop()
        except OSError:
            pass


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("version", (V311, V5))
def test_corrupted_packets_are_survived(client, unharmed, topic, version, seed):
    # Valid conversations with some bytes changed; whatever they come to mean, others notice nothing.
    generator = random.Random(seed * 10 + version)
    for _ in range(25):
        one = client(version).open()
        options = {"properties_": {"receive_maximum": 5}} if version == V5 else {}
        good = bytearray(
            wire.make_connect(version, one.client_id, will=wire.Will(f"{topic}/w", "x"), username="u", **options)
            + wire.make_subscribe(version, 1, [(f"{topic}/+", 2)]) + wire.make_publish(version, f"{topic}/a", "x" * 20)
            + wire.make_publish(version, f"{topic}/b", "y" * 20, 2, packet_id=3) + wire.make_ack(version, wire.PUBREL, 3)
            + wire.make_unsubscribe(version, 4, [f"{topic}/+"]) + wire.make_disconnect(version))
        for _ in range(generator.randint(1, 4)):
            good[generator.randrange(len(good))] = generator.randrange(256)
        try:
            one.send(good)
            one.drop()
        except OSError:
            pass
    time.sleep(0.02)
