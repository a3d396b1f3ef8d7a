"""Sections 3.14 and 4.13: DISCONNECT and errors."""

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V311, V5, Will
from support import BOTH, KEPT, expect_error, keep


@pytest.fixture
def watcher(connect, topic):
    one = connect()
    one.subscribe(topic, qos=2)
    return one


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_14_1_1__and__v311_mqtt_3_14_1_1_flags_of_disconnect(connect, watcher, topic, version):
    for flags in range(1, 16):
        one = connect(version, will=Will(topic, "abnormal"))
        one.send(bytes([0xE0 | flags, 0]))
        expect_error(one, 0x81)
        watcher.expect_message(topic, "abnormal")


@pytest.mark.parametrize("reason", (0x01, 0x05, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x9A, 0x9B, 0x9C, 0x9E, 0xA2, 0xFF))
def test_v5_mqtt_3_14_2_1_codes_that_a_client_does_not_have(connect, watcher, topic, reason):
    one = connect(will=Will(topic, "abnormal"))
    one.send(wire.make_disconnect(V5, reason))
    expect_error(one, 0x81, 0x82)
    watcher.expect_message(topic, "abnormal")


def test_v5_mqtt_3_14_2_1__and__v5_mqtt_3_14_2_2__and__v5_mqtt_3_14_4_1__and__v5_mqtt_3_14_4_2__and__v5_mqtt_4_13_2_1_disconnect_of_the_server(
        start_broker, connect, topic):
    # The decoder knows codes and properties of the server; expect_disconnect waits for EOF and nothing else.
    broker = start_broker(base_config(limits={"packet_size": 200, "keep_alive": "1s"}))
    one = connect(to=broker)
    one.send(wire.make_publish(V5, topic, "x" * 300) + wire.packet(wire.PINGREQ) * 3)
    one.expect_disconnect(0x95)
    for data, code in ((b"\xc1\0", 0x81), (wire.make_auth(0x19), 0x82), (b"\x00\x00", 0x81),
                       (wire.make_publish(V5, topic, properties_={"topic_alias": 60000}), 0x94)):
        one = connect(to=broker, properties=KEPT)
        one.send(data + wire.packet(wire.PINGREQ))
        one.expect_disconnect(code)
    silent, old, stops = connect(to=broker), connect(to=broker, id="same"), connect(to=broker)
    connect(to=broker, id="same")
    old.expect_disconnect(0x8E)
    while True:
        stops.ping()
        try:
            silent.expect_disconnect(0x8D, timeout=0.5)
            break
        except AssertionError as error:
            assert "in time" in str(error), error
    broker.stop()
    stops.expect_disconnect(0x8B)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_14_4_1__and__v311_mqtt_3_14_4_2_nothing_behind_disconnect(connect, watcher, topic, version):
    one = connect(version)
    one.send(wire.make_publish(version, topic, "before") + wire.make_disconnect(version)
             + wire.make_publish(version, topic, "after", 1, packet_id=1) + wire.packet(wire.PINGREQ))
    one.expect_close()
    watcher.expect_message(topic, "before")
    watcher.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_14_4_2__and__v311_mqtt_3_14_4_1_server_closes_after_disconnect(connect, version):
    one = connect(version)
    one.send(wire.make_disconnect(version))
    one.expect_close(timeout=1.5)


def test_v5_mqtt_4_13_2_1_disconnect_of_the_client_with_a_failure(connect, watcher, topic):
    one = connect(will=Will(topic, "failed"))
    one.send(wire.make_disconnect(V5, 0x80) + wire.make_publish(V5, topic, "after"))
    one.expect_close()
    watcher.expect_message(topic, "failed")
    watcher.expect_nothing()


def test_v5_section_3_14_2_2_2_session_expiry(connect):
    one = connect(properties={"session_expiry_interval": 0})
    one.send(wire.make_disconnect(V5, 0, {"session_expiry_interval": 5}))
    expect_error(one, 0x82)
    one.connect(properties={"session_expiry_interval": 2})
    one.disconnect(0, {"session_expiry_interval": 60})
    assert one.connect(**keep(V5)).session_present
    one.disconnect(0, {"session_expiry_interval": 0})
    assert not one.connect(**keep(V5)).session_present


# ------------------------------------------------------------------------------------------- errors at large


MALFORMED = {"length": b"\xc0\x01\x00", "flags": b"\x41\x02\x00\x01", "type": b"\x00\x00", "truncated": b"\x82\x01\x00",
             "qos_3": b"\x36\x05\x00\x01t\x00\x01", "number": b"\x30\xff\xff\xff\xff\x01"}


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("data", [pytest.param(data, id=what) for what, data in MALFORMED.items()])
def test_v5_mqtt_4_13_1_1__and__v311_mqtt_4_8_0_1_malformed_packet_ends_its_connection_only(
        connect, watcher, topic, version, data):
    one, other = connect(version, will=Will(topic, "broken")), connect(version)
    one.send(data)
    expect_error(one, 0x81)
    watcher.expect_message(topic, "broken")
    other.ping()


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("kind", (wire.CONNACK, wire.SUBACK, wire.UNSUBACK, wire.PINGRESP), ids=wire.KIND_NAMES.__getitem__)
def test_v5_mqtt_4_13_1_1__and__v311_mqtt_4_8_0_1_packets_of_servers(connect, version, kind):
    one = connect(version)
    one.send(wire.packet(kind, b"" if kind == wire.PINGRESP else b"\0\1\0\0" if version == V5 else b"\0\1"))
    expect_error(one, 0x81, 0x82)


def test_v311_mqtt_4_8_0_1_acknowledgements_with_bytes_of_5(connect):
    for packet in (b"\x40\x03\x00\x01\x00", b"\x62\x03\x00\x01\x00", b"\xe0\x01\x00", b"\x40\x01\x00"):
        one = connect(V311)
        one.send(packet)
        one.expect_close()
