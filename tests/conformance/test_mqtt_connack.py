"""Section 3.2: CONNACK."""

import pytest

import mqtt_codec as wire
from broker import base_config, passwords
from mqtt_codec import V311, V5, Will
from support import BOTH, KEPT, expect_refused, keep, next_bytes

LOGIN = {"name": "file-auth", "config": {"password_file": "users.passwd"}}


def plugin(test_plugin, name, **config):
    return {"name": name, "path": test_plugin(name), **({"config": config} if config else {})}


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_2_0_1__and__v311_mqtt_3_2_0_1_connack_comes_first(connect, topic, version):
    one, publisher = connect(version, **keep(version)), connect()
    one.subscribe(topic, qos=2)
    publisher.publish(topic, "open", qos=1)
    one.expect_message(topic, "open", acknowledge=False)
    one.drop()
    publisher.publish(topic, "queued", qos=2)
    for _ in range(5):
        one.connect(**keep(version))  # which expects CONNACK as the first packet
        one.expect_message(topic, "open", acknowledge=False)
        one.drop()


def test_v5_mqtt_3_2_0_2_one_connack_at_most(connect, client, start_broker, test_plugin):
    one = connect()
    one.send_connect()
    one.expect_disconnect(0x82)
    broker = start_broker(base_config(allow_anonymous=False, plugins=[plugin(test_plugin, "challenge", rounds=1)]))
    method = {"authentication_method": "TEST"}
    answer = wire.make_auth(0x18, {**method, "authentication_data": b"1"})
    two = client(to=broker).open()
    two.send_connect(properties=method)
    two.expect(wire.AUTH, reason=0x18)
    two.send(answer)
    two.expect(wire.CONNACK, reason=0)
    two.send(wire.make_auth(0x19, method))
    two.expect(wire.AUTH, reason=0x18)
    two.send(answer)
    two.expect(wire.AUTH, reason=0)
    two.ping()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_2_2_1_connack_flags(client, version):
    for clean, flags in ((False, 0), (False, 1), (True, 0)):
        one = client(version, id="flags").open()
        one.send_connect(**{**keep(version), "clean": clean})
        assert next_bytes(one)[2] == flags
        one.drop()


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_2_2_2__and__v5_mqtt_3_2_2_3__and__v311_mqtt_3_2_2_1__and__v311_mqtt_3_2_2_2__and__v311_mqtt_3_2_2_3_session_present(
        client, version):
    one = client(version)
    for clean, present in ((False, False), (False, True), (True, False)):
        connack = one.connect(**{**keep(version), "clean": clean})
        assert connack.session_present == present and connack.reason == 0
        one.drop()


def test_v5_mqtt_3_2_2_3_no_session_after_expiry(client):
    one = client()
    one.connect(clean=False)  # expiry 0
    one.drop()
    two = client()
    two.connect(clean=False, properties=KEPT)
    two.disconnect(0, {"session_expiry_interval": 0})
    for gone in (one, two):
        assert not gone.connect(clean=False).session_present


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_2_2_6__and__v311_mqtt_3_2_2_4_no_session_present_in_a_refusal(start_broker, connect, client, version):
    broker = start_broker(base_config(allow_anonymous=False, plugins=[LOGIN]), {"users.passwd": passwords(ann="secret")})
    right = {"username": "ann", "password": "secret", **keep(version)}
    one = connect(version, to=broker, **right)
    one.disconnect()
    one.open()
    one.send_connect(**{**right, "password": "wrong"})
    assert not expect_refused(one, 0x86, 0x87, 4, 5).session_present
    assert one.connect(**right).session_present


@pytest.mark.parametrize("version", BOTH)
def test_v5_mqtt_3_2_2_7__and__v5_mqtt_3_2_2_8__and__v311_mqtt_3_2_2_5__and__v311_mqtt_3_2_2_6_codes_of_refusals(
        start_broker, client, version):
    # Each kind of refusal that the broker knows; expect_refused asserts codes of the table, and EOF behind them.
    broker = start_broker(base_config(allow_anonymous=False, plugins=[LOGIN], limits={"packet_size": 300}),
                          {"users.passwd": passwords(ann="secret")})
    own = {V5: (({"level": 7}, [0x84]), ({"properties": {"receive_maximum": 0}}, [0x81, 0x82])),
           V311: (({"level": 2}, [1]), ({"client_id": "", "clean": False}, [2]), ({"tail": b"x"}, []))}[version]
    for options, codes in (({}, [0x87, 5]), ({"username": "ann", "password": "x"}, [0x86, 4]),
                           ({"connect_flags": 1}, [0x81]), ({"client_id": "x" * 400}, [0x95]),
                           ({"will": Will("a/#")}, [0x81, 0x82, 0x90]), ({"name": "X"}, [0x84]), *own):
        one = client(version, to=broker).open()
        one.send_connect(**options)
        expect_refused(one, *codes)


