"""Signatures that are well-formed and still no use: made twice, of an unknown kind, or without what they need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms, core
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from conftest import Command
from mdmprofile.certificates import Identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.verify import verify
from mdmprofile.errors import SignatureFormatError
from pki import Entity, issue, root_ca, rsa_key
from replacing import file_of, usual

SIGNER = issue("Profile Signer", key=rsa_key())
# The object identifier of ML-DSA-65, which no device verifies in a profile.
ML_DSA = "2.16.840.1.101.3.4.3.18"


def twice(inner: bytes) -> bytes:
    """A signed file, signed once more."""
    return sign(inner, Identity(SIGNER.ours, SIGNER.key))


def changed(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The file with its SignerInfo changed, encoded again."""
    info = cms.ContentInfo.load(data)
    change(info["content"]["signer_infos"][0])
    made: bytes = info.dump(force=True)
    return made


def signed_over(data: bytes, *dropped: str, doubled: str = "") -> bytes:
    """The file with other signed attributes, whose signature is right."""
    assert isinstance(SIGNER.key, rsa.RSAPrivateKey)
    key = SIGNER.key

    def change(signer: Any) -> None:
        kept = [each for each in signer["signed_attrs"] if each["type"].native not in dropped]
        kept += [each for each in kept if each["type"].native == doubled]
        attributes = cms.CMSAttributes(kept)
        signer["signed_attrs"] = attributes
        signer["signature"] = key.sign(attributes.dump(), padding.PKCS1v15(), hashes.SHA256())

    return changed(data, change)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify",),
        ("show",),
        ("lint",),
        ("unsign", "-o", "out"),
        ("encrypt", "-o", "out", "--recipient", "device.pem"),
    ],
    ids=lambda each: each[0],
)
def test_profile_that_was_signed_twice_is_refused_in_words(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mdmprofile: Command
) -> None:
    """An intact signature around another signature is no profile, and how to take it off is said."""
    monkeypatch.chdir(tmp_path)
    Path("device.pem").write_bytes(issue("Device", key=rsa_key()).pem)
    Path("in").write_bytes(twice(file_of(usual(), SIGNER)))
    name, *flags = arguments
    outcome = mdmprofile(name, "in", *flags)
    assert outcome.code == 3
    assert "was signed twice" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("out").exists()


def test_broken_signature_is_worse_than_a_second_one(tmp_path: Path, mdmprofile: Command) -> None:
    """Tampering is told first: what is inside such a file is nobody's word."""
    inner = file_of(usual(), SIGNER)
    data = twice(inner).replace(inner, inner[:-1] + bytes((inner[-1] ^ 1,)))
    (tmp_path / "in").write_bytes(data)
    outcome = mdmprofile("verify", tmp_path / "in", "--format", "json")
    assert outcome.code == 2
    assert "signature.invalid" in outcome.rules


def test_signature_algorithm_nobody_knows_is_named(tmp_path: Path, mdmprofile: Command) -> None:
    """The file is intact, so "get it again" would be no advice; the algorithm is what has to change."""

    def change(signer: Any) -> None:
        signer["signature_algorithm"] = {"algorithm": ML_DSA}

    (tmp_path / "in").write_bytes(changed(file_of(usual(), SIGNER), change))
    outcome = mdmprofile("verify", tmp_path / "in", "--format", "json")
    assert outcome.code == 2
    assert outcome.json["signers"][0]["signature_algorithm"] == ML_DSA
    assert f"signatures with {ML_DSA} are not verified" in outcome.json["signers"][0]["problem"]


def test_attribute_given_twice_is_named() -> None:
    """Which of the two counts would be the attacker's choice, so neither does (RFC 5652 section 11)."""
    data = signed_over(file_of(usual(), SIGNER), doubled="message_digest")
    with pytest.raises(SignatureFormatError, match="attribute messageDigest is given twice"):
        verify(data)


def test_attribute_with_two_values_is_named() -> None:
    """The digest of the content has one value."""

    def change(signer: Any) -> None:
        for each in signer["signed_attrs"]:
            if each["type"].native == "message_digest":
                each["values"] = [core.OctetString(b"a"), core.OctetString(b"b")]

    with pytest.raises(SignatureFormatError, match="messageDigest has not one value, but 2"):
        verify(changed(file_of(usual(), SIGNER), change))


def test_missing_digest_is_not_called_a_change() -> None:
    """Nobody changed the content of a file whose signer left the digest out."""
    (found,) = verify(signed_over(file_of(usual(), SIGNER), "message_digest")).signers
    assert found.problem == "its signed attributes lack the digest of the content"


def test_anchor_that_may_not_sign_is_named_as_the_reason(tmp_path: Path, mdmprofile: Command) -> None:
    """A CA certificate without keyCertSign trusts nobody, which is not the verifier's affair to say in its words."""
    anchor: Entity = issue("Not for signing", ca=True, key_cert_sign=False)
    (tmp_path / "ca.pem").write_bytes(anchor.pem)
    (tmp_path / "in").write_bytes(file_of(usual(root_ca()), issue("Below", anchor, key=rsa_key())))
    outcome = mdmprofile("verify", tmp_path / "in", "--trust", tmp_path / "ca.pem", "--at", "2031-03-01")
    assert outcome.code == 2
    assert "keyUsage" in outcome.out
    assert "store" not in outcome.out
