"""CONNECT and CONNACK, first packets, client ids, goodbyes."""

import time

import pytest

import mqtt_codec as wire
from broker import base_config, passwords
from mqtt_codec import V31, V311, V5, VERSIONS, Will


@pytest.mark.parametrize("version", VERSIONS)
def test_connect_is_accepted(client, version):
    # [v5 MQTT-3.1.4-5, MQTT-3.1.2-6, MQTT-3.2.2-1] [v311 MQTT-3.1.4-4, MQTT-3.2.2-3, MQTT-3.2.0-1]
    one = client(version)
    connack = one.connect(clean=False)
    assert not connack.session_present
    one.disconnect()


@pytest.mark.parametrize("version", (V31, V311))
def test_connack_before_5_is_four_bytes(client, version):
    one = client(version).open()
    one.send_connect()
    assert one.expect(wire.CONNACK).size == 4


@pytest.mark.parametrize("version", VERSIONS)
def test_connect_split_into_single_bytes(client, version):
    one = client(version).open()
    for byte in wire.make_connect(version, one.client_id, will=Will("w", "x")):
        one.send(bytes([byte]))
        time.sleep(0.0005)
    one.expect(wire.CONNACK, reason=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_packets_sent_behind_connect_are_processed(client, topic, version):
    # Whatever worker accepts and whichever is at home: bytes after CONNECT are not lost in the hand-over.
    for round_ in range(12):
        one = client(version).open()
        one.send(wire.make_connect(version, one.client_id) + wire.make_subscribe(version, 1, [(f"{topic}/{round_}", 1)])
                 + wire.make_publish(version, f"{topic}/{round_}", "early", 1, packet_id=2)
                 + wire.packet(wire.PINGREQ))
        one.expect(wire.CONNACK, reason=0)
        one.await_packet(wire.SUBACK, packet_id=1, reasons=[1])
        one.await_packet(wire.PUBACK, packet_id=2)
        one.acknowledge(one.await_packet(wire.PUBLISH, topic=f"{topic}/{round_}", payload=b"early"))
        one.await_packet(wire.PINGRESP)


@pytest.mark.reference_differs
def test_all_connect_fields_take_effect(start_broker, client, connect, topic):
    # [v5 MQTT-3.1.3-1]
    login = {"name": "file-auth", "config": {"password_file": "users.passwd"}}
    broker = start_broker(base_config(plugins=[login]), {"users.passwd": passwords(user="pass")})
    watcher = connect(to=broker)
    watcher.subscribe(topic, qos=2)
    one = client(to=broker)
    one.connect(clean=True, keep_alive=30, username="user", password="pass",
                will=Will(topic, "gone", qos=1, properties={"content_type": "text"}),
                properties={"session_expiry_interval": 0, "receive_maximum": 10, "maximum_packet_size": 1000,
                            "topic_alias_maximum": 5, "request_response_information": 0,
                            "request_problem_information": 1, "user_property": [("a", "b"), ("a", "b")]})
    one.drop()
    will = watcher.expect_message(topic, "gone", qos=1)
    assert will.properties.get("content_type") == "text"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("length", (1, 23))
def test_client_ids_of_1_to_23_characters(connect, version, length):
    # [v5 MQTT-3.1.3-5] [v311 MQTT-3.1.3-5]
    connect(version, id="Zz9aB8cC7dD6eE5fF4gG3hH"[:length]).disconnect()


@pytest.mark.parametrize("version", (V311, V5))
@pytest.mark.parametrize("client_id", ("with space and / + # $", "ünïcødé-☃", "x" * 500))
def test_other_client_ids(connect, version, client_id):
    connect(version, id=client_id).ping()


def test_empty_client_id_is_assigned_in_5(client):
    # [v5 MQTT-3.1.3-6, MQTT-3.1.3-7, MQTT-3.2.2-16]
    first, second = client(id=""), client(id="")
    ids = []
    for one in (first, second):
        connack = one.connect(properties={"session_expiry_interval": 60})
        ids.append(connack.properties.get("assigned_client_identifier"))
    assert all(ids) and ids[0] != ids[1]
    first.ping()
    first.drop()
    again = client(id=ids[0])
    assert again.connect(clean=False).session_present
    assert "assigned_client_identifier" not in again.connack.properties


def test_empty_client_id_with_clean_start_0_in_5(client):
    # [v5 MQTT-3.1.3-7]
    one = client(id="")
    assert not one.connect(clean=False).session_present
    assert one.connack.properties.get("assigned_client_identifier")


def test_empty_client_id_in_311(client):
    # [v311 MQTT-3.1.3-6]
    first, second = client(V311, id=""), client(V311, id="")
    first.connect()
    second.connect()
    first.ping()
    second.ping()


def test_empty_client_id_without_clean_session_in_311(client):
    # [v311 MQTT-3.1.3-8]
    one = client(V311, id="")
    one.connect(clean=False, reason=2)
    one.expect_close()


@pytest.mark.reference_differs
def test_empty_client_id_in_31(client):
    # MQTT 3.1 knows ids of 1 to 23 characters only.
    one = client(V31, id="")
    one.connect(reason=2)
    one.expect_close()


def expect_refused(one, *codes):
    """A refused CONNECT: CONNACK with one of `codes`, or (where the standard lets the server) a bare close."""
    try:
        got = one.receive()
    except wire.WireError:
        raise
    except AssertionError:
        return
    assert got.kind == wire.CONNACK and got.reason in codes, got
    one.expect_close()


@pytest.mark.parametrize("level", (0, 1, 2, 6, 9, 0x83, 255))
def test_unknown_protocol_level_is_refused(client, level):
    # [v5 MQTT-3.1.2-2] [v311 MQTT-3.1.2-2]: the answer of 3.1.1, or of 5.0
    one = client(V311).open()
    one.send(wire.make_connect(V311, one.client_id, level=level))
    data = b""
    try:
        while True:
            one._fill(time.monotonic() + 5)
    except AssertionError:
        data = bytes(one.buffer)
    assert data in (b"", b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00")


@pytest.mark.parametrize("name_, level", (("MQTX", 4), ("MQTX", 5), ("mqtt", 4), ("MQIsdp", 4), ("MQIsdp", 5),
                                          ("MQTT", 3), ("", 4), ("MQTTT", 4)))
def test_wrong_protocol_name_is_refused(client, name_, level):
    # [v5 MQTT-3.1.2-1] [v311 MQTT-3.1.2-1]
    one = client(V311).open()
    one.send(wire.make_connect(V5 if level == 5 else V311, one.client_id, name=name_, level=level))
    try:
        while True:
            one._fill(time.monotonic() + 5)
    except AssertionError:
        data = bytes(one.buffer)
    assert data in (b"", b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b"\x20\x03\x00\x81\x00")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("first", (
    wire.packet(wire.PINGREQ), wire.make_publish(V311, "a", "b"), wire.make_subscribe(V311, 1, [("a", 0)]),
    wire.packet(wire.DISCONNECT), wire.packet(wire.CONNACK, b"\0\0"), wire.packet(wire.AUTH), b"GET / HTTP/1.1\r\n\r\n",
    b"\x00\x00", b"\xff" * 20), ids=lambda data: data[:4].hex())
def test_first_packet_must_be_connect(client, version, first):
    # [v5 MQTT-3.1.0-1] [v311 MQTT-3.1.0-1]
    one = client(version).open()
    one.send(first)
    one.expect_close()


@pytest.mark.reference_differs
@pytest.mark.parametrize("version", VERSIONS)
def test_second_connect_ends_the_connection(client, connect, topic, version):
    # [v5 MQTT-3.1.0-2, MQTT-3.2.0-2] [v311 MQTT-3.1.0-2]
    watcher = connect()
    watcher.subscribe(topic)
    one = client(version)
    one.connect(will=Will(topic, "will"))
    one.send_connect()
    one.expect_disconnect(0x82)
    watcher.expect_message(topic, "will")


# Not for 3.1, which forgives some of it: there the length of the packet takes precedence over the flags.
@pytest.mark.parametrize("version", (V311, V5))
@pytest.mark.parametrize("what, options", (
    ("reserved flag", {"connect_flags": 0x03}),
    ("will qos without will", {"connect_flags": 0x0A}),
    ("will retain without will", {"connect_flags": 0x22}),
    ("will qos 3", {"connect_flags": 0x1E, "payload": "WILL"}),
    ("will without fields", {"connect_flags": 0x06}),
    ("username missing", {"connect_flags": 0x82}),
    ("password missing", {"connect_flags": 0xC2, "payload": "USER"}),
    ("empty payload", {"payload": b""}),
    ("trailing bytes", {"tail": wire.string("extra")}),
    ("client id not UTF-8", {"client_id": b"a\xff\xfe"}),
    ("client id with NUL", {"client_id": b"a\0b"}),
    ("client id with surrogate", {"client_id": b"\xed\xa0\x80"}),
    ("username not UTF-8", {"username": b"\xc3\x28"}),
    ("will topic not UTF-8", {"will": Will(b"\xc0\x80", "x")}),
    ("will topic with wildcard", {"will": Will("a/#", "x")}),
    ("will topic empty", {"will": Will("", "x")}),
), ids=lambda value: value if isinstance(value, str) else "")
def test_malformed_connect_is_refused(client, connect, topic, version, what, options):
    # [v5 MQTT-3.1.2-3, MQTT-3.1.2-9, MQTT-3.1.2-11, MQTT-3.1.2-12, MQTT-3.1.2-13, MQTT-3.1.2-16, MQTT-3.1.2-17,
    #  MQTT-3.1.2-18, MQTT-3.1.2-19, MQTT-3.1.3-3, MQTT-3.1.3-4, MQTT-3.1.3-11, MQTT-3.1.3-12, MQTT-3.1.4-1,
    #  MQTT-3.1.4-6, MQTT-1.5.4-1, MQTT-1.5.4-2, MQTT-3.14.0-1]
    # [v311 MQTT-3.1.2-3, MQTT-3.1.2-9, MQTT-3.1.2-11, MQTT-3.1.2-14, MQTT-3.1.2-18 to 21, MQTT-3.1.3-3, MQTT-3.1.3-4,
    #  MQTT-3.1.3-10, MQTT-3.1.3-11, MQTT-3.1.4-1, MQTT-3.1.4-5]
    one = client(version).open()
    options = dict(options)
    if options.get("payload") == "WILL":
        options["payload"] = (wire.string(one.client_id) + (b"\0" if version == V5 else b"") + wire.string(topic)
                              + wire.string("x"))
    elif options.get("payload") == "USER":
        options["payload"] = wire.string(one.client_id) + wire.string("user")
    options.setdefault("client_id", one.client_id)
    one.send(wire.make_connect(version, **options) + wire.make_publish(version, topic, "bad", retain=True))
    if version == V5:
        expect_refused(one, 0x81, 0x82, 0x85, 0x90)
    else:
        expect_refused(one, 2)
    watcher = connect()
    watcher.subscribe(topic)
    watcher.expect_nothing()


def test_password_without_username(client):
    # [v5 MQTT-3.1.2-19]: legal in 5.0, so nothing malformed, whatever it is good for
    one = client(V5).open()
    one.send_connect(password="secret")
    assert one.expect(wire.CONNACK).reason in (0, 0x86, 0x87)
    # [v311 MQTT-3.1.2-22]: a violation in 3.1.1
    one = client(V311).open()
    one.send_connect(password="secret")
    one.expect_close()


@pytest.mark.parametrize("properties", (
    {"receive_maximum": 0}, {"maximum_packet_size": 0}, {"request_problem_information": 2},
    {"request_response_information": 7}, [("session_expiry_interval", 1), ("session_expiry_interval", 1)],
    {"topic_alias": 1}, {"server_keep_alive": 1}, b"\x00", b"\x7f\x00", b"\x21\x01",
    b"\x26\x00\x01a\x00\x01\xff", b"\x26\x00\x01\x00\x00\x00"), ids=str)
def test_illegal_connect_properties_are_refused(client, properties):
    # [v5 section 3.1.2.11, MQTT-1.5.7-1]
    one = client().open()
    one.send_connect(properties=properties)
    expect_refused(one, 0x81, 0x82)


@pytest.mark.parametrize("version", VERSIONS)
def test_ping(connect, version):
    # [v5 MQTT-3.12.4-1] [v311 MQTT-3.12.4-1]
    one = connect(version)
    for _ in range(3):
        one.ping()
    one.send(wire.packet(wire.PINGREQ) * 5)
    for _ in range(5):
        one.expect(wire.PINGRESP)


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_behind_disconnect_is_processed(connect, topic, version):
    # [v5 MQTT-3.14.4-1, MQTT-3.14.4-2] [v311 MQTT-3.14.4-1, MQTT-3.14.4-2]
    watcher = connect()
    watcher.subscribe(topic)
    one = connect(version)
    one.send(wire.make_publish(version, topic, "before") + wire.make_disconnect(version)
             + wire.make_publish(version, topic, "after"))
    one.expect_close()
    watcher.expect_message(topic, "before")
    watcher.expect_nothing()


def test_connack_tells_no_response_information_unless_asked(connect):
    # [v5 MQTT-3.1.2-28, MQTT-4.12.0-6]
    for properties in (None, {"request_response_information": 0}):
        one = connect(properties=properties)
        assert "response_information" not in one.connack.properties
        assert "authentication_method" not in one.connack.properties


def test_unknown_authentication_method_is_refused(client):
    # [v5 MQTT-4.12.0-1, MQTT-3.2.2-7]
    one = client()
    one.connect(properties={"authentication_method": "NO-SUCH"}, reason=0x8C)
    one.expect_close()


@pytest.mark.reference_differs
def test_authentication_data_without_method_is_refused(client):
    # [v5 section 3.1.2.11.10]
    one = client().open()
    one.send_connect(properties={"authentication_data": b"x"})
    expect_refused(one, 0x82)


def test_auth_without_method_ends_the_connection(connect):
    # [v5 MQTT-4.12.0-7]
    one = connect()
    one.send(wire.make_auth(0x18, {"authentication_method": "x"}))
    one.expect_disconnect(0x82)


@pytest.mark.reference_differs
def test_connack_announces_the_limits(connect):
    one = connect()
    found = one.connack.properties
    assert found.get("receive_maximum") == 32
    assert found.get("maximum_packet_size") == 1024 * 1024
    assert found.get("topic_alias_maximum", 0) > 0
    for absent in ("maximum_qos", "retain_available", "wildcard_subscription_available",
                   "subscription_identifier_available", "shared_subscription_available"):
        assert found.get(absent, 1) != 0, f"{absent} 0 although the feature is there"
    assert "maximum_qos" not in found  # absent means 2; the value 2 is illegal [v5 MQTT-3.2.2-9]
