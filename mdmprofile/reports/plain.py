"""The text report for pipes and logs: no colour, no box, one fact a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from mdmprofile.findings import Finding
from mdmprofile.moments import ago, day
from mdmprofile.plan import Plan, Watched, days_left, is_ahead
from mdmprofile.printable import columns, fitted, printable
from mdmprofile.reports.limits import MAX_BARS, MAX_ROWS, bars_left_out, first_to_end, rows_left_out, shown_findings
from mdmprofile.reports.model import Section, View
from mdmprofile.reports.timeline import Timeline, lay_out

_WIDTH = 60
_LABEL = 34
_WIDEST = 48


def render(view: View) -> str:
    """The view as plain text, without a line end behind the last line."""
    blocks = [
        *(_section(each) for each in view.sections),
        _payloads(view),
        _certificates(view),
        _timeline(view),
        [printable(each) for each in view.files],
        _findings(view),
        [plan_line(view.plan, view.now)] if view.plan is not None and view.watched else [],
    ]
    return "\n\n".join("\n".join(lines) for lines in blocks if lines)


def _findings(view: View) -> list[str]:
    shown, left_out = shown_findings(view)
    return [finding_line(each) for each in shown] + ([left_out] if left_out else [])


def finding_line(found: Finding) -> str:
    """Severity, place, message, what to do and the rule, on one line that grep and log files keep whole."""
    place = f"{printable(found.where)}: " if found.where else ""
    hint = f" ({printable(found.hint)})" if found.hint and found.severity.rank else ""
    return f"{found.severity.value}: {place}{printable(found.message)}{hint} [{rule_label(found)}]"


def rule_label(found: Finding) -> str:
    """The rule's id; a rule that only rests on what people saw devices do says so."""
    return f"{found.rule}, observed" if found.source == "observed" else found.rule


def plan_line(plan: Plan, now: datetime) -> str:
    """The latest safe replacement date and what sets it, in one sentence; how long ago it was where it has passed."""
    if plan.latest_safe_date is None or plan.limited_by is None or plan.limited_by.not_after is None:
        return "Latest safe replacement date: not known, because nothing with a known end is baked in."
    limit = plan.limited_by
    end = day(plan.limited_by.not_after)
    planned = f"; planned for {day(plan.replace_on)}" if plan.replace_on else ""
    passed = "" if is_ahead(plan.latest_safe_date, now) else f", passed {ago(plan.latest_safe_date, now)}"
    return (
        f"Latest safe replacement date: {day(plan.latest_safe_date)}{passed}, because {printable(limit.label)} "
        f"ends on {end}{planned}."
    )


def _section(section: Section) -> list[str]:
    title = [printable(section.title)] if section.title else []
    return title + [f"{'  ' if title else ''}{printable(each.text)}" for each in section.lines]


def _payloads(view: View) -> list[str]:
    title = [printable(view.title)] if view.title else []
    return title + [
        f"  {number}. {printable(kind):<28} {printable(name)}" for number, (kind, name) in enumerate(view.payloads, 1)
    ]


def _certificates(view: View) -> list[str]:
    if view.plan is None or not view.watched:
        return []
    rows = [("ROLE", "NAME", "ENDS", "DAYS", "WHERE")]
    rows += [_row(each, view) for each in first_to_end(view.watched, MAX_ROWS)]
    left_out = rows_left_out(view)
    return _columns(rows) + ([left_out] if left_out else [])


def _row(each: Watched, view: View) -> tuple[str, str, str, str, str]:
    left = days_left(each, view.now)
    return (
        each.role,
        printable(each.name),
        day(each.not_after) if each.not_after else "unknown",
        "-" if left is None else str(left),
        printable(each.where),
    )


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows in columns; one absurdly long name does not widen all the others, and the last column is not filled."""
    widths = [min(max(columns(row[column]) for row in rows), _WIDEST) for column in range(len(rows[0]) - 1)]
    return ["  ".join((*map(fitted, row, widths), row[-1])).rstrip() for row in rows]


def bar_labels(line: Timeline) -> list[str]:
    """Role and name of the time line's rows, all of one width that leaves room for the bars."""
    texts = [printable(bar.watched.label) for bar in line.bars]
    width = min(max(map(columns, texts), default=0), _LABEL)
    return [fitted(each, width) for each in texts]


def _timeline(view: View) -> Iterable[str]:
    if view.plan is None or not view.watched:
        return []
    line = lay_out(view.watched, view.plan, now=view.now, width=_WIDTH, most=MAX_BARS)
    labels = bar_labels(line)
    label = columns(labels[0]) if labels else 0
    lines = [
        f"{text} |{'=' * bar.cells}{'>' if bar.beyond else 'X' if bar.state == 'expired' else '|'}"
        for text, bar in zip(labels, line.bars, strict=True)
    ]
    if line.more:
        lines.append(f"{'':<{label}}  {bars_left_out(line.more)}")
    axis = [" "] * (_WIDTH + 1)
    if line.safe is not None:
        axis[line.safe] = "S"
    if line.replacement is not None:
        axis[line.replacement] = "R"
    lines.append(f"{'':<{label}} |{''.join(axis)}".rstrip())
    lines.append(
        f"{'':<{label}}  {day(line.start)} to {day(line.horizon)}"
        + (f"; {', '.join(legend(line))}" if legend(line) else "")
    )
    return lines


def legend(line: Timeline) -> list[str]:
    """What the letters below the time line stand for, where they are there."""
    marks = {"S latest safe date": line.safe, "R planned replacement": line.replacement}
    return [text for text, cell in marks.items() if cell is not None]
