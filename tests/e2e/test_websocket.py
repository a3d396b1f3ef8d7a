"""MQTT over WebSocket: the upgrade, frames in every shape, what ends it, and clients that people use."""

import os
import queue
import re
import ssl
import time

import pytest

import certificates
import mqtt_codec as wire
from broker import REFERENCE, base_config
from mqtt_codec import V5, V311
from mqtt_raw import DEADLINE, TIME_SCALE, Client, ConnectionClosed
from websocket_raw import (BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocketClient, make_frame, make_request)

pytestmark = pytest.mark.skipif(bool(REFERENCE), reason="only the broker under test has this")

LISTENERS = [{"name": "web", "bind": "@web@", "transport": "websocket"}, {"name": "default", "bind": "@default@"}]


def web_config(listener=None, **changes):
    listeners = [{**LISTENERS[0], **(listener or {})}, LISTENERS[1]]
    return base_config(listeners=listeners, **changes)


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """A broker with WebSocket, shared by the tests that leave it as it is."""
    import broker as module

    one = module.new_broker(tmp_path_factory.mktemp("web"), web_config())
    try:
        one.start()
        yield one
        one.stop()
    finally:
        one.kill()


@pytest.fixture
def ws(web, name):
    """ws(version=5, **request): an upgraded client that has sent nothing; closed after the test."""
    made = []

    def make(version=V5, to=None, **request):
        one = WebSocketClient((to or web).addresses["web"], version, name(f"w{len(made)}"), **request)
        made.append(one)
        return one

    yield make
    for one in made:
        one.drop()


def refused(one, status, request, broker, reason):
    """A request is answered with `status` and a text, the connection ends, and the log says why in one line."""
    since = broker.log_size()
    one.open_only()
    one.send_raw(request)
    head = one.read_head()
    assert head.startswith(f"HTTP/1.1 {status} "), head
    length = int(re.search(r"Content-Length: (\d+)", head).group(1))
    try:
        while True:
            one._read(time.monotonic() + DEADLINE)
    except ConnectionClosed:
        pass
    assert len(one.raw) == (0 if request.startswith(b"HEAD") else length)
    broker.wait_log(re.escape(reason), since=since)
    assert len(re.findall("closed by the broker", broker.log(since))) == 1, broker.log(since)
    return head


# ---------------------------------------------------------------------------------------------- the upgrade

@pytest.mark.parametrize("version", (V311, V5))
def test_publish_and_subscribe(ws, web, connect, topic, version):
    one = ws(version)
    one.connect()
    assert "Sec-WebSocket-Protocol: mqtt\r\n" in one.answer
    one.subscribe(topic, qos=1)
    other = connect(version, to=web.addresses["default"])
    other.publish(topic, b"from tcp", qos=1)
    one.acknowledge(one.expect(wire.PUBLISH, payload=b"from tcp"))
    one.publish(topic, b"from web", qos=1)
    one.expect(wire.PUBLISH, payload=b"from web")
    one.disconnect()


def test_upgrade_byte_by_byte(ws):
    one = ws().open_only()
    for byte in make_request(path="/mqtt?token=x"):
        one.send_raw(bytes([byte]))
    assert one.read_head().startswith("HTTP/1.1 101 ")
    one.send_connect()
    one.expect(wire.CONNACK)


def test_frames_behind_the_upgrade(ws, topic):
    """A client need not wait for the answer."""
    one = ws()
    connect = wire.make_connect(V5, client_id=one.client_id)
    one.open(behind=make_frame(connect) + make_frame(wire.make_subscribe(V5, 1, [(topic, 0)])))
    one.expect(wire.CONNACK)
    one.expect(wire.SUBACK)


