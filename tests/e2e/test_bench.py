"""`noctule bench`: every scenario shortly, its result, and what it says when the broker does not play along."""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from broker import EXECUTABLE, HOST, RUNNER, base_config, environment, free_port, passwords, run_command
from mqtt_raw import TIME_SCALE

pytestmark = pytest.mark.reference_differs

SHORT = ("--duration", "0.2", "--warmup", "0.05", "--timeout", 10 * TIME_SCALE, "--drain", 3 * TIME_SCALE)
SCENARIOS = {
    "connect": ("--clients", 20, "--hold", 0),
    "pairs": ("--clients", 5),
    "fan-in": ("--clients", 5, "--subscribers", 2, "--topics", 3),
    "fan-out": ("--clients", 5, "--publishers", 2),
    "latency": ("--clients", 2, "--rate", 200),
    "subscriptions": ("--clients", 5, "--subscriptions", 200, "--plus", 0.2, "--hash", 0.2, "--publishers", 2),
    "retained": ("--count", 300, "--clients", 2),
}


def bench(scenario, address, *arguments, **options):
    host, port = address
    return run_command("bench", scenario, "--host", host, "--port", port, *arguments, **options)


def start_bench(scenario, address, *arguments):
    command = [*RUNNER, EXECUTABLE, "bench", scenario, "--host", address[0], "--port", address[1], "--json", *arguments]
    return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            env=environment())


def result(done, code=0):
    assert done.returncode == code, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["exit"] == code and found["ok"] == (code == 0)
    assert (found["problem"] is None) == (code == 0)
    return found


