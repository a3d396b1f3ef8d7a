"""The plugin prometheus: formats, access, scrapers that do harm, and a real Prometheus."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse

import pytest

from broker import HOST, ROOT, WORKERS, base_config, free_port, run_command
from mqtt_raw import DEADLINE, TIME_SCALE
from plugins import entry
from scrape import ENTRY, OPENMETRICS, parse, request, scrape, wait_served

RULES = {"name": "rules", "module": "acl-file", "config": {"acl_file": "acl"}}


@pytest.fixture
def served(start_broker):
    """served(plugins..., token=..., **config): a broker whose metrics are served."""

    def start(*plugins, files=None, descriptors=None, **settings):
        ours = {"name": "prometheus", "config": {"bind": "@metrics@", **settings}}
        broker = start_broker(base_config(plugins=[*plugins, ours]), files, descriptors=descriptors)
        wait_served(broker)
        return broker

    return start


def program(name, package):
    path = shutil.which(name, path=os.environ["PATH"] + ":/usr/bin")
    assert path, f"{name} is missing: install the Debian package {package}"
    return path


# ---- Formats ---------------------------------------------------------------------------------------------


def test_promtool_has_nothing_to_say(served, connect):
    broker = served(RULES, entry("metrics"), files={"acl": "topic readwrite #\n"})
    connect(to=broker).publish("a", "x", qos=1)
    text = request(broker.addresses["metrics"])[2]
    done = subprocess.run([program("promtool", "prometheus"), "check", "metrics"], input=text, capture_output=True, text=True,
                          timeout=30 * TIME_SCALE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("accept, openly", [
    (None, False), ("*/*", False), ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", False),
    (OPENMETRICS, True), ("application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5", True),
    ("text/plain, Application/OpenMetrics-Text ; version=1.0.0", True), ("application/openmetrics-text;q=0", False),
    ("application/openmetrics-textual", False), (",,;q=,", False), ("x" * 4000, False),
])
def test_content_negotiation(served, accept, openly):
    broker = served()
    status, headers, text = request(broker.addresses["metrics"], **({"Accept": accept} if accept else {}))
    assert status == 200
    assert headers["Content-Type"] == ("application/openmetrics-text; version=1.0.0; charset=utf-8" if openly
                                       else "text/plain; version=0.0.4; charset=utf-8")
    assert text.endswith("# EOF\n") == openly
    assert parse(text)["noctule_clients_connected"] == 0


def test_openmetrics_families(served):
    """Samples stand behind the description of their family, counters end in _total, units are part of names."""
    broker = served(RULES, files={"acl": ""})
    text = request(broker.addresses["metrics"], Accept=OPENMETRICS)[2]
    lines = text.splitlines()
    assert lines.pop() == "# EOF"
    family, kind, seen = None, None, set()
    for line in lines:
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in seen and not family.endswith("_total")
            seen.add(family)
        elif line.startswith("# TYPE "):
            assert line.split(" ")[2] == family
            kind = line.split(" ")[3]
        elif line.startswith("# UNIT "):
            assert line.split(" ")[2] == family and family.endswith("_" + line.split(" ")[3])
        else:
            suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[kind]
            assert re.split(r"[{ ]", line)[0] in [family + suffix for suffix in suffixes]


def test_histograms_add_up(served, connect):
    broker = served(RULES, files={"acl": "topic write a/#\n"})
    one = connect(to=broker)
    for i in range(5):
        one.publish(f"a/{i}", "x", qos=1)
    now = scrape(broker)
    name = 'noctule_plugin_decision_duration_seconds_%s{plugin="rules"'
    buckets = [(key, value) for key, value in now.items() if key.startswith(name % "bucket")]
    counts = [value for _, value in buckets]
    assert len(counts) == 13 and counts == sorted(counts) and counts[-1] == 5 == now[name % "count" + "}"]
    bounds = [float(re.search('le="([^"]+)"', key)[1]) for key, _ in buckets]
    assert bounds == sorted(bounds) and bounds[0] == 0.00001 and bounds[-1] == float("inf")
    assert 0 <= now[name % "sum" + "}"] < 1


def test_paths_and_methods(served):
    address = served().addresses["metrics"]
    assert request(address, "/")[0] == request(address, "/metrics/x")[0] == request(address, "/%00")[0] == 404
    status, headers, text = request(address, method="HEAD")
    assert status == 200 and text == "" and "0.0.4" in headers["Content-Type"]
    assert request(address, "/metrics?name[]=up")[0] == 200
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert request(address, method=method)[0] in (405, 501)


# ---- Access ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"token": "let-me-in"}, {"token_file": "token"}])
def test_token(served, settings):
    broker = served(files={"token": "let-me-in\n"}, **settings)
    address = broker.addresses["metrics"]
    status, headers, text = request(address)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer") and "noctule" not in text
    for wrong in ("Bearer let-me-i", "Bearer let-me-inn", "Bearer ", "Bearer", "Basic let-me-in", "let-me-in", "Bearer " + "x" * 5000):
        assert request(address, Authorization=wrong)[0] == 401
    assert request(address, Authorization="Bearer let-me-in")[0] == 200
    assert request(address, Authorization="bearer  let-me-in")[0] == 200
    assert "let-me-in" not in broker.log()


def test_reload_changes_token_and_address(served):
    broker = served(token="one")
    address = broker.addresses["metrics"]
    with socket.create_connection(address) as open_one:  # what goes on is not interrupted
        broker.configure(base_config(plugins=[{"name": "prometheus", "config": {"bind": "@metrics@", "token": "two"}}]))
        broker.reload()
        wait_for(lambda: request(address, Authorization="Bearer two")[0] == 200)
        assert request(address, Authorization="Bearer one")[0] == 401
        open_one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer two\r\n\r\n")
        assert open_one.recv(15) == b"HTTP/1.1 200 OK"
    broker.configure(base_config(plugins=[{"name": "prometheus", "config": {"bind": "@elsewhere@"}}]))
    broker.reload()
    wait_for(lambda: not listens(address))
    wait_for(lambda: listens(broker.addresses["elsewhere"]))
    broker.configure(base_config(plugins=[]))
    broker.reload()
    wait_for(lambda: not listens(broker.addresses["elsewhere"]))


def listens(address):
    try:
        return request(address)[0] > 0
    except OSError:
        return False


def wait_for(condition):
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_address_that_is_taken(start_broker, connect):
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        config = base_config(plugins=[{"name": "prometheus", "config": {"bind": "%s:%d" % taken.getsockname()}}])
        broker = start_broker(config)
        broker.wait_log("cannot listen on .*: Address already in use; trying again")
        connect(to=broker).ping()
        broker.addresses["metrics"] = taken.getsockname()
    wait_served(broker)
    assert broker.log().count("cannot listen on") == 1


@pytest.mark.parametrize("settings, said", [
    ("bind: '9464'", "bind is no address"), ("bind: 'localhost:9464'", "bind is no address"), ("bind: '127.0.0.1'", "bind is no address"),
    ("bind: '127.0.0.1:0'", "bind is no address"), ("bind: '[::1'", "bind is no address"), ("token: ''", "empty"),
    ("token: 'a b'", "characters"), ("token: a, token_file: b", "exclude"), ("token_file: missing", "No such file"),
    ("token_file: .", "directory"), ("tokn: a", "unknown key"),
])
def test_wrong_settings_are_refused(tmp_path, settings, said):
    path = tmp_path / "noctule.yaml"
    path.write_text(f"listeners: [{{name: a, bind: 127.0.0.1:1}}]\nplugins: [{{name: prometheus, config: {{{settings}}}}}]\n")
    done = run_command("check", "-c", path)
    assert done.returncode == 1 and said in done.stderr, done.stderr


# ---- Scrapers that do harm -------------------------------------------------------------------------------


def descriptors(broker):
    return len(os.listdir(f"/proc/{broker.process.pid}/fd"))


def test_many_slow_and_silent_scrapers(served, connect):
    """None of them keeps another from its answer, the number of connections stays bounded, and all end in time."""
    broker = served()
    address = broker.addresses["metrics"]
    one = connect(to=broker)
    time.sleep(0.2)
    before = descriptors(broker)
    parts = (b"", b"G", b"GET /metrics HTTP/1.1\r\nHost:", b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 3, b"\0\xff\n\n")
    harmful = []
    try:
        began = time.monotonic()
        for i in range(300):
            sock = socket.create_connection(address)
            harmful.append(sock)
            sock.sendall(parts[i % len(parts)])
        assert parse(request(address)[2])["noctule_clients_connected"] == 1
        one.ping()
        time.sleep(0.2)
        assert descriptors(broker) <= before + 32 + 8
        # Those that are left are gone when their time is over, whatever they do meanwhile.
        while descriptors(broker) > before:
            assert time.monotonic() - began < 5 + DEADLINE, f"{descriptors(broker)} descriptors, {before} before"
            for sock in harmful:
                try:
                    sock.send(b"x")
                except OSError:
                    pass
            time.sleep(0.1)
        assert time.monotonic() - began < 5 + 3 * TIME_SCALE
    finally:
        for sock in harmful:
            sock.close()
    assert parse(request(address)[2])["noctule_clients_connected"] == 1


@pytest.mark.parametrize("sent", [
    b"GET /metrics HTTP/1.1\r\n" + b"A: " + b"x" * 100000 + b"\r\n\r\n", b"A: b\r\n" * 5000,
    b"GET " + b"/" * 70000 + b" HTTP/1.1\r\n\r\n", b"GET /metrics HTTP/9.9\r\n\r\n", b"\x16\x03\x01" + b"\0" * 500,
    b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET http://[::1/metrics HTTP/1.1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
])
def test_bad_requests(served, sent):
    broker = served()
    with socket.create_connection(broker.addresses["metrics"], timeout=DEADLINE) as sock:
        try:
            sock.sendall(sent)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except OSError:
            pass
    assert "noctule_build_info" in request(broker.addresses["metrics"])[2]


def test_out_of_descriptors(served, connect):
    broker = served(descriptors=64)
    address = broker.addresses["metrics"]
    opened = []
    try:
        for _ in range(80):
            opened.append(socket.create_connection(broker.address))
        broker.wait_log("cannot accept connections")
        waiting = socket.create_connection(address)
        opened.append(waiting)
        time.sleep(0.3)
    finally:
        for sock in opened:
            sock.close()
    wait_for(lambda: listens(address))


def test_many_scrapes_and_reloads_at_once(served, connect):
    """Readers, the main thread and workers meet: for the sanitizers."""
    broker = served(RULES, files={"acl": "topic readwrite #\n"})
    one = connect(to=broker)
    for i in range(10):
        one.publish("a", "x", qos=1)
        broker.reload()
        assert parse(request(broker.addresses["metrics"])[2])["noctule_publish_received_total"] == i + 1
    broker.stop()


# ---- Dashboard -------------------------------------------------------------------------------------------


def expressions(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("expr", "definition") and isinstance(value, str):
                yield value
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def test_dashboard_uses_metrics_that_exist(served):
    broker = served(RULES, files={"acl": ""})
    served_names = {key.split("{")[0] for key in scrape(broker)}
    dashboard = json.loads((ROOT / "packaging" / "grafana" / "noctule.json").read_text())
    used = {name for text in expressions(dashboard) for name in re.findall(r"\b(?:noctule|process)_\w+", text)}
    assert len(used) > 20
    assert used <= served_names, used - served_names
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


# ---- A real Prometheus -----------------------------------------------------------------------------------


def answers(address, query):
    """What it says to a query; on a busy machine a scrape may come too late, so it has some time."""
    deadline = time.monotonic() + DEADLINE
    while not (found := asked(address, query)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def asked(address, query):
    status, _, text = request(address, "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
    assert status == 200, text
    return {tuple(sorted((key, value) for key, value in one["metric"].items() if key not in ("__name__", "job", "instance"))):
            float(one["value"][1]) for one in json.loads(text)["data"]["result"]}


@pytest.mark.skipif(TIME_SCALE > 1 or WORKERS > 1, reason="another program, slow to start: once, with one worker, is enough")
def test_a_real_prometheus_scrapes_and_answers(served, connect, tmp_path):
    broker = served(RULES, token="let-me-in", files={"acl": "topic write a\n"})
    one = connect(to=broker)
    for _ in range(7):
        one.publish("a", "12345", qos=1)
    one.publish("b", "x", qos=1, reason=0x87)
    target = "%s:%d" % broker.addresses["metrics"]
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\n"
        "scrape_configs:\n- job_name: noctule\n  authorization: {credentials: let-me-in}\n"
        f"  static_configs: [{{targets: ['{target}']}}]\n")
    address = (HOST, free_port())
    with open(tmp_path / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            [program("prometheus", "prometheus"), f"--config.file={tmp_path}/prometheus.yml",
             f"--storage.tsdb.path={tmp_path}/data", "--web.listen-address=%s:%d" % address],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 3 * DEADLINE
        while True:
            try:
                if asked(address, "up").get((), 0) == 1:
                    break
            except OSError:
                pass
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "prometheus.log").read_text()[-3000:]
            time.sleep(0.1)
        assert answers(address, "noctule_publish_received_total") == {(): 8}
        assert answers(address, "noctule_publish_received_bytes_total") == {(): 36}
        assert answers(address, "noctule_clients_connected == noctule_connections") == {(): 1}
        assert answers(address, 'noctule_plugin_verdicts_total{verdict="allow"} > 0') == {(("plugin", "rules"), ("verdict", "allow")): 7}
        assert answers(address, 'noctule_denials_total{access="publish"}') == {(("access", "publish"),): 1}
        assert 0 < answers(address, "histogram_quantile(0.99, noctule_plugin_decision_duration_seconds_bucket{plugin='rules'})")[(("plugin", "rules"),)] < 1
        # It asks for OpenMetrics, and knows kinds and units from that.
        metadata = json.loads(request(address, "/api/v1/targets/metadata?metric=noctule_received_bytes")[2])["data"]
        assert [(one["type"], one["unit"]) for one in metadata] == [("counter", "bytes")]
    finally:
        process.terminate()
        process.wait(10)
