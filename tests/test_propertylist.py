"""Property lists as they are in the wild, and as nobody should be able to send them."""

from __future__ import annotations

import plistlib
import struct
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from mdmprofile.errors import ProfileError
from mdmprofile.inputs import MAX_PROFILE
from mdmprofile.propertylist import MAX_DEPTH, looks_like_plist, read_plist, write_plist

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
DOCTYPE = b'<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
# Generous: what is not bounded takes minutes here, and what is takes a fraction of a second.
SECONDS = 10


def xml(inner: bytes = b"", key: bytes = b"<key>value</key>") -> bytes:
    """A property list of one key."""
    return b'<plist version="1.0"><dict>' + (key + inner if inner else b"") + b"</dict></plist>"


def binary(*objects: bytes) -> bytes:
    """A binary property list of these objects, the first on top, with references of four bytes."""
    out, offsets = b"bplist00", []
    for each in objects:
        offsets.append(len(out))
        out += each
    table = len(out)
    out += b"".join(struct.pack(">I", each) for each in offsets)
    return out + struct.pack(">6xBBQQQ", 4, 4, len(objects), 0, table)


def references(*numbers: int) -> bytes:
    """Object references of four bytes."""
    return b"".join(struct.pack(">I", each) for each in numbers)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(xml(b"<true/>"), id="bare"),
        pytest.param(DECLARATION + DOCTYPE + xml(b"<true/>"), id="Apple's DOCTYPE"),
        pytest.param(
            b'<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN" '
            b'"http://www.apple.com/DTDs/PropertyList-1.0.dtd">' + xml(b"<true/>"),
            id="Apple Computer's DOCTYPE",
        ),
        pytest.param(
            b'<!DOCTYPE plist SYSTEM "file://localhost/System/Library/DTDs/PropertyList.dtd">' + xml(b"<true/>"),
            id="SYSTEM DOCTYPE",
        ),
        pytest.param(b"<!DOCTYPE plist>" + xml(b"<true/>"), id="DOCTYPE alone"),
        pytest.param(b"<!DOCTYPE plist [ ]>" + xml(b"<true/>"), id="DOCTYPE with nothing declared"),
        pytest.param(b"\xef\xbb\xbf" + DECLARATION + xml(b"<true/>"), id="byte order mark"),
        pytest.param(b"\xef\xbb\xbf\r\n " + DECLARATION + xml(b"<true/>"), id="mark and white space"),
        pytest.param(b"\n\t " + DECLARATION + xml(b"<true/>"), id="white space first"),
        pytest.param(
            (DECLARATION + DOCTYPE + xml(b"<true/>")).decode().replace("UTF-8", "UTF-16").encode("utf-16"), id="UTF-16"
        ),
        pytest.param(b"<!-- made by hand -->\n" + xml(b"<true/><!-- > <a> -->"), id="comments"),
        pytest.param(b"<?tool version='3'?>" + xml(b"<true/>"), id="processing instruction"),
        pytest.param(plistlib.dumps({"value": True}, fmt=plistlib.FMT_BINARY), id="binary"),
    ],
)
def test_property_lists_of_the_wild_are_read(data: bytes) -> None:
    """Other tools write what Apple's documentation does not show."""
    assert looks_like_plist(data)
    assert read_plist(data) == {"value": True}


