"""noctule.yaml as the operator meets it: `noctule check`, refused starts, includes, variables."""

import re
import subprocess

import pytest

from broker import EXECUTABLE, HOST, RUNNER, base_config, environment, passwords, run_command
from mqtt_raw import TIME_SCALE

pytestmark = pytest.mark.reference_differs

GOOD = """allow_anonymous: true
default_access: allow
listeners:
  - name: default
    bind: 127.0.0.1:18999
"""


@pytest.fixture
def check(tmp_path):
    def run(text, files=None, env=None):
        for name, content in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        (tmp_path / "noctule.yaml").write_text(text)
        return run_command("check", "-c", "noctule.yaml", cwd=tmp_path, env=env)

    return run


def test_good_configuration_is_silence(check):
    done = check(GOOD)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# What is wrong, the text behind GOOD, line and column, and what the message must contain.
WRONG = (
    ("unknown key", "wrokers: 2\n", 6, 1, "wrokers", "did you mean `workers`"),
    ("unknown key in a map", "limits:\n  packetsize: 1MiB\n", 7, 3, "packetsize", "packet_size"),
    ("wrong type", "workers: [1]\n", 6, 10, "workers"),
    ("not a number", "workers: many\n", 6, 10, "many"),
    ("out of range", "limits: {inflight: 70000}\n", 6, 20, "inflight", "65535"),
    ("bad size", "limits: {packet_size: 1MB}\n", 6, 23, "1MB"),
    ("bad duration", "limits: {session_expiry: 5 weeks}\n", 6, 26, "5 weeks"),
    ("bad choice", "log: {level: loud}\n", 6, 14, "loud", "debug"),
    ("bad boolean", "deny_action: perhaps\n", 6, 14, "perhaps", "drop"),
    ("duplicate key", "allow_anonymous: true\n", 6, 1, "allow_anonymous"),
    ("plugin that is nowhere", "plugins:\n  - name: no-such-plugin\n", 7, None, "no-such-plugin"),
    ("plugin's unknown key", "plugins:\n  - name: file-auth\n    config:\n      pasword_file: users\n", 9, 7, "pasword_file"),
    ("plugin's missing key", "plugins:\n  - name: acl-file\n", 7, None, "acl_file"),
    ("variable that is not set", "log: {level: '${NO_SUCH_VARIABLE}'}\n", 6, 14, "NO_SUCH_VARIABLE"),
)


@pytest.mark.parametrize("what", [row[0] for row in WRONG])
def test_error_names_place_and_remedy(check, what):
    _, text, line, column, *parts = next(row for row in WRONG if row[0] == what)
    done = check(GOOD + text)
    assert done.returncode == 1 and done.stdout == ""
    place = f"noctule.yaml:{line}:" + (f"{column}: " if column else "")
    lines = [one for one in done.stderr.splitlines() if place in one]
    assert lines, done.stderr
    for part in parts:
        assert part in lines[0]


@pytest.mark.parametrize("text, place", ((GOOD + "log: [\n", r"noctule\.yaml:\d+:\d+: "),
                                         (GOOD + "\tworkers: 1\n", r"noctule\.yaml:6:\d+: "),
                                         (GOOD + "---\nworkers: 1\n", r"noctule\.yaml:6:\d+: "),
                                         ("", r"noctule\.yaml:.*listeners"),
                                         ("listeners: []\n", r"noctule\.yaml:1:12: ")))
def test_broken_documents(check, text, place):
    done = check(text)
    assert done.returncode == 1
    assert re.search(place, done.stderr), done.stderr


def test_every_error_is_told_at_once(check):
    done = check(GOOD + "wrokers: 2\nlimits: {inflight: x}\nlog: {format: xml}\n")
    assert done.returncode == 1
    assert [place for place in ("6:1:", "7:20:", "8:15:") if place in done.stderr] == ["6:1:", "7:20:", "8:15:"]


def test_data_files_are_checked_too(check):
    text = GOOD + ("plugins:\n  - name: file-auth\n    config: {password_file: users.passwd}\n"
                   "  - name: acl-file\n    config: {acl_file: users.acl}\n")
    done = check(text, {"users.passwd": passwords(ann="a") + "bob:nonsense\n", "users.acl": "user ann\ntopick x\n"})
    assert done.returncode == 1
    assert re.search(r"users\.passwd:2\b", done.stderr) and re.search(r"users\.acl:2\b", done.stderr)


