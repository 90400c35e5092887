"""Who signed a profile: every form of signature that is intact, and every change that is noticed."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from conftest import Command
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.verify import is_signed, verify
from mdmprofile.errors import SignatureFormatError
from mdmprofile.moments import stamp
from mdmprofile.reader import open_profile
from pki import DAY, NOW, Entity, Key, ec_key, issue, name, rsa_key

OpenSSL = Callable[..., bytes]

CONTENT = (
    b'<?xml version="1.0" encoding="UTF-8"?>\r\n<plist version="1.0">\r<dict>\n'
    b"<key>PayloadType</key>\t<string>Configuration\xc3\xa9</string> \r\n</dict></plist>\n\n"
)


def signer(key: Key | None = None, subject: x509.Name | str = "Profile Signer") -> Entity:
    """A self-signed signer that has a subjectKeyIdentifier."""
    identifier = x509.SubjectKeyIdentifier(b"twenty bytes of name")
    return issue(subject, key=key or ec_key(), extensions=[identifier])


def signed(entity: Entity, content: bytes = CONTENT) -> bytes:
    """A file that the project itself signed."""
    return sign(content, Identity(entity.ours, entity.key))


def signed_by(openssl: OpenSSL, folder: Path, entity: Entity, *flags: str, tool: str = "cms") -> bytes:
    """What ``openssl cms -sign`` makes of the content; attached."""
    (folder / "signer.pem").write_bytes(entity.pem)
    (folder / "signer.key").write_bytes(entity.key_pem())
    words = (tool, "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", folder / "signer.pem")
    return openssl(*words, "-inkey", folder / "signer.key", *flags, data=CONTENT)


def write(folder: Path, data: bytes) -> Path:
    """A file of these bytes."""
    file = folder / "file.mobileconfig"
    file.write_bytes(data)
    return file


# Forms of signatures that others make


FORMS: dict[str, tuple[Callable[[], Key], tuple[str, ...]]] = {
    "rsa": (rsa_key, ()),
    "p256": (ec_key, ()),
    "p384": (lambda: ec.generate_private_key(ec.SECP384R1()), ("-md", "sha384")),
    "p521": (lambda: ec.generate_private_key(ec.SECP521R1()), ("-md", "sha512")),
    "rsa-sha224": (rsa_key, ("-md", "sha224")),
    "rsa-sha384": (rsa_key, ("-md", "sha384")),
    "rsa-sha512": (rsa_key, ("-md", "sha512")),
    "rsa-pss": (rsa_key, ("-keyopt", "rsa_padding_mode:pss")),
    "rsa-pss-without-salt": (rsa_key, ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:0")),
    "rsa-pss-sha512": (rsa_key, ("-keyopt", "rsa_padding_mode:pss", "-md", "sha512")),
    "key-identifier": (ec_key, ("-keyid",)),
    "without-attributes": (ec_key, ("-noattr",)),
    "rsa-without-attributes": (rsa_key, ("-noattr",)),
    "streamed-ber": (ec_key, ("-stream",)),
    "streamed-ber-without-attributes": (rsa_key, ("-stream", "-noattr")),
    "cades": (ec_key, ("-cades",)),
    "no-smime-capabilities": (ec_key, ("-nosmimecap",)),
    "receipt-request": (ec_key, ("-receipt_request_all", "-receipt_request_to", "admin@example.com")),
    "content-of-another-type": (ec_key, ("-econtent_type", "1.2.3.4")),
}


@pytest.mark.parametrize("form", FORMS)
def test_signature_of_any_usual_form_is_intact(
    form: str, tmp_path: Path, openssl: OpenSSL, mdmprofile: Command
) -> None:
    """What openssl signed is accepted, the signer is found, and the content is exact."""
    make_key, flags = FORMS[form]
    entity = signer(make_key())
    outcome = mdmprofile("verify", write(tmp_path, signed_by(openssl, tmp_path, entity, *flags)), "--format", "json")
    assert outcome.code == 0, outcome.out + outcome.err
    unusual = ["signature.unusual-algorithm"] if "pss" in form else []
    assert outcome.rules == [*unusual, "signature.trust-not-judged"]
    (found,) = outcome.json["signers"]
    assert (found["valid"], found["problem"], found["sha256"]) == (True, "", entity.sha256)
    assert outcome.json["content_sha256"] == hashlib.sha256(CONTENT).hexdigest()


def test_signature_of_the_old_smime_tool_is_intact(tmp_path: Path, openssl: OpenSSL) -> None:
    """PKCS#7 of ``openssl smime`` is the same structure."""
    opened = verify(signed_by(openssl, tmp_path, signer(rsa_key()), tool="smime"))
    assert (opened.findings, opened.content) == ((), CONTENT)


