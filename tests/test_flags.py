"""The flags of ``build``: each reaches what is built, and wins over the config."""

from __future__ import annotations

import hashlib
import json
import plistlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from conftest import Command, Outcome
from mdmprofile.cli.config_flags import overrides_of, parse_variables
from pki import (
    TOPIC,
    Entity,
    Site,
    ec_key,
    intermediate_ca,
    issue,
    push_certificate,
    root_ca,
    server_leaf,
    signed_content,
)

MDM, SCEP = "com.apple.mdm", "com.apple.security.scep"
ACME, PKCS12 = "com.apple.security.acme", "com.apple.security.pkcs12"


def unsigned(site: Site) -> None:
    """Leave the result unsigned, so that it can be read as it is."""
    site.edit(lambda text: text.partition("[signing]")[0])


def built(site: Site, mdmprofile: Command, *flags: str | Path, out: str = "out") -> dict[str, Any]:
    """Build the site with these flags and read the profile."""
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / out, *flags)
    assert outcome.code == 0, outcome.err + outcome.out
    plist: dict[str, Any] = plistlib.loads((site.folder / out / "enroll.mobileconfig").read_bytes())
    return plist


def payload(plist: dict[str, Any], kind: str) -> dict[str, Any]:
    """The one payload of this type; of a SCEP payload, the dictionary inside."""
    (found,) = (each for each in plist["PayloadContent"] if each["PayloadType"] == kind)
    content: dict[str, Any] = found["PayloadContent"] if kind == SCEP else found
    return content


def reported(site: Site, mdmprofile: Command, *flags: str | Path) -> Outcome:
    """Build the site with these flags and report as JSON."""
    return mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json", *flags)


def signer_sha256(outcome: Outcome) -> list[str]:
    """The fingerprints of the certificates that sign."""
    return [each["sha256"] for each in outcome.json["certificates"] if each["role"] == "signer"]


# --- each flag reaches the profile -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "value", "key", "expected"),
    [
        ("--identifier", "com.other", "PayloadIdentifier", "com.other"),
        ("--display-name", "Größe & <mehr>", "PayloadDisplayName", "Größe & <mehr>"),
        ("--organization", "Other Inc.", "PayloadOrganization", "Other Inc."),
        ("--description", "Why", "PayloadDescription", "Why"),
        ("--scope", "user", "PayloadScope", "User"),
    ],
)
def test_profile_flag_wins_over_the_config(
    site: Site, mdmprofile: Command, flag: str, value: str, key: str, expected: str
) -> None:
    """The config says otherwise or nothing."""
    unsigned(site)
    assert built(site, mdmprofile).get(key) != expected
    assert built(site, mdmprofile, flag, value)[key] == expected


@pytest.mark.parametrize(
    ("flags", "key", "expected"),
    [
        (["--server-url", "https://other.example.com/mdm"], "ServerURL", "https://other.example.com/mdm"),
        (["--checkin-url", "https://other.example.com/in"], "CheckInURL", "https://other.example.com/in"),
        (["--sign-message"], "SignMessage", True),
        (["--no-sign-message"], "SignMessage", False),
        (["--access-rights", "3"], "AccessRights", 3),
        (["--access-rights", "all"], "AccessRights", 8191),
        (["--access-rights", "erase,manage_apps"], "AccessRights", 4104),
    ],
)
def test_server_flag_wins_over_the_config(
    site: Site, mdmprofile: Command, flags: list[str], key: str, expected: object
) -> None:
    """The config says otherwise."""
    unsigned(site)
    config = f'[server]\naccess_rights = ["inspect-apps"]\nsign_message = {str("--no-sign-message" in flags).lower()}\n'
    site.edit(lambda text: text.replace("[server]\n", config))
    assert payload(built(site, mdmprofile), MDM).get(key) != expected
    assert payload(built(site, mdmprofile, *flags), MDM)[key] == expected


