"""Clients behind a proxy: headers of both versions, whom they are believed, and what goes by the real address."""

import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import time

import pytest

import certificates
from broker import HOST, base_config, free_port, passwords
from mqtt_raw import DEADLINE, Client
from plugins import chain, wait_lines
from websocket_raw import WebSocketClient

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLOSED = r".*connection closed by the broker.*"


def v1(source="192.0.2.7", port=51234, protocol="TCP4", destination="192.0.2.1"):
    return f"PROXY {protocol} {source} {destination} {port} 1883\r\n".encode()


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def v2(source="192.0.2.7", port=51234, tlvs=b"", command=0x21, family=None, body=None):
    if body is None:
        kind = socket.AF_INET6 if ":" in source else socket.AF_INET
        family = family or (0x21 if ":" in source else 0x11)
        body = socket.inet_pton(kind, source) * 2 + struct.pack(">HH", port, 1883)
    body += tlvs
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


def ssl_tlv(common_name=None, client=3, verify=0):
    value = struct.pack(">BI", client, verify) + tlv(0x21, b"TLSv1.3")
    return tlv(0x20, value + (tlv(0x22, common_name.encode()) if common_name else b""))


class Proxied(Client):
    """A client whose connection begins with `header`."""

    def __init__(self, address, header, client_id="behind", **options):
        super().__init__(address, client_id=client_id, **options)
        self.prologue = header


def proxied(start_broker, version="any", proxy_from=(HOST, "127.0.0.1"), plugins=("peer",), limits=None, keys=None,
            files=None, **changes):
    listener = {"name": "l", "bind": "@default@", "proxy_protocol": version, "proxy_from": list(proxy_from),
                **(keys or {})}
    return start_broker(chain(*plugins, listeners=[listener], limits=limits or {}, **changes), files)


def expect_closed(address, data, half_close=False):
    """Sends and waits for the broker's close."""
    with socket.create_connection(address, timeout=DEADLINE) as raw:
        raw.sendall(data)
        if half_close:
            raw.shutdown(socket.SHUT_WR)
        try:
            assert raw.recv(100) == b""
        except ConnectionResetError:
            pass


def test_the_real_address_counts_for_log_and_plugins(start_broker):
    broker = proxied(start_broker)
    for header, address in ((v1(), "192.0.2.7:51234"), (v2(), "192.0.2.7:51234"),
                            (v1("2001:db8::7", 5, "TCP6", "::1"), "[2001:db8::7]:5"),
                            (v2("2001:db8::7", 5), "[2001:db8::7]:5"),
                            (v2(family=0x31, body=bytes(216)), "unix")):
        since = broker.log_size()
        with Proxied(broker.address, header) as client:
            client.connect()
            client.ping()
            client.disconnect()
        broker.wait_log(re.escape(f"client behind from {address}"), since=since)
        assert broker.wait_log(r"client connected .*", since=since).group().count(f"address={address} ") == 1
    for header in (b"PROXY UNKNOWN\r\n", v2(command=0x20, family=0, body=b""), v2(command=0x21, family=0, body=b"xyz")):
        since = broker.log_size()
        with Proxied(broker.address, header) as client:
            client.connect()
            host, port = client.socket.getsockname()
        broker.wait_log(re.escape(f"client behind from {host}:{port}"), since=since)


def test_header_and_packets_in_any_pieces(start_broker):
    broker = proxied(start_broker)
    header = v2(tlvs=ssl_tlv("ann") + tlv(4, b"padding"))
    client = Client(broker.address, client_id="pieces")
    for cut in range(1, len(header)):
        client.open()
        client.send(header[:cut])
        time.sleep(0.001)
        client.socket.sendall(header[cut:])
        client.send_connect()
        assert client.receive().reason == 0
    client.open()
    for i in range(len(header)):
        client.send(header[i:i + 1])
    client.send_connect()
    assert client.receive().reason == 0
    client.drop()


