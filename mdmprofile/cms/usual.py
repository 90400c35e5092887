"""The one form in which devices with RSA keys send nearly all of their signatures, read without going through it.

A server reads one with each message, and going through every element takes as long as verifying the signature. What is
not exactly of this form is for ``detached``, which tells what is wrong, and which reads these to the same values.
"""

from __future__ import annotations

from mdmprofile.cms.algorithms import DIGEST_IDS, NULL
from mdmprofile.cms.detached import DATA, MAX_CERTIFICATE, SIGNED_DATA, Detached, DetachedSigner
from mdmprofile.cms.tlv import der, indefinite

_SEQUENCE, _SET, _FIRST, _OPEN, _SHORT, _ONE_BYTE, _TWO_BYTES = 0x30, 0x31, 0xA0, 0x80, 0x80, 0x81, 0x82
# Everything down to the certificates has its length left open; only the digest differs.
_STARTS = tuple(
    (
        bytes((_SEQUENCE, _OPEN))
        + der(0x06, SIGNED_DATA)
        + bytes((_FIRST, _OPEN, _SEQUENCE, _OPEN))
        + b"\2\1\1"
        + der(_SET, der(_SEQUENCE, digest))
        + indefinite(_SEQUENCE, der(0x06, DATA))
        + bytes((_FIRST,)),
        der(_SEQUENCE, digest),
        digest,
    )
    for digest in (each + NULL for each in DIGEST_IDS.values())
)
_ENDS = b"\0\0" * 3
_CERTIFICATE, _SIGNERS, _SIGNER, _VERSION, _SIGNATURE = b"\x30\x82", b"\x31\x82", b"\x30\x82", b"\2\1\1\x30", b"\4\x82"


def read_usual(data: bytes) -> Detached | None:
    """The signature, where it is of that form: BER, one certificate, one signer without signed attributes.

    None for anything else, whatever it is.
    """
    for start, digest, contents in _STARTS:
        if data.startswith(start):
            return _read(data, len(start), digest, contents)
    return None


def _read(data: bytes, at: int, digest: bytes, contents: bytes) -> Detached | None:
    try:
        # The certificates: their length is left open, or two bytes.
        is_open = data[at] == _OPEN
        begin = at + (1 if is_open else 3)
        end = begin + 4 + int.from_bytes(data[begin + 2 : begin + 4], "big")
        signers = end + 2 if is_open else end
        if is_open:
            closed = data[end:signers] == b"\0\0"
        else:
            closed = data[at] == _TWO_BYTES and int.from_bytes(data[at + 1 : at + 3], "big") == end - begin
        # A SET of one SignerInfo, which both reach to the ends of what is around them.
        stop = len(data) - len(_ENDS)
        name = signers + 13
        size = data[name - 1]
        if size == _ONE_BYTE:
            size = data[name]
            name += 1
        elif size >= _SHORT:
            return None
        algorithm = name + size + len(digest)
        signature = algorithm + 2 + data[algorithm + 1]
    except IndexError:
        return None
    if (
        closed
        and end - begin <= MAX_CERTIFICATE
        and data.startswith(_CERTIFICATE, begin)
        and data.startswith(_SIGNERS, signers)
        and int.from_bytes(data[signers + 2 : signers + 4], "big") == stop - signers - 4
        and data.startswith(_SIGNER, signers + 4)
        and int.from_bytes(data[signers + 6 : signers + 8], "big") == stop - signers - 8
        and data.startswith(_VERSION, signers + 8)
        and data.startswith(digest, name + size)
        and data[algorithm] == _SEQUENCE
        and data[algorithm + 1] < _SHORT
        and data.startswith(_SIGNATURE, signature)
        and int.from_bytes(data[signature + 2 : signature + 4], "big") == stop - signature - 4
        and data.endswith(_ENDS)
    ):
        named = data[name : name + size]
        signer = DetachedSigner(named, b"", contents, None, data[algorithm + 2 : signature], data[signature + 4 : stop])
        return Detached((signer,), (data[begin:end],))
    return None
