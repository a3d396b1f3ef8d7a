"""Every file in config/examples starts as it is, and clients connect through each of its listeners. What an example
names is made: certificates, users and rules. Only places are changed, in the text: ports are moved to free ones on the
test's own address, and absolute paths into the test's folder."""

import re
import ssl

import pytest
import yaml

import certificates
from broker import HOST, ROOT, free_port, passwords
from mqtt_raw import Client
from test_proxy_protocol import v1, v2
from websocket_raw import WebSocketClient

EXAMPLES = sorted(path.stem for path in (ROOT / "config" / "examples").glob("*.yaml"))
USERS = passwords(ann="secret", rw="readwrite", ro="readonly", wo="writeonly")
RULES = "user ann\ntopic readwrite #\nuser rw\ntopic readwrite #\nuser ro\ntopic read #\nuser wo\ntopic write #\n"

# Clients that nobody lets in: the platform that http-auth asks is not there.
REFUSED = {"http-auth": 0x87}


def moved(text, folder):
    """The example's text with other places, and where each listener is then, by the address it had."""
    places = {}

    def bind(match):
        written = match.group(2)
        places[written] = "%s:%d" % (HOST, free_port())
        return match.group(1) + places[written]

    text = re.sub(r'(\bbind: "?)([^\s"#]+:\d+)\b', bind, text)
    return re.sub(r"(: (?:unix:)?)/(?=[a-z])", rf"\1{folder}/", text), places


def walk(node):
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value, node
            yield from walk(value)
    elif isinstance(node, list):
        for item in node:
            yield from walk(item)


class Made:
    """An example in a folder of its own, with the files that it names."""

    def __init__(self, name, folder):
        self.folder = folder
        self.authority = certificates.Authority("Example CA")
        self.server = self.authority.server(certificates.NAME, "localhost")
        self.client = self.authority.issue("ann")
        self.text, self.places = moved((ROOT / "config" / "examples" / f"{name}.yaml").read_text(), folder)
        self.config = yaml.safe_load(self.text)
        for key, value, around in walk(self.config):
            self.provide(key, value, around)
        self.write("client.pem", self.client.chain_pem + self.client.key_pem)

    def write(self, path, data):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())

    def provide(self, key, value, around):
        if key == "certificate" and "key" in around:
            expired = "expired" in value
            identity = self.authority.server(certificates.NAME, start=-30, end=-1) if expired else self.server
            self.write(value, identity.chain_pem)
            self.write(around["key"], identity.key_pem)
        elif key == "client_ca":
            self.write(value, certificates.pem(self.authority.certificate))
        elif key == "crl":
            self.write(value, self.authority.crl())
        elif key == "password_file":
            self.write(value, USERS)
        elif key == "acl_file":
            self.write(value, RULES)
        elif key == "bind" and value.startswith("unix:"):
            (self.folder / value[5:]).parent.mkdir(parents=True, exist_ok=True)

    def start(self, start_broker):
        return start_broker(self.text, folder=self.folder)

    def client_of(self, listener, with_certificate=True, verify=False):
        """One that comes as its listener wants it: through a proxy, with TLS, with a certificate, over WebSocket."""
        bind = listener["bind"]
        address = bind[5:] if bind.startswith("unix:") else (HOST, int(bind.rsplit(":", 1)[1]))
        is_web = listener.get("transport", "tcp") == "websocket"
        request = {"path": listener["path"]} if "path" in listener else {}
        client = WebSocketClient(address, **request) if is_web else Client(address)
        client.client_id = f"example-{listener['name']}"
        client.prologue = {"v1": v1(), "v2": v2(), "any": v1()}.get(listener.get("proxy_protocol"), b"")
        if "tls" in listener:
            client.tls, client.server_name = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificates.NAME
            if verify:
                client.tls.load_verify_locations(cadata=certificates.pem(self.authority.certificate).decode())
            else:
                client.tls.check_hostname, client.tls.verify_mode = False, ssl.CERT_NONE
            if with_certificate:
                client.tls.load_cert_chain(self.folder / "client.pem")
        return client

    def listener(self, name):
        return next(one for one in self.config["listeners"] if one["name"] == name)


@pytest.fixture
def example(tmp_path_factory, start_broker):
    """example(name): the example, and the broker that runs it."""

    def make(name):
        made = Made(name, tmp_path_factory.mktemp("x"))
        return made, made.start(start_broker)

    return make


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_starts_and_takes_clients(example, name):
    made, broker = example(name)
    assert not re.search(r" error ", broker.log()), broker.log()
    for listener in made.config["listeners"]:
        with made.client_of(listener) as client:
            client.connect(reason=REFUSED.get(name, 0), username="ann", password=b"secret")


def reason_of(client, **options):
    with client:
        client.open()
        client.send_connect(**options)
        return client.receive().reason


def test_all_listeners_has_those_of_the_public_test_server():
    text = (ROOT / "config" / "examples" / "all-listeners.yaml").read_text()
    ports = {int(port) for port in re.findall(r"bind: .*:(\d+)", text)}
    assert ports == {1883, 1884, 8883, 8884, 8885, 8886, 8887, 8080, 8081, 8090, 8091}


def test_all_listeners_one_by_one(example):
    made, broker = example("all-listeners")
    rw = {"username": "rw", "password": b"readwrite"}
    for name in ("plain", "tls", "tls-public", "web", "web-tls"):
        assert reason_of(made.client_of(made.listener(name), with_certificate=False)) == 0
    for name in ("plain-users", "tls-users", "web-users", "web-tls-users"):
        listener = made.listener(name)
        assert reason_of(made.client_of(listener)) == 0x87
        assert reason_of(made.client_of(listener), username="rw", password=b"wrong") == 0x86
        assert reason_of(made.client_of(listener), **rw) == 0
        with made.client_of(listener) as client:
            client.connect(username="ro", password=b"readonly")
            client.publish("a", b"x", qos=1, reason=0x87)
    assert reason_of(made.client_of(made.listener("tls-mutual"))) == 0
    with pytest.raises((ssl.SSLError, OSError, AssertionError)):
        reason_of(made.client_of(made.listener("tls-mutual"), with_certificate=False))
    # Clients that look see what is wrong with that one, and nothing with the others.
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        made.client_of(made.listener("tls-expired"), verify=True).open()
    assert reason_of(made.client_of(made.listener("tls"), verify=True)) == 0


def test_behind_a_proxy_by_certificate(example):
    made, broker = example("behind-a-proxy")
    listener = made.listener("terminated")
    client = made.client_of(listener)
    client.prologue = v2(tlvs=b"\x20\0\x0b\3\0\0\0\0\x22\0\3ann")
    with client:
        client.connect()
        line = broker.wait_log(r"client connected .*").group()
        assert "user=ann" in line and "address=192.0.2.7:51234" in line


def test_unix_socket_without_a_password(example):
    made, broker = example("unix-socket")
    with made.client_of(made.listener("local")) as client:
        client.connect()
    with made.client_of(made.listener("network")) as client:
        client.connect(reason=0x87)
