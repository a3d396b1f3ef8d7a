"""Section 3.3: PUBLISH, but for retained messages and the flow of acknowledged ones."""

import time

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V311, V5
from support import BOTH, KEPT, NOT_UTF8, NUL, expect_error, keep, next_bytes


# ------------------------------------------------------------------------------------------- fixed header


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_1__and__v311_mqtt_3_3_1_1_dup_of_a_repeated_delivery(connect, topic, version):
    one, publisher = connect(version, **keep(version)), connect()
    one.subscribe(topic, qos=2)
    for qos in (1, 2):
        publisher.publish(topic, str(qos), qos=qos)
        one.expect_message(topic, str(qos), dup=False, acknowledge=False)
    one.drop()
    one.connect(**keep(version))
    for qos in (1, 2):
        one.expect_message(topic, str(qos), dup=True)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("dup", (False, True))
def test_v5_mqtt_3_3_1_1__and__v311_mqtt_3_3_1_1_identifier_alone_decides(connect, topic, version, dup):
    one, watcher = connect(version), connect()
    watcher.subscribe(topic)
    for again in (False, dup):
        one.send_publish(topic, "x", 2, packet_id=3, dup=again)
        one.expect(wire.PUBREC, packet_id=3)
    watcher.expect_message(topic, "x")
    watcher.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_2__and__v311_mqtt_3_3_1_2__and__v5_mqtt_4_3_1_1__and__v311_mqtt_4_3_1_1_no_dup_in_qos_0(
        connect, topic, version):
    one, publisher = connect(version), connect(version)
    one.subscribe(topic, qos=2)
    for retain in (False, True):
        publisher.publish(topic, "x", retain=retain)
        assert next_bytes(one)[0] == 0x30
    late = connect(version)
    late.subscribe(topic)
    assert next_bytes(late)[0] == 0x31
    publisher.send(wire.make_publish(version, topic, "bad", 0, dup=True))
    expect_error(publisher, 0x81, 0x82)
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_3__and__v311_mqtt_3_3_1_3_dup_is_not_passed_on(connect, topic, version):
    one, publisher = connect(version), connect(version)
    one.subscribe(topic, qos=2)
    for qos in (1, 2):
        publisher.publish(topic, str(qos), qos=qos, dup=True)
        one.expect_message(topic, str(qos), qos=qos, dup=False)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_4__and__v311_mqtt_3_3_1_4_qos_3(connect, topic, version):
    for flags in (0x06, 0x07, 0x0E, 0x0F):
        one = connect(version)
        body = wire.string(topic) + wire.u16(1) + (b"\0" if version == V5 else b"")
        one.send(wire.packet(wire.PUBLISH, body, flags))
        expect_error(one, 0x81)


# ------------------------------------------------------------------------------------------- topic


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_2_1__and__v311_mqtt_3_3_2_1_topic_is_utf8(connect, topic, version):
    one, publisher = connect(version), connect(version)
    one.subscribe(f"{topic}/#")
    for level in ("ünïcødé", "\u0001", "\U0010ffff", "漢字/😀"):
        publisher.publish(f"{topic}/{level}", "x")
        one.expect_message(f"{topic}/{level}", "x")
    for bad in (*NOT_UTF8.values(), NUL):
        publisher = connect(version)
        publisher.send(wire.make_publish(version, topic.encode() + b"/" + bad))
        expect_error(publisher, 0x81)
    one.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("level", ("#", "+", "a#", "+a", "a/#/b", "+/x"))