@pytest.mark.parametrize("status, reason, request_", (
    (426, "a plain HTTP request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    (505, "another version of HTTP than 1.1: HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n"),
    (405, "another method than GET: HEAD", b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"),
    (404, "there is no WebSocket under this path: /other", make_request(path="/other")),
    (426, "another version of WebSocket than 13: 8", make_request(Sec_WebSocket_Version="8")),
    (400, "16 bytes in base64", make_request(key="short")),
    (400, "no Host header", make_request(Host=None)),
    (400, "does not offer the subprotocol `mqtt`", make_request(protocols=None)),
    (400, "does not offer the subprotocol `mqtt`", make_request(protocols="MQTT, soap")),
    (400, "has a body", make_request(Content_Length="3")),
    (400, "CR LF", b"GET / HTTP/1.1\nHost: x\n\n"),
    (400, "no HTTP", b"\x00\x01\x02"),
    (431, "larger than 8 KiB", make_request(X="a" * 9000)),
    (431, "more than 64 headers", make_request(**{f"X{i}": "a" for i in range(80)})),
    (414, "too long", b"GET /" + b"a" * 9000),
), ids=lambda value: "" if isinstance(value, bytes) else None)
def test_refused_upgrade(ws, web, status, reason, request_):
    head = refused(ws(), status, request_, web, reason)
    if status == 426:
        assert "Upgrade: websocket\r\n" in head and "Sec-WebSocket-Version: 13\r\n" in head


def test_a_person_with_a_browser_is_told(ws, web):
    one = ws()
    refused(one, 426, b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\n\r\n", web, "plain HTTP")
    assert b"MQTT over WebSocket" in one.raw and b"/mqtt" in one.raw


@pytest.mark.parametrize("data, reason", ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), "TLS"),
                                          (wire.make_connect(V5, client_id="x"), "MQTT without WebSocket")))
def test_other_protocols_on_the_port(ws, web, data, reason):
    since = web.log_size()
    one = ws().open_only()
    one.send_raw(data)
    one.expect_close()
    web.wait_log(f"no HTTP upgrade: .*{reason}", since=since)
    assert len(re.findall("closed by the broker", web.log(since))) == 1


def test_subprotocols(ws):
    one = ws(V311, protocols="mqttv3.1")
    one.connect()
    assert "Sec-WebSocket-Protocol: mqttv3.1\r\n" in one.answer
    one = ws(protocols="chat, mqttv3.1, mqtt")
    one.connect()
    assert "Sec-WebSocket-Protocol: mqtt\r\n" in one.answer


def test_path_and_origins(start_broker, ws):
    broker = start_broker(web_config({"path": "/ws", "origins": ["https://app.example", "http://localhost:3000"]}))
    for origin in (None, "https://app.example", "http://LOCALHOST:3000"):
        ws(to=broker, path="/ws", Origin=origin).connect()
    for origin in ("https://evil.example", "https://app.example.evil", "null"):
        refused(ws(to=broker), 403, make_request(path="/ws", Origin=origin), broker,
                f"not one of `origins`: {origin}")
    refused(ws(to=broker), 404, make_request(), broker, "/mqtt")


def test_reload_changes_what_new_connections_meet(start_broker, ws):
    broker = start_broker(web_config())
    old, waiting = ws(to=broker), ws(to=broker).open_only()
    old.connect()
    waiting.send_raw(make_request()[:-2])
    broker.configure(web_config({"path": "/ws"}))
    assert "configuration reloaded" in broker.reload()
    old.ping()
    waiting.send_raw(b"\r\n")
    assert waiting.read_head().startswith("HTTP/1.1 101 "), "one that was begun goes by what it found"
    ws(to=broker, path="/ws").connect()
    refused(ws(to=broker), 404, make_request(), broker, "/mqtt")
    broker.configure(base_config(listeners=[{"name": "web", "bind": "@web@"}, LISTENERS[1]]))
    assert "configuration reloaded" in broker.reload()
    old.ping()
    Client(broker.addresses["web"], V5, "plain").connect()


def test_slow_upgrade(start_broker, ws):
    broker = start_broker(web_config(limits={"connect_timeout": "300ms"}))
    silent, slow = ws(to=broker).open_only(), ws(to=broker).open_only()
    for byte in make_request()[:20]:
        slow.send_raw(bytes([byte]))
    silent.expect_close()
    slow.expect_close()
    broker.wait_log("no HTTP upgrade within limits.connect_timeout")
    broker.wait_log("the HTTP upgrade was not finished within limits.connect_timeout")
    upgraded = ws(to=broker).open()
    upgraded.expect_close()
    broker.wait_log("no CONNECT within limits.connect_timeout")


# ---------------------------------------------------------------------------------------------- frames