@pytest.mark.parametrize("kind", ["utf8only", "pkix", "MASK:2048"])
def test_signer_is_found_whatever_string_type_its_issuer_name_has(kind: str, tmp_path: Path, openssl: OpenSSL) -> None:
    """The certificate is found by the bytes of its issuer's name, be they UTF-8 or BMP strings."""
    (tmp_path / "openssl.cnf").write_text(
        f"[req]\nstring_mask={kind}\nutf8=yes\nprompt=no\ndistinguished_name=dn\n[dn]\nO=Bürö GmbH\nCN=Prüfer\n",
        encoding="utf-8",
    )
    key, certificate = tmp_path / "signer.key", tmp_path / "signer.pem"
    key.write_bytes(signer().key_pem())
    words = ("req", "-x509", "-new", "-utf8", "-key", key, "-config", tmp_path / "openssl.cnf", "-out", certificate)
    openssl(*words)
    arguments = ("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", certificate, "-inkey", key)
    opened = verify(openssl(*arguments, data=CONTENT))
    assert opened.findings == ()
    (found,) = opened.signers
    assert found.certificate is not None
    assert found.certificate.name == "Prüfer"


def test_signature_of_several_values_in_one_name_is_intact(tmp_path: Path, openssl: OpenSSL) -> None:
    """A relative name of two attributes keeps its encoding."""
    both = [x509.NameAttribute(each.oid, each.value) for each in name("Signer", organization="Example")]
    entity = signer(subject=x509.Name([x509.RelativeDistinguishedName(both)]))
    assert verify(signed_by(openssl, tmp_path, entity)).findings == ()


def test_edwards_signature_is_intact() -> None:
    """Ed25519 of RFC 8419, which openssl 3.0 does not make: signed by hand."""
    opened = verify(edwards_signed())
    assert [(each.valid, each.signature_algorithm) for each in opened.signers] == [(True, "ed25519")]
    assert [(each.rule, each.severity) for each in opened.findings] == [("signature.unusual-algorithm", "info")]


def test_changed_edwards_signature_is_not_valid() -> None:
    """The branch for Ed25519 verifies; it does not merely recognise."""
    data = bytearray(edwards_signed())
    data[-1] ^= 1
    (found,) = verify(bytes(data)).signers
    assert found.problem == "the signature does not match the content and the certificate"


def edwards_signed() -> bytes:
    """A profile signed with Ed25519, without signed attributes; the signature is the last thing in the file."""
    key = ed25519.Ed25519PrivateKey.generate()
    subject = name("Edwards Signer")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(key, None)
    )
    sid = {"issuer": cms.Name.load(subject.public_bytes()), "serial_number": certificate.serial_number}
    info = {
        "version": "v1",
        "sid": cms.SignerIdentifier("issuer_and_serial_number", sid),
        "digest_algorithm": {"algorithm": "sha512"},
        "signature_algorithm": {"algorithm": "ed25519"},
        "signature": key.sign(CONTENT),
    }
    content = {
        "version": "v1",
        "digest_algorithms": [{"algorithm": "sha512"}],
        "encap_content_info": {"content_type": "data", "content": CONTENT},
        "certificates": [cms.CertificateChoices.load(certificate.public_bytes(Encoding.DER))],
        "signer_infos": [info],
    }
    made: bytes = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(content)}).dump()
    return made


# Forms that are refused