@pytest.mark.parametrize(
    ("flags", "key", "expected"),
    [
        (["--scep-url", "https://other.example.com/scep"], "URL", "https://other.example.com/scep"),
        (["--scep-name", "Other CA"], "Name", "Other CA"),
        (["--scep-key-size", "4096"], "Keysize", 4096),
        (["--scep-subject", "/O=Other/CN=a,b"], "Subject", [[["O", "Other"]], [["CN", "a,b"]]]),
        (["--scep-challenge-file", "other.txt"], "Challenge", "other-challenge"),
        (["--scep-ca-certificate", "other.pem"], "CAFingerprint", "SHA1"),
    ],
)
def test_scep_flag_wins_over_the_config_and_leaves_its_other_keys(
    site: Site,
    mdmprofile: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    key: str,
    expected: object,
) -> None:
    """Files in flags are found in the working directory, those of the config in the config's."""
    unsigned(site)
    (tmp_path / "other.txt").write_text("other-challenge\n")
    (tmp_path / "other.pem").write_bytes(site.root.pem)
    monkeypatch.chdir(tmp_path)
    before = payload(built(site, mdmprofile), SCEP)
    after = payload(built(site, mdmprofile, *flags), SCEP)
    if expected == "SHA1":
        expected = hashlib.sha1(site.root.der, usedforsecurity=False).digest()
    assert after == before | {key: expected}
    assert before != after


def test_trust_flags_replace_the_certificates_of_the_config(
    site: Site, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--certificate`` repeats; the server's own is judged and stays out of the profile."""
    unsigned(site)
    root = root_ca("Flag Root")
    intermediate = intermediate_ca(root, "Flag Intermediate")
    leaf = server_leaf(intermediate, "flag.example.com")
    for file, entity in {"r.pem": root, "i.pem": intermediate, "l.pem": leaf}.items():
        (tmp_path / file).write_bytes(entity.pem)
    monkeypatch.chdir(tmp_path)
    flags = ("--certificate", "i.pem", "--certificate", "r.pem", "--server-certificate", "l.pem")
    content = built(site, mdmprofile, *flags)["PayloadContent"]
    assert [each["PayloadContent"] for each in content[:2]] == [root.der, intermediate.der]
    assert content[2]["PayloadType"] == SCEP
    outcome = reported(site, mdmprofile, *flags)
    assert [each["sha256"] for each in outcome.json["certificates"] if each["role"] == "leaf"] == [leaf.sha256]


def test_public_trust_flag_embeds_nothing_and_private_trust_does_again(site: Site, mdmprofile: Command) -> None:
    """Each form wins over what the config says."""
    unsigned(site)
    for line in ("server_certificate", "trust_profile_url"):
        site.edit(lambda text, line=line: _without(text, line))  # type: ignore[misc]  # a default binds the loop's value
    public = built(site, mdmprofile, "--public-trust")
    assert [each["PayloadType"] for each in public["PayloadContent"]] == [SCEP, MDM]
    assert json.loads((site.folder / "out" / "dep_anchor_certs").read_text()) == []
    site.edit(lambda text: text.replace("[trust]\n", "[trust]\npublic = true\n"))
    private = built(site, mdmprofile, "--private-trust")
    assert [each["PayloadContent"] for each in private["PayloadContent"][:2]] == [site.root.der, site.intermediate.der]


def _without(text: str, key: str) -> str:
    return "\n".join(each for each in text.splitlines() if each.partition(" =")[0] != key) + "\n"


def test_url_flags_reach_the_service_document(site: Site, mdmprofile: Command) -> None:
    """The server publishes what the flags say."""
    urls = {each: f"https://flag.example.com/{each}" for each in ("trust-profile", "enrollment", "anchor-certs")}
    built_flags = [word for each, url in urls.items() for word in (f"--{each}-url", url)]
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "out", *built_flags).code == 0
    assert json.loads((site.folder / "out" / "MDMServiceConfig").read_text()) == {
        "dep_enrollment_url": urls["enrollment"],
        "dep_anchor_certs_url": urls["anchor-certs"],
        "trust_profile_url": urls["trust-profile"],
    }


