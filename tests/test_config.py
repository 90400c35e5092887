"""``enroll.toml``: every key and default, every mistake in one run, and where its paths lead."""

from __future__ import annotations

import hashlib
import io
import json
import plistlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from mdmprofile.builder import build
from mdmprofile.certificates import Identity
from mdmprofile.config import EnrollmentConfig, load_config
from mdmprofile.config_file import parse_toml
from mdmprofile.errors import ConfigError, InputError, MdmprofileError, Problems, collect
from mdmprofile.inputs import MAX_CONFIG
from mdmprofile.materials import load_materials
from pki import CONFIG, NOW, TOPIC, Site, ec_key, issue, make_site, push_certificate, signed_content

MDM, SCEP = "com.apple.mdm", "com.apple.security.scep"
ACME, PKCS12 = "com.apple.security.acme", "com.apple.security.pkcs12"
ALL_CAPABILITIES = ["com.apple.mdm.per-user-connections", "com.apple.mdm.bootstraptoken", "com.apple.mdm.token"]
UUID = "0123abcd-4567-89ab-CDEF-0123456789ab"

MINIMAL = f"""\
[profile]
identifier = "com.example.mdm"

[server]
url = "https://mdm.example.com/mdm"
topic = "{TOPIC}"

[trust]
certificates = "root.pem"

[identity]
type = "scep"
url = "https://mdm.example.com/scep"
"""


def with_line(text: str, table: str, line: str) -> str:
    """The config with this line in this table, instead of the line that set the key before."""
    head, found, rest = text.partition(f"[{table}]\n")
    assert found
    body, bracket, tail = rest.partition("\n[")
    key = line.partition("=")[0].strip()
    kept = [each for each in body.splitlines() if each.partition("=")[0].strip() != key]
    return head + found + "\n".join([line, *kept]) + bracket + tail


def with_identity(text: str, identity: str) -> str:
    """The config with these lines as its whole identity table."""
    head, _, rest = text.partition("[identity]\n")
    return f"{head}[identity]\n{identity}\n\n[{rest.partition('[')[2]}"


def write(folder: Path, text: str | bytes) -> Path:
    """A config file of this text."""
    file = folder / "enroll.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def load(folder: Path, text: str | bytes, **variables: Any) -> EnrollmentConfig:
    """The config that this text is."""
    return load_config(write(folder, text), variables=variables)


def plist_of(site: Site, *, config: Path | None = None) -> dict[str, Any]:
    """The property list of the site's profile, also where a finding stands in the way of its being written."""
    profile = build(load_config(config or site.config), now=NOW).profile
    plist: dict[str, Any] = plistlib.loads(profile.to_bytes())
    return plist


def payload(plist: dict[str, Any], kind: str) -> dict[str, Any]:
    """The one payload of this type."""
    (found,) = (each for each in plist["PayloadContent"] if each["PayloadType"] == kind)
    assert isinstance(found, dict)
    return found


def mistakes(folder: Path, text: str) -> dict[str, str]:
    """Every mistake in a config: the key's path and the first message about it with its hint."""
    file = write(folder, text)
    with pytest.raises(MdmprofileError) as caught:
        load_config(file)
    found = caught.value.errors if isinstance(caught.value, Problems) else (caught.value,)
    assert all(each.where.startswith(f"{file}: ") for each in found)
    return {each.where.removeprefix(f"{file}: "): f"{each.message} ({each.hint})" for each in reversed(found)}


