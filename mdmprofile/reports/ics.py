"""The calendar: an event for every end, for the latest safe date and for every step (RFC 5545).

https://www.rfc-editor.org/rfc/rfc5545

What is imported again must move the events that are there and double none. So an event's UID comes from what
it is about: the profile's identifier, or where nobody knows it the base name of the file; the role; the subject; and
its number among those that are equal so far. It comes from no date, fingerprint or folder. A certificate that is in
two files has an event for each, because each of the two is replaced by itself; with the same identifier or
base name, the number keeps them apart.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from mdmprofile.moments import as_utc, day, shift, stamp
from mdmprofile.plan import LATEST, Plan, Thresholds, Watched, is_ahead, make_plan, remedy
from mdmprofile.printable import printable
from mdmprofile.reports.model import FileReport, View

if TYPE_CHECKING:
    from icalendar import Component, Event

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:mdmprofile:calendar")
# SEQUENCE counts the seconds from here; it is an INTEGER of 31 bits and a sign (RFC 5545 section 3.3.8).
_FIRST_SEQUENCE = datetime(2024, 1, 1, tzinfo=UTC)
_LAST_SEQUENCE = 2**31 - 1
_END = "Certificate end"
# A subject can be megabytes long, and a calendar is looked at on a telephone.
_LONGEST = 1000
# Every event reminds at nine in the morning of its day; a step a week before, too.
_MORNING, _WEEK = timedelta(hours=9), timedelta(days=7)


class _Entry(NamedTuple):
    """One event: ``about`` is what its UID is made of, ``alarms`` how long before it people are reminded.

    ``was`` is the date that has passed of what is still to be done.
    """

    about: tuple[str, ...]
    date: datetime
    summary: str
    lines: tuple[str, ...]
    category: str
    alarms: tuple[timedelta, ...] = ()
    was: datetime | None = None


def render(view: View) -> str:
    """The calendar with the line ends of RFC 5545, the last one too; what has no known end has no event."""
    from icalendar import Calendar  # noqa: PLC0415 - slow to import, needed for calendars only

    calendar = Calendar()
    calendar.add("prodid", "-//mdmprofile//mdmprofile//EN")
    calendar.add("version", "2.0")
    frame = _text(calendar)
    end = frame.rindex("END:VCALENDAR")
    numbers: Counter[tuple[str, ...]] = Counter()
    # One event at a time becomes text: as objects, those of thousands of files take half a gigabyte.
    events = []
    for each in _entries(view):
        numbers[each.about] += 1
        events.append(_text(_event(each, numbers[each.about], view.now)))
    return "".join((frame[:end], *events, frame[end:]))


def _text(component: Component) -> str:
    return str(component.to_ical(), "utf-8")


def _entries(view: View) -> Iterator[_Entry]:
    reports = {each.source: each for each in view.by_file} or {"": FileReport("", watched=view.watched)}
    for each in reports.values():
        # The plan of the view is that of the file to replace first; each of several has its own.
        alone = len(reports) == 1 and view.plan is not None
        plan = view.plan if alone and view.plan is not None else make_plan(each.watched, each.thresholds)
        for entry in _of_file(each, plan, named=len(reports) > 1):
            yield entry if entry.category == _END else _to_do(entry, view.now)


def _to_do(entry: _Entry, now: datetime) -> _Entry:
    """What should have been done by now is to be done today; a day that has passed reminds nobody."""
    was = entry.was if is_ahead(entry.date, now) else entry.date
    if was is None:
        return entry
    return entry._replace(date=max(entry.date, now), summary=f"{entry.summary}, overdue since {day(was)}")


def _of_file(report: FileReport, plan: Plan, *, named: bool) -> Iterator[_Entry]:
    scope = report.identifier or _base_name(report.source)
    # A config and its profile have one identifier, and the files of two customers one base name.
    names = dict.fromkeys((report.identifier, _base_name(report.source))) if named else [report.title]
    title = ", ".join(_cut(each) for each in names if each)
    suffix = f" ({title})" if title else ""
    source = f"Target: {_cut(report.source)}" if report.source else ""
    alarms = _alarms(report.thresholds)
    for each in report.watched:
        if each.not_after is not None:
            yield _Entry(
                (scope, "end", each.role, each.lasting_name),
                each.not_after,
                f"{_cut(each.label)} ends{suffix}",
                (*_end_lines(each, each.not_after, plan), source),
                _END,
                alarms,
            )
    if plan.latest_safe_date is not None and plan.limited_by is not None and plan.limited_by.not_after is not None:
        limit, end = plan.limited_by, plan.limited_by.not_after
        why = f"Why: {_cut(limit.label)} ends on {day(end)}; then {limit.consequence}."
        lines = (why, "What to do: have a new profile on its way to every device by then.", source)
        summary = f"Latest safe date to replace the profile{suffix}"
        yield _Entry((scope, "latest safe date"), plan.latest_safe_date, summary, lines, "Latest safe date", alarms)
    for step in plan.steps:
        if step.key != LATEST:
            action = f"{step.action[:1].upper()}{step.action[1:]}"
            lines = (f"What to do: {step.action}.", f"Why: {step.why}.", source)
            about = (scope, "step", step.key or step.action)
            yield _Entry(about, step.date, f"{action}{suffix}", lines, "Step", (_WEEK,), step.was)


def _end_lines(each: Watched, end: datetime, plan: Plan) -> Iterable[str]:
    by = f" by {day(shift(end, -plan.margin))}" if each.baked_in else ""
    yield f"What stops working: {each.consequence}."
    yield f"What to do{by}: {remedy(each)}."
    yield f"Where: {_cut(each.where)}" if each.where else ""
    yield f"Ends: {stamp(end)}"
    if each.certificate is not None:
        yield f"Subject: {_cut(each.certificate.subject)}"
        yield f"SHA-256: {each.certificate.sha256}"


def _event(entry: _Entry, number: int, now: datetime) -> Event:
    from icalendar import Alarm, Event  # noqa: PLC0415 - loaded by render already

    event = Event()
    event.add("uid", str(uuid5(_NAMESPACE, json.dumps([*entry.about, number]))))
    event.add("dtstamp", as_utc(now).replace(microsecond=0))
    event.add("sequence", _sequence(now))
    # A day and no time: nothing depends on where the reader is.
    event.add("dtstart", as_utc(entry.date).date())
    summary = printable(entry.summary)
    event.add("summary", summary)
    event.add("description", "\n".join(printable(each) for each in entry.lines if each))
    event.add("categories", ["mdmprofile", entry.category])
    event.add("transp", "TRANSPARENT")
    for trigger in (*(-each for each in entry.alarms), _MORNING):
        alarm = Alarm()
        alarm.add("action", "DISPLAY")
        alarm.add("trigger", trigger)
        alarm.add("description", summary)
        event.add_component(alarm)
    return event


def _alarms(thresholds: Thresholds) -> tuple[timedelta, ...]:
    return tuple(sorted({thresholds.warn, thresholds.critical}, reverse=True))


def _sequence(now: datetime) -> int:
    """Grows with every later run, so that a calendar takes the later of two versions of an event."""
    return min(max(int((now - _FIRST_SEQUENCE).total_seconds()), 0), _LAST_SEQUENCE)


def _base_name(source: str) -> str:
    """The file without its folder, which differs between machines; of a server, all of its address."""
    return source if "://" in source else source.replace("\\", "/").rpartition("/")[2]


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
