"""Certificates as values: what they say of themselves, who signed them, and what malformed ones do."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.chain import INTERMEDIATE, LEAF, ROOT, role_of
from mdmprofile.errors import CertificateError
from pki import DAY, NOW, TOPIC, Key, ec_key, issue, name, push_certificate, root_ca, rsa_key, server_leaf

RSA_SHA256, RSA_PREFIX = bytes.fromhex("2a864886f70d01010b"), bytes.fromhex("2a864886f70d0101")
EC_PUBLIC_KEY, NO_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0279")
VERSION_3 = bytes.fromhex("a003020102")


def certify(
    public: CertificatePublicKeyTypes,
    signer: CertificateIssuerPrivateKeyTypes,
    digest: hashes.SHA256 | hashes.SHA384 | None = None,
    pss: padding.PSS | None = None,
) -> Certificate:
    """A certificate for any kind of key, signed by any kind of key."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("Subject"))
        .issuer_name(name("Issuer"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + DAY)
    )
    if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return Certificate(builder.sign(signer, None).public_bytes(Encoding.DER))
    return Certificate(builder.sign(signer, digest or hashes.SHA256(), rsa_padding=pss).public_bytes(Encoding.DER))


@functools.cache
def signing_key(kind: str) -> CertificateIssuerPrivateKeyTypes:
    """One key of each kind."""
    makers: dict[str, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "rsa-pss": lambda: rsa.generate_private_key(65537, 2048),
        "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ed448": ed448.Ed448PrivateKey.generate,
        "dsa": lambda: dsa.generate_private_key(1024),  # noqa: S505 - quick to make, and nothing rests on it
    }
    return makers[kind]()


KINDS = ("rsa", "rsa-pss", "p256", "p384", "ed25519", "ed448", "dsa")


def signed_with(kind: str, public: CertificatePublicKeyTypes | None = None) -> Certificate:
    """A certificate signed with the key of this kind, as certificates of this kind usually are."""
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32) if kind == "rsa-pss" else None
    digest = hashes.SHA384() if kind == "p384" else hashes.SHA256()
    return certify(public or ec_key().public_key(), signing_key(kind), digest, pss)


def openssl_root(openssl: Callable[..., bytes], folder: Path, *options: str, key: str = "rsa:2048") -> Certificate:
    """A self-signed certificate made by openssl, for algorithms that ``cryptography`` does not sign with."""
    arguments = ("-newkey", key, "-nodes", "-keyout", folder / "key.pem", "-subj", "/CN=Old Root", "-outform", "DER")
    return Certificate(openssl("req", "-x509", *arguments, *options))


def version_1(openssl: Callable[..., bytes], folder: Path) -> Certificate:
    """A self-signed version 1 certificate: openssl makes one where no extensions are asked for."""
    request = openssl(
        "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "v1.key", "-subj", "/CN=Old Root"
    )
    return Certificate(openssl("x509", "-req", "-signkey", folder / "v1.key", "-outform", "DER", data=request))


def test_fingerprint_names_and_dates_are_those_openssl_reads(openssl: Callable[..., bytes]) -> None:
    """Names, fingerprint and validity agree with an independent parser."""
    root = root_ca()
    leaf = issue(name("Device, Nr. 7", organization="Exämple"), root)
    text = openssl(
        *("x509", "-noout", "-fingerprint", "-sha256", "-subject", "-issuer", "-dates"),
        *("-nameopt", "RFC2253,-esc_msb,utf8", "-dateopt", "iso_8601"),
        data=leaf.pem,
    ).decode()
    said = dict(line.split("=", 1) for line in text.splitlines())
    ours = leaf.ours
    assert said["sha256 Fingerprint"].replace(":", "").lower() == ours.sha256
    assert (said["subject"], said["issuer"]) == (ours.subject, ours.issuer)
    assert [datetime.fromisoformat(said[each]) for each in ("notBefore", "notAfter")] == [
        ours.not_before,
        ours.not_after,
    ]


def test_certificates_are_equal_by_their_bytes_alone() -> None:
    """Where a certificate was read from does not make it another one."""
    one, other = issue("same", key=ec_key()), issue("same", key=ec_key())
    assert Certificate(one.der, "a.pem") == Certificate(one.der, "b.pem")
    assert len({Certificate(one.der, "a.pem"), Certificate(one.der, "b.pem"), other.ours}) == 2


