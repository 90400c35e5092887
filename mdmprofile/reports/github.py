"""Workflow commands for GitHub Actions, which show findings beside the files of a pull request.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

from mdmprofile.errors import flatten
from mdmprofile.findings import Finding
from mdmprofile.printable import printable
from mdmprofile.reports.model import View
from mdmprofile.reports.plain import rule_label

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def render(view: View) -> str:
    """A command a line, for every finding and for every file that could not be read."""
    lines = []
    for each in view.by_file:
        lines += [_command(_COMMANDS[found.severity.value], each.source, *_texts(found)) for found in each.findings]
        lines += [_command("error", each.source, "mdmprofile", str(error)) for error in flatten(each.errors)]
    return "\n".join(lines)


def _texts(found: Finding) -> tuple[str, str]:
    place = f"{found.where}: " if found.where else ""
    hint = f" ({found.hint})" if found.hint and found.severity.rank else ""
    return rule_label(found), f"{place}{found.message}{hint}"


def _command(name: str, file: str, title: str, message: str) -> str:
    return f"::{name} file={_property(file)},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Text behind the second pair of colons: printable, and no per cent sign of its own."""
    return printable(text).replace("%", "%25")


def _property(text: str) -> str:
    """Text between commas: neither of the signs that end it."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
