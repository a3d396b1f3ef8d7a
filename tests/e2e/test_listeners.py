"""Where a broker listens: unix sockets, sockets that are passed to it, IPv6, names, and how sockets are set up."""

import os
import pathlib
import pwd
import re
import socket
import stat
import subprocess
import time

import pytest

from broker import HOST, base_config, free_port, run_command
from mqtt_raw import DEADLINE, TIME_SCALE, Client, ConnectionClosed
from plugins import chain, wait_lines

ACTIVATE = pathlib.Path(__file__).with_name("activate.py")


@pytest.fixture
def short(tmp_path_factory):
    """A folder whose path leaves room for the name of a unix socket."""
    return tmp_path_factory.mktemp("s")


def listeners(*binds, **keys):
    return [{"name": f"l{i}", "bind": bind, **keys} for i, bind in enumerate(binds)]


def round_trip(address, topic="there/and/back"):
    """Subscribes, publishes to itself, and says goodbye."""
    with Client(address, client_id=f"round-{os.getpid()}") as client:
        client.connect()
        client.subscribe(topic)
        client.publish(topic, b"hello")
        client.expect_message(topic, b"hello")
        client.disconnect()


# ------------------------------------------------------------------------------------------- unix sockets


def test_unix_socket(start_broker, short):
    path = short / "mqtt.sock"
    broker = start_broker(base_config(listeners=listeners(f"unix:{path}", mode="0600")))
    assert f"l0=unix:{path}" in broker.log()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    round_trip(str(path))
    client = Client(str(path), client_id="x").open()
    client.send(b"\xc0\x00")
    with pytest.raises(ConnectionClosed):
        client.receive()
    client.drop()
    line = broker.wait_log(r".*the first packet is not CONNECT.*").group()
    assert "address=unix listener=l0" in line
    broker.stop()
    assert not path.exists()


def test_real_clients_over_a_unix_socket(start_broker, short, tool, topic):
    path = short / "mqtt.sock"
    start_broker(base_config(listeners=listeners(f"unix:{path}")))
    subscriber = subprocess.Popen(["stdbuf", "-oL", tool("mosquitto_sub"), "--unix", path, "-t", topic, "-C", "1", "-d",
                                   "-W", str(int(20 * TIME_SCALE))], stdout=subprocess.PIPE, text=True)
    for line in subscriber.stdout:
        if line.startswith("Subscribed"):
            break
    done = subprocess.run([tool("mosquitto_pub"), "--unix", path, "-q", "1", "-t", topic, "-m", "hello, bat"],
                          capture_output=True, text=True, timeout=20 * TIME_SCALE)
    assert done.returncode == 0, done.stderr
    assert "hello, bat" in subscriber.communicate(timeout=20 * TIME_SCALE)[0]
    assert subscriber.returncode == 0


def test_stale_socket_file_is_replaced_but_no_other(start_broker, short):
    path = short / "mqtt.sock"
    first = start_broker(base_config(listeners=listeners(f"unix:{path}")))
    second = start_broker(base_config(listeners=listeners(f"unix:{path}")), wait=False)
    assert second.process.wait(DEADLINE) == 1
    assert "somebody listens there already" in second.log()
    second.stopped = True
    round_trip(str(path))
    first.kill()
    assert path.exists()
    third = start_broker(base_config(listeners=listeners(f"unix:{path}")))
    round_trip(str(path))
    third.stop()
    path.write_text("precious")
    fourth = start_broker(base_config(listeners=listeners(f"unix:{path}")), wait=False)
    assert fourth.process.wait(DEADLINE) == 1
    assert re.search(r"noctule\.yaml:\d+:\d+: cannot listen on unix:\S+: a file that is no socket is in its place",
                     fourth.log())
    fourth.stopped = True
    assert path.read_text() == "precious"


