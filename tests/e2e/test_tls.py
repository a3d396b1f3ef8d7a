"""TLS: versions, certificates, names, resumption, and whoever comes with something else."""

import re
import socket
import ssl
import struct
import subprocess
import time

import pytest

import certificates
import mqtt_codec as wire
from broker import REFERENCE, base_config
from mqtt_raw import DEADLINE, TIME_SCALE, Client

pytestmark = pytest.mark.skipif(REFERENCE is not None, reason="its own configuration")


def listener(tls, name="tls", **more):
    return {"name": name, "bind": f"@{name}@", "tls": tls, **more}


def config(*listeners, **more):
    return base_config(listeners=list(listeners), **more)


def context(house, identity=None, version=None, authority="ca.pem"):
    one = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    one.load_verify_locations(house.path(authority))
    if identity:
        one.load_cert_chain(house.path(f"{identity}.pem"), house.path(f"{identity}.key"))
    if version:
        one.minimum_version = one.maximum_version = version
    return one


def secure(client, tls, name=certificates.NAME):
    client.tls, client.server_name = tls, name
    return client


def refused(broker, pattern, since):
    """Exactly one line about it, with the reason in words."""
    line = broker.wait_log(r"connection closed by the broker.*", since=since).group()
    assert re.search(pattern, line), line
    time.sleep(0.05)
    assert len(re.findall("closed by the broker", broker.log(since))) == 1, broker.log(since)


@pytest.fixture(scope="module")
def running(house, tmp_path_factory):
    """A broker with a listener for TLS and one without, for all tests of this module."""
    from broker import new_broker
    one = new_broker(tmp_path_factory.mktemp("tls"), config(listener(house.tls()), {"name": "plain", "bind": "@plain@"},
                                                             limits={"connect_timeout": "60s"}))
    one.start()
    yield one
    one.stop()


def test_publish_over_tls(running, house, client, topic):
    both = [secure(client(to=running), context(house, version=version))
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)]
    for one in both:
        one.connect()
    assert [one.socket.version() for one in both] == ["TLSv1.2", "TLSv1.3"]
    for publisher, subscriber in (both, both[::-1]):
        subscriber.subscribe(topic)
        for size in (0, 1, 16383, 16384, 16385, 100000, 900000):
            publisher.publish(topic, b"x" * size)
            assert len(subscriber.expect(wire.PUBLISH).payload) == size
        subscriber.unsubscribe(topic)


def test_many_small_messages_both_ways(running, house, client, topic):
    one, other = (secure(client(to=running), context(house)) for _ in range(2))
    one.connect()
    other.connect()
    other.subscribe(topic)
    one.send(b"".join(wire.make_publish(5, topic, b"%d" % i) for i in range(3000)))
    assert [other.expect(wire.PUBLISH).payload for i in range(3000)] == [b"%d" % i for i in range(3000)]


def test_bytes_one_by_one(running, house, client):
    """Every record in pieces, in the handshake and after it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context(house).wrap_bio(incoming, outgoing, server_hostname=certificates.NAME)
    with socket.create_connection(running.addresses["tls"], DEADLINE) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def step(function, *arguments):
            while True:
                try:
                    result = function(*arguments)
                    trickle()
                    return result
                except ssl.SSLWantReadError:
                    trickle()
                    data = raw.recv(65536)
                    assert data, "the end"
                    incoming.write(data)

        def trickle():
            data = outgoing.read()
            for i in range(len(data)):
                raw.send(data[i:i + 1])

        step(session.do_handshake)
        step(session.write, wire.make_connect(4, client_id="slow"))
        assert step(session.read, 100) == b"\x20\x02\x00\x00"


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_cut_anywhere(running, house, version):
    """The client's second flight, and CONNECT behind it, in two parts at every place."""

    def exchange(cut):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context(house, version=version).wrap_bio(incoming, outgoing, server_hostname=certificates.NAME)
        with socket.create_connection(running.addresses["tls"], DEADLINE) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            flights, answer = 0, b""
            while len(answer) < 4:
                try:
                    if flights < 2 or version == ssl.TLSVersion.TLSv1_2:
                        session.do_handshake()
                        session.write(wire.make_connect(4, client_id="cut"))
                        flights = 9
                    answer += session.read(100)
                except ssl.SSLWantReadError:
                    pass
                data = outgoing.read()
                flights += 1
                if data and flights > 1:
                    raw.sendall(data[:cut])
                    time.sleep(0.002)
                    data = data[cut:]
                raw.sendall(data)
                if len(answer) < 4:
                    came = raw.recv(65536)
                    assert came, "the end"
                    incoming.write(came)
            assert answer == b"\x20\x02\x00\x00"

    for cut in range(1, 130, 1 if TIME_SCALE == 1 else 11):
        exchange(cut)


