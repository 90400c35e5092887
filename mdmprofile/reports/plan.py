"""A plan as sections for people and as JSON: the latest safe date, what ends when, and what to do by when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from mdmprofile.moments import day, spoken
from mdmprofile.plan import Plan, Step, Thresholds, Watched, is_ahead
from mdmprofile.reports.model import Line, Section
from mdmprofile.reports.plain import plan_line

_UNKNOWN = "unknown"


def sections(plan: Plan, watched: Sequence[Watched], thresholds: Thresholds, *, now: datetime) -> list[Section]:
    """The answer first, then what ends in the order of the dates, then the steps."""
    unknown = [each for each in watched if each.not_after is None]
    ends = [_end(each, end, thresholds, now) for end, each in _known(watched)]
    ends += [Line(f"{_UNKNOWN:<10}  {each.label}: {each.consequence} ({_tell(each)})", "warn") for each in unknown]
    steps = [line for each in plan.steps for line in _step(each)]
    return [
        Section("", list(_answer(plan, now))),
        Section("What ends, and what stops working then", ends or [Line("nothing", "dim")]),
        Section("What to do by when", steps or [Line("nothing that has a date", "dim")]),
    ]


def as_dict(plan: Plan, watched: Sequence[Watched]) -> dict[str, Any]:
    """The plan of the JSON report with ``ends``: everything whose end is known, the first end first."""
    ends = [
        {
            "date": day(end),
            "role": each.role,
            "name": each.name,
            "consequence": each.consequence,
            "where": each.where,
        }
        for end, each in _known(watched)
    ]
    return plan.as_dict() | {"ends": ends}


def headline(plan: Plan, *, now: datetime) -> str:
    """The first thing to do, and by when."""
    if not plan.steps:
        return ""
    step = plan.steps[0]
    if step.was is not None:
        return f"Due since {day(step.was)}: {step.action}"
    return f"Today: {step.action}" if day(step.date) == day(now) else f"Next, by {day(step.date)}: {step.action}"


def _known(watched: Sequence[Watched]) -> Iterable[tuple[datetime, Watched]]:
    known = ((each.not_after, each) for each in watched if each.not_after is not None)
    return sorted(known, key=lambda pair: pair[0])


def _answer(plan: Plan, now: datetime) -> Iterable[Line]:
    latest = plan.latest_safe_date
    yield Line(plan_line(plan, now), "bold")
    if latest is not None and not is_ahead(latest, now):
        yield Line("It has passed: replace the profile now.", "bad")


def _end(each: Watched, end: datetime, thresholds: Thresholds, now: datetime) -> Line:
    count = f"in {spoken(end - now)}" if end >= now else f"{spoken(now - end)} ago"
    style = "bad" if end - now <= thresholds.critical else "warn" if end - now <= thresholds.warn else ""
    return Line(f"{day(end)}  {each.label}, {count}: {each.consequence} ({each.where})", style)


def _step(step: Step) -> Iterable[Line]:
    was = f" (was {day(step.was)})" if step.was is not None else ""
    yield Line(f"{day(step.date)}  {step.action}{was}", "bad" if was else "")
    yield Line(f"{'':<10}  {step.why}", "dim")


def _tell(each: Watched) -> str:
    """What makes the end known: the issuer's validity, or the password of the PKCS#12."""
    if each.name.startswith("in the PKCS#12 "):
        return f"give the password of {each.where}"
    return "set identity.validity in the config to what the issuer grants, or give --identity-validity"
