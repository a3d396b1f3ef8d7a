"""What outlives connections, and what moves between them: wills, sessions, shared subscriptions, order."""

import collections
import contextlib
import random
import select
import time

import mqtt_codec as wire
from arena import KIB, MIB, attack, scaled, scaled_crowd
from broker import WORKERS
from crowd import Crowd, open_socket, ping, read_exactly
from mqtt_codec import V5, V311
from mqtt_raw import DEADLINE


class Reader:
    """Connections of 3.1.1 and 5.0 whose packets are taken as they come; acknowledges what must be."""

    def __init__(self):
        self.poll, self.members = select.epoll(), {}

    def add(self, one, version, owner=None):
        one.setblocking(False)
        self.members[one.fileno()] = (one, version, bytearray(), owner)
        self.poll.register(one, select.EPOLLIN)

    def remove(self, one):
        self.poll.unregister(one)
        del self.members[one.fileno()]

    def packets(self, seconds=0.0):
        """(socket, owner, packet) of all that has come; waits `seconds` for the first."""
        for fd, _ in self.poll.poll(seconds):
            one, version, buffer, owner = self.members[fd]
            try:
                data = one.recv(262144)
            except BlockingIOError:
                continue
            assert data, f"closed by the broker after {bytes(buffer[:20]).hex()}"
            buffer += data
            while decoded := wire.decode(buffer, version):
                del buffer[:decoded[1]]
                yield one, owner, decoded[0]

    def close(self):
        self.poll.close()


def reply(one, version, kind, packet_id):
    one.setblocking(True)
    one.sendall(wire.make_ack(version, kind, packet_id))
    one.setblocking(False)


def test_wills_by_the_thousand(start):
    # All at once, by connections that are reset: each is published once, and none that was taken back.
    broker = start({"queued_messages": 100000})
    count = scaled_crowd(4000) // 100 * 100
    with attack(broker, "wills by the thousand", count * 4 * KIB + 8 * MIB) as one:
        with Crowd(broker.address) as crowd, Crowd(broker.address) as dying:
            watcher = crowd.login(1, "watcher")[0]
            watcher.sendall(wire.make_subscribe(V311, 1, [("will/#", 1)]))
            read_exactly(watcher, 5)
            for i in range(0, count, 100):
                def will(n, i=i):
                    return wire.make_connect(V311, f"mortal{i + n}", will=wire.Will(f"will/{i + n}", b"w" * 200, 1))
                for each in dying.join(100, will):
                    assert read_exactly(each, 4)[3] == 0
            for each in dying.sockets[::4]:
                each.sendall(b"\xe0\x00")
                assert each.recv(1) == b""
            began = time.monotonic()
            dying.close()
            seen, reader = set(), Reader()
            reader.add(watcher, V311)
            while len(seen) < count - count // 4:
                assert time.monotonic() - began < DEADLINE, f"{len(seen)} wills came"
                for each, _, got in reader.packets(0.5):
                    assert got.kind == wire.PUBLISH and got.topic not in seen
                    seen.add(got.topic)
                    reply(each, V311, wire.PUBACK, got.packet_id)
            assert all(int(topic.split("/")[1]) % 4 for topic in seen)
            one.note(f"{len(seen)} wills in {time.monotonic() - began:.2f} s, {count // 4} taken back")
            reader.close()


def test_large_wills_of_sessions_that_stay(start):
    # A will waits for its delay as long as its session does; new ones take the place of old ones.
    broker = start()
    clients, rounds, size = scaled(50), 4, 60000
    with attack(broker, "large wills that wait", clients * (size + 8 * KIB) * 2 + 8 * MIB, kept=2 * MIB) as one:
        with Crowd(broker.address) as crowd:
            for round_ in range(rounds):
                crowd.join(clients, lambda i: wire.make_connect(
                    V5, f"delayed{i}", clean=False, properties_={"session_expiry_interval": 600},
                    will=wire.Will("late", b"w" * size, 0, properties={"will_delay_interval": 500})))
                for each in crowd:
                    assert each.recv(4)[3] == 0
                crowd.close()
            time.sleep(0.1)
            one.note(f"{clients * rounds} wills of {size // 1000} kB, {clients} waiting: {one.grown() / MIB:.1f} MiB")
            crowd.join(clients, lambda i: wire.make_connect(V5, f"delayed{i}"))
            for each in crowd:
                assert each.recv(4)[3] == 0


