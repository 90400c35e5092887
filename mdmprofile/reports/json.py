"""The JSON report."""

from __future__ import annotations

import io
import json

from mdmprofile.reports.model import View, as_dict


def render(view: View) -> str:
    """The view as JSON text, two spaces a level, one object.

    Text stays as people wrote it, except for what could steer a terminal: that is escaped.
    """
    text = io.StringIO()
    # Piece by piece: a report of thousands of files has a million of them.
    text.writelines(map(_shown, json.JSONEncoder(indent=2, ensure_ascii=False).iterencode(as_dict(view))))
    return text.getvalue()


def _shown(piece: str) -> str:
    """A piece of JSON, whose line ends are its own: those in strings are escaped already."""
    return piece if piece.isprintable() else "".join(map(_escaped, piece))


def _escaped(letter: str) -> str:
    return letter if letter == "\n" or letter.isprintable() else json.dumps(letter)[1:-1]