def check_exact(messages):
    assert messages["sent"] > 0 and messages["delivered"] == messages["expected"]
    for fault in ("lost", "duplicates", "reordered", "misrouted", "wrong_size", "stray"):
        assert messages[fault] == 0, messages


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_scenario(broker, topic, scenario):
    found = result(bench(scenario, broker.address, "--json", "--topic", topic, "--pid", broker.process.pid,
                         *SCENARIOS[scenario], *SHORT))
    assert found["scenario"] == scenario
    assert found["measured"]["rate"] > 0 and found["measured"]["seconds"] > 0
    assert found["broker"]["resident_after"] > 0 and found["broker"]["cpu_seconds"] >= 0
    assert found["bench"]["cpu_seconds"] > 0 and found["other_cpu_seconds"] >= 0
    assert found["connections"]["connected"] > 0 and found["connections"]["failed"] == 0
    if scenario == "connect":
        assert "messages" not in found and "cpu_us_per_connection" in found["broker"]
        return
    check_exact(found["messages"])
    assert "cpu_us_per_message" in found["broker"] and found["subscriptions"]["refused"] == 0
    if scenario == "latency":
        latency = found["measured"]["latency_us"]
        assert latency["min"] <= latency["p50"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
        assert found["measured"]["limited_by"] == "rate" and found["measured"]["lateness_us"]["count"] > 0
    if scenario == "retained":
        assert found["messages"]["sent"] == 300 and found["messages"]["expected"] == 600
        assert "bytes_per_retained" in found["broker"]


@pytest.mark.parametrize("version", ("3.1", "3.1.1", "5"))
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_versions_and_qos(broker, topic, version, qos):
    found = result(bench("pairs", broker.address, "--json", "--topic", topic, "--mqtt", version, "--qos", qos,
                         "--clients", 3, "--count", 200))
    check_exact(found["messages"])
    assert found["messages"]["sent"] == 600
    if qos:
        assert found["messages"]["acknowledged"] == 600 and found["messages"]["wrong_acknowledgements"] == 0


@pytest.mark.parametrize("payload", (20, 20000, 400000))
def test_payloads_of_every_size(broker, topic, payload):
    found = result(bench("pairs", broker.address, "--json", "--topic", topic, "--clients", 2, "--count", 5, "--qos", 1,
                         "--payload", payload))
    check_exact(found["messages"])


def test_a_fixed_rate_is_kept(broker, topic):
    found = result(bench("pairs", broker.address, "--json", "--topic", topic, "--clients", 4, "--rate", 400, *SHORT[2:],
                         "--duration", 1))
    assert 390 <= found["measured"]["publish_rate"] <= 410
    assert found["messages"]["backlog"] == 0


def test_latency_counts_from_when_a_message_was_due(broker, topic):
    """A broker that stands still for half a second delays all the messages of that time, not one."""
    running = start_bench("latency", broker.address, "--topic", topic, "--clients", 1, "--qos", 1, "--inflight", 1,
                          "--rate", 200, "--duration", 2, "--warmup", 0)
    time.sleep(0.8)
    broker.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    broker.process.send_signal(signal.SIGCONT)
    found = json.loads(running.communicate(timeout=30 * TIME_SCALE)[0])
    assert found["measured"]["latency_us"]["max"] > 400_000
    assert found["measured"]["latency_us"]["p90"] > 100_000, "one in four was due while the broker stood still"


def test_text(broker, topic):
    done = bench("pairs", broker.address, "--topic", topic, "--clients", 2, "--pid", broker.process.pid, *SHORT)
    assert done.returncode == 0 and done.stderr == ""
    for words in ("QoS 0, 2 publishers, 2 subscribers", "messages a second", "p99", "us per message", "limited by"):
        assert words in done.stdout, done.stdout


def test_ramp(broker):
    found = result(bench("connect", broker.address, "--json", "--clients", 30, "--ramp", 60, "--hold", 0))
    assert found["connections"]["connected"] == 30 and found["measured"]["seconds"] >= 0.45


def test_retained_messages_are_removed(broker, topic):
    for _ in range(2):  # those of the first run would be strays of the second
        found = result(bench("retained", broker.address, "--json", "--topic", topic, "--count", 100))
        assert found["messages"]["stray"] == 0
    result(bench("retained", broker.address, "--json", "--topic", topic, "--count", 100, "--keep"))
    found = result(bench("retained", broker.address, "--json", "--topic", topic, "--count", 50))
    assert found["messages"]["stray"] == 50


# ---------------------------------------------------------------------------------------------------- logins


@pytest.fixture
def with_users(start_broker):
    users = {f"device-{i}": f"secret-{i}" for i in range(4)}
    config = base_config(allow_anonymous=False, plugins=[{"name": "file-auth", "config": {"password_file": "users"}}])
    return start_broker(config, files={"users": passwords(**users)})


def test_users_with_numbers(with_users):
    found = result(bench("pairs", with_users.address, "--json", "--clients", 2, "--count", 10, "--username", "device-%i",
                         "--password", "secret-%i", "--client-id-prefix", "%i-of"))
    check_exact(found["messages"])


@pytest.mark.parametrize("version, words", (("3.1.1", "bad user name or password (0x86)"),
                                            ("5", "bad user name or password (0x86)")))
def test_a_wrong_password_is_told_in_words(with_users, version, words):
    done = bench("connect", with_users.address, "--json", "--clients", 3, "--mqtt", version, "--username", "device-0",
                 "--password", "wrong", "--hold", 0)
    found = result(done, 3)
    assert words in found["problem"] and words in done.stderr
    assert found["connections"]["failed"] == 3


# ---------------------------------------------------------------------------------------------------- faults


def test_nobody_listens():
    done = bench("pairs", (HOST, free_port()), "--json", "--clients", 2)
    assert "Connection refused" in result(done, 3)["problem"]


@contextlib.contextmanager
def odd_server(answer):
    """Accepts connections and does `answer(socket)` with each, in a thread of its own."""
    listener = socket.create_server((HOST, 0))

    def serve():
        held = []
        with contextlib.suppress(OSError):
            while True:
                one = listener.accept()[0]
                held.append(one)
                answer(one)
        for one in held:
            one.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def closes(one):
    one.close()


def says(answer):
    def speak(one):
        one.recv(1000)
        one.sendall(answer)

    return speak


@pytest.mark.parametrize("answer, words", (
    (closes, "the broker closed the connection"),
    (says(b"\x20\x02\x00\x09"), "the broker sent a packet that is wrong"),
    (says(b"\x00\x00"), "the broker sent a packet that is wrong"),
    (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "the broker sent a packet that is wrong"),
    (says(b"\x20\x02\x00\x03"), "server unavailable"),
), ids=("closes", "code", "type", "http", "unavailable"))
def test_odd_answers(answer, words):
    with odd_server(answer) as address:
        assert words in result(bench("connect", address, "--json", "--clients", 1), 3)["problem"]


def test_a_broker_that_says_nothing():
    with odd_server(lambda one: None) as address:
        done = bench("connect", address, "--json", "--clients", 3, "--timeout", 0.3)
    assert "no CONNACK for" in result(done, 4)["problem"]


def test_a_broker_that_stops_in_between(start_broker):
    one = start_broker(base_config())
    running = start_bench("pairs", one.address, "--duration", 20, "--clients", 2)
    time.sleep(0.5 * TIME_SCALE)
    one.kill()
    found = json.loads(running.communicate(timeout=20 * TIME_SCALE)[0])
    assert running.returncode == 3 and "the broker closed the connection" in found["problem"]
    assert found["connections"]["lost"] > 0


def test_loss_is_found(start_broker):
    one = start_broker(base_config(limits={"queued_messages": 2, "inflight": 1}))
    arguments = ("--json", "--clients", 1, "--qos", 1, "--inflight", 100, "--batch", 100, "--count", 200, "--drain", 0.5)
    found = result(bench("fan-out", one.address, *arguments), 5)
    assert found["messages"]["lost"] > 0 and "lost" in found["problem"]
    assert found["messages"]["delivered"] + found["messages"]["lost"] == 200
    found = result(bench("fan-out", one.address, *arguments, "--allow-loss"))
    assert found["messages"]["lost"] > 0


def test_a_refused_subscription(start_broker):
    one = start_broker(base_config(default_access="deny"))
    assert "not authorized (0x87)" in result(bench("pairs", one.address, "--json", "--mqtt", 5), 3)["problem"]


def test_interrupted(broker, topic):
    running = start_bench("pairs", broker.address, "--duration", 20, "--clients", 2, "--topic", topic)
    time.sleep(1 * TIME_SCALE)
    running.send_signal(signal.SIGINT)
    found = json.loads(running.communicate(timeout=10 * TIME_SCALE)[0])
    assert running.returncode == 130 and found["problem"] == "interrupted"
    assert found["messages"]["delivered"] > 0 and found["measured"]["rate"] > 0


@pytest.mark.parametrize("arguments", ((), ("nothing",), ("pairs", "--clients", "0"), ("pairs", "--url", "http://a")))
def test_usage(arguments):
    done = run_command("bench", *arguments)
    assert done.returncode == 2 and done.stdout == "" and "usage: noctule bench" in done.stderr


def test_a_host_without_address():
    done = run_command("bench", "pairs", "--host", "nobody.invalid")
    assert done.returncode == 3 and "nobody.invalid: " in done.stderr


def limited(broker, hard, clients):
    """Without the right to raise the hard limit, as everybody but root is."""
    drop = ["setpriv", "--bounding-set=-sys_resource"] if os.geteuid() == 0 else []
    command = [*drop, *RUNNER, EXECUTABLE, "bench", "connect", "--host", broker.address[0], "--port", broker.address[1],
               "--clients", clients, "--hold", 0]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment(),
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (50, hard)))


