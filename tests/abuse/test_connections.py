"""Connections that are no clients, clients that come and go, and more of either than there is room for."""

import re
import select
import time

import mqtt_codec as wire
from arena import KIB, MIB, SCALE, Process, attack, scaled, scaled_crowd, wait_until
from crowd import Crowd, ping, read_exactly
from mqtt_codec import V5, V311
from mqtt_raw import DEADLINE, TIME_SCALE

PER_CONNECTION = 3 * KIB  # what a connection may take before it has a client: see docs/performance.md for one that has
PER_SESSION = 3 * KIB


def test_connections_that_send_nothing_or_half_a_connect(start):
    broker = start({"connect_timeout": "1s"})
    count = scaled_crowd(2000)
    whole = wire.make_connect(V5, "half" * 50)
    with attack(broker, "silent and half CONNECT", count * PER_CONNECTION + 4 * MIB) as one:
        with Crowd(broker.address) as crowd:
            crowd.join(count, lambda i: (b"", whole[:1], whole[:2], whole[:-1])[i % 4])
            seconds, sent = crowd.await_closed(seconds=DEADLINE + 1)
            assert sent == 0, "whoever sent no CONNECT is told nothing"
        one.note(f"{count} connections, all closed {seconds:.1f} s after the last came")


def test_connections_that_send_a_byte_now_and_then(start):
    # The deadline is one for the whole login: bytes that trickle in do not put it off.
    broker = start({"connect_timeout": "1500ms"})
    count = scaled(500)
    whole = wire.make_connect(V5, "drip" * 50)
    with attack(broker, "CONNECT, a byte at a time", count * PER_CONNECTION + 4 * MIB) as one:
        with Crowd(broker.address) as crowd:
            crowd.join(count)
            began, at, closed = time.monotonic(), 0, 0
            while closed < count:
                assert time.monotonic() - began < DEADLINE, f"{closed} of {count} were closed"
                for each in crowd:
                    try:
                        each.send(whole[at:at + 1])
                    except (ConnectionError, BlockingIOError):
                        pass
                at = min(at + 1, len(whole) - 2)
                closed = crowd.closed_now()
                time.sleep(0.1)
            took = time.monotonic() - began
        one.note(f"{count} connections, all closed after {took:.1f} s")


def test_half_open_flood(start):
    # More than `limits.connections` that never say a word; those who are connected notice nothing, and as soon as the
    # deadline has passed others get in.
    limit = scaled_crowd(1500) // 5
    broker = start({"connections": limit + 20, "connect_timeout": "1s"})
    count = limit * 5
    with attack(broker, "half-open flood over limits.connections", (limit + 1000) * PER_CONNECTION + 4 * MIB) as one:
        with Crowd(broker.address) as crowd:
            crowd.join(count)
            began = time.monotonic()
            crowd.await_closed(seconds=DEADLINE + 1)
            one.note(f"{count} connections, limit {limit + 20}, free again after {time.monotonic() - began:.1f} s")
        with Crowd(broker.address) as crowd:
            ping(crowd.login(1, "afterwards")[0])


