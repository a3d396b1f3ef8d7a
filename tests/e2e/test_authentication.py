"""Logins: the chain of the configuration with file-auth in it."""

import base64
import hashlib

import pytest

import mqtt_codec as wire
from broker import base_config, password_entry, passwords
from mqtt_codec import V31, V311, V5, VERSIONS

pytestmark = pytest.mark.reference_differs

FILE_AUTH = {"name": "file-auth", "config": {"password_file": "users.passwd"}}


def secured(**changes):
    return base_config(**{"allow_anonymous": False, "plugins": [FILE_AUTH], **changes})


def refusal(version, bad_password):
    if version == V5:
        return 0x86 if bad_password else 0x87
    return 4 if bad_password else 5


@pytest.fixture
def broker(start_broker):
    return start_broker(secured(), {"users.passwd": passwords(ann="secret", bob="")})


@pytest.mark.parametrize("version", VERSIONS)
def test_right_password(broker, connect, version):
    connect(version, username="ann", password="secret").ping()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("password", ("wrong", "", "secret ", "Secret", "secret\0", b"\xff\xfe"))
def test_wrong_password(broker, client, version, password):
    # [v5 MQTT-3.1.4-2, MQTT-3.2.2-7] [v311 MQTT-3.2.2-5]
    one = client(version)
    one.connect(username="ann", password=password, reason=refusal(version, True))
    one.expect_close()
    line = broker.wait_log(r"denied.*").group()
    assert "plugin=file-auth" in line and "users.passwd:1" in line and "user=ann" in line
    assert "secret" not in line


@pytest.mark.parametrize("version", VERSIONS)
def test_unknown_user(broker, client, version):
    one = client(version)
    # Answered like a wrong password: the answer does not tell which names exist.
    one.connect(username="nobody", password="secret", reason=refusal(version, True))
    one.expect_close()


@pytest.mark.parametrize("version", VERSIONS)
def test_anonymous(broker, client, version):
    one = client(version)
    one.connect(reason=refusal(version, False))
    one.expect_close()


def test_username_without_password(broker, client):
    one = client(V5)
    one.connect(username="ann", reason=0x86)
    one.expect_close()


def test_empty_password_that_is_right(broker, connect):
    connect(username="bob", password="").ping()


def test_nothing_behind_a_refused_connect_is_processed(broker, client, connect, topic):
    # [v5 MQTT-3.1.4-6] [v311 MQTT-3.1.4-5]
    for version in (V311, V5):
        one = client(version).open()
        one.send(wire.make_connect(version, one.client_id, username="ann", password="wrong")
                 + wire.make_publish(version, topic, "bad", retain=True) + wire.make_subscribe(version, 1, [(topic, 0)]))
        assert one.expect(wire.CONNACK).reason
        one.expect_close()
    watcher = connect(username="ann", password="secret")
    watcher.subscribe(topic)
    watcher.expect_nothing()


def test_refused_connect_leaves_a_stored_session_alone(broker, connect, client, topic):
    # [v5 MQTT-3.2.2-6]
    kept = {"clean": False, "properties": {"session_expiry_interval": 60}, "username": "ann", "password": "secret"}
    one = connect(**kept)
    one.subscribe(topic, qos=1)
    bad = client(id=one.client_id)
    bad.connect(username="ann", password="wrong", clean=True, reason=0x86)
    one.ping()  # no takeover by a refused CONNECT
    one.disconnect()
    bad.connect(username="ann", password="wrong", clean=True, reason=0x86)
    assert one.connect(**kept).session_present


def test_allow_anonymous_lets_clients_without_username_in_only(start_broker, connect, client):
    broker = start_broker(secured(allow_anonymous=True), {"users.passwd": passwords(ann="secret")})
    connect(to=broker).ping()
    connect(to=broker, username="ann", password="secret").ping()
    client(to=broker).connect(username="ann", password="wrong", reason=0x86)
    client(to=broker).connect(username="nobody", password="x", reason=0x86)