@pytest.mark.parametrize("digest", ["sha1", "md5"])
@pytest.mark.parametrize("attributes", [(), ("-noattr",)], ids=["with-attributes", "without-attributes"])
def test_weak_digest_is_an_error_though_the_signature_is_intact(
    digest: str, attributes: tuple[str, ...], tmp_path: Path, openssl: OpenSSL, mdmprofile: Command
) -> None:
    """Whoever can make two contents with one digest can swap them."""
    data = signed_by(openssl, tmp_path, signer(rsa_key()), "-md", digest, *attributes)
    outcome = mdmprofile("verify", write(tmp_path, data), "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.weak-digest", "signature.trust-not-judged"]
    assert outcome.json["signers"][0]["valid"] is True
    assert outcome.json["signers"][0]["digest"] == digest


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        pytest.param(("-nocerts",), "the signer's certificate is not embedded", id="no-certificates"),
        pytest.param(("-md", "sha3-256"), "digest sha3_256 is not supported", id="digest-apple-does-not-know"),
        pytest.param(
            ("-econtent_type", "1.2.3.4", "-noattr"),
            "content of another type than data needs signed attributes",
            id="another-type-without-attributes",
        ),
    ],
)
def test_signature_that_cannot_be_checked_is_not_valid(
    flags: tuple[str, ...], problem: str, tmp_path: Path, openssl: OpenSSL, mdmprofile: Command
) -> None:
    """What nobody can verify is an error that says why."""
    data = signed_by(openssl, tmp_path, signer(rsa_key()), *flags)
    outcome = mdmprofile("verify", write(tmp_path, data), "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.invalid", "signature.trust-not-judged"]
    (found,) = outcome.json["signers"]
    assert found["valid"] is False
    assert problem in found["problem"]


def test_unknown_signer_is_reported_without_invented_facts(
    tmp_path: Path, openssl: OpenSSL, mdmprofile: Command
) -> None:
    """Without the certificate there is no name, fingerprint or end to show."""
    file = write(tmp_path, signed_by(openssl, tmp_path, signer(), "-nocerts"))
    (found,) = mdmprofile("verify", file, "--format", "json").json["signers"]
    assert (found["subject"], found["sha256"], found["not_after"]) == (None, None, None)
    assert "signed by unknown: NOT VALID" in mdmprofile("verify", file).out


def test_signature_with_a_key_of_another_kind_is_not_valid(tmp_path: Path, openssl: OpenSSL) -> None:
    """DSA signs well enough for openssl, but no device verifies it."""
    key, certificate = tmp_path / "dsa.key", tmp_path / "dsa.pem"
    # The parameters of a small key are made in a moment; DSA is refused whatever its size.
    openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:1024", "-out", tmp_path / "p")
    openssl("genpkey", "-paramfile", tmp_path / "p", "-out", key)
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=DSA", "-out", certificate)
    words = ("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", certificate, "-inkey", key)
    (found,) = verify(openssl(*words, data=CONTENT)).signers
    assert not found.valid


def test_two_signers_are_an_error_though_both_are_intact(tmp_path: Path, openssl: OpenSSL, mdmprofile: Command) -> None:
    """A device expects one signer; which of two it would show is its own affair."""
    entities = [signer(subject="First"), signer(subject="Second")]
    (tmp_path / "second.pem").write_bytes(entities[1].pem)
    (tmp_path / "second.key").write_bytes(entities[1].key_pem())
    more = ("-signer", str(tmp_path / "second.pem"), "-inkey", str(tmp_path / "second.key"))
    file = write(tmp_path, signed_by(openssl, tmp_path, entities[0], *more))
    outcome = mdmprofile("verify", file, "--format", "json")
    assert outcome.code == 2
    assert [each["valid"] for each in outcome.json["signers"]] == [True, True]
    assert {each["subject"] for each in outcome.json["signers"]} == {"CN=First", "CN=Second"}
    assert "2 signers" in outcome.json["findings"][0]["message"]


def test_content_without_any_signer_is_an_error(tmp_path: Path, mdmprofile: Command) -> None:
    """SignedData that nobody signed must not pass for signed."""

    def nobody(parts: Any) -> None:
        parts["signer_infos"] = []

    outcome = mdmprofile("verify", write(tmp_path, changed(signed(signer()), nobody)), "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.invalid", "signature.trust-not-judged"]
    assert outcome.json["signers"] == []


def test_detached_signature_is_refused(tmp_path: Path, openssl: OpenSSL, mdmprofile: Command) -> None:
    """There is no profile in it to verify."""
    entity = signer()
    data = signed_by(openssl, tmp_path, entity)

    def detach(parts: Any) -> None:
        parts["encap_content_info"] = {"content_type": "data"}

    outcome = mdmprofile("verify", write(tmp_path, changed(data, detach)))
    assert outcome.code == 3
    assert "detached signature" in outcome.err


