"""http-auth in bad times and under load: faults of the platform, what is kept, shared, bounded, and how it recovers."""

import datetime
import ipaddress
import ssl
import threading
import time

import pytest

import mqtt_codec as wire
from broker import HOST, WORKERS
from http_backend import Answer, BROKEN, NO, OK, YES, Backend, rich
from mqtt_codec import V5
from mqtt_raw import Client, DEADLINE, TIME_SCALE
from test_http_auth import BAD_LOGIN, NOT_AUTHORIZED, asking, backend, entry, login, start  # noqa: F401: fixtures

pytestmark = pytest.mark.reference_differs

# No breaker where a test is about something else.
PATIENT = {"breaker": {"failures": 0}}


# ---------------------------------------------------------------------------------------------- faults

FAULTS = {
    "close": Answer(fault="close"),
    "reset": Answer(body=b'{"ok":true}' + b" " * 1000, fault="reset"),
    "trickle": Answer(fault="trickle"),
    "hang": Answer(fault="hang"),
    "endless": Answer(fault="endless"),
    "10 MB": Answer(body=b'{"ok":true' + b" " * 10_000_000 + b"}"),
    "10 MB of headers": Answer(body=b'{"ok":true}', headers={f"X-{i}": "x" * 1000 for i in range(10_000)}),
    "garbage": Answer(body=b"\x00\xff\x16\x03garbage\r\n\r\n" * 50, fault="garbage"),
    "no status": Answer(body=b"HTTP/1.1\r\n\r\n", fault="garbage"),
    "endless redirect": Answer(307, headers={"Location": "/user"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_errors_and_are_not_kept(backend, start, login, client, fault):  # noqa: F811
    broker = start("user", response="json", timeout="600ms", **PATIENT)
    backend["/user"] = FAULTS[fault]
    began = time.monotonic()
    one = client(V5, "dev", broker)
    one.open()
    one.send_connect(username="ann", password="secret")
    assert one.expect(wire.CONNACK).reason in (NOT_AUTHORIZED, 0x88)
    assert time.monotonic() - began < 3 * TIME_SCALE
    one.drop()
    backend["/user"] = OK
    login(broker, id="dev")


def test_faults_on_the_way_of_messages(backend, start, login):  # noqa: F811
    broker = start(timeout="400ms", **PATIENT)
    backend["/acl"] = lambda r: FAULTS[r.json()["topic"]] if r.json()["topic"] in FAULTS else YES
    one = login(broker)
    for fault in ("close", "trickle", "endless", "garbage"):
        one.publish(fault, qos=1, reason=NOT_AUTHORIZED)
    one.publish("fine", qos=1)


def test_a_refused_connection(backend, start, login):  # noqa: F811
    broker = start("user", **PATIENT)
    backend.stop()
    login(broker, reason=NOT_AUTHORIZED)
    backend.start()
    login(broker)


def test_on_error_next(backend, start_broker, login):  # noqa: F811
    config = asking(backend, "user", **PATIENT)
    config["plugins"][0]["on_error"] = "next"
    config["plugins"].append({"name": "file-auth", "config": {"password_file": "users.passwd"}})
    from broker import passwords
    broker = start_broker(config, {"users.passwd": passwords(ann="secret")})
    backend["/user"] = BROKEN
    login(broker)


def test_retries(backend, start, login):  # noqa: F811
    broker = start("user", retries=2, **PATIENT)
    answers = [BROKEN, Answer(fault="close"), YES]
    # A connection that is closed before any answer may also be tried again by the HTTP library itself.
    backend["/user"] = lambda request: answers[min(len({id(r) for r in backend.on("/user")}) - 1, 2)]
    login(broker)
    assert len(backend.on("/user")) == 3
    backend.forget()
    backend["/user"] = BROKEN
    login(broker, id="again", reason=NOT_AUTHORIZED)
    assert len(backend.on("/user")) == 3


def test_connections_are_kept(backend, start, login):  # noqa: F811
    broker = start()
    one = login(broker)
    for index in range(20):
        one.publish(f"t/{index}", qos=1)
    assert len(backend.on("/acl")) == 20
    assert backend.connections <= 2 * WORKERS


# ---------------------------------------------------------------------------------------------- what is kept


def test_logins_are_kept_by_user_password_and_client(backend, start, login):  # noqa: F811
    broker = start("user", cache={"allow": "1h"})
    login(broker, id="a").disconnect()
    login(broker, id="a").disconnect()
    assert len(backend.on("/user")) == 1
    login(broker, id="b")
    login(broker, id="a", password="other")
    login(broker, id="a", username="bob")
    # What is glued together the same way is not the same question.
    login(broker, id="ab", username="c", password="d")
    login(broker, id="a", username="bc", password="d")
    assert len(backend.on("/user")) == 6


def test_yes_and_no_have_their_own_time(backend, start, login):  # noqa: F811
    broker = start("user", cache={"allow": "1h", "deny": "1s"})
    backend["/user"] = NO
    login(broker, id="a", reason=BAD_LOGIN)
    backend["/user"] = YES
    login(broker, id="a", reason=BAD_LOGIN)
    time.sleep(1.1)
    login(broker, id="a")
    backend["/user"] = NO
    login(broker, id="a")
    assert len(backend.on("/user")) == 2


def test_accesses_are_kept(backend, start, login):  # noqa: F811
    one = login(start(cache={"allow": "1h", "deny": "1h"}))
    backend["/acl"] = lambda request: NO if request.json()["topic"] == "no" else YES
    for _ in range(5):
        one.publish("yes", qos=1)
        one.publish("no", qos=1, reason=NOT_AUTHORIZED)
    assert len(backend.on("/acl")) == 2


def test_the_least_recently_used_go_first(backend, start, login):  # noqa: F811
    broker = start("user", cache={"allow": "1h", "entries": 2 * WORKERS})
    for id in range(40 * WORKERS):
        login(broker, id=f"c{id}").drop()
    backend.forget()
    login(broker, id="c0")
    assert len(backend.on("/user")) == 1


def test_a_reload_keeps_what_is_still_true(backend, start_broker, login):  # noqa: F811
    config = asking(backend, "user", cache={"allow": "1h"})
    broker = start_broker(config)
    login(broker, id="a").disconnect()
    config["plugins"][0]["config"]["timeout"] = "4s"
    broker.configure(config)
    broker.reload()
    login(broker, id="a").disconnect()
    assert len(backend.on("/user")) == 1
    config["plugins"][0]["config"]["user"]["url"] += "?v=2"
    broker.configure(config)
    broker.reload()
    login(broker, id="a")
    assert len(backend.on("/user")) == 2


@pytest.mark.parametrize("header, asked", (("max-age=3600", 1), ("private, max-age=0", 2), ("no-store", 2), ("public", 2)))
def test_cache_control_when_honoured(backend, start, login, header, asked):  # noqa: F811
    broker = start("user", cache={"allow": 0, "honour_cache_control": True})
    backend["/user"] = Answer(headers={"Cache-Control": header})
    for _ in range(2):
        login(broker, id="a").disconnect()
    assert len(backend.on("/user")) == asked


def test_cache_control_when_not(backend, start, login):  # noqa: F811
    broker = start("user", cache={"allow": "1h"})
    backend["/user"] = Answer(headers={"Cache-Control": "no-store"})
    for _ in range(2):
        login(broker, id="a").disconnect()
    assert len(backend.on("/user")) == 1


# ---------------------------------------------------------------------------------------------- many at once


def many(broker, count, **options):
    """So many clients, whose CONNECT is sent and whose CONNACK is not waited for."""
    clients = [Client(broker.address, V5, f"m{index}").open() for index in range(count)]
    for one in clients:
        one.send_connect(username="ann", password="secret", **options)
    return clients


def test_all_are_asked_about_at_once_and_nobody_else_waits(backend, start, login):  # noqa: F811
    count = 200
    broker = start()
    bystander = login(broker)
    bystander.publish("t", qos=1)
    backend["/user"] = Answer(delay=1.0 * TIME_SCALE)
    clients = many(broker, count)
    try:
        backend.wait_for(lambda: backend.in_flight == count, "all are in flight")
        began = time.monotonic()
        for _ in range(20):
            bystander.publish("t", qos=1)
            bystander.ping()
        assert backend.in_flight == count, "the bystander was answered while all others wait"
        for one in clients:
            assert one.expect(wire.CONNACK).reason == 0
        assert time.monotonic() - began < 2.5 * TIME_SCALE
    finally:
        for one in clients:
            one.drop()


def test_the_same_question_is_asked_once(backend, start, login):  # noqa: F811
    broker = start("user", "superuser", "acl")
    backend["/superuser"] = Answer(403, delay=0.3)
    one = login(broker)
    others = [login(broker) for _ in range(4)]
    for other in [one, *others]:
        other.send_publish(f"t/{other.client_id}", qos=1)
    for other in [one, *others]:
        assert other.await_packet(wire.PUBACK).reason in (0, 0x10)
    # One for each worker that has clients of this user.
    assert 1 <= len(backend.on("/superuser")) <= WORKERS
    assert len(backend.on("/acl")) == 5


def test_the_line_is_bounded(backend, start):  # noqa: F811
    broker = start("user", connections=2, waiting=3, timeout="5s")
    backend["/user"] = Answer(delay=0.5 * TIME_SCALE)
    clients = many(broker, 40)
    try:
        reasons = [one.expect(wire.CONNACK).reason for one in clients]
    finally:
        for one in clients:
            one.drop()
    assert 5 <= reasons.count(0) <= 5 * WORKERS
    assert backend.most_in_flight <= 2 * WORKERS
    assert broker.log().count("requests wait for the platform: more fail at once") <= WORKERS
    assert "too many requests wait" in broker.log()


def test_nobody_is_asked_about_who_has_gone(backend, start_broker, login):  # noqa: F811
    config = asking(backend, "user", connections=1, timeout="20s", **PATIENT)
    config["plugins"][0]["timeout"] = "500ms"
    broker = start_broker(config)
    backend["/user"] = Answer(delay=0.7)
    clients = many(broker, 10 * WORKERS)
    for one in clients:
        assert one.expect(wire.CONNACK).reason == NOT_AUTHORIZED
        one.drop()
    backend.wait_for(lambda: backend.in_flight == 0, "the last one is answered")
    backend["/user"] = YES
    login(broker, id="last")
    # Each worker sent one, and then one for the client that was still there.
    assert len(backend.on("/user")) <= WORKERS + 1


def test_what_waits_too_long_fails(backend, start):  # noqa: F811
    broker = start("user", connections=1, timeout="300ms", **PATIENT)
    backend["/user"] = Answer(delay=0.25)
    clients = many(broker, 12)
    try:
        reasons = [one.expect(wire.CONNACK).reason for one in clients]
    finally:
        for one in clients:
            one.drop()
    assert 0 in reasons and NOT_AUTHORIZED in reasons
    assert "no connection was free in time" in broker.log()


# ---------------------------------------------------------------------------------------------- outages


def test_the_breaker_opens_and_recovers(backend, start, login):  # noqa: F811
    broker = start("user", breaker={"failures": 3, "probe": "1s"})
    backend["/user"] = BROKEN
    for index in range(3):
        login(broker, id=f"a{index}", reason=NOT_AUTHORIZED)
    broker.wait_log("user: the platform has failed 3 times in a row, last: status 500")
    backend.forget()
    for index in range(10):
        login(broker, id=f"b{index}", reason=NOT_AUTHORIZED)
    assert len(backend.on("/user")) <= 1
    backend["/user"] = YES
    deadline = time.monotonic() + DEADLINE
    while True:
        one = Client(broker.address, V5, "c").open()
        one.send_connect(username="ann", password="secret")
        if one.expect(wire.CONNACK).reason == 0:
            break
        assert time.monotonic() < deadline
        one.drop()
        time.sleep(0.05)
    one.drop()
    broker.wait_log("user: the platform answers again")
    assert broker.log().count("has failed 3 times") == broker.log().count("answers again") == 1
    login(broker, id="d")


def test_a_probe_that_fails_keeps_it_open(backend, start, login):  # noqa: F811
    broker = start("user", breaker={"failures": 1, "probe": "200ms"})
    backend["/user"] = BROKEN
    for index in range(4):
        login(broker, id=f"a{index}", reason=NOT_AUTHORIZED)
        time.sleep(0.25)
    assert len(backend.on("/user")) == 4
    assert broker.log().count("in a row") == 1


def test_an_expired_yes_while_the_platform_is_down(backend, start, login):  # noqa: F811
    broker = start(cache={"allow": "300ms", "stale": "1h"}, breaker={"failures": 2, "probe": "1h"})
    one = login(broker, id="a")
    one.publish("t", qos=1)
    time.sleep(0.4)
    backend.stop()
    for _ in range(5):
        one.publish("t", qos=1)
    one.publish("other", qos=1, reason=NOT_AUTHORIZED)
    login(broker, id="a")
    login(broker, id="b", reason=NOT_AUTHORIZED)
    login(broker, id="a", password="wrong", reason=NOT_AUTHORIZED)


def test_an_expired_yes_while_the_platform_hangs(backend, start, login):  # noqa: F811
    broker = start("user", timeout="1s", cache={"allow": "200ms", "stale": "1h"}, **PATIENT)
    login(broker, id="a").disconnect()
    time.sleep(0.3)
    backend["/user"] = Answer(fault="hang")
    login(broker, id="a")


def test_an_expired_no_is_none(backend, start, login):  # noqa: F811
    broker = start("user", cache={"deny": "200ms", "stale": "1h"}, **PATIENT)
    backend["/user"] = NO
    login(broker, id="a", reason=BAD_LOGIN)
    time.sleep(0.3)
    backend["/user"] = BROKEN
    login(broker, id="a", reason=NOT_AUTHORIZED)


@pytest.mark.parametrize("stale", ("0s", "1h"))
def test_the_platform_is_killed_and_comes_back_under_load(backend, start, login, stale):  # noqa: F811
    probe = 0.5
    broker = start(cache={"allow": "100ms", "deny": "100ms", "stale": stale},
                   breaker={"failures": 5, "probe": f"{int(probe * 1000)}ms"}, timeout="2s")
    ending, failed = threading.Event(), []
    verdicts = []

    def run(index):
        one = Client(broker.address, V5, f"load{index}")
        try:
            one.connect(username="ann", password="secret")
            turn = 0
            while not ending.is_set():
                packet_id = one.send_publish(f"t/{index}/{turn % 3}", qos=1)
                reason = one.await_packet(wire.PUBACK, packet_id=packet_id).reason
                verdicts.append((time.monotonic(), reason in (0, 0x10)))
                turn += 1
                time.sleep(0.01)
        except Exception as error:  # noqa: BLE001: told below, in the test's own thread
            failed.append(error)
        finally:
            one.drop()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.4)
        backend.stop()
        killed = time.monotonic()
        time.sleep(1.2)
        backend.start()
        back = time.monotonic()
        backend.wait_for(lambda: any(at > back and yes for at, yes in verdicts), "somebody is allowed again")
        time.sleep(probe + 0.5 * TIME_SCALE)
        settled = time.monotonic()
        time.sleep(0.3)
    finally:
        ending.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert not failed
    outage = [yes for at, yes in verdicts if killed + 0.5 < at < back]
    assert outage and all(outage) == (stale == "1h")
    assert stale == "1h" or not any(outage)
    after = [yes for at, yes in verdicts if at > settled]
    assert after and all(after)
    assert broker.log().count("in a row") <= 2


# ---------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """PEM files: an authority, a server's certificate for HOST by it, a client's, and one that nobody signed."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    folder = tmp_path_factory.mktemp("certificates")
    now = datetime.datetime.utcnow()

    def make(name, issuer=None, issuer_key=None, authority=False):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
        builder = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject)
                   .public_key(key.public_key()).serial_number(x509.random_serial_number())
                   .not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
                   .add_extension(x509.BasicConstraints(authority, None), critical=True))
        if name == "server":
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
                                            critical=False)
        certificate = builder.sign(issuer_key or key, hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return subject, key

    subject, key = make("authority", authority=True)
    for name in ("server", "client"):
        make(name, subject, key)
    make("stranger")
    return folder


@pytest.fixture
def secure(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "authority.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    one = Backend(tls=context)
    one["/user"] = YES
    one.start()
    yield one
    one.stop()


def test_certificates_are_verified(secure, certificates, start_broker, login):  # noqa: F811
    for tls, reason in (({}, NOT_AUTHORIZED), ({"ca": str(certificates / "stranger.pem")}, NOT_AUTHORIZED),
                        ({"ca": str(certificates / "authority.pem")}, 0), ({"verify": False}, 0)):
        broker = start_broker(asking(secure, "user", tls=tls, **PATIENT))
        login(broker, reason=reason)
        broker.stop()


def test_a_certificate_is_shown(secure, certificates, start_broker, login):  # noqa: F811
    secure.tls.verify_mode = ssl.CERT_REQUIRED
    tls = {"ca": str(certificates / "authority.pem")}
    login(start_broker(asking(secure, "user", tls=tls, **PATIENT)), reason=NOT_AUTHORIZED)
    tls.update(certificate=str(certificates / "client.pem"), key=str(certificates / "client.key"))
    login(start_broker(asking(secure, "user", tls=tls)))


def test_a_key_of_another_certificate_is_refused(secure, certificates, tmp_path):
    import yaml
    from broker import run_command
    config = asking(secure, "user", tls={"certificate": str(certificates / "client.pem"),
                                         "key": str(certificates / "server.key")})
    (tmp_path / "noctule.yaml").write_text(yaml.safe_dump(config).replace("@default@", "127.0.0.1:1883"))
    done = run_command("check", "-c", tmp_path / "noctule.yaml")
    assert done.returncode == 1 and "server.key: is not the key of the certificate" in done.stderr, done.stderr
