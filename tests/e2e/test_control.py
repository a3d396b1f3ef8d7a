"""The control socket: its path and who may use it, what is sent to it, and every command, as text and as JSON."""

import json
import os
import pathlib
import socket
import stat
import subprocess
import sys
import tempfile
import time

import pytest

from broker import WORKERS, base_config, run_command
from control_support import control  # noqa: F401
from mqtt_raw import DEADLINE, TIME_SCALE
from plugins import chain, entry

pytestmark = pytest.mark.reference_differs

# Escape sequences, line ends, a direction override, quotes.
HOSTILE = 'x\x1b[2J\r\n\u202e"\\\u009b'
LONG = "l" * 65535


# ---- The socket -------------------------------------------------------------------------------------------


def test_socket_is_for_this_user_only(control):
    broker = control()
    status = broker.socket.stat()
    assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600
    broker.stop()
    assert not broker.socket.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_other_users_are_refused_by_who_they_are(start_broker):
    """Also when the mode of the socket has been changed."""
    with tempfile.TemporaryDirectory(prefix="noctule-") as folder:
        os.chmod(folder, 0o755)
        path = pathlib.Path(folder) / "control.sock"
        broker = start_broker({**base_config(), "control": f"unix:{path}"})
        path.chmod(0o666)
        script = ("import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
                  "print(s.makefile().readline())")
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=30)
        assert json.loads(done.stdout) == {"ok": False, "error": "not for this user"}, done.stderr
        path.chmod(0o600)
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=30)
        assert "PermissionError" in done.stderr
        assert run_command("status", "-s", path).returncode == 0
        broker.stop()


def test_without_the_key_there_is_none(start_broker):
    broker = start_broker()
    assert not list(broker.folder.glob("*.sock"))
    done = run_command("status", "-c", broker.config_path)
    assert done.returncode == 2 and "has no control socket" in done.stderr


def test_a_second_process_on_the_path_is_refused(control, start_broker):
    first = control()
    second = start_broker({**base_config(), "control": f"unix:{first.socket}"}, wait=False)
    assert second.process.wait(DEADLINE) == 1
    assert "another process uses it" in second.log()
    second.stopped = True
    assert first.ask("status")[1]["ok"]


def test_a_socket_left_behind_is_replaced(start_broker, tmp_path):
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    broker = start_broker({**base_config(), "control": f"unix:{path}"})
    assert run_command("status", "-c", broker.config_path).returncode == 0


def test_something_else_on_the_path_is_left_alone(start_broker, tmp_path):
    path = tmp_path / "precious"
    path.write_text("x")
    broker = start_broker({**base_config(), "control": f"unix:{path}"}, wait=False)
    assert broker.process.wait(DEADLINE) == 1
    broker.stopped = True
    assert "something else than a socket" in broker.log() and path.read_text() == "x"


@pytest.mark.parametrize("value", ("control.sock", "unix:", "tcp:127.0.0.1:1", "unix:" + "x" * 108, "7"))
def test_other_values_are_refused(tmp_path, value):
    config = tmp_path / "noctule.yaml"
    config.write_text(f"control: '{value}'\nlisteners: [{{name: a, bind: '127.0.0.1:1'}}]\n")
    done = run_command("check", "-c", config)
    assert done.returncode == 1 and "noctule.yaml:1:10" in done.stderr and "unix:PATH" in done.stderr


def test_nobody_answers(tmp_path):
    done = run_command("status", "-s", tmp_path / "none")
    assert done.returncode == 2 and "no broker answers" in done.stderr


# ---- Requests that make no sense --------------------------------------------------------------------------

WRONG = (b"\n", b"x\n", b"[]\n", b"{}\n", b'{"noctule":1}\n', b'{"noctule":2,"command":"status"}\n',
         b'{"command":"status"}\n', b'{"noctule":1,"command":"fly"}\n', b'{"noctule":1,"command":7}\n',
         b'{"noctule":1,"command":"status","x":1}\n', b'{"noctule":1,"command":"status","command":"kick"}\n',
         b'{"noctule":1,"command":"kick"}\n', b'{"noctule":1,"command":"revoke","disconnect":1}\n',
         b'{"noctule":1,"command":"revoke"}\n', b'{"noctule":1,"command":"client"}\n',
         b'{"noctule":1,"command":"client","client_id":"\xff"}\n', b"[" * 100000 + b"\n",
         b'{"noctule":1,"command":"client","client_id":"\\u0000"}\n')


@pytest.mark.parametrize("request_", WRONG, ids=[repr(one[:60]) for one in WRONG])
def test_wrong_requests_are_told(control, request_):
    broker = control()
    one = broker.control()
    lines, last = one.send(request_).answer()
    assert lines == [] and last["ok"] is False and last["error"]
    assert one.ask("status")[1]["ok"]  # the next one is answered


