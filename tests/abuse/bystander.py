"""The innocent third party of every attack, a program of its own, so that what the attacker's Python does costs it
nothing: pairs of clients that exchange QoS 1 messages without a pause, and measure how long each takes.

    bystander.py HOST PORT PAIRS TIMEOUT

Prints `ready` once all are connected, goes on until its standard input ends, finishes what is under way, and prints
one JSON object: `sent`, `lost`, `twice`, `p50`, `p99`, `max` (milliseconds from PUBLISH to PUBLISH), and `error`.
"""

import json
import os
import pathlib
import select
import socket
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import mqtt_codec as wire  # noqa: E402
from mqtt_codec import V5, V311  # noqa: E402

PAUSE = 0.002  # between the messages of a pair: the attacker is to have the processor


class Gone(Exception):
    """The broker closed a connection, or did not answer in time."""


class Line:
    """One connection: packets in and out."""

    def __init__(self, address, version, client_id, timeout):
        self.version, self.client_id, self.buffer = version, client_id, bytearray()
        self.socket = socket.create_connection(address, timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(wire.make_connect(version, client_id, keep_alive=0))
        self.take(wire.CONNACK)

    def fileno(self):
        return self.socket.fileno()

    def read(self):
        data = self.socket.recv(65536)
        if not data:
            raise Gone(f"{self.client_id}: closed by the broker; it had sent {bytes(self.buffer[:40]).hex()}")
        self.buffer += data

    def packets(self):
        while decoded := wire.decode(self.buffer, self.version):
            del self.buffer[:decoded[1]]
            if decoded[0].kind == wire.DISCONNECT:
                raise Gone(f"{self.client_id}: {decoded[0]}")
            yield decoded[0]

    def take(self, kind):
        while True:
            for got in self.packets():
                assert got.kind == kind, got
                return got
            self.read()


class Pair:
    """One message under way at a time: sent again only when it was acknowledged and has arrived."""

    def __init__(self, address, index, timeout):
        name = f"bystander/{os.getpid()}/{index}"
        version = V5 if index % 2 else V311
        self.topic, self.number, self.got, self.acknowledged, self.twice = name, 0, 0, 0, 0
        self.subscriber = Line(address, version, f"{name}/s", timeout)
        self.subscriber.socket.sendall(wire.make_subscribe(version, 1, [(name, 1)]))
        self.subscriber.take(wire.SUBACK)
        self.publisher = Line(address, version, f"{name}/p", timeout)
        self.due, self.began, self.trips = 0.0, 0.0, []

    def busy(self):
        return self.got < self.number or self.acknowledged < self.number

    def send(self, now):
        self.number += 1
        self.began = now
        self.publisher.socket.sendall(wire.make_publish(self.publisher.version, self.topic, str(self.number), 1,
                                                        packet_id=self.number % 65535 + 1))

    def read(self, line):
        line.read()
        now = time.monotonic()
        for got in line.packets():
            if got.kind == wire.PUBACK:
                assert got.packet_id == self.number % 65535 + 1 and got.reason == 0, got
                self.acknowledged = self.number
            else:
                line.socket.sendall(wire.make_ack(line.version, wire.PUBACK, got.packet_id))
                number = int(got.payload)
                if number <= self.got:
                    self.twice += 1
                    continue
                assert number == self.number, f"{number} in place of {self.number}"
                self.got = number
                self.trips.append(now - self.began)
        self.due = now + PAUSE


def exchange(pairs, timeout):
    poll, lines = select.epoll(), {}
    for pair in pairs:
        for line in (pair.publisher, pair.subscriber):
            poll.register(line, select.EPOLLIN)
            lines[line.fileno()] = pair, line
    poll.register(sys.stdin, select.EPOLLIN | select.EPOLLHUP)
    stopping = False
    while not stopping or any(pair.busy() for pair in pairs):
        now = time.monotonic()
        wait = timeout
        for pair in pairs:
            if pair.busy():
                if now - pair.began > timeout:
                    raise Gone(f"{pair.topic}: message {pair.number} took more than {timeout:.0f} s "
                               f"({'not ' if pair.acknowledged < pair.number else ''}acknowledged)")
            elif not stopping and pair.due <= now:
                pair.send(now)
            elif not stopping:
                wait = min(wait, pair.due - now)
        for fd, _ in poll.poll(min(wait, 1.0)):
            if fd in lines:
                pair, line = lines[fd]
                pair.read(line)
            else:
                stopping = True
                poll.unregister(sys.stdin)


def main():
    host, port, count, timeout = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    error, pairs = None, [Pair((host, port), index, timeout) for index in range(count)]
    print("ready", flush=True)
    try:
        exchange(pairs, timeout)
    except (Gone, OSError, AssertionError) as failure:
        error = f"{type(failure).__name__}: {failure}"
    trips = sorted(trip * 1000 for pair in pairs for trip in pair.trips) or [0.0]
    print(json.dumps({
        "sent": sum(pair.number for pair in pairs), "lost": sum(pair.number - pair.got for pair in pairs),
        "twice": sum(pair.twice for pair in pairs), "error": error, "p50": trips[len(trips) // 2],
        "p99": trips[len(trips) * 99 // 100], "max": trips[-1]}), flush=True)


if __name__ == "__main__":
    main()
