"""Workflow commands for GitHub Actions, which show findings beside the files of a pull request.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from mdmprofile.errors import flatten
from mdmprofile.findings import Finding
from mdmprofile.printable import printable
from mdmprofile.reports.model import FileReport, View
from mdmprofile.reports.plain import rule_label

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def render(view: View) -> str:
    """A command a line, for every finding and for everything that could not be read."""
    lines = []
    for each in view.by_file:
        lines += [
            _command(_COMMANDS[found.severity.value], each, rule_label(found), _text(found)) for found in each.findings
        ]
        lines += [_command("error", each, "mdmprofile", str(error)) for error in flatten(each.errors)]
    return "\n".join(lines)


def _text(found: Finding) -> str:
    place = f"{found.where}: " if found.where else ""
    hint = f" ({found.hint})" if found.hint and found.severity.rank else ""
    return f"{place}{found.message}{hint}"


def _command(name: str, report: FileReport, title: str, message: str) -> str:
    """One command; a server is no file of the repository, so its name stands in the message."""
    source = report.source
    if report.is_file:
        return f"::{name} file={_property(source)},title={_property(title)}::{_data(message)}"
    named = message if message.startswith(source) else f"{source}: {message}"
    return f"::{name} title={_property(title)}::{_data(named)}"


def _data(text: str) -> str:
    """Text behind the second pair of colons: printable, and no per cent sign of its own."""
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    """Text between commas: neither of the signs that end it."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
