"""Plugins that cannot be used, that refuse, that come and go with a reload; and what the commands say about them."""

import pathlib

import pytest

import broker as broker_module
from broker import base_config, run_command
from plugins import chain, entry, lines

pytestmark = pytest.mark.reference_differs


def check(tmp_path, config):
    import yaml
    path = tmp_path / "noctule.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False).replace("@default@", "127.0.0.1:18997"))
    return run_command("check", "-c", "noctule.yaml", cwd=tmp_path)


# ---- What cannot be used ---------------------------------------------------------------------------------

UNUSABLE = (
    ("newer-minor", "needs plugin ABI 1."),
    ("wrong-major", "needs plugin ABI 2."),
    ("next-major", "made for plugin ABI 2, and this broker has 1"),
    ("no-symbol", "no plugin: it has no symbol noctule_plugin_v1"),
    ("unknown-flags", "flags that this broker does not know"),
)


@pytest.mark.parametrize("name, why", UNUSABLE)
def test_unusable_plugin_is_one_clear_error(tmp_path, name, why):
    done = check(tmp_path, chain(name))
    assert done.returncode == 1
    found = done.stderr.splitlines()
    assert len(found) == 1 and found[0].startswith("noctule.yaml:") and why in found[0] and f"{name}.so" in found[0], done.stderr


@pytest.mark.parametrize("name, why", UNUSABLE)
def test_unusable_plugin_does_not_start_the_broker(start_broker, name, why):
    broker = start_broker(chain(name), wait=False)
    assert broker.process.wait(20) == 1 and why in broker.log()
    broker.stopped = True


def test_module_that_is_nowhere_and_path_that_is_wrong(tmp_path):
    done = check(tmp_path, base_config(plugins=[{"name": "a", "module": "no-such"}, {"name": "b", "path": "/no/such.so"},
                                                {"name": "c", "path": __file__}]))
    found = done.stderr.splitlines()
    assert done.returncode == 1 and len(found) == 3, done.stderr
    assert "no-such.so" in found[0] and str(broker_module.PLUGIN_PATH) in found[0]
    assert "/no/such.so: No such file" in found[1]
    assert "test_plugins_life.py" in found[2]


def test_older_description_is_read_by_its_size(start_broker, connect):
    broker = start_broker(chain("old-size"))
    one = connect(to=broker)
    one.subscribe("t")
    one.publish("t", "x", qos=1)  # its message_in, past the size, is not called


# ---- What refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("config, expected", (
    ({"refuse": "build"}, ':\\d+:\\d+: plugin "refuses": this is refused'),
    ({"refuse": "quietly"}, ':\\d+:\\d+: plugin "refuses" refuses its configuration'),
    ({"refuse": "file"}, "data.txt:12: no such word"),
    ({"refuse": "everything"}, ":\\d+:\\d+: .*everything.*"),
    ({"number": 11}, ":\\d+:\\d+: .*number.*10.*"),
    ({"number": "many"}, ":\\d+:\\d+: .*number.*"),
    ({"refused": "build"}, ":\\d+:\\d+: .*refused.*did you mean.*refuse.*"),
    ([1], ":\\d+:\\d+: .*config.*"),
))
def test_refused_configuration_is_one_clear_error(tmp_path, config, expected):
    import re
    done = check(tmp_path, chain(entry("refuses", config=config)))
    found = done.stderr.splitlines()
    assert done.returncode == 1 and len(found) == 1 and re.search(expected, found[0]), done.stderr


def test_warning_does_not_refuse(tmp_path):
    done = check(tmp_path, chain(entry("refuses", config={"refuse": "warning"})))
    assert done.returncode == 0 and "data.txt:3: an odd word" in done.stderr


def test_all_errors_of_all_plugins_at_once(tmp_path):
    done = check(tmp_path, chain(entry("refuses", "one", {"refuse": "build", "number": 0}), "no-symbol",
                                 entry("refuses", "two", {"refuse": "file"}), entry("slow", config={"verdict": "perhaps"})))
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 5, done.stderr


def test_plugin_that_refuses_a_worker_ends_the_start(start_broker):
    broker = start_broker(chain(entry("refuses", config={"refuse": "worker"})), wait=False)
    assert broker.process.wait(20) == 1 and 'plugin "refuses" refuses to start on worker' in broker.log()
    broker.stopped = True


# ---- Reload ----------------------------------------------------------------------------------------------


def test_refused_reload_keeps_the_old_state_whole(start_broker, connect):
    broker = start_broker(chain(entry("slow", config={"delay": "1ms", "verdict": "deny"})))
    one = connect(to=broker)
    for bad in (chain(entry("slow", config={"delay": "1ms"}), entry("refuses", config={"refuse": "build"})),
                chain(entry("slow", config={"delay": "1ms"}), "no-symbol"),
                chain(entry("slow", config={"delay": "1ms"}), entry("slow", "again", {"delay": "soon"}))):
        broker.configure(bad)
        assert "reload failed" in broker.reload()
        one.publish("t", "x", qos=1, reason=0x87)
    broker.configure(chain(entry("slow", config={"delay": "1ms"})))
    assert "reloaded" in broker.reload()
    one.publish("t", "x", qos=1)


