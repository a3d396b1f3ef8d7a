"""http-auth: logins that bring rules, an expiry time or a superuser along, and what is asked afterwards: nothing."""

import time

import pytest

from http_backend import NO, YES, rich
from mqtt_raw import TIME_SCALE
from test_http_auth import NOT_AUTHORIZED, asking, backend, login, start  # noqa: F401: fixtures

pytestmark = pytest.mark.reference_differs


def rule(permission, action, topic, **conditions):
    return {"permission": permission, "action": action, "topic": topic, **conditions}


RULES = [
    rule("deny", "all", "home/safe/#"),
    rule("allow", "publish", "home/#"),
    rule("allow", "subscribe", "home/+/+"),
    rule("allow", "publish", "users/${username}/${clientid}"),
    rule("allow", "publish", "sites/${client_attrs.site}"),
    rule("allow", "publish", "eq literal/${clientid}"),
    rule("allow", "subscribe", "eq t/1/#", qos=[1]),
    rule("allow", "publish", "q/0", qos=[0]),
    rule("allow", "publish", "q/12", qos=[1, 2]),
    rule("deny", "publish", "r/no", retain=True),
    rule("allow", "publish", "r/#"),
    rule("allow", "publish", "r-only", retain=True),
]


@pytest.fixture
def ruled(backend, start, login):  # noqa: F811
    backend["/user"] = rich(result="allow", client_attrs={"site": "hall"}, acl=RULES)
    return login(start("user", "superuser", "acl", response="json"), id="dev")


def test_one_request_per_connection(backend, ruled):  # noqa: F811
    ruled.subscribe("home/a/b")
    ruled.publish("home/a/b", "x", qos=1)
    ruled.expect_message("home/a/b")
    ruled.publish("home/safe/x", qos=1, reason=NOT_AUTHORIZED)
    ruled.publish("elsewhere", qos=1, reason=NOT_AUTHORIZED)
    ruled.subscribe("elsewhere", reasons=[NOT_AUTHORIZED])
    assert [request.path for request in backend.requests] == ["/user"]


def test_publishing_by_rules(ruled):
    allowed = [("home/x", 2, False), ("home", 1, False), ("users/ann/dev", 1, False), ("sites/hall", 1, False),
               ("literal/${clientid}", 1, False), ("q/12", 1, False), ("q/12", 2, False), ("r/no", 1, False),
               ("r/yes", 1, True), ("r-only", 1, True)]
    denied = [("home/safe", 1, False), ("users/ann/other", 1, False), ("users/bob/dev", 1, False), ("sites/x", 1, False),
              ("literal/dev", 1, False), ("q/0", 1, False), ("q/0", 2, False), ("r/no", 1, True), ("r-only", 1, False),
              ("t/1/x", 1, False)]
    for topic, qos, retain in allowed:
        ruled.publish(topic, "x", qos=qos, retain=retain)
    for topic, qos, retain in denied:
        ruled.publish(topic, "x", qos=qos, retain=retain, reason=NOT_AUTHORIZED)


def test_subscribing_by_rules(ruled):
    no = NOT_AUTHORIZED
    ruled.subscribe("home/a/b", "home/+/+", "home/#", "#", "home/safe/x", "users/ann/dev", reasons=[0, 0, no, no, no, no])
    ruled.subscribe(("t/1/#", 1), ("t/1/#", 0), ("t/1/x", 1), ("$share/g/t/1/#", 1), reasons=[1, no, no, 1])


def test_what_is_denied_comes_through_no_wider_filter(ruled):
    ruled.subscribe("home/+/+")
    ruled.publish("home/a/1", "yes", qos=1)
    ruled.expect_message("home/a/1")


def test_a_denial_below_a_subscription_is_a_denial_of_delivery(backend, start, login):  # noqa: F811
    broker = start("user", response="json")
    backend["/user"] = rich(result="allow", acl=[rule("deny", "subscribe", "t/secret"), rule("allow", "all", "t/#")])
    one, two = login(broker), login(broker)
    one.subscribe("t/#")
    two.publish("t/secret", "no", qos=1)
    two.publish("t/open", "yes", qos=1)
    one.expect_message("t/open", "yes")
    one.expect_nothing()


