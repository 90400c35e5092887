"""A rollover judged by the server's own certificate: who can fetch the new profile, and who is lost by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Command
from pki import Entity, root_ca, server_leaf
from replacing import MDM, ROOT, Plist, changed, made, mdm, payload, plist, scep, usual, uuid, write

ROOT_CA, NEXT = root_ca(), root_ca("Next Root")


def holding(*roots: Entity) -> Plist:
    """A profile with these roots."""
    payloads = [made(ROOT, 20 + number, PayloadContent=each.der) for number, each in enumerate(roots)]
    return plist(*payloads, scep(), mdm())


@pytest.mark.parametrize(
    ("old", "new", "server", "via", "code", "headline"),
    [
        ((ROOT_CA,), (NEXT,), NEXT, "mdm", 2, "A device cannot fetch the new profile over MDM: with the old one"),
        ((ROOT_CA,), (ROOT_CA, NEXT), NEXT, "mdm", 2, "A device cannot fetch the new profile over MDM"),
        ((ROOT_CA,), (NEXT,), NEXT, "manual", 1, "A device will take the new profile, installed by hand."),
        (
            (ROOT_CA,),
            (NEXT,),
            ROOT_CA,
            "mdm",
            2,
            "A device will take the new profile, sent over MDM, and then not trust the server any more.",
        ),
        ((ROOT_CA, NEXT), (NEXT,), NEXT, "mdm", 0, "A device will take the new profile, sent over MDM."),
        ((ROOT_CA,), (ROOT_CA, NEXT), ROOT_CA, "mdm", 0, "A device will take the new profile, sent over MDM."),
        ((), (), NEXT, "mdm", 0, "A device will take the new profile, sent over MDM; nothing"),
    ],
)
def test_the_servers_certificate_must_lead_to_both_profiles(
    tmp_path: Path,
    mdmprofile: Command,
    old: tuple[Entity, ...],
    new: tuple[Entity, ...],
    server: Entity,
    via: str,
    code: int,
    headline: str,
) -> None:
    """A device fetches the new profile with the trust of the old one, and needs the new one's afterwards."""
    files = write(tmp_path, "old", holding(*old)), write(tmp_path, "new", holding(*new))
    (tmp_path / "server.pem").write_bytes(server_leaf(server).pem)
    words = ("diff", *files, "--via", via, "--server-certificate", tmp_path / "server.pem", "--at", "2031-03-01")
    outcome = mdmprofile(*words, at=None)
    assert (outcome.code, outcome.out.splitlines()[0][: len(headline)]) == (code, headline)
    report = mdmprofile(*words, "--format", "json", at=None)
    assert json.loads(report.out)["accepted"] is True
    assert ("replacement.ca-rollover" in report.rules) == (code == 2)


def test_no_root_need_leave_for_the_server_to_be_lost(tmp_path: Path, mdmprofile: Command) -> None:
    """Both profiles hold a root that has nothing to do with the server: both files are named."""
    files = write(tmp_path, "old", usual(ROOT_CA)), write(tmp_path, "new", usual(ROOT_CA))
    (tmp_path / "server.pem").write_bytes(server_leaf(NEXT).pem)
    outcome = mdmprofile("diff", *files, "--server-certificate", tmp_path / "server.pem", at=None)
    assert outcome.code == 2
    for file, name in zip(files, ("old", "new"), strict=True):
        assert f"error: {file}: PayloadContent: nothing in the {name} profile leads from the server's" in outcome.out


def test_a_headline_that_is_green_hides_no_loss(tmp_path: Path, mdmprofile: Command) -> None:
    """A right or a root that goes is in the first line, in the colour of a warning."""
    old = write(tmp_path, "old", usual(ROOT_CA))
    dropped = changed(usual(ROOT_CA), lambda each: payload(each, MDM).update(AccessRights=8189))
    rootless = changed(
        usual(ROOT_CA), lambda each: payload(each, ROOT).update(PayloadContent=NEXT.der, PayloadUUID=uuid(9))
    )
    for new, words in (
        (dropped, "sent over MDM; it is the last one that can be sent over MDM."),
        (rootless, "sent over MDM, and then perhaps not trust the server any more."),
    ):
        file = write(tmp_path, "new", new)
        line = mdmprofile("diff", old, file, "--at", "2031-03-01", at=None).out.splitlines()[0]
        assert line == f"A device will take the new profile, {words}"
        coloured = mdmprofile("diff", old, file, "--at", "2031-03-01", "--color", "always", at=None).out
        assert coloured.startswith("\x1b[")
        assert not coloured.startswith("\x1b[1;32m")
