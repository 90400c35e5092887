"""CMS SignedData as plain frozen values: the one place that reads its ASN.1, BER and DER alike.

Nothing is verified here. RFC 5652 section 5; asn1crypto reads the structure because signatures made with
streaming tools and by devices are BER, which ``cryptography`` does not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asn1crypto import cms, core

from mdmprofile.crowd import CrowdError, count_elements, damage
from mdmprofile.errors import PARSER_ERRORS, SignatureFormatError

MAX_SIGNERS = 16
MAX_CERTIFICATES = 100
# Elements cost far more memory than their bytes once they are parsed, so the bytes are bounded first.
MAX_ELEMENT_BYTES = 128 * 1024
MAX_OID_BYTES = 64

_NEEDED = ("message_digest", "content_type", "signing_time")
_OCTETS, _CONSTRUCTED_OCTETS, _INDEFINITE, _EXPLICIT = 0x04, 0x24, 0x80, 0xA0


class _MalformedError(ValueError):
    """What a signer's structure has wrong, in words for people."""


@dataclass(frozen=True)
class SignerInfo:
    """One signer as the structure states it.

    ``issuer`` is the issuer's name in DER, or None when the signer is named by ``key_identifier``. ``signed_bytes``
    are what the signature covers when there are signed attributes: their DER, tagged as a SET.
    """

    issuer: bytes | None
    serial: int
    key_identifier: bytes | None
    digest: str
    signature_algorithm: str
    signature_digest: str | None
    pss_salt_length: int | None
    pss_mask_digest: str | None
    signature: bytes
    signed_bytes: bytes | None
    message_digest: bytes | None
    attribute_content_type: str | None
    signing_time: datetime | None
    attribute_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SignedData:
    """The parts of a SignedData; ``content`` is None when it is detached."""

    content_type: str
    content: bytes | None
    signers: tuple[SignerInfo, ...]
    certificates: tuple[bytes, ...]


def parse_signed_data(data: bytes, *, source: str = "") -> SignedData:
    """Read SignedData inside its ContentInfo.

    Raises ``SignatureFormatError`` for anything else, whatever the parser made of it.
    """
    try:
        info = _content_info(data)
        if info["content_type"].native != "signed_data":
            kind = info["content_type"].native
            raise SignatureFormatError(f"is CMS of type {kind}, not signed data", where=source)
        signed = info["content"]
        encapsulated = _bounded(signed["encap_content_info"])
        infos = signed["signer_infos"]
        if max(len(infos.contents or b""), len(signed["certificates"].contents or b"")) > MAX_ELEMENT_BYTES:
            raise SignatureFormatError("has too many signers or certificates", where=source)
        certificates = _certificates(signed)
        if len(infos) > MAX_SIGNERS or len(certificates) > MAX_CERTIFICATES:
            raise SignatureFormatError("has too many signers or certificates", where=source)
        return SignedData(
            content_type=encapsulated["content_type"].native,
            content=_content(encapsulated),
            signers=tuple(_signer(each) for each in infos),
            certificates=certificates,
        )
    except (CrowdError, _MalformedError) as error:
        raise SignatureFormatError(
            f"is not intact CMS signed data: {error}", where=source, hint="get the file again"
        ) from None
    except PARSER_ERRORS:
        raise SignatureFormatError(
            f"is not intact CMS signed data: it is {damage(data)}",
            where=source,
            hint="get the file again",
        ) from None


def holds_content(data: bytes) -> bool:
    """Whether SignedData has content in it, as a signed profile does and a certificate bundle does not.

    Bytes that only begin like SignedData count as if they had, so that opening them says what is wrong.
    """
    try:
        # Thousands of profiles are asked, and parsing one for it takes as long as everything that is read of it later.
        if _shows_content(data):
            return True
        return _content(_bounded(_content_info(data)["content"]["encap_content_info"])) is not None
    except PARSER_ERRORS:
        return True


def _shows_content(data: bytes) -> bool:
    """Whether the first few elements lead to content, in the usual forms; False is no answer."""
    position = end = 0
    # ContentInfo, contentType, [0], SignedData, version, digestAlgorithms, encapContentInfo, eContentType.
    for tag in (0x30, 0x06, _EXPLICIT, 0x30, 0x02, 0x31, 0x30, 0x06):
        if data[position] != tag:
            return False
        first = data[position + 1]
        size = first & 0x7F if first & 0x80 else 0
        inside = position + 2 + size
        length = int.from_bytes(data[position + 2 : inside], "big") if size else first
        # What is in a sequence follows its header; what is in the others is passed over.
        if tag in (0x30, _EXPLICIT):
            position, end = inside, len(data) if first == _INDEFINITE else inside + length
        elif first == _INDEFINITE:
            return False
        else:
            position = inside + length
    # Behind content info that is empty there are certificates, with the tag that content has.
    return position < end and data[position] == _EXPLICIT


def _content_info(data: bytes) -> Any:  # noqa: ANN401 - asn1crypto has no types
    count_elements(data)
    return _bounded(cms.ContentInfo.load(data, strict=True))


def _bounded(typed: Any) -> Any:  # noqa: ANN401
    """The structure, unless the object identifier of its type is absurdly long: reading one is quadratic."""
    if len(typed["content_type"].contents) > MAX_OID_BYTES:
        raise ValueError("an object identifier is too long")
    return typed