def test_packets_split_over_frames_and_packed_into_them(ws, topic):
    one = ws()
    one.open()
    for byte in wire.make_connect(V5, client_id=one.client_id):
        one.send(bytes([byte]))
    one.expect(wire.CONNACK)
    packets = wire.make_subscribe(V5, 7, [(topic, 0)])
    packets += b"".join(wire.make_publish(V5, topic, b"%d" % i) for i in range(50))
    for size in (len(packets), 1, 3, 17):
        for at in range(0, len(packets), size):
            one.send(packets[at:at + size])
        one.expect(wire.SUBACK, packet_id=7)
        for i in range(50):
            one.expect(wire.PUBLISH, payload=b"%d" % i)


def test_fragments_with_pings_between(ws, topic):
    one = ws()
    one.connect()
    one.subscribe(topic)
    packet = wire.make_publish(V5, topic, b"x" * 1000)
    pieces = [packet[at:at + 100] for at in range(0, len(packet), 100)]
    for index, piece in enumerate(pieces):
        one.send_raw(make_frame(piece, BINARY if index == 0 else CONTINUATION, fin=index == len(pieces) - 1))
        if index < len(pieces) - 1:
            one.send_raw(make_frame(b"%d" % index, PING))
            one.expect_control(PONG, b"%d" % index)
    one.send_raw(make_frame(b"", PONG) + make_frame(b"", BINARY))
    one.expect(wire.PUBLISH, payload=b"x" * 1000)


@pytest.mark.parametrize("size", (0, 125, 126, 65535, 65536, 900000))
def test_sizes_both_ways(ws, topic, size):
    one = ws()
    one.connect()
    one.subscribe(topic)
    payload = os.urandom(size)
    one.publish(topic, payload)
    one.expect(wire.PUBLISH, payload=payload)


def test_a_turn_is_one_frame(ws, web, connect, topic):
    one = ws()
    one.connect()
    one.subscribe(topic)
    before = one.frames
    one.send(b"".join(wire.make_publish(V5, topic, b"%d" % i) for i in range(200)))
    for i in range(200):
        one.expect(wire.PUBLISH, payload=b"%d" % i)
    assert one.frames - before < 10


def test_a_slow_reader_gets_everything(ws, web, connect, topic):
    one = ws()
    one.connect()
    one.subscribe(topic, qos=1)
    sender = connect(to=web.addresses["default"])
    payload = os.urandom(200000)
    for i in range(40):
        sender.publish(topic, b"%d " % i + payload, qos=1)
        one.send_raw(make_frame(b"%d" % i, PING))
    for i in range(40):
        got = one.expect(wire.PUBLISH)
        assert got.payload == b"%d " % i + payload
        one.acknowledge(got)
    assert any(opcode == PONG for opcode, _ in one.controls)


