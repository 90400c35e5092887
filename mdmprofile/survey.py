"""Any number of targets judged by their dates, one after the other; of each, only what reports say is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mdmprofile.certificates import Certificate, CertificateFacts
from mdmprofile.contents import Target
from mdmprofile.errors import MdmprofileError
from mdmprofile.findings import Finding, by_severity
from mdmprofile.moments import shift
from mdmprofile.plan import LATEST, PLANNED, Plan, Step, Thresholds, Watched, judge_dates, make_plan
from mdmprofile.reports.model import FileReport, inside

MAX_STEPS = 50
_LATEST = datetime.max.replace(tzinfo=UTC)


class Asked(NamedTuple):
    """The dates and times that somebody asked for, over those of a target's own config; None where nobody did."""

    replace_on: datetime | None = None
    margin: timedelta | None = None
    warn: timedelta | None = None
    critical: timedelta | None = None

    def over(self, own: Thresholds | None) -> Thresholds:
        """What a target is held against: what was asked for, over its own, over the defaults."""
        base = own or Thresholds()
        return Thresholds(
            replace_on=self.replace_on or base.replace_on,
            margin=base.margin if self.margin is None else self.margin,
            warn=base.warn if self.warn is None else self.warn,
            critical=base.critical if self.critical is None else self.critical,
        )


class Survey(NamedTuple):
    """What came of it; ``plan`` is that of the target which must be replaced first, with the steps of all.

    ``by_file`` has a report for each target, with the findings' places inside it.
    """

    findings: tuple[Finding, ...]
    watched: tuple[Watched, ...]
    plan: Plan
    errors: tuple[MdmprofileError, ...]
    by_file: tuple[FileReport, ...]


def judge_targets(
    targets: Iterable[Target],
    *,
    now: datetime,
    asked: Asked | None = None,
    anchors: Sequence[Certificate] | None = None,
) -> Survey:
    """Judge each target as it comes; signers are held against ``anchors`` where they are given.

    No target is kept: thousands of parsed certificates would fill the memory.
    """
    asked = asked or Asked()
    kept = _Kept()
    findings: dict[Finding, None] = {}
    reports: list[FileReport] = []
    first: tuple[Sequence[Watched], Thresholds] | None = None
    first_date = _LATEST
    steps = _Steps()
    for each in targets:
        thresholds = asked.over(each.thresholds)
        found = [*each.findings, *judge_dates(each.watched, thresholds, now=now, ledger=each.ledger)]
        if anchors is not None:
            found += each.distrust(anchors, at=now)
        watched = tuple(map(kept.watched, each.watched))
        date = _latest_safe_date(watched, thresholds)
        if first is None or date < first_date:
            first, first_date = (watched, thresholds), date
        steps.add(each, watched, thresholds)
        findings |= dict.fromkeys(found)
        here = tuple(one._replace(where=inside(each.name, one.where)) for one in by_severity(found)) if found else ()
        reports.append(FileReport(each.name, here, each.errors, watched, thresholds, each.identifier))
    plan = make_plan(*first) if first else make_plan((), asked.over(None))
    return Survey(
        findings=by_severity(findings),
        watched=tuple(one for each in reports for one in each.watched),
        plan=plan._replace(steps=steps.joined(plan.steps)),
        errors=tuple(error for each in reports for error in each.errors),
        by_file=tuple(reports),
    )


def _latest_safe_date(watched: Iterable[Watched], thresholds: Thresholds) -> datetime:
    ends = (each.not_after for each in watched if each.baked_in and each.not_after is not None)
    end = min(ends, default=None)
    return _LATEST if end is None else shift(end, -thresholds.margin)


class _Steps:
    """The earliest steps of all targets, without repeats.

    A profile has one replacement, however many of its files and configs there are. Files of certificates alone are no
    profile, so they have none, unless one of them comes first.
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[str, Step | str], Step] = {}

    def add(self, target: Target, watched: Sequence[Watched], thresholds: Thresholds) -> None:
        """Take in the steps of one target's plan."""
        profile = target.identifier or (target.name if target.source else "")
        if not profile and all(each.baked_in for each in watched):
            return
        for each in make_plan(watched, thresholds).steps:
            replacing = each.key in (LATEST, PLANNED)
            if replacing and not profile:
                continue
            key = (profile, each.key) if replacing else ("", each)
            known = self._steps.get(key)
            if known is None or each.date < known.date:
                self._steps[key] = each
        if len(self._steps) > 2 * MAX_STEPS:
            self._steps = dict(self._earliest())

    def joined(self, first: Iterable[Step]) -> tuple[Step, ...]:
        """The earliest of these and those of the plan that comes first."""
        profiles = {profile for profile, _ in self._steps if profile}
        steps = [
            # Which of several is meant must be said.
            each._replace(action=each.action.replace("the profile", f"the profile {profile}", 1))
            if profile and len(profiles) > 1
            else each
            for (profile, _), each in self._earliest()
        ]
        said = {(each.date, each.why, each.key) for each in steps}
        steps += [each for each in first if (each.date, each.why, each.key) not in said]
        return tuple(sorted(dict.fromkeys(steps), key=lambda step: step.date)[:MAX_STEPS])

    def _earliest(self) -> list[tuple[tuple[str, Step | str], Step]]:
        return sorted(self._steps.items(), key=lambda item: item[1].date)[:MAX_STEPS]


class _Kept:
    """What is kept of certificates: each once, however many profiles hold it."""

    def __init__(self) -> None:
        self._facts: dict[str, CertificateFacts] = {}

    def watched(self, each: Watched) -> Watched:
        """The same thing with the facts alone in its certificate's place."""
        certificate = each.certificate
        if not isinstance(certificate, Certificate):
            return each
        facts = self._facts.get(certificate.sha256)
        if facts is None:
            facts = self._facts[certificate.sha256] = certificate.facts
        # Where they are the same, the one text and the same times serve all.
        return each._replace(
            name=facts.name if facts.name == each.name else each.name,
            not_after=facts.not_after if facts.not_after == each.not_after else each.not_after,
            not_before=facts.not_before if facts.not_before == each.not_before else each.not_before,
            certificate=facts,
        )