def test_a_request_without_end_is_cut_off(control):
    broker = control()
    one = broker.control()
    try:
        one.send(b"x" * (1 << 21))
        assert one.line()["error"] == "a request is longer than 1 MiB"
        assert one.line() is None
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert broker.ask("status")[1]["ok"]


def test_requests_in_pieces_and_several_at_once(control):
    one = control().control()
    for byte in b'{"noctule":1,"command":"status"}':
        one.send(bytes([byte]))
    assert one.send(b"\n").answer()[1]["ok"]
    one.send(b'{"noctule":1,"command":"clients"}\n' * 3)
    assert [one.answer()[1]["ok"] for _ in range(3)] == [True] * 3


def test_too_many_at_once(control):
    broker = control()
    many = [broker.control() for _ in range(16)]
    assert all(one.ask("status")[1]["ok"] for one in many)
    assert broker.control().line()["error"] == "too many commands at once"
    many[0].close()
    time.sleep(0.1 * TIME_SCALE)
    assert broker.ask("status")[1]["ok"]


def test_who_goes_in_the_middle_of_an_answer(control, connect):
    broker = control()
    for i in range(20):
        connect(to=broker, id=f"{i}" + LONG[:60000])
    for _ in range(5):
        one = broker.control()
        one.send(b'{"noctule":1,"command":"clients"}\n' * 5)
        one.close()
    assert broker.ask("status")[1]["ok"]


def test_a_reader_that_stalls_holds_up_nobody(control, connect):
    broker = control()
    for i in range(40):
        connect(to=broker, id=f"{i}" + LONG[:65000])
    stalled = broker.control()
    stalled.send(b'{"noctule":1,"command":"clients"}\n' * 50)  # 130 MB, if somebody read them
    time.sleep(0.3 * TIME_SCALE)
    one = connect(to=broker)
    one.ping()
    status = broker.ask("status")[1]["status"]
    assert status["broker"]["clients_connected"] == 41
    if TIME_SCALE == 1:  # not a sanitizer's build
        assert status["broker"]["resident_memory_bytes"] < 100 << 20


# ---- status ------------------------------------------------------------------------------------------------


def test_status(control, connect):
    broker = control({**chain(entry("slow", config={"delay": "1ms"})), "limits": {"connections": 3}})
    clients = [connect(to=broker) for _ in range(3)]
    clients[0].subscribe("t", qos=1)
    for _ in range(5):
        clients[1].publish("t", "x", qos=1)
    clients[0].expect_messages(5)
    clients[1].publish("slow/t", "x", qos=1)
    time.sleep(1.2)
    status = broker.ask("status")[1]["status"]
    assert status["broker"]["clients_connected"] == 3 and status["broker"]["subscriptions"] == 1
    assert status["broker"]["packets_received"]["publish"] == 6
    assert len(status["workers"]) == WORKERS
    assert sum(worker["clients"] for worker in status["workers"].values()) == 3
    assert status["listeners"]["default"]["connections"] == 3
    assert status["plugins"]["slow"]["verdicts_allow"] >= 6
    assert status["plugins"]["slow"]["decision_duration"]["count"] >= 6
    assert status["uptime_seconds"] >= 1 and status["pid"] == broker.process.pid
    near = {limit["limit"]: limit for limit in status["limits"]}
    assert near["limits.connections"]["value"] == 3 and near["limits.connections"]["percent"] == 100
    done = broker.run("status")
    assert done.returncode == 0, done.stderr
    for part in ("noctule ", "3 connected", "1 subscriptions", "WORKER", "slow", "limits.connections is near: 3 of 3"):
        assert part in done.stdout
    assert json.loads(broker.run("status", "--json").stdout)["status"]["version"] == status["version"]


def test_status_finds_the_socket_in_the_configuration(control):
    broker = control()
    done = run_command("status", "-c", broker.config_path)
    assert done.returncode == 0 and "no limit is near" in done.stdout


# ---- clients, client ---------------------------------------------------------------------------------------


def test_clients(control, connect):
    broker = control(chain("revokes"))
    one = connect(to=broker, id="one", username="ann")
    one.subscribe("a", "b", qos=1)
    connect(to=broker, id="two", version=4)
    connect(to=broker, id="gone", properties={"session_expiry_interval": 60}, clean=False).disconnect()
    deadline = time.monotonic() + DEADLINE
    while True:
        rows = {line["row"]["client_id"]: line["row"] for line in broker.ask("clients")[0]}
        if rows["gone"]["state"] == "away" or time.monotonic() > deadline:
            break
    assert set(rows) == {"one", "two", "gone"}
    assert rows["one"]["subscriptions"] == 2 and rows["one"]["username"] == "ann" and rows["one"]["version"] == "5.0"
    assert rows["two"]["state"] == "connected" and rows["two"]["version"] == "3.1.1"
    assert rows["gone"]["state"] == "away" and "address" not in rows["gone"]
    done = broker.run("clients")
    assert done.returncode == 0 and done.stdout.splitlines()[0].split()[0] == "CLIENT"
    assert "3 clients" in done.stdout and "ann" in done.stdout
    lines = [json.loads(line) for line in broker.run("clients", "--json").stdout.splitlines()]
    assert len(lines) == 4 and lines[-1] == {"ok": True}


