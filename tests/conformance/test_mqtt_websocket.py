"""Section 6: MQTT over WebSocket."""

import pytest

import mqtt_codec as wire
from broker import base_config
from support import BOTH, subscribe_bytes
from websocket_raw import BINARY, CONTINUATION, TEXT, WebSocketClient, make_frame, make_request

LISTENERS = [{"name": "web", "bind": "@web@", "transport": "websocket"}]


@pytest.fixture
def web(start_broker, name):
    """web(version, **request): an unconnected client of a broker with WebSocket; closed after the test."""
    broker, made = start_broker(base_config(listeners=LISTENERS)), []

    def make(version, **request):
        one = WebSocketClient(broker.addresses["web"], version, name(f"w{len(made)}"), **request)
        made.append(one)
        return one

    yield make
    for one in made:
        one.drop()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_6_0_0_1__and__v311_mqtt_6_0_0_1_binary_frames_only(web, topic, version):
    one = web(version)
    one.connect()
    one.subscribe(topic)
    one.publish(topic, b"x")
    one.expect(wire.PUBLISH, payload=b"x")  # the client fails on a data frame that is not binary
    assert one.frames >= 3
    one.send_raw(make_frame(wire.make_publish(version, topic, b"never"), TEXT))
    one.expect_closing(1003)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_6_0_0_2__and__v311_mqtt_6_0_0_2_frames_and_packets_need_not_align(web, topic, version):
    one = web(version)
    one.open()
    packet = wire.make_connect(version, client_id=one.client_id)
    for byte in packet[:-1]:
        one.send(bytes([byte]))
    # The end of one packet, a whole one and the beginning of a third in one frame, which is itself in pieces.
    publish = wire.make_publish(version, topic, b"x" * 300)
    mixed = packet[-1:] + subscribe_bytes(version, topic.encode()) + publish[:100]
    one.send_raw(make_frame(mixed[:7], BINARY, fin=False) + make_frame(mixed[7:], CONTINUATION))
    one.expect(wire.CONNACK)
    one.expect(wire.SUBACK)
    one.send(publish[100:])
    one.expect(wire.PUBLISH, payload=b"x" * 300)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_6_0_0_3__and__v311_mqtt_6_0_0_3__and__v5_mqtt_6_0_0_4__and__v311_mqtt_6_0_0_4_subprotocol(web, version):
    for offered in ("mqtt", "mqttv3.1, mqtt", "mqtt, chat"):
        one = web(version, protocols=offered)
        one.connect()
        assert "Sec-WebSocket-Protocol: mqtt\r\n" in one.answer
    for offered in (None, "chat", "MQTT"):
        one = web(version).open_only()
        one.send_raw(make_request(protocols=offered))
        assert one.read_head().startswith("HTTP/1.1 400 ")
