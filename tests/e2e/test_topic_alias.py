"""Topic aliases, from the client and to it."""

import pytest

import mqtt_codec as wire
from mqtt_codec import V311


def maximum(one):
    found = one.connack.properties.get("topic_alias_maximum", 0)
    assert found >= 2, "the broker offers too few aliases to test them"
    return found


def test_alias_stands_for_its_topic(connect, topic):
    # [v5 MQTT-3.3.2-12]
    one, subscriber = connect(), connect(V311)
    subscriber.subscribe(f"{topic}/#", qos=2)
    for alias in (1, maximum(one)):
        one.publish(f"{topic}/{alias}", "sets", properties={"topic_alias": alias})
        for qos in range(3):
            one.publish("", f"uses {qos}", qos=qos, properties={"topic_alias": alias})
        subscriber.expect_message(f"{topic}/{alias}", "sets")
        for qos in range(3):
            subscriber.expect_message(f"{topic}/{alias}", f"uses {qos}")


def test_alias_can_be_set_anew(connect, topic):
    # [v5 section 3.3.2.3.4]
    one, subscriber = connect(), connect()
    subscriber.subscribe(f"{topic}/#")
    for level in "abab":
        one.publish(f"{topic}/{level}", "sets", properties={"topic_alias": 1})
        one.publish("", "uses", properties={"topic_alias": 1})
        subscriber.expect_message(f"{topic}/{level}", "sets")
        subscriber.expect_message(f"{topic}/{level}", "uses")


def test_every_alias_at_once(connect, topic):
    # [v5 MQTT-3.3.2-12]
    one, subscriber = connect(), connect(V311)
    subscriber.subscribe(f"{topic}/+", qos=0)
    count = min(maximum(one), 500)
    for alias in range(1, count + 1):
        one.send_publish(f"{topic}/{alias}", "set", properties={"topic_alias": alias})
    for alias in range(count, 0, -1):
        one.send_publish("", "use", properties={"topic_alias": alias})
    for alias in range(1, count + 1):
        subscriber.expect_message(f"{topic}/{alias}", "set")
    for alias in range(count, 0, -1):
        subscriber.expect_message(f"{topic}/{alias}", "use")


def test_aliases_of_two_clients_are_apart(connect, topic):
    one, two, subscriber = connect(), connect(), connect()
    subscriber.subscribe(f"{topic}/+")
    one.publish(f"{topic}/one", "1", properties={"topic_alias": 1})
    subscriber.expect_message(f"{topic}/one")
    two.publish(f"{topic}/two", "2", properties={"topic_alias": 1})
    subscriber.expect_message(f"{topic}/two")
    one.publish("", "3", properties={"topic_alias": 1})
    subscriber.expect_message(f"{topic}/one", "3")


def test_alias_does_not_survive_its_connection(connect, topic):
    # [v5 MQTT-3.3.2-7]
    kept = {"session_expiry_interval": 60}
    one = connect(properties=kept)
    one.publish(topic, "x", qos=1, properties={"topic_alias": 1})
    one.drop()
    one.connect(clean=False, properties=kept)
    one.send_publish("", "x", properties={"topic_alias": 1})
    one.expect_disconnect(0x82, 0x94)


@pytest.mark.reference_differs
@pytest.mark.parametrize("alias", (0, "maximum + 1", 65535))
def test_alias_out_of_range_ends_the_connection(connect, topic, alias):
    # [v5 MQTT-3.3.2-8, MQTT-3.3.2-9, MQTT-3.2.2-17]
    one = connect()
    if alias == "maximum + 1":
        alias = maximum(one) + 1
    if alias > 65535 or alias == maximum(one):
        pytest.skip("the broker takes every alias")
    one.send_publish(topic, "x", properties={"topic_alias": alias})
    one.expect_disconnect(0x94)


