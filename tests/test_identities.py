"""Identities issued by an own CA: what openssl says of them, and everything that is refused."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from conftest import system_tool
from mdmprofile.certificate_names import subject_name
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.remote import remote_key
from mdmprofile.containers import load_pkcs12
from mdmprofile.errors import CertificateError, IssueError, MdmprofileError, Problems, SigningError
from mdmprofile.identities import (
    KEYS,
    IssuedIdentity,
    Issuer,
    Wanted,
    fresh_client_identifier,
    fresh_password,
    fresh_serial_number,
    judge_issuer,
)
from mdmprofile.payloads.names import Subject, SubjectAltName
from pki import DAY, NOW, Entity, ec_key, issue, name, root_ca, rsa_key

OpenSSL = Callable[..., bytes]

DEVICE: Subject = (("O", "Example Inc."), ("CN", "C02XK1ZGJG5M"))
P256 = Wanted(key="p256")
HOUR = timedelta(hours=1)
AT = ("-attime", str(int(NOW.timestamp())))
SIZES = {"rsa2048": 2048, "rsa3072": 3072, "rsa4096": 4096, "p256": 256, "p384": 384}


def identity_of(ca: Entity, *chain: Entity) -> Identity:
    """The CA as the issuer takes it."""
    return Identity(ca.ours, ca.key, tuple(each.ours for each in chain))


def issuer(ca: Entity | None = None, wanted: Wanted = P256, *, now: datetime = NOW) -> Issuer:
    """An issuer; of a fresh EC root unless a CA is given."""
    return Issuer(identity_of(ca or root_ca(key=ec_key())), wanted, now=now)


def written(folder: Path, issued: IssuedIdentity) -> Path:
    """The PKCS#12 in a file, its password in another beside it."""
    file = folder / "device.p12"
    file.write_bytes(issued.data)
    (folder / "password").write_text(issued.password + "\n", encoding="utf-8")
    return file


def extensions(certificate: Certificate) -> dict[str, tuple[bool, x509.ExtensionType]]:
    """Each extension by its name: whether it is critical, and its value."""
    return {each.oid._name: (each.critical, each.value) for each in certificate.parsed.extensions}


# --- what is issued ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", [[], ["-legacy"]], ids=["default", "legacy"])
@pytest.mark.parametrize("encryption", ["compatible", "modern"])
def test_openssl_opens_the_pkcs12(encryption: str, provider: list[str], tmp_path: Path, openssl: OpenSSL) -> None:
    """With its default provider and with the legacy one, and with the key and the one certificate inside."""
    issued = issuer(wanted=Wanted("p256", encryption=encryption)).issue(DEVICE)
    file = written(tmp_path, issued)
    opened = openssl("pkcs12", *provider, "-in", file, "-passin", f"file:{tmp_path / 'password'}", "-nodes")
    assert opened.count(b"-----BEGIN CERTIFICATE-----") == 1
    assert opened.count(b"-----BEGIN %s-----" % b"PRIVATE KEY") == 1
    assert openssl("x509", "-outform", "DER", data=opened) == issued.certificate.der
    assert openssl("pkey", "-pubout", data=opened) == openssl("x509", "-noout", "-pubkey", data=opened)
    assert b"friendlyName: C02XK1ZGJG5M" in opened


@pytest.mark.parametrize(
    ("encryption", "expected"),
    [
        ("compatible", {"MAC: sha1, Iteration 2048", "pbeWithSHA1And3-KeyTripleDES-CBC, Iteration 2048"}),
        (
            "modern",
            {"MAC: sha256, Iteration 2048", "PBES2, PBKDF2, AES-256-CBC, Iteration 2048, PRF hmacWithSHA256"},
        ),
    ],
)
def test_encryption_is_the_one_that_the_name_stands_for(encryption: str, expected: set[str], tmp_path: Path) -> None:
    """Old Apple releases read one, and FIPS knows the other."""
    file = written(tmp_path, issuer(wanted=Wanted("p256", encryption=encryption)).issue(DEVICE))
    words = ["pkcs12", "-legacy", "-info", "-noout", "-in", str(file), "-passin", f"file:{tmp_path / 'password'}"]
    done = subprocess.run([system_tool("openssl"), *words], check=True, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if "Iteration" in line]
    assert {line if line.startswith("MAC") else line.partition(": ")[2] for line in lines} == expected


