"""Profiles as property lists: every top-level key, every text unchanged or refused, and hostile bytes."""

from __future__ import annotations

import plistlib
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mdmprofile.errors import MdmprofileError, ProfileError
from mdmprofile.payloads.certificates import RootPayload
from mdmprofile.payloads.removal import RemovalPasswordPayload
from mdmprofile.profile import Profile, TopLevel, parse, stable_uuid
from mdmprofile.propertylist import looks_like_plist

UUID = "11111111-2222-4333-8444-555555555555"
SMALLEST = {
    "PayloadType": "Configuration",
    "PayloadVersion": 1,
    "PayloadIdentifier": "com.example.mdm",
    "PayloadUUID": UUID,
}

# The same examples in every run; the fixture that runs plistutil keeps no state between them.
examples = settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def typed(value: Any) -> Any:
    """The value with the type of every part spelled out, so that true is not 1 and 1 is not 1.0."""
    if isinstance(value, dict):
        return {name: typed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return type(value).__name__, value


def nested(depth: int) -> bytes:
    """A property list that any parser reads, deeper than a recursive program can follow."""
    inner = b"<array>" * depth + b"</array>" * depth
    return b'<?xml version="1.0"?><plist version="1.0"><dict><key>Deep</key>' + inner + b"</dict></plist>"


def round_trips_or_is_refused(text: str, read: Callable[[bytes], Any]) -> None:
    """The one promise about text: unchanged, or an error that names the path."""
    profile = Profile(SMALLEST | {"PayloadDescription": text, "ConsentText": {"default": text}})
    try:
        data = profile.to_bytes()
    except ProfileError as error:
        assert error.where == "PayloadDescription"  # noqa: PT017 - either outcome is right
    else:
        assert read(data)["PayloadDescription"] == text
        assert read(data)["ConsentText"] == {"default": text}


# ---------------------------------------------------------------- the top level


def test_every_top_level_key_has_apples_name_and_type(plistutil: Callable[[bytes], bytes]) -> None:
    """Two parsers read every top-level key of Apple's schema with the value given and the type Apple asks for."""
    top = TopLevel(
        identifier="com.example.mdm",
        uuid=UUID,
        display_name="Example MDM",
        description="Manages the device",
        organization="Example Inc.",
        scope="User",
        removal_disallowed=True,
        has_removal_passcode=True,
        removal_date=datetime(2032, 1, 2, 3, 4, 5, tzinfo=UTC),
        duration_until_removal=86400.0,
        expiration_date=datetime(2032, 6, 7, 8, 9, 10, tzinfo=UTC),
        target_device=5,
        consent_text={"default": "Agree?", "de": "Einverstanden?"},
    )
    expected = SMALLEST | {
        "PayloadDisplayName": "Example MDM",
        "PayloadDescription": "Manages the device",
        "PayloadOrganization": "Example Inc.",
        "PayloadScope": "User",
        "PayloadRemovalDisallowed": True,
        "HasRemovalPasscode": True,
        "RemovalDate": datetime(2032, 1, 2, 3, 4, 5),  # noqa: DTZ001 - plistlib reads UTC dates as naive ones
        "DurationUntilRemoval": 86400.0,
        "PayloadExpirationDate": datetime(2032, 6, 7, 8, 9, 10),  # noqa: DTZ001 - the same
        "TargetDeviceType": 5,
        "ConsentText": {"default": "Agree?", "de": "Einverstanden?"},
        "PayloadContent": [],
    }
    data = Profile.assemble(top, ()).to_bytes()
    assert typed(plistlib.loads(data)) == typed(expected)
    assert typed(plistlib.loads(plistutil(data))) == typed(expected)
    assert b"<real>86400" in data
    assert b"<date>2032-01-02T03:04:05Z</date>" in data


def test_top_level_keys_without_a_value_are_left_out() -> None:
    """Scope is System unless said otherwise; nothing else is there that nobody asked for."""
    top = TopLevel(identifier="com.example.mdm", uuid=UUID, consent_text={})
    assert top.as_plist() == SMALLEST | {"PayloadScope": "System"}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(datetime(2031, 10, 1, 0, 30, tzinfo=UTC), id="UTC"),
        pytest.param(datetime(2031, 10, 1, 2, 30, tzinfo=timezone(timedelta(hours=2))), id="east"),
        pytest.param(datetime(2031, 9, 30, 17, 0, tzinfo=timezone(timedelta(hours=-7, minutes=-30))), id="west"),
        pytest.param(datetime(2031, 10, 1, 0, 30), id="naive is UTC"),  # noqa: DTZ001 - the point of the case
        pytest.param(datetime(2031, 10, 1, 0, 30, 0, 999999, tzinfo=UTC), id="microseconds are cut"),
    ],
)
def test_dates_are_written_in_utc_whatever_their_offset(moment: datetime, plistutil: Callable[[bytes], bytes]) -> None:
    """A property list has no offsets, so the same instant gives the same text."""
    top = TopLevel(identifier="com.example.mdm", uuid=UUID, removal_date=moment)
    data = Profile.assemble(top, ()).to_bytes()
    assert b"<key>RemovalDate</key>\n\t<date>2031-10-01T00:30:00Z</date>" in data
    assert plistlib.loads(plistutil(data))["RemovalDate"] == datetime(2031, 10, 1, 0, 30)  # noqa: DTZ001 - naive is UTC


