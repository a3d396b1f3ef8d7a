"""Certificates made at test time: an authority, an intermediate, servers and clients, good ones and all kinds of bad
ones. Elliptic curve keys where nothing else is wanted: they are made in no time."""

import datetime
import ipaddress
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
NAME = "broker.test"


def now():
    return datetime.datetime.utcnow()


def days(number):
    return datetime.timedelta(days=number)


def new_key(kind="ec"):
    return rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())


def pem(*items):
    return b"".join(item.public_bytes(serialization.Encoding.PEM) for item in items)


def key_pem(key, passphrase=None):
    encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


class Identity:
    """A certificate, its key and the certificates between it and a root."""

    def __init__(self, certificate, key, chain=()):
        self.certificate, self.key, self.chain = certificate, key, tuple(chain)

    @property
    def chain_pem(self):
        return pem(self.certificate, *self.chain)

    @property
    def key_pem(self):
        return key_pem(self.key)


class Authority(Identity):
    """One that issues certificates and revokes them."""

    def __init__(self, common_name, issuer=None):
        key = new_key()
        self.revoked = []
        signer = issuer or Identity(None, key)
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = _build(self.subject, issuer.subject if issuer else self.subject, key, signer.key, is_authority=True)
        super().__init__(certificate, key, (certificate,) if issuer else ())

    def issue(self, common_name, usage=CLIENT, names=(), kind="ec", start=-1, end=365, where=None, subject=None):
        key = new_key(kind)
        if subject is None:
            subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test"),
                       x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        certificate = _build(x509.Name(subject), self.subject, key, self.key, usage, names, start, end, where=where)
        return Identity(certificate, key, self.chain)

    def server(self, *names, kind="ec", **options):
        return self.issue((names or (NAME,))[0], SERVER, names or (NAME, "localhost"), kind, **options)

    def revoke(self, identity):
        self.revoked.append(identity.certificate.serial_number)

    def crl(self, start=-1, end=30):
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.subject)
        builder = builder.last_update(now() + days(start)).next_update(now() + days(end))
        for serial in self.revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now() - days(1)).build())
        return pem(builder.sign(self.key, hashes.SHA256()))

    def ocsp_response(self, identity, end=7):
        builder = ocsp.OCSPResponseBuilder().add_response(
            identity.certificate, self.certificate, hashes.SHA1(), ocsp.OCSPCertStatus.GOOD, now() - days(1),
            now() + days(end), None, None)
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.NAME, self.certificate)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def _build(subject, issuer, key, signing_key, usage=None, names=(), start=-1, end=365, is_authority=False, where=None):
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now() + days(start)).not_valid_after(now() + days(end))
    builder = builder.add_extension(x509.BasicConstraints(is_authority, None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), False)
    if is_authority:
        builder = builder.add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False), True)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
    if where:
        builder = builder.add_extension(x509.AuthorityInformationAccess([x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(where))]), critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def _name(name):
    if "@" in name:
        return x509.RFC822Name(name)
    if ":" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class House:
    """A root, an intermediate that issues servers and clients, and the usual certificates, as files in a folder."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.root = Authority("Test Root")
        self.issuer = Authority("Test Issuer", self.root)
        self.stranger = Authority("Stranger")
        self.write("ca.pem", pem(self.root.certificate))
        self.add("server", self.issuer.server())
        self.add("ann", self.issuer.issue("ann", names=("ann@example.org",)))
        self.add("revoked", self.issuer.issue("revoked"))
        self.issuer.revoke(self.identities["revoked"])
        self.write("crl.pem", self.issuer.crl())

    identities = None

    def add(self, name, identity):
        if self.identities is None:
            self.identities = {}
        self.identities[name] = identity
        self.write(f"{name}.pem", identity.chain_pem)
        self.write(f"{name}.key", identity.key_pem)
        return identity

    def write(self, name, data):
        path = self.folder / name
        fresh = path.with_name(path.name + ".new")
        fresh.touch(0o600)
        fresh.write_bytes(data if isinstance(data, bytes) else data.encode())
        fresh.replace(path)
        return str(path)

    def path(self, name):
        return str(self.folder / name)

    def tls(self, **more):
        """The `tls` of a listener with the usual server."""
        return {"certificate": self.path("server.pem"), "key": self.path("server.key"), **more}

    def mutual(self, **more):
        return self.tls(client_ca=self.path("ca.pem"), **more)
