"""The enrollment profile out of a config: every key, stable and kept names, pinning, topic, identity and removal."""

from __future__ import annotations

import hashlib
import itertools
import os
import plistlib
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES
from cryptography.x509.oid import ExtendedKeyUsageOID

import mdmprofile as library
from conftest import Command
from mdmprofile.builder import BuildResult, build
from mdmprofile.config import load_config
from mdmprofile.errors import ConfigError, InputError, MdmprofileError, Problems, ProfileError
from mdmprofile.findings import Finding, Severity
from mdmprofile.printable import printable
from pki import (
    CONFIG,
    DAY,
    NOW,
    TOPIC,
    Entity,
    Site,
    ec_key,
    intermediate_ca,
    issue,
    name,
    push_certificate,
    root_ca,
    server_leaf,
    signed_content,
)

Plist = dict[str, Any]
UUID = "0A0B0C0D-1111-4222-8333-444455556666"
ROOT, PKCS1, PEM = "com.apple.security.root", "com.apple.security.pkcs1", "com.apple.security.pem"
SCEP, ACME, PKCS12 = "com.apple.security.scep", "com.apple.security.acme", "com.apple.security.pkcs12"
MDM, REMOVAL = "com.apple.mdm", "com.apple.profileRemovalPassword"

IDENTITY = CONFIG[CONFIG.index("[identity]") : CONFIG.index("[signing]")]
SIGNING = CONFIG[CONFIG.index("[signing]") :]
ACME_TABLE = """\
[identity]
type = "acme"
directory_url = "https://acme.example.com/directory"
client_identifier = "once-only"
validity = "365d"

"""
PKCS12_TABLE = """\
[identity]
type = "pkcs12"
file = "device.p12"
password = "p12-secret"
single_device = true

"""


@pytest.fixture
def site(site: Site) -> Site:
    """The site without a signer: its profiles are plain property lists."""
    site.edit(lambda text: text.replace(SIGNING, ""))
    return site


def add(site: Site, table: str, *lines: str) -> None:
    """Put keys into a table of the config."""
    site.edit(lambda text: text.replace(f"[{table}]\n", "\n".join((f"[{table}]", *lines, "")), 1))


def replace_identity(site: Site, table: str) -> None:
    """Another [identity] table."""
    site.edit(lambda text: text.replace(IDENTITY, table))


def device(site: Site, extensions: tuple[x509.ExtensionType, ...] = ()) -> Entity:
    """Write device.p12 and return the identity inside."""
    identity = issue("device-4711", site.intermediate, end=NOW + 365 * DAY, extensions=extensions)
    (site.folder / "device.p12").write_bytes(identity.p12("p12-secret"))
    return identity


def result_of(site: Site, **overrides: Any) -> BuildResult:
    """Build with the library, as of NOW."""
    return build(load_config(site.config, overrides=overrides or None), now=NOW)


def profile_of(site: Site) -> bytes:
    """The bytes of the enrollment profile."""
    (profile,) = [each.data for each in result_of(site).artifacts if each.kind == "enrollment"]
    return profile


def plist_of(site: Site) -> Plist:
    """The property list of the enrollment profile."""
    plist: Plist = plistlib.loads(profile_of(site))
    return plist


def payload(plist: Plist, kind: str, number: int = 0) -> Plist:
    """One payload of a type."""
    found: list[Plist] = [each for each in plist["PayloadContent"] if each["PayloadType"] == kind]
    return found[number]


def uuids(plist: Plist) -> dict[str, str]:
    """Every payload's UUID by what the payload is; a certificate by its SHA-256."""
    found = {"profile": plist["PayloadUUID"]}
    for each in plist["PayloadContent"]:
        data = each.get("PayloadContent")
        certificate = each["PayloadType"] in {ROOT, PKCS1}
        found[hashlib.sha256(data).hexdigest() if certificate else each["PayloadType"]] = each["PayloadUUID"]
    return found


def findings(result: BuildResult, rule: str) -> list[Finding]:
    """The findings of one rule."""
    return [each for each in result.findings if each.rule == rule]


# ---------------------------------------------------------------- every key


def typed(value: Any) -> Any:
    """The value with the type of every part spelled out, so that true is not 1 and 1 is not 1.0."""
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return type(value).__name__, value


