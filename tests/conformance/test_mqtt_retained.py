"""Section 3.3.1.3 and the Retain options of section 3.8.3.1."""

import pytest

from mqtt_codec import V311
from support import BOTH, RETAIN_AS_PUBLISHED, drain


def handling(value):
    return value << 4


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_5__and__v311_mqtt_3_3_1_5__and__v311_mqtt_3_3_1_8_the_last_retained_message_counts(
        connect, topic, version):
    publisher = connect(version)
    for payload in ("first", "second"):
        publisher.publish(topic, payload, qos=2, retain=True)
    publisher.disconnect()
    for granted in (0, 1, 2):
        late = connect(version)
        late.subscribe(topic, qos=granted)
        late.expect_message(topic, "second", qos=granted, retain=True)
        late.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v311_mqtt_3_3_1_6__and__v311_mqtt_3_3_1_8_one_for_each_topic(connect, topic, version):
    publisher, late = connect(version), connect(version)
    wanted = {f"{topic}/{i}": str(i).encode() for i in range(10)}
    for found, payload in wanted.items():
        publisher.publish(found, "older", retain=True)
        publisher.publish(found, payload, retain=True)
    publisher.publish(f"{topic}/1/deeper", "not matched", retain=True)
    publisher.ping()
    late.subscribe(f"{topic}/+")
    messages = late.expect_messages(10)
    assert {m.topic: m.payload for m in messages} == wanted and all(m.retain for m in messages)
    late.expect_nothing()


def test_v311_mqtt_3_1_2_7_retained_messages_outlive_sessions(connect, topic):
    publisher = connect(V311, clean=True)
    publisher.publish(topic, "stays", qos=1, retain=True)
    publisher.disconnect()
    publisher.connect(clean=True)
    late = connect(V311)
    late.subscribe(topic)
    late.expect_message(topic, "stays", retain=True)


def test_v311_mqtt_3_3_1_7_qos_0_replaces_too(connect, topic):
    publisher, late = connect(V311), connect(V311)
    publisher.publish(topic, "older", qos=1, retain=True)
    publisher.publish(topic, "newer", qos=0, retain=True)
    publisher.ping()
    late.subscribe(topic)
    late.expect_message(topic, "newer", retain=True)
    late.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_12__and__v311_mqtt_3_3_1_9_live_messages_have_retain_0(connect, topic, version):
    one, publisher = connect(version), connect(version)
    one.subscribe(topic)
    for retain in (True, False):
        publisher.publish(topic, "x", retain=retain)
        one.expect_message(topic, "x", retain=False)


def test_v5_mqtt_3_3_1_13_retain_as_published(connect, topic):
    one, publisher = connect(), connect()
    one.subscribe(topic, options=RETAIN_AS_PUBLISHED)
    for retain in (True, False):
        publisher.publish(topic, "x", retain=retain)
        one.expect_message(topic, "x", retain=retain)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_6__and__v311_mqtt_3_3_1_10_empty_message_erases(connect, topic, version):
    one, publisher, late = connect(version), connect(version), connect(version)
    one.subscribe(topic, qos=1)
    for payload in ("x", ""):
        publisher.publish(topic, payload, qos=1, retain=True)
        one.expect_message(topic, payload, retain=False)
    late.subscribe(topic)
    late.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_7__and__v311_mqtt_3_3_1_11_empty_message_is_never_kept(connect, topic, version):
    publisher, late = connect(version), connect(version)
    publisher.publish(topic, "", qos=1, retain=True)
    late.subscribe(topic)
    late.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_3_1_8__and__v311_mqtt_3_3_1_12_other_messages_change_nothing(connect, topic, version):
    publisher, late = connect(version), connect(version)
    publisher.publish(topic, "kept", qos=1, retain=True)
    for payload in ("live", ""):
        publisher.publish(topic, payload, qos=1)
        publisher.publish(f"{topic}/other", payload, qos=1)
    late.subscribe(f"{topic}/#")
    late.expect_message(topic, "kept", retain=True)
    late.expect_nothing()


@pytest.mark.parametrize("option, times", (("v5_mqtt_3_3_1_9", 3), ("v5_mqtt_3_3_1_10", 1), ("v5_mqtt_3_3_1_11", 0)))
def test_retain_handling(connect, topic, option, times):
    value = int(option.rsplit("_", 1)[1]) - 9
    one, publisher = connect(), connect()
    publisher.publish(topic, "retained", qos=1, retain=True)
    for _ in range(3):
        one.subscribe(topic, qos=1, options=handling(value))
    assert [m.payload for m in drain(one)] == [b"retained"] * times
    publisher.publish(topic, "live", qos=1)
    one.expect_message(topic, "live", retain=False)
    one.unsubscribe(topic)
    one.subscribe(topic, qos=1, options=handling(value))  # new again
    assert len(drain(one)) == (0 if value == 2 else 1)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_8_4_4__and__v311_mqtt_3_8_4_3_replacing_sends_retained_messages_again(connect, topic, version):
    one, publisher = connect(version), connect(version)
    publisher.publish(topic, "retained", qos=1, retain=True)
    for qos in (0, 1, 0):
        one.subscribe(topic, qos=qos)
        one.expect_message(topic, "retained", retain=True, qos=qos)
    one.expect_nothing()


def test_v5_section_4_8_2_shared_subscriptions_get_nothing_retained(connect, topic):
    one = connect()
    connect().publish(topic, "retained", qos=1, retain=True)
    one.subscribe(f"$share/group/{topic}", qos=1)
    one.expect_nothing()