def sha512_entry(user, password):
    salt = b"123456789012"
    digest = hashlib.sha512(password.encode() + salt).digest()
    return f"{user}:$6${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}\n"


def go_auth_entry(user, password):
    salt = base64.b64encode(b"salt of 16 bytes")
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), base64.b64decode(salt), 5000, 64)
    return f"{user}:PBKDF2$sha512$5000${salt.decode()}${base64.b64encode(key).decode()}\n"


@pytest.mark.parametrize("entry", (sha512_entry, go_auth_entry, lambda u, p: password_entry(u, p, 1000)),
                         ids=("sha512", "go-auth", "pbkdf2"))
def test_kinds_of_hashes(start_broker, connect, client, entry):
    broker = start_broker(secured(), {"users.passwd": entry("ünï", "pässwörd")})
    connect(to=broker, username="ünï", password="pässwörd").ping()
    client(to=broker).connect(username="ünï", password="passwort", reason=0x86)


def test_two_instances_in_a_row(start_broker, connect, client):
    # Unknown to the first file is NEXT, a wrong password in it is DENY.
    broker = start_broker(secured(plugins=[
        {"name": "first", "module": "file-auth", "config": {"password_file": "first.passwd"}},
        {"name": "second", "module": "file-auth", "config": {"password_file": "second.passwd"}}]),
        {"first.passwd": passwords(ann="one"), "second.passwd": passwords(ann="two", bob="two")})
    connect(to=broker, username="ann", password="one").ping()
    connect(to=broker, username="bob", password="two").ping()
    client(to=broker).connect(username="ann", password="two", reason=0x86)
    assert "plugin=first" in broker.wait_log(r"denied.*").group()


def test_required_instance_must_allow_too(start_broker, connect, client):
    broker = start_broker(secured(plugins=[
        {"name": "first", "module": "file-auth", "config": {"password_file": "first.passwd"}},
        {"name": "second", "module": "file-auth", "required": True, "config": {"password_file": "second.passwd"}}]),
        {"first.passwd": passwords(ann="x", eve="x"), "second.passwd": passwords(ann="x")})
    connect(to=broker, username="ann", password="x").ping()
    client(to=broker).connect(username="eve", password="x", reason=0x87)


def test_chain_of_each_listener(start_broker, connect, client):
    broker = start_broker(secured(listeners=[
        {"name": "open", "bind": "@open@", "plugins": [], "allow_anonymous": True},
        {"name": "first", "bind": "@first@", "plugins": ["one"]}, {"name": "all", "bind": "@all@"}], plugins=[
        {"name": "one", "module": "file-auth", "config": {"password_file": "one.passwd"}},
        {"name": "two", "module": "file-auth", "config": {"password_file": "two.passwd"}}]),
        {"one.passwd": passwords(ann="1"), "two.passwd": passwords(bob="2")})
    connect(to=broker.addresses["open"]).ping()
    connect(to=broker.addresses["first"], username="ann", password="1").ping()
    client(to=broker.addresses["first"]).connect(username="bob", password="2", reason=0x86)
    connect(to=broker.addresses["all"], username="bob", password="2").ping()
    client(to=broker.addresses["all"]).connect(reason=0x87)
    # Nobody there could check the name, so it counts for nothing; the client is let in like one without.
    connect(to=broker.addresses["open"], username="ann", password="1").ping()
    assert "user=ann" not in broker.log().splitlines()[-1]


def test_empty_chain_without_allow_anonymous_lets_nobody_in(start_broker, client):
    broker = start_broker(base_config(allow_anonymous=False, plugins=[]))
    for version, code in ((V31, 5), (V311, 5), (V5, 0x87)):
        client(version, to=broker).connect(reason=code)
        client(version, to=broker).connect(username="a", password="b", reason=code)


def test_names_in_the_log_cannot_forge_lines(broker, client):
    one = client(V5, id="evil\nid")
    one.connect(username="x\ndenied user=ann plugin=file-auth", password="x", reason=0x86)
    assert not any(line.startswith("denied") for line in broker.log().splitlines())
    assert not any(line.startswith("id") for line in broker.log().splitlines())
