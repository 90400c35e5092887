"""Rare inputs that each have a rule of their own in the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from conftest import Command
from mdmprofile.certificates import Identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.structure import parse_signed_data
from mdmprofile.config import load_config
from mdmprofile.config_file import parse_toml
from mdmprofile.errors import ConfigError, SignatureFormatError, SigningError
from mdmprofile.printable import columns, fitted
from pki import Site, ec_key, issue, make_site


def test_damaged_rsa_key_signs_nothing() -> None:
    """A key whose private number is wrong has the right public one, so only a trial signature tells."""
    entity = issue("Signer")
    assert isinstance(entity.key, rsa.RSAPrivateKey)
    numbers = entity.key.private_numbers()
    broken = rsa.RSAPrivateNumbers(
        p=numbers.p,
        q=numbers.q,
        d=numbers.d + 2,
        dmp1=numbers.dmp1 + 2,
        dmq1=numbers.dmq1 + 2,
        iqmp=numbers.iqmp,
        public_numbers=numbers.public_numbers,
    ).private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(SigningError, match="damaged"):
        sign(b"<plist/>", Identity(entity.ours, broken))


def test_key_restricted_to_pss_is_refused(tmp_path: Path, openssl: object, mdmprofile: Command) -> None:
    """Devices verify PKCS #1 v1.5 signatures, which such a certificate forbids."""
    assert callable(openssl)
    key, certificate = tmp_path / "pss.key", tmp_path / "pss.pem"
    openssl("genpkey", "-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    openssl("req", "-x509", "-new", "-key", key, "-subj", "/CN=Restricted", "-days", "3650", "-out", certificate)
    site = make_site(tmp_path / "site")
    site.edit(lambda text: text.replace('"signer.pem"', f'"{certificate}"').replace('"signer.key"', f'"{key}"'))
    outcome = mdmprofile("build", "-c", site.config, "-o", tmp_path / "out")
    assert outcome.code == 3
    assert "RSA-PSS" in outcome.err
    assert not (tmp_path / "out").exists()


def test_cms_of_another_type_is_named() -> None:
    """An encrypted message is CMS as well, but nobody signed it."""
    data = cms.ContentInfo({"content_type": "data", "content": b"text"}).dump()
    with pytest.raises(SignatureFormatError, match="of type data, not signed data"):
        parse_signed_data(data)


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param("2480 0401 61 0402 6263 0000", b"abc", id="indefinite"),
        pytest.param("2480 2403 0401 61 0402 6263 0000", b"abc", id="nested, definite"),
        pytest.param("2480 2480 0401 61 0000 0481 02 6263 0000", b"abc", id="nested, indefinite"),
        pytest.param("2403 0c01 61", None, id="of another type"),
    ],
)
def test_content_in_pieces_is_joined(octets: str, expected: bytes | None) -> None:
    """BER lets a writer cut the content into pieces, and the pieces into pieces."""
    raw = bytes.fromhex(octets)
    inner = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" + b"\xa0\x80" + raw + b"\x00\x00"
    signed = b"\x02\x01\x01" + b"\x31\x00" + b"\x30\x80" + inner + b"\x00\x00" + b"\x31\x00"
    content = b"\xa0\x80\x30\x80" + signed + b"\x00\x00\x00\x00"
    data = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02" + content + b"\x00\x00"
    if expected is None:
        with pytest.raises(SignatureFormatError):
            parse_signed_data(data)
    else:
        assert parse_signed_data(data).content == expected


def test_certificates_beyond_the_limit_are_not_even_parsed() -> None:
    """A megabyte of empty elements would become hundreds of megabytes of objects."""
    body = b"\x30\x00" * 300_000
    certificates = b"\xa0\x83" + len(body).to_bytes(3, "big") + body
    signed = b"\x02\x01\x01\x31\x00\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" + certificates + b"\x31\x00"
    wrapped = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80" + signed + b"\x00" * 6
    with pytest.raises(SignatureFormatError, match="too many"):
        parse_signed_data(wrapped)


def test_key_of_many_parts_is_refused_before_the_parser_sees_it() -> None:
    """The parser's time grows with the square of a dotted key's parts."""
    with pytest.raises(ConfigError, match="line 2 has more than 500 dots"):
        parse_toml(b"# fine\n" + b"a." * 20_000 + b"a = 1\n", source="enroll.toml")


def test_client_identifier_does_not_show_in_repr(site: Site) -> None:
    """Whoever knows it can order the device's certificate."""
    identity = """[identity]
type = "acme"
directory_url = "https://acme.example.com/dir"
client_identifier = "only-once-4711"
"""
    site.edit(lambda text: text.partition("[identity]")[0] + identity)
    config = load_config(site.config)
    assert "https://acme.example.com/dir" in repr(config)
    assert "only-once-4711" not in repr(config)


def test_secret_with_an_unknown_variable_is_left_open_where_only_dates_are_judged(
    site: Site, mdmprofile: Command
) -> None:
    """A challenge that comes from the device table is not known when the config is checked."""
    site.edit(lambda text: text.replace('{ file = "challenge.txt" }', '"{{ device.challenge }}"'))
    assert mdmprofile("check", site.config).code == 0
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert outcome.code == 3
    assert "identity.challenge: holds a template that cannot be filled" in outcome.err


def test_trust_certificates_may_come_in_a_pkcs12_with_a_password(site: Site, mdmprofile: Command) -> None:
    """Some tools export a chain in nothing else."""
    encrypted = pkcs12.serialize_key_and_certificates(
        None,
        None,
        None,
        [site.root.certificate, site.intermediate.certificate],
        serialization.BestAvailableEncryption(b"open-4711"),
    )
    (site.folder / "trust.p12").write_bytes(encrypted)
    (site.folder / "password").write_bytes(b"open-4711\n")
    site.edit(lambda text: text.replace('["root.pem", "intermediate.pem"]', '["trust.p12"]'))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert outcome.code == 3
    assert "trust.pkcs12_password" in outcome.err
    site.edit(lambda text: text.replace("[trust]", '[trust]\npkcs12_password = { file = "password" }'))
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
    outcome = mdmprofile("check", site.config, "--format", "json")
    assert {"root", "intermediate"} <= {each["role"] for each in outcome.json["certificates"]}
    assert "open-4711" not in outcome.out + outcome.err


def test_damaged_ec_key_of_another_curve_is_a_mismatch(site: Site, mdmprofile: Command) -> None:
    """The key's kind is part of what is compared."""
    (site.folder / "signer.key").write_bytes(
        ec_key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["signing.key-mismatch"])


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("root", 6, "root  "),
        ("abcdefghij", 8, "abcde..."),
        ("証明書の名前", 9, "証明書..."),
        ("証明書の名前", 8, "証明... "),
        ("e\u0301t\u0301e\u0301", 5, "e\u0301t\u0301e\u0301  "),
    ],
)
def test_text_is_fitted_by_the_columns_it_takes(text: str, width: int, expected: str) -> None:
    """Wide letters take two columns and combining marks none, so that bars begin below each other."""
    assert fitted(text, width) == expected
    assert columns(expected) == width
