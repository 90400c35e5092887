"""The command ``diff``, and ``build --replaces``: what people and scripts see of a verdict."""

from __future__ import annotations

import io
import json
import plistlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from pki import DAY, NOW, Site, ec_key, issue, root_ca, server_leaf
from replacing import (
    ACME,
    CHALLENGE,
    MDM,
    ROOT,
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

ROOT_CA = root_ca()
OLD = usual(ROOT_CA)
SIGNER = issue("Signer", ROOT_CA, key=ec_key())
OTHER = issue("Other Signer", ROOT_CA, key=ec_key())


@pytest.fixture
def pair(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Two files: the usual profile, and the same after these keys of its MDM payload were set."""

    def make(**keys: Any) -> tuple[Path, Path]:
        new = changed(OLD, lambda each: payload(each, MDM).update(keys))
        return write(tmp_path, "old.mobileconfig", OLD), write(tmp_path, "new.mobileconfig", new)

    return make


def test_verdict_is_the_first_line(pair: Callable[..., tuple[Path, Path]], mdmprofile: Command) -> None:
    """Whoever reads one line has read what matters; what changes is below."""
    old, new = pair(ServerURL="https://mdm.example.com/mdm?site=1", SignMessage=True)
    outcome = mdmprofile("diff", old, new, at=None)
    assert outcome.code == 2
    lines = outcome.out.splitlines()
    assert lines[0] == (
        "A device will refuse the new profile, sent over MDM: "
        'error 12012, "The new MDM payload does not match the old payload".'
    )
    assert "  ~ com.apple.mdm                 Payload 3" in lines
    assert "        ServerURL: https://mdm.example.com/mdm -> https://mdm.example.com/mdm?site=1" in lines
    assert "        SignMessage: absent -> true" in lines
    assert any(line.startswith(f"error: {new}: PayloadContent[2].ServerURL: ") for line in lines)
    assert outcome.err == ""


def test_what_is_taken_ends_with_0_or_1(pair: Callable[..., tuple[Path, Path]], mdmprofile: Command) -> None:
    """Information is no reason to stop; a warning is, unless only errors count."""
    old, new = pair(SignMessage=True)
    assert mdmprofile("diff", old, new, at=None).code == 0
    old, new = pair(AccessRights=8189)
    assert mdmprofile("diff", old, new, at=None).code == 1
    assert mdmprofile("diff", old, new, "--fail-on", "error", at=None).code == 0


def test_json_report(pair: Callable[..., tuple[Path, Path]], mdmprofile: Command) -> None:
    """Scripts read whether it is accepted, why not, and what changes."""
    old, new = pair(AccessRights=8191 - 8, Topic="com.apple.mgmt.External.other")
    outcome = mdmprofile("diff", old, new, "--format", "json", at=None)
    assert outcome.code == 2
    report = outcome.json
    assert (report["accepted"], report["via"], report["identifier"]) == (False, "mdm", "com.example.mdm.enroll")
    assert outcome.rules == ["replacement.topic", "replacement.rights-dropped", "replacement.new-identity"]
    changes = report["changes"]
    assert changes["profile"] == {"keys": [], "values": {}}
    assert [each["state"] for each in changes["payloads"]] == ["kept", "kept", "updated"]
    assert changes["payloads"][2]["keys"] == ["AccessRights", "Topic"]
    assert changes["payloads"][2]["values"]["AccessRights"] == {"old": "8191", "new": "8183"}
    assert changes["rights"] == {"added": [], "dropped": ["erase"]}
    assert changes["certificates"] == []
    assert changes["identity"] | {"why": ""} == {"old_type": "SCEP", "type": "SCEP", "issued": True, "why": ""}


def test_plain_and_coloured_reports_say_the_same(pair: Callable[..., tuple[Path, Path]], mdmprofile: Command) -> None:
    """Colour is for people; nothing is in it that is not in the words."""
    words = ("diff", *pair(AccessRights=8191 - 8, Topic="com.apple.mgmt.External.other"))
    plain = mdmprofile(*words, at=None).out
    coloured = mdmprofile(*words, "--color", "always", at=None).out
    assert "\x1b[1;31mA device will refuse" in coloured
    bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    for line in plain.partition("\n\nerror")[0].splitlines():
        assert "".join(line.split()) in "".join(bare.split())


def test_quiet_says_what_was_found_alone(pair: Callable[..., tuple[Path, Path]], mdmprofile: Command) -> None:
    """Nothing at all when the replacement is taken without a warning."""
    assert mdmprofile("diff", *pair(), "-q", at=None).out == ""
    lines = mdmprofile("diff", *pair(Topic="com.apple.mgmt.x"), "-q", at=None).out.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error"]


def test_any_form_of_profile(tmp_path: Path, mdmprofile: Command) -> None:
    """Signed, unsigned, XML and binary are the same profile."""
    files = []
    for number, (signer, form) in enumerate(
        (signer, form) for signer in (None, SIGNER) for form in (plistlib.FMT_XML, plistlib.FMT_BINARY)
    ):
        file = tmp_path / f"{number}.mobileconfig"
        file.write_bytes(file_of(OLD, signer, form))
        files.append(file)
    for old in files:
        for new in files:
            outcome = mdmprofile("diff", old, new, at=None)
            assert outcome.code == 0
            assert outcome.out.startswith("A device will take the new profile, sent over MDM; nothing in it changes.")


def test_signer_counts_by_hand(tmp_path: Path, mdmprofile: Command) -> None:
    """Over MDM it does not."""
    old, new = (write(tmp_path, signer.subject.rfc4514_string(), OLD, signer) for signer in (SIGNER, OTHER))
    assert mdmprofile("diff", old, new, at=None).code == 0
    outcome = mdmprofile("diff", old, new, "--via", "manual", at=None)
    assert outcome.code == 2
    assert outcome.out.startswith("A device will refuse the new profile, installed by hand: the signer is another one.")
    assert mdmprofile("diff", old, old, "--via", "manual", at=None).code == 0


def test_tampered_files_are_errors(tmp_path: Path, mdmprofile: Command) -> None:
    """Of whichever of the two: exit 2, and the first line says it."""
    good = write(tmp_path, "good", OLD, SIGNER)
    bad = tmp_path / "bad"
    bad.write_bytes(good.read_bytes().replace(b"Example MDM", b"Exemple MDM"))
    outcome = mdmprofile("diff", bad, good, at=None)
    assert outcome.code == 2
    assert outcome.out.startswith("Nobody can tell: the signature of the old file is broken")
    outcome = mdmprofile("diff", good, bad, "--format", "json", at=None)
    assert (outcome.code, outcome.json["accepted"]) == (2, False)
    assert "signature.invalid" in outcome.rules


def test_standard_input_for_one_of_them(
    pair: Callable[..., tuple[Path, Path]], mdmprofile: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """- is either; both it cannot be."""
    old, new = pair(Topic="com.apple.mgmt.x")
    for words in (("diff", "-", new), ("diff", old, "-")):
        data = old.read_bytes() if words[1] == "-" else new.read_bytes()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        outcome = mdmprofile(*words, at=None)
        assert outcome.code == 2
        assert "Topic" in outcome.out
    outcome = mdmprofile("diff", "-", "-", at=None)
    assert outcome.code == 3
    assert "cannot be both profiles" in outcome.err


def test_every_bad_file_is_named_in_one_run(tmp_path: Path, mdmprofile: Command) -> None:
    """One line each, exit 3, and JSON for a script."""
    text, absent = tmp_path / "text", tmp_path / "absent"
    text.write_bytes(b"hello")
    hidden = write(tmp_path, "hidden", {"PayloadIdentifier": "a", "EncryptedPayloadContent": b"x"})
    outcome = mdmprofile("diff", text, absent, at=None)
    assert outcome.code == 3
    assert [line.partition(": error: ")[2].partition(":")[0] for line in outcome.err.splitlines()] == [
        str(text),
        str(absent),
    ]
    assert outcome.out == ""
    outcome = mdmprofile("diff", hidden, hidden, "--format", "json", at=None)
    assert outcome.code == 3
    assert "is encrypted" in json.loads(outcome.out)["errors"][0]["message"]
    assert mdmprofile("diff", hidden, at=None).code == 3
    assert mdmprofile("diff", hidden, hidden, "--via", "pigeon", at=None).code == 3


def test_root_that_leaves(tmp_path: Path, mdmprofile: Command) -> None:
    """A warning, and an error where the server's certificate is known; none where the root has ended anyway."""
    following = root_ca("Next Root")
    new = changed(OLD, lambda each: payload(each, ROOT).update(PayloadContent=following.der, PayloadUUID=uuid(9)))
    words = ("diff", write(tmp_path, "old", OLD), write(tmp_path, "new", new))
    outcome = mdmprofile(*words, "--at", "2031-03-01", at=None)
    assert outcome.code == 1
    assert "[replacement.ca-rollover, observed]" in outcome.out
    for name, issuer, code in (("moved", following, 2), ("still", ROOT_CA, 2)):
        (tmp_path / name).write_bytes(server_leaf(issuer).pem)
        assert mdmprofile(*words, "--at", "2031-03-01", "--server-certificate", tmp_path / name, at=None).code == code
    later = (ROOT_CA.ours.not_after + DAY).date()
    assert mdmprofile(*words, "--at", str(later), at=None).code == 0


def test_hostile_names_do_not_reach_the_terminal(tmp_path: Path, mdmprofile: Command) -> None:
    """A payload's name could clear the screen."""
    new = changed(OLD, lambda each: payload(each, MDM).update(PayloadDisplayName="\x1b[2J", Topic="\x1b[2J\u202e"))
    path = tmp_path / "new"
    path.write_bytes(plistlib.dumps(new, fmt=plistlib.FMT_BINARY))
    old = write(tmp_path, "old", OLD)
    for flags in ((), ("--format", "json"), ("--color", "always")):
        out = mdmprofile("diff", old, path, *flags, at=None).out
        assert "[2J" in out
        assert "\x1b[2J" not in out
        assert "\u202e" not in out


# --- build --replaces -----------------------------------------------------------------------------------------------


def build(mdmprofile: Command, site: Site, old: Path, *flags: str | Path) -> Any:
    """Build a replacement of the old file."""
    return mdmprofile(
        "build", "-c", site.config, "-o", site.folder / "new", "--replaces", old, "--format", "json", *flags
    )


@pytest.fixture
def installed(site: Site, mdmprofile: Command) -> Path:
    """The signed profile that devices have."""
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "old").code == 0
    return site.folder / "old" / "enroll.mobileconfig"


def test_build_and_diff_agree_that_it_is_taken(site: Site, installed: Path, mdmprofile: Command) -> None:
    """A display name and a scheme of signing changed: written, and diff says the same of the result."""
    outcome = build(mdmprofile, site, installed, "--display-name", "Other", "--sign-message")
    assert outcome.code == 0
    assert "replacement.new-identity" in outcome.rules
    outcome = mdmprofile("diff", installed, site.folder / "new" / "enroll.mobileconfig", "--format", "json", at=None)
    assert (outcome.code, outcome.json["accepted"]) == (0, True)
    assert [each["state"] for each in outcome.json["changes"]["payloads"]] == ["kept", "kept", "kept", "updated"]


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        (("--server-url", "https://mdm.example.com/mdm?a=1"), "replacement.server-url"),
        (("--checkin-url", "https://mdm.example.com/checkin"), "replacement.checkin-url"),
        (("--topic", "com.apple.mgmt.External.other"), "replacement.topic"),
    ],
)
def test_build_does_not_write_what_a_device_would_refuse(
    site: Site, installed: Path, mdmprofile: Command, flags: tuple[str, ...], rule: str
) -> None:
    """Exit 2, nothing written, an older result untouched."""
    (site.folder / "new").mkdir()
    before = site.folder / "new" / "enroll.mobileconfig"
    before.write_bytes(b"older")
    outcome = build(mdmprofile, site, installed, *flags)
    assert outcome.code == 2
    assert rule in outcome.rules
    assert [each.name for each in before.parent.iterdir()] == ["enroll.mobileconfig"]
    assert before.read_bytes() == b"older"


