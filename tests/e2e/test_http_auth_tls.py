"""http-auth over TLS: whom it trusts, and how it shows who it is."""

import ssl

import pytest
import yaml

from broker import HOST, run_command
from certificates import Authority
from http_backend import YES, Backend
from test_http_auth import NOT_AUTHORIZED, asking, login  # noqa: F401: fixtures

pytestmark = pytest.mark.reference_differs

# No breaker where a test is about something else.
PATIENT = {"breaker": {"failures": 0}}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """PEM files: an authority, a server's certificate for HOST by it, a client's, and an authority nobody trusts."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority("authority")
    for name, identity in (("authority", authority), ("server", authority.server(HOST)),
                           ("client", authority.issue("client")), ("stranger", Authority("stranger"))):
        (folder / f"{name}.pem").write_bytes(identity.chain_pem)
        (folder / f"{name}.key").write_bytes(identity.key_pem)
    return folder


@pytest.fixture
def secure(certificates):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    context.load_verify_locations(certificates / "authority.pem")
    context.verify_mode = ssl.CERT_OPTIONAL
    one = Backend(tls=context)
    one["/user"] = YES
    one.start()
    yield one
    one.stop()


def test_certificates_are_verified(secure, certificates, start_broker, login):  # noqa: F811
    for tls, reason in (({}, NOT_AUTHORIZED), ({"ca": str(certificates / "stranger.pem")}, NOT_AUTHORIZED),
                        ({"ca": str(certificates / "authority.pem")}, 0), ({"verify": False}, 0)):
        broker = start_broker(asking(secure, "user", tls=tls, **PATIENT))
        login(broker, reason=reason)
        broker.stop()


def test_a_certificate_is_shown(secure, certificates, start_broker, login):  # noqa: F811
    secure.tls.verify_mode = ssl.CERT_REQUIRED
    tls = {"ca": str(certificates / "authority.pem")}
    login(start_broker(asking(secure, "user", tls=tls, **PATIENT)), reason=NOT_AUTHORIZED)
    tls.update(certificate=str(certificates / "client.pem"), key=str(certificates / "client.key"))
    login(start_broker(asking(secure, "user", tls=tls)))


def test_a_key_of_another_certificate_is_refused(secure, certificates, tmp_path):
    config = asking(secure, "user", tls={"certificate": str(certificates / "client.pem"),
                                         "key": str(certificates / "server.key")})
    (tmp_path / "noctule.yaml").write_text(yaml.safe_dump(config).replace("@default@", "127.0.0.1:1883"))
    done = run_command("check", "-c", tmp_path / "noctule.yaml")
    assert done.returncode == 1 and "server.key: is not the key of the certificate" in done.stderr, done.stderr