def test_v5_mqtt_3_3_2_2__and__v5_mqtt_4_7_0_1__and__v311_mqtt_3_3_2_2__and__v311_mqtt_4_7_1_1_wildcards_in_a_topic(
        connect, topic, version, level):
    watcher, one = connect(), connect(version)
    watcher.subscribe(f"{topic}/#")
    one.send(wire.make_publish(version, f"{topic}/{level}", "x"))
    expect_error(one, 0x90, 0x81, 0x82)
    watcher.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_2_3__and__v311_mqtt_3_3_2_3_topic_matches_a_filter(connect, topic, version):
    one, shared, publisher = connect(version), connect(version), connect()
    one.subscribe(f"{topic}/a", f"{topic}/+/c", f"{topic}/d/#")
    shared.subscribe(f"$share/group/{topic}/#")
    topics = ["a", "a/b", "b/c", "d", "d/e/f", "x", "x/y/z"]
    for level in topics:
        publisher.publish(f"{topic}/{level}")
    for level in ("a", "b/c", "d", "d/e/f"):
        one.expect_message(f"{topic}/{level}")
    one.expect_nothing()
    for level in topics:
        shared.expect_message(f"{topic}/{level}")


# ------------------------------------------------------------------------------------------- properties


PROPERTIES = {
    "v5_mqtt_3_3_2_4__payload_format_0": {"payload_format_indicator": 0},
    "v5_mqtt_3_3_2_4__payload_format_1": {"payload_format_indicator": 1},
    "v5_mqtt_3_3_2_4__payload_format_absent": {},
    "v5_mqtt_3_3_2_15__response_topic": {"response_topic": "answers/ünï/here"},
    "v5_mqtt_3_3_2_16__correlation_data": {"correlation_data": b"\0\xff\0binary\x80"},
    "v5_mqtt_3_3_2_16__empty_correlation_data": {"correlation_data": b""},
    "v5_mqtt_3_3_2_20__content_type": {"content_type": "text/ünï; q=\ufeff"},
    "v5_mqtt_3_3_2_20__empty_content_type": {"content_type": ""},
    "v5_mqtt_3_3_2_17__and__v5_mqtt_3_3_2_18__user_properties": {
        "user_property": [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("a", ""), ("long", "x" * 5000), ("b", "0")]},
}


@pytest.mark.parametrize("properties", [pytest.param(given, id=name) for name, given in PROPERTIES.items()])
@pytest.mark.parametrize("way", ("live", "queued", "retained"))
def test_forwarded_property(connect, topic, properties, way):
    one, publisher = connect(properties=KEPT), connect()
    if way == "live":
        one.subscribe(topic, qos=1)
    elif way == "queued":
        one.subscribe(topic, qos=1)
        one.drop()
    # With an alias, which does not travel on.
    publisher.publish(topic, "x", qos=1, retain=way == "retained", properties={"topic_alias": 1, **properties})
    if way == "queued":
        one.connect(**keep(V5))
    elif way == "retained":
        one.subscribe(topic, qos=1)
    expected = [(key, value) for key, values in properties.items()
                for value in (values if isinstance(values, list) else [values])]
    assert one.expect_message(topic, "x").properties == expected


BAD_PROPERTIES = {
    "v5_mqtt_3_3_2_13__response_topic_not_utf8": (b"\x08\0\1\xff", 0x81),
    "v5_mqtt_3_3_2_13__response_topic_with_nul": (b"\x08\0\1\0", 0x81),
    "v5_mqtt_3_3_2_14__response_topic_with_hash": (b"\x08\0\3a/#", 0x82, 0x81, 0x90),
    "v5_mqtt_3_3_2_14__response_topic_with_plus": (b"\x08\0\1+", 0x82, 0x81, 0x90),
    "v5_mqtt_3_3_2_19__content_type_not_utf8": (b"\x03\0\2\xc3\x28", 0x81),
    "v5_mqtt_3_3_2_8__alias_0": (b"\x23\0\0", 0x94, 0x82),
    "v5_mqtt_3_3_4_6__subscription_identifier": (b"\x0b\x05", 0x82),
    "v5_section_3_3_2_3_2__payload_format_2": (b"\x01\2", 0x82, 0x81),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in BAD_PROPERTIES.items()])
