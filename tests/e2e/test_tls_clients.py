"""Clients that TLS knows: certificates, revocation, names out of them, and PSKs."""

import re
import ssl
import subprocess
import time

import pytest

import certificates
import mqtt_codec as wire
from broker import REFERENCE, base_config, passwords
from mqtt_raw import DEADLINE, TIME_SCALE, ConnectionClosed
from test_tls import config, context, listener, refused, secure

pytestmark = pytest.mark.skipif(REFERENCE is not None, reason="its own configuration")
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def fails(one, **options):
    """The client is turned away: in its handshake (TLS 1.2), or when it reads after it (1.3)."""
    with pytest.raises((ssl.SSLError, ConnectionClosed, ConnectionResetError, BrokenPipeError)) as failure:
        one.connect(**options)
    return str(failure.value)


@pytest.fixture(scope="module")
def running(house, tmp_path_factory):
    """Listeners of all kinds, and users with passwords: ann has one, and may log in by it."""
    from broker import new_broker
    more = house.mutual(username_from="cn", crl=house.path("crl.pem"))
    one = new_broker(
        tmp_path_factory.mktemp("mutual"),
        base_config(plugins=[{"name": "file-auth", "config": {"password_file": "users.passwd"}}], allow_anonymous=False,
                    listeners=[listener(more, "open", allow_anonymous=True),
                               listener(more, "strict"),
                               listener({**more, "certificate_suffices": True}, "suffices"),
                               listener({**more, "client_certificate": "request"}, "request", allow_anonymous=True),
                               listener(house.mutual(username_from="subject", client_id_from="san"), "subject",
                                        allow_anonymous=True),
                               listener(house.mutual(username_from="san"), "san", allow_anonymous=True)]),
        {"users.passwd": passwords(ann="secret", bob="geheim")})
    one.start()
    yield one
    one.stop()


def as_user(broker, client, house, to, identity=None, version=None):
    return secure(client(to=broker.addresses[to]), context(house, identity, version))


def connected_as(broker, since):
    return broker.wait_log(r"client connected .*", since=since).group(0)


def test_named_by_certificate(running, house, client):
    since = running.log_size()
    as_user(running, client, house, "open", add_named(house, "carol")).connect()
    assert "user=carol" in connected_as(running, since)


def add_named(house, name, **options):
    if name not in house.identities:
        house.add(name, house.issuer.issue(name, **options))
    return name


def test_claimed_name_does_not_count(running, house, client):
    since = running.log_size()
    as_user(running, client, house, "open", add_named(house, "carol")).connect(username="bob", password="geheim")
    assert "user=carol" in connected_as(running, since)


def test_password_is_asked_for_still(running, house, client):
    """ann has a password: her certificate alone does not do, unless the configuration says so."""
    one = as_user(running, client, house, "strict", "ann")
    one.connect(reason=0x86)
    one = as_user(running, client, house, "strict", "ann")
    one.connect(username="ann", password="secret")
    one = as_user(running, client, house, "suffices", "ann")
    one.connect()
    one = as_user(running, client, house, "open", "ann")
    one.connect(reason=0x86)


def test_unknown_name_needs_allow_anonymous(running, house, client):
    as_user(running, client, house, "strict", add_named(house, "carol")).connect(reason=0x86)
    as_user(running, client, house, "suffices", "carol").connect()


def test_certificate_is_requested(running, house, client):
    since = running.log_size()
    as_user(running, client, house, "request").connect()
    assert "user=" not in connected_as(running, since)
    as_user(running, client, house, "request").connect(username="bob", password="geheim")
    as_user(running, client, house, "request").connect(username="bob", password="wrong", reason=0x86)
    since = running.log_size()
    as_user(running, client, house, "request", add_named(house, "carol")).connect()
    assert "user=carol" in connected_as(running, since)
    since = running.log_size()
    fails(as_user(running, client, house, "request", "revoked"))
    refused(running, "is revoked", since)


def test_other_names(running, house, client):
    since = running.log_size()
    as_user(running, client, house, "subject", "ann").connect()
    line = connected_as(running, since)
    assert "client=ann@example.org" in line and "user=CN=ann,O=Test" in line.replace('"', "")
    house.add("device", house.issuer.issue("x", names=("device-7.example.org",)))
    since = running.log_size()
    as_user(running, client, house, "san", "device").connect()
    assert "user=device-7.example.org" in connected_as(running, since)


def test_assigned_client_id_is_told(running, house, client):
    one = as_user(running, client, house, "subject", "ann")
    one.client_id = ""
    connack = one.connect()
    assert connack.properties.get("assigned_client_identifier") == "ann@example.org"
    for version in (3, 4):
        old = as_user(running, client, house, "subject", "ann")
        old.version = version
        old.connect()


