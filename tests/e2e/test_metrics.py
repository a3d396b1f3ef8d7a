"""What the broker counts: each metric is moved by a known amount and read back."""

import datetime
import pathlib
import re
import time

import pytest

import mqtt_codec as wire
from broker import ROOT, WORKERS, base_config, passwords
from mqtt_codec import V5, Will
from mqtt_raw import Client
from plugins import entry
from scrape import ENTRY, Moves, scrape

KEPT = {"session_expiry_interval": 60}


@pytest.fixture
def counted(start_broker):
    """counted(plugins..., **config): a broker whose metrics are served, and what has moved since its start."""

    def start(*plugins, files=None, descriptors=None, **changes):
        broker = start_broker(base_config(plugins=[*plugins, ENTRY], **changes), files, descriptors=descriptors)
        return broker, Moves(broker)

    return start


def test_connections_clients_and_sessions(counted, connect, client):
    broker, moves = counted(listeners=[{"name": "default", "bind": "@default@"}, {"name": "other", "bind": "@other@"}])
    one = connect(to=broker, properties=KEPT)
    two = connect(to=broker.addresses["other"])
    silent = client(to=broker).open()
    moves.wait(connections=3, clients_connected=2, sessions=2, connections_accepted_total=3,
               listener_connections__listener__default=2, listener_connections__listener__other=1,
               listener_connections_accepted_total__listener__default=2, logins_total__result__allowed=2)
    one.drop()
    two.disconnect()
    silent.drop()
    moves.wait(connections=0, clients_connected=0, sessions=1, connections_accepted_total=3,
               listener_connections__listener__default=0, listener_connections_accepted_total__listener__other=1)
    connect(to=broker, id=one.client_id, properties={"session_expiry_interval": 1}, clean=False)
    connect(to=broker, id=one.client_id, properties={"session_expiry_interval": 1}, clean=False).drop()
    moves.wait(sessions_taken_over_total=1, clients_connected=0)
    moves.wait(sessions_expired_total=1, sessions=0)


def test_packets_and_bytes(counted, connect):
    broker, moves = counted()
    one = connect(to=broker, version=4)
    one.subscribe("a/#", qos=2)
    one.publish("a/b", "12345", qos=1)
    one.expect_message("a/b", "12345")
    one.publish("a/b", "123", qos=2)
    one.expect_message("a/b", "123")
    one.unsubscribe("a/#")
    one.ping()
    # CONNECT 14 + id, SUBSCRIBE 10, PUBLISH 14 and 12, and so on; sent is known as exactly.
    moves.wait(packets_received_total__type__connect=1, packets_sent_total__type__connack=1,
               packets_received_total__type__subscribe=1, packets_sent_total__type__suback=1,
               packets_received_total__type__publish=2, packets_sent_total__type__publish=2,
               packets_received_total__type__puback=1, packets_sent_total__type__puback=1,
               packets_received_total__type__pubrec=1, packets_sent_total__type__pubrec=1,
               packets_received_total__type__pubrel=1, packets_sent_total__type__pubrel=1,
               packets_received_total__type__pubcomp=1, packets_sent_total__type__pubcomp=1,
               packets_received_total__type__unsubscribe=1, packets_sent_total__type__unsuback=1,
               packets_received_total__type__pingreq=1, packets_sent_total__type__pingresp=1,
               publish_received_total=2, publish_sent_total=2,
               publish_received_bytes_total=8, publish_sent_bytes_total=8,
               received_bytes_total=(14 + len(one.client_id)) + 10 + 14 + 12 + 4 * 4 + 9 + 2,
               sent_bytes_total=4 + 5 + 14 + 12 + 4 * 4 + 4 + 2)
    one.send(wire.make_disconnect(4))
    moves.wait(packets_received_total__type__disconnect=1)


def test_packets_of_5_0(counted, connect):
    broker, moves = counted(entry("challenge"))
    one = connect(to=broker)
    one.send(wire.make_disconnect(5, 0xFF))
    one.expect_disconnect(0x81, 0x82)
    moves.wait(packets_sent_total__type__disconnect=1)