@pytest.mark.parametrize("ca_key", [rsa_key, ec_key, lambda: ec.generate_private_key(ec.SECP384R1())])
@pytest.mark.parametrize("key", ["rsa2048", "rsa3072", "p256", "p384"])
def test_openssl_trusts_the_certificate_for_tls_clients(
    key: str, ca_key: Callable[[], Any], tmp_path: Path, openssl: OpenSSL
) -> None:
    """Below a root, each kind of key by each kind of CA; and the key is of the kind that was asked for."""
    own = ca_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
    root = issue("Root", key=own, ca=True, key_cert_sign=True, end=NOW + 900 * DAY, extensions=(identifier,))
    issued = issuer(root, Wanted(key)).issue(DEVICE)
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "device.pem").write_bytes(issued.certificate.parsed.public_bytes(Encoding.PEM))
    words = ("verify", "-x509_strict", "-purpose", "sslclient", *AT, "-CAfile", tmp_path / "root.pem")
    openssl(*words, tmp_path / "device.pem")
    assert issued.certificate.key_strength == ("RSA" if key.startswith("rsa") else "EC", SIZES[key])


def test_largest_key_is_what_it_says() -> None:
    """RSA-4096 takes a second, so it is made once."""
    assert issuer(wanted=Wanted("rsa4096")).issue(DEVICE).certificate.key_strength == ("RSA", 4096)


def test_openssl_trusts_it_below_an_intermediate_ca(tmp_path: Path, openssl: OpenSSL) -> None:
    """Its issuer is found by the key identifier, also where the CA derived its own in another way."""
    root = root_ca()
    identifier = x509.SubjectKeyIdentifier(b"\x07" * 16)
    ca = issue("Devices CA", root, ca=True, path_length=0, end=NOW + 900 * DAY, extensions=(identifier,))
    issued = issuer(ca).issue(DEVICE)
    assert extensions(issued.certificate)["authorityKeyIdentifier"] == (
        False,
        x509.AuthorityKeyIdentifier(b"\x07" * 16, None, None),
    )
    for file, data in (("root", root.pem), ("ca", ca.pem)):
        (tmp_path / file).write_bytes(data)
    (tmp_path / "device.pem").write_bytes(issued.certificate.parsed.public_bytes(Encoding.PEM))
    words = ("verify", "-purpose", "sslclient", *AT, "-CAfile", tmp_path / "root")
    openssl(*words, "-untrusted", tmp_path / "ca", tmp_path / "device.pem")
    openssl(*words, tmp_path / "device.pem", fails=True)


def test_certificate_says_what_a_device_identity_needs_and_no_more() -> None:
    """Version 3, no CA, for signatures and TLS clients, SHA-256, and both key identifiers."""
    root = root_ca(key=ec_key())
    issued = issuer(root).issue(DEVICE).certificate
    assert issued.parsed.version is x509.Version.v3
    assert isinstance(issued.parsed.signature_hash_algorithm, hashes.SHA256)
    assert issued.signed_by(root.ours)
    assert issued.issuer_name == root.ours.subject_name
    public: Any = issued.parsed.public_key()
    digital_signature = x509.KeyUsage(True, *[False] * 8)
    assert extensions(issued) == {
        "basicConstraints": (True, x509.BasicConstraints(ca=False, path_length=None)),
        "keyUsage": (True, digital_signature),
        "extendedKeyUsage": (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])),
        "subjectKeyIdentifier": (False, x509.SubjectKeyIdentifier.from_public_key(public)),
        "authorityKeyIdentifier": (
            False,
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()),
        ),
    }


def test_subject_keeps_its_order_and_its_encoding(tmp_path: Path, openssl: OpenSSL) -> None:
    """Short names and dotted OIDs, letters of any language, two names of one type; C and serialNumber are ASCII."""
    subject: Subject = (
        ("C", "DE"),
        ("O", "Exämple, Inc. / 1"),
        ("OU", "one"),
        ("OU", "two"),
        ("2.5.4.5", "C02X-1"),
        ("0.9.2342.19200300.100.1.1", "uid"),
        ("CN", "设备 \N{MOBILE PHONE}"),
    )
    issued = issuer().issue(subject)
    (tmp_path / "device.der").write_bytes(issued.certificate.der)
    options = ("-nameopt", "utf8,sep_comma_plus_space,space_eq,show_type,-esc_msb")
    shown = openssl("x509", "-noout", "-subject", *options, "-inform", "DER", "-in", tmp_path / "device.der").decode()
    assert shown.strip().removeprefix("subject=") == (
        "C = PRINTABLESTRING:DE, O = UTF8STRING:Exämple, Inc. / 1, OU = UTF8STRING:one, OU = UTF8STRING:two, "
        "serialNumber = PRINTABLESTRING:C02X-1, UID = UTF8STRING:uid, CN = UTF8STRING:设备 \N{MOBILE PHONE}"
    )
    assert load_pkcs12(issued.data, password=issued.password.encode()).certificate == issued.certificate


