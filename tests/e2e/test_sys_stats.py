"""sys-stats: every topic is moved by a known amount and read back; the tree beside Mosquitto's."""

import os
import re
import shutil
import socket
import subprocess
import time

import pytest

import mqtt_codec as wire
from broker import HOST, base_config, free_port, run_command
from mqtt_raw import DEADLINE, TIME_SCALE, TimedOut

FAST = {"name": "sys-stats", "config": {"interval": "100ms"}}
NUMBER = re.compile(r"\d+")


def config(*plugins, **changes):
    return base_config(plugins=[*plugins, FAST], **changes)


class Tree:
    """What stands under $SYS/broker/ now, as a subscriber sees it."""

    def __init__(self, client):
        self.client, self.topics = client, {}
        client.subscribe("$SYS/#")

    def take(self, message):
        self.topics[message.topic.removeprefix("$SYS/broker/")] = message.payload.decode()

    def wait(self, what, accept):
        """Reads on until the topic's text is accepted; returns it."""
        deadline = time.monotonic() + DEADLINE
        while what not in self.topics or not accept(self.topics[what]):
            left = deadline - time.monotonic()
            assert left > 0, f"{what} is {self.topics.get(what)!r}"
            try:
                self.take(self.client.receive(left))
            except TimedOut:
                continue
        return self.topics[what]

    def wait_number(self, what, number):
        return self.wait(what, lambda text: text == str(number))


def test_known_amounts(start_broker, connect):
    broker = start_broker(config())
    watcher = connect(to=broker)
    tree = Tree(watcher)
    tree.wait_number("clients/connected", 1)
    tree.wait_number("clients/disconnected", 0)
    assert tree.wait("version", bool).startswith("noctule version ")
    assert re.fullmatch(r"\d+ seconds", tree.wait("uptime", bool))

    one = connect(to=broker, properties={"session_expiry_interval": 60}, clean=False)
    tree.wait_number("clients/connected", 2)
    tree.wait_number("clients/active", 2)
    tree.wait_number("clients/total", 2)
    tree.wait_number("clients/maximum", 2)
    tree.wait_number("connections/socket/count", 2)
    one.subscribe("a/#", "b", "$share/g/c", qos=1)
    tree.wait_number("subscriptions/count", 4)
    tree.wait_number("shared_subscriptions/count", 1)

    received = int(tree.wait("publish/messages/received", bool))
    payload = int(tree.wait("publish/bytes/received", bool))
    for _ in range(3):
        one.publish("a/1", "12345", qos=1)
        one.expect_message("a/1", "12345")
    tree.wait_number("publish/messages/received", received + 3)
    tree.wait_number("publish/bytes/received", payload + 15)
    # What the tree itself sends is counted too, so these only rise.
    assert int(tree.wait("publish/messages/sent", lambda text: int(text) > 3))
    assert int(tree.wait("publish/bytes/sent", lambda text: int(text) > 15))
    assert int(tree.wait("messages/received", lambda text: int(text) >= received + 3))
    assert int(tree.wait("messages/sent", lambda text: int(text) > 6))
    assert int(tree.wait("bytes/received", lambda text: int(text) > 3 * 12))
    assert int(tree.wait("bytes/sent", lambda text: int(text) > 3 * 12))
    assert float(tree.wait("load/publish/received/1min", lambda text: float(text) > 0))
    assert float(tree.wait("load/connections/15min", lambda text: float(text) > 0))

    one.drop()
    tree.wait_number("clients/disconnected", 1)
    tree.wait_number("clients/inactive", 1)
    tree.wait_number("clients/total", 2)
    assert int(tree.wait("heap/current", bool)) > 1000000
    assert int(tree.wait("heap/maximum", bool)) >= 1000000


