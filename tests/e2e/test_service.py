"""What a service manager is told, and the units for systemd in packaging/systemd."""

import configparser
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from broker import EXECUTABLE, HOST, ROOT, base_config, free_port
from mqtt_raw import DEADLINE, TIME_SCALE, Client

UNITS = ROOT / "packaging" / "systemd"


class Several(dict):
    """A section of a unit: a key that stands several times has all of its values."""

    def __setitem__(self, key, value):
        super().__setitem__(key, self[key] + value if isinstance(value, list) and key in self else value)


def unit(name):
    parser = configparser.ConfigParser(strict=False, dict_type=Several, interpolation=None, delimiters="=",
                                       empty_lines_in_values=False)
    parser.optionxform = str
    parser.read(UNITS / name)
    return parser


@pytest.mark.parametrize("abstract", (False, True))
def test_the_manager_is_told(start_broker, tmp_path_factory, abstract):
    path = f"@noctule-{os.getpid()}" if abstract else str(tmp_path_factory.mktemp("s") / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + path[1:] if abstract else path)
        manager.settimeout(DEADLINE)
        broker = start_broker(base_config(), launcher=("/usr/bin/env", f"NOTIFY_SOCKET={path}"))
        assert manager.recv(1000) == b"READY=1"
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        broker.process.send_signal(signal.SIGHUP)
        told = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.recv(1000))
        assert told and before <= int(told.group(1)) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        assert manager.recv(1000) == b"READY=1"
        broker.stop()
        assert manager.recv(1000) == b"STOPPING=1"


def test_the_socket_unit_fits_the_listener_it_names(start_broker):
    """The sockets of noctule.socket, at another port, passed under its name to a broker that is configured as it
    says."""
    section = unit("noctule.socket")["Socket"]
    bind = re.search(r"bind: (systemd:\S+)", (UNITS / "noctule.socket").read_text()).group(1)
    assert bind == "systemd:" + section["FileDescriptorName"]
    address = HOST, free_port()
    broker = start_broker(base_config(listeners=[{"name": "mqtt", "bind": bind}]),
                          launcher=("/usr/bin/python3", ROOT / "tests" / "e2e" / "activate.py",
                                    "%s=%s:%d" % (section["FileDescriptorName"], *address), "--"))
    with Client(address, client_id="a") as client:
        client.connect()
    broker.stop()


def test_the_service_unit_calls_what_there_is(start_broker):
    section = unit("noctule.service")["Service"]
    command = section["ExecStart"].split()
    assert command == ["/usr/bin/noctule", "run", "-c", "/etc/noctule/noctule.yaml"]
    assert section["Type"] == "notify" and section["ExecReload"] == "/bin/kill -HUP $MAINPID"
    made = re.findall(r"^u (\S+) ", (UNITS / "noctule.sysusers").read_text(), re.M)
    assert made == [section["User"]]


def test_systemd_has_nothing_against_the_units(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("no systemd-analyze here")
    for name in ("noctule.service", "noctule.socket"):
        text = (UNITS / name).read_text().replace("/usr/bin/noctule", str(EXECUTABLE))
        (tmp_path / name).write_text(text)

    def run(*arguments):
        return subprocess.run([analyze, *arguments], cwd=tmp_path, capture_output=True, text=True,
                              timeout=30 * TIME_SCALE)

    done = run("verify", "--man=no", "./noctule.service", "./noctule.socket")
    assert done.returncode == 0 and not done.stderr, done.stderr
    done = run("security", "--offline=yes", "--threshold=20", "./noctule.service")
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
