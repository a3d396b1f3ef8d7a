"""Clients that people use: mosquitto_pub, mosquitto_sub and paho, in 3.1.1 and 5.0."""

import queue
import subprocess

import pytest

from broker import REFERENCE, base_config, passwords
from mqtt_raw import DEADLINE, TIME_SCALE

mqtt = pytest.importorskip("paho.mqtt.client")

PLUGINS = [{"name": "file-auth", "config": {"password_file": "users.passwd"}},
           {"name": "acl-file", "config": {"acl_file": "users.acl"}}]
FILES = {"users.passwd": passwords(ann="secret"), "users.acl": "user ann\ntopic deny closed/#\ntopic readwrite #\n"}
PROTOCOLS = ("mqttv31", "mqttv311", "mqttv5")


@pytest.fixture
def secured(start_broker):
    if REFERENCE:
        return start_broker()
    return start_broker(base_config(allow_anonymous=False, plugins=PLUGINS), FILES)


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=30 * TIME_SCALE)


def target(broker, user="ann", password="secret"):
    return "-h", broker.address[0], "-p", broker.address[1], "-u", user, "-P", password


class Subscriber:
    """mosquitto_sub in the background, already subscribed."""

    def __init__(self, tool, broker, *arguments):
        self.process = subprocess.Popen(
            [str(part) for part in ("stdbuf", "-oL", tool("mosquitto_sub"), *target(broker), "-d", "-W",
                                    int(25 * TIME_SCALE), *arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "SUBACK" in line or line.startswith("Subscribed"):
                return
        raise AssertionError(f"mosquitto_sub did not subscribe: {self.lines}")

    def finish(self):
        rest, _ = self.process.communicate(timeout=30 * TIME_SCALE)
        assert self.process.returncode == 0, rest
        return [line for line in rest.splitlines() if not line.startswith(("Client ", "Subscribed"))]


@pytest.mark.parametrize("sub_version", PROTOCOLS)
@pytest.mark.parametrize("pub_version", PROTOCOLS)
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_mosquitto_pub_to_mosquitto_sub(secured, tool, topic, pub_version, sub_version, qos):
    subscriber = Subscriber(tool, secured, "-V", sub_version, "-q", qos, "-t", f"{topic}/#", "-C", 2, "-F", "%t %p")
    for payload in ("hello", "zweite ☃"):
        done = run(tool("mosquitto_pub"), *target(secured), "-V", pub_version, "-q", qos, "-t", f"{topic}/x", "-m", payload)
        assert (done.returncode, done.stderr) == (0, "")
    assert subscriber.finish() == [f"{topic}/x hello", f"{topic}/x zweite ☃"]


@pytest.mark.parametrize("version", PROTOCOLS)
def test_mosquitto_retained(secured, tool, topic, version):
    assert run(tool("mosquitto_pub"), *target(secured), "-V", version, "-t", topic, "-m", "kept", "-r", "-q", 1).returncode == 0
    done = run(tool("mosquitto_sub"), *target(secured), "-V", version, "-t", topic, "-C", 1, "-W", 10, "-F", "%r %p")
    assert done.stdout == "1 kept\n"


@pytest.mark.reference_differs
@pytest.mark.parametrize("version", PROTOCOLS)
def test_mosquitto_pub_with_a_wrong_password_is_refused(secured, tool, version):
    done = run(tool("mosquitto_pub"), *target(secured, password="wrong"), "-V", version, "-t", "x", "-m", "y", "-q", 1)
    assert done.returncode != 0
    assert "not authorised" in done.stderr.lower() or "user name or password" in done.stderr.lower()


@pytest.mark.reference_differs
def test_mosquitto_pub_outside_the_acl_is_denied_and_logged(secured, tool):
    done = run(tool("mosquitto_pub"), *target(secured), "-V", "mqttv5", "-t", "closed/x", "-m", "y", "-q", 1, "-d")
    assert "RC:135" in done.stdout or "not authorized" in (done.stdout + done.stderr).lower()
    line = secured.wait_log(r"denied.*topic=closed/x.*").group()
    assert "plugin=acl-file" in line and "users.acl:2" in line


def test_mosquitto_will(secured, tool, topic):
    watcher = Subscriber(tool, secured, "-V", "mqttv5", "-q", 1, "-t", topic, "-C", 1, "-F", "%p")
    doomed = Subscriber(tool, secured, "-t", f"{topic}/other", "--will-topic", topic, "--will-payload", "gone",
                        "--will-qos", 1)
    doomed.process.kill()
    doomed.process.communicate()
    assert watcher.finish() == ["gone"]


class Paho:
    """A paho client with its loop running."""

    def __init__(self, broker, version, client_id, **options):
        self.version = version
        self.messages, self.connected, self.done = queue.Queue(), queue.Queue(), queue.Queue()
        keywords = {} if version == mqtt.MQTTv5 else {"clean_session": options.pop("clean_session", True)}
        if hasattr(mqtt, "CallbackAPIVersion"):
            keywords["callback_api_version"] = mqtt.CallbackAPIVersion.VERSION1
        self.client = mqtt.Client(client_id=client_id, protocol=version, **keywords)
        self.client.username_pw_set("ann", options.pop("password", "secret"))
        self.client.on_message = lambda client, data, message: self.messages.put(message)
        self.client.on_connect = lambda client, data, flags, code, *_: self.connected.put(int(getattr(code, "value", code)))
        self.client.on_subscribe = lambda *_: self.done.put("subscribed")
        self.client.connect(*broker.address, keepalive=30)
        self.client.loop_start()
        self.code = self.connected.get(timeout=DEADLINE)

    def subscribe(self, topic, qos):
        self.client.subscribe(topic, qos)
        self.done.get(timeout=DEADLINE)

    def publish(self, topic, payload, qos, **options):
        self.client.publish(topic, payload, qos, **options).wait_for_publish(DEADLINE)

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def paho(secured, name):
    made = []

    def make(version, **options):
        made.append(Paho(secured, version, name(f"paho{len(made)}"), **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize("from_version, to_version", ((4, 4), (5, 5), (4, 5), (5, 4), (3, 5)))
def test_paho(paho, topic, from_version, to_version):
    publisher, subscriber = paho(from_version), paho(to_version)
    assert publisher.code == 0 and subscriber.code == 0
    subscriber.subscribe(f"{topic}/+", 2)
    for qos in range(3):
        for i in range(20):
            publisher.publish(f"{topic}/{qos}", f"{qos} {i}", qos)
    for qos in range(3):
        for i in range(20):
            message = subscriber.messages.get(timeout=DEADLINE)
            assert (message.topic, message.payload.decode(), message.qos) == (f"{topic}/{qos}", f"{qos} {i}", qos)
    assert subscriber.messages.empty()


def test_paho_properties(paho, topic):
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties
    publisher, subscriber = paho(5), paho(5)
    subscriber.subscribe(topic, 1)
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("b", "2"), ("a", "1")]
    properties.ContentType = "text/plain"
    properties.CorrelationData = b"\1\2"
    publisher.publish(topic, "x", 1, properties=properties)
    got = subscriber.messages.get(timeout=DEADLINE).properties
    assert got.UserProperty == [("b", "2"), ("a", "1")]
    assert got.ContentType == "text/plain" and got.CorrelationData == b"\1\2"


@pytest.mark.reference_differs
@pytest.mark.parametrize("version, code", ((4, 4), (5, 0x86)))
def test_paho_with_a_wrong_password(paho, version, code):
    assert paho(version, password="wrong").code == code
