"""Section 3.1: CONNECT. Wills have a file of their own."""

import pytest

import mqtt_codec as wire
from broker import base_config, passwords
from mqtt_codec import V311, V5, Will
from mqtt_raw import ConnectionClosed
from support import BOTH, KEPT, expect_error, expect_refused, keep, readable, takes

LOGIN = {"name": "file-auth", "config": {"password_file": "users.passwd"}}


@pytest.fixture
def watcher(connect, topic):
    one = connect()
    one.subscribe(topic, qos=2)
    return one


@pytest.fixture
def login_broker(start_broker):
    return start_broker(base_config(allow_anonymous=False, plugins=[LOGIN]),
                        {"users.passwd": passwords(ann="secret", bob="")})


# ------------------------------------------------------------------------------------------- first packet


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("first", (
    wire.packet(wire.PINGREQ), wire.make_publish(V311, "a", "b"), wire.make_subscribe(V311, 1, [("a", 0)]),
    wire.packet(wire.DISCONNECT), wire.packet(wire.AUTH), wire.packet(wire.CONNACK, b"\0\0"), b"\x00\x00"),
    ids=lambda data: data[:2].hex())
def test_v5_mqtt_3_1_0_1__and__v311_mqtt_3_1_0_1_first_packet_is_connect(client, version, first):
    one = client(version).open()
    one.send(first + wire.make_connect(version, one.client_id))
    one.expect_close()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_0_2__and__v311_mqtt_3_1_0_2_second_connect(connect, topic, watcher, version):
    one = connect(version, will=Will(topic, "will"))
    one.send_connect()
    expect_error(one, 0x82)
    watcher.expect_message(topic, "will")


# ------------------------------------------------------------------------------------------- refused


def refused_cases():
    """(id, options of CONNECT as a function of version and client id, codes): each with one thing wrong."""
    def will(version, one, flags):
        properties = b"\0" if version == V5 else b""
        return {"connect_flags": flags, "payload": wire.string(one) + properties + wire.string("t") + wire.string("x")}

    both = lambda *numbers: "__and__".join(numbers)  # noqa: E731
    yield "v5_mqtt_3_1_2_3__and__v311_mqtt_3_1_2_3__reserved_flag", lambda v, i: {"connect_flags": 0x03}
    yield "v5_mqtt_3_1_2_9__and__v311_mqtt_3_1_2_9__will_without_fields", lambda v, i: {"connect_flags": 0x06}
    yield ("v5_mqtt_3_1_2_9__and__v311_mqtt_3_1_2_9__will_without_payload",
           lambda v, i: {"connect_flags": 0x06,
                         "payload": wire.string(i) + (b"\0" if v == V5 else b"") + wire.string("t")})
    for qos in (1, 2):
        yield (f"v5_mqtt_3_1_2_11__and__v311_mqtt_3_1_2_11__and__v311_mqtt_3_1_2_13__will_qos_{qos}_without_will",
               lambda v, i, q=qos: {"connect_flags": 0x02 | q << 3})
    yield ("v5_mqtt_3_1_2_12__and__v311_mqtt_3_1_2_14__will_qos_3", lambda v, i: will(v, i, 0x1E))
    yield ("v5_mqtt_3_1_2_13__and__v311_mqtt_3_1_2_11__and__v311_mqtt_3_1_2_15__will_retain_without_will",
           lambda v, i: {"connect_flags": 0x22})
    yield "v311_mqtt_3_1_2_11__will_fields_without_will", lambda v, i: will(v, i, 0x02)
    yield ("v5_mqtt_3_1_2_16__and__v311_mqtt_3_1_2_18__user_name_without_flag",
           lambda v, i: {"connect_flags": 0x02, "tail": wire.string("user")})
    yield ("v5_mqtt_3_1_2_17__and__v311_mqtt_3_1_2_19__user_name_missing", lambda v, i: {"connect_flags": 0x82})
    yield ("v5_mqtt_3_1_2_18__and__v311_mqtt_3_1_2_20__password_without_flag",
           lambda v, i: {"username": "user", "tail": wire.string("password")})
    yield ("v5_mqtt_3_1_2_19__and__v311_mqtt_3_1_2_21__password_missing",
           lambda v, i: {"connect_flags": 0xC2, "payload": wire.string(i) + wire.string("user")})
    yield both("v5_mqtt_3_1_3_3", "v311_mqtt_3_1_3_3__empty_payload"), lambda v, i: {"payload": b""}
    yield both("v5_mqtt_3_1_3_4", "v311_mqtt_3_1_3_4__client_id_not_utf8"), lambda v, i: {"client_id": b"a\xff\xfe"}
    yield both("v5_mqtt_3_1_3_11", "v311_mqtt_3_1_3_10__will_topic_not_utf8"), lambda v, i: {"will": Will(b"\xc0\x80", "x")}
    yield both("v5_mqtt_3_1_3_12", "v311_mqtt_3_1_3_11__user_name_not_utf8"), lambda v, i: {"username": b"\xc3\x28"}
    yield both("v5_mqtt_3_1_4_1", "v311_mqtt_3_1_4_1__bytes_behind"), lambda v, i: {"tail": b"\0"}
    yield (both("v5_mqtt_3_1_4_1", "v311_mqtt_3_1_4_1__client_id_beyond_the_end"),
           lambda v, i: {"payload": b"\0\x50short"})


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("options", [pytest.param(options, id=name) for name, options in refused_cases()])
def test_refused_connect(client, watcher, topic, version, options):
    one = client(version).open()
    one.send_connect(**options(version, one.client_id))
    one.send(wire.make_publish(version, topic, "bad", retain=True))
    expect_refused(one, 0x81)
    watcher.expect_nothing()