@pytest.mark.parametrize(
    ("subject", "called"),
    [
        pytest.param(name("Common", organization="Org"), "Common", id="common-name"),
        pytest.param(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org")]), "O=Org", id="subject"),
    ],
)
def test_name_is_the_common_name_or_else_the_subject(subject: x509.Name, called: str) -> None:
    """Messages call a certificate what a person would."""
    assert issue(subject, key=ec_key()).ours.name == called


def test_certificate_with_an_empty_subject_is_called_by_its_fingerprint() -> None:
    """Device certificates may have no subject at all, and still need a name in a message."""
    ours = issue(x509.Name([]), root_ca()).ours
    assert ours.subject == ""
    assert ours.name == f"sha256 {ours.sha256[:16]}"


def test_push_topic_is_the_uid_of_the_subject() -> None:
    """A push certificate names the MDM topic in its subject, other certificates name none."""
    assert push_certificate(root_ca()).ours.push_topic == TOPIC
    assert issue("no uid").ours.push_topic == ""


@pytest.mark.parametrize(
    ("ca", "role"),
    [
        pytest.param(True, INTERMEDIATE, id="ca-true"),
        pytest.param(False, LEAF, id="ca-false"),
        pytest.param(None, LEAF, id="no-basic-constraints"),
    ],
)
def test_basic_constraints_decide_who_is_a_ca(ca: bool | None, role: str) -> None:
    """Only basicConstraints with CA:TRUE make a version 3 certificate an issuer."""
    ours = issue("issued", root_ca(), ca=ca).ours
    assert ours.is_ca is (ca is True)
    assert role_of(ours) == role


def test_self_signed_certificate_without_ca_true_is_no_root() -> None:
    """A self-signed server certificate signed itself, which does not make it a CA."""
    ours = issue("mdm.example.com", ca=None).ours
    assert ours.self_signed
    assert role_of(ours) == LEAF


def test_self_issued_certificate_that_another_key_signed_is_no_root() -> None:
    """The name alone is no evidence: a root's own key must verify its signature."""
    first = root_ca(key=ec_key())
    ours = issue("Test Root", first, ca=True, key=ec_key()).ours
    assert ours.subject_name == ours.issuer_name
    assert not ours.self_signed
    assert role_of(ours) == INTERMEDIATE


def test_version_1_certificate_that_signed_itself_is_a_root(openssl: Callable[..., bytes], tmp_path: Path) -> None:
    """The oldest roots cannot carry basicConstraints."""
    ours = version_1(openssl, tmp_path)
    assert ours.parsed.version is x509.Version.v1
    assert role_of(ours) == ROOT


def test_version_1_certificate_of_another_issuer_is_no_ca(openssl: Callable[..., bytes], tmp_path: Path) -> None:
    """Without basicConstraints nothing entitles an issued certificate to issue others."""
    root = root_ca()
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "root.key").write_bytes(root.key_pem())
    request = openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "k", "-subj", "/CN=Sub")
    signed = openssl(
        "x509", "-req", "-CA", tmp_path / "root.pem", "-CAkey", tmp_path / "root.key", "-outform", "DER", data=request
    )
    ours = Certificate(signed)
    assert ours.parsed.version is x509.Version.v1
    assert ours.signed_by(root.ours)
    assert role_of(ours) == LEAF


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_root_signed_with_an_old_digest_is_a_root_and_weak(
    openssl: Callable[..., bytes], tmp_path: Path, digest: str
) -> None:
    """A root's own signature carries no trust, so an old digest does not cost it its role."""
    ours = openssl_root(openssl, tmp_path, f"-{digest}")
    assert role_of(ours) == ROOT
    assert ours.weak_signature


@pytest.mark.parametrize("last_arc", [pytest.param(2, id="md2"), pytest.param(3, id="md4")])
def test_signature_with_a_digest_older_than_sha1_is_weak(last_arc: int) -> None:
    """Digests so old that no library reads them any more are the weakest."""
    modern = issue("old", root_ca(), ca=True).der
    assert modern.count(RSA_SHA256) == 2
    assert Certificate(modern.replace(RSA_SHA256, RSA_PREFIX + bytes([last_arc]))).weak_signature


@pytest.mark.parametrize("kind", KINDS)
def test_signature_with_a_modern_digest_is_not_weak(kind: str) -> None:
    """SHA-2 and the Edwards curves are no reason for a warning."""
    assert not signed_with(kind).weak_signature