def test_payloads_stand_in_the_order_given_and_the_bytes_are_always_the_same() -> None:
    """Payloads install in order, and nothing but the values decides the bytes."""

    def profile() -> Profile:
        payloads = [
            RootPayload(identifier=f"com.example.{name}", uuid=UUID, data=b"\x30", file_name=f"{name}.cer")
            for name in "zab"
        ]
        return Profile.assemble(TopLevel(identifier="com.example.mdm", uuid=UUID), tuple(payloads))

    assert [each["PayloadIdentifier"][-1] for each in profile().payloads] == ["z", "a", "b"]
    assert profile().to_bytes() == profile().to_bytes()
    assert parse(profile().to_bytes()).to_bytes() == profile().to_bytes()


# ---------------------------------------------------------------- texts

TEXTS = {
    "less than": "a < b",
    "ampersand": "R&D &amp; &lt;",
    "end of CDATA": "]]>",
    "tags": "</string></dict></plist>",
    "comment": "<!-- x -->",
    "quotes": "\"double\" 'single' \N{LEFT DOUBLE QUOTATION MARK}curly\N{RIGHT DOUBLE QUOTATION MARK}",
    "emoji": "\N{WAVING HAND SIGN} \U0001f469\u200d\U0001f4bb \U0001f1e9\U0001f1ea",
    "beyond the basic plane": "\U00010000 \U0010fffd",
    "right to left": "\u202eabc\u202c \u05d0",
    "line feed": "one\ntwo\n",
    "tab": "a\tb",
    "next line and line separator": "a\x85b\u2028c",
    "spaces around": "  a  ",
    "no-break space": "a\u00a0b",
    "last allowed character": "\ufffd \ue000 \ud7ff \x7f \x9f",
    "long": "x" * 100_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_comes_back_unchanged_from_two_parsers(text: str, plistutil: Callable[[bytes], bytes]) -> None:
    """What an admin writes is what the device shows, compares or sends, to the last character."""
    top = TopLevel(identifier="com.example.mdm", uuid=UUID, description=text, consent_text={text: text})
    password = RemovalPasswordPayload(identifier="com.example.mdm.removal", uuid=UUID, password=text)
    data = Profile.assemble(top, (password,)).to_bytes()
    for read in (plistlib.loads(data), plistlib.loads(plistutil(data))):
        assert read["PayloadDescription"] == text
        assert read["ConsentText"] == {text: text}
        assert read["PayloadContent"][0]["RemovalPassword"] == text


@pytest.mark.parametrize(
    "text",
    [pytest.param("one\rtwo", id="carriage return"), pytest.param("one\r\ntwo\r\n", id="with line feed")],
)
def test_a_carriage_return_is_kept_or_refused(text: str, plistutil: Callable[[bytes], bytes]) -> None:
    """A password with one would be another password if it were silently changed into a line feed."""
    round_trips_or_is_refused(text, plistlib.loads)
    round_trips_or_is_refused(text, lambda data: plistlib.loads(plistutil(data)))


FORBIDDEN = {
    "NUL": "\x00",
    "bell": "\x07",
    "escape": "\x1b",
    "vertical tab": "\x0b",
    "unit separator": "\x1f",
    "high surrogate": "\ud800",
    "low surrogate": "\udfff",
    "noncharacter U+FFFE": "\ufffe",
    "noncharacter U+FFFF": "\uffff",
}


@pytest.mark.parametrize("wrong", FORBIDDEN.values(), ids=FORBIDDEN)
@pytest.mark.parametrize(
    ("where", "place"),
    [
        ("PayloadDisplayName", lambda text: {"PayloadDisplayName": text}),
        ("PayloadContent[1].Password", lambda text: {"PayloadContent": [{}, {"Password": text}]}),
        (
            "PayloadContent[0].PayloadContent.Subject[0][0][1]",
            lambda text: {"PayloadContent": [{"PayloadContent": {"Subject": [[["CN", text]]]}}]},
        ),
        ("ConsentText", lambda text: {"ConsentText": {text: "Agree?"}}),
        ("PayloadContent[0].Pins[1]", lambda text: {"PayloadContent": [{"Pins": ("good", text)}]}),
    ],
    ids=["top level", "payload", "deep inside", "a key's name", "tuple"],
)
def test_a_character_that_xml_forbids_is_refused_with_its_place(
    wrong: str, where: str, place: Callable[[str], dict[str, Any]]
) -> None:
    """A device would refuse the whole profile, so the error names the key, and never shows a secret's text."""
    with pytest.raises(ProfileError) as caught:
        Profile(place(f"secret{wrong}text")).to_bytes()
    assert caught.value.where == where
    assert f"U+{ord(wrong):04X} at position 6" in caught.value.message
    assert "secret" not in str(caught.value)
    assert caught.value.hint


# Mostly anything, and often what the XML form treats in its own way.
any_text = st.text(st.characters(codec=None) | st.sampled_from("\r\n\t <>&]\"'\x00\x7f\x85\ufffe\ud800"))


@examples
@given(any_text)
def test_any_text_round_trips_or_is_refused(text: str) -> None:
    """There is no third outcome, whatever the text."""
    round_trips_or_is_refused(text, plistlib.loads)


@settings(examples, max_examples=40)
@given(text=any_text)
def test_any_text_round_trips_through_libplist_or_is_refused(text: str, plistutil: Callable[[bytes], bytes]) -> None:
    """Another parser, in another language, reads the same text."""
    round_trips_or_is_refused(text, lambda data: plistlib.loads(plistutil(data)))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="no value"),
        pytest.param(2**70, id="an integer too large"),
        pytest.param(object(), id="an unknown type"),
        pytest.param({1: "x"}, id="a key that is no text"),
        pytest.param(datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), id="a date before the calendar"),
    ],
)
def test_a_value_that_no_property_list_holds_is_refused(value: object) -> None:
    """A library user's slip becomes a ProfileError, not a parser's own exception."""
    with pytest.raises(ProfileError, match="cannot be written"):
        Profile(SMALLEST | {"Odd": value}).to_bytes()