def test_every_key_of_the_server_table_reaches_the_mdm_payload(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """A config can set every key of Apple's MDM payload, and none is renamed or retyped on the way."""
    add(
        site,
        "server",
        'checkin_url = "https://mdm.example.com/checkin"',
        'access_rights = ["inspect-profiles", "install-profiles"]',
        'capabilities = ["token", "per-user-connections"]',
        "sign_message = true",
        "check_out_when_removed = false",
        "use_development_apns = true",
        'managed_apple_id = "old@example.com"',
        'assigned_managed_apple_id = "a@example.com"',
        'enrollment_mode = "ADDE"',
        "required_app_id = 361309726",
        'url_pinning_certificates = "root.pem"',
        'checkin_url_pinning_certificates = ["intermediate.pem"]',
        "pinning_revocation_check_required = true",
        "prompt_for_bootstrap_token = true",
        f'uuid = "{UUID}"',
    )
    plist = plistlib.loads(plistutil(profile_of(site)))
    assert typed(payload(plist, MDM)) == typed(
        {
            "PayloadType": MDM,
            "PayloadVersion": 1,
            "PayloadIdentifier": "com.example.mdm.enroll.mdm",
            "PayloadUUID": UUID,
            "PayloadDisplayName": "Device management",
            "PayloadOrganization": "Example Inc.",
            "IdentityCertificateUUID": payload(plist, SCEP)["PayloadUUID"],
            "Topic": TOPIC,
            "ServerURL": "https://mdm.example.com/mdm",
            "CheckInURL": "https://mdm.example.com/checkin",
            "AccessRights": 3,
            "ServerCapabilities": ["com.apple.mdm.token", "com.apple.mdm.per-user-connections"],
            "SignMessage": True,
            "CheckOutWhenRemoved": False,
            "UseDevelopmentAPNS": True,
            "ManagedAppleID": "old@example.com",
            "AssignedManagedAppleID": "a@example.com",
            "EnrollmentMode": "ADDE",
            "RequiredAppIDForMDM": 361309726,
            "ServerURLPinningCertificateUUIDs": [payload(plist, ROOT)["PayloadUUID"]],
            "CheckInURLPinningCertificateUUIDs": [payload(plist, PKCS1)["PayloadUUID"]],
            "PinningRevocationCheckRequired": True,
            "PromptUserToAllowBootstrapTokenForAuthentication": True,
        }
    )


def test_the_mdm_payload_has_the_documented_defaults(site: Site) -> None:
    """All rights, all capabilities, a message when the profile is removed, and no key that nobody asked for."""
    mdm = payload(plist_of(site), MDM)
    common = {"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"}
    shown = {"PayloadDisplayName", "PayloadOrganization"}
    assert {key: value for key, value in mdm.items() if key not in common | shown | {"IdentityCertificateUUID"}} == {
        "Topic": TOPIC,
        "ServerURL": "https://mdm.example.com/mdm",
        "AccessRights": 8191,
        "ServerCapabilities": [
            "com.apple.mdm.per-user-connections",
            "com.apple.mdm.bootstraptoken",
            "com.apple.mdm.token",
        ],
        "CheckOutWhenRemoved": True,
    }


def test_every_key_of_the_profile_table_reaches_the_top_level(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """Scope, removal, consent, expiration and target come out under Apple's names, dates in UTC."""
    site.edit(lambda text: text.replace('display_name = "Example MDM"\n', 'display_name = "Name"\n'))
    add(
        site,
        "profile",
        'description = "What it is for"',
        'scope = "system"',
        f'uuid = "{UUID}"',
        "removal_disallowed = true",
        'removal_password = "let-me-out"',
        "removal_date = 2032-01-02T03:04:05+02:00",
        'duration_until_removal = "400d"',
        'expiration_date = "2032-06-07T23:30:00-02:30"',
        'target_device = "mac"',
        'consent_text = { default = "Agree?", de = "Einverstanden?" }',
    )
    plist = plistlib.loads(plistutil(profile_of(site)))
    assert typed({key: value for key, value in plist.items() if key != "PayloadContent"}) == typed(
        {
            "PayloadType": "Configuration",
            "PayloadVersion": 1,
            "PayloadIdentifier": "com.example.mdm.enroll",
            "PayloadUUID": UUID,
            "PayloadDisplayName": "Name",
            "PayloadDescription": "What it is for",
            "PayloadOrganization": "Example Inc.",
            "PayloadScope": "System",
            "PayloadRemovalDisallowed": True,
            "HasRemovalPasscode": True,
            "RemovalDate": datetime(2032, 1, 2, 1, 4, 5),  # noqa: DTZ001 - plistlib reads UTC dates as naive ones
            "DurationUntilRemoval": 34560000.0,
            "PayloadExpirationDate": datetime(2032, 6, 8, 2, 0, 0),  # noqa: DTZ001 - the same
            "TargetDeviceType": 5,
            "ConsentText": {"default": "Agree?", "de": "Einverstanden?"},
        }
    )
    assert payload(plist, REMOVAL)["RemovalPassword"] == "let-me-out"


def test_the_top_level_has_only_what_was_asked_for(site: Site) -> None:
    """Without more keys there are the required ones, the texts and the scope that servers send."""
    plist = plist_of(site)
    assert plist["PayloadScope"] == "System"
    assert plist.keys() == {
        *("PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadContent"),
        *("PayloadDisplayName", "PayloadOrganization", "PayloadScope"),
    }


def test_a_profile_without_display_name_gets_one(site: Site) -> None:
    """The user sees a name on the device, never an empty line."""
    site.edit(lambda text: text.replace('display_name = "Example MDM"\n', ""))
    assert plist_of(site)["PayloadDisplayName"] == "MDM enrollment"


def test_a_removal_passcode_can_be_announced_without_its_payload(site: Site) -> None:
    """The payload may come from elsewhere; the key says so."""
    add(site, "profile", "has_removal_passcode = true")
    plist = plist_of(site)
    assert plist["HasRemovalPasscode"] is True
    assert REMOVAL not in [each["PayloadType"] for each in plist["PayloadContent"]]


def test_every_key_of_a_scep_table_reaches_the_payload(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """Apple's names with their spaces, data for the fingerprint, arrays of arrays for the subject."""
    ca = root_ca("SCEP CA")
    (site.folder / "scep-ca.pem").write_bytes(ca.pem)
    add(
        site,
        "identity",
        'name = "CA-1"',
        'subject = "O=Example Inc.,CN=device"',
        "key_size = 4096",
        'key_type = "RSA"',
        "key_usage = 1",
        'ca_certificate = "scep-ca.pem"',
        "retries = 7",
        "retry_delay = 60",
        "key_is_extractable = true",
        "allow_all_apps_access = true",
        f'uuid = "{UUID}"',
        'subject_alt_name = { rfc822_name = "a@example.com", dns_name = ["a.example.com", "b.example.com"], '
        'uri = "https://example.com/a", nt_principal_name = "a" }',
    )
    assert typed(payload(plistlib.loads(plistutil(profile_of(site))), SCEP)) == typed(
        {
            "PayloadType": SCEP,
            "PayloadVersion": 1,
            "PayloadIdentifier": "com.example.mdm.enroll.identity",
            "PayloadUUID": UUID,
            "PayloadDisplayName": "Device identity (SCEP)",
            "PayloadOrganization": "Example Inc.",
            "PayloadContent": {
                "URL": "https://mdm.example.com/scep",
                "Name": "CA-1",
                "Subject": [[["O", "Example Inc."]], [["CN", "device"]]],
                "Challenge": "open-sesame-4711",
                "Keysize": 4096,
                "Key Type": "RSA",
                "Key Usage": 1,
                "CAFingerprint": hashlib.sha1(ca.der, usedforsecurity=False).digest(),
                "Retries": 7,
                "RetryDelay": 60,
                "SubjectAltName": {
                    "rfc822Name": "a@example.com",
                    "dNSName": ["a.example.com", "b.example.com"],
                    "uniformResourceIdentifier": "https://example.com/a",
                    "ntPrincipalName": "a",
                },
                "KeyIsExtractable": True,
                "AllowAllAppsAccess": True,
            },
        }
    )


def test_a_scep_fingerprint_can_be_given_by_hand(site: Site) -> None:
    """SHA-1 or MD5 in hexadecimal, as openssl prints it, becomes data."""
    add(site, "identity", f'ca_fingerprint = "{":".join(["AB"] * 20)}"')
    assert payload(plist_of(site), SCEP)["PayloadContent"]["CAFingerprint"] == b"\xab" * 20


def test_every_key_of_an_acme_table_reaches_the_payload(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """ACME's keys are flat, with the three booleans and the integers as such."""
    replace_identity(site, ACME_TABLE)
    add(
        site,
        "identity",
        'subject = [["O", "Example Inc."], ["CN", "device"]]',
        'key_type = "ECSECPrimeRandom"',
        "key_size = 256",
        "hardware_bound = true",
        "attest = true",
        "usage_flags = 1",
        'extended_key_usage = ["1.3.6.1.5.5.7.3.2"]',
        "key_is_extractable = false",
        "allow_all_apps_access = true",
        f'uuid = "{UUID}"',
        'subject_alt_name = { dns_name = "a.example.com" }',
    )
    plist = plistlib.loads(plistutil(profile_of(site)))
    assert typed(payload(plist, ACME)) == typed(
        {
            "PayloadType": ACME,
            "PayloadVersion": 1,
            "PayloadIdentifier": "com.example.mdm.enroll.identity",
            "PayloadUUID": UUID,
            "PayloadDisplayName": "Device identity (ACME)",
            "PayloadOrganization": "Example Inc.",
            "DirectoryURL": "https://acme.example.com/directory",
            "ClientIdentifier": "once-only",
            "Subject": [[["O", "Example Inc."]], [["CN", "device"]]],
            "KeyType": "ECSECPrimeRandom",
            "KeySize": 256,
            "HardwareBound": True,
            "Attest": True,
            "SubjectAltName": {"dNSName": "a.example.com"},
            "UsageFlags": 1,
            "ExtendedKeyUsage": ["1.3.6.1.5.5.7.3.2"],
            "KeyIsExtractable": False,
            "AllowAllAppsAccess": True,
        }
    )
    assert payload(plist, MDM)["IdentityCertificateUUID"] == UUID


def test_an_acme_payload_asks_for_one_alternative_name_of_a_kind(site: Site) -> None:
    """Apple's ACME keys hold a string each, unlike SCEP's, so a list is refused."""
    replace_identity(site, ACME_TABLE)
    add(site, "identity", 'subject_alt_name = { dns_name = ["a.example.com", "b.example.com"] }')
    try:
        result = result_of(site)
    except ConfigError as error:
        assert "identity.subject_alt_name" in error.where  # noqa: PT017 - either outcome is right
    else:
        assert [each.where for each in result.findings if each.severity is Severity.ERROR]


def test_every_key_of_a_pkcs12_table_reaches_the_payload(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """The file goes in byte for byte, with its name and password."""
    replace_identity(site, PKCS12_TABLE)
    add(site, "identity", "key_is_extractable = true", "allow_all_apps_access = true", f'uuid = "{UUID}"')
    device(site)
    plist = plistlib.loads(plistutil(profile_of(site)))
    assert typed(payload(plist, PKCS12)) == typed(
        {
            "PayloadType": PKCS12,
            "PayloadVersion": 1,
            "PayloadIdentifier": "com.example.mdm.enroll.identity",
            "PayloadUUID": UUID,
            "PayloadDisplayName": "Device identity",
            "PayloadOrganization": "Example Inc.",
            "PayloadContent": (site.folder / "device.p12").read_bytes(),
            "PayloadCertificateFileName": "device.p12",
            "Password": "p12-secret",
            "KeyIsExtractable": True,
            "AllowAllAppsAccess": True,
        }
    )
    assert payload(plist, MDM)["IdentityCertificateUUID"] == UUID


def test_a_pkcs12_password_can_stay_out_of_the_profile(site: Site) -> None:
    """Then the device asks the user for it."""
    replace_identity(site, PKCS12_TABLE)
    add(site, "identity", "embed_password = false")
    device(site)
    assert "Password" not in payload(plist_of(site), PKCS12)
    assert b"p12-secret" not in profile_of(site)


def test_a_certificate_payload_holds_der_and_names_its_role(
    site: Site, openssl: Callable[..., bytes], tmp_path: Path
) -> None:
    """The payload's data is what openssl reads as the certificate of the PEM file."""
    root = payload(plist_of(site), ROOT)
    (tmp_path / "root.der").write_bytes(root["PayloadContent"])
    subject = openssl("x509", "-inform", "DER", "-in", tmp_path / "root.der", "-noout", "-subject")
    assert b"Test Root" in subject
    assert root["PayloadDisplayName"] == "Test Root"
    assert root["PayloadDescription"] == "Root certificate"
    assert root["PayloadCertificateFileName"] == f"root-{site.root.sha256[:16]}.cer"
    assert root["PayloadIdentifier"] == f"com.example.mdm.enroll.root.{site.root.sha256[:16]}"
    assert payload(plist_of(site), PKCS1)["PayloadDescription"] == "Intermediate certificate"


def test_a_hostile_common_name_is_shown_as_escapes(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """A certificate cannot break the property list or reverse the text on the user's screen."""
    hostile = root_ca("Evil\x07\u202e<Root> & Co\ufffe")
    (site.folder / "root.pem").write_bytes(site.root.pem + hostile.pem)
    plist = plistlib.loads(plistutil(profile_of(site)))
    names = [each["PayloadDisplayName"] for each in plist["PayloadContent"] if each["PayloadType"] == ROOT]
    assert r"Evil\x07\u202e<Root> & Co\ufffe" in names


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \N{WAVING HAND SIGN} \u00fc", "plain \N{WAVING HAND SIGN} \u00fc"),
        ("no\u00a0break\u3000space", "no\u00a0break\u3000space"),
        ("\x1b[2J", r"\x1b[2J"),
        ("line\nfeed\ttab", r"line\nfeed\ttab"),
        ("\u202ereversed\u200b", r"\u202ereversed\u200b"),
        ("lone \udcff", r"lone \udcff"),
        ("\u2028", r"\u2028"),
        ("", ""),
    ],
    ids=["text", "spaces", "escape sequence", "controls", "formats", "surrogate", "line separator", "empty"],
)
def test_hostile_text_is_printed_as_escapes(text: str, shown: str) -> None:
    """What a terminal would obey is shown, and what a person reads stays as it is."""
    assert printable(text) == shown


# ---------------------------------------------------------------- order, subject, texts


def test_payloads_stand_in_the_order_that_installs(site: Site) -> None:
    """Roots, intermediates from the root down, pinned certificates, the identity, other payloads, MDM last."""
    low = intermediate_ca(site.intermediate, "Lower Intermediate")
    leaf = server_leaf(low)
    (site.folder / "server.pem").write_bytes(leaf.pem)
    (site.folder / "intermediate.pem").write_bytes(low.pem + site.intermediate.pem)
    add(site, "server", 'url_pinning_certificates = "server.pem"')
    add(site, "profile", 'removal_password = "x"')
    plist = plist_of(site)
    assert [each["PayloadType"] for each in plist["PayloadContent"]] == [ROOT, PKCS1, PKCS1, PKCS1, SCEP, REMOVAL, MDM]
    certificates = [each["PayloadContent"] for each in plist["PayloadContent"][:4]]
    assert certificates == [site.root.der, site.intermediate.der, low.der, leaf.der]


@pytest.mark.parametrize(
    ("change", "subject"),
    [
        pytest.param(
            lambda text: text, [[["O", "Example Inc."]], [["CN", "com.example.mdm.enroll"]]], id="with organization"
        ),
        pytest.param(
            lambda text: text.replace('organization = "Example Inc."\n', ""),
            [[["CN", "com.example.mdm.enroll"]]],
            id="without organization",
        ),
        pytest.param(
            lambda text: text.replace("com.example.mdm.enroll", "\u00e4" * 40),
            [[["O", "Example Inc."]], [["CN", "\u00e4" * 32]]],
            id="identifier over 64 bytes",
        ),
        pytest.param(
            lambda text: text.replace("com.example.mdm.enroll", "x" + "\u00e4" * 40),
            [[["O", "Example Inc."]], [["CN", "x" + "\u00e4" * 31]]],
            id="cut before half a character",
        ),
    ],
)
@pytest.mark.parametrize("table", [IDENTITY, ACME_TABLE], ids=["scep", "acme"])
def test_an_identity_without_subject_gets_one(
    site: Site, table: str, change: Callable[[str], str], subject: list[list[list[str]]]
) -> None:
    """Servers refuse an empty subject, and devices cut a common name after 64 bytes."""
    site.config.write_text(change(site.config.read_text().replace(IDENTITY, table)))
    result = result_of(site)
    (identity,) = [each for each in result.profile.payloads if each["PayloadType"] in {SCEP, ACME}]
    assert identity.get("Subject", identity.get("PayloadContent", {}).get("Subject")) == subject
    assert findings(result, "scep.common-name") == []


HOSTILE = "<b>R&D ]]> \"x\" 'y' \N{WAVING HAND SIGN}\n\ttab & </string></b>"


def toml(text: str) -> str:
    """The text as a TOML basic string."""
    return '"' + "".join(f"\\U{ord(each):08X}" for each in text) + '"'


def test_hostile_texts_of_a_config_come_back_unchanged(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """Every free text of the config stands in its key, and nothing breaks out of it."""
    quoted = toml(HOSTILE)
    site.edit(lambda text: text.replace('"Example MDM"', quoted).replace('"Example Inc."', quoted))
    add(site, "profile", f"description = {quoted}", f"consent_text = {quoted}", f"removal_password = {quoted}")
    add(site, "identity", f"name = {quoted}", f"subject = [['CN', {quoted}]]")
    (site.folder / "challenge.txt").write_text(HOSTILE + "\n")
    plist = plistlib.loads(plistutil(profile_of(site)))
    assert plist["PayloadDisplayName"] == plist["PayloadDescription"] == plist["PayloadOrganization"] == HOSTILE
    assert plist["ConsentText"] == {"default": HOSTILE}
    assert payload(plist, REMOVAL)["RemovalPassword"] == HOSTILE
    assert payload(plist, MDM)["PayloadOrganization"] == HOSTILE
    scep = payload(plist, SCEP)["PayloadContent"]
    assert (scep["Name"], scep["Challenge"], scep["Subject"]) == (HOSTILE, HOSTILE, [[["CN", HOSTILE]]])


def test_a_control_character_in_the_config_is_refused_with_its_place(site: Site, mdmprofile: Command) -> None:
    """One line that names the key of the profile, exit code 3, and nothing written."""
    site.edit(lambda text: text.replace('"Example MDM"', r'"Example\u0007MDM"'))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out")
    assert outcome.code == 3
    assert "PayloadDisplayName" in outcome.err
    assert "U+0007" in outcome.err
    assert not (site.folder / "out").exists()


def test_a_challenge_that_is_no_text_is_refused_without_showing_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with bytes that are no UTF-8 cannot stand in a property list."""
    monkeypatch.setenv("SCEP_CHALLENGE", "open-sesame\udcff")
    site.edit(lambda text: text.replace('{ file = "challenge.txt" }', '{ env = "SCEP_CHALLENGE" }'))
    with pytest.raises(MdmprofileError) as caught:
        result_of(site)
    assert "open-sesame" not in str(caught.value)
    assert "Challenge" in caught.value.where or "challenge" in caught.value.where


# ---------------------------------------------------------------- the same bytes


def test_every_process_builds_the_same_bytes(site: Site) -> None:
    """No hash seed, directory or run shows in the property lists."""
    add(site, "server", 'capabilities = ["token", "bootstraptoken", "per-user-connections"]')
    add(site, "profile", 'consent_text = { en = "a", de = "b", fr = "c", default = "d" }')
    built = set()
    for seed in ("0", "1", "4711"):
        out = site.folder / f"out-{seed}"
        command = [sys.executable, "-m", "mdmprofile", "build", "-c", str(site.config), "-o", str(out)]
        command += ["--at", "2031-03-01"]
        done = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        built.add(tuple(file.read_bytes() for file in sorted(out.iterdir())))
    assert len(built) == 1
    assert len(next(iter(built))) == 4


def test_the_order_of_certificates_does_not_matter(site: Site) -> None:
    """Any order, in one file or in several, PEM or DER, twice or once, gives the same bytes."""
    other = root_ca("Other Root", key=ec_key())
    low = issue("Low", site.intermediate, ca=True, end=NOW + 900 * DAY, key=ec_key())
    low_again = issue("Low", other, ca=True, end=NOW + 900 * DAY, key=low.key)
    (site.folder / "server.pem").write_bytes(server_leaf(low).pem)
    everything = [site.root, site.intermediate, other, low, low_again]
    built = set()
    for number, order in enumerate(itertools.islice(itertools.permutations(everything), 0, 120, 13)):
        if number % 2:
            (site.folder / "root.pem").write_bytes(b"".join(each.pem for each in order))
            (site.folder / "intermediate.pem").write_bytes(order[0].der)
        else:
            (site.folder / "root.pem").write_bytes(order[0].der)
            (site.folder / "intermediate.pem").write_bytes(b"".join(each.pem for each in order[1:]))
        built.add(tuple(each.data for each in result_of(site).artifacts))
    assert len(built) == 1
    plist = plistlib.loads(next(iter(built))[0])
    assert [each["PayloadType"] for each in plist["PayloadContent"]] == [ROOT, ROOT, PKCS1, PKCS1, PKCS1, SCEP, MDM]


# ---------------------------------------------------------------- UUIDs


def test_uuids_are_version_5_in_capitals_and_all_different(site: Site) -> None:
    """RFC 9562 version 5, as stable as the inputs, in the case that Apple's tools write."""
    add(site, "profile", 'removal_password = "x"')
    found = list(uuids(plist_of(site)).values())
    assert len(set(found)) == 6
    for each in found:
        assert uuid.UUID(each).version == 5
        assert each == each.upper()


def test_a_renewed_certificate_is_a_new_payload_and_the_others_keep_theirs(site: Site) -> None:
    """A device reinstalls what changed and leaves the rest alone."""
    before = plist_of(site)
    renewed = issue("Test Intermediate", site.root, ca=True, end=NOW + 3000 * DAY, key=site.intermediate.key)
    (site.folder / "intermediate.pem").write_bytes(renewed.pem)
    after = plist_of(site)
    old, new = uuids(before), uuids(after)
    assert new[renewed.sha256] not in old.values()
    assert {key: value for key, value in new.items() if key != renewed.sha256} == {
        key: value for key, value in old.items() if key != site.intermediate.sha256
    }
    assert payload(before, PKCS1)["PayloadIdentifier"] != payload(after, PKCS1)["PayloadIdentifier"]


def test_a_renewed_pkcs12_identity_is_a_new_payload(site: Site) -> None:
    """The same file with another certificate inside must be installed again, and MDM follows it."""
    replace_identity(site, PKCS12_TABLE)
    device(site)
    before = plist_of(site)
    assert plist_of(site) == before
    device(site)
    after = plist_of(site)
    assert payload(before, PKCS12)["PayloadUUID"] != payload(after, PKCS12)["PayloadUUID"]
    assert payload(after, MDM)["IdentityCertificateUUID"] == payload(after, PKCS12)["PayloadUUID"]
    assert payload(before, MDM)["PayloadUUID"] == payload(after, MDM)["PayloadUUID"]


def test_uuids_set_by_hand_are_used_as_written(site: Site) -> None:
    """Profile, identity, MDM, and certificates by SHA-256 in any notation; what refers to them follows."""
    given = [f"{n}a{n}B{n}c{n}D-0000-4000-8000-00000000000{n}" for n in range(5)]
    spaced = ":".join(site.root.sha256[i : i + 2] for i in range(0, 64, 2)).upper()
    add(site, "profile", f'uuid = "{given[0]}"')
    add(site, "identity", f'uuid = "{given[1]}"')
    add(site, "server", f'uuid = "{given[2]}"', 'url_pinning_certificates = "root.pem"')
    add(site, "trust", f'uuids = {{ "{spaced}" = "{given[3]}", {site.intermediate.sha256} = "{given[4]}" }}')
    plist = plist_of(site)
    assert uuids(plist) == {
        "profile": given[0],
        SCEP: given[1],
        MDM: given[2],
        site.root.sha256: given[3],
        site.intermediate.sha256: given[4],
    }
    assert payload(plist, MDM)["IdentityCertificateUUID"] == given[1]
    assert payload(plist, MDM)["ServerURLPinningCertificateUUIDs"] == [given[3]]


def test_the_same_uuid_by_hand_for_two_payloads_is_an_error(site: Site) -> None:
    """A device would refuse it, so nothing is built."""
    add(site, "identity", f'uuid = "{UUID}"')
    add(site, "server", f'uuid = "{UUID.lower()}"')
    result = result_of(site)
    assert [(each.severity, each.where) for each in findings(result, "profile.duplicate-uuid")] == [
        (Severity.ERROR, "PayloadContent[3].PayloadUUID")
    ]
    assert result.artifacts == ()


# ---------------------------------------------------------------- replacing an old profile


def replaced(site: Site, old: Path) -> BuildResult:
    """Build with --replaces as the library has it."""
    return result_of(site, profile={"replaces": old})


def plain(result: BuildResult) -> Plist:
    """The enrollment profile of a result without a signer."""
    plist: Plist = plistlib.loads(result.artifacts[0].data)
    return plist


@pytest.fixture(params=["unsigned", "signed"])
def old(request: pytest.FixtureRequest, site: Site, mdmprofile: Command) -> Path:
    """A profile of our own, as it was before the identifier and one certificate changed."""
    if request.param == "signed":
        site.config.write_text(site.config.read_text() + "\n" + SIGNING)
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "old", "--format", "json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["artifacts"][0]["signed"] is (request.param == "signed")
    site.config.write_text(site.config.read_text().replace(SIGNING, ""))
    return site.folder / "old" / "enroll.mobileconfig"


def test_a_replacement_keeps_identifier_and_uuids_of_our_own_profile(site: Site, old: Path) -> None:
    """A device takes it as the same profile and reinstalls only the certificate that is new."""
    before = plist_of(site)
    renewed = issue("Test Intermediate", site.root, ca=True, end=NOW + 3000 * DAY, key=site.intermediate.key)
    (site.folder / "intermediate.pem").write_bytes(renewed.pem)
    site.edit(lambda text: text.replace("com.example.mdm.enroll", "com.example.renamed"))
    result = replaced(site, old)
    after = plain(result)
    assert after["PayloadIdentifier"] == "com.example.mdm.enroll"
    new, kept = uuids(after), uuids(before)
    assert {key: new[key] for key in ("profile", SCEP, MDM, site.root.sha256)} == {
        key: kept[key] for key in ("profile", SCEP, MDM, site.root.sha256)
    }
    assert new[renewed.sha256] not in kept.values()
    for kind in (ROOT, SCEP, MDM):
        assert payload(after, kind)["PayloadIdentifier"] == payload(before, kind)["PayloadIdentifier"]
    assert payload(after, MDM)["IdentityCertificateUUID"] == payload(before, SCEP)["PayloadUUID"]
    (told,) = findings(result, "profile.kept-identifier")
    assert (told.severity, told.where) == (Severity.INFO, "profile.identifier")
    assert "com.example.renamed" in told.message


def test_a_replacement_with_the_same_inputs_is_the_same_profile(site: Site, old: Path) -> None:
    """Nothing changed, so not a byte does, and nothing is to be told."""
    result = replaced(site, old)
    assert result.artifacts[0].data == profile_of(site)
    assert findings(result, "profile.kept-identifier") == []


def test_a_replacement_keeps_the_names_on_the_command_line_too(site: Site, old: Path, mdmprofile: Command) -> None:
    """--replaces is relative to the working directory and says in the report what it kept."""
    site.edit(lambda text: text.replace("com.example.mdm.enroll", "com.example.renamed"))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "new", "--replaces", old, "--format", "json")
    assert outcome.code == 0, outcome.err
    assert "profile.kept-identifier" in outcome.rules
    new = plistlib.loads((site.folder / "new" / "enroll.mobileconfig").read_bytes())
    assert new["PayloadIdentifier"] == "com.example.mdm.enroll"


SERVER = {
    "Topic": TOPIC,
    "ServerURL": "https://mdm.example.com/mdm",
    "AccessRights": 8191,
    "ServerCapabilities": ["com.apple.mdm.per-user-connections"],
}
LOWER = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeee"


def foreign(site: Site, *, identity: str = SCEP) -> Plist:
    """A profile as another product makes it: lower-case UUIDs, other identifiers, the intermediate as PEM."""

    def made(kind: str, number: int, **keys: Any) -> Plist:
        common = {"PayloadType": kind, "PayloadVersion": 1, "PayloadUUID": f"{LOWER}{number}"}
        return common | {"PayloadIdentifier": f"org.other.{number}"} | keys

    return {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "org.other.enroll",
        "PayloadUUID": f"{LOWER}0",
        "PayloadContent": [
            made(ROOT, 1, PayloadContent=site.root.der),
            made(PEM, 2, PayloadContent=site.intermediate.pem),
            made(identity, 3, PayloadContent={}),
            made(MDM, 4, **SERVER),
            made("com.apple.wifi.managed", 5),
        ],
    }


def write_old(site: Site, plist: Plist, form: plistlib.PlistFormat = plistlib.FMT_XML) -> Path:
    """The old profile as a file."""
    path = site.folder / "old.mobileconfig"
    path.write_bytes(plistlib.dumps(plist, fmt=form))
    return path


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY], ids=["XML", "binary"])
def test_a_replacement_keeps_the_names_of_another_products_profile(site: Site, form: plistlib.PlistFormat) -> None:
    """Names are kept as they are written; a certificate's only where its payload type stayed the same."""
    result = replaced(site, write_old(site, foreign(site), form))
    after = plain(result)
    assert after["PayloadIdentifier"] == "org.other.enroll"
    assert after["PayloadUUID"] == f"{LOWER}0"
    kept = {
        kind: (payload(after, kind)["PayloadIdentifier"], payload(after, kind)["PayloadUUID"])
        for kind in (ROOT, SCEP, MDM)
    }
    assert kept == {
        ROOT: ("org.other.1", f"{LOWER}1"),
        SCEP: ("org.other.3", f"{LOWER}3"),
        MDM: ("org.other.4", f"{LOWER}4"),
    }
    assert payload(after, MDM)["IdentityCertificateUUID"] == f"{LOWER}3"
    intermediate = payload(after, PKCS1)
    assert intermediate["PayloadIdentifier"].startswith("org.other.enroll.intermediate.")
    assert uuid.UUID(intermediate["PayloadUUID"]).version == 5
    assert findings(result, "profile.kept-identifier")


def test_a_replacement_keeps_a_certificate_only_with_its_own_bytes(site: Site) -> None:
    """Another root in a root payload is another certificate, so it gets names of its own."""
    old = foreign(site)
    old["PayloadContent"][0]["PayloadContent"] = root_ca().der
    root = payload(plain(replaced(site, write_old(site, old))), ROOT)
    assert root["PayloadUUID"] != f"{LOWER}1"
    assert root["PayloadIdentifier"] != "org.other.1"


def test_a_replacement_with_another_kind_of_identity_names_it_anew(site: Site) -> None:
    """SCEP in place of PKCS#12 is a new payload, and MDM refers to the new one."""
    after = plain(replaced(site, write_old(site, foreign(site, identity=PKCS12))))
    identity = payload(after, SCEP)
    assert identity["PayloadIdentifier"] == "org.other.enroll.identity"
    assert identity["PayloadUUID"] == payload(after, MDM)["IdentityCertificateUUID"] != f"{LOWER}3"


def test_uuids_set_by_hand_win_over_kept_ones(site: Site) -> None:
    """Whoever writes one down means it; the identifiers are still the old ones."""
    given = [f"{n}0000000-0000-4000-8000-000000000000" for n in range(4)]
    add(site, "profile", f'uuid = "{given[0]}"')
    add(site, "identity", f'uuid = "{given[1]}"')
    add(site, "server", f'uuid = "{given[2]}"')
    add(site, "trust", f'uuids = {{ {site.root.sha256} = "{given[3]}" }}')
    after = plain(replaced(site, write_old(site, foreign(site))))
    found = uuids(after)
    assert [found[each] for each in ("profile", SCEP, MDM, site.root.sha256)] == given
    assert payload(after, ROOT)["PayloadIdentifier"] == "org.other.1"


def test_a_replacement_ignores_what_is_broken_in_the_old_profile(site: Site) -> None:
    """Names that are no text and certificates that are none give way to new ones; the rest is kept."""
    old = foreign(site)
    old["PayloadUUID"] = 7
    root, pem, identity = old["PayloadContent"][:3]
    root["PayloadContent"] = "no data"
    pem["PayloadContent"] = b"no certificate"
    identity["PayloadUUID"] = ["x"]
    old["PayloadContent"].insert(0, "no payload")
    after = plain(replaced(site, write_old(site, old)))
    assert after["PayloadIdentifier"] == "org.other.enroll"
    assert payload(after, MDM)["PayloadUUID"] == f"{LOWER}4"
    for each in (after, payload(after, ROOT), payload(after, SCEP)):
        assert uuid.UUID(each["PayloadUUID"]).version == 5


def test_a_replaced_profile_without_identifier_is_refused(site: Site) -> None:
    """Nothing can replace it, so nobody should ship a profile that is meant to."""
    old = foreign(site)
    del old["PayloadIdentifier"]
    with pytest.raises(ProfileError, match="has no PayloadIdentifier"):
        replaced(site, write_old(site, old))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        pytest.param(None, InputError, id="absent"),
        pytest.param(b"hello", ProfileError, id="text"),
        pytest.param(b"", ProfileError, id="empty"),
    ],
)
def test_an_old_profile_that_cannot_be_read_stops_the_build(
    site: Site, data: bytes | None, error: type[MdmprofileError]
) -> None:
    """Without it the replacement would be another profile on every device."""
    path = site.folder / "old.mobileconfig"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(error) as caught:
        replaced(site, path)
    assert "old.mobileconfig" in str(caught.value)


