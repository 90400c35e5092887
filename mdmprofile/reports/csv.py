"""The check as a table for spreadsheets: a row for everything that ends (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import chain

from mdmprofile.errors import flatten
from mdmprofile.findings import Finding
from mdmprofile.moments import stamp
from mdmprofile.plan import Watched, days_left
from mdmprofile.printable import printable
from mdmprofile.reports.model import FileReport, View

COLUMNS = (
    "role",
    "name",
    "subject",
    "sha256",
    "not_before",
    "not_after",
    "days_left",
    "baked_in",
    "where",
    "target",
    "severity",
    "message",
)
# What makes a spreadsheet take a cell for a formula: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")

_Cell = str | int | None


def render(view: View) -> str:
    """A header row, then target by target a row for everything that ends and for every error, all ending in CRLF.

    ``severity`` and ``message`` are those of the worst finding about this very certificate. A row of the role
    ``unreadable`` says why a target could not be read.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for report in view.by_file:
        writer.writerows([_cell(each) for each in row] for row in chain(_certificates(report, view), _errors(report)))
    return text.getvalue()


def _certificates(report: FileReport, view: View) -> Iterator[Sequence[_Cell]]:
    judged: dict[Watched, list[Finding]] = {}
    for found, about in report.dated():
        for each in about:
            judged.setdefault(each, []).append(found)
    for each in report.watched:
        worst = max(judged.get(each, ()), key=lambda found: found.severity.rank, default=None)
        certificate = each.certificate
        yield (
            each.role,
            each.name,
            certificate.subject if certificate else "",
            certificate.sha256 if certificate else "",
            stamp(each.not_before) if each.not_before else "",
            stamp(each.not_after) if each.not_after else "",
            days_left(each, view.now),
            "true" if each.baked_in else "false",
            each.where,
            report.source,
            worst.severity.value if worst else "",
            worst.message if worst else "",
        )


def _errors(report: FileReport) -> Iterator[Sequence[_Cell]]:
    for each in flatten(report.errors):
        row = dict.fromkeys(COLUMNS, "") | {
            "role": "unreadable",
            "where": each.where,
            "target": report.source,
            "severity": "error",
            "message": f"{each.message} ({each.hint})" if each.hint else each.message,
        }
        yield tuple(row.values())


def _cell(value: _Cell) -> _Cell:
    """Text that is printable and no formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(_FORMULA) or value.startswith(_FORMULA) else text
