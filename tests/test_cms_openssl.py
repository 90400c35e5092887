"""Signatures checked both ways against openssl: what it signs we read, what we sign it reads, what neither takes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from asn1crypto import cms
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from conftest import Command
from mdmprofile.certificates import Identity
from mdmprofile.cms.seal import OFTEN, Seal
from mdmprofile.cms.sign import sign
from mdmprofile.cms.structure import parse_signed_data
from mdmprofile.cms.trust import judge_trust
from mdmprofile.cms.verify import Signature, verify
from mdmprofile.errors import MdmprofileError
from mdmprofile.findings import has_errors
from mdmprofile.moments import stamp
from pki import DAY, NOW, Entity, Key, issue, root_ca, signed_content

OpenSSL = Callable[..., bytes]

CONTENT = (
    b'<?xml version="1.0" encoding="UTF-8"?>\r\n<plist version="1.0">\r<dict>\n'
    b"<key>PayloadType</key>\t<string>Configuration\xc3\xa9</string> \r\n</dict></plist>\n\n"
)
CURVES: dict[str, type[ec.EllipticCurve]] = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
KEYS = ("rsa2048", "rsa3072", "rsa4096", *CURVES)
DIGESTS = ("sha256", "sha384", "sha512")
ATTRIBUTES = {"attributes": (), "no-attributes": ("-noattr",)}
ENCODINGS = {"der": (), "ber": ("-stream",)}


@functools.cache
def key_of(kind: str) -> Key:
    """The module's one key of this kind: large RSA keys are slow to make."""
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind]())
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))


@functools.cache
def authority() -> Entity:
    """The root above every signer here."""
    return root_ca(key=key_of("p256"))


def signer_of(kind: str, *, start: int = -1, end: int = 365) -> Entity:
    """A signer with the key of this kind below the root."""
    return issue(f"Signer {kind}", authority(), key=key_of(kind), start=NOW + start * DAY, end=NOW + end * DAY)


def put(folder: Path, name: str, entity: Entity) -> tuple[str | Path, ...]:
    """Openssl's flags for a signer whose files are in the folder."""
    (folder / f"{name}.pem").write_bytes(entity.pem)
    (folder / f"{name}.key").write_bytes(entity.key_pem())
    return ("-signer", folder / f"{name}.pem", "-inkey", folder / f"{name}.key")


def openssl_signs(openssl: OpenSSL, folder: Path, *signers: Entity, flags: tuple[str, ...] = ()) -> bytes:
    """What ``openssl cms -sign`` makes of the content."""
    named = [each for number, entity in enumerate(signers) for each in put(folder, f"s{number}", entity)]
    return openssl("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", *named, *flags, data=CONTENT)


def rewrapped(data: bytes) -> bytes:
    """The same signed data in BER with indefinite lengths, for what openssl cannot write as a stream."""
    info = cms.ContentInfo.load(data)
    oid, fields = info["content_type"].dump(), info["content"].contents
    made: bytes = b"\x30\x80" + oid + b"\xa0\x80\x30\x80" + fields + bytes(6)
    return made


def judged(signature: Signature) -> bool:
    """Whether the signature is intact and its signer is below the root."""
    findings = (*signature.findings, *judge_trust(signature, [authority().ours], at=NOW))
    return not has_errors(findings)


