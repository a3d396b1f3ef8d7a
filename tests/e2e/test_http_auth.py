"""http-auth: mosquitto-go-auth's contract on the wire, byte for byte, and what each answer means."""

import json
import time

import pytest

import mqtt_codec as wire
from broker import base_config, run_command
from http_backend import Answer, BROKEN, NO, OK, YES, Backend, rich
from mqtt_codec import V5, V311, Will
from scrape import scrape, wait_served

pytestmark = pytest.mark.reference_differs

BAD_LOGIN, NOT_AUTHORIZED = 0x86, 0x87


@pytest.fixture
def backend():
    one = Backend()
    one["/user"] = one["/acl"] = YES
    one["/superuser"] = NO
    one.start()
    yield one
    one.stop()


def entry(backend, *checks, **config):
    """The entry of `plugins:` that asks the backend's paths of these names."""
    keys = {check: {"url": backend.url(f"/{check}")} for check in checks or ("user", "acl")}
    return {"name": "http-auth", "config": {**keys, **config}}


@pytest.fixture
def start(start_broker, backend):
    """start("user", "acl", response="json"): a broker whose only plugin is http-auth."""
    return lambda *checks, **config: start_broker(asking(backend, *checks, **config))


def asking(backend, *checks, top=None, **config):
    return base_config(**{"allow_anonymous": False, "default_access": "deny",
                          "plugins": [entry(backend, *checks, **config)], **(top or {})})


@pytest.fixture
def login(connect, client):
    """login(broker, reason=0, version=5): a client that logs in as ann, and what comes of it."""

    def make(broker, reason=0, version=V5, id=None, **options):
        options = {"username": "ann", "password": "secret", **options}
        one = client(version, id, broker)
        one.connect(reason, **options)
        return one

    return make


# ---------------------------------------------------------------------------------------------- what is asked


def test_bodies_in_json(backend, start, login):
    one = login(start("user", "superuser", "acl"), id="dev 1", username='a"b<&>é', password="p\\w\n\u2028")
    one.subscribe("t/#", "$share/g/t/+")
    one.publish("t/x", "payload", qos=1)
    one.expect_message("t/x")
    one.disconnect()
    user, = backend.on("/user")
    assert user.method == "POST" and user.headers["content-type"] == "application/json"
    assert user.headers["user-agent"].startswith("noctule-http-auth/")
    assert "expect" not in user.headers
    name = r'a\"b\u003c\u0026\u003eé'
    assert user.body.decode() == r'{"clientid":"dev 1","password":"p\\w\n\u2028","username":"%s"}' % name
    superuser, = backend.on("/superuser")
    assert superuser.body.decode() == '{"username":"%s"}' % name
    acl = [request.body.decode() for request in backend.on("/acl")]
    one_of = '{"acc":%d,"clientid":"dev 1","topic":"%s","username":"' + name + '"}'
    assert acl == [one_of % (4, "t/#"), one_of % (4, "$share/g/t/+"), one_of % (2, "t/x"), one_of % (1, "t/x")]


def test_bodies_as_forms(backend, start, login):
    one = login(start("user", "superuser", "acl", params="form"), id="dev 1", username="u v", password="ä&=+%~")
    one.subscribe("a/+/#")
    one.publish("a/b", qos=1)
    user, = backend.on("/user")
    assert user.method == "POST" and user.headers["content-type"] == "application/x-www-form-urlencoded"
    assert user.body == b"clientid=dev+1&password=%C3%A4%26%3D%2B%25~&username=u+v"
    assert backend.on("/superuser")[0].body == b"username=u+v"
    assert backend.on("/acl")[0].body == b"acc=4&clientid=dev+1&topic=a%2F%2B%2F%23&username=u+v"
    assert backend.on("/acl")[1].body == b"acc=2&clientid=dev+1&topic=a%2Fb&username=u+v"


@pytest.mark.parametrize("method", ("POST", "GET", "PUT"))
def test_methods(backend, start, login, method):
    login(start("user", method=method))
    user, = backend.on("/user")
    assert user.method == method
    assert user.json() == {"clientid": user.json()["clientid"], "password": "secret", "username": "ann"}


def test_a_query_in_the_url_is_kept(backend, start_broker, login):
    config = asking(backend)
    config["plugins"][0]["config"]["user"]["url"] += "?token=t&x=1"
    login(start_broker(config))
    assert backend.requests[0].target == "/user?token=t&x=1"


