"""Which device a message is from, as the message says: check-in messages, and what a device answers to commands.

https://developer.apple.com/documentation/devicemanagement/check-in
https://developer.apple.com/documentation/devicemanagement/commands-and-queries

The MDM server behind reads the same body with a parser of its own. A body in which that one could find another device
is refused: one with a key twice, say, of which one parser takes the first and another the last.
"""

from __future__ import annotations

import plistlib
import re
from functools import lru_cache
from typing import Any, NamedTuple
from xml.parsers.expat import ExpatError, ParserCreate

from mdmprofile.errors import NotDeviceMessageError, ProfileError
from mdmprofile.propertylist import MAX_DEPTH, looks_like_plist, read_plist, refuse_slow

AUTHENTICATE = "Authenticate"
LONGEST = 255
_PLACE = "the message's body"
_SMALL, _REMEMBERED = 2048, 4096
_BINARY = b"bplist00"
_CONTAINERS = frozenset({"dict", "array"})
_TEXTS = frozenset({"key", "string"})
_ELEMENTS = _CONTAINERS | _TEXTS | {"integer", "real", "true", "false", "date", "data"}
# How many elements are open around a key of the one dictionary: plist and dict.
_TOP = 2
# Apple's are hexadecimal digits and hyphens; letters that only look alike, or fold alike, would be two devices in one.
_IDENTIFIER = re.compile(rf"[!-~]{{1,{LONGEST}}}")


class DeviceMessage(NamedTuple):
    """What a message says of its device.

    ``udid`` is the device's, ``enrollment_id`` stands in its place in a user enrollment; at least one of them is there.
    ``message_type`` is the MessageType of a check-in message, and empty for the answer to a command, which has a
    ``status``. ``serial`` is the SerialNumber, which few messages have.
    """

    udid: str
    enrollment_id: str
    message_type: str
    status: str
    serial: str

    @property
    def identifier(self) -> str:
        """What the device is known by: its UDID, else its EnrollmentID."""
        return self.udid or self.enrollment_id

    @property
    def authenticates(self) -> bool:
        """Whether it is ``Authenticate``, with which an enrollment begins."""
        return self.message_type == AUTHENTICATE


def read_message(body: bytes) -> DeviceMessage:
    """Read what a message says of its device, from XML (UTF-8) or binary property-list bytes.

    A device that asks for commands sends the same bytes each time, so small bodies are remembered. The time it takes
    grows with the size of the body, which the caller has bounded. Raises ``NotDeviceMessageError`` for anything else
    than a message of a device, and for one that two parsers could read differently.
    """
    return _remembered(body) if len(body) <= _SMALL else _read(body)


def _read(body: bytes) -> DeviceMessage:
    if not body:
        raise _no_message("is empty")
    if not looks_like_plist(body):
        raise _no_message("is not a property list")
    try:
        value = _read_binary(body) if body.startswith(_BINARY) else _read_xml(body)
    except ProfileError as error:
        raise _no_message(error.message) from None
    # On the user channel there is a UserID beside it; the certificate is the device's there too.
    udid, enrollment_id = _identifier(value, "UDID"), _identifier(value, "EnrollmentID")
    if not udid and not enrollment_id:
        raise _no_message("names no device: it has neither UDID nor EnrollmentID")
    message_type, status = _text(value, "MessageType"), _text(value, "Status")
    if not message_type and not status:
        raise _no_message("is neither a check-in message nor an answer: it has neither MessageType nor Status")
    return DeviceMessage(udid, enrollment_id, message_type, status, _text(value, "SerialNumber"))


_remembered = lru_cache(maxsize=_REMEMBERED)(_read)


def is_identifier(text: str) -> bool:
    """Whether a device can be called so: up to 255 visible characters of ASCII."""
    return _IDENTIFIER.fullmatch(text) is not None


def _identifier(value: dict[str, Any], key: str) -> str:
    found = _text(value, key)
    if found and not is_identifier(found):
        raise _no_message(f"has {key} with characters that are not ASCII, or with spaces")
    return found


