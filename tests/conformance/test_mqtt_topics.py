"""Sections 4.7 and 4.8: topic names, filters, shared subscriptions."""

import pytest

import mqtt_codec as wire
from broker import new_broker
from mqtt_codec import V5
from mqtt_raw import ConnectionClosed
from support import BOTH, KEPT, NUL, drain, expect_error, keep, subscribe_bytes


def expect_bad_filter(one, topic_filter, unsubscribe=False):
    """The filter is refused by its code, or the connection ends."""
    if unsubscribe:
        one.send(wire.make_unsubscribe(one.version, 1, [topic_filter]))
    else:
        one.send(subscribe_bytes(one.version, topic_filter))
    try:
        got = one.receive()
    except ConnectionClosed:
        return
    if got.kind == wire.DISCONNECT:
        assert got.reason in (0x8F, 0x81, 0x82), got
        one.expect_close()
        return
    assert got.kind == (wire.UNSUBACK if unsubscribe else wire.SUBACK), got
    if one.version == V5 or not unsubscribe:
        assert got.reasons == [0x8F if one.version == V5 else 0x80]


BAD_FILTERS = {"v5_mqtt_4_7_1_1__and__v311_mqtt_4_7_1_2": ("a#", "a/#/b", "#/a", "a/b#", "##", "a/+#", "#a"),
               "v5_mqtt_4_7_1_2__and__v311_mqtt_4_7_1_3": ("a+", "a/b+", "+a", "a/+b/c", "++", "a/b+/#"),
               "v5_mqtt_4_8_2_1": ("$share//t", "$share/", "$share//"),
               "v5_mqtt_4_8_2_2": ("$share/g", "$share/g/", "$share/g+/t", "$share/+/t", "$share/#/t", "$share/g#/t"),
               "v5_mqtt_4_8_2_1__and__v5_mqtt_4_7_1_1": ("$share/g/a#", "$share/g/a/#/b", "$share/g/a+")}


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("filters", [pytest.param(filters, id=name) for name, filters in BAD_FILTERS.items()])
def test_bad_filter(connect, version, filters):
    for topic_filter in filters:
        expect_bad_filter(connect(version), topic_filter)
        expect_bad_filter(connect(version), topic_filter, unsubscribe=True)


@pytest.fixture(scope="module")
def matcher(tmp_path_factory):
    """A broker of these tests alone: their filters match what other tests publish."""
    one = new_broker(tmp_path_factory.mktemp("matcher"))
    one.start()
    yield one
    one.stop()


MATCHES = (  # filter, matching topics, others
    ("#", ("a", "a/b", "/", "/a", " "), ()),
    ("a/#", ("a", "a/", "a/b", "a/b/c", "a//"), ("", "b", "ab", "/a")),
    ("+", ("a", "b c"), ("a/b", "/", "/a", "a/")),
    ("+/+", ("a/b", "/", "/a", "a/"), ("a", "a/b/c", "//")),
    ("/+", ("/a", "/"), ("a", "a/b", "//")),
    ("a/+/b", ("a/x/b", "a//b"), ("a/b", "a/x/y/b", "a/x/b/")),
    ("a/+", ("a/", "a/b"), ("a", "a/b/c")),
    ("+/b/#", ("a/b", "/b", "a/b/c/d"), ("b", "a/a/b")),
    ("/", ("/",), ("//", "a/", "/a")),
    ("a//b", ("a//b",), ("a/b", "a///b")),
    ("A", ("A",), ("a",)),
    ("\u00e9", ("\u00e9",), ("e\u0301",)),
    ("a b", ("a b",), ("a  b", "ab", "a b ")),
)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("case", MATCHES, ids=lambda case: case[0])
def test_v5_mqtt_4_7_1_1__and__v5_mqtt_4_7_1_2__and__v5_mqtt_4_7_3_1__and__v5_mqtt_4_7_3_4__and__v311_mqtt_4_7_1_2__and__v311_mqtt_4_7_1_3__and__v311_mqtt_4_7_3_1__and__v311_mqtt_4_7_3_4_matching(
        matcher, connect, version, case):
    topic_filter, matching, others = case
    one, publisher = connect(version, to=matcher), connect(version, to=matcher)
    one.subscribe(topic_filter)
    for topic in [*matching, *others]:
        if topic:
            publisher.publish(topic, "x")
    assert [m.topic for m in drain(one, 0.08)] == list(matching)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_7_2_1__and__v311_mqtt_4_7_2_1_dollar_topics(matcher, connect, version):
    one, own, publisher = (connect(version, to=matcher) for _ in range(3))
    one.subscribe("#", "+/x", "+", "+/#", "/#", "+/+/y")
    own.subscribe("$test/#", "$test/+", "$test")
    for topic in ("$test/x", "$test", "$x", "$test/a/y", "$", "$SYS/x"):
        publisher.publish(topic, "x")
    one.expect_nothing()
    assert {m.topic for m in drain(own)} == {"$test/x", "$test", "$test/a/y"}


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_7_3_1__and__v311_mqtt_4_7_3_1_nothing_is_empty(connect, version):
    expect_bad_filter(connect(version), "")
    expect_bad_filter(connect(version), "", unsubscribe=True)
    one = connect(version)
    one.send(wire.make_publish(version, ""))
    expect_error(one, 0x82)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_7_3_2__and__v311_mqtt_4_7_3_2_no_nul(connect, version):
    for packet in (wire.make_publish(version, NUL), subscribe_bytes(version, NUL), wire.make_unsubscribe(version, 1, [NUL])):
        one = connect(version)
        one.send(packet)
        expect_error(one, 0x81)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_4_7_3_3__and__v311_mqtt_4_7_3_3_longest_topic(connect, topic, version):
    one = connect(version)
    longest = topic + "/" + "ü" * 30000
    longest += "x" * (65535 - len(longest.encode()))
    assert len(longest.encode()) == 65535
    one.subscribe(longest, qos=1)
    one.publish(longest, "x", qos=1)
    one.acknowledge(one.await_packet(wire.PUBLISH, topic=longest))
    one.unsubscribe(longest)