def test_shared_subscriptions_whose_members_come_and_go(start):
    # Members leave at random, with and without a session that stays, while messages come: each QoS 1 message reaches
    # a member; only one that was under way when its member left may reach a second one.
    broker = start({"queued_messages": 100000})
    count, members, window = scaled(20000), 6, 20
    chance = random.Random(7)
    with attack(broker, "members of a shared group come and go", 24 * MIB) as one:
        with Crowd(broker.address) as crowd, contextlib.closing(Reader()) as reader:
            publisher = crowd.login(1, "publisher")[0]
            reader.add(publisher, V311, "publisher")
            names, seen, left = {}, collections.Counter(), set()
            received = collections.defaultdict(set)
            lives = 0

            def enter(index):
                nonlocal lives
                lives += 1
                each = open_socket(broker.address)
                each.sendall(wire.make_connect(V311, f"member{index}", clean=True, keep_alive=0)
                             + wire.make_subscribe(V311, 1, [("$share/team/work/#", 1)]))
                assert read_exactly(each, 4)[3] == 0
                crowd.sockets.append(each)
                names[index] = each
                reader.add(each, V311, (index, lives))

            for index in range(members):
                enter(index)
            sent = acknowledged = 0
            deadline = time.monotonic() + 3 * DEADLINE
            while acknowledged < count or len(seen) < count:
                assert time.monotonic() < deadline, f"{count - len(seen)} of {count} messages reached nobody"
                while sent < count and sent - acknowledged < window:
                    publisher.setblocking(True)
                    publisher.sendall(wire.make_publish(V311, f"work/{sent % 7}", str(sent), 1,
                                                        packet_id=sent % 60000 + 1))
                    publisher.setblocking(False)
                    sent += 1
                for each, owner, got in reader.packets(0.2):
                    if got.kind == wire.PUBACK:
                        acknowledged += 1
                    elif got.kind == wire.PUBLISH:
                        number = int(got.payload)
                        seen[number] += 1
                        received[number].add(owner)
                        reply(each, V311, wire.PUBACK, got.packet_id)
                if sent < count and chance.random() < 0.05:
                    index = chance.randrange(1, members)  # one stays
                    reader.remove(names[index])
                    left.add(index)
                    names[index].close()
                    enter(index)
            twice = sum(1 for number in seen if seen[number] > 1)
            assert set(seen) == set(range(count))
            # At most what was under way to those who left comes again.
            assert twice <= (lives - members) * window, f"{twice} messages came twice"
            one.note(f"{count} messages, {lives} lives of {members} members, {twice} sent again to another")


def test_shared_subscriptions_in_calm_reach_one_member_each(start):
    broker = start({"queued_messages": 100000})
    count, members = scaled(20000), 8
    with attack(broker, "a shared group under load", 16 * MIB) as one:
        with Crowd(broker.address) as crowd, contextlib.closing(Reader()) as reader:
            for index, each in enumerate(crowd.login(members, "member")):
                each.sendall(wire.make_subscribe(V311, 1, [("$share/team/work/#", 1)]))
                read_exactly(each, 5)
                reader.add(each, V311, index)
            publishers = crowd.login(4, "publisher")
            for number, each in enumerate(publishers):
                each.sendall(b"".join(wire.make_publish(V311, f"work/{number}", str(i), 0)
                                      for i in range(number, count, 4)))
            seen, by_member = collections.Counter(), collections.Counter()
            deadline = time.monotonic() + DEADLINE
            while len(seen) < count:
                assert time.monotonic() < deadline, f"{len(seen)} of {count} came"
                for each, owner, got in reader.packets(0.2):
                    seen[int(got.payload)] += 1
                    by_member[owner] += 1
            for each in publishers:
                ping(each)
            assert max(seen.values()) == 1, "each message reaches one member"
            assert min(by_member[i] for i in range(members)) > count // members // 4, f"unfair: {by_member}"
            one.note(f"{count} messages, {min(by_member.values())} to {max(by_member.values())} for each of {members}")