def test_push_certificate_flag_brings_its_topic(site: Site, mdmprofile: Command, tmp_path: Path) -> None:
    """The topic is read from the certificate that the flag names."""
    unsigned(site)
    (tmp_path / "push.pem").write_bytes(push_certificate(site.intermediate, "com.apple.mgmt.Flag").pem)
    plist = built(site, mdmprofile, "--push-certificate", tmp_path / "push.pem")
    assert payload(plist, MDM)["Topic"] == "com.apple.mgmt.Flag"


def test_topic_flag_stands_in_for_a_push_certificate(site: Site, mdmprofile: Command) -> None:
    """A config without a push certificate is completed by the flag."""
    unsigned(site)
    site.edit(lambda text: _without(text, "push_certificate"))
    assert mdmprofile("build", "-c", site.config).code == 3
    plist = built(site, mdmprofile, "--topic", "com.apple.mgmt.Flag")
    assert payload(plist, MDM)["Topic"] == "com.apple.mgmt.Flag"


# --- dates -----------------------------------------------------------------------------------------------------


def test_date_flags_judge_instead_of_the_config(site: Site, mdmprofile: Command) -> None:
    """The identity ends on 2032-02-29, and each flag moves what that means."""
    quiet = reported(site, mdmprofile)
    assert (quiet.rules, quiet.json["plan"]["replace_on"]) == ([], "2031-09-01T00:00:00Z")
    late = reported(site, mdmprofile, "--replace-on", "2032-02-15")
    assert (late.rules, late.json["plan"]["replace_on"]) == (["expiry.before-replacement"], "2032-02-15T00:00:00Z")
    assert reported(site, mdmprofile, "--replace-on", "2032-02-15", "--margin", "12h").rules == []
    assert reported(site, mdmprofile, "--margin", "12h").json["plan"]["margin_days"] == 0.5
    # The identity and the push certificate both have 365 days left.
    assert reported(site, mdmprofile, "--warn", "1y").rules == ["expiry.soon", "expiry.soon"]
    critical = reported(site, mdmprofile, "--critical", "1y")
    assert critical.code == 2
    assert critical.rules.count("expiry.critical") == 2


def test_validity_flag_sets_when_the_identity_ends(site: Site, mdmprofile: Command) -> None:
    """Without a config's type it says nothing about the kind of identity."""
    plan = reported(site, mdmprofile, "--identity-validity", "200d").json["plan"]
    assert plan["latest_safe_date"] == "2031-08-18"
    assert plan["limited_by"] == "identity from SCEP, valid for 200 days"


def test_at_flag_moves_today(site: Site, mdmprofile: Command) -> None:
    """A year later the same build is refused for what has ended."""
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", "--format", "json", at="2034-01-01")
    assert outcome.code == 2
    assert "expiry.expired" in outcome.rules
    assert not (site.folder / "out").exists()


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--replace-on", "soon"), ("--margin", "30"), ("--warn", "x"), ("--critical", "-1d"), ("--at", "2031-02-29")],
)
def test_malformed_date_flag_is_a_usage_error(site: Site, mdmprofile: Command, flag: str, value: str) -> None:
    """Exit code 3, and one line that names the flag and quotes the value."""
    outcome = mdmprofile("build", "-c", site.config, flag, value, at=None)
    assert outcome.code == 3
    (line,) = outcome.err.splitlines()
    assert flag in line
    assert repr(value) in line


# --- another kind of identity ----------------------------------------------------------------------------------


def test_acme_flags_replace_a_scep_identity_whole(site: Site, mdmprofile: Command) -> None:
    """Nothing of the other kind is left, so none of its keys is unknown and no challenge is fetched."""
    unsigned(site)
    (site.folder / "challenge.txt").unlink()
    flags = ("--acme-directory-url", "https://ca.example.com/acme", "--acme-client-identifier", "device-1")
    plist = built(site, mdmprofile, *flags)
    found = payload(plist, ACME)
    assert (found["DirectoryURL"], found["ClientIdentifier"]) == ("https://ca.example.com/acme", "device-1")
    assert [each["PayloadType"] for each in plist["PayloadContent"]].count(SCEP) == 0
    assert payload(plist, MDM)["IdentityCertificateUUID"] == found["PayloadUUID"]