@pytest.mark.parametrize("version", BOTH)
def test_v5_section_4_7_topic_with_too_many_levels_is_refused_cleanly(connect, version):
    # limits.topic_levels, by default 128.
    expect_bad_filter(connect(version), "/".join("a" * 129))
    one = connect(version)
    one.send(wire.make_publish(version, "/".join("a" * 129)))
    expect_error(one, 0x90)
    one = connect(version)
    one.subscribe("/".join("a" * 128))
    one.publish("/".join("a" * 128), "x")
    one.expect_message(payload="x")


# ------------------------------------------------------------------------------------------- shared subscriptions


def test_v5_mqtt_4_8_2_1_shared_filter(connect, topic):
    one, publisher = connect(), connect()
    one.subscribe(f"$share/g/{topic}", f"$share/a name/{topic}/+", f"$share/g/{topic}//#")
    for level in ("", "/x", "//y"):
        publisher.publish(topic + level, level)
        one.expect_message(topic + level)
    publisher.publish(f"$share/g/{topic}", "not this")
    one.expect_nothing()


@pytest.mark.parametrize("qos", (0, 1, 2))
def test_v5_section_4_8_2_one_member_each(connect, topic, qos):
    members, publisher = [connect() for _ in range(3)], connect()
    for member in members:
        member.subscribe(f"$share/group/{topic}", qos=qos)
    for i in range(30):
        publisher.publish(topic, str(i), qos=qos)
    got = [[int(m.payload) for m in drain(member, 0.1)] for member in members]
    assert sorted(sum(got, [])) == list(range(30)) and all(got)


def test_v5_mqtt_4_8_2_3_each_member_at_its_own_qos(connect, topic):
    members, publisher = [connect() for _ in range(3)], connect()
    for granted, member in enumerate(members):
        member.subscribe(f"$share/group/{topic}", qos=granted)
    for published in (0, 1, 2):
        for i in range(9):
            publisher.publish(topic, str(published), qos=published)
        got = [drain(member, 0.1) for member in members]
        assert sum(map(len, got)) == 9 and all(got)
        for granted, messages in enumerate(got):
            assert {m.qos for m in messages} == {min(granted, published)}


def test_v5_mqtt_4_8_2_4_begun_qos_2_delivery_is_completed_with_its_member(connect, topic):
    one, publisher = connect(properties=KEPT), connect()
    one.subscribe(f"$share/group/{topic}", qos=2)
    publisher.publish(topic, "mine", qos=2)
    begun = one.expect_message(topic, "mine", acknowledge=False)
    other = connect()
    other.subscribe(f"$share/group/{topic}", qos=2)
    one.drop()
    other.expect_nothing()
    one.connect(**keep(V5))
    one.expect_message(topic, "mine", packet_id=begun.packet_id, dup=True)
    other.expect_nothing()


def test_v5_mqtt_4_8_2_5_begun_qos_2_delivery_goes_to_nobody_else(connect, topic):
    # The member's session ends: by its expiry, by a clean start, by DISCONNECT, with its connection.
    watchers = []
    for i, expiry in enumerate((1, 60, 60, 0)):
        one, publisher, other = connect(properties={"session_expiry_interval": expiry}), connect(), connect()
        one.subscribe(f"$share/group/{topic}/{i}", qos=2)
        publisher.publish(f"{topic}/{i}", "begun", qos=2)
        one.expect_message(f"{topic}/{i}", "begun", acknowledge=False)
        other.subscribe(f"$share/group/{topic}/{i}", qos=2)
        if i == 2:
            one.disconnect(0, {"session_expiry_interval": 0})
        else:
            one.drop()
        if i == 1:
            one.connect(clean=True)
        watchers.append(other)
    watchers[0].expect_nothing(1.4)
    for other in watchers[1:]:
        other.expect_nothing()


def test_v5_section_4_8_2_unacknowledged_qos_1_goes_to_another_member(connect, topic):
    one, publisher, other = connect(), connect(), connect()
    one.subscribe(f"$share/group/{topic}", qos=1)
    publisher.publish(topic, "open", qos=1)
    one.expect_message(topic, "open", acknowledge=False)
    other.subscribe(f"$share/group/{topic}", qos=1)
    one.disconnect()
    other.expect_message(topic, "open")


@pytest.mark.parametrize("qos, kind", ((1, wire.PUBACK), (2, wire.PUBREC)))
def test_v5_mqtt_4_8_2_6_refused_delivery_goes_to_nobody_else(connect, topic, qos, kind):
    one, publisher = connect(), connect()
    one.subscribe(f"$share/group/{topic}", qos=qos)
    publisher.publish(topic, "unwanted", qos=qos)
    message = one.expect_message(topic, "unwanted", acknowledge=False)
    other = connect()
    other.subscribe(f"$share/group/{topic}", qos=qos)
    one.send_ack(kind, message.packet_id, 0x80)
    other.expect_nothing(0.1)
    one.drop()
    other.expect_nothing(0.1)
