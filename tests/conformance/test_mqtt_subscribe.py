"""Sections 3.8 to 3.12: SUBSCRIBE, UNSUBSCRIBE, their acknowledgements, and PINGREQ."""

import threading

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V311, V5
from support import BOTH, NO_LOCAL, NOT_UTF8, NUL, RETAIN_AS_PUBLISHED, drain, expect_error, subscribe_bytes


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_1_1__and__v311_mqtt_3_8_1_1_flags_of_subscribe(connect, topic, version):
    for flags in [f for f in range(16) if f != 2]:
        one = connect(version)
        one.send(subscribe_bytes(version, topic, 0, 1, flags=flags))
        expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_10_1_1__and__v311_mqtt_3_10_1_1_flags_of_unsubscribe(connect, topic, version):
    for flags in [f for f in range(16) if f != 2]:
        one = connect(version)
        one.send(wire.make_unsubscribe(version, 1, [topic], flags=flags))
        expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("bad", [pytest.param(bad, id=kind) for kind, bad in {**NOT_UTF8, "nul": NUL}.items()])
def test_v5_mqtt_3_8_3_1__and__v311_mqtt_3_8_3_1_filters_are_utf8(connect, version, bad):
    one = connect(version)
    one.send(wire.make_subscribe(version, 1, [("fine", 0), (bad, 0)]))
    expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("bad", [pytest.param(bad, id=kind) for kind, bad in {**NOT_UTF8, "nul": NUL}.items()])
def test_v5_mqtt_3_10_3_1__and__v311_mqtt_3_10_3_1_removed_filters_are_utf8(connect, version, bad):
    one = connect(version)
    one.send(wire.make_unsubscribe(version, 1, ["fine", bad]))
    expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_3_2__and__v311_mqtt_3_8_3_3_subscribe_without_filters(connect, topic, version):
    one = connect(version)
    one.send(wire.make_subscribe(version, 1, []))
    expect_error(one, 0x82)
    one.connect()
    whole = subscribe_bytes(version, topic)
    one.send(bytes([whole[0], whole[1] - 1]) + whole[2:-1])
    expect_error(one, 0x81, 0x82)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_10_3_2__and__v311_mqtt_3_10_3_2_unsubscribe_without_filters(connect, version):
    one = connect(version)
    one.send(wire.make_unsubscribe(version, 1, []))
    expect_error(one, 0x82)


def test_v311_mqtt_3_8_3_2_wildcards_are_supported(connect, topic):
    one = connect(V311)
    one.subscribe(f"{topic}/+/x", f"{topic}/y/#", qos=1, reasons=[1, 1])
    for level in ("a/x", "y/a/b"):
        one.publish(f"{topic}/{level}", "x")
        one.expect_message(f"{topic}/{level}")


def test_v311_mqtt_3_8_3_4_reserved_bits_of_the_qos_byte(connect, topic):
    for options in (3, *(1 << bit for bit in range(2, 8)), 0xFF):
        one = connect(V311)
        one.send(subscribe_bytes(V311, topic, options))
        one.expect_close()


def test_v5_mqtt_3_8_3_5_reserved_option_bits(connect, topic):
    for options in (0x40, 0x80, 0xC0, 0x41):
        one = connect()
        one.send(wire.make_subscribe(V5, 1, [(topic, 0), (topic, options)]))
        expect_error(one, 0x81)


@pytest.mark.parametrize("options, codes", ((0x03, (0x81, 0x82)), (0x30, (0x82, 0x81))), ids=("qos_3", "retain_handling_3"))
def test_v5_section_3_8_3_1_options_that_are_protocol_errors(connect, topic, options, codes):
    one = connect()
    one.send(subscribe_bytes(V5, topic, options))
    expect_error(one, *codes)


def test_v5_mqtt_3_8_3_3_no_local(connect, topic):
    one, two = connect(), connect()
    one.subscribe(topic, options=NO_LOCAL)
    two.subscribe(topic, options=NO_LOCAL)
    one.publish(topic, "from one")
    two.expect_message(topic, "from one")
    one.expect_nothing()
    two.publish(topic, "from two")
    one.expect_message(topic, "from two")
    two.expect_nothing()


