"""What a device refuses or punishes: one small registered function a rule, over the profile as a device gets it.

Imported here is what judges a property list alone, for profiles that are being built; ``lint`` has the rest.
"""

from __future__ import annotations

from mdmprofile.findings import Finding
from mdmprofile.profile import Profile

# Imported because that registers their rules.
from mdmprofile.rules import identity, mdm, structure, trust  # noqa: F401
from mdmprofile.rules.registry import ENROLLMENT, EVERY, TRUST, apply


def judge(profile: Profile) -> tuple[Finding, ...]:
    """Every rule of the property list on any profile."""
    return apply(profile, EVERY)


def judge_enrollment(profile: Profile) -> tuple[Finding, ...]:
    """Every rule of the property list, and what only an enrollment profile must hold."""
    return apply(profile, EVERY, ENROLLMENT)


def judge_trust_profile(profile: Profile) -> tuple[Finding, ...]:
    """Every rule of the property list, and what only a trust profile must hold."""
    return apply(profile, EVERY, TRUST)