def test_a_password_that_is_no_text(backend, start, login):
    login(start("user"), password=b"\xff\xc3(\xed\xa0\x80ok")
    assert backend.on("/user")[0].body.decode().partition('"password":')[2].startswith(
        r'"\ufffd\ufffd(\ufffd\ufffd\ufffdok"')


def test_headers(backend, start, login):
    login(start("user", headers={"Authorization": "Bearer t", "User-Agent": "me", "X-Empty": ""}))
    headers = backend.on("/user")[0].headers
    assert headers["authorization"] == "Bearer t" and headers["user-agent"] == "me" and headers["x-empty"] == ""


def test_will_is_a_write_when_it_is_sent(backend, start, login):
    broker = start()
    watcher = login(broker)
    watcher.subscribe("w/#")
    one = login(broker, will=Will("w/gone", b"gone"))
    assert not [request for request in backend.on("/acl") if request.json()["acc"] == 2]
    one.drop()
    watcher.expect_message("w/gone", "gone")
    will = [request.json() for request in backend.on("/acl") if request.json()["acc"] == 2]
    assert [(will[0]["topic"], will[0]["clientid"])] == [("w/gone", one.client_id)]


def test_retained_and_queued_messages_are_reads(backend, start, login):
    broker = start()
    one = login(broker)
    one.publish("r/1", "kept", qos=1, retain=True)
    two = login(broker, properties={"session_expiry_interval": 60})
    two.subscribe("r/#", qos=1)
    two.expect_message("r/1", "kept")
    two.drop()
    one.publish("r/2", "queued", qos=1)
    again = login(broker, id=two.client_id, clean=False, properties={"session_expiry_interval": 60})
    again.expect_message("r/2", "queued")
    reads = {request.json()["topic"] for request in backend.on("/acl") if request.json()["acc"] == 1}
    assert reads == {"r/1", "r/2"}


def test_context_is_sent_on_request(backend, start, login):
    everything = ["address", "listener", "protocol", "certificate_subject", "qos", "retain", "payload_size"]
    one = login(start("user", "superuser", "acl", send=everything), version=V311)
    one.subscribe("t", qos=1)
    one.publish("t", b"12345", qos=2, retain=True)
    one.expect_message("t")
    context = {"address": one.socket.getsockname()[0], "listener": "default", "protocol": 4, "certificate_subject": ""}
    assert backend.on("/user")[0].json() == {**context, "clientid": one.client_id, "password": "secret",
                                             "username": "ann"}
    assert backend.on("/superuser")[0].json() == {**context, "username": "ann"}
    subscribe, publish, deliver = [request.json() for request in backend.on("/acl")]
    names = {"clientid": one.client_id, "username": "ann", "topic": "t"}
    assert subscribe == {**context, **names, "acc": 4, "qos": 1, "retain": False, "payload_size": 0}
    assert publish == {**context, **names, "acc": 2, "qos": 2, "retain": True, "payload_size": 5}
    assert deliver == {**context, **names, "acc": 1, "qos": deliver["qos"], "retain": deliver["retain"],
                       "payload_size": 5}
    for request in backend.requests:
        assert list(request.json()) == sorted(request.json())


def test_proxies_of_the_environment_are_ignored(backend, start_broker, login):
    nowhere = "http://127.0.0.1:9"
    broker = start_broker(asking(backend, "user"),
                          environment_={"http_proxy": nowhere, "ALL_PROXY": nowhere, "no_proxy": ""})
    login(broker)
    assert backend.on("/user")


def test_a_proxy_is_asked_when_configured(backend, start, login):
    broker = start("user", proxy=backend.url(""))
    login(broker, reason=BAD_LOGIN)
    assert backend.requests[0].target == backend.url("/user")


# ---------------------------------------------------------------------------------------------- what is answered

YES_, NO_, ERROR_ = "yes", "no", "error"