def test_workers_add_up(counted, connect):
    broker, moves = counted()
    clients = [connect(to=broker) for _ in range(8)]
    for one in clients:
        one.subscribe("t")
    clients[0].publish("t", "x", qos=1)
    moves.wait(publish_sent_total=8, clients_connected=8, connections=8)
    now = scrape(broker)
    for metric, whole in (("worker_clients", "clients_connected"), ("worker_connections", "connections"),
                          ("worker_publish_received_total", "publish_received_total"),
                          ("worker_publish_sent_total", "publish_sent_total"),
                          ("worker_received_bytes_total", "received_bytes_total"),
                          ("worker_sent_bytes_total", "sent_bytes_total")):
        parts = [now[f'noctule_{metric}{{worker="{n}"}}'] for n in range(WORKERS)]
        assert sum(parts) == now[f"noctule_{whole}"]
    for n in range(WORKERS):
        assert now[f'noctule_worker_cpu_seconds_total{{worker="{n}"}}'] > 0
        assert now[f'noctule_worker_backlog{{worker="{n}"}}'] >= 0
        assert now[f'noctule_worker_arriving_bytes{{worker="{n}"}}'] == 0


def test_subscriptions_and_retained(counted, connect):
    broker, moves = counted(limits={"retained_messages": 2})
    one = connect(to=broker)
    one.subscribe("a", "b/+", "$share/g/c")
    one.publish("r/1", "12345", qos=1, retain=True)
    one.publish("r/2", "1", qos=1, retain=True)
    one.publish("r/3", "1", qos=1, retain=True)
    moves.wait(subscriptions=3, shared_subscriptions=1, retained_messages=2, retained_refused_total=1, stored_messages=2)
    assert moves.of("retained_bytes") == moves.of("stored_bytes") > 10
    one.unsubscribe("a", "$share/g/c")
    one.publish("r/1", "", qos=1, retain=True)
    moves.wait(subscriptions=1, shared_subscriptions=0, retained_messages=1, stored_messages=1)
    one.publish("r/2", "", qos=1, retain=True)
    moves.wait(retained_messages=0, retained_bytes=0, stored_messages=0, stored_bytes=0)


def test_queues_and_inflight(counted, connect):
    broker, moves = counted()
    away = connect(to=broker, properties=KEPT)
    away.subscribe("q", qos=1)
    away.drop()
    moves.wait(clients_connected=0)
    one = connect(to=broker)
    for _ in range(3):
        one.publish("q", "123", qos=1)
    moves.wait(queued_messages=3, inflight_messages=0)
    assert moves.of("queued_bytes") > 9
    back = connect(to=broker, id=away.client_id, clean=False, properties={**KEPT, "receive_maximum": 2})
    moves.wait(queued_messages=1, inflight_messages=2)
    for _ in range(3):
        back.expect_message("q", "123")
    moves.wait(queued_messages=0, queued_bytes=0, inflight_messages=0)
    # What a session holds goes with it.
    back.drop()
    moves.wait(clients_connected=1)
    one.publish("q", "1", qos=1)
    moves.wait(queued_messages=1)
    connect(to=broker, id=away.client_id, clean=True)
    moves.wait(queued_messages=0, queued_bytes=0, inflight_messages=0)


def test_drops(counted, connect):
    broker, moves = counted(limits={"queued_messages": 2})
    away = connect(to=broker, properties=KEPT)
    away.subscribe("full", "old", qos=1)
    away.subscribe("none")
    away.drop()
    moves.wait(clients_connected=0)
    one = connect(to=broker)
    one.publish("none", "x")
    one.publish("old", "x", qos=1, properties={"message_expiry_interval": 1})
    for _ in range(3):
        one.publish("full", "x", qos=1)
    moves.wait(publish_dropped_total__reason__not_connected=1, publish_dropped_total__reason__queue_full=2)
    time.sleep(1.1)
    back = connect(to=broker, id=away.client_id, clean=False, properties={**KEPT, "maximum_packet_size": 30})
    back.expect_message("full")
    moves.wait(publish_dropped_total__reason__expired=1)
    one.publish("full", "x" * 40, qos=1)
    moves.wait(publish_dropped_total__reason__too_large=1)


def test_drops_by_plugins(counted, connect):
    broker, moves = counted(entry("message-in"), entry("message-out"))
    one = connect(to=broker)
    one.publish("in/drop", "x", qos=1)
    moves.wait(publish_dropped_total__reason__hook=1)
    one.subscribe("out/#")
    one.publish("out/drop", "x", qos=1)
    moves.wait(publish_dropped_total__reason__hook=2)