def test_a_profile_nested_too_deeply_to_write_is_refused() -> None:
    """It must not end in a RecursionError, though no reader gives such a profile."""
    value: list[Any] = []
    for _ in range(20_000):
        value = [value]
    with pytest.raises(ProfileError, match="nested too deeply"):
        Profile({"PayloadContent": value}).to_bytes()


# ---------------------------------------------------------------- reading


def test_a_profile_is_read_from_xml_and_from_binary() -> None:
    """Both forms of the same property list are the same profile."""
    plist = SMALLEST | {"PayloadContent": [{"PayloadType": "com.apple.mdm", "AccessRights": 8191}]}
    for form in (plistlib.FMT_XML, plistlib.FMT_BINARY):
        assert parse(plistlib.dumps(plist, fmt=form)).plist == plist


BINARY = plistlib.dumps(SMALLEST | {"PayloadContent": [{"a": [1, 2.0, b"x", True]}]}, fmt=plistlib.FMT_BINARY)
XML = plistlib.dumps(SMALLEST)
_DOCTYPE = '<!DOCTYPE plist [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello", id="text"),
        pytest.param(b"\x30\x82\x01\x00", id="DER"),
        pytest.param(XML[: len(XML) // 2], id="XML cut short"),
        pytest.param(BINARY[:-5], id="binary cut short"),
        pytest.param(b"bplist00", id="binary header alone"),
        pytest.param(b"bplist00" + bytes(24) + b"\xff" * 32, id="binary with a wild trailer"),
        pytest.param(XML.replace(b"</string>", b"</str>", 1), id="tags that do not match"),
        pytest.param(XML.replace(b"<integer>1<", b"<integer>one<"), id="an integer that is none"),
        pytest.param(XML.replace(b"<integer>1<", b"<integer>" + b"9" * 9999 + b"<"), id="an endless integer"),
        pytest.param(XML.replace(b"<integer>1</integer>", b"<date>soon</date>"), id="a date that is none"),
        pytest.param(XML.replace(b"<integer>1</integer>", b"<data>a</data>"), id="data that is no base64"),
        pytest.param(XML.replace(b"<integer>1</integer>", b""), id="a key without a value"),
        pytest.param(
            f'<?xml version="1.0"?>{_DOCTYPE}<plist><dict><key>&b;</key><true/></dict></plist>'.encode(),
            id="entity declarations",
        ),
        pytest.param(b'<?xml version="1.0" encoding="latin-9000"?><plist><dict/></plist>', id="unknown encoding"),
    ],
)
def test_bytes_that_are_no_property_list_are_refused_in_one_line(data: bytes) -> None:
    """Whatever the parser trips over, the error is the project's, short, and names the file."""
    with pytest.raises(ProfileError, match="is not a property list") as caught:
        parse(data, source="old.mobileconfig")
    assert caught.value.where == "old.mobileconfig"
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [["a"], "text", 7, True, b"data"], ids=repr)
def test_a_property_list_that_is_no_dictionary_is_refused(value: Any) -> None:
    """A profile is a dictionary at the top."""
    with pytest.raises(ProfileError, match="not a dictionary"):
        parse(plistlib.dumps(value))