# --- keys and what they become ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ('identifier = "com.example.other"', "PayloadIdentifier", "com.example.other"),
        ('display_name = "Größe <&> 🍏"', "PayloadDisplayName", "Größe <&> 🍏"),
        ('description = "What it does"', "PayloadDescription", "What it does"),
        ('organization = "Example AG"', "PayloadOrganization", "Example AG"),
        ('scope = "user"', "PayloadScope", "User"),
        (f'uuid = "{UUID}"', "PayloadUUID", UUID),
        ("removal_disallowed = true", "PayloadRemovalDisallowed", True),
        ("has_removal_passcode = true", "HasRemovalPasscode", True),
        ('removal_password = "opens"', "HasRemovalPasscode", True),
        ("removal_date = 2032-01-02", "RemovalDate", datetime(2032, 1, 2)),  # noqa: DTZ001 - plistlib's are naive UTC
        ('duration_until_removal = "400d"', "DurationUntilRemoval", 400 * 86400.0),
        (
            "expiration_date = 2032-01-02T03:04:05+02:00",
            "PayloadExpirationDate",
            datetime(2032, 1, 2, 1, 4, 5),  # noqa: DTZ001 - plistlib's are naive UTC
        ),
        ('target_device = "mac"', "TargetDeviceType", 5),
        ("target_device = 3", "TargetDeviceType", 3),
        ('consent_text = "Agree?"', "ConsentText", {"default": "Agree?"}),
        ('consent_text = { default = "Agree?", de = "Ja?" }', "ConsentText", {"default": "Agree?", "de": "Ja?"}),
    ],
)
def test_profile_key_becomes_the_top_level_key_it_names(site: Site, line: str, key: str, expected: object) -> None:
    """Every top-level key that Apple has can be set."""
    site.edit(lambda text: with_line(text, "profile", line))
    assert plist_of(site)[key] == expected


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ('url = "https://mdm.example.com:8443/in?tenant=1"', "ServerURL", "https://mdm.example.com:8443/in?tenant=1"),
        ('checkin_url = "https://mdm.example.com/checkin"', "CheckInURL", "https://mdm.example.com/checkin"),
        ('topic = "com.apple.mgmt.Other"', "Topic", "com.apple.mgmt.Other"),
        ("sign_message = true", "SignMessage", True),
        ("check_out_when_removed = false", "CheckOutWhenRemoved", False),
        ("use_development_apns = true", "UseDevelopmentAPNS", True),
        ('managed_apple_id = "a@example.com"', "ManagedAppleID", "a@example.com"),
        ('assigned_managed_apple_id = "a@example.com"', "AssignedManagedAppleID", "a@example.com"),
        ('enrollment_mode = "byod"', "EnrollmentMode", "BYOD"),
        ("required_app_id = 1234567890", "RequiredAppIDForMDM", 1234567890),
        ("pinning_revocation_check_required = true", "PinningRevocationCheckRequired", True),
        ("prompt_for_bootstrap_token = true", "PromptUserToAllowBootstrapTokenForAuthentication", True),
        (f'uuid = "{UUID}"', "PayloadUUID", UUID),
        ('access_rights = "all"', "AccessRights", 8191),
        ("access_rights = 3", "AccessRights", 3),
        ('access_rights = "1027"', "AccessRights", 1027),
        ("access_rights = -1", "AccessRights", -1),
        ('access_rights = "-5"', "AccessRights", -5),
        ("access_rights = []", "AccessRights", 0),
        ('access_rights = ["inspect-profiles", "install_profiles", "ERASE", "erase"]', "AccessRights", 11),
        ('access_rights = "inspect_profiles, Manage-Apps"', "AccessRights", 4097),
        ('capabilities = ["token", "BOOTSTRAPTOKEN"]', "ServerCapabilities", ALL_CAPABILITIES[:0:-1]),
        ('capabilities = "com.apple.mdm.token"', "ServerCapabilities", ["com.apple.mdm.token"]),
        ('capabilities = ["per-user-connections"]', "ServerCapabilities", ALL_CAPABILITIES[:1]),
    ],
)
def test_server_key_becomes_the_mdm_key_it_names(site: Site, line: str, key: str, expected: object) -> None:
    """Every key of Apple's MDM payload that is not derived can be set; what a device thinks of it, the rules say."""
    site.edit(lambda text: with_line(text, "server", line))
    assert payload(plist_of(site), MDM)[key] == expected


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ('url = "https://ca.example.com/scep"', "URL", "https://ca.example.com/scep"),
        ('name = "Example CA"', "Name", "Example CA"),
        (
            'subject = "O=A\\\\, B, cn=dev/ice, 2.5.4.5=7"',
            "Subject",
            [[["O", "A, B"]], [["CN", "dev/ice"]], [["2.5.4.5", "7"]]],
        ),
        (
            'subject = "/C=US/O=a\\\\/b,c/CN=x=y"',
            "Subject",
            [[["C", "US"]], [["O", "a/b,c"]], [["CN", "x=y"]]],
        ),
        ('subject = [["cn", "a,b=c"], ["1.2.840", "d"]]', "Subject", [[["CN", "a,b=c"]], [["1.2.840", "d"]]]),
        ('challenge = "literal"', "Challenge", "literal"),
        ("key_size = 4096", "Keysize", 4096),
        ('key_type = "RSA"', "Key Type", "RSA"),
        ("key_usage = 1", "Key Usage", 1),
        (f'ca_fingerprint = "{":".join(["aB"] * 20)}"', "CAFingerprint", b"\xab" * 20),
        (f'ca_fingerprint = "{"01 " * 16}"', "CAFingerprint", b"\x01" * 16),
        ("retries = 5", "Retries", 5),
        ("retry_delay = 60", "RetryDelay", 60),
        ("key_is_extractable = true", "KeyIsExtractable", True),
        ("allow_all_apps_access = true", "AllowAllAppsAccess", True),
        (
            'subject_alt_name = { dns_name = ["a.example", "b.example"], nt_principal_name = "n@example" }',
            "SubjectAltName",
            {"dNSName": ["a.example", "b.example"], "ntPrincipalName": "n@example"},
        ),
        (
            'subject_alt_name = { rfc822_name = "m@example", uri = "urn:x" }',
            "SubjectAltName",
            {"rfc822Name": "m@example", "uniformResourceIdentifier": "urn:x"},
        ),
    ],
)
def test_scep_key_becomes_the_key_it_names(site: Site, line: str, key: str, expected: object) -> None:
    """Every key of Apple's SCEP payload can be set, with Apple's spelling in the dictionary one level down."""
    site.edit(lambda text: with_line(text, "identity", line))
    assert payload(plist_of(site), SCEP)["PayloadContent"][key] == expected


@pytest.mark.parametrize(
    ("line", "key", "expected"),
    [
        ('directory_url = "https://ca.example.com/acme"', "DirectoryURL", "https://ca.example.com/acme"),
        ('client_identifier = "device 1"', "ClientIdentifier", "device 1"),
        ('subject = "CN=dev"', "Subject", [[["CN", "dev"]]]),
        ('subject_alt_name = { dns_name = "a.example" }', "SubjectAltName", {"dNSName": "a.example"}),
        ('key_type = "RSA"', "KeyType", "RSA"),
        ('key_size = "256"', "KeySize", 256),
        ("hardware_bound = false", "HardwareBound", False),
        ("attest = true", "Attest", True),
        ("usage_flags = 5", "UsageFlags", 5),
        ('extended_key_usage = ["1.3.6.1.5.5.7.3.2"]', "ExtendedKeyUsage", ["1.3.6.1.5.5.7.3.2"]),
        ("key_is_extractable = true", "KeyIsExtractable", True),
        ("allow_all_apps_access = true", "AllowAllAppsAccess", True),
        (f'uuid = "{UUID}"', "PayloadUUID", UUID),
    ],
)
def test_acme_key_becomes_the_key_it_names(site: Site, line: str, key: str, expected: object) -> None:
    """Every key of Apple's ACME payload can be set; they are flat."""
    acme = 'type = "acme"\ndirectory_url = "https://mdm.example.com/acme"\nclient_identifier = "c"'
    site.edit(lambda text: with_line(with_identity(text, acme), "identity", line))
    assert payload(plist_of(site), ACME)[key] == expected


def test_pkcs12_keys_become_the_keys_they_name(site: Site) -> None:
    """The file goes in as it is; the password and the extras where they are asked for."""
    data = issue("device", site.intermediate).p12("pass")
    (site.folder / "device.p12").write_bytes(data)
    lines = f'type = "pkcs12"\nfile = "device.p12"\npassword = "pass"\nkey_is_extractable = true\nuuid = "{UUID}"'
    site.edit(lambda text: with_identity(text, f"{lines}\nallow_all_apps_access = true\nsingle_device = true"))
    expected = {
        "PayloadContent": data,
        "PayloadCertificateFileName": "device.p12",
        "Password": "pass",
        "KeyIsExtractable": True,
        "AllowAllAppsAccess": True,
        "PayloadUUID": UUID,
    }
    found = payload(plist_of(site), PKCS12)
    assert {key: found[key] for key in expected} == expected