def test_alternative_names_are_those_that_openssl_reads(tmp_path: Path, openssl: OpenSSL) -> None:
    """Every kind, several of the kinds that allow it, and a principal name longer than DER's short form."""
    principal = f"{'ü' * 70}@EXAMPLE.COM"
    alternative = SubjectAltName(
        rfc822_name=("a@example.com", "b@example.com"),
        dns_name="mac-1.example.com",
        uri="urn:uuid:11111111-2222-4333-8444-555555555555",
        nt_principal_name=principal,
    )
    issued = issuer().issue(DEVICE, alternative)
    (tmp_path / "device.der").write_bytes(issued.certificate.der)
    words = ("x509", "-noout", "-ext", "subjectAltName", "-inform", "DER", "-in", tmp_path / "device.der")
    assert openssl(*words).decode().splitlines()[1].strip() == (
        "email:a@example.com, email:b@example.com, DNS:mac-1.example.com, "
        f"URI:urn:uuid:11111111-2222-4333-8444-555555555555, othername: UPN::{principal}"
    )


def test_no_alternative_name_makes_no_extension() -> None:
    """An empty one is malformed (RFC 5280 section 4.2.1.6)."""
    assert "subjectAltName" not in extensions(issuer().issue(DEVICE, SubjectAltName()).certificate)


def test_each_identity_has_a_key_a_number_and_a_password_of_its_own() -> None:
    """That is what makes it the device's."""
    one = issuer()
    made = [one.issue(DEVICE) for _ in range(20)]
    facts = [(each.certificate.key_info, each.certificate.parsed.serial_number, each.password) for each in made]
    assert [len(set(each)) for each in zip(*facts, strict=True)] == [20, 20, 20]


def test_several_threads_issue_at_once() -> None:
    """One issuer serves all of them, and each gets an identity that is whole."""
    root = root_ca(key=ec_key())
    one = issuer(root)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: one.issue((("CN", f"device-{number}"),)), range(40)))
    assert [each.certificate.name for each in made] == [f"device-{number}" for number in range(40)]
    for each in made:
        assert each.certificate.signed_by(root.ours)
        assert load_pkcs12(each.data, password=each.password.encode()).key_matches


def test_given_password_and_serial_number_are_used() -> None:
    """Whoever keeps a ledger chooses the number before."""
    issued = issuer().issue(DEVICE, password="pässwort 1", serial_number=4711)
    assert (issued.password, issued.certificate.parsed.serial_number) == ("pässwort 1", 4711)
    assert load_pkcs12(issued.data, password="pässwort 1".encode()).certificate == issued.certificate


def test_without_a_common_name_the_serial_number_is_what_it_is_called(tmp_path: Path, openssl: OpenSSL) -> None:
    """Keychains list identities by the friendly name."""
    file = written(tmp_path, issuer().issue((("OU", "devices"),), serial_number=0xABCDEF))
    words = ("pkcs12", "-in", file, "-passin", f"file:{tmp_path / 'password'}", "-nodes")
    assert b"friendlyName: abcdef" in openssl(*words)


# --- when it is valid --------------------------------------------------------------------------------------------


def test_validity_begins_an_hour_ago_and_ends_when_it_was_asked_to() -> None:
    """A device whose clock is slow must not refuse it."""
    now = NOW + timedelta(microseconds=987654)
    one = issuer(wanted=Wanted("p256", timedelta(days=90)), now=now)
    issued = one.issue(DEVICE).certificate
    assert (issued.not_before, issued.not_after) == (NOW - HOUR, NOW + 90 * DAY)
    assert one.not_after == issued.not_after


def test_validity_stays_within_the_cas() -> None:
    """Nobody trusts what begins before its issuer or ends after it."""
    ca = issue("Short CA", ca=True, key=ec_key(), start=NOW - timedelta(minutes=5), end=NOW + 10 * DAY)
    one = issuer(ca)
    issued = one.issue(DEVICE).certificate
    assert (issued.not_before, issued.not_after) == (NOW - timedelta(minutes=5), NOW + 10 * DAY)
    assert one.not_after == NOW + 10 * DAY
    assert [each.rule for each in judge_issuer(identity_of(ca), P256, now=NOW)] == ["issuer.validity-cut"]


def test_ca_without_end_is_no_problem_for_the_calendar() -> None:
    """9999-12-31 is how certificates say never (RFC 5280 section 4.1.2.5)."""
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    one = issuer(issue("Eternal", ca=True, key=ec_key(), end=end), Wanted("p256", timedelta(days=36500 * 90)))
    assert one.issue(DEVICE).certificate.not_after == end


# --- what is random ----------------------------------------------------------------------------------------------


def test_serial_numbers_are_positive_and_short_enough() -> None:
    """At most 20 octets in DER, so 159 bits (RFC 5280 section 4.1.2.2), and hardly fewer than 140 random ones."""
    numbers = [fresh_serial_number() for _ in range(200)]
    assert all(0 < each < 2**159 for each in numbers)
    assert max(numbers) > 2**140
    assert len(set(numbers)) == 200


def test_passwords_survive_a_shell_and_every_keyboard() -> None:
    """Nothing in them needs quotes, looks like something else, or is typed with a second key."""
    made = {fresh_password() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"[abcdefghijkmnpqrstuvwxyz2-9]{26}", each) for each in made)
    assert all(shlex.quote(each) == each for each in made)
    assert set("".join(made)) == set("abcdefghijkmnpqrstuvwxyz23456789")