def test_v311_mqtt_3_1_2_22_password_without_user_name(client):
    one = client(V311).open()
    one.send_connect(password="secret")
    expect_refused(one)


def test_v5_mqtt_3_1_2_19_password_without_user_name_is_legal(connect):
    connect(password="secret").ping()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_4_1__and__v311_mqtt_3_1_4_1_every_truncation_of_connect(client, version):
    whole = wire.make_connect(version, "id", will=Will("topic", "payload"), username="user", password="pass")
    body = whole[2:]
    for length in range(len(body)):
        one = client(version).open()
        one.send(wire.packet(wire.CONNECT, body[:length]))
        try:
            got = one.receive()
        except ConnectionClosed:
            continue
        assert version == V5 and got.kind == wire.CONNACK and got.reason == 0x81, f"{length} bytes: {got}"
        one.expect_close()


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("name_", ("MQTX", "mqtt", "", "MQTTT", "HTTP"))
def test_v5_mqtt_3_1_2_1__and__v311_mqtt_3_1_2_1_wrong_protocol_name(client, version, name_):
    one = client(version).open()
    one.send_connect(name=name_)
    expect_refused(one, 0x84)  # none in 3.1.1


@pytest.mark.parametrize("level", (6, 7, 0x7F, 0xFF))
def test_v5_mqtt_3_1_2_2_newer_protocol_version(client, level):
    one = client().open()
    one.send_connect(level=level)
    expect_refused(one, 0x84)


@pytest.mark.parametrize("level", (0, 1, 2, 3))
def test_v311_mqtt_3_1_2_2_older_protocol_level(client, level):
    # Levels above 5 are answered in the form of 5.0, the newest that the server knows; see docs/conformance.md.
    one = client(V311).open()
    one.send_connect(level=level)
    expect_refused(one, 1)


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_4_2__and__v5_mqtt_3_2_2_7__and__v311_mqtt_3_2_2_5_wrong_credentials(login_broker, client, version):
    for options, codes in (({"username": "ann", "password": "wrong"}, (0x86, 0x87, 4, 5)),
                           ({"username": "nobody", "password": "secret"}, (0x86, 0x87, 4, 5)), ({}, (0x87, 5))):
        one = client(version, to=login_broker).open()
        one.send_connect(**options)
        assert expect_refused(one, *codes) is not None


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_4_6__and__v311_mqtt_3_1_4_5_nothing_behind_a_refused_connect(
        login_broker, client, connect, topic, version):
    watcher = connect(to=login_broker, username="ann", password="secret")
    watcher.subscribe(topic)
    one = client(version, to=login_broker).open()
    one.send_connect(username="ann", password="wrong")
    one.send(wire.make_publish(version, topic, "bad", retain=True) + wire.make_subscribe(version, 1, [(topic, 0)]))
    expect_refused(one, 0x86, 4)
    watcher.expect_nothing()
    late = connect(to=login_broker, username="ann", password="secret")
    late.subscribe(topic)
    late.expect_nothing()