def test_idle_websockets_are_cheap(start_broker, ws):
    """What is needed for frames is not kept for each connection."""
    if "san" in str(os.environ.get("NOCTULE_BIN", "")):
        pytest.skip("a sanitizer's memory is its own")
    broker = start_broker(web_config())

    def resident():
        status = open(f"/proc/{broker.process.pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024

    ws(to=broker).connect()
    before = resident()
    crowd = [ws(to=broker) for _ in range(300)]
    for one in crowd:
        one.connect()
    assert (resident() - before) / len(crowd) < 4096


# ---------------------------------------------------------------------------------------------- the end

@pytest.mark.parametrize("frames, code, reason", (
    (make_frame(b"hello", TEXT), 1003, "of text"),
    (make_frame(b"hello", mask=False), 1002, "unmasked"),
    (make_frame(b"hello", rsv=4), 1002, "reserved bits"),
    (make_frame(b"hello", 3), 1002, "unknown kind"),
    (make_frame(b"hello", 11), 1002, "unknown kind"),
    (make_frame(b"x" * 126, PING), 1002, "malformed"),
    (make_frame(b"", PING, fin=False), 1002, "malformed"),
    (make_frame(b"x", CONTINUATION), 1002, "goes on with no message"),
    (make_frame(b"", BINARY, fin=False) + make_frame(b"", BINARY), 1002, "within another"),
    (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"\0\0\0\0x", 1009, "512 MiB"),
    (make_frame(b"\x03", CLOSE), 1002, "bad code"),
    (make_frame((1005).to_bytes(2, "big"), CLOSE), 1002, "bad code"),
    (make_frame((1000).to_bytes(2, "big") + b"\xff", CLOSE), 1007, "UTF-8"),
), ids=lambda value: "" if isinstance(value, bytes) else None)
def test_what_a_client_must_not_send(ws, web, connect, frames, code, reason, topic):
    """It is told by the close code and the log by one line; what it sent before counts; its will is published."""
    bystander = connect(to=web.addresses["default"])
    bystander.subscribe(f"{topic}/#")
    one = ws()
    one.connect(will=wire.Will(f"{topic}/will", b"gone"))
    since = web.log_size()
    one.send_raw(make_frame(wire.make_publish(V5, f"{topic}/before", b"")) + frames)
    one.expect_closing(code)
    bystander.expect(wire.PUBLISH, topic=f"{topic}/before")
    bystander.expect(wire.PUBLISH, topic=f"{topic}/will")
    web.wait_log(f"client={one.client_id}.*{reason}", since=since)
    assert len(re.findall(one.client_id, web.log(since))) == 1, web.log(since)


@pytest.mark.parametrize("payload, code", ((b"", None), ((1000).to_bytes(2, "big"), 1000),
                                           ((1001).to_bytes(2, "big") + b"leaving", 1001),
                                           ((4999).to_bytes(2, "big"), 4999)),
                         ids=lambda value: "" if isinstance(value, bytes) else None)
def test_a_client_says_close(ws, web, connect, topic, payload, code):
    """Without DISCONNECT that is no orderly end of MQTT. [v5 MQTT-3.1.2-8]"""
    bystander = connect(to=web.addresses["default"])
    bystander.subscribe(topic)
    one = ws()
    one.connect(will=wire.Will(topic, b"gone"))
    one.send_raw(make_frame(payload, CLOSE))
    one.expect_closing(code)
    bystander.expect(wire.PUBLISH, topic=topic)


def test_a_client_vanishes_within_a_frame(ws, web, connect, topic):
    bystander = connect(to=web.addresses["default"])
    bystander.subscribe(topic)
    packet = make_frame(wire.make_publish(V5, topic, b"never"))
    for length in range(1, len(packet), 3):
        one = ws()
        one.connect()
        one.send_raw(packet[:length])
        one.drop()
    bystander.expect_nothing()


def test_disconnect_is_answered_with_close(ws):
    one = ws()
    one.connect()
    one.send(wire.make_disconnect(V5))
    one.expect_closing(1000)


def test_a_broken_packet_is_told_in_mqtt_first(ws):
    one = ws()
    one.connect()
    one.send(b"\x00\x00")
    one.expect(wire.DISCONNECT, reason=0x81)
    one.expect_closing(1000)


def test_the_broker_stops(start_broker, ws):
    broker = start_broker(web_config())
    one = ws(to=broker)
    one.connect()
    broker.stop()
    one.expect(wire.DISCONNECT, reason=0x8B)
    one.expect_closing(1001)


def test_keep_alive_is_that_of_mqtt(start_broker, ws):
    """Pings of WebSocket are no packets of MQTT. [v5 MQTT-3.1.2-22]"""
    broker = start_broker(web_config())
    one = ws(to=broker)
    one.connect(keep_alive=1)
    deadline = time.monotonic() + DEADLINE
    with pytest.raises((ConnectionClosed, BrokenPipeError, AssertionError)):
        while time.monotonic() < deadline:
            one.send_raw(make_frame(b"", PING))
            one.expect_control(PONG)
            time.sleep(0.1)
    assert time.monotonic() < deadline


# ---------------------------------------------------------------------------------------------- proxies

def test_the_client_behind_a_proxy(start_broker, ws):
    broker = start_broker(web_config({"proxy_from": ["127.0.0.0/8", "2001:db8::/32"]}))
    for sent, known in (("192.0.2.7", "192.0.2.7:0"), ("198.51.100.1, 192.0.2.8, 127.9.9.9", "192.0.2.8:0"),
                        ("2001:db9::1", "[2001:db9::1]:0"), ("unknown", None), (None, None)):
        since = broker.log_size()
        one = ws(to=broker, X_Forwarded_For=sent)
        one.connect()
        line = broker.wait_log(r"client connected.*", since=since).group()
        assert f'address={known or "127."}' in line.replace('"', ""), line
        one.disconnect()


def test_limits_go_by_the_client_behind_the_proxy(start_broker, ws):
    broker = start_broker(web_config({"proxy_from": ["127.0.0.0/8"]}, limits={"connect_rate": 2}))
    for _ in range(2):
        ws(to=broker, X_Forwarded_For="192.0.2.7").connect()
    ws(to=broker, X_Forwarded_For="192.0.2.7").connect(reason=0x9F)
    for host in range(10, 15):
        ws(to=broker, X_Forwarded_For=f"192.0.2.{host}").connect()
    broker.wait_log("192.0.2.7:0.*faster")


def test_who_is_no_proxy_is_not_believed(start_broker, ws):
    broker = start_broker(web_config({"proxy_from": ["192.0.2.0/24"]}))
    ws(to=broker, X_Forwarded_For="203.0.113.9").connect()
    assert "203.0.113.9" not in broker.log()


# ---------------------------------------------------------------------------------------------- over TLS

def secure(one, house):
    one.tls = ssl.create_default_context(cafile=house.path("ca.pem"))
    one.server_name = certificates.NAME
    return one


@pytest.mark.parametrize("version", (V311, V5))
def test_over_tls(start_broker, ws, connect, topic, house, version):
    broker = start_broker(web_config({"tls": house.tls()}))
    one = secure(ws(version, to=broker), house)
    one.connect()
    one.subscribe(topic)
    for size in (0, 100, 20000, 900000):
        payload = os.urandom(size)
        one.publish(topic, payload)
        one.expect(wire.PUBLISH, payload=payload)
    one.send_raw(make_frame(b"x", PING))
    one.expect_control(PONG, b"x")
    one.send_raw(make_frame(b"x", TEXT))
    one.expect_closing(1003)
    plain = ws(to=broker).open_only()
    plain.send_raw(make_request())
    plain.expect_close()


# ---------------------------------------------------------------------------------------------- configuration

@pytest.mark.parametrize("listener, error", (
    ({"path": "mqtt"}, "`path` expects a path as in a URL"),
    ({"path": "/a?b"}, "`path` expects a path as in a URL"),
    ({"path": "/a b"}, "`path` expects a path as in a URL"),
    ({"origins": ["app.example"]}, "`origins` expects an origin"),
    ({"origins": ["https://app.example/"]}, "`origins` expects an origin"),
    ({"origins": "*"}, "`origins` expects a list"),
    ({"proxy_from": ["10.0.0.1/8"]}, "`proxy_from` expects an address, or a range"),
    ({"transport": "tcp", "path": "/mqtt"}, "`path` is for listeners with `transport: websocket`"),
    ({"transport": "tcp", "origins": []}, "`origins` is for listeners with `transport: websocket`"),
    ({"transport": "webscoket"}, "did you mean `websocket`"),
))
def test_configuration_errors(tmp_path, listener, error):
    from broker import run_command
    import yaml

    config = web_config(listener)
    config["listeners"][0]["bind"], config["listeners"][1]["bind"] = "127.0.0.1:1", "127.0.0.1:2"
    path = tmp_path / "noctule.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    done = run_command("check", "-c", path)
    assert done.returncode == 1 and error in done.stderr, done.stderr


# ---------------------------------------------------------------------------------------------- real clients

@pytest.mark.parametrize("version", (4, 5))
def test_paho(web, topic, version):
    mqtt = pytest.importorskip("paho.mqtt.client")
    messages, connected = queue.Queue(), queue.Queue()
    one = mqtt.Client(f"{topic}-paho".replace("/", "-"), protocol=version, transport="websockets")
    one.ws_set_options(path="/mqtt")
    one.on_connect = lambda *arguments: connected.put(arguments[3])
    one.on_subscribe = lambda *_: connected.put("subscribed")
    one.on_message = lambda _client, _data, message: messages.put((message.payload, message.qos))
    one.connect(*web.addresses["web"])
    one.loop_start()
    try:
        assert connected.get(timeout=10 * TIME_SCALE) == 0
        one.subscribe(topic, 2)
        assert connected.get(timeout=10 * TIME_SCALE) == "subscribed"
        for qos, payload in ((0, b"small"), (1, b""), (2, b"x" * 200000)):
            one.publish(topic, payload, qos).wait_for_publish()
            assert messages.get(timeout=10 * TIME_SCALE) == (payload, qos)
    finally:
        one.disconnect()
        one.loop_stop()