def test_client_identifiers_are_never_the_same() -> None:
    """An ACME server takes each once; 160 bits in hexadecimal."""
    made = {fresh_client_identifier() for _ in range(200)}
    assert len(made) == 200
    assert all(re.fullmatch(r"[0-9a-f]{40}", each) for each in made)


# --- names that no certificate may hold --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ((), "is empty"),
        ((("CN", "x" * 65),), "CN is longer than 64"),
        ((("CN", "ü" * 33),), "CN is longer than 64"),
        ((("O", "x" * 65),), "O is longer than 64"),
        ((("ST", "x" * 129),), "ST is longer than 128"),
        ((("1.2.3.4", "x" * 1025),), r"1\.2\.3\.4 is longer than 1024"),
        ((("C", "USA"),), "C is 'USA', and has to be two letters"),
        ((("C", "ü"),), "C is 'ü', and has to be two letters"),
        ((("2.5.4.6", "1"),), r"2\.5\.4\.6 is '1', and has to be two letters"),
        ((("CN", ""),), "CN is empty"),
        ((("CN", "  "),), "CN is empty"),
        ((("CN", "a\x00b"),), "CN holds a control character"),
        ((("CN", "a\nb"),), "CN holds a control character"),
        ((("CN", "\ud800"),), "CN holds a control character"),
        ((("2.5.4.5", "ü"),), r"2\.5\.4\.5 is 'ü', and has to be letters"),
        ((("1.2.840.113549.1.9.1", "ü@x"),), "has to be ASCII"),
        ((("2.999999999999999999999999999999999999999.1", "x"),), "cannot be written"),
        ((("1.99.3", "x"),), "cannot be written"),
        ((("nonsense", "x"),), "nonsense cannot be written"),
        ((("O", "fine"), ("CN", "x" * 65)), "CN is longer"),
    ],
)
def test_subject_that_no_certificate_may_have_is_refused_by_its_type(subject: Subject, message: str) -> None:
    """Before a key is made; the error says which part."""
    with pytest.raises(IssueError, match=message) as caught:
        issuer().issue(subject)
    assert caught.value.where == "identity.subject"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("alternative", "message"),
    [
        (SubjectAltName(dns_name="bad name"), "'bad name' is no DNS name"),
        (SubjectAltName(dns_name="-a.example.com"), "DNS name"),
        (SubjectAltName(dns_name="a..b"), "DNS name"),
        (SubjectAltName(dns_name="a.example.com."), "DNS name"),
        (SubjectAltName(dns_name="mäc.example.com"), "DNS name"),
        (SubjectAltName(dns_name="*.example.com"), "DNS name"),
        (SubjectAltName(dns_name=("ok.example.com", f"{'a' * 64}.example.com")), "DNS name"),
        (SubjectAltName(dns_name=".".join(["a" * 60] * 5)), "DNS name"),
        (SubjectAltName(dns_name="a\x00.example.com"), "DNS name"),
        (SubjectAltName(dns_name="a.example.com\n"), "DNS name"),
        (SubjectAltName(rfc822_name="nobody"), "'nobody' is no e-mail address"),
        (SubjectAltName(rfc822_name="a b@example.com"), "e-mail address"),
        (SubjectAltName(rfc822_name="a@b@"), "e-mail address"),
        (SubjectAltName(rfc822_name="ü@example.com"), "e-mail address"),
        (SubjectAltName(uri="no-scheme"), "'no-scheme' is no URI"),
        (SubjectAltName(uri="urn:with space"), "URI"),
        (SubjectAltName(uri="urn:ü"), "URI"),
        (SubjectAltName(uri="urn:" + "x" * 3000), "URI"),
        (SubjectAltName(nt_principal_name=""), "principal name"),
        (SubjectAltName(nt_principal_name="a\nb"), "principal name"),
        (SubjectAltName(nt_principal_name="x" * 2000), "principal name"),
    ],
)
def test_alternative_name_that_no_certificate_may_have_is_refused(alternative: SubjectAltName, message: str) -> None:
    """An unreadable name in a certificate has broken more than one parser."""
    with pytest.raises(IssueError, match=message) as caught:
        issuer().issue(DEVICE, alternative)
    assert caught.value.where == "identity.subject_alt_name"


@given(st.lists(st.tuples(st.sampled_from(["C", "O", "CN", "2.5.4.5", "1.2.3"]), st.text(max_size=80)), max_size=4))
def test_any_subject_is_written_whole_or_refused(pairs: list[tuple[str, str]]) -> None:
    """Whatever a table of devices holds, the certificate says the same or there is none."""
    try:
        made = subject_name(tuple(pairs))
    except IssueError:
        return
    assert [each.value for each in x509.Name(made.rdns)] == [value for _, value in pairs]
    assert made.public_bytes()


