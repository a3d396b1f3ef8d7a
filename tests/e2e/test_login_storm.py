"""Slow password hashes are checked off the event loop: a storm of logins does not delay messages."""

import time

import pytest

import mqtt_codec as wire
from broker import base_config, password_entry, passwords
from mqtt_codec import V311, V5
from mqtt_raw import DEADLINE, TIME_SCALE, Client

pytestmark = pytest.mark.reference_differs

STORM = 24


def test_login_storm_does_not_delay_a_bystander(start_broker, connect, topic):
    broker = start_broker(base_config(
        allow_anonymous=False, limits={"connect_timeout": "2m"},
        plugins=[{"name": "file-auth", "timeout": "2m", "config": {"password_file": "users.passwd"}}]),
        {"users.passwd": passwords(quick="q") + password_entry("slow", "s", iterations=250000)})
    one = connect(V311, to=broker, username="quick", password="q")
    one.subscribe(topic, qos=1)
    storm = []
    for i in range(STORM):
        login = Client(broker.address, V5, f"storm{i}").open()
        login.send_connect(username="slow", password="s" if i % 3 else "wrong")
        storm.append(login)
    answered, slowest, began = 0, 0.0, time.monotonic()
    pending = list(storm)
    while pending:
        before = time.monotonic()
        one.publish(topic, str(answered), qos=1)
        one.acknowledge(one.await_packet(wire.PUBLISH, payload=str(answered).encode()))
        slowest = max(slowest, time.monotonic() - before)
        answered += 1
        for login in list(pending):
            try:
                got = login.receive(0.001)
            except wire.WireError:
                raise
            except AssertionError as error:
                assert "nothing in time" in str(error)
                continue
            assert got.reason == (0 if storm.index(login) % 3 else 0x86)
            pending.remove(login)
        assert time.monotonic() - began < 8 * DEADLINE
    took = time.monotonic() - began
    # Each login takes a good part of a second of CPU, so on the loop messages would wait for many of them.
    assert answered > 10, f"{answered} messages while {STORM} logins took {took:.1f} s"
    assert slowest < max(1.0 * TIME_SCALE, took / 3), f"a message took {slowest:.2f} s of {took:.1f} s"
    for login in storm:
        login.drop()


def test_client_that_leaves_during_its_login(start_broker, connect):
    broker = start_broker(base_config(
        allow_anonymous=False,
        plugins=[{"name": "file-auth", "timeout": "1m", "config": {"password_file": "users.passwd"}}]),
        {"users.passwd": passwords(quick="q") + password_entry("slow", "s", iterations=100000)})
    for i in range(8):
        login = Client(broker.address, V5, f"leaves{i}").open()
        login.send_connect(username="slow", password="s")
        login.drop()
    connect(to=broker, username="quick", password="q").ping()


def test_stop_during_logins(start_broker):
    broker = start_broker(base_config(
        allow_anonymous=False,
        plugins=[{"name": "file-auth", "timeout": "1m", "config": {"password_file": "users.passwd"}}]),
        {"users.passwd": password_entry("slow", "s", iterations=100000)})
    logins = []
    for i in range(6):
        login = Client(broker.address, V5, f"pending{i}").open()
        login.send_connect(username="slow", password="s")
        logins.append(login)
    time.sleep(0.05)
    broker.stop()
    for login in logins:
        login.drop()


def test_packets_sent_behind_a_pending_connect_wait_for_it(start_broker, connect, topic):
    broker = start_broker(base_config(
        allow_anonymous=False, plugins=[{"name": "file-auth", "timeout": "1m", "config": {"password_file": "p"}}]),
        {"p": password_entry("slow", "s", iterations=50000)})
    one = Client(broker.address, V5, "eager").open()
    one.send(wire.make_connect(V5, "eager", username="slow", password="s") + wire.make_subscribe(V5, 1, [(topic, 0)]))
    one.send(wire.make_publish(V5, topic, "early") + wire.packet(wire.PINGREQ))
    one.expect(wire.CONNACK, reason=0)
    one.expect(wire.SUBACK)
    one.await_packet(wire.PUBLISH, payload=b"early")
    one.await_packet(wire.PINGRESP)
    one.drop()
