"""Fixtures of the end-to-end tests. See broker.py for the environment that chooses what is tested."""

import itertools
import os
import pathlib
import shutil
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import broker as broker_module  # noqa: E402
import certificates  # noqa: E402
from mqtt_raw import Client, TIME_SCALE  # noqa: E402

# A test that takes this long is stuck; the exception shows where.
TEST_SECONDS = int(60 * TIME_SCALE)

_counter = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "reference_differs: the reference broker lawfully, or by a bug of its own, does "
                                       "otherwise")


def pytest_collection_modifyitems(items):
    if broker_module.REFERENCE:
        for item in items:
            if item.get_closest_marker("reference_differs"):
                item.add_marker(pytest.mark.skip(reason="the reference broker differs"))


def pytest_report_header():
    return (f"broker: {broker_module.REFERENCE or broker_module.EXECUTABLE}, workers: {broker_module.WORKERS}, "
            f"at {broker_module.HOST}")


@pytest.fixture(autouse=True)
def hard_deadline():
    def stuck(*_):
        raise TimeoutError(f"the test took more than {TEST_SECONDS} s")

    previous = signal.signal(signal.SIGALRM, stuck)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture(scope="module")
def _shared(tmp_path_factory):
    """The broker that the tests of one module share; replaced when a test has brought it down."""
    running = []

    def get():
        if not running or not running[-1].alive():
            running.append(broker_module.new_broker(tmp_path_factory.mktemp("shared")))
            try:
                running[-1].start()
            except BaseException:
                running[-1].kill()
                raise
        return running[-1]

    yield get
    for one in running:
        try:
            one.stop()
        finally:
            one.kill()


@pytest.fixture
def broker(_shared):
    """A broker that lets everybody do everything, shared by the module: use `name` and `topic` to stay apart."""
    one = _shared()
    since = one.log_size()
    yield one
    one.check_sanitizers(since)
    assert one.alive(), f"the broker ended with {one.process.returncode} during this test:\n{one.tail()}"


@pytest.fixture
def start_broker(tmp_path):
    """start_broker(config=None, files=None, folder=None, ...): a broker of this test alone; see broker.Broker. It is
    stopped, and its exit code and log checked, after the test (or by its stop())."""
    started = []

    def start(config=None, files=None, wait=True, folder=None, **options):
        folder = folder or tmp_path / f"broker{len(started)}"
        folder.mkdir(exist_ok=True)
        one = broker_module.new_broker(folder, config, files, **options)
        started.append(one)
        return one.start() if wait else one.spawn()

    yield start
    try:
        for one in started:
            one.stop()
    finally:
        for one in started:
            one.kill()


@pytest.fixture
def name():
    """name("a"): a client id or topic level that no other test uses."""
    prefix = f"t{next(_counter)}"
    return lambda word="": f"{prefix}{word}"


@pytest.fixture
def topic(name):
    return f"{name()}/topic"


@pytest.fixture
def client(request, name):
    """client(version=5, id=None, to=None): an unconnected raw client of the shared broker (or of `to`), closed after
    the test."""
    made = []

    def make(version=5, id=None, to=None):
        target = to or request.getfixturevalue("broker")
        address = target.address if hasattr(target, "address") else target
        one = Client(address, version, name(f"c{len(made)}") if id is None else id)
        made.append(one)
        return one

    yield make
    for one in made:
        one.drop()


@pytest.fixture
def connect(client):
    """connect(version=5, id=None, to=None, **options): the same, connected. Options as in Client.connect."""

    def make(version=5, id=None, to=None, **options):
        one = client(version, id, to)
        one.connect(**options)
        return one

    return make


@pytest.fixture(scope="session")
def house(tmp_path_factory):
    """Certificates that tests share; a test that changes one adds its own name to them."""
    return certificates.House(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tool():
    """tool("mosquitto_pub"): the path of a real client, or the test is skipped with a reason."""

    def find(program):
        path = shutil.which(program)
        if path is None:
            pytest.fail(f"{program} is missing: install the Debian package mosquitto-clients")
        return path

    return find


@pytest.fixture
def test_plugin():
    """test_plugin("slow"): the path of a test plugin."""

    def find(plugin):
        path = pathlib.Path(broker_module.TEST_PLUGINS) / f"{plugin}.so"
        if not path.exists():
            pytest.fail(f"{path} is missing: build the test plugins")
        return str(path)

    return find
