"""Taking over an inherited profile: the config and files that build it again, with nothing lost."""

from __future__ import annotations

import contextlib
import io
import plistlib
import stat
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from conftest import Command
from mdmprofile.builder import build
from mdmprofile.config import load_config
from mdmprofile.errors import ConfigError, MdmprofileError
from mdmprofile.findings import Severity
from mdmprofile.reader import open_profile
from mdmprofile.takeover import Takeover, take_over
from mdmprofile.values import same
from pki import DAY, NOW, Entity, ec_key, intermediate_ca, issue, name, root_ca, server_leaf
from replacing import (
    ACME,
    CHALLENGE,
    MDM,
    PEM,
    PKCS1,
    PKCS12,
    ROOT,
    SCEP,
    Plist,
    changed,
    file_of,
    made,
    mdm,
    payload,
    plist,
    scep,
    usual,
    uuid,
    write,
)

ROOT_CA = root_ca("Inherited Root")
MIDDLE = intermediate_ca(ROOT_CA, "Inherited Intermediate")
LEAF = server_leaf(MIDDLE)
OTHER_LEAF = server_leaf(MIDDLE, "checkin.example.com")
STRAY = intermediate_ca(root_ca("Elsewhere"), "Stray Intermediate")
DEVICE = issue("Device", ROOT_CA)
SIGNER = issue("Signer", ROOT_CA, key=ec_key())
HIDDEN = "hunter2-Zz9"
NASTY = "a \"b\" 'c' \\d\n\te {{ udid }} {% if %} {# x #} {{{ $UDID %HardwareUUID% \x7f \u2028 \u202e 😀 end"
MISSPELT = ("KeyType", "KeyUsage", "KeySize")