@pytest.mark.parametrize(
    ("inner", "value"),
    [
        (b"<date>2031-03-01T12:00:00Z</date>", datetime(2031, 3, 1, 12)),  # noqa: DTZ001 - as plistlib gives it
        (b"<integer>18446744073709551615</integer>", 2**64 - 1),
        (b"<integer>-9223372036854775808</integer>", -(2**63)),
        (b"<integer>0x1F</integer>", 31),
        (b"<real>1.5</real>", 1.5),
        (b"<data>\n\tQUJD\n\t</data>", b"ABC"),
        (b"<string>a &lt; b &amp; c</string>", "a < b & c"),
        (b"<string><![CDATA[a < b]]></string>", "a < b"),
        (b"<string></string>", ""),
        (b"<array><dict/></array>", [{}]),
    ],
)
def test_every_kind_of_value_is_read(inner: bytes, value: object) -> None:
    """Dates, numbers of 64 bits, data with white space in it, CDATA."""
    assert read_plist(DECLARATION + DOCTYPE + xml(inner)) == {"value": value}


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (b"<date>yesterday</date>", "date is not of the form"),
        (b"<date>2031-03-01</date>", "date is not of the form"),
        (b"<date>0000-01-01T00:00:00Z</date>", "year 0"),
        (b"<integer>" + b"9" * 60 + b"</integer>", "integer has 200 bits"),
        (b"<integer>" + b"9" * 5000 + b"</integer>", "thousands of digits"),
        (b"<integer>0x" + b"9" * 500_000 + b"</integer>", "integer has"),
        (b"<integer>one</integer>", "an integer is 'one'"),
        (b"<integer></integer>", "not a property list"),
        (b"<real>{{ x }}</real>", "a real is '{{ x }}'"),
        (b"<data>{{ x }}</data>", "data is not in base64"),
        (b"<wrong/>", "unknown tag|not a property list"),
        (b"<string>", "mismatched tag"),
        (b"<string>&x;</string>", "undefined entity"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_says_why(inner: bytes, reason: str) -> None:
    """Not with the words of a parser's insides, and never with a traceback."""
    with pytest.raises(ProfileError, match=reason) as caught:
        read_plist(DECLARATION + xml(inner), source="odd.mobileconfig")
    assert caught.value.where == "odd.mobileconfig"
    assert caught.value.hint
    assert len(str(caught.value).splitlines()) == 1
    assert "NoneType" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (DECLARATION + xml(b"<integer>{{ port }}</integer>"), "template"),
        (DECLARATION + xml(b"{% if x %}<true/>{% endif %}</data>"), "template"),
        (b"#jinja2: lstrip_blocks\n" + DECLARATION + xml(b"<string>{{ x }}</string>"), "template"),
        (b"-----BEGIN CMS-----\nMIIB\n", "-inform PEM"),
        (b"MIME-Version: 1.0\n\nMIIB\n", "-inform SMIME"),
        (b"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n", "base64"),
        (b"0\x80\x06\x09\x2a", "signed once"),
        (b"<html><br></html>", "give a .mobileconfig file"),
    ],
)
def test_what_is_no_property_list_gets_the_advice_that_fits(data: bytes, hint: str) -> None:
    """Templates, and signed files in another encoding, are what people hand us by mistake."""
    with pytest.raises(ProfileError) as caught:
        read_plist(data, source="odd.mobileconfig")
    assert hint in caught.value.hint


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
@pytest.mark.parametrize("reference", ["&x;", "https://mdm.example.com/?a=1&section;"])
def test_an_unknown_entity_behind_a_doctype_is_refused(reference: str, encoding: str) -> None:
    """The parser would leave it out, so that a URL or password were another one than the file says."""
    text = f'<?xml version="1.0" encoding="{encoding}"?>{DOCTYPE.decode()}<plist><string>{reference}</string></plist>'
    with pytest.raises(ProfileError, match=r"entity '(x|section)', which XML does not know"):
        read_plist(text.encode(encoding))


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("a&amp;b&lt;&gt;&quot;&apos;&#65;&#x42;", "a&b<>\"'AB"),
        ("<![CDATA[?a=1&b;]]>", "?a=1&b;"),
        ("c<!-- &b; -->d", "cd"),
    ],
)
def test_an_ampersand_that_is_no_unknown_entity_is_read(inner: str, expected: str) -> None:
    """The five entities of XML and the numbers of characters are in many files; in CDATA and comments all is text."""
    text = f"{DOCTYPE.decode()}<plist><string>{inner}</string></plist>"
    assert read_plist(text.encode()) == expected


