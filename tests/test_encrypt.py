"""Encrypting a profile's payloads and decrypting them again, against openssl in both directions."""

from __future__ import annotations

import contextlib
import plistlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Command
from mdmprofile.certificates import Identity
from mdmprofile.cms.encrypt import decrypt_profile, encrypt_profile
from mdmprofile.cms.envelope import MAX_RECIPIENTS, parse_envelope
from mdmprofile.cms.sign import sign
from mdmprofile.cms.structure import parse_signed_data
from mdmprofile.errors import EncryptionError, MdmprofileError, ProfileError
from mdmprofile.profile import MAX_PAYLOADS, Profile, parse
from mdmprofile.reader import open_profile
from pki import DAY, NOW, Entity, Site, ec_key, issue, root_ca, signed_content, usage

OpenSSL = Callable[..., bytes]
PASSWORD = "correct horse"

PAYLOADS: list[dict[str, Any]] = [
    {"PayloadType": "com.apple.wifi.managed", "Password": "line\nbreak é🔑", "Bytes": bytes(range(256)), "Number": -7},
    {"PayloadType": "com.example", "Date": datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None), "Yes": True},
]
PLAIN: dict[str, Any] = {
    "PayloadType": "Configuration",
    "PayloadVersion": 1,
    "PayloadContent": PAYLOADS,
    "PayloadIdentifier": "com.example.wifi",
    "PayloadUUID": "4B5F0B2C-0000-4000-8000-000000000001",
    "ConsentText": {"default": "Really?"},
}


@dataclass(frozen=True)
class Desk:
    """A folder with a profile and a device's certificate and key."""

    folder: Path
    device: Entity

    @property
    def plain(self) -> Path:
        return self.folder / "plain.mobileconfig"

    @property
    def sealed(self) -> Path:
        return self.folder / "sealed.mobileconfig"

    @property
    def out(self) -> Path:
        return self.folder / "out.mobileconfig"

    @property
    def identity(self) -> Identity:
        return Identity(self.device.ours, self.device.key)

    @property
    def recipient(self) -> tuple[str | Path, ...]:
        return ("--recipient", self.folder / "device.pem")

    @property
    def key(self) -> tuple[str | Path, ...]:
        return (*self.recipient, "--recipient-key", self.folder / "device.key")

    def put(self, name: str, data: bytes) -> Path:
        file = self.folder / name
        file.write_bytes(data)
        return file

    def seal(self, envelope: bytes, **more: Any) -> Path:
        """Write a profile whose payloads are in this envelope."""
        outer = {name: value for name, value in PLAIN.items() if name != "PayloadContent"}
        return self.put("sealed.mobileconfig", plistlib.dumps(outer | {"EncryptedPayloadContent": envelope} | more))