def test_reload_keeps_changes_and_removes_unix_sockets(start_broker, short):
    one, two = short / "one.sock", short / "two.sock"
    broker = start_broker(base_config(listeners=listeners("@default@", f"unix:{one}")))
    inode = one.stat().st_ino
    with Client(str(one), client_id="stays") as client:
        client.connect()
        more = listeners("@default@", f"unix:{one}", f"unix:{two}")
        more[1]["mode"] = "0604"
        broker.configure(base_config(listeners=more))
        broker.reload()
        assert one.stat().st_ino == inode and stat.S_IMODE(one.stat().st_mode) == 0o604
        client.ping()
        round_trip(str(two))
        # A reload that fails leaves neither a file nor another mode.
        more[1]["mode"] = "0600"
        more[2]["bind"] = f"unix:{short}/no/such/folder"
        more.append({"name": "l3", "bind": f"unix:{short}/three.sock"})
        broker.configure(base_config(listeners=more))
        assert "reload failed" in broker.reload()
        assert stat.S_IMODE(one.stat().st_mode) == 0o604 and not (short / "three.sock").exists()
        client.ping()
        broker.configure(base_config(listeners=listeners("@default@")))
        broker.reload()
        assert not one.exists() and not two.exists()
        with pytest.raises(ConnectionClosed):
            while True:
                client.receive()


def test_plugins_know_the_peer(start_broker, short):
    path = short / "mqtt.sock"
    config = chain("peer", listeners=listeners(f"unix:{path}", "@tcp@", mode=None))
    for one in config["listeners"]:
        del one["mode"]
    broker = start_broker(config)
    with Client(str(path), client_id="near") as near, Client(broker.address, client_id="far") as far:
        near.connect()
        far.connect()
        assert re.search(rf"client near over unix, peer 1 uid {os.geteuid()} gid {os.getegid()} pid {os.getpid()}\b",
                         broker.log())
        assert "client near from unix" in broker.log()
        assert "client far over tcp, peer 0 uid 0 gid 0 pid 0" in broker.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away and becomes somebody else")
def test_owner_group_and_mode_decide_who_connects(start_broker, short):
    somebody = pwd.getpwnam("nobody")
    path = short / "mqtt.sock"
    for folder in (short, *short.parents):
        if folder.stat().st_uid == os.geteuid() and folder != pathlib.Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    start_broker(chain("peer", listeners=listeners(f"unix:{path}", owner="nobody", group=somebody.pw_gid,
                                                   mode="0600")))
    assert (path.stat().st_uid, path.stat().st_gid) == (somebody.pw_uid, somebody.pw_gid)
    attempt = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"

    def try_as(user):
        return subprocess.run(["/usr/bin/python3", "-c", attempt], user=user, group=user, extra_groups=[],
                              capture_output=True, text=True, timeout=20 * TIME_SCALE)

    assert try_as(somebody.pw_uid).returncode == 0
    assert "PermissionError" in try_as(12345).stderr


# ------------------------------------------------------------------------------------------- TCP


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_both_families(start_broker):
    port = free_port()
    broker = start_broker(chain("peer", listeners=listeners(f"[::1]:{port}", f"{HOST}:{port}")))
    with Client(("::1", port), client_id="six") as six, Client((HOST, port), client_id="four") as four:
        six.connect()
        four.connect()
        wait_lines(broker, r"client six from \[::1\]:\d+", 1)
        wait_lines(broker, r"client four from 127\.0\.0\.1:\d+", 1)
        assert re.search(r"client=four .*listener=l1", broker.log())


