"""The HTML report: one page that needs no network and no JavaScript, for a browser, a phone or paper."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from mdmprofile import __version__
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding, Severity, by_severity
from mdmprofile.moments import day, spoken, stamp
from mdmprofile.plan import Plan, Watched, days_left
from mdmprofile.printable import printable
from mdmprofile.reports.html_chart import draw
from mdmprofile.reports.model import FileReport, View
from mdmprofile.reports.plain import rule_label
from mdmprofile.reports.timeline import state
from mdmprofile.resources import template_text

if TYPE_CHECKING:
    from jinja2 import Environment

# A subject, or a profile's name, can be megabytes long.
_LONGEST = 1000
# What each state is called, worst first, and the sign that says it without colour.
STATES = {
    "expired": ("expired", "×"),  # noqa: RUF001 - a sign, not a letter
    "critical": ("critical", "×"),  # noqa: RUF001 - the same
    "early": ("too early", "!"),
    "soon": ("soon", "!"),
    "not-yet": ("not valid yet", "!"),
    "unknown": ("unknown", "?"),
    "good": ("good", "✓"),
}
_RULES = {
    "expiry.expired": "expired",
    "expiry.critical": "critical",
    "expiry.before-replacement": "early",
    "expiry.soon": "soon",
    "expiry.not-yet-valid": "not-yet",
    "expiry.identity-unknown": "unknown",
}
_RANKS = {each: rank for rank, each in enumerate(STATES)}
_SECTIONS = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note"))


class Entry(NamedTuple):
    """One row of the table; ``rank`` is 0 for the worst state.

    ``seconds`` since 1970 and ``days`` from now are its end, None where nobody knows it.
    """

    watched: Watched
    subject: str
    sha256: str
    seconds: int | None
    days: int | None
    state: str
    rank: int
    target: str
    place: str


class Verdict(NamedTuple):
    """The page's first line: how bad it is in one word, and what it comes to."""

    kind: str
    word: str
    text: str


def render(view: View) -> str:
    """The view as one HTML document, without a line end behind the last line."""
    groups = view.by_file or (FileReport("", view.findings, watched=view.watched),)
    state_of = _states(view, groups)
    errors = flatten(view.errors)
    pieces = (
        _environment()
        .from_string(template_text("report.html.j2"))
        .generate(
            view=view,
            plan=view.plan,
            verdict=_verdict(view.findings, errors, view.headline),
            findings=_sections(view.findings),
            errors=errors,
            entries=[entry for each in groups for entry in _entries(each, view.now, state_of)],
            sources=[each.source for each in groups if each.source],
            chart=view.plan and draw(view.watched, view.plan, now=view.now, state_of=state_of),
            planned=view.plan and _planned(view.plan, view.now),
            states=STATES,
            version=__version__,
        )
    )
    # Each value is a piece: a list of the hundreds of thousands of a large report takes more memory than the page.
    page = io.StringIO()
    page.writelines(pieces)
    return page.getvalue()


def _environment() -> Environment:
    from jinja2 import StrictUndefined  # noqa: PLC0415 - slow to import, and only this format needs it
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415

    environment = ImmutableSandboxedEnvironment(
        autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "day": day,
        "digest": _digest,
        "distance": lambda moment, now: spoken(abs(moment - now)),
        "rule": rule_label,
        "shown": _shown,
        "spoken": spoken,
        "stamp": stamp,
    }
    return environment


def _finalize(value: object) -> object:
    """What every ``{{ }}`` goes through; what is no plain text is the template's own.

    Escaped here, and in ASCII: one other letter anywhere would double the memory that a page of megabytes takes.
    """
    if type(value) is not str:
        return value
    return _Escaped(html.escape(_shown(value)).encode("ascii", "xmlcharrefreplace").decode("ascii"))


class _Escaped(str):
    """Text that Jinja2 must not escape again."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def _shown(text: str) -> str:
    """Text without anything that steers, at a length that a page can show."""
    return printable(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)")


def _digest(text: str) -> str:
    """The source expression by which a policy allows this inline text, and no other (CSP Level 3 section 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _verdict(findings: Sequence[Finding], errors: Sequence[MdmprofileError], headline: str) -> Verdict:
    """The worst decides, in the order of the exit codes: an error, what could not be read, a warning, nothing.

    Where nothing is wrong but there is something to do, that is said; beside what is wrong it is said too.
    """
    counts = {kind: sum(each.severity is severity for each in findings) for severity, kind in _SECTIONS}
    said = [_count(counts[kind], kind) for kind in ("error", "warning") if counts[kind]]
    if errors:
        said.append(_count(len(errors), "unreadable target"))
    if counts["error"]:
        kind, word = "error", "Error"
    elif errors:
        kind, word = "unknown", "Unknown"
    elif counts["warning"]:
        kind, word = "warning", "Warning"
    else:
        notes = f"{_count(counts['note'], 'note')}, nothing worse"
        kind, word, said = "good", "All well", [notes if counts["note"] else "Nothing found"]
        if headline:
            # Somebody has a date to keep, so nothing says that all is well.
            return Verdict("note", "To do", headline)
    text = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    return Verdict(kind, word, f"{text}. {headline}" if headline else text)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _sections(findings: Iterable[Finding]) -> list[tuple[str, str, list[Finding]]]:
    """The findings under a heading for each severity that there is, errors first."""
    ordered = by_severity(findings)
    kept = [(kind, [each for each in ordered if each.severity is severity]) for severity, kind in _SECTIONS]
    return [(kind, _count(len(found), kind), found) for kind, found in kept if found]


def _planned(plan: Plan, now: datetime) -> str:
    """How the planned replacement stands to the latest safe date."""
    if plan.replace_on is None:
        return "no date was given"
    if plan.latest_safe_date is None:
        return f"in {spoken(plan.replace_on - now)}" if plan.replace_on > now else "it has passed"
    # Whole days of the calendar, as whoever reads both dates counts them.
    between = timedelta(days=plan.latest_safe_date.toordinal() - plan.replace_on.toordinal())
    if between < timedelta():
        return f"{spoken(-between)} after the latest safe date: too late"
    return f"{spoken(between)} before the latest safe date" if between else "on the latest safe date"


def _states(view: View, groups: Iterable[FileReport]) -> Callable[[Watched], str]:
    """A function that tells the state of a certificate: what was found about it, else what the plan says."""
    found: dict[Watched, str] = {}
    for report in groups:
        for each, things in report.dated():
            for thing in things if each.rule in _RULES else ():
                worse = _RULES[each.rule]
                found[thing] = min(found.get(thing, worse), worse, key=_RANKS.__getitem__)

    def state_of(watched: Watched) -> str:
        if watched.not_after is None:
            return "unknown"
        if watched in found:
            return found[watched]
        if view.plan is not None:
            return state(watched, view.plan, view.now)
        return "expired" if watched.not_after < view.now else "good"

    return state_of


def _entries(report: FileReport, now: datetime, state_of: Callable[[Watched], str]) -> Iterable[Entry]:
    for each in report.watched:
        inside = each.where.removeprefix(report.source) if report.source else each.where
        certificate = each.certificate
        subject = certificate.subject if certificate else ""
        known = state_of(each)
        yield Entry(
            each,
            "" if subject == f"CN={each.name}" else subject,
            certificate.sha256 if certificate else "",
            int(each.not_after.timestamp()) if each.not_after else None,
            days_left(each, now),
            known,
            _RANKS[known],
            report.source,
            # A target's name can begin with another file's.
            inside.lstrip(": ") if inside[:1] in {"", ":", " "} else each.where,
        )
