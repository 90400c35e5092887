"""The command ``show``, as people and scripts use it."""

from __future__ import annotations

import base64
import io
import plistlib
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives.serialization import Encoding

from conftest import Command
from mdmprofile.cms.encrypt import encrypt_profile
from mdmprofile.profile import Profile
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, root_ca
from replacing import (
    ACME,
    CHALLENGE,
    PEM,
    PKCS1,
    PKCS12,
    ROOT,
    Plist,
    file_of,
    made,
    mdm,
    plist,
    scep,
    usual,
    uuid,
    write,
)

AT = ("--at", "2031-03-01")
HIDDEN = "hunter2-Zz9"
ROOT_CA = root_ca()
MIDDLE = intermediate_ca(ROOT_CA)
SIGNER = issue("Signer", ROOT_CA, key=ec_key())
DEVICE = issue("Device", ROOT_CA)
P12 = DEVICE.p12(HIDDEN, [ROOT_CA])
FULL = plist(
    made(ROOT, 10, PayloadContent=ROOT_CA.der),
    made(PKCS1, 11, PayloadContent=MIDDLE.der),
    made(PEM, 12, PayloadContent=MIDDLE.pem),
    made(PKCS12, 13, PayloadContent=P12, Password=HIDDEN),
    made(ACME, 14, ClientIdentifier=HIDDEN),
    made("com.apple.wifi.managed", 15, Password=HIDDEN, EAPClientConfiguration={"UserPassword": HIDDEN}),
    made("com.apple.vpn.managed", 16, IPSec={"SharedSecret": HIDDEN.encode()}),
    made("com.apple.profileRemovalPassword", 17, RemovalPassword=HIDDEN),
    scep(),
    mdm(ServerURL=f"https://user:{HIDDEN}@mdm.example.com/mdm"),
)


@pytest.fixture
def root_file(tmp_path: Path) -> Path:
    """The root in a file."""
    path = tmp_path / "root.pem"
    path.write_bytes(ROOT_CA.pem)
    return path


def with_second_signer(data: bytes, other: bytes) -> bytes:
    """The first file with the signer of the second beside its own."""
    one, two = cms.ContentInfo.load(data), cms.ContentInfo.load(other)
    one["content"]["signer_infos"].append(two["content"]["signer_infos"][0])
    one["content"]["certificates"].append(two["content"]["certificates"][0])
    return bytes(one.dump(force=True))


@pytest.mark.parametrize(
    ("signer", "trust", "status", "code", "rules"),
    [
        (SIGNER, "root", "Verified", 0, []),
        (SIGNER, "other", "Unverified", 2, ["signature.untrusted"]),
        (SIGNER, "system", "Unverified", 2, ["signature.untrusted"]),
        (SIGNER, "", "Unverified", 0, ["signature.trust-not-judged"]),
        (None, "", "Not signed", 0, []),
        (None, "root", "Not signed", 0, []),
        (issue("Ended", ROOT_CA, end=NOW - 9 * DAY, start=NOW - 99 * DAY), "", "Not signed", 0, []),
        (issue("Ended", ROOT_CA, end=NOW - 9 * DAY, start=NOW - 99 * DAY), "root", "Not signed", 2, None),
    ],
    ids=[
        "trusted",
        "another CA",
        "public roots",
        "no --trust",
        "unsigned",
        "unsigned with --trust",
        "ended",
        "ended too",
    ],
)
def test_status_and_exit_code(
    signer: Entity | None, trust: str, status: str, code: int, rules: list[str] | None,
    tmp_path: Path, root_file: Path, mdmprofile: Command,
) -> None:  # fmt: skip
    """The status is the first thing that people read, and a signer that is not the one they named is an error."""
    path = write(tmp_path, "a.mobileconfig", usual(), signer)
    other = tmp_path / "other.pem"
    other.write_bytes(root_ca("Other").pem)
    named = {"root": str(root_file), "other": str(other), "system": "system"}
    anchors = ("--trust", named[trust]) if trust else ()
    outcome = mdmprofile("show", path, *anchors, *AT, "--format", "json")
    assert (outcome.code, outcome.json["status"], outcome.json["signed"]) == (code, status, signer is not None)
    assert rules is None or outcome.rules == rules
    text = mdmprofile("show", path, *anchors, *AT)
    assert text.code == code
    assert text.out.splitlines()[1].strip().startswith(f"{status}: ")


