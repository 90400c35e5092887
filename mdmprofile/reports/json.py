"""The JSON report."""

from __future__ import annotations

import json

from mdmprofile.reports.model import View, as_dict


def render(view: View) -> str:
    """The view as JSON text, two spaces a level, one object.

    Text stays as people wrote it, except for what could steer a terminal: that is escaped.
    """
    lines = json.dumps(as_dict(view), indent=2, ensure_ascii=False).split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in lines)


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]