ANSWERS = [
    ("status", Answer(200, b"whatever"), YES_),
    ("status", Answer(204), YES_),
    ("status", Answer(299), YES_),
    ("status", Answer(302, headers={"Location": "/elsewhere"}), ERROR_),
    ("status", Answer(400), NO_),
    ("status", Answer(401), NO_),
    ("status", Answer(404), NO_),
    ("status", Answer(499), NO_),
    ("status", Answer(500), ERROR_),
    ("status", Answer(503), ERROR_),
    ("text", Answer(200, b"ok"), YES_),
    ("text", Answer(200, b"ok\n"), NO_),
    ("text", Answer(200, b""), NO_),
    ("text", Answer(200, b"\xff\x00\x1b[31m"), NO_),
    ("text", Answer(403, b"ok"), NO_),
    ("json", Answer(200, b'{"ok":true}'), YES_),
    ("json", Answer(201, b'{"Ok":true,"Error":""}'), YES_),
    ("json", Answer(200, b'{"ok":true,"error":"","more":[1]}'), YES_),
    ("json", Answer(200, b'{"ok":false,"error":"not today"}'), NO_),
    ("json", Answer(200, b'{"error":"who?"}'), NO_),
    ("json", Answer(200, b"null"), NO_),
    ("json", Answer(403, b'{"ok":true}'), NO_),
    ("json", Answer(200, b'{"ok":"true"}'), ERROR_),
    ("json", Answer(200, b'{"ok":true,"ok":true}'), ERROR_),
    ("json", Answer(200, b'{"ok":true'), ERROR_),
    ("json", Answer(200, b'{"ok":true} trailing'), ERROR_),
    ("json", Answer(200, b"[true]"), ERROR_),
    ("json", Answer(200, b"[" * 100000), ERROR_),
    ("json", Answer(204), ERROR_),
    ("json", Answer(200, b"<html>\xff</html>"), ERROR_),
    ("json", Answer(500, b'{"ok":true}'), ERROR_),
    ("json", rich(result="allow"), YES_),
    ("json", rich(result="deny"), NO_),
    ("json", rich(result="maybe"), ERROR_),
    ("json", rich(result="deny", ok=True), ERROR_),
    ("json", rich(result="allow", is_superuser="yes"), ERROR_),
    ("json", rich(result="allow", expire_at="soon"), ERROR_),
    ("json", rich(result="allow", acl={}), ERROR_),
    ("json", rich(result="allow", acl=[{"permission": "allow", "action": "all"}]), ERROR_),
    ("json", rich(result="allow", acl=[{"permission": "allow", "action": "all", "topic": "t", "zone": "z"}]), ERROR_),
    ("json", rich(result="allow", client_attrs={"n": 1}), ERROR_),
]


@pytest.mark.parametrize("mode", ("status", "text", "json"))
def test_answers(backend, start, client, mode):
    broker = start("user", response=mode, breaker={"failures": 0})
    for index, (_, answer, meaning) in enumerate(a for a in ANSWERS if a[0] == mode):
        backend["/user"] = answer
        one = client(V5, f"c{index}", broker)
        one.open()
        one.send_connect(username="ann", password="secret")
        connack = one.expect(wire.CONNACK)
        reasons = {YES_: (0,), NO_: (BAD_LOGIN,), ERROR_: (NOT_AUTHORIZED, 0x88)}[meaning]
        assert connack.reason in reasons, (answer.status, answer.body[:80], meaning, connack, broker.tail()[-500:])
        one.drop()


def test_no_and_its_reason_are_logged(backend, start, login):
    broker = start("user", response="json")
    backend["/user"] = rich(ok=False, error="account\nlocked")
    login(broker, reason=BAD_LOGIN)
    assert "the platform says no: account locked" in broker.log()
    assert "secret" not in broker.log()


def test_access_answers(backend, start, login):
    broker = start(response="json", cache={"deny": 0, "allow": 0})
    backend["/user"] = OK
    verdicts = {"yes": rich(ok=True), "no": rich(ok=False), "ignore": rich(result="ignore"), "broken": BROKEN}
    backend["/acl"] = lambda request: verdicts[request.json()["topic"]]
    one = login(broker)
    one.publish("yes", qos=1)
    for topic in ("no", "ignore", "broken"):
        one.publish(topic, qos=1, reason=NOT_AUTHORIZED)
    one.subscribe("yes", "no", "ignore", "broken", reasons=[0, NOT_AUTHORIZED, NOT_AUTHORIZED, NOT_AUTHORIZED])


