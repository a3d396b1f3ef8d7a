"""Keep Alive."""

import time

import pytest

import mqtt_codec as wire
from mqtt_codec import VERSIONS, Will


@pytest.mark.parametrize("version", VERSIONS)
def test_silent_client_is_cut_off_and_its_will_sent(connect, topic, version):
    # [v5 MQTT-3.1.2-22, MQTT-3.1.2-20] [v311 MQTT-3.1.2-24, MQTT-3.1.2-23]
    watcher = connect()
    watcher.subscribe(topic)
    one = connect(version, keep_alive=1, will=Will(topic, "silent"))
    began = time.monotonic()
    one.expect_disconnect(0x8D, timeout=8)
    assert 1.3 <= time.monotonic() - began < 6.5
    watcher.expect_message(topic, "silent")


@pytest.mark.parametrize("version", VERSIONS)
def test_any_packet_keeps_the_connection(connect, topic, version):
    # [v5 MQTT-3.1.2-22]
    one, other = connect(version, keep_alive=1), connect(version, keep_alive=1)
    for _ in range(7):
        time.sleep(0.4)
        one.ping()
        other.send_publish(topic, "I am here")
    one.ping()
    other.ping()


def test_deliveries_do_not_count_as_a_sign_of_life(connect, topic):
    # [v5 MQTT-3.1.2-22]: the client's packets count, not the server's
    one, publisher = connect(keep_alive=1), connect()
    one.subscribe(topic)
    deadline = time.monotonic() + 8
    with pytest.raises(AssertionError, match="DISCONNECT|closed"):
        while time.monotonic() < deadline:
            publisher.publish(topic, "x")
            one.expect_message(topic, "x")
            time.sleep(0.1)
    assert time.monotonic() < deadline


@pytest.mark.parametrize("version", VERSIONS)
def test_keep_alive_0_means_never(connect, version):
    # [v5 MQTT-3.1.2-22]
    one = connect(version, keep_alive=0)
    time.sleep(2)
    one.ping()


def test_half_a_packet_is_no_sign_of_life(connect, topic):
    one = connect(keep_alive=1)
    one.send(wire.make_publish(5, topic, "x" * 100)[:20])
    one.expect_disconnect(0x8D, timeout=8)


def test_server_keep_alive_is_only_told_when_it_differs(connect):
    # [v5 MQTT-3.2.2-22]
    assert "server_keep_alive" not in connect(keep_alive=30).connack.properties
