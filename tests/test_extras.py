"""Payloads and keys that are kept beside the config."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from mdmprofile.errors import MdmprofileError
from mdmprofile.extras import Extras, load_extras, with_extras
from mdmprofile.inputs import read_file
from mdmprofile.profile import Profile
from pki import Site
from replacing import Plist, made, mdm, payload, plist, scep, uuid


def test_extras_go_where_they_belong() -> None:
    """Payloads before the MDM payload, which is the last; keys over those of the payload whose UUID they name."""
    keys: dict[str, Plist] = {
        uuid(2).upper(): {"PayloadContent": {"Challenge": "x"}, "New": 1},
        uuid(0): {"Top": [1]},
        uuid(9): {"No": 1},
    }
    new = with_extras(Profile(plist(scep(), mdm())), Extras((made("com.example", 5),), keys)).plist
    assert [each["PayloadType"] for each in new["PayloadContent"]][1:] == ["com.example", "com.apple.mdm"]
    found = payload(dict(new), "com.apple.security.scep")
    assert (found["New"], found["PayloadContent"]["Challenge"], found["PayloadContent"]["Keysize"]) == (1, "x", 2048)
    assert new["Top"] == [1]
    assert "No" not in str(new)


def test_nothing_to_add_changes_nothing() -> None:
    """The profile is the same object."""
    profile = Profile(plist(scep(), mdm()))
    assert with_extras(profile, Extras()) is profile


@pytest.mark.parametrize("value", [[], "x", {"uuid": "x"}, {"uuid": [1]}])
def test_files_that_hold_something_else(value: Any, tmp_path: Path) -> None:
    """Keys are dictionaries in a dictionary."""
    path = tmp_path / "keys.plist"
    path.write_bytes(plistlib.dumps(value))
    with pytest.raises(MdmprofileError, match="is no dictionary"):
        load_extras((), path, read_file)


def test_extra_payload_of_a_config_is_built_in(site: Site, tmp_path: Path, mdmprofile: Command) -> None:
    """Any config can have them, and a file that is not there is one error."""
    site.edit(lambda text: text.replace("[server]", 'extra_payloads = ["wifi.plist"]\n\n[server]'))
    outcome = mdmprofile("build", "-c", site.config, "-o", tmp_path / "out")
    assert outcome.code == 3
    assert "wifi.plist" in outcome.err
    (site.folder / "wifi.plist").write_bytes(plistlib.dumps(made("com.apple.wifi.managed", 5, Password="x")))
    assert mdmprofile("build", "-c", site.config, "-o", tmp_path / "out", "--format", "json").code == 0
    outcome = mdmprofile("show", tmp_path / "out" / "enroll.mobileconfig", "--format", "json", "--at", "2031-03-01")
    assert [each["type"] for each in outcome.json["payloads"]][-2:] == ["com.apple.wifi.managed", "com.apple.mdm"]