# ---------------------------------------------------------------- pinning


def test_a_pinned_leaf_is_embedded_and_referred_to(site: Site, plistutil: Callable[[bytes], bytes]) -> None:
    """A device pins a payload of the same profile; a server's own certificate goes in only for that."""
    checkin = server_leaf(site.intermediate, "checkin.example.com")
    (site.folder / "checkin.pem").write_bytes(checkin.pem)
    add(
        site,
        "server",
        'url_pinning_certificates = ["server.pem", "root.pem"]',
        'checkin_url_pinning_certificates = "checkin.pem"',
    )
    plist = plistlib.loads(plistutil(profile_of(site)))
    by_data = {
        each.get("PayloadContent"): each for each in plist["PayloadContent"] if each["PayloadType"] in {ROOT, PKCS1}
    }
    assert len(by_data) == 4
    pinned = by_data[site.server.der]
    assert (pinned["PayloadType"], pinned["PayloadDescription"]) == (PKCS1, "Pinned certificate")
    mdm = payload(plist, MDM)
    assert mdm["ServerURLPinningCertificateUUIDs"] == [pinned["PayloadUUID"], by_data[site.root.der]["PayloadUUID"]]
    assert mdm["CheckInURLPinningCertificateUUIDs"] == [by_data[checkin.der]["PayloadUUID"]]
    assert [each["PayloadType"] for each in plist["PayloadContent"]] == [ROOT, PKCS1, PKCS1, PKCS1, SCEP, MDM]