@pytest.mark.parametrize("password", ["", "x" * 1025, "\ud800"], ids=["empty", "long", "no-text"])
def test_password_that_is_not_portable_is_refused(password: str) -> None:
    """No device opens a PKCS#12 with an empty one."""
    with pytest.raises(IssueError) as caught:
        issuer().issue(DEVICE, password=password)
    assert caught.value.where == "identity.password"
    assert password == "" or password not in str(caught.value)


@pytest.mark.parametrize("number", [0, -1, 2**159])
def test_serial_number_that_no_certificate_may_have_is_refused(number: int) -> None:
    """Positive, and 20 octets at most."""
    with pytest.raises(IssueError, match="cannot be made"):
        issuer().issue(DEVICE, serial_number=number)


# --- CAs that cannot issue ---------------------------------------------------------------------------------------


def no_client_auth() -> Entity:
    """A CA for TLS servers alone."""
    return issue("Web CA", root_ca(), ca=True, extensions=(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),))


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: issue("Leaf", root_ca()), "issuer.not-ca"),
        (lambda: issue("Leaf", root_ca(), ca=None), "issuer.not-ca"),
        (lambda: issue("No right", ca=True, key_cert_sign=False, end=NOW + 900 * DAY), "issuer.key-usage"),
        (lambda: issue("Old", ca=True, start=NOW - 9 * DAY, end=NOW - DAY), "issuer.expired"),
        (lambda: issue("Now", ca=True, start=NOW - 9 * DAY, end=NOW), "issuer.expired"),
        (lambda: issue("New", ca=True, start=NOW + DAY, end=NOW + 900 * DAY), "issuer.expired"),
        (lambda: Entity(root_ca().certificate, ec_key()), "issuer.key-mismatch"),
    ],
)
def test_ca_that_cannot_issue_is_an_error_and_issues_nothing(make: Callable[[], Entity], rule: str) -> None:
    """The judgement says why, and the issuer refuses for the same reason."""
    ca = identity_of(make())
    found = judge_issuer(ca, P256, now=NOW)
    errors = [each for each in found if each.severity == "error"]
    assert [each.rule for each in errors] == [rule]
    assert errors[0].where == ca.certificate.source
    with pytest.raises(IssueError) as caught:
        Issuer(ca, P256, now=NOW)
    assert caught.value.message == errors[0].message


def test_every_reason_is_named_at_once() -> None:
    """Who has the CA reissued does it once."""
    old = issue("Old leaf", root_ca(), start=NOW - 9 * DAY, end=NOW - DAY)
    ca = identity_of(Entity(old.certificate, ec_key()))
    assert [each.rule for each in judge_issuer(ca, P256, now=NOW)] == [
        "issuer.not-ca",
        "issuer.key-mismatch",
        "issuer.expired",
    ]
    with pytest.raises(Problems) as caught:
        Issuer(ca, P256, now=NOW)
    assert len(caught.value.errors) == 3


def test_ca_for_servers_alone_is_a_warning(tmp_path: Path, openssl: OpenSSL) -> None:
    """openssl, as many servers, refuses its device certificates."""
    ca = no_client_auth()
    found = judge_issuer(identity_of(ca), Wanted("p256", timedelta(days=30)), now=NOW)
    assert [(each.rule, each.severity) for each in found] == [("issuer.purpose", "warning")]
    issued = issuer(ca).issue(DEVICE).certificate
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    (tmp_path / "device.pem").write_bytes(issued.parsed.public_bytes(Encoding.PEM))
    words = ("verify", "-partial_chain", *AT, "-trusted", tmp_path / "ca.pem")
    openssl(*words, tmp_path / "device.pem")
    openssl(*words, "-purpose", "sslclient", tmp_path / "device.pem", fails=True)


class Paths:
    """CAs above one another, the issuing one last."""

    def __init__(self) -> None:
        self.free = root_ca("Free root")
        self.strict = issue("Strict root", ca=True, path_length=0, end=NOW + 3000 * DAY)
        self.one = issue("One root", ca=True, path_length=1, end=NOW + 3000 * DAY)

    def below(self, top: Entity, *, length: int | None = None) -> Entity:
        return issue("Issuing CA", top, ca=True, path_length=length, end=NOW + 2000 * DAY)


def test_ca_below_one_that_allows_none_is_an_error(tmp_path: Path, openssl: OpenSSL) -> None:
    """As openssl sees it, which refuses what it issues."""
    paths = Paths()
    ca = paths.below(paths.strict)
    found = judge_issuer(identity_of(ca), P256, now=NOW, available=[paths.strict.ours])
    assert [each.rule for each in found] == ["issuer.path-length"]
    assert found[0].message == "Strict root allows 0 CAs below it, and Issuing CA is one too many"
    issued = issuer(ca).issue(DEVICE).certificate
    for file, data in (("root", paths.strict.pem), ("ca", ca.pem)):
        (tmp_path / file).write_bytes(data)
    (tmp_path / "device.pem").write_bytes(issued.parsed.public_bytes(Encoding.PEM))
    words = ("verify", *AT, "-CAfile", tmp_path / "root", "-untrusted", tmp_path / "ca")
    openssl(*words, tmp_path / "device.pem", fails=True)


