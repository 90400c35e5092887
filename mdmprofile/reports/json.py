"""The JSON report."""

from __future__ import annotations

import io
import json
from itertools import islice

from mdmprofile.reports.model import View, as_dict

_BATCH = 5_000


def render(view: View) -> str:
    """The view as JSON text, two spaces a level, one object.

    Text stays as people wrote it, except for what could steer a terminal: that is escaped.
    """
    text = io.StringIO()
    pieces = json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(as_dict(view))
    # A few thousand at a time: a report of thousands of files has a million of them.
    while batch := "".join(islice(pieces, _BATCH)):
        # The line ends are JSON's own: those in strings are escaped already.
        lines = batch.split("\n")
        text.write("\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in lines))
    return text.getvalue()


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else json.dumps(letter)[1:-1]
