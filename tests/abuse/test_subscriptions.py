"""Filters, topics and retained messages without end."""

import itertools
import time

import mqtt_codec as wire
from arena import KIB, MIB, attack, scaled, twice
from crowd import Crowd, ping, push, read_bytes, read_exactly, read_for, send_while_reading
from mqtt_codec import V5, V311
from mqtt_raw import DEADLINE

PER_SUBSCRIPTION = 400  # bytes, with the nodes of the index that a filter of three levels of its own needs


def take_suback(one, count, kind=0x90):
    """Reads one SUBACK of 3.1.1 with `count` codes; returns the codes."""
    data = read_for(one, until=lambda data: len(data) >= 2 + len(wire.varint(count + 2)) - 1 + count + 2)
    assert data[0] == kind, data[:8].hex()
    return data[-count:]


def test_a_million_filters(start):
    # Sessions full of filters up to limits.subscriptions, each filter of its own; one more is refused; then all are
    # taken back, by UNSUBSCRIBE and by the end of the session.
    each_has, sessions = 10000, scaled(20)
    broker = start({"subscriptions": each_has, "packet_size": "1MiB"})
    count = each_has * sessions
    for each_time in twice(broker, "filters up to the limit", count * PER_SUBSCRIPTION + 10 * MIB):
        with each_time as one:
            with Crowd(broker.address) as crowd:
                clients = crowd.login(sessions, "filters")
                began = time.monotonic()
                for number, each in enumerate(clients):
                    mine = [f"abuse/{number}/{i}/{'+' if i % 3 else 'x'}" for i in range(each_has)]
                    for start_ in range(0, each_has, 2000):
                        each.sendall(wire.make_subscribe(V311, 1, [(f, 1) for f in mine[start_:start_ + 2000]]))
                        assert take_suback(each, 2000) == b"\x01" * 2000
                    each.sendall(wire.make_subscribe(V311, 2, [("one/too/many", 0)]))
                    assert take_suback(each, 1) == b"\x80"
                took, held = time.monotonic() - began, one.grown()
                for number, each in enumerate(clients[::2]):
                    mine = [f"abuse/{2 * number}/{i}/{'+' if i % 3 else 'x'}" for i in range(each_has)]
                    each.sendall(b"".join(wire.make_unsubscribe(V311, 3, mine[s:s + 2000])
                                          for s in range(0, each_has, 2000)) + b"\xc0\x00")
                    read_bytes(each, 4 * each_has // 2000 + 2)
                one.note(f"{count} filters in {took:.1f} s, {held / count:.0f} bytes each; one more refused by each; "
                         f"{len(clients[::2]) * each_has} unsubscribed, the rest ended with their sessions")


def test_the_same_filters_again_and_again(start):
    # Subscribing and unsubscribing the same things leaves nothing behind.
    broker = start()
    filters = [(f"again/{i}/#", 0) for i in range(500)]
    both = wire.make_subscribe(V311, 1, filters) + wire.make_unsubscribe(V311, 2, [f for f, _ in filters])
    rounds = scaled(1000)
    with attack(broker, "subscribe, unsubscribe, subscribe ...", 8 * MIB) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "again")[0]
            came = send_while_reading(each, both * rounds)
            read_bytes(each, rounds * (5 + 500 + 4) - came)
        one.note(f"{rounds * 500} subscriptions made and ended")


def test_filters_and_topics_of_the_greatest_length(start):
    # 65,535 bytes in few levels are lawful; 10,000 levels are more than limits.topic_levels.
    broker = start()
    count = scaled(200)
    size = count * 64 * KIB
    with attack(broker, "filters of 65,535 bytes", 2 * size + 8 * MIB, kept=size) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "long")[0]
            for i in range(count):
                long_filter = f"{i}/".encode() + b"x" * (65535 - len(f"{i}/"))
                each.sendall(wire.make_subscribe(V311, 1, [(long_filter, 0)]))
                assert take_suback(each, 1) == b"\x00"
            topic = b"0/" + b"x" * 65533
            message = wire.make_publish(V311, topic, b"here")
            each.sendall(message)
            read_bytes(each, len(message))
            one.note(f"{count} filters, {one.grown() / count / KIB:.0f} KiB each")
    with attack(broker, "filters and topics of 10,000 levels", 16 * MIB) as one:
        deep = "a/" * 9999 + "a"
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "deep")[0]
            for filter_ in (deep, "+/" * 9999 + "#", "/" * 65535, "$share/g/" + deep):
                each.sendall(wire.make_subscribe(V311, 1, [(filter_, 0)] * 10))
                assert take_suback(each, 10) == b"\x80" * 10
            for topic in (deep, "/" * 65535):
                publisher = crowd.login(1, "deep-publisher", version=V5)[0]
                publisher.sendall(wire.make_publish(V5, topic, b"", 1, packet_id=7))
                assert read_exactly(publisher, 3) == b"\xe0\x01\x90", "DISCONNECT: Topic Name invalid"
            ping(each)
        one.note("SUBACK 0x80, DISCONNECT 0x90")