def _content(encapsulated: Any) -> bytes | None:  # noqa: ANN401
    """The content's octets, read from the raw element: BER has forms that the parser refuses."""
    raw = encapsulated.contents
    start = 2 + raw[1]
    if raw[start : start + 2] in {b"", b"\x00\x00"}:
        return None
    if raw[start] != _EXPLICIT:
        raise ValueError("the content is not tagged [0]")
    first = raw[start + 1]
    size = first & 0x7F if first & 0x80 else 0
    begin = start + 2 + size
    length = int.from_bytes(raw[start + 2 : begin], "big") if size else first
    body = raw[begin:] if first == _INDEFINITE else raw[begin : begin + length]
    return b"".join(_chunks(body))


def _chunks(data: bytes) -> Iterator[bytes]:
    """The pieces of a constructed OCTET STRING in order (X.690 section 8.7.3), in time linear to its length."""
    position = 0
    while position < len(data):
        tag, first = data[position], data[position + 1]
        position += 2
        if tag == _CONSTRUCTED_OCTETS and first == _INDEFINITE:
            continue
        if tag == first == 0:
            continue
        length = first
        if first & 0x80:
            size = first & 0x7F
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        if tag == _CONSTRUCTED_OCTETS:
            continue
        if tag != _OCTETS or first == _INDEFINITE or position + length > len(data):
            raise ValueError("a piece of the content is no octet string")
        yield data[position : position + length]
        position += length


def _certificates(signed: Any) -> tuple[bytes, ...]:  # noqa: ANN401
    choices = signed["certificates"]
    if not choices.contents:
        return ()
    return tuple(each.chosen.dump() for each in choices if each.name == "certificate")


def _signer(info: Any) -> SignerInfo:  # noqa: ANN401
    sid = info["sid"]
    by_serial = sid.name == "issuer_and_serial_number"
    algorithm = info["signature_algorithm"]
    name = _algorithm_of(algorithm)
    attributes, names, signed_bytes = _signed_attributes(info)
    return SignerInfo(
        issuer=sid.chosen["issuer"].dump() if by_serial else None,
        serial=sid.chosen["serial_number"].native if by_serial else 0,
        key_identifier=None if by_serial else sid.chosen.native,
        digest=info["digest_algorithm"]["algorithm"].native,
        signature_algorithm=name,
        signature_digest=None if name in {"ed25519", "ed448"} else _hash_of(algorithm),
        pss_salt_length=algorithm["parameters"]["salt_length"].native if name == "rsassa_pss" else None,
        pss_mask_digest=(
            algorithm["parameters"]["mask_gen_algorithm"]["parameters"]["algorithm"].native
            if name == "rsassa_pss"
            else None
        ),
        signature=info["signature"].native,
        signed_bytes=signed_bytes,
        message_digest=attributes.get("message_digest"),
        attribute_content_type=attributes.get("content_type"),
        signing_time=_aware(attributes.get("signing_time")),
        attribute_names=names,
    )


def _algorithm_of(algorithm: Any) -> str:  # noqa: ANN401
    """The signature algorithm by name, or its object identifier where the parser does not know what it stands for."""
    try:
        return str(algorithm.signature_algo)
    except ValueError:
        identifier = algorithm["algorithm"]
        if len(identifier.contents) > MAX_OID_BYTES:
            raise
        return str(identifier.native)


def _hash_of(algorithm: Any) -> str | None:  # noqa: ANN401
    """The digest that the signature algorithm itself names; None where only the digest algorithm does."""
    try:
        return str(algorithm.hash_algo)
    except ValueError:
        return None


def _signed_attributes(info: Any) -> tuple[dict[str, Any], tuple[str, ...], bytes | None]:  # noqa: ANN401
    """The attributes that are needed by name, the names of all, and the bytes that were signed.

    The signature covers the attributes with the SET tag instead of the [0] they are stored under (RFC 5652 section
    5.4). An attribute given twice is refused: which one counts would be the attacker's choice.
    """
    stored = info["signed_attrs"]
    if isinstance(stored, core.Void):
        return {}, (), None
    values: dict[str, Any] = {}
    seen: dict[str, None] = {}
    for attribute in stored:
        if len(attribute["type"].contents) > MAX_OID_BYTES:
            raise ValueError("an object identifier is too long")
        name = attribute["type"].native
        if name in seen:
            raise _MalformedError(f"the signed attribute {_as_written(name)} is given twice")
        seen[name] = None
        if name in _NEEDED:
            if len(attribute["values"]) != 1:
                raise _MalformedError(
                    f"the signed attribute {_as_written(name)} has not one value, but {len(attribute['values'])}"
                )
            values[name] = attribute["values"][0].native
    raw = stored.dump()
    indefinite = raw[1] == _INDEFINITE
    signed = stored.untag().dump(force=True) if indefinite else b"\x31" + raw[1:]
    return values, tuple(map(_as_written, seen)), signed


def _as_written(name: str) -> str:
    """An attribute's name as the RFCs write it, such as ``messageDigest``; a dotted number stays one."""
    first, *others = name.split("_")
    return first + "".join(each.capitalize() for each in others)


def _aware(moment: Any) -> datetime | None:  # noqa: ANN401
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
