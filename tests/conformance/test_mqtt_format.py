"""Sections 1.5 and 2: strings, numbers, fixed headers, packet identifiers, property lengths."""

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5, Will
from support import BOTH, KEPT, NOT_UTF8, NUL, expect_error, expect_refused, keep, next_bytes, subscribe_bytes

# A bad string in every place where a client can put one. [v5 only: those with properties]
PLACES = {
    "topic": lambda version, bad: wire.make_publish(version, bad),
    "filter": lambda version, bad: subscribe_bytes(version, bad),
    "removed_filter": lambda version, bad: wire.make_unsubscribe(version, 1, [bad]),
}
PLACES_V5 = {
    "user_property": lambda version, bad: wire.make_publish(V5, "t", properties_={"user_property": (b"a", bad)}),
    "content_type": lambda version, bad: wire.make_publish(V5, "t", properties_={"content_type": bad}),
    "reason_string": lambda version, bad: wire.make_ack(V5, wire.PUBACK, 1, 0x80, {"reason_string": bad}),
}
IN_CONNECT = {
    "client_id": lambda bad: {"client_id": bad},
    "user_name": lambda bad: {"username": bad},
    "will_topic": lambda bad: {"will": Will(bad, "x")},
}


@pytest.mark.parametrize("version, place", [(v, p) for v in BOTH for p in PLACES] + [(V5, p) for p in PLACES_V5])
@pytest.mark.parametrize("bad", [pytest.param(bad, id=kind) for kind, bad in NOT_UTF8.items()])
def test_v5_mqtt_1_5_4_1__and__v311_mqtt_1_5_3_1_string_that_is_not_utf8(connect, version, place, bad):
    one = connect(version)
    one.send({**PLACES, **PLACES_V5}[place](version, bad))
    expect_error(one, 0x81)


@pytest.mark.parametrize("version, place", [(v, p) for v in BOTH for p in PLACES] + [(V5, p) for p in PLACES_V5])
def test_v5_mqtt_1_5_4_2__and__v311_mqtt_1_5_3_2_string_with_nul(connect, version, place):
    one = connect(version)
    one.send({**PLACES, **PLACES_V5}[place](version, NUL))
    expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("place", IN_CONNECT)
def test_v5_mqtt_1_5_4_1__and__v311_mqtt_1_5_3_1_bad_string_in_connect(client, version, place):
    for bad in NOT_UTF8.values():
        one = client(version).open()
        one.send_connect(**IN_CONNECT[place](bad))
        expect_refused(one, 0x81, 0x85)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("place", IN_CONNECT)
def test_v5_mqtt_1_5_4_2__and__v311_mqtt_1_5_3_2_nul_in_connect(client, version, place):
    one = client(version).open()
    one.send_connect(**IN_CONNECT[place](NUL))
    expect_refused(one, 0x81, 0x85)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_1_5_4_3__and__v311_mqtt_1_5_3_3_byte_order_mark_is_a_character(connect, topic, version):
    one, publisher = connect(version), connect(version)
    one.subscribe(f"{topic}/+", qos=0)
    other = connect(version)
    other.subscribe(f"{topic}/a")
    publisher.publish(f"{topic}/\ufeffa", "x")
    assert one.expect_message(payload="x").topic.encode() == topic.encode() + b"/\xef\xbb\xbfa"
    other.expect_nothing()


PADDED = {
    "remaining_length": b"\xc0\x80\x00",
    "property_length": wire.packet(wire.PUBLISH, wire.string("t") + b"\x80\x00"),
    "subscription_identifier": subscribe_bytes(V5, properties=b"\x0b\x81\x00"),
}


@pytest.mark.parametrize("padded", PADDED)
def test_v5_mqtt_1_5_5_1_padded_number_is_malformed(connect, padded):
    one = connect()
    one.send(PADDED[padded])
    expect_error(one, 0x81)