def test_a_pinned_leaf_is_judged_as_baked_in(site: Site) -> None:
    """Devices refuse the renewed certificate, so its end limits the profile."""
    add(site, "server", 'url_pinning_certificates = "server.pem"')
    (site.folder / "server.pem").write_bytes(server_leaf(site.intermediate, days=100).pem)
    result = result_of(site)
    assert [each.severity for each in findings(result, "expiry.before-replacement")] == [Severity.WARNING]
    assert result.plan.limited_by is not None
    assert result.plan.limited_by.role == "pinned"


# ---------------------------------------------------------------- topic


def test_the_topic_is_read_from_the_push_certificate(site: Site) -> None:
    """Nobody copies it by hand, so nobody mistypes it."""
    topic = "com.apple.mgmt.External.0f0f0f0f-0000-4000-8000-000000000000"
    (site.folder / "push.pem").write_bytes(push_certificate(site.intermediate, topic).pem)
    assert payload(plist_of(site), MDM)["Topic"] == topic


def test_the_topic_is_found_among_other_certificates_of_the_push_file(site: Site) -> None:
    """A file that begins with the issuer is common; the certificate with the topic is meant."""
    (site.folder / "push.pem").write_bytes(site.intermediate.pem + site.push.pem)
    assert payload(plist_of(site), MDM)["Topic"] == TOPIC