def test_bad_property(connect, topic, case):
    watcher, one = connect(), connect()
    watcher.subscribe(topic)
    one.send_publish(topic, "x", properties=case[0])
    expect_error(one, *case[1:])
    watcher.expect_nothing()


def test_v5_mqtt_3_3_2_5__and__v5_mqtt_3_3_2_6_message_expiry(connect, topic):
    one, publisher = connect(properties=KEPT), connect()
    one.subscribe(f"{topic}/queued", qos=1)
    one.disconnect()  # not drop: a delivery that the broker begins before it notices does not expire
    for seconds in (1, 10, None):
        properties = {"message_expiry_interval": seconds} if seconds else None
        publisher.publish(f"{topic}/queued", str(seconds), qos=1, properties=properties)
        publisher.publish(f"{topic}/kept/{seconds}", str(seconds), retain=True, properties=properties)
    time.sleep(2.1)
    one.connect(**keep(V5))
    got = [one.expect_message(f"{topic}/queued") for _ in range(2)]
    one.expect_nothing()
    one.subscribe(f"{topic}/kept/+")
    kept = sorted(one.expect_messages(2), key=lambda message: message.payload)
    one.expect_nothing()
    for with_expiry, without in (got, kept):
        assert with_expiry.payload == b"10" and without.payload == b"None"
        assert with_expiry.properties.get("message_expiry_interval") in (7, 8)
        assert "message_expiry_interval" not in without.properties
    one.subscribe(f"{topic}/live")
    publisher.publish(f"{topic}/live", properties={"message_expiry_interval": 1000})
    assert one.expect_message(f"{topic}/live").properties.get("message_expiry_interval") in (999, 1000)


# ------------------------------------------------------------------------------------------- topic alias


def test_v5_mqtt_3_3_2_7_aliases_end_with_the_connection(connect, topic):
    one = connect(properties=KEPT)
    one.publish(topic, "x", properties={"topic_alias": 1})
    one.publish("", "x", properties={"topic_alias": 1})
    one.ping()
    one.drop()
    one.connect(**keep(V5))
    one.send_publish("", "x", properties={"topic_alias": 1})
    one.expect_disconnect(0x82, 0x94)


def test_v5_mqtt_3_3_2_7_server_sends_topics_anew(connect, topic):
    options = {"clean": False, "properties": {**KEPT, "topic_alias_maximum": 5}}
    one, publisher = connect(**options), connect()
    one.subscribe(topic, qos=1)
    for _ in range(3):
        publisher.publish(topic, "x", qos=1)
        one.expect_message(payload="x")
    publisher.publish(topic, "open", qos=1)
    one.expect_message(payload="open", acknowledge=False)
    one.drop()
    publisher.publish(topic, "queued", qos=1)
    one.connect(**options)
    one.expect_message(topic, "open")
    known = one.expect_message(payload="queued")
    assert known.topic in ("", topic)


def test_v5_mqtt_3_3_2_8_server_never_sends_alias_0(connect, topic):
    # The decoder refuses an alias of 0; here the server uses many.
    one, publisher = connect(properties={"topic_alias_maximum": 65535}), connect()
    one.subscribe(f"{topic}/+")
    for i in range(50):
        publisher.publish(f"{topic}/{i % 25}", str(i))
    assert any("topic_alias" in message.properties for message in one.expect_messages(50))


def test_v5_mqtt_3_3_2_9_alias_above_the_maximum(connect, topic):
    one = connect()
    one.send_publish(topic, "x", properties={"topic_alias": one.connack.properties.get("topic_alias_maximum") + 1})
    one.expect_disconnect(0x94)