def test_levels_up_to_the_limit(start):
    # The deepest filters that are allowed, with a wildcard in every place: matching one topic visits what matches.
    broker = start({"topic_levels": 1024, "subscriptions": 3000})
    levels = ["a"] * 1000
    filters = ["/".join(levels[:i] + ["+"] + levels[i + 1:]) for i in range(1, 1000)] \
        + ["/".join(levels[:i] + ["#"]) for i in range(1, 1000)]
    count = scaled(50)
    for each_time in twice(broker, "wildcards on 1000 levels", len(filters) // 2 * 1000 * 100 + 16 * MIB):
        with each_time as one:
            with Crowd(broker.address) as crowd:
                subscriber, publisher = crowd.login(2, "deep")
                for at in range(0, len(filters), 200):
                    some = filters[at:at + 200]
                    subscriber.sendall(wire.make_subscribe(V311, 1, [(f, 0) for f in some]))
                    assert take_suback(subscriber, len(some)) == b"\x00" * len(some)
                held = one.grown()
                message = wire.make_publish(V311, "/".join(levels), b"x")
                began = time.monotonic()
                publisher.sendall(message * count)
                read_bytes(subscriber, len(message) * count)
                took = time.monotonic() - began
            one.note(f"{len(filters)} filters hold {held / MIB:.0f} MiB, a message takes {took / count * 1000:.1f} ms")


def test_retained_messages_on_ever_new_topics(start):
    limit = scaled(20000)
    broker = start({"retained_messages": limit})
    with attack(broker, "retained messages over the limit", limit * 600 + 8 * MIB, kept=limit * 600) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "retain")[0]
            for start_ in range(0, 2 * limit, 5000):
                each.sendall(b"".join(wire.make_publish(V311, f"topics/{i}/x", b"v" * 32, retain=True)
                                      for i in range(start_, start_ + 5000)))
            ping(each)
            held = one.grown()
            reader = crowd.login(1, "reader")[0]
            reader.sendall(wire.make_subscribe(V311, 1, [("topics/#", 0)]))
            # Those of the first `limit` topics, no others; what is not retained is told in the log.
            total = sum(len(wire.make_publish(V311, f"topics/{i}/x", b"v" * 32)) for i in range(limit))
            read_bytes(reader, 5 + total)
            ping(reader)
        one.note(f"{2 * limit} published, {limit} retained, {held / limit:.0f} bytes each")
    assert "a message is not retained" in broker.log()
    with attack(broker, "retained messages deleted", 8 * MIB) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "retain")[0]
            each.sendall(b"".join(wire.make_publish(V311, f"topics/{i}/x", b"", retain=True) for i in range(limit)))
            ping(each)
            reader = crowd.login(1, "reader")[0]
            reader.sendall(wire.make_subscribe(V311, 1, [("topics/#", 0)]) + b"\xc0\x00")
            assert read_exactly(reader, 7) == b"\x90\x03\x00\x01\x00\xd0\x00"
        one.note(f"{-one.grown() / MIB:.1f} MiB given back")


def test_retained_bytes_are_limited(start):
    broker = start({"retained_bytes": "8MiB"})
    count = scaled(400)
    with attack(broker, "retained bytes over the limit", 8 * MIB + 6 * MIB, kept=9 * MIB) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "retain")[0]
            for i in range(count):
                send_while_reading(each, wire.make_publish(V311, f"big/{i}", b"v" * 100 * KIB, retain=True))
            ping(each)
        one.note(f"{count * 100 / KIB:.0f} MiB published, {one.grown() / MIB:.1f} MiB held")
    assert "a message is not retained" in broker.log()