def lost(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Every key and payload of the old profile that the new one has not, or has otherwise."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key, value in old.items():
            if key == "PayloadContent" and not where:
                continue
            if key not in new:
                yield f"{where}.{key}"
            else:
                yield from lost(value, new[key], f"{where}.{key}")
    elif not same(old, new):
        yield where
    if not where:
        left = list(new["PayloadContent"])
        for index, each in enumerate(old["PayloadContent"]):
            twin = next((one for one in left if one.get("PayloadUUID") == each.get("PayloadUUID")), None)
            if twin is None:
                yield f"[{index}]"
                continue
            left.remove(twin)
            yield from lost(each, twin, f"[{index}]")
        yield from (f"added {each['PayloadType']}" for each in left)


def takeover_of(profile: Plist, **options: Any) -> Takeover:
    """What is made of the profile."""
    data = file_of(profile)
    return take_over(open_profile(data, source="old.mobileconfig"), data, **options)


def rebuilt(profile: Plist, folder: Path, **options: Any) -> tuple[Plist, Takeover]:
    """The profile as its written config builds it, and what was said about it."""
    taken = takeover_of(profile, **options)
    for each in taken.files:
        (folder / each.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / each.name).write_bytes(each.data)
    built = build(load_config(folder / "enroll.toml"), now=NOW)
    return plistlib.loads(built.profile.to_bytes()), taken


def acme(**keys: Any) -> Plist:
    """An ACME identity bound to the hardware and attested."""
    usual_keys: Plist = {
        "DirectoryURL": "https://ca.example.com/acme/directory",
        "ClientIdentifier": "C02X-4711",
        "KeyType": "ECSECPrimeRandom",
        "KeySize": 384,
        "HardwareBound": True,
        "Attest": True,
        "UsageFlags": 5,
        "ExtendedKeyUsage": ["1.3.6.1.5.5.7.3.2"],
        "Subject": [[["C", "US"]], [["O", "Example"]], [["CN", "{{ not ours }}"]]],
        "SubjectAltName": {"dNSName": "device.example.com"},
        "Unknown": {"Deep": [1, True, 2.5, b"data", datetime(2031, 1, 1, tzinfo=UTC).replace(tzinfo=None)]},
    }
    return made(ACME, 2, **(usual_keys | keys))


def pkcs12(password: str = HIDDEN, **keys: Any) -> Plist:
    """A PKCS#12 identity."""
    return made(PKCS12, 2, PayloadContent=DEVICE.p12(password, [ROOT_CA]), **keys)


def certificate(entity: Entity, number: int, kind: str = PKCS1, **keys: Any) -> Plist:
    """A certificate payload, in PEM where its type says so."""
    return made(kind, number, PayloadContent=entity.pem if kind == PEM else entity.der, **keys)


WIFI = made(
    "com.apple.wifi.managed",
    20,
    SSID_STR="Office",
    Password=HIDDEN,
    PayloadCertificateUUID=uuid(2),
    EAPClientConfiguration={"PayloadCertificateAnchorUUID": [uuid(10)], "AcceptEAPTypes": [13]},
)
RESTRICTIONS = made("com.apple.applicationaccess", 21, allowCamera=False, Odd={"a": {"b": [{"c": NASTY}]}})
PINS = {"ServerURLPinningCertificateUUIDs": [uuid(12)]}

INHERITED: dict[str, Plist] = {
    "usual": usual(ROOT_CA),
    "micro": plist(
        certificate(ROOT_CA, 10, ROOT, PayloadDisplayName="Root CA", PayloadDescription="Installs the root CA"),
        certificate(MIDDLE, 11),
        scep(
            Subject=[[["O", "Micro"]], [["CN", "MDM Identity (%ComputerName%)"]]],
            Name="Device Management Identity Certificate",
            SubjectAltName={"dNSName": ["a.example", "b.example"], "rfc822Name": "a@example.com"},
            Retries=3,
            RetryDelay=10,
            CAFingerprint=b"\x01" * 20,
            KeyIsExtractable=False,
        ),
        mdm(CheckInURL="https://mdm.example.com/checkin?a=$UDID", SignMessage=True, CheckOutWhenRemoved=True),
        PayloadDescription=NASTY,
        PayloadOrganization='Micro \\ "Quoted"',
    ),
    "multi-valued name": plist(
        scep(Subject=[[["CN", "a"], ["1.2.840.113549.1.9.1", "a@example.com"]], [["OU", "x"]]], **{"Key Usage": 4}),
        mdm(),
    ),
    "e-mail in the name": plist(scep(Subject=[[["1.2.840.113549.1.9.1", "$EMAIL"]], [["CN", NASTY]]]), mdm()),
    "strange name": plist(scep(Subject=[[["cn", "lower"]]], Keysize="2048", Unknown=[1, {"x": b"y"}]), mdm()),
    "odd challenges": plist(scep(Challenge=f"{NASTY}\n"), mdm()),
    "acme": plist(acme(), mdm()),
    "acme with lists": plist(acme(SubjectAltName={"dNSName": ["a", "b"]}, ExtendedKeyUsage=["1.2 3"]), mdm()),
    "pkcs12": plist(pkcs12(Password=HIDDEN, PayloadCertificateFileName="me.p12"), mdm(), PayloadScope="User"),
    "pem root": plist(certificate(ROOT_CA, 10, PEM), certificate(MIDDLE, 11, PEM), scep(), WIFI, mdm()),
    "intermediate as root": plist(
        certificate(ROOT_CA, 10, ROOT), certificate(MIDDLE, 11, ROOT), scep(), mdm(**PINS), certificate(LEAF, 12)
    ),
    "two copies": plist(certificate(ROOT_CA, 10, ROOT), certificate(ROOT_CA, 11, ROOT), scep(), mdm()),
    "two copies of other types": plist(certificate(ROOT_CA, 10, PEM), certificate(ROOT_CA, 11, ROOT), scep(), mdm()),
    "leaf pinned": plist(
        certificate(ROOT_CA, 10, ROOT), certificate(MIDDLE, 11), certificate(LEAF, 12), scep(), mdm(**PINS)
    ),
    "leaf pinned twice": plist(
        certificate(LEAF, 12),
        certificate(LEAF, 13),
        scep(),
        mdm(ServerURLPinningCertificateUUIDs=[uuid(12), uuid(13)]),
    ),
    "pinned beside an unknown": plist(
        certificate(LEAF, 12),
        certificate(OTHER_LEAF, 13, ROOT),
        scep(),
        mdm(
            ServerURLPinningCertificateUUIDs=[uuid(12), uuid(13)],
            CheckInURLPinningCertificateUUIDs=[uuid(12)],
            PinningRevocationCheckRequired=True,
        ),
    ),
    "pinned beside an unknown only": plist(
        certificate(LEAF, 12),
        certificate(OTHER_LEAF, 13, ROOT),
        scep(),
        mdm(ServerURLPinningCertificateUUIDs=[uuid(12), uuid(13)]),
    ),
    "leaf not pinned": plist(certificate(ROOT_CA, 10, ROOT), certificate(LEAF, 12), scep(), mdm()),
    "incomplete chain": plist(certificate(ROOT_CA, 10, ROOT), certificate(STRAY, 11), scep(), mdm()),
    "only an intermediate": plist(certificate(STRAY, 11), scep(), mdm()),
    "other payloads": plist(certificate(ROOT_CA, 10, ROOT), scep(), WIFI, RESTRICTIONS, mdm()),
    "removal": plist(
        scep(),
        made("com.apple.profileRemovalPassword", 22, RemovalPassword=f"{NASTY}!"),
        mdm(),
        PayloadRemovalDisallowed=True,
        RemovalDate=datetime(2040, 1, 2, 3, 4, 5, tzinfo=UTC).replace(tzinfo=None),
        PayloadExpirationDate=datetime(2041, 1, 2, tzinfo=UTC).replace(tzinfo=None),
    ),
    "removal password with a line end": plist(
        scep(), made("com.apple.profileRemovalPassword", 22, RemovalPassword="x\n"), mdm(), DurationUntilRemoval=86400
    ),
    "unknown keys": changed(
        plist(scep(), mdm(PayloadFoo=[{"x": NASTY}], ServerCapabilities=["com.example.unknown"]), Foo={"a": {"b": 1}}),
        lambda each: each.update(ConsentText={"default": NASTY, "de": "Bitte. " * 600, "{{ x }}": "odd"}),
    ),
    "consent": plist(scep(), mdm(), ConsentText={"default": "Bitte. " * 400, "en-US": NASTY}, TargetDeviceType=5),
    "long text": plist(scep(), mdm(), PayloadDescription="x. " * 100_000),
    "blank text": plist(scep(), mdm(CheckInURL="https://a.example/"), ConsentText={"default": " "}),
    "no rights": changed(usual(), lambda each: payload(each, MDM).pop("AccessRights")),
    "no capabilities": changed(usual(), lambda each: payload(each, MDM).pop("ServerCapabilities")),
    "no scope": changed(usual(), lambda each: each.pop("PayloadScope")),
    "no words": changed(usual(), lambda each: [one.pop("PayloadDisplayName") for one in each["PayloadContent"]]),
    "identifier with spaces": usual() | {"PayloadIdentifier": "My Company MDM"},
    "no identifier of the payload": changed(usual(), lambda each: payload(each, MDM).pop("PayloadIdentifier")),
    "a second SCEP": plist(
        made(SCEP, 5, PayloadContent={"URL": "https://wifi.example.com", "Challenge": HIDDEN}), scep(), mdm()
    ),
    "keys that devices ignore elsewhere": plist(scep(), mdm(KeyType="x"), KeySize=1),
}  # fmt: skip


# What no device or no build takes, and is kept all the same.
REFUSED: dict[str, Plist] = {
    key: INHERITED.pop(key) for key in ("strange name", "acme with lists", "unknown keys") if key in INHERITED
}


# --- nothing is lost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", INHERITED)
def test_config_of_an_inherited_profile_rebuilds_all_of_it(case: str, tmp_path: Path, mdmprofile: Command) -> None:
    """Every key of every payload is in the new profile with the same value, and a device takes it."""
    old = write(tmp_path, "old.mobileconfig", INHERITED[case], SIGNER)
    folder = tmp_path / "mdm"
    outcome = mdmprofile("init", "--from", old, folder)
    assert (outcome.code, outcome.err) == (0, "")
    outcome = mdmprofile("build", "-c", folder / "enroll.toml", "-o", tmp_path / "out", "--format", "json")
    assert outcome.code == 0, outcome.out
    new = tmp_path / "out" / "enroll.mobileconfig"
    assert mdmprofile("diff", old, new, "--fail-on", "error", at=None).code == 0
    left = list(lost(INHERITED[case], plistlib.loads(new.read_bytes())))
    assert left == []
    assert (folder / "original.mobileconfig").read_bytes() == old.read_bytes()


@pytest.mark.parametrize("case", REFUSED)
def test_flaws_of_an_inherited_profile_are_kept_and_said(case: str, tmp_path: Path) -> None:
    """A build of it is refused until they are mended, and that is known from the start."""
    new, taken = rebuilt(REFUSED[case], tmp_path)
    assert list(lost(REFUSED[case], new)) == []
    assert any(each.message.startswith("build will refuse this: ") for each in taken.findings)
    assert not any(each.severity is Severity.ERROR for each in taken.findings)


def test_misspelt_keys_are_left_out_and_said(tmp_path: Path) -> None:
    """Devices ignore them, and a build refuses them: that is all that a profile loses."""
    old = plist(scep(KeyType="RSA", KeyUsage=5, KeySize=2048), mdm(KeyType="mine"))
    new, taken = rebuilt(old, tmp_path)
    assert list(lost(old, new)) == [f"[0].PayloadContent.{each}" for each in MISSPELT]
    assert [each for each in taken.notes if "misspelt" in each] == [
        f"{each} of the SCEP payload is left out: devices ignore it, it is misspelt" for each in MISSPELT
    ]


def test_what_is_kept_aside_is_said() -> None:
    """Whoever reads the notes knows what no key of the config holds."""
    notes = takeover_of(INHERITED["other payloads"]).notes
    assert notes == (
        "PayloadContent[2], a com.apple.wifi.managed payload, is kept as it is in extra/1-com.apple.wifi.managed.plist",
        (
            "PayloadContent[3], a com.apple.applicationaccess payload, is kept as it is in "
            "extra/2-com.apple.applicationaccess.plist"
        ),
    )
    (note,) = takeover_of(INHERITED["identifier with spaces"]).notes
    assert note == "PayloadIdentifier 'My Company MDM' is kept through profile.replaces: no config can hold it"
    assert any("entries that are no dictionaries" in each for each in takeover_of(plist(scep(), mdm(), "x")).notes)  # type: ignore[arg-type]  # not a payload, on purpose


def test_reference_to_a_certificate_in_pem_still_holds(tmp_path: Path) -> None:
    """A Wi-Fi payload that trusts a root by its UUID would be cut off if the root got another."""
    new, _ = rebuilt(INHERITED["pem root"], tmp_path)
    anchors = payload(new, "com.apple.wifi.managed")["EAPClientConfiguration"]["PayloadCertificateAnchorUUID"]
    assert [each["PayloadType"] for each in new["PayloadContent"] if each["PayloadUUID"] in anchors] == [PEM]


def test_wrong_case_of_the_identity_reference_is_mended(tmp_path: Path) -> None:
    """A reference that names no payload to the letter becomes one that does, and that is said."""
    lower = "abcdefab-0000-4000-8000-000000000000"
    old = plist(scep() | {"PayloadUUID": lower.upper()}, mdm(IdentityCertificateUUID=lower))
    new, taken = rebuilt(old, tmp_path)
    assert list(lost(old, new)) == ["[1].IdentityCertificateUUID"]
    assert payload(new, MDM)["IdentityCertificateUUID"] == lower.upper()
    assert any(each.startswith("IdentityCertificateUUID of com.apple.mdm") for each in taken.notes)


def test_pkcs12_whose_password_the_profile_has_not(tmp_path: Path, mdmprofile: Command) -> None:
    """The password is asked for, used, and does not get into the profile."""
    old = write(tmp_path, "old.mobileconfig", plist(pkcs12(), mdm()))
    folder = tmp_path / "mdm"
    outcome = mdmprofile("init", "--from", old, folder)
    assert outcome.code == 3
    assert "--pkcs12-password-file" in outcome.err
    assert not folder.exists()
    (tmp_path / "password.txt").write_text(f"{HIDDEN}\n")
    assert mdmprofile("init", "--from", old, folder, "--pkcs12-password-file", tmp_path / "password.txt").code == 0
    assert mdmprofile("build", "-c", folder / "enroll.toml", "-o", tmp_path / "out").code == 0
    new = plistlib.loads((tmp_path / "out" / "enroll.mobileconfig").read_bytes())
    assert list(lost(plistlib.loads(old.read_bytes()), new)) == []
    assert "Password" not in payload(new, PKCS12)


def test_expired_certificate_is_refused_by_the_build(tmp_path: Path, mdmprofile: Command) -> None:
    """It is taken over as it is; that it must be renewed is the build's to say."""
    ended = issue("Ended Root", ca=True, start=NOW - 20 * DAY, end=NOW - DAY)
    old = write(tmp_path, "old.mobileconfig", plist(certificate(ended, 10, ROOT), scep(), mdm()))
    assert mdmprofile("init", "--from", old, tmp_path / "mdm").code == 0
    outcome = mdmprofile("build", "-c", tmp_path / "mdm" / "enroll.toml", "-o", tmp_path / "out", "--format", "json")
    assert outcome.code == 2
    assert "expiry.expired" in outcome.rules
    assert not (tmp_path / "out").exists()


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], include_characters="\t\n\x7f{}%#\"'\\"))
TEXT = TEXT.map(lambda text: "".join(each for each in text if each not in "\ufffe\uffff"))
VALUES = st.recursive(
    TEXT | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=20) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def _is_word(value: object) -> bool:
    return isinstance(value, str) and not any(each.isspace() or not each.isprintable() for each in value)