def test_an_explicit_topic_needs_no_push_certificate(site: Site) -> None:
    """The topic alone is enough for the profile."""
    site.edit(lambda text: text.replace('push_certificate = "push.pem"', f'topic = "{TOPIC}"'))
    result = result_of(site)
    assert plain(result)["PayloadContent"][-1]["Topic"] == TOPIC
    assert [each for each in result.findings if each.severity is Severity.ERROR] == []


def test_an_explicit_topic_that_agrees_is_fine(site: Site) -> None:
    """Both may be given, as long as they say the same."""
    add(site, "server", f'topic = "{TOPIC}"')
    assert findings(result_of(site), "mdm.topic-mismatch") == []


def test_a_topic_that_is_not_the_push_certificates_is_an_error(site: Site) -> None:
    """The server could never wake a device, and the topic cannot be changed later."""
    add(site, "server", 'topic = "com.apple.mgmt.External.other"')
    result = result_of(site)
    (found,) = findings(result, "mdm.topic-mismatch")
    assert (found.severity, found.where) == (Severity.ERROR, "server.topic")
    assert TOPIC in found.message
    assert result.artifacts == ()


def test_a_push_certificate_without_topic_is_an_error(site: Site) -> None:
    """A certificate of another kind was given; the error says which and what is missing."""
    (site.folder / "push.pem").write_bytes(site.server.pem)
    result = result_of(site)
    (found,) = findings(result, "push.no-topic")
    assert (found.severity, found.where) == (Severity.ERROR, "server.push_certificate")
    assert "mdm.example.com" in found.message
    assert result.artifacts == ()


