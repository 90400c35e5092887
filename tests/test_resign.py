"""Signing a signed profile again, taking one out of its signature, and the path that trust is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509

from conftest import Command
from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.trust import trust_path
from mdmprofile.cms.verify import verify
from mdmprofile.public import public_roots
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, root_ca, rsa_key, signed_content

OpenSSL = Callable[..., bytes]

PLAIN = (
    b'<?xml version="1.0"?>\r\n<plist version="1.0"><dict>'
    b"<key>PayloadType</key><string>Configuration</string></dict></plist>\r"
)
UNAUTHENTIC = "NOT AUTHENTIC: this is not what a signer is known to have signed. Do not install it."


def person(name: str, issuer: Entity | None = None) -> Entity:
    """A signer."""
    return issue(name, issuer, key=ec_key())


def signed(entity: Entity, content: bytes = PLAIN) -> bytes:
    """A signed profile."""
    return sign(content, Identity(entity.ours, entity.key))


@pytest.fixture
def flags(tmp_path: Path) -> tuple[str | Path, ...]:
    """The flags of a new, self-signed signer."""
    entity = person("New Signer")
    (tmp_path / "new.pem").write_bytes(entity.pem)
    (tmp_path / "new.key").write_bytes(entity.key_pem())
    return ("--signer", tmp_path / "new.pem", "--signer-key", tmp_path / "new.key")


def tampered(_: OpenSSL, __: Path) -> bytes:
    """Changed content."""
    return signed(person("Old")).replace(b"Configuration", b"configuration")


def weak(openssl: OpenSSL, folder: Path) -> bytes:
    """SHA-1."""
    return by_openssl(openssl, folder, "-md", "sha1")


def without_certificate(openssl: OpenSSL, folder: Path) -> bytes:
    """Nobody knows whose."""
    return by_openssl(openssl, folder, "-nocerts")


def two_signers(openssl: OpenSSL, folder: Path) -> bytes:
    """A device expects one."""
    other = person("Other")
    (folder / "other.pem").write_bytes(other.pem + other.key_pem())
    return by_openssl(openssl, folder, "-signer", str(folder / "other.pem"))


def by_openssl(openssl: OpenSSL, folder: Path, *more: str) -> bytes:
    """What openssl signs."""
    entity = issue("Old", key=rsa_key())
    (folder / "old.pem").write_bytes(entity.pem + entity.key_pem())
    words = ("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", folder / "old.pem")
    return openssl(*words, *more, data=PLAIN)


BROKEN: dict[str, tuple[Callable[[OpenSSL, Path], bytes], str]] = {
    "tampered": (tampered, "signature.invalid"),
    "sha1": (weak, "signature.weak-digest"),
    "no-certificate": (without_certificate, "signature.invalid"),
    "two-signers": (two_signers, "signature.invalid"),
}


# Signing again


@pytest.mark.parametrize("stream", [(), ("-stream",)], ids=["der", "ber"])
def test_old_signature_is_taken_off_before_the_new_one_is_made(
    stream: tuple[str, ...], tmp_path: Path, flags: tuple[str | Path, ...], mdmprofile: Command, openssl: OpenSSL
) -> None:
    """One signature around the very bytes, never one around the other."""
    file, out = tmp_path / "old.mobileconfig", tmp_path / "out"
    file.write_bytes(by_openssl(openssl, tmp_path, *stream))
    outcome = mdmprofile("sign", file, "-o", out, "--resign", *flags)
    assert outcome.code == 0, outcome.err
    assert "took off the signature of Old\n" in outcome.out
    assert signed_content(openssl, out, tmp_path / "new.pem") == PLAIN
    (found,) = verify(out.read_bytes()).signers
    assert found.certificate is not None
    assert found.certificate.name == "New Signer"


def test_signing_again_needs_the_flag(tmp_path: Path, flags: tuple[str | Path, ...], mdmprofile: Command) -> None:
    """Losing a signature is nothing to do by accident."""
    file, out = tmp_path / "old.mobileconfig", tmp_path / "out"
    file.write_bytes(signed(person("Old")))
    outcome = mdmprofile("sign", file, "-o", out, *flags)
    assert outcome.code == 3
    assert "is signed already (add --resign" in outcome.err
    assert not out.exists()


def test_flag_does_no_harm_where_nothing_is_signed(
    tmp_path: Path, flags: tuple[str | Path, ...], mdmprofile: Command
) -> None:
    """A script can sign whatever it is given."""
    (tmp_path / "plain").write_bytes(PLAIN)
    outcome = mdmprofile("sign", tmp_path / "plain", "-o", tmp_path / "out", "--resign", *flags)
    assert outcome.code == 0
    assert "took off" not in outcome.out
    assert verify((tmp_path / "out").read_bytes()).content == PLAIN


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_signature_is_not_made_good_by_signing_again(
    kind: str, tmp_path: Path, flags: tuple[str | Path, ...], mdmprofile: Command, openssl: OpenSSL
) -> None:
    """What somebody changed would become authentic; the reason is told and nothing written."""
    make, rule = BROKEN[kind]
    file, out = tmp_path / "old.mobileconfig", tmp_path / "out"
    file.write_bytes(make(openssl, tmp_path))
    out.write_bytes(b"older")
    outcome = mdmprofile("sign", file, "-o", out, "--resign", *flags, "--format", "json")
    assert (outcome.code, outcome.rules) == (2, [rule])
    outcome = mdmprofile("sign", file, "-o", out, "--resign", *flags)
    assert outcome.code == 2
    assert "Nothing was written: the old signature is not valid" in outcome.out
    assert out.read_bytes() == b"older"


# Taking a profile out


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_taken_out_by_force_is_called_not_authentic(
    kind: str, tmp_path: Path, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """Loudly, with the reason, and the exit code stays 2; without the flag nothing is written."""
    make, rule = BROKEN[kind]
    file, out = tmp_path / "old.mobileconfig", tmp_path / "out"
    file.write_bytes(make(openssl, tmp_path))
    outcome = mdmprofile("unsign", file, "-o", out)
    assert (outcome.code, out.exists()) == (2, False)
    assert "Nothing was written." in outcome.out
    outcome = mdmprofile("unsign", file, "-o", out, "--force")
    assert (outcome.code, out.exists()) == (2, True)
    assert UNAUTHENTIC in outcome.out
    assert f"[{rule}]" in outcome.out
    outcome = mdmprofile("unsign", "-q", file, "-o", out, "--force")
    assert (outcome.code, f"[{rule}]" in outcome.out) == (2, True)
    outcome = mdmprofile("unsign", file, "-o", "-", "--force")
    assert outcome.out.startswith("<?xml")
    assert UNAUTHENTIC in outcome.err


def test_what_was_signed_well_is_not_called_anything(tmp_path: Path, mdmprofile: Command) -> None:
    """The warning would lose its weight."""
    file, out = tmp_path / "old.mobileconfig", tmp_path / "out"
    file.write_bytes(signed(person("Old")))
    outcome = mdmprofile("unsign", file, "-o", out, "--force")
    assert (outcome.code, out.read_bytes()) == (0, PLAIN)
    assert "AUTHENTIC" not in outcome.out + outcome.err


# The path to trust


def names(path: Sequence[Certificate]) -> list[str]:
    """What people call the certificates of a path."""
    return [each.name for each in path]


def test_path_goes_from_the_signer_over_what_is_embedded_to_the_anchor() -> None:
    """Both ends are in it, and only what joins them."""
    root = root_ca()
    upper = intermediate_ca(root, "Upper")
    lower = intermediate_ca(upper, "Lower")
    signer = person("Signer", lower)
    embedded = [each.ours for each in (intermediate_ca(root, "Other"), lower, signer, upper)]
    path, reason = trust_path(signer.ours, embedded, [root_ca("Stranger").ours, root.ours], at=NOW)
    assert (names(path), reason) == (["Signer", "Lower", "Upper", "Test Root"], "")
    path, reason = trust_path(signer.ours, embedded, [upper.ours], at=NOW)
    assert (names(path), reason) == (["Signer", "Lower", "Upper"], "")


def test_signer_that_is_an_anchor_is_a_path_of_one() -> None:
    """Whoever trusts the certificate itself needs nothing above it."""
    root = root_ca()
    path, reason = trust_path(root.ours, (), [root.ours], at=NOW)
    assert (names(path), reason) == (["Test Root"], "")


@pytest.mark.parametrize("days", [400, -2])
def test_no_path_has_a_reason(days: int) -> None:
    """Expired, not valid yet, or no way up."""
    root = root_ca()
    signer = person("Signer", root)
    path, reason = trust_path(signer.ours, (), [root.ours], at=NOW + days * DAY)
    assert (path, reason) == ((), "its certificate is expired or not valid yet")
    path, reason = trust_path(signer.ours, (), [root_ca("Stranger").ours], at=NOW)
    assert (path, reason.startswith("no path to a trusted certificate")) == ((), True)


def test_path_below_a_version_1_root_ends_at_the_root(tmp_path: Path, openssl: OpenSSL) -> None:
    """The old roots of private CAs are version 1, which the verifier itself does not read."""
    key, request = tmp_path / "root.key", tmp_path / "root.csr"
    key.write_bytes(issue("x", key=ec_key()).key_pem())
    openssl("req", "-new", "-key", key, "-subj", "/CN=Old Root", "-out", request)
    words = ("x509", "-req", "-in", request, "-signkey", key, "-days", "9000", "-outform", "DER")
    old = x509.load_der_x509_certificate(openssl(*words))
    assert old.version is x509.Version.v1
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - here alone

    root = Entity(old, load_pem_private_key(key.read_bytes(), None))  # type: ignore[arg-type]
    below = intermediate_ca(root)
    signer = person("Signer", below)
    path, reason = trust_path(signer.ours, [below.ours], [root.ours], at=NOW)
    assert (names(path), reason) == (["Signer", "Test Intermediate", "Old Root"], "")


def test_system_stands_for_the_public_roots(tmp_path: Path, mdmprofile: Command) -> None:
    """A private signer is not below one of them; a public root as signer would be its own path."""
    file = tmp_path / "signed"
    file.write_bytes(signed(person("Private")))
    outcome = mdmprofile("verify", file, "--trust", "system", "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["signature.untrusted"])
    assert outcome.json["signers"][0]["chain"] == []
    lasting = next(each for each in public_roots() if each.not_after > NOW and not each.weak_signature)
    assert trust_path(lasting, (), public_roots(), at=NOW)[1] == ""