def test_topics_nobody_subscribed_to(start):
    # A name that is published to once leaves nothing behind.
    broker = start()
    count = scaled(200_000)
    with attack(broker, "messages on ever new topics", 6 * MIB) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "topics")[0]
            for start_ in range(0, count, 20000):
                each.sendall(b"".join(wire.make_publish(V311, f"new/{i}/{i}", b"x")
                                      for i in range(start_, min(count, start_ + 20000))))
            ping(each)
        one.note(f"{count} topics")


def test_retained_messages_asked_for_again_and_again(start):
    # Each SUBSCRIBE asks for all retained messages; a client that reads none of them asks a hundred times over, in one
    # packet and in many. What waits for it is bounded, and others go on.
    retained, filters, packets = 2000, 5000, scaled(4)
    broker = start()
    with Crowd(broker.address) as crowd:
        each = crowd.login(1, "retain")[0]
        each.sendall(b"".join(wire.make_publish(V311, f"r/{i}", b"v" * 32, retain=True) for i in range(retained)))
        ping(each)
    packet = wire.make_subscribe(V311, 1, [("#", 0)] * filters)
    with attack(broker, "retained messages asked for, never read", 16 * MIB) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "again", receive_buffer=16 * KIB)[0]
            sent = push(each, packet * packets, 10)
            ping(crowd.login(1, "other")[0])
            one.note(f"{packets} packets with {filters} times `#` over {retained} retained messages, "
                     f"{sent / len(packet):.1f} taken, held {one.grown() / MIB:.1f} MiB")


def test_shared_groups_by_the_thousand(start):
    # A group of its own for each filter, all of the same topic: each is one delivery, and ends with its last member.
    groups, members = 2000, scaled(4)
    broker = start()
    filters = [(f"$share/g{i}/shared/topic", 0) for i in range(groups)]
    with attack(broker, "2000 shared groups of one topic", members * groups * PER_SUBSCRIPTION + 24 * MIB) as one:
        with Crowd(broker.address) as crowd:
            clients = crowd.login(members, "member")
            for each in clients:
                each.sendall(wire.make_subscribe(V311, 1, filters))
                assert take_suback(each, groups) == b"\x00" * groups
            publisher = crowd.login(1, "publisher")[0]
            message = wire.make_publish(V311, "shared/topic", b"x")
            rounds = 10
            publisher.sendall(message * rounds)
            came, deadline = 0, time.monotonic() + DEADLINE
            while came < rounds * groups * len(message):
                assert time.monotonic() < deadline, f"{came // len(message)} of {rounds * groups} deliveries came"
                for each in clients:
                    each.setblocking(False)
                    try:
                        came += len(each.recv(1 << 20))
                    except BlockingIOError:
                        pass
            ping(publisher)
            assert came == rounds * groups * len(message)
        one.note(f"{groups} groups with {members} members, {rounds * groups} deliveries")


def test_topics_that_are_dear_to_match(start):
    # Within the defaults of `limits:` a client can make filters of which each message's topic follows all, to their
    # last but one level. A message then costs a good part of what a second has; others still have their turn between
    # two of them.
    broker = start()
    depth = 127
    filters = ["/".join("+" if level in two else "a" for level in range(depth)) + "/x"
               for two in itertools.combinations(range(1, depth), 2)]
    topic = "/".join("a" * depth) + "/b"
    count = scaled(60)
    for each_time in twice(broker, "topics that are dear to match", len(filters) * depth * 60 + 16 * MIB):
        with each_time as one:
            with Crowd(broker.address) as crowd:
                subscriber, publisher = crowd.login(2, "dear")
                for at in range(0, len(filters), 500):
                    some = filters[at:at + 500]
                    subscriber.sendall(wire.make_subscribe(V311, 1, [(f, 0) for f in some]))
                    assert take_suback(subscriber, len(some)) == b"\x00" * len(some)
                began = time.monotonic()
                publisher.sendall(wire.make_publish(V311, topic, b"x") * count)
                ping(publisher, seconds=10 * DEADLINE)
                took = time.monotonic() - began
            one.note(f"{len(filters)} filters, a message takes {took / count * 1000:.2f} ms")
