"""Following a client: `noctule trace` and `noctule explain --live`."""

import json
import re
import subprocess
import time

import pytest

import mqtt_codec as wire
from broker import EXECUTABLE, RUNNER, environment, passwords, run_command
from control_support import control  # noqa: F401
from mqtt_raw import DEADLINE, TIME_SCALE
from plugins import chain, entry
from scrape import ENTRY, Moves

pytestmark = pytest.mark.reference_differs

HOSTILE = 'x\x1b[2J\r\n\u202e"\\'


class Trace:
    """A trace that has begun, and what it has shown so far."""

    def __init__(self, broker, **filter_):
        self.control = broker.control()
        self.control.send({"noctule": 1, "command": "trace", **filter_})
        first = self.control.line()
        assert first == {"row": {"event": "begin"}}, first
        self.seen = []

    def until(self, event, **members):
        """The next event of this kind with these members."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            line = self.control.line()
            assert line is not None, self.seen
            if "row" not in line:
                self.last = line
                return None
            row = line["row"]
            self.seen.append(row)
            if row["event"] == event and all(row.get(name) == value for name, value in members.items()):
                return row
        raise AssertionError(self.seen)


# ---- trace -------------------------------------------------------------------------------------------------


def test_packets_both_ways(control, connect, client):  # noqa: F811
    broker = control()
    trace = Trace(broker, client_id="one")
    one = client(to=broker, id="one")
    one.connect(password="secret", username="u")
    connected = trace.until("received", packet="CONNECT")
    assert connected["has_password"] is True and connected["client_id"] == "one" and connected["version"] == 5
    assert trace.until("sent", packet="CONNACK")["reason_code"] == 0
    one.subscribe("a/#", qos=1)
    assert trace.until("received", packet="SUBSCRIBE")["filters"] == [{"filter": "a/#", "qos": 1}]
    assert trace.until("sent", packet="SUBACK")["reason_codes"] == [1]
    connect(to=broker, id="two").publish("a/1", "hello", qos=1)  # of another client: not shown
    sent = trace.until("sent", packet="PUBLISH")
    assert (sent["topic"], sent["qos"], sent["payload_bytes"]) == ("a/1", 1, 5) and "payload" not in sent
    one.expect_message("a/1", "hello")
    assert trace.until("received", packet="PUBACK")["packet_id"] == sent["packet_id"]
    assert trace.until("acknowledged")["inflight"] == 0
    one.publish("b", "x", qos=2)
    assert trace.until("received", packet="PUBLISH")["topic"] == "b"
    for kind, packet in (("sent", "PUBREC"), ("received", "PUBREL"), ("sent", "PUBCOMP")):
        assert trace.until(kind, packet=packet)["reason_code"] in (0, 0x10)
    one.ping()
    trace.until("sent", packet="PINGRESP")
    one.disconnect()
    trace.until("received", packet="DISCONNECT")
    assert trace.until("end")["reason_code"] == 0
    assert {row["client_id"] for row in trace.seen} == {"one"}
    assert "secret" not in json.dumps(trace.seen) and "hello" not in json.dumps(trace.seen)


def test_payloads_when_asked_for(control, connect):  # noqa: F811
    broker = control()
    one = connect(to=broker, id="one")
    trace = Trace(broker, client_id="one", payload=True)
    one.publish("t", "hällo", qos=1)
    assert trace.until("received", packet="PUBLISH")["payload"] == "hällo"
    one.publish("t", b"\xff\x00", qos=1)
    assert trace.until("received", packet="PUBLISH")["payload_hex"] == "ff00"
    one.publish("t", b"x" * 100000, qos=1)
    shown = trace.until("received", packet="PUBLISH")
    assert shown["payload_bytes"] == 100000 and 100 < len(shown["payload_hex"]) < 10000


@pytest.mark.parametrize("filter_", ({"username": "u"}, {"address": "host"}, {"address": "port"},
                                     {"username": "u", "client_id": "one"}))
def test_those_who_are_connected_already(control, connect, filter_):  # noqa: F811
    broker = control(chain("revokes"))
    one, other = connect(to=broker, id="one", username="u"), connect(to=broker, id="two", username="v")
    row = next(line["row"] for line in broker.ask("clients")[0] if line["row"]["client_id"] == "one")
    address = {"host": row["address"].rsplit(":", 1)[0], "port": row["address"]}
    trace = Trace(broker, **{name: address.get(value, value) for name, value in filter_.items()})
    other.ping()
    one.ping()
    shown = trace.until("received", packet="PINGREQ", client_id="one")
    assert shown["username"] == "u"
    if filter_ != {"address": "host"}:
        assert {seen["client_id"] for seen in trace.seen} == {"one"}


def test_decisions_with_their_origin(control, connect):  # noqa: F811
    broker = control(chain("grants", entry("slow", config={"delay": "20ms"}), default_access="deny"))
    one = connect(to=broker, id="one")
    trace = Trace(broker, client_id="one")
    one.publish("own/one/a", "x", qos=1)
    step = trace.until("decision")
    assert step["plugin"] == "grants" and step["from"] == "grants" and step["verdict"] == "allow"
    assert step["asked"] == "publish" and step["topic"] == "own/one/a" and "grant 2" in step["rule"]
    one.publish("slow/x", "x", qos=1)
    step = trace.until("decision", plugin="slow")
    assert step["from"] == "hook" and step["microseconds"] >= 15000
    one.publish("own/one/secret", "x", qos=1, reason=0x87)
    denied = trace.until("denied")
    assert denied["access"] == "publish" and denied["plugin"] == "grants" and "own/one/secret" in denied["rule"]


def test_verdicts_from_the_cache(control, connect):  # noqa: F811
    broker = control(chain("revoke"))
    one = connect(to=broker, id="one")
    trace = Trace(broker, client_id="one")
    one.publish("a", "x", qos=1)
    assert trace.until("decision")["from"] == "hook"
    one.publish("a", "x", qos=1)
    assert trace.until("decision")["from"] == "cache"


def test_queue_and_what_is_unacknowledged(control, connect, client):  # noqa: F811
    broker = control()
    one = client(to=broker, id="one")
    one.connect(properties={"receive_maximum": 1})
    one.subscribe("t", qos=1)
    trace = Trace(broker, client_id="one")
    two = connect(to=broker)
    for i in range(3):
        two.publish("t", str(i), qos=1)
    assert trace.until("unacknowledged")["inflight"] == 1
    assert trace.until("queued")["queue"] == 1
    assert trace.until("queued")["queue"] == 2
    one.expect_messages(3)
    assert trace.until("taken", queue=0)
    assert trace.until("acknowledged", inflight=0)


def test_why_a_connection_ends(control, connect):  # noqa: F811
    broker = control()
    one = connect(to=broker, id="one")
    trace = Trace(broker, client_id="one")
    assert broker.run("kick", "--client-id", "one").returncode == 0
    assert trace.until("closed")["reason"] == "kicked"
    assert trace.until("sent", packet="DISCONNECT")["reason_code"] == 0x98
    assert trace.until("end")["reason_code"] == 0x98
    one.expect_disconnect(0x98)
    two = connect(to=broker, id="one")
    two.send(b"\x00\x00")
    assert trace.until("end")["reason_code"] == 0x81


def test_it_ends_by_itself(control, connect):  # noqa: F811
    broker = control()
    one = connect(to=broker, id="one")
    trace = Trace(broker, client_id="one", seconds=1)
    assert trace.until("never") is None and trace.last == {"ok": True}
    one.ping()
    assert trace.control.ask("status")[1]["ok"]  # the connection is good for more


def test_names_that_a_login_brings(control, client):  # noqa: F811
    broker = control(chain("rename"))
    trace = Trace(broker, username="user-u")
    one = client(to=broker, id="one")
    one.connect(username="u")
    one.ping()
    assert trace.until("received", packet="PINGREQ")["client_id"] == "id-u"


def test_several_at_once_and_too_many(control, connect):  # noqa: F811
    broker = control()
    one = connect(to=broker, id="one")
    traces = [Trace(broker, client_id="one", payload=i % 2 == 1) for i in range(8)]
    refused = broker.control().send({"noctule": 1, "command": "trace", "client_id": "one"}).answer()
    assert refused[1]["error"] == "too many traces at once"
    one.publish("t", "x", qos=1)
    for i, trace in enumerate(traces):
        assert ("payload" in trace.until("received", packet="PUBLISH")) == (i % 2 == 1)
    for trace in traces:
        trace.control.close()
    deadline = time.monotonic() + DEADLINE
    while True:
        one.ping()
        again = broker.control().send({"noctule": 1, "command": "trace", "client_id": "one"})
        if "row" in again.line():
            break
        assert time.monotonic() < deadline


def test_a_stalled_reader_costs_bounded_memory(control, connect):  # noqa: F811
    broker = control()
    one = connect(to=broker, id="one")
    trace = Trace(broker, client_id="one", payload=True)
    for i in range(4000):
        one.send_publish("t", b"x" * 4000, 0)
    one.ping()  # nobody waited for the reader
    if TIME_SCALE == 1:  # not a sanitizer's build
        assert broker.ask("status")[1]["status"]["broker"]["resident_memory_bytes"] < 60 << 20
    left_out = trace.until("left_out")
    assert left_out["count"] > 1000
    shown = sum(row.get("packet") == "PUBLISH" for row in trace.seen)
    assert shown > 100 and shown + left_out["count"] <= 4000 + 100
    one.publish("u", "x", qos=1)
    trace.until("received", packet="PUBLISH", topic="u")


def test_the_command(control, connect):  # noqa: F811
    broker = control(chain("revoke"))
    one = connect(to=broker, id=HOSTILE)
    process = subprocess.Popen([*RUNNER, str(EXECUTABLE), "trace", "--client-id", HOSTILE, "-s", str(broker.socket), "--for", "2s"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    time.sleep(0.5 * TIME_SCALE)
    one.publish("a b", "x", qos=1)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert re.search(r'received PUBLISH: bytes=\d+ topic="a b" qos=1', printed), printed
    assert "decision: asked=publish" in printed and "plugin=revoke verdict=allow" in printed and "from=hook" in printed
    assert "\\u001b[2J" in printed and not any(ord(c) < 32 and c != "\n" for c in printed)
    assert broker.run("trace").returncode == 2 and broker.run("trace", "--for", "x", "--username", "u").returncode == 2


def test_the_reader_goes_away(control, connect):  # noqa: F811
    broker = control()
    one = connect(to=broker, id="one")
    for _ in range(3):
        trace = Trace(broker, client_id="one")
        trace.control.send(b"x" * 1000)
        trace.control.close()
        one.publish("t", "x", qos=1)
    assert broker.ask("status")[1]["ok"]


def test_the_broker_stops_meanwhile(control, connect):  # noqa: F811
    broker = control(chain(entry("slow", config={"delay": "5s"})))
    one = connect(to=broker, id="one")
    Trace(broker, client_id="one")
    waiting = broker.control().send({"noctule": 1, "command": "explain", "client_id": "one", "access": "publish", "topic": "slow/x"})
    one.send_publish("slow/y", "x", 1)
    time.sleep(0.1 * TIME_SCALE)
    broker.stop()
    assert waiting.line() is None or waiting.line() is None  # an answer perhaps, and the end


# ---- explain --live ----------------------------------------------------------------------------------------

ACL = "user ann\ntopic read sensors/#\ntopic deny sensors/secret\ntopic readwrite own/#\n"


@pytest.fixture
def acl_broker(control):  # noqa: F811
    return control({"workers": 2, "listeners": [{"name": "default", "bind": "@default@"}],
                    "log": {"level": "info", "format": "text"},
                    "plugins": [{"name": "file-auth", "config": {"password_file": "users.passwd"}},
                                {"name": "acl-file", "config": {"acl_file": "users.acl"}},
                                ENTRY]},
                   {"users.passwd": passwords(ann="secret"), "users.acl": ACL})


def test_a_denial_leads_to_one_rule(acl_broker, connect):
    """From the client's reason code through log, metrics, trace and explain to one and the same line of the file."""
    broker = acl_broker
    one = connect(to=broker, id="lamp", username="ann", password="secret")
    trace, moves = Trace(broker, client_id="lamp"), Moves(broker)
    one.publish("sensors/secret", "x", qos=1, reason=0x87)
    line = broker.wait_log(r"denied.*client=lamp.*access=publish.*topic=sensors/secret.*plugin=(\S+) rule=(.*)")
    plugin, rule = line.group(1), line.group(2).strip('"')
    assert plugin == "acl-file" and "users.acl:3" in rule
    assert moves.of('denials_total{access="publish"}') == 1
    assert moves.of(f'plugin_verdicts_total{{plugin="{plugin}",verdict="deny"}}') == 1
    denied = trace.until("denied", access="publish", topic="sensors/secret")
    assert (denied["plugin"], denied["rule"]) == (plugin, rule)
    assert trace.until("sent", packet="PUBACK")["reason_code"] == 0x87
    lines, last = broker.ask("explain", client_id="lamp", access="publish", topic="sensors/secret")
    assert (last["plugin"], last["rule"], last["verdict"]) == (plugin, rule, "deny")
    done = broker.run("explain", "--live", "--client-id", "lamp", "--access", "publish", "--topic", "sensors/secret")
    assert done.returncode == 1 and f"verdict: deny by {plugin}: {rule}" in done.stdout
    offline = run_command("explain", "-c", broker.config_path, "--access", "publish", "--topic", "sensors/secret",
                          "--username", "ann", "--client-id", "lamp")
    assert rule in offline.stdout