def test_v5_mqtt_3_2_2_9__and__v5_mqtt_3_2_2_10_no_limit_of_qos_is_announced_and_none_is_there(connect, topic):
    one = connect()
    assert "maximum_qos" not in one.connack.properties
    for qos in (0, 1, 2):
        one.subscribe(f"{topic}/{qos}", qos=qos)
        one.publish(f"{topic}/{qos}", "x", qos=qos)
        one.acknowledge(one.await_packet(wire.PUBLISH, topic=f"{topic}/{qos}", qos=qos))


# ------------------------------------------------------------------------------------------- the server's limits


@pytest.fixture
def small(start_broker):
    return start_broker(base_config(limits={"packet_size": 200, "topic_aliases": 3}))


@pytest.mark.parametrize("over", (0, 1))
def test_v5_mqtt_3_2_2_15_maximum_packet_size(small, connect, client, topic, over):
    one = connect(to=small)
    limit = one.connack.properties.get("maximum_packet_size")
    assert limit == 200
    one.subscribe(topic)
    head = len(wire.make_publish(V5, topic, "x" * 150)) - 150
    one.send(wire.make_publish(V5, topic, "x" * (limit - head + over)))
    two = client(to=small).open()
    head = len(wire.make_connect(V5, "x" * 150)) - 150
    two.send(wire.make_connect(V5, "x" * (limit - head + over)))
    if over:
        one.expect_disconnect(0x95)
        expect_refused(two, 0x95)
    else:
        one.expect(wire.PUBLISH, topic=topic)
        two.expect(wire.CONNACK, reason=0)


def oversized():
    long = {"reason_string": "x" * 200}, {"user_property": ("name", "x" * 200)}
    acks = {"3_4_2": wire.PUBACK, "3_5_2": wire.PUBREC, "3_6_2": wire.PUBREL, "3_7_2": wire.PUBCOMP}
    for section, kind in acks.items():
        for i, properties in enumerate(long):
            yield f"v5_mqtt_{section}_{2 + i}", wire.make_ack(V5, kind, 1, 0, properties)
    for i, properties in enumerate(long):
        yield f"v5_mqtt_3_14_2_{3 + i}", wire.make_disconnect(V5, 0, properties)
        yield f"v5_mqtt_3_15_2_{2 + i}", wire.make_auth(0x19, {"authentication_method": "TEST", **properties})


@pytest.mark.parametrize("packet", [pytest.param(packet, id=name) for name, packet in oversized()])
def test_packet_of_the_client_above_the_limit(small, connect, packet):
    one = connect(to=small)
    one.send(packet)
    one.expect_disconnect(0x95)


def test_v5_mqtt_3_2_2_17__and__v5_mqtt_3_3_2_9_alias_above_the_maximum(small, connect, topic):
    one = connect(to=small)
    assert one.connack.properties.get("topic_alias_maximum") == 3
    one.send_publish(topic, "x", properties={"topic_alias": 3})
    one.ping()
    one.send_publish(topic, "x", properties={"topic_alias": 4})
    one.expect_disconnect(0x94)


@pytest.mark.parametrize("alias", (1, 65535))
def test_v5_mqtt_3_2_2_18_no_aliases_at_all(start_broker, connect, topic, alias):
    one = connect(to=start_broker(base_config(limits={"topic_aliases": 0})))
    assert one.connack.properties.get("topic_alias_maximum", 0) == 0
    one.send_publish(topic, "x", properties={"topic_alias": alias})
    one.expect_disconnect(0x94)


@pytest.mark.parametrize("qos", (0, 1, 2))
def test_v5_mqtt_3_2_2_14_retain_where_it_is_not_available(unretaining, connect, topic, qos):
    one, watcher = connect(to=unretaining), connect(to=unretaining)
    assert one.connack.properties.get("retain_available") == 0
    watcher.subscribe(topic)
    one.publish(topic, "not retained", qos=qos)
    watcher.expect_message(topic, "not retained")
    one.send_publish(topic, "retained", qos, retain=True)
    one.expect_disconnect(0x9A)
    watcher.expect_nothing()


def test_v5_mqtt_3_2_2_13_retained_will_where_it_is_not_available(unretaining, connect, client, topic):
    one = client(to=unretaining).open()
    one.send_connect(will=Will(topic, "x", retain=True))
    expect_refused(one, 0x9A)
    connect(to=unretaining, will=Will(topic, "x")).ping()