def test_memory_is_full(counted, connect):
    broker, moves = counted()
    away = connect(to=broker, properties=KEPT)
    away.subscribe("q", qos=1)
    away.drop()
    one = connect(to=broker)
    for i in range(20):
        one.publish(f"r/{i}", b"x" * 1000000, qos=1, retain=True)
    broker.configure(base_config(plugins=[ENTRY], limits={"memory": "16MiB"}))
    broker.reload()
    broker.wait_log("limits.memory is reached: new connections")
    one.publish("q", "x", qos=1)
    for _ in range(3):
        with Client(broker.address, 5, "") as refused:
            refused.open()
            refused.send_connect()
            assert refused.expect(wire.CONNACK).reason == 0x89
    moves.wait(connections_refused_total__reason__memory=3, connections_accepted_total=5,
               publish_dropped_total__reason__memory_limit=1)


def test_denials_and_logins(counted, connect, client):
    files = {"users": passwords(ann="secret"), "acl": "user ann\ntopic readwrite ok/#\ntopic write in/#\ntopic deny no/#\n"}
    broker, moves = counted({"name": "file-auth", "config": {"password_file": "users"}},
                            {"name": "acl-file", "config": {"acl_file": "acl", "check_subscribe": True}}, files=files,
                            allow_anonymous=False)
    ann = {"username": "ann", "password": "secret"}
    one = connect(to=broker, **ann, will=Will("no/will", "x"))
    client(to=broker).connect(reason=0x86, username="ann", password="wrong")
    one.publish("no/1", "x", qos=1, reason=0x87)
    one.subscribe("no/#", reasons=[0x87])
    one.subscribe("+/1")
    one.publish("in/1", "x", qos=1)
    one.drop()
    moves.wait(denials_total__access__connect=1, denials_total__access__publish=1, denials_total__access__subscribe=1,
               denials_total__access__deliver=1, denials_total__access__will=1,
               publish_dropped_total__reason__not_authorized=1,
               logins_total__result__allowed=1, logins_total__result__denied=1)


def test_logins_that_fail(counted, client):
    broker, moves = counted(entry("late", timeout="50ms"), allow_anonymous=False)
    client(to=broker).connect(reason=0x87, username="late", password="x")
    moves.wait(logins_total__result__failed=1, denials_total__access__connect=1)
    moves.wait_all({'plugin_pending{plugin="late"}': 0, 'plugin_timeouts_total{plugin="late"}': 1, "pending_decisions": 0,
                    'plugin_verdicts_total{plugin="late",verdict="pending"}': 1,
                    'plugin_verdicts_total{plugin="late",verdict="error"}': 1})


def test_verdicts_that_are_used_again(counted, connect):
    broker, moves = counted(entry("revoke"))
    one = connect(to=broker)
    for _ in range(3):
        one.publish("again", "x", qos=1)
    moves.wait_all({'plugin_verdicts_reused_total{plugin="revoke"}': 2})


def test_verdicts_that_are_shared(counted, connect):
    broker, moves = counted(entry("slow", config={"delay": "200ms"}))
    one = connect(to=broker)
    one.send(wire.make_subscribe(V5, 1, [("same", 0)] * 3 + [("other", 0)]))
    one.expect(wire.SUBACK)
    moves.wait_all({'plugin_verdicts_shared_total{plugin="slow"}': 2})


def test_connections_refused(counted, client):
    broker, moves = counted(limits={"connections": 1}, listeners=[{"name": "default", "bind": "@default@"}])
    client(to=broker).connect()
    client(to=broker).connect(reason=0x97)
    moves.wait(connections_refused_total__reason__limit=1, connections_accepted_total=2)


def test_connections_refused_for_their_rate_and_address(counted, client):
    files = {"users": passwords(ann="secret")}
    broker, moves = counted({"name": "file-auth", "config": {"password_file": "users"}}, files=files, allow_anonymous=False,
                            limits={"auth_failures": 1},
                            listeners=[{"name": "default", "bind": "@default@"},
                                       {"name": "slow", "bind": "@slow@", "connect_rate": 1}])
    client(to=broker.addresses["slow"]).connect(username="ann", password="secret")
    client(to=broker.addresses["slow"]).connect(reason=0x9F, username="ann", password="secret")
    client(to=broker).connect(reason=0x86, username="ann", password="wrong")
    client(to=broker).connect(reason=0x8A, username="ann", password="secret")
    moves.wait(connections_refused_total__reason__rate=1, connections_refused_total__reason__address=1)


def test_accept_pauses(counted, connect):
    broker, moves = counted(descriptors=64, limits={"connect_timeout": "60s"})
    connect(to=broker)
    opened = []
    try:
        # One descriptor after the other, until accepting has to stand still.
        for _ in range(80):
            one = Client(broker.address)
            opened.append(one.open())
        broker.wait_log("cannot accept connections")
    finally:
        for one in opened:
            one.drop()
    moves.wait(connections=1)
    assert moves.of("accept_pauses_total") >= 1