@examples
@given(
    data=st.binary(max_size=200)
    | st.binary(max_size=200).map(b"bplist00".__add__)
    | st.tuples(st.integers(8, len(BINARY) - 1), st.binary(min_size=1, max_size=4)).map(
        lambda change: BINARY[: change[0]] + change[1] + BINARY[change[0] + len(change[1]) :]
    )
    | st.tuples(st.integers(0, len(XML) - 1), st.binary(min_size=1, max_size=4)).map(
        lambda change: XML[: change[0]] + change[1] + XML[change[0] + len(change[1]) :]
    )
)
def test_any_bytes_are_a_profile_or_refused(data: bytes) -> None:
    """Garbage, and real files with a few bytes changed, give a dictionary or a ProfileError, nothing else."""
    try:
        profile = parse(data)
    except MdmprofileError as error:
        assert isinstance(error, ProfileError)  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(profile.plist, dict)


@pytest.mark.parametrize(
    ("data", "like"),
    [
        pytest.param(XML, True, id="XML"),
        pytest.param(b"\xef\xbb\xbf" + XML, True, id="XML with a byte order mark"),
        pytest.param(b"\n  " + XML, True, id="white space first"),
        pytest.param(b'<plist version="1.0"><dict/></plist>', True, id="without XML declaration"),
        pytest.param(b"<!DOCTYPE plist PUBLIC><plist/>", True, id="document type first"),
        pytest.param(BINARY, True, id="binary"),
        pytest.param(b"<html><body>not found</body></html>", False, id="a web page"),
        pytest.param(b"-----BEGIN CERTIFICATE-----", False, id="PEM"),
        pytest.param(b"", False, id="nothing"),
    ],
)
def test_a_property_list_is_known_by_its_first_bytes(data: bytes, like: bool) -> None:
    """Names of files say nothing; their first bytes do."""
    assert looks_like_plist(data) is like


