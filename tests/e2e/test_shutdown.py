"""Start and stop of the process."""

import signal
import socket
import subprocess
import time

import pytest

import mqtt_codec as wire
from broker import base_config, environment, EXECUTABLE, RUNNER
from mqtt_codec import V311, V5
from mqtt_raw import TIME_SCALE

pytestmark = pytest.mark.reference_differs


@pytest.mark.parametrize("signal_", (signal.SIGTERM, signal.SIGINT))
def test_graceful_stop(start_broker, connect, signal_):
    # [v5 section 4.13]: DISCONNECT 0x8B; 3.1.1 has no such packet
    broker = start_broker()
    clients = [connect(version, to=broker) for version in (V5, V311, V5, V5)]
    broker.process.send_signal(signal_)
    for one in clients:
        one.expect_disconnect(0x8B)
    assert broker.process.wait(10 * TIME_SCALE) == 0
    broker.stop()


def test_stop_with_clients_that_read_nothing(start_broker, connect, client, topic):
    broker = start_broker()
    slow = client(V311, to=broker)
    slow.socket = socket.socket()
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.socket.connect(broker.address)
    slow.send_connect()
    slow.expect(wire.CONNACK, reason=0)
    slow.subscribe(topic)
    publisher = connect(to=broker)
    for _ in range(200):
        publisher.publish(topic, b"x" * 50000, qos=1)
    idle = socket.create_connection(broker.address)
    half = socket.create_connection(broker.address)
    half.sendall(wire.make_connect(V5, "half")[:6])
    began = time.monotonic()
    broker.stop()
    assert time.monotonic() - began < 8 * TIME_SCALE
    idle.close()
    half.close()


def test_stop_while_messages_flow(start_broker, connect, topic):
    broker = start_broker()
    pairs = []
    for i in range(6):
        subscriber, publisher = connect(V311, to=broker), connect(V311, to=broker)
        subscriber.subscribe(f"{topic}/{i}", qos=1)
        pairs.append((subscriber, publisher))
    for i, (_, publisher) in enumerate(pairs):
        publisher.send(b"".join(wire.make_publish(V311, f"{topic}/{i}", "x", 1, packet_id=j + 1) for j in range(500)))
    broker.stop()


def test_nobody_listens_after_the_stop_and_the_port_is_free_at_once(start_broker, connect):
    broker = start_broker()
    connect(to=broker).ping()
    broker.stop()
    with pytest.raises(OSError):
        socket.create_connection(broker.address, timeout=2)
    broker.stopped = False
    broker.start()
    connect(to=broker).ping()


def test_ready_line_names_the_listeners(start_broker):
    broker = start_broker(base_config(listeners=[{"name": "first", "bind": "@first@"},
                                                 {"name": "second", "bind": "@second@"}]))
    ready = [line for line in broker.log().splitlines() if "ready" in line]
    assert len(ready) == 1
    for host, port in broker.addresses.values():
        assert f"{host}:{port}" in ready[0]


def test_port_in_use_is_one_clear_error(start_broker):
    broker = start_broker()
    done = subprocess.run([*RUNNER, str(EXECUTABLE), "run", "-c", str(broker.config_path)], capture_output=True, text=True,
                          timeout=30 * TIME_SCALE, env=environment())
    assert done.returncode == 1
    assert "%s:%d" % broker.address in done.stderr and "in use" in done.stderr


def test_two_listeners_share_everything(start_broker, connect, topic):
    broker = start_broker(base_config(listeners=[{"name": "first", "bind": "@first@"},
                                                 {"name": "second", "bind": "@second@"}]))
    one, two = connect(to=broker.addresses["first"]), connect(to=broker.addresses["second"])
    one.subscribe(topic, qos=1)
    two.publish(topic, "across", qos=1)
    one.expect_message(topic, "across")
