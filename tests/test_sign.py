"""Signing a profile and taking it out again: the bytes inside stay what they were, or nothing is written."""

from __future__ import annotations

import json
import plistlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from conftest import Command
from mdmprofile.certificates import Identity
from mdmprofile.cms.keys import complete_chain, judge_signer
from mdmprofile.cms.sign import sign
from mdmprofile.cms.structure import parse_signed_data
from mdmprofile.cms.verify import verify
from mdmprofile.errors import SigningError
from mdmprofile.moments import stamp
from pki import DAY, NOW, Entity, Key, ec_key, intermediate_ca, issue, root_ca, rsa_key, signed_content

OpenSSL = Callable[..., bytes]

PASSWORD = "correct horse"
XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\r\n<plist version="1.0">\r<dict>\n\t<!-- kept -->'
    b"<key>PayloadType</key> <string>Configuration \xc3\xa9\xf0\x9f\x94\x91</string>\r\r\n</dict></plist>  \n\n"
)
CONTENTS = {
    "xml-with-every-line-end": XML,
    "xml-with-line-feeds": XML.replace(b"\r", b""),
    "xml-without-last-line-end": XML.rstrip(),
    "xml-with-byte-order-mark": b"\xef\xbb\xbf" + XML,
    "binary-with-every-byte": plistlib.dumps({"PayloadContent": bytes(range(256))}, fmt=plistlib.FMT_BINARY),
}


def p384_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-384 key."""
    return ec.generate_private_key(ec.SECP384R1())


KEYS: dict[str, Callable[[], Key]] = {"rsa": rsa_key, "p256": ec_key, "p384": p384_key}


@dataclass(frozen=True)
class Desk:
    """A folder with a profile to sign, and a signer below an intermediate below a root."""

    folder: Path
    root: Entity
    intermediate: Entity
    signer: Entity

    @property
    def plain(self) -> Path:
        return self.folder / "plain.mobileconfig"

    @property
    def out(self) -> Path:
        return self.folder / "signed.mobileconfig"

    @property
    def flags(self) -> tuple[str | Path, ...]:
        """The signer as three PEM files."""
        return (*self.signer_and_key, "--signer-chain", self.folder / "chain.pem")

    @property
    def signer_and_key(self) -> tuple[str | Path, ...]:
        return ("--signer", self.folder / "signer.pem", "--signer-key", self.folder / "signer.key")

    def put(self, name: str, data: bytes) -> Path:
        file = self.folder / name
        file.write_bytes(data)
        return file


def make_desk(folder: Path, *, key: Key | None = None, ends: int = 730, content: bytes = XML) -> Desk:
    """Write the files of a desk."""
    root = root_ca()
    intermediate = intermediate_ca(root)
    signer = issue("Profile Signer", intermediate, key=key or ec_key(), end=NOW + ends * DAY)
    desk = Desk(folder, root, intermediate, signer)
    desk.plain.write_bytes(content)
    desk.put("root.pem", root.pem)
    desk.put("signer.pem", signer.pem)
    desk.put("signer.key", signer.key_pem())
    desk.put("chain.pem", intermediate.pem + root.pem)
    return desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk whose signer has a P-256 key."""
    return make_desk(tmp_path)


def embedded(file: Path) -> set[bytes]:
    """The certificates inside a signed file."""
    return set(parse_signed_data(file.read_bytes()).certificates)


# What comes out


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", CONTENTS)
def test_signed_file_verifies_with_openssl_and_holds_the_very_bytes(
    kind: str, key: str, tmp_path: Path, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """Not one line end is changed on the way into the signature and out of it again."""
    desk = make_desk(tmp_path, key=KEYS[key](), content=CONTENTS[kind])
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags, "--format", "json")
    assert (outcome.code, outcome.json["findings"]) == (0, [])
    assert signed_content(openssl, desk.out, desk.folder / "root.pem") == CONTENTS[kind]
    again = desk.folder / "again.mobileconfig"
    assert mdmprofile("unsign", desk.out, "-o", again).code == 0
    assert again.read_bytes() == CONTENTS[kind]