def test_v5_mqtt_3_8_3_3_no_local_goes_by_the_client_id(connect, topic):
    # Also for a session that was resumed, and for the will of the connection before.
    options = {"clean": False, "properties": {"session_expiry_interval": 60}}
    one = connect(**options)
    one.subscribe(topic, qos=1, options=NO_LOCAL)
    one.drop()
    one.connect(**options)
    one.publish(topic, "mine", qos=1)
    one.expect_nothing()
    connect().publish(topic, "another's", qos=1)
    one.expect_message(topic, "another's")


def test_v5_mqtt_3_8_3_4_no_local_with_a_shared_subscription(connect, topic):
    one = connect()
    one.send(subscribe_bytes(V5, f"$share/group/{topic}", NO_LOCAL))
    expect_error(one, 0x82)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_4_1__and__v5_mqtt_3_8_4_2__and__v311_mqtt_3_8_4_1__and__v311_mqtt_3_8_4_2_suback(
        connect, topic, version):
    one = connect(version)
    one.send(b"".join(subscribe_bytes(version, topic, 0, i) for i in (65535, 1, 700)))
    for packet_id in (65535, 1, 700):
        one.expect(wire.SUBACK, packet_id=packet_id)
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_4_3__and__v311_mqtt_3_8_4_3_replaced_subscription(connect, topic, version):
    one, publisher = connect(version), connect()
    for qos in (2, 0, 1):
        one.subscribe(topic, qos=qos)
        publisher.publish(topic, "x", qos=2)
        one.expect_message(topic, "x", qos=qos)
    one.expect_nothing()


def test_v5_mqtt_3_8_4_3_replaced_options_and_identifier(connect, topic):
    one, publisher = connect(), connect()
    for options, identifier in ((0, 5), (RETAIN_AS_PUBLISHED | 0x20, 6), (0x20, None), (NO_LOCAL | 0x20, 7)):
        one.subscribe(topic, options=options, properties={"subscription_identifier": identifier} if identifier else None)
        publisher.publish(topic, "x", retain=True)
        message = one.expect_message(topic, "x", retain=bool(options & RETAIN_AS_PUBLISHED))
        assert message.properties.get("subscription_identifier") == identifier
    one.publish(topic, "mine")
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_4_4__and__v311_mqtt_3_8_4_3_no_gap_while_replacing(connect, topic, version):
    one, publisher = connect(version), connect()
    one.subscribe(topic, qos=1)
    total = 300

    def publish():
        for i in range(total):
            publisher.publish(topic, str(i), qos=1)

    thread = threading.Thread(target=publish)
    thread.start()
    got = []
    for i in range(60):
        one.send(subscribe_bytes(version, topic, 1 + i % 2, 1000 + i))
        while one.await_packet(wire.SUBACK).packet_id != 1000 + i:
            pass
        for message in [m for m in one.pending if m.kind == wire.PUBLISH]:
            one.pending.remove(message)
            one.acknowledge(message)
            got.append(int(message.payload))
    thread.join()
    got += [int(message.payload) for message in drain(one)]
    assert got == list(range(total))


@pytest.fixture
def denying(start_broker, test_plugin):
    """Refuses what begins with "refused/"."""
    return start_broker(base_config(plugins=[{"name": "shows-reason", "path": test_plugin("shows-reason")}]))


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_4_5__and__v5_mqtt_3_8_4_6__and__v5_mqtt_3_9_3_1__and__v311_mqtt_3_8_4_4__and__v311_mqtt_3_8_4_5__and__v311_mqtt_3_9_3_1_several_filters(
        denying, connect, version):
    one, publisher = connect(version, to=denying), connect(to=denying)
    filters = [("allowed/0", 0), ("allowed/2", 2), ("refused/x", 1), ("allowed/1", 1), ("a#", 0), ("allowed/1/+", 2)]
    bad = [0x87, 0x8F] if version == V5 else [0x80, 0x80]
    one.subscribe(*filters, reasons=[0, 2, bad[0], 1, bad[1], 2])
    for level, qos in (("0", 0), ("2", 2), ("1", 1), ("1/x", 2)):
        publisher.publish(f"allowed/{level}", "x", qos=2)
        one.expect_message(f"allowed/{level}", qos=qos)
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_4_7__and__v5_mqtt_3_9_3_2__and__v311_mqtt_3_8_4_5__and__v311_mqtt_3_9_3_2_codes_of_suback(
        denying, connect, version):
    one = connect(version, to=denying)
    for requested in (0, 1, 2):
        for topic_filter in ("allowed/x", "refused/x", "refused/#", "a+", "", "#/a", "$share/g", "$share/g/allowed/x"):
            one.send(subscribe_bytes(version, topic_filter, requested))
            code, = one.expect(wire.SUBACK).reasons  # the decoder knows the table
            assert code <= requested or code >= 0x80
            assert (code == requested) == topic_filter.endswith("allowed/x")


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_4_8__and__v311_mqtt_3_8_4_6_the_lower_qos(connect, topic, version):
    one, publisher = connect(version), connect(version)
    for granted in (0, 1, 2):
        one.subscribe(topic, qos=granted)
        for published in (0, 1, 2):
            publisher.publish(topic, "x", qos=published)
            one.expect_message(topic, "x", qos=min(granted, published))
    one.expect_nothing()


