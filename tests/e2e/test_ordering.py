"""Order of one publisher's messages, across workers."""

import collections

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5


@pytest.mark.parametrize("qos", (0, 1, 2))
def test_every_subscriber_sees_every_publisher_in_order(connect, topic, qos):
    # [v5 MQTT-4.6.0-5, MQTT-4.6.0-6] [v311 MQTT-4.6.0-5, MQTT-4.6.0-6]
    publishers = [connect(V5 if i % 2 else V311) for i in range(8)]
    subscribers = [connect(V311 if i % 2 else V5) for i in range(8)]
    for subscriber in subscribers:
        subscriber.subscribe(f"{topic}/+", qos=qos)
    rounds, batch = (12, 25) if qos == 0 else (8, 20) if qos == 1 else (3, 20)
    seen = [collections.Counter() for _ in subscribers]
    for round_ in range(rounds):
        for index, publisher in enumerate(publishers):
            publisher.send(b"".join(
                wire.make_publish(publisher.version, f"{topic}/{index}", str(round_ * batch + i), qos, packet_id=i + 1)
                for i in range(batch)))
        if qos:
            for publisher in publishers:
                finish_publishes(publisher, qos, batch)
        for counter, subscriber in zip(seen, subscribers):
            for _ in range(batch * len(publishers)):
                message = subscriber.await_packet(wire.PUBLISH)
                subscriber.acknowledge(message)
                index = message.topic.rsplit("/", 1)[1]
                assert int(message.payload) == counter[index]
                counter[index] += 1


def finish_publishes(publisher, qos, count):
    for i in range(count):
        publisher.await_packet(wire.PUBACK if qos == 1 else wire.PUBREC, packet_id=i + 1)
    if qos == 2:
        for i in range(count):
            publisher.send_ack(wire.PUBREL, i + 1)
        for i in range(count):
            publisher.await_packet(wire.PUBCOMP, packet_id=i + 1, reason=0)


def test_one_publisher_to_many_pairs(connect, topic):
    pairs = []
    for i in range(30):
        publisher, subscriber = connect(V311), connect(V311)
        subscriber.subscribe(f"{topic}/{i}", qos=1)
        pairs.append((i, publisher, subscriber))
    for start in range(0, 200, 20):
        for i, publisher, _ in pairs:
            publisher.send(b"".join(wire.make_publish(V311, f"{topic}/{i}", str(n), 1, packet_id=n + 1)
                                    for n in range(start, start + 20)))
        for i, _, subscriber in pairs:
            for n in range(start, start + 20):
                subscriber.acknowledge(subscriber.expect(wire.PUBLISH, topic=f"{topic}/{i}", payload=str(n).encode()))
        for _, publisher, _ in pairs:
            for n in range(start, start + 20):
                publisher.expect(wire.PUBACK, packet_id=n + 1)


def test_order_through_the_queue_and_the_reconnect(connect, topic):
    # [v5 MQTT-4.6.0-5]: queued, sent again, and live messages in one row
    kept = {"session_expiry_interval": 60}
    one, publisher = connect(properties=kept), connect()
    one.subscribe(topic, qos=1)
    expected = 0
    for round_ in range(8):
        for i in range(round_ * 20, round_ * 20 + 10):
            publisher.publish(topic, str(i), qos=1)
        for _ in range(5):
            expected = take(one, expected)
        one.disconnect()
        for i in range(round_ * 20 + 10, round_ * 20 + 20):
            publisher.publish(topic, str(i), qos=1)
        one.connect(clean=False, properties=kept)
        for _ in range(15):
            expected = take(one, expected)
    one.expect_nothing()


def take(one, expected):
    message = one.await_packet(wire.PUBLISH)
    assert int(message.payload) == expected
    one.acknowledge(message)
    return expected + 1


def test_a_subscription_made_by_one_client_holds_for_the_next_publish_of_another(connect, topic):
    # After SUBACK the subscription is in force on every worker; after UNSUBACK it is gone.
    subscribers = [connect() for _ in range(6)]
    publishers = [connect() for _ in range(6)]
    for round_ in range(15):
        where = f"{topic}/{round_}"
        for subscriber in subscribers:
            subscriber.subscribe(where)
        for index, publisher in enumerate(publishers):
            publisher.publish(where, str(index), qos=1)
        for subscriber in subscribers:
            assert sorted(m.payload for m in subscriber.expect_messages(6)) == [b"%d" % i for i in range(6)]
        for subscriber in subscribers:
            subscriber.unsubscribe(where)
        publishers[round_ % 6].publish(where, "nobody", qos=1)
    for subscriber in subscribers:
        subscriber.expect_nothing()


def test_a_retained_message_is_there_for_the_next_subscriber(connect, topic):
    # After PUBACK a retained message is seen by a SUBSCRIBE on any worker.
    publishers, subscribers = [connect() for _ in range(5)], [connect() for _ in range(5)]
    for i in range(30):
        publishers[i % 5].publish(f"{topic}/{i}", str(i), qos=1, retain=True)
        subscribers[i * 7 % 5].subscribe(f"{topic}/{i}")
        subscribers[i * 7 % 5].expect_message(f"{topic}/{i}", str(i), retain=True)