def test_profile_that_openssl_signed(
    tmp_path: Path, root_file: Path, openssl: Callable[..., bytes], mdmprofile: Command
) -> None:
    """Indefinite lengths, two digests: another implementation's signature is read too."""
    (tmp_path / "s.pem").write_bytes(SIGNER.pem)
    (tmp_path / "s.key").write_bytes(SIGNER.key_pem())
    plain = write(tmp_path, "plain", usual(), None)
    signed = tmp_path / "signed"
    arguments = ("-sign", "-stream", "-nodetach", "-binary", "-outform", "DER", "-md", "sha512")
    openssl(
        "cms", *arguments, "-signer", tmp_path / "s.pem", "-inkey", tmp_path / "s.key", "-in", plain, "-out", signed
    )
    outcome = mdmprofile("show", signed, "--trust", root_file, *AT, "--format", "json")
    assert (outcome.code, outcome.json["status"]) == (0, "Verified")
    (signer,) = outcome.json["signers"]
    assert (signer["digest"], signer["sha256"]) == ("sha512", SIGNER.sha256)
    assert signer["chain"] == ["CN=Signer", "CN=Test Root"]


def test_two_signers_are_shown_and_not_valid(tmp_path: Path, root_file: Path, mdmprofile: Command) -> None:
    """Devices expect one; who they are is shown."""
    stranger = issue("Stranger", root_ca("Other"), key=ec_key())
    path = tmp_path / "two"
    path.write_bytes(with_second_signer(file_of(usual(ROOT_CA), SIGNER), file_of(usual(ROOT_CA), stranger)))
    outcome = mdmprofile("show", path, "--trust", root_file, *AT, "--format", "json")
    assert (outcome.code, outcome.json["status"]) == (2, "Not valid")
    assert {each["subject"] for each in outcome.json["signers"]} == {"CN=Signer", "CN=Stranger"}


def test_tampered_profile_is_not_authentic(tmp_path: Path, root_file: Path, mdmprofile: Command) -> None:
    """In every format and when a payload is extracted, and the exit code is 2."""
    path = write(tmp_path, "a", usual(ROOT_CA), SIGNER)
    path.write_bytes(path.read_bytes().replace(b"mdm.example.com/mdm", b"mdm.evil.example/md"))
    for more in ([], ["--trust", root_file]):
        outcome = mdmprofile("show", path, *more, *AT)
        assert outcome.code == 2
        assert "NOT AUTHENTIC" in outcome.out
        outcome = mdmprofile("show", path, *more, *AT, "--format", "json")
        assert (outcome.code, outcome.json["status"]) == (2, "Not valid")
        assert "signature.invalid" in outcome.rules
    outcome = mdmprofile("show", path, *AT, "--format", "plist")
    assert outcome.code == 2
    assert "NOT AUTHENTIC" in outcome.err
    assert plistlib.loads(outcome.out.encode())
    outcome = mdmprofile("show", path, *AT, "--payload", "1", "--extract", tmp_path / "root.der")
    assert outcome.code == 2
    assert "NOT AUTHENTIC" in outcome.out


def test_tampering_that_breaks_the_property_list(tmp_path: Path, mdmprofile: Command) -> None:
    """The broken signature is the news, not the broken XML."""
    path = write(tmp_path, "a", usual(ROOT_CA), SIGNER)
    path.write_bytes(path.read_bytes().replace(b"</dict>\n</plist>", b"</dict>\n<plist/>"))
    outcome = mdmprofile("show", path, *AT, "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.invalid"]
    assert "is not a property list" in outcome.err