# What openssl signs


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("attributes", ATTRIBUTES)
@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize("kind", [*KEYS, "rsa2048-pss", "rsa3072-pss"])
def test_signature_of_openssl_is_intact_and_trusted(
    kind: str, digest: str, attributes: str, encoding: str, tmp_path: Path, openssl: OpenSSL
) -> None:
    """Every key, digest and encoding: the content is exact, the signer found, and the facts are told."""
    key, _, pss = kind.partition("-")
    entity = signer_of(key)
    stream = () if pss else ENCODINGS[encoding]
    padding = ("-keyopt", "rsa_padding_mode:pss") if pss else ()
    data = openssl_signs(openssl, tmp_path, entity, flags=("-md", digest, *padding, *ATTRIBUTES[attributes], *stream))
    if pss and encoding == "ber":
        data = rewrapped(data)
    assert data.startswith(b"\x30\x80") is (encoding == "ber")
    opened = verify(data)
    assert opened.content == CONTENT
    assert judged(opened)
    (found,) = opened.signers
    assert found.certificate == entity.ours
    assert found.digest == digest
    expected = "ecdsa" if key in CURVES else "rsassa_pss" if pss else "rsassa_pkcs1v15"
    assert found.signature_algorithm == expected
    needed = {"contentType", "messageDigest", "signingTime"}
    assert needed <= set(found.signed_attributes) if attributes == "attributes" else found.signed_attributes == ()


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_signature_of_openssl_for_another_content_is_not_valid(
    kind: str, encoding: str, tmp_path: Path, openssl: OpenSSL
) -> None:
    """A wrong body under somebody's real signature is told, whatever the key."""
    for attributes in ATTRIBUTES.values():
        data = openssl_signs(openssl, tmp_path, signer_of(kind), flags=(*attributes, *ENCODINGS[encoding]))
        wrong = data.replace(b"Configuration", b"configuration")
        assert wrong != data
        (found,) = verify(wrong).signers
        assert not found.valid


# What we sign


@pytest.mark.parametrize("kind", KEYS)
def test_openssl_verifies_what_we_sign(kind: str, tmp_path: Path, openssl: OpenSSL, mdmprofile: Command) -> None:
    """Signature, content and the path to the root, for every key."""
    put(tmp_path, "signer", signer_of(kind))
    plain, out, root = (tmp_path / each for each in ("plain", "out", "root.pem"))
    plain.write_bytes(CONTENT)
    root.write_bytes(authority().pem)
    flags = ("--signer", tmp_path / "signer.pem", "--signer-key", tmp_path / "signer.key", "--signer-chain", root)
    outcome = mdmprofile("sign", plain, "-o", out, *flags)
    assert outcome.code == 0, outcome.err
    assert signed_content(openssl, out, root) == CONTENT
    printed = openssl("cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", out).decode()
    assert "sha256" in printed


@pytest.mark.parametrize("kind", ["rsa2048", "p256"])
def test_openssl_verifies_signatures_that_are_made_many_at_once(kind: str, tmp_path: Path, openssl: OpenSSL) -> None:
    """Each has its own content, wherever in the row it stands and whatever was made whole before it."""
    seal = Seal(Identity(signer_of(kind).ours, signer_of(kind).key))
    (tmp_path / "root.pem").write_bytes(authority().pem)
    assert seal.sign_all([]) == []
    # The last two rows begin before and behind the signature that is made whole again.
    for count in (1, 3, OFTEN - 1, 2):
        contents = [CONTENT + b"%d of %d" % (number, count) for number in range(count)]
        signed = seal.sign_all(contents)
        opened = [verify(each) for each in signed]
        assert [each.content for each in opened] == contents
        assert not any(signer.problem for each in opened for signer in each.signers)
        for data, content in {contents[0]: signed[0], contents[-1]: signed[-1]}.items():
            words = ("cms", "-verify", "-binary", "-inform", "DER", "-CAfile", tmp_path / "root.pem")
            assert openssl(*words, "-purpose", "any", "-attime", str(int(NOW.timestamp())), data=content) == data


# What neither takes


def refused(data: bytes) -> bool:
    """Whether a file is refused: as broken, not valid, or not trusted."""
    try:
        return not judged(verify(data))
    except MdmprofileError:
        return True


def covered(data: bytes) -> set[int]:
    """Where content, signed attributes and signature are in the file; the content of BER may be in pieces."""
    signed = parse_signed_data(data)
    (info,) = signed.signers
    parts = [info.signature, CONTENT]
    if info.signed_bytes is not None:
        # Stored under another tag than they are signed with.
        parts.append(info.signed_bytes[1:])
    found: set[int] = set()
    for part in parts:
        start = data.rindex(part)
        found |= set(range(start, start + len(part)))
    return found


