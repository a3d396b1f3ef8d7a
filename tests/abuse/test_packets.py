"""Clients that are connected and send what is lawful, but too much of it, or never read what they asked for."""

import itertools

import mqtt_codec as wire
from arena import KIB, MIB, attack, scaled, wait_until
from crowd import Crowd, ping, push, read_bytes, read_exactly, send_while_reading
from mqtt_codec import V5, V311

SEND_BUFFER = 256 * KIB


def test_a_million_pings(start):
    broker = start()
    count = scaled(1_000_000)
    with attack(broker, "pings", 4 * SEND_BUFFER + 6 * MIB) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "ping")[0]
            came = send_while_reading(each, b"\xc0\x00" * count)
            read_bytes(each, 2 * count - came)
        one.note(f"{count} pings, {count} answers")


def unread(broker, one, packet, limit, seconds=1.0):
    """Sends packets that are answered, and reads no answer; then reads them all."""
    with Crowd(broker.address) as crowd:
        each = crowd.login(1, "unread", version=V5, receive_buffer=16 * KIB)[0]
        many = packet * (limit // len(packet))
        sent = push(each, many, seconds)
        one.note(f"{sent / MIB:.1f} MiB of {len(packet)} byte packets taken while no answer was read, "
                 f"grown by {one.grown() / MIB:.1f} MiB")
        # All that was taken is answered once the client reads.
        rest = packet[sent % len(packet):] if sent % len(packet) else b""
        send_while_reading(each, rest)


def test_pings_whose_answers_nobody_reads(start):
    # What was asked for and is not read is bounded by the send buffer: then the broker reads no more either.
    broker = start()
    with attack(broker, "answers nobody reads: PINGRESP", 8 * SEND_BUFFER + 6 * MIB) as one:
        unread(broker, one, b"\xc0\x00", scaled(100 * MIB))


def test_publishes_whose_acknowledgements_nobody_reads(start):
    broker = start()
    packet = b"".join(wire.make_publish(V5, "a", b"", 1, packet_id=i + 1) for i in range(30))
    with attack(broker, "answers nobody reads: PUBACK", 8 * SEND_BUFFER + 6 * MIB) as one:
        unread(broker, one, packet, scaled(100 * MIB))


def test_subscribes_whose_acknowledgements_nobody_reads(start):
    # The largest SUBACK for the fewest bytes: one filter again and again in each packet.
    broker = start()
    packet = wire.make_subscribe(V5, 1, [("a", 0)] * 10000)
    with attack(broker, "answers nobody reads: SUBACK", 8 * SEND_BUFFER + 8 * MIB) as one:
        unread(broker, one, packet, scaled(100 * MIB))


def test_a_client_that_sends_first_and_reads_later_is_not_stuck(start, name):
    # The bound above must not hold those who write a lawful batch before they read.
    broker = start()
    with attack(broker, "a batch first, its answers later", 4 * SEND_BUFFER + 8 * MIB) as one:
        count = scaled(20000)
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "batch")[0]
            data = b"".join(wire.make_publish(V311, name("a"), b"x" * 100, 1, packet_id=i % 60000 + 1)
                            for i in range(count))
            assert push(each, data, 10) == len(data)
            read_bytes(each, 4 * count)
        one.note(f"{count} PUBLISH with QoS 1 in one go")


def test_user_properties_by_the_hundred_thousand(start, name):
    # One packet full of the smallest properties, published, retained, and sent to a subscriber.
    broker = start()
    bomb = b"\x26\x00\x00\x00\x00" * 200_000
    packet = wire.make_publish(V5, name("a"), b"", 0, properties_=bomb)
    rounds = scaled(150)
    with attack(broker, "200,000 user properties", 64 * MIB) as one:
        with Crowd(broker.address) as crowd:
            each = crowd.login(1, "properties", version=V5)[0]
            for _ in range(rounds):
                each.sendall(packet)
            ping(each)
            each = crowd.join(1, wire.make_connect(V5, "properties", properties_=bomb))[0]
            assert read_exactly(each, 4)[3] == 0
        one.note(f"{rounds} PUBLISH and a CONNECT of {len(bomb) / MIB:.1f} MiB of properties")


def test_one_publish_that_matches_thousands_of_filters_of_one_client(start):
    # All 4096 filters of `a` and `+` over 12 levels match; the client gets one message for all of them.
    broker = start()
    filters = ["/".join(each) for each in itertools.product("a+", repeat=12)]
    topic = "/".join("a" * 12)
    count = scaled(1500)
    with attack(broker, "4096 matching filters of one client", 24 * MIB) as one:
        with Crowd(broker.address) as crowd:
            subscriber, publisher = crowd.login(2, "combine")
            subscriber.sendall(wire.make_subscribe(V311, 1, [(each, 0) for each in filters]))
            assert read_exactly(subscriber, 3 + 2)[0] == 0x90
            read_bytes(subscriber, 4096)
            message = wire.make_publish(V311, topic, b"x")
            publisher.sendall(message * count)
            read_bytes(subscriber, len(message) * count)
        one.note(f"{count} messages through {len(filters)} filters")