def test_password_of_the_pkcs12_stays_out_where_it_is_not_to_be_embedded(site: Site, mdmprofile: Command) -> None:
    """With embed_password = false the password opens the file for the build, and the device asks the user."""
    (site.folder / "device.p12").write_bytes(issue("device", site.intermediate).p12("not-in-there"))
    lines = 'type = "pkcs12"\nfile = "device.p12"\npassword = "not-in-there"\nembed_password = false'
    site.edit(lambda text: with_identity(text, f"{lines}\nsingle_device = true").partition("[signing]")[0])
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out").code == 0
    profile = (site.folder / "out" / "enroll.mobileconfig").read_bytes()
    assert "Password" not in payload(plistlib.loads(profile), PKCS12)
    assert b"not-in-there" not in profile


def test_removal_password_becomes_its_own_payload(site: Site) -> None:
    """The password sits in a payload before the MDM payload, and the top level says that there is one."""
    site.edit(lambda text: with_line(text, "profile", 'removal_password = { file = "challenge.txt" }'))
    plist = plist_of(site)
    assert payload(plist, "com.apple.profileRemovalPassword")["RemovalPassword"] == "open-sesame-4711"
    assert plist["PayloadContent"][-1]["PayloadType"] == MDM


def test_fingerprint_of_the_scep_ca_is_taken_from_its_certificate(site: Site) -> None:
    """CAFingerprint is the SHA-1 of the DER bytes of ca_certificate."""
    site.edit(lambda text: with_line(text, "identity", 'ca_certificate = "intermediate.pem"'))
    content = payload(plist_of(site), SCEP)["PayloadContent"]
    assert content["CAFingerprint"] == hashlib.sha1(site.intermediate.der, usedforsecurity=False).digest()


def test_pinned_certificates_are_embedded_and_referred_to(site: Site) -> None:
    """Pinning names payloads of the same profile: the server's leaf is added, a CA that is there is not repeated."""
    pins = 'url_pinning_certificates = "server.pem"\ncheckin_url_pinning_certificates = ["intermediate.pem"]'
    site.edit(lambda text: with_line(text, "server", pins))
    plist = plist_of(site)
    uuids = {each["PayloadContent"]: each["PayloadUUID"] for each in plist["PayloadContent"][:3]}
    assert list(uuids) == [site.root.der, site.intermediate.der, site.server.der]
    mdm = payload(plist, MDM)
    assert mdm["ServerURLPinningCertificateUUIDs"] == [uuids[site.server.der]]
    assert mdm["CheckInURLPinningCertificateUUIDs"] == [uuids[site.intermediate.der]]


def test_uuid_of_a_certificate_can_be_set_by_its_fingerprint(site: Site) -> None:
    """The fingerprint may be written with colons and in capitals, as other tools print it."""
    digits = site.root.sha256.upper()
    written = ":".join(digits[at : at + 2] for at in range(0, 64, 2))
    site.edit(lambda text: with_line(text, "trust", f'uuids = {{ "{written}" = "{UUID}" }}'))
    assert payload(plist_of(site), "com.apple.security.root")["PayloadUUID"] == UUID


def test_public_trust_embeds_no_certificate(site: Site) -> None:
    """A publicly trusted server needs none, and the same files stay readable for other purposes."""
    site.edit(lambda text: with_line(text, "trust", "public = true"))
    assert [each["PayloadType"] for each in plist_of(site)["PayloadContent"]] == [SCEP, MDM]


def test_output_directory_is_relative_to_the_config(
    site: Site, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config in another folder keeps its results beside itself."""
    site.edit(lambda text: f'{text}\n[output]\ndirectory = "made"\n')
    monkeypatch.chdir(tmp_path)
    assert mdmprofile("build", "-c", "site/enroll.toml").code == 0
    assert {each.name for each in (site.folder / "made").iterdir()} == {
        "enroll.mobileconfig",
        "trust.mobileconfig",
        "MDMServiceConfig",
        "dep_anchor_certs",
    }


def test_config_without_an_output_directory_writes_into_out_of_the_working_directory(
    site: Site, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default of -o is a flag's, so it belongs to the working directory."""
    monkeypatch.chdir(tmp_path)
    assert mdmprofile("build", "-c", "site/enroll.toml").code == 0
    assert (tmp_path / "out" / "enroll.mobileconfig").is_file()
    assert not (site.folder / "out").exists()


# --- defaults --------------------------------------------------------------------------------------------------


def test_minimal_config_builds_the_documented_defaults(site: Site) -> None:
    """Scope System, all rights and capabilities, check-out, a 2048-bit key for both usages, not extractable."""
    plist = plist_of(site, config=write(site.folder, MINIMAL))
    common = {"PayloadVersion", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName"}
    scep, mdm = payload(plist, SCEP), payload(plist, MDM)
    assert {key: value for key, value in plist.items() if key not in common} == {
        "PayloadType": "Configuration",
        "PayloadScope": "System",
        "PayloadContent": plist["PayloadContent"],
    }
    assert scep["PayloadContent"] == {
        "URL": "https://mdm.example.com/scep",
        "Keysize": 2048,
        "Key Type": "RSA",
        "Key Usage": 5,
        "KeyIsExtractable": False,
        "Subject": [[["CN", "com.example.mdm"]]],
    }
    assert {key: value for key, value in mdm.items() if key not in common} == {
        "PayloadType": MDM,
        "IdentityCertificateUUID": scep["PayloadUUID"],
        "Topic": TOPIC,
        "ServerURL": "https://mdm.example.com/mdm",
        "AccessRights": 8191,
        "ServerCapabilities": ALL_CAPABILITIES,
        "CheckOutWhenRemoved": True,
    }


def test_acme_identity_builds_the_documented_defaults(site: Site) -> None:
    """A hardware-bound P-384 key that is not attested and not extractable, for the organization's own subject."""
    acme = 'type = "ACME"\ndirectory_url = "https://mdm.example.com/acme"\nclient_identifier = "c"'
    site.edit(lambda text: with_identity(text, acme))
    found = payload(plist_of(site), ACME)
    assert {key: value for key, value in found.items() if not key.startswith("Payload")} == {
        "DirectoryURL": "https://mdm.example.com/acme",
        "ClientIdentifier": "c",
        "KeyType": "ECSECPrimeRandom",
        "KeySize": 384,
        "HardwareBound": True,
        "Attest": False,
        "KeyIsExtractable": False,
        "Subject": [[["O", "Example Inc."]], [["CN", "com.example.mdm.enroll"]]],
    }


def test_absent_dates_have_the_documented_defaults(tmp_path: Path) -> None:
    """No planned replacement, 30 days of margin and warning, 7 days of alarm, no known validity, no signer."""
    config = load(tmp_path, MINIMAL)
    profile = config.profile
    dates = (profile.replace_on, profile.replace_margin, profile.warn, profile.critical)
    assert dates == (None, timedelta(days=30), timedelta(days=30), timedelta(days=7))
    assert (config.identity.uuid, config.signing, config.output_directory) == (None, None, Path("out"))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2031-09-01", datetime(2031, 9, 1, tzinfo=UTC)),
        ("2031-09-01T12:30:00", datetime(2031, 9, 1, 12, 30, tzinfo=UTC)),
        ("2031-09-01T12:30:00+02:00", datetime(2031, 9, 1, 10, 30, tzinfo=UTC)),
        ("2031-09-01 12:30:00Z", datetime(2031, 9, 1, 12, 30, tzinfo=UTC)),
        ('"2031-09-01"', datetime(2031, 9, 1, tzinfo=UTC)),
        ('"2031-09-01T12:30-05:00"', datetime(2031, 9, 1, 17, 30, tzinfo=UTC)),
        ('"{{ year }}-09-01"', datetime(2031, 9, 1, tzinfo=UTC)),
    ],
)
def test_date_is_read_in_every_form_that_toml_and_iso_have(tmp_path: Path, written: str, expected: datetime) -> None:
    """TOML's date and date-time, with and without an offset, and text; all are aware UTC."""
    config = load(tmp_path, with_line(MINIMAL, "profile", f"replace_on = {written}"), year="2031")
    assert config.profile.replace_on == expected
    assert config.profile.replace_on.tzinfo is UTC