def test_certificate_without_the_name(running, house, client):
    from cryptography import x509
    from cryptography.x509.oid import NameOID
    house.add("nameless", house.issuer.issue("x", subject=[x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test")]))
    since = running.log_size()
    as_user(running, client, house, "open", "nameless").connect(username="bob", password="geheim", reason=0x87)
    refused(running, "the client's certificate has no common name", since)
    since = running.log_size()
    as_user(running, client, house, "san", add_named(house, "carol")).connect(reason=0x87)
    refused(running, "the client's certificate has no alternative name", since)


def bad_certificates(house):
    make = {
        "expired": lambda: house.issuer.issue("expired", start=-9, end=-1),
        "not-yet": lambda: house.issuer.issue("not-yet", start=2),
        "wrong-ca": lambda: house.stranger.issue("wrong-ca"),
        "wrong-purpose": lambda: house.issuer.server("wrong-purpose"),
        "self-signed": lambda: certificates.Authority("self-signed"),
        "of-root": lambda: house.root.issue("of-root"),
    }
    for name, one in make.items():
        if name not in house.identities:
            house.add(name, one())
    return {"expired": "`CN=expired,O=Test` is refused: it has expired", "not-yet": "it is not valid yet",
            "wrong-ca": "its authority is not known here", "wrong-purpose": "not made for clients",
            "self-signed": "signed by itself|not made for clients|no authority", "revoked": "`CN=revoked,O=Test` is refused: it is revoked",
            "of-root": "no revocation list of its authority"}


@pytest.mark.parametrize("version", VERSIONS)
def test_bad_certificates(running, house, client, version):
    bystander = as_user(running, client, house, "open", add_named(house, "carol"), version)
    bystander.connect()
    for name, words in bad_certificates(house).items():
        since = running.log_size()
        fails(as_user(running, client, house, "open", name, version))
        refused(running, words, since)
    since = running.log_size()
    fails(as_user(running, client, house, "open", None, version))
    refused(running, "the client has sent no certificate, and the listener requires one", since)
    bystander.ping()


def test_the_alert_arrives(running, house, client):
    """The client learns what is wrong with its certificate, although it has sent more behind it."""
    bad_certificates(house)
    for name, alert in (("expired", "EXPIRED"), ("revoked", "REVOKED"), ("wrong-ca", "UNKNOWN_CA")):
        words = fails(as_user(running, client, house, "open", name))
        assert alert in words, (name, words)


def test_crl_that_has_expired(start_broker, house, client):
    house.write("old.pem", house.issuer.crl(-9, -2))
    mutual = house.mutual(username_from="cn", crl=house.path("old.pem"))
    broker = start_broker(config(listener(mutual, "refuse"), listener({**mutual, "expired_crl": "accept"}, "accept")))
    assert len(re.findall(r"warn .*revocation list .*old\.pem .*has expired", broker.log())) == 2
    since = broker.log_size()
    fails(secure(client(to=broker.addresses["refuse"]), context(house, "ann")))
    refused(broker, "the revocation list of its authority has expired", since)
    secure(client(to=broker.addresses["accept"]), context(house, "ann")).connect()
    since = broker.log_size()
    fails(secure(client(to=broker.addresses["accept"]), context(house, "revoked")))
    refused(broker, "is revoked", since)


def test_folders_of_authorities_and_lists(start_broker, house, client):
    other = certificates.Authority("Other Root")
    house.add("of-other", other.issue("of-other"))
    house.add("of-other-revoked", other.issue("of-other-revoked"))
    other.revoke(house.identities["of-other-revoked"])
    for folder, files in (("cas", {"a.pem": certificates.pem(house.root.certificate), "b.pem": certificates.pem(other.certificate)}),
                          ("crls", {"a.pem": house.issuer.crl(), "b.pem": other.crl()})):
        (house.folder / folder).mkdir()
        for name, data in files.items():
            house.write(f"{folder}/{name}", data)
    broker = start_broker(config(listener(house.tls(client_ca=house.path("cas"), crl=house.path("crls")))))
    for name in ("ann", "of-other"):
        secure(client(to=broker), context(house, name)).connect()
    for name in ("revoked", "of-other-revoked"):
        since = broker.log_size()
        fails(secure(client(to=broker), context(house, name)))
        refused(broker, "is revoked", since)


def test_resumed_with_a_certificate(running, house, client):
    """The name comes along in the ticket."""
    one = as_user(running, client, house, "open", add_named(house, "carol"))
    one.connect()
    one.session = one.socket.session
    since = running.log_size()
    one.connect()
    assert one.socket.session_reused and "user=carol" in connected_as(running, since)


def test_plugins_see_the_certificate(start_broker, house, client, test_plugin):
    broker = start_broker(base_config(
        listeners=[listener(house.mutual(username_from="cn"))],
        plugins=[{"name": "peer", "path": test_plugin("peer")}]))
    secure(client(to=broker), context(house, "ann")).connect()
    broker.wait_log("over tls, peer 0")
    broker.wait_log("certificate ann")


# ------------------------------------------------------------------------------------------- pre-shared keys


PSK = {"psk_file": "keys.psk", "username_from": "psk"}
KEYS = "# devices\n\nann:00112233445566778899aabbccddeeff\nb b:DEADBEEF\n"


def pub(tool, broker, topic, identity, key, to=None, *more):
    host, port = broker.addresses[to] if to else broker.address
    return subprocess.run([tool("mosquitto_pub"), "-h", host, "-p", str(port), "--psk-identity", identity, "--psk", key,
                           "-t", topic, "-m", "hello", *more], capture_output=True, text=True, timeout=20 * TIME_SCALE)


def test_psk_file(start_broker, tool, topic):
    broker = start_broker(config(listener(PSK)), {"keys.psk": KEYS})
    assert pub(tool, broker, topic, "ann", "00112233445566778899aabbccddeeff").returncode == 0
    broker.wait_log("client connected .*user=ann")
    assert pub(tool, broker, topic, "b b", "deadbeef").returncode == 0
    since = broker.log_size()
    assert pub(tool, broker, topic, "nobody", "aabb").returncode != 0
    refused(broker, "the PSK identity `nobody` is unknown", since)
    since = broker.log_size()
    assert pub(tool, broker, topic, "ann", "aabb").returncode != 0
    refused(broker, "the client's key for the PSK identity `ann` is another one", since)


def s_client_psk(broker, identity, key, *more):
    return subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % broker.address, "-psk_identity", identity,
                           "-psk", key, *more], input="Q\n", capture_output=True, text=True, timeout=20 * TIME_SCALE)


def test_psk_in_tls_1_3(start_broker, house):
    broker = start_broker(config(listener(house.tls(**PSK))), {"keys.psk": KEYS})
    done = s_client_psk(broker, "ann", "00112233445566778899aabbccddeeff", "-tls1_3")
    assert "Reused, TLSv1.3" in done.stdout, done.stdout
    # Who is not known may still use the certificate.
    done = s_client_psk(broker, "nobody", "aabb", "-tls1_3")
    assert "New, TLSv1.3" in done.stdout and "BEGIN CERTIFICATE" in done.stdout
    since = broker.log_size()
    s_client_psk(broker, "ann", "aabb", "-tls1_3")
    refused(broker, "the client's key for the PSK identity `ann` is another one", since)


@pytest.mark.parametrize("version", ("-tls1_2", "-tls1_3"))
@pytest.mark.parametrize("late", (False, True))
def test_psk_of_a_plugin(start_broker, house, test_plugin, tool, version, late):
    """The plugin answers at once, or later while others go on; unknown identities are refused."""
    broker = start_broker(base_config(
        listeners=[listener(house.tls(psk_plugins=True, username_from="psk"))],
        plugins=[{"name": "psk", "path": test_plugin("psk"), "config": {"late": late}}]))
    only = ("-cipher", "PSK") if version == "-tls1_2" else ()
    done = s_client_psk(broker, "known", "abcdef", version, *only)
    assert ("Reused" if version == "-tls1_3" else "PSK-") in done.stdout, done.stdout
    since = broker.log_size()
    s_client_psk(broker, "known", "123456", version, *only)
    refused(broker, "the client's key for the PSK identity `known` is another one", since)
    if version == "-tls1_2":
        since = broker.log_size()
        s_client_psk(broker, "unknown", "123456", version, *only)
        refused(broker, "the PSK identity `unknown` is unknown", since)


def test_psk_that_is_answered_too_late(start_broker, house, test_plugin, tool, client, topic):
    """A plugin that never answers costs the client its connection, and nobody else anything."""
    broker = start_broker(base_config(
        listeners=[listener(house.tls(psk_plugins=True))], limits={"connect_timeout": "600ms"},
        plugins=[{"name": "psk", "path": test_plugin("psk"), "timeout": "10s", "config": {"late": True}}]))
    since = broker.log_size()
    with subprocess.Popen([tool("mosquitto_pub"), "-h", broker.address[0], "-p", str(broker.address[1]), "--psk-identity",
                           "silence", "--psk", "aabb", "-t", topic, "-m", "x"], stderr=subprocess.DEVNULL) as waiting:
        secure(client(to=broker), context(house)).connect()
        refused(broker, "the TLS handshake was not finished within limits.connect_timeout", since)
        waiting.wait(20 * TIME_SCALE)