def test_length_of_the_path_is_counted_from_each_ca_above() -> None:
    """Two below one that allows one are too many, in the CA's own chain as among what is available."""
    paths = Paths()
    middle = issue("Middle", paths.one, ca=True, end=NOW + 2500 * DAY)
    ca = paths.below(middle)
    found = judge_issuer(identity_of(ca, middle), P256, now=NOW, available=[paths.one.ours])
    assert [each.rule for each in found] == ["issuer.path-length"]
    found = judge_issuer(identity_of(ca, middle, paths.one), P256, now=NOW)
    assert [each.rule for each in found] == ["issuer.path-length"]


@pytest.mark.parametrize(
    "make",
    [
        lambda paths: (paths.below(paths.one), [paths.one]),
        lambda paths: (paths.below(paths.free, length=0), [paths.free]),
        lambda paths: (paths.strict, []),
        lambda paths: (paths.below(paths.strict), []),
        lambda paths: (paths.below(paths.free), [paths.free, paths.strict]),
    ],
    ids=["allowed", "own-limit", "root-itself", "issuer-unknown", "another-is-strict"],
)
def test_ca_that_is_allowed_where_it_is_has_no_finding(make: Callable[[Paths], tuple[Entity, list[Entity]]]) -> None:
    """A limit of the CA itself is about CAs below it, and what is not at hand is not guessed."""
    ca, others = make(Paths())
    assert judge_issuer(identity_of(ca), P256, now=NOW, available=[each.ours for each in others]) == ()


def test_one_allowed_way_up_is_enough() -> None:
    """The issuing CA was signed by two others with one name and key, of which one allows it."""
    paths = Paths()
    key = rsa_key()
    middle = [issue("Twice", top, ca=True, key=key, end=NOW + 2500 * DAY) for top in (paths.free, paths.strict)]
    ca = identity_of(paths.below(middle[0]), *middle, paths.free, paths.strict)
    assert judge_issuer(ca, P256, now=NOW) == ()
    ca = identity_of(Entity(ca.certificate.parsed, ca.key), *middle, paths.strict)
    assert judge_issuer(ca, P256, now=NOW) == ()
    ca = Identity(ca.certificate, ca.key, (middle[1].ours, paths.strict.ours))
    assert [each.rule for each in judge_issuer(ca, P256, now=NOW)] == ["issuer.path-length"]


def test_cas_in_a_circle_end_the_search() -> None:
    """Two CAs that signed each other have no top."""
    first, second = rsa_key(), rsa_key()
    one = issue("One", ca=True, key=first, end=NOW + 900 * DAY)
    two = issue("Two", one, ca=True, key=second, end=NOW + 900 * DAY)
    back = issue("One", two, ca=True, key=first, end=NOW + 900 * DAY)
    ca = issue("Issuing", Entity(back.certificate, first), ca=True, end=NOW + 900 * DAY)
    assert judge_issuer(identity_of(ca, back, two), P256, now=NOW) == ()


@pytest.mark.parametrize("wanted", [Wanted("dsa"), Wanted(encryption="none"), Wanted(validity=timedelta())])
def test_identity_that_cannot_be_is_refused(wanted: Wanted) -> None:
    """The config says so earlier; a library's user hears it here."""
    with pytest.raises(IssueError, match="no identity can be"):
        issuer(wanted=wanted)


def test_damaged_key_of_the_ca_makes_no_certificate() -> None:
    """The key says it is the certificate's, and its signatures are not."""
    root = root_ca(key=rsa.generate_private_key(65537, 2048))
    assert isinstance(root.key, rsa.RSAPrivateKey)
    numbers = root.key.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d + 2, numbers.dmp1 + 2, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    one = Issuer(Identity(root.ours, wrong), P256, now=NOW)
    for _ in range(2):
        with pytest.raises(SigningError, match="the CA's key is damaged"):
            one.issue(DEVICE)


def test_ca_restricted_to_pss_is_refused(tmp_path: Path, openssl: OpenSSL) -> None:
    """A PKCS#1 v1.5 signature with such a key verifies nowhere."""
    key, certificate = tmp_path / "ca.key", tmp_path / "ca.pem"
    openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    openssl("req", "-x509", "-key", key, "-subj", "/CN=PSS CA", "-days", "20000", "-out", certificate)
    parsed = Certificate(openssl("x509", "-in", certificate, "-outform", "DER"))
    public = parsed.parsed.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    ca = Identity(parsed, remote_key(public, lambda _: b""))
    with pytest.raises(IssueError, match="RSA-PSS"):
        Issuer(ca, P256, now=NOW)


