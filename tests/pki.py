"""A PKI of any shape, made at run time: nothing in the tests can expire, and no key is stored."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mdmprofile.certificates import Certificate

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

# The tests' own today. Every judgement takes the time as an argument, so no test depends on the date.
NOW = datetime(2031, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TOPIC = "com.apple.mgmt.External.11111111-2222-4333-8444-555555555555"

_counter = itertools.count()


@functools.cache
def _rsa_pool(_number: int) -> rsa.RSAPrivateKey:
    """RSA keys are slow to make; a few serve all tests, since no test compares them across issuers."""
    return rsa.generate_private_key(65537, 2048)


def rsa_key() -> rsa.RSAPrivateKey:
    """One of a few RSA-2048 keys, in turn."""
    return _rsa_pool(next(_counter) % 6)


def ec_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def name(common_name: str, **more: str) -> x509.Name:
    """A subject of a common name, with organization= or uid= where given."""
    oids = {"organization": NameOID.ORGANIZATION_NAME, "uid": NameOID.USER_ID, "country": NameOID.COUNTRY_NAME}
    attributes = [x509.NameAttribute(oids[kind], value) for kind, value in more.items()]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


@dataclass(frozen=True)
class Entity:
    """A certificate with its key, and what issued it."""

    certificate: x509.Certificate
    key: Key

    @property
    def subject(self) -> x509.Name:
        return self.certificate.subject

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def sha256(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def ours(self) -> Certificate:
        """The same certificate as the project's own value."""
        return Certificate(self.der, self.subject.rfc4514_string())

    def key_pem(self, password: str | None = None) -> bytes:
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password.encode())
        return self.key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)

    def p12(self, password: str, chain: Sequence[Entity] = ()) -> bytes:
        return pkcs12.serialize_key_and_certificates(
            b"identity",
            self.key,
            self.certificate,
            [each.certificate for each in chain],
            serialization.BestAvailableEncryption(password.encode()),
        )


def issue(
    subject: x509.Name | str,
    issuer: Entity | None = None,
    *,
    key: Key | None = None,
    ca: bool | None = False,
    path_length: int | None = None,
    start: datetime = NOW - DAY,
    end: datetime = NOW + 365 * DAY,
    extensions: Sequence[x509.ExtensionType] = (),
    issuer_name: x509.Name | None = None,
    key_cert_sign: bool | None = None,
) -> Entity:
    """A certificate; self-signed without ``issuer``, without basicConstraints where ``ca`` is None."""
    subject = name(subject) if isinstance(subject, str) else subject
    key = key or rsa_key()
    signing_key = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name or (issuer.subject if issuer else subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=path_length), critical=True)
    if key_cert_sign is not None:
        builder = builder.add_extension(usage(key_cert_sign=key_cert_sign), critical=True)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return Entity(builder.sign(signing_key, hashes.SHA256()), key)


def usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    """A keyUsage that has, or lacks, the right to sign certificates."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def root_ca(common_name: str = "Test Root", *, days: int = 3650, key: Key | None = None) -> Entity:
    """A self-signed CA."""
    return issue(common_name, ca=True, end=NOW + days * DAY, key=key)


def intermediate_ca(issuer: Entity, common_name: str = "Test Intermediate", *, days: int = 1825) -> Entity:
    """A CA below another."""
    return issue(common_name, issuer, ca=True, end=NOW + days * DAY)


def server_leaf(issuer: Entity, host: str = "mdm.example.com", *, days: int = 397) -> Entity:
    """A TLS server certificate."""
    extensions = (
        x509.SubjectAlternativeName([x509.DNSName(host)]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
    )
    return issue(host, issuer, end=NOW + days * DAY, extensions=extensions)


def push_certificate(issuer: Entity, topic: str = TOPIC, *, days: int = 365) -> Entity:
    """A certificate whose subject UID is an MDM topic, as Apple's push certificates have it."""
    return issue(name("APSP:test", uid=topic), issuer, end=NOW + days * DAY)


@dataclass(frozen=True)
class Site:
    """A folder with everything that a build needs, and the entities behind its files."""

    folder: Path
    root: Entity
    intermediate: Entity
    server: Entity
    signer: Entity
    push: Entity

    @property
    def config(self) -> Path:
        return self.folder / "enroll.toml"

    def edit(self, change: Callable[[str], str]) -> None:
        """Change the text of the config; a change that changes nothing is a mistake in the test."""
        before = self.config.read_text()
        after = change(before)
        assert before != after
        self.config.write_text(after)


CONFIG = """\
[profile]
identifier = "com.example.mdm.enroll"
display_name = "Example MDM"
organization = "Example Inc."
replace_on = 2031-09-01

[server]
url = "https://mdm.example.com/mdm"
push_certificate = "push.pem"

[trust]
certificates = ["root.pem", "intermediate.pem"]
server_certificate = "server.pem"
trust_profile_url = "https://mdm.example.com/trust.mobileconfig"
enrollment_url = "https://mdm.example.com/enroll"
anchor_certs_url = "https://mdm.example.com/dep_anchor_certs"

[identity]
type = "scep"
url = "https://mdm.example.com/scep"
challenge = { file = "challenge.txt" }
validity = "365d"

[signing]
certificate = "signer.pem"
key = "signer.key"
"""


def make_site(folder: Path, *, config: str = CONFIG) -> Site:
    """Write a PKI and a config that build without a finding above info at ``NOW``."""
    root = root_ca()
    intermediate = intermediate_ca(root)
    site = Site(
        folder,
        root,
        intermediate,
        server_leaf(intermediate),
        issue("Profile Signer", intermediate, end=NOW + 730 * DAY),
        push_certificate(intermediate),
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "root.pem": site.root.pem,
        "intermediate.pem": site.intermediate.pem,
        "server.pem": site.server.pem,
        "signer.pem": site.signer.pem,
        "signer.key": site.signer.key_pem(),
        "push.pem": site.push.pem,
        "challenge.txt": b"open-sesame-4711\n",
        "enroll.toml": config.encode(),
    }
    for file, data in files.items():
        (folder / file).write_bytes(data)
    return site


def signed_content(openssl: Callable[..., bytes], signed: Path, root: Path) -> bytes:
    """What openssl finds inside a signed file, after it verified the signature and the path to ``root``."""
    arguments = ("cms", "-verify", "-binary", "-inform", "DER", "-in", signed, "-CAfile", root)
    return openssl(*arguments, "-purpose", "any", "-attime", str(int(NOW.timestamp())))
