"""How much of a report of thousands a person is shown; the formats for machines have all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from heapq import nsmallest

from mdmprofile.findings import Finding
from mdmprofile.plan import Watched
from mdmprofile.reports.model import View

MAX_ROWS = 100
MAX_BARS = 40
MAX_REMARKS = 100

_NEVER = datetime.max.replace(tzinfo=UTC)


def first_to_end(watched: Iterable[Watched], most: int) -> list[Watched]:
    """All of them in their order where they are few, else as many as that, those that end first, by their end."""
    everything = list(watched)
    return everything if len(everything) <= most else nsmallest(most, everything, key=_end)


def rows_left_out(view: View) -> str:
    """What stands below a table that does not show everything; empty where it does."""
    more = len(view.watched) - MAX_ROWS
    return f"... and {more:,} more that end later or on no known date; --format json has them all" if more > 0 else ""


def bars_left_out(more: int) -> str:
    """What stands below the bars of a time line that does not show everything; empty where it does."""
    return f"... and {more:,} more that end later" if more > 0 else ""


def shown_findings(view: View) -> tuple[Sequence[Finding], str]:
    """Every error and warning, the first remarks that are for information, and what is said of the others.

    Thousands of profiles have thousands of remarks, which would hide what matters.
    """
    remarks = sum(not each.severity.rank for each in view.findings)
    more = remarks - MAX_REMARKS
    if view.plan is None or more <= 0:
        return view.findings, ""
    shown = [each for each in view.findings if each.severity.rank]
    shown += [each for each in view.findings if not each.severity.rank][:MAX_REMARKS]
    return shown, f"... and {more:,} more for information; --format json has them all"


def _end(each: Watched) -> datetime:
    return each.not_after or _NEVER