def test_unset_alias_ends_the_connection(connect):
    # [v5 MQTT-3.3.2-7]
    one = connect()
    one.send_publish("", "x", properties={"topic_alias": 2})
    one.expect_disconnect(0x82, 0x94)


def test_empty_topic_without_alias_ends_the_connection(connect):
    # [v5 MQTT-4.7.3-1]
    one = connect()
    one.send_publish("", "x")
    one.expect_disconnect(0x82)


def test_refused_publish_sets_no_wrong_alias(connect, topic):
    # A repeated QoS 2 PUBLISH is not delivered again, but the alias it carries counts.
    one, subscriber = connect(), connect()
    subscriber.subscribe(f"{topic}/+")
    one.send_publish(f"{topic}/a", "a", 2, packet_id=1, properties={"topic_alias": 1})
    one.expect(wire.PUBREC, packet_id=1)
    one.send_publish(f"{topic}/a", "a", 2, dup=True, packet_id=1, properties={"topic_alias": 2})
    one.expect(wire.PUBREC, packet_id=1)
    one.send_ack(wire.PUBREL, 1)
    one.expect(wire.PUBCOMP, packet_id=1, reason=0)
    one.publish("", "b", properties={"topic_alias": 2})
    subscriber.expect_message(f"{topic}/a", "a")
    subscriber.expect_message(f"{topic}/a", "b")


def resolve(aliases, message):
    alias = message.properties.get("topic_alias")
    if alias is not None and message.topic:
        aliases[alias] = message.topic
    return message.topic or aliases[alias]


@pytest.mark.parametrize("limit", (1, 3, 65535))
def test_aliases_from_the_broker_stay_in_range_and_resolve(connect, topic, limit):
    # [v5 MQTT-3.1.2-26, MQTT-3.3.2-11]
    one, publisher = connect(properties={"topic_alias_maximum": limit}), connect()
    one.subscribe(f"{topic}/+", qos=1)
    aliases = {}
    for i in range(60):
        level = f"{topic}/{i * 7 % 5}"
        publisher.publish(level, str(i), qos=i % 2)
        message = one.expect_message(payload=str(i))
        assert message.properties.get("topic_alias", 0) <= limit
        assert resolve(aliases, message) == level


@pytest.mark.reference_differs
def test_the_broker_uses_aliases_when_it_may(connect, topic):
    one, publisher = connect(properties={"topic_alias_maximum": 10}), connect()
    one.subscribe(topic)
    for i in range(10):
        publisher.publish(topic, str(i))
    assert [m.topic for m in one.expect_messages(10)].count("") >= 5


@pytest.mark.parametrize("properties", (None, {"topic_alias_maximum": 0}))
def test_no_aliases_to_a_client_that_takes_none(connect, topic, properties):
    # [v5 MQTT-3.1.2-27]
    one, publisher = connect(properties=properties), connect()
    one.subscribe(topic)
    for i in range(10):
        publisher.publish(topic, str(i), properties={"topic_alias": 1})
        message = one.expect_message(topic, str(i))
        assert "topic_alias" not in message.properties


def test_aliases_from_the_broker_begin_anew_after_resumption(connect, topic):
    # [v5 MQTT-3.3.2-7]
    options = {"clean": False, "properties": {"session_expiry_interval": 60, "topic_alias_maximum": 5}}
    one, publisher = connect(**options), connect()
    one.subscribe(topic, qos=1)
    for _ in range(3):
        publisher.publish(topic, "x", qos=1)
        one.expect_message(payload="x")
    held = [publisher.publish(topic, "unacknowledged", qos=1) for _ in range(2)]
    one.expect_messages(len(held), acknowledge=False)
    one.disconnect()
    publisher.publish(topic, "queued", qos=1)
    one.connect(**options)
    aliases = {}
    for payload in ("unacknowledged", "unacknowledged", "queued"):
        message = one.expect_message(payload=payload)
        assert resolve(aliases, message) == topic
