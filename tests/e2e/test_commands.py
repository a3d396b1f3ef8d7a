"""The command line: subcommands, output, exit codes."""

import fcntl
import os
import re
import signal
import subprocess
import tempfile
import time

import pytest

from broker import EXECUTABLE, PLUGIN_PATH, RUNNER, environment, passwords, run_command
from mqtt_raw import TIME_SCALE

pytestmark = pytest.mark.reference_differs

CONFIG = """allow_anonymous: true
default_access: deny
listeners:
  - {name: default, bind: 127.0.0.1:18999}
  - {name: bare, bind: 127.0.0.1:18998, plugins: []}
plugins:
  - {name: file-auth, config: {password_file: users.passwd}}
  - {name: acl-file, config: {acl_file: users.acl}}
"""
ACL = "topic read news\nuser ann\ntopic deny sensors/secret\ntopic read sensors/#\ntopic readwrite own/#\npattern write in/%c\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "noctule.yaml").write_text(CONFIG)
    (tmp_path / "users.passwd").write_text(passwords(ann="secret"))
    (tmp_path / "users.acl").write_text(ACL)
    return tmp_path


@pytest.fixture
def explain(folder):
    return lambda *arguments, **options: run_command("explain", "-c", "noctule.yaml", *arguments, cwd=folder, **options)


