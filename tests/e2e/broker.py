"""Starts the broker under test, one process per `Broker`, and checks how it ends.

The environment decides what is tested:
  NOCTULE_BIN            the executable (default: build/noctule)
  NOCTULE_PLUGIN_PATH    where its plugins are (default: `plugins` beside the executable)
  NOCTULE_TEST_PLUGINS   where the test plugins are (default: `tests/plugins` beside the executable)
  NOCTULE_TEST_WORKERS   `workers:` of every configuration that does not set it (default: 1)
  NOCTULE_TEST_SEEDS     how many times the tests of chance try their luck
  NOCTULE_TEST_RUNNER    a command put before the executable, such as "setarch -R"
  NOCTULE_REFERENCE      another broker's executable (Debian's /usr/sbin/mosquitto): runs the tests of the protocol
                         against it, to see that the tests themselves are right; all others are skipped
"""

import hashlib
import base64
import itertools
import os
import pathlib
import re
import resource
import shlex
import signal
import socket
import subprocess
import time

import pytest
import yaml

from mqtt_raw import DEADLINE, TIME_SCALE

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXECUTABLE = pathlib.Path(os.environ.get("NOCTULE_BIN", ROOT / "build" / "noctule")).resolve()
PLUGIN_PATH = pathlib.Path(os.environ.get("NOCTULE_PLUGIN_PATH", EXECUTABLE.parent / "plugins")).resolve()
TEST_PLUGINS = pathlib.Path(os.environ.get("NOCTULE_TEST_PLUGINS", EXECUTABLE.parent / "tests" / "plugins")).resolve()
WORKERS = int(os.environ.get("NOCTULE_TEST_WORKERS", "1"))
RUNNER = shlex.split(os.environ.get("NOCTULE_TEST_RUNNER", ""))
REFERENCE = os.environ.get("NOCTULE_REFERENCE")

SANITIZER_REPORT = re.compile(
    r"(ERROR|WARNING): (Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:|==\d+==ERROR|"
    r"ThreadSanitizer: (data race|reported)|Sanitizer:DEADLYSIGNAL")

# Each test process has a loopback address of its own, so that suites can run side by side with no port in common,
# and no outgoing connection can take a port away.
HOST = "127.{}.{}.{}".format(64 + (os.getpid() >> 16 & 0x3F), os.getpid() >> 8 & 0xFF, 1 + os.getpid() % 254)
_ports = itertools.count(18830)


def free_port():
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                return port
            except OSError:
                continue


def environment(**extra):
    env = dict(os.environ, NOCTULE_PLUGIN_PATH=str(PLUGIN_PATH), **extra)
    env.pop("NOTIFY_SOCKET", None)
    return env


def password_entry(user, password, iterations=101):
    """A line of a Mosquitto password file ($7$, PBKDF2-HMAC-SHA512)."""
    salt = hashlib.sha256(user.encode()).digest()[:12]
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    encode = lambda data: base64.b64encode(data).decode()  # noqa: E731
    return f"{user}:$7${iterations}${encode(salt)}${encode(key)}\n"


def passwords(iterations=101, **users):
    return "".join(password_entry(user, password, iterations) for user, password in users.items())


def base_config(**changes):
    """Everybody may do everything, on one listener. `changes` replace top-level keys."""
    config = {
        "workers": WORKERS,
        "allow_anonymous": True,
        "default_access": "allow",
        "listeners": [{"name": "default", "bind": "@default@"}],
        "plugins": [],
        "log": {"level": "debug", "format": "text"},
    }
    config.update(changes)
    return {key: value for key, value in config.items() if value is not None}


