"""The limits that are there against floods, while there is one; and that what is dropped is accounted for."""

import collections
import time

import mqtt_codec as wire
from arena import KIB, MEMORY_COUNTS, MIB, Process, attack, scaled, scaled_crowd
from broker import passwords
from crowd import Crowd, ping, read_exactly, send_while_reading
from mqtt_codec import V5, V311
from mqtt_raw import DEADLINE


def test_what_is_dropped_is_accounted_for(start):
    # Sent = received + dropped: each drop is a line at `debug`.
    broker = start({"queued_messages": 50, "send_buffer": "4KiB"}, log="debug")
    # More than the kernel's buffers may come to hold by themselves.
    count, size = scaled(12000, least=12000), 1000
    with attack(broker, "drops counted", 12 * MIB) as one:
        with Crowd(broker.address) as crowd:
            slow = crowd.login(1, "slow", receive_buffer=4 * KIB)[0]
            slow.sendall(wire.make_subscribe(V311, 1, [("drops", 0)]))
            read_exactly(slow, 5)
            publisher = crowd.login(1, "publisher")[0]
            message = wire.make_publish(V311, "drops", b"x" * size)
            for _ in range(count // 100):
                publisher.sendall(message * 100)
            ping(publisher)
            slow.settimeout(0.5)
            came = 0
            try:
                while piece := slow.recv(1 << 20):
                    came += len(piece)
            except TimeoutError:
                pass
            assert came % len(message) == 0
            received, dropped = came // len(message), broker.log().count("the session's queue is full")
            assert dropped > 0 and received + dropped == count // 100 * 100
        one.note(f"{count} sent, {received} received, {dropped} dropped and logged")


def test_memory_ceiling(start):
    # Everything that can be made to stay: retained messages, queues of sessions that are away, subscriptions. The
    # broker refuses above limits.memory and goes on serving; what is given back is there for others.
    limit = 48 * MIB
    broker = start({"memory": "48MiB", "queued_messages": 1000000, "queued_bytes": "1GiB", "subscriptions": 1000000},
                   log="info")
    size, count = 20 * KIB, scaled(6000)
    process = Process(broker.process.pid)
    with attack(broker, "limits.memory", limit, kept=limit) as one:
        with Crowd(broker.address) as crowd:
            away = crowd.login(1, "away", clean=False)[0]
            away.sendall(wire.make_subscribe(V311, 1, [("queue", 1)]))
            read_exactly(away, 5)
            away.close()
            each = crowd.login(1, "flood")[0]
            for start_ in range(0, count, 100):
                send_while_reading(each, b"".join(
                    wire.make_publish(V311, "queue", b"q" * size, 1, packet_id=1)
                    + wire.make_publish(V311, f"retained/{i}", b"r" * size, retain=True)
                    for i in range(start_, start_ + 100)))
            ping(each)
            most = process.peak()
            each.sendall(wire.make_subscribe(V311, 1, [("more", 0)]))
            answer = read_exactly(each, 5)
            assert not MEMORY_COUNTS or answer[4] == 0x80, answer.hex()
        one.note(f"{2 * count * size / MIB:.0f} MiB offered, limit {limit / MIB:.0f}, most {most / MIB:.1f} MiB")
    if MEMORY_COUNTS:
        assert most <= limit + 12 * MIB, f"{most / MIB:.1f} MiB"
        assert "limits.memory is reached" in broker.log()


def test_connect_rate_against_churn(start):
    broker = start({"connect_rate": 200}, log="info")
    count = scaled_crowd(2000)
    with attack(broker, "churn against connect_rate", count * 3 * KIB + 8 * MIB) as one:
        welcome = refused = closed = 0
        with Crowd(broker.address) as crowd:
            for each in crowd.join(count, lambda i: wire.make_connect(V5, f"churn{i}")):
                each.settimeout(DEADLINE)
                try:
                    answer = each.recv(4)
                except ConnectionResetError:
                    answer = b""
                assert answer[3:] in (b"\x00", b"\x9f", b""), answer.hex()
                welcome += answer[3:] == b"\x00"
                refused += answer[3:] == b"\x9f"
                closed += answer == b""
        assert welcome <= 200 * (2 + time.monotonic() - one.began) and refused
        one.note(f"{count} connections: {welcome} welcome, {refused} told 0x9F, {closed} closed")


def guess(address, wave, count):
    """Logs in `count` times with a wrong password; how often each CONNACK code came, None for none."""
    codes = collections.Counter()
    with Crowd(address) as crowd:
        crowd.join(count, lambda i: wire.make_connect(V5, f"guess{i}", username="good", password=f"{wave}.{i}"))
        for each in crowd:
            each.settimeout(4 * DEADLINE)
            try:
                answer = each.recv(4)
            except ConnectionResetError:
                answer = b""
            codes[answer[3] if len(answer) == 4 else None] += 1
    return codes


def test_passwords_guessed_at_full_speed(start):
    broker = start({"auth_failures": 20, "auth_block": "1m"}, files={"users.passwd": passwords(good="right")},
                   plugins=[{"name": "file-auth", "config": {"password_file": "users.passwd"}}], log="info",
                   allow_anonymous=True)
    count = scaled(300, least=300)
    with attack(broker, "passwords guessed", 16 * MIB) as one:
        waves = [guess(broker.address, wave, count // 2) for wave in range(2)]
        # Of the first, all may have been sent before one was answered; when the second comes, the address is blocked.
        assert 0 not in waves[0] and set(waves[1]) <= {0x8A, None}, waves
        guesses = waves[0].get(0x86, 0) + waves[0].get(0x87, 0)
        one.note(f"{count} guesses, {guesses} were looked at, the others refused")


def test_publish_rate_against_a_flood(start):
    broker = start({"publish_rate": 1000})
    with attack(broker, "flood against publish_rate", 12 * MIB) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "flood")[0]
            data = wire.make_publish(V311, "flood", b"x") * 3000
            began = time.monotonic()
            each.sendall(data)
            ping(each)
            took = time.monotonic() - began
        assert took > 1.0, "3000 messages are two seconds' worth beyond the first"
        one.note(f"3000 messages in {took:.1f} s, none dropped")