def test_v5_mqtt_3_14_0_1_no_disconnect_before_connack(login_broker, client):
    one = client(to=login_broker)
    for data in (wire.make_connect(V5, "x", connect_flags=3), wire.make_connect(V5, "x", username="ann", password="no"),
                 wire.make_connect(V5, "x", properties_={"receive_maximum": 0}), wire.make_connect(V5, "x", level=9),
                 wire.packet(wire.PINGREQ), b"\x10\xff\xff\xff\xff\x01", wire.make_disconnect(V5)):
        one.open()
        one.send(data)
        expect_refused(one, *range(0x80, 0xA0))


# ------------------------------------------------------------------------------------------- accepted


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_4_5__and__v311_mqtt_3_1_4_4_accepted(client, version):
    assert client(version).connect().reason == 0


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_3_1__and__v311_mqtt_3_1_3_1_every_field_takes_effect(start_broker, connect, client, topic, version):
    broker = start_broker(base_config(allow_anonymous=False, plugins=[LOGIN]), {"users.passwd": passwords(ann="secret")})
    login = {"username": "ann", "password": "secret"}
    watcher = connect(to=broker, **login)
    watcher.subscribe(topic, qos=2)
    options = dict(login, will=Will(topic, "gone", qos=1, properties={"content_type": "text"}), **keep(version))
    one = connect(version, to=broker, **options)
    one.subscribe(topic, qos=1)
    one.drop()
    will = watcher.expect_message(topic, "gone", qos=1)
    assert version != V5 or will.properties.get("content_type") == "text"
    assert one.connect(**login, **keep(version)).session_present
    for wrong in ({"username": "ann", "password": "secret2"}, {"username": "bob", "password": "secret"}):
        client(version, to=broker).connect(reason=0x86 if version == V5 else 4, **wrong)


def test_v5_mqtt_3_1_3_1_fields_in_another_order(client):
    # In 3.1.1 they would parse all the same.
    one = client().open()
    one.send_connect(connect_flags=0x06,
                     payload=wire.string("topic") + wire.string("payload") + wire.string(one.client_id) + b"\0")
    expect_refused(one, 0x81, 0x82)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("length", (1, 2, 22, 23))
def test_v5_mqtt_3_1_3_5__and__v311_mqtt_3_1_3_5_client_ids(connect, version, length):
    for alphabet in ("0123456789abcdefghijklm", "nopqrstuvwxyzABCDEFGHIJ", "KLMNOPQRSTUVWXYZ9876543"):
        connect(version, id=alphabet[:length]).disconnect()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_3_2__and__v311_mqtt_3_1_3_2_client_id_is_the_key(client, name, version):
    one, other = client(version, id=name("x")), client(version, id=name("X"))
    assert not one.connect(**keep(version)).session_present
    one.disconnect()
    assert not other.connect(**keep(version)).session_present
    assert one.connect(**keep(version)).session_present


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_1_3_6__and__v311_mqtt_3_1_3_6_empty_client_ids_are_independent(client, topic, version):
    first, second = client(version, id=""), client(version, id="")
    first.connect()
    second.connect()
    first.subscribe(topic)
    second.publish(topic, "x")
    first.expect_message(topic, "x")
    second.expect_nothing()
    assert version != V5 or first.client_id != second.client_id


def test_v5_mqtt_3_1_3_7__and__v5_mqtt_3_2_2_16_assigned_client_id(client):
    ids, made = [], []
    for _ in range(5):
        made.append(client(id=""))
        ids.append(made[-1].connect(clean=False, properties=KEPT).properties.get("assigned_client_identifier"))
        assert not made[-1].connack.session_present
        made[-1].drop()
    assert all(ids) and len(set(ids)) == 5
    for one_id in ids:
        again = client(id=one_id).connect(clean=False)
        assert again.session_present and "assigned_client_identifier" not in again.properties


def test_v311_mqtt_3_1_3_7__and__v311_mqtt_3_1_3_8__and__v311_mqtt_3_1_3_9_empty_client_id_needs_clean_session(client):
    one = client(V311, id="")
    one.connect(clean=False, reason=2)
    one.expect_close()