def test_a_subscriber_that_never_reads(start, name):
    # A flood of several times what may wait: the queue and the send buffer fill, the rest is dropped and logged, and
    # after limits.send_timeout the client is closed.
    queued, each_size, readers = 2 * MIB, 10 * KIB, 8
    broker = start({"queued_messages": 100000, "queued_bytes": "2MiB", "send_timeout": "2s"}, log="info")
    topic = name("flood")
    message = wire.make_publish(V311, topic, b"x" * each_size)
    count = scaled(3000)
    # The kernel's buffers are not the process's memory. Each reader's queue may hold the same messages: once.
    ceiling = readers * (2 * SEND_BUFFER + 64 * KIB) + 2 * queued + 8 * MIB
    with attack(broker, "subscribers that never read", ceiling) as one:
        with Crowd(broker.address) as crowd, Crowd(broker.address) as more:
            for each in crowd.login(readers, "never", receive_buffer=16 * KIB):
                each.sendall(wire.make_subscribe(V311, 1, [(topic, 0)]))
                read_exactly(each, 5)
            reader, publisher = more.login(2, "other")
            reader.sendall(wire.make_subscribe(V311, 1, [(topic, 0)]))
            read_exactly(reader, 5)
            # Another subscriber of the same flood gets all of it, in time to make room: batches, read as they come.
            for _ in range(count // 10):
                publisher.sendall(message * 10)
                read_bytes(reader, len(message) * 10)
            ping(publisher)
            since = one.grown()
            wait_until(lambda: "reads nothing" in broker.log(), "limits.send_timeout closes them", 5)
            wait_until(lambda: broker.log().count("reads nothing") == readers, "all of them", 5)
        one.note(f"{count * each_size / MIB:.0f} MiB to {readers} who never read and one who does; "
                 f"held {since / MIB:.1f} MiB; closed by send_timeout")


def test_subscribers_that_never_acknowledge(start, name):
    # The window (limits.inflight) and the queue fill; the rest is dropped. Others of the same topic get everything.
    queued, silent, size = 1000, 50, 200
    broker = start({"queued_messages": queued, "inflight": 20})
    topic = name("flood")
    count = scaled(5000)
    ceiling = silent * queued * 120 + 2 * queued * (size + 200) + 10 * MIB
    with attack(broker, "subscribers that never acknowledge", ceiling) as one:
        with Crowd(broker.address) as crowd:
            for number, each in enumerate(crowd.login(silent, "silent")):
                each.sendall(wire.make_subscribe(V311, 1, [(topic, 1 + number % 2)]))
                read_exactly(each, 5)
            message = wire.make_publish(V311, topic, b"x" * size, 2, packet_id=1) + wire.make_ack(V311, wire.PUBREL, 1)
            publisher = crowd.login(1, "publisher")[0]
            publisher.sendall(message * count)
            read_bytes(publisher, 8 * count)
            held = one.grown()
            window = 20 * len(wire.make_publish(V311, topic, b"x" * size, 1, packet_id=1))
            for each in crowd.sockets[:silent]:
                read_bytes(each, window)
                each.setblocking(False)
                try:
                    assert each.recv(1) is None, "more than limits.inflight"
                except BlockingIOError:
                    pass
        one.note(f"{count} messages to {silent}, held {held / MIB:.1f} MiB")


def test_publishers_that_never_release(start, name):
    # Receive Maximum is limits.inflight: 5.0 says so and closes with 0x93. 3.1.1 knows no such maximum, but has 65,535
    # identifiers and no more.
    broker = start({"inflight": 100})
    topic = name("unreleased")
    clients = scaled(30)
    every = b"".join(wire.make_publish(V311, topic, b"x", 2, packet_id=i + 1) for i in range(65535))
    with attack(broker, "QoS 2 never released", clients * 65535 * 12 + 6 * MIB) as one:
        with Crowd(broker.address) as crowd:
            five = crowd.login(clients, "five", version=V5)
            for each in five:
                send_while_reading(each, wire.make_publish(V5, topic, b"x", 2, packet_id=1)
                                   + b"".join(wire.make_publish(V5, topic, b"x", 2, packet_id=i + 1)
                                              for i in range(1, 102)))
            crowd.await_closed(five)
            three = crowd.login(clients, "three")
            kept = 0
            for each in three:
                answered = send_while_reading(each, every)
                kept += (answered + read_bytes(each, 4 * 65535 - answered)) // 4
            one.note(f"5.0: {clients} closed over Receive Maximum; 3.1.1: {kept} identifiers "
                     f"in use, {one.grown() / MIB:.1f} MiB")


def test_large_messages_through_few_processors(start, name):
    # Publishers as fast as they can, of messages of the largest size, to subscribers on all workers: what is under way
    # between the workers is memory, too.
    broker = start({"packet_size": "1MiB", "queued_bytes": "4MiB"})
    topic = name("large")
    payload = b"x" * (MIB - 1000)
    rounds, publishers, readers = scaled(20), 4, 4
    ceiling = (publishers * 2 * MIB + readers * (4 * MIB + MIB + 2 * SEND_BUFFER)) * 2 + 16 * MIB
    with attack(broker, "1 MiB messages at full speed", ceiling) as one:
        with Crowd(broker.address) as crowd:
            subscribers = crowd.login(readers, "reader", receive_buffer=64 * KIB)
            for each in subscribers:
                each.sendall(wire.make_subscribe(V311, 1, [(topic, 0)]))
                read_exactly(each, 5)
            writers = crowd.login(publishers, "writer")
            message = wire.make_publish(V311, topic, payload)
            for _ in range(rounds):
                for each in writers:
                    send_while_reading(each, message)
            for each in writers:
                ping(each)
        one.note(f"{rounds * publishers} MiB from {publishers} publishers to {readers} who never read")