class Broker:
    """A running broker. `address` is its first listener; `addresses` has each by name."""

    READY = r"\bready\b"

    def __init__(self, folder, config=None, files=None, descriptors=None, environment_=None, arguments=(),
                 launcher=()):
        self.folder = pathlib.Path(folder)
        self.addresses, self.process, self.stopped = {}, None, False
        self.log_path = self.folder / "broker.log"
        self.config_path = self.folder / "noctule.yaml"
        self.launcher = [str(part) for part in launcher]  # a command that becomes the broker
        self.descriptors, self.extra_environment, self.arguments = descriptors, environment_ or {}, arguments
        for name, text in (files or {}).items():
            self.write(name, text)
        self.configure(base_config() if config is None else config)

    # ------------------------------------------------------------------------------------------- files

    def write(self, name, text):
        """Writes a file beside the configuration, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text) if isinstance(text, str) else fresh.write_bytes(text)
        fresh.replace(path)
        return path

    def configure(self, config):
        """Writes noctule.yaml from a dict (or text); `@NAME@` stands for a free host:port, the same for the same
        NAME every time. The running broker does not notice; see reload()."""
        text = config if isinstance(config, str) else yaml.safe_dump(config, sort_keys=False)
        for name in re.findall(r"@([a-z0-9-]+)@", text):
            self.addresses.setdefault(name, (HOST, free_port()))
        text = re.sub(r"@([a-z0-9-]+)@", lambda m: "%s:%d" % self.addresses[m.group(1)], text)
        self.write("noctule.yaml", text)

    @property
    def address(self):
        return next(iter(self.addresses.values()))

    # ------------------------------------------------------------------------------------------- process

    def command(self):
        return [*self.launcher, *RUNNER, str(EXECUTABLE), "run", "-c", str(self.config_path), *self.arguments]

    def _limit_descriptors(self):
        if self.descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

    def spawn(self):
        """Starts the process and waits for nothing."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.folder, env=environment(**self.extra_environment),
                                            preexec_fn=self._limit_descriptors if self.descriptors else None)
        return self

    def start(self):
        since = self.log_size()
        self.spawn()
        self.wait_log(self.READY, since=since)
        return self

    def wait_listening(self):
        """For configurations that do not log the ready line: waits until the first listener accepts."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                socket.create_connection(self.address, timeout=1).close()
                return
            except OSError:
                assert self.alive() and time.monotonic() < deadline, f"nobody listens:\n{self.tail()}"
                time.sleep(0.01)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def reload(self):
        """SIGHUP; returns the log from there on once the broker has told how the reload ended."""
        since = self.log_size()
        self.process.send_signal(signal.SIGHUP)
        self.wait_log(r"(?i)\breload(ed)?\b.*", since=since)
        time.sleep(0.02)
        return self.log(since)

    def stop(self):
        """SIGTERM; the broker must end with 0 and without a sanitizer's report."""
        if self.stopped or self.process is None:
            return
        self.stopped = True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(DEADLINE + 10 * TIME_SCALE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("SIGTERM did not end the broker; its log ends:\n" + self.tail()) from None
        self.check_sanitizers()
        assert code == 0, f"the broker ended with {code}; its log ends:\n{self.tail()}"

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.stopped = True

    # ------------------------------------------------------------------------------------------- log

    def log_size(self):
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def log(self, since=0):
        with open(self.log_path, "rb") as log:
            log.seek(since)
            return log.read().decode("utf-8", "replace")

    def tail(self):
        return self.log()[-4000:]

    def wait_log(self, pattern, since=0, timeout=None):
        """Waits until the log, from `since` on, matches; returns the match."""
        limit = DEADLINE + 4 * TIME_SCALE if timeout is None else timeout
        deadline = time.monotonic() + limit
        while True:
            found = re.search(pattern, self.log(since))
            if found:
                return found
            assert self.alive(), f"the broker ended with {self.process.returncode}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"no log line matches {pattern!r}; the log ends:\n{self.tail()}"
            time.sleep(0.01)

    def check_sanitizers(self, since=0):
        found = SANITIZER_REPORT.search(self.log(since))
        assert not found, "sanitizer report:\n" + self.log(since)[max(0, found.start() - 200):][:6000]


class ReferenceBroker(Broker):
    """Another broker behind the same interface, for what its own configuration can say too."""

    READY = r"mosquitto version \S+ running"

    def command(self):
        return [REFERENCE, "-v", "-c", str(self.folder / "reference.conf")]

    def configure(self, config):
        super().configure(config)
        if isinstance(config, str) or config.get("plugins") or config.get("limits") or not config["allow_anonymous"]:
            pytest.skip("only the broker under test has this")
        text = "allow_anonymous true\nlog_type all\n"
        for host, port in self.addresses.values():
            text += f"listener {port} {host}\n"
        self.write("reference.conf", text)



def new_broker(folder, *arguments, **options):
    return (ReferenceBroker if REFERENCE else Broker)(folder, *arguments, **options)


def run_command(*arguments, input=None, timeout=60, cwd=None, env=None):
    """Runs `noctule ARGUMENTS` to its end; a CompletedProcess with text output, checked for sanitizer reports."""
    if REFERENCE:
        pytest.skip("only the broker under test has this")
    done = subprocess.run([*RUNNER, str(EXECUTABLE), *map(str, arguments)], input=input, capture_output=True, text=True,
                          timeout=timeout * TIME_SCALE, cwd=cwd, env=environment(**(env or {})),
                          stdin=subprocess.DEVNULL if input is None else None)
    found = SANITIZER_REPORT.search(done.stderr)
    assert not found, "sanitizer report:\n" + done.stderr[:6000]
    return done
