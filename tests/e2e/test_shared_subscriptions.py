"""Shared subscriptions: $share/GROUP/FILTER."""

import collections
import time

import pytest

import mqtt_codec as wire
from mqtt_codec import V311, V5

NO_LOCAL = 0x04


def collect(members, seconds=0.4):
    """What each member receives until all are silent."""
    got = collections.defaultdict(list)
    for index, member in enumerate(members):
        while True:
            try:
                message = member.await_packet(wire.PUBLISH, timeout=seconds)
            except wire.WireError:
                raise
            except AssertionError:
                break
            member.acknowledge(message)
            got[index].append(message.payload.decode())
            seconds = max(seconds, 0.1)
        seconds = 0.1
    return got


@pytest.mark.parametrize("qos", (0, 1, 2))
def test_each_message_goes_to_one_member(connect, topic, qos):
    # [v5 section 4.8.2]
    members = [connect() for _ in range(4)]
    for member in members:
        member.subscribe(f"$share/group/{topic}/+", qos=qos)
    publisher = connect()
    sent = [str(i) for i in range(60)]
    for payload in sent:
        publisher.publish(f"{topic}/{payload}", payload, qos=qos)
    got = collect(members)
    assert sorted(sum(got.values(), []), key=int) == sent
    assert len(got) == 4, "every member gets a share"


def test_groups_and_plain_subscriptions_are_independent(connect, topic):
    # [v5 section 4.8.2]: one copy for each group, and one for each ordinary subscription
    first, second, plain, publisher = connect(), connect(), connect(), connect()
    first.subscribe(f"$share/one/{topic}")
    second.subscribe(f"$share/two/{topic}")
    plain.subscribe(topic)
    for i in range(10):
        publisher.publish(topic, str(i))
    for one in (first, second, plain):
        for i in range(10):
            one.expect_message(topic, str(i))


def test_member_with_an_ordinary_subscription_gets_both(connect, topic):
    one, publisher = connect(), connect()
    one.subscribe(f"$share/group/{topic}", properties={"subscription_identifier": 1})
    one.subscribe(topic, properties={"subscription_identifier": 2})
    publisher.publish(topic, "x")
    found = set()
    for message in one.expect_messages(2):
        found.update(message.properties.all("subscription_identifier"))
    assert found == {1, 2}


def test_members_receive_at_their_own_granted_qos(connect, topic):
    # [v5 MQTT-4.8.2-3]
    publisher = connect()
    members = [connect() for _ in range(3)]
    for granted, member in enumerate(members):
        member.subscribe(f"$share/group/{topic}", qos=granted)
    for i in range(30):
        publisher.publish(topic, str(i), qos=2)
    total = 0
    for granted, member in enumerate(members):
        while True:
            try:
                message = member.await_packet(wire.PUBLISH, timeout=0.3)
            except wire.WireError:
                raise
            except AssertionError:
                break
            assert message.qos == granted
            member.acknowledge(message)
            total += 1
    assert total == 30


def test_leaving_members_get_nothing_more(connect, topic):
    stays, leaves, drops, publisher = connect(), connect(), connect(), connect()
    for member in (stays, leaves, drops):
        member.subscribe(f"$share/group/{topic}", qos=1)
    leaves.unsubscribe(f"$share/group/{topic}")
    drops.disconnect()
    for i in range(20):
        publisher.publish(topic, str(i), qos=1)
        stays.expect_message(topic, str(i))
    leaves.expect_nothing()


def test_unsubscribe_of_another_group_or_the_plain_filter_changes_nothing(connect, topic):
    one, publisher = connect(), connect()
    one.subscribe(f"$share/group/{topic}")
    one.unsubscribe(f"$share/other/{topic}", topic, reasons=[0x11, 0x11])
    publisher.publish(topic, "x")
    one.expect_message(topic, "x")