def test_a_delivery_that_is_denied_or_errs_is_skipped(backend, start, login):
    broker = start(cache={"deny": 0})
    reads = {"t/no": NO, "t/broken": BROKEN}
    backend["/acl"] = lambda r: reads.get(r.json()["topic"], YES) if r.json()["acc"] == 1 else YES
    one, two = login(broker), login(broker)
    two.subscribe("t/#", qos=1)
    for topic in ("t/no", "t/broken", "t/yes"):
        one.publish(topic, topic, qos=1)
    two.expect_message("t/yes", "t/yes")
    two.expect_nothing()


def test_without_name_or_password_nobody_is_asked(backend, start_broker, login, client):
    broker = start_broker(asking(backend, "user"))
    login(broker, reason=BAD_LOGIN, password=None)
    login(broker, reason=BAD_LOGIN, password="")
    login(broker, reason=BAD_LOGIN, username="")
    login(broker, reason=NOT_AUTHORIZED, username=None, password=None)
    assert backend.requests == []


def test_anonymous_clients_are_nobody_to_the_platform(backend, start_broker, connect):
    broker = start_broker(asking(backend, top={"allow_anonymous": True}))
    one = connect(V5, to=broker)
    one.publish("t", qos=1, reason=NOT_AUTHORIZED)
    assert backend.requests == []


# ---------------------------------------------------------------------------------------------- superusers


def test_superuser_comes_before_acl(backend, start, login):
    backend["/superuser"], backend["/acl"] = YES, NO
    one = login(start("user", "superuser", "acl"))
    one.subscribe("#", "$SYS/#")
    one.publish("any/where", "x", qos=1)
    one.expect_message("any/where")
    assert not backend.on("/acl")
    assert len(backend.on("/superuser")) == 1


def test_a_superuser_is_asked_about_once_for_all_topics(backend, start_broker, login):
    backend["/superuser"], backend["/acl"] = YES, NO
    config = asking(backend, "user", "superuser", "acl", cache={"allow": "1h"}, send=["payload_size"])
    config["plugins"].append({"name": "prometheus", "config": {"bind": "@metrics@"}})
    broker = start_broker(config)
    one = login(broker)
    one.subscribe("#")
    for index in range(50):
        one.publish(f"t/{index}", "x" * index, qos=index % 2)
        one.expect_message(f"t/{index}")
    assert not backend.on("/acl")
    assert len(backend.on("/superuser")) == 1
    wait_served(broker)
    found = scrape(broker)
    # The broker alone answers nearly all of it; the plugin is asked about the first of each kind.
    assert found['noctule_plugin_verdicts_reused_total{plugin="http-auth"}'] >= 90
    assert found['noctule_plugin_cache_hits_total{plugin="http-auth"}'] < 10


def test_a_superuser_is_one_for_a_time(backend, start, login):
    backend["/superuser"], backend["/acl"] = YES, NO
    one = login(start("user", "superuser", "acl", cache={"allow": "300ms"}))
    one.publish("a", qos=1)
    one.publish("b", qos=1)
    backend["/superuser"] = NO
    time.sleep(0.5)
    one.publish("c", qos=1, reason=NOT_AUTHORIZED)


def test_an_error_of_superuser_is_no_yes(backend, start, login):
    backend["/superuser"] = BROKEN
    backend["/acl"] = lambda request: YES if request.json()["topic"] == "yes" else NO
    broker = start("user", "superuser", "acl")
    one = login(broker)
    one.publish("yes", qos=1)
    one.publish("no", qos=1, reason=NOT_AUTHORIZED)
    assert "the superuser check failed" in broker.log()


# ---------------------------------------------------------------------------------------------- the chain


def test_on_no_next_asks_the_others(backend, start_broker, login):
    acl_file = {"name": "acl-file", "config": {"acl_file": "users.acl"}}
    backend["/acl"] = NO
    files = {"users.acl": "user ann\ntopic write file\n"}
    for on_no, reason in (("next", 0), ("deny", NOT_AUTHORIZED)):
        config = asking(backend, on_no=on_no)
        config["plugins"].append(acl_file)
        one = login(start_broker(config, files))
        one.publish("file", qos=1, reason=reason)
        one.publish("other", qos=1, reason=NOT_AUTHORIZED)