def test_planned_replacement_and_margins_of_the_config_judge_the_build(site: Site, mdmprofile: Command) -> None:
    """replace_on, replace_margin, warn and critical decide what is found, and the plan states them."""
    lines = 'replace_on = 2032-02-20\nreplace_margin = "12h"\nwarn = "52w"\ncritical = "360d"'
    site.edit(lambda text: with_line(text.replace("replace_on = 2031-09-01\n", ""), "profile", lines))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    plan = outcome.json["plan"]
    assert (plan["replace_on"], plan["margin_days"]) == ("2032-02-20T00:00:00Z", 0.5)
    # The identity and the push certificate end in 365 days: within 52 weeks and a day, but not within 360 days.
    assert outcome.rules == []
    site.edit(lambda text: text.replace('warn = "52w"', 'warn = "1y"').replace('margin = "12h"', 'margin = "2w"'))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert sorted(outcome.rules) == ["expiry.before-replacement", "expiry.soon", "expiry.soon"]
    site.edit(lambda text: text.replace('critical = "360d"', 'critical = "8760h"'))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert "expiry.critical" in outcome.rules
    assert outcome.code == 2


# --- mistakes --------------------------------------------------------------------------------------------------

BROKEN = """\
outputs = 4

[profile]
identifer = "com.example.mdm"
scope = "Sytem"
replace_margin = 30
replace_on = "soon"
display_name = " "

[server]
url = "https://mdm example.com"
acess_rights = "all"
sign_message = "yes"
capabilities = ["tokne"]
uuid = "1234"

[trust]
certificates = [4]
trust_profil_url = "x"

[identity]
type = "scep"
key_size = 2048.5
challenge = { envv = "X" }
Zzz = 1

[signing]
certificate = "signer.pem"

[output]
directory = true
"""


def test_every_mistake_is_found_in_one_run_with_its_key_and_the_nearest_known_one(tmp_path: Path) -> None:
    """Missing, misspelt and wrong keys of every table come together, each with its path."""
    found = mistakes(tmp_path, BROKEN)
    expected = {
        "outputs": "did you mean output?",
        "profile.identifier": "is missing",
        "profile.identifer": "did you mean identifier?",
        "profile.scope": "did you mean 'System'?",
        "profile.replace_margin": "must be text in quotes, not a number",
        "profile.replace_on": "'soon' is not a date; write it as 2027-06-01",
        "profile.display_name": "is empty",
        "server": "has neither push_certificate nor topic",
        "server.url": "must not hold spaces",
        "server.acess_rights": "did you mean access_rights?",
        "server.sign_message": "must be true or false",
        "server.capabilities": "did you mean 'token'?",
        "server.uuid": "8-4-4-4-12",
        "trust.certificates": "must be text in quotes, not a number",
        "trust.trust_profil_url": "did you mean trust_profile_url?",
        "identity.url": "is missing",
        "identity.key_size": "must be a whole number",
        "identity.challenge": "'envv' is not known here; use text or a table with one of env, file, command or prompt",
        "identity.Zzz": "known here: allow_all_apps_access, ",
        "signing.key": "is missing",
        "output.directory": "must be text in quotes, not a boolean",
    }
    assert found.keys() == expected.keys()
    assert {key: text for key, text in expected.items() if text not in found[key]} == {}


