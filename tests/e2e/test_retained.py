"""Retained messages: store, replace, delete, Retain Handling, Retain As Published."""

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5, VERSIONS

RETAIN_AS_PUBLISHED = 0x08
PINGREQ = b"\xc0\0"


def handling(value):
    return value << 4


@pytest.mark.parametrize("version", VERSIONS)
def test_new_subscription_gets_the_retained_message(connect, topic, version):
    # [v5 MQTT-3.3.1-5] [v311 MQTT-3.3.1-5, MQTT-3.3.1-6, MQTT-3.3.1-8, MQTT-3.1.2-7]
    publisher = connect(version)
    for stored in range(3):
        publisher.publish(f"{topic}/{stored}", f"stored {stored}", qos=stored, retain=True)
    publisher.disconnect()
    for granted in range(3):
        subscriber = connect(version)
        subscriber.subscribe(f"{topic}/+", qos=granted)
        got = {}
        for _ in range(3):
            message = subscriber.await_packet(wire.PUBLISH)
            subscriber.acknowledge(message)
            assert message.retain and not message.dup
            got[message.payload.decode()] = message.qos
        assert got == {f"stored {q}": min(q, granted) for q in range(3)}
        subscriber.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_retained_message_is_replaced(connect, topic, version):
    # [v5 MQTT-3.3.1-5, MQTT-3.3.1-8] [v311 MQTT-3.3.1-7, MQTT-3.3.1-12]
    publisher, subscriber = connect(version), connect(version)
    for payload in ("first", "second"):
        publisher.publish(topic, payload, qos=1, retain=True)
    publisher.publish(topic, "not retained", qos=1)
    subscriber.subscribe(topic, qos=1)
    subscriber.expect_message(topic, "second", retain=True)
    subscriber.expect_nothing()
    publisher.publish(topic, "qos 0", retain=True)
    publisher.ping()
    late = connect(version)
    late.subscribe(topic)
    late.expect_message(topic, "qos 0", retain=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_empty_retained_message_erases_and_is_forwarded(connect, topic, version):
    # [v5 MQTT-3.3.1-6, MQTT-3.3.1-7] [v311 MQTT-3.3.1-10, MQTT-3.3.1-11]
    publisher, subscriber = connect(version), connect(version)
    publisher.publish(topic, "gone", qos=1, retain=True)
    subscriber.subscribe(topic, qos=1)
    subscriber.expect_message(topic, "gone")
    publisher.publish(topic, "", qos=1, retain=True)
    subscriber.expect_message(topic, "", retain=False)
    late = connect(version)
    late.subscribe(topic)
    late.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_established_subscription_sees_retain_0(connect, topic, version):
    # [v5 MQTT-3.3.1-12] [v311 MQTT-3.3.1-9]
    publisher, subscriber = connect(version), connect(version)
    subscriber.subscribe(topic)
    publisher.publish(topic, "live", retain=True)
    subscriber.expect_message(topic, "live", retain=False)


def test_retain_as_published_keeps_the_flag(connect, topic):
    # [v5 MQTT-3.3.1-12, MQTT-3.3.1-13]
    publisher, subscriber, other = connect(), connect(), connect()
    subscriber.subscribe(topic, options=RETAIN_AS_PUBLISHED)
    other.subscribe(topic)
    for retain in (True, False):
        publisher.publish(topic, "live", retain=retain)
        subscriber.expect_message(topic, "live", retain=retain)
        other.expect_message(topic, "live", retain=False)


def test_retain_handling_0_sends_on_every_subscribe(connect, topic):
    # [v5 MQTT-3.3.1-9, MQTT-3.8.4-4]
    connect().publish(topic, "kept", qos=1, retain=True)
    subscriber = connect()
    for _ in range(3):
        subscriber.subscribe(topic, options=handling(0))
        subscriber.expect_message(topic, "kept", retain=True)


def test_retain_handling_1_sends_to_new_subscriptions_only(connect, topic):
    # [v5 MQTT-3.3.1-10]
    connect().publish(topic, "kept", qos=1, retain=True)
    subscriber = connect()
    subscriber.subscribe(topic, options=handling(1))
    subscriber.expect_message(topic, "kept", retain=True)
    subscriber.subscribe(topic, options=handling(1))
    subscriber.expect_nothing()
    subscriber.unsubscribe(topic)
    subscriber.subscribe(topic, options=handling(1))
    subscriber.expect_message(topic, "kept", retain=True)


def test_retain_handling_1_knows_the_subscriptions_of_a_resumed_session(connect, client, topic):
    # [v5 MQTT-3.3.1-10]
    kept = {"session_expiry_interval": 60}
    connect().publish(topic, "kept", qos=1, retain=True)
    one = connect(properties=kept)
    one.subscribe(topic, options=handling(1))
    one.expect_message(topic, "kept")
    one.drop()
    assert one.connect(clean=False, properties=kept).session_present
    one.subscribe(topic, options=handling(1))
    one.expect_nothing()


def test_retain_handling_2_sends_nothing(connect, topic):
    # [v5 MQTT-3.3.1-11]
    publisher, subscriber = connect(), connect()
    publisher.publish(topic, "kept", qos=1, retain=True)
    subscriber.subscribe(topic, options=handling(2))
    subscriber.expect_nothing()
    publisher.publish(topic, "live")
    subscriber.expect_message(topic, "live")


@pytest.mark.parametrize("version", VERSIONS)
def test_subscribing_again_sends_retained_messages_again(connect, topic, version):
    # [v311 MQTT-3.8.4-3] [v5 MQTT-3.8.4-4]
    connect(version).publish(topic, "kept", qos=1, retain=True)
    subscriber = connect(version)
    for qos in (0, 1):
        subscriber.subscribe(topic, qos=qos)
        subscriber.expect_message(topic, "kept", qos=qos, retain=True)


def test_wildcards_find_all_retained_messages(connect, name):
    # [v311 MQTT-3.3.1-6] [v5 MQTT-3.8.4-5]
    own = name("r")
    publisher = connect()
    topics = [f"{own}/a", f"{own}/a/b", f"{own}/a/b/c", f"{own}", f"{own}/x/b", f"{own}//b", f"${own}/a"]
    for topic in topics:
        publisher.publish(topic, topic, qos=1, retain=True)
    for topic_filter, wanted in ((f"{own}/#", topics[:6]), (f"{own}/+", [f"{own}/a"]), (f"{own}/+/#", topics[:3] + topics[4:6]),
                                 (f"{own}/+/b", [f"{own}/a/b", f"{own}/x/b", f"{own}//b"]), (f"+/a/b/c", [f"{own}/a/b/c"]),
                                 (f"${own}/#", [f"${own}/a"])):
        wanted = [t for t in wanted if not (topic_filter == f"{own}/+/#" and t == own)]
        subscriber = connect()
        subscriber.subscribe(topic_filter)
        got = sorted(m.topic for m in subscriber.expect_messages(len(wanted)))
        assert got == sorted(wanted), topic_filter
        subscriber.expect_nothing()


def test_several_thousand_retained_messages_reach_a_new_subscriber(connect, topic):
    publisher, subscriber = connect(V311), connect(V311)
    count = 5000
    for start in range(0, count, 500):
        publisher.send(b"".join(wire.make_publish(V311, f"{topic}/{i}", str(i), 1, True, packet_id=i + 1)
                                for i in range(start, start + 500)))
        for i in range(start, start + 500):
            publisher.expect(wire.PUBACK, packet_id=i + 1)
    subscriber.subscribe(f"{topic}/+", qos=0)
    assert {m.topic for m in subscriber.expect_messages(count)} == {f"{topic}/{i}" for i in range(count)}


@pytest.mark.reference_differs
def test_more_retained_messages_than_the_window_all_arrive_at_qos_1(connect, topic):
    publisher, subscriber = connect(), connect(properties={"receive_maximum": 3})
    for i in range(40):
        publisher.publish(f"{topic}/{i}", str(i), qos=1, retain=True)
    subscriber.subscribe(f"{topic}/+", qos=1)
    assert {m.topic for m in subscriber.expect_messages(40)} == {f"{topic}/{i}" for i in range(40)}


@pytest.mark.reference_differs
def test_shared_subscription_gets_no_retained_messages(connect, topic):
    # [v5 section 4.8.2]
    connect().publish(topic, "kept", qos=1, retain=True)
    subscriber = connect()
    subscriber.subscribe(f"$share/g/{topic}")
    subscriber.expect_nothing()


def test_retained_message_keeps_its_properties(connect, topic):
    # [v5 MQTT-3.3.2-4, MQTT-3.3.2-15 to 18, MQTT-3.3.2-20]
    properties = [("payload_format_indicator", 1), ("content_type", "text/plain"), ("response_topic", "r/t"),
                  ("correlation_data", b"\0\1"), ("user_property", ("b", "2")), ("user_property", ("a", "1")),
                  ("user_property", ("b", "2"))]
    connect().publish(topic, "kept", qos=1, retain=True, properties=properties)
    subscriber = connect()
    subscriber.subscribe(topic)
    got = subscriber.expect_message(topic, "kept", retain=True).properties
    assert sorted(got, key=str) == sorted(properties, key=str)
    assert got.all("user_property") == [("b", "2"), ("a", "1"), ("b", "2")]


@pytest.mark.parametrize("from_version, to_version", ((V311, V5), (V5, V311)))
def test_retained_message_between_versions(connect, topic, from_version, to_version):
    connect(from_version).publish(topic, "kept", qos=2, retain=True)
    subscriber = connect(to_version)
    subscriber.subscribe(topic, qos=2)
    subscriber.expect_message(topic, "kept", qos=2, retain=True)


def test_thousands_for_one_subscription(connect, topic):
    """They come in slices: each once, and in the meantime the client's next packets wait, others' do not."""
    count = 6000
    publisher, subscriber, other = connect(), connect(), connect()
    for start in range(0, count, 500):
        for number in range(start, start + 500):
            publisher.send_publish(f"{topic}/{number}", str(number), retain=True)
        publisher.ping()
    subscriber.subscribe(f"{topic}/#")
    other.ping()
    # Published when the subscription was there: not retained for it, whether a slice has come to it or not.
    publisher.publish(f"{topic}/{count - 1}", "live", qos=1, retain=True)
    got = []
    while len(got) < count or b"live" not in {message.payload for message in got}:
        got.append(subscriber.await_packet(wire.PUBLISH))
    subscriber.ping()
    subscriber.expect_nothing()
    retained = [message for message in got if message.retain]
    assert [message.payload for message in got if not message.retain] == [b"live"]
    assert all(message.topic == f"{topic}/{message.payload.decode()}" for message in retained)
    names = {message.payload for message in retained}
    assert len(names) == len(retained) and len(names) >= count - 1


def keep(publisher, prefix, count, qos=0):
    """So many retained messages; returns their topics."""
    for start in range(0, count, 500):
        numbers = range(start, min(start + 500, count))
        for number in numbers:
            publisher.send_publish(f"{prefix}/{number}", "kept", qos, retain=True)
        for _ in numbers if qos else ():
            publisher.await_packet(wire.PUBACK)
        publisher.ping()
    return {f"{prefix}/{number}" for number in range(count)}


def test_suback_comes_first_and_nothing_newer_overtakes(connect, topic):
    """Many for several filters of one SUBSCRIBE, while somebody publishes on the same topics."""
    count = 12000
    publisher, subscriber = connect(), connect()
    wanted = keep(publisher, topic, count)
    filters = [f"{topic}/#", f"{topic}/+", f"$share/g/{topic}/#", f"{topic}/{count - 1}"]
    packet_id = subscriber.new_id()
    subscriber.send(wire.make_subscribe(V5, packet_id, [(each, 1) for each in filters]))
    for number in range(count - 1, 0, -20):
        publisher.send_publish(f"{topic}/{number}", "live")
    publisher.ping()
    subscriber.expect(wire.SUBACK, packet_id=packet_id, reasons=[1, 1, 1, 1])
    subscriber.send(PINGREQ)
    kept, seen_live = [], set()
    while len(kept) < 2 * count + 1:
        message = subscriber.await_packet(wire.PUBLISH)
        assert message.retain == (message.payload == b"kept")
        if message.retain:
            assert message.topic not in seen_live
            kept.append(message.topic)
        else:
            seen_live.add(message.topic)
    assert set(kept) == wanted and kept.count(f"{topic}/{count - 1}") == 3
    subscriber.await_packet(wire.PINGRESP)


@pytest.mark.parametrize("expiry", (0, 60))
def test_gone_before_all_were_found(start_broker, connect, expiry):
    """The client goes, or is taken over, in the middle; a session that stays still gets what it subscribed to."""
    broker = start_broker()
    count = 6000
    publisher = connect(to=broker)
    wanted = keep(publisher, "t", count, qos=1)
    properties = {"session_expiry_interval": expiry}
    one = connect(to=broker, properties=properties, clean=False)
    for way in ("drop", "take over", "disconnect"):
        one.send(wire.make_subscribe(V5, one.new_id(), [("t/#", 1), ("t/+", 1)]))
        if way == "take over":
            before = one.socket.dup()
            one.open()
            one.send_connect(clean=False, properties=properties)
            one.expect(wire.CONNACK, reason=0)
            before.close()
        else:
            if way == "disconnect":
                one.send(wire.make_disconnect(V5))
            one.drop()
            one.connect(clean=False, properties=properties)
        one.send(PINGREQ)
        one.await_packet(wire.PINGRESP)
    got = set()
    while expiry and got != wanted:
        message = one.await_packet(wire.PUBLISH)
        one.acknowledge(message)
        got.add(message.topic)
    publisher.ping()
    last = connect(to=broker)
    last.subscribe("t/#")
    assert {last.await_packet(wire.PUBLISH).topic for _ in range(count)} == wanted
