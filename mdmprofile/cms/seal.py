"""``sign`` for many contents: a signature in DER whose parts are the same for each is put together once.

https://www.rfc-editor.org/rfc/rfc5652
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from asn1crypto import cms

from mdmprofile.certificates import Identity
from mdmprofile.cms.remote import sign_with
from mdmprofile.cms.sign import sign
from mdmprofile.cms.tlv import der
from mdmprofile.errors import PARSER_ERRORS, SigningError

# About so many signatures have the signing time of the first, and are cut from it.
OFTEN = 1024
_SEQUENCE, _SET, _OCTETS, _FIRST = 0x30, 0x31, 0x04, 0xA0


class Seal:
    """Signs contents with one signer; several threads may use it at once.

    About one in 1,024 signatures is made, and verified, by ``sign``; the next ones are put together from its parts,
    because only the content, its digest and the signature itself change.
    """

    def __init__(self, signer: Identity) -> None:
        self._signer = signer
        self._since = 0
        self._parts: _Parts | None = None

    def sign_all(self, contents: Sequence[bytes]) -> list[bytes]:
        """Each content, byte for byte, inside SignedData in DER, as ``sign`` makes it. Raises ``SigningError``.

        The bare signatures are made one right after the other: with other work between them, each would find the
        processor's caches full of that, which costs more than a twentieth.
        """
        # Threads that meet here make one whole signature more or less, which is no harm.
        self._since += len(contents)
        whole = []
        if contents and (self._parts is None or self._since >= OFTEN):
            whole.append(sign(contents[0], self._signer))
            self._since, self._parts = 0, _cut(whole[0], contents[0])
        others, parts = contents[len(whole) :], self._parts
        if parts is None:
            return whole + [sign(each, self._signer) for each in others]
        attributes = [parts.attributes(hashlib.sha256(each).digest()) for each in others]
        try:
            signatures = [sign_with(self._signer.key, der(_SET, each)) for each in attributes]
        except ValueError as error:
            where = self._signer.certificate.source
            raise SigningError(f"the signature cannot be made: {error}", where=where) from None
        return whole + [parts.whole(*each) for each in zip(others, attributes, signatures, strict=True)]


class _Parts(NamedTuple):
    """What two signatures of one signer have in common, in DER."""

    outer: bytes
    kind: bytes
    inner: bytes
    certificates: bytes
    signer: bytes
    before: bytes
    after: bytes
    algorithm: bytes

    def attributes(self, digest: bytes) -> bytes:
        """The signed attributes for a content with this digest."""
        return self.before + digest + self.after

    def whole(self, content: bytes, attributes: bytes, signature: bytes) -> bytes:
        """The ContentInfo."""
        encapsulated = der(_SEQUENCE, self.kind + der(_FIRST, der(_OCTETS, content)))
        signer = der(_SEQUENCE, self.signer + der(_FIRST, attributes) + self.algorithm + der(_OCTETS, signature))
        data = der(_SEQUENCE, self.inner + encapsulated + self.certificates + der(_SET, signer))
        return der(_SEQUENCE, self.outer + der(_FIRST, data))


def _cut(data: bytes, content: bytes) -> _Parts | None:
    """The parts of a signature; None where they do not give the very same again."""
    try:
        info = cms.ContentInfo.load(data, strict=True)
        inner = info["content"]
        (signer,) = inner["signer_infos"]
        attributes = signer["signed_attrs"].contents
        before, _, after = attributes.partition(hashlib.sha256(content).digest())
        parts = _Parts(
            outer=info["content_type"].dump(),
            kind=inner["encap_content_info"]["content_type"].dump(),
            inner=inner["version"].dump() + inner["digest_algorithms"].dump(),
            certificates=inner["certificates"].dump(),
            signer=signer["version"].dump() + signer["sid"].dump() + signer["digest_algorithm"].dump(),
            before=before,
            after=after,
            algorithm=signer["signature_algorithm"].dump(),
        )
        return parts if parts.whole(content, attributes, signer["signature"].native) == data else None
    except PARSER_ERRORS:
        return None