def test_v5_mqtt_3_3_2_12_every_alias_up_to_the_maximum(connect, topic):
    one, watcher = connect(), connect()
    watcher.subscribe(f"{topic}/+")
    aliases = range(1, one.connack.properties.get("topic_alias_maximum") + 1)
    assert aliases
    for round_ in ("first", "second"):  # the second defines each anew
        for alias in aliases:
            one.publish(f"{topic}/{round_} {alias}", "defines", properties={"topic_alias": alias})
            watcher.expect_message(f"{topic}/{round_} {alias}", "defines")
        for alias in reversed(aliases):
            one.publish("", "uses", properties={"topic_alias": alias})
            watcher.expect_message(f"{topic}/{round_} {alias}", "uses")


def test_v5_mqtt_3_3_2_7_alias_that_nothing_defines(connect):
    one = connect()
    one.send_publish("", "x", properties={"topic_alias": 1})
    one.expect_disconnect(0x82, 0x94)


# ------------------------------------------------------------------------------------------- answers, actions


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_4_1__and__v311_mqtt_3_3_4_1_answers_by_qos(connect, topic, version):
    one, two = connect(version), connect(version)
    one.send_publish(topic, "x", 0)
    one.expect_nothing()
    one.send_publish(topic, "x", 1, packet_id=5)
    one.expect(wire.PUBACK, packet_id=5)
    one.send_publish(topic, "x", 2, packet_id=6)
    one.expect(wire.PUBREC, packet_id=6)
    one.expect_nothing()
    two.ping()


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("highest", (0, 1, 2))
def test_v5_mqtt_3_3_4_2__and__v311_mqtt_3_3_5_1_overlap_honours_the_highest_qos(connect, topic, version, highest):
    one, publisher = connect(version), connect()
    filters = [f"{topic}/#", f"{topic}/b", f"{topic}/+"]
    one.subscribe(*((topic_filter, 2 if i == highest else i % 2) for i, topic_filter in enumerate(filters)))
    publisher.publish(f"{topic}/b", "x", qos=2)
    got = [one.expect_message(f"{topic}/b", "x")]
    while got[-1].qos < 2:
        got.append(one.expect_message(f"{topic}/b", "x"))
    assert len(got) <= 3


def test_v5_mqtt_3_3_4_3__and__v5_mqtt_3_3_4_4__and__v5_mqtt_3_3_4_5_identifiers_of_overlapping_subscriptions(
        connect, topic):
    one, publisher = connect(), connect()
    for identifier, topic_filter in enumerate((f"{topic}/#", f"{topic}/b", f"{topic}/+"), 1):
        one.subscribe(topic_filter, properties={"subscription_identifier": identifier * 1000})
    one.subscribe(f"+/{topic.split('/')[1]}/b")  # one without
    publisher.publish(f"{topic}/b", "both")
    copies = [one.expect_message(f"{topic}/b", "both")]
    publisher.publish(f"{topic}/other", "end")
    while (message := one.expect_message()).payload != b"end":
        copies.append(message)
    identifiers = [copy.properties.all("subscription_identifier") for copy in copies]
    if len(copies) == 1:
        assert sorted(identifiers[0]) == [1000, 2000, 3000]
    else:
        assert sorted(identifiers) == [[], [1000], [2000], [3000]]


def test_v5_mqtt_3_3_4_5_copies_that_are_sent_apart(connect, topic):
    # A shared subscription makes a copy of its own.
    one, publisher = connect(), connect()
    one.subscribe(topic, properties={"subscription_identifier": 1})
    one.subscribe(f"$share/group/{topic}", properties={"subscription_identifier": 2})
    publisher.publish(topic, "x")
    assert sorted(m.properties.all("subscription_identifier") for m in one.expect_messages(2)) == [[1], [2]]


def acl_broker(**changes):
    return (base_config(plugins=[{"name": "acl-file", "config": {"acl_file": "rules.acl"}}], **changes),
            {"rules.acl": "topic read #\ntopic write allowed/#\n"})


@pytest.fixture
def denying(start_broker):
    return start_broker(*acl_broker())