@pytest.mark.parametrize("version", ("tlsv1.2", "tlsv1.3"))
def test_mosquitto_clients(running, house, tool, topic, version):
    target = ("-h", running.addresses["tls"][0], "-p", str(running.addresses["tls"][1]), "--cafile",
              house.path("ca.pem"), "--insecure", "--tls-version", version, "-t", topic)
    with subprocess.Popen(["stdbuf", "-oL", tool("mosquitto_sub"), *target, "-C", "1", "-W", str(int(20 * TIME_SCALE)), "-d"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as subscriber:
        for line in subscriber.stdout:
            if "Subscribed" in line or "SUBACK" in line:
                break
        subprocess.run([tool("mosquitto_pub"), *target, "-m", "hello"], check=True, timeout=20 * TIME_SCALE)
        assert "hello" in subscriber.communicate(timeout=20 * TIME_SCALE)[0]
    assert subscriber.returncode == 0


def test_paho(running, house, topic):
    mqtt = pytest.importorskip("paho.mqtt.client")
    got = []
    one = mqtt.Client("paho-tls")
    one.tls_set_context(context(house))
    one.tls_insecure_set(True)
    one.on_connect = lambda *_: one.subscribe(topic, 1)
    one.on_subscribe = lambda *_: one.publish(topic, b"hello", 1)
    one.on_message = lambda _, __, message: got.append(message.payload)
    one.connect(*running.addresses["tls"])
    deadline = time.monotonic() + DEADLINE
    while not got and time.monotonic() < deadline:
        one.loop(0.1)
    one.disconnect()
    assert got == [b"hello"]


def s_client(running, *options, to="tls", text="Q\n"):
    return subprocess.run(["openssl", "s_client", "-connect", "%s:%d" % running.addresses[to], *options], input=text,
                          capture_output=True, text=True, timeout=20 * TIME_SCALE)


def test_alpn(running, house):
    assert "ALPN protocol: mqtt" in s_client(running, "-alpn", "h2,mqtt").stdout
    assert "No ALPN negotiated" in s_client(running, "-alpn", "h2").stdout


def test_no_renegotiation(running, client, house):
    since = running.log_size()
    done = s_client(running, "-tls1_2", text="R\n")
    assert "no renegotiation" in done.stderr.lower() or "no_renegotiation" in done.stderr.lower(), done.stderr
    secure(client(to=running), context(house)).connect()
    running.check_sanitizers(since)


@pytest.mark.parametrize("suite, compact", (
    ("TLS_AES_128_GCM_SHA256", True), ("TLS_AES_256_GCM_SHA384", True), ("TLS_CHACHA20_POLY1305_SHA256", True),
    ("TLS_AES_128_CCM_SHA256", True), ("TLS_AES_256_GCM_SHA384", False)))
def test_keys_change(start_broker, house, suite, compact):
    """A client renews its key, and wants to see a new one of the broker's, again and again."""
    running = start_broker(config(listener(house.tls(ciphersuites=suite, compact=compact))))
    command = ["openssl", "s_client", "-connect", "%s:%d" % running.addresses["tls"], "-tls1_3", "-ciphersuites", suite]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:

        def tell(data):
            process.stdin.write(data)
            process.stdin.flush()
            time.sleep(0.05 * TIME_SCALE)

        def wait_for(data):
            got = b""
            while data not in got:
                got += process.stdout.read1(4096) or pytest.fail(f"{got!r} lacks {data!r}")

        wait_for(b"Verify return code")
        tell(wire.make_connect(4, client_id=f"keys-{suite}"))
        wait_for(b"\x20\x02\x00\x00")
        for change in (b"k\n", b"K\n", b"K\n", b"k\n"):
            tell(change)
            wait_for(b"KEYUPDATE")
            tell(b"\xc0\x00")
            wait_for(b"\xd0\x00")
        process.stdin.close()
        process.wait(10 * TIME_SCALE)


@pytest.mark.parametrize("length", (512, 1024, 2048, 4096))
@pytest.mark.parametrize("version", ("-tls1_2", "-tls1_3"))
def test_small_fragments(running, version, length, client, house, topic):
    """Clients with little memory ask for short records."""
    sender = secure(client(to=running), context(house))
    sender.connect()
    sender.publish(topic, b"x" * 20000, retain=True, qos=1)
    command = ["openssl", "s_client", "-connect", "%s:%d" % running.addresses["tls"], version, "-maxfraglen", str(length),
               "-msg"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        process.stdin.write(wire.make_connect(4, client_id="little") + wire.make_subscribe(4, 1, [(topic, 0)]))
        process.stdin.flush()
        got = b""
        while got.count(b"x") < 20000:
            got += process.stdout.read1(65536) or pytest.fail("the end")
        process.stdin.close()
    sizes = [int(header[6:], 16) for header in re.findall(rb"<<< TLS [0-9.]+, RecordHeader \[length 0005\]\s+((?:[0-9a-f]{2} ?){5})",
                                                       got) for header in [header.replace(b" ", b"")]]
    assert sizes and max(sizes) <= max(length + 64, 1500), max(sizes)


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_resumption(running, house, client, version):
    tls = context(house, version=version)
    one = secure(client(to=running), tls)
    one.connect()
    assert not one.socket.session_reused
    for _ in range(3):
        one.session = one.socket.session
        one.connect()
        assert one.socket.session_reused


def test_no_tickets(start_broker, house, client):
    broker = start_broker(config(listener(house.tls(session_tickets=False))))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        one = secure(client(to=broker), context(house, version=version))
        one.connect()
        one.session = one.socket.session
        one.connect()
        assert not one.socket.session_reused


def test_versions_and_ciphers(start_broker, house, client):
    broker = start_broker(config(
        listener(house.tls(min_version=1.3), "new"),
        listener(house.tls(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384", ciphersuites="TLS_CHACHA20_POLY1305_SHA256"), "few")))
    since = broker.log_size()
    with pytest.raises(ssl.SSLError):
        secure(client(to=broker.addresses["new"]), context(house, version=ssl.TLSVersion.TLSv1_2)).open()
    refused(broker, "offers no version of TLS that the listener allows", since)
    secure(client(to=broker.addresses["new"]), context(house)).connect()
    for version, cipher in ((ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384"),
                            (ssl.TLSVersion.TLSv1_3, "TLS_CHACHA20_POLY1305_SHA256")):
        one = secure(client(to=broker.addresses["few"]), context(house, version=version))
        one.connect()
        assert one.socket.cipher()[0] == cipher
    since = broker.log_size()
    tls = context(house, version=ssl.TLSVersion.TLSv1_2)
    tls.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    with pytest.raises(ssl.SSLError):
        secure(client(to=broker.addresses["few"]), tls).open()
    refused(broker, "no cipher in common", since)


def test_several_certificates(start_broker, house, client):
    house.add("both-ec", house.issuer.server("both.test"))
    house.add("both-rsa", house.issuer.server("both.test", kind="rsa"))
    house.add("wild", house.issuer.server("*.wild.test"))
    more = [{"certificate": house.path(f"{name}.pem"), "key": house.path(f"{name}.key")}
            for name in ("both-ec", "both-rsa", "wild")]
    broker = start_broker(config(listener(house.tls(certificates=more))))

    def seen(name, ciphers="ALL"):
        tls = context(house, version=ssl.TLSVersion.TLSv1_2)
        tls.set_ciphers(ciphers)
        tls.check_hostname = False
        one = secure(client(to=broker), tls, name)
        one.connect()
        return [value for kind, value in one.socket.getpeercert()["subjectAltName"]], one.socket.cipher()[0]

    assert seen("both.test", "aECDSA") [0] == ["both.test"]
    assert "RSA" in seen("both.test", "aRSA")[1]
    assert seen("a.wild.test")[0] == ["*.wild.test"]
    assert seen("a.b.wild.test")[0] == [certificates.NAME, "localhost"]
    assert seen("elsewhere.test")[0] == [certificates.NAME, "localhost"]
    assert seen(None)[0] == [certificates.NAME, "localhost"]


def test_chain_is_sent(running, house):
    out = s_client(running, "-showcerts", "-CAfile", house.path("ca.pem")).stdout
    assert out.count("BEGIN CERTIFICATE") == 2 and "Verify return code: 0" in out


@pytest.mark.parametrize("version", ("-tls1_2", "-tls1_3"))
def test_ocsp_stapling(start_broker, house, version):
    server = house.identities["server"]
    house.write("good.ocsp", house.issuer.ocsp_response(server))
    house.write("late.ocsp", house.issuer.ocsp_response(server, end=-0.5))
    broker = start_broker(config(listener(house.tls(ocsp_response=house.path("good.ocsp"))),
                                 listener(house.tls(ocsp_response=house.path("late.ocsp")), "late")))
    assert "OCSP Response Status: successful" in s_client(broker, "-status", version).stdout
    assert "OCSP response: no response sent" in s_client(broker, "-status", version, to="late").stdout
    assert re.search(r"warn .*late\.ocsp.* has expired", broker.log())


# ------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("data, words", ((wire.make_connect(4, client_id="x"), "MQTT without TLS on a listener with TLS"),
                                         (b"GET / HTTP/1.1\r\n\r\n", "HTTP without TLS on a listener with TLS"),
                                         (b"\x80nonsense", "bytes that are no TLS"),
                                         (b"\x16\x03\x01\xff\xff" + b"x" * 200, "record that is too long|no TLS"),
                                         (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", "malformed TLS message|TLS:"),
                                         (b"\x16\x03\x03\x00\x04\x14\x00\x00\x00", "out of place")))
def test_no_tls_on_a_tls_listener(running, data, words):
    since = running.log_size()
    with socket.create_connection(running.addresses["tls"], DEADLINE) as raw:
        raw.sendall(data)
        raw.settimeout(DEADLINE)
        try:
            while raw.recv(1000):
                pass
        except ConnectionResetError:
            pass
    refused(running, words, since)


@pytest.mark.parametrize("first", (1, 1000))
def test_tls_on_a_plain_listener(running, house, first):
    since = running.log_size()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context(house).wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
    with socket.create_connection(running.addresses["plain"], DEADLINE) as raw:
        raw.sendall(outgoing.read()[:first])
        raw.settimeout(DEADLINE)
        try:
            assert raw.recv(1000) == b""
        except ConnectionResetError:
            pass
    refused(running, "TLS on a listener without TLS", since)


def test_strange_authority(running, house, client):
    since = running.log_size()
    house.write("stranger.pem", certificates.pem(house.stranger.certificate))
    with pytest.raises(ssl.SSLError):
        secure(client(to=running), context(house, authority="stranger.pem")).open()
    refused(running, "does not know the authority of the server's certificate", since)


def handshake_bytes(house, address):
    """What a client sends up to the end of its handshake, and CONNECT."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context(house).wrap_bio(incoming, outgoing, server_hostname=certificates.NAME)
    parts = []
    with socket.create_connection(address, DEADLINE) as raw:
        while True:
            try:
                session.do_handshake()
                parts.append(outgoing.read())
                return parts
            except ssl.SSLWantReadError:
                parts.append(outgoing.read())
                raw.sendall(parts[-1])
                incoming.write(raw.recv(65536))


def test_cut_at_every_byte(running, house, client):
    """A handshake that ends anywhere hurts nobody; one line for each that had begun."""
    hello = handshake_bytes(house, running.addresses["tls"])[0]
    time.sleep(0.1)
    since = running.log_size()
    cuts = range(0, len(hello) + 1, 1 if TIME_SCALE == 1 else 7)
    for cut in cuts:
        with socket.create_connection(running.addresses["tls"], DEADLINE) as raw:
            raw.sendall(hello[:cut])
    secure(client(to=running), context(house)).connect()
    deadline = time.monotonic() + DEADLINE
    wanted = len(cuts) - 1
    while len(re.findall("during the TLS handshake|ECONNRESET", running.log(since))) < wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    log = running.log(since)
    assert len(re.findall("the client closed the connection during the TLS handshake", log)) == wanted, log[-2000:]


def test_every_byte_wrong(running, house, client):
    hello = handshake_bytes(house, running.addresses["tls"])[0]
    for place in range(0, len(hello), 3 if TIME_SCALE == 1 else 23):
        with socket.create_connection(running.addresses["tls"], DEADLINE) as raw:
            raw.sendall(hello[:place] + bytes([hello[place] ^ 0xff]) + hello[place + 1:])
    secure(client(to=running), context(house)).connect()


def test_stalled_handshake(start_broker, house, client):
    broker = start_broker(config(listener(house.tls()), limits={"connect_timeout": "400ms", "handshakes": 3}))
    hello = handshake_bytes(house, broker.address)[0]
    time.sleep(0.1)
    since = broker.log_size()
    stalled = [socket.create_connection(broker.address, DEADLINE) for _ in range(5)]
    silent = socket.create_connection(broker.address, DEADLINE)
    for one in stalled:
        one.sendall(hello[:100])
    broker.wait_log(r"(?s)(the TLS handshake was not finished within limits.connect_timeout.*){5}", since=since)
    broker.wait_log("no CONNECT within limits.connect_timeout", since=since)
    secure(client(to=broker), context(house)).connect()
    for one in [*stalled, silent]:
        one.close()


def test_handshakes_wait_for_their_turn(start_broker, house, client):
    """More at once than limits.handshakes lets through, and more in a second: all get in, one after the other."""
    broker = start_broker(config(listener(house.tls()), limits={"handshakes": 1, "handshake_rate": 40}, workers=1))
    hello = handshake_bytes(house, broker.address)[0]
    tls = context(house)
    blocker = socket.create_connection(broker.address, DEADLINE)
    blocker.sendall(hello)  # the server's part is made; its turn ends with the client's
    time.sleep(0.2)
    waiting = [secure(client(to=broker), tls) for _ in range(10)]
    raws = []
    for one in waiting:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = tls.wrap_bio(incoming, outgoing, server_hostname=certificates.NAME)
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        raw = socket.create_connection(broker.address, DEADLINE)
        raw.sendall(outgoing.read())
        raws.append(raw)
    raws[0].settimeout(0.3)
    with pytest.raises(socket.timeout):
        raws[0].recv(1)
    for raw in raws:
        raw.close()
    blocker.close()
    begun = time.monotonic()
    for one in waiting:
        one.connect()
    assert time.monotonic() - begun >= 0.1


def test_garbage_after_the_handshake(running, house, client):
    for data, words in ((b"\x17\x03\x03\x00\x20" + b"x" * 32, "a record that does not decrypt"),
                        (b"\x17\x03\x03\x7f\xff" + b"x" * 32, "a record that is too long"),
                        (b"\x99\x03\x03\x00\x20" + b"x" * 32, "record of an unknown type|out of place|no TLS")):
        one = secure(client(to=running), context(house))
        one.connect()
        since = running.log_size()
        raw = socket.socket(fileno=one.socket.detach())
        raw.sendall(data)
        raw.settimeout(DEADLINE)
        try:
            while raw.recv(1000):
                pass
        except ConnectionResetError:
            pass
        raw.close()
        refused(running, words, since)


def test_will_of_a_client_whose_tls_breaks(running, house, client, topic):
    watcher = secure(client(to=running), context(house))
    watcher.connect()
    watcher.subscribe(topic)
    one = secure(client(to=running), context(house))
    one.connect(will=wire.Will(topic, b"gone"))
    raw = socket.socket(fileno=one.socket.detach())
    raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
    assert watcher.expect(wire.PUBLISH).payload == b"gone"
    raw.close()


def test_close_notify(running, house, client):
    """The last packet arrives, then the goodbye of TLS: without it, the end would be an error here."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context(house).wrap_bio(incoming, outgoing, server_hostname=certificates.NAME)
    got = b""
    with socket.create_connection(running.addresses["tls"], DEADLINE) as raw:
        asked = False
        while True:
            try:
                if not asked:
                    session.do_handshake()
                    session.write(wire.make_connect(5, client_id="bye") + wire.make_connect(5, client_id="bye"))
                    asked = True
                data = session.read(1000)
                if not data:
                    break
                got += data
            except ssl.SSLWantReadError:
                raw.sendall(outgoing.read())
                data = raw.recv(65536)
                incoming.write(data) if data else incoming.write_eof()
    assert got[0] == 0x20 and got[-3:-1] == b"\xe0\x01" or b"\xe0" in got


def test_slow_reader(running, house, client, topic):
    """A client that reads nothing for a while gets everything in the end."""
    reader = secure(client(to=running), context(house))
    reader.open()
    reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    reader.send_connect()
    reader.expect(wire.CONNACK)
    reader.subscribe(topic, qos=1)
    writer = secure(client(to=running), context(house))
    writer.connect()
    for i in range(60):
        writer.publish(topic, struct.pack(">I", i) * 5000, qos=1)
    for i in range(60):
        message = reader.expect(wire.PUBLISH)
        assert message.payload == struct.pack(">I", i) * 5000
        reader.acknowledge(message)


# ------------------------------------------------------------------------------------------- noctule check


@pytest.fixture
def check(tmp_path, house):
    from broker import run_command

    def run(**tls):
        (tmp_path / "noctule.yaml").write_text(
            "allow_anonymous: true\ndefault_access: allow\nlisteners:\n  - name: x\n    bind: 127.0.0.1:1\n    tls:\n"
            + "".join(f"      {key}: {value}\n" for key, value in tls.items()))
        return run_command("check", "-c", str(tmp_path / "noctule.yaml"))

    return run


def test_check_is_silent_when_all_is_well(check, house):
    done = check(**house.mutual(crl=house.path("crl.pem")))
    assert (done.returncode, done.stderr) == (0, "")


def test_check_finds_what_is_wrong(check, house):
    house.add("late", house.issuer.server(start=-30, end=-1))
    house.add("soon", house.issuer.server(end=20))
    house.add("early", house.issuer.server(start=3))
    house.add("client-only", house.issuer.issue("client"))
    lone = house.add("lone", house.issuer.server(where="http://authority.test/issuer.cer"))
    house.write("lone.pem", certificates.pem(lone.certificate))
    house.write("locked.key", certificates.key_pem(lone.key, b"secret"))
    house.write("open.key", lone.key_pem)
    (house.folder / "open.key").chmod(0o644)
    house.write("late-crl.pem", house.issuer.crl(-9, -1))
    house.write("nonsense.pem", "nonsense\n")
    house.write("keys.psk", "ann:0g\nbob:aabb\nbob:cc\nnobody\n")
    path = house.path
    cases = (
        (1, "does not belong to the certificate", dict(certificate=path("server.pem"), key=path("ann.key"))),
        (1, "has expired on", dict(certificate=path("late.pem"), key=path("late.key"))),
        (0, "expires on", dict(certificate=path("soon.pem"), key=path("soon.key"))),
        (0, "is not valid before", dict(certificate=path("early.pem"), key=path("early.key"))),
        (0, "is not made for servers", dict(certificate=path("client-only.pem"), key=path("client-only.key"))),
        (0, "is not complete: the certificate of `CN=Test Issuer`", dict(certificate=path("lone.pem"), key=path("lone.key"))),
        (0, "is open to every user of this machine", dict(certificate=path("lone.pem"), key=path("open.key"))),
        (1, "is encrypted", dict(certificate=path("lone.pem"), key=path("locked.key"))),
        (1, "No such file", dict(certificate=path("nowhere.pem"), key=path("lone.key"))),
        (1, "no certificate in PEM", dict(certificate=path("nonsense.pem"), key=path("lone.key"))),
        (1, "no private key in PEM", dict(certificate=path("server.pem"), key=path("nonsense.pem"))),
        (1, "revocation list .* has expired", house.mutual(crl=path("late-crl.pem"))),
        (1, "no revocation list in PEM", house.mutual(crl=path("nonsense.pem"))),
        (1, "cannot be used: it is no response", house.tls(ocsp_response=path("nonsense.pem"))),
        (1, "`ciphers` names no cipher", house.tls(ciphers="NONSENSE")),
        (1, "`ciphersuites` names one", house.tls(ciphersuites="NONSENSE")),
        (1, r"keys\.psk:1: the key of `ann`", house.tls(psk_file=path("keys.psk"))),
        (1, r"keys\.psk:3: a second key for `bob`", house.tls(psk_file=path("keys.psk"))),
        (1, r"keys\.psk:4: expected `identity:key`", house.tls(psk_file=path("keys.psk"))),
    )
    for code, words, tls in cases:
        done = check(**tls)
        assert done.returncode == code and re.search(words, done.stderr), (words, done)