def test_unreadable_certificate_of_the_signer_makes_the_signature_not_valid() -> None:
    """A certificate of a version that does not exist is none, never a crash."""
    entity = signer()
    strange = entity.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x1b", 1)
    (found,) = verify(signed(entity).replace(entity.der, strange)).signers
    assert (found.certificate, found.valid) == (None, False)
    assert found.problem == "the signer's certificate is not embedded"


def test_repeated_extension_in_the_signers_certificate_makes_the_signature_not_valid() -> None:
    """A certificate that has an extension twice is none, never a crash."""
    more = [x509.ExtendedKeyUsage([x509.ObjectIdentifier(f"1.2.3.{number}")]) for number in (4, 5)]
    entity = issue(
        "Signer", key=ec_key(), extensions=[more[0], x509.UnrecognizedExtension(TWIN, more[1].public_bytes())]
    )
    strange = entity.der.replace(der_oid(TWIN), der_oid(x509.ExtendedKeyUsage.oid), 1)
    assert strange != entity.der
    (found,) = verify(signed(entity).replace(entity.der, strange)).signers
    assert (found.certificate, found.valid) == (None, False)


TWIN = x509.ObjectIdentifier("2.5.29.99")


def der_oid(oid: x509.ObjectIdentifier) -> bytes:
    """An object identifier below 2.5.29 in DER."""
    return bytes((6, 3, 0x55, 0x1D, int(oid.dotted_string.rpartition(".")[2])))


# Changes after signing


def changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The file with one change to its SignedData, encoded again."""
    info = cms.ContentInfo.load(data)
    change(info["content"])
    made: bytes = info.dump(force=True)
    return made


def attributes_of(parts: Any) -> dict[str, Any]:
    """The signed attributes by name."""
    return {each["type"].native: each for each in parts["signer_infos"][0]["signed_attrs"]}


OTHER = CONTENT.replace(b"Configuration", b"configuration")


def _content(parts: Any) -> None:
    parts["encap_content_info"]["content"] = OTHER


def _digest(parts: Any) -> None:
    attributes_of(parts)["message_digest"]["values"] = [hashlib.sha256(OTHER).digest()]


def _content_and_digest(parts: Any) -> None:
    _content(parts)
    _digest(parts)


def _content_type(parts: Any) -> None:
    attributes_of(parts)["content_type"]["values"] = ["signed_data"]


def _without(attribute: str) -> Callable[[Any], None]:
    def change(parts: Any) -> None:
        info = parts["signer_infos"][0]
        info["signed_attrs"] = [each for kind, each in attributes_of(parts).items() if kind != attribute]

    return change


def _without_attributes(parts: Any) -> None:
    info = parts["signer_infos"][0]
    fields = ("version", "sid", "digest_algorithm", "signature_algorithm", "signature")
    parts["signer_infos"] = [{each: info[each] for each in fields}]


def _signing_time(parts: Any) -> None:
    attributes_of(parts)["signing_time"]["values"] = [cms.Time("utc_time", NOW)]


def _signature(position: int) -> Callable[[Any], None]:
    def change(parts: Any) -> None:
        info = parts["signer_infos"][0]
        value = bytearray(info["signature"].native)
        value[position] ^= 1
        info["signature"] = bytes(value)

    return change


def _empty_signature(parts: Any) -> None:
    parts["signer_infos"][0]["signature"] = b""


def _longer_signature(parts: Any) -> None:
    info = parts["signer_infos"][0]
    info["signature"] = info["signature"].native + b"\0"


def _digest_algorithm(parts: Any) -> None:
    parts["signer_infos"][0]["digest_algorithm"] = {"algorithm": "sha512"}


def _serial(parts: Any) -> None:
    parts["signer_infos"][0]["sid"].chosen["serial_number"] = 4711


CONTENT_CHANGED = "the content was changed after it was signed"
NO_MATCH = "the signature does not match the content and the certificate"
CHANGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "content": (_content, CONTENT_CHANGED),
    "digest-attribute": (_digest, CONTENT_CHANGED),
    "content-and-its-digest-attribute": (_content_and_digest, NO_MATCH),
    "content-type-attribute": (_content_type, "the signed content type is not the content's"),
    "no-digest-attribute": (_without("message_digest"), "its signed attributes lack the digest of the content"),
    "no-content-type-attribute": (_without("content_type"), "the signed content type is not the content's"),
    "no-attributes": (_without_attributes, NO_MATCH),
    "no-signing-time": (_without("signing_time"), NO_MATCH),
    "signing-time": (_signing_time, NO_MATCH),
    "first-byte-of-signature": (_signature(0), NO_MATCH),
    "middle-of-signature": (_signature(30), NO_MATCH),
    "last-byte-of-signature": (_signature(-1), NO_MATCH),
    "empty-signature": (_empty_signature, NO_MATCH),
    "longer-signature": (_longer_signature, NO_MATCH),
    "serial-number": (_serial, "the signer's certificate is not embedded"),
}


@pytest.mark.parametrize("make_key", [ec_key, rsa_key], ids=["ec", "rsa"])
def test_encoding_again_without_a_change_keeps_the_signature_intact(make_key: Callable[[], Key]) -> None:
    """What the tests of changes below notice is the change, not the encoding."""
    data = signed(signer(make_key()))
    again = changed(data, lambda _: None)
    assert (again, verify(again).findings) == (data, ())


@pytest.mark.parametrize("make_key", [ec_key, rsa_key], ids=["ec", "rsa"])
@pytest.mark.parametrize("place", CHANGES)
def test_change_after_signing_is_noticed(
    place: str, make_key: Callable[[], Key], tmp_path: Path, openssl: OpenSSL, mdmprofile: Command
) -> None:
    """Whatever is changed, the exit code is 2 and the reason is named; openssl refuses the same file."""
    change, problem = CHANGES[place]
    file = write(tmp_path, changed(signed(signer(make_key())), change))
    outcome = mdmprofile("verify", file, "--format", "json")
    assert outcome.code == 2
    assert outcome.rules[0] == "signature.invalid"
    (found,) = outcome.json["signers"]
    assert found["valid"] is False
    assert found["problem"] == problem
    assert found["problem"] in outcome.json["findings"][0]["message"]
    openssl("cms", "-verify", "-binary", "-noverify", "-inform", "DER", "-in", file, fails=True)


@pytest.mark.parametrize(
    ("make_key", "problem"),
    [
        pytest.param(ec_key, "digest sha512 is not supported or contradicts the signature algorithm", id="ec"),
        pytest.param(rsa_key, CONTENT_CHANGED, id="rsa"),
    ],
)
def test_change_of_the_digest_algorithm_is_noticed(make_key: Callable[[], Key], problem: str) -> None:
    """An EC signature names its digest too, and plain RSA falls over the digest attribute."""
    (found,) = verify(changed(signed(signer(make_key())), _digest_algorithm)).signers
    assert (found.valid, found.problem) == (False, problem)


@pytest.mark.parametrize("position", [0, len(CONTENT) // 2, len(CONTENT) - 1])
def test_change_of_one_byte_of_content_without_attributes_is_noticed(
    position: int, tmp_path: Path, openssl: OpenSSL
) -> None:
    """Without attributes the signature itself must cover the content."""

    def one_byte(parts: Any) -> None:
        content = bytearray(CONTENT)
        content[position] ^= 1
        parts["encap_content_info"]["content"] = bytes(content)

    opened = verify(changed(signed_by(openssl, tmp_path, signer(), "-noattr"), one_byte))
    assert [each.problem for each in opened.signers] == [NO_MATCH]


def test_change_that_breaks_the_property_list_is_still_told_as_a_change(tmp_path: Path, mdmprofile: Command) -> None:
    """Whoever damages the profile damages the signature; that is the news, not the XML error."""

    def cut(parts: Any) -> None:
        parts["encap_content_info"]["content"] = CONTENT[:-20]

    outcome = mdmprofile("verify", write(tmp_path, changed(signed(signer()), cut)), "--format", "json")
    assert outcome.code == 2
    assert outcome.rules[0] == "signature.invalid"


def test_signature_made_with_another_key_is_not_valid() -> None:
    """Anyone can embed somebody else's certificate; only its key can sign for it."""
    for key in (ec_key(), rsa_key()):
        entity = signer(key)
        stranger = signer(ec_key() if isinstance(key, ec.EllipticCurvePrivateKey) else other_rsa_key(key))

        def forge(parts: Any, stranger: Entity = stranger) -> None:
            info = parts["signer_infos"][0]
            info["signature"] = raw_signature(stranger.key, info["signed_attrs"].untag().dump())

        (found,) = verify(changed(signed(entity), forge)).signers
        assert (found.certificate, found.problem) == (entity.ours, NO_MATCH)


