"""SUBSCRIBE and UNSUBSCRIBE, topic matching, overlapping subscriptions."""

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5, VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_suback_has_one_code_for_every_filter_in_order(connect, topic, version):
    # [v5 MQTT-3.8.4-1, MQTT-3.8.4-2, MQTT-3.8.4-5, MQTT-3.8.4-6, MQTT-3.9.3-1, MQTT-2.2.1-6]
    # [v311 MQTT-3.8.4-1, MQTT-3.8.4-2, MQTT-3.8.4-4, MQTT-3.8.4-5, MQTT-3.9.3-1, MQTT-2.3.1-7]
    one = connect(version)
    one.subscribe((f"{topic}/0", 0), (f"{topic}/2", 2), (f"{topic}/1", 1), (f"{topic}/+/x", 2))
    for qos in range(3):
        one.publish(f"{topic}/{qos}", "x", qos=2)
        one.acknowledge(one.await_packet(wire.PUBLISH, topic=f"{topic}/{qos}", qos=qos))


@pytest.mark.parametrize("version", VERSIONS)
def test_pipelined_requests_get_their_own_answers(connect, topic, version):
    # [v5 MQTT-2.2.1-6] [v311 MQTT-2.3.1-7]
    one = connect(version)
    one.send(wire.make_subscribe(version, 300, [(f"{topic}/a", 0)]) + wire.make_subscribe(version, 5, [("b", 1)])
             + wire.make_unsubscribe(version, 9, ["b"]) + wire.make_unsubscribe(version, 65535, [f"{topic}/a"]))
    one.expect(wire.SUBACK, packet_id=300, reasons=[0])
    one.expect(wire.SUBACK, packet_id=5, reasons=[1])
    one.expect(wire.UNSUBACK, packet_id=9)
    one.expect(wire.UNSUBACK, packet_id=65535)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_thousand_filters_in_one_subscribe(connect, topic, version):
    one = connect(version)
    filters = [f"{topic}/{i}/+" for i in range(1000)]
    one.subscribe(*filters, qos=1)
    one.publish(f"{topic}/999/x", "last")
    one.expect_message(f"{topic}/999/x", "last")
    one.unsubscribe(*filters)
    one.publish(f"{topic}/999/x", "none")
    one.expect_nothing()


MATCHES = (
    # filter, topic, matches
    ("a/b", "a/b", True), ("a/b", "a/B", False), ("a/b", "a/b/", False), ("a/b", "/a/b", False), ("a/b", "a", False),
    ("a//b", "a//b", True), ("a//b", "a/b", False), ("a/b", "a//b", False),
    ("a/+", "a/b", True), ("a/+", "a", False), ("a/+", "a/", True), ("a/+", "a/b/c", False), ("+", "a", True),
    ("+/+", "/a", True), ("/+", "/a", True), ("+", "/a", False), ("+/b/+", "a/b/c", True), ("+/b/+", "a/c/b", False),
    ("a/#", "a", True), ("a/#", "a/b", True), ("a/#", "a/b/c", True), ("a/#", "a/", True), ("a/#", "ab", False),
    ("a/+/#", "a", False), ("a/+/#", "a/b", True), ("a/+/#", "a/b/c/d", True), ("/", "/", True), ("/", "a", False),
    ("//", "//", True), ("//", "/", False), ("+/+/+", "//", True), ("a b", "a b", True), ("A/#", "a/b", False),
    ("\u00e9", "\u00e9", True), ("\u00e9", "e\u0301", False), ("\ufeffa", "\ufeffa", True), ("a", "\ufeffa", False),
    ("\u2603/+", "\u2603/\U0001f600", True),
)


@pytest.mark.parametrize("topic_filter, published, matches", MATCHES)
def test_matching(connect, name, topic_filter, published, matches):
    # [v5 MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-4, MQTT-1.5.4-3, MQTT-3.3.2-3]
    # [v311 MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.7.3-4, MQTT-1.5.3-3, MQTT-3.3.2-3]
    publisher, subscriber = connect(), connect(V311)
    # A level of this test's own in front keeps others out; it changes nothing about the levels behind it.
    own = name("m")
    subscriber.subscribe(f"{own}/{topic_filter}", f"{own}-end")
    publisher.publish(f"{own}/{published}", "x")
    publisher.publish(f"{own}-end", "end")
    if matches:
        subscriber.expect_message(f"{own}/{published}", "x")
    subscriber.expect_message(f"{own}-end", "end")


