"""Fixtures (those of the end-to-end tests) and the report of the abuse tests."""

import importlib.util
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).parent
END_TO_END = HERE.parent / "e2e"
sys.path[:0] = [str(END_TO_END), str(HERE)]

import arena  # noqa: E402
from mqtt_raw import V5, Client  # noqa: E402

_spec = importlib.util.spec_from_file_location("end_to_end_conftest", END_TO_END / "conftest.py")
_end_to_end = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_end_to_end)
_end_to_end.TEST_SECONDS = int(_end_to_end.TEST_SECONDS * max(1, arena.SCALE))

client = _end_to_end.client
connect = _end_to_end.connect
hard_deadline = _end_to_end.hard_deadline
name = _end_to_end.name
start_broker = _end_to_end.start_broker
topic = _end_to_end.topic
pytest_configure = _end_to_end.pytest_configure
pytest_report_header = _end_to_end.pytest_report_header


@pytest.fixture
def start(start_broker):
    """start(limits=None, **options): a broker that logs warnings only, so that the attack does not fill its log."""

    def make(limits=None, descriptors=None, files=None, log="warn", **changes):
        if limits:
            changes["limits"] = limits
        one = start_broker(arena.config(log, **changes), files, wait=False, descriptors=descriptors)
        one.wait_listening()
        with Client(one.address, V5, "first") as first:
            first.connect()  # answered: all threads are there
            first.disconnect()
        return one

    return make


def pytest_terminal_summary(terminalreporter):
    if arena.lines:
        terminalreporter.section("abuse")
        for line in arena.summary():
            terminalreporter.write_line(line)
