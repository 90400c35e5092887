"""A detached signature as a device sends it, read in one pass: BER or DER, with nothing in it that could vary unseen.

Nothing is verified here. ``structure`` reads what people and tools sign, in all its forms, in milliseconds; a server
reads one of these with each message of each device. So this reader takes what RFC 5652 section 5 allows in the places
where devices and signing libraries use it, and refuses what is not covered by the signature and needed by nobody:
unsigned attributes, revocation lists, a second digest algorithm. What it costs grows with the bytes alone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from mdmprofile.cms.tlv import der

MAX_CERTIFICATES = 16
# Bytes. A device's has one or two thousand; one that is all names takes a hundred times as long to read.
MAX_CERTIFICATE = 8 * 1024
MAX_ATTRIBUTES = 32
MAX_SIGNERS = 16

_INTEGER, _OCTETS, _OID, _UTC_TIME, _TIME = 0x02, 0x04, 0x06, 0x17, 0x18
_SEQUENCE, _SET, _FIRST, _SECOND, _KEY_IDENTIFIER = 0x30, 0x31, 0xA0, 0xA1, 0x80
_INDEFINITE, _LONG, _LONGEST_LENGTH = 0x80, 0x80, 4
SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
DATA = bytes.fromhex("2a864886f70d010701")
CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME = (bytes.fromhex(f"2a864886f70d0109{n:02x}") for n in (3, 4, 5))
# The century of a UTCTime (RFC 5280 section 4.1.2.5.1).
_TURN = 50
# Of a certificate: serial number, signature, issuer, validity, subject, subjectPublicKeyInfo.
_PARTS = 6
_MOMENT = re.compile(rb"([0-9]{2})?" + rb"([0-9]{2})" * 6 + rb"Z")


_OUT_OF_PLACE = "its parts are not those of a signature, or not in their order"
_CUT = "it is cut short, or a length is wrong"
_UNEXPECTED = "there is something in it that does not belong there"


class MalformedError(ValueError):
    """What is wrong with the bytes, in words for people."""


class Attributes(NamedTuple):
    """Signed attributes: ``signed`` is what the signature covers, ``oids`` the contents of their OIDs in order."""

    signed: bytes
    oids: tuple[bytes, ...]
    content_type: bytes
    message_digest: bytes
    signing_time: datetime | None


class DetachedSigner(NamedTuple):
    """One SignerInfo: named by ``issuer_and_serial``, in DER, or by ``key_identifier``; the other is empty.

    ``digest`` and ``algorithm`` are the contents of their AlgorithmIdentifiers: an OID, and parameters where there are
    any.
    """

    issuer_and_serial: bytes
    key_identifier: bytes
    digest: bytes
    attributes: Attributes | None
    algorithm: bytes
    signature: bytes


class Detached(NamedTuple):
    """The signers, and the embedded certificates in DER."""

    signers: tuple[DetachedSigner, ...]
    certificates: tuple[bytes, ...]


class _Walk:
    """A position in the bytes. Every step checks that it stays inside the element around it.

    ``enter`` and ``contents`` read a header each for themselves: a function for both would make reading half as slow
    again.
    """

    __slots__ = ("at", "data", "limit")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.limit = len(data)

    def next_is(self, tag: int) -> bool:
        """Whether the next element has this tag."""
        return self.at < self.limit and self.data[self.at] == tag

    def enter(self, tag: int) -> int:
        """Go into the element; what ``leave`` and ``inside`` want to know of it."""
        data, at, outer = self.data, self.at, self.limit
        if data[at] != tag:
            raise MalformedError(_OUT_OF_PLACE)
        first = data[at + 1]
        if first < _LONG:
            start = at + 2
            stop = start + first
        elif first == _INDEFINITE:
            # Its end shows only when it is reached; the element around it bounds it until then.
            self.at = at + 2
            return -1
        else:
            start, stop = self._long(first)
        if stop > outer:
            raise MalformedError(_CUT)
        self.at = start
        self.limit = stop
        return outer

    def inside(self, entered: int) -> bool:
        """Whether there is more in the element."""
        if entered < 0:
            return self.data[self.at : self.at + 2] != b"\0\0"
        return self.at < self.limit

    def leave(self, entered: int) -> None:
        """Go on behind the element, which must end here."""
        if entered < 0:
            if self.data[self.at : self.at + 2] != b"\0\0" or self.at + 2 > self.limit:
                raise MalformedError(_UNEXPECTED)
            self.at += 2
            return
        if self.at != self.limit:
            raise MalformedError(_UNEXPECTED)
        self.limit = entered

    def contents(self, tag: int) -> bytes:
        """The contents of the element, which has a definite length; go on behind it."""
        data, at = self.data, self.at
        if data[at] != tag:
            raise MalformedError(_OUT_OF_PLACE)
        first = data[at + 1]
        if first < _LONG:
            start = at + 2
            stop = start + first
        else:
            start, stop = self._long(first)
        if stop > self.limit:
            raise MalformedError(_CUT)
        self.at = stop
        return data[start:stop]

    def whole(self, tag: int) -> bytes:
        """The element as it stands, which has a definite length; go on behind it."""
        begin = self.at
        self.contents(tag)
        return self.data[begin : self.at]

    def flat(self, tag: int) -> bytes:
        """``contents``, also where the length is left open: those of elements with definite lengths."""
        if self.data[self.at + 1] != _INDEFINITE:
            return self.contents(tag)
        entered = self.enter(tag)
        begin = self.at
        while self.inside(entered):
            self.contents(self.data[self.at])
        body = self.data[begin : self.at]
        self.leave(entered)
        return body

    def _long(self, first: int) -> tuple[int, int]:
        """Where the contents of an element start and stop, whose length has digits of its own."""
        if first == _INDEFINITE:
            raise MalformedError("a length is left open where it has to be stated")
        size = first & ~_LONG
        if size > _LONGEST_LENGTH:
            raise MalformedError("a length has too many digits")
        start = self.at + 2 + size
        return start, start + int.from_bytes(self.data[start - size : start], "big")


def read_detached(data: bytes) -> Detached:
    """Read detached SignedData in its ContentInfo. Raises ``MalformedError`` for anything else."""
    walk = _Walk(data)
    try:
        read = _content_info(walk)
    except IndexError:
        raise MalformedError("it is cut short") from None
    if walk.at != len(data):
        raise MalformedError("something follows it")
    return read


class CertificateParts(NamedTuple):
    """Parts of a certificate in DER: what names it, its issuer and serial number; and its subjectPublicKeyInfo."""

    issuer_and_serial: bytes
    public_key_info: bytes


def parts_of(certificate: bytes) -> CertificateParts:
    """Cut a certificate (RFC 5280 section 4.1), which is only known to be an element and may be anything inside.

    Raises ``MalformedError`` where it is too short to have these parts.
    """
    at = 0
    try:
        # Into the certificate, and into what is signed of it.
        for _ in range(2):
            first = certificate[at + 1]
            at += 2 + (first & ~_LONG if first & _LONG else 0)
        marks = []
        for _ in range(_PARTS + (certificate[at] == _FIRST)):
            marks.append(at)
            first = certificate[at + 1]
            if first & _LONG:
                start = at + 2 + (first & ~_LONG)
                at = start + int.from_bytes(certificate[at + 2 : start], "big")
            else:
                at += 2 + first
    except IndexError:
        raise MalformedError("a certificate in it is cut short") from None
    serial, algorithm, issuer, validity, _, key = marks[-_PARTS:]
    return CertificateParts(certificate[issuer:validity] + certificate[serial:algorithm], certificate[key:at])


def _content_info(walk: _Walk) -> Detached:
    entered, version, digest = _start(walk)
    certificates = tuple(_certificates(walk)) if walk.next_is(_FIRST) else ()
    if walk.next_is(_SECOND):
        raise MalformedError("it carries revocation lists, which no signature covers")
    signers = walk.enter(_SET)
    read: list[DetachedSigner] = []
    by_key = False
    while walk.inside(signers):
        if len(read) == MAX_SIGNERS:
            raise MalformedError(f"it has more than {MAX_SIGNERS} signers")
        read.append(_signer(walk))
        by_key = by_key or not read[-1].issuer_and_serial
    for each in (signers, *entered):
        walk.leave(each)
    # RFC 5652 section 5.1: the version follows from what is in it, and the digests are those of the signers.
    if version != (b"\3" if by_key else b"\1"):
        raise MalformedError("its version is not that of its parts")
    if any(each.digest != digest for each in read):
        raise MalformedError("its digest algorithm is not that of its signer")
    return Detached(tuple(read), certificates)


def _start(walk: _Walk) -> tuple[tuple[int, int, int], bytes, bytes]:
    """Up to what is embedded: the elements that were entered, the innermost first, the version and the digest."""
    info = walk.enter(_SEQUENCE)
    if walk.contents(_OID) != SIGNED_DATA:
        raise MalformedError("it is another kind of CMS than signed data")
    explicit, signed = walk.enter(_FIRST), walk.enter(_SEQUENCE)
    version = walk.contents(_INTEGER)
    digests = walk.enter(_SET)
    digest = walk.flat(_SEQUENCE) if walk.inside(digests) else b""
    walk.leave(digests)
    encapsulated = walk.enter(_SEQUENCE)
    if walk.contents(_OID) != DATA:
        raise MalformedError("it signs something else than data")
    if walk.inside(encapsulated):
        raise MalformedError("it holds a content of its own, where a device signs the body")
    walk.leave(encapsulated)
    return (signed, explicit, info), version, digest


def _certificates(walk: _Walk) -> list[bytes]:
    entered = walk.enter(_FIRST)
    found: list[bytes] = []
    while walk.inside(entered):
        if len(found) == MAX_CERTIFICATES:
            raise MalformedError(f"it carries more than {MAX_CERTIFICATES} certificates")
        found.append(walk.whole(_SEQUENCE))
        if len(found[-1]) > MAX_CERTIFICATE:
            raise MalformedError(f"it carries a certificate of more than {MAX_CERTIFICATE:,} bytes")
    walk.leave(entered)
    return found


def _signer(walk: _Walk) -> DetachedSigner:
    entered = walk.enter(_SEQUENCE)
    version = walk.contents(_INTEGER)
    named = key_identifier = b""
    if walk.next_is(_KEY_IDENTIFIER):
        key_identifier = walk.contents(_KEY_IDENTIFIER)
    else:
        named = walk.flat(_SEQUENCE)
    # RFC 5652 section 5.3.
    if version != (b"\1" if named else b"\3"):
        raise MalformedError("the signer's version is not that of its name")
    digest = walk.flat(_SEQUENCE)
    attributes = _attributes(walk) if walk.next_is(_FIRST) else None
    algorithm = walk.flat(_SEQUENCE)
    signature = walk.contents(_OCTETS)
    if walk.next_is(_SECOND):
        raise MalformedError("it has attributes that no signature covers")
    walk.leave(entered)
    return DetachedSigner(named, key_identifier, digest, attributes, algorithm, signature)


def _attributes(walk: _Walk) -> Attributes:
    entered = walk.enter(_FIRST)
    begin = walk.at
    values: dict[bytes, bytes] = {}
    while walk.inside(entered):
        if len(values) == MAX_ATTRIBUTES:
            raise MalformedError(f"it has more than {MAX_ATTRIBUTES} signed attributes")
        attribute = walk.enter(_SEQUENCE)
        oid = walk.contents(_OID)
        # Which of two counts would be the sender's choice.
        if oid in values:
            raise MalformedError("a signed attribute is given twice")
        values[oid] = walk.contents(_SET)
        walk.leave(attribute)
    # The signature covers them with the tag of a SET, not with the one that they are stored under, and in DER: RFC 5652
    # section 5.4.
    signed = der(_SET, walk.data[begin : walk.at])
    walk.leave(entered)
    return Attributes(
        signed=signed,
        oids=tuple(values),
        content_type=_single(values, CONTENT_TYPE, _OID, "content type"),
        message_digest=_single(values, MESSAGE_DIGEST, _OCTETS, "digest of the content"),
        signing_time=_moment(values[SIGNING_TIME]) if SIGNING_TIME in values else None,
    )


def _single(values: dict[bytes, bytes], oid: bytes, tag: int, name: str) -> bytes:
    """The contents of the one value of an attribute that must be there."""
    if oid not in values:
        raise MalformedError(f"its signed attributes lack the {name}")
    walk = _Walk(values[oid])
    value = walk.contents(tag)
    if walk.at != walk.limit:
        raise MalformedError(f"its signed attributes have the {name} twice")
    return value


def _moment(values: bytes) -> datetime:
    """A signingTime (RFC 5652 section 11.3), aware UTC."""
    walk = _Walk(values)
    short = walk.next_is(_UTC_TIME)
    text = walk.contents(_UTC_TIME if short else _TIME)
    match = _MOMENT.fullmatch(text) if walk.at == walk.limit else None
    if match is None or short is bool(match[1]):
        raise MalformedError("its signing time is no time")
    century, year, month, day, hour, minute, second = (int(each or b"0") for each in match.groups())
    if short:
        century = 19 if year >= _TURN else 20
    try:
        return datetime(century * 100 + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise MalformedError("its signing time is no time") from None