BAD = ((b"\x10\x0c\0\4MQTT\5\2\0\x3c\0\0", "no PROXY header"),
       (b"GET / HTTP/1.1\r\n", "no PROXY header"),
       (b"\x16\x03\x01\x02\x00", "no PROXY header"),
       (v1(protocol="UDP4"), "its protocol is none of TCP4, TCP6 and UNKNOWN"),
       (v1("1.2.3.4.5"), "an address is none of its protocol"),
       (v1(port=65536), "a port is no number from 0 to 65535"),
       (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "its line does not end in CR and LF"),
       (b"PROXY UNKNOWN " + b"x" * 100, "its line is longer than 107 bytes"),
       (v2(command=0x22), "its version or command is unknown"),
       (v2(command=0x31), "its version or command is unknown"),
       (v2(family=0x12), "its address family and protocol are none of streams"),
       (v2(family=0x11, body=b"short"), "its addresses are cut off"),
       (v2(tlvs=b"\4\0\5x"), "what follows the addresses does not add up"),
       (v2(tlvs=tlv(3, b"abcd")), "its checksum is wrong"),
       (v2(tlvs=tlv(0x20, b"\3")), "what it says of TLS does not add up"),
       (v2(tlvs=bytes(5000)), "it is longer than 4096 bytes"))


def test_bad_headers_are_closed_with_one_line_each(start_broker):
    broker = proxied(start_broker)
    with Proxied(broker.address, v1(), "bystander") as bystander:
        bystander.connect()
        for data, why in BAD:
            since = broker.log_size()
            expect_closed(broker.address, data)
            found = wait_lines(broker, CLOSED, 1, since)
            assert len(found) == 1 and why in found[0] and "address=127." in found[0], found
        bystander.ping()


def test_header_cut_off(start_broker):
    broker = proxied(start_broker)
    for header in (v1(), v2(tlvs=ssl_tlv("ann"))):
        for cut in range(len(header)):
            since = broker.log_size()
            expect_closed(broker.address, header[:cut], half_close=True)
            if cut > 0:
                line = broker.wait_log(CLOSED, since=since).group()
                assert "the connection has ended inside the PROXY header" in line
    assert len(re.findall(CLOSED, broker.log())) == len(v1()) - 1 + len(v2(tlvs=ssl_tlv("ann"))) - 1


def test_slow_header(start_broker):
    broker = proxied(start_broker, limits={"connect_timeout": "300ms"})
    for sent, why in ((v1()[:20], "no PROXY header within limits.connect_timeout"),
                      (v1(), "no CONNECT within limits.connect_timeout")):
        since = broker.log_size()
        expect_closed(broker.address, sent)
        assert why in broker.wait_log(CLOSED, since=since).group()


@pytest.mark.parametrize("version, header, why",
                         (("v1", v2(), "a PROXY header of version 2, where version 1 is expected"),
                          ("v2", v1(), "a PROXY header of version 1, where version 2 is expected")))
def test_only_the_version_that_is_expected(start_broker, version, header, why):
    broker = proxied(start_broker, version)
    expect_closed(broker.address, header)
    assert why in broker.wait_log(CLOSED).group()
    with Proxied(broker.address, v1() if version == "v1" else v2()) as client:
        client.connect()


def test_only_proxies_are_believed(start_broker):
    broker = proxied(start_broker, proxy_from=("203.0.113.0/24", "2001:db8::/32"))
    expect_closed(broker.address, v1())
    found = wait_lines(broker, CLOSED, 1)
    assert len(found) == 1 and "its address is not in proxy_from" in found[0] and "192.0.2.7" not in found[0]
    # A flood of them does not fill the log.
    for _ in range(60):
        expect_closed(broker.address, b"\r")
    assert len(re.findall(CLOSED, broker.log())) < 60
    # And a reload makes them welcome, and the next one not.
    listener = {"name": "l", "bind": "@default@", "proxy_protocol": "any", "proxy_from": [HOST, "127.0.0.1"]}
    broker.configure(chain("peer", listeners=[listener]))
    broker.reload()
    with Proxied(broker.address, v1()) as client:
        client.connect()
        broker.configure(base_config(listeners=[{"name": "l", "bind": "@default@"}]))
        broker.reload()
        client.ping()  # came through a proxy, and stays
        with Client(broker.address, client_id="direct") as direct:
            direct.connect()
        expect_closed(broker.address, v1())


def test_limits_go_by_the_real_address(start_broker):
    broker = proxied(start_broker, limits={"connect_rate": 2})
    for last in (1, 2, 3):
        for _ in range(2):
            with Proxied(broker.address, v1(f"192.0.2.{last}")) as client:
                client.connect()
    with Proxied(broker.address, v1("192.0.2.1")) as client:
        client.connect(reason=0x9F)


