"""The log: text and JSON."""

import json
import os
import re
import socket
import subprocess

import pytest

from broker import base_config, environment, new_broker, passwords
from mqtt_codec import V311, V5

pytestmark = pytest.mark.reference_differs

PLUGINS = [{"name": "file-auth", "config": {"password_file": "users.passwd"}},
           {"name": "acl-file", "config": {"acl_file": "users.acl"}}]
FILES = {"users.passwd": passwords(ann="a"), "users.acl": "user ann\ntopic deny secret/#\ntopic readwrite #\n"}


def some_traffic(broker, connect, client):
    one = connect(V5, id='quotes " and \\ and \n', to=broker, username="ann", password="a")
    one.subscribe("#")
    one.publish('secret/"x"\\', "no", qos=1, reason=0x87)
    client(V311, to=broker).connect(username="ann", password="wrong", reason=4)
    one.send(b"\xc1\x00")
    one.expect_disconnect(0x81)
    broker.reload()


def test_every_json_line_parses(start_broker, connect, client):
    broker = start_broker(base_config(allow_anonymous=False, plugins=PLUGINS, log={"level": "debug", "format": "json"}),
                          FILES)
    some_traffic(broker, connect, client)
    broker.stop()
    events = [json.loads(line) for line in broker.log().splitlines()]
    assert all({"time", "level", "event", "message"} <= set(event) for event in events)
    assert {"ready"} <= {event["event"] for event in events}
    denied = [event for event in events if event["event"] == "denied"]
    publish = next(event for event in denied if event["access"] == "publish")
    assert publish["user"] == "ann" and publish["plugin"] == "acl-file" and publish["listener"] == "default"
    assert publish["topic"] == 'secret/"x"\\' and publish["client"] == 'quotes " and \\ and \n'
    assert publish["rule"].startswith("users.acl:2") and publish["address"].startswith("127.")
    login = next(event for event in denied if event["access"] == "connect")
    assert login["plugin"] == "file-auth" and login["rule"].startswith("users.passwd:1")


def test_text_lines_have_time_level_and_message(start_broker, connect, client):
    broker = start_broker(base_config(allow_anonymous=False, plugins=PLUGINS), FILES)
    some_traffic(broker, connect, client)
    broker.stop()
    for line in broker.log().splitlines():
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warn|info|debug) \S", line), line


def test_level(start_broker, connect, client):
    broker = start_broker(base_config(log={"level": "error"}), wait=False)
    broker.wait_listening()
    connect(to=broker).disconnect()
    broker.stop()
    assert not [line for line in broker.log().splitlines() if " info " in line or " debug " in line]


def test_no_password_is_ever_logged(start_broker, connect, client):
    broker = start_broker(base_config(allow_anonymous=False, plugins=PLUGINS), FILES)
    client(to=broker).connect(username="ann", password="hunter2-wrong", reason=0x86)
    client(to=broker).connect(username="nobody", password="hunter2-unknown", reason=0x86)
    broker.stop()
    assert "hunter2" not in broker.log()


def test_one_client_cannot_flood_the_log_with_denials(start_broker, connect):
    broker = start_broker(base_config(allow_anonymous=False, plugins=PLUGINS, log={"level": "info", "format": "json"}),
                          FILES)
    one = connect(to=broker, username="ann", password="a")
    for i in range(600):
        one.send_publish(f"secret/{i}", "no")
    one.ping()
    other = connect(to=broker, username="ann", password="a")
    other.publish("secret/other", "no", qos=1, reason=0x87)
    one.disconnect()
    broker.stop()
    events = [json.loads(line) for line in broker.log().splitlines()]
    written = sum(event["event"] == "denied" for event in events)
    left_out = sum(event["left_out"] for event in events if event["event"] == "denials_left_out")
    assert left_out > 300 and written + left_out == 601
    assert any(event.get("topic") == "secret/other" for event in events)


def test_an_attack_does_not_fill_the_log(start_broker, connect):
    broker = start_broker(base_config(log={"level": "info", "format": "json", "rate_limit": 20}))
    for _ in range(300):
        with socket.create_connection(broker.address) as one:
            one.sendall(b"GET / HTTP/1.1\r\n\r\n")
            one.recv(10)
    broker.stop()
    events = [json.loads(line) for line in broker.log().splitlines()]
    closed = [event for event in events if event["event"] == "closed"]
    left_out = sum(event["left_out"] for event in events if event["event"] == "log_left_out"
                   and event["kind"] == "closed")
    assert len(closed) + left_out == 300 and left_out > 0
    assert len({event["connection"] for event in closed}) == len(closed), "each connection has a number of its own"


def test_every_line_of_a_connection_has_its_number(start_broker, connect, client):
    broker = start_broker(base_config(allow_anonymous=False, plugins=PLUGINS, log={"level": "debug", "format": "json"}),
                          FILES)
    some_traffic(broker, connect, client)
    with socket.create_connection(broker.address) as one:
        one.sendall(b"GET / HTTP/1.1\r\n\r\n")
        one.recv(10)
    broker.stop()
    events = [json.loads(line) for line in broker.log().splitlines()]
    assert {"closed", "connected", "denied"} <= {event["event"] for event in events if "address" in event}
    assert all("connection" in event for event in events if "address" in event)


@pytest.mark.parametrize("form", ["text", "json"])
def test_priorities_for_the_journal(tmp_path, form):
    # systemd names the stream that leads to its journal in JOURNAL_STREAM; a file of that name does as well.
    broker = new_broker(tmp_path, base_config(log={"level": "info", "format": form}), None)
    broker.log_path.touch()
    status = os.stat(broker.log_path)
    broker.extra_environment["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
    try:
        broker.start()
        broker.write("noctule.yaml", "nonsense: yes\n")
        broker.reload()
        broker.stop()
    finally:
        broker.kill()
    lines = broker.log().splitlines()
    assert all(re.match(r"<[3467]>\S", line) for line in lines)
    assert any(line.startswith("<6>") and "ready" in line for line in lines)
    assert any(line.startswith("<3>") and "reload failed" in line for line in lines)
    if form == "text":
        assert any(line.startswith("<6>ready workers=") for line in lines), "the journal has the time already"
    else:
        assert all({"time", "level"} <= set(json.loads(line[3:])) for line in lines)


def test_a_log_that_nobody_reads_stops_nobody(tmp_path, connect):
    broker = new_broker(tmp_path, base_config(log={"level": "debug", "format": "json"}), None)
    reader, writer = os.pipe()
    try:
        broker.process = subprocess.Popen(broker.command(), stdin=subprocess.DEVNULL, stdout=writer, stderr=writer,
                                          cwd=broker.folder, env=environment())
        os.close(writer)
        broker.wait_listening()
        for _ in range(600):  # some 300 KiB of log; the pipe takes 64
            connect(to=broker).disconnect()
        connect(to=broker).ping()
        log = b""
        while b'"log_lost"' not in log:
            log += os.read(reader, 1 << 20)
        events = [json.loads(line) for line in log.splitlines() if line.endswith(b"}")]
        assert any(event["event"] == "log_lost" and event["lost"] > 100 for event in events)
        broker.process.terminate()
        while os.read(reader, 1 << 20):
            pass
        assert broker.process.wait(20) == 0
    finally:
        os.close(reader)
        broker.kill()
