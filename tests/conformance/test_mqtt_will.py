"""Sections 3.1.2.5, 3.1.3.2 and 3.14.4 as far as they are about wills."""

import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V5, Will
from mqtt_raw import TIME_SCALE
from support import BOTH, KEPT, expect_error, keep


@pytest.fixture
def watcher(connect, topic):
    one = connect()
    one.subscribe(f"{topic}/#", qos=2)
    return one


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_2_7__and__v5_mqtt_3_1_2_10__and__v311_mqtt_3_1_2_8__and__v311_mqtt_3_1_2_10_will_is_sent_once(
        connect, watcher, topic, version):
    one = connect(version, will=Will(topic, "gone"), **keep(version))
    one.drop()
    watcher.expect_message(topic, "gone", retain=False)
    one.connect(**keep(version))
    one.drop()
    watcher.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_2_8__and__v311_mqtt_3_1_2_8_will_after_a_protocol_error(connect, watcher, topic, version):
    one = connect(version, will=Will(topic, "broken"))
    one.send(wire.make_publish(version, "a/#"))
    expect_error(one)
    watcher.expect_message(topic, "broken")


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_2_10__and__v5_mqtt_3_14_4_3__and__v311_mqtt_3_1_2_10__and__v311_mqtt_3_14_4_3_no_will_after_disconnect(
        connect, watcher, topic, version):
    one = connect(version, will=Will(topic, "never"), **keep(version))
    one.send(wire.make_disconnect(version))
    one.drop()  # a reset of the socket behind it changes nothing
    connect(version, will=Will(topic, "never")).disconnect()
    if version == V5:
        short = connect(properties={"session_expiry_interval": 1}, will=Will(topic, "expired"))
        short.disconnect()
        watcher.expect_nothing(1.4)
    watcher.expect_nothing(0.2)


@pytest.mark.parametrize("reason", (0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99))
def test_v5_mqtt_3_14_4_3__and__v5_mqtt_3_1_2_8_will_after_disconnect_with_another_reason(connect, watcher, topic, reason):
    connect(will=Will(topic, "still")).disconnect(reason)
    watcher.expect_message(topic, "still")


@pytest.mark.parametrize("version", BOTH)
def test_v311_mqtt_3_1_2_12_no_will_no_message(connect, watcher, version):
    connect(version).drop()
    watcher.expect_nothing(0.15)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_v5_mqtt_3_1_2_12__and__v311_mqtt_3_1_2_14_will_qos(connect, watcher, topic, version, qos):
    connect(version, will=Will(topic, "gone", qos=qos)).drop()
    watcher.expect_message(topic, "gone", qos=qos)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_2_14__and__v311_mqtt_3_1_2_16_will_without_retain(connect, watcher, topic, version):
    connect(version, will=Will(topic, "gone")).drop()
    watcher.expect_message(topic, "gone", retain=False)
    late = connect(version)
    late.subscribe(topic)
    late.expect_nothing()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_2_15__and__v311_mqtt_3_1_2_17_will_with_retain(connect, watcher, topic, version):
    connect(version, will=Will(topic, "gone", retain=True)).drop()
    watcher.expect_message(topic, "gone")
    late = connect(version)
    late.subscribe(topic)
    late.expect_message(topic, "gone", retain=True)


def test_v5_mqtt_3_1_2_8_will_delay(connect, watcher, topic):
    # After the delay; at the end of the session, if that is earlier; at once where the session ends with the
    # connection; after DISCONNECT 0x04 as after a loss; never where DISCONNECT 0x00 came.
    def leave(level, delay, how="drop", **options):
        one = connect(will=Will(f"{topic}/{level}", level, properties={"will_delay_interval": delay}), **options)
        one.disconnect(0x04) if how == 0x04 else one.disconnect() if how == 0x00 else one.drop()
        return one

    leave("at once", 60)
    watcher.expect_message(f"{topic}/at once")
    began = time.monotonic()
    leave("never", 1, 0x00, properties=KEPT)
    leave("delay", 1, properties=KEPT)
    leave("0x04", 1, 0x04, properties=KEPT)
    leave("expiry", 60, properties={"session_expiry_interval": 1})
    cleaned = leave("clean start", 60, properties=KEPT)
    cleaned.connect(clean=True)
    watcher.expect_message(f"{topic}/clean start")
    got = {m.topic.split("/")[-1] for m in watcher.expect_messages(3)}
    assert got == {"delay", "0x04", "expiry"}
    assert 0.95 <= time.monotonic() - began < 2.6 * TIME_SCALE
    watcher.expect_nothing(0.3)


def test_v5_mqtt_3_1_3_9__and__v5_mqtt_3_1_2_8_will_is_cancelled_by_coming_back(connect, watcher, topic):
    one = connect(properties=KEPT, will=Will(topic, "never", properties={"will_delay_interval": 1}))
    one.drop()
    time.sleep(0.2)
    assert one.connect(**keep(V5)).session_present
    watcher.expect_nothing(1.4)
    one.drop()
    one.connect(clean=True)  # the session ends, and has no will
    watcher.expect_nothing()


@pytest.mark.parametrize("delay", (0, 60))
def test_v5_mqtt_3_1_3_9_will_of_a_taken_over_connection(connect, client, watcher, topic, delay):
    # [v5 section 3.1.3.2.2]: with a delay the new connection suppresses it, without one it is sent
    old = connect(properties=KEPT, will=Will(topic, "taken", properties={"will_delay_interval": delay}))
    new = client(id=old.client_id)
    new.connect(**keep(V5))
    expect_error(old, 0x8E)
    if delay:
        watcher.expect_nothing(0.2)
    else:
        watcher.expect_message(topic, "taken")
    new.drop()
    new.connect(clean=True)  # the session ends, and has no will
    watcher.expect_nothing()


def test_v5_mqtt_3_1_3_10_user_properties_of_the_will(connect, watcher, topic):
    pairs = [("z", "1"), ("a", "2"), ("z", "1"), ("", ""), ("a", ""), ("z", "0")]
    connect(will=Will(topic, "gone", properties={"user_property": pairs})).drop()
    assert watcher.expect_message(topic, "gone").properties.all("user_property") == pairs


def test_v5_section_3_1_3_2_will_properties_are_forwarded(connect, watcher, topic):
    given = {"payload_format_indicator": 1, "content_type": "text", "response_topic": "r", "correlation_data": b"\0c",
             "message_expiry_interval": 100, "will_delay_interval": 0}
    connect(will=Will(topic, "gone", properties=given)).drop()
    found = dict(watcher.expect_message(topic, "gone").properties)
    assert 99 <= found.pop("message_expiry_interval") <= 100
    assert found == {key: given[key] for key in ("payload_format_indicator", "content_type", "response_topic",
                                                 "correlation_data")}