def test_build_adds_no_right(site: Site, mdmprofile: Command) -> None:
    """The rights of the installed profile are the most there can be."""
    words = ("build", "-c", site.config, "-o", site.folder / "old", "--access-rights", "3")
    assert mdmprofile(*words).code == 0
    old = site.folder / "old" / "enroll.mobileconfig"
    outcome = build(mdmprofile, site, old)
    assert outcome.code == 2
    assert "replacement.access-rights" in outcome.rules
    assert build(mdmprofile, site, old, "--access-rights", "3").code == 0


def test_build_by_hand_needs_the_same_signer(site: Site, installed: Path, mdmprofile: Command) -> None:
    """The config's signer is held against the old profile's; over MDM any will do."""
    assert build(mdmprofile, site, installed, "--via", "manual").code == 0
    renewed = issue("Profile Signer", site.intermediate, key=site.signer.key, end=NOW + 900 * DAY)
    (site.folder / "signer.pem").write_bytes(renewed.pem)
    assert build(mdmprofile, site, installed).code == 0
    outcome = build(mdmprofile, site, installed, "--via", "manual")
    assert outcome.code == 2
    assert "replacement.signer" in outcome.rules
    site.edit(lambda text: text.replace("[server]", f'replaces = "{installed}"\nreplaces_via = "manual"\n\n[server]'))
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "new").code == 2
    assert mdmprofile("build", "-c", site.config, "-o", site.folder / "new", "--via", "pigeon").code == 3