def make_desk(folder: Path, device: Entity) -> Desk:
    """Write the files of a desk."""
    desk = Desk(folder, device)
    desk.put("plain.mobileconfig", plistlib.dumps(PLAIN, sort_keys=False))
    desk.put("array.plist", plistlib.dumps(PAYLOADS))
    desk.put("device.pem", device.pem)
    desk.put("device.key", device.key_pem())
    return desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk whose device has an RSA-2048 key."""
    return make_desk(tmp_path, issue("Device"))


def envelope_of(openssl: OpenSSL, *options: str | Path, data: bytes | None = None) -> bytes:
    """The payload array (or other data) encrypted by openssl."""
    content = plistlib.dumps(PAYLOADS) if data is None else data
    return openssl("cms", "-encrypt", "-binary", "-outform", "DER", *options, data=content)


# With openssl, both ways


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_openssl_decrypts_exactly_the_payload_array(
    bits: int, tmp_path: Path, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """What is inside is the array alone, and the keys beside it stay in their order."""
    desk = make_desk(tmp_path, issue("Device", key=rsa.generate_private_key(65537, bits)))
    assert mdmprofile("encrypt", desk.plain, "-o", desk.out, *desk.recipient).code == 0
    outer = plistlib.loads(desk.out.read_bytes())
    names = [name for each in PLAIN for name in ([each] if each != "PayloadContent" else ["Encrypted", "Is"])]
    found = [{"EncryptedPayloadContent": "Encrypted", "IsEncrypted": "Is"}.get(each, each) for each in outer]
    assert found == names
    assert outer["IsEncrypted"] is True
    assert {name: outer[name] for name in PLAIN if name in outer} | {"PayloadContent": PAYLOADS} == PLAIN
    envelope = desk.put("envelope", outer["EncryptedPayloadContent"])
    words = ("cms", "-decrypt", "-inform", "DER", "-binary", "-in", envelope)
    array = openssl(*words, "-recip", desk.folder / "device.pem", "-inkey", desk.folder / "device.key")
    assert array.startswith(b"<?xml")
    assert plistlib.loads(array) == PAYLOADS
    assert b"aes-256-cbc" in openssl("cms", "-cmsout", "-print", "-inform", "DER", "-in", envelope)


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
@pytest.mark.parametrize("cipher", ["-aes128", "-aes256"])
def test_what_openssl_encrypts_is_decrypted(
    cipher: str, bits: int, tmp_path: Path, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """With IsEncrypted and without it, and the result is readable by its owner alone."""
    desk = make_desk(tmp_path, issue("Device", key=rsa.generate_private_key(65537, bits)))
    envelope = envelope_of(openssl, cipher, desk.folder / "device.pem")
    for more in ({}, {"IsEncrypted": True}):
        desk.seal(envelope, **more)
        desk.out.write_bytes(b"older")
        desk.out.chmod(0o644)
        outcome = mdmprofile("decrypt", desk.sealed, "-o", desk.out, *desk.key, "--format", "json")
        assert (outcome.code, outcome.rules) == (0, [])
        assert plistlib.loads(desk.out.read_bytes()) == PLAIN
        assert desk.out.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("fmt", [plistlib.FMT_XML, plistlib.FMT_BINARY], ids=["xml", "binary"])
def test_array_may_be_of_either_format(
    fmt: plistlib.PlistFormat, desk: Desk, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """Other tools write binary property lists."""
    data = plistlib.dumps(PAYLOADS, fmt=fmt)
    desk.seal(envelope_of(openssl, "-aes256", desk.folder / "device.pem", data=data))
    assert mdmprofile("decrypt", desk.sealed, "-o", desk.out, *desk.key).code == 0
    assert plistlib.loads(desk.out.read_bytes())["PayloadContent"] == PAYLOADS


def test_each_of_several_recipients_can_decrypt(desk: Desk, mdmprofile: Command, openssl: OpenSSL) -> None:
    """One file for three devices, one of them named with its issuers in the same file."""
    root = root_ca()
    second, third = issue("Second", root), issue("Third", root)
    files = [desk.put("second.pem", root.pem + second.pem), desk.put("third.der", third.der)]
    words = [word for file in files for word in ("--recipient", file)]
    outcome = mdmprofile("encrypt", desk.plain, "-o", desk.sealed, *desk.recipient, *words, "--format", "json")
    assert outcome.code == 0
    assert [each["subject"] for each in outcome.json["recipients"]] == ["CN=Device", "CN=Second", "CN=Third"]
    envelope = desk.put("envelope", plistlib.loads(desk.sealed.read_bytes())["EncryptedPayloadContent"])
    for entity in (desk.device, second, third):
        both = desk.put("both.pem", entity.pem + entity.key_pem())
        assert mdmprofile("decrypt", desk.sealed, "-o", desk.out, "--recipient", both).code == 0
        assert plistlib.loads(desk.out.read_bytes()) == PLAIN
        array = openssl("cms", "-decrypt", "-inform", "DER", "-binary", "-in", envelope, "-recip", both)
        assert plistlib.loads(array) == PAYLOADS


def test_recipient_may_be_named_by_its_key_and_stand_among_others(
    tmp_path: Path, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """Kinds of recipients that are not read do not keep out the one that is."""
    other = issue("Other", key=ec_key())
    identifier = x509.SubjectKeyIdentifier(b"device key identifier")
    desk = make_desk(tmp_path, issue("Device", extensions=[identifier]))
    (tmp_path / "other.pem").write_bytes(other.pem)
    words = ("-aes256", "-keyid", "-pwri_password", "x", tmp_path / "device.pem")
    desk.seal(envelope_of(openssl, *words))
    assert mdmprofile("decrypt", desk.sealed, "-o", desk.out, *desk.key).code == 0
    desk.seal(envelope_of(openssl, "-aes256", tmp_path / "other.pem", tmp_path / "device.pem"))
    assert mdmprofile("decrypt", desk.sealed, "-o", desk.out, *desk.key).code == 0
    assert plistlib.loads(desk.out.read_bytes()) == PLAIN


UNREADABLE: dict[str, tuple[tuple[str, ...], str]] = {
    "gcm": (("-aes-256-gcm", "device.pem"), "AuthEnvelopedData, as AES-GCM makes it"),
    "3des": (("-des3", "device.pem"), "is encrypted with 3DES-CBC"),
    "aes192": (("-aes192", "device.pem"), "is encrypted with AES-192-CBC"),
    "ber": (("-stream", "-aes256", "device.pem"), "in BER"),
    "ec": (("-aes256", "ec.pem"), "is not encrypted for Device, but for an EC key"),
    "password": (("-aes256", "-pwri_password", "x"), "is not encrypted for Device, but for a password"),
    "shared-key": (("-aes256", "-secretkey", "00" * 16, "-secretkeyid", "01"), "but for a shared secret key"),
    "oaep": (("-aes256", "-recip", "device.pem", "-keyopt", "rsa_padding_mode:oaep"), "but for RSA-OAEP"),
    "another": (("-aes256", "another.pem"), "is not encrypted for Device, but for serial number "),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_other_ciphers_and_recipients_are_named(
    case: str, desk: Desk, mdmprofile: Command, openssl: OpenSSL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that says what was found and what to do, and an older output is untouched."""
    monkeypatch.chdir(desk.folder)
    desk.put("ec.pem", issue("EC", key=ec_key()).pem)
    desk.put("another.pem", issue("Another").pem)
    options, expected = UNREADABLE[case]
    desk.seal(envelope_of(openssl, *options))
    desk.out.write_bytes(b"older")
    outcome = mdmprofile("decrypt", desk.sealed, "-o", desk.out, *desk.key)
    assert outcome.code == 3
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1
    assert outcome.err.rstrip().endswith(")")
    assert desk.out.read_bytes() == b"older"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"no property list", "is not a property list"),
        (b"", "is not a property list"),
        (plistlib.dumps(PLAIN), "no array of payloads"),
        (plistlib.dumps([PAYLOADS]), "no array of payloads"),
        (plistlib.dumps(["text"]), "no array of payloads"),
        (plistlib.dumps([{}] * (MAX_PAYLOADS + 1), fmt=plistlib.FMT_BINARY), "more than 500 payloads"),
        (b'<!DOCTYPE plist [<!ENTITY a "b">]><plist><array><string>&a;</string></array></plist>', "property list"),
    ],
    ids=["text", "empty", "profile", "nested", "text-in-array", "endless", "entity"],
)
def test_what_was_encrypted_must_be_an_array_of_payloads(
    data: bytes, expected: str, desk: Desk, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """Whoever has the device's public certificate can encrypt anything for it."""
    desk.seal(envelope_of(openssl, "-aes256", desk.folder / "device.pem", data=data))
    outcome = mdmprofile("decrypt", desk.sealed, "-o", desk.out, *desk.key)
    assert outcome.code == 3
    assert expected in outcome.err
    assert not desk.out.exists()


def test_deeply_nested_content_is_a_project_error(desk: Desk, mdmprofile: Command, openssl: OpenSSL) -> None:
    """A hundred thousand arrays inside one another are refused, and quickly."""
    deep = b"<plist>" + b"<array>" * 100_000 + b"</array>" * 100_000 + b"</plist>"
    inside = b"<plist><array><dict><key>a</key>" + deep[7:-8] + b"</dict></array></plist>"
    for data in (deep, inside):
        desk.seal(envelope_of(openssl, "-aes256", desk.folder / "device.pem", data=data))
        assert mdmprofile("decrypt", desk.sealed, "-o", desk.out, *desk.key).code == 3
        assert not desk.out.exists()


# Damage


def test_wrong_key_and_damage_are_clear_errors(desk: Desk) -> None:
    """A key that is not the certificate's is named; the rest is said without telling which of the two it was."""
    sealed = encrypt_profile(Profile(PLAIN), [desk.device.ours])
    with pytest.raises(EncryptionError, match="does not belong to its certificate"):
        decrypt_profile(sealed, Identity(desk.device.ours, rsa.generate_private_key(65537, 2048)))
    with pytest.raises(EncryptionError, match="not RSA"):
        decrypt_profile(sealed, Identity(issue("EC", key=ec_key()).ours, ec_key()))
    info = cms.ContentInfo.load(sealed.plist["EncryptedPayloadContent"])
    key = info["content"]["recipient_infos"][0].chosen["encrypted_key"].native
    whole = sealed.plist["EncryptedPayloadContent"]
    for damaged in (whole.replace(key, bytes(len(key))), whole[:-1] + bytes([whole[-1] ^ 1])):
        with pytest.raises(MdmprofileError, match=r"cannot be decrypted|not a property list|no array"):
            decrypt_profile(Profile(dict(sealed.plist) | {"EncryptedPayloadContent": damaged}), desk.identity)


DEVICE = issue("Device of the damaged profiles")
WHOLE: bytes = encrypt_profile(Profile(PLAIN), [issue("Other").ours, DEVICE.ours]).plist["EncryptedPayloadContent"]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(
    flips=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(1, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 40),
)
def test_damaged_envelope_raises_nothing_but_project_errors(flips: list[tuple[int, int]], cut: int) -> None:
    """Whatever bytes change, a parser's own exception never comes out."""
    data = bytearray(WHOLE)
    for position, change in flips:
        data[position] ^= change
    with contextlib.suppress(MdmprofileError):
        decrypt_profile(
            Profile(PLAIN_OUTER | {"EncryptedPayloadContent": bytes(data[: len(data) - cut])}),
            Identity(DEVICE.ours, DEVICE.key),
        )


PLAIN_OUTER = {name: value for name, value in PLAIN.items() if name != "PayloadContent"}


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), start=st.sampled_from([0, 2, 15, 19, 40]))
def test_any_bytes_raise_nothing_but_project_errors(data: bytes, start: int) -> None:
    """Bytes that begin like an envelope, and go on as they like."""
    with contextlib.suppress(EncryptionError):
        parse_envelope(WHOLE[:start] + data)