def test_acme_flag_wins_over_an_acme_config_and_leaves_its_other_keys(site: Site, mdmprofile: Command) -> None:
    """A client identifier is made fresh for each profile; the rest stays in the config."""
    unsigned(site)
    acme = '[identity]\ntype = "acme"\ndirectory_url = "https://ca.example.com/acme"\nclient_identifier = "old"\n'
    site.edit(lambda text: f"{text.partition('[identity]')[0]}{acme}key_size = 256\n")
    found = payload(built(site, mdmprofile, "--acme-client-identifier", "new"), ACME)
    assert (found["ClientIdentifier"], found["KeySize"]) == ("new", 256)


def test_pkcs12_flags_replace_a_scep_identity_whole(
    site: Site, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File and password file are found in the working directory, and the profile is for one device."""
    unsigned(site)
    data = issue("device", site.intermediate).p12("pass-4711")
    (tmp_path / "device.p12").write_bytes(data)
    (tmp_path / "pw").write_text("pass-4711\n")
    monkeypatch.chdir(tmp_path)
    flags = ("--pkcs12", "device.p12", "--pkcs12-password-file", "pw")
    found = payload(built(site, mdmprofile, *flags), PKCS12)
    assert (found["PayloadContent"], found["Password"]) == (data, "pass-4711")
    assert "identity.shared" in reported(site, mdmprofile, *flags).rules
    assert "identity.shared" not in reported(site, mdmprofile, *flags, "--single-device").rules


def test_flag_of_the_same_identity_keeps_the_config_however_its_type_is_written(
    site: Site, mdmprofile: Command
) -> None:
    """``type = "SCEP"`` is the same kind, so one flag changes one key."""
    unsigned(site)
    site.edit(lambda text: text.replace('type = "scep"', 'type = "SCEP"'))
    content = payload(built(site, mdmprofile, "--scep-key-size", "4096"), SCEP)
    assert (content["Keysize"], content["URL"]) == (4096, "https://mdm.example.com/scep")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--scep-url", "https://x", "--acme-directory-url", "https://x"], "--scep-url and --acme-directory-url"),
        (["--scep-key-size", "2048", "--pkcs12", "x.p12"], "--scep-key-size and --pkcs12"),
        (["--acme-client-identifier", "x", "--single-device"], "--acme-client-identifier and --single-device"),
    ],
)
def test_flags_of_two_kinds_of_identity_are_a_usage_error(
    site: Site, mdmprofile: Command, flags: list[str], named: str
) -> None:
    """Exit code 3, and both are named."""
    outcome = mdmprofile("build", "-c", site.config, *flags)
    assert outcome.code == 3
    assert f"{named} belong to different kinds of identity; use one kind" in outcome.err


# --- another signer --------------------------------------------------------------------------------------------


@pytest.fixture
def other_signer(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entity:
    """A signer beside the config's, its files in the working directory."""
    signer = issue("Other Signer", site.intermediate, key=ec_key())
    (tmp_path / "other.pem").write_bytes(signer.pem)
    (tmp_path / "other.key").write_bytes(signer.key_pem())
    (tmp_path / "locked.key").write_bytes(signer.key_pem("pass-4711"))
    (tmp_path / "other.p12").write_bytes(signer.p12("pass-4711"))
    (tmp_path / "pw").write_text("pass-4711\n")
    (tmp_path / "chain.pem").write_bytes(site.intermediate.pem)
    monkeypatch.chdir(tmp_path)
    return signer


@pytest.mark.parametrize(
    "flags",
    [
        ["--signer", "other.pem", "--signer-key", "other.key", "--signer-chain", "chain.pem"],
        ["--signer", "other.pem", "--signer-key", "locked.key", "--signer-key-password-file", "pw"],
        ["--signer-pkcs12", "other.p12", "--signer-pkcs12-password-file", "pw"],
    ],
    ids=["PEM", "encrypted key", "PKCS#12"],
)
@pytest.mark.parametrize("configured", ["files", "PKCS#12", "nothing"])
def test_signer_flags_replace_the_configured_signer_whole(
    site: Site,
    other_signer: Entity,
    mdmprofile: Command,
    openssl: Callable[..., bytes],
    flags: list[str],
    configured: str,
) -> None:
    """Nothing of the configured signer is left over to contradict the flags, and openssl verifies the result."""
    if configured == "PKCS#12":
        table = 'pkcs12 = "gone.p12"\npkcs12_password = { env = "GONE" }\n'
        site.edit(lambda text: f"{text.partition('[signing]')[0]}[signing]\n{table}")
    elif configured == "nothing":
        unsigned(site)
    outcome = reported(site, mdmprofile, *flags)
    assert outcome.code == 0, outcome.err
    assert signer_sha256(outcome) == [other_signer.sha256]
    signed = site.folder / "out" / "enroll.mobileconfig"
    plain = signed_content(openssl, signed, site.folder / "root.pem")
    assert plistlib.loads(plain)["PayloadIdentifier"] == "com.example.mdm.enroll"
    certificates = openssl("pkcs7", "-inform", "DER", "-in", signed, "-print_certs")
    assert b"Other Signer" in certificates
    assert b"Profile Signer" not in certificates


def test_signer_key_flag_alone_lies_over_the_configured_key(site: Site, mdmprofile: Command, tmp_path: Path) -> None:
    """A key kept elsewhere belongs to the certificate of the config."""
    (site.folder / "signer.key").rename(tmp_path / "elsewhere.key")
    assert mdmprofile("build", "-c", site.config).code == 3
    outcome = reported(site, mdmprofile, "--signer-key", tmp_path / "elsewhere.key")
    assert outcome.code == 0, outcome.err
    assert signer_sha256(outcome) == [site.signer.sha256]


@pytest.mark.usefixtures("other_signer")
@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (
            ["--signer", "other.pem", "--signer-pkcs12", "other.p12"],
            "signing: pkcs12 and certificate contradict each other",
        ),
    ],
    ids=["both"],
)
def test_signer_flags_that_make_no_signer_are_refused(
    site: Site, mdmprofile: Command, flags: list[str], expected: str
) -> None:
    """Half a signer is never completed by the configured one's other half."""
    outcome = reported(site, mdmprofile, *flags)
    assert outcome.code == 3
    assert expected in outcome.err
    assert not (site.folder / "out").exists()