def test_signature_algorithm_nobody_knows_verifies_nowhere_and_is_not_called_weak() -> None:
    """An unknown algorithm cannot be judged, and is not taken for a good signature either."""
    root = root_ca()
    ours = Certificate(issue("new", root).der.replace(RSA_SHA256, RSA_PREFIX + b"\x7f"))
    assert not ours.weak_signature
    assert not ours.signed_by(root.ours)


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_key_that_signed_verifies_the_signature(kind: str) -> None:
    """Each algorithm's signature is verified by its own key, and by no other key of whatever kind."""
    subject = signed_with(kind)
    issuers = {each: certify(signing_key(each).public_key(), ec_key()) for each in KINDS}
    assert [each for each, issuer in issuers.items() if subject.signed_by(issuer)] == [kind]


@pytest.mark.parametrize("kind", KINDS)
def test_changed_certificate_is_no_longer_signed(kind: str) -> None:
    """One changed bit in what was signed is noticed with every algorithm."""
    issuer = certify(signing_key(kind).public_key(), ec_key())
    subject = signed_with(kind)
    changed = Certificate(subject.der.replace(b"Subject", b"Subjecu"))
    assert subject.signed_by(issuer)
    assert not changed.signed_by(issuer)


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param(lambda: certify(x25519.X25519PrivateKey.generate().public_key(), ec_key()), id="x25519"),
        pytest.param(
            lambda: Certificate(issue("x", key=ec_key()).der.replace(EC_PUBLIC_KEY, NO_PUBLIC_KEY)), id="unknown-kind"
        ),
    ],
)
def test_key_that_cannot_sign_has_signed_nothing(issuer: Callable[[], Certificate]) -> None:
    """A certificate with such a key can be looked at, and is nobody's issuer."""
    ours = issuer()
    assert not any(signed_with(kind).signed_by(ours) for kind in KINDS)
    assert not ours.self_signed


def test_key_info_tells_keys_apart() -> None:
    """A renewed certificate has its predecessor's key; two unknown keys are never taken for one."""
    key = ec_key()
    assert issue("old", key=key).ours.key_info == issue("new", key=key).ours.key_info
    assert issue("old", key=key).ours.key_info != issue("old", key=ec_key()).ours.key_info
    unknown = [Certificate(issue("x", key=key).der.replace(EC_PUBLIC_KEY, NO_PUBLIC_KEY)) for _ in range(2)]
    assert unknown[0].key_info != unknown[1].key_info


@pytest.mark.parametrize(
    ("stated", "allowed"),
    [
        pytest.param(None, True, id="no-key-usage"),
        pytest.param(True, True, id="with-key-cert-sign"),
        pytest.param(False, False, id="without-key-cert-sign"),
    ],
)
def test_key_usage_restricts_issuing_only_where_it_is_stated(stated: bool | None, allowed: bool) -> None:
    """A CA without keyUsage may issue; one whose keyUsage lacks keyCertSign may not."""
    assert issue("ca", ca=True, key_cert_sign=stated).ours.key_cert_sign is allowed


def test_extended_key_usage_and_key_identifier_are_read_where_present() -> None:
    """Absent extensions are empty, not an error."""
    leaf = server_leaf(root_ca()).ours
    assert leaf.extended_key_usage == (ExtendedKeyUsageOID.SERVER_AUTH.dotted_string,)
    assert leaf.subject_key_identifier is None
    key = ec_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    ours = issue("with identifier", key=key, extensions=[identifier]).ours
    assert ours.extended_key_usage == ()
    assert ours.subject_key_identifier == identifier.digest


def rdn(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.RelativeDistinguishedName:
    """One relative name of one or more attributes."""
    return x509.RelativeDistinguishedName([x509.NameAttribute(oid, value) for oid, value in attributes])


CN, O = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME  # noqa: E741 - the short names of RFC 4514


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param([rdn((CN, "Good CA"))], [rdn((CN, "GOOD ca"))], True, id="case"),
        pytest.param([rdn((CN, "Good CA"))], [rdn((CN, "Good   CA"))], True, id="inner-white-space"),
        pytest.param([rdn((CN, "Good CA"))], [rdn((CN, "  Good CA "))], True, id="outer-white-space"),
        pytest.param([rdn((CN, "Straße"))], [rdn((CN, "STRASSE"))], True, id="case-beyond-ascii"),
        pytest.param([rdn((CN, "a"), (O, "b"))], [rdn((O, "b"), (CN, "a"))], True, id="order-inside-one-rdn"),
        pytest.param([rdn((CN, "Good CA"))], [rdn((CN, "GoodCA"))], False, id="no-white-space-at-all"),
        pytest.param([rdn((CN, "Good CA"))], [rdn((O, "Good CA"))], False, id="another-attribute"),
        pytest.param([rdn((O, "b")), rdn((CN, "a"))], [rdn((CN, "a")), rdn((O, "b"))], False, id="order-of-rdns"),
        pytest.param([rdn((O, "b")), rdn((CN, "a"))], [rdn((O, "b"), (CN, "a"))], False, id="one-rdn-or-two"),
        pytest.param([rdn((O, "b")), rdn((CN, "a"))], [rdn((CN, "a"))], False, id="one-rdn-less"),
    ],
)
def test_names_are_compared_as_rfc_5280_asks(
    one: list[x509.RelativeDistinguishedName], other: list[x509.RelativeDistinguishedName], same: bool
) -> None:
    """Case and white space do not matter, everything else does."""
    first = issue(x509.Name(one), key=ec_key())
    second = issue("leaf", first, issuer_name=x509.Name(other), key=ec_key())
    assert (second.ours.issuer_name == first.ours.subject_name) is same