def test_plugins_come_and_go(start_broker, connect):
    broker = start_broker(chain())
    one = connect(to=broker, id="me")
    for _ in range(3):
        broker.configure(chain("recorder", entry("slow", config={"delay": "1ms", "verdict": "deny"})))
        broker.reload()
        one.publish("t", "x", qos=1, reason=0x87)
        broker.configure(chain(entry("recorder", "other")))
        broker.reload()
        one.publish("t", "x", qos=1)
    one.subscribe("t")
    assert "plugin=other" in broker.wait_log("event subscribed.*").group()
    assert len(lines(broker, "event subscribed")) == 1


def test_reload_while_a_decision_waits(start_broker, connect):
    broker = start_broker(chain(entry("slow", config={"delay": "500ms"})))
    one = connect(to=broker)
    packet_id = one.send_publish("t", "x", 1)
    broker.wait_log("asked about t")
    broker.configure(chain(entry("slow", config={"delay": "1ms", "verdict": "deny"})))
    assert "reloaded" in broker.reload()
    import mqtt_codec as wire
    one.expect(wire.PUBACK, packet_id=packet_id)  # by the rules it was asked under
    one.publish("t", "x", qos=1, reason=0x87)


def test_one_module_in_several_entries(start_broker, connect):
    broker = start_broker(chain(entry("slow", "first", {"delay": "1ms", "verdict": "next"}),
                                entry("slow", "second", {"delay": "1ms", "verdict": "deny"}),
                                entry("slow", "third", {"delay": "1ms"})))
    connect(to=broker).publish("t", "x", qos=1, reason=0x87)
    assert "plugin=second" in lines(broker, "denied")[0]
    assert len(lines(broker, "asked about t plugin=(first|second)")) == 2 and not lines(broker, "plugin=third")


def test_listeners_have_chains_of_their_own(start_broker, connect, client):
    broker = start_broker(chain(entry("slow", "strict", {"delay": "1ms", "verdict": "deny"}), "covers", listeners=[
        {"name": "default", "bind": "@default@"},
        {"name": "open", "bind": "@open@", "plugins": ["covers"]},
        {"name": "backwards", "bind": "@backwards@", "plugins": ["covers", "strict"]},
    ]))
    connect(to=broker.addresses["default"]).publish("t", "x", qos=1, reason=0x87)
    connect(to=broker.addresses["open"]).publish("t", "x", qos=1)
    connect(to=broker.addresses["backwards"]).publish("t", "x", qos=1)


# ---- The commands ----------------------------------------------------------------------------------------


def test_plugin_info_of_a_test_plugin():
    path = pathlib.Path(broker_module.TEST_PLUGINS) / "recorder.so"
    done = run_command("plugin", "info", path)
    assert done.returncode == 0
    for part in ("name         recorder", "abi          1.0", "hooks        event", "client-freed", "session-taken"):
        assert part in done.stdout, done.stdout


def test_plugin_list_shows_what_cannot_be_used(monkeypatch):
    monkeypatch.setattr(broker_module, "PLUGIN_PATH", broker_module.TEST_PLUGINS)
    done = run_command("plugin", "list")
    assert done.returncode == 0
    for part in ("recorder ", "cannot be used: it is no plugin"):
        assert part in done.stdout, done.stdout


def test_explain_waits_for_slow_plugins_and_logs_in(tmp_path):
    import yaml
    config = chain("grants", entry("slow", config={"delay": "50ms", "verdict": "next", "logins": True}),
                   entry("blocking", config={"delay": "10ms"}))
    config["listeners"][0]["bind"] = "127.0.0.1:18996"
    (tmp_path / "noctule.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def explain(*arguments, **options):
        return run_command("explain", "-c", "noctule.yaml", *arguments, cwd=tmp_path, **options)

    done = explain("--access", "publish", "--topic", "own/me/x", "--client-id", "me", "--username", "u", "--password-stdin",
                   input="right\n")
    assert done.returncode == 0 and "grant 2 of its login: allow own/me/#" in done.stdout, done.stdout
    done = explain("--access", "publish", "--topic", "own/me/x", "--client-id", "me", "--username", "u")
    assert done.returncode == 1 and "taken to be logged in" in done.stdout and "slowly" in done.stdout, done.stdout
    assert "not asked" in done.stdout


# ---- The SDK ---------------------------------------------------------------------------------------------


def test_template_builds_and_works(tmp_path):
    import shutil
    import subprocess
    import yaml
    sdk = broker_module.ROOT / "plugin-sdk"
    shutil.copytree(sdk / "template", tmp_path / "mine")
    subprocess.run(["make", "-s", "-C", tmp_path / "mine", f"SDK={sdk / 'include'}", "CFLAGS=-Werror"], check=True)
    config = base_config(plugins=[{"name": "example", "path": str(tmp_path / "mine" / "example.so"), "config": {"prefix": "house"}}])
    config["listeners"][0]["bind"] = "127.0.0.1:18995"
    (tmp_path / "noctule.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def explain(topic, access="publish", user="ann"):
        return run_command("explain", "-c", "noctule.yaml", "--access", access, "--topic", topic, "--username", user, cwd=tmp_path)

    done = explain("house/ann/lamp")
    assert done.returncode == 0 and "below house/ann" in done.stdout, done.stdout + done.stderr
    assert explain("house/ann/#", "subscribe").returncode == 0
    for topic, access, user in (("house/anna", "publish", "ann"), ("house/bob", "publish", "ann"), ("#", "subscribe", "ann"),
                                ("house/#", "subscribe", "#"), ("house", "publish", "ann")):
        assert explain(topic, access, user).returncode == 1