def test_missing_files_are_named(check):
    done = check(GOOD + "plugins:\n  - name: file-auth\n    config: {password_file: nowhere.passwd}\n")
    assert done.returncode == 1 and "nowhere.passwd" in done.stderr
    done = run_command("check", "-c", "/no/such/noctule.yaml")
    assert done.returncode == 1 and "/no/such/noctule.yaml" in done.stderr


def test_variables_and_includes(start_broker, connect, client):
    config = base_config(limits={"inflight": "${WINDOW:-9}", "connections": "${CROWD}"})
    config["include"] = "conf.d/*.yaml"
    broker = start_broker(config, {"conf.d/10-limits.yaml": "limits: {topic_aliases: 3}\n",
                                   "conf.d/20-listener.yaml": f"listeners:\n  - {{name: extra, bind: '{HOST}:18829'}}\n"},
                          environment_={"CROWD": "50"})
    one = connect(to=(HOST, 18829))
    assert one.connack.properties.get("receive_maximum") == 9
    assert one.connack.properties.get("topic_alias_maximum") == 3


def test_error_in_an_included_file_names_that_file(check):
    done = check(GOOD + "include: conf.d/*.yaml\n", {"conf.d/a.yaml": "limits:\n  inflght: 3\n"})
    assert done.returncode == 1 and re.search(r"conf\.d/a\.yaml:2:3: ", done.stderr)


def test_value_from_a_file(check):
    done = check(GOOD + "limits: {inflight: '${file:window}'}\n", {"window": "5\n"})
    assert (done.returncode, done.stderr) == (0, "")
    done = check(GOOD + "limits: {inflight: '${file:nowhere}'}\n")
    assert done.returncode == 1 and "noctule.yaml:6:" in done.stderr and "nowhere" in done.stderr


def test_anchors_and_aliases(check):
    done = check(GOOD + "limits: {send_buffer: &size 64KiB, queued_bytes: *size}\n")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text", (GOOD + "wrokers: 2\n", "listeners: [", GOOD + "plugins:\n  - name: no-such-plugin\n"))
def test_run_refuses_what_check_refuses(tmp_path, text):
    (tmp_path / "noctule.yaml").write_text(text)
    done = subprocess.run([*RUNNER, str(EXECUTABLE), "run", "-c", "noctule.yaml"], capture_output=True, text=True,
                          cwd=tmp_path, timeout=30 * TIME_SCALE, env=environment())
    assert done.returncode == 1 and "noctule.yaml:" in done.stderr and "ready" not in done.stderr


def test_open_and_useless_listeners_are_warned_about_by_name(check):
    done = check("allow_anonymous: true\ndefault_access: allow\nlisteners:\n  - {name: wide, bind: '0.0.0.0:18997'}\n")
    assert done.returncode == 0 and "wide" in done.stderr and "open" in done.stderr
    done = check("listeners:\n  - {name: shut, bind: '127.0.0.1:18997'}\n")
    assert done.returncode == 0 and "shut" in done.stderr


def test_path_of_a_plugin(start_broker, connect):
    from broker import PLUGIN_PATH
    broker = start_broker(base_config(allow_anonymous=False, plugins=[
        {"name": "mine", "path": str(PLUGIN_PATH / "file-auth.so"), "config": {"password_file": "users.passwd"}}]),
        {"users.passwd": passwords(ann="a")})
    connect(to=broker, username="ann", password="a").ping()


@pytest.mark.parametrize("content", (b"", b"not an ELF file", b"\x7fELF" + b"\0" * 100))
def test_file_that_is_no_plugin(check, tmp_path, content):
    (tmp_path / "broken.so").write_bytes(content)
    done = check(GOOD + "plugins:\n  - name: broken\n    path: broken.so\n")
    assert done.returncode == 1 and "broken.so" in done.stderr


def test_shared_object_without_the_entry_symbol(check):
    library = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True).stdout
    path = re.search(r"libyaml-0\.so\.2 .*=> (\S+)", library).group(1)
    done = check(GOOD + f"plugins:\n  - name: yaml\n    path: {path}\n")
    assert done.returncode == 1 and "noctule_plugin_v1" in done.stderr