@pytest.mark.parametrize("access, topic, code", (("publish", "own/x", 0), ("publish", "other", 1), ("deliver", "sensors/x", 0),
                                                 ("deliver", "sensors/secret", 1), ("subscribe", "sensors/#", 0)))
def test_explain_live(acl_broker, connect, access, topic, code):
    broker = acl_broker
    connect(to=broker, id="lamp", username="ann", password="secret")
    done = broker.run("explain", "--live", "--client-id", "lamp", "--access", access, "--topic", topic)
    assert done.returncode == code, done.stdout + done.stderr
    assert "client lamp, username ann, listener default" in done.stdout and "acl-file" in done.stdout
    last = json.loads(broker.run("explain", "--live", "--client-id", "lamp", "--access", access, "--topic", topic,
                                 "--json").stdout.splitlines()[-1])
    assert last["ok"] and last["verdict"] == ("deny" if code else "allow")


def test_explain_live_knows_grants_and_cache(control, connect):  # noqa: F811
    broker = control(chain("grants", "revoke", default_access="deny"))
    one = connect(to=broker, id="one")
    lines, last = broker.ask("explain", client_id="one", access="publish", topic="own/one/a")
    assert [line["row"]["from"] for line in lines] == ["grants"] and last["verdict"] == "allow" and last["grants"] == 3
    lines, last = broker.ask("explain", client_id="one", access="publish", topic="else")
    assert [line["row"]["from"] for line in lines][-1] == "hook" and last["plugin"] == "revoke"
    one.publish("else", "x", qos=1)
    lines, last = broker.ask("explain", client_id="one", access="publish", topic="else")
    assert [line["row"]["from"] for line in lines][-1] == "cache" and last["cached_verdicts"] >= 1


