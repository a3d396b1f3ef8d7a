"""Running out of file descriptors: accepting pauses and recovers, the connected notice nothing."""

import os
import socket
import time

import mqtt_codec as wire
from broker import base_config
from mqtt_codec import V311
from mqtt_raw import Client, TIME_SCALE, TimedOut


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_accept_pauses_and_recovers(start_broker, connect, topic):
    limit = 96
    broker = start_broker(base_config(limits={"connect_timeout": "60s"}), descriptors=limit)
    here = connect(to=broker)
    here.subscribe(topic, qos=1)
    crowd = []
    for i in range(limit + 20):
        one = Client(broker.address, V311, f"crowd{i}")
        one.open()
        one.send_connect()
        crowd.append(one)
    answered = []
    for one in crowd:
        try:
            one.expect(wire.CONNACK, timeout=0.1 if len(answered) > limit // 3 else 8, reason=0)
            answered.append(one)
        except TimedOut:
            pass
    waiting = [one for one in crowd if one not in answered]
    assert len(answered) > limit // 3 and len(waiting) >= 20
    # The connected go on, and the broker does not turn in circles.
    before = cpu_seconds(broker.process.pid)
    for i in range(10):
        here.publish(topic, str(i), qos=1)
        here.expect_message(topic, str(i))
        time.sleep(0.1)
    assert cpu_seconds(broker.process.pid) - before < 0.4 * TIME_SCALE
    assert broker.alive()
    # A few reports, not one for each attempt.
    lines = [line for line in broker.log().splitlines() if "descriptor" in line or "open files" in line]
    assert 1 <= len(lines) < 20
    # Room again: those that waited are served.
    for one in answered:
        one.drop()
    for one in waiting:
        one.expect(wire.CONNACK, reason=0)
        one.ping()
        one.drop()
    probe = socket.create_connection(broker.address)
    probe.close()
    here.ping()