@pytest.mark.parametrize("qos, kind", ((1, wire.PUBACK), (2, wire.PUBREC)))
def test_v311_mqtt_3_3_5_2_unauthorized_publish(denying, connect, topic, qos, kind):
    watcher = connect(to=denying)
    watcher.subscribe("#")
    one = connect(V311, to=denying)
    one.send_publish("forbidden", "x", qos)
    one.expect(kind)
    one.ping()
    watcher.expect_nothing()


@pytest.mark.parametrize("qos", (0, 1, 2))
def test_v311_mqtt_3_3_5_2_unauthorized_publish_may_cost_the_connection(start_broker, connect, qos):
    broker = start_broker(*acl_broker(deny_action="disconnect"))
    one = connect(V311, to=broker)
    one.send_publish("forbidden", "x", qos)
    one.expect_close()


@pytest.mark.parametrize("qos, kind", ((1, wire.PUBACK), (2, wire.PUBREC)))
def test_v5_mqtt_3_4_2_1__and__v5_mqtt_3_5_2_1_codes_of_acknowledgements(denying, connect, qos, kind):
    # The decoder refuses codes that are not in the table; these are the ones that mean something here.
    one = connect(to=denying)
    for topic, reason in (("forbidden", 0x87), ("allowed/nobody", 0x10)):
        one.send_publish(topic, "x", qos)
        one.expect(kind, reason=reason)
    one.subscribe("allowed/me")
    one.send_publish("allowed/me", "x", qos)
    one.await_packet(kind, reason=0)


BAD_CODES = {"v5_mqtt_3_4_2_1": (wire.PUBACK, (0x01, 0x11, 0x92, 0x8E, 0xFF)),
             "v5_mqtt_3_5_2_1": (wire.PUBREC, (0x02, 0x18, 0x92, 0x9A, 0x7F)),
             "v5_mqtt_3_6_2_1": (wire.PUBREL, (0x10, 0x80, 0x87, 0x97, 0xFF)),
             "v5_mqtt_3_7_2_1": (wire.PUBCOMP, (0x10, 0x80, 0x91, 0x01, 0xFF))}


@pytest.mark.parametrize("kind, codes", [pytest.param(*case, id=name) for name, case in BAD_CODES.items()])
def test_code_that_the_packet_does_not_have(connect, kind, codes):
    for code in codes:
        one = connect()
        one.send_ack(kind, 1, code)
        expect_error(one, 0x81, 0x82)


def test_v5_mqtt_3_6_2_1__and__v5_mqtt_3_7_2_1_codes_of_releases(connect, topic):
    one, publisher = connect(), connect()
    one.subscribe(topic, qos=2)
    publisher.publish(topic, "x", qos=2)  # which asserts PUBCOMP 0x00
    message = one.expect_message(topic, "x", acknowledge=False)
    for packet_id, reason in ((message.packet_id, 0), (message.packet_id + 1, 0x92)):
        one.send_ack(wire.PUBREC, packet_id)
        one.expect(wire.PUBREL, packet_id=packet_id, reason=reason)
        one.send_ack(wire.PUBREL, packet_id)
        one.expect(wire.PUBCOMP, packet_id=packet_id, reason=0x92)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("first", (0x60, 0x61, 0x63, 0x66, 0x6A))
def test_v5_mqtt_3_6_1_1__and__v311_mqtt_3_6_1_1_flags_of_pubrel(connect, topic, version, first):
    one = connect(version)
    one.send_publish(topic, "x", 2, packet_id=1)
    one.expect(wire.PUBREC, packet_id=1)
    one.send(bytes([first]) + b"\2\0\1")
    expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_6_1_1__and__v311_mqtt_3_6_1_1_flags_of_the_servers_pubrel(connect, topic, version):
    one = connect(version)
    one.subscribe(topic, qos=2)
    connect().publish(topic, "x", qos=2)
    message = one.expect_message(topic, acknowledge=False)
    one.send_ack(wire.PUBREC, message.packet_id)
    assert next_bytes(one) == b"\x62\2" + wire.u16(message.packet_id)
