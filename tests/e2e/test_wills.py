"""Will messages: when they are sent, when not, and what they carry."""

import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5, VERSIONS, Will
from mqtt_raw import ConnectionClosed

KEPT = {"session_expiry_interval": 60}


@pytest.fixture
def watcher(connect, topic):
    one = connect()
    one.subscribe(topic, qos=2)
    return one


@pytest.mark.parametrize("version", VERSIONS)
def test_will_is_sent_once_when_the_connection_drops(connect, watcher, topic, version):
    # [v5 MQTT-3.1.2-7, MQTT-3.1.2-8, MQTT-3.1.2-10] [v311 MQTT-3.1.2-8, MQTT-3.1.2-10]
    connect(version, will=Will(topic, "gone")).drop()
    watcher.expect_message(topic, "gone", retain=False)
    watcher.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_will_after_disconnect(connect, watcher, topic, version):
    # [v5 MQTT-3.14.4-3, MQTT-3.1.2-10] [v311 MQTT-3.14.4-3]
    connect(version, will=Will(topic, "never")).disconnect()
    watcher.expect_nothing(0.2)


@pytest.mark.reference_differs
@pytest.mark.parametrize("reason", (0x04, 0x80, 0x81, 0x93, 0x99))
def test_will_is_sent_after_disconnect_with_another_reason(connect, watcher, topic, reason):
    # [v5 MQTT-3.14.4-3]
    connect(will=Will(topic, "still")).disconnect(reason)
    watcher.expect_message(topic, "still")


@pytest.mark.parametrize("version", VERSIONS)
def test_no_will_no_message(connect, watcher, version):
    # [v311 MQTT-3.1.2-12]
    connect(version).drop()
    watcher.expect_nothing(0.15)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_will_qos(connect, watcher, topic, version, qos):
    # [v5 MQTT-3.1.2-12] [v311 MQTT-3.1.2-14]
    connect(version, will=Will(topic, "gone", qos=qos)).drop()
    watcher.expect_message(topic, "gone", qos=qos)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("retain", (True, False))
def test_will_retain(connect, watcher, topic, version, retain):
    # [v5 MQTT-3.1.2-14, MQTT-3.1.2-15] [v311 MQTT-3.1.2-16, MQTT-3.1.2-17]
    connect(version, will=Will(topic, "gone", retain=retain)).drop()
    watcher.expect_message(topic, "gone")
    late = connect(version)
    late.subscribe(topic)
    if retain:
        late.expect_message(topic, "gone", retain=True)
    else:
        late.expect_nothing()


@pytest.mark.parametrize("version", VERSIONS)
def test_will_of_length_0(connect, watcher, topic, version):
    connect(version, will=Will(topic, "")).drop()
    watcher.expect_message(topic, "")


@pytest.mark.reference_differs
@pytest.mark.parametrize("version", VERSIONS)
def test_will_after_a_malformed_packet(connect, watcher, topic, version):
    # [v5 MQTT-3.1.2-8] [v311 MQTT-3.1.2-8]
    one = connect(version, will=Will(topic, "malformed"))
    one.send(b"\xc1\x00")
    watcher.expect_message(topic, "malformed")


def test_will_carries_its_properties(connect, watcher, topic):
    # [v5 MQTT-3.1.3-10, MQTT-3.3.2-15, MQTT-3.3.2-16, MQTT-3.3.2-20]
    properties = [("payload_format_indicator", 1), ("content_type", "text/plain"), ("response_topic", "answer/here"),
                  ("correlation_data", b"\0\xff"), ("message_expiry_interval", 100), ("user_property", ("z", "1")),
                  ("user_property", ("a", "2")), ("user_property", ("z", "1")), ("user_property", ("", ""))]
    connect(will=Will(topic, "gone", properties=properties)).drop()
    got = watcher.expect_message(topic, "gone").properties
    assert got.all("user_property") == [("z", "1"), ("a", "2"), ("z", "1"), ("", "")]
    assert "will_delay_interval" not in got
    assert 98 <= got.get("message_expiry_interval") <= 100
    for name, value in properties[:4]:
        assert got.get(name) == value


