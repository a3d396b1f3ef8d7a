"""No Local, subscription identifiers, and illegal subscription options."""

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5

NO_LOCAL = 0x04


def test_no_local(connect, topic):
    # [v5 MQTT-3.8.3-3]
    one, other = connect(), connect()
    one.subscribe(topic, options=NO_LOCAL, qos=1)
    other.subscribe(topic)
    one.publish(topic, "own", qos=1)
    other.publish(topic, "other")
    one.expect_message(topic, "other")
    one.expect_nothing()
    # Of two publishers, so in either order.
    assert sorted(m.payload for m in other.expect_messages(2)) == [b"other", b"own"]


def test_no_local_in_one_of_two_overlapping_subscriptions(connect, topic):
    one = connect()
    one.subscribe(f"{topic}/+", options=NO_LOCAL, properties={"subscription_identifier": 1})
    one.subscribe(f"{topic}/#", properties={"subscription_identifier": 2})
    one.publish(f"{topic}/a", "own")
    message = one.expect_message(f"{topic}/a", "own")
    assert message.properties.all("subscription_identifier") == [2]
    one.expect_nothing()


def test_no_local_holds_for_messages_queued_by_the_own_client_id(connect, topic):
    # [v5 MQTT-3.8.3-3]: the client id counts, not the connection
    kept = {"session_expiry_interval": 60}
    one = connect(properties=kept)
    one.subscribe(topic, options=NO_LOCAL, qos=1)
    one.publish(topic, "own", qos=1)
    one.disconnect()
    one.connect(clean=False, properties=kept)
    one.publish(topic, "own again", qos=1)
    one.expect_nothing()


@pytest.mark.parametrize("identifier", (1, 127, 128, 16384, 268435455))
def test_subscription_identifier_comes_with_the_message(connect, topic, identifier):
    # [v5 MQTT-3.3.4-3]
    one = connect()
    one.subscribe(topic, qos=1, properties={"subscription_identifier": identifier})
    connect().publish(topic, "x", qos=1)
    assert one.expect_message(topic, "x").properties.all("subscription_identifier") == [identifier]


def test_identifiers_of_all_overlapping_subscriptions(connect, topic):
    # [v5 MQTT-3.3.4-3, MQTT-3.3.4-4, MQTT-3.3.4-5]
    one, publisher = connect(), connect()
    one.subscribe(f"{topic}/a", properties={"subscription_identifier": 7})
    one.subscribe(f"{topic}/+", properties={"subscription_identifier": 300000})
    one.subscribe(f"{topic}/#")
    one.subscribe(f"{topic}/b", properties={"subscription_identifier": 9})
    publisher.publish(f"{topic}/a", "x")
    publisher.publish(f"{topic}/end", "end")
    found = []
    while True:
        message = one.await_packet(wire.PUBLISH)
        if message.topic.endswith("end"):
            break
        found += message.properties.all("subscription_identifier")
    assert sorted(found) == [7, 300000]


def test_replacing_changes_the_identifier(connect, topic):
    # [v5 MQTT-3.8.4-3]
    one = connect()
    for properties, wanted in (({"subscription_identifier": 1}, [1]), ({"subscription_identifier": 2}, [2]), (None, [])):
        one.subscribe(topic, properties=properties)
        one.publish(topic, "x")
        assert one.expect_message(topic).properties.all("subscription_identifier") == wanted


def test_retained_and_queued_messages_carry_the_identifier(connect, topic):
    # [v5 MQTT-3.3.4-3]
    kept = {"session_expiry_interval": 60}
    connect().publish(topic, "retained", qos=1, retain=True)
    one = connect(properties=kept)
    one.subscribe(topic, qos=1, properties={"subscription_identifier": 42})
    assert one.expect_message(topic, "retained").properties.all("subscription_identifier") == [42]
    one.disconnect()
    connect().publish(topic, "queued", qos=1)
    one.connect(clean=False, properties=kept)
    assert one.expect_message(topic, "queued").properties.all("subscription_identifier") == [42]


def test_retained_message_carries_the_identifier_of_the_new_subscription_only(connect, topic):
    connect().publish(f"{topic}/a", "retained", qos=1, retain=True)
    one = connect()
    one.subscribe(f"{topic}/a", properties={"subscription_identifier": 1})
    assert one.expect_message(f"{topic}/a").properties.all("subscription_identifier") == [1]
    one.subscribe(f"{topic}/+", properties={"subscription_identifier": 2})
    assert one.expect_message(f"{topic}/a").properties.all("subscription_identifier") == [2]


def test_identifier_goes_to_its_own_client_only(connect, topic):
    one, other, old = connect(), connect(), connect(V311)
    one.subscribe(topic, properties={"subscription_identifier": 5})
    other.subscribe(topic)
    old.subscribe(topic)
    connect().publish(topic, "x", properties={"content_type": "t"})
    assert one.expect_message(topic).properties.all("subscription_identifier") == [5]
    assert other.expect_message(topic).properties.all("subscription_identifier") == []
    old.expect_message(topic, "x")


@pytest.mark.reference_differs
def test_client_must_not_send_an_identifier(connect, topic):
    # [v5 MQTT-3.3.4-6]
    one = connect()
    one.send_publish(topic, "x", properties={"subscription_identifier": 1})
    one.expect_disconnect(0x82)


@pytest.mark.parametrize("properties, reason", (
    (b"\x0b\x00", 0x82), ([("subscription_identifier", 1), ("subscription_identifier", 2)], 0x82),
    (b"\x0b\x80\x80\x80\x80\x01", 0x81), ({"topic_alias": 1}, 0x82)), ids=str)
@pytest.mark.reference_differs
def test_bad_subscription_identifier(connect, topic, properties, reason):
    # [v5 section 3.8.2.1.2]: 0 and repetition are Protocol Errors
    one = connect()
    one.send(wire.make_subscribe(V5, 1, [(topic, 0)], properties))
    one.expect_disconnect(reason, 0x81)


@pytest.mark.parametrize("options, reasons", ((0x03, (0x81, 0x82)), (0x30, (0x82, 0x81)), (0x40, (0x81,)),
                                              (0x80, (0x81,)), (0xC1, (0x81,))))
def test_illegal_options_byte_in_5(connect, topic, options, reasons):
    # [v5 MQTT-3.8.3-5, section 3.8.3.1]
    one = connect()
    one.send(wire.make_subscribe(V5, 1, [("fine", 0), (topic, options)]))
    one.expect_disconnect(*reasons)


@pytest.mark.parametrize("options", (0x03, 0x04, 0x08, 0x10, 0x80))
def test_illegal_qos_byte_in_311(connect, topic, options):
    # [v311 MQTT-3.8.3-4]
    one = connect(V311)
    one.send(wire.make_subscribe(V311, 1, [("fine", 0), (topic, options)]))
    one.expect_close()
