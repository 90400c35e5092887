"""Any bytes a user hands us: property lists of every kind, signed or not, and hostile ones."""

from __future__ import annotations

import plistlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from mdmprofile.certificates import Identity
from mdmprofile.cms.sign import sign
from mdmprofile.cms.trust import judge_trust
from mdmprofile.cms.verify import is_signed, verify
from mdmprofile.errors import CertificateError, MdmprofileError, ProfileError, SignatureFormatError
from mdmprofile.inputs import MAX_PROFILE
from mdmprofile.reader import is_profile, open_profile, payload_certificates
from pki import NOW, Entity, ec_key, issue, root_ca

OpenSSL = Callable[..., bytes]

PLIST: dict[str, Any] = {
    "PayloadType": "Configuration",
    "PayloadIdentifier": "com.example.enroll",
    "PayloadDisplayName": "Prüfung & Co",
    "PayloadContent": [{"PayloadType": "com.apple.security.root", "PayloadContent": bytes(range(256))}],
}
XML = plistlib.dumps(PLIST)
BINARY = plistlib.dumps(PLIST, fmt=plistlib.FMT_BINARY)
UTF16 = XML.decode().replace("UTF-8", "UTF-16")

ROOT = root_ca(key=ec_key())
SIGNER = issue("Signer", ROOT, key=ec_key(), extensions=[x509.SubjectKeyIdentifier(b"twenty bytes of name")])


def signed(content: bytes, signer: Entity = SIGNER) -> bytes:
    """The content inside a signature, with the signer's CA."""
    return sign(content, Identity(signer.ours, signer.key, (ROOT.ours,)))


def signed_by(openssl: OpenSSL, folder: Path, *flags: str, content: bytes = XML) -> bytes:
    """The content as ``openssl cms -sign`` signs it."""
    (folder / "signer.pem").write_bytes(SIGNER.pem)
    (folder / "signer.key").write_bytes(SIGNER.key_pem())
    words = ("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-signer", folder / "signer.pem")
    return openssl(*words, "-inkey", folder / "signer.key", *flags, data=content)


def xml(body: str, head: str = '<?xml version="1.0"?>') -> bytes:
    """A property list of this body, in UTF-8 whatever its head says."""
    return f'{head}<plist version="1.0">{body}</plist>'.encode()


# Property lists that are read


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(XML, id="xml"),
        pytest.param(BINARY, id="binary"),
        pytest.param(XML.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(b"\xef\xbb\xbf" + XML, id="utf-8-with-mark"),
        pytest.param(b"\xff\xfe" + UTF16.encode("utf-16-le"), id="utf-16-little-endian"),
        pytest.param(b"\xfe\xff" + UTF16.encode("utf-16-be"), id="utf-16-big-endian"),
        pytest.param(XML[XML.index(b"<plist") :], id="without-xml-declaration"),
        pytest.param(XML.decode().replace("UTF-8", "ISO-8859-1").encode("iso-8859-1"), id="another-encoding-declared"),
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["plain", "signed"])
def test_property_list_of_any_form_is_opened(data: bytes, inside: bool) -> None:
    """The dictionary comes out, with the exact bytes it was read from and the signature where there is one."""
    opened = open_profile(signed(data) if inside else data, source="a.mobileconfig")
    assert opened.profile.plist == PLIST
    assert (opened.content, opened.source, opened.findings) == (data, "a.mobileconfig", ())
    assert (opened.signature is not None) is inside


@pytest.mark.parametrize("flags", [(), ("-stream",), ("-keyid", "-noattr")], ids=["der", "ber", "key-identifier"])
@pytest.mark.parametrize("content", [XML, BINARY], ids=["xml", "binary"])
def test_profile_that_another_tool_signed_is_opened(
    content: bytes, flags: tuple[str, ...], tmp_path: Path, openssl: OpenSSL
) -> None:
    """The bytes inside are what openssl was given."""
    opened = open_profile(signed_by(openssl, tmp_path, *flags, content=content))
    assert (opened.content, opened.findings) == (content, ())
    assert opened.profile.identifier == "com.example.enroll"


def test_depth_of_an_xml_property_list_is_no_obstacle() -> None:
    """Ten thousand arrays in each other are read, or refused with the project's error, never a crash."""
    depth = 10_000
    data = xml("<dict><key>PayloadIdentifier</key><string>deep</string><key>a</key>" + "<array>" * depth)
    data = data.replace(b"</plist>", b"</array>" * depth + b"</dict></plist>")
    try:
        opened = open_profile(data)
    except ProfileError:
        return
    assert opened.profile.identifier == "deep"


# Property lists that are refused


def nested(depth: int) -> bytes:
    """A binary property list of arrays in each other."""
    body, offsets = b"bplist00", []
    for number in range(depth):
        offsets.append(len(body))
        body += b"\xa1" + (number + 1).to_bytes(4, "big")
    offsets.append(len(body))
    table = len(body) + 1
    body += b"\xd0" + b"".join(each.to_bytes(4, "big") for each in offsets)
    return body + bytes(6) + b"\4\4" + b"".join(each.to_bytes(8, "big") for each in (len(offsets), 0, table))


