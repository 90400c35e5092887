"""The geometry of the time line: what each row shows, before anybody draws it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from mdmprofile.moments import shift
from mdmprofile.plan import Plan, Watched
from mdmprofile.reports.limits import first_to_end

_SHORTEST = timedelta(days=90)


class Bar(NamedTuple):
    """One row: ``cells`` filled of the whole width, ``beyond`` when it ends after the horizon."""

    watched: Watched
    cells: int
    beyond: bool
    state: str


class Timeline(NamedTuple):
    """Rows from now to ``horizon``; the two marks are cells, None where there is no such date in view.

    ``more`` is the number of rows that were left out.
    """

    start: datetime
    horizon: datetime
    bars: tuple[Bar, ...]
    safe: int | None
    replacement: int | None
    more: int = 0


def lay_out(watched: Sequence[Watched], plan: Plan, *, now: datetime, width: int, most: int | None = None) -> Timeline:
    """Scale the ends to ``width`` cells; of more rows than ``most``, only those that end first are in it.

    The horizon lies a little behind the dates that matter, so that a root of 30 years does not press everything else
    into the first column; what ends later gets an arrow.
    """
    known = [each for each in watched if each.not_after is not None]
    baked_in = [each.not_after for each in known if each.baked_in and each.not_after]
    dates = [shift(now, _SHORTEST), *(min(baked_in, default=now),)]
    if plan.replace_on is not None:
        dates.append(shift(plan.replace_on, plan.margin))
    horizon = shift(now, (max(dates) - now) * 5 / 4)
    span = horizon - now

    def cell(moment: datetime) -> int:
        # At the calendar's end there is nothing left to scale.
        return round(max(min((moment - now) / span, 1.0), 0.0) * width) if span else width * (moment > now)

    # One row for a certificate however many targets hold it: the time line is about when, the table about where.
    rows: dict[tuple[str, object], Watched] = {}
    for each in known:
        rows.setdefault((each.role, each.certificate or each.where), each)
    bars = tuple(
        Bar(each, cell(each.not_after), each.not_after > horizon, state(each, plan, now))
        for each in (rows.values() if most is None else first_to_end(rows.values(), most))
        if each.not_after is not None
    )
    return Timeline(
        now,
        horizon,
        bars,
        cell(plan.latest_safe_date) if plan.latest_safe_date is not None else None,
        cell(plan.replace_on) if plan.replace_on is not None else None,
        len(rows) - len(bars),
    )


def state(each: Watched, plan: Plan, now: datetime) -> str:
    """``expired``, ``early`` when it ends before the planned replacement plus its margin, else ``good``."""
    if each.not_after is None or each.not_after < now:
        return "expired"
    if each.baked_in and plan.replace_on is not None and each.not_after < shift(plan.replace_on, plan.margin):
        return "early"
    return "good"