def test_failed_logins_block_the_client_not_the_proxy(start_broker):
    broker = proxied(start_broker, limits={"auth_failures": 2, "auth_block": "1m"}, allow_anonymous=False,
                     plugins=({"name": "file-auth", "config": {"password_file": "users.passwd"}},),
                     files={"users.passwd": passwords(ann="secret")})
    for _ in range(8):
        with Proxied(broker.address, v1("192.0.2.66")) as client:
            client.open()
            client.send_connect(username="ann", password=b"wrong")
            if client.receive().reason == 0x8A:
                break
    else:
        raise AssertionError("never blocked")
    with Proxied(broker.address, v1("192.0.2.67")) as client:
        client.connect(username="ann", password=b"secret")
    assert re.search(r"address=192\.0\.2\.66:51234", broker.log())


def test_certificates_that_the_proxy_has_verified(start_broker):
    config = chain("peer", listeners=[{"name": "l", "bind": "@default@", "proxy_protocol": "v2", "username_from": "cn",
                                       "proxy_from": [HOST, "127.0.0.1"]}], allow_anonymous=True)
    broker = start_broker(config)

    def user_of(header, client_id, **options):
        with Proxied(broker.address, header, client_id) as client:
            client.connect(**options)
            line = broker.wait_log(rf"client connected .*client={client_id} .*").group()
            found = re.search(r"user=(\S+)", line)
            return found and found.group(1)

    assert user_of(v2(tlvs=ssl_tlv("ann")), "a") == "ann"
    assert "client a certificate ann" in broker.log()
    assert user_of(v2(tlvs=ssl_tlv("ann")), "b", username="bob", password=b"x") == "ann"
    # No certificate, or none that is verified: no name.
    assert user_of(v2(tlvs=ssl_tlv("root", verify=1)), "c") is None
    assert user_of(v2(tlvs=ssl_tlv("root", client=1)), "d") is None
    assert user_of(v2(), "e") is None
    # One that has no name to give is no way to take another's.
    since = broker.log_size()
    with Proxied(broker.address, v2(tlvs=ssl_tlv(None)), "f") as client:
        client.connect(reason=0x87, username="bob", password=b"x")
    assert "the client's certificate has no common name" in broker.wait_log(CLOSED, since=since).group()