BIG = MAX_PROFILE - 2000
HOSTILE: dict[str, Callable[[], bytes]] = {
    "billion laughs": lambda: (
        b'<!DOCTYPE plist [<!ENTITY a "aaaa">'
        + b"".join(b'<!ENTITY a%d "%s">' % (number, b"&a%d;" % (number - 1) * 10) for number in range(1, 9))
        + b"]>"
        + xml(b"<string>&a8;</string>")
    ),
    "external entity": lambda: (
        b'<!DOCTYPE plist [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + xml(b"<string>&x;</string>")
    ),
    "parameter entity": lambda: b'<!DOCTYPE plist [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]>' + xml(b"<true/>"),
    "attributes declared": lambda: (
        b"<!DOCTYPE plist [<!ATTLIST dict "
        + b"".join(b'a%d CDATA "x" ' % number for number in range(50_000))
        + b">]>"
        + xml(b"<dict/>" * 50_000)
    ),
    "arrays 100,000 deep": lambda: xml(b"<array>" * 100_000 + b"</array>" * 100_000),
    "dictionaries 100,000 deep": lambda: xml(b"<dict><key>a</key>" * 100_000 + b"<true/>" + b"</dict>" * 100_000),
    "millions of values": lambda: xml(b"<array>" + b"<true/>" * (BIG // 7) + b"</array>"),
    "tags that never close": lambda: b"<plist><dict><key>a</key>" + b"<array>" * (BIG // 7),
    "half a million attributes": lambda: (
        b"<plist " + b"".join(b"a%d='>' " % number for number in range(500_000)) + b">"
    ),
    "attributes in UTF-16": lambda: (
        "<?xml version='1.0'?><plist " + "".join(f"a{number}='>' " for number in range(300_000)) + ">"
    ).encode("utf-16"),
    "a tag of megabytes": lambda: b"<" + b"a" * BIG,
    "an attribute of megabytes": lambda: b"<plist version='" + b"x" * BIG + b"'>",
    "a comment of megabytes": lambda: b"<!--" + b"> " * (BIG // 2) + b"-->" + xml(b"<true/>"),
    "an instruction of megabytes": lambda: b"<?x " + b"> " * (BIG // 2) + b"?>" + xml(b"<true/>"),
    "a DOCTYPE of megabytes": lambda: b"<!DOCTYPE plist PUBLIC '" + b"x>" * (BIG // 2),
    "quotes only": lambda: b"<plist " + b"'" * BIG,
    "a binary list inside itself": lambda: binary(
        b"\xd1" + references(1, 2), b"\x5bPayloadType", b"\xa1" + references(2)
    ),
    "a binary list of 2^60 values": lambda: binary(
        b"\xd1" + references(1, 2),
        b"\x5bPayloadType",
        *(b"\xa2" + references(number, number) for number in range(3, 63)),
        b"\x09",
    ),
    "a binary list that names one value millions of times": lambda: binary(
        b"\xd1" + references(1, 2),
        b"\x5bPayloadType",
        b"\xaf\x12" + struct.pack(">I", 3_000_000) + references(3) * 3_000_000,
        b"\x09",
    ),
    "a key that is a number": lambda: binary(b"\xd1" + references(1, 1), b"\x10\x05"),
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_list_is_refused_before_it_costs_anything(make: Callable[[], bytes]) -> None:
    """Each of these takes the parser alone minutes, gigabytes or the whole stack."""
    data = make()
    start = time.process_time()
    with pytest.raises(ProfileError) as caught:
        read_plist(data, source="hostile")
    assert time.process_time() - start < SECONDS
    assert caught.value.hint
    assert len(str(caught.value)) < 300


def test_a_long_text_is_no_attack() -> None:
    """Scripts, fonts and pages are embedded in profiles."""
    page = '<a b="c" d="e">' * 5000
    assert read_plist(plistlib.dumps({"value": page, "font": bytes(1_000_000)})) == {
        "value": page,
        "font": bytes(1_000_000),
    }


def test_nesting_up_to_the_limit_is_read() -> None:
    """The limit is what it says."""
    value: Any = True
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert read_plist(plistlib.dumps({"value": value})) == {"value": value}
    with pytest.raises(ProfileError, match=f"more than {MAX_DEPTH} levels"):
        read_plist(plistlib.dumps({"value": [value]}))


def test_what_is_written_is_read_again() -> None:
    """Both directions agree, on an array as well as on a dictionary."""
    value = [{"text": "ü", "number": 2**63, "data": b"\0", "none": []}]
    assert read_plist(write_plist(value)) == value


@pytest.mark.parametrize("data", [b"", b"\0", b"PK\x03\x04", b"{}", b"-----BEGIN", b"<html>"])
def test_other_files_do_not_look_like_property_lists(data: bytes) -> None:
    """So that each file goes to the reader that knows it."""
    assert not looks_like_plist(data)