def test_explain_live_waits_for_plugins(control, connect):  # noqa: F811
    broker = control(chain(entry("slow", config={"delay": "800ms"})))
    one = connect(to=broker, id="one")
    lines, last = broker.ask("explain", client_id="one", access="publish", topic="slow/x")
    assert last["verdict"] == "allow" and lines[0]["row"]["microseconds"] > 700000
    asking = broker.control().send({"noctule": 1, "command": "explain", "client_id": "one", "access": "publish",
                                    "topic": "slow/y"})
    time.sleep(0.1)
    one.drop()
    assert asking.answer()[1]["error"] == "the client has gone"


@pytest.mark.parametrize("members, error", (({"client_id": "none", "access": "publish", "topic": "t"}, "no such client"),
                                            ({"client_id": "one", "access": "fly", "topic": "t"}, "no such access"),
                                            ({"client_id": "one", "access": "publish", "topic": "a/#"}, "no valid topic"),
                                            ({"client_id": "one", "access": "subscribe", "topic": "a#"}, "no valid topic filter"),
                                            ({"client_id": "one", "access": "publish"}, "are needed")))
def test_explain_live_refuses(control, connect, members, error):  # noqa: F811
    broker = control()
    connect(to=broker, id="one")
    assert error in broker.ask("explain", **members)[1]["error"]
    arguments = [part for name, value in members.items() for part in ("--" + name.replace("_", "-"), value)]
    done = broker.run("explain", "--live", *arguments)
    assert done.returncode == 2 and error in done.stderr