# ------------------------------------------------------------------------------------------- UNSUBSCRIBE


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_10_4_1__and__v311_mqtt_3_10_4_1_filters_are_compared_literally(connect, topic, version):
    one, publisher = connect(version), connect()
    one.subscribe(f"{topic}/b", f"{topic}/+/c")
    one.unsubscribe(f"{topic}/+", f"{topic}/#", f"{topic}/B", f"{topic}/x/c", f"{topic}/b/", reasons=[0x11] * 5)
    for level in ("b", "x/c"):
        publisher.publish(f"{topic}/{level}", "x")
        one.expect_message(f"{topic}/{level}")
    one.unsubscribe(f"{topic}/+/c")
    publisher.publish(f"{topic}/x/c", "x")
    publisher.publish(f"{topic}/b", "x")
    one.expect_message(f"{topic}/b")
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_10_4_2__and__v311_mqtt_3_10_4_2_nothing_new_after_unsuback(connect, topic, version):
    one, publisher = connect(version), connect()
    one.subscribe(topic, qos=2)
    one.unsubscribe(topic)
    for qos in (0, 1, 2):
        publisher.publish(topic, "x", qos=qos)
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_10_4_3__and__v311_mqtt_3_10_4_3_begun_deliveries_are_completed(connect, topic, version):
    one, publisher = connect(version), connect()
    one.subscribe(topic, qos=2)
    for qos in (1, 2, 2):
        publisher.publish(topic, "x", qos=qos)
    first, second, third = [one.expect_message(topic, acknowledge=False) for _ in range(3)]
    one.send_ack(wire.PUBREC, third.packet_id)
    one.expect(wire.PUBREL, packet_id=third.packet_id)
    one.unsubscribe(topic)
    one.acknowledge(first)
    one.acknowledge(second)  # which expects PUBREL
    one.send_ack(wire.PUBCOMP, third.packet_id)
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_10_4_4__and__v5_mqtt_3_10_4_5__and__v311_mqtt_3_10_4_4__and__v311_mqtt_3_10_4_5_unsuback(
        connect, topic, version):
    one = connect(version)
    one.subscribe(topic)
    for packet_id, reasons in ((9, [0]), (65535, [0x11]), (9, [0x11])):  # there, and not any more
        one.send(wire.make_unsubscribe(version, packet_id, [topic]))
        one.expect(wire.UNSUBACK, packet_id=packet_id, reasons=reasons if version == V5 else [])
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_10_4_6__and__v5_mqtt_3_11_3_1__and__v5_mqtt_3_11_3_2__and__v311_mqtt_3_10_4_6_several_filters(
        connect, topic, version):
    one, publisher = connect(version), connect()
    one.subscribe(*(f"{topic}/{level}" for level in "abc"))
    one.unsubscribe(f"{topic}/a", f"{topic}/none", f"{topic}/c", f"{topic}/a", reasons=[0, 0x11, 0, 0x11])
    for level in "abc":
        publisher.publish(f"{topic}/{level}", "x")
    one.expect_message(f"{topic}/b")
    one.expect_nothing()


def test_v5_mqtt_3_11_3_2_code_of_a_filter_that_is_none(connect):
    connect().unsubscribe("a#", "fine", reasons=[0x8F, 0x11])


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_12_4_1__and__v311_mqtt_3_12_4_1_ping(connect, version):
    one = connect(version)
    one.send(b"\xc0\x00" * 3)
    for _ in range(3):
        one.expect(wire.PINGRESP, size=2)
