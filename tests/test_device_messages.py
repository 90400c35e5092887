"""Which device a message is from: every kind of message, and what is none."""

from __future__ import annotations

import contextlib
import plistlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdmprofile.device_messages import DeviceMessage, read_message
from mdmprofile.errors import NotDeviceMessageError

UDID, ENROLLMENT = "00008030-000A11111111802E", "D3B07384-D9A0-4E9B-8A1B-0123456789AB"
CHECK_IN = (
    "Authenticate",
    "TokenUpdate",
    "CheckOut",
    "UserAuthenticate",
    "SetBootstrapToken",
    "GetBootstrapToken",
    "DeclarativeManagement",
    "GetToken",
    "SomethingOfNextYear",
)
STATES = ("Idle", "Acknowledged", "Error", "CommandFormatError", "NotNow")


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY], ids=["xml", "binary"])
@pytest.mark.parametrize("key", ["UDID", "EnrollmentID"])
@pytest.mark.parametrize("kind", CHECK_IN)
def test_device_of_every_check_in_message_is_read(kind: str, key: str, form: Any) -> None:
    """Also of kinds that do not exist yet, and of user enrollments."""
    value = {"MessageType": kind, key: UDID, "Topic": "com.apple.mgmt.External.x", "Data": b"\0" * 100}
    if kind == "Authenticate":
        value["SerialNumber"] = "C02XK1ZGJG5M"
    found = read_message(plistlib.dumps(value, fmt=form))
    assert (found.identifier, found.message_type, found.status) == (UDID, kind, "")
    assert found.authenticates is (kind == "Authenticate")
    assert found.serial == value.get("SerialNumber", "")
    assert (found.udid, found.enrollment_id) == ((UDID, "") if key == "UDID" else ("", UDID))


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("user", [{}, {"UserID": "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "UserShortName": "x"}])
def test_device_of_every_answer_is_read(status: str, user: dict[str, str]) -> None:
    """On the user channel of a device too, whose certificate is the device's."""
    value = {"Status": status, "UDID": UDID, "CommandUUID": "1", **user}
    assert read_message(plistlib.dumps(value)) == DeviceMessage(UDID, "", "", status, "")


def test_user_of_a_user_enrollment_is_the_enrollment() -> None:
    """EnrollmentUserID is beside EnrollmentID, not in its place."""
    value = {"Status": "Idle", "EnrollmentID": ENROLLMENT, "EnrollmentUserID": "someone"}
    assert read_message(plistlib.dumps(value)).identifier == ENROLLMENT


def test_udid_is_the_identifier_where_there_are_both() -> None:
    """The other one is kept, because it has to be the same device's."""
    value = {"MessageType": "TokenUpdate", "UDID": UDID, "EnrollmentID": ENROLLMENT}
    found = read_message(plistlib.dumps(value))
    assert (found.identifier, found.enrollment_id) == (UDID, ENROLLMENT)


ENTITIES = b"""<?xml version="1.0"?>
<!DOCTYPE plist [<!ENTITY a "0000"><!ENTITY b SYSTEM "file:///etc/passwd">]>
<plist version="1.0"><dict><key>UDID</key><string>&b;</string><key>Status</key><string>Idle</string></dict></plist>"""


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"UDID=1",
        b"bplist00",
        b"<plist>",
        b"<html></html>",
        ENTITIES,
        plistlib.dumps([{"UDID": UDID}]),
        plistlib.dumps({}),
        plistlib.dumps({"MessageType": "TokenUpdate"}),
        plistlib.dumps({"Status": "Idle", "UDID": ""}),
        plistlib.dumps({"UDID": UDID}),
        plistlib.dumps({"Status": "Idle", "UDID": 7}),
        plistlib.dumps({"Status": "Idle", "UDID": b"7"}),
        plistlib.dumps({"Status": "Idle", "UDID": [UDID]}),
        plistlib.dumps({"Status": 1, "UDID": UDID}),
        plistlib.dumps({"Status": "Idle", "UDID": "x" * 256}),
        plistlib.dumps({"Status": "Idle", "UDID": f"{UDID}\n"}),
        plistlib.dumps({"Status": "Idle", "UDID": f" {UDID}"}),
        plistlib.dumps({"Status": "Idle", "UDID": "a\tb"}),
        plistlib.dumps({"Status": "Idle", "UDID": "a\N{RIGHT-TO-LEFT OVERRIDE}b"}),
        # Letters that databases take for others.
        plistlib.dumps({"Status": "Idle", "UDID": "0000803\N{FULLWIDTH DIGIT ZERO}"}),
        plistlib.dumps({"Status": "Idle", "EnrollmentID": "\N{LATIN CAPITAL LETTER A WITH ACUTE}"}),
        b"<plist>" + b"<array>" * 100_000,
    ],
    ids=lambda each: each[-40:].decode("latin-1"),
)
def test_what_is_no_message_of_a_device_is_refused(body: bytes) -> None:
    """With a reason, whatever the parser made of it."""
    with pytest.raises(NotDeviceMessageError) as caught:
        read_message(body)
    assert caught.value.where
    assert caught.value.hint


@pytest.mark.parametrize("form", [plistlib.FMT_XML, plistlib.FMT_BINARY], ids=["xml", "binary"])
def test_device_that_is_named_twice_is_refused(form: Any) -> None:
    """Whoever reads the message next may take the other one."""
    body = plistlib.dumps({"Status": "Idle", "UDID": "victim", "UDIX": UDID}, fmt=form)
    assert read_message(body).udid == "victim"
    with pytest.raises(NotDeviceMessageError):
        read_message(body.replace(b"UDIX", b"UDID"))


def test_keys_may_repeat_in_different_dictionaries() -> None:
    """As in every list of apps, which may be as deep as any property list."""
    value = {"Status": "Acknowledged", "UDID": UDID, "List": [{"UDID": "1"}, {"UDID": "2"}]}
    assert read_message(plistlib.dumps(value)).udid == UDID
    nested: Any = {}
    for _ in range(200):
        nested = {"a": nested}
    with pytest.raises(NotDeviceMessageError):
        read_message(plistlib.dumps(value | {"Deep": nested}))


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda data: b"bplist00" + data)))
def test_any_bytes_end_in_a_message_or_our_error(body: bytes) -> None:
    """No other exception comes out."""
    with contextlib.suppress(NotDeviceMessageError):
        read_message(body)
