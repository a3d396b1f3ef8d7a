"""A scripted HTTP server: the platform that http-auth asks, with every fault that a platform can have.

Each path has an answer: an `Answer`, or a function from the `Request` to one. What was asked is kept in `requests`. The
server runs in a thread of its own, takes any number of connections, and can be stopped and started again on its port.
"""

import asyncio
import dataclasses
import json
import socket
import struct
import threading
import time
import urllib.parse

from broker import HOST, free_port
from mqtt_raw import DEADLINE


@dataclasses.dataclass
class Request:
    method: str
    target: str
    headers: dict  # names in small letters
    body: bytes
    connection: int  # which connection it came on, counted from 1

    @property
    def path(self):
        return self.target.partition("?")[0]

    def json(self):
        return json.loads(self.body)

    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))


@dataclasses.dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    headers: dict = dataclasses.field(default_factory=dict)
    delay: float = 0.0
    # close: without an answer; reset: in the middle of the body; hang: no answer; trickle: a byte now and then, for ever;
    # garbage: `body` is sent as it is, in place of an answer; endless: a body without an end
    fault: str = ""


def rich(**members):
    """An answer in JSON."""
    return Answer(body=json.dumps(members).encode(), headers={"Content-Type": "application/json"})


YES = Answer(200)
NO = Answer(403)
BROKEN = Answer(500)
OK = rich(ok=True)


class Backend:
    def __init__(self, tls=None):
        self.port, self.tls = free_port(), tls
        self.answers, self.requests = {}, []
        self.connections = self.in_flight = self.most_in_flight = 0
        self._loop = self._thread = self._server = None
        self._tasks = set()

    # ------------------------------------------------------------------------------------------- the test's side

    def url(self, path):
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}{path}"

    def __setitem__(self, path, answer):
        self.answers[path] = answer

    def on(self, path):
        """The requests to a path so far."""
        return [request for request in list(self.requests) if request.path == path]

    def wait_for(self, condition, what, seconds=DEADLINE):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {[(r.target, r.body) for r in self.requests][-10:]}"
            time.sleep(0.005)

    def wait_requests(self, path, count):
        self.wait_for(lambda: len(self.on(path)) >= count, f"{count} requests to {path}")
        return self.on(path)

    def forget(self):
        self.requests = []

    # ------------------------------------------------------------------------------------------- life

    def start(self):
        ready = threading.Event()

        def run():
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
            self._server = self._loop.run_until_complete(
                asyncio.start_server(self._connection, HOST, self.port, ssl=self.tls, backlog=2048, limit=1 << 22))
            ready.set()
            self._loop.run_forever()
            self._loop.run_until_complete(self._end())
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(DEADLINE)
        return self

    def stop(self):
        """Closes the listener and resets every connection, as when the process is killed."""
        if self._thread:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(DEADLINE)
            self._thread = None

    async def _end(self):
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------- a connection

    async def _connection(self, reader, writer):
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            while request := await self._read(reader, number):
                self.requests.append(request)
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    if not await self._answer(request, writer):
                        break
                finally:
                    self.in_flight -= 1
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            _reset(writer)

    async def _read(self, reader, number):
        line = await reader.readline()
        if not line:
            return None
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := (await reader.readline()).decode("latin-1").strip()):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Request(method, target, headers, body, number)

    async def _answer(self, request, writer):
        """True when the connection can be used again."""
        answer = self.answers.get(request.path, Answer(404))
        if callable(answer):
            answer = answer(request)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        if answer.fault == "close":
            return False
        if answer.fault == "hang":
            await asyncio.sleep(3600)
        if answer.fault == "garbage":
            writer.write(answer.body)
            await writer.drain()
            writer.close()
            return False
        length = "" if answer.fault == "endless" else f"Content-Length: {len(answer.body)}\r\n"
        head = f"HTTP/1.1 {answer.status} Scripted\r\n{length}"
        head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items()) + "\r\n"
        if answer.fault == "trickle":
            for byte in (head + "x" * 4096).encode():
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.02)
        if answer.fault == "endless":
            writer.write(head.encode())
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        if answer.fault == "reset":
            writer.write(head.encode() + answer.body[:len(answer.body) // 2])
            await writer.drain()
            return False
        writer.write(head.encode() + answer.body)
        await writer.drain()
        return True


def _reset(writer):
    """Closes without goodbye, so that nothing lingers on the port."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        try:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
    writer.transport.abort()
