"""The check as a plugin of Nagios, Icinga and their kin: one line and performance data.

https://www.monitoring-plugins.org/doc/guidelines.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding, Severity
from mdmprofile.moments import day, days_between, spoken
from mdmprofile.plan import Watched
from mdmprofile.printable import printable
from mdmprofile.reports.model import FileReport, View

_STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
# NRPE before version 3 cuts a line at 1,024 bytes, wherever that is.
_LONGEST = 1000
_LABEL = 200
_SHORT = 80
_MOST_NAMED = 3
_NEVER = datetime.max.replace(tzinfo=UTC)


class _Problem(NamedTuple):
    finding: Finding
    source: str
    about: Watched | None

    @property
    def urgency(self) -> tuple[int, bool, datetime]:
        """What is worst comes first, then what has a date, then the earliest end."""
        end = self.about.not_after if self.about else None
        return -self.finding.severity.rank, self.about is None, end or _NEVER

    @property
    def subject(self) -> tuple[str, datetime | None]:
        """What it is about, wherever that was found."""
        return (self.about.label, self.about.not_after) if self.about else (self.finding.message, None)


def render(view: View) -> str:
    """The line; its status word follows the exit code, because the monitor goes by that."""
    problems = sorted(dict.fromkeys(_problems(view)), key=lambda each: each.urgency)
    unread = [each for each in view.by_file if each.errors]
    said = _named(problems, view.now)
    if unread and view.exit_code == _STATES.index("UNKNOWN"):
        said.insert(0, _unread(unread))
    elif unread:
        said.append(_unread(unread))
    said += _first_end(view) if not said else []
    return line(_STATES[view.exit_code], [*said, *_steps(view), *_safe_date(view)], _performance(view))


def failure(error: MdmprofileError) -> str:
    """The line of a run that came to nothing."""
    first, *others = flatten([error])
    return line("UNKNOWN", [str(first), *([f"{len(others)} more"] if others else [])])


def line(state: str, said: Sequence[str], performance: str = "") -> str:
    """One line that is never too long; where something must be cut, it is the end of the longest part."""
    start, end = f"MDMPROFILE {state} - ", f" | {performance}" if performance else ""
    room = _LONGEST - len(start) - len(end)
    parts = [_safe(each) for each in said]
    too_much = len("; ".join(parts).encode("utf-8")) - room
    if too_much > 0:
        longest = max(range(len(parts)), key=lambda each: len(parts[each].encode("utf-8")))
        parts[longest] = _cut(parts[longest], len(parts[longest].encode("utf-8")) - too_much)
    return f"{start}{_cut('; '.join(parts), room)}{end}"


def _problems(view: View) -> Iterator[_Problem]:
    for report in view.by_file:
        for found, about in report.dated():
            if found.severity.rank:
                yield _Problem(found, report.source, about[0] if about else None)


def _named(problems: Sequence[_Problem], now: datetime) -> list[str]:
    """The worst finding as it is, the next ones in a few words, and how many more there are."""
    if not problems:
        return []
    # What is wrong with one thing twice, or in two places, is not what else is wrong.
    others = dict.fromkeys(_short(each, now) for each in problems if each.subject != problems[0].subject)
    named = list(others)[: _MOST_NAMED - 1]
    more = len(problems) - 1 - len(named)
    return [_problem(problems[0]), *named, *([f"{more} more finding{'s' * (more > 1)}"] if more else [])]


def _short(problem: _Problem, now: datetime) -> str:
    about = problem.about
    if about is None or about.not_after is None:
        return _cut(_safe(problem.finding.message), _SHORT)
    verb = "expired" if about.not_after < now else "ends"
    return f"{_cut(_safe(about.label), _SHORT)} {verb} on {day(about.not_after)}"


def _problem(problem: _Problem) -> str:
    found, about = problem.finding, problem.about
    place = f"{problem.source} {found.where}".rstrip()
    message = found.message.replace(about.label, _label(about), 1) if about else found.message
    return f"{message} ({place})"


def _label(each: Watched) -> str:
    """Role and name, so short that the date behind them is never cut off."""
    return _cut(_safe(each.label), _LABEL)


def _unread(unread: Sequence[FileReport]) -> str:
    source, text = unread[0].source, str(flatten(unread[0].errors)[0])
    named = text if source in text else f"{source}: {text}"
    others = len(unread) - 1
    return f"could not read {named}" + (f" and {others} more target{'s' * (others > 1)}" if others else "")


def _first_end(view: View) -> list[str]:
    ends = [(each.not_after, each) for each in _watched(view) if each.not_after is not None]
    if not ends:
        return ["nothing with a known end"] if view.plan is not None else []
    end, first = min(ends, key=lambda pair: pair[0])
    return [f"{_label(first)} ends first, on {day(end)}, in {spoken(end - view.now)}"]


def _steps(view: View) -> list[str]:
    """How the steps of a rehearsal went."""
    steps = Counter(each["outcome"] for each in view.extra.get("steps", ()))
    passed = steps.pop("passed", 0)
    said = [f"{passed} step{'s' * (passed != 1)} passed", *(f"{count} {outcome}" for outcome, count in steps.items())]
    return [", ".join(said)] if passed or steps else []


def _safe_date(view: View) -> list[str]:
    """The date, and what it does not count; nothing where the command makes no plan."""
    if view.plan is None:
        return []
    latest = view.plan.latest_safe_date
    if latest is None:
        return ["latest safe replacement date not known"]
    said = f"latest safe replacement date {day(latest)}{' has passed' if latest < view.now else ''}"
    if any(each.baked_in and each.not_after is None for each in _watched(view)):
        said += ", identity not counted because its validity is not known"
    return [said]


def _watched(view: View) -> Iterator[Watched]:
    return (each for report in view.by_file for each in report.watched)


def _performance(view: View) -> str:
    """``'label'=value;warning;critical;minimum``: a range ``30:`` alerts below 30.

    A value that nobody knows is left out, which every reader takes; not every one takes the guidelines' ``U``.
    """
    data = []
    ends = [(each.not_after, report.thresholds) for report in view.by_file for each in report.watched if each.not_after]
    if ends:
        end, limits = min(ends, key=lambda pair: pair[0])
        data.append(f"'days_left'={days_between(view.now, end)};{_days(limits.warn)}:;{_days(limits.critical)}:")
    plan = view.plan
    if plan is not None and plan.latest_safe_date is not None:
        planned = f";{days_between(view.now, plan.replace_on)}:" if plan.replace_on is not None else ""
        data.append(f"'days_to_latest_safe_date'={days_between(view.now, plan.latest_safe_date)}{planned}")
    severities = [each.severity for each in view.findings]
    counts = {
        "certificates": sum(each.certificate is not None for each in _watched(view)),
        "errors": severities.count(Severity.ERROR),
        "warnings": severities.count(Severity.WARNING),
        "unread": sum(bool(each.errors) for each in view.by_file),
    }
    return " ".join([*data, *(f"'{label}'={count};;;0" for label, count in counts.items())])


def _days(duration: timedelta) -> str:
    return f"{duration / timedelta(days=1):g}"


def _safe(text: str) -> str:
    """Text on one line that does not begin the performance data."""
    return printable(text).replace("|", "\\x7c")


def _cut(text: str, size: int) -> str:
    """At most this many bytes of it, the last three of them dots when something is missing."""
    data = text.encode("utf-8")
    return text if len(data) <= size else f"{data[: max(size - 3, 0)].decode('utf-8', 'ignore')}..."