def test_each_mistake_is_one_line_for_people_and_one_entry_for_scripts(
    tmp_path: Path, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, a line on standard error for each, and the same in the JSON report."""
    file = write(tmp_path, BROKEN)
    monkeypatch.chdir(tmp_path)
    outcome = mdmprofile("build", "-c", file, "--format", "json")
    assert outcome.code == 3
    lines = outcome.err.splitlines()
    assert len(lines) == len(outcome.json["errors"]) == 21
    assert all(each.startswith(f"mdmprofile: error: {file}: ") for each in lines)
    assert {each["where"] for each in outcome.json["errors"]} >= {f"{file}: server.url", f"{file}: outputs"}
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("table", ["profile", "server", "trust", "identity", "signing", "output"])
@pytest.mark.parametrize("value", ['"text"', "[1]", "2027-01-01"], ids=["text", "list", "date"])
def test_value_where_a_table_belongs_is_a_mistake(tmp_path: Path, table: str, value: str) -> None:
    """A table written as anything else is named with the way to write it."""
    tables = [each for each in CONFIG.split("\n\n") if not each.startswith(f"[{table}]")]
    found = mistakes(tmp_path, f"{table} = {value}\n\n" + "\n\n".join(tables))
    assert found[table] == f"must be a table (write it as [{table}])"


@pytest.mark.parametrize(
    ("table", "line", "expected"),
    [
        ("profile", "target_device = 'toaster'", "use one of any, iphone, ipad, watch"),
        ("profile", "target_device = true", "must be a whole number, not a boolean"),
        ("profile", "target_device = 9223372036854775808", "is too large"),
        ("profile", "consent_text = 4", "must be text, or a table of languages"),
        ("profile", "consent_text = {}", "must be text, or a table of languages"),
        ("profile", "consent_text = { de = 1 }", "must be text in quotes, not a number"),
        ("profile", "identifier = 'com.exa\\u0007mple'", "must not hold spaces or control characters"),
        ("profile", "replace_on = 07:32:00", "must be a date such as 2027-06-01"),
        ("profile", "display_name = 2027-01-01", "must be text in quotes, not a date"),
        ("profile", "display_name = { a = 1 }", "must be text in quotes, not a table"),
        ("profile", "display_name = []", "must be text in quotes, not a list"),
        ("profile", "warn = '30 parsecs'", "is not a duration; write it as 30d or 12h"),
        ("profile", "warn = '101y'", "is longer than 100 years"),
        ("profile", "removal_date = '2027-02-30'", "is not a date"),
        ("server", "access_rights = 'eras'", "did you mean 'erase'?"),
        ("server", "access_rights = '\N{SUPERSCRIPT TWO}'", "is not known here"),
        ("server", "access_rights = true", "must be a whole number, not a boolean"),
        ("server", "access_rights = [1, 2]", "must be text in quotes, not a number"),
        ("server", "access_rights = 1.5", "must be a whole number"),
        ("server", "enrollment_mode = 'x'", "use one of BYOD, ADDE"),
        ("trust", "uuids = 'x'", "must be a table from SHA-256 fingerprints to UUIDs"),
        ("trust", f"uuids = {{ {'ab' * 32} = 'x' }}", "is not a UUID"),
        ("trust", "certificates = { a = 1 }", "must be text in quotes, not a table"),
        ("identity", "type = 4", "must be text in quotes, not a number"),
        ("identity", "type = 'pkcs'", "did you mean 'pkcs12'?"),
        ("identity", "subject = 'device'", "'device' is not TYPE=value"),
        ("identity", "subject = 'CN='", "'CN=' is not TYPE=value"),
        ("identity", "subject = 'O=Example, Inc.,CN=x'", "'Inc.' is not TYPE=value"),
        ("identity", "subject = 'CN=a,'", "is not TYPE=value"),
        ("identity", "subject = '=a'", "'' is not a name type that devices know"),
        ("identity", "subject = 'EMAIL=a'", "'EMAIL' is not a name type that devices know: use C, ST, L, O, OU, CN"),
        ("identity", "subject = '2.5.x=a'", "'2.5.x' is not a name type"),
        ("identity", "subject = [['CN', 4]]", "must be text such as"),
        ("identity", "subject = [['CN', 'a', 'b']]", "must be text such as"),
        ("identity", "subject = [['Serial', 'a']]", "'Serial' is not a name type"),
        ("identity", "subject = [['CN', ' ']]", "is empty"),
        ("identity", "subject_alt_name = 'a.example'", "must be a table with rfc822_name, dns_name"),
        ("identity", "subject_alt_name = { dnsName = 'a' }", "'dnsName' is not a known key; use rfc822_name"),
        ("identity", "subject_alt_name = { nt_principal_name = ['a'] }", "must be text in quotes, not a list"),
        ("identity", "ca_fingerprint = 'zz'", "must be hexadecimal"),
        ("identity", "ca_fingerprint = 'abcd'", "has 2 bytes; SHA-1 has 20 and MD5 has 16"),
        ("identity", "retries = 'three'", "is not a whole number"),
        ("identity", "validity = 365", "must be text in quotes, not a number"),
        ("identity", "challenge = 4711", "must be text or a table with one of env"),
        ("identity", "challenge = { env = 'A', file = 'b' }", "must be text or a table with one of env"),
        ("identity", "challenge = { env = 'A B' }", "must not hold spaces"),
        ("identity", "challenge = { command = 'pass show scep' }", "command must be a list"),
        ("identity", "challenge = { command = [] }", "command must be a list"),
        ("identity", "challenge = { command = [1] }", "must be text in quotes, not a number"),
        ("identity", "challenge = { file = 1 }", "must be text in quotes, not a number"),
    ],
)
def test_wrong_value_is_named_with_its_key(tmp_path: Path, table: str, line: str, expected: str) -> None:
    """The message says what the key wants, and no other key is blamed."""
    found = mistakes(tmp_path, with_line(CONFIG, table, line.replace("'", '"')))
    assert list(found) == [f"{table}.{line.partition(' ')[0]}"]
    assert expected in next(iter(found.values()))


def test_type_of_the_identity_must_be_given(tmp_path: Path) -> None:
    """Without it no other key of the table can be judged, and the other tables still are."""
    found = mistakes(tmp_path, with_identity(CONFIG, 'url = "x"').replace("certificates =", "certificats ="))
    assert found.keys() == {"identity.type", "trust.certificats"}
    assert 'set it to "acme", "scep" or "pkcs12"' in found["identity.type"]


def test_fingerprint_and_certificate_of_the_scep_ca_contradict_each_other(tmp_path: Path) -> None:
    """Two sources for one value are a mistake."""
    lines = f'ca_certificate = "root.pem"\nca_fingerprint = "{"ab" * 20}"'
    found = mistakes(tmp_path, with_line(CONFIG, "identity", lines))
    assert found == {"identity.ca_fingerprint": "contradicts ca_certificate (give one of them)"}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("", "needs either certificate and key, or pkcs12, pkcs11, command or cms_command"),
        (
            'certificate = "signer.pem"\nkey = "signer.key"\npkcs12 = "signer.p12"',
            "key and pkcs12 contradict each other",
        ),
    ],
    ids=["neither", "both"],
)
def test_signer_is_either_two_files_or_one_pkcs12(tmp_path: Path, lines: str, problem: str) -> None:
    """Neither and both are mistakes of the table."""
    text = CONFIG.partition("[signing]")[0] + f"[signing]\n{lines}\n"
    assert mistakes(tmp_path, text) == {"signing": f"{problem} (name one of them)"}


# --- the file itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('[profile]\nidentifier = com.example\n[server]\nurl = ""\n', "(at line 2, column 14)"),
        ('[profile]\nidentifier = "open\n', "(at line 2, column 19)"),
        ("[profile]\nscope = 1\nscope = 2\n", "(at line 3, column 10)"),
        ("[profile]\n[profile]\n", "(at line 2, column 9)"),
        ("[profile]\nremoval_date = 2027-02-30\n", "(at line 2, column 16)"),
        ("ok = 1\n\x07\n", "(at line 2, column 1)"),
        ("[profile]\r\nidentifier = [1,", "(at line 2, column 17, the end of the file)"),
    ],
    ids=["unquoted", "open string", "twice", "table twice", "impossible date", "control character", "cut short"],
)
def test_toml_syntax_error_names_line_and_column(tmp_path: Path, mdmprofile: Command, text: str, place: str) -> None:
    """Exit code 3 and one line with the file and the place in it."""
    file = write(tmp_path, text)
    outcome = mdmprofile("build", "-c", file)
    assert (outcome.code, outcome.out) == (3, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"mdmprofile: error: {file}: is not valid TOML: ")
    assert place in line


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[profile]\nidentifier = "\xff"\n', "is not UTF-8 text (byte 24)"),
        ("[profile]\n".encode("utf-16"), "is not UTF-8 text (byte 0)"),
        (b"x = " + b"[" * 200_000, "is not valid TOML: nested too deeply"),
        (b"x = " + b"{a=" * 100_000, "is not valid TOML: nested too deeply"),
        (b"x = " + b"9" * 5_000, "is not valid TOML: "),
    ],
    ids=["Latin-1", "UTF-16", "deep list", "deep table", "huge number"],
)
def test_bytes_that_are_no_toml_are_refused_in_one_line(
    tmp_path: Path, mdmprofile: Command, data: bytes, message: str
) -> None:
    """Neither another encoding nor a parser's own limits get past the error for a config."""
    file = write(tmp_path, data)
    outcome = mdmprofile("build", "-c", file)
    assert outcome.code == 3
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"mdmprofile: error: {file}: {message}")


