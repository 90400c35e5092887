"""Signing, judged first: whatever makes the signature, nothing is signed for use while a finding is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from mdmprofile.certificates import Certificate, Identity
from mdmprofile.cms.command import CmsCommand
from mdmprofile.cms.keys import complete_chain, judge_issuers, judge_signing
from mdmprofile.cms.sign import sign
from mdmprofile.errors import SigningError
from mdmprofile.findings import Finding, has_errors

# From the signer's certificate, None while it is not known, and those above it, to everything that is judged.
Judge = Callable[[Certificate | None, Sequence[Certificate]], Sequence[Finding]]


class Signed(NamedTuple):
    """The signed contents in order, none when a finding is an error; who signed, and the certificates above them."""

    data: tuple[bytes, ...]
    findings: tuple[Finding, ...]
    certificate: Certificate | None = None
    above: tuple[Certificate, ...] = ()


def sign_judged(
    contents: Iterable[bytes], signer: Identity | CmsCommand, available: Sequence[Certificate], judge: Judge
) -> Signed:
    """Sign each content, read only when it is time to, unless ``judge`` or the signer's chain forbid it.

    ``available`` are certificates that may complete the signer's chain. A ``CmsCommand`` tells who it is by signing,
    so its signer is judged afterwards. Raises ``SigningError``.
    """
    if isinstance(signer, CmsCommand):
        return _signed_outside(contents, signer, available, judge)
    complete = complete_chain(signer, available)
    findings = (*judge(signer.certificate, complete.chain), *judge_signing(signer, available))
    data = () if has_errors(findings) else tuple(sign(each, complete) for each in contents)
    return Signed(data, findings, signer.certificate, complete.chain)


def _signed_outside(
    contents: Iterable[bytes], outside: CmsCommand, available: Sequence[Certificate], judge: Judge
) -> Signed:
    from mdmprofile.cms.outside import sign_outside  # noqa: PLC0415 - reading signatures is slow to import

    before = tuple(judge(None, ()))
    made = [] if has_errors(before) else [sign_outside(each, outside) for each in contents]
    if not made:
        return Signed((), before)
    certificate, beside = made[0].certificate, made[0].beside
    if any(each.certificate != certificate for each in made):
        raise SigningError(
            f"the command {outside.command[0]} signed with different certificates",
            where="signing.cms_command",
            hint="have it always use the same one",
        )
    findings = (*judge(certificate, beside), *judge_issuers(certificate, beside, available))
    data = () if has_errors(findings) else tuple(each.data for each in made)
    return Signed(data, findings, certificate, beside)