def keys_of(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Some of these keys, and others, each with any value."""
    return st.dictionaries(st.sampled_from(names) | TEXT.filter(lambda key: not key.startswith("Payload")), VALUES)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    top=keys_of("PayloadDisplayName", "PayloadDescription", "PayloadScope", "ConsentText", "RemovalDate",
                "DurationUntilRemoval", "TargetDeviceType", "HasRemovalPasscode", "PayloadRemovalDisallowed"),
    server=keys_of("CheckInURL", "AccessRights", "ServerCapabilities", "SignMessage", "EnrollmentMode",
                   "ServerURLPinningCertificateUUIDs", "RequiredAppIDForMDM", "ManagedAppleID"),
    identity=keys_of("Challenge", "Subject", "SubjectAltName", "Name", "Keysize", "Key Usage", "CAFingerprint",
                     "Retries", "KeyIsExtractable"),
    other=keys_of("PayloadUUID", "PayloadContent", "Password"),
)  # fmt: skip
def test_whatever_the_keys_hold_nothing_is_lost(top: Plist, server: Plist, identity: Plist, other: Plist) -> None:
    """For any value of any key, the config on disk builds the same profile or refuses with an error of the project."""
    old = plist(
        certificate(ROOT_CA, 10, ROOT),
        made("com.example.other", 20) | other,
        scep(**{key: value for key, value in identity.items() if key not in MISSPELT}),
        mdm(**server),
        **top,
    )
    with tempfile.TemporaryDirectory() as folder:
        try:
            new, _ = rebuilt(old, Path(folder))
        except ConfigError:
            # Only an address that no config can hold stops it.
            event("refused")
            assert not _is_word(server.get("CheckInURL"))
            return
    assert list(lost(old, new)) == []


# --- what is written, and what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["micro", "acme", "pkcs12", "removal", "other payloads"])
def test_files_with_secrets_are_for_their_owner_alone(case: str, tmp_path: Path, mdmprofile: Command) -> None:
    """Every file in which a secret can be found is 0600, and no secret is in a report."""
    old = write(tmp_path, "old.mobileconfig", INHERITED[case])
    outcome = mdmprofile("init", "--from", old, tmp_path / "mdm", "-v", "--format", "json")
    found = [each for each in (tmp_path / "mdm").rglob("*") if each.is_file()]
    secrets = [CHALLENGE, HIDDEN, "C02X-4711", "$UDID %HardwareUUID%"]
    for each in found:
        holds = any(secret.encode() in each.read_bytes() for secret in secrets) or each.suffix == ".p12"
        if holds and not (case == "micro" and each.name == "enroll.toml"):
            assert stat.S_IMODE(each.stat().st_mode) == 0o600, each
    assert not [secret for secret in secrets[:3] if secret in outcome.out + outcome.err]
    assert sorted(outcome.json["files"]) == sorted(str(each) for each in found)


def test_config_with_a_password_in_a_url_is_private() -> None:
    """The URL is in the config itself."""
    for old in (
        plist(scep(), mdm(ServerURL=f"https://user:{HIDDEN}@mdm.example.com/")),
        plist(scep(URL=f"https://user:{HIDDEN}@mdm.example.com/"), mdm()),
    ):
        assert {each.name: each.secret for each in takeover_of(old).files}["enroll.toml"]
    assert not {each.name: each.secret for each in takeover_of(usual()).files}["enroll.toml"]


def test_names_of_others_are_no_paths() -> None:
    """A certificate's name and a payload's type cannot lead out of the directory."""
    evil = issue(name("../../etc/passwd\n"), ca=True)
    old = plist(certificate(evil, 10, ROOT), made("../../../etc/cron.d/x", 20), made("/", 21), scep(), mdm())
    names = [each.name for each in takeover_of(old).files]
    assert [each for each in names if ".." in each or each.startswith("/") or each.count("/") > 1] == []
    assert len(set(names)) == len(names)


def test_signer_with_control_characters_in_its_name_leaves_a_readable_config(
    tmp_path: Path, mdmprofile: Command
) -> None:
    """TOML has no control character in a comment."""
    odd = issue(name("Odd\x7f\n\x1bSigner {{ x }}"), ROOT_CA, key=ec_key())
    old = write(tmp_path, "old.mobileconfig", usual(ROOT_CA), odd)
    assert mdmprofile("init", "--from", old, tmp_path / "mdm").code == 0
    assert mdmprofile("build", "-c", tmp_path / "mdm" / "enroll.toml", "-o", tmp_path / "out").code == 0


def test_profile_from_standard_input(tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that comes down a pipe is written beside the config as it came."""
    data = file_of(usual(), form=plistlib.FMT_BINARY)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert mdmprofile("init", "--from", "-", tmp_path / "mdm").code == 0
    assert (tmp_path / "mdm" / "original.mobileconfig").read_bytes() == data
    assert mdmprofile("build", "-c", tmp_path / "mdm" / "enroll.toml", "-o", tmp_path / "out").code == 0


def test_existing_files_are_kept_without_force(tmp_path: Path, mdmprofile: Command) -> None:
    """Every one that is there is named, and nothing is written."""
    old, folder = write(tmp_path, "old.mobileconfig", usual()), tmp_path / "mdm"
    folder.mkdir()
    (folder / "enroll.toml").write_text("mine")
    (folder / "extra-keys.plist").write_text("mine")
    outcome = mdmprofile("init", "--from", old, folder)
    assert outcome.code == 3
    assert "enroll.toml" in outcome.err
    assert "extra-keys.plist" in outcome.err
    assert len(list(folder.iterdir())) == 2
    assert mdmprofile("init", "--from", old, folder, "--force").code == 0
    assert stat.S_IMODE((folder / "extra-keys.plist").stat().st_mode) == 0o600


def test_tampered_profile_is_refused(tmp_path: Path, mdmprofile: Command) -> None:
    """A config made of it would make the change last."""
    old = write(tmp_path, "old.mobileconfig", usual(), SIGNER)
    old.write_bytes(old.read_bytes().replace(b"mdm.example.com/mdm", b"mdm.evil.example/md"))
    outcome = mdmprofile("init", "--from", old, tmp_path / "mdm", "--format", "json")
    assert outcome.code == 2
    assert outcome.rules == ["signature.invalid"]
    assert not (tmp_path / "mdm").exists()


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (plist(EncryptedPayloadContent=b"x"), "is encrypted"),
        (plist(scep()), "has 0 MDM payloads"),
        (plist(scep(), mdm(), mdm(4)), "has 2 MDM payloads"),
        (plist(mdm()), "has no SCEP, ACME or PKCS#12 payload"),
        (plist(scep(2), scep(5), mdm(IdentityCertificateUUID=uuid(9))), "has no SCEP, ACME or PKCS#12 payload"),
        (changed(usual(), lambda each: each.pop("PayloadIdentifier")), "has no PayloadIdentifier"),
        (plist(scep(), mdm(ServerURL="https://a b")), "cannot become server.url of a config"),
        (plist(scep(URL=5), mdm()), "cannot become identity.url of a config"),
        (plist(scep(), changed(mdm(), lambda each: each.pop("Topic"))), "cannot become server of a config"),
        (plist(pkcs12() | {"PayloadContent": "x"}, mdm()), "holds no data"),
        (plist(pkcs12() | {"PayloadContent": b"x", "Password": "y"}, mdm()), "PKCS#12"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_profile_that_cannot_be_taken_over(old: Plist, said: str, tmp_path: Path, mdmprofile: Command) -> None:
    """One line that names the file and what to do, exit code 3, and nothing written."""
    path = write(tmp_path, "old.mobileconfig", old)
    outcome = mdmprofile("init", "--from", path, tmp_path / "mdm")
    assert outcome.code == 3
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "mdm").exists()


@pytest.mark.parametrize("value", [["x"], {"a": 1}, 1, b"x", True, ""], ids=str)
@pytest.mark.parametrize("key", ["PayloadUUID", "PayloadType", "PayloadIdentifier", "PayloadContent"])
def test_keys_of_the_wrong_type_are_no_crash(key: str, value: object) -> None:
    """What only a hostile profile has ends in an error of the project, if in any."""
    for number in range(5):
        old = plist(certificate(ROOT_CA, 10, ROOT), certificate(LEAF, 12), scep(), WIFI, mdm(**PINS))
        (old["PayloadContent"][number] if number < 5 else old)[key] = value
        with contextlib.suppress(MdmprofileError):
            takeover_of(old)
    for each in ("PayloadScope", "ConsentText", "TargetDeviceType", "PayloadUUID"):
        takeover_of(usual() | {each: value})