def test_retained_and_stored(start_broker, connect):
    broker = start_broker(config())
    tree = Tree(connect(to=broker))
    one = connect(to=broker)
    # The tree's own topics are retained, too; once all are there, their number stands still.
    before = int(tree.wait("retained messages/count", lambda text: text == tree.topics.get("store/messages/count")
                           and int(text) == len(tree.topics)))
    one.publish("kept/1", "x", qos=1, retain=True)
    one.publish("kept/2", "x", qos=1, retain=True)
    tree.wait_number("retained messages/count", before + 2)
    tree.wait_number("messages/stored", before + 2)
    tree.wait_number("store/messages/count", before + 2)
    stored = int(tree.wait("store/messages/bytes", bool))
    one.publish("kept/1", "", qos=1, retain=True)
    tree.wait_number("retained messages/count", before + 1)
    tree.wait("store/messages/bytes", lambda text: int(text) < stored)


def test_dropped_and_expired(start_broker, connect):
    broker = start_broker(config(limits={"queued_messages": 2}))
    tree = Tree(connect(to=broker))
    tree.wait_number("publish/messages/dropped", 0)
    away = connect(to=broker, properties={"session_expiry_interval": 1}, clean=False)
    away.subscribe("q", qos=1)
    away.drop()
    tree.wait_number("clients/disconnected", 1)
    one = connect(to=broker)
    for _ in range(5):
        one.publish("q", "x", qos=1)
    tree.wait_number("publish/messages/dropped", 3)
    tree.wait_number("clients/expired", 1)
    tree.wait_number("clients/disconnected", 0)


def test_plugins_and_workers(start_broker, connect, client):
    files = {"acl": "topic readwrite ok/#\n"}
    broker = start_broker(config({"name": "rules", "module": "acl-file", "config": {"acl_file": "acl"}}), files)
    # Rules of acl-file count for $SYS as for anything else.
    broker.write("acl", "topic readwrite ok/#\ntopic read $SYS/#\n")
    broker.reload()
    tree = Tree(connect(to=broker))
    tree.wait_number("plugins/rules/denied", 0)
    allowed = int(tree.wait("plugins/rules/allowed", bool))
    one = connect(to=broker)
    for _ in range(4):
        one.publish("ok/1", "x", qos=1)
    one.publish("no/1", "x", qos=1, reason=0x87)
    assert int(tree.wait("plugins/rules/allowed", lambda text: int(text) >= allowed + 4)) >= allowed + 4
    # Nothing matches: that is no opinion, and the end of the chain is what denies.
    tree.wait_number("plugins/rules/denied", 0)
    tree.wait_number("plugins/rules/errors", 0)
    tree.wait_number("plugins/rules/pending", 0)
    assert NUMBER.fullmatch(tree.wait("plugins/rules/latency_us", bool))
    workers = sorted({int(topic.split("/")[1]) for topic in tree.topics if topic.startswith("workers/")})
    assert sum(int(tree.topics[f"workers/{n}/clients"]) for n in workers) == 2
    assert all(0 <= float(tree.wait(f"workers/{n}/load", bool)) <= 4 for n in workers)


def test_nobody_else_publishes_there_and_hash_does_not_match(start_broker, connect):
    broker = start_broker(config())
    one = connect(to=broker)
    one.publish("$SYS/broker/uptime", "a lie", qos=1, reason=0x87)
    two = connect(to=broker)
    two.subscribe("#", "+/broker/uptime")
    time.sleep(0.3)
    two.expect_nothing()
    tree = Tree(connect(to=broker))
    assert "lie" not in tree.wait("uptime", bool)


def test_only_what_changed_is_published(start_broker, connect):
    broker = start_broker(config())
    watcher = connect(to=broker)
    tree = Tree(watcher)
    tree.wait_number("clients/connected", 1)
    watcher.unsubscribe("$SYS/#")
    time.sleep(0.3)
    watcher.pending.clear()
    watcher.subscribe("$SYS/broker/clients/#", "$SYS/broker/version", "$SYS/broker/subscriptions/#")
    retained = [watcher.await_packet(wire.PUBLISH).topic for _ in range(9)]
    assert len(set(retained)) == 9
    # Subscribing has changed the number of subscriptions, and nothing else changes any more.
    watcher.await_packet(wire.PUBLISH, topic="$SYS/broker/subscriptions/count", payload=b"3")
    watcher.expect_nothing(0.5)


