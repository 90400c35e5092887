"""What a device refuses or punishes: one small function a rule, over the property list as a device gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mdmprofile.findings import Finding
from mdmprofile.profile import Profile
from mdmprofile.rules import identity, mdm, structure, trust

Rule = Callable[[Profile], Iterable[Finding]]


def judge(profile: Profile) -> tuple[Finding, ...]:
    """Every rule on any profile."""
    return _apply(profile, (*structure.RULES, *mdm.RULES, *identity.RULES))


def judge_enrollment(profile: Profile) -> tuple[Finding, ...]:
    """Every rule, and what only an enrollment profile must hold."""
    return _apply(profile, (*structure.RULES, *mdm.RULES, *identity.RULES, *mdm.ENROLLMENT_RULES))


def judge_trust_profile(profile: Profile) -> tuple[Finding, ...]:
    """Every rule, and what only a trust profile must hold."""
    return _apply(profile, (*structure.RULES, *trust.RULES))


def _apply(profile: Profile, rules: Iterable[Rule]) -> tuple[Finding, ...]:
    return tuple(found for rule in rules for found in rule(profile))