# ---------------------------------------------------------------- what a profile answers


def test_a_profile_answers_for_its_name_identifier_and_payloads() -> None:
    """The display name where there is one, and payloads with the path a report shows."""
    root, mdm = {"PayloadType": "com.apple.security.root"}, {"PayloadType": "com.apple.mdm"}
    profile = Profile(SMALLEST | {"PayloadDisplayName": "Example MDM", "PayloadContent": [root, mdm, root]})
    assert (profile.name, profile.identifier, profile.encrypted) == ("Example MDM", "com.example.mdm", False)
    assert profile.payloads == (root, mdm, root)
    assert profile.of_type("com.apple.security.root") == (("PayloadContent[0]", root), ("PayloadContent[2]", root))
    assert profile.of_type("com.apple.mdm", "com.apple.security.root")[1] == ("PayloadContent[1]", mdm)


@pytest.mark.parametrize("wrong", [7, [], {}, b"x", True, ""], ids=repr)
def test_a_profile_with_keys_of_the_wrong_type_still_answers(wrong: object) -> None:
    """Other people's files hold anything; the name falls back and payloads that are none are left out."""
    profile = Profile(SMALLEST | {"PayloadDisplayName": wrong, "PayloadContent": wrong})
    assert (profile.name, profile.payloads) == ("com.example.mdm", ())
    assert Profile({"PayloadIdentifier": wrong}).identifier == ""


def test_an_encrypted_profile_is_known_as_one() -> None:
    """Its payloads are in EncryptedPayloadContent, whether IsEncrypted says so or not."""
    assert Profile(SMALLEST | {"EncryptedPayloadContent": b"\x30"}).encrypted


def test_the_path_of_a_payload_counts_entries_that_are_none() -> None:
    """A report says PayloadContent[1] for the second entry of the file, even when the first one is junk."""
    mdm = {"PayloadType": "com.apple.mdm"}
    assert Profile({"PayloadContent": ["junk", mdm]}).of_type("com.apple.mdm") == (("PayloadContent[1]", mdm),)


def test_a_profile_does_not_print_its_secrets() -> None:
    """The repr in a traceback shows no payload."""
    assert "open-sesame" not in repr(Profile({"PayloadContent": [{"Challenge": "open-sesame"}]}))


# ---------------------------------------------------------------- UUIDs


def test_stable_uuids_never_change_between_releases() -> None:
    """Another value would make every installed payload a new one at the next replacement."""
    assert stable_uuid("com.example.mdm.enroll", "enrollment") == "7D60459C-24E0-5271-9C10-C341A26BECBE"


@examples
@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4))
def test_stable_uuids_are_version_5_in_capitals(words: list[str]) -> None:
    """RFC 9562 version 5, in the 8-4-4-4-12 form and the case that Apple's own tools write."""
    text = stable_uuid(*words)
    assert re.fullmatch(r"[0-9A-F]{8}-[0-9A-F]{4}-5[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}", text)
    assert uuid.UUID(text).version == 5
    assert stable_uuid(*words) == text


def test_stable_uuids_tell_profiles_and_payloads_apart() -> None:
    """Another profile, another role or another certificate is another payload."""
    inputs = [("a", "root", "00"), ("b", "root", "00"), ("a", "pinned", "00"), ("a", "root", "01"), ("a", "root")]
    assert len({stable_uuid(*each) for each in inputs}) == len(inputs)