@pytest.mark.reference_differs
def test_connected_members_are_preferred_to_offline_ones(connect, topic):
    kept = {"session_expiry_interval": 60}
    away, here, publisher = connect(properties=kept), connect(), connect()
    for member in (away, here):
        member.subscribe(f"$share/group/{topic}", qos=1)
    away.disconnect()
    for i in range(20):
        publisher.publish(topic, str(i), qos=1)
        here.expect_message(topic, str(i))


def test_group_of_offline_members_queues(connect, topic):
    kept = {"session_expiry_interval": 60}
    away, publisher = connect(properties=kept), connect()
    away.subscribe(f"$share/group/{topic}", qos=1)
    away.disconnect()
    for i in range(5):
        publisher.publish(topic, str(i), qos=1)
    away.connect(clean=False, properties=kept)
    for i in range(5):
        away.expect_message(topic, str(i))


def test_begun_qos_2_delivery_stays_with_its_member(connect, topic):
    # [v5 MQTT-4.8.2-4, MQTT-4.8.2-5]
    kept = {"session_expiry_interval": 1}
    one, publisher = connect(properties=kept), connect()
    one.subscribe(f"$share/group/{topic}", qos=2)
    publisher.publish(topic, "mine", qos=2)
    begun = one.expect_message(topic, "mine", acknowledge=False)
    other = connect()
    other.subscribe(f"$share/group/{topic}", qos=2)
    one.drop()
    other.expect_nothing()
    one.connect(clean=False, properties=kept)
    again = one.expect_message(topic, "mine", packet_id=begun.packet_id, dup=True, acknowledge=False)
    one.drop()
    other.expect_nothing(2.2)  # the session has expired without an acknowledgement
    assert again.packet_id == begun.packet_id


def test_refused_delivery_goes_to_nobody_else(connect, topic):
    # [v5 MQTT-4.8.2-6]
    one, publisher = connect(), connect()
    one.subscribe(f"$share/group/{topic}", qos=1)
    publisher.publish(topic, "unwanted", qos=1)
    message = one.expect_message(topic, "unwanted", acknowledge=False)
    other = connect()
    other.subscribe(f"$share/group/{topic}", qos=1)
    one.send_ack(wire.PUBACK, message.packet_id, 0x80)
    other.expect_nothing(0.2)


@pytest.mark.reference_differs
def test_no_local_is_a_protocol_error(connect, topic):
    # [v5 MQTT-3.8.3-4]
    one = connect()
    one.send(wire.make_subscribe(V5, 1, [(f"$share/group/{topic}", NO_LOCAL)]))
    one.expect_disconnect(0x82)


def test_wildcards_in_shared_filters(connect, name):
    own = name("s")
    one, publisher = connect(), connect()
    one.subscribe(f"$share/group/{own}/+/x/#")
    publisher.publish(f"{own}/a/x/y/z", "x")
    publisher.publish(f"{own}/a/y", "not this")
    one.expect_message(f"{own}/a/x/y/z", "x")
    one.expect_nothing()


@pytest.mark.reference_differs
def test_311_client_may_share(connect, topic):
    one, two, publisher = connect(V311), connect(V311), connect()
    one.subscribe(f"$share/group/{topic}", qos=1)
    two.subscribe(f"$share/group/{topic}", qos=1)
    for i in range(10):
        publisher.publish(topic, str(i), qos=1)
    got = collect([one, two])
    assert sorted(got[0] + got[1]) == [str(i) for i in range(10)]


def test_members_come_and_go_under_traffic(connect, topic):
    # Every message is delivered to some member while at least one stays.
    stays, publisher = connect(), connect()
    stays.subscribe(f"$share/group/{topic}", qos=1)
    received = []
    for round_ in range(10):
        guest = connect()
        guest.subscribe(f"$share/group/{topic}", qos=1)
        for i in range(10):
            publisher.publish(topic, f"{round_}-{i}", qos=1)
        got = collect([guest, stays], 0.1)
        received += got[0] + got[1]
        guest.unsubscribe(f"$share/group/{topic}")
        guest.disconnect()
    time.sleep(0.05)
    received += collect([stays])[0]
    assert sorted(received) == sorted(f"{r}-{i}" for r in range(10) for i in range(10))