@pytest.mark.parametrize("filter_, found", (("client-id=on*", {"one", "only"}), ("client-id=*o*", {"one", "only", "two"}),
                                            ("username=ann", {"one"}), ("username=*", {"one", "only"}),
                                            ("listener=default", {"one", "only", "two"}), ("listener=x", set()),
                                            ("state=away", set()), ("address=127.*", {"one", "only", "two"})))
def test_filters(control, connect, filter_, found):
    broker = control(chain("revokes"))
    connect(to=broker, id="one", username="ann")
    connect(to=broker, id="only", username="bob")
    connect(to=broker, id="two")
    lines = broker.run("clients", "--json", "--filter", filter_).stdout.splitlines()
    assert {json.loads(line)["row"]["client_id"] for line in lines[:-1]} == found


def test_client(control, connect):
    broker = control(chain("grants", default_access="deny"))
    one = connect(to=broker, id="one", username="u", properties={"session_expiry_interval": 60})
    one.subscribe("own/one/a", "news", qos=1)
    lines, last = broker.ask("client", client_id="one")
    assert last["ok"]
    about = [line["row"] for line in lines]
    assert about[0]["kind"] == "client" and about[0]["username"] == "u" and about[0]["expiry_seconds"] == 60
    assert about[0]["grants"] == 3 and about[0]["keep_alive_seconds"] >= 0
    assert {row["filter"] for row in about if row["kind"] == "subscription"} == {"own/one/a", "news"}
    grants = [row for row in about if row["kind"] == "grant"]
    assert [row["effect"] for row in grants] == ["deny", "allow", "allow"]
    assert grants[2]["filter"] == "news" and grants[2]["access"] == ["subscribe", "deliver"]
    done = broker.run("client", "one")
    assert done.returncode == 0
    for part in ("own/one/#", "subscription qos 1: news", "grant 1 of grants: deny"):
        assert part in done.stdout
    assert broker.run("client", "none").returncode == 1
    assert broker.run("client").returncode == 2


def test_many_subscriptions_of_one_client(control, connect):
    broker = control()
    one = connect(to=broker, id="one")
    for i in range(0, 3000, 500):
        one.subscribe(*[f"some/filter/{k}" for k in range(i, i + 500)])
    lines, last = broker.ask("client", client_id="one")
    assert last["ok"] and len({line["row"]["filter"] for line in lines[1:]}) == 3000


def test_hostile_names_are_shown_harmless(control, connect):
    broker = control(chain("revokes"))
    for version, id_ in ((5, HOSTILE), (5, LONG)):
        connect(version, id_, to=broker, username=HOSTILE)
    rows = [line["row"] for line in broker.ask("clients")[0]]
    assert {row["client_id"] for row in rows} == {HOSTILE, LONG}
    for arguments in (("clients",), ("client", HOSTILE), ("client", LONG)):
        done = broker.run(*arguments)
        assert done.returncode == 0, done.stderr
        printed = done.stdout
        assert not any(ord(c) < 32 and c != "\n" or c in "\u202e\u009b\x7f" for c in printed)
        assert max(len(line) for line in printed.splitlines()) < 500
        assert "\\u001b[2J" in printed
    assert json.loads(broker.run("client", LONG, "--json").stdout.splitlines()[0])["row"]["client_id"] == LONG


# ---- kick, revoke ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, gone", ((("--client-id", "a"), "a"), (("--username", "u"), "ab"),
                                             (("--username", "u", "--client-id", "b"), "b"),
                                             (("--listener", "default"), "abc"), (("--address", "127.0.0.2"), ""),
                                             (("--client-id", "*"), "")))
def test_kick(control, connect, arguments, gone):
    broker = control(chain("revokes"))
    clients = {"a": connect(to=broker, id="a", username="u"), "b": connect(to=broker, id="b", username="u"),
               "c": connect(to=broker, id="c")}
    done = broker.run("kick", *arguments)
    assert done.returncode == (0 if gone else 1)
    assert done.stdout == f"disconnected: {len(gone)} client{'s' * (len(gone) != 1)}\n"
    for id_, one in clients.items():
        if id_ in gone:
            one.expect_disconnect(0x98)
        else:
            one.ping()


