"""Sections 3.15 and 4.12: AUTH and enhanced authentication, by a plugin that asks for numbers."""

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V5
from support import NOT_UTF8, expect_refused

METHOD = {"authentication_method": "TEST"}


def answer(data, reason=0x18, method="TEST", **more):
    properties = {**({"authentication_method": method} if method is not None else {}), "authentication_data": data}
    return wire.make_auth(reason, {**properties, **more})


@pytest.fixture
def challenger(start_broker, test_plugin):
    """Two challenges, "say 2" and "say 1"; anonymous clients without a method are let in as well."""
    return start_broker(base_config(plugins=[{"name": "challenge", "path": test_plugin("challenge")}]))


@pytest.fixture
def begin(challenger, client):
    """begin(): a client whose first challenge has come."""
    def start(**options):
        one = client(to=challenger).open()
        one.send_connect(**{"properties": METHOD, **options})
        challenged(one, b"say 2")
        return one
    return start


@pytest.fixture
def online(begin):
    def start(**options):
        one = begin(**options)
        one.send(answer(b"2"))
        challenged(one, b"say 1")
        one.send(answer(b"1"))
        one.connack = one.expect(wire.CONNACK, reason=0)
        return one
    return start


def challenged(one, data, reason=0x18):
    got = one.expect(wire.AUTH, reason=reason)
    assert got.properties.get("authentication_method") == "TEST"
    assert got.properties.get("authentication_data") == data


def test_v5_mqtt_3_15_2_1__and__v5_mqtt_4_12_0_2__and__v5_mqtt_4_12_0_5_an_exchange_that_succeeds(online):
    one = online()
    assert one.connack.properties.get("authentication_method") == "TEST"
    assert one.connack.properties.get("authentication_data") == b"done"
    one.send(wire.make_auth(0x19, METHOD))
    challenged(one, b"say 2")
    one.send(answer(b"2"))
    challenged(one, b"say 1")
    one.send(answer(b"1"))
    challenged(one, b"done", reason=0x00)
    one.ping()


@pytest.mark.parametrize("early", (
    wire.make_publish(V5, "early", "x", retain=True), wire.make_subscribe(V5, 1, [("early", 0)]),
    wire.packet(wire.PINGREQ), wire.make_ack(V5, wire.PUBREL, 1)), ids=("PUBLISH", "SUBSCRIBE", "PINGREQ", "PUBREL"))
def test_v5_mqtt_3_1_2_30_only_auth_and_disconnect_until_connack(begin, challenger, connect, early):
    one = begin()
    one.send(early + answer(b"2"))
    expect_refused(one, 0x82)
    late = connect(to=challenger)
    late.subscribe("early")
    late.expect_nothing()


def test_v5_mqtt_3_1_2_30_disconnect_until_connack(begin):
    one = begin()
    one.send(wire.make_disconnect(V5))
    one.expect_close()


@pytest.mark.parametrize("flags", (1, 2, 4, 8, 15))
def test_v5_mqtt_3_15_1_1_flags_of_auth(begin, online, flags):
    one, two = begin(), online()
    packet = wire.make_auth(0x18, METHOD, flags=flags)
    one.send(packet)
    expect_refused(one, 0x81)
    two.send(packet)
    two.expect_disconnect(0x81)


@pytest.mark.parametrize("reason", (0x00, 0x01, 0x10, 0x19, 0x80, 0x87, 0xFF))
def test_v5_mqtt_3_15_2_1__and__v5_mqtt_4_12_0_3_answer_with_another_code(begin, reason):
    one = begin()
    one.send(answer(b"2", reason))
    expect_refused(one, 0x82, 0x81)


@pytest.mark.parametrize("reason", (0x00, 0x01, 0x18, 0x80, 0x87, 0xFF))
def test_v5_mqtt_3_15_2_1__and__v5_mqtt_4_12_1_1_reauthentication_begins_with_0x19(online, reason):
    one = online()
    one.send(answer(b"2", reason))
    one.expect_disconnect(0x82, 0x81)