def other_rsa_key(key: Key) -> rsa.RSAPrivateKey:
    """A key of the pool that is not this one."""
    other = rsa_key()
    assert other.public_key() != key.public_key()
    return other


def raw_signature(key: Key, message: bytes) -> bytes:
    """A signature over the message with SHA-256."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(message, ec.ECDSA(hashes.SHA256()))


def test_certificate_of_the_same_name_and_number_with_another_key_is_not_the_signers() -> None:
    """An embedded look-alike does not make the signature its own."""
    entity = signer()
    other = ec_key()
    twin = (
        x509.CertificateBuilder()
        .subject_name(entity.subject)
        .issuer_name(entity.subject)
        .public_key(other.public_key())
        .serial_number(entity.certificate.serial_number)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .sign(other, hashes.SHA256())
    )

    def swap(parts: Any) -> None:
        parts["certificates"] = [cms.CertificateChoices.load(twin.public_bytes(Encoding.DER))]

    (found,) = verify(changed(signed(entity), swap)).signers
    assert found.certificate == Certificate(twin.public_bytes(Encoding.DER))
    assert found.problem == NO_MATCH


@pytest.mark.parametrize("make_key", [ec_key, rsa_key], ids=["ec", "rsa"])
def test_signed_attributes_are_not_taken_for_signed_content(
    make_key: Callable[[], Key], tmp_path: Path, mdmprofile: Command
) -> None:
    """The signer signed the attributes' bytes, but never as the content of a file: nothing was signed as a profile."""
    data = signed(signer(make_key()))

    def strip(parts: Any) -> None:
        covered = parts["signer_infos"][0]["signed_attrs"].untag().dump()
        _without_attributes(parts)
        parts["encap_content_info"]["content"] = covered

    outcome = mdmprofile("verify", write(tmp_path, changed(data, strip)))
    assert outcome.code in {2, 3}, outcome.out


# What the command says


def test_report_says_who_signed_and_when_the_certificate_ends(tmp_path: Path, mdmprofile: Command) -> None:
    """Everything a script needs to decide is in the JSON."""
    entity = signer(subject=name("Profile Signer", organization="Example Inc."))
    data = signed(entity)
    outcome = mdmprofile("verify", write(tmp_path, data), "--format", "json")
    assert outcome.json["signed"] is True
    (found,) = outcome.json["signers"]
    assert found["subject"] == "CN=Profile Signer,O=Example Inc."
    assert found["not_after"] == stamp(entity.certificate.not_valid_after_utc)
    assert found["digest"] == "sha256"
    moment = attributes_of(cms.ContentInfo.load(data)["content"])["signing_time"]["values"][0].native
    assert found["signing_time"] == stamp(moment)


def test_text_says_that_an_intact_signature_is_intact(tmp_path: Path, mdmprofile: Command) -> None:
    """One line a signer; the exit code is 0 though trust was not judged."""
    outcome = mdmprofile("verify", write(tmp_path, signed(signer())))
    assert outcome.code == 0
    assert outcome.out.startswith("signed by CN=Profile Signer: intact; sha256, signed 2")
    assert "[signature.trust-not-judged]" in outcome.out


def test_text_without_signing_time_names_none(tmp_path: Path, openssl: OpenSSL, mdmprofile: Command) -> None:
    """A signature without attributes does not say when it was made, so neither does the report."""
    outcome = mdmprofile("verify", write(tmp_path, signed_by(openssl, tmp_path, signer(), "-noattr")))
    assert outcome.out.splitlines()[0] == "signed by CN=Profile Signer: intact; sha256"


def test_signer_without_a_subject_is_called_by_its_fingerprint(tmp_path: Path, mdmprofile: Command) -> None:
    """Device certificates may have no subject; a person still needs something to hold on to."""
    entity = issue(x509.Name([]), issuer_name=name("Issuer"), key=ec_key())
    outcome = mdmprofile("verify", write(tmp_path, signed(entity)))
    assert outcome.code == 0
    assert f"signed by sha256 {entity.sha256[:16]}: intact" in outcome.out