LAUGHS = "".join(f'<!ENTITY l{number} "{f"&l{number - 1};" * 10}">' for number in range(1, 10))
REFUSED = {
    "text": (b"just some text", "is not a property list"),
    "json": (b'{"PayloadType": "Configuration"}', "is not a property list"),
    "xml-cut-short": (XML[:-30], "is not a property list"),
    "binary-cut-short": (BINARY[:-1], "is not a property list"),
    "binary-head-alone": (b"bplist00", "is not a property list"),
    "array": (plistlib.dumps([PLIST]), "not a dictionary"),
    "binary-array": (plistlib.dumps([PLIST], fmt=plistlib.FMT_BINARY), "not a dictionary"),
    "nothing-inside": (xml(""), "not a dictionary"),
    "value-without-key": (xml("<dict><string>a</string></dict>"), "is not a property list"),
    "bad-date": (xml("<dict><key>a</key><date>today</date></dict>"), "is not a property list"),
    "bad-data": (xml("<dict><key>a</key><data>%</data></dict>").replace(b"%", b"x"), "is not a property list"),
    "endless-integer": (xml(f"<dict><key>a</key><integer>{'9' * 5000}</integer></dict>"), "is not a property list"),
    "wrong-encoding": (xml("<dict><key>\xff</key></dict>").replace("\xff".encode(), b"\xff"), "is not a property list"),
    "unknown-encoding": (xml("<dict/>", '<?xml version="1.0" encoding="nonsense"?>'), "is not a property list"),
    "codec-that-is-no-encoding": (xml("<dict/>", '<?xml version="1.0" encoding="base64"?>'), "is not a property list"),
    "multi-byte-encoding": (xml("<dict/>", '<?xml version="1.0" encoding="shift_jis"?>'), "is not a property list"),
    "billion-laughs": (
        xml("<dict><key>&l9;</key></dict>", f'<!DOCTYPE plist [<!ENTITY l0 "ha">{LAUGHS}]>'),
        "is not a property list",
    ),
    "external-entity": (
        xml("<dict><key>&a;</key></dict>", '<!DOCTYPE plist [<!ENTITY a SYSTEM "file:///etc/passwd">]>'),
        "is not a property list",
    ),
    "deep-binary": (nested(50_000), "is not a property list"),
    "binary-that-claims-too-much": (BINARY[:-24] + b"\x7f" + BINARY[-23:], "is not a property list"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("inside", [False, True], ids=["plain", "signed"])
def test_what_is_no_profile_is_refused(kind: str, inside: bool) -> None:
    """One clear error that names the file, inside a good signature too."""
    data, message = REFUSED[kind]
    with pytest.raises(ProfileError, match=message) as caught:
        open_profile(signed(data) if inside else data, source="a.mobileconfig")
    assert caught.value.where == "a.mobileconfig"
    assert len(str(caught.value)) < 250
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b" \r\n\t"], ids=["no-byte", "white-space"])
def test_empty_file_is_named_so(data: bytes) -> None:
    """An empty download is common enough for words of its own."""
    with pytest.raises(ProfileError, match=r"a\.mobileconfig: is empty where a profile belongs"):
        open_profile(data, source="a.mobileconfig")


def test_file_over_the_limit_is_refused_before_it_is_parsed() -> None:
    """Size is bounded, whatever the bytes are."""
    with pytest.raises(ProfileError, match="larger than the limit of 16,384 KiB"):
        open_profile(bytes(MAX_PROFILE + 1))


def test_signed_data_that_is_cut_short_is_broken_cms() -> None:
    """The file is signed by its first bytes, so the error speaks of the signature."""
    with pytest.raises(SignatureFormatError, match=r"a\.mobileconfig: is not intact CMS signed data"):
        open_profile(signed(XML)[:-1], source="a.mobileconfig")


# Telling a profile from the rest


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda: XML, True, id="xml"),
        pytest.param(lambda: BINARY, True, id="binary"),
        pytest.param(lambda: b"\xef\xbb\xbf\n" + XML, True, id="byte-order-mark"),
        pytest.param(lambda: signed(XML), True, id="signed-xml"),
        pytest.param(lambda: signed(BINARY), True, id="signed-binary"),
        pytest.param(lambda: signed(b"a letter"), True, id="signed-text"),
        pytest.param(lambda: SIGNER.pem, False, id="certificate-pem"),
        pytest.param(lambda: SIGNER.der, False, id="certificate-der"),
        pytest.param(lambda: b"", False, id="empty"),
    ],
)
def test_profile_is_told_from_other_files(make: Callable[[], bytes], expected: bool) -> None:
    """The bytes decide; a .p7b of certificates begins like a signed profile and is none."""
    assert is_profile(make()) is expected