@pytest.mark.parametrize("kind", ["02", "03"], ids=["signed", "enveloped"])
@pytest.mark.parametrize("place", ["children", "recipients", "chunks"])
def test_crowd_of_empty_elements_is_refused_before_it_is_parsed(kind: str, place: str) -> None:
    """Each would become an object: eight megabytes of them would take seconds and gigabytes."""
    crowd = b"\x30\x00" * 4_000_000
    start = b"\x30\x80" + bytes.fromhex(f"06092a864886f70d0107{kind}") + b"\xa0\x80\x30\x80"
    data = {
        "children": start + crowd,
        "recipients": start + b"\x02\x01\x00\x31\x80" + crowd,
        "chunks": start + bytes.fromhex("020101310030800609 2a864886f70d010701a0802480") + b"\x04\x00" * 4_000_000,
    }[place] + b"\x00" * 12
    if kind == "03":
        # The outer length is definite, as DER wants it; what is inside it is not looked at before it is counted.
        data = data.replace(b"\x30\x80", b"\x30\x84\x00\x80\x00\x00", 1)
    started = time.process_time()
    with pytest.raises(MdmprofileError, match="too many elements, more than 60,000"):
        (parse_signed_data if kind == "02" else parse_envelope)(data)
    assert time.process_time() - started < 1


