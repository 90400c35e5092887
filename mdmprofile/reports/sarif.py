"""The SARIF report, version 2.1.0, which code scanning services and editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mdmprofile import __version__
from mdmprofile.catalogue import RULES
from mdmprofile.errors import MdmprofileError, flatten
from mdmprofile.findings import Finding
from mdmprofile.printable import printable
from mdmprofile.reports.model import FileReport, View

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def render(view: View) -> str:
    """One run with the rules that were broken, a result for every finding, and what could not be read."""
    used = sorted({found.rule for each in view.by_file for found in each.findings})
    errors = [error for each in view.by_file for error in flatten(each.errors)]
    run = {
        "tool": {"driver": {"name": "mdmprofile", "version": __version__, "rules": [_rule(each) for each in used]}},
        "invocations": [
            {
                "executionSuccessful": not errors,
                "toolExecutionNotifications": [_notification(error) for error in errors],
            }
        ],
        "artifacts": [{"location": {"uri": file_uri(each.source)}} for each in view.by_file],
        "results": [
            _result(found, each, number, used) for number, each in enumerate(view.by_file) for found in each.findings
        ],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


def file_uri(source: str) -> str:
    """A path as a URI reference (RFC 3986): whatever bytes are in the name, percent-encoded; absolute as ``file:``."""
    encoded = quote(source.encode("utf-8", "surrogateescape"), safe="/")
    return f"file://{encoded}" if encoded.startswith("/") else encoded


def _rule(rule: str) -> dict[str, Any]:
    entry = RULES[rule]
    described = {
        "id": rule,
        "shortDescription": {"text": entry.about},
        "help": {"text": f"{entry.hint[:1].upper()}{entry.hint[1:]}."},
        "defaultConfiguration": {"level": _LEVELS[entry.severity]},
        "properties": {"source": entry.source, "tags": [rule.partition(".")[0]]},
    }
    return described | ({"helpUri": entry.source} if entry.source.startswith("https://") else {})


def _result(found: Finding, report: FileReport, number: int, used: Sequence[str]) -> dict[str, Any]:
    place: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": file_uri(report.source), "index": number},
            # A finding is about a payload, not about a line; services that show files want one.
            "region": {"startLine": 1},
        }
    }
    if found.where:
        place["logicalLocations"] = [{"fullyQualifiedName": printable(found.where)}]
    where = f"{printable(found.where)}: " if found.where else ""
    hint = f" ({printable(found.hint)})" if found.hint and found.severity.rank else ""
    return {
        "ruleId": found.rule,
        "ruleIndex": used.index(found.rule),
        "level": _LEVELS[found.severity.value],
        "message": {"text": f"{where}{printable(found.message)}{hint}"},
        "locations": [place],
    }


def _notification(error: MdmprofileError) -> dict[str, Any]:
    return {"level": "error", "message": {"text": printable(str(error))}}
