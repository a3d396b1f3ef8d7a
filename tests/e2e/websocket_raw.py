"""A raw WebSocket client that knows nothing it was not told: HTTP upgrade, frames, and MQTT over them."""

import base64
import hashlib
import os
import socket
import struct
import time

from mqtt_raw import DEADLINE, Client, ConnectionClosed, TimedOut

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def make_request(path="/mqtt", protocols="mqtt", method="GET", version="HTTP/1.1", key="dGhlIHNhbXBsZSBub25jZQ==",
                 **headers):
    """The bytes of an upgrade; `headers` replace, add, or with None leave out; underscores stand for dashes."""
    fields = {"Host": "broker.example", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
              "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": protocols}
    fields.update((name.replace("_", "-"), value) for name, value in headers.items())
    lines = [f"{method} {path} {version}"] + [f"{k}: {v}" for k, v in fields.items() if v is not None]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def make_frame(payload=b"", opcode=BINARY, fin=True, mask=True, rsv=0, length=None):
    """The bytes of a frame; `length` is what its head says, where that is not the truth."""
    size = len(payload) if length is None else length
    first, bit = (0x80 if fin else 0) | rsv << 4 | opcode, 0x80 if mask else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    repeated = int.from_bytes(key * (len(payload) // 4 + 1), "big") >> 8 * (4 - len(payload) % 4)
    masked = (int.from_bytes(payload, "big") ^ repeated).to_bytes(len(payload), "big") if payload else b""
    return head + key + masked


def take_frame(data):
    """The first frame at the beginning of a bytearray, taken out of it: (opcode, payload, fin), or None."""
    if len(data) < 2:
        return None
    assert not data[1] & 0x80, "a server does not mask"
    assert not data[0] & 0x70, "no extension was agreed on"
    size, head = data[1], 2
    if size == 126:
        size, head = int.from_bytes(data[2:4], "big"), 4
        assert len(data) < 4 or size >= 126
    elif size == 127:
        size, head = int.from_bytes(data[2:10], "big"), 10
        assert len(data) < 10 or size >= 65536
    if len(data) < head + size:
        return None
    frame = data[0] & 0x0F, bytes(data[head:head + size]), bool(data[0] & 0x80)
    del data[:head + size]
    return frame


class WebSocketClient(Client):
    """As Client, with every write one binary frame. What comes in control frames is in `controls`."""

    def __init__(self, address, version=5, client_id="", **request):
        super().__init__(address, version, client_id)
        self.request = request
        self.raw, self.controls, self.frames = bytearray(), [], 0
        self.answer = ""

    def open(self, behind=b""):
        """Opens and upgrades; `behind` is sent with the request, without waiting for the answer."""
        self.open_only()
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(make_request(**{"key": key, **self.request}) + behind)
        self.answer = self.read_head()
        assert self.answer.startswith("HTTP/1.1 101 "), self.answer
        accept = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()
        assert f"Sec-WebSocket-Accept: {accept}\r\n" in self.answer
        return self

    def open_only(self):
        """Opens the connection and sends nothing."""
        self.raw.clear()
        self.controls.clear()
        self.frames = 0
        return super().open()

    def read_head(self):
        """The head of an answer; what follows it stays in `raw`."""
        deadline = time.monotonic() + DEADLINE
        while b"\r\n\r\n" not in self.raw:
            self._read(deadline)
        head, _, rest = bytes(self.raw).partition(b"\r\n\r\n")
        self.raw[:] = rest
        return head.decode() + "\r\n\r\n"

    def send(self, data):
        super().send(make_frame(data))

    def send_raw(self, data):
        """Bytes as they are, without a frame."""
        super().send(data)

    def _read(self, deadline):
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.socket.recv(262144)
        except (socket.timeout, TimeoutError):
            raise TimedOut(f"{self.client_id!r}: nothing in time") from None
        except (ConnectionResetError, BrokenPipeError):
            data = b""
        if not data:
            raise ConnectionClosed(f"{self.client_id!r}: the broker closed the connection")
        self.raw += data

    def _fill(self, deadline):
        """Until there is data; control frames are put aside."""
        while True:
            frame = take_frame(self.raw)
            if frame is None:
                self._read(deadline)
                continue
            opcode, payload, fin = frame
            if opcode >= CLOSE:
                assert fin and len(payload) <= 125
                self.controls.append((opcode, payload))
                continue
            assert opcode == BINARY and fin, "a server that never fragments sends binary frames only"
            self.frames += 1
            self.buffer += payload
            return

    def expect_control(self, opcode, payload=None):
        """A control frame comes, before any data."""
        deadline = time.monotonic() + DEADLINE
        while not self.controls:
            frame = take_frame(self.raw)
            if frame:
                assert frame[0] >= CLOSE, f"data came instead: {frame}"
                self.controls.append(frame[:2])
            else:
                self._read(deadline)
        got = self.controls.pop(0)
        assert got[0] == opcode and payload in (None, got[1]), f"{got}, expected {opcode}, {payload}"
        return got[1]

    def expect_closing(self, code):
        """The broker says Close with this code (None: without one), then closes."""
        payload = self.expect_control(CLOSE)
        assert payload[:2] == (b"" if code is None else struct.pack("!H", code)), payload
        try:
            self._read(time.monotonic() + DEADLINE)
        except ConnectionClosed:
            return
        raise AssertionError(f"something follows Close: {bytes(self.raw)}")