def test_version():
    done = run_command("--version")
    assert done.returncode == 0 and done.stderr == ""
    assert re.fullmatch(r"noctule \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize("command", ("run", "check", "passwd", "explain", "plugin", "bench"))
def test_help_of_every_command(command):
    done = run_command("help", command)
    assert done.returncode == 0 and f"noctule {command}" in done.stdout and done.stderr == ""
    assert run_command(command, "--help").stdout == done.stdout


def test_help_lists_the_commands():
    for arguments in (("help",), ("--help",), ("-h",)):
        done = run_command(*arguments)
        assert done.returncode == 0
        for command in ("run", "check", "passwd", "explain", "plugin", "bench"):
            assert re.search(rf"^\s+{command}\b", done.stdout, re.M)


@pytest.mark.parametrize("arguments", ((), ("no-such-command",), ("run", "--no-such-option"), ("check",), ("check", "-x"),
                                       ("explain",), ("plugin",), ("plugin", "no-such"), ("help", "no-such"), ("-x",),
                                       ("run", "-c"), ("run", "superfluous"), ("passwd",)), ids=" ".join)
def test_wrong_usage_is_exit_code_2_on_stderr(arguments):
    done = run_command(*arguments)
    assert done.returncode == 2 and done.stdout == "" and "usage" in done.stderr.lower()


# Arguments behind --access, exit code, and what the output must contain.
EXPLAIN = (
    (("publish", "--topic", "own/x", "--username", "ann"), 0, ("acl-file", "users.acl:5", "topic readwrite own/#", "allow")),
    (("publish", "--topic", "sensors/x", "--username", "ann"), 1, ("acl-file", "deny")),
    (("deliver", "--topic", "sensors/x", "--username", "ann"), 0, ("users.acl:4", "topic read sensors/#")),
    (("deliver", "--topic", "sensors/secret", "--username", "ann"), 1, ("users.acl:3", "topic deny sensors/secret")),
    (("deliver", "--topic", "news"), 0, ("users.acl:1",)),
    (("deliver", "--topic", "news", "--username", "ann"), 1, ()),
    (("subscribe", "--topic", "sensors/#", "--username", "ann"), 0, ("acl-file",)),
    (("publish", "--topic", "in/box", "--username", "ann", "--client-id", "box"), 0, ("users.acl:6",)),
    (("publish", "--topic", "in/box", "--username", "ann", "--client-id", "other"), 1, ()),
    (("publish", "--topic", "x", "--listener", "bare"), 1, ("default_access",)),
)


@pytest.mark.parametrize("arguments, code, parts", EXPLAIN, ids=[" ".join(row[0]) for row in EXPLAIN])
def test_explain(explain, arguments, code, parts):
    done = explain("--access", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    for part in parts:
        assert part.lower() in done.stdout.lower()


@pytest.mark.parametrize("user, password, code, parts", (("ann", "secret", 0, ("file-auth", "users.passwd:1")),
                                                         ("ann", "wrong", 1, ("file-auth", "users.passwd:1")),
                                                         ("eve", "x", 1, ("no such user",))))
def test_explain_connect(explain, user, password, code, parts):
    done = explain("--access", "connect", "--username", user, "--password-stdin", input=password + "\n")
    assert done.returncode == code, done.stdout + done.stderr
    for part in parts:
        assert part in done.stdout
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("arguments", (("--access", "publish"), ("--access", "fly", "--topic", "x"), ("--topic", "x"),
                                       ("--access", "publish", "--topic", "x", "--listener", "no-such"),
                                       ("--access", "publish", "--topic", "a/#")), ids=" ".join)
def test_explain_errors_are_exit_code_2(explain, arguments):
    done = explain(*arguments)
    assert done.returncode == 2 and done.stderr


def test_explain_with_a_broken_configuration(folder, explain):
    (folder / "noctule.yaml").write_text("listeners: [\n")
    done = explain("--access", "publish", "--topic", "x")
    assert done.returncode == 2 and "noctule.yaml:" in done.stderr


def test_explain_says_what_the_broker_does(start_broker, connect, topic):
    import yaml
    broker = start_broker({**yaml.safe_load(CONFIG), "listeners": [{"name": "default", "bind": "@default@"}]},
                          {"users.passwd": passwords(ann="secret"), "users.acl": ACL})
    one = connect(to=broker, id="box", username="ann", password="secret")
    for where in ("own/x", "sensors/x", "sensors/secret", "in/box", "in/other", "news"):
        done = run_command("explain", "-c", broker.config_path, "--access", "publish", "--topic", where, "--username", "ann",
                           "--client-id", "box")
        one.publish(where, "x", qos=1, reason=0x87 if done.returncode else 0)


def test_plugin_list():
    done = run_command("plugin", "list")
    assert done.returncode == 0
    for name in ("file-auth", "acl-file"):
        assert re.search(rf"^{name}\b", done.stdout, re.M)


@pytest.mark.parametrize("name, hooks", (("file-auth", ("authenticate",)), ("acl-file", ("authorize",))))
def test_plugin_info(name, hooks):
    for argument in (name, PLUGIN_PATH / f"{name}.so"):
        done = run_command("plugin", "info", argument)
        assert done.returncode == 0, done.stderr
        for part in (name, *hooks, "1"):
            assert part in done.stdout


def test_plugin_info_of_what_is_none(tmp_path):
    (tmp_path / "broken.so").write_bytes(b"nothing")
    for argument in ("no-such-plugin", tmp_path / "broken.so", "/bin/true"):
        done = run_command("plugin", "info", argument)
        assert done.returncode == 1 and done.stdout == "" and str(argument).split("/")[-1] in done.stderr


@pytest.fixture
def default_port():
    """Holds 127.0.0.1:1883 against other runs of the suite on this machine."""
    with open(os.path.join(tempfile.gettempdir(), f"noctule-tests-1883-{os.getuid()}"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def test_run_without_configuration_makes_a_first_user_and_says_how_to_use_it(default_port, tmp_path, tool):
    # The quick start: the printed commands are run as they are printed.
    state = tmp_path / "state"
    log_path = tmp_path / "log"
    with open(log_path, "wb") as log:
        process = subprocess.Popen([*RUNNER, str(EXECUTABLE), "run"], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                   env=environment(NOCTULE_STATE=str(state), HOME=str(tmp_path)))
    try:
        deadline = time.monotonic() + 20 * TIME_SCALE
        while "mosquitto_pub" not in log_path.read_text():
            if process.poll() is not None and "in use" in log_path.read_text():
                pytest.skip("port 1883 of this machine is taken")
            assert process.poll() is None and time.monotonic() < deadline, log_path.read_text()
            time.sleep(0.02)
        text = log_path.read_text()
        subscribe = re.search(r"mosquitto_sub .*", text).group()
        publish = re.search(r"mosquitto_pub .*", text).group()
        subscriber = subprocess.Popen(f"exec {subscribe} -C 1 -W 20", shell=True, stdout=subprocess.PIPE, text=True)
        for _ in range(20):
            assert subprocess.run(publish, shell=True, timeout=20).returncode == 0
            try:
                out, _ = subscriber.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                continue
        assert out.strip()
        for name in os.listdir(state):
            assert (state / name).stat().st_mode & 0o077 == 0, f"{name} can be read by others"
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(15 * TIME_SCALE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert code == 0