def test_every_single_flipped_byte_of_the_structure_is_survived() -> None:
    """All of the structure before the ciphertext, one byte at a time."""
    for position in range(min(len(WHOLE), 800)):
        data = bytearray(WHOLE)
        data[position] ^= 0x55
        try:
            decrypt_profile(
                Profile(PLAIN_OUTER | {"EncryptedPayloadContent": bytes(data)}), Identity(DEVICE.ours, DEVICE.key)
            )
        except MdmprofileError:
            continue


# The profile around it


def test_profile_that_is_encrypted_already_is_refused(desk: Desk, mdmprofile: Command) -> None:
    """Encrypting twice would make a profile that no device reads."""
    assert mdmprofile("encrypt", desk.plain, "-o", desk.sealed, *desk.recipient).code == 0
    outcome = mdmprofile("encrypt", desk.sealed, "-o", desk.out, *desk.recipient)
    assert outcome.code == 3
    assert "is encrypted already" in outcome.err
    assert not desk.out.exists()


def test_decrypting_what_is_not_encrypted_says_so(desk: Desk, mdmprofile: Command) -> None:
    """Nothing is copied in silence."""
    outcome = mdmprofile("decrypt", desk.plain, "-o", desk.out, *desk.key)
    assert outcome.code == 3
    assert "is not encrypted" in outcome.err
    assert not desk.out.exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"EncryptedPayloadContent": "text"}, "holds no data"),
        ({"PayloadContent": []}, "beside EncryptedPayloadContent"),
    ],
    ids=["no-data", "both"],
)
def test_contradictory_profile_is_refused(change: dict[str, Any], expected: str, desk: Desk) -> None:
    """Two contents, or none that could be decrypted."""
    sealed = encrypt_profile(Profile(PLAIN), [desk.device.ours])
    with pytest.raises(EncryptionError, match=expected):
        decrypt_profile(Profile(dict(sealed.plist) | change), desk.identity)