def test_the_soft_limit_of_descriptors_is_raised(broker):
    assert limited(broker, 1000, 200).returncode == 0


def test_not_enough_descriptors(broker):
    done = limited(broker, 100, 200)
    assert done.returncode == 1
    assert "200 connections need" in done.stderr and "ulimit" in done.stderr


# ---------------------------------------------------------------------------------------------------- transports


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory):
    """Mosquitto with TCP, TLS and a unix socket; a dictionary of URLs. Its WebSockets would be open to the world:
    Debian's binds those to every address, whatever it is told."""
    executable = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")
    if not executable:
        pytest.skip("no mosquitto")
    folder = tmp_path_factory.mktemp("mosquitto")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", f"subjectAltName=DNS:localhost,IP:{HOST}"], check=True, capture_output=True)
    ports = {name: free_port() for name in ("mqtt", "mqtts")}
    text = "allow_anonymous true\nuser root\nlog_type none\nmax_queued_messages 0\n"
    for name, port in ports.items():
        text += f"listener {port} {HOST}\n"
        text += f"certfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n" if name == "mqtts" else ""
    text += f"listener 0 {folder}/socket\n"
    (folder / "mosquitto.conf").write_text(text)
    process = subprocess.Popen([executable, "-c", folder / "mosquitto.conf"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (folder / "socket").exists():
        assert process.poll() is None and time.monotonic() < deadline, "mosquitto does not start"
        time.sleep(0.02)
    urls = {name: f"{name}://{HOST}:{port}" for name, port in ports.items()}
    yield dict(urls, unix=f"unix:{folder}/socket", ca=folder / "cert.pem")
    process.terminate()
    process.wait(20)


@pytest.fixture
def urls(mosquitto, start_broker):
    """Mosquitto's, and WebSockets of a broker of ours with the same certificate."""
    folder = mosquitto["ca"].parent
    broker = start_broker(base_config(listeners=[
        {"name": "default", "bind": "@default@"},
        {"name": "ws", "bind": "@ws@", "transport": "websocket"},
        {"name": "wss", "bind": "@wss@", "transport": "websocket",
         "tls": {"certificate": f"{folder}/cert.pem", "key": f"{folder}/key.pem"}}]))
    return dict(mosquitto, **{name: f"{name}://%s:%d/mqtt" % broker.addresses[name] for name in ("ws", "wss")})


@pytest.mark.parametrize("transport", ("mqtt", "mqtts", "ws", "wss", "unix"))
def test_transports(urls, transport):
    tls = ("--cafile", urls["ca"]) if transport in ("mqtts", "wss") else ()
    done = run_command("bench", "pairs", "--json", "--url", urls[transport], "--clients", 3, "--count", 200,
                       "--qos", 1, "--payload", 200, *tls)
    check_exact(result(done)["messages"])


@pytest.mark.parametrize("version", ("1.2", "1.3"))
def test_tls_sessions_are_resumed(mosquitto, version):
    done = run_command("bench", "connect", "--json", "--url", mosquitto["mqtts"], "--clients", 10, "--hold", 0,
                       "--insecure", "--resume", "--tls-version", version)
    found = result(done)
    assert found["connections"]["connected"] == 10 and found["connections"]["resumed"] == 10


@pytest.mark.parametrize("url, words", (
    ("mqtts", "certificate: self-signed certificate"),
    ("wss", "certificate: self-signed certificate"),
))
def test_certificates_are_verified(urls, url, words):
    done = run_command("bench", "pairs", "--json", "--url", urls[url], "--clients", 2)
    assert words in result(done, 3)["problem"]


def test_a_certificate_file_that_is_not_there(mosquitto):
    done = run_command("bench", "pairs", "--json", "--url", mosquitto["mqtts"], "--cafile", "/nowhere/ca.pem")
    assert "--cafile /nowhere/ca.pem" in result(done, 1)["problem"]


def test_no_websocket_there():
    with odd_server(says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as (host, port):
        done = run_command("bench", "connect", "--json", "--url", f"ws://{host}:{port}/mqtt", "--clients", 1)
    assert "refused: HTTP/1.1 404 Not Found" in result(done, 3)["problem"]


# ---------------------------------------------------------------------------------------------------- ./dev bench


DRIVER = pathlib.Path(__file__).parents[1] / "bench" / "run"


def drive(*arguments):
    return subprocess.run([DRIVER, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env=environment(NOCTULE_BIN=str(EXECUTABLE)))


def test_rows_are_listed():
    done = drive("-l")
    assert done.returncode == 0
    for name in ("pairs0", "conn", "latency1", "slow-backend"):
        assert name in done.stdout


def test_rows_that_are_not_there():
    done = drive("nothing")
    assert done.returncode == 1 and "no row or group 'nothing'" in done.stderr
    assert drive("pairs0", "--against", "x").returncode == 1


@pytest.mark.skipif(TIME_SCALE > 1, reason="figures of a build with sanitizers mean nothing")
def test_a_row_beside_mosquitto(mosquitto, tmp_path):
    done = drive("-r", 1, "-d", 0.1, "--tries", 1, "-o", tmp_path / "raw", "pairs0,retain0")
    assert done.returncode == 0, done.stderr
    lines = {tuple(line.split()[:2]): line.split() for line in done.stdout.splitlines() if line.startswith(("pairs0", "ret"))}
    for row in (("pairs0", "CPU"), ("retain0", "CPU"), ("retain0", "bytes/retained")):
        figures = lines[row][3:5] if row[1] == "CPU" else lines[row][2:4]
        assert all(float(figure) > 0 for figure in figures), done.stdout
    raw = [json.loads(line) for line in (tmp_path / "raw").read_text().splitlines()]
    assert len(raw) == 4 and all(one["result"]["ok"] for one in raw)
    assert {one["name"] for one in raw} == {"mosquitto", "noctule"}