def _text(value: dict[str, Any], key: str) -> str:
    """The text under a key, empty where there is none."""
    found = value.get(key, "")
    if not isinstance(found, str):
        raise _no_message(f"has {key}, which is no text")
    # Whatever stores or logs it is not to be surprised.
    if len(found) > LONGEST or not found.isprintable() or found != found.strip():
        raise _no_message(f"has {key} with more than {LONGEST} characters, or with some that cannot be printed")
    return found


def _no_message(problem: str) -> NotDeviceMessageError:
    return NotDeviceMessageError(problem, where=_PLACE, hint="refuse the message")


class _Once(dict[str, Any]):
    """A dictionary in which no key is set twice."""

    def __setitem__(self, key: str, value: object) -> None:
        if key in self:
            raise ProfileError(f"has the key {str(key)[:40]!r} twice")
        super().__setitem__(key, value)


def _read_binary(body: bytes) -> dict[str, Any]:
    # Within bounds first; devices send XML, so reading it twice costs nobody anything.
    value = read_plist(body, source=_PLACE)
    if not isinstance(value, dict):
        raise ProfileError("is no dictionary")
    once: _Once = plistlib.loads(body, fmt=plistlib.FMT_BINARY, dict_type=_Once)
    return once


def _read_xml(body: bytes) -> dict[str, Any]:
    refuse_slow(body, _PLACE)
    # Comments, CDATA and instructions cut a text in pieces, of which some parsers take the last.
    doctypes, declarations = body.count(b"<!DOCTYPE"), body.startswith(b"<?xml")
    if body.count(b"<!") != doctypes or doctypes > 1 or body.count(b"<?") != declarations:
        raise ProfileError("has comments, CDATA or instructions, which no device sends")
    # Expat reads UTF-16 whatever it is told.
    if b"\0" in body:
        raise _not_utf8()
    try:
        return _Reader().read(body)
    except ExpatError as error:
        raise ProfileError(f"is not a property list: {error}") from None


class _Reader:
    """Reads the keys of the one dictionary in an XML property list, and those of its values that are texts.

    It follows http://www.apple.com/DTDs/PropertyList-1.0.dtd to the letter, where ``plistlib`` passes over much.
    """

    def __init__(self) -> None:
        self._value = _Once()
        self._open: list[str] = []
        self._key: str | None = None
        self._pieces: list[str] = []
        self._whole = False
        # Named, so that no declaration of another encoding changes what the bytes mean.
        self._parser = parser = ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.XmlDeclHandler = self._declared
        parser.SkippedEntityHandler = self._skipped

    def read(self, body: bytes) -> dict[str, Any]:
        """The keys, and their values where they are texts, else None. Raises ``ProfileError`` or ``ExpatError``."""
        parser = self._parser
        try:
            parser.Parse(body, True)
        finally:
            # The handlers hold the parser, which holds them: it would stay until somebody looks for circles.
            parser.StartElementHandler = parser.EndElementHandler = parser.CharacterDataHandler = None
            parser.XmlDeclHandler = parser.SkippedEntityHandler = None
        if not self._whole:
            raise ProfileError("is no dictionary")
        return self._value

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        depth = len(self._open)
        if depth < _TOP:
            fits = name == ("dict" if depth else "plist") and not self._whole
        else:
            fits = name in _ELEMENTS and self._open[-1] in _CONTAINERS and depth <= MAX_DEPTH
        if depth == _TOP:
            # Keys and values take turns.
            fits = fits and (name == "key") is (self._key is None)
            if name in _TEXTS:
                self._pieces = []
                self._parser.CharacterDataHandler = self._pieces.append
        if not fits or (depth and attributes):
            raise ProfileError(f"has {name[:20]!r} where no property list has it")
        self._open.append(name)

    def _end(self, name: str) -> None:
        self._open.pop()
        depth = len(self._open)
        if depth == _TOP:
            self._parser.CharacterDataHandler = None
            text = "".join(self._pieces)
            if name == "key":
                self._key = text
            else:
                self._value[self._key or ""] = text if name == "string" else None
                self._key = None
        elif depth == 1:
            if self._key is not None:
                raise ProfileError("has a key without a value")
            self._whole = True

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            raise _not_utf8()

    def _skipped(self, name: str, _parameter: bool) -> None:
        raise ProfileError(f"refers to the entity {name[:40]!r}, which XML does not know")


def _not_utf8() -> ProfileError:
    return ProfileError("is not in UTF-8")
