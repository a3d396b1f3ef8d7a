"""Certificates, keys, authorities and lists are replaced while clients are connected and while they come."""

import re
import ssl
import threading
import time

import pytest

import certificates
import mqtt_codec as wire
from broker import REFERENCE
from mqtt_raw import DEADLINE, TIME_SCALE, Client
from test_tls import config, context, listener, refused, secure
from test_tls_clients import fails, pub

pytestmark = pytest.mark.skipif(REFERENCE is not None, reason="its own configuration")


@pytest.fixture
def own(tmp_path):
    """Certificates of this test alone."""
    return certificates.House(tmp_path)


def serial(client, broker, house):
    one = secure(client(to=broker), context(house))
    one.connect()
    return int(one.socket.getpeercert()["serialNumber"], 16)


def renew(house, name="server"):
    return house.add(name, house.issuer.server()).certificate.serial_number


def test_reload_renews_the_certificate(start_broker, own, client):
    broker = start_broker(config(listener(own.tls())))
    old = secure(client(to=broker), context(own))
    old.connect()
    assert serial(client, broker, own) == own.identities["server"].certificate.serial_number
    fresh = renew(own)
    assert serial(client, broker, own) != fresh
    broker.reload()
    assert serial(client, broker, own) == fresh
    old.ping()


def test_reload_that_changes_nothing_keeps_tickets(start_broker, own, client):
    broker = start_broker(config(listener(own.tls())))
    one = secure(client(to=broker), context(own))
    one.connect()
    one.session = one.socket.session
    broker.reload()
    one.connect()
    assert one.socket.session_reused
    one.session = one.socket.session
    renew(own)
    broker.reload()
    one.connect()
    assert not one.socket.session_reused


@pytest.mark.parametrize("watch", (False, True))
def test_a_bad_file_keeps_the_old(start_broker, own, client, watch):
    broker = start_broker(config(listener(own.tls(watch=watch))))
    before = serial(client, broker, own)
    since = broker.log_size()
    own.write("server.key", own.identities["ann"].key_pem)
    if watch:
        broker.wait_log("files of TLS have changed and cannot be used", since=since)
    else:
        assert "reload failed" in broker.reload()
    assert re.search(r"error .*server\.key does not belong to the certificate", broker.log(since))
    assert serial(client, broker, own) == before
    fresh = renew(own)
    since = broker.log_size()
    broker.wait_log("new connections get what is in them", since=since) if watch else broker.reload()
    assert serial(client, broker, own) == fresh


def test_watched_link_of_a_mounted_secret(start_broker, own, client):
    """As Kubernetes does it: the files are links into a folder that is a link, which is replaced."""
    for version, identity in (("v1", own.identities["server"]), ("v2", own.issuer.server())):
        (own.folder / version).mkdir()
        own.write(f"{version}/tls.crt", identity.chain_pem)
        own.write(f"{version}/tls.key", identity.key_pem)
    fresh = identity.certificate.serial_number
    (own.folder / "..data").symlink_to("v1")
    for name in ("tls.crt", "tls.key"):
        (own.folder / name).symlink_to(f"..data/{name}")
    broker = start_broker(config(listener({"certificate": own.path("tls.crt"), "key": own.path("tls.key"), "watch": True})))
    assert serial(client, broker, own) != fresh
    since = broker.log_size()
    (own.folder / "..new").symlink_to("v2")
    (own.folder / "..new").rename(own.folder / "..data")
    broker.wait_log("new connections get what is in them", since=since)
    assert serial(client, broker, own) == fresh


def test_revocation_comes_into_force(start_broker, own, client):
    """Also for who has a ticket; whoever is connected stays."""
    broker = start_broker(config(listener(own.mutual(crl=own.path("crl.pem"), watch=True))))
    one = secure(client(to=broker), context(own, "ann"))
    one.connect()
    session = one.socket.session
    own.issuer.revoke(own.identities["ann"])
    since = broker.log_size()
    own.write("crl.pem", own.issuer.crl())
    broker.wait_log("new connections get what is in them", since=since)
    one.ping()
    again = secure(client(to=broker), one.tls)
    again.session = session
    since = broker.log_size()
    fails(again)
    refused(broker, "is revoked", since)


def test_authorities_and_keys_are_reloaded(start_broker, own, client, tool, topic):
    keys = own.write("keys.psk", "ann:aabb\n")
    broker = start_broker(config(listener(own.mutual(), "certified"), listener({"psk_file": keys}, "psk")))
    own.write("ca2.pem", certificates.pem(own.root.certificate, own.stranger.certificate))
    own.add("guest", own.stranger.issue("guest"))
    fails(secure(client(to=broker), context(own, "guest")))
    assert pub(tool, broker, topic, "bob", "ccdd", "psk").returncode != 0
    own.write("ca.pem", certificates.pem(own.root.certificate, own.stranger.certificate))
    own.write("keys.psk", "ann:aabb\nbob:ccdd\n")
    broker.reload()
    secure(client(to=broker), context(own, "guest")).connect()
    assert pub(tool, broker, topic, "bob", "ccdd", "psk").returncode == 0


def test_listener_gets_and_loses_tls(start_broker, own, client):
    """The socket stays, new connections are of the new kind, those that are there stay."""
    broker = start_broker(config(listener(own.tls())))
    first = secure(client(to=broker), context(own))
    first.connect()
    plain = listener(None)
    del plain["tls"]
    broker.configure(config(plain))
    broker.reload()
    second = client(to=broker)
    second.connect()
    broker.configure(config(listener(own.tls(min_version=1.3))))
    broker.reload()
    third = secure(client(to=broker), context(own, version=ssl.TLSVersion.TLSv1_3))
    third.connect()
    fails(secure(client(to=broker), context(own, version=ssl.TLSVersion.TLSv1_2)))
    for one in (first, second, third):
        one.ping()


def test_rotation_under_load(start_broker, own, client, topic):
    """Certificates change again and again while clients publish, come and go: not one is dropped or refused."""
    broker = start_broker(config(listener(own.mutual(crl=own.path("crl.pem")))))
    tls = context(own, "ann")
    stop, failures, counts = threading.Event(), [], {"published": 0, "came": 0}

    def publish(number):
        try:
            with secure(Client(broker.address, 5, f"stays{number}"), tls) as one:
                one.connect()
                while not stop.is_set():
                    one.publish(topic, b"x" * 100, qos=1)
                    counts["published"] += 1
                one.disconnect()
        except Exception as failure:
            failures.append(failure)

    def come_and_go(number):
        try:
            while not stop.is_set():
                with secure(Client(broker.address, 4, f"comes{number}"), tls) as one:
                    one.connect()
                    one.disconnect()
                    counts["came"] += 1
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=target, args=(i,)) for i in range(3) for target in (publish, come_and_go)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            since = broker.log_size()
            renew(own)
            own.write("crl.pem", own.issuer.crl())
            broker.reload()
            assert "reloaded" in broker.log(since)
            time.sleep(0.1 * TIME_SCALE)
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
    assert not failures
    assert counts["published"] > 50 and counts["came"] > 20, counts
    assert "closed by the broker" not in broker.log()
