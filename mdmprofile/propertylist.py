"""Property lists, XML and binary, read within bounds and written so that a device can read them.

https://developer.apple.com/library/archive/documentation/Cocoa/Conceptual/PropertyLists/
"""

from __future__ import annotations

import binascii
import plistlib
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate

from mdmprofile.errors import PARSER_ERRORS, ProfileError
from mdmprofile.moments import as_utc

MAX_DEPTH = 100
MAX_VALUES = 200_000
MAX_ATTRIBUTES = 100
MAX_TAG = 64 * 1024
MAX_INTEGER_BITS = 128
MAX_TEXT = 32 * 1024 * 1024

_ERRORS = (plistlib.InvalidFileException, ExpatError, *PARSER_ERRORS)
_HINT = "give a .mobileconfig file"
_FILL_IN = "it looks like a template: fill it in, and give the result"
_DER = "give the signed profile in DER; openssl cms -cmsout -inform {} -outform DER converts it"
_OTHERS = (
    ((b"-----BEGIN",), _DER.format("PEM")),
    ((b"MIME-Version:",), _DER.format("SMIME")),
    ((b"MII",), "it looks like base64: decode it, and give the result"),
    (
        (b"0\x80", b"0\x82", b"0\x83"),
        "it looks like CMS: a profile is signed once, and encrypted in its EncryptedPayloadContent alone",
    ),
)
_SHOWN = 60
_BOM = b"\xef\xbb\xbf"
_BINARY = b"bplist00"
_BEGINNINGS = (_BINARY, b"<?", b"<plist", b"<!DOCTYPE plist", b"<!--")


def looks_like_plist(data: bytes) -> bool:
    """Whether the bytes begin as a property list does: binary, or XML in UTF-8 or UTF-16."""
    head = _ascii(data[:512]).removeprefix(_BOM).removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff").lstrip()
    return head.startswith(_BEGINNINGS)


class _UniqueKeys(dict[str, Any]):
    """A dictionary that takes no key twice."""

    def __setitem__(self, key: str, value: Any) -> None:  # noqa: ANN401
        if key in self:
            raise ValueError("a dictionary has a key twice")
        super().__setitem__(key, value)


_CONTAINERS = frozenset((dict, list, _UniqueKeys))


def read_plist(data: bytes, *, source: str = "", unique_keys: bool = False) -> Any:  # noqa: ANN401 - property-list values are of any type
    """The value in property-list bytes, XML or binary.

    Dates come naive in UTC, as ``plistlib`` gives them. With ``unique_keys`` a dictionary with a key twice is none:
    which of the two counts is something that parsers do not agree upon. Raises ``ProfileError`` for anything else, and
    for a list so large, deep or strange that going through it would take unbounded time.
    """
    kind: type[dict[str, Any]] = _UniqueKeys if unique_keys else dict
    try:
        # Named, because plistlib's own guess refuses a DOCTYPE or white space at the beginning.
        if data.startswith(_BINARY):
            value = plistlib.loads(data, fmt=plistlib.FMT_BINARY, dict_type=kind)
            binary = True
        else:
            _refuse_slow(data, source)
            _refuse_entities(data, source)
            binary = False
            value = plistlib.loads(data.removeprefix(_BOM).lstrip(), fmt=plistlib.FMT_XML, dict_type=kind)
    except _ERRORS as error:
        raise ProfileError(f"is not a property list: {_reason(error)}", where=source, hint=_advice(data)) from None
    _refuse_endless(value, source)
    if binary:
        _refuse_swollen(value, source)
    return value


def write_plist(value: Any) -> bytes:  # noqa: ANN401
    """The value as an XML property list: the same value gives the same bytes.

    Raises ``ProfileError``, naming the key, for text that XML cannot hold.
    """
    try:
        return plistlib.dumps(_writable(value, ""), fmt=plistlib.FMT_XML, sort_keys=False)
    except RecursionError:
        raise ProfileError("the profile cannot be written: it is nested too deeply", hint="simplify it") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise ProfileError(f"the profile cannot be written: {error}", hint="correct that value") from None