def test_build_without_right_2_is_for_hands_alone(site: Site, mdmprofile: Command) -> None:
    """Nothing reaches such a device over MDM."""
    words = ("build", "-c", site.config, "--access-rights", "1", "-o", site.folder / "old")
    assert mdmprofile(*words).code == 0
    old = site.folder / "old" / "enroll.mobileconfig"
    outcome = build(mdmprofile, site, old, "--access-rights", "1")
    assert (outcome.code, "replacement.no-install-right" in outcome.rules) == (2, True)
    assert build(mdmprofile, site, old, "--access-rights", "1", "--via", "manual").code == 0


def test_build_refuses_a_tampered_old_profile(site: Site, installed: Path, mdmprofile: Command) -> None:
    """Its names would be kept, and whoever changed it chose them."""
    data = installed.read_bytes()
    assert data.count(b"Example MDM") == 1
    installed.write_bytes(data.replace(b"Example MDM", b"Exemple MDM"))
    outcome = build(mdmprofile, site, installed)
    assert outcome.code == 2
    assert "signature.invalid" in outcome.rules
    assert any(str(installed) in each["where"] for each in outcome.json["findings"])
    assert not (site.folder / "new").exists()


def test_build_refuses_an_encrypted_old_profile(site: Site, mdmprofile: Command) -> None:
    """Without its key there are no names to keep."""
    hidden = write(site.folder, "hidden", {"PayloadIdentifier": "a", "EncryptedPayloadContent": b"x"})
    outcome = build(mdmprofile, site, hidden)
    assert outcome.code == 3
    assert "is encrypted" in outcome.err