def test_a_push_certificate_of_an_app_is_an_error(site: Site) -> None:
    """Its UID is the app's bundle, which is no MDM topic."""
    app = issue(name("Apple Push Services: com.example.app", uid="com.example.app"), site.intermediate)
    (site.folder / "push.pem").write_bytes(app.pem)
    result = result_of(site)
    assert [each.where for each in findings(result, "mdm.topic-prefix")] == ["PayloadContent[3].Topic"]
    assert result.artifacts == ()


# ---------------------------------------------------------------- the PKCS#12 identity


def test_a_pkcs12_for_several_devices_is_a_warning(site: Site) -> None:
    """Every device would be the same device; one that is said to be for one device is not."""
    replace_identity(site, PKCS12_TABLE)
    device(site)
    assert findings(result_of(site), "identity.shared") == []
    site.edit(lambda text: text.replace("single_device = true\n", ""))
    result = result_of(site)
    (found,) = findings(result, "identity.shared")
    assert (found.severity, found.where) == (Severity.WARNING, "identity.file")
    assert "device-4711" in found.message
    assert result.artifacts


@pytest.mark.parametrize(
    ("usages", "rules"),
    [
        pytest.param((), [], id="no extendedKeyUsage"),
        pytest.param((ExtendedKeyUsageOID.CLIENT_AUTH,), [], id="client"),
        pytest.param((ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH), [], id="server and client"),
        pytest.param((ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,), [], id="any"),
        pytest.param((ExtendedKeyUsageOID.SERVER_AUTH,), ["identity.no-client-auth"], id="server"),
    ],
)
def test_an_identity_must_be_allowed_to_authenticate_a_client(
    site: Site, usages: tuple[x509.ObjectIdentifier, ...], rules: list[str]
) -> None:
    """The server would refuse the device; without the extension everything is allowed."""
    replace_identity(site, PKCS12_TABLE)
    device(site, (x509.ExtendedKeyUsage(usages),) if usages else ())
    found = [each for each in result_of(site).findings if each.rule.startswith("identity.")]
    assert [each.rule for each in found] == rules
    assert all((each.severity, each.where) == (Severity.WARNING, "identity.file") for each in found)


