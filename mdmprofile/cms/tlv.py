"""ASN.1 elements in DER, put together by hand where a library would parse what is known already (X.690 section 8)."""

from __future__ import annotations

_SHORT = 0x80


def der(tag: int, body: bytes) -> bytes:
    """An element with a definite length in the fewest bytes."""
    size = len(body)
    if size < _SHORT:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _SHORT | len(length))) + length + body


def indefinite(tag: int, body: bytes) -> bytes:
    """An element of indefinite length, as BER allows it for those that hold others."""
    return bytes((tag, _SHORT)) + body + b"\0\0"