def flipped(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The file with one bit changed, for one bit of every byte."""
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << (position % 8)
        yield position, bytes(changed)


def said(signature: Signature) -> bytes:
    """What the signer's issuer says of it; how many bits of the issuer's signature are unused nobody signs."""
    (found,) = signature.signers
    assert found.certificate is not None
    return found.certificate.parsed.tbs_certificate_bytes


FLIPPED: dict[str, tuple[str, tuple[str, ...]]] = {
    "ec": ("p256", ()),
    "ec-no-attributes": ("p256", ("-noattr",)),
    "rsa": ("rsa2048", ()),
    "rsa-no-attributes-ber": ("rsa2048", ("-noattr", "-stream")),
    "ec-ber": ("p384", ("-stream",)),
}


@pytest.mark.parametrize("form", FLIPPED)
def test_changed_byte_anywhere_never_shows_other_content_or_another_signer(
    form: str, tmp_path: Path, openssl: OpenSSL
) -> None:
    """Content, attributes and signature: each byte matters; of the rest, nothing that is taken changes what is said."""
    kind, flags = FLIPPED[form]
    data = openssl_signs(openssl, tmp_path, signer_of(kind), flags=flags)
    assert not refused(data)
    original = verify(data)
    parts = covered(data)
    assert len(parts) > len(CONTENT) + 60
    taken = []
    for position, changed in flipped(data):
        if refused(changed):
            continue
        assert position not in parts
        opened = verify(changed)
        assert opened.content == original.content
        assert said(opened) == said(original)
        assert opened.signers[0].digest == original.signers[0].digest
        taken.append(position)
    # Version numbers and the list of digests say nothing of the content.
    assert len(taken) < 40


def test_what_openssl_refuses_after_a_change_is_refused_here(tmp_path: Path, openssl: OpenSSL) -> None:
    """A sample of changed bytes, each file given to both: nothing that openssl refuses passes."""
    data = sign(CONTENT, Identity(signer_of("p256").ours, signer_of("p256").key))
    root, file = tmp_path / "root.pem", tmp_path / "changed"
    root.write_bytes(authority().pem)
    parts = covered(data)
    sample = [each for each in flipped(data) if each[0] in parts][::7]
    assert len(sample) > 40
    for _, changed in sample:
        file.write_bytes(changed)
        openssl("cms", "-verify", "-binary", "-noverify", "-inform", "DER", "-in", file, fails=True)
        assert refused(changed)


def test_signer_of_another_authority_is_not_trusted(tmp_path: Path, openssl: OpenSSL, mdmprofile: Command) -> None:
    """The signature of a stranger is intact, and that is all; the other's root in the file changes nothing."""
    stranger = root_ca("Stranger", key=key_of("p384"))
    entity = issue("Signer", stranger, key=key_of("p256"))
    (tmp_path / "other.pem").write_bytes(stranger.pem)
    (tmp_path / "root.pem").write_bytes(authority().pem)
    file = tmp_path / "signed"
    file.write_bytes(openssl_signs(openssl, tmp_path, entity, flags=("-certfile", str(tmp_path / "other.pem"))))
    outcome = mdmprofile("verify", file, "--trust", tmp_path / "root.pem", "--format", "json")
    assert (outcome.code, outcome.rules) == (2, ["signature.untrusted"])
    assert outcome.json["signers"][0]["chain"] == []
    assert [each["subject"] for each in outcome.json["embedded"]] == ["CN=Signer", "CN=Stranger"]
    outcome = mdmprofile("verify", file, "--trust", tmp_path / "other.pem", "--format", "json")
    assert (outcome.code, outcome.json["signers"][0]["chain"]) == (0, ["CN=Signer", "CN=Stranger"])


@pytest.mark.parametrize(("days", "code"), [(364, 0), (366, 2), (-2, 2)], ids=["valid", "expired", "not-valid-yet"])
def test_signer_is_judged_at_the_date_asked_for(
    days: int, code: int, tmp_path: Path, openssl: OpenSSL, mdmprofile: Command
) -> None:
    """With a root to trust, the signer's certificate must be valid on that day."""
    (tmp_path / "root.pem").write_bytes(authority().pem)
    file = tmp_path / "signed"
    file.write_bytes(openssl_signs(openssl, tmp_path, signer_of("p256")))
    flags = ("--trust", tmp_path / "root.pem", "--format", "json")
    outcome = mdmprofile("verify", file, *flags, at=stamp(NOW + days * DAY))
    assert outcome.code == code
    if code:
        assert "expired or not valid yet" in outcome.json["findings"][0]["message"]


def test_second_signer_is_refused_though_the_root_is_trusted(tmp_path: Path, openssl: OpenSSL) -> None:
    """Two people, both below the root: a device expects one."""
    data = openssl_signs(openssl, tmp_path, signer_of("p256"), signer_of("rsa2048"))
    assert [each.valid for each in verify(data).signers] == [True, True]
    assert refused(data)


def test_signer_that_signs_twice_is_refused_and_said(tmp_path: Path, openssl: OpenSSL, mdmprofile: Command) -> None:
    """The same certificate in two signer infos."""
    entity = signer_of("p256")
    file = tmp_path / "signed"
    info = cms.ContentInfo.load(openssl_signs(openssl, tmp_path, entity))
    once = info["content"]["signer_infos"][0]
    info["content"]["signer_infos"] = [once, once.copy()]
    file.write_bytes(info.dump(force=True))
    assert len(parse_signed_data(file.read_bytes()).signers) == 2
    outcome = mdmprofile("verify", file, "--format", "json")
    assert outcome.code == 2
    assert [each["subject"] for each in outcome.json["signers"]] == ["CN=Signer p256"] * 2
    assert "one of them signs more than once" in outcome.json["findings"][0]["message"]


@pytest.mark.parametrize("attributes", ATTRIBUTES)
@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        pytest.param("p256", ("-nocerts",), id="no-certificate"),
        pytest.param("rsa2048", ("-md", "sha1"), id="sha1"),
        pytest.param("p256", ("-md", "sha1"), id="ec-sha1"),
        pytest.param("rsa2048", ("-md", "md5"), id="md5"),
    ],
)
def test_signature_that_proves_nothing_is_refused(
    kind: str, flags: tuple[str, ...], attributes: str, tmp_path: Path, openssl: OpenSSL
) -> None:
    """Without a certificate, or with a digest that can be made to fit two contents."""
    assert refused(openssl_signs(openssl, tmp_path, signer_of(kind), flags=(*flags, *ATTRIBUTES[attributes])))


