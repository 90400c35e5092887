"""Reading CMS: every shape that other tools write, and no bytes that bring the reader down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms, core, parser
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from mdmprofile.certificates import Identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.structure import MAX_CERTIFICATES, MAX_SIGNERS, parse_signed_data
from mdmprofile.errors import SignatureFormatError
from pki import Entity, Key, ec_key, issue, rsa_key

OpenSSL = Callable[..., bytes]

CONTENT = b'<?xml version="1.0"?>\r\n<plist version="1.0"><dict/></plist>\n'
KEY_IDENTIFIER = b"twenty bytes of name"

# Where things are in a signed file, counted from the outside: the SignerInfo and its attributes.
SIGNER_INFO = (0, 1, 0, 4, 0)
SIGNED_ATTRIBUTES = (*SIGNER_INFO, 3)
CERTIFICATES = (0, 1, 0, 3)


def signer(key: Key | None = None) -> Entity:
    """A self-signed signer that has a subjectKeyIdentifier."""
    return issue("Signer", key=key or ec_key(), extensions=[x509.SubjectKeyIdentifier(KEY_IDENTIFIER)])


def signed_by(openssl: OpenSSL, folder: Path, entity: Entity, *flags: str, content: bytes = CONTENT) -> bytes:
    """What ``openssl cms -sign`` makes of the content; attached unless the flags say otherwise."""
    (folder / "signer.pem").write_bytes(entity.pem)
    (folder / "signer.key").write_bytes(entity.key_pem())
    words = ("cms", "-sign", "-binary", "-outform", "DER", "-signer", folder / "signer.pem")
    return openssl(*words, "-inkey", folder / "signer.key", *flags, data=content)


def elements(data: bytes) -> Iterator[tuple[bytes, bytes, bool, bytes]]:
    """First octet, contents, whether they are elements again, and all bytes, of each element in a row."""
    while data:
        _, constructed, _, header, contents, trailer = parser.parse(data)
        whole = data[: len(header) + len(contents) + len(trailer)]
        yield header[:1], contents, bool(constructed), whole
        data = data[len(whole) :]


def to_ber(data: bytes, chosen: Callable[[tuple[int, ...]], bool], path: tuple[int, ...] = ()) -> bytes:
    """DER with indefinite lengths for the chosen constructed elements; certificates stay DER, as in real files."""
    result = b""
    for number, (first, contents, constructed, whole) in enumerate(elements(data)):
        place = (*path, number)
        if not constructed or place == CERTIFICATES:
            result += whole
            continue
        inner = to_ber(contents, chosen, place)
        tag = first[0] & 0x1F
        result += first + b"\x80" + inner + b"\0\0" if chosen(place) else parser.emit(first[0] >> 6, 1, tag, inner)
    return result


def attribute(kind: str, *values: Any) -> cms.CMSAttribute:
    """A signed attribute with these values."""
    return cms.CMSAttribute({"type": kind, "values": list(values)})


def signer_info(attributes: list[cms.CMSAttribute] | None = None, algorithm: str = "rsassa_pkcs1v15") -> dict[str, Any]:
    """The parts of a SignerInfo whose signature nobody checks here."""
    info = {
        "version": "v3",
        "sid": cms.SignerIdentifier("subject_key_identifier", KEY_IDENTIFIER),
        "digest_algorithm": {"algorithm": "sha256"},
        "signature_algorithm": {"algorithm": algorithm},
        "signature": b"signature",
    }
    return info if attributes is None else info | {"signed_attrs": attributes}


def signed_data(*infos: dict[str, Any], certificates: list[Any] | None = None) -> bytes:
    """SignedData of these parts in DER."""
    content: dict[str, Any] = {
        "version": "v3",
        "digest_algorithms": [{"algorithm": "sha256"}],
        "encap_content_info": {"content_type": "data", "content": CONTENT},
        "signer_infos": list(infos),
    }
    if certificates is not None:
        content["certificates"] = certificates
    made: bytes = cms.ContentInfo({"content_type": "signed_data", "content": cms.SignedData(content)}).dump()
    return made


def test_signer_is_named_by_issuer_and_serial_number(tmp_path: Path, openssl: OpenSSL) -> None:
    """The common form: everything the structure states comes out as it is in the certificate."""
    entity = signer()
    parsed = parse_signed_data(signed_by(openssl, tmp_path, entity, "-nodetach"))
    (info,) = parsed.signers
    assert (parsed.content, parsed.content_type, parsed.certificates) == (CONTENT, "data", (entity.der,))
    assert (info.issuer, info.serial) == (entity.subject.public_bytes(), entity.certificate.serial_number)
    assert info.key_identifier is None
    assert (info.digest, info.signature_algorithm, info.signature_digest) == ("sha256", "ecdsa", "sha256")
    assert info.attribute_content_type == "data"


def test_signer_is_named_by_key_identifier(tmp_path: Path, openssl: OpenSSL) -> None:
    """The other form has no issuer at all."""
    (info,) = parse_signed_data(signed_by(openssl, tmp_path, signer(), "-nodetach", "-keyid")).signers
    assert (info.issuer, info.serial, info.key_identifier) == (None, 0, KEY_IDENTIFIER)


def test_plain_rsa_names_no_digest_of_its_own(tmp_path: Path, openssl: OpenSSL) -> None:
    """The rsaEncryption algorithm leaves the digest to the digest algorithm."""
    (info,) = parse_signed_data(signed_by(openssl, tmp_path, signer(rsa_key()), "-nodetach", "-md", "sha384")).signers
    assert (info.digest, info.signature_algorithm, info.signature_digest) == ("sha384", "rsassa_pkcs1v15", None)


def test_pss_parameters_are_read(tmp_path: Path, openssl: OpenSSL) -> None:
    """A PSS signature can only be checked with the salt length that it states."""
    flags = ("-keyopt", "rsa_padding_mode:pss", "-keyopt", "rsa_pss_saltlen:20")
    (info,) = parse_signed_data(signed_by(openssl, tmp_path, signer(rsa_key()), "-nodetach", *flags)).signers
    assert (info.signature_algorithm, info.signature_digest, info.pss_salt_length) == ("rsassa_pss", "sha256", 20)


def test_signature_without_attributes_has_no_signed_bytes_of_its_own(tmp_path: Path, openssl: OpenSSL) -> None:
    """Without attributes the signature covers the content itself."""
    (info,) = parse_signed_data(signed_by(openssl, tmp_path, signer(), "-nodetach", "-noattr")).signers
    assert (info.signed_bytes, info.message_digest, info.signing_time) == (None, None, None)


@pytest.mark.parametrize(
    ("flags", "content", "expected"),
    [
        pytest.param(("-nodetach",), CONTENT, CONTENT, id="attached"),
        pytest.param(("-nodetach", "-stream"), CONTENT * 500, CONTENT * 500, id="streamed-in-chunks"),
        pytest.param(("-nodetach",), b"", b"", id="empty"),
        pytest.param((), CONTENT, None, id="detached"),
    ],
)
def test_content_is_what_was_signed(
    flags: tuple[str, ...], content: bytes, expected: bytes | None, tmp_path: Path, openssl: OpenSSL
) -> None:
    """Chunks are joined, and an empty content is not a missing one."""
    assert parse_signed_data(signed_by(openssl, tmp_path, signer(), *flags, content=content)).content == expected


@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(lambda place: place in {(0,), (0, 1), (0, 1, 0)}, id="three-outer-layers-as-devices-write"),
        pytest.param(lambda place: place == SIGNED_ATTRIBUTES, id="signed-attributes"),
        pytest.param(lambda place: place[:6] == SIGNED_ATTRIBUTES, id="signed-attributes-and-all-inside"),
        pytest.param(lambda place: place[:5] != SIGNER_INFO, id="all-but-signer-info"),
    ],
)
def test_indefinite_lengths_read_like_der(chosen: Callable[[tuple[int, ...]], bool]) -> None:
    """BER of the same structure gives the same values, the DER bytes that the signature covers included."""
    entity = signer()
    der = sign(CONTENT, Identity(entity.ours, entity.key))
    ber = to_ber(der, chosen)
    assert b"\x80" in ber
    assert ber != der
    assert parse_signed_data(ber) == parse_signed_data(der)


def test_certificate_bundle_has_certificates_but_neither_content_nor_signer(tmp_path: Path, openssl: OpenSSL) -> None:
    """A .p7b file is SignedData too."""
    entities = [signer(), signer()]
    (tmp_path / "all.pem").write_bytes(b"".join(each.pem for each in entities))
    bundle = openssl("crl2pkcs7", "-nocrl", "-certfile", tmp_path / "all.pem", "-outform", "DER")
    parsed = parse_signed_data(bundle)
    assert (parsed.content, parsed.signers) == (None, ())
    assert set(parsed.certificates) == {each.der for each in entities}


def test_what_is_embedded_beside_certificates_is_left_out() -> None:
    """The set may hold other formats; only X.509 certificates are of use."""
    other = cms.OtherCertificateFormat({"other_cert_format": "1.2.3.4", "other_cert": core.Integer(1)})
    parsed = parse_signed_data(signed_data(signer_info(), certificates=[cms.CertificateChoices("other", other)]))
    assert parsed.certificates == ()


def test_edwards_signature_names_no_digest() -> None:
    """Ed25519 hashes inside the algorithm."""
    (info,) = parse_signed_data(signed_data(signer_info(algorithm="ed25519"))).signers
    assert (info.signature_algorithm, info.signature_digest) == ("ed25519", None)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(cms.Time("utc_time", datetime(2031, 3, 1, 12, tzinfo=UTC)), id="utc-time"),
        pytest.param(cms.Time("generalized_time", datetime(2031, 3, 1, 12, tzinfo=UTC)), id="generalized-time"),
    ],
)
def test_signing_time_is_aware_utc(value: cms.Time) -> None:
    """Both forms of time become the same moment."""
    (info,) = parse_signed_data(signed_data(signer_info([attribute("signing_time", value)]))).signers
    assert info.signing_time == datetime(2031, 3, 1, 12, tzinfo=UTC)


def test_attribute_without_a_value_is_no_obstacle() -> None:
    """Attributes that nobody asks for may look as they like."""
    attributes = [attribute("1.2.3.4"), attribute("message_digest", b"digest")]
    (info,) = parse_signed_data(signed_data(signer_info(attributes))).signers
    assert info.message_digest == b"digest"


def test_attribute_of_a_form_the_parser_does_not_know_is_no_obstacle(tmp_path: Path, openssl: OpenSSL) -> None:
    """A receipt request says nothing about the signature, so it must not stop the reading."""
    flags = ("-nodetach", "-receipt_request_all", "-receipt_request_to", "admin@example.com")
    (info,) = parse_signed_data(signed_by(openssl, tmp_path, signer(), *flags)).signers
    assert info.attribute_content_type == "data"


@pytest.mark.parametrize(
    "attributes",
    [
        pytest.param(
            [attribute("message_digest", b"one"), attribute("message_digest", b"two")], id="attribute-given-twice"
        ),
        pytest.param([attribute("message_digest", b"one", b"two")], id="attribute-with-two-values"),
        pytest.param([attribute("content_type")], id="attribute-without-value"),
    ],
)
def test_ambiguous_attributes_are_refused(attributes: list[cms.CMSAttribute]) -> None:
    """Which of two digests counts must not be the choice of whoever wrote the file."""
    with pytest.raises(SignatureFormatError, match="not intact"):
        parse_signed_data(signed_data(signer_info(attributes)))


@pytest.mark.parametrize(
    ("infos", "certificates", "fits"),
    [
        pytest.param(MAX_SIGNERS, 1, True, id="most-signers"),
        pytest.param(MAX_SIGNERS + 1, 1, False, id="too-many-signers"),
        pytest.param(1, MAX_CERTIFICATES, True, id="most-certificates"),
        pytest.param(1, MAX_CERTIFICATES + 1, False, id="too-many-certificates"),
    ],
)
def test_numbers_of_signers_and_certificates_are_limited(infos: int, certificates: int, fits: bool) -> None:
    """Every signer costs a verification, so a hostile file may not hold thousands."""
    choice = cms.CertificateChoices("certificate", x509_of(signer()))
    # A set in DER is sorted, not without repeats: the same entry many times is enough.
    data = signed_data(*[signer_info() for _ in range(infos)], certificates=[choice] * certificates)
    if fits:
        parsed = parse_signed_data(data)
        assert (len(parsed.signers), len(parsed.certificates)) == (infos, certificates)
    else:
        with pytest.raises(SignatureFormatError, match="too many signers or certificates"):
            parse_signed_data(data)


def x509_of(entity: Entity) -> Any:
    """The certificate as asn1crypto's value."""
    return cms.CertificateChoices.load(entity.der).chosen


