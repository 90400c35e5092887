"""The signature around a profile: intact, from one signer, in DER, with the chain a device needs to show Verified.

https://developer.apple.com/documentation/devicemanagement/configuring-multiple-devices-using-profiles
"""

from __future__ import annotations

from collections.abc import Iterable

from mdmprofile.certificates import Certificate
from mdmprofile.cms.verify import Signature
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.rules.certificates import validity
from mdmprofile.rules.chains import has_public_issuer
from mdmprofile.rules.examined import Examined
from mdmprofile.rules.registry import FILE, rule

_WHERE = "signature"
_CONSTRUCTED, _LONG, _MULTIBYTE, _CONTEXT = 0x20, 0x80, 0x1F, 0x80
_CONTAINERS = (0x30, 0x31)
# Elements of real signatures: some hundred.
_MAX_ELEMENTS = 20_000
_MAX_NAMESAKES = 20


@rule("signature.invalid", "signature.weak-digest", on=FILE)
def intact(examined: Examined) -> Iterable[Finding]:
    """The content is what one signer signed, with SHA-256 or better."""
    return examined.opened.findings


@rule("signing.unsigned", on=FILE)
def signed(examined: Examined) -> Iterable[Finding]:
    """A profile that nobody signed is shown as not signed; templates are not signed yet."""
    if examined.signature is None:
        yield finding(
            "signing.unsigned",
            "the file is not signed, so devices show it as not signed",
            hint="sign it with mdmprofile sign",
            severity=Severity.INFO,
        )


@rule("signing.not-der", on=FILE)
def der(examined: Examined) -> Iterable[Finding]:
    """The CMS structure is DER."""
    if examined.signature is not None and not is_der(examined.data):
        yield finding("signing.not-der", "the signature is BER, with lengths or strings that DER forbids", where=_WHERE)


@rule("signing.chain-incomplete", on=FILE)
def signer_chain(examined: Examined) -> Iterable[Finding]:
    """The signer's intermediates are embedded; its root may be missing, since a device has it or trusts nothing."""
    signature = examined.signature
    for signer in _signers(signature):
        others = [each for each in signature.certificates if each != signer] if signature else []
        if any(each.is_ca and each.subject_name == signer.issuer_name and signer.signed_by(each) for each in others):
            continue
        if signer.self_signed or _issued_by_root(signer, examined):
            continue
        yield finding(
            "signing.chain-incomplete",
            f"the issuer of the signer {signer.name} is not embedded: {signer.issuer}",
            where=_WHERE,
            hint="sign it again with the signer's intermediates",
        )


def _issued_by_root(signer: Certificate, examined: Examined) -> bool:
    """Whether a root of the profile or a public one issued the signer, so that nothing is between them."""
    named = [each for each in examined.authorities if each.subject_name == signer.issuer_name]
    if any(each.self_signed and signer.signed_by(each) for each in named[:_MAX_NAMESAKES]):
        return True
    return has_public_issuer(signer)


@rule("expiry.expired", "expiry.not-yet-valid", on=FILE)
def signer_dates(examined: Examined) -> Iterable[Finding]:
    """An expired signer: what is installed keeps working, new installs are shown as unsigned."""
    signature = examined.signature
    for each in _signers(signature):
        for found in validity(each, _WHERE, at=examined.now, severity=Severity.WARNING):
            yield found._replace(
                message=f"the signer {found.message}; new installs show the profile as not signed",
                hint="sign it again with a valid certificate",
            )


def _signers(signature: Signature | None) -> tuple[Certificate, ...]:
    signers = signature.signers if signature else ()
    return tuple(dict.fromkeys(each.certificate for each in signers if each.certificate is not None))


def is_der(data: bytes) -> bool:
    """Whether lengths are definite and minimal and no string is in pieces, as DER asks (X.690 section 10).

    The order of sets is not looked at, nor what is inside an octet string.
    """
    waiting = [(0, len(data))]
    for _ in range(_MAX_ELEMENTS):
        if not waiting:
            return True
        start, end = waiting.pop()
        if start == end:
            continue
        body, after = _element(data, start, end)
        if after == 0:
            return False
        waiting.append((after, end))
        tag = data[start]
        if tag & _CONSTRUCTED:
            if tag not in _CONTAINERS and tag < _CONTEXT:
                return False
            waiting.append((body, after))
    return False


def _element(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the content of the element at ``start`` begins and ends; zeros where its header is not DER."""
    if end - start < 2 or data[start] & _MULTIBYTE == _MULTIBYTE:  # noqa: PLR2004 - a tag and a length
        return 0, 0
    first = data[start + 1]
    body = start + 2
    length = first
    if first & _LONG:
        body += first & ~_LONG
        length = int.from_bytes(data[start + 2 : body], "big")
        shortest = body > start + 2 and data[start + 2] != 0 and length >= _LONG
        if not shortest:
            return 0, 0
    return (body, body + length) if body + length <= end else (0, 0)
