"""What once went wrong in the broker, one test each."""

import threading
import time

import pytest

import mqtt_codec as wire
from broker import WORKERS, base_config
from mqtt_codec import V311, V5
from mqtt_raw import Client, TIME_SCALE
from plugins import chain, entry

pytestmark = pytest.mark.reference_differs

KEPT = {"session_expiry_interval": 60}


def auth(client, data, reason):
    client.send(wire.make_auth(reason, {"authentication_method": "TEST", "authentication_data": data}))


def test_reauthentication_renews_the_login(start_broker, client):
    broker = start_broker(chain(entry("challenge", config={"rounds": 1, "expires": "1500ms"})))
    one = client(to=broker).open()
    one.send_connect(properties={"authentication_method": "TEST"})
    one.expect(wire.AUTH, reason=0x18)
    auth(one, "1", 0x18)
    one.expect(wire.CONNACK, reason=0)
    for _ in range(3):
        time.sleep(0.8)
        auth(one, "", 0x19)
        one.expect(wire.AUTH, reason=0x18)
        auth(one, "1", 0x18)
        one.expect(wire.AUTH, reason=0)
    one.ping()
    one.expect_disconnect(0x87)


def test_subscribe_decided_across_a_reload_is_asked_again(start_broker, connect):
    slow = lambda **config: chain(entry("slow", config=config))  # noqa: E731
    broker = start_broker(slow(delay="700ms", verdict="allow"))
    one = connect(to=broker)
    one.send(wire.make_subscribe(V5, 1, [("t/#", 0)]))
    broker.wait_log("asked about t/#")
    broker.configure(slow(delay="1ms", verdict="deny"))
    broker.reload()
    one.expect(wire.SUBACK)
    broker.wait_log("(?s)asked about t/#.*asked about t/#")
    time.sleep(0.2)
    one.unsubscribe("t/#", reasons=[0x11])


def test_login_decided_across_a_reload_is_asked_again(start_broker, client):
    slow = lambda **config: chain(entry("slow", config={"logins": True, **config}))  # noqa: E731
    broker = start_broker(slow(delay="700ms", verdict="allow"))
    one = client(to=broker).open()
    one.send_connect(username="ann", password="a")
    time.sleep(0.2)
    broker.configure(slow(delay="1ms", verdict="deny"))
    broker.reload()
    one.expect(wire.CONNACK, reason=0x87)
    one.expect_close()


def test_nobody_is_asked_about_more_filters_than_a_session_may_have(start_broker, connect):
    broker = start_broker(chain("slow", limits={"subscriptions": 5}))
    one = connect(to=broker)
    one.subscribe(*(f"fast/{i}" for i in range(8)), reasons=[0] * 5 + [0x97] * 3)
    assert broker.log().count("asked about fast/") == 5


@pytest.mark.parametrize("version", (V5, V311))
def test_connack_has_codes_of_its_own(start_broker, client, version):
    """Shutting down (0x8B) is a reason for DISCONNECT only."""
    broker = start_broker(chain(entry("slow", config={"logins": True, "delay": "20s"})))
    one = client(version, to=broker).open()
    one.send_connect(username="ann", password="a")
    time.sleep(0.3)
    broker.stop()
    assert one.expect(wire.CONNACK).reason == (0x88 if version == V5 else 3)


def test_older_recheck_does_not_overrule_a_newer_one(start_broker, connect):
    slow = lambda **config: chain(entry("slow", config=config))  # noqa: E731
    broker = start_broker(slow(delay="1ms", verdict="allow"))
    one = connect(to=broker)
    one.subscribe("t/#")
    broker.configure(slow(delay="800ms", verdict="deny"))
    broker.reload()
    broker.wait_log("(?s)asked about t/#.*asked about t/#")
    broker.configure(slow(delay="1ms", verdict="allow"))
    broker.reload()
    time.sleep(1.2)
    one.unsubscribe("t/#", reasons=[0])


def test_no_local_holds_for_retained_messages(start_broker, connect):
    broker = start_broker()
    one, other = connect(to=broker), connect(to=broker)
    one.publish("t/mine", "m", qos=1, retain=True)
    other.publish("t/other", "o", qos=1, retain=True)
    one.subscribe("t/+", options=0x04)
    one.expect_message("t/other", "o")
    one.expect_nothing()