@pytest.mark.parametrize("topic_filter", ("#", "+", "+/+", "/", "/+", "//", "a", "$x"))
def test_matching_at_the_first_level(start_broker, connect, topic_filter):
    broker = start_broker()
    publisher, subscriber = connect(to=broker), connect(V311, to=broker)
    subscriber.subscribe(topic_filter, "$end")
    wanted = {"#": ["a", "/", "a/b", "//", "/a"], "+": ["a"], "+/+": ["/", "a/b", "/a"], "/": ["/"], "/+": ["/", "/a"],
              "//": ["//"], "a": ["a"], "$x": ["$x"]}[topic_filter]
    for topic in ("a", "/", "a/b", "//", "/a", "$x"):
        publisher.publish(topic, "x")
    publisher.publish("$end", "end")
    for topic in wanted:
        subscriber.expect_message(topic)
    subscriber.expect_message("$end")


def test_wildcards_do_not_match_dollar_topics(connect, name):
    # [v5 MQTT-4.7.2-1] [v311 MQTT-4.7.2-1]
    own = name("d")
    publisher, subscriber = connect(), connect()
    subscriber.subscribe("#", f"+/{own}", f"+/{own}/#", f"{own}/end")
    exact = connect()
    exact.subscribe(f"$test/{own}", f"$test/+/x")
    publisher.publish(f"$test/{own}", "hidden")
    publisher.publish(f"$test/{own}/x", "hidden")
    publisher.publish(f"{own}/end", "end")
    subscriber.expect_message(f"{own}/end", "end")
    exact.expect_message(f"$test/{own}", "hidden")
    exact.expect_message(f"$test/{own}/x", "hidden")


BAD_FILTERS = ("", "a#", "a/#/b", "#/a", "a+", "a/b+", "+a", "a/+b/c", "##", "++")
BAD_SHARED_FILTERS = ("$share//t", "$share/g", "$share/g/", "$share/g+/t", "$share/g#/t", "$share/", "$share/g/a#")


@pytest.mark.parametrize("topic_filter", [
    *BAD_FILTERS, *(pytest.param(f, marks=pytest.mark.reference_differs) for f in BAD_SHARED_FILTERS)])
def test_bad_filters_are_refused_in_5(connect, topic_filter):
    # [v5 MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.8.2-1, MQTT-4.8.2-2]: a failed filter or a closed connection
    one = connect()
    one.send(wire.make_subscribe(V5, 1, [(topic_filter, 0), ("fine", 1)]))
    got = one.receive()
    if got.kind == wire.SUBACK:
        assert got.reasons == [0x8F, 1]
        one.ping()
    else:
        assert got.kind == wire.DISCONNECT and got.reason in (0x8F, 0x81, 0x82)
        one.expect_close()


@pytest.mark.parametrize("topic_filter", BAD_FILTERS)
def test_bad_filters_are_refused_in_311(connect, topic_filter):
    # [v311 MQTT-4.7.1-2, MQTT-4.7.1-3, MQTT-4.8.0-1]
    one = connect(V311)
    one.send(wire.make_subscribe(V311, 1, [(topic_filter, 0), ("fine", 1)]))
    try:
        assert one.receive().reasons == [0x80, 1]
    except wire.WireError:
        raise
    except AssertionError as error:
        assert "closed" in str(error)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_filter_again_replaces_the_subscription(connect, topic, version):
    # [v5 MQTT-3.8.4-3] [v311 MQTT-3.8.4-3]
    one = connect(version)
    one.subscribe(topic, qos=2)
    one.subscribe(topic, qos=0)
    one.publish(topic, "x", qos=1)
    one.expect_message(topic, "x", qos=0)
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_replacing_a_subscription_loses_nothing(connect, topic, version):
    # [v5 MQTT-3.8.4-4] [v311 MQTT-3.8.4-3]
    publisher, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic, qos=1)
    for i in range(100):
        publisher.send_publish(topic, str(i), 1)
        if i % 10 == 5:
            subscriber.subscribe(topic, qos=1)
    got = [m.payload for m in subscriber.expect_messages(100)]
    assert got == [str(i).encode() for i in range(100)]