@pytest.mark.parametrize("content", [None, {}, ["text"], "text"])
def test_profile_without_payloads_is_not_encrypted(content: Any, desk: Desk) -> None:
    """Nobody could read what comes out."""
    plist = PLAIN_OUTER if content is None else PLAIN | {"PayloadContent": content}
    with pytest.raises(EncryptionError, match="no array of payloads"):
        encrypt_profile(Profile(plist), [desk.device.ours])


def test_number_of_recipients_is_bounded_both_ways(desk: Desk) -> None:
    """What is written can be read again, and no more."""
    with pytest.raises(EncryptionError, match="at least one recipient"):
        encrypt_profile(Profile(PLAIN), [])
    key = desk.device.key
    many = [issue(f"D{number}", key=key).ours for number in range(MAX_RECIPIENTS + 1)]
    with pytest.raises(EncryptionError, match="more than 200"):
        encrypt_profile(Profile(PLAIN), many)
    sealed = encrypt_profile(Profile(PLAIN), many[:-1])
    assert decrypt_profile(sealed, Identity(many[-2], key)).plist == PLAIN


def test_opened_profile_says_that_it_was_encrypted(desk: Desk) -> None:
    """With the key the payloads are there, and the exact bytes that were signed stay what they were."""
    content = encrypt_profile(parse(desk.plain.read_bytes()), [desk.device.ours]).to_bytes()
    signer = issue("Signer", key=ec_key())
    for data in (content, sign(content, Identity(signer.ours, signer.key))):
        closed = open_profile(data)
        assert (closed.encrypted, closed.profile.encrypted, closed.profile.payloads) == (True, True, ())
        opened = open_profile(data, recipient=desk.identity)
        assert (opened.encrypted, opened.profile.encrypted, opened.content) == (True, False, content)
        assert opened.profile.plist == PLAIN
        assert opened.findings == ()
    assert not open_profile(desk.plain.read_bytes(), recipient=desk.identity).encrypted
    with pytest.raises(ProfileError):
        open_profile(b"nothing", recipient=desk.identity)


# Recipients


def test_recipients_that_cannot_be_encrypted_for_are_all_named(desk: Desk, mdmprofile: Command) -> None:
    """Every one, not only the first, each with its file."""
    files = [desk.put(f"{name}.pem", issue(name, key=ec_key()).pem) for name in ("One", "Two")]
    words = [word for file in files for word in ("--recipient", file)]
    outcome = mdmprofile("encrypt", desk.plain, "-o", desk.out, *desk.recipient, *words)
    assert outcome.code == 3
    for file, name in zip(files, ("One", "Two"), strict=True):
        assert f"{file}: the recipient {name} has a key that is EC" in outcome.err
    assert not desk.out.exists()


def _expired() -> Entity:
    return issue("Recipient", start=NOW - 9 * DAY, end=NOW - DAY)


def _not_yet() -> Entity:
    return issue("Recipient", start=NOW + DAY)


def _no_encipherment() -> Entity:
    return issue("Recipient", extensions=[usage(key_cert_sign=False)])