def test_hostile_subject_cannot_write_to_the_terminal(tmp_path: Path, mdmprofile: Command) -> None:
    """Control characters of a certificate's name come out as escapes."""
    entity = signer(subject="evil\x1b[2J\nsigned by CN=Apple: intact")
    outcome = mdmprofile("verify", write(tmp_path, signed(entity)))
    assert "\x1b" not in outcome.out
    assert "\nsigned by CN=Apple" not in outcome.out


def test_quiet_run_of_an_intact_signature_says_nothing(tmp_path: Path, mdmprofile: Command) -> None:
    """Cron mails only trouble, and information is none."""
    outcome = mdmprofile("verify", "-q", write(tmp_path, signed(signer())))
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


@pytest.mark.parametrize("fail_on", ["warning", "error"])
def test_profile_that_is_not_signed_is_an_error(fail_on: str, tmp_path: Path, mdmprofile: Command) -> None:
    """Whoever verifies expects a signature; an error is one at any setting."""
    outcome = mdmprofile("verify", write(tmp_path, CONTENT), "--format", "json", "--fail-on", fail_on)
    assert outcome.code == 2
    assert outcome.rules == ["signature.missing"]
    assert (outcome.json["signed"], outcome.json["signers"]) == (False, [])
    assert outcome.json["content_sha256"] == hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"just text", "is not a property list", id="text"),
        pytest.param(b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", "not intact CMS", id="cut-short"),
    ],
)
def test_file_that_is_no_profile_could_not_be_judged(
    data: bytes, message: str, tmp_path: Path, mdmprofile: Command
) -> None:
    """Malformed input is exit code 3, in one line that names the file, and in the JSON."""
    file = write(tmp_path, data)
    outcome = mdmprofile("verify", file, "--format", "json")
    assert outcome.code == 3
    assert message in outcome.json["errors"][0]["message"]
    assert outcome.json["errors"][0]["where"] == str(file)
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("kind", ["missing", "directory"])
def test_file_that_cannot_be_read_could_not_be_judged(kind: str, tmp_path: Path, mdmprofile: Command) -> None:
    """An absent file and a directory are told apart."""
    outcome = mdmprofile("verify", tmp_path if kind == "directory" else tmp_path / "absent")
    assert outcome.code == 3
    assert ("is a directory" if kind == "directory" else "no such file") in outcome.err


def test_standard_input_is_verified_and_named_so(tmp_path: Path) -> None:
    """A dash reads from a pipe; the report calls it by its name."""
    done = subprocess.run(
        [sys.executable, "-m", "mdmprofile", "verify", "-", "--format", "json"],
        input=signed(signer()),
        capture_output=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["signers"][0]["valid"] is True
    assert report["findings"][0]["where"] == "standard input"


def test_unsigned_standard_input_is_named_so(monkeypatch: pytest.MonkeyPatch, mdmprofile: Command) -> None:
    """The finding points at the pipe, not at a file called dash."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CONTENT)))
    outcome = mdmprofile("verify", "-", "--format", "json")
    assert outcome.code == 2
    assert outcome.json["findings"][0]["where"] == "standard input"


# The library


def test_detached_signature_raises_for_the_library(tmp_path: Path, openssl: OpenSSL) -> None:
    """A certificate bundle is SignedData without content, so there is nothing to open."""
    (tmp_path / "a.pem").write_bytes(signer().pem)
    bundle = openssl("crl2pkcs7", "-nocrl", "-certfile", tmp_path / "a.pem", "-outform", "DER")
    with pytest.raises(SignatureFormatError, match="holds no content"):
        verify(bundle, source="a.p7b")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(CONTENT, False, id="property-list"),
        pytest.param(b"", False, id="empty"),
        pytest.param(b"0" + b" " * 40, False, id="begins-with-the-same-byte"),
        pytest.param(b"\x31\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", False, id="not-a-sequence"),
        pytest.param(b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03", False, id="enveloped"),
        pytest.param(b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", True, id="ber"),
    ],
)
def test_signed_data_is_told_by_its_first_bytes(data: bytes, expected: bool) -> None:
    """The format is told by the bytes, never by a name."""
    assert is_signed(data) is expected


def test_broken_signature_still_opens_with_its_finding() -> None:
    """Reading goes on; what is wrong is a finding of the opened profile."""
    opened = open_profile(changed(signed(signer()), _content))
    assert opened.content == OTHER
    assert [each.rule for each in opened.findings] == ["signature.invalid"]
