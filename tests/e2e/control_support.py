"""What the tests of the control socket share: a connection to it, and a broker that has one."""

import json
import socket

import pytest

from broker import base_config, run_command
from mqtt_raw import DEADLINE


class Control:
    """A connection to the control socket that says what it is told to say."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.settimeout(DEADLINE)
        self.file = self.socket.makefile("rb")

    def send(self, request):
        data = request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n"
        self.socket.sendall(data)
        return self

    def line(self):
        got = self.file.readline()
        return json.loads(got) if got else None

    def answer(self):
        """All lines up to the last one, and the last one."""
        lines = []
        while True:
            got = self.line()
            assert got is not None, lines
            if "ok" in got:
                return lines, got
            lines.append(got)

    def ask(self, command, **members):
        return self.send({"noctule": 1, "command": command, **members}).answer()

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def control(start_broker):
    """control(config=None, files=None): a broker with a control socket; it has `ask` and `run`."""
    opened = []

    def start(config=None, files=None, **options):
        broker = start_broker({**(config or base_config()), "control": "unix:control.sock"}, files, **options)
        broker.socket = broker.folder / "control.sock"
        broker.control = lambda: opened.append(Control(broker.socket)) or opened[-1]
        broker.ask = lambda command, **members: broker.control().ask(command, **members)
        broker.run = lambda *arguments: run_command(*arguments, "-s", broker.socket)
        return broker

    yield start
    for one in opened:
        one.close()
