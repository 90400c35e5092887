"""What a trust profile may hold.

https://developer.apple.com/documentation/devicemanagement/providing-information-about-your-device-management-service
"""

from __future__ import annotations

from collections.abc import Iterable

from mdmprofile.findings import Finding, finding
from mdmprofile.payloads import types
from mdmprofile.printable import shown
from mdmprofile.profile import Profile
from mdmprofile.rules.registry import TRUST, rule


@rule("trust.not-root", on=TRUST)
def roots_only(profile: Profile) -> Iterable[Finding]:
    """Root payloads and nothing else."""
    for path, each in profile.entries:
        if each.get("PayloadType") != types.ROOT:
            kind = shown(each.get("PayloadType"))
            yield finding("trust.not-root", f"a payload {kind} has no place in a trust profile", where=path)


@rule("trust.empty", on=TRUST)
def not_empty(profile: Profile) -> Iterable[Finding]:
    """At least one root."""
    if not profile.payloads:
        yield finding("trust.empty", "the trust profile holds no root", where="PayloadContent")