def ordered(start, qos, title):
    """Hundreds of pairs, each with a topic of its own: numbers arrive in order, while subscribers lose their
    connections and resume their sessions."""
    pairs, batches, batch = scaled(200), 10, 10
    broker = start({"queued_messages": 100000, "inflight": 50}, workers=max(4, WORKERS))
    chance = random.Random(qos)
    with attack(broker, title, pairs * 40 * KIB + 24 * MIB) as one:
        with Crowd(broker.address) as crowd, contextlib.closing(Reader()) as reader:
            def enter(index):
                each = open_socket(broker.address)
                each.sendall(wire.make_connect(V311, f"order{index}", clean=False, keep_alive=0))
                assert read_exactly(each, 4)[3] == 0
                crowd.sockets.append(each)
                subscribers[index] = each
                reader.add(each, V311, index)

            subscribers, expected, unreleased = {}, [0] * pairs, [set() for _ in range(pairs)]
            newest = [-1] * pairs
            for index in range(pairs):
                enter(index)
                subscribers[index].setblocking(True)
                subscribers[index].sendall(wire.make_subscribe(V311, 1, [(f"order/{index}", qos)]))
                read_exactly(subscribers[index], 5)
                subscribers[index].setblocking(False)
            publishers = crowd.login(pairs, "in-order")
            for index, each in enumerate(publishers):
                reader.add(each, V311, -1)
            acknowledged = reconnects = repeated = 0
            began = time.monotonic()
            for round_ in range(batches):
                for index, each in enumerate(publishers):
                    each.setblocking(True)
                    each.sendall(b"".join(
                        wire.make_publish(V311, f"order/{index}", str(i), qos, packet_id=i + 1)
                        + (wire.make_ack(V311, wire.PUBREL, i + 1) if qos == 2 else b"")
                        for i in range(round_ * batch, (round_ + 1) * batch)))
                    each.setblocking(False)
                if qos:
                    for index in chance.sample(range(pairs), pairs // 20):
                        reader.remove(subscribers[index])
                        subscribers[index].close()
                        enter(index)
                        newest[index] = -1  # what was not acknowledged begins again, in order
                        reconnects += 1
                while any(number < (round_ + 1) * batch for number in expected) \
                        or (qos and acknowledged < (round_ + 1) * batch * pairs):
                    assert time.monotonic() - began < 3 * DEADLINE, f"{sum(expected)} of {pairs * batches * batch} came"
                    for each, owner, got in reader.packets(0.2):
                        if owner < 0:
                            acknowledged += got.kind == (wire.PUBACK if qos == 1 else wire.PUBCOMP)
                        elif got.kind == wire.PUBREL:
                            unreleased[owner].discard(got.packet_id)
                            reply(each, V311, wire.PUBCOMP, got.packet_id)
                        elif got.kind == wire.PUBLISH:
                            number = int(got.payload)
                            assert number > newest[owner], f"pair {owner}: {number} after {newest[owner]}"
                            newest[owner] = number
                            again = number < expected[owner]
                            repeated += again
                            assert again or number == expected[owner], f"pair {owner}: {number} is not next"
                            assert not again or qos == 1 or got.packet_id in unreleased[owner], "QoS 2 came twice"
                            expected[owner] = max(expected[owner], number + 1)
                            if qos == 1:
                                reply(each, V311, wire.PUBACK, got.packet_id)
                            elif qos == 2:
                                unreleased[owner].add(got.packet_id)
                                reply(each, V311, wire.PUBREC, got.packet_id)
            took = time.monotonic() - began
            for index in range(pairs):
                reader.remove(subscribers[index])
                subscribers[index].close()
            for each in crowd.login(pairs, "order"):
                each.sendall(b"\xe0\x00")
            one.note(f"{pairs} pairs, {pairs * batches * batch} messages in {took:.1f} s, {reconnects} reconnects, "
                     f"{repeated} sent again, none out of order")


def test_order_of_hundreds_of_pairs_qos_0(start):
    ordered(start, 0, "order of QoS 0, 4 workers")


def test_order_of_hundreds_of_pairs_qos_1(start):
    ordered(start, 1, "order of QoS 1, 4 workers, reconnects")


def test_order_of_hundreds_of_pairs_qos_2(start):
    ordered(start, 2, "order of QoS 2, 4 workers, reconnects")