def _refuse_slow(data: bytes, source: str) -> None:
    """Refuse XML that the parser would need minutes for.

    Its time grows with the square of a tag's attributes, and of a single tag's, comment's or instruction's length.
    """
    text = _ascii(data)
    problem = ""
    if text.count(b"<") > 2 * MAX_VALUES:
        problem = f"it has more than {MAX_VALUES:,} values"
    elif text.count(b"<!DOCTYPE") > len(_plain_doctype().findall(text)):
        problem = "its DOCTYPE declares entities or is malformed"
    elif _may_be_crowded(text) and _crowded_tag().search(text):
        problem = f"it has a tag longer than {MAX_TAG:,} bytes or with more than {MAX_ATTRIBUTES} attributes"
    elif any(_has_long(text, *marks) for marks in ((b"<!--", b"-->"), (b"<?", b"?>"))):
        problem = f"it has a comment or instruction longer than {MAX_TAG:,} bytes, or one that never ends"
    if problem:
        raise ProfileError(f"is not a property list: {problem}", where=source, hint=_HINT)


def _refuse_entities(data: bytes, source: str) -> None:
    """Refuse a reference to an entity that XML does not know.

    Behind a DOCTYPE the parser leaves such a reference out, as if the file that the DOCTYPE names, which is never
    read, declared it. The value would be another one than what is in the file; a device refuses it.
    """
    text = _ascii(data)
    if b"&" not in text or _odd_reference().search(text) is None:
        return
    # It may be in a comment or CDATA, where it is no reference: the parser itself knows.
    found: list[str] = []
    parser = ParserCreate()
    parser.SkippedEntityHandler = lambda name, _: found.append(name)
    parser.Parse(data.removeprefix(_BOM).lstrip(), True)
    if found:
        problem = f"it refers to the entity {found[0][:40]!r}, which XML does not know"
        raise ProfileError(f"is not a property list: {problem}", where=source, hint="write & as &amp;")


@cache
def _odd_reference() -> re.Pattern[bytes]:
    """A reference that is none of the five of XML 1.0 section 4.6, nor the number of a character."""
    return re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);|#)")


def _may_be_crowded(text: bytes) -> bool:
    """Whether there are enough bytes or quotes for a tag that is too long or has too many attributes."""
    return len(text) > MAX_TAG or text.count(b'"') + text.count(b"'") > 2 * MAX_ATTRIBUTES


@cache
def _crowded_tag() -> re.Pattern[bytes]:
    """An XML tag that is too long or has too many attributes.

    No attribute's value can hold ``<``, so each search ends at the next, and the whole is linear.
    """
    name, between = rb"<[^<>\"'!?/\s]++", rb"[^<>\"']*+"
    attribute = rb"(?:\"[^\"<]*+\"|'[^'<]*+')"
    crowded = rb"%b%b(?:%b%b){%d}" % (name, between, attribute, between, MAX_ATTRIBUTES + 1)
    return re.compile(rb"%b|<(?!!\[CDATA\[)[^<>]{%d}" % (crowded, MAX_TAG))


@cache
def _plain_doctype() -> re.Pattern[bytes]:
    """A document type by its public or system identifier alone, as every property list has it (XML 1.0 section 2.8).

    Declarations of its own are how a small file becomes a large one, or reads another.
    """
    between = rb"[^<>\"'\[]{0,1000}+"
    literal = rb"(?:\"[^\"]{0,1000}+\"|'[^']{0,1000}+')"
    return re.compile(rb"<!DOCTYPE%b(?:%b%b){0,2}(?:\[\s{0,100}+\]\s{0,100}+)?>" % (between, literal, between))


def _has_long(text: bytes, opening: bytes, closing: bytes) -> bool:
    """Whether something between these marks is longer than a tag may be, or never closed."""
    start = text.find(opening)
    while start >= 0:
        end = text.find(closing, start + len(opening))
        if end < 0 or end - start > MAX_TAG:
            return True
        start = text.find(opening, end)
    return False