def test_v5_mqtt_3_1_3_8_unusual_client_ids(client):
    # Nothing but 0x85 refuses a ClientID that is well-formed.
    for client_id in ("x" * 24, " ", "a/b", "+", "#", "$SYS", "ünïcødé", "x" * 65535):
        one = client(id=client_id).open()
        one.send_connect()
        connack = one.expect(wire.CONNACK)
        assert connack.reason in (0, 0x85)
        if connack.reason:
            one.expect_close()


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("clean", (False, True))
def test_v5_mqtt_3_1_4_3__and__v5_mqtt_3_1_4_4__and__v311_mqtt_3_1_4_2__and__v311_mqtt_3_1_4_3_takeover(
        connect, client, watcher, topic, version, clean):
    old = connect(version, will=Will(topic, "taken over"), **keep(version))
    old.subscribe(f"{topic}/kept", qos=1)
    new = client(version, id=old.client_id)
    connack = new.connect(**{**keep(version), "clean": clean})
    assert connack.session_present == (not clean)
    expect_error(old, 0x8E)
    watcher.expect_message(topic, "taken over")
    connect().publish(f"{topic}/kept", "x", qos=1)
    if clean:
        new.expect_nothing()
    else:
        new.expect_message(f"{topic}/kept", "x")


# ------------------------------------------------------------------------------------------- keep alive


def test_v5_mqtt_3_1_2_20__and__v5_mqtt_3_1_2_22__and__v5_mqtt_3_2_2_22__and__v311_mqtt_3_1_2_23__and__v311_mqtt_3_1_2_24_silence(
        connect, watcher, topic):
    silent = [connect(version, keep_alive=1, will=Will(topic, f"silent {version}")) for version in BOTH]
    never = [connect(version, keep_alive=0) for version in BOTH]
    pings = [connect(version, keep_alive=1) for version in BOTH]
    talks = [connect(version, keep_alive=1) for version in BOTH]
    for one in silent:
        assert "server_keep_alive" not in one.connack.properties
    with takes(1.3, 2.6):
        while not readable(silent[0], 0.4):
            for one in pings:
                one.ping()
            for one in talks:
                one.send_publish(f"{topic}/talk", "any packet counts")
        for one in silent:
            expect_error(one, 0x8D)
    assert {m.payload for m in watcher.expect_messages(2)} == {b"silent 4", b"silent 5"}
    for one in (*pings, *talks, *never):
        one.ping()


def test_v5_mqtt_3_1_2_21__and__v5_mqtt_3_2_2_21_server_keep_alive(start_broker, connect):
    broker = start_broker(base_config(limits={"keep_alive": "1s"}))
    silent = [connect(to=broker, keep_alive=seconds) for seconds in (60, 0)]
    obeys = connect(to=broker, keep_alive=60)
    for one in silent + [obeys]:
        assert one.connack.properties.get("server_keep_alive") == 1
    assert "server_keep_alive" not in connect(to=broker, keep_alive=1).connack.properties
    with takes(1.3, 2.6):
        while not readable(silent[0], 0.4):
            obeys.ping()
    for one in silent:
        expect_error(one, 0x8D)
    obeys.ping()


# ------------------------------------------------------------------------------------------- what CONNECT asks for


def test_v5_mqtt_3_1_2_28_response_information_only_when_asked(start_broker, connect):
    broker = start_broker(base_config(response_information="answers/%c"))
    for properties in (None, {"request_response_information": 0}):
        assert "response_information" not in connect(to=broker, properties=properties).connack.properties
    asks = connect(to=broker, properties={"request_response_information": 1})
    assert asks.connack.properties.get("response_information") == f"answers/{asks.client_id}"


def test_v5_mqtt_3_1_2_29_no_problem_information(start_broker, connect, test_plugin):
    broker = start_broker(base_config(plugins=[{"name": "message-in", "path": test_plugin("message-in")}]))
    for asked in (0, 1):
        one = connect(to=broker, properties={"request_problem_information": asked})
        for qos, kind in ((1, wire.PUBACK), (2, wire.PUBREC)):
            one.send_publish("in/refuse", "x", qos)
            got = one.expect(kind, reason=0x99)
            assert ("reason_string" in got.properties) == bool(asked)
            assert asked or "user_property" not in got.properties
    one = connect(to=broker, properties={"request_problem_information": 0})
    one.send(wire.make_subscribe(V5, 1, [("a#", 0)]) + wire.make_unsubscribe(V5, 2, ["none"]))
    assert one.expect(wire.SUBACK).properties == one.expect(wire.UNSUBACK).properties == []


