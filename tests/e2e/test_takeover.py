"""Takeover: a second connection with the client id of a live one."""

import threading

import pytest

import mqtt_codec as wire
from mqtt_codec import V31, V311, V5, VERSIONS, Will


@pytest.mark.parametrize("old_version", VERSIONS)
@pytest.mark.parametrize("new_version", VERSIONS)
def test_the_older_connection_is_closed(connect, client, old_version, new_version):
    # [v5 MQTT-3.1.4-3] [v311 MQTT-3.1.4-2]
    old = connect(old_version)
    new = client(new_version, id=old.client_id)
    new.connect()
    old.expect_disconnect(0x8E)
    new.ping()


def test_session_moves_to_the_new_connection(connect, client, topic):
    # [v5 MQTT-3.1.4-4]
    kept = {"session_expiry_interval": 60}
    old = connect(properties=kept)
    old.subscribe(topic, qos=1)
    new = client(id=old.client_id)
    assert new.connect(clean=False, properties=kept).session_present
    old.expect_disconnect(0x8E)
    connect().publish(topic, "to the new one", qos=1)
    new.expect_message(topic, "to the new one")


def test_session_without_expiry_does_not_move(connect, client, topic):
    # [v5 MQTT-4.1.0-2]: the old connection's close ends a session with expiry 0; mosquitto agrees for 3.1.1
    old = connect(V311)
    old.subscribe(topic, qos=1)
    new = client(V311, id=old.client_id)
    assert not new.connect(clean=False).session_present


@pytest.mark.parametrize("version", (V311, V5))
def test_will_of_the_older_connection_is_published(connect, client, topic, version):
    # [v5 MQTT-3.1.2-8] [v311 MQTT-3.1.2-8]
    watcher = connect()
    watcher.subscribe(topic)
    old = connect(version, will=Will(topic, "taken over"))
    new = client(version, id=old.client_id)
    new.connect()
    watcher.expect_message(topic, "taken over")
    new.ping()


def test_delayed_will_of_the_older_connection_is_cancelled_by_resuming(connect, client, topic):
    # [v5 MQTT-3.1.3-9]
    watcher = connect()
    watcher.subscribe(topic)
    kept = {"session_expiry_interval": 60}
    old = connect(properties=kept, will=Will(topic, "never", properties={"will_delay_interval": 1}))
    new = client(id=old.client_id)
    new.connect(clean=False, properties=kept)
    watcher.expect_nothing(1.4)


def test_many_takeovers_in_a_row(connect, client, topic):
    kept = {"session_expiry_interval": 60}
    one = connect(properties=kept)
    one.subscribe(topic, qos=1)
    publisher = connect()
    for i in range(40):
        new = client(id=one.client_id)
        assert new.connect(clean=False, properties=kept).session_present
        one.expect_disconnect(0x8E)
        publisher.publish(topic, str(i), qos=1)
        new.expect_message(topic, str(i))
        new.ping()  # its PUBACK has been read before the next one takes over
        one = new


@pytest.mark.parametrize("version", (V31, V5))
def test_many_connections_fight_for_one_client_id(broker, client, connect, name, version):
    # Whoever wins, the broker keeps answering and the last one connected is alive.
    errors = []

    def fight():
        try:
            for _ in range(15):
                one = client(version, id=name("fight"))
                one.open()
                one.send_connect(clean=False)
                one.await_packet(wire.CONNACK)
        except wire.WireError as error:
            errors.append(error)
        except AssertionError:
            pass

    threads = [threading.Thread(target=fight) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    last = connect(version, id=name("fight"))
    last.ping()
