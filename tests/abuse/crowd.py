"""Many connections at once, without a thread for each: the attacker's side."""

import contextlib
import select
import socket
import struct
import time

import mqtt_codec as wire
from mqtt_raw import DEADLINE

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST, and no port stays behind in TIME_WAIT


def open_socket(address, blocking=True, receive_buffer=None):
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if receive_buffer:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    one.settimeout(DEADLINE)
    one.connect(address)
    one.setblocking(blocking)
    return one


class Crowd:
    """Connections that are read only as far as the tests ask. A context manager: all are closed at its end."""

    def __init__(self, address):
        self.address, self.sockets = address, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __len__(self):
        return len(self.sockets)

    def __iter__(self):
        return iter(self.sockets)

    def close(self):
        for one in self.sockets:
            one.close()
        self.sockets.clear()

    def join(self, count, first=b"", receive_buffer=None):
        """Opens connections; each sends `first` (bytes, or a function of its number)."""
        opened = []
        for number in range(count):
            one = open_socket(self.address, receive_buffer=receive_buffer)
            data = first(number) if callable(first) else first
            if data:
                one.sendall(data)
            opened.append(one)
        self.sockets += opened
        return opened

    def login(self, count, name, batch=200, receive_buffer=None, **options):
        """Connects 3.1.1 clients NAME0, NAME1, ...; returns their sockets once each has its CONNACK."""
        version = options.pop("version", wire.V311)
        options.setdefault("keep_alive", 0)
        made = []
        for start in range(0, count, batch):
            fresh = self.join(min(batch, count - start), lambda i: wire.make_connect(
                version, f"{name}{start + i}", **options), receive_buffer=receive_buffer)
            for one in fresh:
                one.settimeout(DEADLINE)
                head = read_exactly(one, 2)
                rest = read_exactly(one, head[1])
                assert head[0] == 0x20 and rest[1] == 0, f"CONNACK {head.hex()} {rest.hex()}"
            made += fresh
        return made

    def await_closed(self, sockets=None, seconds=None):
        """Waits until the broker has closed these; returns how long the slowest took, and the bytes that came."""
        waiting = {one.fileno(): one for one in (self.sockets if sockets is None else sockets)}
        began, bytes_ = time.monotonic(), 0
        with contextlib.closing(select.epoll()) as poll:
            for fd in waiting:
                poll.register(fd, select.EPOLLIN)
            while waiting:
                left = (DEADLINE if seconds is None else seconds) - (time.monotonic() - began)
                ready = poll.poll(max(0.0, left))
                assert ready, f"{len(waiting)} connections are still open"
                for fd, _ in ready:
                    try:
                        data = waiting[fd].recv(65536)
                    except ConnectionResetError:
                        data = b""
                    bytes_ += len(data)
                    if not data:
                        poll.unregister(fd)
                        del waiting[fd]
        return time.monotonic() - began, bytes_

    def closed_now(self, sockets=None):
        """How many of these the broker has closed (what it has sent is thrown away)."""
        count = 0
        for one in self.sockets if sockets is None else sockets:
            one.setblocking(False)
            try:
                while data := one.recv(262144):
                    pass
                count += data == b""
            except BlockingIOError:
                pass
            except ConnectionResetError:
                count += 1
        return count


def read_exactly(one, count):
    data = b""
    while len(data) < count:
        piece = one.recv(count - len(data))
        assert piece, f"closed after {data.hex()}"
        data += piece
    return data


def send_while_reading(one, data, seconds=None, read=True):
    """Sends all of `data`, reading (and throwing away) what comes meanwhile; returns the bytes that came. Stops early
    when the broker closes the connection."""
    one.setblocking(False)
    view, came, deadline = memoryview(data), 0, time.monotonic() + (4 * DEADLINE if seconds is None else seconds)
    while view:
        assert time.monotonic() < deadline, f"{len(view)} bytes were not taken in time"
        readable, writable, _ = select.select([one] if read else [], [one], [], 0.5)
        try:
            if readable:
                piece = one.recv(262144)
                if not piece:
                    return came
                came += len(piece)
            if writable:
                view = view[one.send(view[:262144]):]
        except BlockingIOError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return came
    return came


def push(one, data, seconds):
    """Sends what the broker takes of `data` within `seconds`, without reading; returns the number of bytes."""
    one.setblocking(False)
    view, deadline = memoryview(data), time.monotonic() + seconds
    while view and (left := deadline - time.monotonic()) > 0:
        if not select.select([], [one], [], min(left, 0.1))[1]:
            continue
        try:
            view = view[one.send(view[:1 << 20]):]
        except BlockingIOError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            break
    return len(data) - len(view)


def read_for(one, seconds=None, until=None):
    """Reads until `until(data so far)` holds; returns the bytes."""
    data, deadline = bytearray(), time.monotonic() + (DEADLINE if seconds is None else seconds)
    while not until(data):
        left = deadline - time.monotonic()
        assert left > 0, f"{len(data)} bytes came in time, which is not enough"
        one.settimeout(left)
        piece = one.recv(262144)
        assert piece, f"closed after {len(data)} bytes"
        data += piece
    return bytes(data)


def read_bytes(one, count, seconds=None):
    """Reads `count` bytes and throws them away."""
    deadline, came = time.monotonic() + (4 * DEADLINE if seconds is None else seconds), 0
    while came < count:
        left = deadline - time.monotonic()
        assert left > 0, f"{came} of {count} bytes came in time"
        one.settimeout(left)
        piece = one.recv(1 << 20)
        assert piece, f"closed after {came} of {count} bytes"
        came += len(piece)
    return came


def ping(one, seconds=DEADLINE):
    """A ping that must be answered; what comes before the answer is thrown away."""
    one.settimeout(seconds)
    one.sendall(b"\xc0\x00")
    last = b""
    while last != b"\xd0\x00":
        piece = one.recv(262144)
        assert piece, "closed in place of a PINGRESP"
        last = (last + piece)[-2:]