def test_v5_mqtt_1_5_5_1_numbers_from_the_server_are_shortest(connect, topic):
    # The decoder of the tests refuses padding; here are the sizes around every border.
    identifiers = [1, 127, 128, 16383, 16384, 2097151, 2097152, 268435455]
    one, publisher = connect(), connect()
    for identifier in identifiers:
        one.subscribe(topic, properties={"subscription_identifier": identifier})
        publisher.publish(topic, "x")
        assert one.expect_message(topic, "x").properties.all("subscription_identifier") == [identifier]
    one.unsubscribe(topic)
    one.subscribe(topic)
    head = 2 + len(topic) + 1
    for length in (0, 1, 127 - head, 128 - head, 16383 - head, 16384 - head, 200000):
        publisher.publish(topic, b"x" * length)
        one.expect_message(topic, b"x" * length)
    for length in (120, 128, 16384):  # Property Length in one byte, two, and three
        publisher.publish(topic, properties={"user_property": ("n", "v" * length)})
        assert one.expect_message(topic).properties.get("user_property") == ("n", "v" * length)


@pytest.mark.parametrize("half", ("name", "value"))
def test_v5_mqtt_1_5_7_1_both_halves_of_a_user_property(connect, client, topic, half):
    for bad in (*NOT_UTF8.values(), NUL):
        pair = {"user_property": (bad, "v") if half == "name" else ("n", bad)}
        for packet in (wire.make_publish(V5, topic, properties_=pair), wire.make_disconnect(V5, 0, pair),
                       wire.make_subscribe(V5, 1, [(topic, 0)], pair), wire.make_unsubscribe(V5, 1, [topic], pair),
                       wire.make_ack(V5, wire.PUBREL, 1, 0, pair)):
            one = connect()
            one.send(packet)
            expect_error(one, 0x81)
        for options in ({"properties": pair}, {"will": Will(topic, properties=pair)}):
            one = client().open()
            one.send_connect(**options)
            expect_refused(one, 0x81)