def test_attributes_that_are_no_text_are_compared_byte_for_byte() -> None:
    """A unique identifier is a bit string, in which case means nothing."""
    oid, kind = NameOID.X500_UNIQUE_IDENTIFIER, x509.name._ASN1Type.BitString
    names = [x509.Name([x509.NameAttribute(oid, value, kind)]) for value in (b"\x00abc", b"\x00ABC", b"\x00abc")]
    first, second, third = (issue(each, key=ec_key()).ours.subject_name for each in names)
    assert first != second
    assert first == third


def duplicated_extension() -> bytes:
    """A certificate that has one extension twice, which RFC 5280 section 4.2 forbids."""
    extensions = [x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.4.{arc}"), b"\x05\x00") for arc in (5, 6)]
    der = issue("x", key=ec_key(), extensions=extensions).der
    return der.replace(bytes.fromhex("06042a030406"), bytes.fromhex("06042a030405"))


def alternative_name_of_kind(tag: int) -> bytes:
    """A certificate whose subjectAltName holds a kind of name that hardly anything reads."""
    der = issue("x", key=ec_key(), extensions=[x509.SubjectAlternativeName([x509.DNSName("ab.cd")])]).der
    return der.replace(b"\x82\x05ab.cd", bytes([tag]) + b"\x05ab.cd")


def version(number: int) -> bytes:
    """A certificate of another version than 1 and 3."""
    return issue("x", key=ec_key()).der.replace(VERSION_3, VERSION_3[:-1] + bytes([number]))


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(lambda: b"", id="empty"),
        pytest.param(lambda: b"\x30\x00", id="empty-sequence"),
        pytest.param(lambda: issue("x").pem, id="pem"),
        pytest.param(lambda: issue("x").der + b"\x00", id="trailing-byte"),
        pytest.param(lambda: version(1), id="version-2"),
        pytest.param(lambda: version(7), id="version-8"),
        pytest.param(duplicated_extension, id="extension-twice"),
        pytest.param(lambda: alternative_name_of_kind(0xA3), id="x400-address"),
        pytest.param(lambda: alternative_name_of_kind(0xA5), id="edi-party-name"),
        pytest.param(lambda: issue("x").der.replace(b"\x0c\x01x", b"\x0c\x01\xff"), id="name-is-no-utf8"),
    ],
)
def test_bytes_that_are_no_readable_certificate_are_refused_with_their_place(der: Callable[[], bytes]) -> None:
    """Whatever the parser raises becomes one line that names the file and what to do."""
    with pytest.raises(CertificateError, match=r"cannot be parsed") as caught:
        Certificate(der(), "pki/broken.der")
    assert caught.value.where == "pki/broken.der"
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", [rsa_key, ec_key], ids=["rsa", "ec"])
def test_identity_knows_whether_its_key_belongs_to_its_certificate(key: Callable[[], Key]) -> None:
    """A signer whose key and certificate were mixed up is noticed before anything is signed."""
    own, other = key(), key()
    certificate = issue("signer", key=own).ours
    assert Identity(certificate, own).key_matches
    assert not Identity(certificate, other).key_matches


def test_identity_does_not_show_its_key() -> None:
    """A key in a traceback or a log is a key that is lost."""
    key = ec_key()
    text = repr(Identity(issue("signer", key=key).ours, key))
    assert "PrivateKey" not in text
    assert not re.search(r"\bkey=", text)


def test_dates_are_aware_utc() -> None:
    """Every comparison with a planned date is between aware times."""
    ours = issue("dated", start=NOW - 2 * DAY, end=NOW + 5 * DAY).ours
    assert (ours.not_before, ours.not_after) == (NOW - 2 * DAY, NOW + 5 * DAY)
    assert ours.not_after.tzinfo is UTC
