"""Access: the chain of the configuration with acl-file in it."""

import pytest

import mqtt_codec as wire
from broker import base_config, passwords
from mqtt_codec import V31, V311, V5, VERSIONS, Will

pytestmark = pytest.mark.reference_differs

FILE_AUTH = {"name": "file-auth", "config": {"password_file": "users.passwd"}}
ACL_FILE = {"name": "acl-file", "config": {"acl_file": "users.acl"}}
USERS = {"users.passwd": passwords(ann="a", bob="b")}

ACL = """# rules of the tests
topic read public/#

user ann
topic readwrite ann/#
topic write in/ann
topic read out/#
topic deny out/secret

user bob
topic readwrite #

pattern readwrite clients/%c/#
pattern read users/%u
"""


def secured(plugins=(FILE_AUTH, ACL_FILE), **changes):
    return base_config(**{"allow_anonymous": True, "default_access": "deny", "plugins": list(plugins), **changes})


@pytest.fixture
def broker(start_broker):
    return start_broker(secured(), {**USERS, "users.acl": ACL})


@pytest.fixture
def ann(connect):
    return lambda version=V5, **options: connect(version, username="ann", password="a", **options)


@pytest.fixture
def bob(connect):
    return lambda version=V5, **options: connect(version, username="bob", password="b", **options)


def denials(broker):
    return [line for line in broker.log().splitlines() if " denied" in line]


@pytest.mark.parametrize("qos", (1, 2))
def test_denied_publish_in_5(broker, ann, bob, qos):
    # [v5 MQTT-4.3.3-9]
    one, watcher = ann(), bob()
    watcher.subscribe("#", qos=2)
    one.publish("out/x", "no", qos=qos, reason=0x87, packet_id=7)
    one.publish("ann/x", "yes", qos=qos, packet_id=7)
    watcher.expect_message("ann/x", "yes")
    line = denials(broker)[0]
    for part in ("user=ann", "access=publish", "topic=out/x", f"client={one.client_id}", "listener=default", "address="):
        assert part in line


def test_denied_publish_of_qos_0_is_dropped(broker, ann, bob):
    one, watcher = ann(), bob()
    watcher.subscribe("#")
    one.publish("out/x", "no")
    one.publish("ann/x", "yes")
    watcher.expect_message("ann/x", "yes")
    one.ping()


@pytest.mark.parametrize("version", (V31, V311))
@pytest.mark.parametrize("qos", (0, 1, 2))
def test_denied_publish_in_311_is_acknowledged_and_dropped(broker, ann, bob, version, qos):
    # [v311 MQTT-3.3.5-2]
    one, watcher = ann(version), bob()
    watcher.subscribe("#", qos=2)
    one.publish("out/x", "no", qos=qos)
    one.publish("ann/x", "yes", qos=qos)
    watcher.expect_message("ann/x", "yes")
    assert len(denials(broker)) == 1


@pytest.mark.parametrize("qos", (0, 1, 2))
def test_deny_action_disconnect(start_broker, connect, qos):
    # [v311 MQTT-3.3.5-2]
    broker = start_broker(secured(deny_action="disconnect"), {**USERS, "users.acl": ACL})
    one = connect(V311, to=broker, username="ann", password="a")
    one.send_publish("out/x", "no", qos)
    one.expect_close()


def test_deny_rule_is_named(broker, ann, bob):
    one, watcher = ann(), bob()
    one.subscribe("out/#", qos=1)
    watcher.publish("out/secret", "no", qos=1)
    watcher.publish("out/open", "yes", qos=1)
    one.expect_message("out/open", "yes")
    one.expect_nothing()
    one.publish("out/secret", "no", qos=1, reason=0x87)
    line = denials(broker)[-1]
    assert "plugin=acl-file" in line and "users.acl:8" in line and "topic deny out/secret" in line


def test_deliveries_are_filtered(broker, ann, bob):
    one, watcher = ann(), bob()
    one.subscribe("#", qos=1)
    for topic in ("ann/1", "bob/1", "out/1", "out/secret", "public/1", f"clients/{one.client_id}/x", "clients/other/x",
                  "users/ann", "users/bob", "in/ann"):
        watcher.publish(topic, topic, qos=1)
    watcher.publish("ann/end", "end", qos=1)
    got = []
    while not got or got[-1] != "ann/end":
        got.append(one.expect_message().topic)
    assert got == ["ann/1", "out/1", f"clients/{one.client_id}/x", "users/ann", "ann/end"]