def _refuse_endless(value: Any, source: str) -> None:  # noqa: ANN401
    """Refuse what cannot be gone through in bounded time.

    A binary property list can name one object any number of times, also inside itself, at a byte or two each.
    """
    waiting = [(value, 1)]
    count = 0
    while waiting:
        each, depth = waiting.pop()
        if isinstance(each, dict):
            if not all(type(name) is str for name in each):
                raise ProfileError("is not a profile: a dictionary key is no text", where=source, hint=_HINT)
            below = list(each.values())
        elif isinstance(each, list):
            below = each
        else:
            continue
        count += len(below)
        if depth > MAX_DEPTH or count > MAX_VALUES:
            problem = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_VALUES:,} values"
            raise ProfileError(f"is not a profile: it has more than {problem}", where=source, hint=_HINT)
        for inner in below:
            kind = type(inner)
            if kind in _CONTAINERS:
                waiting.append((inner, depth + 1))
            elif kind is int and inner.bit_length() > MAX_INTEGER_BITS:
                message = f"is not a profile: an integer has {inner.bit_length()} bits, and property lists hold 64"
                raise ProfileError(message, where=source, hint=_HINT)


def _refuse_swollen(value: Any, source: str) -> None:  # noqa: ANN401
    """Refuse a binary property list that names long texts or data so often that writing it out fills the memory."""
    waiting = [value]
    size = 0
    while waiting:
        each = waiting.pop()
        if isinstance(each, str | bytes):
            size += len(each)
            if size > MAX_TEXT:
                message = f"is not a profile: it has more than {MAX_TEXT // 1024:,} KiB of text and data"
                raise ProfileError(message, where=source, hint=_HINT)
        elif isinstance(each, dict):
            waiting += each
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def _reason(error: BaseException) -> str:
    """The parser's own words, except where they speak of its insides."""
    text = (str(error).splitlines() or ["malformed"])[0]
    if "groupdict" in text:
        return "a date is not of the form 2027-06-01T12:00:00Z"
    if "integer string" in text:
        return "an integer has thousands of digits"
    if "invalid literal" in text:
        return f"an integer is {text.partition(': ')[2][:_SHOWN]}"
    if "could not convert string to float" in text:
        return f"a real is {text.partition(': ')[2][:_SHOWN]}"
    if isinstance(error, binascii.Error):
        return "data is not in base64"
    return text[:120] or "malformed"


def _advice(data: bytes) -> str:
    """What to do with a file that is no property list, by what it looks like."""
    text = _ascii(data).lstrip()
    for beginnings, advice in _OTHERS:
        if text.startswith(beginnings):
            return advice
    return _FILL_IN if _template().search(text) else _HINT


@cache
def _template() -> re.Pattern[bytes]:
    """The marks of Jinja, Go and Handlebars, of ERB, and of a shell or JavaScript."""
    return re.compile(rb"\{\{|\{%|<%|\$\{")


def _ascii(data: bytes) -> bytes:
    """The bytes, or those of UTF-16 text that matter to XML's grammar."""
    return data.replace(b"\0", b"") if b"\0" in data[:4] else data


@cache
def not_xml() -> re.Pattern[str]:
    """Everything XML 1.0 section 2.2 does not allow; a device refuses the whole profile for one of them.

    And the carriage return, which every XML parser turns into a line feed (section 2.11): a password would change.
    """
    return re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _writable(value: Any, path: str) -> Any:  # noqa: ANN401
    """The value as plistlib writes it: naive UTC dates, and no character that XML forbids."""
    if isinstance(value, str):
        if not value.isprintable() and (wrong := not_xml().search(value)) is not None:
            raise ProfileError(
                f"holds the character U+{ord(wrong[0]):04X} at position {wrong.start()}, which a property list "
                "cannot hold",
                where=path,
                hint="remove it",
            )
        return value
    if isinstance(value, datetime):
        return as_utc(value).replace(tzinfo=None, microsecond=0)
    if isinstance(value, Mapping):
        return {
            _writable(name, path): _writable(each, f"{path}.{name}" if path else name) for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_writable(each, f"{path}[{index}]") for index, each in enumerate(value)]
    return value