def test_an_empty_list_is_not_no_list(backend, start_broker, login):  # noqa: F811
    broker = start_broker(asking(backend, "user", response="json", top={"default_access": "allow"}))
    backend["/user"] = rich(result="allow", acl=[])
    one = login(broker)
    one.publish("t", qos=1, reason=NOT_AUTHORIZED)
    one.subscribe("t", "#", reasons=[NOT_AUTHORIZED, NOT_AUTHORIZED])
    backend["/user"] = rich(result="allow")
    login(broker, id="other").publish("t", qos=1)


def test_what_no_rule_matches_is_left_to_others(backend, start_broker, login):  # noqa: F811
    config = asking(backend, "user", "acl", response="json")
    config["plugins"].append({"name": "acl-file", "config": {"acl_file": "users.acl"}})
    backend["/user"] = rich(result="allow", acl=[rule("deny", "publish", "file/no")])
    one = login(start_broker(config, {"users.acl": "user ann\ntopic write file/#\n"}))
    one.publish("file/yes", qos=1)
    one.publish("file/no", qos=1, reason=NOT_AUTHORIZED)
    one.publish("other", qos=1, reason=NOT_AUTHORIZED)
    assert not backend.on("/acl")


@pytest.mark.parametrize("id", ("a/b", "+", "#", "a+"))
def test_client_ids_that_would_widen_a_rule(backend, start, login, id):  # noqa: F811
    broker = start("user", response="json")
    backend["/user"] = rich(result="allow", acl=[rule("allow", "all", "own/${clientid}/#")])
    login(broker, id=id, reason=NOT_AUTHORIZED)
    login(broker, id="fine").publish("own/fine/x", qos=1)
    assert "${clientid} is no single level" in broker.log()


def test_an_unknown_placeholder_is_no_rule(backend, start, login):  # noqa: F811
    broker = start("user", response="json")
    backend["/user"] = rich(result="allow", acl=[rule("allow", "all", "own/${peerhost}")])
    login(broker, reason=NOT_AUTHORIZED)
    assert "${peerhost} is not known" in broker.log()


def test_superuser_of_the_login(backend, start, login):  # noqa: F811
    broker = start("user", "superuser", "acl", response="json")
    backend["/user"] = rich(result="allow", is_superuser=True, acl=[rule("deny", "all", "#")])
    one = login(broker)
    one.subscribe("#", "$SYS/#", "$share/g/x")
    one.publish("any/where", "x", qos=1, retain=True)
    one.expect_message("any/where")
    assert [request.path for request in backend.requests] == ["/user"]


def test_no_superuser_of_the_login(backend, start, login):  # noqa: F811
    backend["/user"] = rich(result="allow", is_superuser=False)
    backend["/superuser"], backend["/acl"] = YES, rich(ok=True)
    login(start("user", "superuser", "acl", response="json")).publish("t", qos=1)
    assert [request.path for request in backend.requests] == ["/user", "/acl"]


def test_rules_in_the_words_of_explain_and_log(backend, ruled, start, login):  # noqa: F811
    broker = start("user", response="json")
    login(broker, id="dev").publish("home/safe/x", qos=1, reason=NOT_AUTHORIZED)
    assert "grant 1 of its login: deny home/safe/#" in broker.log()


def test_expire_at_ends_the_connection(backend, start, login):  # noqa: F811
    broker = start("user", response="json")
    end = int(time.time()) + 2
    backend["/user"] = rich(result="allow", expire_at=end)
    one = login(broker)
    one.expect_disconnect(NOT_AUTHORIZED, timeout=10 * TIME_SCALE)
    assert end <= time.time() < end + 2 * TIME_SCALE
    # What is kept of the login is not kept longer than that.
    backend["/user"] = NO
    login(broker, id=one.client_id, reason=0x86)


def test_a_login_that_has_expired_is_none(backend, start, login):  # noqa: F811
    broker = start("user", response="json")
    backend["/user"] = rich(result="allow", expire_at=int(time.time()) - 1)
    login(broker, reason=NOT_AUTHORIZED)
    assert "expire_at has passed" in broker.log()