@pytest.mark.parametrize("make", [rsa_key, ec_key])
def test_key_that_is_elsewhere_signs_certificates(make: Callable[[], Any]) -> None:
    """A token or a command sees the bytes to be signed, once for each certificate."""
    root = root_ca(key=make())
    seen = []

    def sign(message: bytes) -> bytes:
        seen.append(message)
        if isinstance(root.key, rsa.RSAPrivateKey):
            return root.key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return root.key.sign(message, ec.ECDSA(hashes.SHA256()))

    one = Issuer(Identity(root.ours, remote_key(root.ours.parsed.public_key(), sign)), P256, now=NOW)  # type: ignore[arg-type]
    made = [one.issue(DEVICE).certificate for _ in range(2)]
    assert all(each.signed_by(root.ours) for each in made)
    assert seen == [each.parsed.tbs_certificate_bytes for each in made]


def test_error_of_a_key_that_is_elsewhere_names_the_cas_settings() -> None:
    """What signs profiles and what signs certificates are set in different tables."""
    root = root_ca(key=ec_key())

    def fail(_: bytes) -> bytes:
        raise SigningError("it failed", where="signing.command", hint="give --signer-command or signing.command")

    one = Issuer(Identity(root.ours, remote_key(root.ours.parsed.public_key(), fail)), P256, now=NOW)  # type: ignore[arg-type]
    with pytest.raises(SigningError) as caught:
        one.issue(DEVICE)
    assert str(caught.value) == "identity.ca_command: it failed (give --ca-command or identity.ca_command)"


# --- requests ----------------------------------------------------------------------------------------------------


REQUEST = """\
[req]
distinguished_name = name
req_extensions = wishes
prompt = no
utf8 = yes
[name]
O = Ünique Devices
CN = their own name
[wishes]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
extendedKeyUsage = serverAuth
subjectAltName = DNS:mac-7.example.com,email:it@example.com
"""