def test_kick_by_address(control, connect):
    broker = control()
    one = connect(to=broker, id="a")
    address = broker.ask("clients")[0][0]["row"]["address"]
    assert broker.ask("kick", address=address.rsplit(":", 1)[0])[1] == {"ok": True, "clients": 1}
    one.expect_disconnect(0x98)


def test_revoke(control, connect):
    broker = control(chain("revokes", default_access="deny"))
    bad, good = connect(to=broker, id="x", username="bad"), connect(to=broker, username="good")
    for one in (bad, good):
        one.subscribe("a/#", qos=1)
    done = broker.run("revoke", "--username", "bad")
    assert done.returncode == 0 and done.stdout == "revoked: 1 client\n"
    bad.publish("b", "x", qos=1, reason=0x87)
    good.publish("a/1", "y", qos=1)
    good.expect_message("a/1", "y")
    bad.expect_nothing()
    assert broker.ask("client", client_id="x")[0][0]["row"]["subscriptions"] == 0
    assert json.loads(broker.run("revoke", "--client-id", "x", "--disconnect", "--json").stdout) == {"ok": True, "clients": 1}
    bad.expect_disconnect(0x98)
    assert broker.run("revoke", "--username", "nobody").stdout == "revoked: 0 clients\n"
    assert broker.run("revoke").returncode == 2


def test_revocation_during_a_login(control, client):
    broker = control(chain(entry("slow", config={"delay": "400ms", "verdict": "allow", "logins": True})))
    one = client(to=broker, id="x")
    one.open()
    one.send_connect(username="u")
    time.sleep(0.1)
    began = time.monotonic()
    assert broker.ask("revoke", username="u")[1]["clients"] == 1
    one.expect(2, reason=0)  # CONNACK
    assert time.monotonic() - began > 0.5  # it was asked about once more


# ---- reload ------------------------------------------------------------------------------------------------


def test_reload_tells_what_changed(control):
    broker = control({**chain("revoke"), "limits": {"connections": 100}})
    assert "says what it said before" in broker.run("reload").stdout
    config = {**chain("revoke", "late"), "control": "unix:control.sock", "limits": {"connections": 200},
              "log": {"level": "debug", "format": "text", "rate_limit": 7}}
    config["listeners"].append({"name": "second", "bind": "@second@"})
    broker.configure(config)
    done = broker.run("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    for part in ("limits.connections: 100 -> 200", "plugins.late: added", "listeners.second: added",
                 "log.rate_limit: added: 7", "reloaded"):
        assert part in done.stdout
    limits = {limit["limit"]: limit["bound"] for limit in broker.ask("status")[1]["status"]["limits"]}
    assert limits["limits.connections"] == 200


def test_reload_tells_what_is_wrong(control, connect):
    broker = control()
    broker.configure("listeners: [{name: default, bind: '@default@'}]\ncontrol: unix:control.sock\nworker: 7\n")
    done = broker.run("reload")
    assert done.returncode == 1 and "noctule.yaml:3:1" in done.stdout and "stays as it was" in done.stderr
    last = json.loads(broker.run("reload", "--json").stdout)
    assert last["ok"] is False and "worker" in last["problems"][0]["text"]
    connect(to=broker).ping()


def test_reload_shows_no_secrets(control):
    broker = control(chain(entry("slow", config={"delay": "1ms"})), {"secret": "first"},
                     environment_={"NOCTULE_TEST_INFO": "hush"})
    broker.configure({**chain(entry("slow", config={"delay": "2ms"})), "control": "unix:control.sock",
                      "response_information": "${NOCTULE_TEST_INFO}/x"})
    done = broker.run("reload")
    assert "plugins.slow.config.delay: changed" in done.stdout and "2ms" not in done.stdout
    assert "response_information: added\n" in done.stdout and "hush" not in done.stdout


def test_sighup_and_command_at_once(control):
    broker = control()
    many = [broker.control() for _ in range(5)]
    for one in many:
        one.send({"noctule": 1, "command": "reload"})
    assert all(one.answer()[1]["ok"] for one in many)
    assert "reloaded" in broker.reload()


def test_without_descriptors_it_does_not_spin(control, client):
    broker = control(base_config(limits={"connect_timeout": "60s"}), descriptors=80)
    # Clients take all of them; who asks has to wait, and the broker stays idle.
    many = [client(to=broker) for _ in range(80)]
    for one in many:
        one.open()
    broker.wait_log("cannot accept connections")
    waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
    for one in waiting:
        one.connect(str(broker.socket))
        one.sendall(b'{"noctule":1,"command":"status"}\n')

    def used():
        fields = pathlib.Path(f"/proc/{broker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(1)
    assert used() - before < 0.2 * TIME_SCALE
    for one in many:
        one.drop()
    for one in waiting:
        one.settimeout(DEADLINE)
        assert json.loads(one.makefile().readline())["ok"]
        one.close()