def test_retained_messages_on_their_way_to_one_client_are_bounded(start_broker, connect):
    broker = start_broker()
    publisher, one = connect(to=broker), connect(to=broker)
    for i in range(2000):
        publisher.send_publish(f"r/{i}", "x", retain=True)
    publisher.ping()
    one.send(wire.make_subscribe(V5, 1, [("r/#", 0)] * 600))
    codes = one.expect(wire.SUBACK).reasons
    assert codes[:400] == [0] * 400 and codes[-1] == 0x97
    one.drop()
    connect(to=broker).subscribe("r/#")


def test_what_an_earlier_connection_left_open_is_not_in_receive_maximum(start_broker, connect):
    broker = start_broker(base_config(limits={"inflight": 2}))
    one = connect(to=broker, clean=False, properties=KEPT)
    for packet_id in (1, 2):
        one.send_publish("t", "x", 2, packet_id=packet_id)
        one.expect(wire.PUBREC, packet_id=packet_id)
    one.drop()
    one.connect(clean=False, properties=KEPT)
    for packet_id in (3, 4):
        one.send_publish("t", "x", 2, packet_id=packet_id)
        one.expect(wire.PUBREC, packet_id=packet_id)
    one.send_publish("t", "x", 2, packet_id=5)
    one.expect_disconnect(0x93)


@pytest.mark.parametrize("more", range(3, 8))
def test_alias_is_never_used_before_it_was_told(start_broker, connect, more):
    """The packet fits without the alias; with it, its properties' length would take one byte more."""
    broker = start_broker()
    pairs = [("k", "v" * 120)]  # 126 bytes of properties
    plain = len(wire.make_publish(V5, "topic", "p" * 40, 0, False, False, None, {"user_property": pairs}))
    one = connect(to=broker, properties={"topic_alias_maximum": 5, "maximum_packet_size": plain + more})
    one.subscribe("topic")
    publisher = connect(to=broker)
    publisher.send_publish("topic", "p" * 40, properties={"user_property": pairs})
    publisher.send_publish("topic", "short")
    first = one.expect(wire.PUBLISH)
    assert (first.topic, first.payload) == ("topic", b"p" * 40)
    second = one.expect(wire.PUBLISH)
    assert second.payload == b"short" and (second.topic == "topic" or "topic_alias" in first.properties)


def test_a_packet_at_the_limit_reaches_clients_of_other_versions(start_broker, connect):
    broker = start_broker(base_config(limits={"packet_size": "1KiB"}))
    one, publisher = connect(V5, to=broker), connect(V311, to=broker)
    one.subscribe("t", properties={"subscription_identifier": 300000})
    publisher.send_publish("t", b"x" * (1024 - 6))
    assert len(one.expect(wire.PUBLISH).payload) == 1018


def test_large_packet_on_a_slow_line_keeps_the_connection(start_broker, connect):
    broker = start_broker()
    one, reader = connect(to=broker, keep_alive=1), connect(to=broker)
    reader.subscribe("slow")
    packet = wire.make_publish(V5, "slow", b"x" * 40000, 0, False, False, None, None)
    for start in range(0, len(packet), 4000):
        one.send(packet[start:start + 4000])
        time.sleep(0.4)
    assert len(reader.expect(wire.PUBLISH).payload) == 40000
    one.expect_disconnect(0x8D)  # silence is still noticed
    one.drop()
    one.connect(keep_alive=1)
    one.send(packet[:4000])  # and so is a packet that never ends
    one.expect_disconnect(0x8D, timeout=6 * TIME_SCALE)


def test_stop_in_a_storm_of_connections(start_broker):
    """Connections that are between two workers when the broker stops are given back."""
    broker = start_broker(base_config(workers=max(4, WORKERS)))
    going = True

    def storm(number):
        count = 0
        while going:
            count += 1
            one = Client(broker.address, V5, f"storm-{number}-{count}")
            try:
                one.open()
                one.send_connect()
            except (OSError, AssertionError):
                pass
            finally:
                one.drop()

    threads = [threading.Thread(target=storm, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.4)
    broker.stop()
    going = False
    for thread in threads:
        thread.join()