@pytest.fixture
def unretaining(start_broker):
    return start_broker(base_config(limits={"retained_messages": 0}))


# ------------------------------------------------------------------------------------------- the client's packet size


@pytest.fixture
def telling(start_broker, test_plugin):
    """A broker with plugins that show the client long reasons for their refusals."""
    return start_broker(base_config(plugins=[plugin(test_plugin, "shows-reason"), plugin(test_plugin, "message-in")]))


def small_enough(packet, limit):
    assert packet.size <= limit
    assert "reason_string" not in packet.properties and "user_property" not in packet.properties, packet


def test_v5_mqtt_3_2_2_19__and__v5_mqtt_3_2_2_20_connack_leaves_the_reason_out(telling, client):
    for limit in (None, 400, 100, 50, 20, 10, 5):
        one = client(to=telling).open()
        one.send_connect(username="refused", properties={"maximum_packet_size": limit} if limit else None)
        connack = one.expect(wire.CONNACK, reason=0x87)
        if limit in (None, 400):
            assert len(connack.properties.get("reason_string")) > 100
        else:
            small_enough(connack, limit)
        one.expect_close()


def test_v5_mqtt_3_4_2_2__and__v5_mqtt_3_4_2_3__and__v5_mqtt_3_5_2_2__and__v5_mqtt_3_5_2_3_refusals_leave_the_reason_out(
        telling, connect):
    for limit in (None, 400, 100, 40, 24):
        one = connect(to=telling, properties={"maximum_packet_size": limit} if limit else None)
        for qos, kind in ((1, wire.PUBACK), (2, wire.PUBREC)):
            one.send_publish("refused/topic", "x", qos)
            got = one.expect(kind, reason=0x87)
            if limit in (None, 400):
                assert len(got.properties.get("reason_string")) > 100
            else:
                small_enough(got, limit)


def test_v5_mqtt_3_6_2_2__and__v5_mqtt_3_6_2_3__and__v5_mqtt_3_7_2_2__and__v5_mqtt_3_7_2_3_releases_are_small(
        telling, connect, topic):
    one, publisher = connect(to=telling, properties={"maximum_packet_size": 24}), connect(to=telling)
    one.send_ack(wire.PUBREL, 9)
    small_enough(one.expect(wire.PUBCOMP, packet_id=9, reason=0x92), 24)
    one.send_ack(wire.PUBREC, 9)
    small_enough(one.expect(wire.PUBREL, packet_id=9, reason=0x92), 24)
    one.subscribe("t", qos=2)
    publisher.publish("t", "x", qos=2)
    message = one.expect_message("t", acknowledge=False)
    one.send_ack(wire.PUBREC, message.packet_id)
    small_enough(one.expect(wire.PUBREL), 24)


def test_v5_mqtt_3_9_2_1__and__v5_mqtt_3_9_2_2__and__v5_mqtt_3_11_2_1__and__v5_mqtt_3_11_2_2_suback_and_unsuback_are_small(
        telling, connect):
    one = connect(to=telling, properties={"maximum_packet_size": 24})
    one.send(wire.make_subscribe(V5, 1, [("refused/a", 1), ("a", 1)]) + wire.make_unsubscribe(V5, 2, ["none", "a"]))
    suback = one.expect(wire.SUBACK, reasons=[0x87, 1])
    small_enough(suback, 24)
    small_enough(one.expect(wire.UNSUBACK, reasons=[0x11, 0]), 24)


def test_v5_mqtt_3_14_2_3__and__v5_mqtt_3_14_2_4_disconnect_leaves_the_reason_out(telling, client):
    method = {"authentication_method": "SHOW"}
    for limit in (None, 400, 60, 32):
        one = client(to=telling).open()
        one.send_connect(properties={**method, **({"maximum_packet_size": limit} if limit else {})})
        one.expect(wire.CONNACK, reason=0)
        one.send(wire.make_auth(0x19, method))
        got = one.expect(wire.DISCONNECT, reason=0x87)
        if limit in (None, 400):
            assert len(got.properties.get("reason_string")) > 100
        else:
            small_enough(got, limit)
        one.expect_close()


def test_v5_mqtt_3_15_2_2__and__v5_mqtt_3_15_2_3_auth_is_small(start_broker, client, test_plugin):
    broker = start_broker(base_config(allow_anonymous=False, plugins=[plugin(test_plugin, "challenge")]))
    method = {"authentication_method": "TEST"}
    for limit in (40, 20, 10):
        one = client(to=broker).open()
        one.send_connect(properties={**method, "maximum_packet_size": limit})
        if limit >= 20:
            small_enough(one.expect(wire.AUTH, reason=0x18), limit)
        else:
            expect_refused(one, 0x95)
