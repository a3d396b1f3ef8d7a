"""http-auth: what is revoked is forgotten, in the cache, with clients, and on its way."""

import pytest

import mqtt_codec as wire
import plugins
from broker import WORKERS
from http_backend import Answer, NO, YES, rich
from mqtt_codec import V5
from test_http_auth import BAD_LOGIN, NOT_AUTHORIZED, asking, backend, login  # noqa: F401: fixtures

pytestmark = pytest.mark.reference_differs


@pytest.fixture
def start(start_broker, backend):  # noqa: F811
    """A broker that keeps every answer, with a plugin behind http-auth that revokes the user it gets a message about."""

    def make(*checks, **config):
        config = asking(backend, *checks, cache={"allow": "1h", "deny": "1h"}, **config)
        config["plugins"].append(plugins.entry("revokes"))
        return start_broker(config)

    return make


@pytest.fixture
def revoke(login):  # noqa: F811
    """revoke(broker, user): asks for it, and waits until every worker has done it."""

    def make(broker, user):
        one = login(broker, username="admin")
        since = broker.log_size()
        one.publish("control/revoke", user, qos=1)
        plugins.wait_lines(broker, f"revoked user {user} ", WORKERS, since)
        one.ping()

    return make


def test_kept_verdicts_are_forgotten(backend, start, login, revoke):  # noqa: F811
    broker = start("user", "superuser", "acl")
    one = login(broker)
    one.subscribe("t")
    one.publish("t", "1", qos=1)
    one.expect_message("t", "1")
    backend["/acl"] = lambda request: NO if request.json()["username"] == "ann" else YES
    one.publish("t", "2", qos=1)
    one.expect_message("t", "2")
    revoke(broker, "ann")
    backend.wait_for(lambda: sum(r.json()["acc"] == 4 for r in backend.on("/acl")) >= 2, "the subscription is asked about")
    one.publish("t", "3", qos=1, reason=NOT_AUTHORIZED)
    login(broker, username="bob").publish("t", "4", qos=1)
    one.expect_nothing()


def test_kept_logins_are_forgotten(backend, start, login, revoke):  # noqa: F811
    broker = start()
    login(broker, id="a").disconnect()
    login(broker, id="b", username="bob").disconnect()
    backend["/user"] = lambda request: YES if request.json()["username"] == "admin" else NO
    login(broker, id="a").disconnect()
    revoke(broker, "ann")
    login(broker, id="a", reason=BAD_LOGIN)
    login(broker, id="b", username="bob")


def test_answers_on_their_way_do_not_count(backend, start, login, client, revoke):  # noqa: F811
    broker = start()
    slow = [Answer(200, delay=0.6), NO]
    backend["/user"] = lambda r: YES if r.json()["username"] == "admin" else slow[min(len(backend.on("/user")) - 1, 1)]
    one = client(V5, "a", broker)
    one.open()
    one.send_connect(username="ann", password="secret")
    backend.wait_requests("/user", 1)
    revoke(broker, "ann")
    assert one.expect(wire.CONNACK).reason == BAD_LOGIN
    assert [r.json()["username"] for r in backend.on("/user")] == ["ann", "admin", "ann"]


def test_superusers_are_none_at_once(backend, start, login, revoke):  # noqa: F811
    roots = {"ann", "admin"}
    backend["/superuser"] = lambda request: YES if request.json()["username"] in roots else NO
    backend["/acl"] = lambda request: YES if request.json()["username"] == "bob" or request.json()["acc"] == 4 else NO
    broker = start("user", "superuser", "acl")
    one, bob = login(broker), login(broker, username="bob")
    one.subscribe("t/#")
    for topic in ("t/a", "t/b", "t/c"):
        one.publish(topic, qos=1)
        one.expect_message(topic)
    roots.remove("ann")
    revoke(broker, "ann")
    one.publish("t/d", qos=1, reason=NOT_AUTHORIZED)
    bob.publish("t/e", qos=1)
    one.expect_nothing()


def test_rules_of_the_login_are_taken(backend, start, login, revoke):  # noqa: F811
    broker = start("user", "acl", response="json")
    backend["/acl"] = rich(ok=True)
    backend["/user"] = lambda request: rich(result="allow", is_superuser=request.json()["username"] == "root", acl=[
        {"permission": "allow", "action": "all", "topic": "t"}, {"permission": "allow", "action": "all", "topic": "control/#"}])
    one, root = login(broker), login(broker, username="root")
    for who, user in ((one, "ann"), (root, "root")):
        who.publish("t", qos=1)
        revoke(broker, user)
        who.publish("t", qos=1, reason=NOT_AUTHORIZED)
        who.disconnect()
        login(broker, id=who.client_id, username=user).publish("t", qos=1)