@pytest.mark.parametrize("most", (1, 2, 3, 4, 5, 8, 12, 15, 16, 18, 20, 24, 32, 48, 64, 200))
def test_v5_mqtt_3_1_2_24_nothing_larger_than_the_client_takes(client, connect, topic, most):
    # At every size the client is either served within it or its connection ends.
    one, packets = client().open(), []
    one.send_connect(properties={"maximum_packet_size": most, "request_response_information": 1})
    one.send(wire.make_subscribe(V5, 1, [(f"{topic}/{i}", 1) for i in range(40)])
             + wire.make_unsubscribe(V5, 2, [f"{topic}/{i}" for i in range(1, 40)])
             + wire.make_publish(V5, f"{topic}/0", "x" * most, 1, packet_id=3) + wire.packet(wire.PINGREQ))
    try:
        while not packets or packets[-1].kind != wire.PINGRESP:
            packets.append(one.receive())
        one.send_connect()  # to be told by DISCONNECT
        while True:
            packets.append(one.receive())
    except ConnectionClosed:
        pass
    assert max([0] + [packet.size for packet in packets]) <= most, packets
    assert most < 64 or [packet.kind for packet in packets[:3]] == [wire.CONNACK, wire.SUBACK, wire.UNSUBACK], packets


def test_v5_mqtt_3_1_2_25_oversized_message_counts_as_delivered(connect, topic):
    one, publisher = connect(properties={"maximum_packet_size": 60, "receive_maximum": 1}), connect()
    one.subscribe(topic, qos=2)
    for qos in (0, 1, 2):
        publisher.publish(topic, "x" * 100, qos=qos)
        publisher.publish(topic, f"fits {qos}", qos=qos)
        one.expect_message(topic, f"fits {qos}")
    one.expect_nothing()


def test_v5_mqtt_3_1_2_25_oversized_message_waits_and_is_skipped(connect, topic):
    one, publisher = connect(properties=KEPT), connect()
    one.subscribe(topic, qos=1)
    publisher.publish(topic, "y" * 100, qos=1)
    one.expect_message(topic, "y" * 100, acknowledge=False)
    one.drop()
    for payload in ("x" * 100, "fits"):
        publisher.publish(topic, payload, qos=1)
    one.connect(clean=False, properties={**KEPT, "maximum_packet_size": 60, "receive_maximum": 1})
    one.expect_message(topic, "fits")
    one.expect_nothing()


def aliases_seen(one, publisher, topic, topics=12, rounds=3):
    seen = {}
    for _ in range(rounds):
        for i in range(topics):
            publisher.publish(f"{topic}/{i}", str(i))
            message = one.expect_message(payload=str(i))
            alias = message.properties.get("topic_alias")
            if message.topic:
                assert message.topic == f"{topic}/{i}"
                if alias:
                    seen[alias] = message.topic
            else:
                assert seen[alias] == f"{topic}/{i}"
    return set(seen)


@pytest.mark.parametrize("maximum", (1, 5, 10))
def test_v5_mqtt_3_1_2_26__and__v5_mqtt_3_3_2_11_aliases_up_to_the_maximum(connect, topic, maximum):
    one, publisher = connect(properties={"topic_alias_maximum": maximum}), connect()
    one.subscribe(f"{topic}/+")
    aliases = aliases_seen(one, publisher, topic)
    assert aliases and aliases <= set(range(1, maximum + 1))


@pytest.mark.parametrize("properties", (None, {"topic_alias_maximum": 0}), ids=("absent", "zero"))
def test_v5_mqtt_3_1_2_27_no_aliases_without_a_maximum(connect, topic, properties):
    one, publisher = connect(properties=properties), connect()
    one.subscribe(f"{topic}/+")
    assert not aliases_seen(one, publisher, topic)


@pytest.mark.parametrize("version", BOTH)
def test_v5_section_3_1_4_packets_behind_connect_are_processed(client, topic, version):
    # [v5 section 3.1.4] [v311 section 3.1.4]: clients may send before CONNACK comes
    one = client(version).open()
    one.send(wire.make_connect(version, one.client_id) + wire.make_subscribe(version, 1, [(topic, 1)])
             + wire.make_publish(version, topic, "early", 1, packet_id=2) + wire.packet(wire.PINGREQ))
    one.expect(wire.CONNACK, reason=0)
    one.await_packet(wire.SUBACK, packet_id=1)
    one.await_packet(wire.PUBACK, packet_id=2)
    one.acknowledge(one.await_packet(wire.PUBLISH, payload=b"early"))
    one.await_packet(wire.PINGRESP)