def test_renewed_signer_signs_with_the_configured_key(site: Site, mdmprofile: Command) -> None:
    """A certificate that was renewed for the same key needs one flag; for another key it is refused."""
    renewed = issue("Renewed Signer", site.intermediate, key=site.signer.key)
    (site.folder / "renewed.pem").write_bytes(renewed.pem)
    outcome = reported(site, mdmprofile, "--signer", str(site.folder / "renewed.pem"))
    assert outcome.code == 0
    assert "Renewed Signer" in outcome.out
    (site.folder / "other.pem").write_bytes(issue("Other Signer", site.intermediate, key=ec_key()).pem)
    outcome = reported(site, mdmprofile, "--signer", str(site.folder / "other.pem"))
    assert (outcome.code, outcome.rules) == (2, ["signing.key-mismatch"])


# --- without a config, and where things are --------------------------------------------------------------------


def test_flags_alone_build_a_signed_profile(
    site: Site, mdmprofile: Command, openssl: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file is needed; every path is relative to the working directory."""
    site.config.unlink()
    monkeypatch.chdir(site.folder)
    outcome = mdmprofile(
        *("build", "--identifier", "com.example.flags", "--organization", "Flags Inc."),
        *("--server-url", "https://mdm.example.com/mdm", "--push-certificate", "push.pem"),
        *("--certificate", "root.pem", "--certificate", "intermediate.pem", "--server-certificate", "server.pem"),
        *("--scep-url", "https://mdm.example.com/scep", "--scep-challenge-file", "challenge.txt"),
        *("--identity-validity", "365d", "--signer", "signer.pem", "--signer-key", "signer.key"),
        *("--replace-on", "2031-09-01", "-o", "made", "--format", "json"),
    )
    assert outcome.code == 0, outcome.err
    assert outcome.rules == []
    plist = plistlib.loads(signed_content(openssl, Path("made", "enroll.mobileconfig"), Path("root.pem")))
    assert [each["PayloadType"] for each in plist["PayloadContent"]] == [
        "com.apple.security.root",
        "com.apple.security.pkcs1",
        SCEP,
        MDM,
    ]
    assert payload(plist, SCEP)["Challenge"] == "open-sesame-4711"
    assert payload(plist, MDM)["Topic"] == TOPIC


def test_mistakes_of_flags_alone_are_all_reported_and_blame_no_file(
    mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing is named by its key, as in a config."""
    monkeypatch.chdir(tmp_path)
    outcome = mdmprofile("build", "--identifier", "a b", "--scope", "Sytem", "--format", "json")
    assert outcome.code == 3
    assert {each["where"] for each in outcome.json["errors"]} == {
        "profile.identifier",
        "profile.scope",
        "server.url",
        "server",
        "identity.type",
    }


@pytest.mark.parametrize("flags", [[], ["-o", "made"]], ids=["no flag", "output alone"])
def test_neither_config_nor_flags_is_an_error_that_says_how_to_begin(
    mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    """Nothing is said about missing keys of a file that is not there."""
    monkeypatch.chdir(tmp_path)
    outcome = mdmprofile("build", *flags)
    assert outcome.code == 3
    assert outcome.err == (
        "mdmprofile: error: enroll.toml: no such file (run mdmprofile init, or name a config with -c)\n"
    )


def test_config_of_the_working_directory_is_used_and_flags_lie_over_it(
    site: Site, mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without -c it is enroll.toml."""
    unsigned(site)
    monkeypatch.chdir(site.folder)
    assert mdmprofile("build", "--display-name", "By flag").code == 0
    plist = plistlib.loads(Path("out", "enroll.mobileconfig").read_bytes())
    assert (plist["PayloadIdentifier"], plist["PayloadDisplayName"]) == ("com.example.mdm.enroll", "By flag")


def test_flag_completes_a_table_that_the_config_lacks(site: Site, mdmprofile: Command) -> None:
    """A whole table may come from flags."""
    unsigned(site)
    site.edit(lambda text: text.partition("[identity]")[0])
    content = payload(built(site, mdmprofile, "--scep-url", "https://ca.example.com"), SCEP)
    assert content["URL"] == "https://ca.example.com"


def test_flag_does_not_hide_that_its_table_is_none(site: Site, mdmprofile: Command) -> None:
    """A config's mistake stays one."""
    site.edit(lambda text: f"identity = 4\n{text.partition('[identity]')[0]}")
    outcome = mdmprofile("build", "-c", site.config, "--scep-url", "https://ca.example.com")
    assert outcome.code == 3
    assert f"{site.config}: identity: must be a table" in outcome.err


def test_output_flag_wins_over_the_config_and_is_in_the_working_directory(
    site: Site, mdmprofile: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config's own directory is not made."""
    site.edit(lambda text: f'{text}\n[output]\ndirectory = "configured"\n')
    monkeypatch.chdir(tmp_path)
    assert mdmprofile("build", "-c", site.config, "-o", "by-flag").code == 0
    assert (tmp_path / "by-flag" / "enroll.mobileconfig").is_file()
    assert not (site.folder / "configured").exists()


def test_replaces_flag_keeps_identifier_and_uuids(site: Site, mdmprofile: Command) -> None:
    """A device takes the new profile as an update of the old one, whatever the config calls it now."""
    unsigned(site)
    old = built(site, mdmprofile, "--identifier", "com.example.old", out="old")
    new = built(site, mdmprofile, "--replaces", site.folder / "old" / "enroll.mobileconfig", out="new")
    assert new["PayloadIdentifier"] == "com.example.old"
    assert new["PayloadUUID"] == old["PayloadUUID"]
    names = [
        [(each["PayloadIdentifier"], each["PayloadUUID"]) for each in plist["PayloadContent"]] for plist in (old, new)
    ]
    assert names[0] == names[1]


# --- variables -------------------------------------------------------------------------------------------------


def test_variables_fill_config_and_flags(site: Site, mdmprofile: Command) -> None:
    """A dot makes a table; a value may hold equals signs and be given several times under other names."""
    unsigned(site)
    site.edit(lambda text: text.replace('"Example MDM"', '"{{ device.model.name }} {{ device.serial }}"'))
    variables = ("--var", "device.serial=C02X", "--var", "device.model.name=Mac=1", "--var", "who=IT")
    plist = built(site, mdmprofile, *variables, "--organization", "{{ who }}")
    assert (plist["PayloadDisplayName"], plist["PayloadOrganization"]) == ("Mac=1 C02X", "IT")


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ((), {}),
        (("a=1",), {"a": "1"}),
        (("a=",), {"a": ""}),
        (("a=b=c",), {"a": "b=c"}),
        (("a=1", "a=2"), {"a": "2"}),
        (("a.b=1", "a.c.d=2"), {"a": {"b": "1", "c": {"d": "2"}}}),
        (("größe=1",), {"größe": "1"}),
    ],
)
def test_variable_pairs_become_nested_tables(pairs: tuple[str, ...], expected: dict[str, Any]) -> None:
    """The first equals sign ends the name, and the last of two values wins."""
    assert parse_variables(pairs) == expected


@pytest.mark.parametrize("pair", ["a", "=1", "", "a.=1", ".a=1", "a..b=1", "1a=1", "a b=1", "a-b=1", "{{ a }}=1"])
def test_variable_without_a_usable_name_is_a_usage_error(mdmprofile: Command, pair: str) -> None:
    """Exit code 3, with an example of the right form."""
    outcome = mdmprofile("build", "--identifier", "x", "--var", pair)
    assert outcome.code == 3
    assert "write it as NAME=VALUE, for example --var device.serial=C02X" in outcome.err


@pytest.mark.parametrize("pairs", [("a=1", "a.b=2"), ("a.b=2", "a=1")], ids=["value first", "table first"])
def test_name_cannot_be_a_value_and_a_table(pairs: tuple[str, ...]) -> None:
    """Whichever comes first, the other would be lost without a word."""
    with pytest.raises(click.UsageError):
        parse_variables(pairs)


@pytest.mark.parametrize("name", ["items", "keys", "values", "get", "copy"])
def test_variable_may_have_any_name_below_another(site: Site, mdmprofile: Command, name: str) -> None:
    """What the profile holds is the variable's value, not a part of Python."""
    unsigned(site)
    plist = built(site, mdmprofile, "--display-name", f"{{{{ app.{name} }}}}", "--var", f"app.{name}=seven")
    assert plist["PayloadDisplayName"] == "seven"


def test_member_that_no_variable_has_is_unknown_also_where_python_has_one(site: Site, mdmprofile: Command) -> None:
    """A forgotten variable never becomes the name of a method."""
    flags = ("--display-name", "{{ device.copy }}", "--var", "device.serial=C02X")
    outcome = mdmprofile("build", "-c", site.config, "-o", site.folder / "out", *flags)
    assert outcome.code == 3
    assert "profile.display_name: a variable is not known" in outcome.err


# --- the table behind the flags --------------------------------------------------------------------------------


def test_only_given_flags_become_overrides() -> None:
    """Absent ones leave the config alone, ``False`` is given, and password files become sources."""
    flags = {
        "identifier": None,
        "certificate": (),
        "server_certificate": (Path("a"), Path("b")),
        "sign_message": False,
        "pkcs12_password_file": Path("pw"),
        "not_a_key": "x",
    }
    assert overrides_of(flags) == {
        "trust": {"server_certificate": [Path("a"), Path("b")]},
        "server": {"sign_message": False},
        "identity": {"password": {"file": Path("pw")}, "type": "pkcs12"},
    }