def test_over_a_unix_socket(start_broker, tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "mqtt.sock"
    listener = {"name": "l", "bind": f"unix:{path}", "proxy_protocol": "any"}
    broker = start_broker(chain("peer", listeners=[listener]))
    with Proxied(str(path), v1()) as client:
        client.connect()
    wait_lines(broker, r"client behind from 192\.0\.2\.7:51234", 1)
    # The process at the other end is the proxy, and not the client.
    wait_lines(broker, r"client behind over unix, peer 0 uid 0 gid 0 pid 0", 1)
    with Proxied(str(path), b"PROXY UNKNOWN\r\n", "itself") as client:
        client.connect()
    wait_lines(broker, rf"client itself over unix, peer 1 uid {os.geteuid()}\b", 1)


# ------------------------------------------------------------------------------------------- with TLS


@pytest.fixture
def behind_tls(start_broker, house):
    """A broker whose listener has the header first and TLS inside, and a context for clients."""
    listener = {"name": "l", "bind": "@default@", "proxy_protocol": "any", "proxy_from": [HOST, "127.0.0.1"],
                "tls": house.mutual(client_certificate="request", username_from="cn")}
    context = ssl.create_default_context(cafile=house.path("ca.pem"))
    return start_broker(chain("peer", listeners=[listener])), context


class ProxiedTls(Proxied):
    def __init__(self, address, header, context, **options):
        super().__init__(address, header, **options)
        self.tls, self.server_name = context, certificates.NAME


def test_header_before_tls(behind_tls, house):
    broker, context = behind_tls
    # What the proxy says of a certificate names nobody here: clients show theirs to the broker.
    with ProxiedTls(broker.address, v2(tlvs=ssl_tlv("root")), context) as client:
        client.connect()
        client.ping()
        line = broker.wait_log(r"client connected .*").group()
        assert "address=192.0.2.7:51234" in line and "user=" not in line
    context.load_cert_chain(house.path("ann.pem"), house.path("ann.key"))
    since = broker.log_size()
    with ProxiedTls(broker.address, v1("192.0.2.8"), context) as client:
        client.connect()
        line = broker.wait_log(r"client connected .*", since=since).group()
        assert "address=192.0.2.8:51234" in line and "user=ann" in line
        assert "client behind over tls," in broker.log(since)


def test_all_layers_at_once(start_broker, house):
    listener = {"name": "l", "bind": "@default@", "proxy_protocol": "v2", "proxy_from": [HOST, "127.0.0.1"],
                "transport": "websocket", "tls": house.tls()}
    broker = start_broker(chain("peer", listeners=[listener]))
    with WebSocketClient(broker.address, client_id="behind") as client:
        client.prologue = v2()
        client.tls, client.server_name = ssl.create_default_context(cafile=house.path("ca.pem")), certificates.NAME
        client.connect()
        client.subscribe("a")
        client.publish("a", b"x" * 100000, qos=1)
        client.expect_message("a", b"x" * 100000)
        wait_lines(broker, r"client behind from 192\.0\.2\.7:51234", 1)
        wait_lines(broker, r"client behind over wss,", 1)


def test_what_is_wrong_below_tls_and_in_it(behind_tls):
    broker, context = behind_tls
    for data, why in ((b"\x16\x03\x01\x02\x00\x01", "no PROXY header"),
                      (v2(command=0x22), "its version or command is unknown"),
                      (v1() + b"\x10\x0c\0\4MQTT\5\2\0\x3c\0\0", "not TLS")):
        since = broker.log_size()
        expect_closed(broker.address, data)
        line = broker.wait_log(CLOSED, since=since).group()
        if why != "not TLS":
            assert why in line and "address=127." in line
        else:
            assert "PROXY" not in line and "address=192.0.2.7:51234" in line
        assert len(wait_lines(broker, CLOSED, 1, since)) == 1


# ------------------------------------------------------------------------------------------- a real proxy


@pytest.fixture
def haproxy(tmp_path):
    """haproxy(bind, server): runs HAProxy with these options between a port, which is returned, and a broker."""
    program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
    assert program, "haproxy is missing: install the Debian package of this name"
    running = []

    def start(bind, server):
        address = HOST, free_port()
        (tmp_path / "haproxy.cfg").write_text(f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen mqtt
    bind {HOST}:{address[1]} {bind}
    unique-id-format %pid
    server noctule {server} check inter 100ms
""")
        process = subprocess.Popen([program, "-db", "-f", str(tmp_path / "haproxy.cfg")], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        running.append(process)
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                socket.create_connection(address, timeout=1).close()
                return address
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
                time.sleep(0.02)

    yield start
    for process in running:
        process.terminate()
        process.wait(DEADLINE)
        process.stderr.close()


@pytest.mark.parametrize("send", ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"))
def test_haproxy(start_broker, haproxy, send):
    broker = proxied(start_broker)
    with Client(haproxy("", "%s:%d %s" % (*broker.address, send)), client_id="through") as client:
        client.connect()
        client.subscribe("a")
        client.publish("a", b"x" * 50000, qos=1)
        client.expect_message("a", b"x" * 50000)
        address = "%s:%d" % client.socket.getsockname()
        wait_lines(broker, re.escape(f"client through from {address}"), 1)
    time.sleep(0.3)  # some checks of health, which say LOCAL or nothing
    assert "PROXY header" not in broker.log()


def test_haproxy_tells_of_certificates(start_broker, haproxy, house):
    broker = proxied(start_broker, "v2", keys={"username_from": "cn"})
    bundle = house.write("bundle.pem", house.identities["server"].chain_pem + house.identities["server"].key_pem)
    address = haproxy(f"ssl crt {bundle} ca-file {house.path('ca.pem')} verify optional",
                      "%s:%d send-proxy-v2-ssl-cn" % broker.address)
    context = ssl.create_default_context(cafile=house.path("ca.pem"))
    with ProxiedTls(address, b"", context, client_id="nobody") as client:
        client.connect()
    context.load_cert_chain(house.path("ann.pem"), house.path("ann.key"))
    with ProxiedTls(address, b"", context, client_id="somebody") as client:
        client.connect()
    assert "user=" not in broker.wait_log(r"client connected .*client=nobody .*").group()
    assert "user=ann " in broker.wait_log(r"client connected .*client=somebody .*").group()
    assert "client somebody certificate ann" in broker.log()


def test_haproxy_passes_tls_on(behind_tls, haproxy, house):
    broker, context = behind_tls
    context.load_cert_chain(house.path("ann.pem"), house.path("ann.key"))
    with ProxiedTls(haproxy("", "%s:%d send-proxy-v2" % broker.address), b"", context, client_id="through") as client:
        client.connect()
        address = "%s:%d" % client.socket.getsockname()
        line = broker.wait_log(r"client connected .*client=through .*").group()
        assert f"address={address} " in line and "user=ann " in line