def test_name_with_several_addresses(start_broker):
    found = {entry[4][0] for entry in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    broker = start_broker(base_config(listeners=listeners("localhost:0")))
    bound = re.search(r"l0=([^\s\"]+)", broker.wait_log(r"\bready\b.*").group()).group(1).split(",")
    ports = {address.rsplit(":", 1)[1] for address in bound}
    assert len(ports) == 1 and {address.rsplit(":", 1)[0].strip("[]") for address in bound} <= found
    for address in bound:
        host, port = address.rsplit(":", 1)
        round_trip((host.strip("[]"), int(port)))
    broker.configure(base_config(listeners=listeners("localhost:0")))
    broker.reload()
    round_trip((bound[0].rsplit(":", 1)[0].strip("[]"), int(ports.pop())))


def test_one_interface(start_broker):
    """Where the system lets the broker bind to one."""
    port = free_port()
    config = base_config(listeners=[{"name": "l0", "bind": f"127.0.0.1:{port}", "interface": "lo"}])
    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        except PermissionError:
            pytest.skip("only root may")
    start_broker(config)
    round_trip(("127.0.0.1", port))
    config["listeners"][0].update(interface="nowhere0", bind=f"127.0.0.1:{free_port()}")
    other = start_broker(config, wait=False)
    assert other.process.wait(DEADLINE) == 1
    assert "of the interface nowhere0: No such device" in other.log()
    other.stopped = True


def keepalive_timer(client):
    """Seconds until the kernel probes the broker's side of this connection; None: never."""
    host, port = client.socket.getsockname()
    peer = "%s:%04X" % (socket.inet_aton(host)[::-1].hex().upper(), port)
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            timer, left = fields[5].split(":")
            # Other timers are about bytes on their way, and come first.
            if fields[2] == peer and timer in ("00", "02"):
                return int(left, 16) / os.sysconf("SC_CLK_TCK") if timer == "02" else None
        time.sleep(0.01)
    raise AssertionError(f"no connection from {peer}")


def test_keepalive_reaches_the_connections(start_broker):
    keys = {"keepalive": {"idle": "100s", "interval": "7s", "count": 3}}
    broker = start_broker(base_config(listeners=listeners("@default@", **keys)))
    with Client(broker.address, client_id="a") as client:
        client.connect()
        assert 80 <= keepalive_timer(client) <= 100
    broker.configure(base_config(listeners=listeners("@default@", keepalive=False, nodelay=False, backlog=1)))
    broker.reload()
    with Client(broker.address, client_id="b") as client:
        client.connect()
        assert keepalive_timer(client) is None


# ------------------------------------------------------------------------------------------- passed sockets


def passed(start_broker, config, *sockets, **options):
    return start_broker(config, launcher=("/usr/bin/python3", ACTIVATE, *sockets, "--"), **options)


def test_sockets_that_a_service_manager_passes(start_broker, short):
    first, second, path = (HOST, free_port()), (HOST, free_port()), short / "mqtt.sock"
    config = chain("peer", listeners=listeners("systemd:mqtt", "systemd:local"))
    broker = passed(start_broker, config, "mqtt=%s:%d" % first, f"local={path}", "mqtt=%s:%d" % second)
    assert "l0=%s:%d,%s:%d l1=unix:%s" % (*first, *second, path) in broker.log()
    for address in (first, second, str(path)):
        round_trip(address)
    wait_lines(broker, rf"over unix, peer 1 uid {os.geteuid()}\b", 1)
    # Taken away and given back by reloads: the sockets stay open all the time.
    broker.configure(chain("peer", listeners=listeners("systemd:mqtt")))
    broker.reload()
    broker.configure(config)
    broker.reload()
    round_trip(str(path))
    broker.stop()
    assert path.exists()  # is the service manager's


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 on this machine")
def test_passed_socket_of_ipv6_that_takes_ipv4(start_broker):
    port = free_port()
    broker = passed(start_broker, chain("peer", listeners=listeners("systemd:mqtt")), f"mqtt=[::ffff:{HOST}]:{port}")
    round_trip((HOST, port))
    wait_lines(broker, r"from 127\.0\.0\.1:\d+", 1)  # not as ::ffff:127...


def test_what_is_wrong_with_passed_sockets(start_broker):
    port = free_port()
    config = base_config(listeners=listeners("systemd:mqtt"))
    for sockets, message in (((f"other={HOST}:{port}",), "has passed no socket named mqtt \\(it has passed: other\\)"),
                             (("mqtt=datagram",), "passed as mqtt is none that listens for streams")):
        broker = passed(start_broker, config, *sockets, wait=False)
        assert broker.process.wait(DEADLINE) == 1
        assert re.search(r"noctule\.yaml:\d+:\d+: .*" + message, broker.log()), broker.log()
        broker.stopped = True
    broker = passed(start_broker, config, f"mqtt={HOST}:{port}", f"spare={HOST}:{free_port()}")
    assert "passed sockets that no listener is bound to: spare" in broker.log()
    plain = start_broker(config, wait=False)
    assert plain.process.wait(DEADLINE) == 1
    assert "it has passed: none" in plain.log()
    plain.stopped = True


# ------------------------------------------------------------------------------------------- checking


def test_check_tells_where_a_key_is_out_of_place(tmp_path):
    (tmp_path / "noctule.yaml").write_text("listeners:\n  - name: l\n    bind: 127.0.0.1:1883\n    mode: 0660\n"
                                           "    keepalive: 60\n")
    done = run_command("check", "-c", "noctule.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "noctule.yaml:4:11: `mode` is for unix sockets that the broker makes (bind: unix:PATH)",
        "noctule.yaml:5:16: `keepalive` expects a duration from 1s to 32767s, not `60` "
        "(whole numbers with one of the units ms, s, m, h, d)"]