@pytest.mark.parametrize("version", VERSIONS)
def test_overlapping_subscriptions_deliver_at_the_highest_qos(connect, topic, version):
    # [v5 MQTT-3.3.4-2] [v311 MQTT-3.3.5-1]
    one, end = connect(version), connect(version)
    one.subscribe((f"{topic}/#", 0), (f"{topic}/b", 2), (f"{topic}/+", 1))
    end.publish(f"{topic}/b", "x", qos=2)
    end.publish(f"{topic}/end", "end", qos=1)
    levels = []
    while True:
        message = one.await_packet(wire.PUBLISH)
        one.acknowledge(message)
        if message.topic.endswith("end"):
            break
        levels.append(message.qos)
    assert max(levels) == 2


@pytest.mark.reference_differs
@pytest.mark.parametrize("version", VERSIONS)
def test_overlapping_subscriptions_deliver_one_copy(connect, topic, version):
    one = connect(version)
    one.subscribe((f"{topic}/#", 0), (f"{topic}/b", 2), (f"{topic}/+", 1))
    connect(version).publish(f"{topic}/b", "x", qos=2)
    one.expect_message(f"{topic}/b", "x", qos=2)
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_unsubscribe_removes_the_identical_filter_only(connect, topic, version):
    # [v5 MQTT-3.10.4-1, MQTT-3.10.4-2, MQTT-3.10.4-4, MQTT-3.10.4-6]
    # [v311 MQTT-3.10.4-1, MQTT-3.10.4-2, MQTT-3.10.4-4, MQTT-3.10.4-6]
    one = connect(version)
    one.subscribe(f"{topic}/b", f"{topic}/c", f"{topic}/d")
    one.unsubscribe(f"{topic}/+", reasons=[0x11])
    one.publish(f"{topic}/b", "still")
    one.expect_message(f"{topic}/b", "still")
    one.unsubscribe(f"{topic}/b", f"{topic}/c")
    for level in "bcd":
        one.publish(f"{topic}/{level}", "x")
    one.expect_message(f"{topic}/d", "x")
    one.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_unsuback_comes_for_unknown_filters_too(connect, topic, version):
    # [v5 MQTT-3.10.4-5, MQTT-3.11.3-1] [v311 MQTT-3.10.4-5]
    one = connect(version)
    one.subscribe(f"{topic}/known")
    one.unsubscribe(f"{topic}/no", f"{topic}/known", f"{topic}/known", reasons=[0x11, 0, 0x11])


@pytest.mark.parametrize("version", VERSIONS)
def test_begun_deliveries_are_finished_after_unsubscribe(connect, topic, version):
    # [v5 MQTT-3.10.4-3] [v311 MQTT-3.10.4-3]
    publisher, one = connect(version), connect(version)
    one.subscribe(topic, qos=2)
    publisher.publish(topic, "begun", qos=2)
    begun = one.expect_message(topic, "begun", acknowledge=False)
    one.unsubscribe(topic)
    one.acknowledge(begun)


@pytest.mark.parametrize("version", VERSIONS)
def test_topic_of_65535_bytes(connect, version):
    # [v5 MQTT-4.7.3-3] [v311 MQTT-4.7.3-3]
    one = connect(version)
    long = ("x" * 999 + "/") * 60
    long = long + "y" * (65535 - len(long))
    one.subscribe(long, qos=1)
    one.publish(long, "far", qos=1)
    one.acknowledge(one.await_packet(wire.PUBLISH, topic=long, payload=b"far"))


@pytest.mark.reference_differs
@pytest.mark.parametrize("version", (V311, V5))
def test_topic_with_very_many_levels_is_survived(connect, topic, version):
    one, bystander = connect(version), connect()
    deep = "/".join(["a"] * 32000)
    one.send(wire.make_subscribe(version, 1, [(deep, 0)]))
    one.receive()
    bystander.subscribe(topic)
    bystander.publish(topic, "fine")
    bystander.expect_message(topic, "fine")
