"""How many elements ASN.1 bytes hold, counted before a parser makes objects of them.

An element of two bytes becomes an object of hundreds, and takes microseconds: a file of a few megabytes that holds
nothing else costs seconds and gigabytes.
"""

from __future__ import annotations

MAX_ELEMENTS = 60_000

_CONSTRUCTED, _LONG, _MORE = 0x20, 0x80, 0x1F


class CrowdError(ValueError):
    """There are too many elements to parse them."""


def count_elements(data: bytes) -> int:
    """The number of elements in DER or BER, those inside others too; contents of strings are not looked into.

    Stops at the first that is one too many. Raises ``CrowdError`` for more than ``MAX_ELEMENTS`` elements, and
    ``IndexError`` where the bytes end in the middle of one.
    """
    position = count = 0
    while position < len(data):
        count += 1
        if count > MAX_ELEMENTS:
            raise CrowdError(f"too many elements, more than {MAX_ELEMENTS:,}")
        tag = data[position]
        position += 1
        if tag & _MORE == _MORE:
            while data[position] & _LONG:
                position += 1
            position += 1
        length = data[position]
        position += 1
        if length & _LONG:
            size = length & ~_LONG
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        # What is constructed is gone into: its elements simply follow.
        if not tag & _CONSTRUCTED:
            position += length
    return count


def damage(data: bytes) -> str:
    """How a person would put what is wrong with BER that cannot be read: its outer length says whether the end is."""
    size = data[1] & 0x7F if len(data) > 1 and data[1] & 0x80 else 0
    length = int.from_bytes(data[2 : 2 + size], "big") if size else data[1] if len(data) > 1 else 1
    return "cut short" if 2 + size + length > len(data) else "damaged"