def p12(identity: Entity, encryption: KeySerializationEncryption) -> bytes:
    """A PKCS#12 in the given encryption."""
    return pkcs12.serialize_key_and_certificates(b"device", identity.key, identity.certificate, None, encryption)


def test_a_pkcs12_without_password_is_a_warning(site: Site) -> None:
    """Devices disagree about empty passwords."""
    replace_identity(site, PKCS12_TABLE.replace('password = "p12-secret"\n', ""))
    (site.folder / "device.p12").write_bytes(p12(issue("device-4711", site.intermediate), NoEncryption()))
    (found,) = findings(result_of(site), "pkcs12.empty-password")
    assert (found.severity, found.where) == (Severity.WARNING, "identity.file")


def test_a_pkcs12_that_older_systems_do_not_import_is_told(site: Site) -> None:
    """The encryption that openssl and others choose today is called a wrong password by macOS 12."""
    replace_identity(site, PKCS12_TABLE)
    identity = device(site)
    (found,) = findings(result_of(site), "pkcs12.encryption")
    assert (found.severity, found.where) == (Severity.INFO, "identity.file")
    compatible = (
        PrivateFormat.PKCS12.encryption_builder()
        .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(hashes.SHA1())  # noqa: S303 - the digest that older systems need
        .build(b"p12-secret")
    )
    (site.folder / "device.p12").write_bytes(p12(identity, compatible))
    assert [each for each in result_of(site).findings if each.rule.startswith(("pkcs12.", "identity."))] == []


# ---------------------------------------------------------------- removal