def test_encrypted_profile(tmp_path: Path, mdmprofile: Command) -> None:
    """Without the key its payloads stay closed; with it they are shown, their secrets masked."""
    (tmp_path / "device.pem").write_bytes(DEVICE.pem)
    (tmp_path / "device.key").write_bytes(DEVICE.key_pem())
    path = tmp_path / "encrypted"
    path.write_bytes(encrypt_profile(Profile(FULL), [DEVICE.ours]).to_bytes())
    outcome = mdmprofile("show", path)
    assert outcome.code == 0
    assert "encrypted: give the recipient's key" in outcome.out
    outcome = mdmprofile("show", path, "--payload", "1")
    assert outcome.code == 3
    assert "give --recipient and --recipient-key" in outcome.err
    keys = ("--recipient", tmp_path / "device.pem", "--recipient-key", tmp_path / "device.key")
    outcome = mdmprofile("show", path, *keys, "--format", "json")
    assert (outcome.code, len(outcome.json["payloads"])) == (0, 10)
    assert outcome.json["encrypted"]
    assert HIDDEN not in outcome.out
    (tmp_path / "other.pem").write_bytes(SIGNER.pem)
    (tmp_path / "other.key").write_bytes(SIGNER.key_pem())
    outcome = mdmprofile("show", path, "--recipient", tmp_path / "other.pem", "--recipient-key", tmp_path / "other.key")
    assert outcome.code == 3
    assert outcome.err.count("\n") == 1


def secrets_in(outcome_text: str) -> list[str]:
    """The secrets that are in a report, also in base64."""
    known = [HIDDEN, CHALLENGE, base64.b64encode(HIDDEN.encode()).decode(), base64.b64encode(P12).decode()[:60]]
    squeezed = "".join(outcome_text.split())
    return [each for each in known if each in squeezed]


@pytest.mark.parametrize("form", ["text", "json", "plist"])
def test_secrets_are_masked_unless_they_are_asked_for(form: str, tmp_path: Path, mdmprofile: Command) -> None:
    """In every format, verbose or not, for the whole profile and for each payload."""
    path = write(tmp_path, "a", FULL)
    for words in ([], ["-v"], *(["--payload", str(number)] for number in range(1, 11))):
        outcome = mdmprofile("show", path, "--format", form, *words)
        assert outcome.code == 0
        assert secrets_in(outcome.out + outcome.err) == []
    outcome = mdmprofile("show", path, "--format", form, "--reveal")
    assert len(secrets_in(outcome.out)) == (2 if form == "text" else 4)


def test_plist_without_a_mask_is_the_profile(tmp_path: Path, mdmprofile: Command) -> None:
    """What is printed with --reveal can be used again; what is masked is a property list of the same kinds."""
    path = write(tmp_path, "a", FULL, SIGNER)
    outcome = mdmprofile("show", path, "--format", "plist", "--reveal", *AT)
    assert plistlib.loads(outcome.out.encode()) == FULL
    one = mdmprofile("show", path, "--format", "plist", "--payload", uuid(13), "--reveal", *AT)
    assert plistlib.loads(one.out.encode()) == FULL["PayloadContent"][3]


def test_plist_cannot_steer_the_terminal(tmp_path: Path, mdmprofile: Command) -> None:
    """Control characters that a property list may hold are written as references, and mean the same."""
    odd = plist(scep(), mdm(), **{"Foo\x9b": "a\x9b2J\u202e\x7f\t\n é😀"})
    outcome = mdmprofile("show", write(tmp_path, "a", odd), "--format", "plist")
    assert all(each.isprintable() or each in "\t\n" for each in outcome.out)
    assert plistlib.loads(outcome.out.encode())["Foo\x9b"] == odd["Foo\x9b"]


@pytest.mark.parametrize("wanted", ["2", "com.example.mdm.enroll.11", "COM.example.mdm.enroll.11", uuid(11)])
def test_payload_by_number_identifier_or_uuid(wanted: str, tmp_path: Path, mdmprofile: Command) -> None:
    """Whichever the person has at hand."""
    outcome = mdmprofile("show", write(tmp_path, "a", FULL), "--payload", wanted, "--format", "json")
    assert [each["number"] for each in outcome.json["payloads"]] == [2]


