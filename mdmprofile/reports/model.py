"""What a report shows, whatever its format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from mdmprofile.certificates import Certificate
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding
from mdmprofile.moments import stamp
from mdmprofile.plan import Plan, Thresholds, Watched, beginnings, days_left


class Line(NamedTuple):
    """One line of a section; ``style`` is ``good``, ``bad``, ``warn``, ``dim``, ``bold`` or nothing."""

    text: str
    style: str = ""


class Section(NamedTuple):
    """Lines under a heading, which may be empty."""

    title: str
    lines: Sequence[Line] = ()
    style: str = "bold"


class FileReport(NamedTuple):
    """What was found in one of several files or servers; the findings' places are inside it.

    ``watched`` is what ends in it, where the command looks at dates, and ``thresholds`` what that was held against.
    ``identifier`` is the profile's own, where there is one: what it is known by wherever its file lies. ``title`` is
    what people call it, where the report is the plan of this one.
    """

    source: str
    findings: Sequence[Finding] = ()
    errors: Sequence[MdmprofileError] = ()
    watched: Sequence[Watched] = ()
    thresholds: Thresholds = Thresholds()
    identifier: str = ""
    title: str = ""

    @property
    def is_file(self) -> bool:
        """Whether ``source`` names a file, and not a server or standard input."""
        return self.source != "standard input" and not self.source.lower().startswith(("https://", "http://"))

    def dated(self) -> Iterator[tuple[Finding, Sequence[Watched]]]:
        """Every finding with what it says the dates of; with nothing where it is about something else."""
        places: dict[str, list[Watched]] = {each.where: [] for each in self.findings}
        for each in self.watched:
            place = inside(self.source, each.where)
            if place in places:
                places[place].append(each)
        # A bundle can hold thousands in one place, so that no finding may be held against each of them. Of places with
        # one, nothing is kept: of those of a hundred thousand devices, it would fill the memory.
        crowded = {place: _Beginnings(there) for place, there in places.items() if len(there) > 1}
        for found in self.findings:
            known = crowded.get(found.where) or _Beginnings(places[found.where])
            yield found, known.of(found.message)


class _Beginnings:
    """Which of the things in one place a message is about: that which it begins with."""

    def __init__(self, watched: Iterable[Watched]) -> None:
        self._known: dict[str, list[Watched]] = {}
        for each in watched:
            for beginning in beginnings(each):
                self._known.setdefault(beginning, []).append(each)
        self._sizes = sorted(set(map(len, self._known)))

    def of(self, message: str) -> Sequence[Watched]:
        return next((self._known[message[:size]] for size in self._sizes if message[:size] in self._known), ())


def inside(source: str, where: str) -> str:
    """A place without the name of the file or server that it is in."""
    if where == source:
        return ""
    # A certificate of a bundle is called "bundle.pem #2".
    return where.removeprefix(f"{source} ") if where.startswith(f"{source} #") else where.removeprefix(f"{source}: ")


class View(NamedTuple):
    """One command's result: what it looked at, what it found, and what it made.

    ``by_file`` says it again file by file, for the formats that keep files apart; ``exit_code`` is the one that the
    command will end with. ``headline`` is what to do next, where that says more than that nothing was found.
    """

    now: datetime
    findings: Sequence[Finding] = ()
    watched: Sequence[Watched] = ()
    plan: Plan | None = None
    title: str = ""
    payloads: Sequence[tuple[str, str]] = ()
    files: Sequence[str] = ()
    errors: Sequence[MdmprofileError] = ()
    extra: Mapping[str, Any] = MappingProxyType({})
    sections: Sequence[Section] = ()
    by_file: Sequence[FileReport] = ()
    exit_code: int = 0
    headline: str = ""


def as_dict(view: View) -> dict[str, Any]:
    """The view as the JSON report: findings always, the rest where the command has it."""
    report: dict[str, Any] = {"findings": [each.as_dict() for each in view.findings]}
    if view.plan is not None:
        report["plan"] = view.plan.as_dict()
        dated = [(each, certificate_dict(each, view.now)) for each in view.watched]
        report["certificates"] = [entry for each, entry in dated if each.certificate is not None]
        report["identities"] = [entry for each, entry in dated if each.certificate is None]
    return report | (errors_dict(view.errors) if view.errors else {}) | dict(view.extra)


def certificate_dict(each: Watched, now: datetime) -> dict[str, Any]:
    """One certificate of the JSON report, or an identity that has none yet; ``days_left`` is rounded down.

    Times are in ISO 8601 UTC; None where nobody knows them.
    """
    return {
        "role": each.role,
        "subject": each.certificate.subject if each.certificate else each.name,
        "sha256": each.certificate.sha256 if each.certificate else "",
        "not_before": stamp(each.not_before) if each.not_before else None,
        "not_after": stamp(each.not_after) if each.not_after else None,
        "days_left": days_left(each, now),
        "where": each.where,
        "baked_in": each.baked_in,
    }


def facts(certificate: Certificate) -> dict[str, str]:
    """A certificate of the JSON report by itself; times in ISO 8601 UTC."""
    return {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "sha256": certificate.sha256,
        "not_before": stamp(certificate.not_before),
        "not_after": stamp(certificate.not_after),
    }


def errors_dict(errors: Sequence[MdmprofileError]) -> dict[str, Any]:
    """The part of the JSON report that says what could not be done."""
    return {"errors": [{"message": each.message, "where": each.where, "hint": each.hint} for each in flatten(errors)]}
