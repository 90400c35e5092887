"""The first profile of an over-the-air enrollment, which holds an address and no payloads, in the commands."""

from __future__ import annotations

import plistlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mdmprofile.masking import MASK
from mdmprofile.profile import Profile
from profiles import Plist


def request() -> Plist:
    """A request as servers and pages that ask for a device's UDID make it."""
    return {
        "PayloadType": "Profile Service",
        "PayloadVersion": 1,
        "PayloadIdentifier": "com.example.ota",
        "PayloadUUID": "00000000-0000-4000-8000-0000000000A1",
        "PayloadDisplayName": "Example request",
        "PayloadContent": {
            "URL": "https://mdm.example.com/ota",
            "DeviceAttributes": ["UDID", "SERIAL"],
            "Challenge": "hello",
        },
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The request as a file."""
    path = tmp_path / "request.mobileconfig"
    path.write_bytes(plistlib.dumps(request()))
    return path


def test_lint_does_not_call_it_broken(mdmprofile: Callable[..., Any], file: Path) -> None:
    """Devices take it, so there is nothing to warn of; that the real profile was not judged is said."""
    result = mdmprofile("lint", file, "--format", "json", "--disable", "signing")
    assert result.code == 0
    assert [each["rule"] for each in result.json["findings"]] == ["profile.service-request"]


def test_show_has_the_address_and_no_challenge(mdmprofile: Callable[..., Any], file: Path) -> None:
    """Where a device will be sent is what matters in it."""
    text = mdmprofile("show", file).out
    assert "https://mdm.example.com/ota" in text
    assert "DeviceAttributes: UDID, SERIAL" in text
    assert "hello" not in text
    shown = mdmprofile("show", file, "--format", "json").json
    assert shown["profile"]["PayloadContent"]["URL"] == "https://mdm.example.com/ota"
    assert shown["profile"]["PayloadContent"]["Challenge"] == MASK


@pytest.mark.parametrize(
    "changed", [{"PayloadContent": []}, {"PayloadType": "Configuration"}, {"PayloadType": ["Profile Service"]}]
)
def test_only_a_request_is_one(changed: Plist) -> None:
    """A profile with payloads of that type, or another with a dictionary for payloads, is broken as before."""
    assert Profile(request()).requests_another
    assert not Profile(request() | changed).requests_another


def test_masked_data_is_shown_as_a_mask(mdmprofile: Callable[..., Any], tmp_path: Path) -> None:
    """Not as the size and fingerprint of data that nobody has."""
    shared = {"PayloadType": "com.apple.vpn.managed", "IPSec": {"SharedSecret": b"hello"}}
    path = tmp_path / "vpn.mobileconfig"
    path.write_bytes(plistlib.dumps(request() | {"PayloadType": "Configuration", "PayloadContent": [shared]}))
    assert f"SharedSecret: {MASK}" in mdmprofile("show", path).out
    assert "SharedSecret: 5 bytes" in mdmprofile("show", path, "--reveal").out
