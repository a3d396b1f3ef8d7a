"""Limits against floods: `connect_rate`, `auth_failures`, `publish_rate`, `publish_byte_rate`, `memory`."""

import os
import time

import pytest

import mqtt_codec as wire
from broker import base_config, passwords
from mqtt_codec import V311, V5
from mqtt_raw import TIME_SCALE, Client, ConnectionClosed

pytestmark = pytest.mark.reference_differs

FILE_AUTH = {"name": "file-auth", "config": {"password_file": "users.passwd"}}
KEPT = {"session_expiry_interval": 60}


def answer(address, version=V5, **options):
    """The reason code of CONNACK; None: closed without one."""
    with Client(address, version, "") as one:
        one.open()
        one.send_connect(**options)
        try:
            return one.expect(wire.CONNACK).reason
        except ConnectionClosed:
            return None


def test_connections_of_one_address(start_broker):
    broker = start_broker(base_config(limits={"connect_rate": 5}))
    answers = [answer(broker.address) for _ in range(12)]
    assert answers[:5] == [0] * 5 and set(answers[7:]) <= {0, 0x9F} and 0x9F in answers
    time.sleep(1.2)
    assert answer(broker.address) == 0
    for _ in range(8):
        answer(broker.address)
    assert answer(broker.address, V311) == 3
    assert "connect_rate" in broker.log()


def test_connections_of_one_listener(start_broker):
    broker = start_broker(base_config(listeners=[{"name": "default", "bind": "@default@", "connect_rate": 3},
                                                 {"name": "other", "bind": "@other@"}]))
    answers = [answer(broker.address) for _ in range(8)]
    assert answers[:3] == [0] * 3 and 0x9F in answers
    assert [answer(broker.addresses["other"]) for _ in range(8)] == [0] * 8
    time.sleep(0.6)
    assert answer(broker.address) == 0


def test_refused_connections_do_not_fill_the_log(start_broker):
    broker = start_broker(base_config(limits={"connect_rate": 1}, workers=1))
    for _ in range(80):
        answer(broker.address)
    assert broker.log().count("faster than connect_rate") < 60


def test_failed_logins_are_slowed_and_then_blocked(start_broker):
    broker = start_broker(base_config(allow_anonymous=False, plugins=[FILE_AUTH],
                                      limits={"auth_failures": 4, "auth_block": "2s"}),
                          {"users.passwd": passwords(ann="a")})
    wrong, right = {"username": "ann", "password": "b"}, {"username": "ann", "password": "a"}
    took = []
    for _ in range(4):
        began = time.monotonic()
        assert answer(broker.address, **wrong) == 0x86 or answer(broker.address, **wrong) == 0x87
        took.append(time.monotonic() - began)
    assert took[0] < 0.9 and took[1] < 0.9 and took[2] > 0.9 and took[3] > 0.9
    assert answer(broker.address, **right) == 0x8A
    assert answer(broker.address, V311, **right) == 5
    assert "address_blocked" in broker.log() or "too many logins" in broker.log()
    time.sleep(2.2)
    assert answer(broker.address, **right) == 0
    for _ in range(10):
        assert answer(broker.address, **right) == 0


def test_stop_while_an_answer_waits(start_broker, client):
    broker = start_broker(base_config(allow_anonymous=False, plugins=[FILE_AUTH], limits={"auth_failures": 1}),
                          {"users.passwd": passwords(ann="a")})
    one = client(V5, to=broker).open()
    one.send_connect(username="ann", password="b")
    time.sleep(0.3)
    broker.stop()


@pytest.mark.parametrize("qos", (0, 1))
def test_messages_of_one_client(start_broker, connect, qos):
    broker = start_broker(base_config(limits={"publish_rate": 100}))
    reader, other = connect(to=broker), connect(to=broker)
    reader.subscribe("fast", qos=0)
    one = connect(to=broker, keep_alive=1)
    began = time.monotonic()
    for i in range(300):
        one.send_publish("fast", str(i), qos)
    assert [m.payload for m in reader.expect_messages(300)] == [b"%d" % i for i in range(300)]
    took = time.monotonic() - began
    assert 1.8 < took < 4
    other.publish("fast", "not slowed", qos=1)
    reader.expect_message("fast", "not slowed")
    for _ in range(300 if qos else 0):
        one.expect(wire.PUBACK)
    one.ping()


def test_bytes_of_one_client(start_broker, connect):
    broker = start_broker(base_config(limits={"publish_byte_rate": "100KiB"}))
    reader, one = connect(to=broker), connect(to=broker)
    reader.subscribe("big")
    began = time.monotonic()
    for _ in range(30):
        one.send_publish("big", b"x" * 10240)
    reader.expect_messages(30)
    assert 1.7 < time.monotonic() - began < 4


def test_reload_ends_the_slowness(start_broker, connect):
    broker = start_broker(base_config(limits={"publish_rate": 10}))
    reader, one = connect(to=broker), connect(to=broker)
    reader.subscribe("t")
    for _ in range(20):
        one.send_publish("t", "x")
    reader.expect_messages(15)
    broker.configure(base_config())
    broker.reload()
    began = time.monotonic()
    for _ in range(100):
        one.send_publish("t", "x")
    reader.expect_messages(105)
    assert time.monotonic() - began < 2.5


def resident(broker):
    with open(f"/proc/{broker.process.pid}/statm") as statm:
        return int(statm.read().split()[1]) * 4096


# AddressSanitizer would keep what was freed.
LEAN = {"ASAN_OPTIONS": ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=1",
                                               "thread_local_quarantine_size_kb=64",
                                               "allocator_release_to_os_interval_ms=100"]))}


def test_memory(start_broker, connect, client):
    broker = start_broker(base_config(), environment_=LEAN)
    limit = resident(broker) + (32 << 20)
    limits = {"memory": limit, "queued_messages": 1000000, "queued_bytes": "1GiB", "retained_messages": 1000000}
    broker.configure(base_config(limits=limits))
    broker.reload()
    absent = connect(to=broker, id="absent", clean=False, properties=KEPT)
    absent.subscribe("queue", qos=1)
    absent.drop()
    bystander, publisher = connect(to=broker), connect(to=broker)
    bystander.subscribe("alive")
    for _ in range(4000):  # 160 MiB
        publisher.send_publish("queue", b"q" * 40000, 1)
        publisher.expect(wire.PUBACK)
        if "limits.memory is reached: new connections" in broker.log():
            break
    broker.wait_log("limits.memory is reached: new connections")
    assert answer(broker.address) == 0x89
    assert answer(broker.address, V311) == 3
    bystander.subscribe("more", reasons=[0x97])
    publisher.publish("kept", "x", qos=1, retain=True)
    for _ in range(200):
        publisher.send_publish("queue", b"q" * 40000, 1)
        publisher.expect(wire.PUBACK)
    publisher.publish("alive", "yes", qos=1)
    bystander.expect_message("alive", "yes")
    # A sanitizer's shadow of the memory counts as resident, too.
    assert resident(broker) < limit + int(TIME_SCALE * (24 << 20))
    # The session of the absent client ends with the new limit: its queue is given back.
    broker.configure(base_config(limits={"memory": limit * 8}))
    broker.reload()
    broker.wait_log("memory is below limits.memory again")
    late = connect(to=broker)
    late.subscribe("#")
    late.expect_nothing()  # nothing was retained
    absent.connect(clean=False, properties=KEPT)
    absent.expect_message("queue")  # and nothing accepted was lost
