"""An impatient operator, and logins that cost a lot: reloads under load, SIGHUP storms, login storms."""

import signal
import time

import pytest

import mqtt_codec as wire
from arena import KIB, MIB, attack, config, scaled
from broker import new_broker, password_entry, passwords
from crowd import Crowd, ping, read_exactly
from mqtt_codec import V5, V311
from mqtt_raw import DEADLINE, Client

BROKEN = ("limits: {inflight: none}\n", "listeners: [\n", "", "no_such_key: 1\n")


def test_clients_at_the_door_while_the_broker_starts(tmp_path):
    # Whoever gets in while threads are still starting, or while another one is, is served like everyone else.
    starts = scaled(15)
    for number in range(starts):
        folder = tmp_path / str(number)
        folder.mkdir()
        broker = new_broker(folder, config(), None)
        broker.spawn()
        try:
            broker.wait_listening()
            with Crowd(broker.address) as crowd:
                for each in crowd.login(12, "early"):
                    ping(each)
            broker.stop()
        finally:
            broker.kill()


def pounded(broker, one, storms, between):
    """Signals without waiting for an answer; `between` changes the file. Then the broker reloads once more, for good,
    so that all has been worked off."""
    good = broker.config_path.read_text()
    for number in range(storms):
        between(number)
        for _ in range(10):
            broker.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    broker.write("noctule.yaml", good)
    since = broker.log_size()
    time.sleep(0.1)
    broker.process.send_signal(signal.SIGHUP)
    broker.wait_log("configuration reloaded", since=since)
    log = broker.log()
    one.note(f"{storms * 10} signals, {log.count('configuration reloaded')} reloads, "
             f"{log.count('reload failed')} refused")
    return log


def test_sighup_storm(start):
    broker = start(log="info")
    clients = scaled(200)
    with attack(broker, "SIGHUP storm", clients * 4 * KIB + 12 * MIB) as one:
        with Crowd(broker.address) as crowd:
            crowd.login(clients, "there")
            log = pounded(broker, one, scaled(50), lambda number: None)
            for each in crowd:
                ping(each)
    assert "reload failed" not in log


def test_reload_under_load_with_broken_files_in_between(start):
    # Limits, a second listener that comes and goes, and files that are wrong in several ways: nobody who is connected
    # through the first listener is dropped, and what is wrong is refused.
    broker = start(log="info")
    both = config("info")
    both["listeners"] = [{"name": "default", "bind": "@default@"}, {"name": "other", "bind": "@other@"}]
    both["limits"] = {"inflight": 10, "queued_messages": 50}
    broker.configure(both)
    two = broker.config_path.read_text()
    broker.configure(config("info"))
    one_ = broker.config_path.read_text()
    files = (two, BROKEN[0], one_, BROKEN[1], two, BROKEN[2], one_, BROKEN[3])
    clients = scaled(100)
    refused = served = 0
    with attack(broker, "reloads, every other one broken", clients * 4 * KIB + 12 * MIB) as one:
        with Crowd(broker.address) as crowd:
            crowd.login(clients, "there")

            def between(number):
                nonlocal refused, served
                broker.write("noctule.yaml", files[number % len(files)])
                try:
                    with Client(broker.addresses["other"], V5, "visitor") as visitor:
                        visitor.connect()
                        served += 1
                except (OSError, AssertionError):
                    refused += 1

            log = pounded(broker, one, scaled(80), between)
            for each in crowd:
                ping(each)
        one.note(f"a listener that came and went served {served} times, was not there {refused} times")
    assert "reload failed" in log and log.count("configuration reloaded") > 2
    assert served, "the second listener was never open"


def test_reload_of_passwords_while_clients_log_in(start):
    # file-auth reads its file again at each reload: who is in and still listed stays, all logins get an answer.
    users = {f"user{i}": "p" for i in range(20)}
    broker = start(files={"users.passwd": passwords(iterations=100, **users)}, log="info",
                   plugins=[{"name": "file-auth", "config": {"password_file": "users.passwd"}}])
    rounds = scaled(15)
    with attack(broker, "logins during reloads of the passwords", 16 * MIB) as one:
        with Crowd(broker.address) as crowd:
            stays = crowd.login(20, "stays", username="user1", password="p")
            for number in range(rounds):
                broker.process.send_signal(signal.SIGHUP)
                with Crowd(broker.address) as logins:
                    logins.join(20, lambda i: wire.make_connect(V311, f"login{i}", username=f"user{i}",
                                                                password="p" if i % 4 else "wrong"))
                    for i, each in enumerate(logins):
                        assert read_exactly(each, 4)[3] == (0 if i % 4 else 4)
            for each in stays:
                ping(each)
        one.note(f"{rounds * 20} logins, {broker.log().count('configuration reloaded')} reloads")


@pytest.mark.parametrize("kind", ("wrong password", "unknown user"))
def test_login_storm(start, kind):
    # Hashes that cost a lot, by clients that wait and by clients that leave at once; others go on meanwhile.
    broker = start({"connect_timeout": "1m"}, files={"users.passwd": password_entry("slow", "s", iterations=20000)},
                   plugins=[{"name": "file-auth", "timeout": "1m", "config": {"password_file": "users.passwd"}}])
    count = scaled(60)
    user = "slow" if kind == "wrong password" else "nobody"
    with attack(broker, f"login storm, {kind}", count * 8 * KIB + 24 * MIB) as one:
        with Crowd(broker.address) as crowd, Crowd(broker.address) as leaving:
            packet = lambda i: wire.make_connect(V5, f"storm{i}", username=user, password="x")  # noqa: E731
            leaving.join(count, packet)
            leaving.close()
            crowd.join(count, packet)
            began = time.monotonic()
            for each in crowd:
                each.settimeout(4 * DEADLINE)
                answer = b""
                while len(answer) < 4:
                    piece = each.recv(100)
                    assert piece, "closed without a CONNACK"
                    answer += piece
                assert answer[0] == 0x20 and answer[3] in (0x86, 0x87), answer.hex()
            one.note(f"{2 * count} logins, half of them given up; refused in {time.monotonic() - began:.1f} s")