@pytest.mark.parametrize("key", ["removal_date", "expiration_date"])
@pytest.mark.parametrize(
    ("date", "past"),
    [("2031-03-01T12:00:00Z", True), ("2030-12-31", True), ("2031-03-01T12:00:01Z", False), ("2031-09-02", False)],
)
def test_a_removal_or_expiration_in_the_past_is_an_error(site: Site, key: str, date: str, past: bool) -> None:
    """A device would remove the profile at once, or call it outdated."""
    add(site, "profile", f"{key} = {date}")
    result = result_of(site)
    found = findings(result, "profile.date-past")
    assert [(each.severity, each.where) for each in found] == ([(Severity.ERROR, f"profile.{key}")] if past else [])
    assert bool(result.artifacts) is not past


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param(["removal_date = 2031-08-31"], True, id="date before"),
        pytest.param(["removal_date = 2031-09-01"], False, id="date on the day"),
        pytest.param(['duration_until_removal = "100d"'], True, id="duration before"),
        pytest.param(['duration_until_removal = "200d"'], False, id="duration after"),
        pytest.param(["removal_date = 2032-01-01", 'duration_until_removal = "1d"'], True, id="the earlier counts"),
        pytest.param([], False, id="never"),
    ],
)
def test_a_profile_that_removes_itself_before_its_replacement_is_a_warning(
    site: Site, lines: list[str], told: bool
) -> None:
    """The device would not be managed in between."""
    if lines:
        add(site, "profile", *lines)
    found = findings(result_of(site), "profile.removal-before-replacement")
    assert [(each.severity, each.where) for each in found] == ([(Severity.WARNING, "profile")] if told else [])


def test_a_removal_without_a_planned_replacement_is_not_judged(site: Site) -> None:
    """Nobody said until when the profile is needed."""
    site.edit(lambda text: text.replace("replace_on = 2031-09-01", "removal_date = 2031-04-01"))
    assert findings(result_of(site), "profile.removal-before-replacement") == []


def test_a_removal_after_no_time_at_all_is_not_ignored(site: Site) -> None:
    """Zero is a duration: it is refused, or the profile says it, but it is never dropped in silence."""
    add(site, "profile", 'duration_until_removal = "0d"')
    try:
        result = result_of(site)
    except ConfigError as error:
        assert "profile.duration_until_removal" in error.where  # noqa: PT017 - either outcome is right
    else:
        errors = [each for each in result.findings if each.severity is Severity.ERROR]
        assert errors or result.profile.plist["DurationUntilRemoval"] == 0


# ---------------------------------------------------------------- the library


def test_the_library_builds_without_the_command_line(site: Site, openssl: Callable[..., bytes]) -> None:
    """A config and a date in, signed bytes and a judgement out; nothing is written anywhere."""
    site.config.write_text(site.config.read_text() + "\n" + SIGNING)
    before = sorted(site.folder.iterdir())
    result = build(library.load_config(site.config), now=NOW)
    assert sorted(site.folder.iterdir()) == before
    kinds = ["enrollment", "trust", "service-config", "anchor-certificates"]
    assert [each.kind for each in result.artifacts] == kinds
    assert [each.signed for each in result.artifacts] == [True, True, False, False]
    signed = site.folder / "signed"
    signed.write_bytes(result.artifacts[0].data)
    assert signed_content(openssl, signed, site.folder / "root.pem") == result.profile.to_bytes()
    opened = library.open_profile(result.artifacts[0].data)
    assert opened.profile.identifier == result.profile.identifier == "com.example.mdm.enroll"
    assert result.chain.roots == (site.root.ours,)
    assert isinstance(result.findings, tuple)


@pytest.mark.parametrize(
    ("table", "lines", "secret"),
    [
        pytest.param(IDENTITY, [], True, id="SCEP challenge"),
        pytest.param(IDENTITY.replace('challenge = { file = "challenge.txt" }\n', ""), [], False, id="no challenge"),
        pytest.param(PKCS12_TABLE, [], True, id="PKCS#12"),
        pytest.param(ACME_TABLE, [], True, id="ACME client identifier"),
        pytest.param(
            IDENTITY.replace('challenge = { file = "challenge.txt" }\n', ""),
            ['removal_password = "x"'],
            True,
            id="removal password",
        ),
    ],
)
def test_a_profile_with_a_secret_is_marked_as_one(site: Site, table: str, lines: list[str], secret: bool) -> None:
    """What is marked is written for its owner alone."""
    site.config.write_text(site.config.read_text().replace(IDENTITY, table))
    if lines:
        add(site, "profile", *lines)
    device(site)
    assert [each.secret for each in result_of(site).artifacts] == [secret, False, False, False]


def test_everything_that_cannot_be_read_is_told_at_once(site: Site) -> None:
    """One run names every file, so that nobody repairs them one by one."""
    for file in ("root.pem", "push.pem", "challenge.txt"):
        (site.folder / file).unlink()
    with pytest.raises(Problems) as caught:
        result_of(site)
    assert len(caught.value.errors) == 3
    for file in ("root.pem", "push.pem", "challenge.txt"):
        assert len([each for each in caught.value.errors if str(site.folder / file) in str(each)]) == 1


def test_an_error_among_the_findings_leaves_no_artifact(site: Site) -> None:
    """The findings, the plan and the profile are still there to be shown."""
    add(site, "server", "access_rights = 2")
    result = result_of(site)
    assert result.artifacts == ()
    assert [each.where for each in findings(result, "mdm.access-rights")] == ["PayloadContent[3].AccessRights"]
    assert result.profile.payloads[3]["AccessRights"] == 2
    assert result.plan.latest_safe_date is not None


PUBLIC = [each for each in library.__all__ if each != "__version__"]


@pytest.mark.parametrize("public", PUBLIC)
def test_a_public_name_is_importable_on_its_own(public: str) -> None:
    """In a fresh process, whichever is asked for first."""
    check = f"from mdmprofile import {public}; assert {public}.__name__ == {public!r}, {public}"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_all_public_names_are_importable_together() -> None:
    """Sorted, as a formatter writes them, each is the class or function that it is alone."""
    names = ", ".join(sorted(PUBLIC))
    check = f"from mdmprofile import {names}; assert callable(build), build; import mdmprofile; "
    check += "assert mdmprofile.build is build"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_importing_the_package_loads_nothing_that_is_not_used() -> None:
    """Start-up costs nothing until a name is asked for."""
    slow = "{'cryptography', 'rich', 'jinja2', 'asn1crypto', 'plistlib'}"
    check = f"import sys, mdmprofile; assert not {slow} & sys.modules.keys(); mdmprofile.Certificate; "
    check += "assert 'cryptography' in sys.modules and 'rich' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    """A typo gives Python's usual error, not an import error from deep inside."""
    with pytest.raises(AttributeError, match="no attribute 'bulid'"):
        _ = library.bulid  # type: ignore[attr-defined]  # a name that is not there