def test_will_delay(connect, watcher, topic):
    # [v5 MQTT-3.1.2-8]
    one = connect(properties=KEPT, will=Will(topic, "late", properties={"will_delay_interval": 1}))
    began = time.monotonic()
    one.drop()
    watcher.expect_nothing(0.6)
    watcher.expect_message(topic, "late")
    assert time.monotonic() - began >= 0.95


def test_will_delay_is_cancelled_by_coming_back(connect, client, watcher, topic):
    # [v5 MQTT-3.1.3-9]
    one = connect(properties=KEPT, will=Will(topic, "never", properties={"will_delay_interval": 1}))
    one.drop()
    time.sleep(0.2)
    assert one.connect(clean=False, properties=KEPT).session_present
    watcher.expect_nothing(1.5)
    one.drop()
    watcher.expect_nothing(0.2)


@pytest.mark.reference_differs
def test_coming_back_with_clean_start_sends_the_delayed_will(connect, watcher, topic):
    # [v5 MQTT-3.1.2-8]: the session ends, so the will is due
    one = connect(properties=KEPT, will=Will(topic, "session ended", properties={"will_delay_interval": 60}))
    one.drop()
    time.sleep(0.1)
    one.connect(clean=True)
    watcher.expect_message(topic, "session ended")


def test_will_delay_ends_with_the_session(connect, watcher, topic):
    # [v5 MQTT-3.1.2-8]
    one = connect(properties={"session_expiry_interval": 1},
                  will=Will(topic, "expired", properties={"will_delay_interval": 60}))
    one.drop()
    watcher.expect_message(topic, "expired", timeout=6)


@pytest.mark.reference_differs
def test_will_delay_without_session_expiry_is_no_delay(connect, watcher, topic):
    # [v5 MQTT-3.1.2-8]: the session ends with its connection
    connect(will=Will(topic, "at once", properties={"will_delay_interval": 60})).drop()
    watcher.expect_message(topic, "at once", timeout=4)


def test_delayed_will_of_a_disconnect_0x04(connect, watcher, topic):
    one = connect(properties=KEPT, will=Will(topic, "late", properties={"will_delay_interval": 1}))
    one.disconnect(0x04)
    watcher.expect_nothing(0.5)
    watcher.expect_message(topic, "late")


@pytest.mark.parametrize("version", VERSIONS)
def test_new_connection_without_will_has_none(connect, client, watcher, topic, version):
    one = connect(version, will=Will(topic, "first"))
    one.disconnect()
    one.connect()
    one.drop()
    watcher.expect_nothing(0.15)


def test_own_will_reaches_an_own_offline_session(connect, topic):
    kept = {"clean": False, "properties": KEPT}
    one = connect(**kept, will=Will(topic, "mine", qos=1))
    one.subscribe(topic, qos=1)
    one.drop()
    time.sleep(0.1)
    one.connect(**kept)
    one.expect_message(topic, "mine", qos=1)


def test_will_of_311_reaches_5_and_back(connect, topic):
    for from_version, to_version in ((V311, V5), (V5, V311)):
        watcher = connect(to_version)
        watcher.subscribe(topic, qos=1)
        connect(from_version, will=Will(topic, "gone", qos=1)).drop()
        watcher.expect_message(topic, "gone", qos=1)


@pytest.mark.reference_differs
def test_oversized_will_is_refused(client):
    # A will that could never be published: larger than the broker's packet size.
    one = client().open()
    one.send_connect(will=Will("t", b"x" * 65000, properties=[("user_property", ("k", "v" * 60000))] * 20))
    try:
        assert one.expect(wire.CONNACK).reason == 0x95
    except ConnectionClosed:
        pass  # judged by its head, before the version is known
