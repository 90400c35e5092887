"""``mdmprofile lint``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from mdmprofile.catalogue import RULES
from mdmprofile.certificates import Identity
from mdmprofile.cli.params import AT, FILE, report_options, right_now
from mdmprofile.cli.recipient_flags import RECIPIENT_KEY_OPTIONS, load_recipient
from mdmprofile.cli.session import Session, with_session
from mdmprofile.errors import InputError
from mdmprofile.findings import Finding, by_severity
from mdmprofile.inputs import MAX_PROFILE, STDIN, read_file
from mdmprofile.reports.model import FileReport, View
from mdmprofile.rules.examined import AUTO, KINDS
from mdmprofile.rules.lint import lint
from mdmprofile.tables import nearest


@click.command("lint")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option(
    "--select", multiple=True, metavar="RULE", help="Report only this rule, or area such as scep; repeatable."
)
@click.option("--disable", multiple=True, metavar="RULE", help="Do not report this rule, or area; repeatable.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(KINDS),
    default=AUTO,
    show_default=True,
    help="What the profiles are; auto goes by the payloads.",
)
@click.option("-o", "--output", type=FILE, help="Write the report to this file.")
@RECIPIENT_KEY_OPTIONS
@AT
@report_options("warning", "sarif", "junit", "github")
@with_session
def command(
    session: Session,
    files: tuple[Path, ...],
    select: tuple[str, ...],
    disable: tuple[str, ...],
    kind: str,
    output: Path | None,
    at: datetime | None,
    **flags: Any,  # noqa: ANN401 - the recipient's flags
) -> int:
    """Judge any profile by Apple's rules: payloads, keys, certificates and signature.

    Profiles may be anybody's, signed or not. Every file is reported; one that cannot be read is an error beside them.

    \b
    Example:
      mdmprofile lint out/enroll.mobileconfig
      mdmprofile lint profiles/*.mobileconfig --disable signing.unsigned --format sarif -o lint.sarif
      mdmprofile lint profiles/*.mobileconfig --format github
      mdmprofile lint trust.mobileconfig --as trust --at 2027-01-01
    """
    now = at or right_now()
    wanted = _wanted(select, disable)
    recipient = load_recipient(flags)
    reports = [_report(path, now, kind, wanted, recipient) for path in files]
    found = [each._replace(where=_place(report.source, each)) for report in reports for each in report.findings]
    view = View(
        now=now,
        findings=by_severity(found),
        files=[_summary(reports)],
        errors=[error for each in reports for error in each.errors],
        extra={"files": [_file_dict(each) for each in reports]},
        by_file=reports,
    )
    return session.finish(view, output=output)


def _report(
    path: Path, now: datetime, kind: str, wanted: Callable[[str], bool], recipient: Identity | None
) -> FileReport:
    source = "standard input" if path == STDIN else str(path)
    try:
        data = read_file(path, limit=MAX_PROFILE)
    except InputError as error:
        return FileReport(source, errors=(error,))
    linted = lint(data, source=source, now=now, kind=kind, recipient=recipient)
    return FileReport(source, [each for each in linted.findings if wanted(each.rule)], linted.errors)


def _wanted(select: Sequence[str], disable: Sequence[str]) -> Callable[[str], bool]:
    """Whether a rule is reported; every word must be a rule or an area that exists."""
    areas = {rule.partition(".")[0] for rule in RULES}
    for each in (*select, *disable):
        if each not in RULES and each not in areas:
            near = nearest(each, [*RULES, *sorted(areas)])
            advice = f"did you mean {near!r}?" if near else "mdmprofile rules lists them"
            raise click.UsageError(f"{each!r} is neither a rule nor an area of rules; {advice}")

    def wanted(rule: str) -> bool:
        names = {rule, rule.partition(".")[0]}
        return (not select or not names.isdisjoint(select)) and names.isdisjoint(disable)

    return wanted


def _place(source: str, found: Finding) -> str:
    return f"{source}: {found.where}" if found.where else source


def _summary(reports: Sequence[FileReport]) -> str:
    counts = {"error": 0, "warning": 0, "info": 0}
    for found in (each for report in reports for each in report.findings):
        counts[found.severity.value] += 1
    told = [f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count and name != "info"]
    told += [f"{counts['info']} for information"] if counts["info"] else []
    unread = sum(bool(each.errors) for each in reports)
    told += [f"{unread} not judged in full"] if unread else []
    files = f"{len(reports)} file{'s' * (len(reports) != 1)}"
    return f"{files}: {', '.join(told) if told else 'nothing found'}"


def _file_dict(report: FileReport) -> dict[str, object]:
    worst = max((each.severity for each in report.findings), key=lambda each: each.rank, default=None)
    return {
        "file": report.source,
        "readable": not report.errors,
        "findings": len(report.findings),
        "worst": worst.value if worst else None,
    }
