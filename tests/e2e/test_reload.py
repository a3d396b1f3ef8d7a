"""SIGHUP: everything new or everything old."""

import socket
import time

import pytest

from broker import base_config, passwords
from mqtt_codec import V5
from mqtt_raw import Client

pytestmark = pytest.mark.reference_differs

CHAIN = [{"name": "file-auth", "config": {"password_file": "users.passwd"}},
         {"name": "acl-file", "config": {"acl_file": "users.acl"}}]
ACL = "user ann\ntopic readwrite #\nuser bob\ntopic readwrite #\n"


def protected(**changes):
    return base_config(allow_anonymous=False, default_access="deny", plugins=CHAIN, **changes)


@pytest.fixture
def secured(start_broker):
    return start_broker(protected(), {"users.passwd": passwords(ann="a", bob="b"), "users.acl": ACL})


def test_reload_without_changes_disturbs_nobody(secured, connect, topic):
    ann = connect(to=secured, username="ann", password="a")
    ann.subscribe(topic, qos=1)
    for _ in range(5):
        secured.reload()
    ann.publish(topic, "x", qos=1)
    ann.expect_message(topic, "x")


def test_new_user_can_log_in_after_reload(secured, connect, client):
    client(V5, to=secured).connect(username="eve", password="e", reason=0x86)
    secured.write("users.passwd", passwords(ann="a", bob="b", eve="e"))
    client(V5, to=secured).connect(username="eve", password="e", reason=0x86)
    secured.reload()
    connect(to=secured, username="eve", password="e").ping()


@pytest.mark.parametrize("users", ({"ann": "a"}, {"ann": "a", "bob": "new"}), ids=("vanished", "changed"))
def test_clients_whose_entry_changed_are_disconnected_and_only_those(secured, connect, client, users):
    ann = connect(to=secured, username="ann", password="a")
    bobs = [connect(to=secured, username="bob", password="b") for _ in range(5)]
    secured.write("users.passwd", passwords(**users))
    secured.reload()
    for bob in bobs:
        bob.expect_disconnect(0x87, 0x98)
    ann.expect_nothing()
    client(V5, to=secured).connect(username="bob", password="b", reason=0x86)


def test_order_and_comments_of_the_password_file_do_not_matter(secured, connect):
    ann, bob = (connect(to=secured, username=name, password=name[0]) for name in ("ann", "bob"))
    secured.write("users.passwd", "# a comment\n" + passwords(bob="b", zoe="z", ann="a"))
    secured.reload()
    ann.expect_nothing()
    bob.expect_nothing()


def test_new_rules_hold_for_connected_clients(secured, connect, topic):
    ann, bob = (connect(to=secured, username=name, password=name[0]) for name in ("ann", "bob"))
    ann.subscribe("#", qos=1)
    bob.publish(topic, "before", qos=1)
    ann.expect_message(topic, "before")
    secured.write("users.acl", "user ann\ntopic read other/#\nuser bob\ntopic readwrite #\n")
    secured.reload()
    bob.publish(topic, "hidden", qos=1)
    bob.publish("other/x", "shown", qos=1)
    ann.expect_message("other/x", "shown")
    ann.publish(topic, "refused", qos=1, reason=0x87)