def test_certificate_bundle_is_no_profile(tmp_path: Path, openssl: OpenSSL) -> None:
    """A .p7b begins like a signed profile."""
    (tmp_path / "a.pem").write_bytes(ROOT.pem)
    bundle = openssl("crl2pkcs7", "-nocrl", "-certfile", tmp_path / "a.pem", "-outform", "DER")
    assert is_signed(bundle)
    assert not is_profile(bundle)


# Certificates of payloads


@pytest.mark.parametrize("content", [SIGNER.der, SIGNER.pem], ids=["der", "pem"])
def test_certificate_of_a_payload_is_read(content: bytes) -> None:
    """DER or PEM; the source is the payload's place alone."""
    (found,) = payload_certificates(content, source="a.mobileconfig PayloadContent[0]")
    assert (found.der, found.source) == (SIGNER.der, "a.mobileconfig PayloadContent[0]")


def test_every_certificate_of_a_payload_is_read() -> None:
    """A bundle where one certificate belongs is somebody's mistake, but each of its certificates ends."""
    found = payload_certificates(SIGNER.pem + ROOT.pem, source="a.mobileconfig PayloadContent[0]")
    assert [each.der for each in found] == [SIGNER.der, ROOT.der]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("text", "holds no data", id="text"),
        pytest.param(None, "holds no data", id="absent"),
        pytest.param([SIGNER.der], "holds no data", id="array"),
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(SIGNER.der[:-1], "cannot be parsed", id="cut-short"),
        pytest.param(b"noise", "holds no certificate", id="noise"),
    ],
)
def test_payload_without_a_certificate_is_an_error_with_its_place(content: object, message: str) -> None:
    """The error says which payload."""
    with pytest.raises(CertificateError, match=message) as caught:
        payload_certificates(content, source="a.mobileconfig PayloadContent[0]")
    assert caught.value.where == "a.mobileconfig PayloadContent[0]"


# Damaged and hostile files


def judged(data: bytes) -> bytes | None:
    """The content when the signature is intact and trusted, else None; anything but the project's errors escapes."""
    try:
        opened = open_profile(data)
        if opened.signature is None or opened.findings:
            return None
        assert opened.signature == verify(data)
        judge_trust(opened.signature, [ROOT.ours], at=NOW)
    except MdmprofileError:
        return None
    return opened.content


SMALL = xml("<dict><key>PayloadType</key><string>Configuration</string></dict>")
SEEDS = {"der": (), "ber": ("-stream",), "key-identifier": ("-keyid",), "without-attributes": ("-noattr",)}


@pytest.mark.parametrize("form", SEEDS)
def test_flipping_any_byte_never_forges_content(form: str, tmp_path: Path, openssl: OpenSSL) -> None:
    """A bit of every byte is flipped in turn: what still verifies holds the content that was signed."""
    whole = signed_by(openssl, tmp_path, *SEEDS[form], content=SMALL)
    assert judged(whole) == SMALL
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        assert judged(bytes(damaged)) in {None, SMALL}, position


@pytest.mark.parametrize("form", SEEDS)
def test_random_damage_never_forges_content(form: str, tmp_path: Path, openssl: OpenSSL) -> None:
    """Bytes are changed, repeated, moved and cut out; nothing but the project's errors, and no forgery, comes of it."""
    whole = signed_by(openssl, tmp_path, *SEEDS[form], content=SMALL)
    dice = random.Random(4711)  # noqa: S311 - repeatable damage, no secret
    for _ in range(250):
        damaged = bytearray(whole)
        for _ in range(dice.randrange(1, 4)):
            start = dice.randrange(len(damaged))
            piece = damaged[start : start + dice.randrange(1, 30)]
            match dice.randrange(4):
                case 0:
                    damaged[start] = dice.randrange(256)
                case 1:
                    damaged[start:start] = piece
                case 2:
                    del damaged[start : start + len(piece)]
                case _:
                    place = dice.randrange(len(damaged))
                    damaged[place : place + len(piece)] = piece
        assert judged(bytes(damaged)) in {None, SMALL}, bytes(damaged).hex()


def test_every_truncation_of_a_signed_profile_is_refused() -> None:
    """Half a download never opens."""
    whole = signed(SMALL)
    for length in range(len(whole)):
        with pytest.raises(MdmprofileError):
            open_profile(whole[:length])


HEADS = st.sampled_from([b"", b"bplist00", b"<?xml version='1.0'?><plist>", signed(SMALL)[:40], b"\xef\xbb\xbf<plist"])


@settings(database=None, deadline=None, derandomize=True, max_examples=250)
@given(HEADS, st.binary(max_size=300))
def test_random_bytes_are_refused(head: bytes, noise: bytes) -> None:
    """Noise behind any plausible beginning gives the project's errors only."""
    with pytest.raises(MdmprofileError):
        open_profile(head + noise)