def test_byte_order_mark_and_windows_line_ends_are_read_over(tmp_path: Path) -> None:
    """Editors on Windows leave both."""
    config = load(tmp_path, b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert config == load(tmp_path, MINIMAL)


def test_config_may_be_as_large_as_the_limit_and_no_larger(tmp_path: Path, mdmprofile: Command) -> None:
    """One byte more is refused without parsing it."""
    fitting = MINIMAL + "#" * (MAX_CONFIG - len(MINIMAL))
    assert load(tmp_path, fitting).profile.identifier == "com.example.mdm"
    outcome = mdmprofile("build", "-c", write(tmp_path, fitting + "#"))
    assert outcome.code == 3
    assert (
        outcome.err == f"mdmprofile: error: {tmp_path}/enroll.toml: is larger than the limit of 1,024 KiB"
        " (check that it is the right file)\n"
    )


def test_empty_config_misses_the_three_things_that_have_no_default(tmp_path: Path) -> None:
    """An identifier, a server with its topic, and an identity."""
    assert mistakes(tmp_path, "").keys() == {"profile.identifier", "server.url", "server", "identity.type"}


@pytest.mark.parametrize(("make", "message"), [(False, "no such file"), (True, "is a directory where a file belongs")])
def test_config_that_is_no_file_is_named(tmp_path: Path, mdmprofile: Command, make: bool, message: str) -> None:
    """An absent file and a directory are told apart."""
    place = tmp_path / "conf"
    if make:
        place.mkdir()
    outcome = mdmprofile("build", "-c", place)
    assert outcome.code == 3
    assert f"mdmprofile: error: {place}: {message}" in outcome.err


def test_config_from_standard_input_has_its_paths_in_the_working_directory(
    site: Site, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``-c -`` reads the config from a pipe, so nothing but the working directory can be its place."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(site.config.read_bytes())))
    monkeypatch.chdir(site.folder)
    site.config.unlink()
    outcome = mdmprofile("build", "-c", "-", "-o", "made", "--format", "json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["artifacts"][0]["path"] == str(Path("made", "enroll.mobileconfig"))
    assert (site.folder / "made" / "enroll.mobileconfig").is_file()


def test_mistake_in_a_config_from_standard_input_is_refused(
    mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3 with the key's path, as for a file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MINIMAL.replace("https", "h ttps").encode())))
    outcome = mdmprofile("build", "-c", "-")
    assert outcome.code == 3
    assert "server.url: 'h ttps://mdm.example.com/mdm' must not hold spaces" in outcome.err


def test_paths_in_a_config_are_relative_to_the_config_and_absolute_ones_stay(
    tmp_path: Path, site: Site, mdmprofile: Command, openssl: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build works from any working directory, and parents may be named."""
    elsewhere = make_site(tmp_path / "deep" / "conf", config=CONFIG)
    for old, new in (
        ('"push.pem"', '"../../site/push.pem"'),
        ('"root.pem", "intermediate.pem"', f'"../../site/root.pem", "{site.folder}/intermediate.pem"'),
        ('"server.pem"', f'"{site.folder}/server.pem"'),
        ('"signer.pem"', f'"{site.folder}/signer.pem"'),
        ('"signer.key"', f'"{site.folder}/signer.key"'),
    ):
        elsewhere.edit(lambda text, old=old, new=new: text.replace(old, new))  # type: ignore[misc]  # a default binds the loop's values
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert mdmprofile("build", "-c", elsewhere.config, "-o", "results").code == 0
    plain = signed_content(openssl, work / "results" / "enroll.mobileconfig", site.folder / "root.pem")
    plist = plistlib.loads(plain)
    embedded = [each["PayloadContent"] for each in plist["PayloadContent"][:2]]
    assert embedded == [site.root.der, site.intermediate.der]


def test_datetime_at_the_end_of_the_calendar_is_refused_as_a_mistake(tmp_path: Path) -> None:
    """An offset can push a date-time past the last one that there is; that is the key's mistake."""
    text = with_line(MINIMAL, "profile", "replace_on = 9999-12-31T23:59:59-01:00")
    assert list(mistakes(tmp_path, text)) == ["profile.replace_on"]


def test_output_directory_with_a_zero_byte_is_refused_as_a_mistake(site: Site, mdmprofile: Command) -> None:
    """No system has such a path; the error says which key holds it, or which path cannot be written."""
    site.edit(lambda text: f'{text}\n[output]\ndirectory = "a\\u0000b"\n')
    outcome = mdmprofile("build", "-c", site.config)
    assert outcome.code == 3
    assert "internal error" not in outcome.err


def test_same_config_judges_dates_without_its_secrets_and_keys(site: Site, mdmprofile: Command) -> None:
    """``check`` reads the config on a machine that holds neither the challenge nor the signer's key."""
    (site.folder / "signer.key").unlink()
    (site.folder / "challenge.txt").unlink()
    site.edit(lambda text: with_line(text, "profile", 'removal_password = { env = "NOT_SET_ANYWHERE" }'))
    outcome = mdmprofile("check", site.config, "--format", "json")
    assert outcome.code == 0, outcome.err
    roles = [each["role"] for each in outcome.json["certificates"]]
    assert sorted(roles) == ["intermediate", "leaf", "push", "root", "signer"]


def test_parse_toml_names_its_source() -> None:
    """The library's own entry raises the same error as the command."""
    with pytest.raises(ConfigError) as caught:
        parse_toml(b"x = ", source="here.toml")
    assert caught.value.where == "here.toml"
    assert "is not valid TOML: Invalid value" in str(caught.value)


# --- the files that a config names -----------------------------------------------------------------------------


def test_all_unreadable_files_are_reported_in_one_run(site: Site, mdmprofile: Command) -> None:
    """Absent, malformed and empty files of every table come together, each once."""
    (site.folder / "root.pem").unlink()
    (site.folder / "intermediate.pem").write_bytes(b"\x30\x82")
    (site.folder / "server.pem").write_bytes(b"")
    (site.folder / "push.pem").write_bytes(site.push.pem[:200])
    (site.folder / "challenge.txt").write_bytes(b"\n")
    (site.folder / "signer.pem").unlink()
    (site.folder / "signer.key").write_bytes(b"no key")
    pins = 'url_pinning_certificates = "pin.pem"\ncheckin_url_pinning_certificates = "checkin.pem"'
    site.edit(lambda text: with_line(text, "server", pins))
    site.edit(lambda text: with_line(text, "signing", 'chain = ["root.pem", "chain.pem"]'))
    site.edit(lambda text: with_line(text, "identity", 'ca_certificate = "ca.pem"'))
    site.edit(lambda text: with_line(text, "profile", 'removal_password = { env = "NOT_SET_ANYWHERE" }'))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert outcome.code == 3
    files = {
        "root.pem": "no such file",
        "intermediate.pem": "malformed",
        "server.pem": "is empty where certificates belong",
        "push.pem": "is cut short",
        "signer.pem": "no such file",
        "signer.key": "holds no readable private key",
        "pin.pem": "no such file",
        "checkin.pem": "no such file",
        "chain.pem": "no such file",
        "ca.pem": "no such file",
    }
    found = {each["where"]: each["message"] for each in outcome.json["errors"]}
    assert found.keys() == {str(site.folder / file) for file in files} | {
        "identity.challenge",
        "profile.removal_password",
    }
    assert len(outcome.json["errors"]) == len(found)
    for file in files.keys() - {"intermediate.pem"}:
        assert files[file] in found[str(site.folder / file)]
    assert not (site.folder / "out").exists()


def test_profile_to_replace_that_is_absent_is_reported_with_the_other_files(site: Site, mdmprofile: Command) -> None:
    """One run names every file that cannot be read, ``replaces`` among them."""
    (site.folder / "root.pem").unlink()
    site.edit(lambda text: with_line(text, "profile", 'replaces = "old.mobileconfig"'))
    outcome = mdmprofile("build", "-c", site.config, "--format", "json")
    assert outcome.code == 3
    names = {Path(each["where"]).name for each in outcome.json["errors"]}
    assert names == {"root.pem", "old.mobileconfig"}


def test_every_malformed_certificate_of_a_bundle_is_reported(site: Site, mdmprofile: Command) -> None:
    """Errors within one file are errors of their own, beside those of other files."""
    block = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
    (site.folder / "root.pem").write_bytes(block * 2)
    (site.folder / "server.pem").unlink()
    outcome = mdmprofile("build", "-c", site.config, "--format", "json")
    folder = site.folder
    expected = [f"{folder}/root.pem #1", f"{folder}/root.pem #2", f"{folder}/server.pem"]
    assert sorted(each["where"] for each in outcome.json["errors"]) == expected


@pytest.mark.parametrize(
    ("password", "data", "expected"),
    [
        ('{ env = "NOT_SET_ANYWHERE" }', b"p12", ["the environment variable NOT_SET_ANYWHERE is not set"]),
        ('"right"', None, ["no such file"]),
        ('"right"', b"", ["is not an intact PKCS#12 file"]),
        ('"wrong"', b"p12", ["the password does not open it"]),
    ],
    ids=["no password", "no file", "empty file", "wrong password"],
)
def test_pkcs12_identity_that_cannot_be_opened_is_an_error(
    site: Site, mdmprofile: Command, password: str, data: bytes | None, expected: list[str]
) -> None:
    """The password, the file and what is in it can each be wrong, and each is named."""
    if data is not None:
        p12 = issue("device", site.intermediate).p12("right")
        (site.folder / "device.p12").write_bytes(p12 if data else b"")
    site.edit(lambda text: with_identity(text, f'type = "pkcs12"\nfile = "device.p12"\npassword = {password}'))
    outcome = mdmprofile("build", "-c", site.config, "--format", "json", "-o", site.folder / "out")
    assert outcome.code == 3
    messages = [each["message"] for each in outcome.json["errors"]]
    assert [text in each for text, each in zip(expected, messages, strict=True)] == [True] * len(expected)
    assert not (site.folder / "out").exists()


def test_pkcs12_without_a_password_is_opened_without_one(site: Site) -> None:
    """No password key means no password, and none is embedded."""
    (site.folder / "device.p12").write_bytes(_unprotected(site))
    site.edit(lambda text: with_identity(text, 'type = "pkcs12"\nfile = "device.p12"\nsingle_device = true'))
    result = build(load_config(site.config), now=NOW)
    assert "Password" not in payload(plistlib.loads(result.profile.to_bytes()), PKCS12)
    assert "pkcs12.empty-password" in [each.rule for each in result.findings]


def _unprotected(site: Site) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - for this one file
    from cryptography.hazmat.primitives.serialization import pkcs12  # noqa: PLC0415

    device = issue("device", site.intermediate)
    return pkcs12.serialize_key_and_certificates(
        b"device", device.key, device.certificate, None, serialization.NoEncryption()
    )


def test_topic_comes_from_the_certificate_of_a_bundle_that_has_one(site: Site) -> None:
    """A push bundle may begin with Apple's intermediate."""
    (site.folder / "push.pem").write_bytes(site.intermediate.pem + site.push.pem)
    assert payload(plist_of(site), MDM)["Topic"] == TOPIC


def test_push_file_without_any_topic_is_still_the_push_certificate(site: Site) -> None:
    """The first certificate stands for it, and the finding names what it lacks."""
    (site.folder / "push.pem").write_bytes(site.server.pem)
    result = build(load_config(site.config), now=NOW)
    found = [each.message for each in result.findings if each.rule == "push.no-topic"]
    assert found == ["mdm.example.com has no UID in its subject, so it names no topic"]


def test_scep_ca_file_must_hold_one_certificate(site: Site, mdmprofile: Command) -> None:
    """Of two, nobody can say whose fingerprint is meant."""
    (site.folder / "ca.pem").write_bytes(site.root.pem + site.intermediate.pem)
    site.edit(lambda text: with_line(text, "identity", 'ca_certificate = "ca.pem"'))
    outcome = mdmprofile("build", "-c", site.config)
    assert outcome.code == 3
    assert f"{site.folder}/ca.pem: holds 2 certificates where the SCEP CA's one is needed" in outcome.err


def test_materials_hold_what_the_files_hold(site: Site) -> None:
    """Each file's certificates are in the place that its key names, and nothing went wrong."""
    site.edit(lambda text: with_line(text, "signing", 'chain = "intermediate.pem"'))
    site.edit(lambda text: with_line(text, "server", 'url_pinning_certificates = "server.pem"'))
    materials = load_materials(load_config(site.config))
    assert [each.der for each in materials.trust] == [site.root.der, site.intermediate.der]
    assert [each.der for each in materials.servers] == [site.server.der]
    assert [each.der for each in materials.pinned] == [site.server.der]
    assert [each.der for each in materials.signing_chain] == [site.intermediate.der]
    assert materials.push is not None
    assert materials.push.der == site.push.der
    assert isinstance(materials.signer, Identity)
    assert materials.signer.key_matches
    assert (materials.challenge, materials.removal_password, materials.errors) == ("open-sesame-4711", None, ())


def test_signer_is_the_certificate_that_its_key_belongs_to(site: Site) -> None:
    """A file with the whole chain in any order is common; the other certificates become the signer's chain."""
    signer = issue("Own Signer", site.intermediate, key=ec_key())
    other = issue("Other CA", site.root, key=ec_key(), ca=True)
    (site.folder / "signer.pem").write_bytes(other.pem + signer.pem)
    (site.folder / "signer.key").write_bytes(signer.key_pem())
    found = load_materials(load_config(site.config)).signer
    assert isinstance(found, Identity)
    assert found.certificate.der == signer.der
    assert [each.der for each in found.chain] == [other.der]


def test_signer_that_no_key_belongs_to_stays_the_first_certificate(site: Site, mdmprofile: Command) -> None:
    """The mismatch is then told of the certificate that a person put first, and nothing is written."""
    signer = issue("First in the file", site.intermediate, key=ec_key())
    (site.folder / "signer.pem").write_bytes(signer.pem + site.intermediate.pem)
    (site.folder / "signer.key").write_bytes(issue("stranger", key=ec_key()).key_pem())
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert outcome.code == 2
    (found,) = (each for each in outcome.json["findings"] if each["rule"] == "signing.key-mismatch")
    assert "First in the file" in found["message"]
    assert not (site.folder / "out").exists()


# --- errors ----------------------------------------------------------------------------------------------------


def test_error_says_what_where_and_what_to_do() -> None:
    """The text has each part that there is, in the order that people read."""
    assert str(MdmprofileError("is gone")) == "is gone"
    assert str(MdmprofileError("is gone", where="a.pem")) == "a.pem: is gone"
    assert str(MdmprofileError("is gone", where="a.pem", hint="find it")) == "a.pem: is gone (find it)"
    assert MdmprofileError("is gone").exit_code == 3


def test_collected_errors_are_flat_and_one_alone_stays_itself() -> None:
    """Groups within groups come out as one list, in order."""
    first, second, third = ConfigError("one"), InputError("two"), ConfigError("three")
    assert collect([first]) is first
    assert collect([Problems([first])]) is first
    several = collect([Problems([first, second]), third])
    assert isinstance(several, Problems)
    assert several.errors == (first, second, third)
    assert str(several) == "one; two; three"


def test_push_certificate_of_another_topic_than_the_config_names_is_an_error(site: Site, mdmprofile: Command) -> None:
    """The server's pushes would not wake a device, so nothing is written."""
    (site.folder / "push.pem").write_bytes(push_certificate(site.intermediate, "com.apple.mgmt.Other").pem)
    site.edit(lambda text: with_line(text, "server", f'topic = "{TOPIC}"'))
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json")
    assert outcome.code == 2
    assert "mdm.topic-mismatch" in outcome.rules
    assert json.loads(outcome.out)["artifacts"] == []