def request_of(
    openssl: OpenSSL, folder: Path, *key: str, form: str = "PEM", config: str = REQUEST, more: tuple[str, ...] = ()
) -> bytes:
    """A request that openssl made with a fresh key."""
    (folder / "request.cnf").write_text(config, encoding="utf-8")
    openssl("genpkey", *(key or ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")), "-out", folder / "key")
    words = ("req", "-new", "-key", folder / "key", "-config", folder / "request.cnf", "-outform", form)
    return openssl(*words, *more)


@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_request_gets_a_certificate_for_its_key_and_nothing_else_that_it_wishes(
    form: str, tmp_path: Path, openssl: OpenSSL
) -> None:
    """Subject and alternative names are taken over; being a CA is not."""
    root = root_ca(key=ec_key())
    made = issuer(root).sign_request(request_of(openssl, tmp_path, form=form), None)
    public = openssl("pkey", "-in", tmp_path / "key", "-pubout", "-outform", "DER")
    assert made.parsed.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public
    assert made.subject == "CN=their own name,O=Ünique Devices"
    assert made.signed_by(root.ours)
    found = extensions(made)
    assert found["subjectAltName"] == (
        False,
        x509.SubjectAlternativeName([x509.DNSName("mac-7.example.com"), x509.RFC822Name("it@example.com")]),
    )
    assert not made.is_ca
    assert found["extendedKeyUsage"] == (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))
    assert found["keyUsage"][1].key_cert_sign is False  # type: ignore[attr-defined]


def test_names_that_are_given_win_over_the_requests(tmp_path: Path, openssl: OpenSSL) -> None:
    """The CA says who somebody is."""
    request = request_of(openssl, tmp_path)
    made = issuer().sign_request(request, DEVICE, SubjectAltName(dns_name="ours.example.com"), serial_number=9)
    assert made.subject == "CN=C02XK1ZGJG5M,O=Example Inc."
    assert extensions(made)["subjectAltName"][1] == x509.SubjectAlternativeName([x509.DNSName("ours.example.com")])
    assert made.parsed.serial_number == 9
    assert "subjectAltName" not in extensions(issuer().sign_request(request, None, SubjectAltName()))


def test_text_around_a_request_is_ignored(tmp_path: Path, openssl: OpenSSL) -> None:
    """As openssl writes it with -text, and as older tools call it."""
    text = request_of(openssl, tmp_path, more=("-text",))
    assert b"Certificate Request:" in text
    assert issuer().sign_request(text, None).name == "their own name"
    old = text.replace(b"BEGIN CERTIFICATE", b"BEGIN NEW CERTIFICATE").replace(b"END CERT", b"END NEW CERT")
    assert issuer().sign_request(old, None).name == "their own name"


@pytest.mark.parametrize(
    "key",
    [
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"),
    ],
)
def test_request_with_a_key_that_devices_use_is_signed(key: tuple[str, ...], tmp_path: Path, openssl: OpenSSL) -> None:
    """RSA from 2048 bits, and the three curves."""
    assert issuer().sign_request(request_of(openssl, tmp_path, *key), None).name == "their own name"


@pytest.mark.parametrize(
    "key",
    [
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-224"),
        ("-algorithm", "ED25519"),
    ],
)
def test_request_with_another_key_is_refused(key: tuple[str, ...], tmp_path: Path, openssl: OpenSSL) -> None:
    """Too short, or of a kind that TLS on devices does not do."""
    with pytest.raises(IssueError, match="a key that devices do not use"):
        issuer().sign_request(request_of(openssl, tmp_path, *key), None)


def test_request_that_its_key_did_not_sign_is_refused(tmp_path: Path, openssl: OpenSSL) -> None:
    """Otherwise anybody could have a certificate for somebody else's key."""
    request = bytearray(request_of(openssl, tmp_path, form="DER"))
    place = bytes(request).index(b"their own name")
    request[place : place + 5] = b"THEIR"
    with pytest.raises(IssueError, match="does not hold the key") as caught:
        issuer().sign_request(bytes(request), None, source="device.csr")
    assert caught.value.where == "device.csr"


def forged(subject: x509.Name | None = None, *names: x509.GeneralName) -> bytes:
    """A request as no careful tool makes it."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("fine") if subject is None else subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(ec_key(), hashes.SHA256()).public_bytes(Encoding.DER)


def long_name() -> x509.Name:
    """A common name that is too long, as whoever writes DER by hand can make it."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 80, _validate=False)])


@pytest.mark.filterwarnings("ignore:Attribute's length")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: forged(x509.Name([])), "is empty"),
        (lambda: forged(long_name()), "longer than 64"),
        (lambda: forged(name("a\x00b")), "control character"),
        (lambda: forged(None, x509.DNSName("a b")), "no DNS name"),
        (lambda: forged(None, x509.DNSName("")), "no DNS name"),
        (lambda: forged(None, x509.UniformResourceIdentifier("nothing")), "no URI"),
        (lambda: forged(None, x509.RFC822Name("nobody")), "no e-mail address"),
    ],
)
def test_name_of_a_request_that_no_certificate_may_hold_is_refused(make: Callable[[], bytes], message: str) -> None:
    """Whoever made it is told where it is wrong; the names can be given instead."""
    with pytest.raises(IssueError, match=message) as caught:
        issuer().sign_request(make(), None, source="device.csr")
    assert caught.value.where == "device.csr"
    assert issuer().sign_request(make(), DEVICE, SubjectAltName()).name == "C02XK1ZGJG5M"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        b"\x30\x82",
        b"-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE REQUEST-----",
        b"0" * 70_000,
    ],
)
def test_bytes_that_are_no_request_are_refused(data: bytes) -> None:
    """Absent, cut short, or absurdly large."""
    with pytest.raises(CertificateError) as caught:
        issuer().sign_request(data, None, source="device.csr")
    assert caught.value.where == "device.csr"
    assert caught.value.hint


def test_certificate_in_the_place_of_a_request_is_refused() -> None:
    """The two are easily mistaken for one another."""
    with pytest.raises(CertificateError, match="not an intact certificate request"):
        issuer().sign_request(root_ca().pem, None)


GOOD = forged(None, x509.DNSName("a.example.com"), x509.UniformResourceIdentifier("urn:x:y"))
READY = issuer()


@given(st.data())
def test_damaged_request_is_a_project_error(data: st.DataObject) -> None:
    """Whatever is cut off or changed in one."""
    request = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        request[data.draw(st.integers(0, len(request) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(request)))
    for each in (bytes(request), bytes(request[:cut])):
        try:
            READY.sign_request(each, DEVICE)
        except MdmprofileError:
            continue


def test_request_of_another_kind_of_key_is_refused() -> None:
    """DSA, which nobody issues for any more."""
    key = dsa.generate_private_key(2048)
    request = x509.CertificateSigningRequestBuilder().subject_name(name("x")).sign(key, hashes.SHA256())
    with pytest.raises(IssueError, match="a key that devices do not use"):
        issuer().sign_request(request.public_bytes(Encoding.PEM), None)


# --- secrets -----------------------------------------------------------------------------------------------------


def test_no_secret_shows_in_any_repr() -> None:
    """Whatever ends up in a log has neither password nor key."""
    root = root_ca(key=ec_key())
    one = issuer(root)
    issued = one.issue(DEVICE, password="hunter2-Zz9")
    key = root.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    for each in (issued, one, identity_of(root), P256):
        shown = repr(each) + str(each)
        assert "hunter2" not in shown
        assert key.hex() not in shown
        assert repr(issued.data) not in shown


def test_every_kind_of_key_is_named_by_its_kind() -> None:
    """The names are those of the config and the command line."""
    assert set(KEYS) == set(SIZES)
