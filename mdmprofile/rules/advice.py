"""What is allowed and yet worth knowing of an enrollment profile, its identities and its lifetime.

https://developer.apple.com/documentation/devicemanagement/mdm
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from mdmprofile.findings import Finding, Severity, finding
from mdmprofile.moments import as_utc, day
from mdmprofile.payloads import types
from mdmprofile.printable import shown
from mdmprofile.rules.examined import Examined
from mdmprofile.rules.registry import FILE, rule

_ENROLLS = (*types.CERTIFICATES, *types.IDENTITIES, types.MDM, types.REMOVAL_PASSWORD)
_NAMED = 5
# Values of TargetDeviceType that a Mac takes; a tuple, because what is looked up in it can be anything.
_MACS = (None, 0, 5)


@rule("profile.unneeded-payload", on=FILE)
def needed(examined: Examined) -> Iterable[Finding]:
    """Beside certificates, the identity and MDM nothing is needed to enroll."""
    if not examined.profile.of_type(types.MDM):
        return
    others = [(path, each) for path, each in examined.profile.entries if each.get("PayloadType") not in _ENROLLS]
    if others:
        kinds = list(dict.fromkeys(shown(each.get("PayloadType")) for _, each in others))
        more = " and others" if kinds[_NAMED:] else ""
        are = "is" if len(others) == 1 else "are"
        message = f"{len(others)} of the payloads {are} not needed to enroll: {', '.join(kinds[:_NAMED])}{more}"
        yield finding("profile.unneeded-payload", message, where=others[0][0])


@rule("identity.multiple", on=FILE)
def one_identity(examined: Examined) -> Iterable[Finding]:
    """One identity, the one that the MDM payload refers to."""
    used = [each.get("IdentityCertificateUUID") for _, each in examined.profile.of_type(types.MDM)]
    identities = examined.profile.of_type(*types.IDENTITIES)
    if not examined.enrolls or len(identities) < 2:  # noqa: PLR2004 - one is what Apple asks for
        return
    unused = [each for each in identities if each[1].get("PayloadUUID") not in used] or list(identities[1:])
    for path, each in unused:
        message = f"a further identity ({each.get('PayloadType')}), which the MDM payload does not use"
        yield finding("identity.multiple", message, where=path)


@rule("scep.extractable", on=FILE)
def extractable(examined: Examined) -> Iterable[Finding]:
    """On a Mac the key can leave the device unless the profile says otherwise."""
    for path, each in examined.profile.of_type(types.SCEP):
        scep = each.get("PayloadContent")
        if not isinstance(scep, dict) or scep.get("KeyIsExtractable") is False:
            continue
        where = f"{path}.PayloadContent.KeyIsExtractable"
        if "KeyIsExtractable" not in scep:
            message = "KeyIsExtractable is absent, which means true on a Mac"
            yield finding("scep.extractable", message, where=where, severity=Severity.INFO)
        elif scep["KeyIsExtractable"] is True:
            yield finding("scep.extractable", "KeyIsExtractable is true", where=where)


@rule("acme.macos-13", on=FILE)
def macos_13(examined: Examined) -> Iterable[Finding]:
    """MacOS 13 takes neither keys bound to hardware nor attestation."""
    for path, each in examined.profile.of_type(types.ACME):
        names = [name for name in ("HardwareBound", "Attest") if each.get(name) is True]
        if names and examined.profile.plist.get("TargetDeviceType") in _MACS:
            message = f"{' and '.join(names)} cannot be true on macOS 13"
            yield finding("acme.macos-13", message, where=f"{path}.{names[0]}")


@rule("profile.date-past", on=FILE)
def removal(examined: Examined) -> Iterable[Finding]:
    """A profile that removes itself, or expires, does so in the future."""
    top = examined.profile.plist
    for name in ("RemovalDate", "PayloadExpirationDate"):
        value = top.get(name)
        if isinstance(value, datetime) and as_utc(value) <= examined.now:
            yield finding("profile.date-past", f"{name} {day(as_utc(value))} has passed", where=name)
    duration = top.get("DurationUntilRemoval")
    if isinstance(duration, int | float) and not isinstance(duration, bool) and duration <= 0:
        message = "DurationUntilRemoval is not above 0, so the profile is removed at once"
        yield finding("profile.date-past", message, where="DurationUntilRemoval")


@rule("profile.binary", on=FILE)
def xml(examined: Examined) -> Iterable[Finding]:
    """Apple documents XML."""
    if examined.opened.content.startswith(b"bplist"):
        yield finding("profile.binary", "the profile is a binary property list")