def test_other_kinds_of_cms_are_named(tmp_path: Path, openssl: OpenSSL) -> None:
    """An encrypted file is told from a damaged one."""
    (tmp_path / "recipient.pem").write_bytes(signer(rsa_key()).pem)
    encrypted = openssl("cms", "-encrypt", "-outform", "DER", tmp_path / "recipient.pem", data=CONTENT)
    with pytest.raises(SignatureFormatError, match=r"a\.der: is CMS of type enveloped_data, not signed data"):
        parse_signed_data(encrypted, source="a.der")


def test_every_truncation_is_refused() -> None:
    """A file that was cut short anywhere is no SignedData, and neither is one with something behind it."""
    entity = signer()
    whole = sign(CONTENT, Identity(entity.ours, entity.key))
    for length in range(len(whole)):
        with pytest.raises(SignatureFormatError, match="not intact"):
            parse_signed_data(whole[:length])
    with pytest.raises(SignatureFormatError, match="not intact"):
        parse_signed_data(whole + b"\n")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x30\x80" * 100_000, id="nested-without-end"),
        pytest.param(b"\x30\x84\xff\xff\xff\xff", id="length-beyond-the-file"),
        pytest.param(b"\x3f" + b"\xff" * 1000, id="endless-tag"),
    ],
)
def test_hostile_headers_are_refused(data: bytes) -> None:
    """Neither depth nor announced size makes the reader fail in another way than with its own error."""
    with pytest.raises(SignatureFormatError, match="not intact"):
        parse_signed_data(data)


@settings(database=None, deadline=None, derandomize=True, max_examples=200)
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_are_refused(noise: bytes, behind_a_good_start: bool) -> None:
    """Noise, alone or where SignedData belongs in an intact ContentInfo, gives the one documented error."""
    wrapped = parser.emit(0, 1, 16, bytes.fromhex("06092a864886f70d010702") + parser.emit(2, 1, 0, noise))
    with pytest.raises(SignatureFormatError):
        parse_signed_data(wrapped if behind_a_good_start else noise)
