"""A look at the first few devices, before anything is written: what is wrong with all of them is the config's fault."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

from mdmprofile.builder import Draft
from mdmprofile.devices.spool import MAX_FINDINGS
from mdmprofile.devices.table import Device
from mdmprofile.devices.unit import as_finding, at_line
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding, by_severity, has_errors
from mdmprofile.maker import ProfileMaker
from mdmprofile.plan import Watched

_FEW, _MANY = 3, 1000


class Trial(NamedTuple):
    """The first device's profile, None where it cannot be drafted, what ends in it, and what was found about all.

    When a finding is an error, no device's profile can be made.
    """

    draft: Draft | None
    watched: tuple[Watched, ...]
    findings: tuple[Finding, ...]


def try_all(
    maker: ProfileMaker, devices: Iterable[tuple[Device, str]], *, source: str, common: Collection[Finding]
) -> tuple[int, tuple[Finding, ...]]:
    """How many devices' profiles could not be made, and why, each with its line, for the first of them.

    Every device is looked at, and nothing is fetched or issued for it. Findings in ``common`` are left out.
    """
    bad = 0
    findings: list[Finding] = []
    for device, _ in devices:
        try:
            found = maker.check(device.values)
        except MdmprofileError as error:
            found = tuple(as_finding(each) for each in flatten([error]))
        bad += has_errors(found)
        if len(findings) < MAX_FINDINGS:
            findings += [at_line(each, source, device.line) for each in found if each not in common]
    return bad, tuple(findings)


def try_out(maker: ProfileMaker, devices: Iterable[tuple[Device, str]]) -> Trial:
    """Draft the profiles of the first few devices; nothing is fetched or issued for them.

    Where these have the same mistake, more are tried: it may be theirs.
    """
    first: Draft | None = None
    common: list[Finding] = []
    for count, (device, _) in enumerate(islice(devices, _MANY), 1):
        try:
            made = maker.draft(device.values)
        except MdmprofileError as error:
            found = [as_finding(each) for each in flatten([error])]
        else:
            first = first or made
            found = list(maker.judge(made))
        common = found if count == 1 else [each for each in common if each in found]
        if count >= _FEW and not has_errors(common):
            break
    watched = maker.watched(first) if first is not None else ()
    return Trial(first, watched, by_severity((*common, *maker.findings)))
