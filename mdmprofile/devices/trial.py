"""A look at the first few devices, before anything is written: what is wrong with all of them is the config's fault."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from mdmprofile.builder import Draft
from mdmprofile.devices.table import Device
from mdmprofile.devices.unit import as_finding
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding, by_severity
from mdmprofile.maker import ProfileMaker
from mdmprofile.plan import Watched

_FEW = 3


class Trial(NamedTuple):
    """The first device's profile, None where it cannot be drafted, what ends in it, and what was found about all.

    When a finding is an error, no device's profile can be made.
    """

    draft: Draft | None
    watched: tuple[Watched, ...]
    findings: tuple[Finding, ...]


def try_out(maker: ProfileMaker, devices: Iterable[tuple[Device, str]]) -> Trial:
    """Draft the profiles of the first few devices; nothing is fetched or issued for them."""
    first: Draft | None = None
    common: list[Finding] | None = None
    for device, _ in islice(devices, _FEW):
        try:
            made = maker.draft(device.values)
        except MdmprofileError as error:
            found = [as_finding(each) for each in flatten([error])]
        else:
            first = first or made
            found = list(maker.judge(made))
        common = found if common is None else [each for each in common if each in found]
    watched = maker.watched(first) if first is not None else ()
    return Trial(first, watched, by_severity((*(common or ()), *maker.findings)))