@pytest.mark.parametrize("key", KEYS)
def test_signed_file_is_der_with_sha256(key: str, tmp_path: Path, mdmprofile: Command, openssl: OpenSSL) -> None:
    """Apple's devices want DER; openssl writes the same bytes again when asked for DER."""
    desk = make_desk(tmp_path, key=KEYS[key]())
    assert mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags).code == 0
    data = desk.out.read_bytes()
    assert openssl("cms", "-cmsout", "-inform", "DER", "-outform", "DER", data=data) == data
    (info,) = parse_signed_data(data).signers
    assert info.digest == "sha256"
    assert info.signature_digest in {None, "sha256"}
    assert info.signed_bytes is not None


def test_intermediates_are_embedded_and_the_root_is_not(desk: Desk, mdmprofile: Command) -> None:
    """A device has the root or does not trust it; what lies between it cannot know."""
    assert mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags).code == 0
    assert embedded(desk.out) == {desk.signer.der, desk.intermediate.der}


def test_certificates_that_are_not_the_signers_are_left_out(desk: Desk, mdmprofile: Command) -> None:
    """The chain may come from a file of everything; only the path goes in."""
    strangers = [intermediate_ca(desk.root, "Other Intermediate"), issue("Leaf", desk.intermediate), root_ca("Other")]
    chain = desk.put("chain.pem", b"".join(each.pem for each in (*strangers, desk.root, desk.intermediate)))
    assert mdmprofile("sign", desk.plain, "-o", desk.out, *desk.signer_and_key, "--signer-chain", chain).code == 0
    assert embedded(desk.out) == {desk.signer.der, desk.intermediate.der}


def test_long_chain_from_several_files_is_embedded_whole(desk: Desk, mdmprofile: Command) -> None:
    """Order and files do not matter."""
    lower = intermediate_ca(desk.intermediate, "Lower")
    lowest = intermediate_ca(lower, "Lowest")
    signer = issue("Profile Signer", lowest, key=ec_key())
    desk.put("signer.pem", signer.pem)
    desk.put("signer.key", signer.key_pem())
    first = desk.put("first.pem", desk.root.pem + lowest.pem)
    second = desk.put("second.pem", desk.intermediate.pem + lower.pem)
    chain = ("--signer-chain", first, "--signer-chain", second)
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.signer_and_key, *chain, "--format", "json")
    assert (outcome.code, outcome.json["findings"]) == (0, [])
    assert embedded(desk.out) == {each.der for each in (signer, lowest, lower, desk.intermediate)}


def test_cross_signed_intermediate_is_embedded_on_both_paths(desk: Desk, mdmprofile: Command) -> None:
    """During a change of CA one device knows the old root, another the new."""
    new_root = root_ca("New Root", key=ec_key())
    crossed = issue(desk.intermediate.subject, new_root, ca=True, key=desk.intermediate.key)
    chain = desk.put("both.pem", desk.intermediate.pem + crossed.pem + desk.root.pem + new_root.pem)
    assert mdmprofile("sign", desk.plain, "-o", desk.out, *desk.signer_and_key, "--signer-chain", chain).code == 0
    assert embedded(desk.out) == {desk.signer.der, desk.intermediate.der, crossed.der}


# Where the signer comes from