BROKEN = {
    "YAML": ("noctule.yaml", "listeners: [\n", r"noctule\.yaml:\d+:\d+: "),
    "an unknown key": ("noctule.yaml", None, r"noctule\.yaml:\d+:\d+: .*deny_acton.*did you mean"),
    "the password file": ("users.passwd", passwords(ann="a") + "bob:$7$notanumber$x$y\n", r"users\.passwd:2\b"),
    "the ACL file": ("users.acl", ACL + "topick read x\n", r"users\.acl:5\b"),
    "a missing file": ("noctule.yaml", "missing", r"no-such-file"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files_keep_the_old_state(secured, connect, client, topic, what):
    name, text, message = BROKEN[what]
    ann = connect(to=secured, username="ann", password="a")
    if text is None:
        secured.configure(protected(deny_acton="drop"))
    elif text == "missing":
        chain = [CHAIN[0], {"name": "acl-file", "config": {"acl_file": "no-such-file"}}]
        secured.configure({**protected(), "plugins": chain})
    else:
        secured.write(name, text)
        # What is not broken must not come into force either.
        if name != "users.acl":
            secured.write("users.acl", "user ann\ntopic deny #\n")
    since = secured.log_size()
    secured.reload()
    secured.wait_log(message, since=since)
    ann.subscribe(topic, qos=1)
    ann.publish(topic, "old rules", qos=1)
    ann.expect_message(topic, "old rules")
    connect(to=secured, username="bob", password="b").ping()
    # Repaired, it is taken.
    secured.configure(protected())
    secured.write("users.passwd", passwords(ann="a", bob="b"))
    secured.write("users.acl", "user ann\ntopic deny #\n")
    secured.reload()
    ann.publish(topic, "new rules", qos=1, reason=0x87)


def test_listeners_are_added_and_removed(start_broker, connect):
    first, second, third = ({"name": n, "bind": f"@{n}@"} for n in ("first", "second", "third"))
    broker = start_broker(base_config(listeners=[first, second]))
    stays, leaves = connect(to=broker.addresses["first"]), connect(to=broker.addresses["second"])
    broker.configure(base_config(listeners=[first, third]))
    broker.reload()
    connect(to=broker.addresses["third"]).ping()
    stays.ping()
    leaves.expect_disconnect(0x8B, 0x98, 0x9C, 0x9D)
    with pytest.raises(OSError):
        socket.create_connection(broker.addresses["second"], timeout=2)
    broker.configure(base_config(listeners=[first, second]))
    broker.reload()
    connect(to=broker.addresses["second"]).ping()
    stays.ping()


def test_listener_that_cannot_be_opened_rolls_everything_back(start_broker, connect, client):
    broker = start_broker()
    one = connect(to=broker)
    taken = socket.socket()
    taken.bind((broker.address[0], 0))
    taken.listen()
    busy = "%s:%d" % taken.getsockname()
    broker.configure(base_config(allow_anonymous=False, listeners=[
        {"name": "default", "bind": "@default@"}, {"name": "fresh", "bind": "@fresh@"}, {"name": "busy", "bind": busy}]))
    log = broker.reload()
    assert busy in log
    one.ping()
    connect(to=broker).ping()  # still anonymous
    with pytest.raises(OSError):
        socket.create_connection(broker.addresses["fresh"], timeout=2)
    taken.close()


def test_limits_and_log_change_for_what_comes_after(start_broker, connect):
    broker = start_broker()
    one = connect(to=broker)
    broker.configure(base_config(limits={"inflight": 7}, log={"level": "info", "format": "json"}))
    broker.reload()
    assert connect(to=broker).connack.properties.get("receive_maximum") == 7
    one.ping()
    assert broker.log().splitlines()[-1].startswith("{")


def test_plugins_are_added_and_removed(start_broker, connect, client):
    broker = start_broker(None, {"users.passwd": passwords(ann="a"), "users.acl": ACL})
    anonymous = connect(to=broker)
    broker.configure(protected())
    broker.reload()
    client(V5, to=broker).connect(reason=0x87)
    connect(to=broker, username="ann", password="a").ping()
    anonymous.drop()
    broker.configure(base_config())
    broker.reload()
    connect(to=broker).ping()


def test_many_reloads_under_load(secured, connect, topic):
    one = connect(to=secured, username="ann", password="a")
    one.subscribe(topic, qos=1)
    for i in range(10):
        secured.process.send_signal(1)
        for j in range(20):
            one.publish(topic, f"{i} {j}", qos=1)
            one.expect_message(topic, f"{i} {j}")
        Client(secured.address, V5, f"r{i}").connect(username="bob", password="b")
    time.sleep(0.1)
    secured.reload()
    one.ping()
