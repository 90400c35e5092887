"""The certificates in certificate payloads, one by one: readable, in the right payload, in the right encoding, valid.

https://developer.apple.com/documentation/devicemanagement/certificateroot
https://developer.apple.com/documentation/devicemanagement/certificatepkcs1
https://developer.apple.com/documentation/devicemanagement/certificatepem
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mdmprofile.certificates import Certificate
from mdmprofile.chain import INTERMEDIATE, LEAF, ROOT, role_of
from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.moments import day
from mdmprofile.payloads import types
from mdmprofile.rules.examined import Examined, Held
from mdmprofile.rules.registry import FILE, rule

_BEGIN = b"-----BEGIN "
_KEY_END = b" PRIVATE KEY-----"
# How many values of a hostile property list are looked at for a reference.
_LOOKED_AT = 5_000


@rule("profile.certificate-unreadable", on=FILE)
def readable(examined: Examined) -> Iterable[Finding]:
    """A certificate payload holds a certificate."""
    for each in examined.held:
        if each.problem:
            message = f"no certificate can be read from the payload: {each.problem}"
            yield finding("profile.certificate-unreadable", message, where=f"{each.path}.PayloadContent")


@rule("profile.private-key", on=FILE)
def no_private_key(examined: Examined) -> Iterable[Finding]:
    """Certificate payloads are no place for a private key."""
    for each in examined.held:
        if _BEGIN in each.content and _KEY_END in each.content:
            yield finding("profile.private-key", "the payload holds a private key", where=each.path)


@rule("profile.certificate-encoding", on=FILE)
def encoding(examined: Examined) -> Iterable[Finding]:
    """PEM in pem payloads, DER of one certificate in the others."""
    for each in examined.held:
        if not each.certificates:
            continue
        whole = each.content == each.certificates[0].der
        if each.kind == types.PEM and whole:
            yield finding("profile.certificate-encoding", "DER in a payload for PEM", where=each.path)
        elif each.kind != types.PEM and not whole:
            form = "PEM" if _BEGIN in each.content else "another container"
            yield finding("profile.certificate-encoding", f"{form} in a payload for DER", where=each.path)


@rule("profile.certificate-several", on=FILE)
def one_a_payload(examined: Examined) -> Iterable[Finding]:
    """One certificate a payload."""
    for each in examined.held:
        if len(each.certificates) > 1:
            message = f"the payload holds {len(each.certificates)} certificates"
            yield finding("profile.certificate-several", message, where=each.path)


@rule("profile.certificate-type", on=FILE)
def payload_type(examined: Examined) -> Iterable[Finding]:
    """Roots go into root payloads, intermediates into the others."""
    for each in examined.held:
        for certificate in each.certificates:
            role = role_of(certificate)
            if (each.kind == types.ROOT and role == INTERMEDIATE) or (each.kind == types.PKCS1 and role == ROOT):
                article = "an" if role == INTERMEDIATE else "a"
                message = f"{certificate.name} is {article} {role} in a {each.kind} payload"
                yield finding("profile.certificate-type", message, where=each.path)


@rule("chain.leaf-in-trust", on=FILE)
def no_leaf(examined: Examined) -> Iterable[Finding]:
    """A certificate that is no CA is no root, and serves nothing beside an MDM payload unless something names it."""
    for each in examined.held:
        leaves = [certificate for certificate in each.certificates if role_of(certificate) == LEAF]
        if not leaves or (each.kind != types.ROOT and (not examined.enrolls or _is_named(examined, each))):
            continue
        for certificate in leaves:
            yield finding(
                "chain.leaf-in-trust",
                f"{certificate.name} is not a CA, so devices trust nothing because of it",
                where=each.path,
                hint="embed the root and the intermediates that issued it, and let the server send its own certificate",
                severity=None if each.kind == types.ROOT else Severity.WARNING,
            )


@rule("expiry.expired", "expiry.not-yet-valid", on=FILE)
def dates(examined: Examined) -> Iterable[Finding]:
    """Every certificate in a certificate payload is valid on the day of the judgement."""
    for each in examined.held:
        for certificate in each.certificates:
            yield from validity(certificate, each.path, at=examined.now)


def validity(
    certificate: Certificate, where: str, *, at: datetime, severity: Severity | None = None
) -> Iterable[Finding]:
    """That a certificate has expired or is not valid yet."""
    if certificate.not_after < at:
        message = f"{certificate.name} expired on {day(certificate.not_after)}"
        yield finding("expiry.expired", message, where=where, severity=severity)
    elif at < certificate.not_before:
        message = f"{certificate.name} is not valid before {day(certificate.not_before)}"
        yield finding("expiry.not-yet-valid", message, where=where)


@rule("trust.user-switch", "trust.no-common-name", on=FILE)
def switched_on_by_hand(examined: Examined) -> Iterable[Finding]:
    """Without an MDM payload, the user of an iPhone has to switch trust in each root on."""
    if examined.enrolls:
        return
    roots = [
        (each.path, certificate)
        for each in examined.held
        for certificate in each.certificates
        if role_of(certificate) == ROOT
    ]
    if roots:
        known = list(dict.fromkeys(certificate.name for _, certificate in roots))
        names = ", ".join(known[:3]) + (" and others" if known[3:] else "")
        message = f"installed by hand, iOS trusts {names} for TLS only after the user switched that on"
        yield finding("trust.user-switch", message, where=roots[0][0])
    for path, certificate in roots:
        if not certificate.has_common_name:
            message = f"the root {certificate.name} has no common name"
            yield finding("trust.no-common-name", message, where=path)


def _is_named(examined: Examined, held: Held) -> bool:
    """Whether another payload mentions this one's UUID: pinning, Wi-Fi, VPN and others refer to certificates so."""
    uuid = held.payload.get("PayloadUUID")
    if not isinstance(uuid, str):
        return False
    waiting: list[object] = [value for _, each in examined.profile.entries for value in _inside(each, "PayloadUUID")]
    for _ in range(_LOOKED_AT):
        if not waiting:
            return False
        value = waiting.pop()
        if value == uuid:
            return True
        if len(waiting) < _LOOKED_AT:
            waiting.extend(_inside(value, ""))
    return False


def _inside(value: object, without: str) -> list[object]:
    if isinstance(value, dict):
        return [each for name, each in value.items() if name != without][:_LOOKED_AT]
    return value[:_LOOKED_AT] if isinstance(value, list) else []