def test_plugins_are_counted(counted, connect):
    broker, moves = counted({"name": "rules", "module": "acl-file", "config": {"acl_file": "acl"}}, files={"acl": "topic write a/#\n"})
    one = connect(to=broker)
    for i in range(3):
        one.publish(f"a/{i}", "x", qos=1)
    one.publish("b", "x", qos=1, reason=0x87)
    key = 'plugin_verdicts_total{plugin="rules",verdict="%s"}'
    moves.wait_all({key % "allow": 3, key % "deny": 0, key % "next": 1, key % "error": 0,
                    'plugin_decision_duration_seconds_count{plugin="rules"}': 4,
                    'plugin_decision_duration_seconds_bucket{plugin="rules",le="+Inf"}': 4,
                    'plugin_pending{plugin="rules"}': 0, 'plugin_timeouts_total{plugin="rules"}': 0})
    assert moves.of('plugin_hook_duration_seconds_count{plugin="rules"}') >= 4


def test_pending(counted, connect):
    broker, moves = counted(entry("never", timeout="100ms"))
    one = connect(to=broker)
    one.send_publish("never/1", "x", 1)
    # What the broker has given up waiting for is pending until the plugin answers.
    moves.wait_all({'plugin_pending{plugin="never"}': 1, "pending_decisions": 1, 'plugin_timeouts_total{plugin="never"}': 1})


def documented():
    """Names of the tables of docs/metrics.md, as they are served."""
    names = set()
    for line in (ROOT / "docs" / "metrics.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 3 and cells[1].startswith("`noctule_"):
            names |= set(re.findall(r"`(noctule_\w+)`", cells[1]))
    return names


def with_tls(house):
    return [{"name": "default", "bind": "@default@"},
            {"name": "tls", "bind": "@tls@", "tls": house.mutual(crl=house.path("crl.pem"))}]


def test_expiry_of_certificates(counted, house):
    broker, _ = counted(listeners=with_tls(house))
    now = scrape(broker)
    server = house.identities["server"].certificate.not_valid_after.replace(tzinfo=datetime.timezone.utc).timestamp()
    assert now['noctule_listener_certificate_expiry_seconds{listener="tls"}'] == server
    assert now['noctule_listener_crl_expiry_seconds{listener="tls"}'] == pytest.approx(time.time() + 30 * 86400, abs=600)
    assert 'noctule_listener_certificate_expiry_seconds{listener="default"}' not in now


def test_documented_are_served_and_the_other_way_round(counted, house):
    broker, _ = counted({"name": "rules", "module": "acl-file", "config": {"acl_file": "acl"}}, files={"acl": ""},
                        listeners=with_tls(house))
    served = {re.sub(r"_(bucket|sum|count)$", "", name) if "_duration_seconds_" in name else name
              for name in (key.split("{")[0] for key in scrape(broker)) if name.startswith("noctule_")}
    assert served == documented()


def test_every_metric_is_moved_by_a_test():
    """Those that stand still, or move by themselves, are looked at elsewhere."""
    text = pathlib.Path(__file__).read_text()
    constant = {"noctule_build_info", "noctule_start_time_seconds", "noctule_resident_memory_bytes",
                "noctule_resident_memory_maximum_bytes"}
    missing = {name for name in documented() - constant if name.removeprefix("noctule_") not in text}
    assert not missing


def test_what_stands_still(counted):
    broker, _ = counted()
    now = scrape(broker)
    assert abs(now["noctule_start_time_seconds"] - time.time()) < 60
    assert now["noctule_resident_memory_maximum_bytes"] >= now["noctule_resident_memory_bytes"] * 0.9 > 1e6
    assert [key for key in now if key.startswith('noctule_build_info{version="')]


def test_reasons_and_events_are_explained():
    """docs/operations.md has every reason for which a message is dropped, and every event of the log."""
    text = (ROOT / "docs" / "operations.md").read_text()
    sources = [path.read_text() for path in (ROOT / "core").rglob("*.c")]
    events = {name for source in sources
              for name in re.findall(r'\b(?:log_event|log_connection|log_write)\([^;]*?LOG_\w+,\s*"(\w+)",', source)}
    assert len(events) > 20
    counters = (ROOT / "core" / "broker" / "metrics.c").read_text()
    reasons = set(re.findall(r'\[DROP_\w+\] = "(\w+)"', counters))
    assert len(reasons) == 8
    missing = {name for name in events | reasons if f"`{name}`" not in text}
    assert not missing