# First bytes that are wrong, with a body that would be right.
WRONG_FLAGS = [(kind << 4 | flags, body) for kind, prescribed, body in (
    (wire.PUBACK, 0, b"\0\1"), (wire.PUBREC, 0, b"\0\1"), (wire.PUBREL, 2, b"\0\1"), (wire.PUBCOMP, 0, b"\0\1"),
    (wire.PINGREQ, 0, b""), (wire.DISCONNECT, 0, b"")) for flags in range(16) if flags != prescribed]


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_1_3_1__and__v311_mqtt_2_2_2_1__and__v311_mqtt_2_2_2_2_flags_of_clients(connect, version):
    for first, body in WRONG_FLAGS:
        one = connect(version)
        one.send(bytes([first, len(body)]) + body)
        expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_1_3_1__and__v311_mqtt_2_2_2_2_flags_of_connect(client, version):
    for flags in (1, 2, 8, 15):
        one = client(version).open()
        connect_packet = wire.make_connect(version, one.client_id)
        one.send(bytes([connect_packet[0] | flags]) + connect_packet[1:])
        expect_refused(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_1_3_1__and__v311_mqtt_2_2_2_1_flags_of_the_server(client, topic, version):
    # Every packet that a server sends, by its first byte.
    one = client(version).open()
    one.send_connect()
    assert next_bytes(one)[0] == 0x20
    one.send(subscribe_bytes(version, topic, 2))
    assert next_bytes(one)[0] == 0x90
    one.send(wire.make_publish(version, topic, "0"))
    assert next_bytes(one)[0] == 0x30
    one.send(wire.make_publish(version, topic, "1", 1, packet_id=2))
    assert sorted(next_bytes(one)[0] for _ in range(2)) == [0x32, 0x40]
    one.send(wire.make_publish(version, topic, "2", 2, packet_id=3))
    assert sorted(next_bytes(one)[0] for _ in range(2)) == [0x34, 0x50]
    one.send_ack(wire.PUBREL, 3)
    assert next_bytes(one)[0] == 0x70
    one.send_ack(wire.PUBREC, 2)
    assert next_bytes(one)[0] == 0x62
    one.send(wire.make_unsubscribe(version, 4, [topic]))
    assert next_bytes(one)[0] == 0xB0
    one.send(wire.packet(wire.PINGREQ))
    assert next_bytes(one)[0] == 0xD0
    if version == V5:
        one.send_connect()
        assert next_bytes(one)[0] == 0xE0


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_2_1_2__and__v311_mqtt_2_3_1_5_no_identifier_in_qos_0(connect, topic, version):
    one = connect(version)
    one.subscribe(topic, qos=2)
    one.send(wire.make_publish(version, topic, "payload"))
    assert next_bytes(one)[2:] == wire.string(topic) + (b"\0" if version == V5 else b"") + b"payload"


def test_v5_mqtt_2_2_1_2_identifier_in_qos_0_does_not_parse(connect, topic):
    one = connect()
    one.send(wire.packet(wire.PUBLISH, wire.string(topic) + wire.u16(0x7F01) + b"\0payload"))
    expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_2_1_3__and__v311_mqtt_2_3_1_1_identifier_0(connect, topic, version):
    for packet in (wire.make_publish(version, topic, "x", 1, packet_id=0), subscribe_bytes(version, topic, 0, 0),
                   wire.make_publish(version, topic, "x", 2, packet_id=0), wire.make_unsubscribe(version, 0, [topic])):
        one = connect(version)
        one.send(packet)
        expect_error(one, 0x81, 0x82)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_2_1_3__and__v311_mqtt_2_3_1_2_identifier_in_use_is_survived(connect, topic, version):
    # The standards leave the reaction open; 5.0 knows 0x91 for it.
    one = connect(version)
    one.send_publish(topic, "x", 2, packet_id=7)
    one.expect(wire.PUBREC, packet_id=7)
    one.send(subscribe_bytes(version, topic, 0, 7))
    suback = one.expect(wire.SUBACK, packet_id=7)
    assert suback.reasons in ([0], [0x91] if version == V5 else [0x80])
    one.send_publish(topic, "y", 1, packet_id=7)
    assert one.await_packet(wire.PUBACK, packet_id=7).reason in (0, 0x10, 0x91)
    one.send_ack(wire.PUBREL, 7)
    one.await_packet(wire.PUBCOMP, packet_id=7)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_2_1_4__and__v311_mqtt_2_3_1_1__and__v311_mqtt_2_3_1_4_identifiers_of_the_server(
        connect, topic, version):
    one, publisher = connect(version, **keep(version)), connect(version)
    one.subscribe(topic, qos=2)
    for i in range(20):
        publisher.publish(topic, str(i), qos=1 + i % 2)
    held = one.expect_messages(20, acknowledge=False)
    assert len({m.packet_id for m in held} - {0}) == 20
    one.drop()
    one.connect(**keep(version))
    again = one.expect_messages(20, acknowledge=False)
    assert [(m.packet_id, m.payload) for m in again] == [(m.packet_id, m.payload) for m in held]


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_2_1_5__and__v311_mqtt_2_3_1_6_interleaved_acknowledgements(connect, topic, version):
    one = connect(version)
    qos = {300: 1, 5: 2, 65535: 1, 1: 2, 77: 1}
    for packet_id in qos:
        one.send_publish(topic, str(packet_id), qos[packet_id], packet_id=packet_id)
    for packet_id in qos:
        one.expect(wire.PUBACK if qos[packet_id] == 1 else wire.PUBREC, packet_id=packet_id)
    for packet_id in (1, 5):
        one.send_ack(wire.PUBREL, packet_id)
        one.expect(wire.PUBCOMP, packet_id=packet_id, reason=0)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_2_1_5__and__v311_mqtt_2_3_1_6_acknowledgements_of_nothing(connect, version):
    one = connect(version)
    one.send_ack(wire.PUBREL, 9)
    one.expect(wire.PUBCOMP, packet_id=9, reason=0x92 if version == V5 else 0)
    if version == V5:
        one.send_ack(wire.PUBREC, 10)
        one.expect(wire.PUBREL, packet_id=10, reason=0x92)
    # What else may happen is left open; the server survives it.
    for kind in (wire.PUBACK, wire.PUBCOMP):
        other = connect(version)
        other.send_ack(kind, 11)
    connect(version).ping()


@pytest.mark.parametrize("version", BOTH)
def test_v311_mqtt_2_3_1_3_repeated_and_finished_identifiers(connect, topic, version):
    one, watcher = connect(version), connect(version)
    watcher.subscribe(topic, qos=2)
    for dup in (False, True):
        one.send_publish(topic, "first", 2, packet_id=5, dup=dup)
        one.expect(wire.PUBREC, packet_id=5)
    one.send_ack(wire.PUBREL, 5)
    one.expect(wire.PUBCOMP, packet_id=5)
    one.send_publish(topic, "second", 2, packet_id=5)
    one.expect(wire.PUBREC, packet_id=5)
    watcher.expect_message(topic, "first")
    watcher.expect_message(topic, "second")
    watcher.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_2_2_1_6__and__v311_mqtt_2_3_1_7_identifiers_of_pipelined_requests(connect, topic, version):
    one = connect(version)
    asked = [65535, 3, 9, 1, 500, 2]
    one.send(b"".join(subscribe_bytes(version, topic, 0, i) if i % 2 else wire.make_unsubscribe(version, i, [topic])
                      for i in asked))
    for packet_id in asked:
        one.expect(wire.SUBACK if packet_id % 2 else wire.UNSUBACK, packet_id=packet_id)


def test_v5_mqtt_2_2_2_1_empty_properties_have_a_length(client, topic):
    one = client(id="").open()
    one.send_connect()
    next_bytes(one)  # a CONNACK with limits in it; the decoder has read its Property Length
    one.send(subscribe_bytes(V5, topic, 1))
    assert next_bytes(one) == b"\x90\x04\x00\x01\x00\x01"
    one.send(wire.make_publish(V5, topic, "x"))
    assert next_bytes(one)[2 + 2 + len(topic):] == b"\0x"
    one.send(wire.make_unsubscribe(V5, 2, [topic]))
    assert next_bytes(one) == b"\xb0\x04\x00\x02\x00\x00"


def test_v5_mqtt_2_2_2_1_missing_property_length_is_malformed(connect, client):
    for packet in (wire.packet(wire.PUBLISH, wire.string("t")), wire.packet(wire.SUBSCRIBE, b"\0\1\0\1t\0"),
                   wire.packet(wire.PUBLISH, wire.string("t") + b"\0\1", 2), wire.packet(wire.UNSUBSCRIBE, b"\0\1\0\1t")):
        one = connect()
        one.send(packet)
        expect_error(one, 0x81)
    one = client().open()
    one.send(wire.packet(wire.CONNECT, wire.string("MQTT") + b"\5\2\0\x0a" + wire.string("id")))
    expect_refused(one, 0x81)


def test_v5_mqtt_2_2_2_1_short_forms_are_legal(connect, topic):
    one, publisher = connect(properties=KEPT), connect()
    one.subscribe(topic, qos=2)
    for qos, kinds in ((1, [wire.PUBACK]), (2, [wire.PUBREC, wire.PUBCOMP])):
        for reason in (b"", b"\0", b"\0\0"):
            publisher.publish(topic, "x", qos=qos)
            message = one.expect_message(topic, "x", acknowledge=False)
            for kind in kinds:
                one.send(wire.packet(kind, wire.u16(message.packet_id) + reason))
                if kind == wire.PUBREC:
                    one.expect(wire.PUBREL, packet_id=message.packet_id)
    for body in (b"", b"\0", b"\0\0"):
        other = connect()
        other.send(wire.packet(wire.DISCONNECT, body))
        other.expect_close()
    one.ping()


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("packet", (b"\x00\x00", b"\x0f\x00", b"\x30\x80\x80\x80\x80\x01", b"\xc0\xff\xff\xff\xff"),
                         ids=bytes.hex)
def test_v5_section_2_1_reserved_types_and_lengths(connect, version, packet):
    one = connect(version)
    one.send(packet)
    expect_error(one, 0x81)


def test_v311_section_2_2_1_auth_is_reserved(connect):
    one = connect(V311)
    one.send(b"\xf0\x00")
    one.expect_close()
