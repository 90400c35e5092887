"""Hostile text made safe to show: certificates, file names and profiles can hold anything."""

from __future__ import annotations

import re
import unicodedata

_SHOWN = 120
_KEY = 60


def shown(value: object) -> str:
    """A value of somebody else's profile as a message quotes it: text cut to a length, anything else by its kind."""
    if not isinstance(value, str):
        return f"of type {type(value).__name__}"
    if "//" in value and "@" in value:
        # A password may have slashes in it, where somebody forgot to encode them.
        value = re.sub(r"//[^?#\s]{1,1000}@", "//***@", value)
    if "://" in value and "?" in value:
        value = re.sub(r"\?[^#\s]{1,10000}", "?***", value)
    return repr(value) if len(value) <= _SHOWN else f"{value[:_SHOWN]!r}..."


def shortened(name: object) -> str:
    """A key of somebody else's dictionary as a path shows it: keys can be of any length, in binary ones of any type."""
    text = str(name) if isinstance(name, str | int) else type(name).__name__
    return text if len(text) <= _KEY else f"{text[:_KEY]}..."


def printable(text: str) -> str:
    """The text with every control, format and surrogate character written as its escape.

    Without this, a certificate's subject could move the cursor, clear the screen or reverse the reading order.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or unicodedata.category(each) == "Zs" else each.encode("unicode_escape").decode()
        for each in text
    )


def columns(text: str) -> int:
    """How many terminal columns the text takes: two for wide letters, none for combining marks."""
    return len(text) if text.isascii() else sum(map(_width, text))


def fitted(text: str, width: int) -> str:
    """The text in exactly ``width`` columns: filled up, or cut with dots."""
    if columns(text) > width:
        kept, used = [], 0
        for each in text:
            used += _width(each)
            if used > width - 3:
                break
            kept.append(each)
        text = f"{''.join(kept)}..."
    return text + " " * (width - columns(text))


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1