def test_build_warns_of_a_rollover_whose_server_moved_too_early(
    site: Site, installed: Path, mdmprofile: Command
) -> None:
    """With the server's certificate in the config there is nothing to guess; by hand nobody has to fetch it."""
    following = root_ca("Next Root")
    (site.folder / "root.pem").write_bytes(following.pem)
    (site.folder / "intermediate.pem").write_bytes(b"")
    site.edit(lambda text: text.replace('"root.pem", "intermediate.pem"', '"root.pem"'))
    (site.folder / "server.pem").write_bytes(server_leaf(following).pem)
    outcome = build(mdmprofile, site, installed)
    assert outcome.code == 0
    found = [each["severity"] for each in outcome.json["findings"] if each["rule"] == "replacement.ca-rollover"]
    assert found == ["warning"]
    outcome = build(mdmprofile, site, installed, "--via", "manual")
    assert outcome.code == 0
    assert "replacement.ca-rollover" not in outcome.rules
    site.edit(lambda text: text.replace('server_certificate = "server.pem"', ""))
    outcome = build(mdmprofile, site, installed)
    assert outcome.code == 0
    assert "replacement.ca-rollover" in outcome.rules


def test_no_secret_of_either_profile_is_in_a_report(site: Site, installed: Path, mdmprofile: Command) -> None:
    """The challenge of the old and of the new profile."""
    (site.folder / "challenge.txt").write_text("another-challenge-42")
    for outcome in (
        build(mdmprofile, site, installed),
        mdmprofile("diff", installed, site.folder / "new" / "enroll.mobileconfig", at=None),
        mdmprofile("diff", installed, site.folder / "new" / "enroll.mobileconfig", "--format", "json", at=None),
    ):
        assert outcome.code == 0
        assert not {CHALLENGE, "another-challenge-42"} & set(re.findall(r"[\w-]+", outcome.out + outcome.err))
    assert "PayloadContent.Challenge" in outcome.out