def test_v5_mqtt_4_12_0_3_answer_with_another_code_in_a_reauthentication(online):
    one = online()
    one.send(wire.make_auth(0x19, METHOD))
    challenged(one, b"say 2")
    one.send(answer(b"2", 0x19))
    one.expect_disconnect(0x82)


@pytest.mark.parametrize("method", ("NO-SUCH", "test", ""))
def test_v5_mqtt_4_12_0_1_method_that_is_not_supported(challenger, connect, client, method):
    for to in (challenger, None):  # no such method, and no method at all
        one = client(to=to).open()
        one.send_connect(properties={"authentication_method": method}, username="nobody", password="x")
        expect_refused(one, 0x8C, 0x87)


def test_v5_mqtt_4_12_0_4_wrong_data(begin):
    for steps in ([b"7"], [b"2", b"2"], [b""]):
        one = begin()
        for data in steps[:-1]:
            one.send(answer(data))
            one.expect(wire.AUTH, reason=0x18)
        one.send(answer(steps[-1]))
        expect_refused(one, 0x86, 0x87)


@pytest.mark.parametrize("method", ("OTHER", "test", "TEST ", None))
def test_v5_mqtt_4_12_0_5_another_method_in_the_answer(begin, method):
    one = begin()
    one.send(answer(b"2", method=method))
    expect_refused(one, 0x82, 0x8C)


@pytest.mark.parametrize("method", ("OTHER", "test", None))
def test_v5_mqtt_4_12_1_1_another_method_in_a_reauthentication(online, method):
    one = online()
    one.send(answer(b"", 0x19, method))
    one.expect_disconnect(0x82, 0x8C)


def test_v5_mqtt_4_12_0_6_nothing_of_it_without_a_method(challenger, connect):
    one = connect(to=challenger)
    assert "authentication_method" not in one.connack.properties
    assert "authentication_data" not in one.connack.properties
    one.expect_nothing()


@pytest.mark.parametrize("packet", (wire.make_auth(0x19, METHOD), wire.make_auth(0x18, METHOD), wire.packet(wire.AUTH)),
                         ids=("0x19", "0x18", "empty"))
def test_v5_mqtt_4_12_0_7_auth_without_a_method_in_connect(challenger, connect, packet):
    one = connect(to=challenger)
    one.send(packet)
    one.expect_disconnect(0x82)


def test_v5_mqtt_4_12_1_2_failed_reauthentication(online):
    one = online()
    one.send(wire.make_auth(0x19, METHOD))
    challenged(one, b"say 2")
    one.send(answer(b"wrong"))
    one.expect_disconnect(0x87)


def test_v5_section_4_12_1_messages_flow_during_a_reauthentication(online, challenger, connect):
    one = online()
    one.subscribe("t")
    one.send(wire.make_auth(0x19, METHOD))
    challenged(one, b"say 2")
    connect(to=challenger).publish("t", "x")
    one.expect_message("t", "x")
    one.ping()
    one.publish("t", "y", qos=1)
    one.expect_message("t", "y")


@pytest.mark.parametrize("properties", (
    [("authentication_method", "TEST")] * 2, [("authentication_data", b"2")] * 2, [("reason_string", "x")] * 2),
    ids=("method", "data", "reason"))
def test_v5_section_3_15_2_2_property_twice(begin, properties):
    one = begin()
    one.send(wire.make_auth(0x18, [("authentication_method", "TEST"), *properties]))
    expect_refused(one, 0x82)


def test_v5_section_3_15_2_malformed_auth(begin):
    for packet in (wire.packet(wire.AUTH, b"\x18"), wire.packet(wire.AUTH, b"\x18\x05\x15"), wire.packet(wire.AUTH, b"\x18\0\0"),
                   *(answer(b"2", method=bad) for bad in NOT_UTF8.values())):
        one = begin()
        one.send(packet)
        expect_refused(one, 0x81)


def test_v5_section_3_1_2_11_10_data_without_a_method(client):
    one = client().open()
    one.send_connect(properties={"authentication_data": b"x"})
    expect_refused(one, 0x82)