def _weak() -> Entity:
    return issue("Recipient", key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - that it is weak is the point


JUDGED: dict[str, tuple[Callable[[], Entity], str]] = {
    "expired": (_expired, "expiry.expired"),
    "not-yet-valid": (_not_yet, "expiry.not-yet-valid"),
    "ca": (lambda: root_ca("Recipient"), "encryption.recipient-ca"),
    "key-usage": (_no_encipherment, "encryption.key-usage"),
    "weak": (_weak, "encryption.weak-key"),
}


@pytest.mark.parametrize("case", JUDGED)
def test_doubtful_recipient_is_a_warning_and_encrypted_for(case: str, desk: Desk, mdmprofile: Command) -> None:
    """The key may be on the device all the same, so the administrator decides."""
    make, rule = JUDGED[case]
    file = desk.put("recipient.pem", make().pem)
    outcome = mdmprofile("encrypt", desk.plain, "-o", desk.out, "--recipient", file, "--format", "json")
    assert (outcome.code, sorted(outcome.rules)) == (0, sorted([rule, "signing.unsigned"]))
    (found,) = [each for each in outcome.json["findings"] if each["rule"] == rule]
    assert (found["severity"], found["where"]) == ("warning", str(file))
    assert "Recipient" in found["message"]
    assert mdmprofile("encrypt", desk.plain, "-o", desk.out, "--recipient", file, "--fail-on", "warning").code == 1


# Where the recipient's key comes from


def _both(desk: Desk) -> tuple[str | Path, ...]:
    return ("--recipient", desk.put("both.pem", desk.device.pem + desk.device.key_pem()))


def _both_as_key(desk: Desk) -> tuple[str | Path, ...]:
    return ("--recipient-key", desk.put("both.pem", desk.device.key_pem() + desk.device.pem))


def _alias(desk: Desk) -> tuple[str | Path, ...]:
    return (*desk.recipient, "--key", desk.folder / "device.key")


def _chain_and_password(desk: Desk) -> tuple[str | Path, ...]:
    desk.put("device.pem", root_ca().pem + issue("Other").pem + desk.device.pem)
    desk.put("device.key", desk.device.key_pem(PASSWORD))
    return (*desk.key, "--recipient-key-password-file", desk.put("pw", f"{PASSWORD}\n".encode()))


def _pkcs12(desk: Desk) -> tuple[str | Path, ...]:
    file = desk.put("device.p12", desk.device.p12(PASSWORD))
    return ("--recipient-pkcs12", file, "--recipient-pkcs12-password-file", desk.put("pw", PASSWORD.encode()))


SOURCES = {
    "one-file": _both,
    "one-file-named-as-key": _both_as_key,
    "alias": _alias,
    "chain-and-encrypted-key": _chain_and_password,
    "pkcs12": _pkcs12,
}


@pytest.mark.parametrize("source", SOURCES)
def test_key_may_come_in_any_container(source: str, desk: Desk, mdmprofile: Command) -> None:
    """However it is stored, it opens the profile."""
    assert mdmprofile("encrypt", desk.plain, "-o", desk.sealed, *desk.recipient).code == 0
    flags = SOURCES[source](desk)
    outcome = mdmprofile("decrypt", desk.sealed, "-o", desk.out, *flags)
    assert outcome.code == 0, outcome.err
    assert plistlib.loads(desk.out.read_bytes()) == PLAIN
    assert PASSWORD not in outcome.out + outcome.err


MISTAKES: dict[str, tuple[Callable[[Desk], tuple[str | Path, ...]], str]] = {
    "nobody": (lambda _: (), "name the recipient"),
    "no-key": (lambda desk: desk.recipient, "holds no private key, without which nothing is decrypted"),
    "no-certificate": (
        lambda desk: ("--key", desk.folder / "device.key"),
        "holds a private key where a certificate belongs",
    ),
    "key-of-another": (
        lambda desk: (*desk.recipient, "--key", desk.put("o.key", issue("Other", key=ec_key()).key_pem())),
        "does not belong to the certificate of Device",
    ),
    "password-missing": (
        lambda desk: (*desk.recipient, "--key", desk.put("e.key", desk.device.key_pem(PASSWORD))),
        "needs a password",
    ),
    "pkcs12-and-key": (lambda desk: (*desk.key, "--recipient-pkcs12", desk.folder / "x"), "use it alone"),
    "password-of-nothing": (
        lambda desk: (*desk.key, "--recipient-pkcs12-password-file", desk.folder / "x"),
        "of no use without --recipient-pkcs12",
    ),
    "absent": (lambda desk: ("--recipient", desk.folder / "absent"), "no such file"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_in_naming_the_key_is_one_line(case: str, desk: Desk, mdmprofile: Command) -> None:
    """Exit 3, what to do, and nothing written."""
    assert mdmprofile("encrypt", desk.plain, "-o", desk.sealed, *desk.recipient).code == 0
    make, expected = MISTAKES[case]
    outcome = mdmprofile("decrypt", desk.sealed, "-o", desk.out, *make(desk))
    assert outcome.code == 3
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1
    assert not desk.out.exists()


# Signatures


def signer_flags(site: Site) -> tuple[str | Path, ...]:
    """The flags of a site's signer."""
    chain = ("--signer-chain", site.folder / "intermediate.pem", "--signer-chain", site.folder / "root.pem")
    return ("--signer", site.folder / "signer.pem", "--signer-key", site.folder / "signer.key", *chain)


def test_signed_profile_is_taken_out_encrypted_and_signed_again(
    site: Site, desk: Desk, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """Encrypted first, signed then; the decrypted profile is not signed, and that is said each time."""
    signed = desk.folder / "signed"
    assert mdmprofile("sign", desk.plain, "-o", signed, *signer_flags(site)).code == 0
    outcome = mdmprofile("encrypt", signed, "-o", desk.sealed, *desk.recipient, *signer_flags(site))
    assert outcome.code == 0
    assert "took the profile out of the signature of Profile Signer" in outcome.out
    content = signed_content(openssl, desk.sealed, site.folder / "root.pem")
    assert decrypt_profile(parse(content), desk.identity).plist == PLAIN
    outcome = mdmprofile("decrypt", desk.sealed, "-o", desk.out, *desk.key, "--format", "json")
    assert (outcome.code, outcome.rules, outcome.json["signed"]) == (0, ["signing.unsigned"], True)
    assert plistlib.loads(desk.out.read_bytes()) == PLAIN
    outcome = mdmprofile("encrypt", signed, "-o", desk.out, *desk.recipient, "--format", "json")
    assert (outcome.code, outcome.rules) == (0, ["signing.unsigned"])
    assert "taken out of its signature" in outcome.json["findings"][0]["message"]


@pytest.mark.parametrize("command", ["encrypt", "decrypt"])
@pytest.mark.parametrize("place", [b"Configuration", b"<dict>"], ids=["text", "markup"])
def test_broken_signature_is_an_error_and_nothing_is_written(
    command: str, place: bytes, desk: Desk, mdmprofile: Command
) -> None:
    """Exit 2 whatever was changed, where it breaks the property list too."""
    content = desk.plain.read_bytes()
    flags = desk.recipient
    if command == "decrypt":
        content = encrypt_profile(parse(content), [desk.device.ours]).to_bytes()
        flags = desk.key
    signer = issue("Signer", key=ec_key())
    whole = sign(content, Identity(signer.ours, signer.key))
    desk.sealed.write_bytes(whole.replace(place, b"x" * len(place), 1))
    desk.out.write_bytes(b"older")
    outcome = mdmprofile(command, desk.sealed, "-o", desk.out, *flags, "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["signature.invalid"])
    assert desk.out.read_bytes() == b"older"


def test_signer_that_cannot_sign_leaves_nothing_unsigned(site: Site, desk: Desk, mdmprofile: Command) -> None:
    """Encryption alone would be a profile that anybody could have made."""
    (site.folder / "signer.key").write_bytes(issue("Other", key=ec_key()).key_pem())
    words = (*desk.recipient, *signer_flags(site), "--format", "json")
    outcome = mdmprofile("encrypt", desk.plain, "-o", desk.out, *words)
    assert (outcome.code, outcome.rules) == (2, ["signing.key-mismatch"])
    assert not desk.out.exists()


# In a build


@pytest.fixture
def sealed_site(site: Site) -> tuple[Site, Entity]:
    """A site whose config encrypts for a device."""
    device = issue("Device", site.intermediate)
    (site.folder / "device.pem").write_bytes(device.pem)
    (site.folder / "device.key").write_bytes(device.key_pem())
    site.edit(lambda text: text + '\n[encryption]\nrecipient = "device.pem"\n')
    return site, device


def test_build_encrypts_first_and_signs_then(
    sealed_site: tuple[Site, Entity], tmp_path: Path, mdmprofile: Command, openssl: OpenSSL
) -> None:
    """Openssl verifies the outer signature and decrypts the array; the trust profile stays readable by everybody."""
    site, device = sealed_site
    out = tmp_path / "out"
    outcome = mdmprofile("build", "-c", site.config, "-o", out, "--format", "json")
    assert (outcome.code, outcome.rules) == (0, ["encryption.first-enrollment"])
    content = signed_content(openssl, out / "enroll.mobileconfig", site.folder / "root.pem")
    outer = plistlib.loads(content)
    assert outer["IsEncrypted"] is True
    assert "PayloadContent" not in outer
    assert b"open-sesame-4711" not in content
    (tmp_path / "envelope").write_bytes(outer["EncryptedPayloadContent"])
    recipient = ("-recip", site.folder / "device.pem", "-inkey", site.folder / "device.key")
    array = plistlib.loads(
        openssl("cms", "-decrypt", "-inform", "DER", "-binary", "-in", tmp_path / "envelope", *recipient)
    )
    opened = open_profile((out / "enroll.mobileconfig").read_bytes(), recipient=Identity(device.ours, device.key))
    assert [dict(each) for each in opened.profile.payloads] == array
    assert array[-1]["PayloadType"] == "com.apple.mdm"
    trust = plistlib.loads(signed_content(openssl, out / "trust.mobileconfig", site.folder / "root.pem"))
    assert "EncryptedPayloadContent" not in trust
    assert {each["kind"]: each["encrypted"] for each in outcome.json["artifacts"]}["enrollment"] is True
    site.edit(lambda text: text.partition("\n[encryption]")[0])
    assert mdmprofile("build", "-c", site.config, "-o", tmp_path / "plain").code == 0
    plain = open_profile((tmp_path / "plain" / "enroll.mobileconfig").read_bytes())
    assert plain.profile.plist == opened.profile.plist


def test_recipients_of_a_config_are_judged_by_their_dates(
    sealed_site: tuple[Site, Entity], tmp_path: Path, mdmprofile: Command
) -> None:
    """Renewed elsewhere: a warning in build, an error in check, and no limit to the replacement date."""
    site, _ = sealed_site
    (site.folder / "old.pem").write_bytes(_expired().pem)
    site.edit(lambda text: text.replace('recipient = "device.pem"', 'recipient = ["device.pem", "old.pem"]'))
    outcome = mdmprofile("build", "-c", site.config, "-o", tmp_path / "out", "--format", "json")
    assert (outcome.code, sorted(outcome.rules)) == (0, ["encryption.first-enrollment", "expiry.expired"])
    roles = [each["subject"] for each in outcome.json["certificates"] if each["role"] == "recipient"]
    assert roles == ["CN=Device", "CN=Recipient"]
    assert "recipient" not in outcome.json["plan"]["limited_by"]
    outcome = mdmprofile("check", site.config, "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["expiry.expired"])


def test_flag_encrypts_without_a_table_and_a_replacement_is_no_first_enrollment(
    site: Site, tmp_path: Path, mdmprofile: Command
) -> None:
    """The flag lies over the config, and who replaces a profile has enrolled devices."""
    (site.folder / "device.pem").write_bytes(issue("Device").pem)
    words = ("build", "-c", site.config, "--recipient", site.folder / "device.pem", "--format", "json")
    outcome = mdmprofile(*words, "-o", tmp_path / "out")
    assert [each["severity"] for each in outcome.json["findings"]] == ["warning"]
    assert mdmprofile("build", "-c", site.config, "-o", tmp_path / "old").code == 0
    outcome = mdmprofile(*words, "-o", tmp_path / "new", "--replaces", tmp_path / "old" / "enroll.mobileconfig")
    assert [(each["rule"], each["severity"]) for each in outcome.json["findings"]] == [
        ("encryption.first-enrollment", "info"),
        ("replacement.new-identity", "info"),
    ]
    assert open_profile((tmp_path / "new" / "enroll.mobileconfig").read_bytes()).encrypted


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", "encryption.recipient: is missing"),
        ("recipient = []", "encryption.recipient: is missing"),
        ("recipient = 5", "encryption.recipient: must be text"),
        ('recipent = "device.pem"', "did you mean recipient?"),
        ('recipient = "absent.pem"', "absent.pem: no such file"),
        ('recipient = "ec.pem"', "has a key that is EC"),
    ],
    ids=["empty", "none", "number", "misspelt", "absent", "ec"],
)
def test_mistake_in_the_table_is_named_and_nothing_is_built(
    lines: str, expected: str, site: Site, tmp_path: Path, mdmprofile: Command
) -> None:
    """Encryption that was asked for and cannot be done is never left out."""
    (site.folder / "ec.pem").write_bytes(issue("EC", key=ec_key()).pem)
    site.edit(lambda text: f"{text}\n[encryption]\n{lines}\n")
    outcome = mdmprofile("build", "-c", site.config, "-o", tmp_path / "out")
    assert outcome.code == 3
    assert expected in outcome.err
    assert not (tmp_path / "out").exists()


def test_check_and_lint_open_an_encrypted_profile_with_its_key(site: Site, tmp_path: Path, mdmprofile: Command) -> None:
    """Without the key only the outside is judged, and both say so."""
    device = issue("Device")
    for name, data in (("device.pem", device.pem), ("device.key", device.key_pem())):
        (tmp_path / name).write_bytes(data)
    words = ("build", "-c", site.config, "--recipient", tmp_path / "device.pem", "-o", tmp_path)
    assert mdmprofile(*words).code == 0
    key = ("--recipient", tmp_path / "device.pem", "--recipient-key", tmp_path / "device.key")
    profile = tmp_path / "enroll.mobileconfig"
    assert mdmprofile("check", profile).code == 3
    outcome = mdmprofile("check", profile, *key, "--format", "json")
    assert outcome.code == 0
    assert {"root", "intermediate", "signer"} <= {each["role"] for each in outcome.json["certificates"]}
    serial = f"{device.certificate.serial_number:X}"
    assert f"for serial number {serial.zfill(len(serial) + len(serial) % 2)} of" in mdmprofile("show", profile).out
    assert "encryption.not-judged" in mdmprofile("lint", profile, "--format", "json").rules
    outcome = mdmprofile("lint", profile, *key, "--format", "json")
    assert outcome.code == 0
    assert "encryption.not-judged" not in outcome.rules