# --- names that are kept --------------------------------------------------------------------------------------------


def old_of(site: Site, *identities: Plist, names: str) -> Path:
    """A profile of another product with these identities, of which MDM names one."""
    server = {"IdentityCertificateUUID": names, "ServerURL": "https://mdm.example.com/mdm"}
    return write(site.folder, "old.mobileconfig", plist(*identities, mdm(**server)))


def identity_of(site: Site) -> tuple[str, str]:
    """Identifier and UUID of the identity that was built."""
    data = (site.folder / "new" / "enroll.mobileconfig").read_bytes()
    start, end = data.index(b"<?xml"), data.index(b"</plist>") + len(b"</plist>")
    profile = plistlib.loads(data[start:end])
    named = payload(profile, MDM)["IdentityCertificateUUID"]
    (found,) = (each for each in profile["PayloadContent"] if each["PayloadUUID"] == named)
    return found["PayloadIdentifier"], found["PayloadUUID"]


@pytest.mark.parametrize("names", [5, 6])
def test_of_two_scep_payloads_the_one_that_mdm_names_is_kept(site: Site, mdmprofile: Command, names: int) -> None:
    """The other is Wi-Fi's; updated in its place, it would take the Wi-Fi's certificate away."""
    old = old_of(site, scep(5), scep(6), names=uuid(names))
    outcome = build(mdmprofile, site, old)
    assert outcome.code == 0, outcome.out
    assert identity_of(site) == (f"com.example.mdm.enroll.{names}", uuid(names))


def test_another_kind_of_identity_is_not_named_after_the_wifis(site: Site, mdmprofile: Command) -> None:
    """MDM's was ACME; the SCEP payload beside it belongs to something else."""
    old = old_of(site, scep(5), made(ACME, 6), names=uuid(6))
    assert build(mdmprofile, site, old).code == 0
    identifier, number = identity_of(site)
    assert (identifier, number in {uuid(5), uuid(6)}) == ("com.example.mdm.enroll.identity", False)


def test_identity_that_mdm_does_not_name_is_kept_all_the_same(site: Site, mdmprofile: Command) -> None:
    """Where the reference dangles, the first of its type is the best guess."""
    assert build(mdmprofile, site, old_of(site, scep(5), names=uuid(77))).code == 0
    assert identity_of(site) == ("com.example.mdm.enroll.5", uuid(5))