# What verify tells


def test_report_tells_everything_about_the_signer(tmp_path: Path, openssl: OpenSSL, mdmprofile: Command) -> None:
    """Subject, fingerprint, digest, algorithm, attributes, time, what is embedded, and the path to the root."""
    entity = signer_of("p256")
    (tmp_path / "root.pem").write_bytes(authority().pem)
    file = tmp_path / "signed"
    file.write_bytes(openssl_signs(openssl, tmp_path, entity, flags=("-md", "sha384")))
    report = mdmprofile("verify", file, "--trust", tmp_path / "root.pem", "--format", "json").json
    (found,) = report["signers"]
    assert found.pop("signing_time").endswith("Z")
    assert found == {
        "subject": "CN=Signer p256",
        "sha256": entity.sha256,
        "not_before": stamp(NOW - DAY),
        "not_after": stamp(NOW + 365 * DAY),
        "digest": "sha384",
        "signature_algorithm": "ecdsa",
        "signed_attributes": ["contentType", "signingTime", "messageDigest", "smimeCapabilities"],
        "valid": True,
        "problem": "",
        "chain": ["CN=Signer p256", "CN=Test Root"],
    }
    (embedded,) = report["embedded"]
    assert (embedded["sha256"], embedded["issuer"]) == (entity.sha256, "CN=Test Root")
    text = mdmprofile("verify", file, "--trust", tmp_path / "root.pem").out
    assert entity.sha256 in text
    assert "ecdsa; signed attributes: contentType, signingTime, messageDigest, smimeCapabilities" in text
    assert "path to a trusted certificate: Signer p256 > Test Root" in text


def test_chain_is_not_judged_without_anchors(tmp_path: Path, openssl: OpenSSL, mdmprofile: Command) -> None:
    """No path was looked for, which is something else than no path."""
    file = tmp_path / "signed"
    file.write_bytes(openssl_signs(openssl, tmp_path, signer_of("p256"), flags=("-noattr",)))
    outcome = mdmprofile("verify", file, "--format", "json")
    assert outcome.json["signers"][0]["chain"] is None
    assert outcome.json["signers"][0]["signed_attributes"] == []
    assert "path to" not in mdmprofile("verify", file).out