def test_retained_messages_are_filtered(broker, ann, bob):
    watcher, one = bob(), ann()
    for topic in ("ann/r", "bob/r", "out/secret", "out/r"):
        watcher.publish(topic, "r", qos=1, retain=True)
    one.subscribe("#")
    assert sorted(m.topic for m in one.expect_messages(2)) == ["ann/r", "out/r"]
    one.expect_nothing()


def test_queued_messages_are_filtered(broker, ann, bob):
    kept = {"clean": False, "properties": {"session_expiry_interval": 60}}
    one, watcher = ann(**kept), bob()
    one.subscribe("#", qos=1)
    one.disconnect()
    for topic in ("bob/q", "ann/q", "out/secret", "out/q"):
        watcher.publish(topic, "q", qos=1)
    one.connect(username="ann", password="a", **kept)
    assert [m.topic for m in one.expect_messages(2)] == ["ann/q", "out/q"]
    one.expect_nothing()


def test_subscriptions_are_granted_as_in_mosquitto(broker, ann):
    ann().subscribe("bob/#", "out/secret", "#", "nowhere", qos=1)


def test_check_subscribe_refuses_what_no_rule_reads(start_broker, connect):
    plugin = {"name": "acl-file", "config": {"acl_file": "users.acl", "check_subscribe": True}}
    broker = start_broker(secured([FILE_AUTH, plugin]), {**USERS, "users.acl": ACL})
    for version, code in ((V5, 0x87), (V311, 0x80)):
        one = connect(version, to=broker, username="ann", password="a")
        one.subscribe(("ann/x", 1), ("bob/x", 1), ("out/secret", 2), ("out/+", 0), ("in/ann", 0),
                      reasons=[1, code, code, 0, code])
    assert any("access=subscribe" in line and "topic=bob/x" in line for line in denials(broker))


def test_anonymous_clients_have_the_topics_before_any_user(broker, connect, bob):
    one, watcher = connect(), bob()
    one.subscribe("#", qos=1)
    watcher.publish("ann/1", "no", qos=1)
    watcher.publish("public/1", "yes", qos=1)
    one.expect_message("public/1", "yes")
    one.publish("public/1", "no", qos=1, reason=0x87)
    one.publish(f"clients/{one.client_id}/x", "own", qos=1)
    one.acknowledge(one.await_packet(wire.PUBLISH, payload=b"own"))


def test_users_do_not_have_the_anonymous_topics(broker, ann, bob):
    one, watcher = ann(), bob()
    one.subscribe("public/#", "ann/end", qos=1)
    watcher.publish("public/1", "no", qos=1)
    watcher.publish("ann/end", "end", qos=1)
    one.expect_message("ann/end")


@pytest.mark.parametrize("version", VERSIONS)
def test_will_is_checked_when_it_is_sent(broker, ann, bob, version):
    watcher = bob()
    watcher.subscribe("#", qos=1)
    ann(version, will=Will("out/will", "no")).drop()
    ann(version, will=Will("ann/will", "yes")).drop()
    watcher.expect_message("ann/will", "yes")
    watcher.expect_nothing()
    assert any("topic=out/will" in line and "access=will" in line for line in denials(broker))


def test_denied_publish_through_an_alias_keeps_the_alias(broker, ann, bob):
    one, watcher = ann(), bob()
    watcher.subscribe("#", qos=1)
    one.publish("out/x", "no", qos=1, reason=0x87, properties={"topic_alias": 1})
    one.publish("", "no", qos=1, reason=0x87, properties={"topic_alias": 1})
    one.publish("ann/x", "yes", qos=1, properties={"topic_alias": 1})
    one.publish("", "yes", qos=1, properties={"topic_alias": 1})
    for _ in range(2):
        watcher.expect_message("ann/x", "yes")


def test_denied_retained_publish_stores_nothing(broker, ann, bob):
    ann().publish("out/r", "no", qos=1, retain=True, reason=0x87)
    watcher = bob()
    watcher.subscribe("#")
    watcher.expect_nothing()


