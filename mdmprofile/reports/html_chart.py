"""The time line of the HTML page: where each row, mark and tick of its SVG stands.

Across, everything is a percentage, so that the drawing takes any width and its text keeps its size; down, everything is
in CSS pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from mdmprofile.moments import day
from mdmprofile.plan import Plan, Watched
from mdmprofile.printable import fitted, printable
from mdmprofile.reports.timeline import Timeline, lay_out

# More rows than these nobody reads; the table has every certificate.
MAX_ROWS = 60
_HEAD, _ROW, _FOOT = 44, 34, 24
_SCALE = 10_000
# What fits beside a date: on a page, and on a phone.
_WIDE, _NARROW = 80, 30
_STEPS = (1, 2, 3, 6, *(12 * years for years in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)))
_MOST_TICKS = 6
# The first tick's label must not meet the start's, on a page and on a phone, nor the last one's the edge.
_FIRST_TICK, _FIRST_NARROW, _LAST_TICK = 0.15, 0.32, 0.94
# On a phone a mark's label takes three fifths of the width.
_LEFT = 0.3


class Row(NamedTuple):
    """One certificate: ``y`` of its label's base line, its texts, and the width of its bar."""

    y: int
    role: str
    wide: str
    narrow: str
    label: str
    end: str
    width: str
    beyond: bool
    state: str


class Mark(NamedTuple):
    """A date that matters, as a line from its label down through all rows; one that has passed is only its label."""

    kind: str
    x: str
    y: int
    anchor: str
    text: str
    passed: bool


class Tick(NamedTuple):
    """A round date; a ``wide`` one has its label only where there is room for it beside the start's."""

    x: str
    text: str
    wide: bool


class Chart(NamedTuple):
    """The whole drawing; ``omitted`` end later than its last row, ``unknown`` have no end that anybody knows."""

    rows: tuple[Row, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...]
    start: str
    horizon: str
    top: int
    bottom: int
    height: int
    omitted: int
    unknown: int


def draw(watched: Sequence[Watched], plan: Plan, *, now: datetime, state_of: Callable[[Watched], str]) -> Chart:
    """Draw what ends first at the top, at most ``MAX_ROWS`` of it."""
    line = lay_out(watched, plan, now=now, width=_SCALE)
    bars = sorted(line.bars, key=lambda bar: bar.watched.not_after or now)
    rows = []
    for number, bar in enumerate(bars[:MAX_ROWS]):
        each = bar.watched
        name = printable(each.name)
        room = _NARROW - len(each.role)
        rows.append(
            Row(
                y=_HEAD + number * _ROW + 13,
                role=each.role,
                wide=fitted(name, _WIDE).rstrip(),
                narrow=fitted(name, room).rstrip(),
                label=f"{each.label}, {each.where}",
                end=day(each.not_after or now),
                width=_percent(bar.cells / _SCALE),
                beyond=bar.beyond,
                state=state_of(each),
            )
        )
    bottom = _HEAD + len(rows) * _ROW
    return Chart(
        tuple(rows),
        tuple(_marks(line, plan)),
        tuple(_ticks(line)),
        day(line.start),
        day(line.horizon),
        _HEAD - 10,
        bottom,
        bottom + _FOOT,
        omitted=len(bars) - len(rows),
        unknown=sum(each.not_after is None for each in watched),
    )


def _marks(line: Timeline, plan: Plan) -> Iterable[Mark]:
    dates = (
        ("safe", line.safe, "latest safe date", plan.latest_safe_date),
        ("planned", line.replacement, "planned replacement", plan.replace_on),
    )
    for number, (kind, cell, text, moment) in enumerate(dates):
        if cell is None or moment is None:
            continue
        share = cell / _SCALE
        anchor = "start" if share < _LEFT else "end" if share > 1 - _LEFT else "middle"
        passed = moment < line.start
        said = f"{text} {day(moment)}{', passed' if passed else ''}"
        yield Mark(kind, _percent(share), 12 + 16 * number, anchor, said, passed)


def _ticks(line: Timeline) -> Iterable[Tick]:
    """First days of months or years, a few of them, with what is written below."""
    first, last = _month(line.start), _month(line.horizon)
    step = next((each for each in _STEPS if (last - first) // each <= _MOST_TICKS), _STEPS[-1])
    for month in range(first // step * step + step, last + 1, step):
        moment = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        share = (moment - line.start) / (line.horizon - line.start)
        if _FIRST_TICK < share < _LAST_TICK:
            yield Tick(_percent(share), day(moment)[: 4 if step % 12 == 0 else 7], share < _FIRST_NARROW)


def _month(moment: datetime) -> int:
    return moment.year * 12 + moment.month - 1


def _percent(share: float) -> str:
    return f"{share:.2%}"
