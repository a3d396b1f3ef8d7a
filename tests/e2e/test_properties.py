"""Properties that the broker passes on unchanged, and request/response."""

import pytest

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V311, V5

USER = [("user_property", pair) for pair in (("z", "last"), ("a", "first"), ("z", "again"), ("", ""), ("a", "first"),
                                             ("ключ", "значение ☃"), ("empty", ""), ("", "nameless"))]


@pytest.mark.parametrize("qos", (0, 1, 2))
def test_user_properties_keep_their_order(connect, topic, qos):
    # [v5 MQTT-3.3.2-17, MQTT-3.3.2-18]
    one, publisher = connect(), connect()
    one.subscribe(topic, qos=qos)
    publisher.publish(topic, "x", qos=qos, properties=USER)
    assert one.expect_message(topic, "x").properties.all("user_property") == [pair for _, pair in USER]


@pytest.mark.parametrize("key, value", (
    ("payload_format_indicator", 0), ("payload_format_indicator", 1), ("content_type", "application/json"),
    ("content_type", ""), ("response_topic", "answers/to/me"), ("correlation_data", b"\0\1\2\xff"),
    ("correlation_data", b""), ("correlation_data", b"x" * 30000)),
    ids=lambda value: value if isinstance(value, str) else repr(value)[:8].replace("\\", ""))
def test_property_is_passed_on(connect, topic, key, value):
    # [v5 MQTT-3.3.2-4, MQTT-3.3.2-15, MQTT-3.3.2-16, MQTT-3.3.2-20]
    one, publisher = connect(), connect()
    one.subscribe(topic, qos=1)
    publisher.publish(topic, "text", qos=1, properties={key: value})
    assert one.expect_message(topic, "text").properties == [(key, value)]


def test_nothing_is_added(connect, topic):
    one, publisher = connect(), connect()
    one.subscribe(topic, qos=1)
    publisher.publish(topic, "x", qos=1)
    assert one.expect_message(topic, "x").properties == []


def test_properties_survive_the_queue(connect, topic):
    # [v5 MQTT-3.3.2-18]
    kept = {"session_expiry_interval": 60}
    one, publisher = connect(properties=kept), connect()
    one.subscribe(topic, qos=1)
    one.disconnect()
    publisher.publish(topic, "x", qos=1, properties=[*USER, ("content_type", "t"), ("correlation_data", b"\0")])
    one.connect(clean=False, properties=kept)
    got = one.expect_message(topic, "x").properties
    assert got.all("user_property") == [pair for _, pair in USER]
    assert got.get("content_type") == "t" and got.get("correlation_data") == b"\0"


def test_properties_are_left_out_for_311(connect, topic):
    one, publisher = connect(V311), connect()
    one.subscribe(topic)
    publisher.publish(topic, "payload", properties=[*USER, ("content_type", "t"), ("message_expiry_interval", 9)])
    one.expect_message(topic, "payload")


def test_very_many_user_properties(connect, topic):
    pairs = [("user_property", (f"name {i % 7}", f"value {i}")) for i in range(2000)]
    one, publisher = connect(), connect()
    one.subscribe(topic)
    publisher.publish(topic, "x", properties=pairs)
    assert one.expect_message(topic, "x").properties.all("user_property") == [pair for _, pair in pairs]


def test_request_and_response(connect, topic):
    # [v5 section 4.10]
    responder, requester = connect(), connect()
    responder.subscribe(f"{topic}/request", qos=1)
    requester.subscribe(f"{topic}/response/1", qos=1)
    requester.publish(f"{topic}/request", "6 * 7", qos=1,
                      properties={"response_topic": f"{topic}/response/1", "correlation_data": b"\x01\x00"})
    request = responder.expect_message(f"{topic}/request", "6 * 7")
    responder.publish(request.properties.get("response_topic"), "42", qos=1,
                      properties={"correlation_data": request.properties.get("correlation_data")})
    answer = requester.expect_message(f"{topic}/response/1", "42")
    assert answer.properties.get("correlation_data") == b"\x01\x00"


@pytest.mark.reference_differs
def test_response_information(start_broker, connect):
    # [v5 MQTT-3.1.2-28, section 4.10.1]
    broker = start_broker(base_config(response_information="answers/%c/"))
    one = connect(to=broker, id="me", properties={"request_response_information": 1})
    assert one.connack.properties.get("response_information") == "answers/me/"
    for properties in (None, {"request_response_information": 0}):
        assert "response_information" not in connect(to=broker, properties=properties).connack.properties


def test_user_properties_of_other_packets_are_accepted(connect, topic):
    pair = {"user_property": [("a", "b"), ("a", "b")]}
    one, publisher = connect(properties=pair), connect()
    one.send(wire.make_subscribe(V5, 1, [(topic, 2)], pair))
    one.expect(wire.SUBACK, packet_id=1, reasons=[2])
    publisher.publish(topic, "x", qos=2)
    message = one.expect_message(topic, acknowledge=False)
    full = {**pair, "reason_string": "because"}
    one.send_ack(wire.PUBREC, message.packet_id, 0, full)
    one.expect(wire.PUBREL, packet_id=message.packet_id)
    one.send_ack(wire.PUBCOMP, message.packet_id, 0, full)
    one.send(wire.make_unsubscribe(V5, 2, [topic], pair))
    one.expect(wire.UNSUBACK, packet_id=2, reasons=[0])
    one.disconnect(0, full)


@pytest.mark.reference_differs
@pytest.mark.parametrize("properties", (
    {"payload_format_indicator": 1},
))
def test_payload_that_is_not_utf8_although_said_so(connect, topic, properties):
    # [v5 section 3.3.2.3.2]: a server may check; ours passes it on, as the payload is the receivers' business
    one = connect()
    one.subscribe(topic)
    one.publish(topic, b"\xff\xfe", properties=properties)
    one.expect_message(topic, b"\xff\xfe")