def test_without_an_acl_url_accesses_are_others_business(backend, start_broker, login):
    acl_file = {"name": "acl-file", "config": {"acl_file": "users.acl"}}
    config = asking(backend, "user")
    config["plugins"].append(acl_file)
    one = login(start_broker(config, {"users.acl": "user ann\ntopic write file\n"}))
    one.publish("file", qos=1)
    one.publish("other", qos=1, reason=NOT_AUTHORIZED)
    open_one = login(start_broker(asking(backend, "user", top={"default_access": "allow"})))
    open_one.publish("other", qos=1)
    assert not backend.on("/acl")


def test_explain_names_the_check(backend, start_broker):
    broker = start_broker(asking(backend))
    done = run_command("explain", "-c", broker.config_path, "--username", "ann", "--password-stdin", "--access", "publish",
                       "--topic", "a/b", input="secret\n")
    assert done.returncode == 0 and "acl: the platform says yes" in done.stdout, done
    backend["/acl"] = NO
    done = run_command("explain", "-c", broker.config_path, "--username", "ann", "--access", "publish", "--topic", "a/b")
    assert done.returncode == 1 and "acl: the platform says no: status 403" in done.stdout, done


# ---------------------------------------------------------------------------------------------- configuration

WRONG = [
    ({}, "nothing to ask"),
    ({"user": {}}, "url is missing"),
    ({"user": {"url": "ftp://host/"}}, "url expects http:// or https://"),
    ({"user": {"url": "http://"}}, "url: "),
    ({"user": {"url": "http://host/#part"}}, "never reach a server"),
    ({"user": {"url": "http://host/"}, "method": "DELETE"}, "DELETE"),
    ({"user": {"url": "http://host/"}, "method": "GET", "params": "form"}, "params: form needs method: POST or PUT"),
    ({"user": {"url": "http://host/"}, "response": "xml"}, "xml"),
    ({"user": {"url": "http://host/"}, "timeout": "5"}, "timeout"),
    ({"user": {"url": "http://host/"}, "send": ["address", "shoe_size"]}, "not `shoe_size`"),
    ({"user": {"url": "http://host/"}, "send": ["qos", "qos"]}, "twice"),
    ({"user": {"url": "http://host/"}, "headers": {"Content-Type": "x"}}, "set by the plugin"),
    ({"user": {"url": "http://host/"}, "headers": {"a b": "x"}}, "that is no header"),
    ({"user": {"url": "http://host/"}, "headers": {"X": "a\r\nY: b"}}, "that is no header"),
    ({"user": {"url": "http://host/"}, "tls": {"verify": True}}, "there is none"),
    ({"user": {"url": "https://host/"}, "tls": {"ca": "nothing.pem"}}, "nothing.pem"),
    ({"user": {"url": "https://host/"}, "tls": {"ca": "noctule.yaml"}}, "holds no certificate"),
    ({"user": {"url": "https://host/"}, "tls": {"ca": "noctule.yaml", "verify": False}}, "of no use"),
    ({"user": {"url": "https://host/"}, "tls": {"key": "noctule.yaml"}}, "belong together"),
    ({"user": {"url": "http://host/"}, "cache": {"jitter": "31s"}}, "jitter is longer"),
    ({"user": {"url": "http://host/"}, "cache": {"entries": 0, "stale": "5m"}}, "stale needs entries"),
    ({"user": {"url": "http://host/"}, "cache": {"alow": "5m"}}, "alow"),
    ({"user": {"url": "http://host/"}, "breaker": {"failures": -1}}, "failures"),
    ({"user": {"url": "http://host/"}, "proxy": ""}, "proxy expects"),
    ({"user": {"url": "http://host/"}, "ulr": "x"}, "ulr"),
]


@pytest.mark.parametrize("config, complaint", WRONG, ids=[complaint for _, complaint in WRONG])
def test_wrong_configurations(tmp_path, config, complaint):
    file = tmp_path / "noctule.yaml"
    file.write_text(json.dumps(base_config(plugins=[{"name": "http-auth", "config": config}])).replace("@default@",
                                                                                                    "127.0.0.1:1883"))
    done = run_command("check", "-c", file, cwd=tmp_path)
    assert done.returncode == 1 and complaint in done.stderr, done.stderr
    assert "noctule.yaml:1:" in done.stderr or ".pem" in done.stderr or "holds" in done.stderr