def test_dollar_sys_cannot_be_written(broker, bob):
    one = bob()
    one.publish("$SYS/x", "no", qos=1, reason=0x87)


def test_response_topics_and_shares_are_judged_by_their_filter(start_broker, connect):
    plugin = {"name": "acl-file", "config": {"acl_file": "users.acl", "check_subscribe": True}}
    broker = start_broker(secured([FILE_AUTH, plugin]), {**USERS, "users.acl": ACL})
    one = connect(to=broker, username="ann", password="a")
    one.subscribe("$share/g/ann/x", "$share/g/bob/x", reasons=[0, 0x87])


def test_end_of_chain_denies_where_a_plugin_authorizes(start_broker, connect):
    # `default_access: allow` is for chains in which no plugin authorizes at all.
    broker = start_broker(secured(default_access="allow"), {**USERS, "users.acl": "user ann\ntopic x\n"})
    one = connect(to=broker, username="ann", password="a")
    one.publish("x", "yes", qos=1)
    one.publish("y", "no", qos=1, reason=0x87)
    assert "topic=y" in denials(broker)[-1] and "plugin=-" in denials(broker)[-1]


@pytest.mark.parametrize("default, reason", (("allow", 0), ("deny", 0x87)))
def test_default_access_decides_without_an_authorizing_plugin(start_broker, connect, default, reason):
    broker = start_broker(secured([FILE_AUTH], default_access=default), USERS)
    one = connect(to=broker, username="ann", password="a")
    one.publish("x", "m", qos=1, reason=reason)
    one.subscribe("x", reasons=[reason])


def test_reason_string_is_not_sent_to_the_client(broker, ann):
    # The rule that denied is for the log; the client learns that it was denied.
    one = ann()
    packet_id = one.send_publish("out/secret", "no", 1)
    assert one.expect(wire.PUBACK, packet_id=packet_id, reason=0x87).properties == []


@pytest.mark.parametrize("substitution, allowed", (("anywhere", True), ("level", False)))
def test_substitution(start_broker, connect, substitution, allowed):
    plugin = {"name": "acl-file", "config": {"acl_file": "users.acl", "substitution": substitution}}
    broker = start_broker(secured([FILE_AUTH, plugin]),
                          {**USERS, "users.acl": "pattern readwrite a/x%u\npattern readwrite b/%u\npattern readwrite c/%c\n"})
    one = connect(to=broker, id="with/slash", username="ann", password="a")
    one.publish("b/ann", "m", qos=1)
    one.publish("a/xann", "m", qos=1, reason=0 if allowed else 0x87)
    one.publish("c/with/slash", "m", qos=1, reason=0 if allowed else 0x87)


def test_names_with_wildcards_use_no_pattern(start_broker, connect):
    broker = start_broker(secured([FILE_AUTH, ACL_FILE]),
                          {"users.passwd": passwords(**{"an+": "a"}), "users.acl": "pattern readwrite p/%u/x\npattern readwrite c/%c\n"})
    one = connect(to=broker, id="plain", username="an+", password="a")
    one.publish("p/an+/x".replace("+", "n"), "m", qos=1, reason=0x87)
    one.publish("c/plain", "m", qos=1, reason=0x87)


def test_thousands_of_users_and_rules(start_broker, connect):
    users = 3000
    text = "".join(f"user u{i}\ntopic readwrite own/u{i}/#\ntopic read shared/{i % 10}/+\ntopic deny own/u{i}/secret\n"
                   for i in range(users))
    broker = start_broker(secured([FILE_AUTH, ACL_FILE]),
                          {"users.passwd": passwords(iterations=1, **{f"u{i}": "p" for i in range(0, users, 500)}),
                           "users.acl": text})
    for i in range(0, users, 500):
        one = connect(to=broker, username=f"u{i}", password="p")
        one.subscribe("#", qos=1)
        one.publish(f"own/u{i}/x", "yes", qos=1)
        one.acknowledge(one.await_packet(wire.PUBLISH, topic=f"own/u{i}/x"))
        one.publish(f"own/u{i}/secret", "no", qos=1, reason=0x87)
        one.publish(f"own/u{i + 1}/x", "no", qos=1, reason=0x87)