def _pem(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
    return desk.flags


def _der(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
    key = desk.signer.key.private_bytes(Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = ("--signer", desk.put("s.der", desk.signer.der), "--signer-key", desk.put("s.key.der", key))
    return (*files, "--signer-chain", desk.folder / "chain.pem")


def _encrypted(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
    desk.put("signer.key", desk.signer.key_pem(PASSWORD))
    return (*desk.flags, "--signer-key-password-file", desk.put("pw", f"{PASSWORD}\n".encode()))


def _encrypted_traditional(desk: Desk, openssl: OpenSSL) -> tuple[str | Path, ...]:
    old = desk.put("old.key", desk.signer.key_pem())
    openssl("ec", "-aes128", "-in", old, "-out", desk.folder / "signer.key", "-passout", f"pass:{PASSWORD}")
    assert b"Proc-Type: 4,ENCRYPTED" in (desk.folder / "signer.key").read_bytes()
    return (*desk.flags, "--signer-key-password-file", desk.put("pw", f"{PASSWORD}\r\n".encode()))


def _password_not_needed(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
    return (*desk.flags, "--signer-key-password-file", desk.put("pw", PASSWORD.encode()))


def _one_file(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
    file = desk.put("all.pem", desk.root.pem + desk.intermediate.pem + desk.signer.key_pem() + desk.signer.pem)
    return ("--signer", file, "--signer-key", file)


def _chain_in_signer_file(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
    desk.put("signer.pem", desk.root.pem + desk.intermediate.pem + desk.signer.pem)
    return desk.signer_and_key


def _pkcs12(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
    file = desk.put("s.p12", desk.signer.p12(PASSWORD, [desk.root, desk.intermediate]))
    return ("--signer-pkcs12", file, "--signer-pkcs12-password-file", desk.put("pw", PASSWORD.encode()))


def _pkcs12_and_chain(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
    file = desk.put("s.p12", desk.signer.p12(PASSWORD))
    password = ("--signer-pkcs12-password-file", desk.put("pw", PASSWORD.encode()))
    return ("--signer-pkcs12", file, *password, "--signer-chain", desk.folder / "chain.pem")


def _legacy_pkcs12(desk: Desk, openssl: OpenSSL) -> tuple[str | Path, ...]:
    words = ("pkcs12", "-export", "-in", desk.folder / "signer.pem", "-inkey", desk.folder / "signer.key")
    old = ("-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1")
    file = desk.folder / "old.p12"
    openssl(*words, "-certfile", desk.folder / "chain.pem", *old, "-passout", f"pass:{PASSWORD}", "-out", file)
    return ("--signer-pkcs12", file, "--signer-pkcs12-password-file", desk.put("pw", PASSWORD.encode()))


def _chain(name: str, make: Callable[[Desk], bytes]) -> Callable[[Desk, OpenSSL], tuple[str | Path, ...]]:
    def flags(desk: Desk, _: OpenSSL) -> tuple[str | Path, ...]:
        return (*desk.signer_and_key, "--signer-chain", desk.put(name, make(desk)))

    return flags


def _bundle(desk: Desk) -> list[x509.Certificate]:
    return [desk.root.certificate, desk.intermediate.certificate]


SOURCES: dict[str, Callable[[Desk, OpenSSL], tuple[str | Path, ...]]] = {
    "pem": _pem,
    "der": _der,
    "encrypted-pem": _encrypted,
    "encrypted-traditional-pem": _encrypted_traditional,
    "password-that-is-not-needed": _password_not_needed,
    "certificate-chain-and-key-in-one-file": _one_file,
    "chain-in-the-signers-file": _chain_in_signer_file,
    "pkcs12-with-chain": _pkcs12,
    "pkcs12-and-chain-file": _pkcs12_and_chain,
    "legacy-pkcs12": _legacy_pkcs12,
    "chain-as-pem-with-text": _chain(
        "c.txt", lambda desk: b"subject: root\n" + desk.root.pem + b"subject: next\r\n" + desk.intermediate.pem
    ),
    "chain-as-p7b": _chain("c.p7b", lambda desk: pkcs7.serialize_certificates(_bundle(desk), Encoding.DER)),
    "chain-as-p7b-in-pem": _chain("c.p7c", lambda desk: pkcs7.serialize_certificates(_bundle(desk), Encoding.PEM)),
}


@pytest.mark.parametrize("source", SOURCES)
def test_signer_may_come_in_any_container(source: str, desk: Desk, mdmprofile: Command, openssl: OpenSSL) -> None:
    """However certificate, key and chain are stored, the same signature comes out."""
    flags = SOURCES[source](desk, openssl)
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *flags, "--format", "json")
    assert (outcome.code, outcome.json["findings"]) == (0, []), outcome.err
    assert signed_content(openssl, desk.out, desk.folder / "root.pem") == XML
    assert embedded(desk.out) == {desk.signer.der, desk.intermediate.der}


def test_chain_in_der_may_be_one_certificate_a_file(desk: Desk, mdmprofile: Command) -> None:
    """DER holds one certificate, so the flag is repeated."""
    chain = ("--signer-chain", desk.put("i.der", desk.intermediate.der), "--signer-chain", desk.put("r", desk.root.der))
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.signer_and_key, *chain, "--format", "json")
    assert (outcome.code, outcome.json["findings"]) == (0, [])
    assert embedded(desk.out) == {desk.signer.der, desk.intermediate.der}


# What is refused


def _other_key(desk: Desk) -> None:
    desk.put("signer.key", Entity(desk.signer.certificate, ec_key()).key_pem())


def _key_of_another_kind(desk: Desk) -> None:
    desk.put("signer.key", Entity(desk.signer.certificate, rsa_key()).key_pem())


def _signer_that_ends(days: int) -> Callable[[Desk], None]:
    def change(desk: Desk) -> None:
        ending = issue(
            "Profile Signer", desk.intermediate, key=desk.signer.key, start=NOW - 99 * DAY, end=NOW + days * DAY
        )
        desk.put("signer.pem", ending.pem)

    return change


FINDINGS: dict[str, tuple[Callable[[Desk], None], str]] = {
    "key-of-another-certificate": (_other_key, "signing.key-mismatch"),
    "key-of-another-kind": (_key_of_another_kind, "signing.key-mismatch"),
    "expired-signer": (_signer_that_ends(-1), "expiry.expired"),
    "signer-that-ends-in-days": (_signer_that_ends(5), "expiry.critical"),
}


@pytest.mark.parametrize("case", FINDINGS)
def test_signer_that_devices_would_refuse_is_an_error(case: str, desk: Desk, mdmprofile: Command) -> None:
    """The exit code is 2, the finding names the file, and neither a new nor an older output is touched."""
    change, rule = FINDINGS[case]
    change(desk)
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags, "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == [rule]
    assert outcome.json["findings"][0]["where"] == str(desk.folder / "signer.pem")
    assert not desk.out.exists()
    desk.out.write_bytes(b"older")
    before = sorted(desk.folder.iterdir())
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags)
    assert outcome.code == 2
    assert "Nothing was written." in outcome.out
    assert desk.out.read_bytes() == b"older"
    assert sorted(desk.folder.iterdir()) == before


def _wrong_password(desk: Desk) -> tuple[str | Path, ...]:
    desk.put("signer.key", desk.signer.key_pem(PASSWORD))
    return (*desk.flags, "--signer-key-password-file", desk.put("pw", b"hunter2-wrong"))


def _missing_password(desk: Desk) -> tuple[str | Path, ...]:
    desk.put("signer.key", desk.signer.key_pem(PASSWORD))
    return desk.flags


def _empty_password_file(desk: Desk) -> tuple[str | Path, ...]:
    desk.put("signer.key", desk.signer.key_pem(PASSWORD))
    return (*desk.flags, "--signer-key-password-file", desk.put("pw", b"\n"))


def _wrong_pkcs12_password(desk: Desk) -> tuple[str | Path, ...]:
    file = desk.put("s.p12", desk.signer.p12(PASSWORD))
    return ("--signer-pkcs12", file, "--signer-pkcs12-password-file", desk.put("pw", b"hunter2-wrong"))


def _missing_pkcs12_password(desk: Desk) -> tuple[str | Path, ...]:
    return ("--signer-pkcs12", desk.put("s.p12", desk.signer.p12(PASSWORD)))


def _edwards_key(desk: Desk) -> tuple[str | Path, ...]:
    key = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    desk.put("signer.key", key)
    return desk.flags


def _damaged_key(desk: Desk) -> tuple[str | Path, ...]:
    signer = issue("Profile Signer", desk.intermediate, key=rsa_key())
    assert isinstance(signer.key, rsa.RSAPrivateKey)
    right = signer.key.private_numbers()
    wrong = rsa.RSAPrivateNumbers(
        right.p, right.q, right.d + 2, right.dmp1 + 2, right.dmq1, right.iqmp, right.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    desk.put("signer.pem", signer.pem)
    desk.put("signer.key", Entity(signer.certificate, wrong).key_pem())
    return desk.flags


def _key_cut_short(desk: Desk) -> tuple[str | Path, ...]:
    desk.put("signer.key", desk.signer.key_pem()[:-60])
    return desk.flags


def _certificate_for_key(desk: Desk) -> tuple[str | Path, ...]:
    desk.put("signer.key", desk.signer.pem)
    return desk.flags


def _absent_chain(desk: Desk) -> tuple[str | Path, ...]:
    return (*desk.signer_and_key, "--signer-chain", desk.folder / "absent.pem")


def _signed_already(desk: Desk) -> tuple[str | Path, ...]:
    desk.plain.write_bytes(sign(XML, Identity(desk.signer.ours, desk.signer.key)))
    return desk.flags


def _input(data: bytes) -> Callable[[Desk], tuple[str | Path, ...]]:
    def change(desk: Desk) -> tuple[str | Path, ...]:
        desk.plain.write_bytes(data)
        return desk.flags

    return change


def _absent_input(desk: Desk) -> tuple[str | Path, ...]:
    desk.plain.unlink()
    return desk.flags


IMPOSSIBLE: dict[str, tuple[Callable[[Desk], tuple[str | Path, ...]], str]] = {
    "wrong-password": (_wrong_password, "the password does not open the private key"),
    "missing-password": (_missing_password, "is encrypted and needs a password"),
    "empty-password-file": (_empty_password_file, "is empty"),
    "wrong-pkcs12-password": (_wrong_pkcs12_password, "the password does not open it"),
    "missing-pkcs12-password": (_missing_pkcs12_password, "it needs a password"),
    "edwards-key": (_edwards_key, "neither RSA nor EC"),
    "damaged-key": (_damaged_key, "damaged"),
    "key-cut-short": (_key_cut_short, "holds no readable private key"),
    "certificate-where-the-key-belongs": (_certificate_for_key, "holds a certificate where the private key belongs"),
    "absent-chain": (_absent_chain, "absent.pem: no such file"),
    "signed-already": (_signed_already, "plain.mobileconfig: is signed already"),
    "text": (_input(b"not a profile"), "plain.mobileconfig: is not a property list"),
    "array": (_input(plistlib.dumps([1])), "plain.mobileconfig: is a property list, but not a dictionary"),
    "empty": (_input(b""), "plain.mobileconfig: is empty where a profile belongs"),
    "absent-input": (_absent_input, "plain.mobileconfig: no such file"),
    "no-signer": (lambda _: (), "name the signer"),
    "key-without-certificate": (lambda desk: ("--signer-key", desk.folder / "signer.key"), "name the signer"),
    "certificate-without-key": (lambda desk: ("--signer", desk.folder / "signer.pem"), "--signer-key: is missing"),
    "two-signers": (
        lambda desk: (*desk.flags, "--signer-pkcs12", "s.p12"),
        "--signer-key and --signer-pkcs12 contradict",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_signature_that_cannot_be_made_is_refused_in_one_line(case: str, desk: Desk, mdmprofile: Command) -> None:
    """Exit code 3, one line with the reason, no secret in it, and neither a new nor an older output is touched."""
    make, message = IMPOSSIBLE[case]
    flags = make(desk)
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *flags)
    assert outcome.code == 3
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert "hunter2" not in outcome.err + outcome.out
    assert not desk.out.exists()
    desk.out.write_bytes(b"older")
    assert mdmprofile("sign", desk.plain, "-o", desk.out, *flags).code == 3
    assert desk.out.read_bytes() == b"older"


@pytest.mark.parametrize("place", ["missing/out.mobileconfig", ""], ids=["no-such-directory", "a-directory"])
def test_output_that_cannot_be_written_is_exit_code_3(place: str, desk: Desk, mdmprofile: Command) -> None:
    """The error names the output."""
    outcome = mdmprofile("sign", desk.plain, "-o", desk.folder / place, *desk.flags)
    assert outcome.code == 3
    assert str(desk.folder / place) in outcome.err


# Findings that do not stop it


def test_incomplete_chain_is_a_warning_and_the_file_is_written(desk: Desk, mdmprofile: Command) -> None:
    """A device may show Unverified; the finding names the issuer that is missing."""
    arguments = ("sign", desk.plain, "-o", desk.out, *desk.signer_and_key, "--format", "json")
    outcome = mdmprofile(*arguments)
    assert outcome.code == 0
    assert outcome.rules == ["signing.chain-incomplete"]
    assert "CN=Test Intermediate" in outcome.json["findings"][0]["message"]
    assert embedded(desk.out) == {desk.signer.der}
    assert mdmprofile(*arguments, "--fail-on", "warning").code == 1


def test_chain_without_its_root_names_the_root_that_is_missing(desk: Desk, mdmprofile: Command) -> None:
    """The gap is where the path ends, not at the signer."""
    chain = ("--signer-chain", desk.put("i.pem", desk.intermediate.pem))
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.signer_and_key, *chain, "--format", "json")
    assert outcome.rules == ["signing.chain-incomplete"]
    (found,) = outcome.json["findings"]
    assert found["message"].startswith("the issuer of Test Intermediate is missing: CN=Test Root")
    assert found["severity"] == "info"
    assert embedded(desk.out) == {desk.signer.der, desk.intermediate.der}


def test_self_signed_signer_lacks_no_chain(desk: Desk, mdmprofile: Command) -> None:
    """There is nothing above it to embed."""
    alone = issue("Alone", key=ec_key())
    desk.put("signer.pem", alone.pem)
    desk.put("signer.key", alone.key_pem())
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.signer_and_key, "--format", "json")
    assert (outcome.code, outcome.json["findings"]) == (0, [])
    assert embedded(desk.out) == {alone.der}


def test_cas_that_signed_each_other_without_a_root_are_an_incomplete_chain(desk: Desk, mdmprofile: Command) -> None:
    """A circle of cross-certificates leads to no root; that is the same warning, not a crash."""
    first, second = (issue(each, ca=True, key=ec_key()) for each in ("First", "Second"))
    crossed = [
        issue("First", second, ca=True, key=first.key),
        issue("Second", first, ca=True, key=second.key),
    ]
    signer = issue("Profile Signer", crossed[0], key=ec_key())
    desk.put("signer.pem", signer.pem)
    desk.put("signer.key", signer.key_pem())
    desk.put("chain.pem", crossed[0].pem + crossed[1].pem)
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags, "--format", "json")
    assert outcome.code == 0, outcome.err
    assert outcome.rules == ["signing.chain-incomplete"]
    assert embedded(desk.out) == {signer.der, crossed[0].der, crossed[1].der}


@pytest.mark.parametrize(
    ("at", "rule"),
    [
        pytest.param(NOW - 2 * DAY, "expiry.not-yet-valid", id="not-valid-yet"),
        pytest.param(NOW + 710 * DAY, "expiry.soon", id="ends-soon"),
    ],
)
def test_date_of_the_signer_is_judged_at_the_date_asked_for(
    at: datetime, rule: str, desk: Desk, mdmprofile: Command
) -> None:
    """A warning is printed and the file is written."""
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags, "--format", "json", at=stamp(at))
    assert outcome.code == 0
    assert outcome.rules == [rule]
    assert verify(desk.out.read_bytes()).content == XML


# The command's manners


def test_text_says_what_was_written_and_who_signed(desk: Desk, mdmprofile: Command) -> None:
    """One line, with the size."""
    outcome = mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags)
    size = f"{desk.out.stat().st_size:,}"
    assert outcome.out == f"wrote {desk.out} ({size} bytes, signed by Profile Signer)\n"
    outcome = mdmprofile("unsign", desk.out, "-o", desk.folder / "again")
    assert outcome.out == f"wrote {desk.folder / 'again'} ({len(XML)} bytes)\n"


def test_quiet_run_says_nothing(desk: Desk, mdmprofile: Command) -> None:
    """Nothing was found, so there is nothing to say."""
    outcome = mdmprofile("sign", "-q", desk.plain, "-o", desk.out, *desk.flags)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert desk.out.exists()


def test_file_may_be_signed_in_place(desk: Desk, mdmprofile: Command) -> None:
    """Input and output may be one file."""
    assert mdmprofile("sign", desk.plain, "-o", desk.plain, *desk.flags).code == 0
    assert verify(desk.plain.read_bytes()).content == XML
    assert mdmprofile("unsign", desk.plain, "-o", desk.plain).code == 0
    assert desk.plain.read_bytes() == XML


@pytest.mark.parametrize(("mode", "private"), [(0o600, True), (0o644, False)])
def test_output_is_as_private_as_the_input(mode: int, private: bool, desk: Desk, mdmprofile: Command) -> None:
    """A profile with a secret inside does not become readable for others by being signed or taken out."""
    usual = desk.put("usual", b"").stat().st_mode & 0o777
    again = desk.folder / "again.mobileconfig"
    desk.plain.chmod(mode)
    assert mdmprofile("sign", desk.plain, "-o", desk.out, *desk.flags).code == 0
    assert desk.out.stat().st_mode & 0o777 == (0o600 if private else usual)
    desk.out.chmod(mode)
    assert mdmprofile("unsign", desk.out, "-o", again).code == 0
    assert again.stat().st_mode & 0o777 == (0o600 if private else usual)


def piped(*arguments: str | Path, data: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own, with bytes on standard input."""
    words = [sys.executable, "-m", "mdmprofile", *map(str, arguments)]
    return subprocess.run(words, input=data, capture_output=True, check=False)


def test_pipe_carries_the_profile_alone(desk: Desk) -> None:
    """With - as input and output, standard output holds the result and standard error what is said about it."""
    at = ("--at", stamp(NOW))
    done = piped("sign", "-", "-o", "-", *desk.signer_and_key, *at, data=XML)
    assert done.returncode == 0, done.stderr
    assert verify(done.stdout).content == XML
    assert b"signed by Profile Signer" in done.stderr
    assert b"[signing.chain-incomplete, observed]" in done.stderr
    done = piped("unsign", "-", "-o", "-", data=done.stdout)
    assert (done.returncode, done.stdout) == (0, XML)
    assert b"wrote standard output" in done.stderr


def test_pipe_stays_empty_when_nothing_can_be_signed(desk: Desk) -> None:
    """Findings and errors go to standard error, where no profile is expected."""
    _other_key(desk)
    done = piped("sign", "-", "-o", "-", *desk.flags, "--at", stamp(NOW), data=XML)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"[signing.key-mismatch]" in done.stderr
    done = piped("sign", "-", "-o", "-", *desk.flags, data=b"not a profile")
    assert (done.returncode, done.stdout) == (3, b"")
    assert b"standard input: is not a property list" in done.stderr


@pytest.mark.parametrize("command", ["sign", "unsign"])
def test_json_and_the_profile_do_not_share_standard_output(command: str, desk: Desk) -> None:
    """Whoever asks for both on one stream is told so, instead of getting a file that is neither."""
    flags = (*desk.flags, "--at", stamp(NOW)) if command == "sign" else ()
    data = XML if command == "sign" else sign(XML, Identity(desk.signer.ours, desk.signer.key))
    done = piped(command, "-", "-o", "-", "--format", "json", *flags, data=data)
    assert done.returncode == 3
    assert b"PayloadType" not in done.stdout
    assert b"both want standard output" in done.stderr


# Taking the profile out again


def tampered(desk: Desk) -> bytes:
    """A signed file whose content was changed afterwards."""
    whole = sign(XML, Identity(desk.signer.ours, desk.signer.key))
    changed = whole.replace(b"Configuration", b"configuration")
    assert changed != whole
    return changed


def test_profile_with_a_broken_signature_stays_inside(desk: Desk, mdmprofile: Command) -> None:
    """Nobody should install it; the finding says why, and an older output is untouched."""
    desk.out.write_bytes(tampered(desk))
    again = desk.put("again", b"older")
    outcome = mdmprofile("unsign", desk.out, "-o", again, "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.invalid"]
    assert again.read_bytes() == b"older"
    assert "Nothing was written." in mdmprofile("unsign", desk.out, "-o", desk.folder / "new").out
    assert not (desk.folder / "new").exists()


def test_broken_signature_leaves_a_pipe_empty(desk: Desk) -> None:
    """What is said about it belongs on standard error, not where a profile is expected."""
    done = piped("unsign", "-", "-o", "-", data=tampered(desk))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"[signature.invalid]" in done.stderr


def test_force_takes_a_profile_out_of_a_broken_signature(desk: Desk, mdmprofile: Command) -> None:
    """For looking at what was changed; the finding stays an error."""
    desk.out.write_bytes(tampered(desk))
    again = desk.folder / "again"
    outcome = mdmprofile("unsign", desk.out, "-o", again, "--force", "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.invalid"]
    assert again.read_bytes() == XML.replace(b"Configuration", b"configuration")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda _: XML, "is not signed", id="not-signed"),
        pytest.param(lambda _: b"", "is empty", id="empty"),
        pytest.param(
            lambda desk: sign(b"a letter", Identity(desk.signer.ours, desk.signer.key)),
            "is not a property",
            id="a-signed-letter",
        ),
        pytest.param(lambda desk: tampered(desk)[:-1], "is not intact CMS", id="cut-short"),
    ],
)
def test_file_without_a_signed_profile_has_nothing_to_take_out(
    make: Callable[[Desk], bytes], message: str, desk: Desk, mdmprofile: Command
) -> None:
    """Exit code 3, and nothing is written, --force or not."""
    desk.out.write_bytes(make(desk))
    for flags in ((), ("--force",)):
        outcome = mdmprofile("unsign", desk.out, "-o", desk.folder / "again", *flags)
        assert outcome.code == 3
        assert message in outcome.err
        assert not (desk.folder / "again").exists()


def test_json_of_an_error_is_still_an_object(desk: Desk, mdmprofile: Command) -> None:
    """A script that asked for JSON gets JSON, with the error in it."""
    outcome = mdmprofile("unsign", desk.plain, "-o", desk.out, "--format", "json")
    assert outcome.code == 3
    (error,) = json.loads(outcome.out)["errors"]
    assert error == {"message": "is not signed", "where": str(desk.plain), "hint": "use the file as it is"}


# The library


def test_library_refuses_a_key_that_is_not_the_certificates(desk: Desk) -> None:
    """Whoever calls sign without judging first gets an error, never a worthless signature."""
    with pytest.raises(SigningError, match="does not belong to its certificate"):
        sign(XML, Identity(desk.signer.ours, ec_key()))


def test_library_refuses_a_damaged_key(desk: Desk) -> None:
    """RSA keys are read without the slow consistency check, so the first signature is checked."""
    _damaged_key(desk)
    key = serialization.load_pem_private_key(
        (desk.folder / "signer.key").read_bytes(), None, unsafe_skip_rsa_key_validation=True
    )
    certificate = x509.load_pem_x509_certificate((desk.folder / "signer.pem").read_bytes())
    assert isinstance(key, rsa.RSAPrivateKey)
    with pytest.raises(SigningError, match="damaged"):
        sign(XML, Identity(Entity(certificate, key).ours, key))


def test_chain_is_completed_nearest_first() -> None:
    """Some verifiers read the embedded certificates in order."""
    root = root_ca()
    upper = intermediate_ca(root, "Upper")
    lower = intermediate_ca(upper, "Lower")
    signer = issue("Signer", lower, key=ec_key())
    given = Identity(signer.ours, signer.key, (root.ours, upper.ours))
    assert complete_chain(given, [lower.ours]).chain == (lower.ours, upper.ours)


def test_public_root_completes_a_chain_without_being_given() -> None:
    """Devices know public roots, so a signer below one lacks nothing."""
    root = root_ca()
    signer = issue("Signer", root, key=ec_key())
    identity = Identity(signer.ours, signer.key)
    assert [each.rule for each in judge_signer(identity, ())] == ["signing.chain-incomplete"]
    assert judge_signer(identity, (), public=[root.ours]) == ()