def test_reload_changes_the_interval_and_removal_clears(start_broker, connect):
    broker = start_broker(base_config(plugins=[{"name": "sys-stats", "config": {"interval": "1h"}}]))
    watcher = connect(to=broker)
    tree = Tree(watcher)
    tree.wait("clients/connected", bool)
    broker.configure(config())
    broker.reload()
    tree.wait_number("clients/connected", 1)
    broker.configure(base_config(plugins=[]))
    broker.reload()
    tree.wait("uptime", lambda text: text == "")
    late = connect(to=broker)
    late.subscribe("$SYS/#")
    late.expect_nothing()
    broker.configure(config())
    broker.reload()
    late.await_packet(wire.PUBLISH, topic="$SYS/broker/clients/connected", payload=b"2")
    broker.configure(base_config(plugins=[{"name": "sys-stats", "config": {"interval": "0s"}}]))
    broker.reload()
    late.await_packet(wire.PUBLISH, topic="$SYS/broker/clients/connected", payload=b"")


@pytest.mark.parametrize("text, said", [("50ms", "too short"), ("-1s", "interval"), ("often", "interval")])
def test_wrong_intervals_are_refused(tmp_path, text, said):
    path = tmp_path / "noctule.yaml"
    path.write_text(f"listeners: [{{name: a, bind: 127.0.0.1:1}}]\nplugins: [{{name: sys-stats, config: {{interval: {text}}}}}]\n")
    done = run_command("check", "-c", path)
    assert done.returncode == 1
    assert re.search(rf"noctule.yaml:2:\d+: .*{said}", done.stderr)


def kind(text):
    for pattern, name in ((r"\d+", "integer"), (r"\d+\.\d\d", "decimal"), (r"\d+ seconds", "seconds"),
                          (r"\w+ version [\d.]+", "version")):
        if re.fullmatch(pattern, text):
            return name
    return text


def watch_with_mosquitto_sub(tool, address):
    return subprocess.Popen([tool("mosquitto_sub"), "-h", address[0], "-p", str(address[1]), "-t", "$SYS/#", "-W", "2",
                             "-F", "%t\t%p"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)


def seen(watching):
    lines = watching.communicate(timeout=30 * TIME_SCALE)[0].splitlines()
    return dict(line.split("\t") for line in lines)


def listens(address):
    try:
        socket.create_connection(address, timeout=1).close()
    except OSError:
        return False
    return True


def test_beside_mosquitto(start_broker, tool, tmp_path):
    """Every topic of Debian's mosquitto is here, with a text of the same form."""
    program = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    assert program, "install the Debian package mosquitto"
    port = free_port()
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} {HOST}\nallow_anonymous true\nsys_interval 1\n")
    with open(tmp_path / "mosquitto.log", "wb") as log:
        reference = subprocess.Popen([program, "-c", str(tmp_path / "mosquitto.conf")], stdout=log, stderr=log,
                                     stdin=subprocess.DEVNULL)
    try:
        broker = start_broker(config())
        deadline = time.monotonic() + DEADLINE
        while not listens((HOST, port)):
            assert reference.poll() is None and time.monotonic() < deadline, "mosquitto does not start"
            time.sleep(0.02)
        watching = [watch_with_mosquitto_sub(tool, address) for address in ((HOST, port), broker.address)]
        theirs, ours = [seen(one) for one in watching]
    finally:
        reference.kill()
        reference.wait()
    assert len(theirs) > 45, theirs
    missing = sorted(set(theirs) - set(ours))
    assert not missing
    different = {topic: (text, ours[topic]) for topic, text in theirs.items() if kind(text) != kind(ours[topic])}
    assert not different