def test_half_a_packet_from_everybody(start):
    # Connected clients that send all of a large packet but its last byte: each holds what it has sent, no more.
    size = 64 * KIB
    broker = start({"packet_size": "1MiB"})
    count = scaled(100)
    part = wire.make_publish(V311, "slow", b"x" * (MIB - 100))[:size]
    with attack(broker, "slow writers of 1 MiB packets", count * (2 * size + 64 * KIB) + 8 * MIB) as one:
        with Crowd(broker.address) as crowd:
            for each in crowd.login(count, "slow"):
                each.sendall(part)
            wait_until(lambda: one.grown() > count * size // 2, "the packets' beginnings have arrived", 4)
            time.sleep(0.2)
            held = one.grown()
            one.note(f"{count} writers, {held / count / KIB:.0f} KiB held for {size // KIB} KiB sent by each")


def test_a_packet_of_256_mib_is_announced(start):
    # A header promises; memory is given for bytes. And more than limits.packet_size is refused on its header alone.
    broker = start({"packet_size": "256MiB"})
    count = scaled(200)
    header = b"\x30" + wire.varint(256 * MIB - 6) + wire.string("big")
    with attack(broker, "256 MiB announced, little sent", count * 96 * KIB + 8 * MIB) as one:
        with Crowd(broker.address) as crowd:
            for each in crowd.login(count, "promise"):
                each.sendall(header + b"x" * 1000)
            for _ in range(10):
                for each in crowd:
                    each.sendall(b"y" * 1000)
                time.sleep(0.02)
            time.sleep(0.1)
            one.note(f"{count} clients, {one.grown() / count / KIB:.1f} KiB held for 11 KiB sent by each")
    broker = start({"packet_size": "1MiB"})
    with attack(broker, "256 MiB announced, 1 MiB allowed", count * PER_SESSION + 8 * MIB) as one:
        with Crowd(broker.address) as crowd:
            for each in crowd.login(count, "promise"):
                each.sendall(header)
            crowd.await_closed()
        one.note(f"{count} clients, all closed on the header")


def churn(address, rounds, batch, name, clean, disconnect):
    """Clients connect, `batch` at a time, and leave: each id once in a round."""
    farewell = b"\xe0\x00" if disconnect else b""
    for _ in range(rounds):
        with Crowd(address) as crowd:
            for each in crowd.login(batch, name, batch=batch, clean=clean):
                if farewell:
                    each.sendall(farewell)


def test_connection_churn(start):
    broker = start()
    rounds, batch = scaled(60), 200
    with attack(broker, "connection churn", batch * PER_CONNECTION * 2 + 6 * MIB) as one:
        began = time.monotonic()
        churn(broker.address, rounds, batch, "churn", True, True)
        churn(broker.address, rounds, batch, "churn", True, False)
        one.note(f"{2 * rounds * batch} logins, {2 * rounds * batch / (time.monotonic() - began):.0f}/s")


def test_connection_churn_with_resumed_sessions(start):
    broker = start({"sessions": 1000})
    rounds, batch = scaled(40), 300
    with attack(broker, "churn of resumed sessions", batch * 2 * PER_SESSION + 6 * MIB) as one:
        with Crowd(broker.address) as crowd:
            for i, each in enumerate(crowd.login(batch, "kept", clean=False)):
                each.sendall(wire.make_subscribe(V311, 1, [(f"kept/{i % 10}", 1)]))
                read_exactly(each, 5)
        began = time.monotonic()
        for _ in range(rounds):
            churn(broker.address, 1, batch, "kept", False, True)
        one.note(f"{rounds * batch} logins, {rounds * batch / (time.monotonic() - began):.0f}/s")
        churn(broker.address, 1, batch, "kept", True, True)  # ends the sessions


def test_sessions_are_limited(start):
    # Each new id leaves a session behind that lasts for a week: limits.sessions is where it ends.
    limit = scaled(5000)
    broker = start({"sessions": limit + 8})
    with attack(broker, "sessions without end", limit * PER_SESSION + 6 * MIB, kept=limit * PER_SESSION) as one:
        with Crowd(broker.address) as crowd:
            made = refused = 0
            while made + refused < limit + 500:
                for each in crowd.join(250, lambda i: wire.make_connect(V311, f"new{made + refused + i}", clean=False)):
                    each.settimeout(DEADLINE)
                    reason = read_exactly(each, 4)[3]
                    assert reason in (0, 3), reason
                    made, refused = made + (reason == 0), refused + (reason == 3)
                crowd.close()
        assert made == limit, "8 sessions are the bystander's"
        one.note(f"{made} sessions, {refused} refused")


def test_takeover_storm(start):
    # Hundreds of connections want the same few ids at once: the last of each is the one that stays, and each of the
    # others is told.
    broker = start()
    rounds, batch, ids = scaled(30), 200, 4
    taken = wire.make_disconnect(V5, 0x8E)
    with attack(broker, "takeover storm", batch * 2 * PER_CONNECTION + 6 * MIB) as one:
        told = 0
        for round_ in range(rounds):
            options = {"clean": False, "properties_": {"session_expiry_interval": 5}} if round_ % 2 else {}
            with Crowd(broker.address) as crowd:
                crowd.join(batch, lambda i: wire.make_connect(V5, f"wanted{i % ids}", keep_alive=0, **options))
                alive = survivors(crowd, ids)
                told += sum(1 for data in alive.values() if data.rstrip(b"\x00").endswith(taken.rstrip(b"\x00")))
                open_ = [each for each in alive if not was_closed(each)]
                assert len(open_) == ids, f"{len(open_)} of {batch} connections live with {ids} ids"
                for each in open_:
                    ping(each)
        lost = rounds * (batch - ids)
        assert told >= lost * 9 // 10, f"{told} of {lost} were told why they were closed"
        one.note(f"{rounds * batch} connections for {ids} ids, {told} of {lost} told 0x8E")
        time.sleep(0.1)
        churn(broker.address, 1, ids, "wanted", True, True)  # ends the sessions


def survivors(crowd, ids):
    """Reads until all but `ids` connections are closed; what each got."""
    came = {each: b"" for each in crowd}
    waiting = {each.fileno(): each for each in crowd}
    deadline = time.monotonic() + DEADLINE
    with select.epoll() as poll:
        for fd in waiting:
            poll.register(fd, select.EPOLLIN)
        while len(waiting) > ids or any(len(came[each]) < 5 for each in waiting.values()):
            assert time.monotonic() < deadline, f"{len(waiting)} connections still live"
            for fd, _ in poll.poll(0.5):
                try:
                    data = waiting[fd].recv(4096)
                except ConnectionResetError:
                    data = b""
                came[waiting[fd]] += data
                if not data:
                    poll.unregister(fd)
                    del waiting[fd]
    return came


def was_closed(one):
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_descriptors_run_out_again_and_again(start):
    limit = 200
    broker = start({"connect_timeout": "1m"}, descriptors=limit)
    rounds = scaled(3)
    with attack(broker, "out of descriptors", limit * PER_CONNECTION + 6 * MIB) as one:
        served = 0
        for round_ in range(rounds):
            with Crowd(broker.address) as crowd, Crowd(broker.address) as later:
                crowd.join(limit, lambda i: wire.make_connect(V311, f"crowd{round_}/{i}"))
                wait_until(lambda: Process(broker.process.pid).descriptors() >= limit, "no descriptor left")
                waiting = later.join(50, lambda i: wire.make_connect(V311, f"later{round_}/{i}"))
                time.sleep(0.3)
                crowd.close()
                for each in waiting:
                    assert read_exactly(each, 4) == b"\x20\x02\x00\x00"
                    served += 1
        one.note(f"{rounds} times; {served} connections waited and were served")
    lines = len(re.findall("cannot accept", broker.log()))
    assert 1 <= lines <= 4 + 20 * SCALE * TIME_SCALE, f"{lines} lines"