@pytest.mark.parametrize("wanted", ["0", "11", "-1", "nobody", "", "9" * 5000])
def test_payload_that_is_not_there(wanted: str, tmp_path: Path, mdmprofile: Command) -> None:
    """The error says which there are."""
    outcome = mdmprofile("show", write(tmp_path, "a", FULL), f"--payload={wanted}")
    assert outcome.code == 3
    assert "it has payloads 1 to 10" in outcome.err
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("number", "name", "content"),
    [
        (1, "root.der", ROOT_CA.der),
        (1, "root.CER", ROOT_CA.der),
        (1, "root.pem", ROOT_CA.pem),
        (2, "middle.cer", MIDDLE.der),
        (2, "middle", MIDDLE.pem),
        (3, "middle.der", MIDDLE.der),
        (3, "middle.crt", MIDDLE.pem),
    ],
)
def test_certificate_is_extracted_as_its_name_says(
    number: int, name: str, content: bytes, tmp_path: Path, mdmprofile: Command
) -> None:
    """DER or PEM by the file's name, the certificate byte for byte."""
    path, target = write(tmp_path, "a", FULL), tmp_path / name
    outcome = mdmprofile("show", path, "--payload", str(number), "--extract", target)
    assert outcome.code == 0
    assert target.read_bytes() == content
    assert str(target) in outcome.out


@pytest.mark.parametrize("kind", [PKCS12, "com.example.unknown", PEM])
def test_what_may_be_a_secret_is_extracted_for_its_owner_alone(kind: str, tmp_path: Path, mdmprofile: Command) -> None:
    """A PKCS#12 as it is, whatever the payload calls it."""
    path = write(tmp_path, "a", plist(made(kind, 1, PayloadContent=P12)))
    target = tmp_path / "device.p12"
    target.write_bytes(b"old")
    target.chmod(0o644)
    assert mdmprofile("show", path, "--payload", "1", "--extract", target).code == 0
    assert target.read_bytes() == P12
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_extracting_to_standard_output(tmp_path: Path, mdmprofile: Command) -> None:
    """The certificate alone is there; what is said goes to standard error."""
    path = write(tmp_path, "a", FULL)
    outcome = mdmprofile("show", path, "--payload", "2", "--extract", "-")
    assert outcome.out == MIDDLE.certificate.public_bytes(Encoding.PEM).decode()
    assert "Test Intermediate" in outcome.err
    assert mdmprofile("show", path, "--payload", "2", "--extract", "-", "--format", "json").code == 3


def test_what_cannot_be_extracted(tmp_path: Path, mdmprofile: Command) -> None:
    """No certificate, no payload, no file; and nothing is written."""
    path, target = write(tmp_path, "a", FULL), tmp_path / "out"
    for words in (["--payload", "10"], ["--payload", "9"], ["--payload", "99"], []):
        outcome = mdmprofile("show", path, *words, "--extract", target)
        assert outcome.code == 3
        assert outcome.err.count("\n") == 1
        assert not target.exists()


def test_json_of_strange_values(tmp_path: Path, mdmprofile: Command) -> None:
    """What JSON has no word for is text: one object, whatever the profile holds."""
    odd: Plist = {
        "NaN": float("nan"),
        "Infinity": float("-inf"),
        "Date": datetime(1, 1, 1, tzinfo=UTC).replace(tzinfo=None),
        "Data": b"\x00\xff",
        "UID": plistlib.UID(3),
        "Huge": 2**64 - 1,
    }
    path = tmp_path / "a"
    path.write_bytes(file_of(plist(scep(), mdm(**odd)), form=plistlib.FMT_BINARY))
    keys = mdmprofile("show", path, "--format", "json").json["payloads"][1]["keys"]
    assert {key: keys[key] for key in odd} == {
        "NaN": "nan",
        "Infinity": "-inf",
        "Date": "0001-01-01T00:00:00Z",
        "Data": "AP8=",
        "UID": "UID(3)",
        "Huge": 2**64 - 1,
    }
    assert mdmprofile("show", path).code == 0
    outcome = mdmprofile("show", path, "--format", "plist")
    assert outcome.code == 3
    assert outcome.out == ""


def test_profile_from_standard_input(mdmprofile: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that comes down a pipe."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(file_of(usual(), form=plistlib.FMT_BINARY))))
    outcome = mdmprofile("show", "-")
    assert outcome.code == 0
    assert "com.apple.mdm" in outcome.out


@pytest.mark.parametrize(
    "data", [b"", b" \n", b"x", b"\x30\x80", b"<plist/>", b"bplist00", plistlib.dumps({"a": 1}), plistlib.dumps([])]
)
def test_what_is_no_profile_is_one_line(data: bytes, tmp_path: Path, mdmprofile: Command) -> None:
    """Exit code 3, and nothing on standard output."""
    path = tmp_path / "a"
    path.write_bytes(data)
    outcome = mdmprofile("show", path)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (3, "", 1)
