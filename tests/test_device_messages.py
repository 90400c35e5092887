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
        plistlib.dumps({"Status": "Idle", "UDID": "a b"}),
        plistlib.dumps({"Status": "Idle", "UDID": "\N{KELVIN SIGN}"}),
        plistlib.dumps({"Status": "Idle", "EnrollmentID": "\N{LATIN SMALL LETTER SHARP S}"}),
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


VICTIM, MINE = b"<key>UDID</key><string>VICTIM</string>", b"<key>UDID</key><string>MINE</string>"
IDLE = b"<key>Status</key><string>Idle</string>"


def xml(inside: bytes, *, head: bytes = b'<?xml version="1.0" encoding="UTF-8"?>') -> bytes:
    """A property list around the elements."""
    return head + b'<plist version="1.0">' + inside + b"</plist>"


def binary(*texts: str) -> bytes:
    """A binary property list of one dictionary, whose keys and values take turns; a key may be there twice."""
    half = len(texts) // 2
    objects = [bytes([0xD0 + half, *range(1, half * 2, 2), *range(2, half * 2 + 1, 2)])]
    objects += [bytes([0x50 + len(each)]) + each.encode() for each in texts]
    data, places = b"bplist00", []
    for each in objects:
        places.append(len(data))
        data += each
    numbers = (len(places), 0, len(data))
    return data + bytes(places) + bytes([*[0] * 6, 1, 1]) + b"".join(each.to_bytes(8, "big") for each in numbers)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(xml(b"<dict>" + IDLE + VICTIM + MINE + b"</dict>"), id="key twice"),
        pytest.param(binary("Status", "Idle", "UDID", "VICTIM", "UDID", "MINE"), id="key twice in binary"),
        pytest.param(
            xml(b"<dict>" + IDLE + VICTIM + b"</dict><dict>" + IDLE + MINE + b"</dict>"), id="two dictionaries"
        ),
        pytest.param(xml(b"<x><dict>" + IDLE + MINE + b"</dict></x>"), id="wrapped in what is none"),
        pytest.param(xml(b"<dict><x>" + VICTIM + b"</x>" + IDLE + MINE + b"</dict>"), id="element that is none"),
        pytest.param(xml(b"<dict>" + IDLE + MINE.replace(b"MI", b"VICTI<b>M</b>")) + b"</dict>", id="text in pieces"),
        pytest.param(xml(b"<dict>" + IDLE + MINE.replace(b"MI", b"VICTIM<true/>") + b"</dict>"), id="tag in a text"),
        pytest.param(xml(b"<dict>" + IDLE + MINE.replace(b"MI", b"VIC<!-- -->TIM") + b"</dict>"), id="comment"),
        pytest.param(xml(b"<dict>" + IDLE + MINE.replace(b"MI", b"VIC<![CDATA[TIM]]>") + b"</dict>"), id="CDATA"),
        pytest.param(xml(b"<dict>" + IDLE + MINE.replace(b"MI", b"VIC<?x TIM?>") + b"</dict>"), id="instruction"),
        pytest.param(
            xml(b"<dict>" + IDLE + b"<string>UDID</string><string>A</string>" + MINE + b"</dict>"), id="turns"
        ),
        pytest.param(xml(b"<dict>" + IDLE + b"<key>UDID</key>" + MINE + b"</dict>"), id="key without a value"),
        pytest.param(xml(b"<dict>" + IDLE + MINE + b"<key>UDID</key></dict>"), id="last key without a value"),
        pytest.param(b"<?xml version='1.0'?><!DOCTYPE plist><dict>" + IDLE + MINE + b"</dict>", id="no plist"),
        pytest.param(xml(b"<array><dict>" + IDLE + MINE + b"</dict></array>"), id="in an array"),
        pytest.param(xml(b'<dict xmlns="x">' + IDLE + MINE + b"</dict>"), id="attribute"),
        pytest.param(xml(b"<dict>" + IDLE + MINE + b"</dict>") + xml(b"<dict/>", head=b""), id="something behind it"),
        pytest.param(xml(b"<dict>" + IDLE + MINE.replace(b"MI", b"&udid;") + b"</dict>"), id="entity"),
        pytest.param(
            xml(b"<dict>" + IDLE + MINE.replace(b"MI", b"&udid;") + b"</dict>", head=b'<!DOCTYPE plist SYSTEM "x">'),
            id="entity of another file",
        ),
        pytest.param(
            xml(b"<dict>" + IDLE + MINE + b"</dict>", head=b'<?xml version="1.0" encoding="IBM037"?>'), id="encoding"
        ),
        pytest.param(
            xml(b"<dict>" + IDLE + MINE + b"</dict>", head=b'<?xml version="1.0"?>').decode().encode("utf-16"),
            id="UTF-16",
        ),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(body: bytes) -> None:
    """The server behind would act for a device that nobody compared with its pin."""
    with pytest.raises(NotDeviceMessageError):
        read_message(body)


@pytest.mark.parametrize(
    "body",
    [
        xml(b"<dict>" + IDLE + MINE + b"</dict>", head=b""),
        xml(b"\n<dict>\n\t" + IDLE + b"\n" + MINE + b"</dict>\n", head=b"<?xml version='1.0' encoding='utf-8'?>\n"),
        xml(b"<dict>" + IDLE + MINE.replace(b"M", b"&#77;") + b"</dict>"),
        xml(b"<dict>" + IDLE + b"<key>UDID2</key><dict>" + VICTIM + b"</dict>" + MINE + b"</dict>"),
        xml(b"<dict>" + IDLE + b"<key>Q</key><array><dict>" + VICTIM + b"</dict></array>" + MINE + b"</dict>"),
        binary("Status", "Idle", "UDID", "MINE"),
    ],
)
def test_keys_of_the_message_itself_are_read(body: bytes) -> None:
    """However it is spaced and whatever is inside its other values."""
    assert read_message(body) == DeviceMessage("MINE", "", "", "Idle", "")


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda data: b"bplist00" + data)))
def test_any_bytes_end_in_a_message_or_our_error(body: bytes) -> None:
    """No other exception comes out."""
    with contextlib.suppress(NotDeviceMessageError):
        read_message(body)
